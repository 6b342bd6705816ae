"""What vectors say in the words of formats that know a number of a layer and an addition there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tlsteer._arguments import checked
from tlsteer._vector_files import Provenance
from tlsteer.errors import VectorError
from tlsteer.operations import Add
from tlsteer.sites import Site
from tlsteer.steering import Intervention
from tlsteer.vector_sets import VectorSet
from tlsteer.vectors import SteeringVector

Side = Literal["pre", "post"]
_WIDEST = 2**20


@dataclass(frozen=True)
class Said:
    """Vectors by the number of the layer that another tool adds them at, and what was converted to say it."""

    layers: dict[int, Float[Tensor, " d_model"]]
    notes: list[str]


@checked
def added(todo: Sequence[Intervention], title: str, side: Side = "post", first: int = 0) -> Said:
    """What interventions add at the outputs (or inputs) of blocks.

    What leaves a block enters the next one, so `pre L` is `post L-1`. Vectors at one place add up; multipliers become
    part of vectors.

    Args:
        todo: what is to be said.
        title: what the format is called, for errors.
        side: where a layer's number in the format means: "post", what leaves the block, or "pre", what enters it.
        first: the lowest number that the format has.

    Raises:
        VectorError: what such a format cannot say: another operation than adding, some tokens alone, mid, a place
            before the first, layers counted from the end, or a vector for each row.

    >>> added([Intervention(vector, 2.0)], "plain lists").notes
    """
    layers: dict[int, Tensor] = {}
    notes: list[str] = []
    for one in todo:
        check_all_tokens(one, title)
        if not isinstance(one.applied, Add):
            raise VectorError(f"{title} add vectors and do nothing else, but this one is to {one.applied}; {_ANOTHER}")
        site = site_of(one)
        layer = layer_of(site, title, side, first)
        if site.stage != side:
            notes.append(f"{site!r} is written as {Site(layer, side)!r}, the same place in the residual stream")
        if one.multipliers[0] != 1:
            notes.append(f"the multiplier {one.multipliers[0]:g} at {site!r} is part of the vector")
        vector = one.multipliers[0] * one.vectors[0].tensor
        if layer in layers:
            notes.append(f"the vectors at {Site(layer, side)!r} are added up")
            vector = layers[layer] + vector
        layers[layer] = vector
    return Said(dict(sorted(layers.items())), notes)


def check_all_tokens(one: Intervention, title: str) -> None:
    """Raises VectorError for an intervention that is not of one vector, at one strength, at all tokens."""
    if len(one.vectors) > 1 or len(one.multipliers) > 1:
        raise VectorError(
            f"{title} hold one vector for each layer, not one for each row of a batch; export them singly"
        )
    if not (isinstance(one.positions, str) and one.positions == "all"):
        raise VectorError(f"{title} are applied to all tokens, but this one to positions={one.positions!r}; {_ANOTHER}")


def site_of(one: Intervention) -> Site:
    """Where an intervention writes."""
    return Site.of(one.vectors[0].site if one.site is None else one.site)


def layer_of(site: Site, title: str, side: Side = "post", first: int = 0) -> int:
    """The number of the layer at whose output (or input) a site is.

    Raises:
        VectorError: there is none.
    """
    if site.layer < 0:
        raise VectorError(f"{site!r} counts from the end, and {title} hold no number of layers; use .at(site) first")
    if site.stage == "mid":
        raise VectorError(
            f"{title} know what {'leaves' if side == 'post' else 'enters'} a block, but {site!r} is in the middle "
            "of one; fit a vector at pre or post"
        )
    layer = site.layer + {"pre": 0, "post": 1}[site.stage] - {"pre": 0, "post": 1}[side]
    if layer < first:
        raise VectorError(
            f"{title} begin with {Site(first, side)!r}, but this vector is at {site!r}, before it; fit one further on"
        )
    return layer


def vectors_at(layers: Mapping[int, Any], side: Side, made: Provenance, axes: Iterable[int] = (1,)) -> VectorSet:
    """Vectors to add at the outputs (or inputs) of blocks.

    Args:
        layers: arrays of shape (d_model,) by the number of the layer.
        side: what the number means.
        made: where they came from.
        axes: the numbers of axes that arrays may have.

    Raises:
        VectorError: no layers, or arrays of another form.
    """
    for layer, array in layers.items():
        if array.ndim not in axes or not array.is_floating_point() or not 0 < array.numel() <= _WIDEST:
            shape = f"{tuple(array.shape)} of {str(array.dtype).removeprefix('torch.')}"
            raise VectorError(f"layer {layer} holds numbers of shape {shape} where a vector (d_model,) is needed")
    return VectorSet(
        SteeringVector(array.reshape(-1), Site(layer, side), Add(), made) for layer, array in layers.items()
    )


def provenance_text(todo: Sequence[Intervention]) -> str:
    """Where vectors came from, as a line of JSON for formats that have room for a text."""
    made = [asdict(vector.provenance) | {"site": repr(vector.site)} for one in todo for vector in one.vectors]
    return json.dumps(made, default=str)


def model_of(todo: Sequence[Intervention]) -> str:
    """The name of the model that vectors were made on, the empty text where they do not say."""
    return next((vector.provenance.model for one in todo for vector in one.vectors if vector.provenance.model), "")


def whole_number(text: Any) -> int:
    """A layer's number as another tool writes it.

    Raises:
        VectorError: it is none.
    """
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    if isinstance(text, str) and text.isdecimal() and text.isascii() and len(text) < 6:
        return int(text)
    raise VectorError(f"{text!r:.60} is no number of a layer")


def as_tensor(value: Any) -> Tensor:
    """A list of numbers as a tensor.

    Raises:
        VectorError: it is none.
    """
    try:
        return torch.tensor(value, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise VectorError(f"{value!r:.60} is no list of numbers") from None


_ANOTHER = "no file can say it there: run it under tlsteer, or fit a vector for what the format says"
