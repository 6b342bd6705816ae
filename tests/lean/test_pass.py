"""What attention sees of a prefix is the prefix and the pass's own keys and values, whatever ran before."""

import pytest
import torch

from tlsteer.lean._pass import KeyValues


@pytest.mark.parametrize("n_copies", [1, 3])
@pytest.mark.parametrize("gradient", [False, True])
def test_each_pass_sees_the_prefix_and_its_own(n_copies, gradient):
    torch.manual_seed(0)
    before = torch.randn(4, 2, 5, 3), torch.randn(4, 2, 5, 3)
    prefix = KeyValues({1: before}).copies(n_copies)
    # Another number of positions, the same again with fewer rows, and more of both.
    for rows, positions in ((4, 2), (3, 2), (4, 1)):
        new = [torch.randn(rows * n_copies, 2, positions, 3, requires_grad=gradient) for _ in before]
        seen = prefix.update(*new, 1)
        for old, own, found in zip(before, new, seen, strict=True):
            expected = torch.cat([old.repeat(n_copies, 1, 1, 1)[: len(own)], own], -2)
            assert torch.equal(found, expected)
            assert found.requires_grad == gradient
        assert prefix.size == sum(old.numel() for old in before)
