"""What an optimisation gives: vectors with their losses, and why it stopped."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from tlsteer._surface import Surface
from tlsteer.data import data_hash
from tlsteer.fit._descent import Stopped
from tlsteer.fit._fit import Fit
from tlsteer.fit._problem import parts
from tlsteer.fit._provenance import made_on
from tlsteer.fit._recipe import OneShot
from tlsteer.vector_sets import VectorSet
from tlsteer.vectors import SteeringVector

# A loss is still falling where the last tenth of the steps made more than this share of all progress.
_LATE = 0.05


@dataclass(frozen=True)
class OneShotFit(Fit):
    """What a one-shot fit gives; it is taken wherever its vector is.

    Attributes:
        vectors: the steering vector at each of its sites, as a set.
        losses: total loss in nats before each step.
        completion_losses: the loss of each completion at the last evaluation, in the order promote, suppress
            of each example.
        stopped: "target" (target loss reached), "converged" (loss no longer changes) or "max_steps".
        max_norm: the cap that was in force, None without one.
        engine: "fast", or "plain" where the model cannot be cut or the plain path was asked for.
        history: the vector before each step, shape (steps, d_model), where the recipe asked for it.

    >>> found = fit_oneshot(model, example, 4, steps=4)
    >>> len(found.losses), found.stopped, found.vector.site
    (4, 'max_steps', Site(4, 'pre'))
    """

    vectors: VectorSet
    losses: list[float]
    completion_losses: list[float]
    stopped: Stopped
    max_norm: float | None
    engine: str
    history: Float[Tensor, "steps d_model"] | None = field(default=None, kw_only=True)

    _picture = "plot_losses"
    _next = ".vector is what it found; .completion_losses says which completion is hard."

    @property
    def headline(self) -> str:
        """How far the loss came, and why it stopped."""
        return (
            f"{self.vector!r}: loss {self.losses[0]:.3g} -> {self.losses[-1]:.3g} nats in {len(self.losses)} steps, "
            f"stopped: {self.stopped}"
        )

    def to_dataframe(self) -> pd.DataFrame:
        """The total loss in nats before each step: columns step and loss."""
        return pd.DataFrame({"step": range(len(self.losses)), "loss": self.losses})

    @property
    def vector(self) -> SteeringVector:
        """The steering vector, at its first site where it has several."""
        return self.listed[0]

    @property
    def converged(self) -> bool:
        """Whether the fit ended before it ran out of steps."""
        return self.stopped != "max_steps"

    @property
    def trouble(self) -> str:
        """Why it should have gone on, or gone otherwise; empty where nothing is wrong with how it ended."""
        if self.stopped != "max_steps" or len(self.losses) < 2:
            return ""
        first, last, n = self.losses[0], self.losses[-1], len(self.losses)
        if self.vector.provenance.settings.get("target_loss") is not None:
            return f"a loss of {last:.3g} nats, and not the target, after {n} steps; give more steps, or another target"
        if not last < first:
            return f"a loss that rose from {first:.3g} to {last:.3g} nats; lower learning_rate, or loosen the norm cap"
        late = self.losses[-1 - max(1, n // 10)] - last
        if late > _LATE * (first - last):
            return f"a loss of {last:.3g} nats that was still falling after {n} steps; give more steps"
        return ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.headline})"


def warn_of_trouble(fits: Sequence[OneShotFit], stacklevel: int) -> None:
    """One warning for all fits that did not converge; `stacklevel` is that of the caller."""
    if not (troubled := [(number, fit) for number, fit in enumerate(fits) if fit.trouble]):
        return
    number, first = troubled[0]
    which = "the fit" if len(fits) == 1 else f"{len(troubled)} of {len(fits)} fits did not converge; fit {number}"
    warnings.warn(f"{which} ended with {first.trouble}", stacklevel=stacklevel + 1)


def finished_fit(
    surface: Surface, recipe: OneShot, end: Mapping[str, Any], method: str = "oneshot", **settings: Any
) -> OneShotFit:
    """The result of a descent, from its `end`; `settings` join those of the recipe in the provenance."""
    found = dict(end)
    history = found.pop("history")
    sites = recipe.sites(surface.n_layers)
    about = {"sites": [site.hook_name for site in sites], "stopped": found["stopped"]}
    made = made_on(surface, method, data_hash(recipe.all_examples), recipe.settings | about | settings)
    vector, left, right = parts(torch.from_numpy(found.pop("parameters")))
    vectors = VectorSet(SteeringVector(vector, site, recipe.applied(left, right), made) for site in sites)
    return OneShotFit(vectors, **found, history=None if history is None else torch.from_numpy(history))
