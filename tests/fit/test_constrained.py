"""Output-constrained fits: smaller vectors that still do what was asked."""

import pytest
import torch

import tlsteer as ts
from tests import small_models
from tlsteer._surface import Surface
from tlsteer.errors import VectorError
from tlsteer.fit._plain import PlainLosses
from tlsteer.fit._problem import Problem

EXAMPLE = ts.Example("What is it?", promote=[" Sure, here"], suppress=[" I cannot"])
TARGETS = [24.5, 0.2]
SETTINGS = dict(target_loss=TARGETS, steps=60, learning_rate=0.3, progress=False)


def plain_losses(model, vector):
    """The losses of the example's completions, by full hooked passes."""
    surface = Surface(model)
    problem = Problem.of(surface, ts.OneShot(EXAMPLE, vector.site))
    with torch.no_grad():
        return PlainLosses(surface, [problem]).losses(vector.tensor[None, None], [0])[0].tolist()


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_norm_goes_down_while_every_target_stays_met(kind):
    model = small_models.loaded(kind)
    fit = ts.fit.fit_output_constrained(model, EXAMPLE, 1, constrained_steps=80, **SETTINGS)
    assert fit.start.stopped == fit.stopped == "target"
    assert fit.vector.norm < 0.6 * fit.start.vector.norm
    assert fit.norms[0] == pytest.approx(fit.start.vector.norm, rel=1e-5)
    assert len(fit.norms) == len(fit.losses) == 80
    losses = plain_losses(model, fit.vector)
    assert losses == pytest.approx(fit.completion_losses, abs=1e-4)
    assert all(loss <= target + 1e-3 for loss, target in zip(losses, TARGETS, strict=True))
    assert fit.vector.provenance.method == "output_constrained"


@pytest.mark.slow
def test_the_smallest_vector_lies_on_the_boundary_and_does_not_depend_on_the_start():
    """At the minimum one constraint binds; going on from elsewhere ends at the same norm."""
    model = small_models.loaded("llama")
    fits = [ts.fit.fit_output_constrained(model, EXAMPLE, 1, learning_rate=rate, target_loss=TARGETS, steps=60,
                                      constrained_steps=250, progress=False) for rate in (0.1, 0.3)]  # fmt: skip
    assert max(loss - t for loss, t in zip(fits[0].completion_losses, TARGETS, strict=True)) == pytest.approx(
        0, abs=0.02
    )
    assert fits[0].start.vector.norm != pytest.approx(fits[1].start.vector.norm, rel=0.05)
    assert fits[0].vector.norm == pytest.approx(fits[1].vector.norm, rel=0.05)


def test_another_loss_of_the_vector_is_minimised():
    model = small_models.loaded("llama")
    axis = torch.nn.functional.one_hot(torch.tensor(3), small_models.WIDTH).float()

    def along_axis(v):
        return (v @ axis.to(v)).square()

    fit = ts.fit.fit_output_constrained(model, EXAMPLE, 1, minimise=along_axis, constrained_steps=60, **SETTINGS)
    assert along_axis(fit.vector.tensor) < 1e-3
    assert along_axis(fit.start.vector.tensor) > 1e-2
    assert all(loss <= target + 1e-3 for loss, target in zip(fit.completion_losses, TARGETS, strict=True))


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_an_affine_map_gets_smaller_as_a_whole_while_every_target_stays_met(engine):
    def size(fit):
        map_ = fit.vector.operation
        return torch.cat([fit.vector.tensor[None], map_.left, map_.right]).norm().item()

    fit = ts.fit.fit_output_constrained(
        small_models.loaded("llama"), EXAMPLE, 1, operation="affine", rank=2, constrained_steps=40, engine=engine,
        **SETTINGS,
    )  # fmt: skip
    assert size(fit) < 0.9 * size(fit.start)
    assert fit.vector.operation.left.shape == (2, small_models.WIDTH)
    assert all(loss <= target + 1e-3 for loss, target in zip(fit.completion_losses, TARGETS, strict=True))


def test_a_loss_of_ones_own_sees_all_of_an_affine_map():
    fit = ts.fit.fit_output_constrained(
        small_models.loaded("llama"), EXAMPLE, 1, operation="affine", minimise=lambda rows: rows[1:].norm(),
        constrained_steps=40, **SETTINGS,
    )  # fmt: skip
    map_, before = fit.vector.operation, fit.start.vector.operation
    assert map_.left.norm() + map_.right.norm() < 0.9 * (before.left.norm() + before.right.norm())


def test_the_cap_holds_whatever_is_minimised():
    model = small_models.loaded("llama")
    fit = ts.fit.fit_output_constrained(
        model, EXAMPLE, 1, minimise=lambda v: -v.norm(), max_norm=8.0, constrained_steps=40, **SETTINGS
    )
    assert max(fit.norms) <= 8.0 + 1e-4


def test_the_paths_agree():
    model = small_models.loaded("gpt2")
    fast, plain = (
        ts.fit.fit_output_constrained(model, EXAMPLE, 1, constrained_steps=20, engine=engine, **SETTINGS)
        for engine in ("auto", "plain")
    )
    assert (fast.engine, plain.engine) == ("fast", "plain")
    assert fast.norms == pytest.approx(plain.norms, abs=1e-4)
    torch.testing.assert_close(fast.vector.tensor, plain.vector.tensor, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"constrained_steps": 0}, "at least 1"),
        ({"minimise": lambda v: v}, "one number"),
        ({"minimise": lambda v: v.norm().item()}, "one number"),
        ({"target_loss": [0.0, 0.0], "steps": 2}, r"losses are \[.*targets \[0.0, 0.0\]"),
    ],
)
def test_what_cannot_be_minimised_is_refused(settings, message):
    fit = small_models.unchecked(ts.fit.fit_output_constrained)
    with pytest.raises(VectorError, match=message):
        fit(small_models.loaded("llama"), EXAMPLE, 1, **(SETTINGS | settings))


def test_a_target_for_each_completion_is_needed():
    with pytest.raises(ts.DataError, match="3 target losses were given for 2 completions"):
        ts.fit.fit_output_constrained(
            small_models.loaded("llama"), EXAMPLE, 1, target_loss=[1.0, 2.0, 3.0], progress=False
        )
