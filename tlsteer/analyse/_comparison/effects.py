"""Whether vectors change the same inputs: two near-orthogonal ones can do the same thing.

A vector's effect on an input is the slope of the input's propensity over multipliers (arXiv 2407.12404). Vectors
whose effects go together over inputs do the same thing there, whatever the angle between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from einops import einsum, rearrange
from jaxtyping import Float

from tlsteer._arguments import Count, Seed, Share, checked
from tlsteer._dataset_files import load_dataset, save_dataset
from tlsteer._results import Result
from tlsteer.analyse._comparison.comparison_result import VectorComparison
from tlsteer.errors import DataError
from tlsteer.stats import bootstrap_interval, fit_lines
from tlsteer.stats._bootstrap import Statistic, Weights

_KIND = "a comparison of effects"


@dataclass(frozen=True, eq=False)
class EffectComparison(Result):
    """What `compare_effects` found.

    Attributes:
        data: `effect` (dims vector, sample), the slope of each sample's propensity; `correlation` (dims vector,
            other) of effects over samples, with `low` and `high`; `n`, how many samples count; `random`, whether a
            vector is a control (1) or not (0).

    >>> curves = propensity(model, {"one-shot": fitted, "caa": vector, "random": control}, choices, [-1, 0, 1])
    >>> found = compare_effects(curves, random=["random"])
    >>> found.data, found.to_dataframe()
    """

    data: xr.Dataset

    _picture = "plot_effects"
    _next = ".beside(compare_vectors(...)) says which vectors do the same by other directions."

    @property
    def correlation(self) -> xr.DataArray:
        """Pearson's correlation of every two vectors' effects over samples; dims vector and other."""
        return self.data["correlation"]

    @property
    def null_band(self) -> float:
        """What the absolute correlations of pairs with a random vector stay under, as often as the intervals hold.

        NaN without random vectors.
        """
        pairs = self.to_dataframe()
        with_random = np.abs(np.asarray(pairs["correlation"])[np.asarray(pairs["random"])])
        return float(np.quantile(with_random, self.data.attrs["confidence"])) if len(with_random) else np.nan

    def to_dataframe(self) -> pd.DataFrame:
        """A row for each pair: vector, other, correlation, low, high, n, and whether one of them is random."""
        first, second = np.triu_indices(len(self.data["vector"]), 1)
        names, random = self.data["vector"].values, self.data["random"].values.astype(bool)
        parts = {part: self.data[part].values[first, second] for part in ("correlation", "low", "high")}
        about = {"n": int(self.data["n"]), "random": random[first] | random[second]}
        return pd.DataFrame({"vector": names[first], "other": names[second], **parts, **about})

    def beside(self, comparison: VectorComparison) -> pd.DataFrame:
        """The pairs of both comparisons: columns of both frames, and `same_effect_other_direction`.

        That is a cosine inside the null bands, and a correlation of effects whose interval lies above 0 and, where
        there are random vectors, that lies above their null band.
        """
        mine, theirs = self.to_dataframe(), comparison.to_dataframe()
        turned = theirs.rename(columns={"vector": "other", "other": "vector"})
        pairs = mine.merge(pd.concat([theirs, turned]), on=["vector", "other"])
        together = (pairs["low"] > 0) & ~(pairs["correlation"] <= self.null_band)
        return pairs.assign(same_effect_other_direction=together & ~pairs["beyond_chance"] & ~pairs["random"])

    def __repr__(self) -> str:
        pairs, data = self.to_dataframe(), self.data
        held = data.attrs.get("adjusted", "")
        lines = [
            f"EffectComparison of {len(data['vector'])} vectors on {int(data['n'])} samples"
            + (f", {held} held fixed" if held else "")
        ]
        own = pairs[~pairs["random"]]
        for row in np.argsort(-np.abs(np.asarray(own["correlation"])))[:5]:
            one = own.iloc[row]
            ends = f"[{one['low']:+.2f}, {one['high']:+.2f}]"
            lines.append(f"  {one['correlation']:+.2f} {ends}  {one['vector']} / {one['other']}")
        if pairs["random"].any():
            n_random, confidence = int(pairs["random"].sum()), data.attrs["confidence"]
            lines.append(
                f"|correlation| under {self.null_band:.2f} in {confidence:.0%} of {n_random} pairs with a random vector"
            )
        return "\n".join(lines)

    def save(self, path: str | Path) -> Path:
        """Writes everything as one netCDF file, whole or not at all."""
        return save_dataset(self.data, _KIND, path)

    @classmethod
    def load(cls, path: str | Path) -> EffectComparison:
        """Reads what `save` wrote.

        Raises:
            DataError: no such file, or one that is not a comparison of effects.
        """
        return cls(load_dataset(path, _KIND))


@checked
def compare_effects(
    curves: xr.DataArray,
    *,
    random: Sequence[str] = (),
    adjust: Sequence[str] = (),
    confidence: Share = 0.95,
    n_resamples: Count = 2000,
    seed: Seed = 0,
) -> EffectComparison:
    """Whether vectors change the same inputs: the correlation of their per-sample effects.

    Any two vectors that act through the same answer tokens share some of their effects, so compare them with random
    vectors of equal norm.

    Args:
        curves: of `propensity` with vectors by name: dims vector, sample and multiplier.
        random: names of the vectors that are random controls.
        adjust: coordinates of `sample` held fixed together, e.g. ["letter", "word"]: the correlation is then over
            the samples that agree in all of them. Vectors that lean to a letter or a word correlate without them.
        confidence: of the intervals, bootstrapped by the coordinate `question` of `sample`.
        n_resamples: how many.
        seed: of the resamples.

    Raises:
        DataError: other dims, fewer than two vectors, or unknown names.

    >>> curves = propensity(model, {"one-shot": fitted, "caa": vector, "random": control}, choices, [-1, 0, 1])
    >>> compare_effects(curves, random=["random"], adjust=["letter", "word"])
    """
    if set(curves.dims) != {"vector", "sample", "multiplier"} or curves.sizes["vector"] < 2:
        raise DataError(
            "give curves with the dims vector, sample and multiplier, of two vectors at least; "
            f"got {dict(curves.sizes)}"
        )
    names = list(map(str, curves["vector"].values))
    if unknown := [name for name in random if name not in names] + [one for one in adjust if one not in curves.coords]:
        raise DataError(f"{', '.join(unknown)}: neither a vector ({', '.join(names)}) nor a coordinate of the samples")
    ordered = curves.transpose("vector", "sample", "multiplier")
    x = curves["multiplier"].values.astype(float)
    effects = np.stack([fit_lines(x, one).slope for one in ordered.values.astype(float)])
    known = np.flatnonzero(np.isfinite(effects).all(0))
    kinds = list(zip(*(curves[one].values[known] for one in adjust), strict=True)) if adjust else ["all"] * len(known)
    levels = pd.get_dummies(pd.Series(kinds), drop_first=True).to_numpy(float)
    statistic = _partial_correlations(effects[:, known].T, levels)
    clusters = curves["question"].values if "question" in curves.coords else np.arange(effects.shape[1])
    low, high = bootstrap_interval(
        statistic, clusters[known], confidence=confidence, n_resamples=n_resamples, seed=seed
    )
    found = {"correlation": statistic(np.ones((1, len(known))))[0], "low": low, "high": high}
    data = xr.Dataset(
        {name: (("vector", "other"), values) for name, values in found.items()}
        | {"effect": ordered.isel(multiplier=0, drop=True).copy(data=effects), "n": len(known)}
        | {"random": ("vector", [int(name in random) for name in names])},
        coords={"other": names},
        attrs={"adjusted": ", ".join(adjust), "confidence": confidence},
    )
    return EffectComparison(data)


def _partial_correlations(
    effects: Float[np.ndarray, "samples vectors"], factors: Float[np.ndarray, "samples columns"]
) -> Statistic:
    """Correlations of weighted samples, with what the factors' levels explain taken out of both sides."""
    n = effects.shape[1]
    columns = np.concatenate([effects - effects.mean(0), factors - factors.mean(0)], axis=1)

    def statistic(weights: Weights) -> Float[np.ndarray, "draws vectors vectors"]:
        total = rearrange(weights.sum(1), "draw -> draw 1")
        means = weights @ columns / total
        # The plain function, which can be told to multiply in the cheapest order.
        moments = np.einsum("rn,ni,nj->rij", weights, columns, columns, optimize=True) / total[..., None]
        moments -= einsum(means, means, "draw i, draw j -> draw i j")
        own, across, among = moments[:, :n, :n], moments[:, :n, n:], moments[:, n:, n:]
        # A draw may miss a level, so the factors' moments need not have full rank.
        left = own - across @ np.linalg.pinv(among, rcond=1e-10, hermitian=True) @ across.mT
        scale = np.sqrt(np.clip(np.diagonal(left, axis1=1, axis2=2), 0, None))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.clip(left / einsum(scale, scale, "draw i, draw j -> draw i j"), -1, 1)

    return statistic
