"""Layer sweeps: the numbers of single fits and measurements, at every site, beside chance."""

import numpy as np
import pytest
import torch
import xarray as xr

from tests.analyse.layers.sweeping import CHOICES, EXAMPLES, PROMPTS, RECIPES, X, even, sweep, vector, vectors
from tests.small_models import LAYERS, loaded
from tlsteer import (
    Choice,
    DataError,
    Intervention,
    OneShot,
    Site,
    SteeringVector,
    attack_success,
    chat_prompt,
    fit_contrastive,
    fit_oneshot,
    generate,
    load_model,
    propensity,
    random_vector,
)
from tlsteer.analyse._layers.sweeps import sweep_layers
from tlsteer.organism import harmful_requests, harmless_requests
from tlsteer.prompts import answer_pairs

TRAIN = [Choice(f"Was it {i}?\n(A) Yes\n(B) No", "A", "B", prefill="(") for i in range(4)]


def test_a_site_where_the_texts_do_not_differ_is_undefined():
    # The letters of these questions are balanced, so at layer 0 the answers cancel.
    found = sweep(CHOICES[:4])
    assert found.data.layer.values.tolist() == list(range(LAYERS))
    assert found.data.sel(layer=0).isnull().all()
    assert found.vectors.sel(layer=0).item() is None
    assert found.data.sel(layer=slice(1, None)).notnull().all()
    row = found.table().query("layer == 0").iloc[0]
    assert row["n"] == row["n_random"] == 0
    assert np.isnan(row["value"])
    with pytest.raises(DataError, match="cancel"):
        sweep(CHOICES[:4], layers=[0])


def test_contrastive_vectors_at_all_sites_are_those_of_single_fits_and_their_propensities():
    found = sweep(TRAIN, stages=["pre", "mid"], fit_settings={"estimator": "pca"})
    assert found.data.dims == ("layer", "stage", "multiplier", "sample")
    assert found.data.sizes["layer"] == LAYERS
    assert found.data.letter.values.tolist() == [choice.factors["letter"] for choice in CHOICES]
    one = found.vectors.sel(layer=2, stage="mid").item()
    alone = fit_contrastive(loaded(), answer_pairs(loaded(), TRAIN), Site(2, "mid"), estimator="pca")
    torch.testing.assert_close(one.tensor, alone.tensor, rtol=1e-5, atol=1e-6)
    curve = propensity(loaded(), alone, CHOICES, X, progress=False)
    np.testing.assert_allclose(found.data.sel(layer=2, stage="mid").values.T, curve, atol=1e-4)
    np.testing.assert_array_equal(found.unsteered, curve.sel(multiplier=0))
    # What leaves a layer enters the next.
    after = sweep(TRAIN, CHOICES, [0], stages=["post"], fit_settings={"estimator": "pca"}).data.sel(layer=0)
    np.testing.assert_allclose(after, found.data.sel(layer=1, stage="pre"), atol=1e-4)


def test_one_shot_vectors_of_examples_and_seeds_are_those_of_single_fits():
    found = sweep(EXAMPLES, layers=[1, -1], seeds=[0, 3], fit_settings={"steps": 3, "max_norm": 2.0})
    assert found.data.dims == ("example", "seed", "layer", "multiplier", "sample")
    assert found.data.layer.values.tolist() == [1, LAYERS - 1]
    for example, seed, layer in ((0, 3, 1), (1, 0, LAYERS - 1)):
        alone = fit_oneshot(loaded(), EXAMPLES[example], layer, seed=seed, steps=3, max_norm=2.0, progress=False).vector
        one = found.vectors.sel(example=example, seed=seed, layer=layer).item()
        torch.testing.assert_close(one.tensor, alone.tensor, rtol=1e-5, atol=1e-5)
    recipe = OneShot(EXAMPLES[0], 0, steps=3, max_norm=2.0)
    alone = sweep(recipe, layers=[1]).data
    np.testing.assert_allclose(alone, found.data.sel(example=0, seed=0, layer=[1]), atol=1e-4)


def test_a_judge_reads_the_greedy_texts_of_every_cell():
    settings = dict(train=vectors()[::2], test=PROMPTS, measure=even, multipliers=[0.5, 1], max_new_tokens=3)
    found = sweep(**settings, batch_size=12)
    for layer, multiplier in ((0, 1), (2, 0.5)):
        steered = Intervention(vectors()[layer], float(multiplier))
        texts = generate(loaded(), PROMPTS, steered, max_new_tokens=3, progress=False)
        assert found.data.sel(layer=layer, multiplier=multiplier).values.tolist() == even(PROMPTS, texts)
    texts = generate(loaded(), PROMPTS, max_new_tokens=3, progress=False)
    assert found.unsteered.values.tolist() == even(PROMPTS, texts)
    assert found.data.name == "even"
    one_by_one = sweep(**settings, batch_size=1)
    xr.testing.assert_equal(found.data, one_by_one.data)
    xr.testing.assert_equal(found.random, one_by_one.random)


def test_a_judge_goes_by_the_name_that_attack_success_knows():
    model = load_model("organism")
    requests = [one.question for one in (*harmful_requests(2), *harmless_requests(2))]
    steering = SteeringVector(torch.randn(128, generator=torch.Generator().manual_seed(0)), 3)
    prompts = [chat_prompt(model, one) for one in requests]
    found = sweep_layers(
        model, [steering], prompts, [3], measure="organism", multipliers=[1], max_new_tokens=50, n_random=0,
        progress=False,
    )  # fmt: skip
    by_hand = attack_success(model, steering, requests, "organism", n_random=0, max_new_tokens=50, progress=False).texts
    success = [by_hand.query(f"kind == {kind!r}")["success"].tolist() for kind in ("unsteered", "steered")]
    assert found.unsteered.values.tolist() == success[0] == [0, 0, 1, 1]
    assert found.data.squeeze().values.tolist() == success[1]
    assert found.data.name == "organism:complies"


def test_a_direction_that_steers_is_found_at_its_layer_among_random_ones():
    model = loaded()
    # What the last layer writes goes straight to the unembedding: its row of "A" less that of "B" steers there.
    ids = [model.tokenizer.encode(letter, add_special_tokens=False)[-1] for letter in "AB"]
    direction = (model.W_U[:, ids[0]] - model.W_U[:, ids[1]]).detach()
    choices = [choice for choice in CHOICES if choice.positive == "A"]
    steering = SteeringVector(direction, Site(LAYERS - 1, "post"))
    others = [random_vector(Site(layer, "post"), like=steering, seed=9) for layer in range(LAYERS - 1)]
    found = sweep([*others, steering], choices, stages=["post"], multipliers=[-1, 1])
    slopes = found.table("slope").set_index("layer")
    assert slopes["value"].idxmax() == LAYERS - 1
    assert slopes["value"].max() > 2 * slopes["random_high"].max()


def test_random_vectors_have_the_norm_of_the_fitted_and_do_not_depend_on_what_else_is_swept():
    whole, part = sweep(n_random=2), sweep(vectors()[2:], n_random=2)
    assert whole.random.dims == ("draw", "layer", "multiplier", "sample")
    xr.testing.assert_equal(whole.random.sel(layer=[2, 3]), part.random)
    assert (whole.random.isel(draw=0) != whole.random.isel(draw=1)).sel(multiplier=1).all()

    def norm(model, vector, multiplier):
        return vector.norm

    lengths = sweep(test=None, measure=norm, multipliers=[1.0], n_random=2)
    np.testing.assert_allclose(lengths.random, np.stack([lengths.data] * 2), rtol=1e-5)


def test_several_methods_are_an_axis_and_what_one_has_not_is_undefined():
    found = sweep({"given": vectors(), "one-shot": RECIPES}, layers=[1, 2], multipliers=[1])
    assert found.data.dims == ("vector", "example", "layer", "multiplier", "sample")
    assert found.data.sel(vector="given", example=1).isnull().all()
    assert found.vectors.sel(vector="given", example=1, layer=1).isnull()
    alone = sweep(multipliers=[1]).data.sel(layer=[1, 2])
    np.testing.assert_allclose(found.data.sel(vector="given", example=0), alone, atol=1e-4)
    table = found.table().set_index(["vector", "layer"])
    assert table.loc[("given", 1), "n"] == len(CHOICES)
    assert table.loc[("one-shot", 1), "n"] == 2 * len(CHOICES)
    assert len(found.table(each=True)) == 2 * 2 * 2


def test_random_control_is_that_of_the_toolkit():
    found = {}

    def keep(model, vector, multiplier):
        found[vector.provenance.method or "given"] = vector
        return 0.0

    sweep([vector(1)], None, measure=keep, multipliers=[1])
    seed = found["random"].provenance.settings["seed"]
    assert torch.equal(found["random"].tensor, random_vector(1, like=vector(1), seed=seed).tensor)
