"""GRU4Rec: a GRU over the clicks of a session, trained with sampled negatives.

Hidasi et al., Session-based Recommendations with Recurrent Neural Networks, ICLR 2016, and Hidasi
& Karatzoglou, Recurrent Neural Networks with Top-k Gains, CIKM 2018:

    h_t   = GRU(input of x_t, h_{t-1})      one or more layers
    score = W h_t + b

`embedding` selects the input: the `tied` row of W, a `separate` embedding, or the `one-hot` vector
of the item, whose product with the input weights is a look-up of 3H numbers.

The encoder runs in two ways with equal queries. `forward` reads whole sessions, as all encoders.
`step` reads one click of each of B parallel sessions (lanes) and returns the new state, as in the
authors' training: when the session of a lane ends, the next session takes the lane, and no gradient
passes from one click to the click before. In training both apply dropout to hidden states; `step`
also passes the dropped state on, as the authors' code
(github.com/hidasib/GRU4Rec_PyTorch_Official) does.

Differences from the authors' code:
- Their scores may have an activation (tanh in 2016, ELU for BPR-max later). It is monotone, so it
  does not change the ranking, only the loss: it is the training parameter `score_activation`.
- Their first layer of a one-hot network has no hidden dropout; ours has it in every layer.
  Embedding dropout applies to the looked-up numbers, in the one-hot form to all 3H.
- A one-hot layer, like a GRU of PyTorch, resets the state after the product with U and has two
  biases; theirs resets before the product and has one bias.
- As in their code, the weights of each gate are drawn from U(±√(6 / (inputs + outputs))) and biases
  start at 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import nn

from nextclick.core.search_space import Choice, FloatRange, Space
from nextclick.models.encoder import Encoder
from nextclick.models.neural_model import NEURAL, NeuralModel
from nextclick.models.ops.exported_rnn import RNNWeights, exported_rnn
from nextclick.models.ops.gru_step import GRUStack, GRUWeights
from nextclick.models.ops.layers import Dropout, clear_padding_, item_embedding, uniform_
from nextclick.models.presets import QUICK_SOFTMAX, TRAINING_SPACE

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.models.base import Capabilities


@dataclass(frozen=True, slots=True)
class GRU4RecConfig:
    """Parameters of GRU4Rec."""

    embedding: Annotated[
        Literal["tied", "separate", "one-hot"],
        Field(description="input: the decoder's vectors, a separate embedding, or one-hot"),
    ] = "tied"
    embedding_width: Annotated[
        int, Field(ge=1, description="width of a separate embedding; unused otherwise")
    ] = 100
    hidden_width: Annotated[int, Field(ge=1, description="width of the GRU's state")] = 100
    layers: Annotated[int, Field(ge=1, description="GRU layers")] = 1
    embedding_dropout: Annotated[float, Field(ge=0, lt=1, description="dropout of the input")] = 0.0
    hidden_dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropout of the states of every layer")
    ] = 0.4
    max_length: Annotated[
        int, Field(ge=1, description="number of latest clicks read; lanes read all")
    ] = 200


class GRULayer(nn.Module):
    """One GRU layer over dense inputs."""

    def __init__(self, n_inputs: int, width: int):
        super().__init__()
        self.gru = nn.GRU(n_inputs, width, batch_first=True)
        input_weights, recurrent_weights, *biases = self.gru.all_weights[0]
        for gate in input_weights.chunk(3):
            uniform_(gate, n_inputs, width)
        for gate in recurrent_weights.chunk(3):
            uniform_(gate, width, width)
        for bias in biases:
            nn.init.zeros_(bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, T, H) states of (B, T, n_inputs), from a zero state."""
        states: Tensor = self.gru(inputs)[0]
        return states

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """(B, H) next states of inputs (B, n_inputs) and states (B, H)."""
        return torch.gru_cell(inputs, state, *self.gru.all_weights[0])

    def weights(self) -> GRUWeights:
        """The weights of the layer."""
        inputs, recurrent, input_bias, recurrent_bias = self.gru.all_weights[0]
        return GRUWeights(recurrent, input_bias, recurrent_bias, inputs)


class OneHotGRULayer(nn.Module):
    """A GRU layer over inputs already multiplied with the input weights.

    The inputs i (…, 3H) are those of the gates reset, update and new:

    r = σ(i_r + U_r h + b_r), z = σ(i_z + U_z h + b_z), n = tanh(i_n + r ⊙ (U_n h + b_n)),
    h' = (1 - z) ⊙ n + z ⊙ h
    """

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        self.recur = nn.Linear(width, 3 * width)  # U and b
        self.input_bias = nn.Parameter(torch.zeros(3 * width))
        for gate in self.recur.weight.chunk(3):
            uniform_(gate, width, width)
        nn.init.zeros_(self.recur.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, T, H) states of (B, T, 3H), from a zero state."""
        if torch.compiler.is_compiling():  # an exported graph has a GRU instead of a loop
            weights = (torch.eye(3 * self.width), self.recur.weight, self.input_bias)
            return exported_rnn("GRU", inputs, RNNWeights.of("GRU", (*weights, self.recur.bias)))
        state = inputs.new_zeros(len(inputs), self.width)
        states = []
        for click in inputs.unbind(dim=1):  # (B, 3H)
            state = self.step(click, state)
            states.append(state)
        return torch.stack(states, dim=1)

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """(B, H) next states of inputs (B, 3H) and states (B, H)."""
        inputs, recurrent = inputs + self.input_bias, self.recur(state)  # (B, 3H) each
        reset_update, candidate = slice(None, 2 * self.width), slice(2 * self.width, None)
        gates = torch.sigmoid(inputs[:, reset_update] + recurrent[:, reset_update])  # (B, 2H)
        reset, update = gates.chunk(2, dim=1)  # (B, H) each
        new = torch.tanh(torch.addcmul(inputs[:, candidate], reset, recurrent[:, candidate]))
        return torch.lerp(new, state, update)

    def weights(self) -> GRUWeights:
        """The weights of the layer."""
        return GRUWeights(self.recur.weight, self.input_bias, self.recur.bias)


class GRU4RecEncoder(Encoder):
    """Input embedding, GRU layers and the item vectors of the decoder."""

    def __init__(self, config: GRU4RecConfig, n_items: int):
        super().__init__()
        H, one_hot = config.hidden_width, config.embedding == "one-hot"
        width = config.embedding_width if config.embedding == "separate" else H
        self.hidden_width = H
        self.tied = config.embedding == "tied"
        self.embedding_dropout = Dropout(config.embedding_dropout)
        self.hidden_dropout = Dropout(config.hidden_dropout)
        self.items = item_embedding(n_items, 3 * H if one_hot else width)
        uniform_(self.items.weight, n_items, width)
        clear_padding_(self.items)
        self.layers = nn.ModuleList()
        for layer in range(config.layers):
            if one_hot and layer == 0:
                self.layers.append(OneHotGRULayer(H))
            else:
                self.layers.append(GRULayer(width if layer == 0 else H, H))
        if not self.tied:
            self.outputs = item_embedding(n_items, H)  # W
            uniform_(self.outputs.weight, n_items, H)
            clear_padding_(self.outputs)
        self.bias = nn.Parameter(torch.zeros(n_items + 1))

    def forward(self, items: Tensor) -> Tensor:
        """(B, T, H) queries of (B, T) items; each session starts from a zero state."""
        x = self.embedding_dropout(self.items(items))  # (B, T, width)
        for layer in self.layers:
            x = self.hidden_dropout(layer(x))  # (B, T, H)
        queries: Tensor = x
        return queries

    def gru_stack(self) -> GRUStack:
        """The layers of `step`."""
        layers = [cast("GRULayer", layer).weights() for layer in self.layers]
        return GRUStack(layers, self.embedding_dropout.p, self.hidden_dropout.p)

    def initial_state(self, n_lanes: int) -> Tensor:
        """(L, B, H) zeros, the states before the first click."""
        return self.bias.new_zeros(len(self.layers), n_lanes, self.hidden_width)

    def step(self, items: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Read one click of every lane.

        Args:
            items: (B,) int64.
            state: (L, B, H); zero in lanes whose session begins with this click. Detach it to stop
                the gradient at the click before.

        Returns:
            (B, H) queries and (L, B, H) states after the click.
        """
        x = self.embedding_dropout(self.items(items))  # (B, width)
        states = []
        for layer, layer_state in zip(self.layers, state.unbind(), strict=True):
            x = self.hidden_dropout(cast("GRULayer", layer).step(x, layer_state))  # (B, H)
            states.append(x)
        return x, torch.stack(states)

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The item vectors of the decoder, which a tied network also reads, and its bias."""
        return (self.items if self.tied else self.outputs).weight, self.bias


_LANES: dict[str, Any] = {
    "optimizer": "adagrad",
    "sparse": True,
    "order": "lanes",
    "shuffle": False,
    "epochs": 10,
}
_IN_BATCH: dict[str, Any] = _LANES | {"embedding": "one-hot", "negatives": 0, "in_batch": True}
_SHARED: dict[str, Any] = _LANES | {"embedding": "tied", "negatives": 2048, "in_batch": True}
_RSC15: dict[str, Any] = _SHARED | {
    "hidden_dropout": 0.4,
    "loss": "sampled",
    "log_q": True,
    "correct_target": True,
    "negative_alpha": 0.5,
    "learning_rate": 0.2,
    "momentum": 0.2,
    "batch_size": 32,
}


class GRU4Rec(NeuralModel):
    """A recurrent network trained on parallel sessions."""

    name: ClassVar[str] = "gru4rec"
    Config: ClassVar[type[GRU4RecConfig]] = GRU4RecConfig
    encoder_type: ClassVar[type[Encoder]] = GRU4RecEncoder
    shards_items: ClassVar[bool] = True
    default_capabilities: ClassVar[Capabilities] = replace(NEURAL, recurrent_step=True)
    search_space: ClassVar[Space] = TRAINING_SPACE | {
        "negative_alpha": FloatRange(0.0, 1.0),
        "hidden_width": Choice(50, 100, 200),
        "embedding_dropout": FloatRange(0.0, 0.6),
        "hidden_dropout": FloatRange(0.0, 0.6),
    }
    # paper, yoochoose and bpr-max are from the authors' parameter files; top1, bpr and
    # cross-entropy follow the paper of 2016, from memory
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": QUICK_SOFTMAX,
        "paper": _RSC15,
        "yoochoose": _RSC15
        | {
            "hidden_width": 480,
            "hidden_dropout": 0.2,
            "negative_alpha": 0.2,
            "learning_rate": 0.07,
            "momentum": 0.0,
            "batch_size": 48,
        },
        "top1": _IN_BATCH
        | {"loss": "top1", "score_activation": "tanh", "hidden_dropout": 0.5}
        | {"learning_rate": 0.01, "batch_size": 50},
        "bpr": _IN_BATCH
        | {
            "loss": "bpr",
            "score_activation": "tanh",
            "hidden_dropout": 0.2,
            "learning_rate": 0.05,
            "momentum": 0.2,
            "batch_size": 50,
        },
        "cross-entropy": _IN_BATCH
        | {
            "loss": "sampled",
            "log_q": False,
            "hidden_dropout": 0.0,
            "learning_rate": 0.01,
            "batch_size": 500,
        },
        "bpr-max": _SHARED
        | {
            "loss": "bpr-max",
            "score_activation": "elu",
            "regularization": 0.9,
            "hidden_width": 512,
            "embedding_dropout": 0.5,
            "hidden_dropout": 0.3,
            "negative_alpha": 0.3,
            "learning_rate": 0.05,
            "momentum": 0.15,
            "batch_size": 128,
        },
    }
