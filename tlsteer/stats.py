"""Statistics on plain arrays: arrays in, numbers with their uncertainty out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import binomtest


@dataclass(frozen=True)
class Estimate:
    """A number with its interval and how many observations it stands on; NaN where it is undefined."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if self.n == 0:
            return "undefined (n=0)"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}] (n={self.n})"


def rate(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """A share of `n` with its Wilson score interval; NaN for n = 0."""
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    interval = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Estimate(successes / n, interval.low, interval.high, n)
