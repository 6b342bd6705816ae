"""The quicker GELU is the one it stands for, in value and gradient, and stands for no other."""

import pytest
import torch
from torch import nn
from torch.nn.functional import gelu
from transformers.activations import ACT2FN

from tlsteer.lean._activations import QuickGelu, is_gelu_by_tanh

VALUES = torch.cat([torch.linspace(-12, 12, 4001), torch.tensor([0.0, 1e-30, -1e-30, 1e30, -1e30])])


def test_values_are_those_of_torch_at_every_size():
    torch.testing.assert_close(QuickGelu()(VALUES), gelu(VALUES, approximate="tanh"), atol=1e-6, rtol=1e-6)


def test_its_input_is_left_as_it_was():
    states = VALUES.clone()
    QuickGelu()(states)
    assert torch.equal(states, VALUES)


def test_gradients_are_those_of_torch():
    ours, theirs = (VALUES[:4001].clone().requires_grad_() for _ in range(2))
    QuickGelu()(ours).sum().backward()
    gelu(theirs, approximate="tanh").sum().backward()
    assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_torchs_own(dtype):
    assert torch.equal(QuickGelu()(VALUES.to(dtype)), gelu(VALUES.to(dtype), approximate="tanh"))


@pytest.mark.parametrize(
    "name", sorted({"gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu", "gelu_fast", "silu"})
)
def test_only_the_tanh_formula_in_its_usual_forms_is_replaced(name):
    assert is_gelu_by_tanh(ACT2FN[name]) == (name in {"gelu_new", "gelu_pytorch_tanh"})
    assert not is_gelu_by_tanh(nn.GELU())
