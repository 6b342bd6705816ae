"""Directions of refusal_direction: a tensor, and a JSON file beside it that says where it was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from tlsteer._json_files import json_bytes, read_json
from tlsteer._vector_files import Provenance
from tlsteer.errors import VectorError
from tlsteer.exchange._formats import FileContent, Format
from tlsteer.exchange._said import added, vectors_at, whole_number
from tlsteer.steering import Intervention
from tlsteer.vector_sets import VectorSet


@dataclass(frozen=True)
class RefusalDirection(Format):
    """`direction.pt` (d_model,) with `direction_metadata.json`, or `mean_diffs.pt` (positions, layers, d_model).

    Layer L is what enters block L. There the direction was read, and is added; that code also ablates it at every
    layer, which is `steer` with an `Ablate` vector at each site.

    Attributes:
        layer: which to take; that of the file of metadata by default, which `mean_diffs.pt` has not.
        position: in `mean_diffs.pt`, of the tokens counted from the end of the prompt, such as -1.

    >>> load(export(vector, "direction.pt", RefusalDirection()).files[0], RefusalDirection()).only.site
    Site(4, 'pre')
    """

    layer: int | None = None
    position: int | None = None
    name = "refusal-direction"
    title = "files of refusal_direction"
    container = "pt"
    omits = "the model, the operation (it is added at its layer, or ablated at all), where it came from"

    @classmethod
    def fits(cls, content: Any) -> bool:
        """Tensors of one or three axes."""
        return isinstance(content, Tensor) and content.ndim in (1, 3)

    def read(self, content: Tensor, path: Path) -> VectorSet:
        """The direction, at the layer where it was read."""
        made = Provenance(method=f"{self.name} file")
        if content.ndim == 3:
            if self.layer is None or self.position is None:
                n_positions, n_layers, _ = content.shape
                raise VectorError(
                    f"it has {n_positions} positions and {n_layers} layers; say which: "
                    "RefusalDirection(layer=..., position=-1)"
                )
            return vectors_at({self.layer: content[self.position, self.layer]}, "pre", made)
        return vectors_at({self._layer(path): content}, "pre", made)

    def _layer(self, path: Path) -> int:
        if self.layer is not None:
            return self.layer
        about = path.with_name(f"{path.stem}_metadata.json")
        if not about.is_file():
            raise VectorError(f"{about.name!r}, which says the layer, is missing; give RefusalDirection(layer=...)")
        return whole_number(read_json(about, "metadata of a direction")["layer"])

    def write(self, todo: Sequence[Intervention], path: Path) -> FileContent:
        """One direction, and the file of metadata beside it."""
        said = added(todo, self.title, side="pre")
        if len(said.layers) > 1:
            raise VectorError(f"{self.title} hold one direction, but these are {len(said.layers)}; export them singly")
        ((layer, vector),) = said.layers.items()
        position = -1 if self.position is None else self.position
        beside = {"_metadata.json": json_bytes({"pos": position, "layer": layer}, indent=4)}
        return FileContent(vector, [*said.notes, f"its position is noted as {position}"], beside)
