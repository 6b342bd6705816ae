"""The result of mode connectivity: losses on paths, which pairs are connected, their rate, a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from tlsteer._dataset_files import load_dataset, save_dataset
from tlsteer._results import Result
from tlsteer.stats import Estimate, bootstrap_interval, rate
from tlsteer.stats._bootstrap import Weights
from tlsteer.stats._estimates import undefined

_KIND = "mode connectivity"


@dataclass(frozen=True, eq=False)
class ModeConnectivity(Result):
    """What `mode_connectivity` found.

    A pair is connected where both ends are solutions (their loss is at most `solved`) and on the way between them
    the loss is nowhere more than `tolerance` above the worse end.

    Attributes:
        data: `loss` in nats (dims pair, point), `fraction` of the way (point), and on `pair` the coordinates `first`,
            `second`, `kind` ("vectors"; "to random", from a vector to a random one; "random", between two random
            ones), `angle` in degrees, `unsteered` loss and `solved`; the attribute `tolerance` in nats.

    >>> paths = mode_connectivity(model, {"one": fitted, "another": vector}, example, 5)
    >>> paths.rate(), paths.to_dataframe()
    """

    data: xr.Dataset

    _picture = "plot_paths"
    _next = ".rate() is the share of connected pairs with its interval."

    @property
    def headline(self) -> str:
        """How many pairs of each kind are connected."""
        return "; ".join(line.partition(";")[0] for line in repr(self).split("\n")[2:])

    def to_dataframe(self) -> pd.DataFrame:
        """A row for each pair: its ends, their losses, the highest loss, whether both ends are solutions, the barrier
        (how far the highest loss is above the worse end, in nats) and whether the pair is connected."""
        loss = self.data["loss"].values
        worse = np.maximum(loss[:, 0], loss[:, -1])
        found = {name: self.data[name].values for name in ("first", "second", "kind", "angle")}
        found |= {"loss_first": loss[:, 0], "loss_second": loss[:, -1], "highest": loss.max(1)}
        found |= {"both_solve": worse <= self.data["solved"].values, "barrier": loss.max(1) - worse}
        connected = found["both_solve"] & (found["barrier"] <= self.data.attrs["tolerance"])
        return pd.DataFrame(found | {"connected": connected})

    def rate(self, kind: str = "vectors", confidence: float = 0.95, seed: int = 0) -> Estimate:
        """The share of connected pairs; n counts pairs.

        Pairs share vectors, so the interval draws vectors, not pairs. Where all pairs agree nothing tells how much
        they go together, and it is Wilson's for half as many pairs as there are vectors, which share none.
        """
        pairs = self.to_dataframe().query("kind == @kind")
        return pair_mean(pairs, np.asarray(pairs["connected"], dtype=float), confidence, seed)

    def recounted(self, *, tolerance: float, solved: float = np.inf) -> ModeConnectivity:
        """The same paths counted by another rule.

        Args:
            tolerance: how far a point between may lie above the worse end, in nats.
            solved: the loss up to which an end counts as a solution; any, by default.

        >>> paths = mode_connectivity(model, {"one": fitted, "another": vector}, example, 5)
        >>> paths.recounted(tolerance=0).rate()  # as in arXiv 2502.18862: no point between is worse than both ends
        """
        data = self.data.assign_coords(solved=("pair", np.full(self.data.sizes["pair"], float(solved))))
        return replace(self, data=data.assign_attrs(tolerance=float(tolerance)))

    def __repr__(self) -> str:
        pairs, about = self.to_dataframe(), self.data.attrs
        unsteered, solved = (float(self.data[name].mean()) for name in ("unsteered", "solved"))
        lines = [
            f"ModeConnectivity along the {about['path']} in {self.data.sizes['point']} points; unsteered loss "
            f"{unsteered:.3g} nats",
            f"connected: both ends at most {solved:.3g} nats (solutions), on the way at most {about['tolerance']:.3g} "
            "above the worse end",
        ]
        for kind, some in pairs.groupby("kind", sort=False):
            connected, solve = int(some["connected"].sum()), int(some["both_solve"].sum())
            flat = int((some["barrier"] <= about["tolerance"]).sum())
            lines.append(
                f"{kind}: {connected} of {len(some)} pairs connected, {self.rate(str(kind))}; both ends solutions in "
                f"{solve}, no barrier in {flat}; median of the highest loss {np.median(some['highest']):.3g}"
            )
        return "\n".join(lines)

    def save(self, path: str | Path) -> Path:
        """Writes everything as one netCDF file, whole or not at all."""
        return save_dataset(self.data, _KIND, path)

    @classmethod
    def load(cls, path: str | Path) -> ModeConnectivity:
        """Reads what `save` wrote.

        Raises:
            DataError: no such file, or one of another kind.
        """
        return cls(load_dataset(path, _KIND))


def pair_mean(
    pairs: pd.DataFrame, values: Float[np.ndarray, " pairs"], confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """The mean over pairs of vectors; its interval draws vectors, n counts pairs.

    Where all pairs agree on 0 or 1 it is Wilson's for half as many pairs as there are vectors, which share none.

    Args:
        pairs: columns first and second.
        values: of each pair.
        confidence: of the interval.
        seed: of the draws.
    """
    if not len(pairs):
        return undefined(0)
    names, members = np.unique(np.stack([pairs["first"], pairs["second"]], 1).astype(str), return_inverse=True)
    first, second = members.reshape(-1, 2).T
    n, value = len(pairs), float(values.mean())
    if value in (0.0, 1.0) and np.all(values == value):
        independent = len(names) // 2
        alike = rate(round(value * independent), independent, confidence)
        return Estimate(value, alike.low, alike.high, n)

    def share(weights: Weights) -> Float[np.ndarray, " draws"]:
        both = weights[:, first] * weights[:, second]
        with np.errstate(invalid="ignore", divide="ignore"):
            return both @ values / both.sum(1)

    low, high = bootstrap_interval(share, np.arange(len(names)), confidence=confidence, seed=seed)
    return Estimate(value, float(low), float(high), n)
