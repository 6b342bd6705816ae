"""Rates carry their interval and n, and are NaN where they are undefined."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsteer import Estimate
from tlsteer.stats import rate


@given(st.integers(1, 500), st.data())
def test_a_rate_lies_within_its_interval_within_zero_and_one(n, data):
    successes = data.draw(st.integers(0, n))
    found = rate(successes, n)
    assert found.value == successes / n
    assert -1e-12 <= found.low <= found.value <= found.high <= 1 + 1e-12
    assert found.low < found.high
    assert found.n == n


def test_the_interval_is_wilsons():
    z, p, n = 1.959964, 0.3, 50
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    found = rate(15, 50)
    assert found.low == pytest.approx((centre - half) / (1 + z * z / n), abs=1e-6)
    assert found.high == pytest.approx((centre + half) / (1 + z * z / n), abs=1e-6)


@given(st.integers(0, 40))
def test_more_observations_or_less_confidence_narrow_the_interval(successes):
    def width(estimate):
        return estimate.high - estimate.low

    assert width(rate(successes * 10, 400)) < width(rate(successes, 40))
    assert width(rate(successes, 40, confidence=0.8)) < width(rate(successes, 40))


def test_no_observation_is_undefined_not_zero():
    found = rate(0, 0)
    assert all(map(math.isnan, (found.value, found.low, found.high)))
    assert str(found) == "undefined (n=0)"


def test_an_estimate_reads_with_interval_and_n():
    assert str(Estimate(0.25, 0.1, 0.4, 20)) == "0.25 [0.10, 0.40] (n=20)"
