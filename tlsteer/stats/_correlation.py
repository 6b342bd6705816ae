"""Rank correlation: of two lists with its interval, and of each curve with its multipliers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.stats import norm, rankdata, spearmanr

from tlsteer._arguments import Share, checked
from tlsteer.stats._estimates import Estimate, undefined


@checked
def rank_correlation(
    first: Float[np.ndarray, " samples"], second: Float[np.ndarray, " samples"], confidence: Share = 0.95
) -> Estimate:
    """Spearman's rank correlation over the pairs without NaN.

    The interval is Fisher's transformation with the variance of Bonett and Wright (2000), (1 + r^2 / 2) / (n - 3);
    it needs four pairs. The correlation is NaN where one side is constant.

    >>> rank_correlation(np.arange(5.0), np.array([1.0, 2.0, 3.0, 5.0, 4.0])).n
    5
    """
    known = np.isfinite(first) & np.isfinite(second)
    a, b, n = first[known], second[known], int(known.sum())
    if n < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return undefined(n)
    value = float(spearmanr(a, b)[0])  # pyright: ignore[reportArgumentType]
    if n < 4:
        return Estimate(value, np.nan, np.nan, n)
    half = norm.ppf(0.5 + confidence / 2) * np.sqrt((1 + value**2 / 2) / (n - 3))
    # A perfect correlation of few pairs is no proof of one: half a step keeps the transformation finite.
    centre = np.arctanh(np.clip(value, -1 + 1 / n**2, 1 - 1 / n**2))
    low, high = float(np.tanh(centre - half)), float(np.tanh(centre + half))
    return Estimate(value, min(value, low), max(value, high), n)


@checked
def row_rank_correlations(
    x: Float[np.ndarray, " points"], curves: Float[np.ndarray, "samples points"]
) -> Float[np.ndarray, " samples"]:
    """Spearman's correlation of each curve with x: 1 where it only rises; NaN where it is constant or has a NaN.

    >>> row_rank_correlations(np.arange(3.0), np.array([[0.0, 1.0, 5.0], [2.0, 1.0, 0.0]]))
    array([ 1., -1.])
    """
    ranks = rankdata(curves, axis=1, nan_policy="propagate")
    order = rankdata(x) - (len(x) + 1) / 2
    centred = ranks - ranks.mean(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return centred @ order / np.sqrt((centred**2).sum(1) * (order @ order))
