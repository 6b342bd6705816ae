"""What lm-eval's model class `steered` reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from tlsteer._vector_files import Provenance
from tlsteer.errors import VectorError
from tlsteer.exchange._formats import FileContent, Format
from tlsteer.exchange._said import added, check_all_tokens, layer_of, site_of
from tlsteer.operations import Ablate, Add, Clamp, Operation
from tlsteer.sites import Site
from tlsteer.steering import Intervention
from tlsteer.vector_sets import VectorSet
from tlsteer.vectors import SteeringVector

_PLACE = re.compile(r"(?:\w+\.)*\w+\.(\d{1,5})")


@dataclass(frozen=True)
class LmEval(Format):
    """`{hookpoint: {"steering_vector", "steering_coefficient", "action", "bias", "head_index"}}`, at blocks' outputs.

    Its clamp sets the component along the unit vector to the coefficient; ours to c times the vector. So a clamp is
    written with c * |v|, and an ablation as a clamp to 0.

    Attributes:
        blocks: what the list of blocks is called in the base model: "layers" in Llama, Gemma and Qwen, "h" in GPT-2.

    >>> load(export(vector, "calm.pt", LmEval(blocks="h")).files[0], "lm-eval").only.site
    Site(3, 'post')
    """

    blocks: str = "layers"
    name = "lm-eval"
    title = "steering files of lm-eval"
    container = "pt"
    omits = "the model, tokens (all), where the vectors came from"

    @classmethod
    def fits(cls, content: Any) -> bool:
        """Dictionaries of dictionaries with a steering vector."""
        return isinstance(content, dict) and any(
            isinstance(v, dict) and "steering_vector" in v for v in content.values()
        )

    def read(self, content: Any, path: Path) -> VectorSet:
        """A vector for each hook point that is a block."""
        return VectorSet(_vector(place, entry) for place, entry in content.items())

    def write(self, todo: Sequence[Intervention], path: Path) -> FileContent:
        """An entry for each block."""
        entries, notes = {}, []
        adds = [one for one in todo if isinstance(one.applied, Add)]
        said = added(adds, self.title)
        for layer, vector in said.layers.items():
            entries[f"{self.blocks}.{layer}"] = _entry(vector, 1.0, "add")
        for one in todo:
            if one in adds:
                continue
            layer = layer_of(site_of(one), self.title)
            place, (vector, constant) = f"{self.blocks}.{layer}", self._clamp(one)
            if place in entries:
                raise VectorError(f"{self.title} say one thing for each block, but there are several at {place}")
            entries[place] = _entry(vector, constant * vector.norm().item(), "clamp")
            notes.append(f"to {one.applied} at {site_of(one)!r} is there a clamp to {constant:g} |v| along v / |v|")
        return FileContent(entries, [*said.notes, *notes])

    def _clamp(self, one: Intervention) -> tuple[Tensor, float]:
        check_all_tokens(one, self.title)
        if not isinstance(one.applied, Clamp | Ablate):
            raise VectorError(f"{self.title} add and clamp, but this vector is to {one.applied}; run it under tlsteer")
        if one.multipliers[0] != 1:
            raise VectorError(
                f"{self.title} clamp the whole way, but this one has the multiplier {one.multipliers[0]:g}, which goes "
                "part of it; export it with the multiplier 1"
            )
        constant = float(one.applied.constant) if isinstance(one.applied, Clamp) else 0.0
        return one.vectors[0].tensor, constant


def _entry(vector: Tensor, coefficient: float, action: str) -> dict[str, Any]:
    return {
        "steering_vector": vector,
        "steering_coefficient": coefficient,
        "action": action,
        "bias": None,
        "head_index": None,
    }


def _vector(place: Any, entry: Any) -> SteeringVector:
    found = _PLACE.fullmatch(place) if isinstance(place, str) else None
    if found is None or place.rpartition(".")[0].endswith(("attn", "mlp")):
        raise VectorError(f"{place!r:.80} is no block, and tlsteer writes to the residual stream alone")
    for name in ("bias", "head_index"):
        if entry.get(name) is not None:
            raise VectorError(f"{place!r} has a {name}, which tlsteer has not")
    vector, coefficient = entry["steering_vector"], float(entry.get("steering_coefficient", 1.0))
    operation: Operation = Add()
    if entry["action"] == "clamp":
        norm = vector.double().norm().item()
        operation = Ablate() if coefficient == 0 else Clamp(coefficient / norm)
    elif entry["action"] == "add":
        vector = coefficient * vector
    else:
        raise VectorError(f"{place!r} asks for {entry['action']!r}; add and clamp are known")
    return SteeringVector(vector, Site(int(found[1]), "post"), operation, Provenance(method="lm-eval file"))
