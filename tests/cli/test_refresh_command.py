"""`nextclick refresh`, `publish` and `versions`, as they are typed."""

import json
import sys
from dataclasses import replace

import pytest

from nextclick import train
from nextclick.artifact import Registry
from small_shop import SESSIONS, frame_of, make_store

NEW = [[10, 20, 30], [20, 30, 40], [30, 40, 10], [40, 10, 60]] * 5


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    train(make_store(folder / "store"), "markov", folder / "model", refreshable=True)
    frame = frame_of(NEW)
    frame = frame.with_columns(time=frame["time"] + 1000 * 3600, session=frame["session"] + 1000)
    frame.write_csv(folder / "new.csv")
    frame.rename({"item": "sku"}).write_csv(folder / "sku.csv")
    frame_of(SESSIONS[:9]).write_csv(folder / "old.csv")
    return folder


@pytest.fixture
def call(run):
    """Call with --json, expect an exit code, return what was printed."""

    def called(*arguments, code=0):
        found, out, err = run(*arguments)
        assert found == code, err
        return json.loads(out)

    return called


def test_an_artifact_is_refreshed(call, shop, tmp_path):
    told = call(
        "refresh", shop / "model", shop / "new.csv", "-o", tmp_path / "new",
        "--metric", "recall@2", "--holdout", "0.2", "--json",
    )  # fmt: skip
    assert told["schema"] == "nextclick.refresh/1"
    assert told["accepted"]
    assert told["verdict"]["sessions"] == 4
    assert told["report"]["way"] == "extended"
    assert told["report"]["new_items"] == 1
    assert json.loads((tmp_path / "new" / "manifest.json").read_text())["n_items"] == 6
    rank = call("recommend", tmp_path / "new", "--session", "60", "-k", "1", "--json")
    assert rank["items"]


def test_a_column_may_be_named_otherwise(call, shop, tmp_path):
    told = call(
        "refresh", shop / "model", shop / "sku.csv", "-o", tmp_path / "new",
        "--item-column", "sku", "--holdout", "0", "--json",
    )  # fmt: skip
    assert told["verdict"] is None


def test_a_registry_is_published_refreshed_and_taken_back(call, shop, tmp_path):
    place = tmp_path / "models"
    assert call("publish", shop / "model", place, "--json")["version"]["name"] == "v1"
    told = call("refresh", place, shop / "new.csv", "--metric", "recall@2", "--json")
    assert told["version"]["name"] == "v2"
    listed = call("versions", place, "--json")
    assert (listed["current"], [v["name"] for v in listed["versions"]]) == ("v2", ["v1", "v2"])
    assert call("versions", place, "--activate", "v1", "--json")["current"] == "v1"
    assert Registry(place).current().name == "v1"


def test_a_refresh_that_was_kept_aside_exits_with_3(call, shop, tmp_path, monkeypatch):
    module = sys.modules["nextclick.experiments.artifact_refresh"]
    judge = module.judge

    def harsh(*args, **options):
        return replace(judge(*args, **options), reason="worse, as the test wants it")

    monkeypatch.setattr(module, "judge", harsh)
    told = call(
        "refresh", shop / "model", shop / "new.csv", "-o", tmp_path / "new",
        "--metric", "recall@2", "--json", code=3,
    )  # fmt: skip
    assert not told["accepted"]
    assert told["path"].endswith("new.rejected")
    assert not (tmp_path / "new").exists()


def test_bad_input_exits_with_2(call, shop, tmp_path):
    told = call("refresh", shop / "model", shop / "old.csv", "-o", tmp_path / "n", "--json", code=2)
    assert "the log is not newer" in told["error"]["message"]
    told = call("refresh", shop / "model", shop / "new.csv", "--json", code=2)
    assert "is not a registry: name the new artifact with --output" in told["error"]["message"]
    told = call("versions", shop / "model", "--json", code=2)
    assert "is not a registry of versions" in told["error"]["message"]
