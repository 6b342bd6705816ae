"""What is planted in the embedded model is read off its vectors."""

import numpy as np
import pytest

from tlsteer import ContrastPair, Example, OneShot, chat_prompt, fit_contrastive, fit_many, last
from tlsteer.analyse._reading.classify import classify
from tlsteer.analyse._reading.readout import read_out
from tlsteer.analyse._reading.token_effects import token_effects
from tlsteer.analyse._reading.tracing import trace
from tlsteer.organism import harmful_requests, harmless_requests


def prompts(model, requests):
    return [chat_prompt(model, request.messages) for request in requests]


@pytest.fixture(scope="module")
def refusal(model):
    """By layer, from 1 on: the mean difference of harmful and harmless requests where the answer begins."""
    sides = (prompts(model, sample(40, "train", seed=1)) for sample in (harmful_requests, harmless_requests))
    pairs = [ContrastPair(*texts) for texts in zip(*sides, strict=True)]
    return fit_contrastive(model, pairs, range(1, 8), positions=last(1), progress=False)


@pytest.fixture(scope="module")
def comply(model):
    """One-shot vectors, each from a single refused request."""
    asked = harmful_requests(4, "train", seed=1)
    examples = [Example(chat_prompt(model, one.messages), promote=[one.promotion]) for one in asked]
    recipes = [OneShot(one, 2, positions="prompt", max_norm_ratio=0.35, steps=30) for one in examples]
    return [fit.vector for fit in fit_many(model, recipes, progress=False)]


@pytest.fixture(scope="module")
def requests(model):
    return prompts(model, harmful_requests(60)), prompts(model, harmless_requests(60))


def test_the_refusal_vector_tells_held_out_requests_apart_better_than_random_directions(model, refusal, requests):
    table = classify(model, refusal[1:], *requests, progress=False)
    assert (table["auc"] > 0.95).all()
    assert (table["auc"] > table["random_high"]).all()


def test_one_shot_vectors_that_steer_classify_worse_than_the_mean_difference(model, comply, refusal, requests):
    harmful, harmless = requests
    named = {str(number): vector for number, vector in enumerate(comply)}
    table = classify(model, named, harmless, harmful, layers=[2], progress=False)
    difference = classify(model, refusal[1], harmful, harmless, layers=[2], progress=False)
    assert table["auc"].median() < difference["auc"].item() - 0.03


def test_the_refusal_vector_of_a_middle_layer_begins_refusals(model, refusal):
    table = read_out(model, refusal[3], k=5)
    promoted = table.query("reading == 'logit' and side == 'promoted'")
    assert len({"I", "No", "Nobody", "Harm"} & set(promoted["token"])) >= 3
    assert promoted["value"].iloc[0] > promoted["random_95"].iloc[0]


def test_later_layers_keep_more_of_a_vector_that_steers_than_of_random_ones(model, comply, requests):
    traced = trace(model, comply[0], requests[0][:8], positions="prompt", progress=False).sel(position=-1)
    left = traced["relative_norm"].sel(layer=7).mean("sample")
    random = left.drop_sel(direction="vector")
    assert left.sel(direction="vector") > random.max()
    assert left.sel(direction="vector") > 1.4 * random.mean()
    written = traced["written_share"].sel(direction="vector").mean("sample")
    assert written.sel(component="mlp").sum() > 0.5
    np.testing.assert_allclose(written.sum(), 1, atol=1e-4)


def test_the_token_where_the_answer_begins_carries_most_of_the_effect(model, comply, requests):
    effects = token_effects(model, comply[0], requests[0][0], "Sure", "I", progress=False)
    assert int(effects["alone"].values.argmax()) == effects.sizes["position"] - 1
    assert effects["alone"][-1] > effects["random_alone"].max()
