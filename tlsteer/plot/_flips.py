"""Flips of answers: what a vector and its negative turn and what they leave, over the strength of the vector."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from mpl_toolkits.axes_grid1 import make_axes_locatable
from typing_extensions import Unpack

from tlsteer.plot._style import Look, chance, counted, draws, new_axes, paint, series, tidy

_TITLES = {
    "+v flips benign": "+v flips\nbenign answers",
    "-v flips harmful": "-v flips\nharmful answers",
    "-v changes benign": "-v leaves\nbenign answers",
    "+v changes harmful": "+v leaves\nharmful answers",
}


@draws
def plot_flips(
    rates: pd.DataFrame,
    ax: Axes | None = None,
    *,
    over: str = "multiplier",
    label: str = "multiplier of the vector",
    **look: Unpack[Look],
) -> Axes:
    """Success over the strength, one panel per measure: single vectors thin, all together with their interval.

    Changes that should not happen are shown as their absence: higher is better in every panel.

    Args:
        rates: of `flip_rates`, such as `Flips.rates`.
        ax: where to draw; further panels get axes of their own next to it. New axes by default.
        over: the column that says how strong vectors are.
        label: what it is in words.
        look: figsize, title and palette; see `Look`.

    >>> axes = plot_flips(evaluate.flips(model, vector, choices, [0.5, 1]).rates)
    """
    ax = ax or new_axes(9.0, 3.2)
    divider = make_axes_locatable(ax)
    panels = [ax, *(divider.append_axes("right", size="100%", pad=0.15, sharey=ax) for _ in range(len(_TITLES) - 1))]
    for panel, (measure, title) in zip(panels, _TITLES.items(), strict=True):
        own = rates.query("measure == @measure")
        if "changes" in measure:
            own = own.assign(value=1 - own["value"], low=1 - own["high"], high=1 - own["low"])
        for kind, look_of, name in (("random", chance(), "random vectors"), ("steered", series(0), "fitted vectors")):
            together = own.query(f"kind == {kind!r} and vector == 'all'").sort_values(over)
            panel.plot(together[over], together["value"], label=name, **look_of)
            panel.fill_between(
                together[over], together["low"], together["high"], color=look_of["color"], alpha=0.2, lw=0
            )
        single = own.query("kind == 'steered' and vector != 'all'")
        for _, one in single.groupby("vector"):
            one = one.sort_values(over)
            panel.plot(one[over], one["value"], color=paint("blue"), linewidth=0.7, alpha=0.6, zorder=1)
        panel.set_title(f"{title}\n(n = {counted(single['n'])})", fontsize="small")
        panel.tick_params(axis="y", labelleft=panel is ax)
        tidy(panel)
    ax.set_ylim(-0.03, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_ylabel("share of answers\n(95% interval)")
    panels[1].set_xlabel(label, loc="right")
    panels[-1].legend(frameon=False, fontsize="small", loc="lower right")
    return ax
