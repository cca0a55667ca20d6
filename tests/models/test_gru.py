"""The compiled GRU against that of PyTorch, which has the same weights."""

import numpy as np
import pytest
import torch
from torch import nn

from nextclick.models.ops.gru import GRU, row_lengths
from nextclick.models.ops.gru_kernels import sigmoid


def pair(n_inputs, H):
    torch.manual_seed(0)
    ours, theirs = GRU(n_inputs, H), nn.GRU(n_inputs, H, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def gradients(module, inputs, upstream, state=None, **kwargs):
    """States, then the gradients of the inputs, the initial state and all weights."""
    leaves = [x.clone().requires_grad_() for x in (inputs, state) if x is not None]
    states, _ = module(*leaves, **kwargs)
    return [states, *torch.autograd.grad(states, [*leaves, *module.parameters()], upstream)]


def is_compiled(states):
    node, names = states.grad_fn, set()
    while node is not None:
        names.add(type(node).__name__)
        node = node.next_functions[0][0] if node.next_functions else None
    return "_RecurrenceBackward" in names


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (3, 5, 7, 10), (5, 1, 3, 6), (9, 19, 50, 33), (4, 3, 8, 16)]
)
def test_states_and_gradients_equal_those_of_pytorch(shape, with_state):
    B, T, n_inputs, H = shape
    ours, theirs = pair(n_inputs, H)
    inputs, upstream = torch.randn(B, T, n_inputs), torch.randn(B, T, H)
    state = torch.randn(1, B, H) if with_state else None
    found = gradients(ours, inputs, upstream, state)
    assert is_compiled(found[0])
    for a, b in zip(found, gradients(theirs, inputs, upstream, state), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_the_last_state_equals_that_of_pytorch():
    ours, theirs = pair(4, 6)
    inputs = torch.randn(3, 5, 4)
    torch.testing.assert_close(ours(inputs)[1], theirs(inputs)[1])


def test_steps_after_the_length_of_a_row_have_no_influence():
    ours, theirs = pair(4, 6)
    lengths = torch.tensor([2, 5, 1, 0, 5, 3])
    inputs, upstream, state = torch.randn(6, 5, 4), torch.randn(6, 5, 6), torch.randn(1, 6, 6)
    upstream[torch.arange(5) >= lengths[:, None]] = 0.0
    found = gradients(ours, inputs, upstream, state, lengths=lengths)
    expected = gradients(theirs, inputs, upstream, state)
    assert not found[0][3].any()
    for row, length in enumerate(lengths):
        torch.testing.assert_close(found[0][row, :length], expected[0][row, :length])
    for a, b in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_a_row_does_not_depend_on_the_rows_beside_it():
    ours, _ = pair(12, 20)
    inputs = torch.randn(7, 6, 12)
    together, _ = ours(inputs, lengths=torch.tensor([6, 1, 3, 6, 2, 6, 4]))
    alone, _ = ours(inputs[3:4], lengths=torch.tensor([6]))
    longer, _ = ours(torch.cat([inputs, torch.randn(7, 2, 12)], dim=1))
    torch.testing.assert_close(together[3], alone[0])
    torch.testing.assert_close(longer[:, :6][3], alone[0])


def test_nan_stays_in_its_row():
    ours, _ = pair(3, 4)
    inputs = torch.randn(5, 4, 3)
    inputs[2, 1] = torch.nan
    states, _ = ours(inputs)
    assert states[2, 1:].isnan().all()
    assert states[[0, 1, 3, 4]].isfinite().all()
    assert states[2, 0].isfinite().all()


def test_the_first_step_of_training_compiles_and_other_uses_do_not(monkeypatch):
    ours, _ = pair(3, 4)
    inputs = torch.randn(2, 5, 3)
    compiled, _ = ours(inputs)
    with torch.no_grad():
        assert ours(inputs)[0].grad_fn is None
        torch.testing.assert_close(ours(inputs)[0], compiled)
    packed = nn.utils.rnn.pack_padded_sequence(inputs, torch.tensor([5, 3]), batch_first=True)
    assert isinstance(ours(packed)[0], nn.utils.rnn.PackedSequence)
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_compiled(ours(inputs)[0])
    double = GRU(3, 4).double()
    assert not is_compiled(double(inputs.double())[0])
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not is_compiled(ours(inputs)[0])


@pytest.mark.parametrize("x", [-1e30, -100.0, -30.0, -1.0, -1e-4, 0.0, 0.5, 3.0, 30.0, 1e30])
def test_the_sigmoid_of_the_kernels(x):
    expected = torch.sigmoid(torch.tensor(x)).item()
    assert sigmoid(np.float32(x)) == pytest.approx(expected, abs=2e-7)


def test_lengths_end_at_the_last_click():
    items = torch.tensor([[3, 0, 2, 0], [0, 0, 0, 0], [1, 2, 3, 4]])
    assert row_lengths(items).tolist() == [3, 0, 4]
