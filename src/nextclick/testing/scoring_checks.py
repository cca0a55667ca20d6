"""Checks of scores: shape and values, and independence of padding, other rows and later clicks."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.session_batch import SessionBatch
from nextclick.core.session_history import SessionHistory

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.types import AnyArray, Float32Array
    from nextclick.models.base import Model
    from nextclick.models.neural_model import NeuralModel
    from nextclick.testing.model_case import ModelCase

_TOLERANCE = 1e-4  # relative to the largest score: rounding depends on the batch size
_WIDTH = 6  # clicks of the longest session in a batch


def sample_batch(n_items: int) -> SessionBatch:
    """Sessions of 0 to 6 clicks with gaps, waiting times and users, some of them unknown."""
    rng = np.random.default_rng(3)
    lengths = np.array([6, 1, 0, 2, 4, 6, 3, 5], dtype=np.int32)
    is_click = np.arange(_WIDTH) < lengths[:, None]
    items = np.where(is_click, rng.integers(1, n_items + 1, is_click.shape), 0).astype(np.int32)
    items[5, 1] = items[5, 3]  # a repeated item
    gaps = rng.uniform(1.0, 300.0, is_click.shape).astype(np.float32)
    gaps[:, 0] = 0.0
    gaps[4, 2] = np.nan
    users = rng.integers(0, 4, len(lengths)).astype(np.int32)
    waited = rng.uniform(1.0, 100.0, len(lengths)).astype(np.float32)
    earlier = [
        [
            (rng.integers(1, n_items + 1, int(rng.integers(1, 5))), float(rng.uniform(60.0, 1e6)))
            for _ in range(n)
        ]
        for n in rng.integers(0, 4, len(lengths)).tolist()
    ]
    history = SessionHistory.from_lists(earlier)
    return SessionBatch(items, lengths, np.where(is_click, gaps, np.nan), users, waited, history)


def row_of(batch: SessionBatch, row: int, length: int | None = None) -> SessionBatch:
    """A batch of one session without padding, or of a prefix that is scored at its last click."""
    n = int(batch.lengths[row]) if length is None else length
    rows = slice(row, row + 1)
    return SessionBatch(
        batch.items[rows, :n],
        np.array([n], dtype=np.int32),
        None if batch.gaps is None else batch.gaps[rows, :n],
        None if batch.users is None else batch.users[rows],
        None
        if batch.time_since_last_click is None or length is not None
        else batch.time_since_last_click[rows],
        None if batch.history is None else batch.history.take(rows),
    )


def assert_close(actual: AnyArray, expected: AnyArray) -> None:
    """Assert equality up to rounding."""
    scale = max(float(np.abs(expected).max(initial=0.0)), 1.0)
    np.testing.assert_allclose(actual, expected, rtol=0.0, atol=_TOLERANCE * scale)


def check_scores(case: ModelCase, folder: Path) -> None:
    """Scores are (B, N + 1) float32 and finite, with empty sessions, no sessions and no context."""
    del folder
    model, full_batch = case.model, sample_batch(case.model.n_items)
    for batch in (
        full_batch,
        replace(full_batch, gaps=None, users=None, time_since_last_click=None),
    ):
        scores = model.score(batch)
        assert scores.shape == (len(batch), model.n_items + 1)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
    assert model.score(SessionBatch.from_lists([])).shape == (0, model.n_items + 1)
    assert model.score(SessionBatch.from_lists([[], []])).shape == (2, model.n_items + 1)


def check_sparse_scores(case: ModelCase, folder: Path) -> None:
    """Sparse scores equal dense scores, and list each item at most once per row, within 1..N."""
    del folder
    if not case.capabilities.sparse_scores:
        return
    batch = sample_batch(case.model.n_items)
    sparse = case.model.score_sparse(batch)
    arrays = (sparse.offsets, sparse.items, sparse.values, sparse.base)
    assert [str(a.dtype) for a in arrays] == ["int64", "int32", "float32", "float32"]
    for start, stop in zip(sparse.offsets[:-1], sparse.offsets[1:], strict=True):
        row = sparse.items[start:stop]
        assert len(np.unique(row)) == len(row)
        assert ((row >= 1) & (row <= case.model.n_items)).all()
    np.testing.assert_array_equal(sparse.dense()[:, 1:], case.model.score(batch)[:, 1:])


def check_rows_are_independent(case: ModelCase, folder: Path) -> None:
    """A session has the same scores alone and in a batch."""
    del folder
    batch = sample_batch(case.model.n_items)
    batch_scores = case.model.score(batch)
    for row in range(len(batch)):
        assert_close(case.model.score(row_of(batch, row))[0], batch_scores[row])


def check_padding(case: ModelCase, folder: Path) -> None:
    """Scores depend neither on the amount of padding nor on the values in it."""
    del folder
    batch = sample_batch(case.model.n_items)
    scores = case.model.score(batch)
    assert batch.gaps is not None
    is_padding = np.arange(_WIDTH + 3) >= batch.lengths[:, None]
    items = np.pad(batch.items, ((0, 0), (0, 3)))
    gaps = np.pad(batch.gaps, ((0, 0), (0, 3)), constant_values=np.nan)
    assert_close(case.model.score(replace(batch, items=items, gaps=gaps)), scores)
    overwritten = replace(
        batch,
        items=np.where(is_padding, np.int32(1), items),
        gaps=np.where(is_padding, np.float32(5.0), gaps),
    )
    assert_close(case.model.score(overwritten), scores)


def check_long_sessions(case: ModelCase, folder: Path) -> None:
    """Of a session longer than `max_length` only the latest clicks are read."""
    del folder
    length = case.model.max_length
    if length is None:
        return
    rng = np.random.default_rng(4)
    clicks = rng.integers(1, case.model.n_items + 1, length + 3).tolist()
    scores = case.model.score(SessionBatch.from_lists([clicks, clicks[:1]]))
    latest = case.model.score(SessionBatch.from_lists([clicks[3:]]))
    assert_close(scores[:1], latest)


def check_state(case: ModelCase, folder: Path) -> None:
    """A model built from the state has the same scores, even if the arrays are read-only."""
    del folder
    batch = sample_batch(case.model.n_items)
    state = {name: array.copy() for name, array in case.model.state().items()}
    for array in state.values():
        array.flags.writeable = False
    config = case.model.config
    rebuilt = case.model_type.from_state(MappingProxyType(state), config)
    assert (rebuilt.n_items, rebuilt.config) == (case.model.n_items, config)
    np.testing.assert_array_equal(rebuilt.score(batch), case.model.score(batch))


def check_causality(case: ModelCase, folder: Path) -> None:
    """The query of a prefix equals that of the prefix alone and ignores later clicks."""
    del folder
    if not case.capabilities.neural:
        return
    from nextclick.experiments.neural_training import neural_class

    neural_class(case.model_type)
    model: NeuralModel = case.model  # type: ignore[assignment]
    rng = np.random.default_rng(5)
    n_rows = 9
    items = rng.integers(1, model.n_items + 1, (n_rows, _WIDTH))
    gaps = rng.uniform(1.0, 300.0, (n_rows, _WIDTH + 1)).astype(np.float32)
    gaps[:, 0] = 0.0
    users = rng.integers(0, 4, n_rows)
    queries = prefix_queries(model, items, gaps, users)
    for t in range(1, _WIDTH):
        later, later_gaps = items.copy(), gaps.copy()
        later[:, t:] = later[:, t:] % model.n_items + 1
        # a model that predicts at the time of the target may read the gap before it
        first = t + 1 if case.capabilities.prediction_moment != "at-click" else t
        later_gaps[:, first:] += 77.0
        changed = prefix_queries(model, later, later_gaps, users)
        assert_close(changed[:, :t], queries[:, :t])
    _check_prefixes_alone(model, items, gaps, users, queries)


def prefix_queries(
    model: NeuralModel, items: AnyArray, gaps: Float32Array, users: AnyArray
) -> AnyArray:
    """(B, T, D) queries of all prefixes in one forward pass, as in training.

    Args:
        model: a neural model.
        items: (B, T) clicks without padding.
        gaps: (B, T + 1) seconds before each click, and before the next click after the last.
        users: (B,) users.
    """
    import torch

    required = model.requires(model.config)
    positions = np.arange(items.size)
    context: dict[str, AnyArray] = {}
    if "times" in required:
        context |= {"gaps": gaps[:, :-1].copy(), "waited": gaps[:, 1:].copy()}
    if "users" in required:
        context["users"] = users
    history: dict[str, Any] = {}
    if "history" in required:
        history["history"] = model.history_inputs(SessionHistory.empty(len(items)))
    prefixes = model.prepare_prefixes(items.astype(np.int64), positions, None)
    inputs = history | {
        name: torch.from_numpy(np.asarray(array)) for name, array in context.items()
    }
    if prefixes is not None:
        inputs["prefixes"] = prefixes
    with torch.inference_mode():
        model.encoder.eval()
        queries: torch.Tensor = model.encoder(torch.from_numpy(items.astype(np.int64)), **inputs)
    result: AnyArray = queries.numpy()
    return result


def _check_prefixes_alone(
    model: NeuralModel, items: AnyArray, gaps: Float32Array, users: AnyArray, queries: AnyArray
) -> None:
    """Each query of a pass over all prefixes gives the scores of this prefix alone."""
    table, bias = model.encoder.table()
    for t in range(_WIDTH):
        batch = SessionBatch(
            items[:, : t + 1].astype(np.int32),
            np.full(len(items), t + 1, dtype=np.int32),
            gaps[:, : t + 1],
            users.astype(np.int32),
            gaps[:, t + 1],
        )
        scores = queries[:, t] @ table.detach().numpy().T
        if bias is not None:
            scores = scores + bias.detach().numpy()
        assert_close(_score_as_trained(model, batch)[:, 1:], scores[:, 1:])


def _score_as_trained(model: Model, batch: SessionBatch) -> Float32Array:
    """Scores at the prediction moment that the model is trained for."""
    if model.capabilities.prediction_moment == "at-click":
        batch = replace(batch, time_since_last_click=None)
    return model.score(batch)


def check_explanation(case: ModelCase, folder: Path) -> None:
    """Explanations match the capabilities, add up to the score, and leave scores unchanged."""
    del folder
    model, declared = case.model, case.capabilities
    session = row_of(sample_batch(model.n_items), 4)
    before = model.score(session)
    items = np.array([1, 2, model.n_items], dtype=np.int32)
    why = model.explain(session, items)
    nonempty = bool(why.attention or why.neighbors or why.links or why.parts)
    assert nonempty == declared.explains, f"explains={declared.explains}, got {why}"
    assert bool(why.attention) == declared.attention
    for layer in why.attention:
        assert len(layer.clicks) == len(layer.session_weights)
        assert set(layer.clicks.tolist()) <= set(range(int(session.lengths[0])))
    if why.parts is not None:
        total = why.parts.clicks.sum(axis=1) + sum(why.parts.rest.values())
        assert_close(total, before[0, items])
    np.testing.assert_array_equal(model.score(session), before)
