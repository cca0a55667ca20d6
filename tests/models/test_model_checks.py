"""The checks of `nextclick.testing` accept models of other packages and detect defects."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from nextclick.errors import ConfigError
from nextclick.experiments.incremental_training import refresh_strategy
from nextclick.experiments.neural_training import neural_class
from nextclick.models.base import Capabilities, Model
from nextclick.models.classical.popularity import Pop
from nextclick.models.model_explanation import ModelExplanation, ScoreContributions
from nextclick.testing import CHECKS, ModelCase, declared_model
from reference.tiny_model import fresh

TOY = Path(__file__).parents[1] / "toy_package"
BY_NAME = {check.__name__: check for check in CHECKS}


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.syspath_prepend(str(TOY))
    with declared_model("fading-markov", "fading_markov:FadingMarkov"):
        yield ModelCase("fading-markov")


def test_a_model_of_another_package_passes(toy, tmp_path):
    for check in CHECKS:
        folder = tmp_path / check.__name__
        folder.mkdir()
        check(toy, folder)


def test_a_neural_model_of_another_package_passes(tiny_model, tmp_path):
    for check in CHECKS:
        if check.__name__ not in ("check_search_space", "check_presets"):  # it has no space
            folder = tmp_path / check.__name__
            folder.mkdir()
            check(ModelCase("tiny"), folder)


@dataclass(frozen=True)
class BadConfig:
    """No parameters."""


class Bad(Model):
    """Popularity with one optional defect."""

    name = "bad"
    Config = BadConfig
    default_capabilities = Capabilities(deterministic=True)
    defect = ""

    def __init__(self, config, popularity):
        self.config = config
        self.popularity = popularity

    @property
    def n_items(self):
        return len(self.popularity) - 1

    @classmethod
    def fit(cls, sessions, config, *, seed, progress):
        shift = seed if cls.defect == "seed" else 0
        return cls(config, sessions.support().astype(np.float32) + shift)

    def score(self, batch):
        scores = np.tile(self.popularity, (len(batch), 1))
        if self.defect == "double":
            scores = scores.astype(np.float64)
        if self.defect == "padding":
            scores[:, 1] += batch.items.shape[1]
        if self.defect == "behind":
            scores[:, 1] += batch.items.sum(axis=1)
        if self.defect == "rows":
            scores[:, 1] += len(batch)
        return scores

    def explain(self, batch, items):
        if self.defect != "sum":
            return ModelExplanation()
        zeros = np.zeros((len(items), batch.lengths[0]), dtype=np.float32)
        return ModelExplanation(parts=ScoreContributions(zeros, {}))

    def state(self):
        return {"popularity": self.popularity * (2 if self.defect == "state" else 1)}

    @classmethod
    def from_state(cls, state, config):
        return cls(config, state["popularity"])


@pytest.fixture
def bad(monkeypatch):
    def with_defect(defect, **declared):
        monkeypatch.setattr(Bad, "defect", defect)
        capabilities = replace(Bad.default_capabilities, **declared)
        monkeypatch.setattr(Bad, "default_capabilities", capabilities)
        return ModelCase("bad")

    with declared_model("bad", f"{__name__}:Bad"):
        yield with_defect


@pytest.mark.parametrize(
    ("check", "defect", "declared"),
    [
        ("check_scores", "double", {}),
        ("check_padding", "padding", {}),
        ("check_padding", "behind", {}),
        ("check_rows_are_independent", "rows", {}),
        ("check_state", "state", {}),
        ("check_determinism", "seed", {}),
        ("check_determinism", "", {"deterministic": False}),
        ("check_capabilities", "", {"sparse_scores": True}),
        ("check_capabilities", "", {"update": "exact"}),
        ("check_capabilities", "", {"update": "fine-tune"}),
        ("check_capabilities", "", {"needs_sessions": True}),
        ("check_explanation", "", {"explains": True}),
        ("check_explanation", "sum", {"explains": True}),
        ("check_explanation", "sum", {}),
    ],
)
def test_a_defect_is_detected(bad, tmp_path, check, defect, declared):
    case = bad(defect, **declared)
    with pytest.raises(AssertionError):
        BY_NAME[check](case, tmp_path)


def test_a_model_without_defect_passes(bad, tmp_path):
    case = bad("")
    for check in CHECKS:
        folder = tmp_path / check.__name__
        folder.mkdir()
        check(case, folder)


def test_a_missing_method():
    model = Pop(Pop.Config(), np.ones(3, dtype=np.float32))
    message = "Pop has no advance; implement it, or do not declare the capability"
    with pytest.raises(NotImplementedError, match=message):
        model.advance(None)
    with pytest.raises(NotImplementedError, match="Pop has no fine_tune; implement it"):
        model.fine_tune(None, None, progress=None)
    with pytest.raises(NotImplementedError, match="Tiny has no fit; implement it"):
        type(fresh(3)).fit(None, None, seed=0, progress=None)


def test_a_neural_model_must_derive_from_neural_model(bad):
    case = bad("", neural=True)
    message = (
        "model bad declares neural=True, so Bad must derive from "
        "nextclick.models.neural_model.NeuralModel; derive from it, or declare neural=False"
    )
    with pytest.raises(ConfigError, match=message):
        neural_class(case.model_type)


def test_a_model_without_incremental_updates_is_rejected(bad):
    message = (
        r"bad declares no incremental update \(capabilities\.update is none\): train it again on a "
        r"store of both logs"
    )
    with pytest.raises(ConfigError, match=message):
        refresh_strategy(bad("").model)
