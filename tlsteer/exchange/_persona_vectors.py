"""Vectors of persona_vectors: a tensor with a row for each entry of `hidden_states`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tlsteer._vector_files import Provenance
from tlsteer.errors import VectorError
from tlsteer.exchange._formats import FileContent, Format
from tlsteer.exchange._said import added, vectors_at
from tlsteer.steering import Intervention
from tlsteer.vector_sets import VectorSet

_MOST_LAYERS = 1000


@dataclass(frozen=True)
class PersonaVectors(Format):
    """A tensor (n_layers + 1, d_model) whose row L is of `hidden_states[L]`, what enters block L.

    Attributes:
        n_layers: of the model; needed to write, where rows without a vector are zeros.
        layer: read that row alone; without, every row but zeros becomes a vector.

    >>> written = export(vector, "calm.pt", PersonaVectors(n_layers=model.cfg.n_layers)).files[0]
    >>> load(written, PersonaVectors(layer=4)).only.site
    Site(4, 'pre')
    """

    n_layers: int | None = None
    layer: int | None = None
    name = "persona-vectors"
    title = "files of persona_vectors"
    container = "pt"
    omits = "the model, which layer is meant, the operation and the tokens, where the vectors came from"

    @classmethod
    def fits(cls, content: Any) -> bool:
        """Tensors of two axes."""
        return isinstance(content, Tensor) and content.ndim == 2

    def read(self, content: Tensor, path: Path) -> VectorSet:
        """A vector for each row that is not zero, or for the one that is asked for."""
        if len(content) > _MOST_LAYERS:
            raise VectorError(f"{len(content)} rows are more than the layers of a model")
        rows = {number: row for number, row in enumerate(content) if self.layer in (None, number) and row.any()}
        if not rows:
            which = "every row" if self.layer is None else f"row {self.layer} (of {len(content)})"
            raise VectorError(f"{which} is zero or missing")
        # The last row leaves the last block: no block has it as its input.
        last = rows.pop(len(content) - 1, None)
        made = Provenance(method=f"{self.name} file")
        found = [*vectors_at(rows, "pre", made).values()] if rows else []
        if last is not None:
            found += vectors_at({len(content) - 2: last}, "post", made).values()
        return VectorSet(found)

    def write(self, todo: Sequence[Intervention], path: Path) -> FileContent:
        """A row for each place; zeros where nothing is added."""
        if self.n_layers is None:
            raise VectorError("how many layers the model has is part of the file: PersonaVectors(n_layers=...)")
        said = added(todo, self.title, side="pre")
        if (highest := max(said.layers)) > self.n_layers:
            raise VectorError(f"a model of {self.n_layers} layers has no place before block {highest}")
        rows = torch.zeros(self.n_layers + 1, len(next(iter(said.layers.values()))))
        for layer, vector in said.layers.items():
            rows[layer] = vector
        return FileContent(rows, [*said.notes, "rows without a vector are zeros"])
