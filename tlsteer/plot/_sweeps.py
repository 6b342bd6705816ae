"""Layer sweeps: a measure over layers, over layers and multipliers, and of vectors moved between layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from typing_extensions import Unpack

from tlsteer.analyse._layers.sweep_result import LayerSweep, Quantity
from tlsteer.errors import DataError
from tlsteer.plot._curves import Curve, labelled, panels_of
from tlsteer.plot._fitting import fit_cells, legend_around, ticks_at
from tlsteer.plot._style import Look, chance, counted, draws, new_axes, on, paint, series

_MOST_NUMBERS = 150
_BRACKETS = "\n(in brackets: no further than random vectors)"


@draws
def plot_sweep(
    sweep: LayerSweep,
    of: Quantity = "value",
    ax: Axes | None = None,
    *,
    multiplier: float | None = None,
    largest: bool = True,
    **look: Unpack[Look],
) -> Axes:
    """A measure over layers: one line with its interval per method and stage, the best site marked.

    Grey are the unsteered model, and the mean and the range of random vectors of equal norm; small marks are single
    examples and seeds. On new axes more than five lines have a panel each, of which the first is given.

    Args:
        sweep: what to show.
        of: "value" at one multiplier, or "slope" over all.
        ax: where to draw; new axes by default.
        multiplier: which one; that of the best site by default.
        largest: the best is the largest mean, or else the smallest.
        look: figsize, title and palette; see `Look`.

    Raises:
        DataError: a multiplier that was not measured.

    >>> axes = plot_sweep(sweep_layers(model, pairs, choices, [2, 3, 4], multipliers=[-1, 0, 1]), "slope")
    """
    best, table = sweep.best(of, largest=largest), sweep.table(of)
    repeated = any(name in sweep.data.dims for name in ("example", "seed"))
    single = sweep.table(of, each=True) if repeated else table
    if of == "value":
        multiplier = best.at["multiplier"] if multiplier is None else multiplier
        table, single = (_where(one, {"multiplier": multiplier}) for one in (table, single))
    keys = [name for name in ("vector", "fit_layer", "stage") if name in table]
    groups = [dict(zip(keys, row, strict=True)) for row in dict.fromkeys(map(tuple, table[keys].to_numpy().tolist()))]
    n_stages = table["stage"].nunique() if len(keys) > 1 and "stage" in keys else 1
    curves = []
    for number, group in enumerate(groups or [{}]):
        rows = _where(table, group)
        # Methods have the colours, so a stage is a mark and a line style.
        look_of = series(number // n_stages, mark=number % n_stages if n_stages > 1 else None)
        label = ", ".join(map(str, group.values())) or "fitted vectors"
        curves.append(Curve(label, rows["layer"], rows["value"], rows["low"], rows["high"], look_of))
    panels = panels_of(curves, ax, 8.0, 4.0)
    base = 0 if of == "slope" else sweep.unsteered_mean().value
    for panel in panels:
        panel.axhline(
            base, color=paint("grey"), linestyle=":", zorder=0, label="no effect" if of == "slope" else "unsteered"
        )
        if table["n_random"].any():
            _draw_chance(panel, table)
        ticks_at(panel, list(table["layer"]))
        if of == "value" and sweep.is_share:
            panel.set_ylim(-0.03, 1.03)
            panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    at_best = {key: best.at[key] for key in keys}
    for number, group in enumerate(groups or [{}]):
        panel, one = panels[number % len(panels)], curves[number]
        if repeated:
            own = _where(single, group)
            panel.plot(own["layer"], own["value"], ".", color=one.style["color"], alpha=0.35, markersize=4, zorder=1)
        if group == at_best and (of == "slope" or best.at["multiplier"] == multiplier):
            there = _where(table, {"layer": best.at["layer"], **group})
            label = ", ".join([f"best: layer {best.at['layer']}", *map(str, group.values())])
            panel.plot(there["layer"], there["value"], "*", color=paint("ink"), markersize=11, ls="", label=label)
    if len(panels) == 1:
        legend_around(panels[0])
    across = "layer" if of == "slope" else f"layer (multiplier {multiplier:g})"
    return labelled(panels, across, f"{_quantity(sweep, of)}\nn = {counted(table['n'])}, 95% interval")


@draws
def plot_sweep_grid(
    sweep: LayerSweep,
    ax: Axes | None = None,
    *,
    where: Mapping[str, Any] | None = None,
    largest: bool = True,
    **look: Unpack[Look],
) -> Axes:
    """A measure over layers and multipliers as a heat map, the best cell framed.

    Numbers in brackets are no further from the unsteered model than a random vector of equal norm went.

    Args:
        sweep: what to show.
        ax: where to draw; new axes by default.
        where: which method and stage, by name, where there are several.
        largest: the best is the largest mean, or else the smallest.
        look: figsize, title and palette; see `Look`.

    Raises:
        DataError: several methods or stages and no choice between them, or one that was not measured.

    >>> axes = plot_sweep_grid(sweep_layers(model, pairs, choices, [2, 3, 4], multipliers=[-1, 0, 1]))
    """
    table = _where(sweep.table(), where or {})
    best = sweep.best(largest=largest).at
    shown = not where or all(best.get(name) == label for name, label in where.items())
    ax = _heat_map(sweep, table, "multiplier", ax, [(best["layer"], best["multiplier"])] if shown else [])
    ax.set_ylabel("multiplier")
    return ax


@draws
def plot_layer_transfer(transfer: LayerSweep, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """Vectors fitted at one layer and applied at another as a heat map, those at their own layer framed.

    Numbers in brackets are no further from the unsteered model than a random vector of equal norm went.

    Args:
        transfer: of `layer_transfer`.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> axes = plot_layer_transfer(analyse.layer_transfer(model, by_layer, choices, [2, 3, 4], n_random=1))
    """
    table = transfer.table()
    own = [(layer, layer) for layer in table["layer"].unique().tolist() if layer in set(table["fit_layer"])]
    ax = _heat_map(transfer, table, "fit_layer", ax, own)
    ax.set_xlabel(f"applied at layer (multiplier {table['multiplier'].iloc[0]:g}){_BRACKETS}")
    ax.set_ylabel("fitted at layer")
    return ax


def _heat_map(
    sweep: LayerSweep, table: pd.DataFrame, over: str, ax: Axes | None, framed: list[tuple[float, float]]
) -> Axes:
    if table.duplicated(["layer", over]).any():
        axes = [name for name in ("vector", "fit_layer", "stage", "multiplier") if name in table and name != over]
        raise DataError(f"the sweep has several of {', '.join(axes)}; choose with where={{...}}")
    grid, far = (table.pivot(index=over, columns="layer", values=name) for name in ("value", "random_low"))
    farther = table.pivot(index=over, columns="layer", values="random_high")
    ax = ax or new_axes(1.9 + 0.62 * grid.shape[1], 1.5 + 0.38 * grid.shape[0])
    unsteered, rate = sweep.unsteered_mean().value, sweep.is_share
    by_chance = np.fmax(np.abs(far - unsteered), np.abs(farther - unsteered))
    norm = Normalize(0, 1) if rate else CenteredNorm(unsteered)
    image = ax.pcolormesh(
        np.arange(grid.shape[1] + 1) - 0.5, np.arange(grid.shape[0] + 1) - 0.5, grid.values, norm=norm,
        cmap="Blues" if rate else "RdBu_r", edgecolors="white", linewidth=0.5,
    )  # fmt: skip
    if grid.size <= _MOST_NUMBERS:
        written = []
        for (row, column), value in np.ndenumerate(grid.values):
            text = f"{value:.0%}" if rate else f"{value:.2f}"
            text = f"({text})" if abs(value - unsteered) <= by_chance.values[row, column] else text
            behind = image.cmap(norm(value))[:3]
            written.append(ax.text(column, row, text, ha="center", va="center", fontsize="x-small", color=on(behind)))
        fit_cells(ax, written, grid.shape[1])
    for layer, label in framed:
        corner = list(grid.columns).index(layer) - 0.5, list(grid.index).index(label) - 0.5
        ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=paint("ink"), linewidth=1.6))
    ax.set_xticks(range(grid.shape[1]), [str(layer) for layer in grid.columns])
    ax.set_yticks(range(grid.shape[0]), [f"{label:g}" for label in grid.index])
    ax.set_xlabel(f"layer{_BRACKETS}")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    counts = ", ".join(map(str, sorted(set(table["n"]))))
    bar = ax.figure.colorbar(
        image, ax=ax, label=f"{_quantity(sweep, 'value')}\nn = {counts}; unsteered {unsteered:.2f}"
    )
    if rate:
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    return ax


def _draw_chance(ax: Axes, table: pd.DataFrame) -> None:
    found = table.groupby("layer").agg({"random": "mean", "random_low": "min", "random_high": "max"})
    ax.plot(found.index, found["random"], label="random vectors: mean, range", zorder=1, **chance())
    low, high = found["random_low"], found["random_high"]
    ax.fill_between(found.index, low, high, color=paint("grey"), alpha=0.2, linewidth=0)
    if len(found) == 1:
        ax.vlines(found.index, low, high, color=paint("grey"), linestyle="--", linewidth=1.1)


def _where(table: pd.DataFrame, labels: Mapping[str, Any]) -> pd.DataFrame:
    for name, label in labels.items():
        if name not in table or label not in table[name].values:
            known = sorted(set(table[name])) if name in table else "none"
            raise DataError(f"{name} {label!r} was not measured; it has {known}")
        table = table.loc[table[name] == label]
    return table


def _quantity(sweep: LayerSweep, of: Quantity) -> str:
    name, units = str(sweep.data.name).replace("_", " "), sweep.data.attrs.get("units", "")
    if of == "slope":
        return f"slope of the {name} ({units + ' ' if units not in ('', '1') else ''}per multiplier)"
    return f"{name} ({units})" if units not in ("", "1") else name
