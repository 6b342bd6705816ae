"""Verbalization versus recovery: rates by layer, the 2 x 2 table of a setting, and surprisal in context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from typing_extensions import Unpack

from tlsteer.analyse._verbalization.picked_rows import rows_where
from tlsteer.analyse._verbalization.surprisal import Surprisal
from tlsteer.analyse._verbalization.verbalization_result import Kind, Verbalization
from tlsteer.errors import DataError
from tlsteer.plot._fitting import fit_cells, fit_text, legend_around, ticks_at
from tlsteer.plot._style import Look, chance, draws, new_axes, new_figure, on, paint, series, tidy

_WORDS = {
    "verbalized": "says that it was false",
    "recovered": "returns to the truth",
    "fiction": "goes on with the fiction",
    "recovered_given_silent": "silent answers that return to the truth",
    "recovered_given_verbalized": "answers that say so and return to the truth",
}


@draws
def plot_verbalization(
    found: Verbalization,
    measures: Sequence[str] = ("verbalized", "recovered", "fiction"),
    multiplier: float | None = None,
    axes: Sequence[Axes] | None = None,
    ax: Axes | None = None,
    **look: Unpack[Look],
) -> list[Axes]:
    """Verbalization, recovery and fiction over layers, one panel each (see `plot_rate_by_layer`).

    Args:
        found: rates of one vector or several, by layer.
        measures: one panel each.
        multiplier: of the vectors; the largest that was run by default.
        axes: where to draw, one for each measure; new ones by default.
        ax: or one, of a grid such as `plt.subplots` makes, whose place is divided between the panels.
        look: figsize, title and palette; see `Look`.

    >>> found = verbalization_vs_recovery(model, {"caa": by_layer}, organism.falsehoods(4), max_new_tokens=16)
    >>> several = plot_verbalization(found)
    """
    if ax is not None:
        axes = _divided(ax, len(measures))
    elif axes is None:
        size = (3.3 * len(measures) + 2.2, 3.6)
        figure = new_figure(*size)
        beside = figure.get_figwidth() > 1.9 * len(measures)
        grid = figure.subplots(*((1, len(measures)) if beside else (len(measures), 1)), sharey=True, squeeze=False)
        axes = list(grid.ravel())
    for panel, measure in zip(axes, measures, strict=True):
        _draw_rates(found, measure, multiplier, panel)
        if panel is not axes[0]:
            panel.set_ylabel("")
        if (place := panel.get_subplotspec()) is not None and not place.is_last_row():
            panel.set_xlabel("")
    legend_around(axes[-1])
    return list(axes)


@draws
def plot_rate_by_layer(
    found: Verbalization,
    measure: str = "verbalized",
    multiplier: float | None = None,
    ax: Axes | None = None,
    **look: Unpack[Look],
) -> Axes:
    """One rate over layers: one line per vector, the unsteered model and random vectors in grey behind.

    Args:
        found: rates of one vector or several, by layer.
        measure: a column of its rates.
        multiplier: of the vectors; the largest that was run by default.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> found = verbalization_vs_recovery(model, {"caa": by_layer}, organism.falsehoods(4), max_new_tokens=16)
    >>> axes = plot_rate_by_layer(found, "recovered")
    """
    ax = ax or new_axes(5.6, 3.6)
    _draw_rates(found, measure, multiplier, ax)
    legend_around(ax)
    return ax


@draws
def plot_mosaic(
    found: Verbalization,
    vector: str | None = None,
    layer: int | None = None,
    multiplier: float | None = None,
    kind: Kind | None = None,
    ax: Axes | None = None,
    **look: Unpack[Look],
) -> Axes:
    """The 2 x 2 table of one setting: widths are the shares that say so and do not, heights those that recover.

    Args:
        found: the setting is picked from it as `Verbalization.table` does; the unsteered one by default.
        vector: its name.
        layer: of the vector.
        multiplier: of the vector.
        kind: "random" for the random vectors of its norm.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> found = verbalization_vs_recovery(model, vector, organism.falsehoods(4), max_new_tokens=16)
    >>> axes = plot_mosaic(found)
    """
    ax = ax or new_axes(3.9, 4.0)
    table = found.table(vector, layer, multiplier, kind)
    setting = found.select(vector, layer, multiplier, kind).iloc[0]
    n, left = int(table.to_numpy().sum()), 0.0
    colours = {("says so", "recovered"): paint("blue"), ("says so", "not recovered"): paint("orange"),
               ("silent", "recovered"): paint("sky"), ("silent", "not recovered"): "#F5D08A"}  # fmt: skip
    for said, row in table.iterrows():
        width, bottom = row.sum() / n, 0.0
        for outcome, count in row.items():
            height = count / max(1, row.sum())
            colour = colours[str(said), str(outcome)]
            tile = Rectangle((left, bottom), width, height, facecolor=colour, edgecolor=paint("paper"), linewidth=2)
            ax.add_patch(tile)
            if count:
                _write_count(ax, tile, int(count), str(outcome))
            bottom += height
        edge = "left" if left == 0 else "right"
        place, align = (left + width / 2, "center") if width > 0.25 else (0 if edge == "left" else 1, edge)
        ax.annotate(f"{said}\n{row.sum()} of {n}", (place, 0), (0, -4), textcoords="offset points", ha=align, va="top",
                    fontsize="medium", color=paint("ink") if row.sum() else paint("grey"))  # fmt: skip
        left += width
    ax.set(xlim=(0, 1), ylim=(0, 1), xticks=[])
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_ylabel("share that returns to the truth")
    ax.set_title(_name(setting), fontsize="medium", pad=20)
    told = _dependence(found, setting)
    fit_text(ax.annotate(told, (0.5, 1), (0, 6), textcoords="offset points", ha="center", fontsize="small"))
    ax.spines[:].set_visible(False)
    return ax


@draws
def plot_surprisal(found: Surprisal, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """Mean surprisal of each group of texts, one colour per context they are read in.

    Args:
        found: groups are drawn from top to bottom in their order.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> axes = plot_surprisal(analyse.surprisal(model, {"answers": answered}, {"none": []}))
    """
    means, information = found.means, found.information
    groups, contexts = list(means["group"].unique()), list(means["context"].unique())
    ax = ax or new_axes(7.6, 1.3 + 0.42 * len(groups))
    nats = rows_where(information, measure="nats")
    own = dict(zip(nats["context"], nats["value"], strict=True))
    for number, context in enumerate(contexts):
        rows = rows_where(means, context=context)
        places = np.arange(len(groups)) + 0.16 * (number - (len(contexts) - 1) / 2)
        errors = np.abs(np.stack([rows["value"] - rows["low"], rows["high"] - rows["value"]]))
        label = f"{context} samples, themselves {own[context]:.0f} nats" if context in own else str(context)
        ax.errorbar(rows["value"], places, xerr=errors, elinewidth=1.2, capsize=2.5, label=label,
                    **series(number, linestyle=""))  # fmt: skip
    for place in range(len(groups)):
        ax.axhline(place, color=paint("pale"), linewidth=0.8, zorder=0)
    counts = {group: rows_where(means, group=group)["n"].iloc[0] for group in groups}
    ax.set_yticks(range(len(groups)), [f"{group} (n = {counts[group]})" for group in groups])
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(f"surprisal under {found.model} (nats per token, 95% interval)")
    legend_around(ax)
    return tidy(ax)


def _divided(ax: Axes, n: int) -> list[Axes]:
    """Axes beside each other in the place of one."""
    place = ax.get_subplotspec()
    if place is None:
        raise DataError("ax is divided, so it has to be of a grid, as of plt.subplots; or give axes=, one per measure")
    ax.remove()
    return list(place.subgridspec(1, n).subplots(sharey=True, squeeze=False).ravel())


def _draw_rates(found: Verbalization, measure: str, multiplier: float | None, ax: Axes) -> None:
    strength = max(found.about["multipliers"], key=abs) if multiplier is None else multiplier
    unsteered = rows_where(found.rates, kind="unsteered").iloc[0]
    ax.axhspan(unsteered[f"{measure}_low"], unsteered[f"{measure}_high"], color=paint("grey"), alpha=0.3, linewidth=0)
    ax.axhline(unsteered[measure], color=paint("grey"), linewidth=1.5, label="unsteered")
    for _, rows in rows_where(found.rates, kind="random", multiplier=strength).groupby("vector", sort=False):
        label = None if "random, equal norm" in ax.get_legend_handles_labels()[1] else "random, equal norm"
        ax.plot(rows["layer"].astype(int), rows[measure], label=label, **chance())
        ax.fill_between(
            rows["layer"].astype(int), rows[f"{measure}_low"], rows[f"{measure}_high"], color=paint("pale"), alpha=0.5,
            linewidth=0, zorder=0,
        )  # fmt: skip
    steered = rows_where(found.rates, kind="steered", multiplier=strength)
    names = list(dict.fromkeys(steered["vector"]))
    for number, name in enumerate(names):
        rows = rows_where(steered, vector=name).sort_values("layer")
        # Next to each other, so that intervals that are alike can be told apart.
        places = rows["layer"].astype(float) + 0.09 * (number - (len(names) - 1) / 2)
        errors = np.abs(np.stack([rows[measure] - rows[f"{measure}_low"], rows[f"{measure}_high"] - rows[measure]]))
        ax.errorbar(
            places, rows[measure], yerr=errors, linewidth=1.5, elinewidth=1, label=name, **series(number)
        )  # fmt: skip
    ticks_at(ax, list(steered["layer"].astype(int)))
    ax.set_xlabel(f"layer of the vector (x{strength:g})")
    ax.set_ylim(-0.04, 1.04)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    counts = sorted({int(unsteered[f"{measure}_n"]), *steered[f"{measure}_n"]})
    n = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    ax.set_ylabel(f"share of answers (n = {n}, 95% interval)")
    ax.set_title(_WORDS.get(measure, measure), fontsize="medium")
    tidy(ax)


def _write_count(ax: Axes, tile: Rectangle, count: int, outcome: str) -> None:
    """The count in the middle of its tile, or next to a low one; with what it counts where there is room."""
    (x, y), width, height = tile.get_xy(), tile.get_width(), tile.get_height()
    colour = on(tile.get_facecolor()[:3])
    if height >= 0.06:
        words = f"{count} {outcome}" if width > 0.45 else str(count)
        size = 11 if width > 0.12 else 8
        text = ax.text(x + width / 2, y + height / 2, words, ha="center", va="center", fontsize=size, color=colour)
        fit_cells(ax, [text], 1 / width)
    else:
        inside, align = (y - 0.02, "top") if y > 0.5 else (y + height + 0.02, "bottom")
        ax.text(x + width / 2, inside, str(count), ha="center", va=align, fontsize="small", color=colour)


def _name(setting: pd.Series) -> str:
    if setting["kind"] == "unsteered":
        return "unsteered"
    like = "random vectors of the norm of " if setting["kind"] == "random" else ""
    return f"{like}{setting['vector']}, layer {setting['layer']}, x{setting['multiplier']:g}"


def _dependence(found: Verbalization, setting: Any) -> str:
    same = {name: setting[name] for name in ("kind", "vector", "multiplier")}
    layer = None if pd.isna(setting["layer"]) else setting["layer"]
    row = rows_where(found.dependence, **same, layer=layer).iloc[0]
    if np.isnan(row["difference"]):
        return "all say so or none does: no difference to tell"
    low, high = 100 * row["difference_low"], 100 * row["difference_high"]
    p = f", p = {row['p']:.2g}" if np.isfinite(row["p"]) else ""
    return f"says so against silent: {100 * row['difference']:+.0f} [{low:+.0f}, {high:+.0f}] points{p}"
