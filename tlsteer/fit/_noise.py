"""Noise on a vector while it is optimised, as a regulariser (arXiv 2502.18862)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tlsteer._arguments import checked
from tlsteer.errors import VectorError

_APART = 2**30  # from the seeds of starts, which are the fit's own and the next ones


@checked
@dataclass(frozen=True)
class Noise:
    """Gaussian noise added to v at each step, for that step's loss alone.

    Attributes:
        scale: standard deviation of each coordinate; 0 is no noise.
        gradient_free: remove the component along the last gradient, so that the noise does not act as a step.
        anticorrelated: add the difference of successive draws, so that what one step adds the next takes back.

    >>> fit_oneshot(model, example, 4, steps=4, noise=Noise(scale=0.1), seed=0).vector.norm > 0
    True
    """

    scale: float = 0.0
    gradient_free: bool = False
    anticorrelated: bool = False

    def __post_init__(self) -> None:
        if not self.scale >= 0:
            raise VectorError(f"a noise scale of {self.scale} has to be 0 or more")


class NoiseStream:
    """The noise of one fit, step after step, from a generator of its own."""

    def __init__(self, noise: Noise, d_model: int, seed: int) -> None:
        self._noise = noise
        self._generator = torch.Generator().manual_seed((seed + _APART) % 2**63)
        self._last = torch.zeros(d_model)

    def draw(self, gradient: Float[Tensor, " d_model"] | None) -> Float[Tensor, " d_model"]:
        """The next noise, given the last step's gradient."""
        new = self._new()
        noise = new - self._last if self._noise.anticorrelated else new
        self._last = new
        if self._noise.gradient_free and gradient is not None and gradient.any():
            along = gradient.cpu() / gradient.cpu().norm()
            noise = noise - (noise @ along) * along
        return noise

    def skip(self, n_steps: int) -> None:
        """Goes to where it is after so many draws."""
        for _ in range(n_steps):
            self._last = self._new()

    def _new(self) -> Float[Tensor, " d_model"]:
        return torch.randn(self._last.shape, generator=self._generator) * self._noise.scale
