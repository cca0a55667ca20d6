"""GRU and LSTM layers as single operations of an exported graph.

`torch.export` unrolls the recurrent layers of PyTorch for the length of the example. ONNX has one
operation for a layer, with other orders of the gates in the rows of the weights:

    GRU     PyTorch reset, update, new              ONNX update, reset, new
    LSTM    PyTorch input, forget, cell, output     ONNX input, output, forget, cell

Specification: https://onnx.ai/onnx/operators/onnx__GRU.html and onnx__LSTM.html.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypeVar, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

Cell: TypeAlias = Literal["GRU", "LSTM"]
Module = TypeVar("Module", bound=nn.Module)
_GATES = {"GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)}  # the rows of PyTorch in the order of ONNX


class RNNWeights(NamedTuple):
    """Weights of a layer with G gates, in the order of ONNX.

    Attributes:
        inputs: (1, G H, I).
        recurrent: (1, G H, H).
        biases: (1, 2 G H), those of the inputs before those of the state.
    """

    inputs: Tensor
    recurrent: Tensor
    biases: Tensor

    @classmethod
    def of(cls, cell: Cell, weights: Sequence[Tensor]) -> RNNWeights:
        """From the input and recurrent weights and biases of a layer of PyTorch."""
        inputs, recurrent, input_bias, bias = (_in_onnx_order(cell, rows) for rows in weights)
        return cls(inputs[None], recurrent[None], torch.cat([input_bias, bias])[None])


def exported_rnn(cell: Cell, inputs: Tensor, weights: RNNWeights) -> Tensor:
    """(B, T, H) states of (B, T, I) inputs from a zero state, in a graph that is being exported."""
    B, T, _ = inputs.shape
    H = weights.recurrent.shape[2]
    attributes: dict[str, Any] = {"hidden_size": H}
    if cell == "GRU":
        attributes["linear_before_reset"] = 1  # the reset gate multiplies U h + b, as in PyTorch
    states = torch.onnx.ops.symbolic(
        cell,
        (inputs.transpose(0, 1), *weights),
        attributes,
        dtype=inputs.dtype,
        shape=(T, 1, B, H),
    )
    return states.squeeze(1).transpose(0, 1)


def with_exported_rnns(module: Module) -> Module:
    """A copy of a module whose GRU and LSTM layers are operations of the exported graph.

    The copy shares all weights.
    """
    shared = {id(weight): weight for weight in (*module.parameters(), *module.buffers())}
    copied = copy.deepcopy(module, cast("dict[int, object]", shared))
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.GRU | nn.LSTM):
                setattr(parent, name, _ExportedRNN(child))
    return copied


class _ExportedRNN(nn.Module):
    """A layer in place of `nn.GRU` or `nn.LSTM`, with its weights and without a state."""

    inputs: Tensor
    recurrent: Tensor
    biases: Tensor

    def __init__(self, layer: nn.GRU | nn.LSTM):
        super().__init__()
        self.cell: Cell = "GRU" if isinstance(layer, nn.GRU) else "LSTM"
        (weights,) = layer.all_weights  # one layer, one direction
        for name, value in RNNWeights.of(self.cell, weights)._asdict().items():
            self.register_buffer(name, value.detach())

    def forward(
        self, inputs: Tensor, state: None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """(B, T, H) states of (B, T, I) inputs, and no final state.

        Steps after the lengths are computed as well: their states have no meaning.
        """
        del state, lengths
        weights = RNNWeights(self.inputs, self.recurrent, self.biases)
        return exported_rnn(self.cell, inputs, weights), None


def _in_onnx_order(cell: Cell, rows: Tensor) -> Tensor:
    order = _GATES[cell]
    height = len(rows) // len(order)
    return torch.cat([rows[gate * height : (gate + 1) * height] for gate in order])
