"""`.svec` files of IBM's AI Steerability 360."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlsteer._vector_files import Provenance
from tlsteer.errors import VectorError
from tlsteer.exchange._formats import FileContent, Format
from tlsteer.exchange._said import added, as_tensor, model_of, provenance_text, vectors_at, whole_number
from tlsteer.steering import Intervention
from tlsteer.vector_sets import VectorSet


@dataclass(frozen=True)
class Svec(Format):
    """JSON `{"model_type", "directions": {"layer": [[...]]}}`, added to what leaves each block.

    Attributes:
        model_type: the architecture, such as "llama"; the model's name by default.

    >>> load(export(vector, "calm.svec", Svec()).files[0], "svec").only.site
    Site(3, 'post')
    """

    model_type: str = ""
    name = "svec"
    title = ".svec files"
    container = "json"
    omits = (
        "the model's weights (an architecture alone), the operation and the tokens (they are its controls' settings)"
    )

    @classmethod
    def fits(cls, content: Any) -> bool:
        """Objects with these fields."""
        return isinstance(content, dict) and {"model_type", "directions"} <= content.keys()

    def read(self, content: Any, path: Path) -> VectorSet:
        """A vector for each layer; several directions in one (for each token, a plane, heads) are refused."""
        if content.get("num_heads") is not None:
            raise VectorError("its directions are for attention heads, and tlsteer writes to the residual stream alone")
        layers = {whole_number(layer): as_tensor(rows) for layer, rows in content["directions"].items()}
        for layer, rows in layers.items():
            if rows.ndim == 2 and len(rows) != 1:
                raise VectorError(
                    f"layer {layer} has {len(rows)} directions, and the file does not say what for (tokens, a plane)"
                )
        made = Provenance(str(content["model_type"]), method=f"{self.name} file")
        return vectors_at(layers, "post", made, axes=(1, 2))

    def write(self, todo: Sequence[Intervention], path: Path) -> FileContent:
        """One direction for each layer."""
        said = added(todo, self.title)
        content = {
            "model_type": self.model_type or model_of(todo) or "unknown",
            "directions": {str(layer): [vector.tolist()] for layer, vector in said.layers.items()},
            "meta": {"tlsteer": provenance_text(todo)},
        }
        return FileContent(content, said.notes)
