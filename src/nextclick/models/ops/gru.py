"""A GRU layer whose training step takes one product for all inputs and one compiled recurrence.

`nn.GRU` computes some twenty tensor operations for each time step and their gradients. Here the
products with the input weights are one operation for all steps, the recurrence is compiled
(`gru_kernels`), and so are its gradients, except the products that yield those of the weights.

    r = σ(W_r x + U_r h)    z = σ(W_z x + U_z h)    n = tanh(W_n x + r ⊙ U_n h)
    h ← (1 - z) ⊙ n + z ⊙ h                          (all products with biases)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from nextclick.models.ops.gru_kernels import gradients_of, states_of

if TYPE_CHECKING:
    from torch import Tensor


class GRU(nn.GRU):
    """`nn.GRU` of one layer and direction with `batch_first`, and the same weights by name.

    On the CPU in float32, with gradients, it runs the compiled recurrence; otherwise, as on other
    devices, under autocast, of packed sequences and in an exported graph, that of PyTorch.

    Args:
        input_size: I.
        hidden_size: H.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size, batch_first=True)

    def forward(  # type: ignore[override]
        self, inputs: Any, state: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, H) states of (B, T, I) inputs, and (1, B, H) those of the last step.

        Args:
            inputs: (B, T, I), or a packed sequence.
            state: (1, B, H) initial states; None for zeros.
            lengths: (B,) int64, the number of steps of each row; the states after them have no
                meaning. None is T. With lengths the second result is None.
        """
        if not self._is_compiled(inputs):
            states, last = super().forward(inputs, state)
            return states, None if lengths is not None else last
        B, T, _ = inputs.shape
        initial = inputs.new_zeros(0, self.hidden_size) if state is None else state[0]
        weights = (self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0)
        packed = inputs.flatten(0, 1)  # (B T, I)
        if lengths is None:
            lengths = torch.full((B,), T)
            states = _Recurrence.apply(packed, initial, lengths, *weights)  # type: ignore[no-untyped-call]
            states = states.view(B, T, -1)
            return states, states[None, :, -1]
        cells = (torch.arange(T) < lengths[:, None]).flatten().nonzero()[:, 0]  # (C,)
        states = _Recurrence.apply(packed[cells], initial, lengths, *weights)  # type: ignore[no-untyped-call]
        padded = states.new_zeros(B * T, self.hidden_size).index_copy(0, cells, states)
        return padded.view(B, T, -1), None

    def _is_compiled(self, inputs: Any) -> bool:
        return (
            isinstance(inputs, torch.Tensor)
            and inputs.device.type == "cpu"
            and inputs.dtype == self.weight_ih_l0.dtype == torch.float32
            and torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
        )


def row_lengths(items: Tensor) -> Tensor:
    """(B,) int64, the number of clicks of each row of (B, T) items, without padding at its end."""
    position = torch.arange(1, items.shape[1] + 1, device=items.device)
    return torch.where(items != 0, position, 0).amax(1)


class _Recurrence(torch.autograd.Function):
    """(C, H) states of the C cells of all rows, one row after the other."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        initial: Tensor,
        lengths: Tensor,
        input_weight: Tensor,
        weight: Tensor,
        input_bias: Tensor,
        bias: Tensor,
    ) -> Tensor:
        H = weight.shape[1]
        joint = input_bias.clone()  # the gates r and z add both biases
        joint[: 2 * H] += bias[: 2 * H]
        gates = torch.addmm(joint, inputs, input_weight.T)  # (C, 3H)
        states, inner = inputs.new_empty(len(inputs), H), inputs.new_empty(len(inputs), H)
        order = torch.argsort(lengths, descending=True, stable=True)
        begin = lengths.cumsum(0) - lengths
        rows = begin[order], lengths[order]
        initial = initial[order] if len(initial) else initial
        states_of(
            gates.numpy(),
            weight.T.contiguous().numpy(),
            bias[2 * H :].numpy(),
            initial.contiguous().numpy(),
            (rows[0].numpy(), rows[1].numpy()),
            states.numpy(),
            inner.numpy(),
        )
        saved = (inputs, input_weight, weight, gates, states, inner, initial, order, *rows)
        ctx.save_for_backward(*saved)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        inputs, input_weight, weight, *saved, order, begin, lengths = ctx.saved_tensors
        gates, states, _, initial = saved
        H = weight.shape[1]
        d_gates, d_products = torch.empty_like(gates), torch.empty_like(gates)
        previous = torch.empty_like(states)
        d_initial = states.new_empty(len(order), H)
        gradients_of(
            grad.contiguous().numpy(),
            tuple(x.contiguous().numpy() for x in saved),
            weight.contiguous().numpy(),
            (begin.numpy(), lengths.numpy()),
            d_gates.numpy(),
            d_products.numpy(),
            previous.numpy(),
            d_initial.numpy(),
        )
        d_bias = d_gates.sum(0)
        d_inner_bias = d_products[:, 2 * H :].sum(0)
        return (
            d_gates @ input_weight if ctx.needs_input_grad[0] else None,
            torch.empty_like(d_initial).index_copy_(0, order, d_initial) if len(initial) else None,
            None,
            d_gates.T @ inputs,
            d_products.T @ previous,
            d_bias,
            torch.cat([d_bias[: 2 * H], d_inner_bias]),
        )
