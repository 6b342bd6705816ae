"""Optimisations: their losses, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from typing_extensions import Unpack

from tlsteer.errors import DataError
from tlsteer.fit import OneShotFit, UnsupervisedFit
from tlsteer.plot._fitting import legend_around
from tlsteer.plot._style import Look, draws, new_axes, series, tidy

_MOST_NAMES = 12


@draws
def plot_losses(
    fits: OneShotFit | Sequence[OneShotFit] | Mapping[str, OneShotFit], ax: Axes | None = None, **look: Unpack[Look]
) -> Axes:
    """The total loss before each step, one line per fit; a filled mark where the target was reached.

    Args:
        fits: one, several, or several by name.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    Raises:
        DataError: no fit.

    >>> axes = plot_losses({f"layer {one.vector.site.layer}": one for one in fits}, title="Three layers")
    """
    several = {"": fits} if isinstance(fits, OneShotFit) else fits
    named = several if isinstance(several, Mapping) else {f"fit {number}": one for number, one in enumerate(several)}
    if not named:
        raise DataError("give at least one fit")
    ax = ax or new_axes(5.6, 3.4)
    for number, (name, fit) in enumerate(named.items()):
        look_of = series(number)
        colour = look_of["color"]
        alpha = 1.0 if len(named) <= _MOST_NAMES else 0.5
        ax.plot(
            fit.losses, color=colour, linestyle=look_of["linestyle"], linewidth=1.2, alpha=alpha, label=name or None
        )
        fill = colour if fit.stopped == "target" else "none"
        ax.plot(
            [len(fit.losses) - 1], fit.losses[-1:], look_of["marker"], color=colour, markerfacecolor=fill, markersize=4
        )
    ax.set_xlabel("step (end: filled where the target was reached)")
    ax.set_ylabel("loss, summed over completions (nats)")
    if 1 < len(named) <= _MOST_NAMES:
        legend_around(ax)
    return tidy(ax)


@draws
def plot_changes(fit: UnsupervisedFit, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """The change of the later residual before each step, one line per vector in the order they were found.

    Args:
        fit: what is drawn.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> axes = plot_changes(ts.fit.fit_unsupervised(model, prompts[:1], 2, 5, norm=8.0, n_vectors=2, steps=4))
    """
    ax = ax or new_axes(5.6, 3.4)
    for number, changes in enumerate(fit.changes):
        ax.plot(changes, **series(number), markevery=[len(changes) - 1], linewidth=1.2, label=f"vector {number}")
    ax.set_xlabel("step")
    ax.set_ylabel("change of the later residual (its units)")
    legend_around(ax)
    return tidy(ax)
