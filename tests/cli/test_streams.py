"""Every command: results on standard output, notes on standard error, --json one object."""

import json
import os
import re
import subprocess
import sys
from itertools import count

import pytest

from nextclick import train
from nextclick.cli import progress
from nextclick.cli.main import COMMANDS, EXIT_CLOSED_OUTPUT
from nextclick.cli.progress import ProgressLines
from nextclick.data.prepare_store import prepare
from nextclick.serving.event_log import EventLog
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig
from serving_cases import neural_artifact

NAMES = [name for group in COMMANDS.values() for name in group if name != "serve"]
NOTE = re.compile(
    "note: |warning: |default split: |skipped: |prepared in |plotted to |no clicked item |"
    "Every model "
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A log of 12 items, a newer log, a store, a model and a registry of it."""
    folder = tmp_path_factory.mktemp("shop")
    size = {"events": 2_000, "items": 12, "users": 150, "days": 5, "categories": 3}
    simulate(SimulationConfig(**size), folder / "log.csv")
    simulate(SimulationConfig(**size, start="2026-03-09", seed=1), folder / "newer.csv")
    prepare([str(folder / "log.csv")], folder / "store")
    train(folder / "store", "markov", folder / "model", refreshable=True)
    neural_artifact("youtube-dnn").save(folder / "network")
    record_events(folder / "events")
    return folder


def record_events(folder):
    """An event log of two clicks with a list each."""
    folder.mkdir()
    log = EventLog(folder, print, start=False)
    for item in ("a", "b"):
        log.add(
            session="s", user=None, seconds=None, answered_by=("m", "v1"), item=item, items=["b"]
        )
    log.close()


def words_of(shop, folder):
    """A call of every command with a note, where the command has one."""
    store, model, log = shop / "store", shop / "model", shop / "log.csv"
    network = shop / "network"
    registry = folder / "registry"
    return {
        "prepare": ["prepare", log, "-o", folder / "store"],
        "simulate": ["simulate", "-o", folder / "l.csv", "--events", 2000, "--items", 60],
        "analyze": ["analyze", store, "-o", folder / "figures"],
        "models": ["models"],
        "train": ["train", store, "-m", "pop", "-o", folder / "model"],
        "tune": ["tune", store, "-m", "rules", "--set", "steps=1,2", "-o", folder / "study"],
        "sweep": ["sweep", store, "-m", "rules", "--param", "steps=1,2", "-o", folder / "sweep"],
        "evaluate": ["evaluate", model, store, "--by-length"],
        "compare": ["compare", store, "-m", "pop,markov", "-o", folder / "comparison"],
        "backtest": ["backtest", store, "-m", "pop", "--windows", 2, "-o", folder / "windows"],
        "run": ["run", log, "-m", "pop,markov", "-o", folder / "all"],
        "recommend": ["recommend", model, "-s", "x,y", "-k", 20],
        "explain": ["explain", model, "--store", store, "--examples", 2, "-k", 99],
        "refresh": ["refresh", model, shop / "newer.csv", "-o", folder / "model-2"],
        "export": ["export", network, "-o", folder / "exported"],
        "publish": ["publish", model, registry],
        "versions": ["versions", registry],
        "report": ["report", "online", shop / "events", "--bootstrap", 10],
        "card": ["card", model],
    }


@pytest.fixture
def text_and_json(shop, tmp_path, run, monkeypatch):
    """Call a command without and with --json, each in a new folder."""
    monkeypatch.setattr(progress, "_EVERY_SECONDS", 1e9)  # no line depends on the machine

    def called(command):
        printed = []
        for folder, extra in ((tmp_path / "text", []), (tmp_path / "json", ["--json"])):
            folder.mkdir()
            calls = words_of(shop, folder)
            if command == "versions":
                run(*calls["publish"])
            printed.append(run(*calls[command], *extra))
        return printed

    return called


def lines(text):
    """The lines without numbers, folders and the rules of tables, which differ between calls."""
    plain = re.sub(r"/\S*/(text|json)\b", "", text)
    plain = re.sub(r"[\d.,:+−─● \[\]-]+", " ", plain)
    return {line.strip() for line in plain.splitlines() if line.strip()}


def test_every_command_is_called(shop, tmp_path):
    assert sorted(words_of(shop, tmp_path)) == sorted(NAMES)


@pytest.mark.parametrize("command", NAMES)
def test_results_and_notes_do_not_mix(text_and_json, command):
    (code, out, err), (json_code, json_out, json_err) = text_and_json(command)
    assert code == json_code, err + json_err
    assert code in (0, 3)  # 3: the refreshed model is worse
    assert out.strip()
    assert not [line for line in out.splitlines() if NOTE.match(line)]
    assert [line for line in err.splitlines() if line and not NOTE.match(line)] == []
    assert json_out.count("\n") == 1
    assert json.loads(json_out)["schema"] == f"nextclick.{command}/1"
    assert lines(json_err) == lines(out) | lines(err)


@pytest.mark.parametrize("command", ["evaluate", "compare", "run", "recommend", "tune", "sweep"])
def test_a_cutoff_above_the_catalog_is_noted(text_and_json, command):
    (_, _, err), (_, _, json_err) = text_and_json(command)
    note = "note: the catalog has 12 items: K = 20 is lowered to 12\n"
    assert err.count(note) == json_err.count(note) == 1


def test_a_piped_table_is_neither_wrapped_nor_cut(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    _, out, _ = run("models")
    assert "narm: Neural attentive recommendation machine." in out.splitlines()
    assert "log: sampled in proportion to clicks ** negative_alpha, shared by the prefixes" in out
    assert "…" not in out


@pytest.mark.parametrize("words", [["models"], ["models", "--json"]])
def test_a_closed_pipe_ends_the_program_quietly(words):
    reader, writer = os.pipe()
    os.close(reader)  # as `| head -1` after its line
    done = subprocess.run(
        [sys.executable, "-m", "nextclick", *words], stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    assert done.returncode == EXIT_CLOSED_OUTPUT
    assert not re.search(b"error|Error|Exception|Traceback", done.stderr)


def test_ids_are_printed_in_any_encoding(shop):
    done = subprocess.run(
        [sys.executable, "-m", "nextclick", "recommend", shop / "model", "-s", "é", "-k", "1"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.startswith(b"After \\xe9\n")


# Progress without a terminal ---------------------------------------------------------------------


def test_a_progress_line_every_ten_seconds():
    printed, seconds = [], count()  # one second per call, the first for the creation
    report = ProgressLines(printed.append, lambda: float(next(seconds)))
    for done in range(0, 2600, 100):
        report(f"read · file {done}", done, 10_000)
    assert printed == [
        "read · file 900: 900 of 10,000 (9 %), 1:31 left",
        "read · file 1900: 1,900 of 10,000 (19 %), 1:21 left",
    ]


def test_the_time_left_is_that_of_the_stage():
    printed, now = [], [0.0]
    report = ProgressLines(printed.append, lambda: now[0])
    for second, call in (
        (1, ("read", 0, 10)),
        (9, ("read", 10, 10)),
        (10, ("filter", 0, None)),
        (21, ("filter", 5_000, None)),
        (22, ("train", 0, 100)),
        (32, ("train", 1, 100)),
        (33, ("train", 0, 100)),  # its next pass
        (43, ("train", 50, 100)),
    ):
        now[0] = float(second)
        report(*call)
    assert printed == [
        "filter: 0",
        "filter: 5,000",
        "train: 1 of 100 (1 %), 16:30 left",
        "train: 50 of 100 (50 %), 0:10 left",
    ]


def test_short_work_prints_no_progress(run, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_EVERY_SECONDS", 1e9)
    words = ["simulate", "-o", tmp_path / "log.csv", "--events", 2000, "--items", 60]
    assert run(*words)[2] == ""
    monkeypatch.setattr(progress, "_EVERY_SECONDS", 0.0)
    err = run(*words, "--overwrite")[2]
    assert "simulate: " in err
    assert "\x1b" not in err
