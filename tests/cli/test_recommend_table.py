"""`nextclick recommend --sessions`: a table of sessions on the command line."""

import json
import signal
import subprocess
import sys
import time

import polars as pl
import pytest

from nextclick import Recommender, train
from small_shop import make_store


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    train(make_store(folder / "store"), "session-knn", folder / "model")
    return folder / "model"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "clicks.csv"
    path.write_text("visit_id,item_id,ts\nb,20,60\na,30,5\nb,10,0\nc,999,0\n")
    return path


def test_a_table_is_answered_as_single_sessions_are(model, table, tmp_path, run):
    output = tmp_path / "out.jsonl"
    words = ["recommend", model, "--sessions", table, "-o", output, "-k", 2, "--exclude-seen"]
    code, out, err = run(*words, "--now", "100")
    assert code == 0, err
    assert out == f"{output}: 6 items for 3 sessions with 4 clicks\n"
    assert "note: 1 of 4 clicks are on items that the model does not know and were ignored" in err
    assert "note: 1 sessions have no click on a known item: they get the most popular items" in err
    answers = Recommender.load(model).recommend([[10, 20], [30], [999]], 2, exclude_seen=True)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [(row["session"], row["item"]) for row in rows] == [
        (name, item) for name, answer in zip("bac", answers, strict=True) for item in answer.items
    ]
    code, out, _ = run(*words, "--overwrite", "--lists", "--json", "--ids-as-text")
    assert (code, json.loads(out)["recommended"]) == (0, 6)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert rows[0]["items"] == list(map(str, answers[0].items))


def test_what_is_skipped_and_filled_is_said(model, tmp_path, run):
    table = tmp_path / "rows.csv"
    table.write_text("visit_id,items\na,10 20\nb,\n")
    words = ["recommend", model, "--sessions", table, "-o", tmp_path / "out.csv", "-k", 2]
    code, _, err = run(*words, "--records", "items", "--allow", "10", "--exclude-seen")
    assert code == 0
    assert "note: 1 sessions have no click" in err
    assert "note: 1 items have no score: they are filled from popularity, pinned, or d" in err
    assert "note: allow, block, where and exclude_seen leave no item for 1 sessions" in err
    words = [*words, "--overwrite", "--item-column", "items", "--on-bad-row", "skip"]
    _, _, err = run(*words)
    assert "note: 1 rows cannot be parsed and were skipped" in err
    assert "no item of the table is known to the model" in err
    assert "if cells of text hold lists, add --records COLUMN" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "recommend needs the clicks: --session, --click or --session-file, or a table"),
        (["--sessions", "t.csv"], "--sessions needs a file for the recommendations; name it with"),
        (["-s", "10", "-o", "o.csv"], "--output is an option for a table of sessions; name the"),
        (["-s", "10", "--item-column", "i"], "--item-column is an option for a table of sessions"),
        (
            ["--sessions", "t.csv", "-o", "o.csv", "--history-times", "1"],
            "--history-times describes one session and --sessions a table of them: give one of",
        ),
        (["--sessions", "no.csv", "-o", "o.csv"], "no.csv: no such file or folder"),
    ],
)
def test_options_that_do_not_fit(model, words, message, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("recommend", model, *words)
    assert code == 2
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing(model, tmp_path):
    table = tmp_path / "clicks.parquet"
    sessions = pl.DataFrame({"item": [[10, 20, 30]] * 1000})
    pl.concat([sessions] * 2000).write_parquet(table)
    output = tmp_path / "out"
    words = [sys.executable, "-m", "nextclick", "recommend", str(model), "--sessions", str(table)]
    process = subprocess.Popen([*words, "-o", str(output / "o.parquet")], stderr=subprocess.PIPE)
    try:
        # it answers once there is a folder for the answers beside that of the clicks
        while process.poll() is None and not (output.is_dir() and len(list(output.iterdir())) > 1):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=600)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 2, err
    assert b"error: interrupted; no partial output was left" in err
    assert list(output.iterdir()) == []
