"""Checks of training, storage, resumption, evaluation, serving and updates of a model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np

from nextclick.artifact import Artifact
from nextclick.core.session_batch import SessionBatch
from nextclick.core.topk import dense_top
from nextclick.core.types import silent
from nextclick.errors import ConfigError
from nextclick.evaluation import evaluate as rank
from nextclick.experiments.artifact_refresh import refresh
from nextclick.experiments.model_training import train
from nextclick.experiments.refresh_options import PublishCheckOptions
from nextclick.models.incremental_state import FineTuneSettings, PriorSessions, scatter_rows
from nextclick.serving import Recommender
from nextclick.testing.sample_log import newer_log, sample_store
from nextclick.testing.scoring_checks import assert_close, sample_batch
from nextclick.training import run_log as report
from nextclick.training.training_config import NeuralOptions

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.sessions import Sessions
    from nextclick.models.base import Model
    from nextclick.testing.model_case import ModelCase

_K = 5


class _KilledError(Exception):
    """Interrupts training as if its process were killed."""


def check_determinism(case: ModelCase, folder: Path) -> None:
    """The same seed gives the same model; any seed does so if the model is deterministic."""
    del folder
    same_seed = train(sample_store(), case.name, config=case.settings)
    other_seed = train(sample_store(), case.name, config=case.settings, seed=1)
    assert _bytes(same_seed.model) == _bytes(case.artifact.model)
    assert (
        _bytes(other_seed.model) == _bytes(case.artifact.model)
    ) == case.capabilities.deterministic


def check_saving(case: ModelCase, folder: Path) -> None:
    """A saved and loaded model has bit-identical scores."""
    case.artifact.save(folder / "model")
    loaded = Artifact.load(folder / "model").model
    batch = sample_batch(loaded.n_items)
    np.testing.assert_array_equal(loaded.score(batch), case.artifact.model.score(batch))
    assert (loaded.name, loaded.config) == (case.name, case.artifact.model.config)


def check_resuming(case: ModelCase, folder: Path) -> None:
    """Resumed training ends with the weights of uninterrupted training."""
    if not case.capabilities.neural:
        return
    settings = {**case.settings, "checkpoint_minutes": 0}
    calls = 0

    def kill(stage: str, done: int, total: int | None) -> None:
        nonlocal calls
        del stage
        calls += 1
        if total is not None and done > 0.7 * total:
            raise _KilledError

    with patch.object(report, "PROGRESS_SECONDS", 0.0):
        options = NeuralOptions(checkpoints=folder / "killed")
        try:
            train(sample_store(), case.name, config=settings, neural=options, progress=kill)
        except _KilledError:
            pass
        else:
            raise AssertionError("training was not interrupted")
        assert calls > 2
        options = replace(options, resume=True)
        resumed = train(sample_store(), case.name, config=settings, neural=options)
    assert _bytes(resumed.model) == _bytes(case.artifact.model)


def check_evaluation(case: ModelCase, folder: Path) -> None:
    """The model can be evaluated on a test split; also block by block, for "by-block" updates."""
    del folder
    store, model = sample_store(), case.artifact.model
    by_block = case.capabilities.update == "by-block"
    for history in (None, store.part("train")) if by_block else (None,):
        result = rank(model, store.part("test"), ks=[1, _K], history=history, n_bootstrap=0)
        assert result.counts.prefixes == store.part("test").n_prefixes
        assert 0.0 <= result.metrics[f"recall@{_K}"].value <= 1.0
        assert bool(result.blocks) == (history is not None)


def check_serving(case: ModelCase, folder: Path) -> None:
    """Recommendations equal the offline ranking: items, order and scores."""
    del folder
    artifact = case.artifact
    recommender = Recommender(artifact)
    sessions = [["item-3"], ["item-1", "item-2"], ["item-5", "item-4", "item-5", "item-9"]]
    recommended = recommender.recommend(sessions, _K)
    indices = [[artifact.items.indices([raw])[0] for raw in session] for session in sessions]
    for clicks, result in zip(indices, recommended, strict=True):
        batch = SessionBatch.from_lists([clicks])
        scores = artifact.model.score(batch)
        items = dense_top(scores, _K)[0]
        items = items[items > 0]  # 0 marks items that score no higher than any other
        n = result.from_model
        assert result.items[:n] == [artifact.items.raw(int(i)) for i in items]
        assert_close(np.array(result.scores[:n], dtype=np.float32), scores[0, items])


def check_update(case: ModelCase, folder: Path) -> None:
    """The model is updated with newer sessions as it declares."""
    del folder
    update, model = case.capabilities.update, case.artifact.model
    if update == "none":
        try:
            refresh(case.artifact, newer_log(), publish_check=PublishCheckOptions(holdout=0))
        except ConfigError as error:
            assert "declares no incremental update" in str(error)  # noqa: PT017, no pytest here
            return
        raise AssertionError("a model without incremental updates was refreshed")
    before = _bytes(model)
    refreshed = refresh(
        case.artifact,
        newer_log(),
        publish_check=PublishCheckOptions(holdout=0),
        store=sample_store(),
    ).artifact
    assert refreshed.items.indices(["item-13"])[0] > 0
    assert refreshed.model.n_items == len(refreshed.items)
    assert np.isfinite(refreshed.model.score(sample_batch(refreshed.model.n_items))).all()
    assert _bytes(model) == before, "a refresh must not change the original model"
    old, past, new = _split_sample()
    if update == "exact":
        logs = (past.concatenate(new), old)
        joint, older = (
            case.model_type.fit(log, case.config, seed=0, progress=silent) for log in logs
        )
        assert _bytes(older.update_exactly(new, past, progress=silent)) == _bytes(joint)
    elif update != "by-member":  # the members are checked on their own
        _check_growth(case, model, past, new)
    if update == "by-block":
        _check_blocks(model)


def _check_growth(case: ModelCase, model: Model, past: PriorSessions, new: Sessions) -> None:
    """The scores of known items do not change when the catalog grows."""
    larger = model.grow_catalog(past, new)
    batch = sample_batch(model.n_items)
    assert batch.history is not None
    history = replace(batch.history, items=past.index[batch.history.items])
    renumbered = replace(batch, items=past.index[batch.items], history=history)
    assert_close(larger.score(renumbered)[:, past.index[1:]], model.score(batch)[:, 1:])
    if not case.capabilities.neural:
        steps = FineTuneSettings(epochs=2, rate=1.0, minutes=float("inf"), seed=0)
        first, second = (larger.fine_tune(new, steps, progress=silent) for _ in range(2))
        assert _bytes(first) == _bytes(second) != _bytes(larger)


def _check_blocks(model: Model) -> None:
    """Adding the last block with `advance` gives the model of all blocks."""
    sessions = sample_store().part("train")
    assert sessions.blocks is not None
    last = int(sessions.blocks[-1])
    complete = model.with_history(sessions)
    advanced = model.with_history(sessions, before=last)
    ((_, last_day),) = sessions.by_block(last, last + 1)
    batch = sample_batch(model.n_items)
    before = advanced.score(batch)
    half = len(last_day) // 2
    advanced.keep_open(last_day.slice(0, half))
    np.testing.assert_array_equal(advanced.score(batch), before, "an open block changes a score")
    advanced.advance(last_day.slice(half, len(last_day)))
    assert advanced.last_block == complete.last_block == last
    np.testing.assert_array_equal(advanced.score(batch), complete.score(batch))


def _split_sample() -> tuple[Sessions, PriorSessions, Sessions]:
    """The sample sessions, the same as a prior log, and newer sessions with two new items."""
    old = sample_store().part("train_inner")
    index = np.arange(old.n_items + 1, dtype=np.int32) + 2
    index[0] = 0
    n_items = old.n_items + 2
    renumbered = old.remap_items(index, n_items)
    past = PriorSessions(
        index, n_items, len(old), scatter_rows(old.support(), index, n_items), renumbered
    )
    new = renumbered.slice(len(old) - 12, len(old))
    items = np.where(np.arange(len(new.items)) % 5 == 0, np.int32(1), new.items)
    items = np.where(np.arange(len(new.items)) % 7 == 0, np.int32(2), items)
    return old, past, replace(new, items=items)


def _bytes(model: Model) -> dict[str, bytes]:
    """The bytes of all arrays of a model."""
    return {name: array.tobytes() for name, array in model.state().items()}
