"""What an intervention does to the residual stream.

Every operation is an edit of the residual x, and the multiplier m scales the edit: x becomes x + m * edit(x).
So m = 0 is the unsteered model exactly, m = 1 the operation as named, and values between interpolate.

| operation | edit(x) | at m = 1 |
|---|---|---|
| `add` | v | x + v |
| `clamp` | c v - v v'x / norm(v)^2 | the component along v is replaced by c v |
| `ablate` | - v v'x / norm(v)^2 | the component along v is removed |
| `affine` | L'R x + v | x + M x + v with M = L'R of low rank |

(Definitions: arXiv 2502.18862; ablate also arXiv 2406.11717.)
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

Operation = Literal["add", "clamp", "ablate", "affine"]
OPERATIONS: tuple[str, ...] = get_args(Operation)


def edit(
    operation: Operation,
    residual: Float[Tensor, "batch pos d_model"],
    vector: Float[Tensor, "#rows d_model"],
    constant: float = 1.0,
    left: Float[Tensor, "#rows rank d_model"] | None = None,
    right: Float[Tensor, "#rows rank d_model"] | None = None,
) -> Float[Tensor, "#batch #pos d_model"]:
    """The edit of an operation, in the residual's dtype, before the multiplier and the mask.

    Args:
        vector: one row for the whole batch, or one for each row of it.
        constant: c of clamp; other operations ignore it.
        left: L of affine, one for the whole batch or one for each row.
        right: R of affine, likewise.
    """
    along = vector[:, None, :]
    if operation == "add":
        return along.to(residual.dtype)
    # Projections of a low-precision residual are summed in the vector's own precision.
    wide = residual.to(torch.promote_types(residual.dtype, vector.dtype))
    if operation == "affine":
        assert left is not None  # SteeringVector guarantees both
        assert right is not None
        return (wide @ right.mT @ left + along).to(residual.dtype)
    # A vector of norm 0 has no direction: its projection is 0, not NaN.
    squared_norm = along.square().sum(-1, keepdim=True).clamp(min=torch.finfo(along.dtype).tiny)
    component = (wide * along).sum(-1, keepdim=True) / squared_norm
    target = constant if operation == "clamp" else 0.0
    return ((target - component) * along).to(residual.dtype)
