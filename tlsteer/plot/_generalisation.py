"""Whether steering carries over: to other prompts and to other models, one point per dataset (arXiv 2407.12404)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from typing_extensions import Unpack

from tlsteer.evaluate._shifts import by_pair, shift_correlation
from tlsteer.evaluate._two_models import matched_datasets
from tlsteer.plot._fitting import legend_around, place_names
from tlsteer.plot._style import Look, draws, new_axes, paint, series, tidy
from tlsteer.stats import Estimate, rank_correlation

_TITLES = {
    "steerability": "steerability (mean slope)",
    "spread": "spread of slopes over samples (standard deviation)",
    "anti_steerable": "anti-steerable share of samples",
}


@draws
def plot_shift_scatter(
    table: pd.DataFrame,
    correlations: Mapping[str, Estimate] | None = None,
    *,
    ax: Axes | None = None,
    **look: Unpack[Look],
) -> Axes:
    """Steerability out of distribution against that in distribution, one point per dataset and pair of settings.

    On the diagonal a vector steers as much as one that was fitted and tested in BASE.

    Args:
        table: of `shifts` on several datasets.
        correlations: written into the legend; of `shift_correlation` by default.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> curves = evaluate.shift_curves(model, choices, choices, attitudes, 3, multipliers=[-1, 0, 1])
    >>> axes = plot_shift_scatter(evaluate.shifts({"power": curves}, n_resamples=20))
    """
    ax = ax or new_axes(7.6, 4.4)
    correlations = shift_correlation(table) if correlations is None else correlations
    home = table.query("trained == 'BASE' and tested == 'BASE'").set_index("dataset")
    for number, (pair, there) in enumerate(by_pair(table).items()):
        here, look_of = home.reindex(there["dataset"]), series(number)
        label = f"{pair}\nrank correlation\n{correlations[pair]}" if pair in correlations else pair
        x, y = _values(here, "steerability"), _values(there, "steerability")
        _points(ax, x, y, look_of["color"], look_of["marker"], label)
    _diagonal(ax)
    ax.set_xlabel("in distribution: fitted and tested in BASE")
    ax.set_ylabel("out of distribution")
    ax.set_title("steerability (mean slope), one point per dataset, with 95% intervals", fontsize="medium")
    legend_around(ax)
    return tidy(ax)


@draws
def plot_relative_steerability(table: pd.DataFrame, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """Relative steerability against how far the two settings' unsteered answers are apart, for each pair of settings.

    At 1 a vector steers as much as one that was fitted and tested in BASE. Datasets without a ratio are left out, and
    counted in the title.

    Args:
        table: of `shifts`, on one dataset or several.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> curves = evaluate.shift_curves(model, choices, choices, attitudes, 3, multipliers=[-1, 0, 1])
    >>> axes = plot_relative_steerability(evaluate.shifts({"power": curves}, n_resamples=20))
    """
    ax = ax or new_axes(6.6, 4.4)
    ax.axhline(1, color=paint("grey"), linestyle="--", linewidth=1)
    ax.axhline(0, color=paint("ink"), linewidth=0.8)
    n_known = n_pairs = 0
    for number, (pair, rows) in enumerate(by_pair(table).items()):
        known, look_of = rows.dropna(subset=["relative"]), series(number)
        n_known, n_pairs = n_known + len(known), n_pairs + len(rows)
        ax.plot(
            known["baseline_distance"], known["relative"], look_of["marker"], color=look_of["color"], markersize=5,
            alpha=0.7, label=pair,
        )  # fmt: skip
    ax.set_xlim(left=0)
    ax.set_xlabel("mean absolute difference of unsteered propensities")
    ax.set_ylabel("relative steerability")
    left_out = f"; {n_pairs - n_known} without a ratio left out" if n_known < n_pairs else ""
    ax.set_title(f"{n_known} pairs of a dataset's settings{left_out}", fontsize="medium")
    legend_around(ax)
    return tidy(ax)


@draws
def plot_models(
    tables: Mapping[str, pd.DataFrame],
    measure: Literal["steerability", "spread", "anti_steerable"] = "steerability",
    *,
    correlation: Estimate | None = None,
    ax: Axes | None = None,
    **look: Unpack[Look],
) -> Axes:
    """A measure on one model against the same on another, one point per dataset, with both intervals.

    Args:
        tables: of two models by name, each with one row per dataset, as `AcrossDatasets.table` gives; or, with a
            column `pair`, one per dataset and pair of prompt settings, which get a colour and a correlation each.
        measure: which. The dashed line is that of equal values.
        correlation: written into the title; the rank correlation over datasets by default.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> datasets = {name: organism.trait_choices(name, 8) for name in ("power", "risk", "greed")}
    >>> found = evaluate.reliability_across(model, datasets, sites=[3], n_random=1, n_resamples=20)
    >>> axes = plot_models({"one model": found.table, "another": found.table})
    """
    ax = ax or new_axes(5.2, 4.8)
    names, (first, second) = list(tables), tables.values()
    pairs = list(dict.fromkeys(first["pair"])) if "pair" in first else []
    both = [[pd.DataFrame(one[one["pair"] == pair]) for one in (first, second)] for pair in pairs] or [[first, second]]
    told = ""
    for number, some in enumerate(both):
        one, other = matched_datasets(*some)
        x, y = _values(one, measure), _values(other, measure)
        found, look_of = rank_correlation(x[0], y[0]), series(number)
        if pairs:
            label = f"{pairs[number]}\nrank correlation\n{found}"
            _points(ax, x, y, look_of["color"], look_of["marker"], label)
            continue
        _points(ax, x, y, paint("blue"), "o", "")
        place_names(ax, list(zip(x[0], y[0], strict=True)), list(map(str, one.index)))
        told = f"\nrank correlation over datasets {correlation or found}"
    _diagonal(ax)
    ax.set_xlabel(names[0])
    ax.set_ylabel(names[1])
    ax.set_title(f"{_TITLES[measure]}, with 95% intervals{told}", fontsize="medium")
    if pairs:
        legend_around(ax)
    return tidy(ax)


def _values(table: pd.DataFrame, measure: str) -> Float[np.ndarray, "3 rows"]:
    """Value, low and high end; the value where there is no end."""
    value = table[measure].to_numpy(float)
    ends = [table[f"{measure}_{end}"].fillna(table[measure]).to_numpy(float) for end in ("low", "high")]
    return np.stack([value, *ends])


def _points(
    ax: Axes, x: Float[np.ndarray, "3 rows"], y: Float[np.ndarray, "3 rows"], colour: str, mark: str, label: str
) -> None:
    errors = [np.abs(one[1:] - one[0]) for one in (x, y)]
    # Hollow, so that points on one another are all seen.
    ax.errorbar(
        x[0], y[0], xerr=errors[0], yerr=errors[1], fmt=mark, color=colour, markerfacecolor="none", markersize=6,
        markeredgewidth=1.4, elinewidth=0.6, label=label or None,
    )  # fmt: skip


def _diagonal(ax: Axes) -> None:
    """The line of equal values and the axes' zeros, behind the points, within their limits."""
    limits = ax.axis()
    ax.axline((0, 0), slope=1, color=paint("grey"), linestyle="--", linewidth=1, zorder=0)
    ax.axhline(0, color=paint("ink"), linewidth=0.6, zorder=0)
    ax.axvline(0, color=paint("ink"), linewidth=0.6, zorder=0)
    ax.axis(limits)
