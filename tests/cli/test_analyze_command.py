"""`nextclick analyze`: the folder, the JSON, the printed text, and errors."""

import json
import sys
from pathlib import Path

import pytest

from nextclick.analysis import CategoryFile
from nextclick.data.prepare_store import prepare
from nextclick.data.store import Store
from nextclick.errors import ConfigError, OutputError, StoreError
from nextclick.experiments.log_analysis import analyze
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig
from small_shop import make_store

pytest.importorskip("matplotlib")

PAGE = Path(__file__).parents[2] / "docs" / "analysis.md"
FILES = ["analysis.json", "figure1.png", "manifest.json", "profile.png", "temporal-graph.png"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A log with users, times and categories, and its store."""
    folder = tmp_path_factory.mktemp("shop")
    config = SimulationConfig(events=8_000, items=150, users=300, days=5, categories=10)
    simulate(config, folder / "log.csv")
    prepare([folder / "log.csv"], folder / "store")
    return folder


@pytest.fixture(scope="module")
def analyzed(shop):
    """The folder of an analysis of the test part, with categories."""
    categories = CategoryFile(shop / "log.csv")
    analyze(shop / "store", shop / "out", part="test", categories=categories)
    return shop / "out"


def test_help(run):
    code, out, err = run("analyze", "--help")
    assert (code, err) == (0, "")
    assert "nextclick analyze store -o figures --categories" in out
    assert "--json" in out


@pytest.mark.figures
def test_the_folder_the_json_and_the_text(shop, tmp_path, run):
    folder, log = tmp_path / "out", shop / "log.csv"
    code, out, err = run("analyze", shop / "store", "-o", folder, "--categories", log, "--json")
    assert code == 0
    assert sorted(path.name for path in folder.iterdir()) == FILES
    for text in (
        "10 categories (item = item_id, category = category); 0 items of the store have none",
        "items within",
        "categories repeated",
        "gamma fit: shape ",
        "the top 1 % of the items receive ",
        "similarity of days by lag: 0 d ",
        "neighbor pairs in the temporal item graph, by block: 0: 0, 1: ",
        "figure1.png, profile.png, temporal-graph.png, analysis.json",
    ):
        assert text in err
    printed = json.loads(out)
    assert printed["schema"] == "nextclick.analyze/1"
    assert printed["path"] == str(folder)
    assert printed["analysis"] == json.loads((folder / "analysis.json").read_text())
    assert printed["analysis"]["missing"] == {}


def test_the_numbers_are_those_of_the_part(shop, analyzed):
    store = Store.open(shop / "store")
    numbers = json.loads((analyzed / "analysis.json").read_text())
    test = store.part("test")
    assert numbers["part"] == "test"
    assert numbers["counts"] == store.manifest["counts"]["test"]
    assert numbers["store"]["fingerprint"] == store.fingerprint
    assert numbers["within_session"]["items"]["clicks"] == test.n_events
    assert sum(numbers["activity"]["clicks_by_hour"]) == test.n_events
    lengths = numbers["session_lengths"]
    assert sum(lengths["sessions"]) == len(test)
    assert lengths["mean"] == pytest.approx(test.n_events / len(test))


def test_a_store_without_users_names_the_option_to_add_them(tmp_path, run):
    make_store(tmp_path / "store")
    code, _, err = run("analyze", tmp_path / "store", "-o", tmp_path / "out")
    assert code == 0
    assert "skipped: repeats. The store has no users" in err
    assert "--user-column NAME" in err


def test_every_number_is_documented(analyzed):
    text = PAGE.read_text()

    def names(value):
        if isinstance(value, dict):
            for name, inner in value.items():
                yield name
                # names below these are quantiles, percents, options and columns
                if name not in ("quantiles", "quantiles_seconds", "shares_of_top", "protocol"):
                    yield from names(inner)

    found = set(names(json.loads((analyzed / "analysis.json").read_text())))
    assert {name for name in found if f"`{name}`" not in text} <= {"item", "category"}


def test_an_analysis_is_not_a_store_and_is_replaced_only_with_overwrite(shop, analyzed):
    with pytest.raises(StoreError, match=r"is a nextclick\.analysis, not a store"):
        Store.open(analyzed)
    with pytest.raises(OutputError, match="exists"):
        analyze(shop / "store", analyzed)
    numbers = analyze(shop / "store", analyzed, part="test", overwrite=True).numbers
    assert numbers == json.loads((analyzed / "analysis.json").read_text())


def test_without_matplotlib_nothing_is_computed(shop, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = r"analyze requires matplotlib, which is not installed .*'nextclick\[report\]'"
    with pytest.raises(ConfigError, match=message):
        analyze(tmp_path / "no store is read", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def mistakes(shop, folder):
    command = ["analyze", shop / "store", "-o", folder / "out"]
    log = shop / "log.csv"
    return {
        "no categories": (
            [*command, "--item", "item_id"],
            "ConfigError",
            "--item, --category and --format describe the table of --categories, which is missing",
        ),
        "part": ([*command, "--part", "tran"], "ConfigError", "did you mean train?"),
        "store": (["analyze", log, "-o", folder / "out"], "StoreError", "is not a store"),
        "file": ([*command, "--categories", folder / "no.csv"], "SourceError", "no such file"),
        "column": (
            [*command, "--categories", log, "--category", "categry"],
            "SourceError",
            "category column 'categry' does not exist: did you mean category?",
        ),
        "item": (
            [*command, "--categories", log, "--item", "session_id"],
            "SourceError",
            "none of the store's 144 items; name the item column with --item",
        ),
        "output": (["analyze", shop / "store", "-o", shop / "store"], "OutputError", "--overwrite"),
        "usage": (["analyze", shop / "store"], "UsageError", "Missing option"),
    }


def test_bad_input_exits_with_2_and_leaves_nothing(shop, tmp_path, run):
    for name, (arguments, kind, message) in mistakes(shop, tmp_path).items():
        code, out, _ = run(*arguments, "--json")
        error = json.loads(out)["error"]
        assert (name, code, error["type"]) == (name, 2, kind)
        assert message in error["message"], name
    assert list(tmp_path.iterdir()) == []
