"""The losses of a fit by full hooked forward passes: the reference every faster path is tested against."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from tlsteer.fit.objectives import token_losses
from tlsteer.fit.problem import Problem, parts
from tlsteer.steering import Write, attach
from tlsteer.surface import Surface
from tlsteer.tokens import pad


class PlainLosses:
    """Losses of one fit at a time, through the model as a user would run it.

    Attributes:
        name: "plain".
    """

    name = "plain"

    def __init__(self, surface: Surface, problems: list[Problem]) -> None:
        self._surface = surface
        self._problems = problems

    def groups(self, active: list[int]) -> list[list[int]]:
        """Which fits are computed together: each alone."""
        return [[fit] for fit in active]

    def losses(
        self, parameters: Float[Tensor, "fits parts d_model"], fits: list[int]
    ) -> list[Float[Tensor, " completions"]]:
        """The loss in nats of every completion of each fit, with the graph to its parameters."""
        return [self._of_fit(self._problems[fit], own) for fit, own in zip(fits, parameters, strict=True)]

    def _of_fit(self, problem: Problem, parameters: Float[Tensor, "parts d_model"]) -> Float[Tensor, " completions"]:
        recipe, points = problem.recipe, problem.datapoints
        rows = [(point, ids, up) for point in points for ids, up in zip(point.completions, point.promote, strict=True)]
        tokens, mask = pad(self._surface, [point.prompt + ids for point, ids, _ in rows], "right")
        signs = torch.tensor([point.sign for point, _, _ in rows], device=tokens.device)
        vector, left, right = parts(parameters)
        writes = [
            Write(
                site,
                signs[:, None] * vector,
                torch.ones_like(signs),
                recipe.positions,
                recipe.operation,
                recipe.constant,
                None if left is None else left * signs[:, None, None],
                None if right is None else right[None],
            )
            for site in problem.sites
        ]
        with attach(self._surface, writes, [len(point.prompt) for point, _, _ in rows]):
            logits = self._surface.forward(tokens, mask)
        losses = []
        for row, (point, ids, promote) in enumerate(rows):
            # The logits at one token are about the next.
            read = logits[row, len(point.prompt) - 1 : len(point.prompt) + len(ids) - 1].float()
            targets = torch.tensor(ids, device=read.device)
            up = torch.full_like(targets, promote, dtype=torch.bool)
            losses.append(token_losses(recipe.coldness * read, targets, up, recipe.suppression).sum())
        return torch.stack(losses)
