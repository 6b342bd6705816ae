"""What a sweep says: its best site and how sure it is, its table, its vectors, and all of it reloaded."""

import numpy as np
import pytest
import torch
import xarray as xr

from tests.analyse.layers.sweeping import RECIPES, planted, sweep, vector, vectors
from tests.small_models import LAYERS
from tlsteer import (
    DataError,
    Site,
)
from tlsteer.analyse._layers.sweep_result import LayerSweep
from tlsteer.stats import clustered_rate, mean


def test_the_best_site_is_found_and_measured_on_other_samples():
    found = sweep(test=None, measure=planted, multipliers=[-1, 1, 2])
    best = found.best()
    assert best.at == {"layer": 2, "multiplier": 1.0, "stage": "pre"}
    assert best.held_out
    assert best.n_cells == LAYERS * 3
    assert best.estimate.n == 4
    assert best.estimate.value == best.unsteered.value == best.random.value
    assert [one.site for one in best.vectors] == [Site(2)]
    worst = found.best(largest=False)
    assert worst.at == {"layer": 0, "multiplier": -1.0, "stage": "pre"}
    table = found.table().set_index(["layer", "multiplier"])
    assert table.loc[(3, 2.0), "value"] == pytest.approx(3.5 - 2)
    assert table.loc[(3, 2.0), "random"] == pytest.approx(3.5)
    slopes = found.table("slope").set_index("layer")["value"]
    assert slopes[2] == pytest.approx(np.polyfit([-1, 1, 2], [-2, 0, -1], 1)[0])


def rates(outcomes):
    """A sweep of one site at one multiplier, whose outcomes are of questions asked twice."""
    coords = {"layer": [1], "multiplier": [1.0], "question": ("sample", np.repeat(np.arange(len(outcomes) // 2), 2))}
    data = xr.DataArray(
        np.array(outcomes, float)[None, None], coords, ("layer", "multiplier", "sample"), attrs={"units": "1"}
    )
    given = xr.DataArray(np.array([vector()]), {"layer": [1]}, ("layer",))
    return LayerSweep(data, data, data[0, 0], given)


def test_intervals_of_rates_are_those_of_clustered_rates_and_of_other_shares_of_means():
    outcomes = [1, 1, 1, 1, 0, 1, 1, 1]
    questions = np.repeat(np.arange(4), 2)
    row = rates(outcomes).table().iloc[0]
    expected = clustered_rate(np.array(outcomes) == 1, questions, 0.95)
    assert (row["value"], row["low"], row["high"]) == (expected.value, expected.low, expected.high)
    every = rates([1] * 8).table().iloc[0]
    assert every["low"] < every["high"] == 1
    shares = [0.9, 0.8, 0.9, 0.7, 0.2, 0.4, 1.0, 0.6]
    row, expected = rates(shares).table().iloc[0], mean(np.array(shares), questions, n_resamples=1000)
    assert (row["value"], row["low"], row["high"]) == (expected.value, expected.low, expected.high)


def noise(model, vector, multiplier):
    place = [vector.site.layer, int(10 * multiplier) + 100]
    return np.random.default_rng(place).normal(size=60)


def test_the_best_of_pure_noise_is_not_flattered():
    found = sweep(test=None, measure=noise, multipliers=np.linspace(0.1, 3, 15).tolist(), n_random=0)
    flattered = found.table()["value"].max()
    held_out = np.mean([found.best(seed=seed).estimate.value for seed in range(8)])
    assert flattered > 0.2
    # Choosing on one half lends nothing to the other; the same noise is in all halves, so they do not average out.
    assert abs(held_out) < flattered / 2


def test_the_vectors_of_a_sweep_are_a_set():
    given = sweep(layers=[1, 2], multipliers=[1]).vector_set()
    assert [*given] == [Site(1), Site(2)]
    assert given[2] is not None
    several = sweep({"given": vectors(), "other": vectors(5)}, layers=[1], multipliers=[1])
    assert several.vector_set(vector="other").only.cosine(vectors(5)[1]) == pytest.approx(1)
    with pytest.raises(DataError, match="say which by vector"):
        several.vector_set()
    with pytest.raises(DataError, match=r"no vector 'third'; it has \['given', 'other'\]"):
        several.vector_set(vector="third")


def test_a_sweep_is_reloaded_as_it_was(tmp_path):
    found = sweep({"given": vectors(), "one-shot": RECIPES}, layers=[1, 2], multipliers=[1])
    back = LayerSweep.load(found.save(tmp_path / "saved"))
    for name in ("data", "random", "unsteered"):
        assert getattr(back, name).identical(getattr(found, name)), name
    assert repr(back) == repr(found)
    assert back.vectors.dims == found.vectors.dims
    one = back.vectors.sel(vector="one-shot", example=1, layer=2).item()
    assert torch.equal(one.tensor, found.vectors.sel(vector="one-shot", example=1, layer=2).item().tensor)
    assert back.vectors.sel(vector="given", example=1, layer=2).item() is None


def test_a_measure_without_samples_has_no_interval_and_says_so():
    def scalar(model, vector, multiplier):
        return float(vector.site.layer) * multiplier

    best = sweep(test=None, measure=scalar, multipliers=[1, 2]).best()
    assert best.at["layer"] == LAYERS - 1
    assert not best.held_out
    assert np.isnan(best.estimate.low)
    assert "what it was chosen on" in str(best)
