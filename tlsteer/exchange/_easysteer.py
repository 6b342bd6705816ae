"""Requests of EasySteer: JSON that names a GGUF file of directions beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tlsteer._storage import inside
from tlsteer.errors import VectorError
from tlsteer.exchange._containers import Arrays, encoded, read_container
from tlsteer.exchange._formats import FileContent, Format
from tlsteer.exchange._gguf import Gguf, directions
from tlsteer.steering import Intervention
from tlsteer.vector_sets import VectorSet


@dataclass(frozen=True)
class EasySteer(Format):
    """`{"vectors": [{"source", "algorithm", "scale", "layers", "normalize", "apply"}], "conflict"}` and a GGUF file.

    The request goes into the field `steering` of a call; the GGUF file, beside it under the same name, to the server.

    Attributes:
        source: the path of the GGUF file on the server; its name alone by default.
        model_type: see `Gguf`.

    >>> print(export(vector, "calm.json", EasySteer()).files)
    """

    source: str = ""
    model_type: str = ""
    name = "easysteer"
    title = "requests of EasySteer"
    container = "json"
    omits = "the model's weights (a name alone), the operation (they are added), layer 0's output"

    @classmethod
    def fits(cls, content: Any) -> bool:
        """Objects with a list of vectors, or with a field `steering` that has one."""
        return "vectors" in _spec(content)

    def read(self, content: Any, path: Path) -> VectorSet:
        """The vectors of its GGUF file, which has to lie beside the request, at the request's scale and layers."""
        vectors = _spec(content)["vectors"]
        if not isinstance(vectors, list) or len(vectors) != 1:
            raise VectorError(
                "a request of one vector (of as many layers as may be) is read, and this one has more or none"
            )
        (one,) = vectors
        if one.get("algorithm", "direct") != "direct" or one.get("normalize"):
            raise VectorError("only the algorithm 'direct' without normalize adds a vector as it is")
        if set((one.get("apply") or {}).values()) - {"all"}:
            raise VectorError(f"it is applied to {one['apply']}, and which tokens that are a vector does not say")
        file = inside(path.parent, PurePosixPath(one["source"]).name)
        kind, arrays = read_container(file)
        if kind != "gguf" or not Gguf.fits(arrays):
            raise VectorError(f"{str(file)!r} is no control vector")
        found = Gguf().read(arrays, file)
        layers = one.get("layers")
        kept = [v for v in found.values() if layers is None or v.site.layer in layers]
        return float(one.get("scale", 1.0)) * VectorSet(kept)

    def write(self, todo: Sequence[Intervention], path: Path) -> FileContent:
        """A request, and its GGUF file."""
        arrays, notes = directions(todo, self.title, self.model_type, first=Gguf.first)
        arrays = Arrays(arrays.tensors, {**arrays.about, "controlvector.method": "direct"})
        one = {
            "source": self.source or path.with_suffix(".gguf").name,
            "algorithm": "direct",
            "scale": 1.0,
            "layers": [int(name.rpartition(".")[2]) for name in arrays.tensors],
            "normalize": False,
            "apply": {"prompt": "all", "generation": "all"},
        }
        return FileContent({"vectors": [one], "conflict": "priority"}, notes, {".gguf": encoded("gguf", arrays)})


def _spec(content: Any) -> dict[str, Any]:
    spec = content.get("steering", content) if isinstance(content, dict) else {}
    return spec if isinstance(spec, dict) else {}
