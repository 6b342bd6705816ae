"""The result of comparing vectors: cosines against chance, order, shared part, angles of groups, a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy.cluster.hierarchy import leaves_list

from tlsteer._dataset_files import load_dataset, save_dataset
from tlsteer._results import Result
from tlsteer.analyse._comparison.geometry import shared_direction

_KIND = "a comparison of vectors"
_NULLS = {"random": "pairs of random directions", "residual": "pairs drawn as the residual stream varies"}


@dataclass(frozen=True, eq=False)
class VectorComparison(Result):
    """What `compare_vectors` found.

    Attributes:
        data: `cosine` and `null_band` (see the properties of these names); `norm`; `relative_norm`, the norm over
            the mean norm of the residual stream at the vector's site; `shared`, the squared cosine with the
            direction that all vectors share most of; `in_group` (dims vector, group), the share of a vector's
            squared norm in the span of a group without itself; `angle` (dims group, other_group, number), principal
            angles in degrees, and `random_angle`, what those of random spans stay above; `tree`, scipy's linkage;
            `tensor`, the vectors themselves; and where the residual stream was measured, `effective_dimension`, in how
            many directions of equal variance it would spread as much at the vector's site.

    >>> found = compare_vectors({"one-shot": fitted, "caa": vector, "random": control})
    >>> found.data, found.plot()
    """

    data: xr.Dataset

    _picture = "plot_cosines"
    _next = ".shared_part() splits the direction off that all have in common; .angles() compares groups."

    @property
    def headline(self) -> str:
        """How many pairs of vectors are closer than chance."""
        return next(line for line in repr(self).split("\n") if "beyond chance" in line)

    @property
    def cosine(self) -> xr.DataArray:
        """Cosine of the angle between every two vectors; dims vector and other."""
        return self.data["cosine"]

    @property
    def null_band(self) -> xr.DataArray:
        """What the absolute cosine stays under by chance; dims null, vector and other.

        `null` is "random", for directions drawn uniformly, and where a model and texts were given "residual", for
        directions drawn as the residual stream varies at the vectors' own sites.
        """
        return self.data["null_band"]

    @property
    def beyond_chance(self) -> xr.DataArray:
        """Whether a cosine lies outside of every null band; dims vector and other."""
        return np.abs(self.cosine) > self.null_band.max("null")

    @property
    def order(self) -> list[str]:
        """The vectors' names, ordered so that similar ones are neighbours."""
        names = list(map(str, self.data["vector"].values))
        if len(names) < 2:
            return names
        return [names[leaf] for leaf in leaves_list(self.data["tree"].values)]

    def shared_part(self) -> tuple[np.ndarray, pd.DataFrame]:
        """The direction all vectors share most of, and what remains of each vector without it.

        Returns:
            A unit vector, and a table with the columns vector, along (the component), share (of the squared norm)
            and remainder (its norm).
        """
        rows = self.data["tensor"].values.astype(float)
        direction = shared_direction(rows)
        along, squared = rows @ direction, (rows**2).sum(1)
        left = np.sqrt(np.clip(squared - along**2, 0, None))
        columns = {"vector": self.data["vector"].values, "along": along, "share": along**2 / squared, "remainder": left}
        return direction, pd.DataFrame(columns)

    def to_dataframe(self) -> pd.DataFrame:
        """A row for each pair: vector, other, cosine, the null bands, and whether it is beyond chance."""
        first, second = np.triu_indices(len(self.data["vector"]), 1)
        names = self.data["vector"].values
        bands = {f"null_{null}": self.null_band.sel(null=null).values[first, second] for null in self._nulls}
        columns = {"vector": names[first], "other": names[second], "cosine": self.cosine.values[first, second]}
        return pd.DataFrame(columns | bands | {"beyond_chance": self.beyond_chance.values[first, second]})

    def angles(self) -> pd.DataFrame:
        """A row for each principal angle of two groups: group, other_group, number, angle, random_angle (degrees)."""
        if "angle" not in self.data:
            return pd.DataFrame(columns=["group", "other_group", "number", "angle", "random_angle"])
        table = self.data[["angle", "random_angle"]].to_dataframe().dropna().reset_index()
        return table[table["group"] < table["other_group"]].reset_index(drop=True)

    def __repr__(self) -> str:
        pairs, about = self.to_dataframe(), self.data.attrs
        sites = pd.Series(self.data["site"].values).value_counts(sort=False)
        where = ", ".join(f"{n} at {site}" for site, n in sites.items())
        lines = [f"VectorComparison of {len(self.data['vector'])} vectors of width {about['d_model']} ({where})"]
        if len(sites) > 1:
            lines.append("sites mix: a cosine between two sites compares directions of different residual streams")
        for null in self._nulls:
            band = pairs[f"null_{null}"]
            ends = " to ".join(dict.fromkeys(f"{end:.3f}" for end in (band.min(), band.max()) if np.isfinite(end)))
            lines.append(f"|cosine| under {ends} in {about['confidence']:.0%} of {_NULLS[null]}{self._measured(null)}")
        n_beyond = int(pairs["beyond_chance"].sum())
        chance = (1 - about["confidence"]) * len(pairs)
        lines.append(f"{n_beyond} of {len(pairs)} pairs beyond chance (at most {chance:.1f} expected by chance)")
        for _, pair in pairs.reindex(pairs["cosine"].abs().sort_values(ascending=False).index).head(3).iterrows():
            lines.append(f"  {pair['cosine']:+.2f}  {pair['vector']} / {pair['other']}")
        lines.append(
            f"shared direction: {float(self.data['shared'].mean()):.0%} of the squared norm in the mean "
            f"(random directions: under {about['random_shared']:.0%})"
        )
        for _, one in self.angles().query("number == 0").iterrows():
            lines.append(
                f"smallest angle of {one['group']} and {one['other_group']}: {one['angle']:.0f} degrees "
                f"(random: above {one['random_angle']:.0f})"
            )
        return "\n".join([*lines, "order: " + ", ".join(self.order)])

    def save(self, path: str | Path) -> Path:
        """Writes everything as one netCDF file, whole or not at all."""
        return save_dataset(self.data, _KIND, path)

    @classmethod
    def load(cls, path: str | Path) -> VectorComparison:
        """Reads what `save` wrote.

        Raises:
            DataError: no such file, or one that is not a comparison.
        """
        return cls(load_dataset(path, _KIND))

    @property
    def _nulls(self) -> list[str]:
        return list(map(str, self.null_band["null"].values))

    def _measured(self, null: str) -> str:
        """What the residual stream's null band stands on."""
        if null != "residual":
            return ""
        spread = self.data["effective_dimension"]
        ends = " to ".join(dict.fromkeys(f"{float(end):.1f}" for end in (spread.min(), spread.max())))
        return f" (effective dimension {ends}, {self.data.attrs['n_tokens']} tokens)"
