"""Log-probabilities of completions after prompts, under many vectors and multipliers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
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
class Likelihoods:
    """A request: log p(completion | prompt) in nats, summed over the completion's tokens, one unit per vector.

    Attributes:
        pairs: ids of each prompt and of its completion.
        vectors: each at its own site, with its own operation.
        multipliers: of every vector.
        positions: which tokens are steered.
        batch_size: texts run at once.
        max_batch_tokens: tokens run at once; bounds memory.
        engine: "auto" takes the fast path where the model has one; "plain" runs every text in every setting.
        names: what errors call the pairs; by default "prompt" and their number.

    >>> request = Likelihoods([(rows[0], rows[0][:2])], [vector], [0.0, 1.0])
    >>> len(list(measured(surface, request)))
    1
    """

    pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
    vectors: Sequence[SteeringVector]
    multipliers: Sequence[float]
    positions: Positions = "all"
    batch_size: int = 32
    max_batch_tokens: int = 4096
    engine: Engine = "auto"
    names: Sequence[str] | None = None

    what = "completions"

    def __len__(self) -> int:
        return len(self.vectors)

    def parts(self, unit: int) -> Any:
        """What the log-probabilities under a vector depend on."""
        return self.pairs, self.vectors[unit], self.multipliers, self.positions

    def costs(self, n_layers: int) -> Costs:
        """See `reading_costs`."""
        return reading_costs([(one, self.multipliers) for one in self.vectors], n_layers)

    def run(
        self, surface: Surface, units: Sequence[int], unfinished: Unfinished
    ) -> Iterator[tuple[int, Float[np.ndarray, "multiplier text"]]]:
        """The log-probabilities under each of some vectors."""
        if surface.elsewhere is not None:
            for unit in units:
                yield unit, self._told(surface, surface.elsewhere, unit)
            return
        joined = [[*before, *after] for before, after in self.pairs]
        numbers = list(batches(joined, self.batch_size, self.what, progress=False))
        padded = [self._batch(surface, some, joined) for some in numbers]
        order = torch.tensor([text for some in numbers for text in some]).argsort()
        targets = [batch.tokens.roll(-1, 1)[batch.read] for batch in padded]

        def take(number: int, _reading: Reading, found: list[Predictions]) -> Float[Tensor, "multiplier some"]:
            lengths = padded[number].read.sum(1).tolist()
            sums = []
            for one in found:
                logs = one.logits(slice(None)).float().log_softmax(-1).gather(1, targets[number][:, None])[:, 0]
                sums.append(torch.stack([part.sum() for part in logs.split(lengths)]))
            return torch.stack(sums).cpu()

        jobs = [(self.vectors[unit], self.multipliers) for unit in units]
        found = read_under(surface, padded, jobs, take, self.engine, self.max_batch_tokens)
        for unit, parts in zip(units, found, strict=True):
            values = torch.cat(parts, 1)[:, order].numpy()
            check_finite(surface, values, self.vectors[unit], self.multipliers)
            yield unit, values

    def _told(self, surface: Surface, elsewhere: Elsewhere, unit: int) -> Float[np.ndarray, "multiplier text"]:
        n = len(self.multipliers)
        one = at_each_multiplier(self.vectors[unit], self.multipliers, self.positions, len(self.pairs))
        told = elsewhere.completion_logprobs([*self.pairs] * n, [one.write(surface)])
        values = np.array([score for score, _ in told], np.float32).reshape(n, len(self.pairs))
        check_finite(surface, values, self.vectors[unit], self.multipliers)
        return values

    def _batch(self, surface: Surface, numbers: list[int], joined: list[list[int]]) -> Batch:
        tokens, real = pad(surface, [joined[number] for number in numbers], "right")
        lengths = [len(self.pairs[number][0]) for number in numbers]
        ends = torch.tensor(lengths, device=real.device)
        positions = for_rows(self.positions, numbers, len(joined))
        names = [f"prompt {number}" if self.names is None else self.names[number] for number in numbers]
        steered = chosen_mask(positions, Prompt(tokens, real, ends, names), surface)
        index = real.long().cumsum(1) - 1
        # A completion's tokens are predicted from the prompt's last token on, up to the last but one.
        read = real & (index >= ends[:, None] - 1) & (index < real.sum(1, keepdim=True) - 1)
        return Batch(tokens, real, lengths, positions, steered, read)
