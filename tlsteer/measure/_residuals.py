"""The residuals of texts, averaged over chosen tokens, at many sites."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from tlsteer._residuals import mean_residuals
from tlsteer._surface import Surface
from tlsteer.measure._predictions import Engine
from tlsteer.measure._seam import Costs, Unfinished
from tlsteer.positions import Positions
from tlsteer.sites import Site


@dataclass(frozen=True, eq=False)
class Residuals:
    """A request: the mean residual of each text, one unit per site.

    Attributes:
        rows: ids of each text.
        sites: where to read.
        positions: which tokens of each text are averaged.
        batch_size: texts run at once.
        engine: "auto" computes once what several texts share, where the model has a fast path; "plain" never does.
        names: what errors call the texts; by default "text" and their number.

    >>> [mean] = measured(surface, Residuals(rows, [Site(4)], "all"))
    >>> mean.shape
    (4, 128)
    """

    rows: Sequence[Sequence[int]]
    sites: Sequence[Site]
    positions: Positions
    batch_size: int = 32
    engine: Engine = "auto"
    names: Sequence[str] | None = None

    what = "residuals"

    def __len__(self) -> int:
        return len(self.sites)

    def parts(self, unit: int) -> Any:
        """What the residuals at a site depend on."""
        return self.rows, self.sites[unit], self.positions

    def costs(self, n_layers: int) -> Costs:
        """One pass gives all sites."""
        return Costs([0.0] * len(self), shared=1.0)

    def run(
        self, surface: Surface, units: Sequence[int], unfinished: Unfinished
    ) -> Iterator[tuple[int, Float[np.ndarray, "text d_model"]]]:
        """The residuals at some sites, all in one pass."""
        sites = [self.sites[unit] for unit in units]
        means = mean_residuals(
            surface, self.rows, sites, self.positions, self.batch_size, engine=self.engine, names=self.names
        )
        yield from zip(units, means.transpose(0, 1).numpy(), strict=True)
