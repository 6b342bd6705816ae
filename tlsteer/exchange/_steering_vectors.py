"""The two fields of a `SteeringVector` of the package steering-vectors, saved by PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlsteer._vector_files import Provenance
from tlsteer.errors import VectorError
from tlsteer.exchange._formats import FileContent, Format
from tlsteer.exchange._said import added, vectors_at, whole_number
from tlsteer.steering import Intervention
from tlsteer.vector_sets import VectorSet


@dataclass(frozen=True)
class SteeringVectors(Format):
    """`{"layer_activations": {layer: tensor}, "layer_type": "decoder_block"}`, added to what leaves each block.

    The package has no files of its own: `torch.save(vars(vector), path)` writes one, and
    `SteeringVector(**torch.load(path, weights_only=True))` reads it.

    >>> load(export(vector, "calm.pt", SteeringVectors()).files[0], "steering-vectors").only.site
    Site(3, 'post')
    """

    name = "steering-vectors"
    title = "files of steering-vectors"
    container = "pt"
    omits = "the model, the operation and the tokens (they are arguments there), where the vectors came from"

    @classmethod
    def fits(cls, content: Any) -> bool:
        """Dictionaries with these fields."""
        return isinstance(content, dict) and "layer_activations" in content

    def read(self, content: Any, path: Path) -> VectorSet:
        """A vector for each layer; those of other parts than whole blocks are refused."""
        if (kind := content.get("layer_type", "decoder_block")) != "decoder_block":
            raise VectorError(f"its vectors are for {kind!r}, and tlsteer writes to the residual stream alone")
        layers = {whole_number(layer): tensor for layer, tensor in content["layer_activations"].items()}
        return vectors_at(layers, "post", Provenance(method=f"{self.name} file"))

    def write(self, todo: Sequence[Intervention], path: Path) -> FileContent:
        """A tensor for each layer."""
        said = added(todo, self.title)
        return FileContent({"layer_activations": said.layers, "layer_type": "decoder_block"}, said.notes)
