"""ASARS with the earlier sessions of the visitor: equations, leaks, and visitors without any."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nextclick.batches.prefixes import prefix_blocks
from nextclick.batches.session_order import SessionOrder
from nextclick.core.session_batch import SessionBatch
from nextclick.core.session_history import SessionHistory
from nextclick.core.sessions import Sessions
from nextclick.models.dataset_info import DatasetInfo
from nextclick.models.neural.asars import ASARS, ASARSConfig
from nextclick.models.ops.earlier_sessions import history_inputs
from nextclick.models.ops.gap_bins import GapBins
from nextclick.models.ops.history_arrays import age_rows, dwell_rows
from nextclick.training.encoder_inputs import EncoderInputs
from reference.neural_cases import spread_weights

N = 9
DATASET_INFO = DatasetInfo(np.array([False, True, True, False, True]), GapBins(10.0, 6))
SMALL = {"item_width": 4, "gap_width": 3, "user_width": 3, "hidden_width": 5, "max_length": 8}
FORMS = ("attention", "repeat", "attention-repeat", "state", "all")
CASES = {
    **{f"time_att {form}": {"variant": "time_att", "history": form} for form in FORMS},
    "time_user gru": {"variant": "time_user", "history": "all", "cell": "gru", "readout": "both"},
    "user_cat": {"variant": "user_cat", "history": "all"},
    "time_cat": {"variant": "time_cat", "history": "all"},
    "drift": {"variant": "user_att", "history": "state", "drift": True},
    "drift over sessions": {"variant": "user_cat", "history_drift": True},
    "both drifts": {"variant": "time_user", "history": "all", "drift": True, "history_drift": True},
    "dwell": {"variant": "time_att", "history": "repeat", "history_dwell": True},
    "deviation": {"variant": "user_cat", "history_deviation": True},
    "chain": {"variant": "time_att", "history_chain": "carried"},
    "cut chain": {"variant": "time_cat", "cell": "gru", "history_chain": "cut"},
    "chain and all": {
        "variant": "time_user",
        "history": "all",
        "history_chain": "carried",
        "history_drift": True,
        "history_deviation": True,
        "cell": "gru",
    },
}
HOUR = 3600.0
# two rows share nothing; row 2 has none; the second session of row 3 has no known click
HISTORY = SessionHistory.from_lists(
    [
        [
            ([3, 1, 3], 30 * HOUR, np.array([5, 70, np.nan], np.float32)),
            ([2, 5], 1.5 * HOUR, np.array([3, np.nan], np.float32)),
        ],
        [([7], np.nan)],
        [],
        [([4, 4, 4, 4], 90 * HOUR), ([], 2 * HOUR)],
    ]
)


def small_asars(values):
    torch.manual_seed(0)
    model = spread_weights(ASARS(ASARSConfig(**SMALL, **values), N, DATASET_INFO))
    if model.config.history_parts & {"drift", "deviation"}:
        torch.nn.init.constant_(model.encoder.speed.weight[:1], 0.5)  # of an unknown user
    return model


def batch_of(history=HISTORY, T=6, seed=0):
    rng = np.random.default_rng(seed)
    B = len(history)
    gaps = rng.uniform(0, 100, (B, T)).astype(np.float32)
    gaps[:, 0] = 0.0
    return SessionBatch(
        items=rng.integers(1, N + 1, (B, T)).astype(np.int32),
        lengths=np.full(B, T, dtype=np.int32),
        gaps=gaps,
        users=rng.integers(0, 5, B).astype(np.int32),
        history=history,
    )


def all_prefix_scores(model, batch):
    """(B, T, N + 1) scores of all prefixes from one pass."""
    items, _, inputs = model._encoder_inputs(batch, np.arange(len(batch)))
    B, T = items.shape
    model.encoder.eval()
    with torch.no_grad():
        queries = model.encoder(items, **inputs).flatten(0, 1)
        table, bias = model.encoder.table()
        scores = queries @ table.T + bias
        additions = model.encoder.additions(queries, torch.arange(B * T) // T, inputs)
        if additions is not None:
            scores[additions.rows, additions.items] += additions.values
    return scores.view(B, T, -1).numpy()


def prefixes_of(batch, length):
    return SessionBatch(
        batch.items[:, :length],
        np.full(len(batch), length, dtype=np.int32),
        batch.gaps[:, :length],
        batch.users,
        history=batch.history,
    )


@pytest.fixture(params=CASES)
def model(request):
    return small_asars(CASES[request.param])


def test_one_pass_equals_prefix_by_prefix(model):
    batch = batch_of()
    at_once = all_prefix_scores(model, batch)
    for t in range(6):
        alone = model.score(prefixes_of(batch, t + 1))
        np.testing.assert_allclose(at_once[:, t], alone, atol=1e-5)


def test_later_clicks_leave_earlier_rows_unchanged(model):
    batch = batch_of()
    before = all_prefix_scores(model, batch)
    for t in range(1, 6):
        items = batch.items.copy()
        items[:, t:] = items[:, t:] % N + 1
        after = all_prefix_scores(model, replace(batch, items=items))
        np.testing.assert_array_equal(after[:, :t], before[:, :t])


def test_rows_read_their_own_history_only(model):
    batch = batch_of()
    scores = model.score(batch)
    for b in range(len(batch)):
        np.testing.assert_allclose(model.score(batch.take([b]))[0], scores[b], atol=1e-5)
    shared = replace(batch, history=HISTORY.take(np.zeros(4, dtype=np.int64)))
    assert not np.allclose(model.score(shared)[2], scores[2])


def test_a_visitor_without_a_history_equals_one_with_an_empty_history(model):
    batch = batch_of()
    anonymous = model.score(replace(batch, history=None))
    np.testing.assert_array_equal(
        anonymous, model.score(replace(batch, history=SessionHistory.empty(4)))
    )
    scores = model.score(batch)
    np.testing.assert_allclose(anonymous[2], scores[2], atol=1e-6)
    assert not np.allclose(anonymous[0], scores[0])


def test_only_the_declared_number_of_earlier_sessions_is_read(model):
    declared = model.capabilities
    assert declared.earlier_sessions == 10
    assert "history" in model.requires(model.config)
    values = {"history_sessions": 1, "history": "all", "variant": "time_att"}
    reads_one = small_asars(values)
    batch = batch_of()
    np.testing.assert_array_equal(
        reads_one.score(batch), reads_one.score(replace(batch, history=HISTORY.latest(1)))
    )


def test_scores_are_no_products_with_repeats():
    for form in FORMS:
        model = small_asars({"history": form, "variant": "time_att"})
        assert model.capabilities.product_scores == (form in ("attention", "state"))
    plain = small_asars({"variant": "time_att"})
    assert plain.capabilities.earlier_sessions == 0
    assert "history" not in plain.requires(plain.config)


def test_the_summaries_are_attended_by_state_and_age():
    model = small_asars({"variant": "user_cat", "history": "attention"})
    state = model.state()
    batch = batch_of().take([0])
    items, _, inputs = model._encoder_inputs(batch, np.arange(1))
    with torch.no_grad():
        hidden, _ = model.encoder.rnn(model.encoder.items(items))
        got = model.encoder(items, **inputs)[0, -1].numpy()
    h, E = hidden[0, -1].numpy(), state["items.weight"]
    summaries = [E[[3, 1, 3]].mean(0), E[[2, 5]].mean(0)]
    ages = [6, 2]  # 16 to 32 hours; 1 to 2 hours
    energies = [0.0] + [
        h @ (state["earlier.key.weight"] @ m + state["earlier.age.weight"][age]) / np.sqrt(5)
        for m, age in zip(summaries, ages, strict=True)
    ]
    beta = np.exp(energies) / np.exp(energies).sum()
    user = state["users.weight"][batch.users[0] if state["seen_users"][batch.users[0]] else 0]
    features = np.concatenate([h, user, beta[1] * summaries[0] + beta[2] * summaries[1]])
    np.testing.assert_allclose(got, state["output.weight"] @ features, atol=1e-5)


def test_repeated_items_add_to_the_score_by_count_and_age():
    model = small_asars({"variant": "time_att", "history": "repeat"})
    state, batch = model.state(), batch_of()
    queries = model.queries(batch)
    added = model.score(batch) - (queries @ state["items.weight"].T + state["bias"])
    expected = np.zeros_like(added)
    # clicks on an item, and the row of the age of the latest session with it
    clicked = {0: {3: (2, 6), 1: (1, 6), 2: (1, 2), 5: (1, 2)}, 1: {7: (1, 0)}, 3: {4: (3, 8)}}
    for b, items in clicked.items():
        for item, (count, age) in items.items():
            expected[b, item] = (
                state["repeated.count.weight"][count, 0]
                + state["repeated.age.weight"][age, 0]
                + state["repeated.read.weight"][0] @ queries[b]
            )
    np.testing.assert_allclose(added, expected, atol=1e-5)


def test_the_dwell_time_of_the_latest_click_on_an_item_adds_to_its_score():
    """By hand: item 3 is clicked last in its session, 1 for 70 s, 2 for 3 s, 5 last."""
    values = {"variant": "time_att", "history": "repeat"}
    without, model = small_asars(values), small_asars(values | {"history_dwell": True})
    batch, weight = batch_of(), model.state()["repeated.dwell.weight"][:, 0]
    shared = without.state()
    weights = {name: torch.from_numpy(array) for name, array in shared.items()}
    model.encoder.load_state_dict(weights, strict=False)
    expected = without.score(batch)
    rows = {0: {3: 0, 1: 6, 2: 1, 5: 0}, 1: {7: 0}, 3: {4: 0}}
    for b, items in rows.items():
        for item, row in items.items():
            expected[b, item] += weight[row]
    np.testing.assert_allclose(model.score(batch), expected, atol=1e-5)


def test_rows_of_dwell_times():
    seconds = [np.nan, 0, 3.9, 4, 7.9, 8, 64, 2047, 2048, 1e6]
    expected = [0, 1, 1, 2, 2, 3, 6, 10, 11, 11]
    assert dwell_rows(np.array(seconds, dtype=np.float32)).tolist() == expected


def test_the_profile_drifts_over_the_earlier_sessions():
    model = small_asars({"variant": "user_cat", "history_drift": True})
    encoder, batch = model.encoder, batch_of()
    _, _, inputs = model._encoder_inputs(batch, np.arange(4))
    hidden = torch.zeros(4, 1, 5)
    with torch.no_grad():
        got = encoder._profile(inputs["users"], hidden, inputs["history"])[:, 0]
        users = torch.where(encoder.seen_users[inputs["users"]], inputs["users"], 0)
        E, cell = encoder.items.weight, encoder.drifted.cell
        state = torch.zeros(1, 5)
        for clicks, age in (([3, 1, 3], 6), ([2, 5], 2)):  # from the oldest session
            read = E[clicks].mean(0) + encoder.drifted.age.weight[age]
            state = cell(read[None], state)
        drift = encoder.speed.weight[users[0]] * (encoder.drifted.evolution.weight @ state[0])
        torch.testing.assert_close(got[0], encoder.users.weight[users[0]] + drift)
        torch.testing.assert_close(got[2], encoder.users.weight[users[2]])  # no earlier session


def test_a_variant_without_users_has_no_profile_that_drifts():
    model = small_asars({"variant": "time_att", "history_drift": True})
    assert model.requires(model.config) == {"times"}


def test_an_item_of_two_sessions_has_the_age_of_the_later_one():
    history = SessionHistory.from_lists([[([1, 2], 30 * HOUR), ([1], 1.5 * HOUR)]])
    inputs = history_inputs(history)
    assert inputs.pair_items.tolist() == [1, 2]
    assert inputs.pair_counts.tolist() == [2, 1]
    assert inputs.pair_ages.tolist() == [2, 6]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_state_of_the_latest_session_is_decayed_by_its_age(cell):
    model = small_asars({"variant": "user_cat", "history": "state", "cell": cell})
    encoder, batch = model.encoder, batch_of()
    _, _, inputs = model._encoder_inputs(batch, np.arange(4))
    with torch.no_grad():
        got = encoder._initial_state(inputs["history"])
        decay = torch.sigmoid(encoder.carried.decay.weight)
        for b, (clicks, age) in {0: ([2, 5], 2), 1: ([7], 0)}.items():
            _, final = encoder.rnn(encoder.items(torch.tensor([clicks])))
            states = zip(got, final, strict=True) if cell == "lstm" else [(got, final)]
            for found, state in states:
                torch.testing.assert_close(found[0, b], decay[age] * state[0, 0])
    for state in got if cell == "lstm" else [got]:
        assert not state[0, 2:].any()  # no session, and one without known clicks


def test_rows_of_ages():
    hours = [np.nan, -1, 0, 0.99, 1, 1.99, 2, 4, 24, 8191, 8192, 1e9]
    expected = [0, 1, 1, 1, 2, 2, 3, 4, 6, 14, 15, 15]
    assert age_rows(np.array(hours, dtype=np.float32) * 3600).tolist() == expected


def returning_log(n=60, seed=0):
    """Sessions of 3 users and of anonymous visitors; some overlap."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 6, n)
    starts = np.sort(rng.integers(0, 400_000, n)) * 1000
    times = [
        start + np.cumsum(rng.integers(1, 9000, k)) * 1000
        for start, k in zip(starts, lengths, strict=True)
    ]
    order = np.argsort([t[-1] for t in times], kind="stable")
    items = [rng.integers(1, N + 1, k).tolist() for k in lengths]
    log = Sessions.from_lists([items[s] for s in order], n_items=N)
    return replace(
        log,
        times=np.concatenate([times[s] for s in order]).astype(np.int64),
        users=rng.integers(0, 4, n).astype(np.int32),
        n_users=4,
    )


def trained_scores(model, log):
    """The scores of every target's prefix, by (session, position), from a training batch."""
    order = SessionOrder(log, batch_size=10**6, max_length=8, seed=0, shuffle=False)
    batch, context = EncoderInputs(model, log).build(order.plan(0)[0], np.random.default_rng(0))
    T = batch.items.shape[1]
    keys = zip(
        batch.session[batch.where // T].tolist(), (batch.where % T + 1).tolist(), strict=True
    )
    return dict(zip(keys, scores_of_batch(model, batch, context), strict=True))


def scores_of_batch(model, batch, context):
    """(P, N + 1) scores of the targets' prefixes of a training batch."""
    inputs = {
        name: value if name == "history" else torch.from_numpy(np.asarray(value))
        for name, value in context.items()
    }
    model.encoder.eval()
    with torch.no_grad():
        queries = model.encoder(torch.from_numpy(batch.items), **inputs).flatten(0, 1)
        queries = queries[batch.where]
        table, bias = model.encoder.table()
        scores = queries @ table.T + bias
        rows = torch.from_numpy(batch.where // batch.items.shape[1])
        additions = model.encoder.additions(queries, rows, inputs)
        if additions is not None:
            scores[additions.rows, additions.items] += additions.values
    return scores.numpy()


def evaluated_scores(model, log):
    found = {}
    for block in prefix_blocks(
        log, mode="all", max_length=None, max_cells=40, n_rows=9,
        earlier_sessions=model.capabilities.earlier_sessions,
    ):  # fmt: skip
        keys = zip(block.session.tolist(), block.position.tolist(), strict=True)
        found |= dict(zip(keys, model.score(block.batch), strict=True))
    return found


TRAINED = {"variant": "time_user", "history": "all", "user_dropout": 0.0, "time_dropout": 0.0}
TRAINED |= {"history_dwell": True, "history_drift": True}


CHAINED = TRAINED | {"history_deviation": True, "history_chain": "carried", "cell": "gru"}


@pytest.mark.parametrize("values", [TRAINED, CHAINED])
def test_training_and_evaluation_read_the_same_history(values):
    model = small_asars(values)
    log = returning_log()
    trained, evaluated = trained_scores(model, log), evaluated_scores(model, log)
    assert trained.keys() == evaluated.keys()
    for key, scores in trained.items():
        np.testing.assert_allclose(scores, evaluated[key], atol=1e-5)
    anonymous = evaluated_scores(model, replace(log, users=np.zeros_like(log.users)))
    differing = [key for key in trained if not np.allclose(anonymous[key], evaluated[key])]
    assert len(differing) > 50


@pytest.mark.parametrize("values", [TRAINED, CHAINED])
@pytest.mark.parametrize("scores_of", [trained_scores, evaluated_scores])
def test_a_later_session_never_changes_an_earlier_answer(scores_of, values):
    model = small_asars(values)
    log = returning_log()
    before = scores_of(model, log)
    starts = log.times[log.offsets[:-1]]
    for cut in (20, 40):
        moment = log.times[log.offsets[cut + 1] - 1]  # the end of session `cut`
        items = log.items.copy()
        for s in range(cut, len(log)):
            items[log.offsets[s] : log.offsets[s + 1]] = (
                items[log.offsets[s] :][: log.lengths()[s]] % N + 1
            )
        times = log.times + 1000 * np.repeat(np.arange(len(log)) >= cut, log.lengths())
        after = scores_of(model, replace(log, items=items, times=times))
        for (session, position), scores in before.items():
            if session < cut and starts[session] <= moment:
                np.testing.assert_allclose(after[session, position], scores, atol=1e-6)


def test_a_share_of_training_rows_reads_no_history():
    log = returning_log()
    order = SessionOrder(log, batch_size=10**6, max_length=8, seed=0, shuffle=False)
    for share, least, most in ((0.0, 40, 60), (1.0, 0, 0)):
        model = small_asars({"history": "all", "variant": "time_att", "user_dropout": share})
        inputs = EncoderInputs(model, log).build(order.plan(0)[0], np.random.default_rng(0))[1]
        with_history = np.count_nonzero(inputs["history"].slots[:, 0].numpy())
        assert least <= with_history <= most
