"""Profiles of saklas up to 3.x: safetensors by layer, and a JSON file beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tlsteer._json_files import json_bytes
from tlsteer._vector_files import Provenance
from tlsteer.exchange._containers import Arrays
from tlsteer.exchange._formats import FileContent, Format
from tlsteer.exchange._said import added, provenance_text, vectors_at
from tlsteer.steering import Intervention
from tlsteer.vector_sets import VectorSet

_LAYER = re.compile(r"layer_(\d{1,5})")


@dataclass(frozen=True)
class Saklas(Format):
    """`layer_N` for each layer, at what leaves block N; later versions read GGUF (`Gguf`).

    >>> load(export(vector, "calm.safetensors", Saklas()).files[0], "saklas").only.site
    Site(3, 'post')
    """

    name = "saklas"
    title = "profiles of saklas"
    container = "safetensors"
    omits = (
        "the model, the operation and the tokens; saklas adds twice what a profile holds and then gives every residual "
        "its former norm, so strengths there are not strengths here"
    )

    @classmethod
    def fits(cls, content: Arrays) -> bool:
        """Files with such names alone."""
        return bool(content.tensors) and all(_LAYER.fullmatch(name) for name in content.tensors)

    def read(self, content: Arrays, path: Path) -> VectorSet:
        """A vector for each layer."""
        layers = {int(found[1]): one for name, one in content.tensors.items() if (found := _LAYER.fullmatch(name))}
        return vectors_at(layers, "post", Provenance(method=f"{self.name} file"))

    def write(self, todo: Sequence[Intervention], path: Path) -> FileContent:
        """A tensor for each layer, and the file beside them."""
        said = added(todo, self.title)
        about = {"format_version": 2, "method": "merge", "saklas_version": "0", "components": {"tlsteer": {}}}
        beside = {".json": json_bytes(about | {"tlsteer": provenance_text(todo)})}
        return FileContent(Arrays({f"layer_{layer}": one for layer, one in said.layers.items()}), said.notes, beside)
