"""Which factors of the samples explain how far their values differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from math import factorial

import numpy as np
from einops import einsum, rearrange
from jaxtyping import Float, Shaped

from tlsteer._arguments import Count, Seed, checked
from tlsteer.stats._bootstrap import Weights, bootstrap_interval
from tlsteer.stats._estimates import Estimate, undefined

INTERACTION, UNEXPLAINED = "interaction", "unexplained"


@checked
def split_variance(
    values: Float[np.ndarray, " samples"],
    factors: Mapping[str, Shaped[np.ndarray, " samples"]],
    clusters: Shaped[np.ndarray, " samples"] | None = None,
    *,
    confidence: float = 0.95,
    n_resamples: Count = 1000,
    seed: Seed = 0,
) -> dict[str, Estimate]:
    """The shares of the values' variance that each factor, the factors' interaction and neither explain.

    A factor's share is its sum of squares, averaged over the orders in which the factors can enter (Lindeman,
    Merenda and Gold 1980), so that the shares lie in [0, 1] and add up to 1 whatever the design. In a balanced
    design every order gives the same, the sums of squares of a classical analysis of variance; what two factors
    that go together explain jointly is halved between them. `interaction` is what all pairs of factors explain
    beyond the factors alone.

    Of noise, too, every factor explains a little. The values keep this, as published splits do; the intervals
    (percentiles, by clusters) are for the shares without it, so that that of a factor without influence reaches 0.

    Args:
        values: one per sample, e.g. its slope; samples that are NaN do not count.
        factors: the level of each sample, by factor.
        clusters: which samples are drawn together; every one is its own by default.
        confidence: of the intervals.
        n_resamples: how many.
        seed: of the resamples.

    Returns:
        An estimate for each factor, "interaction" and "unexplained". Undefined (NaN) are the share of a factor with
        one level, the interaction of fewer than two factors, and all of them where the values do not differ or are
        no more than the terms.

    >>> factors = {"letter": np.array(["A", "B", "A", "B"]), "word": np.array(["Y", "Y", "N", "N"])}
    >>> split_variance(np.array([1.0, 2.0, 3.0, 4.0]), factors)["letter"]
    """
    model, labels = _Shares.of(values, factors, clusters)
    blank = {name: undefined(model.n) for name in (*factors, INTERACTION, UNEXPLAINED)}
    if not model.defined:
        return blank
    low, high = bootstrap_interval(
        model.without_chance, labels, confidence=confidence, n_resamples=n_resamples, seed=seed
    )
    value = model(np.ones((1, model.n)))[0]
    low, high = np.clip(np.minimum(low, value), 0, 1), np.clip(np.maximum(high, value), 0, 1)
    found = zip(model.names, value, low, high, strict=True)
    return blank | {name: Estimate(float(share), float(a), float(b), model.n) for name, share, a, b in found}


@checked
def explained_without_interaction(
    values: Float[np.ndarray, " samples"],
    factors: Mapping[str, Shaped[np.ndarray, " samples"]],
    clusters: Shaped[np.ndarray, " samples"] | None = None,
    *,
    confidence: float = 0.95,
    n_resamples: Count = 1000,
    seed: Seed = 0,
) -> Estimate:
    """R2 of the least-squares fit of values on factors, without their interaction, as arXiv 2407.12404 has it.

    It is the sum of the factors' shares of `split_variance`. As there, the interval is for the share without what
    noise explains on average. Undefined (NaN) where the values do not differ, are no more than the terms, or every
    factor has one level.

    >>> factors = {"letter": np.array(["A", "B", "A", "B"]), "word": np.array(["Y", "Y", "N", "N"])}
    >>> explained_without_interaction(np.array([1.0, 2.0, 3.0, 4.0]), factors)
    """
    model, labels = _Shares.of(values, factors, clusters)
    alone = [place for place, name in enumerate(model.names) if name in factors]
    if not (alone and model.defined):
        return undefined(model.n)
    value = float(model(np.ones((1, model.n)))[0, alone].sum())
    low, high = bootstrap_interval(
        lambda weights: model.without_chance(weights)[:, alone].sum(1),
        labels, confidence=confidence, n_resamples=n_resamples, seed=seed,
    )  # fmt: skip
    low, high = np.clip([min(low, value), max(high, value)], 0, 1)
    return Estimate(value, float(low), float(high), model.n)


class _Shares:
    """The shares as a statistic of weighted samples."""

    def __init__(self, y: Float[np.ndarray, " samples"], columns: Mapping[str, Float[np.ndarray, "samples levels"]]):
        self.n = len(y)
        self._y = y - y.mean() if self.n else y
        self._columns = columns
        pairs = [
            rearrange(einsum(one, other, "sample level, sample other -> sample level other"), "n a b -> n (a b)")
            for one, other in combinations(columns.values(), 2)
        ]
        self._pairs = np.concatenate(pairs, axis=1) if pairs else None
        self.names = [*columns, *([INTERACTION] if pairs else []), UNEXPLAINED]
        # Degrees of freedom, counted as what is explained is: the gain in rank.
        # (An empty matrix has none; the oldest numpy refuses to say so.)
        terms = self._split(lambda design: np.array([float(np.linalg.matrix_rank(design)) if self.n else 0.0]))[0]
        self.n_terms = int(terms[:-1].sum()) + 1
        self._freedom = np.append(terms[:-1], -terms[:-1].sum())
        # Whether the values differ, and are more than the terms.
        self.defined = self.n > self.n_terms and bool(np.ptp(y) > 1e-12 * np.abs(y).max())

    @classmethod
    def of(
        cls,
        values: Float[np.ndarray, " samples"],
        factors: Mapping[str, Shaped[np.ndarray, " samples"]],
        clusters: Shaped[np.ndarray, " samples"] | None,
    ) -> tuple[_Shares, Shaped[np.ndarray, " known"]]:
        """Those of the samples that are known, by the factors that have levels there, and which are drawn together."""
        known = np.isfinite(values)
        columns = {name: _indicators(levels[known]) for name, levels in factors.items()} if known.any() else {}
        telling = {name: column for name, column in columns.items() if column.shape[1]}
        return cls(values[known].astype(float), telling), (
            np.arange(known.sum()) if clusters is None else clusters[known]
        )

    def __call__(self, weights: Weights) -> Float[np.ndarray, "draws parts"]:
        """The share of each part."""
        return self._split(lambda design: self._explained(weights, design))

    def without_chance(self, weights: Weights) -> Float[np.ndarray, "draws parts"]:
        """The same without what noise explains on average: epsilon squared in the place of eta squared."""
        shares = self(weights)
        return shares - self._freedom * shares[:, -1:] / (self.n - self.n_terms)

    def _split(
        self, measure: Callable[[Float[np.ndarray, "samples terms"]], Float[np.ndarray, " draws"]]
    ) -> Float[np.ndarray, "draws parts"]:
        """What each part adds to a measure of designs, and what is left of 1."""
        names = tuple(self._columns)
        explained = {
            chosen: measure(self._design(chosen))
            for size in range(len(names) + 1)
            for chosen in combinations(names, size)
        }
        parts = [_average_gain(name, names, explained) for name in names]
        full = explained[names]
        if self._pairs is not None:
            full = np.maximum(full, measure(self._design(names, True)))
            parts.append(full - explained[names])
        return np.stack([*parts, 1 - full], axis=1)

    def _design(self, names: tuple[str, ...], with_pairs: bool = False) -> Float[np.ndarray, "samples terms"]:
        parts = [np.ones((len(self._y), 1)), *(self._columns[name] for name in names)]
        return np.concatenate([*parts, self._pairs] if with_pairs and self._pairs is not None else parts, axis=1)

    def _explained(self, weights: Weights, design: Float[np.ndarray, "samples terms"]) -> Float[np.ndarray, " draws"]:
        """R2 of a weighted regression; NaN for a draw whose values are all the same."""
        moments = np.einsum("rn,ni,nj->rij", weights, design, design, optimize=True)
        products = (weights * self._y) @ design
        # Draws may miss a level, so the moments need not have full rank.
        coefficients = (np.linalg.pinv(moments, rcond=1e-10, hermitian=True) @ products[..., None])[..., 0]
        constant = products[:, 0] ** 2 / weights.sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = ((coefficients * products).sum(1) - constant) / (weights @ self._y**2 - constant)
        return np.clip(share, 0, 1)


def _average_gain(
    name: str, names: tuple[str, ...], explained: Mapping[tuple[str, ...], Float[np.ndarray, " draws"]]
) -> Float[np.ndarray, " draws"]:
    """What a factor adds to what those before it explain, averaged over all orders."""
    others = [other for other in names if other != name]
    gain = np.zeros_like(explained[()])
    for size in range(len(others) + 1):
        share_of_orders = factorial(size) * factorial(len(others) - size) / factorial(len(names))
        for before in combinations(others, size):
            after = tuple(one for one in names if one in (*before, name))
            gain = gain + share_of_orders * np.maximum(explained[after] - explained[before], 0)
    return gain


def _indicators(levels: Shaped[np.ndarray, " samples"]) -> Float[np.ndarray, "samples levels"]:
    """A column for each level but the first."""
    kinds = np.unique(levels)
    return (levels[:, None] == kinds[None, 1:]).astype(float)
