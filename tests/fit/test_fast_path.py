"""The fast path gives what the plain hooked forward passes give, for every kind of fit and architecture."""

import warnings
from dataclasses import replace

import pytest
import torch

import tlsteer as ts
from tests import small_models
from tlsteer._surface import Surface
from tlsteer.fit import Noise, OneShot, fit_many
from tlsteer.fit._fast import FastLosses
from tlsteer.fit._plain import PlainLosses
from tlsteer.fit._problem import Problem
from tlsteer.lean import Unsteered, lean_model
from tlsteer.operations import Clamp
from tlsteer.sites import Site

ONE = ts.Example("What is it?", promote=[" Sure, here"], suppress=[" I cannot", " Hello world"])
TWO = ts.Example("Hello", promote=[" world"], negative=True)
RECIPES = {
    "pre": OneShot([ONE, TWO], 1),
    "post and cap": OneShot(ONE, Site(2, "post"), seed=1, max_norm=0.7),
    "after the last block": OneShot(ONE, Site(3, "post"), positions=ts.last(2)),
    "clamp at mid": OneShot([ONE, TWO], Site(1, "mid"), operation=Clamp(0.3), positions="completion"),
    "several sites": OneShot(ONE, [0, 2], coldness=1.0, suppression="log_p"),
    "affine": OneShot([ONE, TWO], 1, operation="affine", rank=2, max_row_norm=0.5, seed=3),
    "noise and a prefix": OneShot(ONE, 3, positions=ts.last(1), noise=Noise(0.1, True, True)),
    "satisficing": OneShot(ONE, 2, target_loss=20.0, satisfice=True, max_norm_ratio=0.5),
    "after a text": OneShot(ONE, 1, positions=ts.after("is")),
    "bounded, by token": OneShot([ONE, TWO], 2, eps=1e-3, per_token=True, seed=5),
    "a start and minibatches": OneShot(
        [ONE, TWO], 1, start=ts.SteeringVector(torch.linspace(-0.2, 0.2, small_models.WIDTH), 1), minibatch=1
    ),
}
ALL_KINDS = (*small_models.KINDS, *small_models.MORE_KINDS)


def recipes_for(kind):
    return [recipe for name, recipe in RECIPES.items() if kind != "neox" or "mid" not in name]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_losses_and_gradients_equal_the_plain_path(kind):
    surface = Surface(small_models.loaded(kind))
    problems = [Problem.of(surface, recipe) for recipe in recipes_for(kind)]
    fast = FastLosses(lean_model(surface), problems, max_batch_tokens=4096)
    plain = PlainLosses(surface, problems)
    width = max(len(problem.start(small_models.WIDTH)) for problem in problems)
    generator = torch.Generator().manual_seed(0)
    parameters = torch.randn(len(problems), width, small_models.WIDTH, generator=generator).requires_grad_()
    seen = {}
    for engine in (fast, plain):
        losses = {}
        for fits in engine.groups(list(range(len(problems)))):
            wide = [1 + 2 * p.recipe.rank if p.recipe.learns_map else 1 for p in problems]
            own = parameters if engine is fast else parameters[:, : max(wide[fit] for fit in fits)]
            losses |= dict(zip(fits, engine.losses(own[fits], fits), strict=True))
        flat = torch.cat([losses[fit] for fit in range(len(problems))])
        (gradient,) = torch.autograd.grad(flat.sum(), [parameters])
        seen[engine.name] = flat.detach(), gradient
    torch.testing.assert_close(seen["fast"][0], seen["plain"][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(seen["fast"][1], seen["plain"][1], atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt2", "gemma2"])
def test_many_fits_equal_fits_one_by_one_and_on_the_plain_path(kind):
    model = small_models.loaded(kind)
    recipes = [replace(recipe, steps=8) for recipe in recipes_for(kind)]
    together = fit_many(model, recipes, progress=False)
    in_small_batches = fit_many(model, recipes, max_batch_tokens=40, progress=False)
    plain = fit_many(model, recipes, engine="plain", progress=False)
    assert {fit.engine for fit in together} == {"fast"}
    assert {fit.engine for fit in plain} == {"plain"}
    for recipe, *fits in zip(recipes, together, in_small_batches, plain, strict=True):
        (alone,) = fit_many(model, [recipe], progress=False)
        for fit in fits:
            assert fit.stopped == alone.stopped
            assert fit.losses == pytest.approx(alone.losses, rel=1e-5, abs=1e-5)
            torch.testing.assert_close(fit.vector.tensor, alone.vector.tensor, atol=1e-5, rtol=1e-5)


def test_what_comes_before_the_sites_is_computed_once_for_each_text(monkeypatch):
    model = small_models.loaded("gpt2")
    swapped = ts.Example(ONE.prompt, promote=ONE.suppress, suppress=ONE.promote)
    recipes = [OneShot(example, layer, steps=3) for example in (ONE, swapped) for layer in (1, 3)]
    plain = fit_many(model, recipes, engine="plain", progress=False)
    n_texts, run_once = [], Unsteered.of

    def counted(model, tree, *args, **options):
        n_texts.append(len(tree.tokens))
        return run_once(model, tree, *args, **options)

    monkeypatch.setattr(Unsteered, "of", counted)
    fits = fit_many(model, recipes, progress=False)
    assert n_texts == [1]
    for fit, expected in zip(fits, plain, strict=True):
        assert fit.losses == pytest.approx(expected.losses, rel=1e-5)
        torch.testing.assert_close(fit.vector.tensor, expected.vector.tensor, atol=1e-5, rtol=1e-5)


def test_fits_of_unequal_length_leave_without_disturbing_the_others():
    model = small_models.loaded("llama")
    recipes = [OneShot(ONE, layer, steps=3 + 4 * layer, seed=layer) for layer in (0, 1, 2, 3)]
    for fit, recipe in zip(fit_many(model, recipes, progress=False), recipes, strict=True):
        (alone,) = fit_many(model, [recipe], progress=False)
        assert len(fit.losses) == recipe.steps
        torch.testing.assert_close(fit.vector.tensor, alone.vector.tensor, atol=1e-5, rtol=1e-4)


def test_a_model_with_hooks_takes_the_plain_path_and_says_so():
    model = small_models.loaded("llama")
    halve = ("blocks.0.hook_resid_pre", lambda x, hook: 0.5 * x)
    with model.hooks(fwd_hooks=[halve]), pytest.warns(UserWarning, match="plain path"):
        (hooked,) = fit_many(model, [OneShot(ONE, 1, steps=2)], progress=False)
    assert hooked.engine == "plain"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*plain path")
        (free,) = fit_many(model, [OneShot(ONE, 1, steps=2)], progress=False)
    assert free.engine == "fast"
    assert hooked.losses != free.losses


def test_the_bridge_is_left_as_it_was():
    model = small_models.loaded("gpt2")
    before = {name: parameter.clone() for name, parameter in model.original_model.named_parameters()}
    attention = model.original_model.config._attn_implementation
    first = model("Hello world")
    fit_many(model, [OneShot(ONE, 1, steps=2)], progress=False)
    assert torch.equal(model("Hello world"), first)
    assert all(torch.equal(p, before[name]) for name, p in model.original_model.named_parameters())
    assert model.original_model.config._attn_implementation == attention


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_bf16_models_are_fitted(kind):
    model = small_models.loaded(kind, torch.bfloat16)
    fit, plain = (
        fit_many(model, [OneShot(ONE, 1, steps=8, learning_rate=0.3)], engine=engine, progress=False)[0]
        for engine in ("auto", "plain")
    )
    assert fit.engine == "fast"
    assert fit.losses[-1] < fit.losses[0] - 1
    assert fit.losses[0] == pytest.approx(plain.losses[0], rel=0.03)
