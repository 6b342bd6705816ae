"""How often things happen under conditions, with their 95% intervals: as bars, and over multipliers.

Both functions take a table with the columns measure, condition, multiplier, value, low, high and n.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import cycle
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from typing_extensions import Unpack

from tlsteer.errors import DataError
from tlsteer.plot._fitting import fit_cells, legend_around
from tlsteer.plot._style import Colour, Look, chance, draws, new_axes, paint, series, tidy

# Conditions and measures have different colours, so that the two pictures may stand side by side.
_OF_CONDITIONS: tuple[Colour, ...] = ("blue", "orange", "sky")
_OF_MEASURES: tuple[Colour, ...] = ("green", "pink", "red", "ink")
_MOST_BANDS = 3


@draws
def plot_rates(rates: pd.DataFrame, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """Bars: one group per measure, with one bar per condition in it.

    Args:
        rates: one row for each measure and condition; multiplier 0 is drawn in grey.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    Raises:
        DataError: several multipliers for a condition.

    >>> axes = plot_rates(attack_success(model, {"caa": vector}, requests, "organism", max_new_tokens=8).rates)
    """
    if (several := rates.duplicated(["measure", "condition"])).any():
        raise DataError(
            f"there are several multipliers for {rates.loc[several, 'condition'].iloc[0]!r}; choose one, or draw all "
            "with plot_rates_by_multiplier"
        )
    ax = ax or new_axes()
    measures, conditions = list(rates["measure"].unique()), list(rates["condition"].unique())
    colours: Iterator[Colour] = cycle(_OF_CONDITIONS)
    width, room = 0.84 / len(conditions), ax.bbox.width / ax.figure.dpi / len(measures)
    numbers = []
    for number, condition in enumerate(conditions):
        rows = rates[rates["condition"] == condition].set_index("measure").loc[measures]
        places = np.arange(len(measures)) + (number - (len(conditions) - 1) / 2) * width
        if (rows["multiplier"] == 0).all():
            look_of: dict[str, Any] = {"color": paint("grey")}
        elif str(condition).startswith("random"):
            look_of = {"facecolor": "none", "edgecolor": paint("grey"), "hatch": "////"}
        else:
            look_of = {"color": paint(next(colours))}
        ax.bar(places, rows["value"], 0.9 * width, yerr=_errors(rows), label=condition, **look_of,
               error_kw={"elinewidth": 1, "capsize": 2.5, "ecolor": paint("ink")})  # fmt: skip
        for place, value, top in zip(places, rows["value"], rows["high"], strict=True):
            numbers.append(
                ax.annotate(
                    f"{value:.0%}", (place, top), (0, 2), textcoords="offset points", ha="center", fontsize="small"
                )
            )
    fit_cells(ax, numbers, len(measures) * (len(conditions) + 1))
    ax.set_xticks(range(len(measures)), [fill(measure, max(8, int(room * 13))) for measure in measures])
    ax.tick_params(axis="x", length=0)
    ax.set_ylim(0, 1.12)
    return _label(ax, rates)


@draws
def plot_rates_by_multiplier(rates: pd.DataFrame, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """Curves over the multiplier: one colour per measure, one line style per condition.

    Args:
        rates: one row for each measure, condition and multiplier; multiplier 0 belongs to every condition.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> found = attack_success(model, {"caa": vector}, requests, "organism", [0.5, 1], max_new_tokens=8)
    >>> axes = plot_rates_by_multiplier(found.rates)
    """
    ax = ax or new_axes()
    conditions = rates.query("multiplier != 0")["condition"].unique()
    measures, number_of = list(rates["measure"].unique()), {name: place for place, name in enumerate(conditions)}
    banded = len(measures) * len(conditions) <= _MOST_BANDS
    for number, measure in enumerate(measures):
        colour = paint(_OF_MEASURES[number % len(_OF_MEASURES)])
        ax.plot([], [], color=colour, linewidth=4, label=measure)
        for condition in conditions:
            belongs = (rates["condition"] == condition) | (rates["multiplier"] == 0)
            rows = rates.loc[belongs & (rates["measure"] == measure)].sort_values("multiplier")
            x = rows["multiplier"]
            ax.plot(x, rows["value"], **_look(condition, number_of, colour))
            if banded:
                ax.fill_between(x, rows["low"], rows["high"], color=colour, alpha=0.12, linewidth=0)
            else:
                ax.vlines(x, rows["low"], rows["high"], color=colour, linewidth=0.7, alpha=0.7)
    for condition in conditions:
        ax.plot([], [], label=condition, **_look(condition, number_of, paint("grey")))
    ax.set_xlabel("multiplier of the vector (0: unsteered)")
    ax.set_ylim(-0.03, 1.03)
    return _label(ax, rates)


def _look(condition: str, number_of: Mapping[str, int], colour: str) -> dict[str, Any]:
    """Dashes with a cross for random vectors, else a mark and a style of its own; the measure gives the colour."""
    if str(condition).startswith("random"):
        return chance(color=colour)
    return series(0, mark=number_of[condition], color=colour)


def _errors(rows: pd.DataFrame) -> np.ndarray:
    return np.abs(np.stack([rows["value"] - rows["low"], rows["high"] - rows["value"]]))


def _label(ax: Axes, rates: pd.DataFrame) -> Axes:
    counts = sorted(set(rates["n"]))
    ax.set_ylabel(f"share of answers (n = {' or '.join(map(str, counts))}, 95% interval)")
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    legend_around(ax)
    return tidy(ax)
