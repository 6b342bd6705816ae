"""Steering too strong for the model's precision is refused, or is an error that names where, never a result."""

import re

import pytest
import torch

import tlsteer as ts
from tests import small_models
from tests.small_models import LAYERS, WIDTH
from tlsteer import Intervention, Site, SteeringVector

PROMPTS = ["Hello world", "What is it?"]
EXAMPLE = ts.Example("What is it?", promote=[" Sure, here"])


@pytest.fixture(params=["fast", "plain"])
def half(request):
    """A float16 model, whose numbers end at 65504."""
    return made("llama", torch.float16, request.param)


def made(kind, dtype, engine):
    model = ts.load_model(small_models.bridge(kind, dtype=dtype))
    if engine == "plain":
        model.add_hook("blocks.0.hook_in", lambda x, hook: None)
    assert ts.engine(model).name == engine
    return model


def flat(size, site=1, operation="add"):
    """A vector of equal entries."""
    return SteeringVector(torch.full((WIDTH,), float(size)), site, operation)


def uses(model, *interventions):
    """Ways to steer a model, by name."""

    def steered():
        with torch.no_grad(), ts.steer(model, *interventions):
            model(torch.tensor([[5, 6, 7]]))

    return {
        "steer": steered,
        "generate": lambda: ts.generate(model, PROMPTS, list(interventions), max_new_tokens=2, progress=False),
        "score": lambda: ts.completion_logprob(model, PROMPTS, [" a", " b"], list(interventions), progress=False),
        "answers": lambda: ts.answer_logit_difference(model, PROMPTS, "A", "B", list(interventions), progress=False),
    }


@pytest.mark.parametrize(
    ("vector", "multiplier"),
    [
        (flat(1), 1e5),
        (flat(1e5), 1.0),
        (flat(1e5), 0.0),
        (flat(300), -300.0),
        (flat(1), [1.0, 1e5]),
        (flat(1e5, operation="clamp"), 1.0),
    ],
    ids=["multiplier", "entries", "entries unused", "their product", "of one row", "clamp"],
)
def test_what_is_beyond_the_models_numbers_is_refused_before_anything_runs(half, vector, multiplier):
    def never(*_):
        raise AssertionError("the model ran")

    one = Intervention(vector, multiplier)
    ways = uses(half, one)
    if not isinstance(multiplier, list):
        asked = [ts.Choice("What is it?", "A", "B")]
        ways["propensity"] = lambda: ts.propensity(half, vector, asked, multipliers=[0.5, multiplier], progress=False)
        ways["side effects"] = lambda: ts.side_effects(half, vector, PROMPTS, multipliers=[multiplier], progress=False)
    handle = half.original_model.register_forward_pre_hook(never)
    try:
        for way in ways.values():
            with pytest.raises(ts.VectorError, match="is too much for float16, in which 'tiny-llama' computes"):
                way()
    finally:
        handle.remove()


def test_the_same_vector_is_taken_where_numbers_go_further():
    for dtype in (torch.float32, torch.bfloat16):
        ts.generate(small_models.loaded("llama", dtype), PROMPTS, Intervention(flat(1e5), 1.0), max_new_tokens=1)


@pytest.mark.parametrize("site", [Site(2), Site(1, "mid"), Site(LAYERS - 1, "post")], ids=str)
@pytest.mark.parametrize("way", ["steer", "generate", "score", "answers"])
def test_residuals_that_overflow_are_an_error_that_names_the_edit(half, way, site):
    """Each edit fits in float16, the two together do not."""
    two = Intervention(flat(4e4)), Intervention(flat(4e4, site))
    with pytest.raises(ts.VectorError, match=re.escape(f"is not finite after the edit at {site!r}: ")):
        uses(half, *two)[way]()


def test_what_overflows_after_the_edits_is_said_to_have_been_finite_there():
    model = made("llama", torch.float16, "fast")
    with model.hooks(fwd_hooks=[("blocks.3.hook_in", lambda x, hook: 2 * x)]):
        for way in uses(model, flat(4e4)).values():
            said = r"after the last block, though it was at the edits \(Site\(1, 'pre'\)\)"
            with pytest.raises(ts.VectorError, match=said):
                way()


def test_padding_may_hold_anything(monkeypatch):
    """What masked tokens hold is no result."""
    model = small_models.loaded("llama")
    tokens, mask = torch.tensor([[0, 5, 6], [7, 8, 9]]), torch.tensor([[0, 1, 1], [1, 1, 1]])
    broken = [("blocks.3.hook_out", lambda x, hook: x.masked_fill(mask[..., None] == 0, float("nan")))]
    with torch.no_grad(), model.hooks(fwd_hooks=broken), ts.steer(model, flat(1)):
        model(tokens, attention_mask=mask)


@pytest.mark.parametrize("engine", ["fast", "plain"])
@pytest.mark.parametrize("measure", ["logit_difference", "logprob_difference"])
def test_answers_that_are_no_numbers_are_an_error_that_names_vector_and_multiplier(engine, measure):
    model = made("gpt2", torch.float32, engine)
    asked = [ts.Choice("What is it?", "A", "B", prompt="What is it? ")]
    found = ts.propensity(model, flat(1), asked, multipliers=[0.0, 1.0], measure=measure, progress=False)
    assert found.notnull().all()
    said = r"predicts under SteeringVector\(Site\(1, 'pre'\).* at multiplier 2 is not finite"
    with pytest.raises(ts.VectorError, match=said):  # the mean of such a residual is infinite
        ts.propensity(model, flat(1.5e38), asked, multipliers=[0.0, 2.0], measure=measure, progress=False)


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_a_fit_whose_loss_is_no_number_ends_at_that_step(engine):
    model = small_models.loaded("gpt2")
    with pytest.raises(ts.VectorError, match=r"Site\(1, 'pre'\)"):
        ts.fit_many(model, [ts.OneShot(EXAMPLE, 1, steps=9, learning_rate=3e38)], engine=engine, progress=False)
