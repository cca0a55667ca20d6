"""One step of GRU layers with its gradients, without back-propagation through time.

The states before the step are constants, so the gradient of a step is a handful of products. With
the inputs x, the state h and the weights W, U, b, c of a layer, the step is that of `nn.GRUCell`:

    i = W x + b      u = U h + c                              three gates of H each
    r = σ(i_r + u_r)      z = σ(i_z + u_z)      n = tanh(i_n + r ⊙ u_n)
    h' = (1 - z) ⊙ n + z ⊙ h

Products are those of PyTorch, everything else is one compiled pass. On a CPU a step of 32 lanes
with tensor operations and autograd spends most of its time between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numba import njit

from nextclick.core.float32_math import FAST_SUMS, sigmoid, tanh
from nextclick.models.ops.layers import dropout_mask

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nextclick.core.types import Float32Array

_ONE = np.float32(1.0)


@dataclass(frozen=True, slots=True, eq=False)
class GRUWeights:
    """The weights of a GRU layer; the rows of gates are in the order reset, update, new.

    Attributes:
        recurrent: U, (3H, H).
        input_bias: b, (3H,).
        recurrent_bias: c, (3H,).
        inputs: W, (3H, n_inputs); None if the inputs of the layer are already W x.
    """

    recurrent: nn.Parameter
    input_bias: nn.Parameter
    recurrent_bias: nn.Parameter
    inputs: nn.Parameter | None = None


@dataclass(frozen=True, slots=True, eq=False)
class GRUStack:
    """GRU layers above the rows of an embedding, with dropout.

    Attributes:
        layers: from the input to the output.
        input_dropout: probability of dropping a number of the inputs.
        hidden_dropout: probability of dropping a number of the states of a layer.
    """

    layers: list[GRUWeights]
    input_dropout: float
    hidden_dropout: float

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, StackGradients]:
        """Read one click of every session, as in training.

        Args:
            x: (B, width) inputs.
            state: (L, B, H) states before the click.

        Returns:
            (L, B, H) states after the click, the last of which is the output, and an object that
            computes the gradients of this step.
        """
        masks = [_mask(x, self.input_dropout)]
        x = _masked(x, masks[0])
        steps, states = [], torch.empty_like(state)
        for layer, before, after in zip(self.layers, state, states, strict=True):
            steps.append(_LayerStep(layer, x, before))
            masks.append(_mask(before, self.hidden_dropout))
            x = _masked(steps[-1].state, masks[-1])
            after.copy_(x)
        return states, StackGradients(steps, masks)


@dataclass(frozen=True, slots=True, eq=False)
class StackGradients:
    """The gradients of a step of a stack."""

    _steps: list[_LayerStep]
    _masks: list[Tensor | None]

    def backward(self, grad: Tensor) -> Tensor:
        """Set the gradients of the layers' weights; return (B, width) that of the inputs.

        Args:
            grad: (B, H) the gradient of the output.
        """
        for step, mask in zip(reversed(self._steps), reversed(self._masks[1:]), strict=True):
            grad = step.backward(_masked(grad, mask))
        return _masked(grad, self._masks[0])


class _LayerStep:
    """A step of one layer."""

    def __init__(self, weights: GRUWeights, x: Tensor, before: Tensor):
        self._weights, self._x, self._before = weights, x, before
        if weights.inputs is None:
            self._inputs = x + weights.input_bias  # (B, 3H), i
        else:
            self._inputs = torch.addmm(weights.input_bias, x, weights.inputs.T)
        self._recurrent = torch.addmm(weights.recurrent_bias, before, weights.recurrent.T)  # u
        self.state = torch.empty_like(before)  # (B, H)
        _step(self._inputs.numpy(), self._recurrent.numpy(), before.numpy(), self.state.numpy())

    def backward(self, grad: Tensor) -> Tensor:
        """Set the gradients of the weights; return that of the inputs."""
        weights, d_inputs, d_recurrent = self._weights, self._inputs, self._recurrent
        _step_gradients(d_inputs.numpy(), d_recurrent.numpy(), self._before.numpy(), grad.numpy())
        weights.input_bias.grad = d_inputs.sum(0)
        weights.recurrent_bias.grad = d_recurrent.sum(0)
        weights.recurrent.grad = d_recurrent.T @ self._before
        if weights.inputs is None:
            return d_inputs
        weights.inputs.grad = d_inputs.T @ self._x
        return d_inputs @ weights.inputs


def _mask(like: Tensor, p: float) -> Tensor | None:
    return dropout_mask(like.shape, p) if p else None


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


# one array is written per loop: with more, the compiler does not use vector instructions
@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def _step(
    inputs: Float32Array, recurrent: Float32Array, before: Float32Array, state: Float32Array
) -> None:
    """Write h' to `state` (B, H), and r, z, n over `inputs` (B, 3H)."""
    B, H = state.shape
    for b in range(B):
        gates, new = inputs[b, : 2 * H], inputs[b, 2 * H :]
        for k in range(2 * H):
            gates[k] = sigmoid(gates[k] + recurrent[b, k])
        for k in range(H):
            new[k] = tanh(new[k] + gates[k] * recurrent[b, 2 * H + k])
        for k in range(H):
            state[b, k] = new[k] + gates[H + k] * (before[b, k] - new[k])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def _step_gradients(
    gates: Float32Array, recurrent: Float32Array, before: Float32Array, grad: Float32Array
) -> None:
    """Replace r, z, n by the gradient of i, and u by its gradient.

    Args:
        gates: (B, 3H), r, z, n.
        recurrent: (B, 3H), u.
        before: (B, H), h.
        grad: (B, H), the gradient of h'.
    """
    B, H = grad.shape
    for b in range(B):
        reset, update, new = gates[b, :H], gates[b, H : 2 * H], gates[b, 2 * H :]
        d_recurrent = recurrent[b, 2 * H :]
        old_new = new.copy()
        for k in range(H):
            new[k] = grad[b, k] * (_ONE - update[k]) * (_ONE - new[k] * new[k])
        for k in range(H):
            slope = update[k] * (_ONE - update[k])
            update[k] = grad[b, k] * (before[b, k] - old_new[k]) * slope
        for k in range(H):
            u = d_recurrent[k]
            d_recurrent[k] = new[k] * reset[k]
            reset[k] = new[k] * u * reset[k] * (_ONE - reset[k])
        recurrent[b, : 2 * H] = gates[b, : 2 * H]
