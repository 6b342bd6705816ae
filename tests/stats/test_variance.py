"""The split of variance: statsmodels' numbers, planted shares recovered, undefined parts NaN."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from tlsteer.stats import split_variance

LETTERS, WORDS = np.array(list("AABB")), np.array(["Yes", "No"] * 2)


def planted(n, letter, word, together, seed):
    """Values with effects of known size (noise has variance 1), their factors and the true shares."""
    letters, words = np.resize(LETTERS, n), np.resize(WORDS, n)
    a, yes = np.where(letters == "A", 1.0, -1.0), np.where(words == "Yes", 1.0, -1.0)
    noise = np.random.default_rng(seed).normal(size=n)
    values = 2 + letter * a + word * yes + together * a * yes + noise
    sizes = np.array([letter**2, word**2, together**2, 1])
    return values, {"letter": letters, "word": words}, sizes / sizes.sum()


def test_balanced_shares_are_those_of_a_classical_analysis_of_variance():
    values, factors, _ = planted(40, 0.8, 0.4, 0.3, seed=0)
    table = anova_lm(ols("y ~ C(letter) * C(word)", pd.DataFrame({"y": values, **factors})).fit(), typ=2)
    shares = table["sum_sq"] / table["sum_sq"].sum()
    found = split_variance(values, factors, n_resamples=20)
    assert [one.value for one in found.values()] == pytest.approx(shares.tolist())
    assert list(found) == ["letter", "word", "interaction", "unexplained"]


def test_unbalanced_shares_are_the_mean_over_both_orders():
    generator = np.random.default_rng(0)
    letters, words = generator.choice(["A", "B"], 60, p=[0.7, 0.3]), generator.choice(["Yes", "No", "other"], 60)
    words = np.where((letters == "A") & (generator.random(60) < 0.5), "Yes", words)
    values = (letters == "A") + 0.7 * (words == "Yes") + generator.normal(size=60)
    frame = pd.DataFrame({"y": values, "letter": letters, "word": words})
    orders = [
        anova_lm(ols(f"y ~ {order}", frame).fit())["sum_sq"] for order in ("C(letter) * C(word)", "C(word) * C(letter)")
    ]
    both = sum(orders) / 2 / orders[0].sum()
    found = split_variance(values, {"letter": letters, "word": words}, n_resamples=20)
    assert found["letter"].value == pytest.approx(both["C(letter)"])
    assert found["word"].value == pytest.approx(both["C(word)"])
    assert found["interaction"].value == pytest.approx(float(orders[0].filter(like=":").iloc[0] / orders[0].sum()))
    assert found["unexplained"].value == pytest.approx(both["Residual"])


@pytest.mark.parametrize(("n", "sizes"), [(48, (0.8, 0.3, 0.3)), (120, (0.3, 0.6, 0.4))])
def test_planted_shares_lie_within_their_intervals(n, sizes):
    n_trials, covered = 100, np.zeros(4)
    for seed in range(n_trials):
        values, factors, truth = planted(n, *sizes, seed)
        found = split_variance(values, factors, n_resamples=300, seed=seed)
        covered += [one.low <= share <= one.high for one, share in zip(found.values(), truth, strict=True)]
    assert np.all(covered / n_trials >= 0.9)
    assert 0.93 <= covered.mean() / n_trials <= 0.985


def test_the_interval_of_a_factor_without_influence_reaches_zero():
    reaches = 0
    for seed in range(40):
        values, factors, _ = planted(48, 1.0, 0, 0, seed)
        found = split_variance(values, factors, n_resamples=200)
        assert found["letter"].low > 0
        reaches += found["word"].low == 0
    assert reaches >= 37


@given(st.integers(0, 2**32), st.integers(10, 40), st.integers(1, 3))
def test_shares_lie_between_zero_and_one_and_add_up(seed, n, n_levels):
    generator = np.random.default_rng(seed)
    factors = {name: generator.integers(0, n_levels, n) for name in ("letter", "word", "topic")}
    found = split_variance(generator.normal(size=n), factors, n_resamples=20)
    shares = [one for one in found.values() if np.isfinite(one.value)]
    for one in shares:
        assert -1e-12 <= one.low <= one.value <= one.high <= 1 + 1e-12
    if shares:
        assert sum(one.value for one in shares) == pytest.approx(1)


def test_factors_that_always_go_together_halve_what_they_explain():
    values, factors, _ = planted(40, 1.0, 0, 0, seed=0)
    found = split_variance(values, {"letter": factors["letter"], "again": factors["letter"]}, n_resamples=20)
    assert found["letter"].value == pytest.approx(found["again"].value)
    assert found["interaction"].value == pytest.approx(0, abs=1e-9)


def test_what_is_undefined_is_nan_with_its_n():
    values, factors, _ = planted(12, 1.0, 0, 0, seed=0)
    constant = split_variance(np.full(12, 3.0), factors)
    assert all(np.isnan(one.value) and one.n == 12 for one in constant.values())
    one_level = split_variance(values, {**factors, "word": np.full(12, "Yes")}, n_resamples=20)
    assert np.isnan(one_level["word"].value)
    assert np.isnan(one_level["interaction"].value)
    assert one_level["letter"].value + one_level["unexplained"].value == pytest.approx(1)
    assert all(
        np.isnan(one.value) for one in split_variance(values[:4], {k: v[:4] for k, v in factors.items()}).values()
    )
    assert split_variance(np.full(3, np.nan), {"letter": np.zeros(3)})["letter"].n == 0
    half_known = np.where(np.arange(12) < 8, values, np.nan)
    assert split_variance(half_known, factors, n_resamples=20)["letter"].n == 8


def test_clusters_of_repeated_samples_do_not_narrow_the_intervals():
    values, factors, _ = planted(40, 0.8, 0.3, 0, seed=0)
    once = split_variance(values, factors)
    repeated = split_variance(values.repeat(3), {k: v.repeat(3) for k, v in factors.items()}, np.arange(40).repeat(3))
    assert repeated["letter"].value == pytest.approx(once["letter"].value)
    widths = [one["letter"].high - one["letter"].low for one in (once, repeated)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
