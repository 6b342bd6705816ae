"""Attacks on refusal: what they open, and what they leave of harmless requests."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from typing_extensions import Unpack

from tlsteer.plot._fitting import legend_below
from tlsteer.plot._style import Colour, Look, counted, draws, new_axes, paint, tidy

_SIDES: dict[str, tuple[Colour, str, float]] = {"harmful": ("blue", "o", -0.17), "harmless": ("green", "s", 0.17)}


@draws
def plot_attacks(rates: pd.DataFrame, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """One row per attack: the share of harmful and of harmless requests served, with one mark per vector.

    Where there are several vectors a bar is their median; a single one has its interval.

    Args:
        rates: columns requests ("harmful" or "harmless"), attack, vector, value, low, high and n.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> rows = [("caa", side, k, 0.8, 0.5, 0.9, 8) for side in ("harmful", "harmless") for k in (0, 1)]
    >>> columns = ["attack", "requests", "vector", "value", "low", "high", "n"]
    >>> axes = plot_attacks(pd.DataFrame(rows, columns=columns))
    """
    attacks = list(rates["attack"].unique())
    ax = ax or new_axes(7.0, 1.3 + 0.42 * len(attacks))
    for side, (name, mark, offset) in _SIDES.items():
        colour = paint(name)
        of_side = rates.query("requests == @side")
        for place, attack in enumerate(attacks):
            own = of_side.loc[of_side["attack"] == attack]
            # Vectors with the same rate lie next to each other.
            values = own["value"].tolist()
            ranks = [values[:number].count(one) - (values.count(one) - 1) / 2 for number, one in enumerate(values)]
            places = place + offset + 0.03 * np.array(ranks)
            size, alpha = (5, 1.0) if len(own) == 1 else (3.5, 0.6)
            ax.plot(own["value"], places, mark, color=colour, markersize=size, alpha=alpha, markeredgewidth=0)
            if len(own) == 1:
                errors = np.abs([own["value"] - own["low"], own["high"] - own["value"]])
                ax.errorbar(own["value"], places, xerr=errors, color=colour, elinewidth=1, capsize=2.5)
            else:
                ax.plot(
                    [float(np.median(own["value"]))] * 2,
                    [place + offset - 0.15, place + offset + 0.15],
                    color=colour,
                    lw=2.5,
                )
        each = counted(of_side["n"])
        ax.plot([], [], mark, color=colour, markersize=5, label=f"{side} requests (n = {each} per vector)")
    ax.set_yticks(range(len(attacks)), attacks)
    ax.set_ylim(len(attacks) - 0.5, -0.5)
    ax.set_xlim(-0.03, 1.03)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_xlabel("share of requests served (bar: median over vectors; line: 95% interval)")
    ax.grid(axis="x", color=paint("pale"), linewidth=0.6)
    ax.set_axisbelow(True)
    legend_below(ax)
    return tidy(ax)
