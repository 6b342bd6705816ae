"""Whether a vector does what it should, on which inputs, and what else it follows (arXiv 2407.12404)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from einops import rearrange
from jaxtyping import Float, Shaped

from tlsteer._arguments import Count, Seed, Share, checked
from tlsteer.errors import DataError
from tlsteer.evaluate._reliability_report import ReliabilityReport
from tlsteer.evaluate._verdict import Control
from tlsteer.stats import (
    Estimate,
    bootstrap_interval,
    clustered_rate,
    estimate_columns,
    fit_lines,
    mean,
    row_rank_correlations,
    saturation,
    split_variance,
    weighted_mean,
)
from tlsteer.stats._spread import standard_deviation


@checked
def reliability(
    curve: xr.DataArray,
    *,
    controls: Mapping[str, xr.DataArray] | None = None,
    diagnostics: Mapping[str, Estimate] | None = None,
    confidence: Share = 0.95,
    n_resamples: Count = 2000,
    seed: Seed = 0,
) -> ReliabilityReport:
    """How reliably a vector steers a dataset, from its propensity curve.

    All intervals are over questions, for this one vector: they are bootstrapped by the coordinate `question` of
    `sample`; without one every sample is its own. How much other vectors of the same method differ they do not say.
    Samples with a NaN in their curve do not count.

    Args:
        curve: dims sample and multiplier, of `propensity` or made elsewhere. Every other coordinate of `sample` is a
            factor that may explain why samples differ.
        controls: curves of the same samples under vectors that should not steer, by name, e.g. random vectors and
            vectors of shuffled labels, several of a kind on a dim `vector`. A random direction may steer by chance,
            so an effect is said from 19 of a kind on; each counts in both directions, since it could as well have
            pointed the other way.
        diagnostics: of the fit, see `diagnose`.
        confidence: of the intervals.
        n_resamples: how many.
        seed: of the resamples.

    Raises:
        DataError: other dims, or controls of other samples.

    >>> curves = propensity(model, {"caa": vector, "random": control}, choices, [-1, 0, 1])
    >>> print(reliability(curves.sel(vector="caa"), controls={"random": curves.sel(vector=["random"])}))
    """
    curve = _checked(curve)
    settings: dict[str, Any] = {"confidence": confidence, "n_resamples": n_resamples, "seed": seed}
    x, values, clusters = curve.multiplier.values.astype(float), curve.values.astype(float), _clusters(curve)
    lines = fit_lines(x, values)
    slopes = curve.isel(multiplier=0, drop=True).copy(data=lines.slope).rename("slope")
    slopes.attrs["units"] = f"{curve.attrs.get('units', '')} per unit of multiplier".strip()
    known = np.isfinite(lines.slope)
    factors = {str(name): one.values for name, one in sorted(curve.coords.items()) if one.dims == ("sample",)}
    compared = {name: _on(curve, name, control) for name, control in (controls or {}).items()}
    averages = {"vector": values} | {name: several.mean(0) for name, several in compared.items()}
    return ReliabilityReport(
        curve=curve,
        per_sample=slopes,
        steerability=mean(lines.slope, clusters, **settings),
        anti_steerable_fraction=clustered_rate(lines.slope[known] < 0, clusters[known], confidence),
        spread=standard_deviation(lines.slope, clusters, confidence=confidence),
        variance_explained=split_variance(
            lines.slope,
            {name: levels for name, levels in factors.items() if name not in ("question", "sample")},
            clusters,
            **settings | {"n_resamples": min(n_resamples, 1000)},
        ),
        monotonicity=mean(row_rank_correlations(x, values), clusters, **settings),
        fit=mean(lines.r2, clusters, **settings),
        saturation=_saturation(x, values[known], clusters[known], settings),
        mean_curve=pd.concat([_average(name, x, some, clusters, settings) for name, some in averages.items()]),
        controls={name: _compare(lines.slope, x, other, clusters, settings) for name, other in compared.items()},
        diagnostics=dict(diagnostics or {}),
    )


@checked
def reliability_table(
    curves: xr.DataArray | Mapping[str, xr.DataArray],
    *,
    confidence: Share = 0.95,
    n_resamples: Count = 1000,
    seed: Seed = 0,
) -> pd.DataFrame:
    """Steerability and anti-steerable fraction of many curves, one row per curve.

    Args:
        curves: an array with more axes than sample and multiplier, or arrays by dataset.
        confidence: of the intervals.
        n_resamples: how many.
        seed: of the resamples.

    Returns:
        Columns for the axes (`dataset` where given by name), then `steerability`, `anti_steerable` and `spread` (the
        standard deviation of slopes over samples), each with `_low` and `_high`, and `n`.

    >>> datasets = {"power": choices, "risk": others}
    >>> curves = {name: propensity(model, vector, some, [-1, 0, 1]) for name, some in datasets.items()}
    >>> reliability_table(curves).sort_values("steerability")["dataset"].size
    2
    """
    if isinstance(curves, Mapping):
        settings = {"confidence": confidence, "n_resamples": n_resamples, "seed": seed}
        tables = {name: reliability_table(one, **settings) for name, one in curves.items()}
        return pd.concat(tables, names=["dataset"]).reset_index("dataset").reset_index(drop=True)
    axes = [str(dim) for dim in curves.dims if dim not in ("sample", "multiplier")]
    cells = curves.stack(cell=axes) if axes else curves.expand_dims(cell=1)
    x, clusters, rows = curves.multiplier.values.astype(float), _clusters(curves), []
    for place in range(cells.sizes["cell"]):
        one = cells.isel(cell=place)
        slopes = fit_lines(x, one.transpose("sample", "multiplier").values.astype(float)).slope
        known = np.isfinite(slopes)
        average = mean(slopes, clusters, confidence=confidence, n_resamples=n_resamples, seed=seed)
        against = clustered_rate(slopes[known] < 0, clusters[known], confidence)
        spread = standard_deviation(slopes, clusters, confidence=confidence)
        rows.append(
            {axis: one[axis].item() for axis in axes}
            | estimate_columns({"steerability": average, "anti_steerable": against, "spread": spread}, counts=False)
            | {"n": average.n}
        )
    return pd.DataFrame(rows)


def _checked(curve: xr.DataArray) -> xr.DataArray:
    if set(curve.dims) != {"sample", "multiplier"}:
        raise DataError(
            f"a curve has the dims sample and multiplier, got {curve.dims}; pick one with .sel(...), "
            "or use reliability_table for all of them"
        )
    return curve.transpose("sample", "multiplier")


def _clusters(curve: xr.DataArray) -> Shaped[np.ndarray, " samples"]:
    return curve["question"].values if "question" in curve.coords else np.arange(curve.sizes["sample"])


def _on(curve: xr.DataArray, name: str, control: xr.DataArray) -> Float[np.ndarray, "vectors samples multipliers"]:
    """A control's curves on the samples and multipliers of a curve."""
    same = control.sizes["sample"] == curve.sizes["sample"] and np.array_equal(_clusters(control), _clusters(curve))
    if not same or not np.array_equal(control.multiplier, curve.multiplier):
        raise DataError(f"the control {name!r} has other samples or multipliers than the curve; run both on the same")
    values = control.transpose(..., "sample", "multiplier").values.astype(float)
    return rearrange(values, "... sample multiplier -> (...) sample multiplier")


def _compare(
    slopes: Float[np.ndarray, " samples"],
    x: Float[np.ndarray, " multipliers"],
    control: Float[np.ndarray, "vectors samples multipliers"],
    clusters: Shaped[np.ndarray, " samples"],
    settings: dict[str, Any],
) -> Control:
    others = [fit_lines(x, one).slope for one in control]
    averages = [float(np.nanmean(one)) for one in others]
    # By chance each could have pointed the other way, where its slope is the opposite.
    strongest = int(np.argmax(np.abs(averages)))
    other = others[strongest] * np.sign(averages[strongest])
    # The same samples under both, so what they have in common cancels.
    return Control(tuple(averages), mean(slopes * np.sign(np.nanmean(slopes)) - other, clusters, **settings))


def _average(
    name: str,
    x: Float[np.ndarray, " multipliers"],
    values: Float[np.ndarray, "samples multipliers"],
    clusters: Shaped[np.ndarray, " samples"],
    settings: dict[str, Any],
) -> pd.DataFrame:
    """The mean curve with its pointwise interval."""
    points = [mean(column, clusters, **settings) for column in values.T]
    columns = {part: [getattr(point, part) for point in points] for part in ("value", "low", "high", "n")}
    return pd.DataFrame({"curve": name, "multiplier": x, **columns})


def _saturation(
    x: Float[np.ndarray, " multipliers"],
    values: Float[np.ndarray, "samples multipliers"],
    clusters: Shaped[np.ndarray, " samples"],
    settings: dict[str, Any],
) -> Estimate:
    """Of the mean curve."""
    average = weighted_mean(values)
    if not len(values):
        return Estimate(np.nan, np.nan, np.nan, 0)
    value = saturation(x, average(np.ones((1, len(values)))))[0]
    low, high = bootstrap_interval(lambda weights: saturation(x, average(weights)), clusters, **settings)
    return Estimate(float(value), float(low), float(high), len(values))
