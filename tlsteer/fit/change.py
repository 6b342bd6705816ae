"""How much a vector changes the residual at a later site, with the gradient: by the plain path, or from its site on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tlsteer.errors import PositionError
from tlsteer.lean import LeanModel, Run, Tree, boundary
from tlsteer.lean.run import Edits
from tlsteer.positions import Positions, Prompt, for_rows, resolve
from tlsteer.sites import Site
from tlsteer.steering import Write, attach
from tlsteer.surface import Surface
from tlsteer.tokens import batches, pad

# The later residual of a batch of prompts under a vector, None for none.
Later = Callable[[Tensor | None], Float[Tensor, "rows pos d_model"]]


class Changes:
    """The change summed over batches of prompts, each with what is measured of it unsteered.

    Attributes:
        name: the path taken.
    """

    name: str

    def __init__(self, batches: Iterator[tuple[Later, Bool[Tensor, "rows pos"]]]) -> None:
        with torch.no_grad():
            self._batches = [(later, measured, later(None)) for later, measured in batches]

    def with_gradient(self, vector: Float[Tensor, " d_model"]) -> tuple[float, Float[Tensor, " d_model"]]:
        """The sum over prompts of the norm of their change over all measured tokens, and its gradient."""
        total, gradient = 0.0, torch.zeros_like(vector)
        for later, measured, unsteered in self._batches:
            leaf = vector.detach().requires_grad_()
            with torch.enable_grad():
                moved = (later(leaf).float() - unsteered.float()) * measured[..., None]
                change = moved.flatten(1).norm(dim=1).sum()
            total += change.item()
            gradient += torch.autograd.grad(change, leaf)[0]
        return total, gradient


class PlainChanges(Changes):
    """The change by hooked forward passes, the reference.

    Attributes:
        name: "plain".
    """

    name = "plain"

    def __init__(
        self, surface: Surface, rows: Sequence[Sequence[int]], source: Site, target: Site, positions: Positions,
        target_positions: Positions, batch_size: int,
    ) -> None:  # fmt: skip
        def batch(numbers: list[int]) -> tuple[Later, Bool[Tensor, "rows pos"]]:
            tokens, real = pad(surface, [rows[i] for i in numbers], "right")
            steered = _mask(surface, tokens, real, for_rows(positions, numbers, len(rows)))

            def later(vector: Tensor | None) -> Tensor:
                caught: list[Tensor] = []

                def catch(residual: Tensor, hook: Any) -> None:
                    caught.append(residual)

                writes = [] if vector is None else [Write(source, vector[None], torch.ones(1).to(vector), steered)]
                with attach(surface, writes), surface.hooks([(surface.read_name(target), catch)]):
                    surface.run_to(tokens, real, target.layer)
                return caught[0]

            return later, _mask(surface, tokens, real, for_rows(target_positions, numbers, len(rows)))

        super().__init__(batch(numbers) for numbers in batches(rows, batch_size, "residuals", False))


class FastChanges(Changes):
    """The change by the layers between the two sites alone, from residuals computed once.

    Attributes:
        name: "fast".
    """

    name = "fast"

    def __init__(
        self, model: LeanModel, rows: Sequence[Sequence[int]], source: Site, target: Site, positions: Positions,
        target_positions: Positions, batch_size: int,
    ) -> None:  # fmt: skip
        (start, stage), (stop, _) = boundary(source), boundary(target)

        def batch(numbers: list[int]) -> tuple[Later, Bool[Tensor, "rows pos"]]:
            tree = Tree.of([(list(rows[i]), []) for i in numbers], model.surface.device)
            steered = _mask(model.surface, tree.tokens, tree.real, for_rows(positions, numbers, len(rows)))
            states = model.residuals(tree, frozenset([start]))[start]

            def later(vector: Tensor | None) -> Tensor:
                def added(residual: Tensor) -> Tensor:
                    return steered[..., None] * vector.to(residual.dtype)  # pyright: ignore[reportOptionalMemberAccess]

                edits: Edits = {} if vector is None else {(start, stage): [(0, None, added)]}
                run = Run(states, [start] * len(numbers), edits, keep=frozenset([stop]), stop=stop)
                model.run(run, tree.see, tree.position_ids)
                return run.kept[stop]

            return later, _mask(model.surface, tree.tokens, tree.real, for_rows(target_positions, numbers, len(rows)))

        super().__init__(batch(numbers) for numbers in batches(rows, batch_size, "residuals", False))


def _mask(
    surface: Surface, tokens: Tensor, real: Bool[Tensor, "rows pos"], positions: Positions
) -> Bool[Tensor, "rows pos"]:
    index = real.long().cumsum(1) - 1
    mask = resolve(positions, Prompt(tokens, real, real.sum(1)), surface.decode).mask(index, real, 0)
    if not mask.any(1).all():
        raise PositionError(f"positions={positions!r} select nothing in prompt {int((~mask.any(1)).nonzero()[0])}")
    return mask
