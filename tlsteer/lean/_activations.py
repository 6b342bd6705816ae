"""GELU by its tanh formula, quicker on a processor where no gradient is wanted."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu
from transformers.activations import GELUTanh, NewGELUActivation

_SLOPE = math.sqrt(8 / math.pi)
_CUBIC = 0.044715 * _SLOPE


class QuickGelu(nn.Module):
    """0.5 x (1 + tanh(u / 2)) as x sigmoid(u): torch's sigmoid takes a fifth of the time of its tanh."""

    def forward(self, states: Tensor) -> Tensor:
        """The activation of each number."""
        if states.device.type != "cpu" or states.dtype != torch.float32 or states.requires_grad:
            # In one step: written out, it would keep several tensors for the backward pass.
            return gelu(states, approximate="tanh")
        scaled = torch.addcmul(states.new_full((), _SLOPE), states, states, value=_CUBIC).mul_(states)
        return torch.sigmoid_(scaled).mul_(states)


def is_gelu_by_tanh(module: nn.Module) -> bool:
    """Whether a module computes this, in one of the ways of writing it that transformers has."""
    if type(module) is GELUTanh:
        act = module.act
        return isinstance(act, partial) and act.func is gelu and act.keywords == {"approximate": "tanh"}
    return type(module) is NewGELUActivation
