"""Reentrant steering: a late vector that makes the model say what an invasive early edit makes it say.

Two optimisations (arXiv 2502.18862, Alg. 1). First an edit at an early site, as one-shot optimisation makes it: a
vector, or a rank-one matrix u w' with |u| = |w| = 1, which turns the residual x into x + u (w.x). Its next-token
distributions along a completion are recorded. Then a vector at a later site is optimised to minimise the summed
Kullback-Leibler divergence KL(recorded || steered) of these distributions.

The late vector never sees the example's completions as targets. One-shot optimisation at the late site fixes which
tokens come; this fixes how likely every token is, so the vector stands for what the early edit did by then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Unpack

from tlsteer._arguments import Count, checked
from tlsteer._keywords import settled
from tlsteer._model_type import Model
from tlsteer._store import Store, store_of
from tlsteer._surface import Surface
from tlsteer.data import Example
from tlsteer.data._prompt_like import PromptLike
from tlsteer.errors import DataError, SiteError
from tlsteer.fit._constraints import random_on_sphere
from tlsteer.fit._descent import Descent, Losses
from tlsteer.fit._engine import Engine, losses_of
from tlsteer.fit._fast import FastLosses
from tlsteer.fit._fits import Fits
from tlsteer.fit._one_fit import OneFit
from tlsteer.fit._plain import PlainLosses
from tlsteer.fit._problem import Datapoint, Problem
from tlsteer.fit._recipe import OneShot, OneShotSettings
from tlsteer.fit._result import OneShotFit, finished_fit
from tlsteer.lean import LeanModel
from tlsteer.measure import measured
from tlsteer.operations import Affine
from tlsteer.sites import Place
from tlsteer.steering import Intervention, steer
from tlsteer.tokens import decode_after, encode_completion, encode_prompts


@dataclass(frozen=True, repr=False)
class ReentrantFit(OneShotFit):
    """What a reentrant fit gives: the late vector, with summed KL in nats as its losses.

    Attributes:
        early: the fit of the early edit.
        completion: the text, or the ids after a prompt of ids, along which distributions were recorded.

    >>> found = fit_reentrant(model, OneShot(example, 1, steps=4), 4, steps=4)
    >>> found.early.vector.site, found.vector.site
    (Site(1, 'pre'), Site(4, 'pre'))
    """

    early: OneShotFit
    completion: PromptLike


@checked
def fit_reentrant(
    model: Model,
    early: OneShot,
    site: Place,
    *,
    rank_one: bool = False,
    completion: PromptLike | None = None,
    max_new_tokens: Count = 20,
    engine: Engine = "auto",
    run_dir: str | Path | Store | None = None,
    progress: bool = True,
    **settings: Unpack[OneShotSettings],
) -> ReentrantFit:
    """Optimises an early edit, then a vector at a later site that gives the same next-token distributions.

    Args:
        model: a TransformerBridge or HookedTransformer. Its parameters get no gradients.
        early: the early edit, of one example.
        site: where the late vector is written, after every site of `early`.
        rank_one: make the early edit a rank-one matrix of unit vectors instead of what `early.operation` says.
        completion: what follows the prompt while distributions are recorded; by default what the model,
            with the early edit, says itself (greedily).
        max_new_tokens: length of that.
        engine: see `fit_oneshot`.
        run_dir: see `fit_many`.
        progress: show a bar.
        settings: of the late fit, as in `OneShot`: positions, max_norm, steps, learning_rate, seed, ...; target
            losses are of the summed KL. Coldness, 1 unless given, is applied to both distributions.

    Raises:
        DataError: several examples, a negative one, or texts that cannot be encoded.
        SiteError: the late site does not come after the early ones.
        VectorError: settings that contradict each other or are out of range.

    >>> found = fit_reentrant(model, OneShot(example, 1, steps=4), 4, steps=4)
    >>> found.vector, found.early.vector, found.losses
    """
    surface = Surface(model)
    example = _only_example(early)
    if rank_one:
        early = replace(early, operation=Affine.name, rank=1)
    first = Problem.of(surface, early)  # so that nothing is run for what is refused
    late = Problem.of(surface, settled(OneShot(example, site, coldness=1.0), settings, OneShotSettings))
    if not max(first.sites) < min(late.sites):
        raise SiteError(f"the late site {late.sites[0]} has to come after the early one, {max(first.sites)}")
    prompt = encode_prompts(surface, [example.prompt], room=max_new_tokens if completion is None else 0)[0]
    ids = None if completion is None else encode_completion(surface, example.prompt, completion)[1]
    store, edit = store_of(run_dir), early.plain(surface.n_layers)
    kind = _RankOne(edit, engine=engine, progress=progress) if rank_one else Fits([edit], engine, progress=progress)
    (made,) = measured(surface, kind, store)
    early_fit = finished_fit(surface, early, made, "rank_one" if rank_one else "oneshot")
    ids = ids or _continuation(model, prompt, early_fit, early, max_new_tokens)
    request = _Late(
        late.recipe.plain(surface.n_layers), edit, made["parameters"], prompt, ids, engine=engine, progress=progress
    )
    (end,) = measured(surface, request, store)
    said = decode_after(surface, prompt, ids, special=True) if isinstance(example.prompt, str) else ids
    about = early_fit.vector.provenance.settings
    fit = finished_fit(surface, late.recipe, end, "reentrant", completion=said, early=about)
    return ReentrantFit(**vars(fit), early=early_fit, completion=said)


def _only_example(early: OneShot) -> Example:
    examples = early.all_examples
    if len(examples) != 1:
        raise DataError(f"a reentrant fit follows one example, got {len(examples)}; make a fit for each")
    if examples[0].negative:
        raise DataError("the example of a reentrant fit sees the early edit as it is; leave out negative=True")
    return examples[0]


@dataclass(frozen=True, eq=False)
class _RankOne(OneFit):
    """A request: an early edit as a rank-one matrix of unit vectors.

    Attributes:
        recipe: of the edit.
    """

    recipe: OneShot

    def begin(self, surface: Surface, lean: LeanModel | None) -> tuple[_UnitMaps, Descent]:
        """Losses of unit maps, and a random one."""
        problem = Problem.of(surface, self.recipe)
        descent, seed = Descent.of(surface, problem), self.recipe.seed
        rows = [random_on_sphere(surface.d_model, 1.0, seed + row) for row in range(2)]
        descent.parameters = torch.stack([torch.zeros_like(rows[0]), *rows]).to(surface.device)
        return _UnitMaps(losses_of(surface, lean, [problem])), descent

    def end(self, losses: _UnitMaps, descent: Descent) -> dict[str, Any]:
        """The unit map itself."""
        descent.parameters = _unit_map(descent.parameters)
        return super().end(losses, descent)


@dataclass(frozen=True, eq=False)
class _Late(OneFit):
    """A request: a late vector with the outputs of an early edit.

    Attributes:
        recipe: of the late vector.
        early: the recipe of the early edit.
        edit: its parameters.
        prompt: ids.
        completion: ids along which outputs are compared.
    """

    recipe: OneShot
    early: OneShot
    edit: Float[np.ndarray, "parts d_model"]
    prompt: list[int]
    completion: list[int]

    def begin(self, surface: Surface, lean: LeanModel | None) -> tuple[_Divergences, Descent]:
        """The divergence from the outputs under the edit, which are recorded here, and a random start."""
        first, late = (self._along(Problem.of(surface, one)) for one in (self.early, self.recipe))
        with torch.no_grad():
            edit = torch.from_numpy(self.edit).to(surface.device)
            recorded = losses_of(surface, lean, [first]).outputs(edit[None], [0])
        return _Divergences(losses_of(surface, lean, [late]), recorded), Descent.of(surface, late)

    def _along(self, problem: Problem) -> Problem:
        """The same with the completion in the place of its own."""
        (own,) = problem.datapoints[:1]
        point = Datapoint(self.prompt, [self.completion], [True], 1.0, positions=own.positions)
        return replace(problem, datapoints=[point])


def _unit_map(parameters: Float[Tensor, "*fits 3 d_model"]) -> Float[Tensor, "*fits 3 d_model"]:
    """No vector, and the rows of L and R at norm 1."""
    rows = torch.nn.functional.normalize(parameters[..., 1:, :], dim=-1)
    return torch.cat([torch.zeros_like(parameters[..., :1, :]), rows], -2)


class _UnitMaps:
    """Losses as functions of unit maps: the norms of the rows make no difference, and the vector is left out."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self.name = losses.name

    def groups(self, active: list[int]) -> list[list[int]]:
        """Which fits are computed together."""
        return self._losses.groups(active)

    def losses(
        self, parameters: Float[Tensor, "fits parts d_model"], fits: list[int]
    ) -> list[Float[Tensor, " completions"]]:
        """The losses of the normalised maps."""
        return self._losses.losses(_unit_map(parameters), fits)


class _Divergences:
    """The summed KL from recorded outputs, in place of the loss of one fit."""

    def __init__(self, losses: FastLosses | PlainLosses, recorded: Float[Tensor, "reads width"]) -> None:
        self._losses = losses
        self._recorded = recorded
        self.name = losses.name

    def groups(self, active: list[int]) -> list[list[int]]:
        """The one fit."""
        return [active]

    def losses(
        self, parameters: Float[Tensor, "fits parts d_model"], fits: list[int]
    ) -> list[Float[Tensor, " completions"]]:
        """The divergence of the completion."""
        return self._losses.divergences(parameters, fits, self._recorded)


def _continuation(model: Model, prompt: list[int], fit: OneShotFit, early: OneShot, max_new_tokens: int) -> list[int]:
    """What the model says greedily under the early edit, as ids: text would not always give the same ids again."""
    edits = [Intervention(vector, 1.0, early.all_positions[0]) for vector in fit.vectors.values()]
    tokens = torch.tensor([prompt], device=Surface(model).device)
    ends = {"stop_at_eos": Surface(model).special_id("eos") is not None}
    with torch.no_grad(), steer(model, *edits):
        said = model.generate(tokens, max_new_tokens=max_new_tokens, do_sample=False, verbose=False, **ends)
    return said[0, len(prompt) :].tolist()
