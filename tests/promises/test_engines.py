"""The fast path gives what full hooked passes give, on every model class and architecture."""

import numpy as np
import pytest
import torch

import tlsteer as ts
from tlsteer._surface import Surface
from tlsteer.fit import OneShot, fit_many
from tlsteer.measure import Answers, measured
from tlsteer.tokens import encode_prompts

PROMPTS = ["What is it? this is a test of the thing", "Hello world is it", "I cannot say, this is the answer"]
ANSWERS = [" Sure, here", " the answer", " this"]
SITES = [ts.Site(0), ts.Site(1, "mid"), ts.Site(2), ts.Site(3, "post")]
PARALLEL_SITES = [site for site in SITES if site.stage != "mid"]


def check_answers(model, vectors):
    assert repr(ts.engine(model)) == "Engine(fast)"
    surface = Surface(model)
    rows = encode_prompts(surface, PROMPTS)
    for positions in ("all", ts.last(2)):
        request = rows, torch.tensor([[5, 6], [7, 8], [9, 10]]), vectors, [-1.5, 0.0, 2.0], positions
        fast, plain = (np.stack(list(measured(surface, Answers(*request, engine=e)))) for e in ("auto", "plain"))
        np.testing.assert_allclose(fast, plain, atol=2e-5, rtol=2e-5)
        assert not np.allclose(fast[:, 0], fast[:, 1], atol=1e-3)


def test_answers_equal_those_of_hooked_passes(model, vector):
    check_answers(model, [vector(site, seed) for seed, site in enumerate(SITES)])


def test_answers_to_prompts_of_one_length_equal_those_of_hooked_passes(model, vector):
    surface, rows = Surface(model), [[5, 6, 7, 8, 9], [9, 8, 7, 6, 5]]
    vectors = [vector(site, seed) for seed, site in enumerate(SITES)]
    request = rows, torch.tensor([[5, 6], [7, 8]]), vectors, [-1.5, 1.0, 2.0], ts.last(1)
    fast, plain = (np.stack(list(measured(surface, Answers(*request, engine=e)))) for e in ("auto", "plain"))
    np.testing.assert_allclose(fast, plain, atol=2e-5, rtol=2e-5)


def test_answers_of_a_parallel_model_equal_those_of_hooked_passes(parallel_model, vector):
    check_answers(parallel_model, [vector(site, seed) for seed, site in enumerate(PARALLEL_SITES)])


def written(model, todo):
    texts = ts.generate(model, PROMPTS, todo, max_new_tokens=12)
    return texts, ts.completion_logprob(model, PROMPTS, ANSWERS, todo)


def test_texts_and_their_probabilities_equal_those_of_hooked_passes(model, vector):
    todo = [ts.Intervention(vector(site, seed), 1.5) for seed, site in enumerate(SITES)]
    assert ts.engine(model).name == "fast"
    texts, scores = written(model, todo)
    with (
        model.hooks(fwd_hooks=[("blocks.0.hook_resid_pre", lambda residual, hook: None)]),
        pytest.warns(UserWarning, match="plain path: it carries hooks"),
    ):
        plain_texts, plain_scores = written(model, todo)
    assert texts == plain_texts
    torch.testing.assert_close(scores, plain_scores, atol=1e-4, rtol=1e-4)
    assert texts != written(model, [])[0]


def test_writes_come_in_the_order_of_the_stream_and_at_one_site_in_the_order_given(model, vector):
    def composed(*several):
        todo = [ts.Intervention(3 * vector(site, seed), 1.0, operation=kind) for site, seed, kind in several]
        with ts.steer(model, *todo):  # hooked passes
            hooked = model(torch.tensor(encode_prompts(Surface(model), PROMPTS[:1])))
        return hooked, ts.completion_logprob(model, PROMPTS, ANSWERS, todo)

    post, pre = (ts.Site(1, "post"), 0, "clamp"), (ts.Site(2), 1, ts.Clamp(2.0))
    same = (ts.Site(2), 0, "clamp")
    assert ts.engine(model).name == "fast"
    for along, reverse in (((post, pre), (pre, post)), ((same, pre), (post, pre))):
        (first, fast_first), (second, fast_second) = composed(*along), composed(*reverse)
        torch.testing.assert_close(first, second)
        torch.testing.assert_close(fast_first, fast_second, atol=1e-5, rtol=1e-5)
    # Where the order is that of one site, it is the one given, and matters.
    (first, fast_first), (second, fast_second) = composed(same, pre), composed(pre, same)
    assert not torch.allclose(first, second, atol=1e-2)
    assert not torch.allclose(fast_first, fast_second, atol=1e-2)


def test_fits_equal_those_of_hooked_passes(model):
    example = ts.Example(PROMPTS[0], promote=[" Sure, here it is", " the answer"], suppress=[" I cannot say"])
    recipes = [OneShot(example, site, steps=3) for site in SITES]
    for fast, plain in zip(fit_many(model, recipes), fit_many(model, recipes, engine="plain"), strict=True):
        torch.testing.assert_close(fast.vector.tensor, plain.vector.tensor, atol=1e-4, rtol=1e-4)


def test_what_is_changed_on_a_model_after_its_view_was_made_is_what_runs(model):
    before = ts.completion_logprob(model, PROMPTS, ANSWERS)
    weight = next(one for name, one in model.named_parameters() if "mlp" in name and one.ndim > 1)
    kept = weight.data.clone()
    try:
        weight.data.copy_(kept.roll(1, 0))
        found = ts.completion_logprob(model, PROMPTS, ANSWERS)
        assert ts.engine(model).name == "fast"
    finally:
        weight.data.copy_(kept)
    assert not torch.allclose(found, before, atol=1e-2)
    torch.testing.assert_close(ts.completion_logprob(model, PROMPTS, ANSWERS), before)
