"""The weight of the last steps of an epoch in lanes, when only some lanes have a session."""

from dataclasses import replace

import pytest
import torch

from nextclick.core.sessions import Sessions
from nextclick.training.lane_batch_source import LaneBatchSource
from nextclick.training.trainer import Trainer
from nextclick.training.training_config import TrainingConfig
from reference.tiny_model import fresh

RATE = 0.5
CONFIG = TrainingConfig(
    order="lanes", batch_size=4, loss="ce", optimizer="sgd", learning_rate=RATE, shuffle=False,
    epochs=1, threads=1, schedule="none",
)  # fmt: skip
LOG = Sessions.from_lists([[1, 2], [3, 4], [5, 6, 7], [8, 9, 1, 2]], n_items=9)


def test_a_step_has_the_share_of_its_active_lanes_as_weight():
    source = LaneBatchSource(fresh(9), LOG, CONFIG, seed=0, device=torch.device("cpu"))
    steps = list(source.steps(0, 0))
    assert [step.targets.tolist() for step in steps] == [[2, 4, 6, 9], [7, 1], [2]]
    assert [step.weight for step in steps] == [1.0, 0.5, 0.25]


@pytest.mark.parametrize(("n_lanes", "weight"), [(1, 1.0), (2, 0.5), (5, 0.2)])
def test_a_lone_session_moves_the_weights_by_the_share_of_its_lane(n_lanes, weight):
    """One step of plain gradient descent on one click: the bias moves by rate · weight · error."""
    model = fresh(9, dropout=0.0)
    with torch.inference_mode():
        query, _ = model.encoder.step(torch.tensor([4]), model.encoder.initial_state(1))
        table, bias = model.encoder.table()
        scores = (query @ table.T + bias)[0, 1:]
    error = torch.nn.functional.one_hot(torch.tensor(6), 9) - scores.softmax(0)  # target 7
    config = replace(CONFIG, batch_size=n_lanes)
    Trainer(model, config, seed=0, device="cpu").run(Sessions.from_lists([[4, 7]], n_items=9))
    moved = model.encoder.bias[1:].detach()
    torch.testing.assert_close(moved, RATE * weight * error, rtol=1e-5, atol=1e-7)
