"""Plain arrays by layer, in npz or safetensors: what most scripts write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from tlsteer._vector_files import Provenance
from tlsteer.errors import SiteError, VectorError
from tlsteer.exchange._containers import Arrays
from tlsteer.exchange._formats import FileContent, Format
from tlsteer.exchange._said import Side, added, provenance_text, site_of, vectors_at, whole_number
from tlsteer.operations import Add
from tlsteer.sites import Site
from tlsteer.steering import Intervention
from tlsteer.vector_sets import VectorSet
from tlsteer.vectors import SteeringVector


@dataclass(frozen=True)
class Npz(Format):
    """`{"4": array}` in a NumPy file, by the number of the layer.

    Names of hooks, such as "blocks.4.hook_resid_post", are read too and need no stage.

    Attributes:
        stage: what the number of a layer means: what enters the block ("pre") or what leaves it ("post").

    >>> load(export(vector, "calm.npz", Npz(stage="post")).files[0], Npz(stage="post")).only.site
    Site(3, 'post')
    """

    stage: Side | None = None
    name = "npz"
    title = "arrays by layer"
    container = "npz"
    omits = "the model, what a layer's number means (give stage=), the operation, tokens, where the vectors came from"

    @classmethod
    def fits(cls, content: Mapping[str, Tensor]) -> bool:
        """Files whose names are numbers or names of hooks."""
        return bool(content) and all(name.isdecimal() or _site(name) is not None for name in content)

    def read(self, content: Mapping[str, Tensor], path: Path) -> VectorSet:
        """A vector for each array."""
        return _vectors(content, self.stage, Provenance(method=f"{self.name} file"))

    def write(self, todo: Sequence[Intervention], path: Path) -> FileContent:
        """An array for each layer, all at one stage."""
        layers, stage, notes = _layers(todo, self.stage, self.title)
        return FileContent(
            layers, [*notes, f"a layer's number means {stage}; the file does not say so: Npz(stage={stage!r})"]
        )


@dataclass(frozen=True)
class Safetensors(Format):
    """`{"4": tensor}` in a safetensors file, by the number of the layer; the metadata say what the number means.

    Attributes:
        stage: as of `Npz`; needed for files of others that do not say it.

    >>> load(export(vector, "calm.safetensors", Safetensors(stage="post")).files[0], Safetensors()).only.site
    Site(3, 'post')
    """

    stage: Side | None = None
    name = "safetensors"
    title = "tensors by layer"
    container = "safetensors"
    omits = "the model's weights, the operation (they are added), tokens"

    @classmethod
    def fits(cls, content: Arrays) -> bool:
        """Files whose names are numbers or names of hooks."""
        return Npz.fits(content.tensors)

    def read(self, content: Arrays, path: Path) -> VectorSet:
        """A vector for each tensor."""
        said: Any = content.about.get("stage")
        return _vectors(content.tensors, self.stage or said, Provenance(method=f"{self.name} file"))

    def write(self, todo: Sequence[Intervention], path: Path) -> FileContent:
        """A tensor for each layer, all at one stage."""
        layers, stage, notes = _layers(todo, self.stage, self.title)
        return FileContent(Arrays(layers, {"stage": stage, "provenance": provenance_text(todo)}), notes)


def _layers(todo: Sequence[Intervention], stage: Side | None, title: str) -> tuple[dict[str, Tensor], Side, list[str]]:
    """Tensors by layer, at the stage that is asked for, else at the one that all are at, else at post."""
    if stage is None:
        stages = {site_of(one).stage for one in todo}
        stage = "pre" if stages == {"pre"} else "post"
    said = added(todo, title, side=stage)
    return {str(layer): vector for layer, vector in said.layers.items()}, stage, said.notes


def _vectors(content: Mapping[str, Tensor], stage: Side | None, made: Provenance) -> VectorSet:
    named = {site: one for name, one in content.items() if (site := _site(name)) is not None}
    numbered = {whole_number(name): one for name, one in content.items() if _site(name) is None}
    found = [SteeringVector(one, site, Add(), made) for site, one in named.items()]
    if numbered:
        if stage not in ("pre", "post"):
            raise VectorError(
                "whether its layers mean what enters a block or what leaves it, the file does not say; "
                "give stage='pre' or stage='post'"
            )
        found += vectors_at(numbered, stage, made).values()
    return VectorSet(found)


def _site(name: str) -> Site | None:
    try:
        return Site.of(name)
    except SiteError:
        return None
