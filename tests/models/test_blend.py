"""The blend against a slow twin and numbers by hand: candidates, scores, counts, state, updates."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from nextclick.core.array_checks import ArrayError
from nextclick.core.config import build_config
from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.core.topk import dense_top
from nextclick.core.types import SparseScores, silent
from nextclick.errors import ConfigError
from nextclick.models.blended import blend as blend_module
from nextclick.models.blended.blend import Blend, BlendConfig
from nextclick.models.blended.item_counts import ItemCounts
from nextclick.models.blended.members import Member, resolve_members
from nextclick.models.blended.top_lists import TopLists, top_lists
from nextclick.models.incremental_state import PriorSessions, scatter_rows
from reference.blend import candidate_features, log_probabilities

LISTS = [
    [1, 2, 3], [2, 3], [4, 5, 4], [1, 2], [3, 4, 5], [2, 3, 1], [6, 2], [1, 2, 3, 4], [7, 1],
    [2, 8], [8, 2, 3],
]  # fmt: skip
LOG = Sessions.from_lists(LISTS, 9)
SESSIONS = [[2], [1, 2], [4, 4, 5], [9], [3, 2, 3], [], [7, 8, 1, 2]]
WEIGHTS = {"session-knn": [0.8, -1.0], "bpr-mf": [0.5, -0.7], "pop": [0.2, -0.1]}
OF_REST = [0.3, -0.4, 0.6, 0.35, 0.2, -0.15, -0.25]


def make_blend(members="session-knn,bpr-mf@factors=4", log=LOG, weights=None, **values):
    config = build_config(
        BlendConfig, {"members": members, "candidates": 3, "trending": 2, **values}, "blend"
    )
    models = [
        member.model_type.fit(log, member.config, seed=0, progress=silent)
        for member in resolve_members(config.members)
    ]
    names = [member.model for member in resolve_members(config.members)]
    own = [w for name in names for w in WEIGHTS[name]] + OF_REST
    return Blend(
        config, models, ItemCounts.from_sessions(log), np.array(own if weights is None else weights)
    )


def twin_scores(blend, session):
    """Item to score of the candidates.

    The newest tenth of the sessions of LOG are the last two, the other windows the last one.
    """
    newest, last = [Sessions.from_lists(LISTS[-n:], 9).support() for n in (2, 1)]
    trending = sorted(range(1, 10), key=lambda i: (-last[i], -newest[i], -LOG.support()[i], i))
    features = candidate_features(
        blend.members,
        [member.capabilities.sparse_scores for member in blend.members],
        session,
        blend.config.candidates,
        [newest, last, last, LOG.support()],
        trending[: blend.config.trending],
    )
    return log_probabilities(features, blend.weights)


# lists and features


def test_log_ratios_of_votes_and_of_logits():
    lists = TopLists.join(
        [
            (np.array([4, 2], np.int32), np.array([6.0, 2.0], np.float32)),
            (np.empty(0, np.int32), np.empty(0, np.float32)),
            (np.array([1], np.int32), np.array([5.0], np.float32)),
        ]
    )
    np.testing.assert_allclose(lists.log_ratios(votes=True), [math.log(3), 0.0, 0.0])
    np.testing.assert_allclose(lists.log_ratios(votes=False), [4.0, 0.0, 0.0])
    assert len(TopLists.join([]).log_ratios(votes=True)) == 0


def test_lists_of_dense_and_sparse_scores_are_equal():
    rng = np.random.default_rng(0)
    base = np.zeros(8, dtype=np.float32)
    dense = np.tile(base, (5, 1))
    dense[:, 1:] = rng.integers(0, 3, (5, 7))
    items = [np.flatnonzero(row).astype(np.int32) for row in dense]
    sparse = SparseScores(
        np.cumsum([0, *map(len, items)]),
        np.concatenate(items),
        np.concatenate([row[i] for row, i in zip(dense, items, strict=True)]),
        base,
    )
    for one, other in zip(top_lists(dense, 4), top_lists(sparse, 4), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_features_of_one_session_by_hand():
    blend = make_blend(
        "pop", candidates=2, trending=0
    )  # clicks: 2 eight times, 3 six times, 1 five times
    batch = SessionBatch.from_lists([[4, 1, 4]])
    candidates = blend.candidates(blend.member_lists(batch), batch)
    assert candidates.items.tolist() == [1, 2, 3, 4]
    expected = {
        "pop: score": [0.0, math.log(8 / 6), 0.0, 0.0],
        "pop: absent": [1.0, 0.0, 0.0, 1.0],
        "in the session": [1.0, 0.0, 0.0, 1.0],
        "last click": [0.0, 0.0, 0.0, 1.0],
        "times clicked in the session": [math.log(2), 0.0, 0.0, math.log(3)],
        # the newest tenth of 11 sessions are the last two: [2, 8] and [8, 2, 3]
        "clicks in the newest tenth": [0.0, math.log(3), math.log(2), 0.0],
        # the other windows are the last session
        "clicks in the newest hundredth": [0.0, math.log(2), math.log(2), 0.0],
        "clicks in the newest thousandth": [0.0, math.log(2), math.log(2), 0.0],
        "clicks in all": [math.log(6), math.log(9), math.log(7), math.log(5)],
    }
    assert blend.feature_names == list(expected)
    np.testing.assert_allclose(candidates.features, list(expected.values()))


# scores


@pytest.mark.parametrize("members", ["session-knn", "session-knn,bpr-mf@factors=4", "bpr-mf,pop"])
def test_scores_equal_the_slow_twin(members):
    blend = make_blend(members)
    sparse = blend.score_sparse(SessionBatch.from_lists(SESSIONS))
    for b, session in enumerate(SESSIONS):
        first, stop = sparse.offsets[b : b + 2]
        actual = dict(
            zip(sparse.items[first:stop].tolist(), sparse.values[first:stop], strict=True)
        )
        expected = twin_scores(blend, session)
        assert actual == pytest.approx(expected, abs=1e-5)
        assert sum(math.exp(value) for value in actual.values()) == pytest.approx(
            float(bool(actual)), abs=1e-6
        )


def test_a_session_has_the_same_scores_alone_and_in_a_batch_bit_for_bit(monkeypatch):
    blend = make_blend("session-knn,pop")
    together = blend.score(SessionBatch.from_lists(SESSIONS))
    for b, session in enumerate(SESSIONS):
        np.testing.assert_array_equal(
            blend.score(SessionBatch.from_lists([session]))[0], together[b]
        )
    dense = make_blend()
    whole = dense.score(SessionBatch.from_lists(SESSIONS))
    monkeypatch.setattr(blend_module, "_SCORES_PER_BLOCK", 1)  # one row at a time
    np.testing.assert_array_equal(dense.score(SessionBatch.from_lists(SESSIONS)), whole)


def test_other_items_rank_below_the_candidates_by_clicks():
    blend = make_blend("session-knn", weights=[-900.0, 300.0, *OF_REST])  # extreme weights
    ranked = dense_top(blend.score(SessionBatch.from_lists(SESSIONS)), 9)
    for items, session in zip(ranked.tolist(), SESSIONS, strict=True):
        n = len(twin_scores(make_blend("session-knn"), session))
        rest = [item for item in items[n:] if item]
        order = sorted(rest, key=lambda item: (-LOG.support()[item], item))
        assert rest == order


def test_trending_items_are_candidates_of_every_session():
    blend = make_blend("session-knn")  # the last session has 2, 3 and 8, the one before 2 and 8
    assert set(twin_scores(blend, [9])) == {2, 8, 9}
    assert blend.score_sparse(SessionBatch.from_lists([[]])).items.tolist() == [2, 8]
    assert (
        len(make_blend("pop", features="repeats").score_sparse(SessionBatch.from_lists([[]])).items)
        == 3
    )


def test_an_empty_session_ranks_all_items_by_clicks():
    scores = make_blend("session-knn", trending=0).score(SessionBatch.from_lists([[]]))
    assert dense_top(scores, 4)[0].tolist() == [2, 3, 1, 4]


def test_contributions_add_up_to_the_scores_and_name_the_member():
    blend = make_blend()
    batch = SessionBatch.from_lists([[1, 2]])
    candidates = sorted(twin_scores(blend, [1, 2]))
    outside = next(item for item in range(1, 10) if item not in candidates)
    items = np.array([*candidates, outside], dtype=np.int32)
    parts = blend.explain(batch, items).parts
    total = parts.clicks.sum(axis=1) + sum(parts.rest.values())
    np.testing.assert_allclose(total, blend.score(batch)[0, items], rtol=1e-6, atol=1e-5)
    listed = parts.rest["session-knn: absent"] == 0
    own = top_lists(blend.members[0].score_sparse(batch), 3)
    assert set(items[listed].tolist()) - {outside} == set(own.items.tolist())
    assert parts.rest["no candidate: rank by clicks"][-1] == blend.base[outside]


def test_evidence_of_the_members_is_part_of_the_explanation():
    why = make_blend().explain(SessionBatch.from_lists([[1, 2]]), np.array([3], dtype=np.int32))
    assert why.neighbors


# counts


def test_updated_counts_equal_those_of_both_logs():
    index = np.array([0, 2, 4, 5], dtype=np.int32)
    rng = np.random.default_rng(0)
    for n_old, n_new in ((1, 1), (5, 40), (40, 3), (25, 25)):
        older, newer = (
            Sessions.from_lists([rng.integers(0, n + 1, 3).tolist() for _ in range(size)], n)
            for size, n in ((n_old, 3), (n_new, 6))
        )
        past = PriorSessions(
            index, 6, n_old, scatter_rows(older.support(), index, 6), older.remap_items(index, 6)
        )
        updated = ItemCounts.from_sessions(older).update(newer, past).state()
        joint = ItemCounts.from_sessions(past.concatenate(newer)).state()
        for name, array in joint.items():
            np.testing.assert_array_equal(updated[name], array, err_msg=name)


def test_an_exact_update_is_the_blend_of_both_logs_with_the_same_weights():
    blend = make_blend("session-knn,pop")
    assert blend.capabilities.update == "exact"
    newer = Sessions.from_lists([[1, 9, 2], [9, 4]], 9)
    past = PriorSessions(np.arange(10, dtype=np.int32), 9, len(LOG), LOG.support(), LOG)
    updated = blend.update_exactly(newer, past, progress=silent)
    joint = make_blend("session-knn,pop", LOG.concatenate(newer))
    for name, array in joint.state().items():
        np.testing.assert_array_equal(updated.state()[name], array, err_msg=name)


# members


def test_capabilities_and_requirements_are_those_of_the_members():
    config = build_config(BlendConfig, {"members": "session-knn,asars,item-knn"}, "blend")
    capabilities = Blend.capabilities_of(config)
    assert capabilities.update == "by-member"
    assert capabilities.needs_sessions
    assert capabilities.attention
    assert not capabilities.deterministic
    assert Blend.requires(config) == {"times", "users"}
    leaky = build_config(BlendConfig, {"members": "pop,asars@gap=oracle"}, "blend")
    assert Blend.capabilities_of(leaky).leaky
    counting = build_config(BlendConfig, {"members": "session-knn,pop"}, "blend")
    assert Blend.capabilities_of(counting).deterministic


def test_members_have_the_parameters_of_their_preset_and_text():
    member = Member.parse("narm@global+hidden_width=8+epochs=3")
    assert member.parameters["variant"] == "global"
    assert member.parameters["hidden_width"] == 8
    assert "epochs" not in member.parameters


def test_a_config_is_the_same_after_a_manifest():
    config = BlendConfig(members=resolve_members(["narm@global", "pop"]))
    assert build_config(BlendConfig, asdict(config), "blend") == config


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ("", "members must name at least one model"),
        ("pop,pop", "members must name each model once, got pop twice"),
        ("pop,blend", "members must not be blends themselves, got blend"),
        ("pop,tasrec", "must not be updated block by block, as tasrec is"),
        ("narm@nothing", "members: narm has no preset 'nothing'"),
        ("pop@nothing", "members: pop has no preset 'nothing': it has none"),
        ("narm@global+local", "names two presets, global and local"),
        ("nram", "there is no model 'nram'"),
    ],
)
def test_invalid_members(members, message):
    with pytest.raises(ConfigError, match=message):
        resolve_members(build_config(BlendConfig, {"members": members}, "blend").members)


# state


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("weights", np.zeros(3), "weights must have 11 rows"),
        ("weights", np.zeros(11, np.float32), "weights must be float64"),
        ("weights", np.full(11, np.nan), "weights has a value that is not finite"),
        ("support", np.full(10, 5), "support must begin with 0 for padding, got 5"),
        ("newest.items", np.full(5, 10, np.int32), "newest.items must be in 0..9"),
        ("newest.offsets", np.zeros(2, np.int64), "newest.offsets must ascend from 0 to 5"),
        ("members.1.popularity", np.zeros(3, np.float32), "member 1, pop: popularity must have"),
    ],
)
def test_a_damaged_state_is_rejected(name, array, message):
    blend = make_blend("session-knn,pop")
    Blend.check_state(blend.state(), blend.config, 9)
    with pytest.raises(ArrayError, match=message):
        Blend.check_state({**blend.state(), name: array}, blend.config, 9)


def test_a_missing_array_of_a_member_is_named():
    blend = make_blend("session-knn,pop")
    state = blend.state()
    del state["members.0.item_sessions"]
    with pytest.raises(ArrayError, match="member 0, session-knn: 'item_sessions' is missing"):
        Blend.check_state(state, blend.config, 9)


def test_members_of_another_catalog_are_rejected():
    blend = make_blend("session-knn,pop")
    state = {**blend.state(), "members.1.popularity": np.zeros(4, np.float32)}
    with pytest.raises(ArrayError, match="member 1, pop, scores 3 items, the blend has 9"):
        Blend.from_state(state, blend.config)
