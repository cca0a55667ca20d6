"""Nothing of the test part is in what models are trained on."""

import numpy as np
import polars as pl
import pytest

from nextclick import PrepareOptions, prepare, train
from nextclick.data.options import FilterOptions, SessionOptions, SplitOptions

START = 1_500_000_000
DAY = 86_400
BOUNDARY = START // DAY * DAY + 6 * DAY
QUICK = {"epochs": 1, "batch_size": 32, "metric": "recall@5"}
SMALL = {
    "session-knn": {},
    "narm": QUICK | {"embedding_width": 8, "hidden_width": 8},
    "asars": QUICK | {"item_width": 8},
    "tasrec": QUICK | {"width": 8},
}


def log_of(n_sessions=220):
    """Sessions of 2 to 6 clicks on 15 items by 25 users, over 8 days."""
    rng = np.random.default_rng(3)
    rows = []
    for session in range(n_sessions):
        time = START + session * 8 * DAY // n_sessions
        user = f"u{min(int(rng.exponential(8)), 24)}"
        for _ in range(rng.integers(2, 7)):
            rows.append((session, user, str(100 + min(int(rng.exponential(4)), 14)), time))
            time += int(rng.integers(5, 300))
    return rows


def is_test(rows):
    ends = {}
    for session, _, _, time in rows:
        ends[session] = max(time, ends.get(session, 0))
    return {session for session, end in ends.items() if end >= BOUNDARY}


def other_items(rows, test):
    return [(s, u, f"new-{n % 3}" if s in test else i, t) for n, (s, u, i, t) in enumerate(rows)]


def no_test_clicks_on_rare_items(rows, test):
    return [(s, u, "100" if s in test else i, t) for s, u, i, t in rows]


def more_test_sessions(rows, test):
    first = [(10_000 + n, "a-new-user", "007", BOUNDARY + n) for n in range(50)]
    long = [(20_000, "u3", str(100 + n % 15), START - 20 * DAY + n) for n in range(40)]
    return [*first, *long, (20_000, "u3", "100", BOUNDARY + 5), *rows]


def fewer_test_sessions(rows, test):
    return [row for row in rows if row[0] not in test or row[0] % 2]


CHANGES = [other_items, no_test_clicks_on_rare_items, more_test_sessions, fewer_test_sessions]


def prepared(rows, folder, **filters):
    options = PrepareOptions(
        filters=FilterOptions(**{"min_item_support": 20, "min_user_sessions": 4} | filters),
        sessions=SessionOptions(by="id"),
        split=SplitOptions(kind="boundary", boundary=str(BOUNDARY * 1000), unseen="miss"),
    )
    frame = pl.DataFrame(rows, orient="row", schema=["session", "user", "item", "time"])
    return prepare(frame, folder, options=options).store


def training_files(store):
    return {
        str(path.relative_to(store.path)): path.read_bytes()
        for part in ("train", "items", "users")
        for path in sorted((store.path / part).iterdir())
    }


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("iterate", [True, False])
def test_training_files_do_not_depend_on_the_test(tmp_path, change, iterate):
    rows = log_of()
    first = prepared(rows, tmp_path / "first", iterate=iterate)
    second = prepared(change(rows, is_test(rows)), tmp_path / "second", iterate=iterate)
    assert training_files(second) == training_files(first)
    assert second.manifest["n_train_inner_sessions"] == first.manifest["n_train_inner_sessions"]
    assert second.protocol["block_origin_ms"] == first.protocol["block_origin_ms"]
    counts = first.manifest["counts"]
    assert 2 < counts["train"]["items"] < 15
    assert 2 < counts["train"]["users"] < 25
    assert second.fingerprint != first.fingerprint


def test_filters_on_all_sessions_depend_on_the_test(tmp_path):
    rows = log_of()
    first = prepared(rows, tmp_path / "first", filter_on="all")
    second = prepared(other_items(rows, is_test(rows)), tmp_path / "second", filter_on="all")
    assert training_files(second) != training_files(first)


@pytest.mark.parametrize("model", SMALL)
def test_trained_weights_do_not_depend_on_the_test(tmp_path, model):
    if model != "session-knn":
        pytest.importorskip("torch")
    rows = log_of()
    stores = [
        prepared(rows, tmp_path / "0"),
        prepared(other_items(rows, is_test(rows)), tmp_path / "1"),
        prepared(more_test_sessions(rows, is_test(rows)), tmp_path / "2"),
    ]
    for number, store in enumerate(stores):
        train(store, model, tmp_path / f"{model}-{number}", config=SMALL[model])
    first, *others = (
        (tmp_path / f"{model}-{number}" / "weights.safetensors").read_bytes()
        for number in range(len(stores))
    )
    assert others == [first, first]


def test_the_share_of_clicks_that_are_predicted(tmp_path):
    rows = [(1, "a", "1", 0), (1, "a", "2", 1), (2, "a", "1", 2), (2, "a", "2", 3)]
    # the test period has seven clicks: a session of one click, and one with an unseen item
    test = [(3, "a", "1", 0), (4, "a", "1", 1), (4, "a", "9", 2), (4, "a", "2", 3)]
    test += [(5, "a", "9", 4), (5, "a", "9", 5), (5, "a", "1", 6)]
    rows = [(s, u, i, START + t) for s, u, i, t in rows]
    rows += [(s, u, i, BOUNDARY + t) for s, u, i, t in test]
    frame = pl.DataFrame(rows, orient="row", schema=["session", "user", "item", "time"])
    shares = {}
    for unseen in ("drop", "miss"):
        options = PrepareOptions(
            filters=FilterOptions(min_item_support=1),
            split=SplitOptions(boundary=str(BOUNDARY * 1000), unseen=unseen),
        )
        store = prepare(frame, tmp_path / unseen, options=options).store
        shares[unseen] = store.manifest["predicted"]
    assert shares["drop"] == {"targets": 1, "clicks": 7, "share": 1 / 7}
    assert shares["miss"] == {"targets": 4, "clicks": 7, "share": 4 / 7}


def test_test_sessions_of_a_given_split_that_repeat_training_have_a_warning(tmp_path):
    rows = log_of()
    frame = pl.DataFrame(rows, orient="row", schema=["session", "user", "item", "time"])
    options = PrepareOptions(filters=FilterOptions(min_item_support=1))
    repeated = prepare(frame, tmp_path / "a", test=frame[:200], options=options)
    assert any("in the training files with the same" in w for w in repeated.report["warnings"])
    other = prepare(
        frame.filter(pl.col("session") < 110),
        tmp_path / "b",
        test=frame.filter(pl.col("session") >= 110),
        options=options,
    )
    assert not any("in the training files" in w for w in other.report["warnings"])
