"""Counts of real logs after preparation, compared with those of the papers and publishers."""

import pytest

from nextclick import PrepareOptions, evaluate, prepare, train
from nextclick.data.options import FilterOptions, ReadOptions

pytestmark = pytest.mark.data
SRGNN = PrepareOptions(read=ReadOptions(format="srgnn"))


def counts(store, part, *names):
    return tuple(store.manifest["counts"][part][name] for name in names)


def test_diginetica(real_logs, tmp_path):
    store = prepare(real_logs / "diginetica", tmp_path / "store", options=SRGNN).store
    assert counts(store, "train", "sessions", "prefixes", "items") == (186_670, 719_470, 43_097)
    assert counts(store, "test", "sessions", "prefixes") == (15_963, 60_858)
    total = store.manifest["counts"]["train"]["events"] + store.manifest["counts"]["test"]["events"]
    assert total == 982_961


def test_yoochoose_1_64(real_logs, tmp_path):
    result = prepare(real_logs / "yoochoose-1-64", tmp_path / "store", options=SRGNN)
    assert counts(result.store, "train", "sessions", "prefixes") == (116_167, 369_859)
    assert counts(result.store, "test", "sessions", "prefixes") == (15_324, 55_898)
    assert result.report["steps"][0]["events"] == 557_248
    # targets that are missing in the 1/64 of training are kept as misses
    assert result.store.manifest["unseen_test"]["clicks_kept_as_unseen"] > 0


def test_a_week_of_yoochoose(real_logs, tmp_path):
    folder = real_logs / "yoochoose-100k"
    result = prepare(folder / "train_full.txt", tmp_path / "store", test=folder / "test.txt")
    parts = result.report["read_parts"]
    train, test = parts["train"], parts["test"]
    assert (train["events"], train["sessions"], train["items"]) == (70_278, 17_794, 2_933)
    assert (test["events"], test["sessions"]) == (13_568, 3_416)
    assert result.report["times"] == "seconds (inferred)"
    assert counts(result.store, "train", "events", "sessions", "items") == (70_278, 17_794, 2_933)


@pytest.mark.parametrize(("model", "recall"), [("session-knn", 0.6941), ("markov", 0.6182)])
def test_accuracy_on_a_week_of_yoochoose(model, recall, real_logs, tmp_path):
    """The figures are measured; an unnoticed change of the computation leaves the band."""
    folder = real_logs / "yoochoose-100k"
    store = prepare(folder / "train_full.txt", tmp_path / "store", test=folder / "test.txt").store
    result = evaluate(train(store, model), store)
    assert result.metrics["recall@20"].value == pytest.approx(recall, abs=0.005)


def test_globo(real_logs, tmp_path):
    options = PrepareOptions(
        read=ReadOptions(format="globo"), filters=FilterOptions(min_item_support=5)
    )
    result = prepare(real_logs / "globo", tmp_path / "store", options=options)
    # the description says 541,958 sessions; the files hold 541,954 distinct ids
    assert result.report["steps"][0] == {
        "name": "read",
        "events": 1_539_265,
        "sessions": 541_954,
        "users": 237_474,
        "items": 26_350,
    }
    (warning,) = [w for w in result.report["warnings"] if "gaps between clicks" in w]
    assert "exactly 30 seconds" in warning
    assert "of them before the last click of a session: an invented time" in warning
