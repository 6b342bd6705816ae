"""Which vector steers which task."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from typing_extensions import Unpack

from tlsteer.analyse._comparison.transfer import TransferMatrix
from tlsteer.plot._heat_maps import heat_map
from tlsteer.plot._style import Look, draws, new_axes, paint


@draws
def plot_transfer(matrix: TransferMatrix, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """Steerability of each vector on each task with its interval; grey where it holds 0; random vectors below a line.

    Args:
        matrix: what is drawn.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> tasks = {"power": choices, "risk": others}
    >>> axes = plot_transfer(analyse.transfer_matrix(model, {"caa": vector}, tasks, [-1, 0, 1], n_random=1))
    """
    data = matrix.data
    rows, tasks = list(map(str, data["vector"].values)), list(map(str, data["task"].values))
    ax = ax or new_axes(3.2 + 1.1 * len(tasks), 1.6 + 0.45 * len(rows))
    value, low, high = (data[f"steerability{end}"].values for end in ("", "_low", "_high"))
    texts = [
        [f"{value[i, j]:.2f}\n[{low[i, j]:.2f}, {high[i, j]:.2f}]" for j in range(len(tasks))] for i in range(len(rows))
    ]
    counts = [f"{task}\n(n = {int(n)})" for task, n in zip(tasks, data["n"].values[0], strict=True)]
    heat_map(
        ax, value, rows, counts, label=f"steerability ({data.attrs['units']} per unit of multiplier)",
        limit=float(np.nanmax(np.abs(value))), greyed=(low <= 0) & (high >= 0), texts=texts,
    )  # fmt: skip
    n_given = int((data["random"].values == 0).sum())
    if n_given < len(rows):
        ax.axhline(n_given - 0.5, color=paint("ink"), linewidth=1)
    ax.set_xlabel("task (grey: the 95% interval holds 0)")
    ax.set_ylabel("vector")
    return ax
