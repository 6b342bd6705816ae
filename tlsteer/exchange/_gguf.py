"""Control vectors of llama.cpp, and repeng's, which are the same files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tlsteer._vector_files import Provenance
from tlsteer.exchange._containers import Arrays
from tlsteer.exchange._formats import FileContent, Format
from tlsteer.exchange._said import added, model_of, provenance_text, vectors_at
from tlsteer.steering import Intervention
from tlsteer.vector_sets import VectorSet

_DIRECTION = re.compile(r"direction\.(\d{1,5})")


@dataclass(frozen=True)
class Gguf(Format):
    """`direction.N`, N from 1 on, is added to what leaves block N.

    llama.cpp's own generator measures `direction.N` at the output of block N-1 and applies it at N: files that it made
    are read as they are applied.

    Attributes:
        model_type: the architecture as other tools note it, such as "llama"; the model's name by default.

    >>> load(export(vector, "calm.gguf", Gguf(model_type="llama")).files[0]).only.site
    Site(3, 'post')
    """

    model_type: str = ""
    name = "gguf"
    title = "llama.cpp control vectors"
    container = "gguf"
    omits = "the model's weights (a name alone), the operation (they are added), tokens (all), layer 0's output"
    first: ClassVar[int] = 1

    @classmethod
    def fits(cls, content: Arrays) -> bool:
        """Files whose architecture is "controlvector"."""
        return content.about.get("general.architecture") == "controlvector"

    def read(self, content: Arrays, path: Path) -> VectorSet:
        """A vector for each direction."""
        layers = {
            int(found[1]): tensor for name, tensor in content.tensors.items() if (found := _DIRECTION.fullmatch(name))
        }
        model = str(content.about.get("controlvector.model_hint", ""))
        return vectors_at(layers, "post", Provenance(model, method=f"{self.name} file"))

    def write(self, todo: Sequence[Intervention], path: Path) -> FileContent:
        """A direction for each layer."""
        arrays, notes = directions(todo, self.title, self.model_type, self.first)
        return FileContent(arrays, notes)


@dataclass(frozen=True)
class Repeng(Gguf):
    """The same files, as `ControlVector.import_gguf` of repeng reads them; there layer 0 can be said too.

    >>> load(export(vector, "calm.gguf", Repeng(model_type="llama")).files[0], "repeng").only.site
    Site(3, 'post')
    """

    name = "repeng"
    title = "repeng control vectors"
    omits = "the model's weights (an architecture alone), the operation (they are added), tokens (all)"
    first = 0


def directions(todo: Sequence[Intervention], title: str, model_type: str, first: int) -> tuple[Arrays, list[str]]:
    """A direction for each layer, and what was converted.

    Raises:
        VectorError: see `added`.
    """
    said = added(todo, title, first=first)
    about = {
        "general.architecture": "controlvector",
        "controlvector.model_hint": model_type or model_of(todo) or "unknown",
        "controlvector.layer_count": len(said.layers),
        "tlsteer.provenance": provenance_text(todo),
    }
    return Arrays({f"direction.{layer}": one for layer, one in said.layers.items()}, about), said.notes
