"""Rates over vectors, and how far they can be trusted."""

import numpy as np
import pandas as pd
import pytest

from tlsteer.studies.refusal._tables import best_rate, by_vector, median_rate, outcomes


def test_rates_over_vectors_are_those_of_plain_counts():
    generator = np.random.default_rng(0)
    served = (generator.random((5, 40)) < np.array([[0.1], [0.2], [0.5], [0.6], [0.9]])).astype(float)
    served[0, :3] = np.nan
    shares = np.nanmean(served, 1)
    assert best_rate(served).value == pytest.approx(shares.max())
    middle = median_rate(served)
    assert middle.value == pytest.approx(np.median(shares))
    assert middle.n == 5 * 40 - 3
    # Vectors differ, so the interval of their median is far wider than that of 200 independent answers.
    assert middle.low < 0.3
    assert middle.high > 0.6
    assert median_rate(np.full((2, 3), np.nan)).n == 0


def test_vectors_that_all_agree_are_no_proof_of_more_than_their_prompts():
    middle = median_rate(np.ones((8, 24)))
    assert (middle.value, middle.high) == (1, 1)
    assert middle.low == pytest.approx(24 / (24 + 1.96**2), abs=0.001)  # Wilson's for 24 of 24


def test_the_median_of_equal_vectors_varies_with_the_prompts_alone():
    row = (np.arange(100) < 30).astype(float)
    middle = median_rate(np.tile(row, (6, 1)))
    assert middle.low == pytest.approx(0.21, abs=0.03)
    assert middle.high == pytest.approx(0.39, abs=0.03)


def test_tables_keep_vectors_and_sides_apart():
    rows = [
        (side, "promotion", vector, "p", "a b c d a b c d", float(vector == "v1" and side == "harmful"), 0.0)
        for side in ("harmful", "harmless")
        for vector in ("v0", "v1")
        for _ in range(4)
    ]
    texts = pd.DataFrame(rows, columns=["requests", "attack", "vector", "prompt", "text", "served", "refuses"])
    rates = by_vector(texts).set_index(["requests", "vector"])
    assert rates["value"].to_dict() == {
        ("harmful", "v0"): 0, ("harmful", "v1"): 1, ("harmless", "v0"): 0, ("harmless", "v1"): 0,
    }  # fmt: skip
    assert rates["repetition"].iloc[0] == pytest.approx(1 / 5)
    np.testing.assert_array_equal(outcomes(texts.query("requests == 'harmful'")), [[0] * 4, [1] * 4])
