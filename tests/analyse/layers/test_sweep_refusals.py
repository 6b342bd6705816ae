"""What cannot be swept is refused with its reason, before anything is fitted."""

import numpy as np
import pytest

from tests.analyse.layers.sweeping import CHOICES, EXAMPLES, PROMPTS, even, sweep, vector
from tests.small_models import loaded, unchecked
from tlsteer import (
    DataError,
    OneShot,
    SiteError,
    VectorError,
)
from tlsteer.analyse._layers.sweeps import sweep_layers


@pytest.mark.parametrize(
    ("settings", "error", "named"),
    [
        (dict(test=None), DataError, "without a test"),
        (dict(test=PROMPTS), DataError, "judge"),
        (dict(test=[]), DataError, "a test is"),
        (dict(test=[*PROMPTS, CHOICES[0]], measure=even), DataError, "a test is"),
        (dict(measure="mood"), DataError, "mood"),
        (dict(test=PROMPTS, measure=lambda prompts, texts: [True]), DataError, "verdicts of shape"),
        (dict(multipliers=[0.0]), DataError, "not 0"),
        (dict(multipliers=[1, 1]), DataError, "each once"),
        (dict(layers=[1, -3]), SiteError, "each once"),
        (dict(layers=[9]), SiteError, "9"),
        (dict(layers="some"), SiteError, "some"),
        (dict(stages=["mid"]), VectorError, "no vector at"),
        (dict(train=[]), DataError, "nothing"),
        (dict(train={}), DataError, "at least one fit"),
        (dict(train=[CHOICES[0], EXAMPLES[0]]), DataError, "Choice, Example"),
        (dict(train=[vector(1), vector(1, 2)]), VectorError, "2 vectors are at 1 sites"),
        (dict(seeds=[0, 1]), DataError, "one-shot"),
        (dict(fit_settings={"steps": 3}), DataError, "steps"),
        (dict(train=EXAMPLES, fit_settings={"steps": 0}), VectorError, "steps"),
        (dict(train=OneShot(EXAMPLES[0], 0, operation="affine")), VectorError, "affine"),
        (dict(train=EXAMPLES, fit_settings={"operation": "affine"}), VectorError, "affine"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_a_fit(settings, error, named, monkeypatch):
    def fitted(*_, **__):
        raise AssertionError("a fit was made")

    monkeypatch.setattr("tlsteer.analyse._layers.sweep_fits.fit_many", fitted)
    monkeypatch.setattr("tlsteer.analyse._layers.sweep_fits.fit_contrastive", fitted)
    with pytest.raises(error, match=named):
        sweep(call=unchecked(sweep_layers), **settings)


@pytest.mark.parametrize("made", ["a text", [1.0], None])
def test_a_function_that_fits_gives_vectors(made):
    with pytest.raises(DataError, match="gives a list of SteeringVector, one for each site; got"):
        sweep_layers(loaded(), lambda model, sites: made, CHOICES, [1], n_random=0, progress=False)


def test_a_function_that_changes_its_samples_is_refused():
    def changing(model, vector, multiplier):
        return np.zeros(2 + int(multiplier))

    with pytest.raises(DataError, match="unsteered"):
        sweep(test=None, measure=changing, multipliers=[1])
