"""How reliably vectors steer: curves, spread over samples, what explains it, and layers (arXiv 2407.12404)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from mpl_toolkits.axes_grid1 import make_axes_locatable
from typing_extensions import Unpack

from tlsteer.evaluate import ReliabilityReport
from tlsteer.plot._curves import Curve, labelled, panels_of
from tlsteer.plot._fitting import legend_around, legend_below, ticks_at
from tlsteer.plot._style import Colour, Look, chance, counted, draws, new_axes, paint, series, tidy

# Red is for what goes against the intended way, so no control has it.
_OF_CONTROLS: tuple[Colour, ...] = ("green", "pink", "sky", "yellow", "ink")


@draws
def plot_propensity(report: ReliabilityReport, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """The mean propensity over multipliers with its interval, its controls', and every sample, faint.

    Args:
        report: its samples that move against the intended way are drawn in another colour.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> report = reliability(propensity(model, vector, choices, [-1, 0, 1]))
    >>> axes = plot_propensity(report, figsize=(3.25, 2.4))
    """
    ax = ax or new_axes(5.5, 4.0)
    x, slopes = report.curve["multiplier"].values, report.per_sample.values
    for side, colour, dashes, label in (
        (slopes >= 0, paint("blue"), "-", "moved as intended"),
        (slopes < 0, paint("red"), "--", "against"),  # dashed, so that grey print tells them apart
    ):
        if side.any():
            faint = min(0.25, 12 / len(slopes))
            lines = ax.plot(x, report.curve.values[side].T, color=colour, linestyle=dashes, alpha=faint, linewidth=0.7)
            lines[0].set_label(f"{side.sum()} samples {label}")
            # The legend shows them as strong as they look together.
            lines[0].set_alpha(0.4)
    colours = iter(_OF_CONTROLS)
    for name, rows in report.mean_curve.groupby("curve", sort=False):
        look_of = series(0, linewidth=2.0)
        if str(name).startswith("random"):
            look_of = chance()
        elif name != "vector":
            look_of = series(0, linewidth=2.0, color=paint(next(colours)), linestyle=":", marker="s")
        ax.plot(rows["multiplier"], rows["value"], label=f"mean, {name}", **look_of)
        ax.fill_between(rows["multiplier"], rows["low"], rows["high"], color=look_of["color"], alpha=0.25, linewidth=0)
    ax.set_xlabel("multiplier of the vector (0: unsteered)")
    measure, units = str(report.curve.name or "propensity").replace("_", " "), report.curve.attrs.get("units", "")
    ax.set_ylabel(f"{measure} ({units})" if units not in ("", "1") else measure)
    ax.set_title(f"steerability {report.steerability}", fontsize="medium")
    legend_around(ax)
    return tidy(ax)


@draws
def plot_steerability(reports: Mapping[str, ReliabilityReport], ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """A violin of per-sample slopes for each dataset, most steerable on top, with its anti-steerable share next to it.

    Args:
        reports: by dataset.
        ax: where to draw the violins; the bars get axes of their own to the right. New axes by default.
        look: figsize, title and palette; see `Look`.

    >>> curves = propensity(model, {"caa": vector, "random": control}, choices, [-1, 0, 1])
    >>> axes = plot_steerability({name: reliability(curves.sel(vector=name)) for name in ("caa", "random")})
    """
    ax = ax or new_axes(7.0, 1.2 + 0.38 * len(reports))
    names = sorted(reports, key=lambda name: reports[name].steerability.value)
    places = np.arange(len(names))
    slopes = [reports[name].per_sample.dropna("sample").values for name in names]
    bodies = ax.violinplot(slopes, places, orientation="horizontal", widths=0.85, showextrema=False)["bodies"]
    for body in bodies:  # pyright: ignore[reportGeneralTypeIssues]
        body.set(facecolor=paint("blue"), alpha=0.35, linewidth=0)
    means = [reports[name].steerability for name in names]
    _with_intervals(ax, means, places, paint("blue"))
    ax.axvline(0, color=paint("ink"), linewidth=0.8)
    counts = [f"{name} (n = {reports[name].steerability.n})" for name in names]
    ax.set_yticks(places, counts)
    ax.set_xlabel(
        f"slope of a sample ({reports[names[0]].per_sample.attrs.get('units', '')})\ndot: mean with its interval"
    )
    beside = make_axes_locatable(ax).append_axes("right", size="35%", pad=0.2, sharey=ax)
    against = [reports[name].anti_steerable_fraction for name in names]
    beside.barh(places, [one.value for one in against], 0.6, color=paint("red"), alpha=0.7)
    _with_intervals(beside, against, places, paint("ink"), marker="")
    beside.axvline(0.5, color=paint("grey"), linestyle=":", linewidth=1)
    beside.set_xlim(0, 1)
    beside.set_xticks([0.5], ["50%"])
    beside.tick_params(axis="y", labelleft=False, length=0)
    beside.set_xlabel("anti-steerable")
    for one in (ax, beside):
        one.spines[["top", "right"]].set_visible(False)
    return ax


@draws
def plot_variance(reports: Mapping[str, ReliabilityReport], ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """What explains the spread of slopes: one bar per dataset, stacked by factor, the unexplained last.

    Args:
        reports: by dataset; those whose variance could not be split are left empty.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> curves = {"power": propensity(model, vector, choices, [-1, 0, 1])}
    >>> axes = plot_variance({name: reliability(one) for name, one in curves.items()})
    """
    ax = ax or new_axes(6.5, 1.4 + 0.34 * len(reports))
    shares = {
        name: {part: one.value for part, one in report.variance_explained.items()} for name, report in reports.items()
    }
    table = pd.DataFrame(shares).T.fillna(0.0)
    last = [part for part in ("interaction", "unexplained") if part in table]
    table = table[[*table.columns.drop(last), *last]].sort_values("unexplained", ascending=False)
    left = np.zeros(len(table))
    fixed: dict[str, Colour] = {"interaction": "pink", "unexplained": "pale", "letter": "blue", "word": "orange"}
    others: list[Colour] = ["red", "yellow", "sky", "green"]
    for part in table.columns:
        if str(part) not in fixed:
            fixed[str(part)] = others.pop() if others else "grey"
        colour = paint(fixed[str(part)])
        # In grey print the interaction would be as dark as a factor.
        ax.barh(
            np.arange(len(table)), table[part], 0.7, left=left, color=colour, edgecolor=paint("paper"), label=part,
            hatch="///" if part == "interaction" else "",
        )  # fmt: skip
        left = left + table[part].to_numpy()
    ax.set_yticks(np.arange(len(table)), [f"{name} (n = {reports[name].steerability.n})" for name in table.index])
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_xlabel("share of the variance of slopes")
    ax.spines[["top", "right"]].set_visible(False)
    legend_below(ax)
    return ax


@draws
def plot_steerability_by_layer(table: pd.DataFrame, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """Steerability over layers: one line with its interval per dataset, vector or setting.

    On new axes more than five have a panel each, of which the first is given.

    Args:
        table: of `reliability_table`, with the column layer.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> axes = plot_steerability_by_layer(evaluate.reliability_table(propensity(model, by_layer, choices, [-1, 0, 1])))
    """
    others = [axis for axis in ("dataset", "vector", "setting") if axis in table and table[axis].nunique() > 1]
    curves = []
    for number, (name, rows) in enumerate(table.groupby(others, sort=False) if others else [("all samples", table)]):
        rows = rows.sort_values("layer")
        label = ", ".join(map(str, name)) if isinstance(name, tuple) else str(name)
        low, high = (rows[f"steerability_{end}"] for end in ("low", "high"))
        curves.append(Curve(label, rows["layer"], rows["steerability"], low, high, series(number)))
    panels = panels_of(curves, ax, 6.0, 4.0)
    if len(panels) == 1:
        legend_around(panels[0])
    for panel in panels:
        panel.axhline(0, color=paint("ink"), linewidth=0.8)
        ticks_at(panel, list(table["layer"]))
    return labelled(panels, "layer", f"steerability (mean slope, n = {counted(table['n'])}, 95% interval)")


def _with_intervals(ax: Axes, estimates: list, places: np.ndarray, colour: str, marker: str = "o") -> None:
    values = np.array([one.value for one in estimates])
    errors = np.abs(np.array([[one.low for one in estimates], [one.high for one in estimates]]) - values)
    ax.errorbar(values, places, xerr=errors, fmt=marker, color=colour, markersize=4, elinewidth=1.2, capsize=2.5, ls="")
