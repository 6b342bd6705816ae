"""Vectors compared: their directions, their lengths, the inputs they change, and the two against each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from mpl_toolkits.axes_grid1 import make_axes_locatable
from scipy.cluster.hierarchy import dendrogram
from typing_extensions import Unpack

from tlsteer._arguments import CountOrNone
from tlsteer.analyse._comparison.comparison_result import VectorComparison
from tlsteer.analyse._comparison.effects import EffectComparison
from tlsteer.plot._fitting import legend_below, place_names
from tlsteer.plot._heat_maps import heat_map
from tlsteer.plot._style import Look, draws, new_axes, paint, tidy


@draws
def plot_cosines(comparison: VectorComparison, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """Cosines as a heat map, vectors that are alike next to each other under their tree; chance in grey.

    Args:
        comparison: what is drawn.
        ax: where to draw; the tree gets axes of its own above. New axes by default.
        look: figsize, title and palette; see `Look`.

    >>> axes = plot_cosines(compare_vectors({"one-shot": fitted, "caa": vector, "random": control}))
    """
    ax = ax or _square_axes(len(comparison.order))
    order = comparison.order
    cosine = comparison.cosine.sel(vector=order, other=order).values
    greyed = ~comparison.beyond_chance.sel(vector=order, other=order).values
    heat_map(ax, cosine, order, order, label="cosine", greyed=greyed)
    ax.set_xlabel(_nulls(comparison), fontsize="medium")
    if len(order) > 1:
        above = make_axes_locatable(ax).append_axes("top", size="10%", pad=0.05)
        tree = comparison.data["tree"].values
        dendrogram(tree, ax=above, no_labels=True, color_threshold=0, above_threshold_color=paint("grey"))
        for lines in above.collections:
            lines.set_linewidth(1)
        above.set_axis_off()
    return ax


@draws
def plot_norms(comparison: VectorComparison, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """The vectors' norms, as a share of the residual stream's mean norm where it was measured.

    Args:
        comparison: what is drawn.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> axes = plot_norms(compare_vectors({"caa": vector, "random": control}, model=model, texts=neutral))
    """
    names = comparison.order[::-1]
    ax = ax or new_axes(5.5, 1.0 + 0.28 * len(names))
    relative = "relative_norm" in comparison.data
    values = comparison.data["relative_norm" if relative else "norm"].sel(vector=names).values
    ax.barh(np.arange(len(names)), values, 0.65, color=paint("blue"))
    for place, (value, norm) in enumerate(zip(values, comparison.data["norm"].sel(vector=names).values, strict=True)):
        ax.annotate(f"{norm:.3g}", (value, place), (3, 0), textcoords="offset points", va="center", fontsize="small")
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.margins(x=0.12)
    ax.set_xlabel("norm / mean norm of the residual stream at its site (number: norm)" if relative else "norm")
    return tidy(ax)


@draws
def plot_effects(
    effects: EffectComparison, order: Sequence[str] | None = None, ax: Axes | None = None, **look: Unpack[Look]
) -> Axes:
    """Correlations of effects over samples as a heat map; grey where the interval holds 0; lines before random vectors.

    Args:
        effects: what is drawn.
        order: names of the vectors, e.g. `comparison.order`, so that two maps stand side by side; those that are
            left out, such as random ones, come last.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> curves = propensity(model, {"one-shot": fitted, "caa": vector, "random": control}, choices, [-1, 0, 1])
    >>> axes = plot_effects(analyse.compare_effects(curves, random=["random"]))
    """
    names = list(map(str, effects.data["vector"].values))
    order = [name for name in order or names if name in names]
    order = [*order, *(name for name in names if name not in order)]
    ax = ax or _square_axes(len(order))
    value, low, high = (
        effects.data[part].sel(vector=order, other=order).values for part in ("correlation", "low", "high")
    )
    greyed = (low <= 0) & (high >= 0) & ~np.eye(len(order), dtype=bool)
    heat_map(ax, value, order, order, label="correlation of effects over samples", greyed=greyed)
    random = effects.data["random"].sel(vector=order).values.astype(bool)
    for place in np.flatnonzero(random[1:] & ~random[:-1]):
        ax.axhline(place + 0.5, color=paint("ink"), linewidth=1)
        ax.axvline(place + 0.5, color=paint("ink"), linewidth=1)
    held = effects.data.attrs["adjusted"]
    ax.set_title(
        f"n = {int(effects.data['n'])} samples{f', {held} held fixed' if held else ''}; "
        f"grey: {effects.data.attrs['confidence']:.0%} interval holds 0",
        fontsize="medium",
    )
    return ax


@draws
def plot_cosine_against_effect(
    comparison: VectorComparison,
    effects: EffectComparison,
    ax: Axes | None = None,
    n_labels: CountOrNone = 6,
    **look: Unpack[Look],
) -> Axes:
    """Each pair's cosine against the correlation of its effects, with what chance gives on both sides.

    Args:
        comparison: of the vectors' directions.
        effects: of the same vectors, by the same names.
        ax: where to draw; new axes by default.
        n_labels: how many pairs are named: those with one effect in two directions, most correlated first.
        look: figsize, title and palette; see `Look`.

    >>> vectors = {"one-shot": fitted, "caa": vector, "random": control}
    >>> effects = analyse.compare_effects(propensity(model, vectors, choices, [-1, 0, 1]), random=["random"])
    >>> axes = plot_cosine_against_effect(compare_vectors(vectors), effects)
    """
    ax = ax or new_axes(6.4, 5.0)
    pairs = effects.beside(comparison)
    band = comparison.null_band.max().item()
    ax.axvspan(-band, band, color=paint("pale"), alpha=0.5, linewidth=0)
    if np.isfinite(effects.null_band):
        ax.axhspan(-effects.null_band, effects.null_band, color=paint("pale"), alpha=0.5, linewidth=0)
    found = pairs["same_effect_other_direction"]
    kinds = (
        ("with a random vector", pairs["random"], "x", paint("grey")),
        ("others", ~pairs["random"] & ~found, "o", paint("blue")),
        ("one effect, two directions", found, "D", paint("orange")),
    )
    for name, chosen, mark, colour in kinds:
        some = pairs[chosen]
        if len(some):
            errors = np.clip([some["correlation"] - some["low"], some["high"] - some["correlation"]], 0, None)
            ax.errorbar(
                some["cosine"], some["correlation"], errors, fmt=mark, color=colour, markersize=4, elinewidth=0.7,
                alpha=0.8, label=f"{name} ({len(some)} pairs)",
            )  # fmt: skip
    named = [pairs.iloc[row] for row in np.flatnonzero(found)]
    ax.axhline(0, color=paint("ink"), linewidth=0.6)
    ax.axvline(0, color=paint("ink"), linewidth=0.6)
    ax.set_xlim(-1.05, 1.05)
    ax.set_ylim(-1.05, 1.05)
    named = sorted(named, key=lambda pair: -pair["correlation"])[:n_labels]
    place_names(
        ax,
        [(pair["cosine"], pair["correlation"]) for pair in named],
        [f"{pair['vector']} / {pair['other']}" for pair in named],
    )
    ax.set_xlabel("cosine of the two vectors")
    ax.set_ylabel(f"correlation of their effects (n = {int(effects.data['n'])} samples)")
    handles, labels = ax.get_legend_handles_labels()
    handles.append(Patch(color=paint("pale"), alpha=0.5))
    labels.append("what chance gives")
    legend_below(ax, handles, labels)
    return tidy(ax)


def _square_axes(n: int) -> Axes:
    return new_axes(2.6 + 0.42 * n, 2.2 + 0.42 * n)


def _nulls(comparison: VectorComparison) -> str:
    """What the grey of the picture says."""
    confidence = comparison.data.attrs["confidence"]
    bands = comparison.null_band.max(("vector", "other")).to_series()
    known = pd.Series({"random": "uniform", "residual": "as the residual stream varies"}).loc[bands.index]
    parts = [f"{name} under {band:.2f}" for name, band in zip(known, bands, strict=True)]
    return f"grey: no more than chance\n({confidence:.0%} of |cosines| of directions: {', '.join(parts)})"
