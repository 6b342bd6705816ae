"""What vectors predict: how well they classify by layer, and that against what they control."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.axes_grid1 import make_axes_locatable
from typing_extensions import Unpack

from tlsteer.plot._curves import Curve, draw_curves
from tlsteer.plot._fitting import legend_around, ticks_at
from tlsteer.plot._style import MARKS, Look, counted, draws, new_axes, paint, series, tidy


@draws
def plot_classifier(table: pd.DataFrame, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """AUC by layer with its interval, over the band of random directions; steerability above it where it is known.

    Args:
        table: of `classify`, or of `predict_control`.
        ax: where to draw; steerability gets axes of its own above. New axes by default.
        look: figsize, title and palette; see `Look`.

    >>> axes = plot_classifier(analyse.classify(model, by_layer, answered, prompts))
    """
    steered = "steerability" in table
    ax = ax or new_axes(6.4, 5.2 if steered else 3.6)
    panels = [ax]
    band = table.drop_duplicates("layer").sort_values("layer")
    ax.fill_between(
        band["layer"],
        band["random_low"],
        band["random_high"],
        color=paint("pale"),
        linewidth=0,
        label="95% of random directions",
    )
    ax.axhline(0.5, color=paint("ink"), linewidth=0.8)
    if steered:
        above = make_axes_locatable(ax).append_axes("top", size="75%", pad=0.15, sharex=ax)
        above.axhline(0, color=paint("ink"), linewidth=0.8)
        counts = counted(table["n_steered"]) if "n_steered" in table else ""
        above.set_ylabel("steerability" + (f"\n(n = {counts})" if counts else ""))
        above.tick_params(axis="x", labelbottom=False)
        panels.append(above)
    curves: dict[Axes, list[Curve]] = {panel: [] for panel in panels}
    for number, (name, rows) in enumerate(table.groupby("vector", sort=False) if "vector" in table else [("", table)]):
        rows = rows.sort_values("layer")
        for panel, quantity in zip(panels, ("auc", "steerability"), strict=False):
            low, high = (rows.get(f"{quantity}_{end}", rows[quantity]) for end in ("low", "high"))
            curves[panel].append(Curve(str(name) or "vector", rows["layer"], rows[quantity], low, high, series(number)))
    for panel, several in curves.items():
        draw_curves(panel, several)
    ax.set_ylim(-0.02, 1.02)
    ax.set_ylabel(f"AUC as a classifier\n(n = {counted(table['n'])})")
    ticks_at(ax, list(table["layer"]))
    ax.set_xlabel("layer")
    legend_around(ax)
    for panel in panels:
        tidy(panel)
    return ax


@draws
def plot_predict_control(
    table: pd.DataFrame, control: str = "steerability", ax: Axes | None = None, **look: Unpack[Look]
) -> Axes:
    """AUC against control, a mark for each vector and layer: the predict-control discrepancy (arXiv 2502.18862).

    Args:
        table: of `predict_control`, or of `classify` with a column that says how far each vector controls.
        control: that column; its interval is drawn where there are `_low` and `_high`.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> steered = evaluate.reliability_table(propensity(model, by_layer, choices, [-1, 0, 1]))
    >>> both = analyse.predict_control(analyse.classify(model, by_layer, answered, prompts), steered)
    >>> axes = plot_predict_control(both)
    """
    ax = ax or new_axes(6.0, 3.8)
    low, high = table["random_low"].min(), table["random_high"].max()
    ax.axvspan(low, high, color=paint("pale"), alpha=0.5, linewidth=0, label="95% of random directions, all layers")
    ax.axvline(0.5, color=paint("ink"), linewidth=0.8)
    layers = ScalarMappable(Normalize(table["layer"].min(), table["layer"].max()), "viridis")
    for number, (name, rows) in enumerate(table.groupby("vector", sort=False) if "vector" in table else [("", table)]):
        for place, end in (("auc", "xerr"), (control, "yerr")):
            if f"{place}_low" in rows:
                errors = np.clip([rows[place] - rows[f"{place}_low"], rows[f"{place}_high"] - rows[place]], 0, None)
                bars = {end: errors, "ecolor": paint("grey"), "elinewidth": 0.6}
                ax.errorbar(rows["auc"], rows[control], fmt="none", zorder=1, **bars)
        mark = MARKS[number % len(MARKS)]
        ax.scatter(rows["auc"], rows[control], s=28, c=layers.to_rgba(rows["layer"].to_numpy()), marker=mark, zorder=2)
        ax.scatter([], [], marker=mark, color=paint("grey"), label=str(name) or "vector")
    ax.figure.colorbar(layers, ax=ax, label="layer", ticks=MaxNLocator(integer=True))
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel(f"AUC as a classifier (n = {counted(table['n'])})")
    ax.set_ylabel(control + (f"\n(n = {counted(table['n_steered'])})" if "n_steered" in table else ""))
    legend_around(ax)
    return tidy(ax)
