"""Limits on a vector while it is optimised."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def random_on_sphere(d_model: int, norm: float, seed: int) -> Float[Tensor, " d_model"]:
    """A vector of the given norm whose direction is uniform, from a generator of its own."""
    direction = torch.randn(d_model, generator=torch.Generator().manual_seed(seed))
    return direction * (norm / direction.norm())


def cap_norm(vector: Float[Tensor, " d_model"], max_norm: float | None) -> Float[Tensor, " d_model"]:
    """The vector, rescaled to `max_norm` where it is longer."""
    if max_norm is None or (norm := vector.norm()) <= max_norm:
        return vector
    return vector * (max_norm / norm)
