"""Logits of given answer tokens at the end of prompts, under many vectors and multipliers: the inside of propensity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tlsteer._model_type import Elsewhere
from tlsteer._residuals import chosen_mask
from tlsteer._surface import Surface
from tlsteer.measure._predictions import (
    Batch,
    Engine,
    Predictions,
    Reading,
    at_each_multiplier,
    check_finite,
    read_under,
    reading_costs,
)
from tlsteer.measure._seam import Costs, Unfinished
from tlsteer.positions import Positions, Prompt, for_rows
from tlsteer.tokens import batches, pad
from tlsteer.vectors import SteeringVector


@dataclass(frozen=True, eq=False)
class Answers:
    """A request: the logits of answers after prompts, one unit per vector; of a model that is served, up to a constant
    of each prompt and multiplier.

    Attributes:
        rows: ids of each prompt.
        answers: ids whose logits are read, for each prompt.
        vectors: each at its own site, with its own operation.
        multipliers: of every vector.
        positions: which tokens of the prompts are steered.
        batch_size: prompts run at once.
        max_batch_tokens: steered tokens run at once; bounds memory.
        engine: "auto" takes the fast path where the model has one; "plain" runs every prompt in every setting.

    >>> request = Answers(rows, torch.tensor([[5, 6]]).expand(4, 2), [vector], [0.0, 1.0])
    >>> [value.shape for value in measured(surface, request)]
    """

    rows: Sequence[Sequence[int]]
    answers: Int[Tensor, "prompt answer"]
    vectors: Sequence[SteeringVector]
    multipliers: Sequence[float]
    positions: Positions = "all"
    batch_size: int = 32
    max_batch_tokens: int = 8192
    engine: Engine = "auto"

    what = "answers"

    def __len__(self) -> int:
        return len(self.vectors)

    def parts(self, unit: int) -> Any:
        """What the logits under a vector depend on."""
        return self.rows, self.answers, self.vectors[unit], self.multipliers, self.positions

    def costs(self, n_layers: int) -> Costs:
        """See `reading_costs`."""
        return reading_costs([(one, self.multipliers) for one in self.vectors], n_layers)

    def run(
        self, surface: Surface, units: Sequence[int], unfinished: Unfinished
    ) -> Iterator[tuple[int, Float[np.ndarray, "multiplier prompt answer"]]]:
        """The logits under each of some vectors.

        Raises:
            VectorError: a vector of another model, or logits that are not finite.
            SiteError: a site this model does not have.
            PositionError: positions that select nothing in a prompt.
        """
        if surface.elsewhere is not None:
            for unit in units:
                yield unit, self._told(surface, surface.elsewhere, unit)
            return
        numbers = list(batches(self.rows, self.batch_size, self.what, progress=False))
        padded = [self._batch(surface, some) for some in numbers]
        answers = [self.answers[some].to(surface.device) for some in numbers]
        jobs = [(self.vectors[unit], self.multipliers) for unit in units]

        def take(number: int, _reading: Reading, found: list[Predictions]) -> Float[Tensor, "multiplier some answer"]:
            return torch.stack([one.answers(answers[number]) for one in found]).float().cpu()

        order = torch.tensor([prompt for some in numbers for prompt in some]).argsort()
        found = read_under(surface, padded, jobs, take, self.engine, self.max_batch_tokens)
        for unit, parts in zip(units, found, strict=True):
            values = torch.cat(parts, 1)[:, order].numpy()
            check_finite(surface, values, self.vectors[unit], self.multipliers)
            yield unit, values

    def _told(self, surface: Surface, elsewhere: Elsewhere, unit: int) -> Float[np.ndarray, "multiplier prompt answer"]:
        """Log-probabilities, which are logits but for a number that all answers of a prompt share."""
        n = len(self.multipliers)
        one = at_each_multiplier(self.vectors[unit], self.multipliers, self.positions, len(self.rows))
        told = elsewhere.next_logprobs([*self.rows] * n, [one.write(surface)], self.answers.tolist() * n)
        values = np.array(told, np.float32).reshape(n, *self.answers.shape)
        check_finite(surface, values, self.vectors[unit], self.multipliers)
        return values

    def _batch(self, surface: Surface, numbers: list[int]) -> Batch:
        tokens, real = pad(surface, [self.rows[number] for number in numbers], "left")
        positions = for_rows(self.positions, numbers, len(self.rows))
        prompt = Prompt(tokens, real, real.sum(1), [f"prompt {number}" for number in numbers])
        read = torch.zeros_like(real)
        read[:, -1] = True
        return Batch(tokens, real, real.sum(1).tolist(), positions, chosen_mask(positions, prompt, surface), read)
