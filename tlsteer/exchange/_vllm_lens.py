"""What vllm-lens takes as `apply_steering_vectors`."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tlsteer._vector_files import Provenance
from tlsteer.errors import VectorError
from tlsteer.exchange._formats import FileContent, Format
from tlsteer.exchange._said import added, vectors_at, whole_number
from tlsteer.steering import Intervention
from tlsteer.vector_sets import VectorSet

_TYPES = {"torch.float32": np.float32, "torch.float16": np.float16, "torch.float64": np.float64}
_MOST = 2**30


@dataclass(frozen=True)
class VllmLens(Format):
    """A list of `{"activations", "layer_indices", "scale", "norm_match", "position_indices"}`, at blocks' outputs.

    Offline it goes into `SamplingParams(extra_args={"apply_steering_vectors": ...})`; over HTTP into `vllm_xargs`, as a
    text of JSON.

    >>> load(export(vector, "calm.pt", VllmLens()).files[0], "vllm-lens").only.site
    Site(3, 'post')
    """

    name = "vllm-lens"
    title = "requests of vllm-lens"
    container = "json"
    omits = "the model, the operation (they are added), where the vectors came from"

    @classmethod
    def fits(cls, content: Any) -> bool:
        """Lists of objects with activations, or an object that holds one."""
        return all(isinstance(one, dict) and {"activations", "layer_indices"} <= one.keys() for one in _list(content))

    def read(self, content: Any, path: Path) -> VectorSet:
        """A vector for each layer; what is for some tokens alone, or rescales the residual, is refused."""
        layers: dict[int, Tensor] = {}
        for one in _list(content):
            if one.get("norm_match") or one.get("position_indices") is not None:
                raise VectorError("norm_match and position_indices have no counterpart in a vector alone")
            tensor = _decoded(one["activations"])
            if tensor.ndim != 2 or len(tensor) != len(one["layer_indices"]):
                raise VectorError(f"activations of shape {tuple(tensor.shape)} are no (layers, d_model)")
            for layer, row in zip(map(whole_number, one["layer_indices"]), tensor, strict=True):
                scaled = float(one.get("scale", 1.0)) * row.float()
                layers[layer] = layers[layer] + scaled if layer in layers else scaled
        return vectors_at(layers, "post", Provenance(method=f"{self.name} request"))

    def write(self, todo: Sequence[Intervention], path: Path) -> FileContent:
        """One entry with a row for each layer."""
        said = added(todo, self.title)
        stacked = torch.stack([*said.layers.values()])
        entry = {
            "activations": {
                # Not packed, which its decoder takes as well.
                "data": base64.b64encode(stacked.numpy().tobytes()).decode("ascii"),
                "dtype": "float32",
                "original_dtype": "torch.float32",
                "shape": list(stacked.shape),
            },
            "layer_indices": [*said.layers],
            "scale": 1.0,
            "norm_match": False,
            "position_indices": None,
        }
        return FileContent([entry], said.notes)


def _list(content: Any) -> list[Any]:
    if isinstance(content, dict):
        content = content.get("apply_steering_vectors")
    return content if isinstance(content, list) and content else [None]


def _decoded(entry: dict[str, Any]) -> Tensor:
    raw, shape = base64.b64decode(entry["data"], validate=True), [whole_number(n) for n in entry["shape"]]
    is_bfloat16 = entry.get("original_dtype") == "torch.bfloat16"
    if not is_bfloat16 and entry.get("original_dtype", "torch.float32") not in _TYPES:
        raise VectorError(f"activations of the type {entry['original_dtype']!r} are no numbers of a residual stream")
    dtype = np.dtype(np.int16 if is_bfloat16 else entry["dtype"])
    if dtype not in (np.int16, *_TYPES.values()):
        raise VectorError(f"activations are stored as {dtype}, which is none of float16, float32 and float64")
    size = math.prod(shape) * dtype.itemsize
    if size > _MOST:
        raise VectorError(f"activations of shape {tuple(shape)} are more than the vectors of a model")
    if entry.get("compression") == "zstd":
        raw = _unpacked(raw, size)
    tensor = torch.from_numpy(np.frombuffer(raw, dtype).reshape(shape).copy())
    return tensor.view(torch.bfloat16) if is_bfloat16 else tensor


def _unpacked(raw: bytes, size: int) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise VectorError("packed activations need the package zstandard: pip install 'tlsteer[exchange]'") from None
    # A frame says how much it unpacks to, and is not believed where that is more than the shape.
    if zstandard.frame_content_size(raw) not in (-1, size):
        raise VectorError("the packed activations do not unpack to what their shape says")
    return zstandard.ZstdDecompressor().decompress(raw, max_output_size=size)
