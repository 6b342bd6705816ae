"""Losses at the tokens that are read, without ever holding logits for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

# The losses of some reads, given their residual after the final norm.
LossOf = Callable[[Float[Tensor, "reads d_model"], slice], Float[Tensor, " reads"]]

# Logits are computed for at most this many vocabulary entries at a time (32 MB of float32).
_LOGITS_AT_ONCE = 2**23


def read_losses(hidden: Float[Tensor, "reads d_model"], loss_of: LossOf, d_vocab: int) -> Float[Tensor, " reads"]:
    """The loss at each read, computed a few reads at a time so that their logits stay small."""
    return _ReadLoss.apply(hidden, loss_of, max(1, _LOGITS_AT_ONCE // d_vocab))  # pyright: ignore


class _ReadLoss(torch.autograd.Function):
    """Losses at read positions, chunk by chunk; each chunk's gradient is taken at once and its logits forgotten."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, loss_of: LossOf, chunk: int) -> Tensor:
        losses, gradients = [], []
        for reads in (slice(i, i + chunk) for i in range(0, len(hidden), chunk)):
            piece = hidden[reads].detach().requires_grad_()
            with torch.enable_grad():
                loss = loss_of(piece, reads)
                gradients.append(torch.autograd.grad(loss.sum(), piece)[0])
            losses.append(loss.detach())
        ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(losses)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (own,) = ctx.saved_tensors
        return (gradients[0][:, None] * own).to(own.dtype), None, None
