"""What makes the edits of a step: writes of many requests together where operations allow, one alone otherwise."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tlsteer.operations import Ablate, Add, Clamp
from tlsteer.serving._request_writes import RequestWrite
from tlsteer.steering import Write


class Together:
    """Writes of many requests at one site, a row for each, made as one edit.

    Of the operations that are a multiple of the vector: x becomes x + m (a - b v'x / norm(v)^2) v.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._free: list[int] = []
        self._vectors = torch.empty(0, 0, device=device)
        self._factors = torch.empty(0, 2, device=device)
        self.ratios = torch.empty(0, device=device)

    @staticmethod
    def takes(write: RequestWrite) -> bool:
        """Whether a write is of such an operation."""
        return isinstance(write.operation, Add | Clamp | Ablate)

    def add(self, write: RequestWrite) -> int:
        """The row of a new write."""
        if not self._free:
            self._grow(len(write.vector))
        row, operation, vector = self._free.pop(), write.operation, write.vector
        constant = 1.0 if isinstance(operation, Add) else operation.constant if isinstance(operation, Clamp) else 0.0
        squared_norm = vector.square().sum().clamp(min=torch.finfo(vector.dtype).tiny)
        share = torch.zeros(()) if isinstance(operation, Add) else 1 / squared_norm
        self._vectors[row] = vector.to(self._device)
        self._factors[row] = (write.multiplier * torch.stack([torch.tensor(constant), share])).to(self._device)
        self.ratios[row] = 0
        return row

    def drop(self, row: int) -> float:
        """Gives a row back; the sum of |added| / |residual| over what it steered."""
        self._free.append(row)
        return self.ratios[row].item()

    def change(
        self, stream: Float[Tensor, "tokens d_model"], rows: Int[Tensor, " tokens"]
    ) -> Float[Tensor, "tokens d_model"]:
        """What is added to tokens, each by the write of a row."""
        vectors, factors = self._vectors[rows], self._factors[rows]
        component = (stream * vectors).sum(-1)
        return (factors[:, 0] - factors[:, 1] * component)[:, None] * vectors

    def _grow(self, width: int) -> None:
        n = len(self.ratios)
        more = max(64, n)
        self._vectors = torch.cat([self._vectors.view(n, width), torch.zeros(more, width, device=self._device)])
        self._factors = torch.cat([self._factors, torch.zeros(more, 2, device=self._device)])
        self.ratios = torch.cat([self.ratios, torch.zeros(more, device=self._device)])
        self._free += range(n, n + more)


class Alone:
    """One write of any other operation."""

    def __init__(self, write: RequestWrite, device: torch.device) -> None:
        operation = write.operation.with_tensors(lambda _, part: part.to(device))
        multiplier = torch.tensor([write.multiplier], device=device)
        self._write = Write(write.site, write.vector.to(device)[None], multiplier, "all", operation)
        self.ratios = torch.zeros(1, device=device)

    def drop(self, row: int) -> float:
        """See `Together.drop`."""
        return self.ratios[row].item()

    def change(
        self, stream: Float[Tensor, "tokens d_model"], rows: Int[Tensor, " tokens"]
    ) -> Float[Tensor, "tokens d_model"]:
        """See `Together.change`."""
        return self._write.added(stream[None], self._write.multiplier.expand(1, len(rows)))[0]
