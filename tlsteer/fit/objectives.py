"""The losses of one-shot optimisation, in nats (arXiv 2502.18862 reports hartleys; its code takes nats).

With p the model's probability of a completion's token, from softmax(coldness * logits):
promotion minimises the sum of -log p over the tokens, suppression the sum of -log(1 - p).
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Suppression = Literal["one_minus_p", "log_p"]


def promotion_loss(
    logits: Float[Tensor, "tokens d_vocab"], targets: Int[Tensor, " tokens"]
) -> Float[Tensor, " tokens"]:
    """-log p of each target token."""
    return torch.nn.functional.cross_entropy(logits, targets, reduction="none")


def suppression_loss(
    logits: Float[Tensor, "tokens d_vocab"],
    targets: Int[Tensor, " tokens"],
    form: Suppression = "one_minus_p",
) -> Float[Tensor, " tokens"]:
    """-log(1 - p) of each target token, or log p where `form` is "log_p".

    log(1 - p) is taken as a log-sum over the other tokens: 1 - p itself rounds to 0 in float32 where p is
    near 1, and its gradient with it, though that is where suppression has to start.
    """
    if form == "log_p":
        return -promotion_loss(logits, targets)
    others = logits.scatter(1, targets[:, None], -torch.inf)
    return logits.logsumexp(1) - others.logsumexp(1)


def token_losses(
    logits: Float[Tensor, "tokens d_vocab"],
    targets: Int[Tensor, " tokens"],
    promote: Bool[Tensor, " tokens"],
    form: Suppression = "one_minus_p",
) -> Float[Tensor, " tokens"]:
    """Promotion loss where `promote`, suppression loss elsewhere."""
    losses = logits.new_zeros(len(targets))
    for chosen, loss in ((promote, promotion_loss(logits[promote], targets[promote])),
                         (~promote, suppression_loss(logits[~promote], targets[~promote], form))):  # fmt: skip
        losses = losses.index_put((chosen,), loss)
    return losses


def divergence(
    logits: Float[Tensor, "tokens d_vocab"], recorded: Float[Tensor, "tokens d_vocab"]
) -> Float[Tensor, " tokens"]:
    """KL(recorded || own) in nats between the next-token distributions of two sets of logits."""
    own, goal = logits.log_softmax(-1), recorded.log_softmax(-1)
    return torch.nn.functional.kl_div(own, goal, reduction="none", log_target=True).sum(-1)
