"""How much more a model is for the positive answers than for the negative, under vectors and multipliers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float

from tlsteer.answers import answer_logits
from tlsteer.positions import Positions
from tlsteer.prompts import Asked
from tlsteer.scoring import answer_ids, completion_logprob
from tlsteer.steering import Intervention
from tlsteer.surface import Surface
from tlsteer.tokens import encode_prompts
from tlsteer.vectors import SteeringVector

# Vectors measured together share the unsteered run of the prompts; those before them are safe in a run's folder.
_TOGETHER = 8


def answer_curves(
    surface: Surface,
    asked: Sequence[Asked],
    vectors: Sequence[SteeringVector],
    multipliers: Sequence[float],
    positions: Positions,
    *,
    by_logprob: bool = False,
    batch_size: int = 32,
    progress: bool = False,
) -> Iterator[Float[np.ndarray, "samples multipliers"]]:
    """The positive answer's score minus the negative's, in nats: one array a vector, soon after it is done.

    Args:
        surface: the model.
        asked: the prompts and answers.
        vectors: any, at any sites.
        multipliers: of each vector.
        positions: where vectors are applied.
        by_logprob: score by the log-probability of whole answers; by the logit of their first token otherwise.
        batch_size: prompts run at once.
        progress: show a bar for each run.

    Raises:
        DataError: two answers that begin with the same token, unless scored by log-probability.
    """
    if by_logprob:
        yield from (
            _by_logprob(surface, asked, vector, multipliers, positions, batch_size, progress) for vector in vectors
        )
        return
    rows = encode_prompts(surface, [one.prompt for one in asked])
    ids = torch.tensor([answer_ids(surface, one.prompt, one.positive, one.negative) for one in asked])
    for start in range(0, len(vectors), _TOGETHER):
        some = vectors[start : start + _TOGETHER]
        logits = answer_logits(
            surface, rows, ids, some, multipliers, positions, batch_size=batch_size, progress=progress
        ).double()
        yield from (logits[..., 0] - logits[..., 1]).mT.numpy()


def _by_logprob(
    surface: Surface,
    asked: Sequence[Asked],
    vector: SteeringVector,
    multipliers: Sequence[float],
    positions: Positions,
    batch_size: int,
    progress: bool,
) -> Float[np.ndarray, "samples multipliers"]:
    # Every multiplier of every prompt is a row of one run.
    rows = [(one, multiplier) for one in asked for multiplier in multipliers]
    todo = Intervention(vector, [multiplier for _, multiplier in rows], positions)
    prompts = [one.prompt for one, _ in rows]
    positive, negative = (
        completion_logprob(surface.model, prompts, answers, todo, batch_size=batch_size, progress=progress)
        for answers in ([one.positive for one, _ in rows], [one.negative for one, _ in rows])
    )
    return (positive - negative).double().numpy().reshape(len(asked), len(multipliers))
