"""Calibration: the best point is within the budget, chosen and reported on different inputs, beside chance."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.small_models import WIDTH, loaded, unchecked
from tlsteer import DataError, SteeringVector
from tlsteer.analyse._calibration.best_point import calibrate
from tlsteer.analyse._calibration.calibration import Calibration
from tlsteer.data import Choice
from tlsteer.evaluate import propensity
from tlsteer.evaluate._side_effects import side_effects
from tlsteer.measure import Answers, Divergences

TEXTS = ["Hello world, this is a test.", "What is it?", "Sure, here is the answer. I cannot say."]
CHOICES = [
    Choice(f"{verb} it {i}?\n(A) Yes\n(B) No", "A", "B", id=str(i), prefill="(")
    for i in range(6)
    for verb in ("Is", "Was")
]


def vector(layer=1, seed=0):
    return SteeringVector(torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed)), layer)


def run(vectors=None, choices=CHOICES, max_kl=1.0, **settings):
    settings = {"n_random": 1, "n_resamples": 40, "progress": False} | settings
    return calibrate(loaded(), vectors or vector(), choices, TEXTS, max_kl, **settings)


@pytest.fixture(scope="module")
def found():
    return run({"one": [vector(0), vector(2)], "other": [vector(0, 1), vector(2, 1)]}, max_kl=0.5)


def test_every_point_is_the_propensity_and_the_side_effect_at_its_multiplier(found):
    one = found.curve.query("vector == 'other' and layer == 2")
    multipliers = one["multiplier"].tolist()
    cost = side_effects(loaded(), vector(2, 1), TEXTS, multipliers, n_resamples=40, progress=False)
    for name in ("kl", "kl_low", "kl_p95", "kl_p95_high"):
        np.testing.assert_allclose(one[name], cost[name].sel(multiplier=multipliers), rtol=1e-3, atol=1e-6)
    curve = propensity(loaded(), vector(2, 1), CHOICES, [0.0, *multipliers], progress=False)
    moved = (curve - curve.sel(multiplier=0)).mean("sample").sel(multiplier=multipliers)
    np.testing.assert_allclose((one["effect"] + one["choosing_effect"]) / 2, moved, atol=1e-3)
    assert set(one["effect_n"]) == {6}


def test_the_best_point_is_the_largest_within_the_budget_on_the_inputs_that_choose(found):
    assert found.best.kl.value <= found.max_kl
    within = found.curve[(found.curve["kl_p95"] <= found.max_kl) & ~found.curve["baseline"]]
    best = within.loc[within["choosing_effect"].idxmax()]
    assert (found.best.vector, found.best.layer, found.best.multiplier) == tuple(
        best[["vector", "layer", "multiplier"]]
    )
    assert found.best.effect.value == best["effect"]
    assert found.random.vector == "random 1"
    assert found.difference.value == pytest.approx(found.best.effect.value - found.random.effect.value, abs=1e-6)
    for _, rows in found.curve.groupby(["vector", "layer"]):
        assert 0.9 < rows["kl_p95"][rows["within"]].max() / found.max_kl <= 1


def test_vectors_and_layers_are_compared_at_equal_side_effect(found):
    table = found.best_by("vector").set_index("vector")
    assert list(table.index) == ["one", "other", "random 1"]
    assert found.best.effect.value == table.loc[found.best.vector, "effect"]
    assert len(found.best_by("vector", "layer")) == 6
    with pytest.raises(DataError, match="multiplier"):
        found.best_by("multiplier")


def test_an_effect_that_is_noise_is_not_reported_by_the_inputs_that_chose_it():
    def noise(one, multiplier):
        draw = np.random.default_rng(abs(hash((float(one.tensor[0]), multiplier))))
        return draw.normal(size=200) * (multiplier != 0)

    vectors = {str(seed): vector(1, seed) for seed in range(4)}
    found = run(vectors, noise)
    chosen = found.curve.query("within and not baseline")["choosing_effect"].max()
    assert found.best.effect.low < 0 < 0.1 < chosen
    assert found.best.effect.n == 100
    assert run(vectors, noise, held_out=0).best.effect.low > 0


def test_a_function_of_the_users_gives_the_effect_in_either_direction():
    def outcomes(_vector, multiplier):
        return [multiplier, 0.0]

    together = run(choices=outcomes, held_out=0)
    assert together.best.multiplier == together.curve.query("within and not baseline")["multiplier"].max()
    assert together.best.effect.value == pytest.approx(together.best.multiplier / 2)
    assert "optimistic" in repr(together)
    away = run(choices=outcomes, held_out=0, direction=-1)
    assert away.best.multiplier < 0 < away.best.effect.value


def test_an_effect_that_turns_back_is_best_before_the_budget():
    peak = run(choices=lambda _, m: [-((m - 0.5) ** 2)] * 4).best
    edge = run(choices=lambda _, m: [m] * 4).best
    assert abs(peak.multiplier - 0.5) < abs(edge.multiplier - 0.5)


def test_a_budget_nothing_meets_is_said_and_is_no_number():
    found = run(max_kl=1e-9, limits=(1.0, 2.0))
    assert found.best.vector == ""
    assert np.isnan([found.best.multiplier, found.best.effect.value, found.best.kl.value]).all()
    assert found.difference is None
    assert "Nothing meets the budget" in repr(found)


def test_a_calibration_comes_back_from_its_file(found, tmp_path):
    for one in (found, run(max_kl=1e-9, limits=(1.0, 2.0), n_random=0)):
        again = Calibration.load(one.save(tmp_path / "calibration.json"))
        pd.testing.assert_frame_equal(again.curve, one.curve)
        assert repr(again) == repr(one)
        assert again.settings == one.settings
    (tmp_path / "damaged.json").write_text('{"calibration": {"best": 3')
    (tmp_path / "other.json").write_text('{"calibration": {"best": 3}}')
    for name, words in (
        ("missing.json", "cannot be read"),
        ("damaged.json", "not a JSON file"),
        ("other.json", "not a calibration"),
    ):
        with pytest.raises(DataError, match=words):
            Calibration.load(tmp_path / name)


def test_an_interrupted_run_goes_on_where_it_was(found, tmp_path, monkeypatch):
    vectors = {"one": [vector(0), vector(2)], "other": [vector(0, 1), vector(2, 1)]}
    again = run(vectors, max_kl=found.max_kl, run_dir=tmp_path)
    for request in (Divergences, Answers):
        monkeypatch.setattr(request, "run", lambda *_: pytest.fail("measured again"))
    pd.testing.assert_frame_equal(run(vectors, max_kl=found.max_kl, run_dir=tmp_path).curve, again.curve)
    pd.testing.assert_frame_equal(found.curve, again.curve, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_kl": 0.0}, "above 0"),
        ({"limits": (2.0, 1.0)}, "above 0"),
        ({"held_out": 1.0}, "below 1"),
        ({"choices": CHOICES[:2]}, "too few"),
        ({"choices": lambda _, m: [0.0] * (2 + (m > 1))}, "same inputs"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(settings, words):
    given = {"choices": CHOICES, "max_kl": 1.0} | settings
    with pytest.raises(DataError, match=words):
        unchecked(calibrate)(
            loaded(), vector(), given.pop("choices"), TEXTS, given.pop("max_kl"), n_resamples=9, progress=False, **given
        )
