"""Recommendations for a table of sessions: equal to those of single calls, whole or not at all."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from nextclick import BatchOptions, ItemRules, ReadOptions, Recommender, train
from nextclick.artifact import Artifact
from nextclick.core.vocabulary import Vocabulary
from nextclick.data.readers.columns import Columns
from nextclick.errors import ConfigError, EmptyLogError, OutputError, SourceError
from nextclick.experiments import session_spool
from nextclick.experiments.batch_recommendation import recommend_file, recommend_frame
from nextclick.experiments.raw_id_index import RawIdIndex
from nextclick.models.dataset_info import DatasetInfo
from nextclick.models.neural.asars import ASARS, ASARSConfig
from nextclick.models.ops.gap_bins import GapBins
from nextclick.serving import batch_scoring
from reference.neural_cases import spread_weights
from small_shop import make_store

START = 1_500_000_000.0
# 999 is unknown to the models
TABLE = [[10, 20], [], [999], [30, 999, 40], [50], [10, 20, 30, 10], [40, 40]] * 30


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("batch") / "store")


@pytest.fixture(scope="module", params=["session-knn", "markov", "pop", "s-pop", "rules"])
def recommender(request, store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    train(store, request.param, folder)
    return Recommender.load(folder)


@pytest.fixture(scope="module")
def knn(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("knn") / "model"
    train(store, "session-knn", folder)
    return Recommender.load(folder)


TWO = BatchOptions(k=2)


def timed_artifact(users):
    """A model that reads the gaps, the moment of prediction and the user."""
    torch.manual_seed(0)
    config = ASARSConfig(
        variant="time_user", gap="elapsed", item_width=6, gap_width=3, user_width=4, hidden_width=5
    )
    seen = np.array([False] + [True] * len(users))
    model = spread_weights(ASARS(config, 5, DatasetInfo(seen, GapBins(2.5, 9))))
    ids = Vocabulary.from_integers(np.arange(10, 60, 10))
    trained = dict.fromkeys(("part", "seed", "seconds", "counts", "data_fingerprint", "protocol"))
    return Artifact(model, ids, np.arange(6), trained, users)


def lists_of(sessions, name=None):
    return pl.DataFrame(
        {"session": [name(n) if name else n for n in range(len(sessions))], "item": sessions},
        schema_overrides={"item": pl.List(pl.Int64)},
    )


def rows_of(answers):
    return [
        (session, rank, item, score)
        for session, answer in enumerate(answers)
        for rank, (item, score) in enumerate(zip(answer.items, answer.scores, strict=True), 1)
    ]


RULES = [
    ItemRules(),
    ItemRules(exclude_seen=True),
    ItemRules(allow=(10, 20, 999)),
    ItemRules(block=(20, 30), exclude_seen=True),
    ItemRules(boost={20: 3.0}, pin={50: 1}, exclude_seen=True),
]


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_the_answers_are_those_of_single_calls(recommender, rules):
    single = [recommender.recommend([session], 3, rules=rules)[0] for session in TABLE]
    frame = recommend_frame(recommender, lists_of(TABLE), 3, options=BatchOptions(rules=rules))
    assert frame.columns == ["session", "rank", "item", "score"]
    assert frame.rows() == rows_of(single)


def test_tables_of_explored_lists_are_refused(knn):
    options = BatchOptions(rules=ItemRules(explore=0.1))
    with pytest.raises(ConfigError, match="explore needs the probabilities of the shown items"):
        recommend_frame(knn, lists_of(TABLE), 3, options=options)


def test_times_users_and_the_moment_are_read_as_in_single_calls():
    users = Vocabulary.from_strings(["ann", "bob"])
    recommender = Recommender(timed_artifact(users))
    sessions = [[10, 20, 30], [20], [30, 999, 40], [40, 50]]
    times = [[START, START + 2, START + 90], [START], [START, START + 5, START + 60]]
    times.append([START + 3, START + 4.5])
    names, now = ["ann", "bob", None, "zoe"], START + 200
    single = [
        recommender.recommend([session], 4, times=[time], users=[user], now=now)[0]
        for session, time, user in zip(sessions, times, names, strict=True)
    ]
    other = recommender.recommend(sessions, 4)
    assert single[0].scores != other[0].scores
    frame = pl.DataFrame(
        {
            "session": range(4),
            "item": sessions,
            "user": names,
            "time": [[round(1000 * t) for t in time] for time in times],
        }
    )
    options = BatchOptions(now=now)
    expected = rows_of(single)
    in_lists = recommend_frame(recommender, frame, 4, options=options)
    per_click = frame.explode("item", "time").with_columns(
        # the user is that of the first click that has one
        pl.when(pl.int_range(pl.len()).over("session") > 0)
        .then("user")
        .otherwise(pl.when(pl.col("session") == 1).then("user"))
    )
    of_clicks = recommend_frame(recommender, per_click, 4, options=options)
    for found in (in_lists, of_clicks):
        assert found.drop("score").rows() == [row[:3] for row in expected]
        scores = [row[3] for row in expected]
        np.testing.assert_allclose(found["score"].to_list(), scores, atol=1e-4)


def test_rows_in_any_order_are_sorted_by_time_within_a_session(knn):
    table = pl.DataFrame(
        {
            "visit_id": ["b", "a", "b", "a", "c"],
            "product_id": [20, 30, 10, 20, 40],
            "ts": [1_500_000_060, 1_500_000_500, 1_500_000_000, 1_500_000_400, 1_500_000_000],
        }
    )
    answers = knn.recommend([[10, 20], [20, 30], [40]], 2)
    names = ["b", "a", "c"]
    expected = [(names[s], *row) for s, *row in rows_of(answers)]
    assert recommend_frame(knn, table, 2).rows() == expected
    in_file_order = BatchOptions(read=ReadOptions(order="file"))
    answers = knn.recommend([[20, 10], [30, 20], [40]], 2)
    expected = [(names[s], *row) for s, *row in rows_of(answers)]
    assert recommend_frame(knn, table, 2, options=in_file_order).rows() == expected


def test_sessions_are_put_together_from_all_parts_of_a_table(knn, monkeypatch):
    monkeypatch.setattr(session_spool, "SESSIONS_PER_FILE", 4)
    monkeypatch.setattr("nextclick.experiments.batch_recommendation._ITEMS_PER_FRAME", 0)
    sessions = [session for session in TABLE if session]
    clicks = lists_of(sessions).explode("item").sample(fraction=1.0, shuffle=True, seed=5)
    clicks = clicks.sort(pl.int_range(pl.len()).over("session"), maintain_order=True)
    clicks = clicks.with_columns(n=pl.int_range(pl.len()).over("session"))
    order = clicks["session"].unique(maintain_order=True).to_list()
    # the clicks of a session are far from each other; their order is that of the rows
    by_session = clicks.group_by("session", maintain_order=True).agg("item")
    answers = knn.recommend(by_session["item"].to_list(), 3)
    expected = [(order[s], *row) for s, *row in rows_of(answers)]
    assert recommend_frame(knn, clicks.select("session", "item"), 3).rows() == expected


def test_threads_give_the_answers_of_one_thread(knn, monkeypatch):
    monkeypatch.setattr(batch_scoring, "_ROWS_PER_THREAD", 3)
    monkeypatch.setattr(batch_scoring, "cpus", lambda: 4)
    in_threads = recommend_frame(knn, lists_of(TABLE), 3)
    monkeypatch.setattr(batch_scoring, "cpus", lambda: 1)
    assert in_threads.equals(recommend_frame(knn, lists_of(TABLE), 3))


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv.gz", ".jsonl"])
def test_every_format_holds_the_same_rows(knn, suffix, tmp_path):
    table = tmp_path / "in.jsonl"
    lists_of(TABLE, "s{}".format).write_ndjson(table)
    output = tmp_path / "folder" / f"out{suffix}"
    counts = recommend_file(knn, table, output, BatchOptions(k=2))
    frame = recommend_frame(knn, lists_of(TABLE, "s{}".format), 2)
    if suffix == ".parquet":
        found = pl.read_parquet(output)
    elif suffix == ".jsonl":
        found = pl.read_ndjson(output, schema=frame.schema)
    else:
        separator = "," if suffix == ".csv" else "\t"
        found = pl.read_csv(output, schema=frame.schema, separator=separator)
    assert found.drop("score").equals(frame.drop("score"))
    np.testing.assert_allclose(
        found["score"].fill_null(-1), frame["score"].fill_null(-1), rtol=1e-6
    )
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    assert counts.recommended == frame.height


def test_what_was_read_and_answered_is_counted(knn, tmp_path):
    counts = recommend_file(knn, lists_of(TABLE), tmp_path / "out.csv", BatchOptions(k=2))
    frame = pl.read_csv(tmp_path / "out.csv")
    # by hand: of seven sessions one is empty, and one has no known click; two of 13 clicks are 999
    assert (counts.rows, counts.sessions, counts.clicks) == (210, 210, 390)
    assert (counts.unknown_clicks, counts.unknown_sessions, counts.empty_sessions) == (60, 30, 30)
    assert counts.filled == frame["score"].null_count() > 0
    assert (counts.without_items, counts.bad_rows) == (0, 0)
    only = BatchOptions(k=2, rules=ItemRules(allow=(10,), block=(10,)))
    counts = recommend_file(knn, lists_of(TABLE), tmp_path / "none.csv", only)
    assert (counts.without_items, counts.recommended) == (210, 0)
    assert (tmp_path / "none.csv").read_text() == "session,rank,item,score\n"
    counts = recommend_file(knn, lists_of(TABLE), tmp_path / "none.parquet", only)
    assert pl.read_parquet(tmp_path / "none.parquet").columns == frame.columns


def test_lists_have_a_row_for_every_session(knn, tmp_path):
    options = BatchOptions(k=2, lists=True, ids_as_text=True, rules=ItemRules(exclude_seen=True))
    recommend_file(knn, lists_of(TABLE[:7]), tmp_path / "out.jsonl", options)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    answers = knn.recommend(TABLE[:7], 2, exclude_seen=True)
    assert [row["session"] for row in rows] == list(range(7))
    assert [row["items"] for row in rows] == [list(map(str, a.items)) for a in answers]
    assert [[s is None for s in row["scores"]] for row in rows] == [
        [s is None for s in a.scores] for a in answers
    ]
    blocked = replace(options, rules=ItemRules(allow=(10,), exclude_seen=True))
    frame = recommend_frame(knn, lists_of([[10], [20]]), 2, options=blocked)
    assert frame.rows() == [(0, [], []), (1, ["10"], frame["scores"][1].to_list())]


def test_a_row_without_an_id_is_named_by_its_number(knn):
    frame = recommend_frame(knn, pl.DataFrame({"items": [[10], [20]]}), 1, options=_items("items"))
    assert frame["session"].to_list() == [1, 2]


def _items(column, **read):
    return BatchOptions(read=ReadOptions(columns=Columns(item=column), **read))


def test_cells_of_text_with_lists(knn, tmp_path):
    (tmp_path / "in.csv").write_text('visit,clicks\na,"[10, 20]"\nb,\nc,30 999 40\n')
    (tmp_path / "more.csv").write_text("visit,clicks\nd,40\n")
    options = BatchOptions(k=2, read=ReadOptions(records="clicks"))
    paths = [tmp_path / "in.csv", tmp_path / "more.csv"]
    recommend_file(knn, paths, tmp_path / "out.parquet", options)
    answers = knn.recommend([[10, 20], [], [30, 999, 40], [40]], 2)
    expected = [("abcd"[s], *row) for s, *row in rows_of(answers)]
    assert pl.read_parquet(tmp_path / "out.parquet").rows() == expected


def test_an_array_of_objects_has_a_row_per_click(knn, tmp_path):
    lines = ['{"session": 7, "events": [{"item": 10}, {"item": 20}]}']
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    options = BatchOptions(k=3, read=ReadOptions(records="events"))
    recommend_file(knn, tmp_path / "in.jsonl", tmp_path / "out.parquet", options)
    (answer,) = knn.recommend([[10, 20]], 3)
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found["item"].to_list() == answer.items
    assert set(found["session"]) == {7}


def test_json_with_an_array_and_a_null_is_a_list(knn, tmp_path):
    (tmp_path / "in.jsonl").write_text(
        '{"session": 1, "item": [10]}\n{"session": 2, "item": null}\n'
    )
    counts = recommend_file(knn, tmp_path / "in.jsonl", tmp_path / "out.csv", TWO)
    assert (counts.sessions, counts.empty_sessions) == (2, 1)


def test_a_pandas_frame_gives_a_pandas_frame(knn):
    found = recommend_frame(knn, pd.DataFrame({"session": [1, 1, 2], "item": [10, 20, 30]}), 2)
    expected = recommend_frame(knn, pl.DataFrame({"session": [1, 1, 2], "item": [10, 20, 30]}), 2)
    assert isinstance(found, pd.DataFrame)
    assert found["item"].tolist() == expected["item"].to_list()
    assert found["session"].tolist() == expected["session"].to_list()


@pytest.mark.parametrize("ids", [["10", "007", "A"], ["7", "12", "A"]])
def test_ids_are_matched_as_in_a_request(ids):
    vocabulary = Vocabulary.from_strings(ids)
    given = ["10", "007", "7", "A", "12", "a", None]
    found = RawIdIndex(vocabulary).indices(pl.Series(given)).tolist()
    assert found == [0 if one is None else vocabulary.index(one) for one in given]
    numbers = Vocabulary.from_integers(np.array([7, 10]))
    found = RawIdIndex(numbers).indices(pl.Series(given)).tolist()
    assert found == [0 if one is None else numbers.index(one) for one in given]
    assert RawIdIndex(vocabulary).indices(pl.Series([7, 12, 10])).tolist() == [
        vocabulary.index(one) for one in (7, 12, 10)
    ]


def test_bad_rows_are_named_or_skipped(knn, tmp_path):
    (tmp_path / "in.csv").write_text("session,item\na,10\nb,\nc,20\n")
    with pytest.raises(SourceError, match=r"row 2 \(line 3\), column 'item': expected the id"):
        recommend_file(knn, tmp_path / "in.csv", tmp_path / "out.csv", TWO)
    assert not (tmp_path / "out.csv").exists()
    options = replace(TWO, read=ReadOptions(on_bad_row="skip"))
    counts = recommend_file(knn, tmp_path / "in.csv", tmp_path / "out.csv", options)
    assert (counts.bad_rows, counts.sessions) == (1, 2)


def test_an_error_leaves_the_old_file_and_nothing_else(knn, tmp_path, monkeypatch):
    output = tmp_path / "out.parquet"
    recommend_file(knn, lists_of(TABLE), output, TWO)
    before = output.read_bytes()
    with pytest.raises(OutputError, match="already exists; choose another output or set overwrite"):
        recommend_file(knn, lists_of(TABLE), output, TWO)

    def fail(requests):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(knn, "ranked", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        recommend_file(knn, lists_of(TABLE), output, TWO, overwrite=True)
    assert output.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_a_full_disk_is_named(knn, tmp_path, monkeypatch):
    def full(self, *clicks):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(session_spool.SessionSpool, "append", full)
    with pytest.raises(OutputError, match="free some space"):
        recommend_file(knn, lists_of(TABLE), tmp_path / "out.csv", TWO)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("table", "options", "error", "message"),
    [
        (
            lists_of(TABLE),
            BatchOptions(now=5.0),
            ConfigError,
            "now needs times: give the time of each click",
        ),
        (
            {"session": [1], "item": [10], "time": [1_500_000_000]},
            BatchOptions(now=5.0),
            ConfigError,
            "now must follow the clicks of every session, got 5.0, but a session has a click at",
        ),
        (
            {"session": pl.Series([], dtype=pl.Int64), "item": pl.Series([], dtype=pl.Int64)},
            BatchOptions(),
            EmptyLogError,
            "there is no session to answer; pass a file with rows",
        ),
        (
            [pl.DataFrame({"session": [1], "item": [10]}), lists_of([[10]])],
            BatchOptions(),
            SourceError,
            "the files have different forms, a row per session and a row per click",
        ),
        (
            {"item": [10]},
            BatchOptions(),
            SourceError,
            "no session column found among item; name it with --session-column",
        ),
    ],
)  # fmt: skip
def test_bad_tables(knn, table, options, error, message):
    with pytest.raises(error, match=message):
        recommend_frame(knn, table, 2, options=options)


def test_bad_conditions(knn, tmp_path):
    with pytest.raises(ConfigError, match="k must be in 1"):
        recommend_frame(knn, lists_of(TABLE), 0)
    with pytest.raises(ConfigError, match="unknown file format; use one of the suffixes"):
        recommend_file(knn, lists_of(TABLE), tmp_path / "out.xlsx")
    with pytest.raises(ConfigError, match="lists do not fit into a cell of text"):
        recommend_file(knn, lists_of(TABLE), tmp_path / "out.csv", BatchOptions(lists=True))
    with pytest.raises(ConfigError, match="the output must be a file of this machine"):
        recommend_file(knn, lists_of(TABLE), "s3://bucket/out.csv")
