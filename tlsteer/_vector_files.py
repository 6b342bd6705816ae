"""The file of a steering vector: safetensors with its metadata inside, read without torch, never executed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tlsteer._storage import write_atomically
from tlsteer._version import __version__
from tlsteer.errors import SiteError, VectorError
from tlsteer.sites import Site

# All metadata stand under one name: the library writes several names in an order of chance.
_METADATA, _FORMAT, _SET = "tlsteer", "tlsteer-vector-2", "tlsteer-vectors-1"


@dataclass(frozen=True)
class Provenance:
    """What a vector was made from. Every field may be empty; what is filled is checked on use.

    Attributes:
        model: the model's name.
        fingerprint: of the model's weights (see `tlsteer._identity`).
        weight_processing: "raw", "folded", "centered" or "folded+centered".
        method: how it was made, e.g. "oneshot" or "diff_means".
        data_hash: hash of the examples it was made from.
        version: the tlsteer version that made it.
        settings: the method's settings, as JSON values.
    """

    model: str = ""
    fingerprint: str = ""
    weight_processing: str = ""
    method: str = ""
    data_hash: str = ""
    version: str = __version__
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class VectorFile:
    """What the file of a vector holds.

    Attributes:
        tensors: "tensor", and those of the operation by their names.
        site: where the vector is written.
        operation: the name of what applying it does.
        parts: the operation's numbers by their names.
        provenance: what it was made from.
    """

    tensors: Mapping[str, np.ndarray]
    site: Site
    operation: str
    parts: Mapping[str, Any]
    provenance: Provenance


def write_vector_file(path: str | Path, content: VectorFile) -> Path:
    """Writes the file, whole or not at all.

    Raises:
        VectorError: settings that are not JSON values.
        TlsteerError: the file cannot be written.
    """
    return write_atomically(path, vector_bytes(content))


def vector_bytes(content: VectorFile) -> bytes:
    """The bytes of a file of one vector; raises as `write_vector_file`, but for files."""
    return _encoded(_FORMAT, _about(content), content.tensors)


def write_vector_set_file(path: str | Path, contents: Sequence[VectorFile]) -> Path:
    """Writes several vectors as one file, whole or not at all; raises as `write_vector_file`."""
    return write_atomically(path, vector_set_bytes(contents))


def vector_set_bytes(contents: Sequence[VectorFile]) -> bytes:
    """The bytes of a file of several vectors; raises as `write_vector_file`, but for files."""
    return _encoded(_SET, *packed(contents))


def write_fit_file(
    path: str | Path, contents: Sequence[VectorFile], fit: Any, tensors: Mapping[str, np.ndarray]
) -> Path:
    """Writes the vectors of a fit, as `write_vector_set_file` does, with what else it found beside them.

    Args:
        path: of the file.
        contents: its vectors.
        fit: what else it found, as JSON values.
        tensors: those of it, by names that no vector's tensor has.
    """
    about, own = packed(contents)
    return write_atomically(path, _encoded(_SET, about, {**own, **tensors}, fit))


def read_fit_file(path: str | Path) -> tuple[list[VectorFile], Any, dict[str, np.ndarray]] | None:
    """What `write_fit_file` wrote; None of a file of vectors alone. Raises as `read_vector_set_file`."""
    metadata, tensors = _read(path)
    return (_vectors(path, metadata, tensors), json.loads(metadata["fit"]), tensors) if "fit" in metadata else None


def packed(contents: Sequence[VectorFile], start: str = "") -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Several vectors as JSON values and tensors, whose names begin with `start`."""
    tensors = {
        f"{start}{number}.{name}": part for number, one in enumerate(contents) for name, part in one.tensors.items()
    }
    return [_about(one) for one in contents], tensors


def unpacked(about: Sequence[dict[str, Any]], tensors: Mapping[str, np.ndarray], start: str = "") -> list[VectorFile]:
    """What was `packed`."""
    return [_content(one, _named(f"{start}{number}.", tensors)) for number, one in enumerate(about)]


def read_vector_file(path: str | Path) -> VectorFile:
    """Reads what `write_vector_file` wrote. Nothing in the file is executed.

    Raises:
        VectorError: no such file, a damaged one, one that tlsteer did not write, or one with several vectors.
    """
    found = read_vector_set_file(path)
    if len(found) > 1:
        sites = ", ".join(repr(one.site) for one in found)
        raise VectorError(f"{str(path)!r} holds {len(found)} vectors ({sites}); load it with VectorSet.load(path)")
    return found[0]


def read_vector_set_file(path: str | Path) -> list[VectorFile]:
    """Reads what `write_vector_set_file` or `write_vector_file` wrote. Nothing in the file is executed.

    Raises:
        VectorError: no such file, a damaged one, or one that tlsteer did not write.
    """
    metadata, tensors = _read(path)
    return _vectors(path, metadata, tensors)


def _read(path: str | Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """The metadata and the tensors of a whole file of tlsteer's."""
    try:
        os.fsencode(path)  # of a name that no file can have, safetensors before 0.8 would panic, past all `except`
        with safe_open(str(path), framework="np") as file:
            metadata = _metadata(file.metadata())
            names = sorted(file.keys())
            if metadata.get("format") not in (_FORMAT, _SET):
                raise VectorError(
                    f"{str(path)!r} is a safetensors file with {names}, but not a saved steering vector; "
                    "make one with SteeringVector(tensor, site) and .save(path)"
                )
            tensors = {name: file.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise VectorError(f"there is no file {str(path)!r}") from None
    except (SafetensorError, OSError, ValueError) as error:
        what = "is a directory" if Path(path).is_dir() else f"is not a whole safetensors file ({error})"
        raise VectorError(f"{str(path)!r} {what}; a saved steering vector is needed") from None
    # Damage to a tensor's numbers would show nowhere else.
    if metadata.get("sha256") != _digest(metadata.get("about", "") + metadata.get("fit", ""), tensors):
        raise VectorError(f"the content of {str(path)!r} is damaged (it differs from what was saved); save it again")
    return metadata, tensors


def _vectors(path: str | Path, metadata: Mapping[str, str], tensors: dict[str, np.ndarray]) -> list[VectorFile]:
    try:
        about = json.loads(metadata["about"])
        if metadata["format"] == _FORMAT:
            return [_content(about, tensors)]
        if not about:
            raise ValueError("no vector")
        return unpacked(about, tensors)
    except (KeyError, TypeError, ValueError, RecursionError, SiteError) as error:
        raise VectorError(f"the content of {str(path)!r} is damaged ({type(error).__name__}: {error})") from None


def _about(content: VectorFile) -> dict[str, Any]:
    return {
        "layer": content.site.layer,
        "stage": content.site.stage,
        "operation": content.operation,
        "parts": dict(content.parts),
        "provenance": asdict(content.provenance),
    }


def _content(about: dict[str, Any], tensors: dict[str, np.ndarray]) -> VectorFile:
    return VectorFile(
        tensors={"tensor": tensors.pop("tensor"), **tensors},
        site=Site(about["layer"], about["stage"]),
        operation=about["operation"],
        parts=dict(about["parts"]),
        provenance=Provenance(**about["provenance"]),
    )


def _named(start: str, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(start): part for name, part in tensors.items() if name.startswith(start)}


def _encoded(kind: str, about: Any, tensors: Mapping[str, np.ndarray], fit: Any = None) -> bytes:
    try:
        text, more = json.dumps(about), "" if fit is None else json.dumps(fit)
    except TypeError as error:
        raise VectorError(f"the provenance cannot be saved, its settings are not JSON values: {error}") from None
    metadata = {"format": kind, "about": text, "sha256": _digest(text + more, tensors)} | (
        {"fit": more} if more else {}
    )
    return save(dict(tensors), {_METADATA: json.dumps(metadata)})


def is_vector_file(metadata: Mapping[str, Any] | None) -> bool:
    """Whether a safetensors file with these metadata is one that tlsteer wrote."""
    return _metadata(metadata).get("format") in (_FORMAT, _SET)


def _metadata(found: Mapping[str, Any] | None) -> dict[str, str]:
    """What is written about the vector; nothing where the file is of something else."""
    try:
        metadata = json.loads((found or {}).get(_METADATA, ""))
    except (ValueError, RecursionError):
        return {}
    whole = isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values())
    return metadata if whole else {}


def _digest(about: str, tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(about.encode())
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
