"""Least-squares lines through curves, and how far the curves are from lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tlsteer._arguments import checked
from tlsteer.errors import TlsteerError


@dataclass(frozen=True)
class Lines:
    """One least-squares line per curve; NaN where a curve has a NaN.

    Attributes:
        slope: change for each unit of x.
        intercept: height at x = 0.
        r2: share of the curve's variance that its line explains; NaN for a constant curve.

    >>> lines = fit_lines(np.array([-1.0, 0.0, 1.0]), np.array([[-2.0, 0.0, 2.0], [1.0, 0.0, -1.0]]))
    >>> lines.slope, lines.r2
    (array([ 2., -1.]), array([1., 1.]))
    """

    slope: Float[np.ndarray, " curves"]
    intercept: Float[np.ndarray, " curves"]
    r2: Float[np.ndarray, " curves"]


@checked
def fit_lines(x: Float[np.ndarray, " points"], curves: Float[np.ndarray, "curves points"]) -> Lines:
    """Least-squares lines through curves over the same x, such as propensities over multipliers.

    The slope over multipliers is steerability (arXiv 2407.12404). Lines are linear in their curve, so the slope of
    the mean curve is the mean of the slopes.

    Raises:
        TlsteerError: fewer than two different x.

    >>> fit_lines(np.array([-1.0, 0.0, 1.0]), np.array([[-2.0, 0.0, 2.0]])).slope
    array([2.])
    """
    if len(np.unique(x)) < 2:
        raise TlsteerError(f"a slope needs at least two different multipliers, got {x.tolist()}")
    centre, height = x.mean(), curves.mean(-1)
    away = x - centre
    slope = curves @ away / (away @ away)
    deviations = curves - height[..., None]
    total = (deviations**2).sum(-1)
    left = ((deviations - slope[..., None] * away) ** 2).sum(-1)
    # Rounding leaves a constant curve a variance of the order of its squared precision.
    flat = total <= len(x) * (1e-12 * np.abs(height)) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = np.where(flat, np.nan, 1 - left / total)
    return Lines(slope, height - slope * centre, np.asarray(r2))


@checked
def saturation(
    x: Float[np.ndarray, " points"], curves: Float[np.ndarray, "curves points"]
) -> Float[np.ndarray, " curves"]:
    """How much of a curve's slope is lost in the outer half of x.

    One minus the mean slope of the outer half (either side of 0) over the slope of the inner half: 0 for a line,
    1 where the outer half adds nothing, above 1 where the curve turns back. NaN where a half has fewer than two
    points or the inner half is flat.

    >>> saturation(np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), np.array([[-1.0, -1.0, 0.0, 1.0, 1.0]]))
    """
    half = np.abs(x).max() / 2
    sides = [x <= -half, x >= half]
    outer = [fit_lines(x[side], curves[..., side]).slope for side in sides if len(np.unique(x[side])) > 1]
    inside = np.abs(x) <= half
    if not outer or len(np.unique(x[inside])) < 2:
        return np.full(curves.shape[:-1], np.nan)
    inner = fit_lines(x[inside], curves[..., inside]).slope
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(inner == 0, np.nan, 1 - np.mean(outer, axis=0) / inner)
