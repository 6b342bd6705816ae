"""A number with its uncertainty, and rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Shaped
from scipy.stats import binomtest, t

from tlsteer._arguments import CountOrNone, Share, checked

# Pseudo-clusters per outcome: they raise the coverage of rare rates in 40 clusters from 91-93% to 94-98%.
_ADDED_CLUSTERS = 0.05


@dataclass(frozen=True)
class Estimate:
    """A number with its interval and how many observations it stands on; NaN where it is undefined.

    >>> print(Estimate(0.91, 0.84, 0.95, 100))
    0.91 [0.84, 0.95] (n=100)
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if self.n == 0:
            return "undefined (n=0)"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}] (n={self.n})"


def undefined(n: int) -> Estimate:
    """What `n` observations cannot tell."""
    return Estimate(math.nan, math.nan, math.nan, n)


@checked
def rate(successes: CountOrNone, n: CountOrNone, confidence: Share = 0.95) -> Estimate:
    """A share of `n` with its Wilson score interval; NaN for n = 0.

    >>> print(rate(91, 100))
    0.91 [0.84, 0.95] (n=100)
    """
    if n == 0:
        return undefined(0)
    interval = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Estimate(successes / n, interval.low, interval.high, n)


@checked
def clustered_rate(
    outcomes: Bool[np.ndarray, " samples"], clusters: Shaped[np.ndarray, " samples"], confidence: Share = 0.95
) -> Estimate:
    """A share of samples that come in clusters: Wilson's interval at the effective number of samples.

    Samples that go together count for less: n is divided by the design effect, the variance over clusters against
    that of independent samples (Korn and Graubard 1998). A few outcomes of a kind show too little of how much they
    go together, so a small part of a cluster of each kind is added for the design effect; where all outcomes are the
    same, each cluster then counts once.

    Args:
        outcomes: what is counted.
        clusters: which samples belong together.
        confidence: of the interval.

    >>> outcomes, people = np.array([True, True, False, True]), np.array(["a", "a", "b", "c"])
    >>> clustered_rate(outcomes, people).value
    0.75
    """
    n, labels = len(outcomes), np.unique(clusters, return_inverse=True)[1]
    if n == 0:
        return undefined(0)
    p, n_clusters = float(outcomes.mean()), int(labels.max()) + 1
    if n_clusters == n:
        return rate(int(outcomes.sum()), n, confidence)
    if n_clusters == 1:
        return Estimate(p, math.nan, math.nan, n)
    effective = min(n, n / _design_effect(outcomes, labels, n_clusters))
    low, high = wilson(p, effective, float(t.ppf(0.5 + confidence / 2, n_clusters - 1)))
    return Estimate(p, low, high, n)


def _design_effect(
    outcomes: Bool[np.ndarray, " samples"], labels: Shaped[np.ndarray, " samples"], n_clusters: int
) -> float:
    size, n_all = len(outcomes) / n_clusters, n_clusters + 2 * _ADDED_CLUSTERS
    p = float(outcomes.sum() + _ADDED_CLUSTERS * size) / (n_all * size)
    sums = np.bincount(labels, outcomes - p)
    squares = float(sums @ sums) + _ADDED_CLUSTERS * size**2 * (p**2 + (1 - p) ** 2)
    return n_all / (n_all - 1) * squares / (n_all * size * p * (1 - p))


def wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """The ends of Wilson's score interval for a share of `n`, not always whole, at `z` standard errors."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2) / (1 + z**2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)
