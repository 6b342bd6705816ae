"""Where in the residual stream a vector is read or written: a layer and a stage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering
from numbers import Integral
from typing import Literal, get_args

from tlsteer.errors import SiteError

Stage = Literal["pre", "mid", "post"]
STAGES: tuple[str, ...] = get_args(Stage)
_HOOK_NAME = re.compile(r"blocks\.(\d+)\.hook_resid_(pre|mid|post)")


@total_ordering
@dataclass(frozen=True)
class Site:
    """A position in the residual stream: before, in the middle of, or after a block.

    `pre` is the residual entering the block, `mid` the residual after attention has been added,
    `post` the residual leaving the block. Layers count from 0; negative layers count from the end.
    Sites sort in the order of the stream.

    >>> Site(4)
    Site(4, 'pre')
    >>> Site(4, "post").hook_name
    'blocks.4.hook_resid_post'
    >>> Site.of("blocks.4.hook_resid_mid")
    Site(4, 'mid')
    """

    layer: int
    stage: Stage = "pre"

    def __post_init__(self) -> None:
        if isinstance(self.layer, bool) or not isinstance(self.layer, Integral):
            raise SiteError(f"a layer is a whole number, got {self.layer!r}")
        object.__setattr__(self, "layer", int(self.layer))  # numpy's integers too
        if not isinstance(self.stage, str) or self.stage not in STAGES:
            raise SiteError(f"stage {self.stage!r} is unknown; use one of {', '.join(STAGES)}")

    def __lt__(self, other: Site) -> bool:
        return (self.layer, STAGES.index(self.stage)) < (other.layer, STAGES.index(other.stage))

    def __repr__(self) -> str:
        return f"Site({self.layer}, {self.stage!r})"

    @property
    def hook_name(self) -> str:
        """TransformerLens's name of this site, e.g. "blocks.4.hook_resid_pre"."""
        if self.layer < 0:
            raise SiteError(f"layer {self.layer} counts from the end; call .resolve(n_layers) first")
        return f"blocks.{self.layer}.hook_resid_{self.stage}"

    @classmethod
    def of(cls, place: Place) -> Site:
        """A Site from a Site, a layer (its pre) or a TransformerLens hook name."""
        if isinstance(place, Site):
            return place
        if isinstance(place, Integral):
            return cls(place if isinstance(place, bool) else int(place))
        found = _HOOK_NAME.fullmatch(place) if isinstance(place, str) else None
        if found is None:
            raise SiteError(
                f"{place!r} names no residual position; use a Site, a layer, "
                'or a hook name such as "blocks.4.hook_resid_pre"'
            )
        layer, stage = found.groups()
        return cls(int(layer), stage)  # pyright: ignore[reportArgumentType] # the pattern admits only stages

    def resolve(self, n_layers: int) -> Site:
        """The same site with a non-negative layer, checked against a model of `n_layers` layers."""
        if not -n_layers <= self.layer < n_layers:
            raise SiteError(
                f"layer {self.layer} is outside this model, which has layers 0-{n_layers - 1} (or -{n_layers} to -1)"
            )
        return Site(self.layer % n_layers, self.stage)


Place = Site | int | str
"""What is taken wherever a Site is: a Site, a layer (its pre) or a TransformerLens hook name."""
