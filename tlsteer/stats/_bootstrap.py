"""Bootstrap intervals, by samples or by clusters of samples that belong together.

A resample is a row of weights: how often each sample was drawn. A statistic takes all resamples at once and
weighs its samples, so thousands of them are a few matrix products, and drawing whole clusters needs no other code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float, Num, Shaped
from scipy.stats import norm, t

from tlsteer._arguments import Count, Seed, checked
from tlsteer.errors import DataError, TlsteerError
from tlsteer.stats._estimates import Estimate, undefined

Weights = Float[np.ndarray, "draws samples"]
Statistic = Callable[[Weights], Float[np.ndarray, "draws ..."]]
Method = Literal["percentile", "bca"]


@checked
def bootstrap_interval(
    statistic: Statistic,
    clusters: Shaped[np.ndarray, " samples"],
    *,
    method: Method = "percentile",
    confidence: float = 0.95,
    n_resamples: Count = 2000,
    seed: Seed = 0,
) -> Float[np.ndarray, "2 ..."]:
    """The low and the high end of a statistic's interval; NaN where there are fewer than two clusters.

    Percentiles are widened for few clusters as Student's t is wider than the normal curve (the expanded percentile
    interval, arXiv 1411.5279): plain ones cover too little below fifty. `bca` corrects for bias and skewness
    instead (Efron 1987) and is the one for statistics near the edge of their range.

    Args:
        statistic: from weights, one row per resample, to one result per resample.
        clusters: which samples are drawn together, such as the question each is about; all different for none.
        method: "percentile" or "bca".
        confidence: how often the interval should hold the true value.
        n_resamples: how many.
        seed: of the resamples.

    Raises:
        TlsteerError: a confidence that is not between 0 and 1, or an unknown method.

    >>> values, people = np.array([1.0, 2.0, 4.0, 5.0]), np.array(["a", "a", "b", "c"])
    >>> low, high = bootstrap_interval(weighted_mean(values), people)
    >>> bool(low <= values.mean() <= high)
    True
    """
    if not 0 < confidence < 1:
        raise TlsteerError(f"confidence={confidence} has to lie between 0 and 1, e.g. 0.95")
    if method not in ("percentile", "bca"):
        raise TlsteerError(f'method {method!r} is unknown; use "percentile" or "bca"')
    labels, members = np.unique(clusters, return_inverse=True)
    n_clusters, ends = len(labels), np.array([0.5 - confidence / 2, 0.5 + confidence / 2])
    value = statistic(np.ones((1, len(members))))
    if not isinstance(value, np.ndarray) or not len(value):
        raise DataError(f"a statistic gives an array with a result for each resample, got {value!r:.80}")
    if n_clusters < 2:
        return np.full((2, *value.shape[1:]), np.nan)
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=n_resamples)
    draws = statistic(counts[:, members].astype(float))
    if method == "percentile":
        levels = norm.cdf(np.sqrt(n_clusters / (n_clusters - 1)) * t.ppf(ends, n_clusters - 1))
        levels = np.broadcast_to(levels.reshape(2, *[1] * (value.ndim - 1)), (2, *value.shape[1:]))
    else:
        left_out = statistic((np.arange(n_clusters)[:, None] != members).astype(float))
        levels = _bca_levels(value, draws, left_out, ends)
    return _quantiles(draws, levels)


@checked
def weighted_mean(values: Float[np.ndarray, "samples ..."]) -> Statistic:
    """The mean of samples as a statistic.

    >>> low, high = bootstrap_interval(weighted_mean(np.array([1.0, 2.0, 4.0])), np.array(["a", "b", "c"]))
    """

    def statistic(weights: Weights) -> Float[np.ndarray, "draws ..."]:
        if weights.shape[1] != len(values):
            raise DataError(f"there are {len(values)} values and {weights.shape[1]} clusters; give a cluster for each")
        total = weights.sum(1).reshape(-1, *[1] * (values.ndim - 1))
        return np.tensordot(weights, values, axes=1) / total

    return statistic


@checked
def mean(
    values: Num[np.ndarray, " samples"],
    clusters: Shaped[np.ndarray, " samples"] | None = None,
    *,
    confidence: float = 0.95,
    n_resamples: Count = 2000,
    seed: Seed = 0,
) -> Estimate:
    """The mean with its percentile interval; samples that are NaN do not count.

    Args:
        values: one per sample.
        clusters: see `bootstrap_interval`; every sample is its own by default.
        confidence: of the interval.
        n_resamples: how many.
        seed: of the resamples.

    >>> estimate = mean(np.array([1.0, 2.0, 4.0, np.nan]))
    >>> round(estimate.value, 2), estimate.n
    (2.33, 3)
    """
    known = np.isfinite(values)
    if not known.any():
        return undefined(0)
    labels = np.arange(len(values)) if clusters is None else clusters
    low, high = bootstrap_interval(
        weighted_mean(values[known].astype(float)),
        labels[known],
        confidence=confidence,
        n_resamples=n_resamples,
        seed=seed,
    )
    return Estimate(float(values[known].mean()), float(low), float(high), int(known.sum()))


@checked
def median(
    values: Num[np.ndarray, " samples"],
    clusters: Shaped[np.ndarray, " samples"] | None = None,
    *,
    confidence: float = 0.95,
    n_resamples: Count = 2000,
    seed: Seed = 0,
) -> Estimate:
    """The median with its percentile interval, as `mean` gives the mean; of an even number, the lower of the two.

    >>> median(np.array([1.0, 2.0, 4.0])).value
    2.0
    """
    known = np.isfinite(values)
    if not known.any():
        return undefined(0)
    labels = np.arange(len(values)) if clusters is None else clusters
    order = np.argsort(values[known], kind="stable")
    sorted_values = values[known].astype(float)[order]

    def medians(weights: Weights) -> Float[np.ndarray, " draws"]:
        below = weights[:, order].cumsum(1)
        return sorted_values[(below >= below[:, -1:] / 2).argmax(1)]

    low, high = bootstrap_interval(medians, labels[known], confidence=confidence, n_resamples=n_resamples, seed=seed)
    value = medians(np.ones((1, len(order))))[0]
    return Estimate(float(value), float(low), float(high), len(order))


def _bca_levels(
    value: Float[np.ndarray, "1 ..."],
    draws: Float[np.ndarray, "draws ..."],
    left_out: Float[np.ndarray, "clusters ..."],
    ends: Float[np.ndarray, " 2"],
) -> Float[np.ndarray, "2 ..."]:
    below = ((draws < value).mean(0) + (draws <= value).mean(0)) / 2
    bias = norm.ppf(np.clip(below, 1 / len(draws), 1 - 1 / len(draws)))
    away = left_out.mean(0) - left_out
    spread = (away**2).sum(0) ** 1.5
    acceleration = np.divide((away**3).sum(0), 6 * spread, out=np.zeros_like(spread), where=spread > 0)
    shifted = bias + norm.ppf(ends).reshape(2, *[1] * (value.ndim - 1))
    return norm.cdf(bias + shifted / (1 - acceleration * shifted))


def _quantiles(draws: Float[np.ndarray, "draws ..."], levels: Float[np.ndarray, "2 ..."]) -> Float[np.ndarray, "2 ..."]:
    """The quantiles of each column of draws at that column's own levels."""
    columns, ends = draws.reshape(len(draws), -1).T, levels.reshape(2, -1).T
    found = [
        np.nanquantile(column, pair) if np.isfinite([*pair, np.nanmax(column, initial=-np.inf)]).all() else [np.nan] * 2
        for column, pair in zip(columns, ends, strict=True)
    ]
    return np.array(found).T.reshape(levels.shape)
