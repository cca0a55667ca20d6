"""`nextclick tune` and `nextclick sweep`: the printed text, the JSON, and errors."""

import json

import pytest

from nextclick.cli.parsing import parse_duration
from nextclick.errors import ConfigError
from nextclick.experiments import parameter_sweep, tuning
from nextclick.experiments.parameter_grid import read_grid
from small_shop import make_store

pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    study_folder = tmp_path_factory.mktemp("shop") / "store"
    make_store(study_folder)
    return study_folder


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch):
    for module in (tuning, parameter_sweep):
        monkeypatch.setattr(module, "_draw", lambda folder, numbers, name: None)


def test_a_grid_and_its_recipe(run, store, tmp_path):
    study_folder, grid = tmp_path / "study", tmp_path / "grid.toml"
    grid.write_text("steps = [1, 3]\n")
    arguments = ("--grid", grid, "--set", "weighting=same", "--metric", "mrr@3", "--json")
    code, out, err = run("tune", store, "-m", "rules", "-o", study_folder, *arguments)
    assert code == 0, err
    study = json.loads(out)["study"]
    assert study == json.loads((study_folder / "study.json").read_text())
    assert [t["parameters"] for t in study["trials"]] == [{"steps": 10}, {"steps": 1}, {"steps": 3}]
    assert study["best"]["parameters"]["weighting"] == "same"
    assert f"mrr@3 {study['best']['value']:.4f} on the validation split" in err
    assert "3 complete, 0 stopped early, 0 failed" in err
    model = tmp_path / "model"
    code, out, _ = run(
        "train", store, "--recipe", study_folder / "best.toml", "-o", model, "--json"
    )
    assert code == 0
    assert json.loads(out)["config"]["weighting"] == "same"


def test_a_sweep(run, store, tmp_path):
    arguments = (
        "--param",
        "steps=1,3",
        "--param",
        "weighting=same,div",
        "--metric",
        "mrr@3",
        "--json",
    )
    code, out, err = run("sweep", store, "-m", "rules", "-o", tmp_path / "sweep", *arguments)
    assert code == 0, err
    printed = json.loads(out)["sweep"]
    assert printed["params"] == {"steps": [1, 3], "weighting": ["same", "div"]}
    assert "rules, mrr@3 on the validation split, in percent" in err
    arguments = ("--param", "steps=1", "--metric", "mrr@3", "--part", "test")
    code, out, _ = run("sweep", store, "-m", "rules", "-o", tmp_path / "test", *arguments)
    assert code == 0
    assert "on the TEST split" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tune",), "the search has no limit"),
        (
            ("tune", "--budget", "2 hours"),
            "--budget must be a duration such as 45s, 30m, 2h or 1h30m",
        ),
        (("tune", "--set", "steps"), "--set takes NAME=a,b,c, got 'steps'"),
        (("tune", "--set", "step=1,2"), "rules has no parameter 'step'"),
        (("tune", "--grid", "none.toml"), "none.toml: cannot read the grid: No such file"),
        (("sweep", "--param", "=1,2"), "--param takes NAME=a,b,c, got '=1,2'"),
        (
            ("sweep", "--param", "steps=1", "--param", "steps=2"),
            "--param must name each parameter once, got steps twice; write all its values in one",
        ),
        (("sweep", "--param", "steps=1,0"), "rules: steps must be integer ≥ 1"),
    ],
)
def test_bad_input(run, store, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    command, *rest = arguments
    code, _, err = run(command, store, "-m", "rules", "-o", "out", "--metric", "mrr@3", *rest)
    assert code == 2
    assert message in " ".join(err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k = [1", "the grid is not valid TOML: "),
        ("", r"the grid is empty; add lists such as k = \[100, 200\]"),
        ("k = 3", r"k must be a list of values such as \[100, 200\], got 3"),
        ("k = [[1]]", r"k must be a list of values such as \[100, 200\], got \[\[1\]\]"),
    ],
)
def test_bad_grid_files(tmp_path, text, message):
    (tmp_path / "grid.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_grid(tmp_path / "grid.toml")


def test_durations():
    seconds = {"45s": 45, "30m": 1800, "2h": 7200, "1h30m": 5400, "1m5s": 65}
    minutes = {"90": 5400, "0.5": 30, " .5": 30}
    for text, expected in (seconds | minutes).items():
        assert parse_duration("--budget", text) == expected
    with pytest.raises(ConfigError, match="--budget must be a duration such as 45s, 30m"):
        parse_duration("--budget", "90x")
