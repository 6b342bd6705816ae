"""The completions of one-shot examples as token rows, and their losses under a steered model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from tlsteer.data import Example
from tlsteer.errors import DataError
from tlsteer.fit.objectives import Suppression, promotion_loss, suppression_loss
from tlsteer.steering import Write, attach
from tlsteer.surface import Surface
from tlsteer.tokens import encode_completion, pad


@dataclass(frozen=True)
class Completion:
    """A prompt and one completion as ids.

    Attributes:
        before: the prompt.
        after: the completion.
        promote: whether its probability is raised; lowered otherwise.
        sign: 1, or -1 where the example sees -v.
    """

    before: list[int]
    after: list[int]
    promote: bool
    sign: float


def encode_examples(surface: Surface, examples: Sequence[Example]) -> list[Completion]:
    """Every completion of every example, those to promote before those to suppress.

    Raises:
        DataError: no example, a text too long for the model, or a token that spans a prompt's end.
    """
    if not examples:
        raise DataError("give at least one Example")
    return [
        Completion(*encode_completion(surface, example.prompt, text), promote, -1.0 if example.negative else 1.0)
        for example in examples
        for promote, texts in ((True, example.promote), (False, example.suppress))
        for text in texts
    ]


def completion_losses(
    surface: Surface,
    completions: Sequence[Completion],
    write: Write,
    coldness: float,
    suppression: Suppression,
) -> Float[Tensor, " completions"]:
    """The loss of each completion in nats under one write, by full hooked forward passes of the model.

    The plain path: every other way of computing these losses is tested against it.
    """
    tokens, mask = pad(surface, [c.before + c.after for c in completions], "right")
    signs = torch.tensor([c.sign for c in completions], device=tokens.device)
    signed = replace(write, vector=signs[:, None] * write.vector)
    with attach(surface, [signed], [len(c.before) for c in completions]):
        logits = surface.forward(tokens, mask)
    losses = []
    for row, completion in enumerate(completions):
        # The logits at one token are about the next.
        first = len(completion.before) - 1
        read = coldness * logits[row, first : first + len(completion.after)].float()
        targets = torch.tensor(completion.after, device=tokens.device)
        losses.append(
            promotion_loss(read, targets).sum()
            if completion.promote
            else suppression_loss(read, targets, suppression).sum()
        )
    return torch.stack(losses)
