"""One-shot optimised steering vectors: gradient descent on a vector, from as little as one example.

Minimises, over a vector v added to (or clamped in) the residual stream at one site, the sum over completions of
-log p (those to promote) and -log(1 - p) (those to suppress) of their tokens under the steered model
(arXiv 2502.18862). The contrastive estimators need pairs and no gradients, but find what separates two sets
of texts; this finds what changes the given completions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from tqdm.auto import tqdm

from tlsteer.data import Example, data_hash
from tlsteer.errors import VectorError
from tlsteer.fit.completions import completion_losses, encode_examples
from tlsteer.fit.constraints import cap_norm, random_on_sphere
from tlsteer.fit.objectives import Suppression
from tlsteer.positions import Positions, check_positions
from tlsteer.residuals import mean_norms
from tlsteer.sites import Place, Site
from tlsteer.steering import Write
from tlsteer.surface import Surface
from tlsteer.vectors import Provenance, SteeringVector

Stopped = Literal["converged", "target", "max_steps"]


@dataclass(frozen=True)
class OneShotFit:
    """What `fit_oneshot` gives.

    Attributes:
        vector: the steering vector.
        losses: total loss in nats before each step.
        completion_losses: the loss of each completion at the last evaluation, in the order promote, suppress
            of each example.
        stopped: "target" (target loss reached), "converged" (loss no longer changes) or "max_steps".
        max_norm: the cap that was in force, None without one.
    """

    vector: SteeringVector
    losses: list[float]
    completion_losses: list[float]
    stopped: Stopped
    max_norm: float | None

    @property
    def converged(self) -> bool:
        """Whether the fit ended before it ran out of steps."""
        return self.stopped != "max_steps"

    def __repr__(self) -> str:
        return (
            f"OneShotFit({self.vector!r}, loss {self.losses[0]:.3g} -> {self.losses[-1]:.3g} nats "
            f"in {len(self.losses)} steps, stopped: {self.stopped})"
        )


def fit_oneshot(
    model: Any,
    examples: Example | Sequence[Example],
    site: Place,
    *,
    max_norm: float | None = None,
    max_norm_ratio: float | None = None,
    operation: Literal["add", "clamp"] = "add",
    constant: float = 1.0,
    positions: Positions = "all",
    coldness: float = 0.7,
    learning_rate: float = 0.1,
    steps: int = 50,
    start_norm: float = 1.0,
    target_loss: float | None = None,
    target_of: Literal["sum", "each"] = "sum",
    tolerance: float = 1e-6,
    suppression: Suppression = "one_minus_p",
    seed: int = 0,
    progress: bool = True,
) -> OneShotFit:
    """Optimises a steering vector on one example or several, with Adam.

    Args:
        model: a TransformerBridge or HookedTransformer. Its parameters get no gradients.
        examples: prompts with completions to promote or suppress; completions of negative examples see -v.
        site: where the vector is written.
        max_norm: after each step a longer vector is rescaled to this norm.
        max_norm_ratio: the cap as a fraction of the mean residual norm at the steered tokens of the examples.
        operation: add v, or clamp (replace the component along v by constant * v).
        constant: c of clamp.
        positions: which tokens are steered (see `positions`).
        coldness: probabilities are softmax(coldness * logits).
        learning_rate: of Adam, betas 0.9 and 0.999.
        steps: at most this many.
        start_norm: norm of the random start; the cap where that is smaller.
        target_loss: stop when the loss, in nats, is at most this.
        target_of: whether the target is for the sum over completions or for each of them.
        tolerance: stop when the loss changes by less than this in a step.
        suppression: minimise -log(1 - p), or log p itself.
        seed: of the random start.
        progress: show a bar.

    Raises:
        DataError: no example, an empty completion, a text too long, or a token that spans a prompt's end.
        VectorError: settings that contradict each other or are out of range.

    >>> example = Example(prompt, promote=["Sure"], suppress=["I cannot"])
    >>> fit = fit_oneshot(model, example, Site(4), max_norm_ratio=0.5, steps=30, seed=0)
    """
    settings = {name: value for name, value in locals().items() if isinstance(value, int | float | str)}
    surface = Surface(model)
    chosen = [examples] if isinstance(examples, Example) else list(examples)
    place = Site.of(site).resolve(surface.n_layers)
    surface.write_name(place)
    check_positions(positions)
    _check(max_norm, max_norm_ratio, steps, coldness, learning_rate, start_norm)
    completions = encode_examples(surface, chosen)
    if max_norm_ratio is not None:
        rows, lengths = [c.before + c.after for c in completions], [len(c.before) for c in completions]
        max_norm = max_norm_ratio * mean_norms(surface, rows, [place], positions, lengths).item()
    norm = start_norm if max_norm is None else min(start_norm, max_norm)
    vector = random_on_sphere(surface.d_model, norm, seed).to(surface.device).requires_grad_()
    adam = torch.optim.Adam([vector], lr=learning_rate)
    losses: list[float] = []
    each = torch.zeros(len(completions))
    stopped: Stopped = "max_steps"
    for _ in (bar := tqdm(range(steps), desc="fit_oneshot", unit="step", disable=not progress, leave=False)):
        write = Write(place, vector[None], torch.ones(1, device=vector.device), positions, operation, constant)
        with torch.enable_grad():
            each = completion_losses(surface, completions, write, coldness, suppression)
            loss = each.sum()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{losses[-1]:.3g}")
        if target_loss is not None and (each.max() if target_of == "each" else loss) <= target_loss:
            stopped = "target"
            break
        if len(losses) > 1 and abs(losses[-1] - losses[-2]) < tolerance:
            stopped = "converged"
            break
        (vector.grad,) = torch.autograd.grad(loss, [vector])
        adam.step()
        with torch.no_grad():
            vector.copy_(cap_norm(vector, max_norm))
    made = Provenance(
        model=surface.name,
        fingerprint=surface.fingerprint,
        weight_processing=surface.weight_processing,
        method="oneshot",
        data_hash=data_hash(chosen),
        settings=settings | {"positions": repr(positions), "site": place.hook_name, "stopped": stopped},
    )
    fitted = SteeringVector(vector, place, operation, constant, provenance=made)
    return OneShotFit(fitted, losses, each.tolist(), stopped, max_norm)


def _check(
    max_norm: float | None,
    max_norm_ratio: float | None,
    steps: int,
    coldness: float,
    learning_rate: float,
    start_norm: float,
) -> None:
    if max_norm is not None and max_norm_ratio is not None:
        raise VectorError(f"give max_norm={max_norm} or max_norm_ratio={max_norm_ratio}, not both")
    positive = {"max_norm": max_norm, "max_norm_ratio": max_norm_ratio, "steps": steps, "coldness": coldness}
    for name, value in (positive | {"learning_rate": learning_rate, "start_norm": start_norm}).items():
        if value is not None and not value > 0:
            raise VectorError(f"{name}={value} has to be above 0")
