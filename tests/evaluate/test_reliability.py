"""The reliability report finds what was planted, tells a vector from controls, and says so in words."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from tests.small_models import WIDTH, loaded
from tlsteer import ContrastPair, DataError, SteeringVector, fit_contrastive
from tlsteer.evaluate import ReliabilityReport, diagnose, reliability, reliability_table
from tlsteer.evaluate._verdict import verdict
from tlsteer.stats import Estimate

X = np.array([-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5])
LETTERS, WORDS = np.resize(list("AABB"), 80), np.resize(["Yes", "No"], 80)


def planted(slope=0.6, letter=0.5, word=0.0, noise=0.3, seed=0, bend=0.0):
    """Curves whose slopes have a mean, a letter and a word effect, and noise of known size."""
    generator = np.random.default_rng(seed)
    slopes = slope + np.where(LETTERS == "A", letter, -letter) + np.where(WORDS == "Yes", word, -word)
    slopes = slopes + noise * generator.normal(size=80)
    curves = generator.normal(size=(80, 1)) + slopes[:, None] * np.tanh(X * bend) / (bend or 1) if bend else (
        generator.normal(size=(80, 1)) + slopes[:, None] * X
    )  # fmt: skip
    labels = {
        "letter": ("sample", LETTERS),
        "word": ("sample", WORDS),
        "question": ("sample", [f"q{i // 4}" for i in range(80)]),
        "multiplier": X,
    }
    return xr.DataArray(curves, labels, ("sample", "multiplier"), attrs={"units": "nats"})


def controls_of(n):
    return xr.concat([planted(slope=0.02 * (i - n // 2), letter=0, seed=2 + i) for i in range(n)], "vector")


def test_planted_slopes_and_biases_are_recovered():
    report = reliability(planted(), n_resamples=500)
    total = 0.5**2 + 0.3**2
    assert report.steerability.low <= 0.6 <= report.steerability.high
    shares = report.variance_explained
    assert shares["letter"].low <= 0.5**2 / total <= shares["letter"].high
    assert shares["word"].low == 0
    assert shares["unexplained"].low <= 0.3**2 / total <= shares["unexplained"].high
    assert set(shares) == {"letter", "word", "interaction", "unexplained"}
    assert report.anti_steerable_fraction.value == np.mean(report.per_sample < 0)
    assert report.anti_steerable_fraction.n == 80
    assert report.fit.value == pytest.approx(1)
    assert report.saturation.value == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(np.abs(report.monotonicity.value), 1 - 2 * report.anti_steerable_fraction.value)


def test_steerability_is_the_slope_of_the_mean_curve():
    curve = planted(bend=1.0)
    report = reliability(curve, n_resamples=100)
    assert report.steerability.value == pytest.approx(np.polyfit(X, curve.mean("sample"), 1)[0])
    assert 0.2 < report.saturation.low <= report.saturation.value < 1
    assert report.fit.value < 1


def test_a_vector_is_told_from_controls_and_a_control_is_not():
    random = controls_of(5)
    report = reliability(planted(), controls={"random vectors": random}, n_resamples=300)
    control = report.controls["random vectors"]
    assert len(control.slopes) == 5
    assert control.difference.low > 0
    assert "more than the control, random vectors (5 of them" in report.verdict
    assert set(report.mean_curve["curve"]) == {"vector", "random vectors"}
    against = reliability(planted(), controls={"random vectors": planted(slope=-1.2)}, n_resamples=300)
    assert against.controls["random vectors"].difference.high < 0
    assert "no more than the control, random vectors (slope -1.1" in against.verdict
    again = reliability(random.isel(vector=1), controls={"random vectors": random}, n_resamples=300)
    assert again.controls["random vectors"].difference.low < 0
    assert "no more than" in again.verdict
    assert "Not shown to steer more than its controls" in again.verdict or again.steerability.low <= 0


@pytest.mark.parametrize(
    ("curve", "words"),
    [
        (planted(), "Undecided"),
        (planted(), "nothing says what a random direction does; give 19 random vectors"),
        (planted(slope=0.0, noise=1.0), "No effect is shown"),
        (planted(bend=3.0), "saturates"),
        (planted(), "is the letter"),
        (planted(letter=0.0), "neither letter nor word"),
        (planted().isel(sample=slice(0, 3)), "Undecided"),
        (planted() * np.nan, "Nothing was measured"),
    ],
)
def test_the_verdict_says_what_the_numbers_say(curve, words):
    curve.attrs["units"] = "nats"
    report = reliability(curve, n_resamples=200)
    assert words in report.verdict
    assert words in str(report)
    intended = int((report.per_sample > 0).sum())
    assert f"{intended} of {report.steerability.n}" in report.verdict or report.steerability.n == 0


@pytest.mark.parametrize(
    ("value", "low", "is_told"), [(0.25, 0.0, True), (0.24, 0.0, False), (0.24, 0.01, True), (0.9, -0.1, True)]
)
def test_a_share_of_the_spread_is_told_where_it_is_shown_or_large(value, low, is_told):
    one = Estimate(1.0, 0.5, 1.5, 10)
    shares = {"letter": Estimate(value, low, 0.95, 10), "unexplained": Estimate(1 - value, 0.0, 1.0, 10)}
    words = verdict(one, np.ones(10), {}, shares, fit=one, lost=Estimate(0.0, 0.0, 0.0, 10))
    assert ("is the letter" in words) == is_told
    assert ("neither letter is shown to explain any" in words) != is_told


@pytest.mark.parametrize(
    ("slope", "n_controls", "effect", "words"),
    [
        (0.6, 19, "steers", "The vector steers: it moves"),
        (-0.6, 19, "steers backwards", "The vector steers backwards: it moves"),
        (0.6, 18, "undecided", "with so few controls a random direction passes in up to 5% of cases; give 19"),
        (0.6, 3, "undecided", "a random direction passes in up to 25% of cases"),
        (0.02, 19, "not shown", "No effect is shown"),
    ],
)
def test_an_effect_takes_more_than_the_controls_do_in_either_direction(slope, n_controls, effect, words):
    report = reliability(planted(slope, letter=0), controls={"random": controls_of(n_controls)}, n_resamples=200)
    assert report.effect == effect
    assert words in report.verdict


def test_backwards_needs_more_than_a_control_that_goes_as_far_forwards():
    controls = xr.concat([*controls_of(18), planted(slope=0.7, letter=0)], "vector")
    report = reliability(planted(-0.6, letter=0), controls={"random": controls}, n_resamples=200)
    assert report.steerability.high < 0
    assert report.effect == "not shown"
    assert "Not shown to steer more than its controls" in report.verdict


@pytest.mark.slow
def test_of_vectors_like_their_controls_at_most_five_percent_are_said_to_have_an_effect():
    generator, effects = np.random.default_rng(0), []
    for _ in range(300):
        # Every direction steers for some reason, far beyond what questions add: an interval alone finds them all.
        slopes = generator.normal(size=(20, 1)) + 0.2 * generator.normal(size=(20, 12))
        curves = xr.DataArray(slopes[..., None] * X, {"multiplier": X}, ("vector", "sample", "multiplier"))
        effects.append(reliability(curves[0], controls={"random": curves[1:]}, n_resamples=40).effect)
    found = np.isin(effects, ["steers", "steers backwards"]).mean()
    assert 0 < found <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5
    assert set(effects) == {"steers", "steers backwards", "not shown"}


def test_samples_with_a_nan_do_not_count():
    curve = planted()
    curve[3, 2] = np.nan
    whole, part = reliability(curve, n_resamples=50), reliability(curve.drop_isel(sample=3), n_resamples=50)
    assert whole.steerability.value == part.steerability.value
    assert whole.steerability.n == whole.anti_steerable_fraction.n == whole.variance_explained["letter"].n == 79


def test_questions_asked_in_several_ways_count_as_clusters():
    curve = planted(letter=0, noise=0).copy()
    shift = np.random.default_rng(1).normal(size=20).repeat(4)
    curve = curve + shift[:, None] * X
    clustered, loose = (reliability(one, n_resamples=500) for one in (curve, curve.drop_vars("question")))
    widths = [one.steerability.high - one.steerability.low for one in (clustered, loose)]
    assert widths[0] > 1.5 * widths[1]


def test_reports_come_back_from_their_file(tmp_path):
    report = reliability(planted(), controls={"shuffled": planted(slope=0, seed=1)}, n_resamples=50)
    back = ReliabilityReport.load(report.save(tmp_path / "report.nc"))
    assert str(back) == str(report)
    xr.testing.assert_allclose(back.curve, report.curve)
    pd.testing.assert_frame_equal(back.to_dataframe(), report.to_dataframe())
    pd.testing.assert_frame_equal(back.mean_curve.reset_index(drop=True), report.mean_curve.reset_index(drop=True))
    xr.testing.assert_identical(back.per_sample, report.per_sample)
    with pytest.raises(DataError, match="no file"):
        ReliabilityReport.load(tmp_path / "missing.nc")
    (tmp_path / "damaged.nc").write_bytes(b"CDF")
    with pytest.raises(DataError, match="not hold a report"):
        ReliabilityReport.load(tmp_path / "damaged.nc")


def test_other_axes_go_to_a_table_with_a_row_each():
    several = xr.concat([planted(), planted(slope=0.2)], "layer").assign_coords(layer=[3, 5])
    with pytest.raises(DataError, match="reliability_table"):
        reliability(several)
    table = reliability_table({"power": several, "risk": several}, n_resamples=100)
    assert table[["dataset", "layer"]].values.tolist() == [["power", 3], ["power", 5], ["risk", 3], ["risk", 5]]
    one = reliability(several.sel(layer=5))
    assert table["steerability"][1] == pytest.approx(one.steerability.value)
    assert table["anti_steerable"][1] == one.anti_steerable_fraction.value
    assert len(reliability_table(planted(), n_resamples=50)) == 1
    with pytest.raises(DataError, match="other samples"):
        reliability(planted(), controls={"random": planted().isel(sample=slice(4))})


def test_diagnostics_tell_pairs_that_agree_from_pairs_that_do_not():
    model = loaded("llama")
    names = ["tea", "rain", "snow", "dogs", "cats", "cars", "books", "songs"]
    pairs = [ContrastPair(f"I say of {name} yes", f"I say of {name} not") for name in names]
    mixed = [ContrastPair(p.negative, p.positive) if i % 2 else p for i, p in enumerate(pairs)]
    agreeing = diagnose(model, fit_contrastive(model, pairs, 2, progress=False), pairs, progress=False)
    random = SteeringVector(torch.randn(WIDTH, generator=torch.Generator().manual_seed(0)), 2)
    opposed = diagnose(model, random, mixed, progress=False)
    assert agreeing["agreement"].low > 0.5 > 0 > opposed["agreement"].high
    assert agreeing["separation"].low > abs(opposed["separation"].value)
    with pytest.raises(DataError, match="three pairs"):
        diagnose(model, random, pairs[:2])
