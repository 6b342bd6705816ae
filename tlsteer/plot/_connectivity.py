"""The loss on the way between vectors."""

from __future__ import annotations

from matplotlib.axes import Axes
from typing_extensions import Unpack

from tlsteer.analyse._comparison.connectivity_result import ModeConnectivity
from tlsteer.plot._fitting import legend_below
from tlsteer.plot._style import Look, chance, draws, new_axes, paint, series, tidy

_NAMES = {"vectors": "between vectors", "to random": "from a vector to a random one", "random": "between random ones"}


@draws
def plot_paths(connectivity: ModeConnectivity, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """The loss along every path, and the median of each kind; paths between solutions with a barrier in red.

    Args:
        connectivity: what is drawn.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> axes = plot_paths(analyse.mode_connectivity(model, {"one": fitted, "another": vector}, example, 5))
    """
    ax = ax or new_axes(6.4, 4.4)
    data, pairs = connectivity.data, connectivity.to_dataframe()
    x = data["fraction"].values
    looks = {
        "vectors": series(0, linewidth=2.5),
        "to random": series(1, linewidth=2.5),
        "random": chance(linewidth=2.5),
    }
    is_blocked = (pairs["both_solve"] & ~pairs["connected"]).to_numpy()
    for kind in reversed(list(dict.fromkeys(pairs["kind"]))):
        chosen = (pairs["kind"] == kind).to_numpy()
        losses, look_of = data["loss"].values[chosen], looks[str(kind)]
        blocked = is_blocked[chosen]
        faint = min(0.6, 6 / len(losses))
        ax.plot(x, losses[~blocked].T, color=look_of["color"], alpha=faint, linewidth=0.7)
        if blocked.any():
            ax.plot(x, losses[blocked].T, color=paint("red"), alpha=min(0.7, 10 / blocked.sum()), linewidth=0.9)
        label = f"{_NAMES[kind]} ({int(pairs['connected'][chosen].sum())} of {len(losses)} connected)"
        middle = data["loss"].isel(pair=chosen).median("pair")
        ax.plot(x, middle, **look_of, markevery=[0, -1], label=label)
    if is_blocked.any():
        ax.plot([], [], color=paint("red"), label=f"barrier between solutions ({is_blocked.sum()})")
    for name, style in (("unsteered", "--"), ("solved", ":")):
        label = "unsteered model" if name == "unsteered" else "a solution is below"
        ax.axhline(data[name].mean().item(), color=paint("ink"), linestyle=style, linewidth=0.9, label=label)
    ax.set_xlabel(f"way from one vector to the other ({data.attrs['path']})")
    ax.set_ylabel("loss (nats)")
    ax.set_ylim(bottom=min(0, float(data["loss"].min())))
    handles, labels = ax.get_legend_handles_labels()
    legend_below(ax, handles, labels)
    return tidy(ax)
