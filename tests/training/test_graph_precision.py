"""Graph and memory models train in bf16, here by emulation if the machine has no bf16."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nextclick.models.model_registry import model_class
from nextclick.training import trainer
from nextclick.training.trainer import Trainer
from nextclick.training.training_config import TrainingConfig
from reference.tiny_model import circle

SMALL = {
    "sr-gnn": {"width": 16},
    "lessr": {"width": 16},
    "csrm": {"embedding_width": 16, "hidden_width": 16, "memory_size": 100, "neighbors": 9},
    "tasrec": {"width": 16},
    "lgsr": {"width": 16, "walks": 3, "walk_length": 6, "window": 2, "graph_negatives": 4},
}


@pytest.mark.parametrize("name", SMALL)
def test_bf16_loss_is_close_to_float32(name, monkeypatch):
    monkeypatch.setattr(trainer, "check_precision", lambda precision, device: None)
    cls, losses = model_class(name), []
    log = replace(circle(60), blocks=np.arange(60, dtype=np.int32) // 12)
    for precision in ("float32", "bf16"):
        torch.manual_seed(0)
        model = cls(cls.Config(**SMALL[name]), log.n_items)
        config = TrainingConfig(
            batch_size=32, learning_rate=0.02, epochs=2, precision=precision, threads=1
        )
        losses.append(Trainer(model, config, device="cpu").run(log).history[-1]["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
