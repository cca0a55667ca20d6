"""A neural model that is small and has all parts: dropout, a state for lanes, two tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import nn

from nextclick.core.sessions import Sessions
from nextclick.models.encoder import Encoder
from nextclick.models.neural_model import NEURAL, NeuralModel

if TYPE_CHECKING:
    from nextclick.models.base import Capabilities


@dataclass(frozen=True, slots=True)
class TinyConfig:
    width: Annotated[int, Field(ge=1, description="width of the embedding")] = 16
    dropout: Annotated[float, Field(ge=0, lt=1, description="dropout of the query")] = 0.1
    max_length: Annotated[int, Field(ge=1, description="latest clicks that are read")] = 6


class TinyEncoder(Encoder):
    """q_t = drop(x_t + A (mean of x_1..x_t)); in lanes the mean forgets by halves."""

    def __init__(self, config: TinyConfig, n_items: int):
        super().__init__()
        self.items = nn.Embedding(n_items + 1, config.width, padding_idx=0)
        self.mix = nn.Linear(config.width, config.width)
        self.outputs = nn.Embedding(n_items + 1, config.width, padding_idx=0)
        self.bias = nn.Parameter(torch.zeros(n_items + 1))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, items):
        x = self.items(items)  # (B, T, D)
        mean = x.cumsum(1) / torch.arange(1, items.shape[1] + 1, device=x.device)[:, None]
        return self.dropout(x + self.mix(mean))

    def initial_state(self, n_lanes):
        return self.bias.new_zeros(1, n_lanes, self.mix.in_features)

    def step(self, items, state):
        x = self.items(items)  # (B, D)
        mean = (state[0] + x) / 2
        return self.dropout(x + self.mix(mean)), mean[None]

    def table(self):
        return self.outputs.weight, self.bias


class Tiny(NeuralModel):
    """Running mean of embeddings, for tests."""

    name: ClassVar[str] = "tiny"
    Config: ClassVar[type[TinyConfig]] = TinyConfig
    default_capabilities: ClassVar[Capabilities] = replace(NEURAL, recurrent_step=True)
    encoder_type: ClassVar[type[nn.Module]] = TinyEncoder
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": {"epochs": 3, "batch_size": 32, "learning_rate": 0.01},
        "wide": {"width": 24, "epochs": 2},
    }


def fresh(n_items: int, seed: int = 0, **config: Any) -> Tiny:
    """A tiny model with weights drawn from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Tiny(TinyConfig(**config), n_items)


def circle(n_sessions: int, n_items: int = 40, seed: int = 0, longest: int = 9) -> Sessions:
    """Sessions that begin anywhere and go on to the next item, N to 1."""
    rng = np.random.default_rng(seed)
    return Sessions.from_lists(
        [
            [int(start + k) % n_items + 1 for k in range(rng.integers(2, longest))]
            for start in rng.integers(0, n_items, n_sessions)
        ],
        n_items=n_items,
    )


def weights(model: NeuralModel) -> dict[str, bytes]:
    """Every weight bit for bit."""
    return {name: array.tobytes() for name, array in model.state().items()}
