"""ASARS: equations, causality, unknown users and missing times."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nextclick.core.session_batch import SessionBatch
from nextclick.models.dataset_info import DatasetInfo
from nextclick.models.neural.asars import ASARS, ASARSConfig
from nextclick.models.ops.gap_bins import GapBins
from nextclick.models.ops.layers import triangle_softmax
from reference.neural_asars import asars_query
from reference.neural_cases import spread_weights

N, USERS = 9, 4
DATASET_INFO = DatasetInfo(np.array([False, True, True, False, True]), GapBins(10.0, 6))
SMALL = {"item_width": 4, "gap_width": 3, "user_width": 3, "hidden_width": 5, "max_length": 8}
CASES = {
    f"{variant} {gap}": {"variant": variant, "gap": gap}
    for variant in ("user_att", "user_cat", "time_att", "time_cat", "time_user")
    for gap in ("causal", "elapsed", "oracle")
    if gap == "causal" or variant.startswith("time")
} | {
    "gru": {"variant": "time_user", "cell": "gru"},
    "context": {"variant": "time_att", "attend": "context"},
    "both": {"variant": "time_user", "readout": "both", "cell": "gru"},
    "user_att both": {"variant": "user_att", "readout": "both"},
    "log": {"variant": "time_cat", "bins": "log"},
    "drift": {"variant": "time_user", "drift": True},
    "user_att drift": {"variant": "user_att", "drift": True},
}
CASES |= {
    f"{variant} {attend} {gap}": {"variant": variant, "attend": attend, "gap": gap}
    for variant in ("time_att", "time_user")
    for attend in ("last", "user")
    for gap in ("causal", "elapsed", "oracle")
}
LEAK_FREE = [name for name, values in CASES.items() if values.get("gap") != "oracle"]


def small_asars(values, dataset_info=DATASET_INFO):
    torch.manual_seed(0)
    if values.get("bins") == "log":
        dataset_info = replace(dataset_info, bins=GapBins(1.0, 4, (2.0, 9.0, 40.0)))
    model = spread_weights(ASARS(ASARSConfig(**SMALL, **values), N, dataset_info))
    with torch.no_grad():
        if hasattr(model.encoder, "users"):
            model.encoder.users.weight[0] = torch.randn(3)
    return model


@pytest.fixture(params=CASES)
def model(request):
    return small_asars(CASES[request.param])


def drawn_batch(B=7, T=8, seed=0):
    """Sessions of 1..T clicks as SessionBatch; gaps up to 100 s, so that the last bin is used."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, T + 1, B).astype(np.int32)
    lengths[0] = T
    is_click = np.arange(T) < lengths[:, None]
    gaps = np.where(is_click, rng.uniform(0, 100, (B, T)), 0).astype(np.float32)
    gaps[:, 0] = 0
    return SessionBatch(
        items=np.where(is_click, rng.integers(1, N + 1, (B, T)), 0).astype(np.int32),
        lengths=lengths,
        gaps=gaps,
        users=rng.integers(0, USERS + 1, B).astype(np.int32),
        time_since_last_click=rng.uniform(0, 100, B).astype(np.float32),
    )


def row(batch, b, length=None):
    """One session of a batch, or a prefix of it, with the prediction at its next click."""
    n = int(batch.lengths[b]) if length is None else length
    waited = batch.time_since_last_click[b] if length is None else batch.gaps[b, n]
    return SessionBatch(
        items=batch.items[b : b + 1, :n],
        lengths=np.array([n], dtype=np.int32),
        gaps=batch.gaps[b : b + 1, :n],
        users=batch.users[b : b + 1],
        time_since_last_click=np.array([waited], dtype=np.float32),
    )


def full_pass(model, batch):
    """(B, T, D) queries of all prefixes, each predicted at its next click."""
    items = torch.from_numpy(batch.items).long()
    inputs = {}
    if "times" in model.requires(model.config):
        waited = np.zeros_like(batch.gaps)
        waited[:, :-1] = batch.gaps[:, 1:]
        waited[np.arange(len(batch)), batch.lengths - 1] = batch.time_since_last_click
        inputs = {"gaps": torch.from_numpy(batch.gaps), "waited": torch.from_numpy(waited)}
    if "users" in model.requires(model.config):
        inputs["users"] = torch.from_numpy(batch.users).long()
    with torch.no_grad():
        return model.encoder(items, **inputs)


def expected_query(model, session):
    n = int(session.lengths[0])
    user = int(session.users[0])
    return asars_query(
        session.items[0, :n].tolist(), session.gaps[0, :n].astype(float).tolist(),
        float(session.time_since_last_click[0]), user, model.state(), model.config,
    )  # fmt: skip


def test_one_pass_over_all_prefixes_follows_the_equations(model):
    batch = drawn_batch()
    queries = full_pass(model, batch).numpy()
    for b in range(len(batch)):
        for t in range(batch.lengths[b]):
            last = t == batch.lengths[b] - 1
            prefix = row(batch, b, None if last else t + 1)
            np.testing.assert_allclose(queries[b, t], expected_query(model, prefix), atol=1e-5)


def test_scores_equal_those_of_the_prefix_alone(model):
    batch = drawn_batch()
    queries = full_pass(model, batch)
    table, bias = model.encoder.table()
    for b in range(len(batch)):
        for t in range(batch.lengths[b] - 1):
            alone = model.score(row(batch, b, t + 1))[0]
            at_once = (queries[b, t] @ table.T + bias).detach().numpy()
            np.testing.assert_allclose(at_once, alone, atol=1e-5)


@pytest.mark.parametrize("case", LEAK_FREE)
def test_later_clicks_and_times_leave_earlier_rows_bit_identical(case):
    model = small_asars(CASES[case])
    assert model.capabilities.leaky is None
    reads = model.requires(model.config)
    rng = np.random.default_rng(1)
    items = torch.from_numpy(rng.integers(1, N + 1, (17, 8)))
    inputs = {}
    if "times" in reads:
        inputs["gaps"] = torch.from_numpy(rng.uniform(0, 100, (17, 8)).astype(np.float32))
        inputs["waited"] = torch.zeros(17, 8)
    if "users" in reads:
        inputs["users"] = torch.from_numpy(rng.integers(0, USERS + 1, 17))
    with torch.no_grad():
        before = model.encoder(items, **inputs)
        for t in range(1, 8):
            other = items.clone()
            other[:, t:] = other[:, t:] % N + 1
            assert torch.equal(model.encoder(other, **inputs)[:, :t], before[:, :t])
            if "times" in reads:
                later = inputs["gaps"].clone()
                later[:, t:] += 35.0
                moved = model.encoder(items, **(inputs | {"gaps": later}))
                assert torch.equal(moved[:, :t], before[:, :t])
                if t < 7:  # what a later row does know
                    assert not torch.equal(moved[:, t + 1 :], before[:, t + 1 :])


@pytest.mark.parametrize("variant", ["time_att", "time_cat", "time_user"])
def test_oracle_reads_the_time_to_the_target_and_is_labeled_leaky(variant):
    model = small_asars({"variant": variant, "gap": "oracle"})
    assert model.capabilities.leaky == "time to the target"
    soon, late = (row(drawn_batch(), 0, 5) for _ in range(2))
    late.time_since_last_click[0] = (
        soon.time_since_last_click[0] + 40.0 if soon.time_since_last_click[0] < 20 else 0.0
    )
    assert not np.array_equal(model.score(soon), model.score(late))


@pytest.mark.parametrize("variant", ["time_att", "time_cat", "time_user"])
def test_time_since_the_last_click_matters_for_elapsed_only(variant):
    for gap, moves in (("elapsed", True), ("causal", False)):
        model = small_asars({"variant": variant, "gap": gap})
        now, later = row(drawn_batch(), 0, 5), row(drawn_batch(), 0, 5)
        now.time_since_last_click[0], later.time_since_last_click[0] = 0.0, 55.0
        assert np.array_equal(model.score(now), model.score(later)) != moves


def test_users_without_training_sessions_equal_the_unknown_user(model):
    if "users" not in model.requires(model.config):
        pytest.skip("reads no users")
    batch = drawn_batch()
    batch.users[:] = 3  # not seen
    unseen = model.score(batch)
    batch.users[:] = 0
    np.testing.assert_array_equal(unseen, model.score(batch))
    batch.users[:] = 1
    assert not np.array_equal(unseen, model.score(batch))
    anonymous = SessionBatch(
        batch.items, batch.lengths, batch.gaps, None, batch.time_since_last_click
    )
    np.testing.assert_array_equal(unseen, model.score(anonymous))


def test_missing_times_equal_unknown_gaps(model):
    batch = drawn_batch()
    timeless = SessionBatch(batch.items, batch.lengths, None, batch.users)
    unknown = SessionBatch(
        batch.items, batch.lengths, np.full_like(batch.gaps, np.nan), batch.users
    )
    np.testing.assert_array_equal(model.score(timeless), model.score(unknown))
    assert np.isfinite(model.score(timeless)).all()


def test_from_state_restores_the_model(model):
    batch = drawn_batch()
    again = ASARS.from_state(model.state(), model.config)
    np.testing.assert_array_equal(again.score(batch), model.score(batch))


def test_a_long_session_equals_its_latest_clicks():
    model = small_asars({"variant": "time_user"})
    rng = np.random.default_rng(3)
    items = rng.integers(1, N + 1, (1, 12)).astype(np.int32)
    gaps = rng.uniform(0, 100, (1, 12)).astype(np.float32)
    users = np.array([1], dtype=np.int32)
    long = SessionBatch(items, np.array([12], np.int32), gaps, users)
    cut = SessionBatch(items[:, 4:], np.array([8], np.int32), gaps[:, 4:], users)
    np.testing.assert_array_equal(model.score(long), model.score(cut))


def test_an_empty_session_scores_zero(model):
    batch = SessionBatch.from_lists([[], [3]])
    assert not model.score(batch)[0].any()


def test_triangle_softmax_by_hand():
    energy = torch.log(torch.tensor([[[1.0, 2.0, 7.0]]]))
    own_energy = torch.log(torch.tensor([[5.0, 3.0, 1.0]]))
    expected = [[1, 0, 0], [1 / 4, 3 / 4, 0], [1 / 4, 2 / 4, 1 / 4]]
    torch.testing.assert_close(triangle_softmax(energy, own_energy)[0], torch.tensor(expected))


def test_triangle_softmax_of_rows_by_hand():
    energy = torch.log(torch.tensor([[[9.0, 9.0], [3.0, 9.0]]]))
    own_energy = torch.log(torch.tensor([[5.0, 1.0]]))
    expected = torch.tensor([[[1, 0], [3 / 4, 1 / 4]]])
    torch.testing.assert_close(triangle_softmax(energy, own_energy), expected)


def test_the_initial_item_vectors_have_the_published_deviation_or_norm_one():
    for item_init, deviation in (("narrow", 1 / 64), ("unit", 1 / 8)):
        torch.manual_seed(0)
        model = ASARS(ASARSConfig(item_init=item_init), 2000, DATASET_INFO)
        weights = model.encoder.items.weight[1:]
        assert weights.std().item() == pytest.approx(deviation, rel=0.01)
        assert not model.encoder.items.weight[0].any()


def test_attention_by_the_user_falls_back_to_the_state_without_users():
    by_user, by_state = (
        small_asars({"variant": "time_att", "attend": attend}) for attend in ("user", "state")
    )
    batch = drawn_batch()
    np.testing.assert_array_equal(by_user.score(batch), by_state.score(batch))
    known = small_asars({"variant": "time_user", "attend": "user"})
    assert known.state()["key.weight"].shape == (3, 5)


def test_users_and_times_are_dropped_in_training_only():
    model = small_asars({"variant": "time_user", "user_dropout": 1.0, "time_dropout": 1.0})
    batch = drawn_batch()
    known = full_pass(model, batch)
    model.encoder.train()
    model.encoder.dropout.p = 0.0
    hidden = full_pass(model, batch)
    model.encoder.eval()
    batch.users[:] = 0
    batch.gaps[:, 1:] = np.nan
    torch.testing.assert_close(hidden, full_pass(model, batch))
    assert not torch.allclose(hidden, known)
