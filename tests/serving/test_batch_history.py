"""Earlier sessions of the users of a table: batch = single = served, and from a store."""

import numpy as np
import polars as pl
import pytest
from test_request_history import artifact  # noqa: F401  # a fixture
from test_visitor_history import LOG, histories
from typer.testing import CliRunner

from nextclick import BatchOptions, ItemRules, Recommender, prepare, recommend_frame, train
from nextclick.cli.main import app as command_line
from nextclick.errors import ConfigError, StoreError
from nextclick.experiments import session_spool
from nextclick.experiments.user_sessions import user_sessions
from serving_cases import Client, make_app
from small_shop import make_store

ORIGIN = 1_500_000_000_000  # milliseconds; the times of LOG are seconds on any clock
TABLE = pl.DataFrame(
    {
        "session": [session for _, session, _, _ in LOG],
        "item": [item for _, _, item, _ in LOG],
        "user": [None if user is None else str(user) for user, *_ in LOG],
        "time": [ORIGIN + round(1000 * time) for *_, time in LOG],
    }
)
K = 10


def last_of_each_session():
    """Clicks and history of each session of LOG after its last click, by the id of the session."""
    return {session: (clicks, known) for session, _, _, _, clicks, known in histories()}


def offline(model):
    """The answers of single calls, by session."""
    answers = {}
    for session, (clicks, known) in last_of_each_session().items():
        (answers[session],) = model.recommend(
            [[item for item, _ in clicks]], K, times=[[at for _, at in clicks]], history=[known]
        )
    return answers


def assert_equal(frame, answers):
    assert frame["session"].unique(maintain_order=True).to_list() == list(answers)
    for session, answer in answers.items():
        rows = frame.filter(pl.col("session") == session)
        assert rows["item"].to_list() == answer.items
        found, expected = rows["score"].to_list(), answer.scores
        assert [score is None for score in found] == [score is None for score in expected]
        np.testing.assert_allclose(*(np.array(s, float) for s in (found, expected)), atol=1e-5)


@pytest.mark.parametrize("per_file", [2, 1 << 16])
def test_batch_equals_single_and_served(artifact, tmp_path, monkeypatch, per_file):  # noqa: F811
    monkeypatch.setattr(session_spool, "SESSIONS_PER_FILE", per_file)
    artifact.save(tmp_path / "model")
    model = Recommender(artifact)
    expected = offline(model)
    assert_equal(recommend_frame(model, TABLE, K), expected)
    with Client(make_app({"m": tmp_path / "model"})) as client:
        served = {}
        for user, session, item, time in LOG:
            body = {"item": item, "time": time, "user": user, "k": K}
            answer = client.post(f"/v1/sessions/{session}/events", body).json()
            served[session] = answer["recommendation"]
    for session, answer in expected.items():
        assert served[session]["items"] == answer.items
        np.testing.assert_allclose(served[session]["scores"], answer.scores, atol=1e-5)
    anonymous = recommend_frame(model, TABLE, K, options=BatchOptions(history=False))
    assert anonymous["score"].to_list() != recommend_frame(model, TABLE, K)["score"].to_list()


def test_a_row_per_session_reads_the_same_history(artifact):  # noqa: F811
    lists = TABLE.group_by("session", maintain_order=True).agg(
        "item", pl.col("user").drop_nulls().first(), "time"
    )
    model = Recommender(artifact)
    shuffled = lists.sample(fraction=1.0, shuffle=True, seed=1)
    in_order = recommend_frame(model, lists, K)
    assert_equal(in_order, offline(model))
    other = recommend_frame(model, shuffled, K).sort("session", "rank")
    assert other["item"].to_list() == in_order.sort("session", "rank")["item"].to_list()


SESSIONS = [[10, 20, 30], [20, 30], [40, 50], [10, 40, 20], [30, 10], [50, 20], [20, 40, 10]] * 3


@pytest.fixture(scope="module")
def log():
    """Two users by turns, and every third session without a user."""
    rows = [
        (n, item, 1_500_000_000 + 86_400 * n + 60 * m, (None, "ann", "bob")[n % 3])
        for n, session in enumerate(SESSIONS)
        for m, item in enumerate(session)
    ]
    return pl.DataFrame(rows, schema=["session", "item", "time", "user"], orient="row")


@pytest.fixture(scope="module")
def trained(log, tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    store = prepare(log, folder / "store").store
    config = {"history": "attention-repeat", "epochs": 1, "first_click": True, "metric": "recall@5"}
    train(store, "asars", folder / "model", config=config)
    return store, Recommender.load(folder / "model")


def test_earlier_sessions_of_a_store(trained, tmp_path):
    store, model = trained
    start = 1_500_000_000 + 86_400 * len(SESSIONS)
    table = pl.DataFrame(
        {
            "session": ["a", "b", "c", "d"],
            "item": [[10], [20, 30], [20], [40]],
            "user": ["ann", "bob", None, "zoe"],
            "time": [
                [1000 * start],
                [1000 * start, 1000 * start + 5000],
                [1000 * start],
                [1000 * start],
            ],
        }
    )
    options = BatchOptions(history_from=store.path, rules=ItemRules(exclude_seen=True))
    frame = recommend_frame(model, table, 3, options=options)
    expected = {}
    for session, items, user, times in table.rows():
        seconds = [time / 1000 for time in times]
        past = [] if user is None else user_sessions(store, user, before=seconds[0])
        assert len(past) == {"ann": 7, "bob": 7}.get(user, 0)
        (expected[session],) = model.recommend(
            [items], 3, times=[seconds], users=[user], history=[past], exclude_seen=True
        )
    assert_equal(frame, expected)
    table.write_parquet(tmp_path / "in.parquet")
    output = tmp_path / "out.parquet"
    words = ["recommend", store.path.parent / "model", "--sessions", tmp_path / "in.parquet"]
    words += ["-o", output, "--history-from", store.path, "-k", 3, "--exclude-seen"]
    done = CliRunner().invoke(command_line, [str(word) for word in words])
    assert done.exit_code == 0, done.stderr
    assert "note: 2 sessions have earlier sessions of their user" in done.stderr
    assert_equal(pl.read_parquet(output), expected)


def test_a_session_without_clicks_begins_now(trained):
    _, model = trained
    rows = {"item": [[10, 20], []], "user": ["u", "u"], "time": [[ORIGIN, ORIGIN + 3000], []]}
    table = pl.DataFrame({"session": ["a", "b"], **rows})
    begin = ORIGIN / 1000
    for now, history in [
        (begin + 60, [([10, 20], begin + 3)]),
        (None, [([10, 20], None)]),  # the age is unknown
    ]:
        (expected,) = model.recommend([[]], 3, now=now, history=[history])
        frame = recommend_frame(model, table, 3, options=BatchOptions(now=now))
        assert_equal(frame.filter(session="b"), {"b": expected})


def test_what_a_history_needs(trained, tmp_path):
    store, model = trained
    table = pl.DataFrame({"session": [1], "item": [10]})
    options = BatchOptions(history_from=store)
    with pytest.raises(ConfigError, match="history_from needs the user of each session, but the"):
        recommend_frame(model, table, 3, options=options)
    without = make_store(tmp_path / "without")
    with pytest.raises(StoreError, match="has no users or no times, so the sessions of a user"):
        recommend_frame(model, table, 3, options=BatchOptions(history_from=without))
    train(without, "pop", tmp_path / "pop")
    words = ["recommend", str(tmp_path / "pop"), "--sessions", str(tmp_path / "t.csv"), "-o",
             str(tmp_path / "o.csv"), "--history-from", str(without.path)]  # fmt: skip
    table.write_csv(tmp_path / "t.csv")
    done = CliRunner().invoke(command_line, words)
    assert "note: history_from was not used: the model reads no earlier sessions" in done.stderr
