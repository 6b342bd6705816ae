"""How a model does on tasks, unsteered, steered and under random vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from typing_extensions import Unpack

from tlsteer.harnesses._tasks import TaskScores
from tlsteer.plot._fitting import legend_below
from tlsteer.plot._style import Look, chance, counted, draws, new_axes, paint, series, tidy


@draws
def plot_task_scores(found: TaskScores, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """One row per task and metric: the score under each condition with its interval, unsteered as a grey square.

    Metrics of other units than the rest are best drawn apart: give a `TaskScores` with those rows alone.

    Args:
        found: of `harnesses.evaluate_tasks`.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> row = {"task": "arc_easy", "metric": "acc", "value": 0.6, "low": 0.5, "high": 0.7, "n": 96}
    >>> scores = pd.DataFrame([row | {"condition": name} for name in ("unsteered", "steered")])
    >>> axes = plot_task_scores(harnesses.TaskScores(scores, {}))
    """
    scores = found.scores.assign(row=found.scores["task"] + ", " + found.scores["metric"])
    rows, conditions = list(scores["row"].unique()), list(scores["condition"].unique())
    ax = ax or new_axes(6.4, 1.2 + 0.5 * len(rows))
    apart, drawn = 0.6 / max(1, len(conditions) - 1), 0
    for number, condition in enumerate(conditions):
        own = scores[scores["condition"] == condition]
        places = [rows.index(row) + apart * number - 0.3 * (len(conditions) > 1) for row in own["row"]]
        if condition == "unsteered":
            style: dict[str, Any] = {"color": paint("grey"), "marker": "s", "markersize": 5}
        elif condition.startswith("random"):
            style = chance()
        else:
            style, drawn = series(drawn), drawn + 1
        errors = np.nan_to_num(np.abs([own["value"] - own["low"], own["high"] - own["value"]]))
        drawn_as: dict[str, Any] = style | {"linestyle": "", "elinewidth": 1, "capsize": 2.5}
        ax.errorbar(own["value"], places, xerr=errors, label=condition, **drawn_as)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel(f"score (n = {counted(scores['n'])}, line: 95% interval)")
    ax.grid(axis="x", color=paint("pale"), linewidth=0.6)
    ax.set_axisbelow(True)
    legend_below(ax)
    return tidy(ax)
