"""Every command: help, figures, options and errors; test_streams.py tests what it prints where."""

import json
import signal
import subprocess
import sys
import time

import pytest

from nextclick.cli.run_command import COUNTING_MODELS
from nextclick.models.model_registry import model_names
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig

COUNTS = {"events", "sessions", "prefixes", "users", "items"}
ALWAYS = {"schema", "nextclick", "seconds", "peak_memory_bytes"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A log, its store and a model."""
    folder = tmp_path_factory.mktemp("shop")
    config = SimulationConfig(events=8_000, items=150, users=600, days=5, categories=10)
    simulate(config, folder / "log.csv")
    for arguments in (
        ["prepare", folder / "log.csv", "-o", folder / "store"],
        ["train", folder / "store", "-m", "markov", "-o", folder / "model"],
    ):
        subprocess.run(
            [sys.executable, "-m", "nextclick", *arguments], check=True, capture_output=True
        )
    return folder


@pytest.fixture
def run_json(run):
    """As `run` with --json; return the exit code and the one object on standard output."""

    def called(*arguments):
        code, out, _ = run(*arguments, "--json")
        assert out.count("\n") == 1, out
        printed = json.loads(out)
        assert printed.keys() >= ALWAYS
        assert printed["seconds"] >= 0
        assert printed["peak_memory_bytes"] > 10_000_000
        return code, printed

    return called


# What every command does ------------------------------------------------------------------------


COMMANDS = [
    "prepare", "simulate", "analyze", "models", "train", "evaluate", "compare", "run", "recommend"
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run, command):
    code, out, err = run(command, "--help")
    assert code == 0
    assert f"nextclick {command}" in out
    assert "--json" in out
    assert err == ""
    if command != "models":
        assert f"nextclick {command}" in out.split("Usage:")[1][20:]  # an example


def test_the_program_explains_itself(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(f"\n  {command} " in out for command in COMMANDS)
    assert run("--version")[1].startswith("nextclick 0.")
    assert run()[0] == 2


def test_figures_of_prepare(shop, tmp_path, run_json):
    _, printed = run_json("prepare", shop / "log.csv", "-o", tmp_path / "s")
    (store,) = printed["stores"]
    assert store["counts"].keys() == {"train", "train_inner", "valid", "test"}
    assert all(counts.keys() == COUNTS for counts in store["counts"].values())
    inner, valid, train = (store["counts"][name] for name in ("train_inner", "valid", "train"))
    assert all(inner[n] + valid[n] == train[n] for n in ("events", "sessions", "prefixes"))
    steps = printed["report"]["steps"]
    assert [step["events"] for step in steps] == sorted((s["events"] for s in steps), reverse=True)
    assert printed["report"]["rows"] == 8_000


def test_figures_of_evaluate_and_compare(shop, tmp_path, run_json):
    _, evaluated = run_json("evaluate", shop / "model", shop / "store", "-k", "5,20")
    evaluation = evaluated["result"]["evaluation"]
    assert evaluation["ks"] == [5, 20]
    assert {"recall@5", "mrr@20", "ndcg@20"} <= evaluation["metrics"].keys()
    _, both = run_json("compare", shop / "store", "-m", "pop,markov", "-k", "5,20")
    rows = both["comparison"]["leaderboard"]
    assert [row["model"] for row in rows] == ["markov", "pop"]
    assert rows[0]["metrics"]["recall@20"] == {
        key: evaluation["metrics"]["recall@20"][key] for key in ("value", "low", "high")
    }


def test_models_lists_every_parameter(run_json):
    _, printed = run_json("models")
    assert list(printed["models"]) == list(model_names())
    shrinkage = next(
        p for p in printed["models"]["item-knn"]["parameters"] if p["name"] == "shrinkage"
    )
    assert (shrinkage["kind"], shrinkage["default"]) == ("number ≥ 0", 20.0)


def test_from_a_log_to_a_recommendation(tmp_path, run_json):
    assert (
        run_json("simulate", "-o", tmp_path / "log.csv", "--events", 8000, "--items", 150)[0] == 0
    )
    words = ["run", tmp_path / "log.csv", "-o", tmp_path / "shop", "-k", "5,20"]
    code, printed = run_json(*words, "-m", ",".join(COUNTING_MODELS))
    assert code == 0
    rows = printed["comparison"]["leaderboard"]
    assert sorted(row["model"] for row in rows) == sorted(COUNTING_MODELS)
    best = tmp_path / "shop" / "models" / rows[0]["model"] / "artifact"
    first = (tmp_path / "log.csv").read_text().splitlines()[1].split(",")[2]
    code, answer = run_json("recommend", best, "-s", first, "-k", "4")
    assert (code, len(answer["items"]), answer["unknown"]) == (0, 4, [])
    results = sorted((tmp_path / "shop" / "models").glob("*/result.json"))
    code, again = run_json("compare", *results)
    assert [row["label"] for row in again["comparison"]["leaderboard"]] == [
        row["label"] for row in rows
    ]
    assert again["comparison"]["pairs"] == printed["comparison"]["pairs"]  # the ranks lie beside


def test_run_leaves_out_the_validation_if_told(tmp_path, run_json):
    run_json("simulate", "-o", tmp_path / "log.csv", "--events", 3000, "--items", 50)
    shop = tmp_path / "shop"
    for train_on, part in (("inner", "train_inner"), ("all", "train")):
        options = ("-m", "pop", "--train-on", train_on, "--overwrite")
        code, printed = run_json("run", tmp_path / "log.csv", "-o", shop, *options)
        assert (code, printed["results"][0]["protocol"]["trained_on"]) == (0, part)


def test_run_names_no_best_model_on_a_test_of_one_session(shop, tmp_path, run):
    rows = [line.split(",") for line in (shop / "log.csv").read_text().splitlines()[1:]]
    ends = {}
    for session, *_, click_time in rows:
        ends[session] = max(ends.get(session, 0), int(click_time))
    lengths = {session: sum(row[0] == session for row in rows[-400:]) for session in ends}
    last = max((s for s in ends if lengths[s] > 3), key=lambda session: ends[session])
    words = ["run", shop / "log.csv", "-o", tmp_path / "all", "-m", "pop,markov", "-k", 5]
    code, out, _ = run(*words, "--boundary", ends[last], "--max-session-length", 99)
    assert code == 0
    assert "no best model, since the test does not distinguish the models (" in out
    assert "best model: " not in out


def test_short_prefixes_are_omitted_by_every_command_that_evaluates(shop, tmp_path, run_json):
    _, evaluated = run_json("evaluate", shop / "model", shop / "store", "--min-prefix", 3)
    _, every = run_json("evaluate", shop / "model", shop / "store")
    result = evaluated["result"]
    assert result["protocol"]["min_prefix"] == 3
    assert result["evaluation"]["by_length"] == [
        row for row in every["result"]["evaluation"]["by_length"] if row["length"] >= 3
    ]
    predicted, of_all = (
        result["evaluation"]["predicted"],
        every["result"]["evaluation"]["predicted"],
    )
    assert predicted["targets"] == result["evaluation"]["counts"]["prefixes"] < of_all["targets"]
    assert predicted["share"] < of_all["share"] == of_all["targets"] / of_all["clicks"]
    words = ["-m", "pop,markov", "-k", 5, "--min-prefix", 3]
    for command in (["compare", shop / "store"], ["run", shop / "log.csv", "-o", tmp_path / "r"]):
        _, printed = run_json(*command, *words)
        assert printed["comparison"]["counts"]["prefixes"] == predicted["targets"]


def test_run_reports_segments(shop, tmp_path, run_json, run):
    words = [
        "run",
        shop / "log.csv",
        "-m",
        "pop,markov",
        "-k",
        5,
        "--by",
        "prefix-length,popularity",
    ]
    _, printed = run_json(*words, "-o", tmp_path / "r")
    segments = {found["name"]: found["rows"] for found in printed["comparison"]["segments"]}
    assert list(segments) == ["target", "prefix-length", "popularity"]
    counts = printed["comparison"]["counts"]
    assert sum(row["prefixes"] for row in segments["prefix-length"]) == counts["prefixes"]
    code, _, error = run(*words[:-1], "shelf", "-o", tmp_path / "s")
    assert code != 0
    assert "shelf" in error


def test_recommend_options(shop, run_json):
    command = ["recommend", shop / "model", "-s", "1000001,1000002", "-k", "3"]
    items = run_json(*command)[1]["items"]
    assert run_json(*command, "--block", items[0])[1]["items"][0] == items[1]
    assert run_json(*command, "--allow", f"{items[1]},{items[2]}")[1]["items"] == items[1:]
    assert 1000002 not in run_json(*command, "--exclude-seen")[1]["items"]
    unknown = run_json("recommend", shop / "model", "-s", "x,y", "-k", "3")[1]
    assert (unknown["unknown"], unknown["from_model"]) == (["x", "y"], 0)


def test_ids_are_shown_as_they_are(shop, run):
    code, out, _ = run("recommend", shop / "model", "-s", "[b]x,:bug:,[/foo],é", "-k", "2")
    assert code == 0
    assert "After [b]x,:bug:,[/foo],é" in out


def test_set_reads_names_and_values(shop, tmp_path, run_json):
    arguments = ["train", shop / "store", "-m", "item-knn", "-o", tmp_path / "m"]
    code, printed = run_json(*arguments, "--set", "shrinkage = 3", "--set", "neighbors=7")
    assert (code, printed["config"]["shrinkage"], printed["config"]["neighbors"]) == (0, 3.0, 7)


# What goes wrong --------------------------------------------------------------------------------


def mistakes(shop, folder):
    log, store, model = shop / "log.csv", shop / "store", shop / "model"
    to_output = ["-o", folder / "out"]
    train = ["train", store, *to_output, "-m"]
    return {
        "missing file": (["prepare", folder / "no.csv", *to_output], "SourceError", "no such file"),
        "format": (["prepare", log, *to_output, "--format", "oto"], "ConfigError", "mean otto?"),
        "protocol": (
            ["prepare", log, *to_output, "--protocol", "asar"],
            "ConfigError",
            "mean asars or tasrec?",
        ),
        "column": (
            ["prepare", log, *to_output, "--item-column", "itm_id"],
            "SourceError",
            "there is no column 'itm_id' (requested as the item column): did you mean item_id?",
        ),
        "value": (
            ["prepare", log, *to_output, "--gap", "-5"],
            "ConfigError",
            "--gap must be number > 0",
        ),
        "choice": (
            ["prepare", log, *to_output, "--on-bad-row", "x"],
            "ConfigError",
            "--on-bad-row must be one of error, skip, got 'x'",
        ),
        "filters": (
            ["prepare", log, *to_output, "--min-item-support", "99999"],
            "EmptyLogError",
            "no session is left after the filters (training: all sessions: ",
        ),
        "output": (["prepare", log, "-o", store], "OutputError", "pass --overwrite"),
        "output is a file": (
            ["prepare", log, "-o", log, "--overwrite"],
            "OutputError",
            "is not a folder; choose another path",
        ),
        "output below a file": (
            ["prepare", log, "-o", log / "store"],
            "OutputError",
            "choose a path inside a folder",
        ),
        "model": ([*train, "item-kn"], "ConfigError", "did you mean item-knn?"),
        "parameter": ([*train, "item-knn", "--set", "shrink=1"], "ConfigError", "mean shrinkage?"),
        "no value": ([*train, "pop", "--set", "shrinkage"], "ConfigError", "takes NAME=VALUE, got"),
        "not a store": (["train", model, *to_output, "-m", "pop"], "StoreError", "not a store"),
        "not an artifact": (["evaluate", store, store], "ArtifactError", "not an artifact"),
        "seen": (["evaluate", model, store, "--part", "valid"], "ConfigError", "would be biased"),
        "prequential": (
            ["evaluate", model, store, "--prequential"],
            "ConfigError",
            "prequential must be false for",
        ),
        "ks": (["evaluate", model, store, "-k", "a"], "ConfigError", "must be integers such as"),
        "no ks": (["evaluate", model, store, "-k", ""], "ConfigError", "at least one cut-off in"),
        "ties": (["evaluate", model, store, "--ties", "x"], "ConfigError", "worst, best or mean"),
        "result is there": (
            ["evaluate", model, store, "-o", log],
            "OutputError",
            "log.csv already exists; choose another --output",
        ),
        "no models": (["compare", store, "-m", ""], "ConfigError", "models must name at least one"),
        "no models to run": (
            ["run", log, *to_output, "-m", ""],
            "ConfigError",
            "models must name at",
        ),
        "twice": (["compare", store, "-m", "pop,pop"], "ConfigError", "must name each model once"),
        "no model of these": (
            ["compare", store, "-m", "pop", "--set", "item-knn.shrinkage=1"],
            "ConfigError",
            "with a model of pop and one of its parameters, got item-knn.shrinkage=1",
        ),
        "mixture": (
            ["compare", store, log],
            "ConfigError",
            "compare takes one store or result files, got",
        ),
        "no result": (["compare", log], "ProtocolError", "not a result, which is a JSON file"),
        "metric": (
            ["compare", store, "-m", "pop", "-k", "20", "--sort-by", "recall@19"],
            "ConfigError",
            "metric must be one of recall@20, mrr@20, ndcg@20, got 'recall@19'",
        ),
        "times": (
            ["recommend", model, "-s", "1", "--times", "soon"],
            "ConfigError",
            "--times must be seconds such as 0,12.5,40, got 'soon'",
        ),
        "k": (["recommend", model, "-s", "1", "-k", "0"], "ConfigError", "k must be in 1.."),
        "usage": (["prepare", log], "UsageError", "Missing option"),
        "option": (
            ["prepare", log, *to_output, "--gaps", "1"],
            "UsageError",
            "No such option: --gaps",
        ),
        "command": (["prepar"], "UsageError", "No such command 'prepar'"),
        "kind": (
            ["train", store, *to_output, "-m", "pop", "--seed", "x"],
            "UsageError",
            "Invalid value",
        ),
    }


def test_bad_input_exits_with_2_and_says_what_to_do(shop, tmp_path, run, run_json):
    for name, (arguments, kind, message) in mistakes(shop, tmp_path).items():
        code, out, err = run(*arguments)
        plain = " ".join(err.split())
        assert (name, code, out) == (name, 2, "")
        assert message in plain, name
        assert "Traceback" not in err, name
        code, printed = run_json(*arguments)
        assert (name, code, printed["exit_code"]) == (name, 2, 2)
        assert printed["schema"] == "nextclick.error/1"
        assert printed["error"]["type"] == kind, name
        assert message in printed["error"]["message"], name
    assert list(tmp_path.iterdir()) == []


def test_an_internal_error_exits_with_1(shop, run, run_json, monkeypatch):
    def broken(path, **_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("nextclick.serving.recommender.Recommender.load", broken)
    arguments = ["recommend", shop / "model", "-s", "1"]
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert "Traceback" in err
    assert "internal error: a bug; please report it with the traceback above" in err
    code, printed = run_json(*arguments)
    assert (code, printed["exit_code"], printed["error"]["type"]) == (1, 1, "ZeroDivisionError")


def test_results_of_other_data_get_no_table(shop, tmp_path, run, run_json):
    results = []
    for fraction in ("0.1", "0.2"):
        folder = tmp_path / fraction
        split = ["--split", "fraction", "--fraction", fraction]
        run("prepare", shop / "log.csv", "-o", folder / "store", *split)
        run("train", folder / "store", "-m", "pop", "-o", folder / "model")
        run("evaluate", folder / "model", folder / "store", "-o", folder / "result.json")
        results.append(folder / "result.json")
    code, out, err = run("compare", *results)
    assert (code, out) == (2, "")
    assert "are not comparable" in err
    code, printed = run_json("compare", *results)
    assert (code, printed["error"]["type"]) == (2, "ProtocolError")
    assert run_json("compare", results[0])[0] == 0


def test_ctrl_c_exits_with_2_and_leaves_nothing(tmp_path):
    config = SimulationConfig(events=600_000, items=5_000, users=50_000, days=9)
    log = tmp_path / "log" / "log.parquet"
    log.parent.mkdir()
    simulate(config, log)
    for _ in range(2):  # as soon as it writes, so that there is something to leave
        process = subprocess.Popen(
            [sys.executable, "-m", "nextclick", "prepare", log, "-o", tmp_path / "out", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while process.poll() is None and not any(tmp_path.glob(".out.*")):
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 2, err
        assert "error: interrupted; no partial output was left" in err
        assert json.loads(out)["error"]["type"] == "Interrupted"
        assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_python_m_nextclick():
    completed = subprocess.run(
        [sys.executable, "-m", "nextclick", "--version"], capture_output=True, text=True, check=True
    )
    assert completed.stdout.startswith("nextclick ")
