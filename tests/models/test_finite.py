"""Whether all values of a tensor are finite."""

import pytest
import torch

from nextclick.models.ops.finite import is_finite


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 2, 3)])
def test_one_value_decides(shape):
    values = torch.zeros(shape)
    assert is_finite(values)
    for bad in (torch.nan, torch.inf, -torch.inf):
        for place in range(values.numel()):
            changed = values.clone()
            changed.view(-1)[place] = bad
            assert not is_finite(changed)


def test_no_value_is_finite():
    assert is_finite(torch.zeros(0, 3))
