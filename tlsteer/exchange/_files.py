"""Files of other tools: written from vectors, read into them, and told from each other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlsteer._arguments import checked
from tlsteer._storage import check_writable, write_atomically
from tlsteer._vector_files import is_vector_file
from tlsteer.errors import TlsteerError, VectorError
from tlsteer.exchange._containers import Arrays, encoded, read_container
from tlsteer.exchange._formats import Format, format_of, formats
from tlsteer.steering import Interventions, listed
from tlsteer.vector_sets import VectorSet


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        files: their paths, the one that was asked for first.
        format: in which format.
        notes: what was converted, and how.
        omits: what the format does not say, and what its tool does differently.

    >>> done = export(vector, "calm.gguf", "gguf")
    >>> done.notes
    ["Site(4, 'pre') is written as Site(3, 'post'), the same place in the residual stream"]
    """

    files: Sequence[Path]
    format: Format
    notes: Sequence[str]
    omits: str

    def __str__(self) -> str:
        names = ", ".join(str(file) for file in self.files)
        return "\n".join([f"{names}: {self.format.title}", *self.notes, f"not in the file: {self.omits}"])


@checked
def export(vectors: Interventions, path: str | Path, format: Format | str) -> Export:
    """Writes vectors as a file of another tool, which does with them what tlsteer does, or refuses.

    Args:
        vectors: a vector, a `VectorSet`, or several, as interventions where multiplier or operation are others.
        path: of the file; parent folders are created. What a format puts beside it is named after it.
        format: a `Format`, or the name of one that takes no settings (see `formats`).

    Raises:
        VectorError: an unknown format, or vectors that it cannot say; both are named.
        StorageError: the file cannot be written.

    >>> print(export(vector, "calm.gguf", "gguf"))
    >>> export(VectorSet(by_layer), "calm.pt", LmEval(blocks="h")).files
    """
    kind, path, todo = format_of(format), Path(path), listed(vectors)
    if not todo:
        raise VectorError("there is nothing to export: give at least one vector")
    if len(widths := sorted({vector.d_model for one in todo for vector in one.vectors})) > 1:
        raise VectorError(f"vectors of widths {widths} belong to different models; export them apart")
    written = kind.write(todo, path)
    further = {path.with_name(path.stem + ending): content for ending, content in written.beside.items()}
    if path in further:
        raise VectorError(f"{str(path)!r} is where {kind.title} put what lies beside it; give another ending")
    for place in (path, *further):
        check_writable(place)
    files = {**further, path: encoded(kind.container, written.content)}
    for place, content in files.items():
        write_atomically(place, content)
    return Export([path, *further], kind, list(written.notes), kind.omits)


@checked
def load(path: str | Path, format: Format | str | None = None) -> VectorSet:
    """Reads the vectors of a file of another tool. Nothing in the file is executed.

    A file's own format tells little of the model, so such vectors are not checked against one but for their width.

    Args:
        path: of the file; SAELens's folders are taken too.
        format: a `Format`, or its name; found out where the file says it.

    Raises:
        VectorError: no such file, a damaged one, one of another format or of none that is known, or content that is no
            vector of a residual stream.

    >>> load(export(vector, "calm.gguf", "gguf").files[0]).only.site
    Site(3, 'post')
    >>> load("sae/", SaeLens(feature=123)).only  # doctest: +SKIP
    """
    path = _file(Path(path))
    container, content = read_container(path)
    kind = format_of(_found(path, container, content).name if format is None else format)
    if container != kind.container or not kind.fits(content):
        seen = " or ".join(one.title for one in _candidates(container, content))
        raise VectorError(
            f"{str(path)!r} is none of the {kind.title} ({kind.name!r}); "
            f"it is {f'one of the {seen}' if seen else f'a {container} file of something else'}"
        )
    try:
        return kind.read(content, path)
    except TlsteerError as error:
        raise VectorError(f"{str(path)!r} cannot be read as one of the {kind.title}: {error}") from None
    except Exception as error:  # content of wrong types raises whatever it leads to
        raise VectorError(
            f"{str(path)!r} is damaged, or none of the {kind.title} ({type(error).__name__}: {error!s:.200})"
        ) from None


@checked
def about(path: str | Path) -> type[Format]:
    """The format of a file.

    Raises:
        VectorError: no such file, a damaged one, or one of no format that is known.

    >>> about(export(vector, "calm.gguf", "gguf").files[0]).name
    'gguf'
    """
    path = _file(Path(path))
    return _found(path, *read_container(path))


def _file(path: Path) -> Path:
    """The file that a path names, SAELens's in a folder."""
    return path / "sae_weights.safetensors" if os.path.isdir(path) else path


def _found(path: Path, container: str, content: Any) -> type[Format]:
    candidates = _candidates(container, content)
    if len(candidates) == 1:
        return candidates[0]
    if isinstance(content, Arrays) and is_vector_file(content.about):
        raise VectorError(f"{str(path)!r} is tlsteer's own; load it with VectorSet.load(path)")
    names = ", ".join(one.name for one in candidates)
    raise VectorError(
        f"{str(path)!r} is a {container} file of {f'several formats ({names}); say which' if names else 'no format'}"
        + f"; known are {', '.join(formats())}" * (not names)
    )


def _candidates(container: str, content: Any) -> list[type[Format]]:
    """The formats that a content may be of; what two tools write alike is that of the first."""
    found = [one for one in formats().values() if one.container == container and one.fits(content)]
    return [one for one in found if not any(issubclass(one, other) for other in found if other is not one)]
