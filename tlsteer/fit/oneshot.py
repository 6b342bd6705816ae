"""One-shot optimised steering vectors: gradient descent on a vector, from as little as one example.

Minimises, over a vector v written into the residual stream, the sum over completions of -log p (those to promote)
and -log(1 - p) (those to suppress) of their tokens under the steered model (arXiv 2502.18862). The contrastive
estimators need pairs and no gradients, but find what separates two sets of texts; this finds what changes the
given completions.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tlsteer.data import Example, data_hash
from tlsteer.errors import VectorError
from tlsteer.fit.descent import Descent, Losses, Stopped, descend
from tlsteer.fit.fast import FastLosses
from tlsteer.fit.noise import NoiseStream
from tlsteer.fit.plain import PlainLosses
from tlsteer.fit.problem import Problem, parts
from tlsteer.fit.recipe import OneShot
from tlsteer.fit.runs import FitRun
from tlsteer.lean import CannotCut, LeanModel
from tlsteer.sites import Place
from tlsteer.surface import Surface
from tlsteer.vectors import Provenance, SteeringVector

Engine = Literal["auto", "plain"]
_MAX_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class OneShotFit:
    """What a one-shot fit gives.

    Attributes:
        vectors: the steering vector at each of its sites.
        losses: total loss in nats before each step.
        completion_losses: the loss of each completion at the last evaluation, in the order promote, suppress
            of each example.
        stopped: "target" (target loss reached), "converged" (loss no longer changes) or "max_steps".
        max_norm: the cap that was in force, None without one.
        engine: "fast", or "plain" where the model cannot be cut or the plain path was asked for.
    """

    vectors: list[SteeringVector]
    losses: list[float]
    completion_losses: list[float]
    stopped: Stopped
    max_norm: float | None
    engine: str

    @property
    def vector(self) -> SteeringVector:
        """The steering vector, at its first site where it has several."""
        return self.vectors[0]

    @property
    def converged(self) -> bool:
        """Whether the fit ended before it ran out of steps."""
        return self.stopped != "max_steps"

    def __repr__(self) -> str:
        return (
            f"OneShotFit({self.vector!r}, loss {self.losses[0]:.3g} -> {self.losses[-1]:.3g} nats "
            f"in {len(self.losses)} steps, stopped: {self.stopped})"
        )


class FitsInterrupted(KeyboardInterrupt):
    """Fitting was interrupted; `finished` holds what was done, by the recipe's number."""

    def __init__(self, finished: dict[int, OneShotFit]) -> None:
        super().__init__(f"interrupted with {len(finished)} fits finished; they are in .finished")
        self.finished = finished


def fit_oneshot(
    model: Any,
    examples: Example | Sequence[Example],
    site: Place | Sequence[Place],
    *,
    engine: Engine = "auto",
    progress: bool = True,
    **settings: Any,
) -> OneShotFit:
    """Optimises a steering vector on one example or several.

    Args:
        model: a TransformerBridge or HookedTransformer. Its parameters get no gradients.
        examples: prompts with completions to promote or suppress.
        site: where the vector is written; several sites share the one vector.
        engine: "auto" runs only the layers from the site on where the model can be cut; "plain" is the full
            hooked forward pass.
        progress: show a bar.
        settings: the other fields of `OneShot`: max_norm, max_norm_ratio, operation, positions, steps,
            learning_rate, coldness, target_loss, seed, ...

    Raises:
        DataError: no example, an empty completion, a text too long, or a token that spans a prompt's end.
        VectorError: settings that contradict each other or are out of range.

    >>> example = Example(prompt, promote=["Sure"], suppress=["I cannot"])
    >>> fit = fit_oneshot(model, example, Site(4), max_norm_ratio=0.5, steps=30, seed=0)
    """
    return fit_many(model, [OneShot(examples, site, **settings)], engine=engine, progress=progress)[0]


def fit_many(
    model: Any,
    recipes: Sequence[OneShot],
    *,
    engine: Engine = "auto",
    max_batch_tokens: int = _MAX_BATCH_TOKENS,
    run_dir: str | Path | None = None,
    progress: bool = True,
) -> list[OneShotFit]:
    """Fits any mix of recipes (examples, sites, operations, seeds, caps) as rows of one batch.

    Each row has its own optimiser state, norm cap and stopping, so the vectors are those of separate fits.

    Args:
        model: a TransformerBridge or HookedTransformer.
        recipes: what to fit.
        engine: see `fit_oneshot`.
        max_batch_tokens: at most this many tokens run at once; bounds memory.
        run_dir: each fit is saved here as it ends, and not made again by a later call.
        progress: show a bar.

    Raises:
        FitsInterrupted: a KeyboardInterrupt that carries the fits that were finished.
        DataError: see `fit_oneshot`; nothing has been computed then.

    >>> fits = fit_many(model, [OneShot(example, layer, seed=0) for layer in range(model.cfg.n_layers)])
    """
    if engine not in ("auto", "plain"):
        raise VectorError(f'engine {engine!r} is unknown; use "auto" or "plain"')
    surface = Surface(model)
    problems = [Problem.of(surface, recipe) for recipe in recipes]
    run = FitRun(run_dir, surface) if run_dir is not None else None
    done = {} if run is None else run.finished(recipes)
    todo = [number for number in range(len(recipes)) if number not in done]
    if not todo:
        return [done[number] for number in range(len(recipes))]
    chosen = [problems[number] for number in todo]
    losses = _engine(surface, chosen, engine, max_batch_tokens)
    descents = [_descent(surface, problem) for problem in chosen]

    def finished(fit: int) -> None:
        done[todo[fit]] = _result(surface, descents[fit], losses.name)
        if run is not None:
            run.save(recipes[todo[fit]], done[todo[fit]])

    try:
        descend(losses, descents, finished, progress)
    except KeyboardInterrupt:
        raise FitsInterrupted(done) from None
    return [done[number] for number in range(len(recipes))]


def _engine(surface: Surface, problems: list[Problem], engine: Engine, max_batch_tokens: int) -> Losses:
    if engine == "auto":
        try:
            return FastLosses(LeanModel(surface), problems, max_batch_tokens)
        except CannotCut as reason:
            if surface.is_bridge:
                warnings.warn(f"{surface.name!r} runs on the slow plain path: {reason}", stacklevel=3)
    return PlainLosses(surface, problems)


def _descent(surface: Surface, problem: Problem) -> Descent:
    recipe = problem.recipe
    start = problem.start(surface.d_model).to(surface.device)
    return Descent(problem, start, NoiseStream(recipe.noise, surface.d_model, recipe.seed))


def _result(surface: Surface, descent: Descent, engine: str) -> OneShotFit:
    problem, stopped = descent.problem, descent.stopped
    assert stopped is not None
    recipe = problem.recipe
    made = Provenance(
        model=surface.name,
        fingerprint=surface.fingerprint,
        weight_processing=surface.weight_processing,
        method="oneshot",
        data_hash=data_hash(recipe.all_examples),
        settings=recipe.settings | {"sites": [site.hook_name for site in problem.sites], "stopped": stopped},
    )
    vector, left, right = parts(descent.parameters)
    vectors = [
        SteeringVector(vector, site, recipe.operation, recipe.constant, left, right, made) for site in problem.sites
    ]
    return OneShotFit(vectors, descent.losses, descent.completion_losses, stopped, problem.max_norm, engine)
