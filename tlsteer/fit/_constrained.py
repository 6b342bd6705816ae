"""Output-constrained steering: of the vectors that do what was asked, the smallest, or the best by a loss of one's own.

One-shot optimisation runs until every completion's loss L_i is at most its target t_i. From there f(v) = |v| (or
another loss of v alone) is minimised subject to L_i <= t_i for every i (arXiv 2502.18862), so what changes between
the two vectors is what the outputs did not need. A norm cap says beforehand how long a vector may be; this finds out
how short it can be.

The constraints are held by the modified differential method of multipliers (Platt and Barr 1987), the augmented
Lagrangian taken one step at a time: each step of Adam minimises

    f(v) / |f(start)| + sum_i [max(0, m_i + c g_i)^2 - m_i^2] / (2 c)        with g_i = L_i - t_i

and then each multiplier m_i moves along its constraint, to max(0, m_i + r g_i). The returned vector is the best of
those met on the way that keep every constraint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Unpack

from tlsteer._arguments import Whole, checked
from tlsteer._keys import check_function_key, function_key
from tlsteer._keywords import settled
from tlsteer._model_type import Model
from tlsteer._store import Store, store_of
from tlsteer._surface import Surface
from tlsteer.data import Example
from tlsteer.errors import VectorError
from tlsteer.fit._descent import Descent, Losses
from tlsteer.fit._engine import Engine, losses_of
from tlsteer.fit._noise import Noise
from tlsteer.fit._one_fit import OneFit
from tlsteer.fit._oneshot import fit_many
from tlsteer.fit._problem import Problem, targets_of
from tlsteer.fit._recipe import AimedSettings, OneShot
from tlsteer.fit._result import OneShotFit, finished_fit
from tlsteer.lean import LeanModel
from tlsteer.measure import measured
from tlsteer.operations import Affine
from tlsteer.sites import Place

# c and r above. Losses are in nats and f is near 1, so the same values serve every model; a faster r overshoots.
_DAMPING, _RATE = 1.0, 0.1
# Losses computed twice differ by about this much, in nats.
_ROUNDING = 1e-4


@dataclass(frozen=True, repr=False)
class OutputConstrainedFit(OneShotFit):
    """What an output-constrained fit gives; its losses are those of the constrained steps.

    Attributes:
        start: the fit that met the targets.
        norms: |v| before each constrained step; the first is the start's.

    >>> found = fit_output_constrained(model, example, 4, target_loss=3.0, steps=10)
    >>> found.vector.norm <= found.start.vector.norm
    True
    """

    start: OneShotFit
    norms: list[float]


@checked
def fit_output_constrained(
    model: Model,
    examples: Example | Sequence[Example],
    site: Place | Sequence[Place],
    *,
    target_loss: float | Sequence[float],
    minimise: Callable[[Tensor], Tensor] = torch.linalg.vector_norm,
    constrained_steps: Whole = 200,
    engine: Engine = "auto",
    run_dir: str | Path | Store | None = None,
    progress: bool = True,
    **settings: Unpack[AimedSettings],
) -> OutputConstrainedFit:
    """Optimises a vector until every completion meets its target, then makes it as small as the targets allow.

    Args:
        model: a TransformerBridge or HookedTransformer. Its parameters get no gradients.
        examples: prompts with completions to promote or suppress.
        site: where the vector is written; several sites share the one vector.
        target_loss: in nats, for each completion the same, or a list with one for each.
        minimise: what is minimised, a function from v, shape (d_model,), to one number; |v| by default. Of an affine
            map it is given v and the rows of L and of R, shape (1 + 2 rank, d_model).
        constrained_steps: steps once the targets are met.
        engine: see `fit_oneshot`.
        run_dir: see `fit_many`; `minimise` counts by its module and name.
        progress: show a bar.
        settings: the other fields of `OneShot`; `steps` are those until the targets are met.

    Raises:
        DataError: see `fit_oneshot`; with `run_dir` also a `minimise` that cannot be told from others by its name.
        VectorError: settings out of range, or targets that no vector met.

    >>> found = fit_output_constrained(model, example, 4, target_loss=3.0, steps=10)
    >>> found.start.vector.norm, found.vector.norm
    """
    surface = Surface(model)
    aimed = OneShot(examples, site, target_loss=target_loss, target_of="each")
    recipe = settled(aimed, settings, AimedSettings)
    plain, store = recipe.plain(surface.n_layers), store_of(run_dir)
    if store.folder is not None:
        check_function_key(minimise)
    problem = Problem.of(surface, plain)
    targets = targets_of(problem)
    assert targets is not None  # target_of="each" has one for each
    _check(recipe, minimise, constrained_steps, surface.d_model)
    start = fit_many(model, [plain], engine=engine, run_dir=store, progress=progress)[0]
    if start.stopped != "target":
        raise _unmet(start, targets)
    free = replace(
        plain,
        steps=constrained_steps,
        target_loss=None,
        tolerance=0.0,
        satisfice=False,
        target_of="sum",
        noise=Noise(),
        minibatch=None,
        history=False,
    )
    request = _Constrained(free, _parameters(start), list(targets), minimise, engine=engine, progress=progress)
    (end,) = measured(surface, request, store)
    norms = end.pop("norms")
    if not end["completion_losses"]:
        raise _unmet(start, targets)
    fit = finished_fit(surface, free, end, "output_constrained", target_loss=list(targets))
    return OutputConstrainedFit(**vars(fit), start=start, norms=norms)


@dataclass(frozen=True, eq=False)
class _Constrained(OneFit):
    """A request: the smallest vector from a start that meets every target, as far as the steps go.

    Attributes:
        recipe: of the constrained steps.
        start: the parameters that met the targets: v, and of an affine map the rows of L and R.
        targets: in nats, for each completion.
        minimise: what is minimised.
    """

    recipe: OneShot
    start: Float[Tensor, "parts d_model"]
    targets: list[float]
    minimise: Callable[[Tensor], Tensor]

    def parts(self, unit: int) -> Any:
        """What the fit depends on; a function is known by its module and name."""
        return super().parts(unit) | {"minimise": function_key(self.minimise)}

    def begin(self, surface: Surface, lean: LeanModel | None) -> tuple[_Lagrangian, Descent]:
        """The Lagrangian, and the start."""
        problem = Problem.of(surface, self.recipe)
        descent = Descent.of(surface, problem)
        descent.parameters = self.start.to(surface.device)
        targets = torch.tensor(self.targets, device=surface.device)
        return _Lagrangian(losses_of(surface, lean, [problem]), targets, self.minimise), descent

    def end(self, losses: _Lagrangian, descent: Descent) -> dict[str, Any]:
        """The best of those that kept every constraint; without completion losses where none did."""
        vector, met = losses.best or (descent.parameters, [])
        descent.parameters, descent.completion_losses = vector, met
        descent.losses, descent.stopped = losses.losses_seen, "target"
        return descent.end(losses.name) | {"norms": losses.norms}


def _parameters(fit: OneShotFit) -> Float[Tensor, "parts d_model"]:
    """Those of a finished fit, as `Problem.start` has them."""
    vector, operation = fit.vector.tensor[None], fit.vector.operation
    return torch.cat([vector, operation.left, operation.right]) if isinstance(operation, Affine) else vector


def _check(recipe: OneShot, minimise: Callable[[Tensor], Tensor], constrained_steps: Whole, d_model: int) -> None:
    if constrained_steps < 1:
        raise VectorError(f"constrained_steps={constrained_steps} has to be at least 1")
    n_rows = 1 + 2 * recipe.rank * recipe.learns_map
    found = minimise(_subject(torch.ones(n_rows, d_model)))
    if not isinstance(found, Tensor) or found.numel() != 1:
        raise VectorError(f"minimise gives a tensor of one number for a vector, got {found!r}")


def _subject(parameters: Float[Tensor, "parts d_model"]) -> Tensor:
    """What is minimised: v, or of an affine map v, L and R as one matrix."""
    return parameters[0] if len(parameters) == 1 else parameters


def _unmet(fit: OneShotFit, targets: Sequence[float]) -> VectorError:
    reached = ", ".join(f"{loss:.3g}" for loss in fit.completion_losses)
    return VectorError(
        f"the completions' losses are [{reached}] nats after {len(fit.losses)} steps, with targets {list(targets)}: "
        "give more steps, a larger learning_rate or max_norm, or higher targets"
    )


class _Lagrangian:
    """The augmented Lagrangian of one fit, in place of its loss; it moves its multipliers and keeps the best vector.

    Attributes:
        name: the path taken.
        norms: |v| at each evaluation.
        losses_seen: the total loss in nats at each evaluation.
        best: the vector with the least f among those that meet every target, and its completions' losses.
    """

    def __init__(
        self, losses: Losses, targets: Float[Tensor, " completions"], minimise: Callable[[Tensor], Tensor]
    ) -> None:
        self._losses, self._targets, self._minimise = losses, targets, minimise
        self._multipliers = torch.zeros_like(targets)
        self._scale: float | None = None
        self._least = float("inf")
        self.name = losses.name
        self.norms: list[float] = []
        self.losses_seen: list[float] = []
        self.best: tuple[Float[Tensor, "parts d_model"], list[float]] | None = None

    def groups(self, active: list[int]) -> list[list[int]]:
        """The one fit."""
        return [active]

    def losses(self, parameters: Float[Tensor, "1 parts d_model"], fits: list[int]) -> list[Float[Tensor, " terms"]]:
        """f, then the term of each constraint."""
        (losses,) = self._losses.losses(parameters, fits)
        value, excess = self._minimise(_subject(parameters[0])).reshape(1), losses - self._targets
        self._note(parameters[0].detach(), value.item(), losses.detach())
        pushed = (self._multipliers + _DAMPING * excess).clamp(min=0)
        terms = (pushed.square() - self._multipliers.square()) / (2 * _DAMPING)
        self._multipliers = (self._multipliers + _RATE * excess.detach()).clamp(min=0)
        self._scale = self._scale or abs(value.item()) or 1.0
        return [torch.cat([value / self._scale, terms])]

    def state(self) -> dict[str, Any]:
        """What `go_on` needs, as a store keeps it."""
        best = None if self.best is None else [self.best[0].cpu().numpy(), self.best[1]]
        return {
            "multipliers": self._multipliers.cpu().numpy(), "scale": self._scale, "least": self._least, "best": best,
            "norms": self.norms, "losses": self.losses_seen,
        }  # fmt: skip

    def go_on(self, state: dict[str, Any]) -> None:
        """Goes to where another was when it gave its `state`."""
        self._multipliers = torch.from_numpy(state["multipliers"]).to(self._targets)
        self._scale, self._least = state["scale"], state["least"]
        self.norms, self.losses_seen = state["norms"], state["losses"]
        if state["best"] is not None:
            self.best = torch.from_numpy(state["best"][0]).to(self._targets), state["best"][1]

    def _note(
        self, parameters: Float[Tensor, "parts d_model"], value: float, losses: Float[Tensor, " completions"]
    ) -> None:
        self.norms.append(parameters[0].norm().item())
        self.losses_seen.append(losses.sum().item())
        if value < self._least and (losses <= self._targets + _ROUNDING).all():
            self._least = value
            self.best = parameters.clone(), losses.tolist()
