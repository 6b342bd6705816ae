"""What steering costs: side effects over the multiplier, and what it buys for them, with the budget."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter
from typing_extensions import Unpack

from tlsteer.analyse._calibration.calibration import Calibration
from tlsteer.plot._curves import Curve, labelled, panels_of
from tlsteer.plot._fitting import legend_around
from tlsteer.plot._style import Look, chance, counted, draws, new_axes, paint, series, tidy

# Shown of a calibration: this far around its budget. Below, nothing moves; beyond, the model is another.
_FROM, _TO = 1e-4, 5.0
_SIDE_EFFECTS = {
    "kl": "KL on neutral text",
    "kl_p95": "KL on neutral text, 95th percentile",
    "perplexity": "perplexity of neutral text",
    "repetition": "share of repeated 4-grams",
    "accuracy": "accuracy on unrelated questions",
}


@draws
def plot_side_effects(
    effects: xr.Dataset,
    measure: str = "kl",
    ax: Axes | None = None,
    *,
    random: Sequence[str] = (),
    **look: Unpack[Look],
) -> Axes:
    """A side effect over the multiplier with its interval: one line per vector and layer, grey dashes for random ones.

    The dotted line is the unsteered model.

    Args:
        effects: of `side_effects`.
        measure: "kl", "kl_p95", "perplexity", "repetition" or "accuracy".
        ax: where to draw; new axes by default.
        random: the names of vectors that are controls.
        look: figsize, title and palette; see `Look`.

    >>> effects = side_effects(model, {"caa": vector, "random": control}, neutral, [0, 1, 2])
    >>> axes = plot_side_effects(effects, "kl_p95", random=["random"])
    """
    data = effects[[measure, f"{measure}_low", f"{measure}_high", f"{measure}_n"]]
    data = data.expand_dims({axis: [""] for axis in ("vector", "layer") if axis not in data.dims})
    cells = [(name, layer) for name in data["vector"].values.tolist() for layer in data["layer"].values.tolist()]
    curves, drawn = [], 0
    for name, layer in cells:
        own = data.sel(vector=name, layer=layer)
        value, low, high = (own[f"{measure}{end}"].values for end in ("", "_low", "_high"))
        style, drawn = (chance(), drawn) if name in random else (series(drawn), drawn + 1)
        label = ", ".join(filter(None, [str(name), f"layer {layer}" if layer != "" else ""])) or "steered"
        curves.append(Curve(label, own["multiplier"].values, value, low, high, style))
    panels = panels_of(curves, ax, 6.4, 3.6)
    for panel in panels:
        panel.axhline(float(data[measure].sel(multiplier=0)[0, 0]), color=paint("grey"), linestyle=":", linewidth=1)
    counts = counted(data[f"{measure}_n"].values.ravel())
    units = data[measure].attrs.get("units", "1")
    what = _SIDE_EFFECTS[measure] + (f" ({units})" if units != "1" else "")
    interval = f"{effects.attrs['confidence']:.0%} interval" if "confidence" in effects.attrs else "interval"
    if len(curves) > 1 and len(panels) == 1:
        legend_around(panels[0])
    return labelled(panels, "multiplier of the vector (0: unsteered)", f"{what}\nn = {counts}, {interval}")


@draws
def plot_effect_against_side_effect(
    calibration: Calibration | pd.DataFrame, ax: Axes | None = None, **look: Unpack[Look]
) -> Axes:
    """Effect over the 95th percentile of KL, along the multipliers: one colour per vector, grey for random ones.

    Of each vector, and of the random directions together, the layer that is chosen within the budget is drawn
    strong with its intervals, the others faint.

    Args:
        calibration: of `calibrate`; or its curve alone, drawn without the budget and with every layer alike.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> axes = plot_effect_against_side_effect(calibrate(model, by_layer, choices, neutral, n_random=1))
    """
    ax = ax or new_axes(7.4, 4.2)
    found = calibration if isinstance(calibration, Calibration) else None
    curve = _shown(calibration)
    names = curve.loc[~curve["baseline"], "vector"].unique()
    looks = {name: series(number) for number, name in enumerate(names)}
    chosen = _chosen(found)
    for key, rows in curve.groupby(["vector", "layer"], sort=False):
        name, layer = key  # pyright: ignore[reportGeneralTypeIssues]
        rows = rows.sort_values("multiplier", key=abs)
        look_of, is_random = looks.get(name, chance()), name not in looks
        if (found is None and not is_random) or (name, layer) in chosen:
            label = f"strongest random direction, layer {layer}" if is_random else f"{name}, layer {layer}"
            ax.plot(rows["kl_p95"], rows["effect"], label=label, zorder=3, **look_of)
            low, high = rows["effect_low"], rows["effect_high"]
            ax.fill_between(rows["kl_p95"], low, high, color=look_of["color"], alpha=0.2, lw=0)
        else:
            ax.plot(rows["kl_p95"], rows["effect"], color=look_of["color"], linewidth=0.6, alpha=0.5, zorder=1)
    ax.axhline(0, color=paint("ink"), linewidth=0.8)
    if len(curve) and (found is None or len(chosen) < len(curve.groupby(["vector", "layer"]))):
        what = "random directions" if found is None else "other layers; grey: random directions"
        ax.plot([], [], color=paint("grey"), linewidth=0.6, label=what)
    if found is not None:
        ax.axvline(
            found.max_kl, color=paint("ink"), linestyle=":", linewidth=1, label=f"budget ({found.max_kl:g} nats)"
        )
        if found.best.vector:
            label = f"best within: multiplier {found.best.multiplier:.3g}"
            place = found.best.kl.value, found.best.effect.value
            ax.plot(*place, "*", color=paint("ink"), markersize=11, zorder=4, label=label)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=6))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("KL on neutral text, 95th percentile (nats per token)")
    counts = counted(curve["effect_n"])
    what, interval = "effect", ""
    if found is not None:
        interval, units = f"{found.settings['confidence']:.0%} ", found.settings["units"]
        change = "rise" if found.settings["direction"] > 0 else "fall"
        what = f"{change} of {found.settings['effect'].replace('_', ' ')}{units and f' ({units})'}"
    ax.set_ylabel(f"{what}\nn = {counts}, {interval}interval")
    legend_around(ax)
    return tidy(ax)


def _shown(calibration: Calibration | pd.DataFrame) -> pd.DataFrame:
    if isinstance(calibration, Calibration):
        curve, budget = calibration.curve, calibration.max_kl
        return curve.loc[curve["kl_p95"].between(_FROM * budget, _TO * budget)]
    return calibration.loc[calibration["kl_p95"].between(0, float("inf"), inclusive="neither")]


def _chosen(found: Calibration | None) -> set[tuple[str, int]]:
    """The vectors and layers that are drawn strong."""
    if found is None:
        return set()
    table = found.best_by("vector")
    rows = table.loc[~table["baseline"], ["vector", "layer"]].itertuples(index=False, name=None)
    return {*rows, *([(found.random.vector, found.random.layer)] if found.random else [])}
