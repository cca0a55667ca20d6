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
from nextclick.models.ops.layers import dropout_draws

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import AnyArray, Float32Array

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@dataclass(frozen=True, slots=True, eq=False)
class GRUWeights:
    """The weights of a GRU layer; the rows of gates are in the order reset, update, new.

    Attributes:
        recurrent: U, (3H, H).
        input_bias: b, (3H,).
        recurrent_bias: c, (3H,).
        inputs: W, (3H, n_inputs); None if the inputs of the layer are already W x.
    """

    recurrent: Tensor
    input_bias: Tensor
    recurrent_bias: Tensor
    inputs: Tensor | None = None


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
        dropouts = [_Dropout(x, self.input_dropout)]
        x = dropouts[0](x)
        steps, states = [], torch.empty_like(state)
        for layer, before, after in zip(self.layers, state, states, strict=True):
            steps.append(_LayerStep(layer, x, before))
            dropouts.append(_Dropout(before, self.hidden_dropout))
            x = dropouts[-1](steps[-1].state)
            after.copy_(x)
        return states, StackGradients(steps, dropouts)


@dataclass(frozen=True, slots=True, eq=False)
class StackGradients:
    """The gradients of a step of a stack."""

    _steps: list[_LayerStep]
    _dropouts: list[_Dropout]

    def backward(self, grad: Tensor) -> Tensor:
        """Set the gradients of the layers' weights; return (B, width) that of the inputs.

        Args:
            grad: (B, H) the gradient of the output.
        """
        for step, drop in zip(reversed(self._steps), reversed(self._dropouts[1:]), strict=True):
            grad = step.backward(drop(grad))
        return self._dropouts[0](grad)


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
        weights.input_bias.grad = torch.zeros_like(weights.input_bias)
        weights.recurrent_bias.grad = torch.zeros_like(weights.recurrent_bias)
        _step_gradients(
            d_inputs.numpy(), d_recurrent.numpy(), self._before.numpy(), grad.numpy(),
            weights.input_bias.grad.numpy(), weights.recurrent_bias.grad.numpy(),
        )  # fmt: skip
        weights.recurrent.grad = d_recurrent.T @ self._before
        if weights.inputs is None:
            return d_inputs
        weights.inputs.grad = d_inputs.T @ self._x
        return d_inputs @ weights.inputs


class _Dropout:
    """One draw of `ops.layers.Dropout`, applied to numbers and to their gradients."""

    def __init__(self, like: Tensor, p: float):
        self._draws = dropout_draws(like.numel(), p) if p else None

    def __call__(self, x: Tensor) -> Tensor:
        if self._draws is None:
            return x
        draws, lowest, scale = self._draws
        dropped = torch.empty_like(x)
        _drop(
            x.view(-1).numpy(), draws.numpy(), lowest, np.float32(scale), dropped.view(-1).numpy()
        )
        return dropped


@njit(cache=True, nogil=True)
def _drop(
    x: Float32Array, draws: AnyArray, lowest: int, scale: np.float32, dropped: Float32Array
) -> None:
    """Write x (n,) times `scale` to `dropped` where the draw is at least `lowest`, else 0."""
    for k in range(len(x)):
        dropped[k] = x[k] * (scale if draws[k] >= lowest else _ZERO)


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
    gates: Float32Array,
    recurrent: Float32Array,
    before: Float32Array,
    grad: Float32Array,
    input_bias: Float32Array,
    recurrent_bias: Float32Array,
) -> None:
    """Replace r, z, n by the gradient of i, and u by its gradient.

    Args:
        gates: (B, 3H), r, z, n.
        recurrent: (B, 3H), u.
        before: (B, H), h.
        grad: (B, H), the gradient of h'.
        input_bias: (3H,) zeros, receives the gradient of b.
        recurrent_bias: (3H,) zeros, receives the gradient of c.
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
        input_bias += gates[b]
        recurrent_bias += recurrent[b]
