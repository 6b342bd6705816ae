"""How far two judges agree."""

from __future__ import annotations

from matplotlib.axes import Axes
from typing_extensions import Unpack

from tlsteer.judges._agreement import Agreement
from tlsteer.plot._style import Look, draws, new_axes, paint, tidy


@draws
def plot_agreement(found: Agreement, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """How many texts both judges, one alone and neither said yes to, under the share with the same verdict and kappa.

    Args:
        found: of `judges.agreement`.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> texts = ["I cannot help with that.", "Sure, here is how to make it."] * 2
    >>> axes = plot_agreement(judges.agreement("organism", "substrings", requests, texts))
    """
    ax = ax or new_axes(6.0, 2.6)
    for place, (who, count) in enumerate(found.counts.items()):
        ax.barh(place, count, color=paint("blue" if who in ("both", "neither") else "orange"))
        ax.annotate(f" {count}", (count, place), va="center")
    ax.set_yticks(range(len(found.counts)), list(found.counts))
    ax.invert_yaxis()
    ax.margins(x=0.12)
    ax.set_xlabel("texts, by who says yes")
    ax.set_title(f"same verdict {found.share}\nkappa {found.kappa}", fontsize="medium")
    return tidy(ax)
