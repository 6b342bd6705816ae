"""How far steered next-token distributions are from the unsteered ones, token by token of given texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tlsteer._residuals import chosen_mask
from tlsteer._surface import Surface
from tlsteer.errors import PositionError
from tlsteer.lean import LeanModel, lean_or_plain
from tlsteer.measure._predictions import Batch, Engine, Job, Predictions, Reading, read_under, reading_costs
from tlsteer.measure._seam import Costs, Unfinished
from tlsteer.positions import Positions, Prompt, for_rows
from tlsteer.tokens import batches, pad

# KL and surprisal of each token, in nats; NaN at tokens that do not count.
TokenDivergences = Float[np.ndarray, "2 multiplier text pos"]

# How many logits exist at once, of some tokens by the fast path and of whole texts by the plain one.
_MOST_LOGITS, _MOST_PLAIN_LOGITS = 2**24, 2**26


@dataclass(frozen=True, eq=False)
class Divergences:
    """A request: KL(unsteered || steered) and the steered surprisal of the next token, one unit per vector.

    Tokens before the first steered one, which no vector reaches, and the last, whose next token is not known, do
    not count. A distribution that is not one any more (infinite logits) gives KL = inf.

    Attributes:
        rows: ids of each text.
        jobs: vectors, each with its multipliers.
        positions: which tokens are steered; to "completion" the whole text is the completion, to all others the prompt.
        batch_size: texts run at once.
        max_batch_tokens: tokens run at once; bounds memory.
        engine: "auto" takes the fast path where the model has one; "plain" runs every text in every setting.

    >>> request = Divergences(rows, [(vector, [1.0])])
    >>> len(list(measured(surface, request)))
    1
    """

    rows: Sequence[Sequence[int]]
    jobs: Sequence[Job]
    positions: Positions = "all"
    batch_size: int = 32
    max_batch_tokens: int = 4096
    engine: Engine = "auto"

    what = "divergences"

    def __len__(self) -> int:
        return len(self.jobs)

    def parts(self, unit: int) -> Any:
        """What the divergences under a vector depend on."""
        return self.rows, *self.jobs[unit], self.positions

    def costs(self, n_layers: int) -> Costs:
        """See `reading_costs`."""
        return reading_costs(self.jobs, n_layers)

    def run(
        self, surface: Surface, units: Sequence[int], unfinished: Unfinished
    ) -> Iterator[tuple[int, TokenDivergences]]:
        """The divergences under each of some vectors.

        Raises:
            VectorError: a vector of another model.
            SiteError: a site this model does not have.
            PositionError: positions that select no token whose next one is known in a text.
        """
        width = max(map(len, self.rows)) - 1
        fast = self.engine == "auto" and isinstance(lean_or_plain(surface), LeanModel)
        at_once = self.max_batch_tokens if fast else _MOST_PLAIN_LOGITS // surface.model.cfg.d_vocab
        size = max(1, min(self.batch_size, at_once // (width + 1)))
        numbers = list(batches(self.rows, size, self.what, progress=False))
        padded = [self._batch(surface, some) for some in numbers]
        targets = [batch.tokens.roll(-1, 1)[batch.read] for batch in padded]

        def take(number: int, reading: Reading, found: list[Predictions]) -> Float[Tensor, "2 multiplier reads"]:
            return _compare(reading.unsteered, found, targets[number], surface.model.cfg.d_vocab)

        jobs = [self.jobs[unit] for unit in units]
        of_jobs = read_under(surface, padded, jobs, take, self.engine, self.max_batch_tokens)
        for unit, parts in zip(units, of_jobs, strict=True):
            array = np.full((2, len(self.jobs[unit][1]), len(self.rows), width), np.nan, np.float32)
            for some, batch, part in zip(numbers, padded, parts, strict=True):
                counted = batch.read[:, :-1].cpu()
                filled = torch.full((*part.shape[:2], *counted.shape), torch.nan)
                filled[:, :, counted] = part.nan_to_num(nan=torch.inf)
                array[:, :, some, : counted.shape[1]] = filled.numpy()
            yield unit, array

    def _batch(self, surface: Surface, numbers: list[int]) -> Batch:
        tokens, real = pad(surface, [self.rows[number] for number in numbers], "right")
        positions = for_rows(self.positions, numbers, len(self.rows))
        whole = isinstance(positions, str) and positions == "completion"
        lengths = torch.ones_like(real.sum(1)) if whole else real.sum(1)
        prompt = Prompt(tokens, real, lengths, [f"text {number}" for number in numbers])
        steered = chosen_mask(positions, prompt, surface)
        counted = (steered.cumsum(1) > 0) & torch.nn.functional.pad(real[:, 1:], (0, 1))
        if not counted.any(1).all():
            row = int((~counted.any(1)).nonzero()[0])
            ids = list(self.rows[numbers[row]])
            text = surface.decode(ids) if surface.model.tokenizer else ids
            raise PositionError(
                f"positions={positions!r} steer no token of the neutral {prompt.name(row)} that has a next token to "
                f"score: {text!r}"
            )
        return Batch(tokens, real, lengths.tolist(), positions, steered, counted)


def _compare(
    unsteered: Predictions, steered: Sequence[Predictions], targets: Int[Tensor, " reads"], d_vocab: int
) -> Float[Tensor, "2 multiplier reads"]:
    step = max(1, _MOST_LOGITS // d_vocab)
    parts = []
    for first in range(0, len(targets), step):
        some = slice(first, first + step)
        before = unsteered.logits(some).float().log_softmax(-1)
        chances = before.exp()
        effects = []
        for one in steered:
            # At multiplier 0 it is the very same prediction.
            after = before if one is unsteered else one.logits(some).float().log_softmax(-1)
            surprisal = -after.gather(1, targets[some, None])[:, 0]
            # Rounding takes the divergence of nearly equal distributions below 0.
            divergence = torch.linalg.vecdot(chances, before - after).clamp(min=0)
            effects.append(torch.stack([divergence, surprisal]).cpu())
        parts.append(torch.stack(effects, 1))
    return torch.cat(parts, 2)
