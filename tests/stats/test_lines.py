"""Slopes, fit, rank correlation and saturation: scipy's numbers, and NaN where there are none."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tlsteer import TlsteerError
from tlsteer.stats import fit_lines, rank_correlation, row_rank_correlations, saturation

X = np.array([-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5])
CURVES = arrays(float, (4, len(X)), elements=st.integers(-20, 20).map(float))


@given(CURVES)
def test_lines_are_scipys(curves):
    lines = fit_lines(X, curves)
    for row, curve in enumerate(curves):
        theirs = scipy.stats.linregress(X, curve)
        assert lines.slope[row] == pytest.approx(theirs.slope, abs=1e-9)
        assert lines.intercept[row] == pytest.approx(theirs.intercept, abs=1e-9)
        if np.ptp(curve) == 0:
            assert np.isnan(lines.r2[row])
        else:
            assert lines.r2[row] == pytest.approx(theirs.rvalue**2, abs=1e-9)


@given(CURVES)
def test_the_slope_of_the_mean_curve_is_the_mean_of_the_slopes(curves):
    assert fit_lines(X, curves.mean(0, keepdims=True)).slope[0] == pytest.approx(
        fit_lines(X, curves).slope.mean(), abs=1e-9
    )


@given(CURVES)
def test_monotonicity_is_spearmans_correlation(curves):
    found = row_rank_correlations(X, curves)
    for row, curve in enumerate(curves):
        theirs = np.nan if np.ptp(curve) == 0 else scipy.stats.spearmanr(X, curve).statistic
        assert found[row] == pytest.approx(theirs, nan_ok=True)


def test_a_curve_with_a_nan_has_no_line_and_no_rank_correlation():
    curves = np.stack([X, np.where(X == 0, np.nan, X)])
    assert np.isnan(fit_lines(X, curves).slope).tolist() == [False, True]
    assert np.isnan(row_rank_correlations(X, curves)).tolist() == [False, True]


def test_one_multiplier_has_no_slope():
    with pytest.raises(TlsteerError, match="two different multipliers"):
        fit_lines(np.array([1.0, 1.0]), np.zeros((2, 2)))


def test_saturation_is_what_the_outer_half_loses():
    curves = np.stack([X, np.clip(X, -0.5, 0.5), np.where(np.abs(X) > 0.5, -X, X), np.zeros(len(X))])
    line, flat, turning, nothing = saturation(X, curves)
    assert line == pytest.approx(0)
    assert flat == pytest.approx(1)
    assert turning == pytest.approx(2)
    assert np.isnan(nothing)
    assert np.isnan(saturation(np.array([-1.0, 0.0, 1.0]), np.array([[-1.0, 0.0, 1.0]])))


@pytest.mark.parametrize(("n", "planted"), [(12, 0.0), (40, 0.6)])
def test_intervals_of_rank_correlations_cover_95_percent(n, planted):
    generator = np.random.default_rng(0)
    true, n_trials, covered = 6 / np.pi * np.arcsin(planted / 2), 1000, 0
    for _ in range(n_trials):
        first, noise = generator.normal(size=(2, n))
        found = rank_correlation(first, planted * first + np.sqrt(1 - planted**2) * noise)
        covered += found.low <= true <= found.high
    assert 0.93 <= covered / n_trials <= 0.97


def test_a_rank_correlation_drops_nan_and_is_undefined_without_spread():
    values = np.array([3.0, 1.0, 2.0, 5.0, 4.0, np.nan])
    found = rank_correlation(values, values**3)
    assert (found.value, found.n) == (pytest.approx(1), 5)
    assert found.low < found.value <= found.high <= 1
    assert np.isnan(rank_correlation(np.ones(6), values).value)
    short = rank_correlation(values[:3], values[:3])
    assert (short.value, short.n) == (pytest.approx(1), 3)
    assert np.isnan(short.low)
