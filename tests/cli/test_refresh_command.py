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
        exit_code, out, err = run(*arguments)
        assert exit_code == code, err
        return json.loads(out)

    return called


def test_an_artifact_is_refreshed(call, shop, tmp_path):
    printed = call(
        "refresh", shop / "model", shop / "new.csv", "-o", tmp_path / "new",
        "--metric", "recall@2", "--holdout", "0.2", "--json",
    )  # fmt: skip
    assert printed["schema"] == "nextclick.refresh/1"
    assert printed["accepted"]
    assert printed["decision"]["sessions"] == 4
    assert printed["report"]["update"] == "exact"
    assert printed["report"]["new_items"] == 1
    assert json.loads((tmp_path / "new" / "manifest.json").read_text())["n_items"] == 6
    rank = call("recommend", tmp_path / "new", "--session", "60", "-k", "1", "--json")
    assert rank["items"]


def test_a_column_may_be_named_otherwise(call, shop, tmp_path):
    printed = call(
        "refresh", shop / "model", shop / "sku.csv", "-o", tmp_path / "new",
        "--item-column", "sku", "--holdout", "0", "--json",
    )  # fmt: skip
    assert printed["decision"] is None


def test_a_registry_is_published_refreshed_and_rolled_back(call, shop, tmp_path):
    registry = tmp_path / "models"
    assert call("publish", shop / "model", registry, "--json")["version"]["name"] == "v1"
    printed = call("refresh", registry, shop / "new.csv", "--metric", "recall@2", "--json")
    assert printed["version"]["name"] == "v2"
    listed = call("versions", registry, "--json")
    assert (listed["current"], [v["name"] for v in listed["versions"]]) == ("v2", ["v1", "v2"])
    assert call("versions", registry, "--activate", "v1", "--json")["current"] == "v1"
    assert Registry(registry).current().name == "v1"


def test_a_rejected_refresh_exits_with_3(call, shop, tmp_path, monkeypatch):
    module = sys.modules["nextclick.experiments.artifact_refresh"]
    decide = module.decide_publication

    def reject(*args, **options):
        return replace(decide(*args, **options), reason="rejected by the test")

    monkeypatch.setattr(module, "decide_publication", reject)
    printed = call(
        "refresh", shop / "model", shop / "new.csv", "-o", tmp_path / "new",
        "--metric", "recall@2", "--json", code=3,
    )  # fmt: skip
    assert not printed["accepted"]
    assert printed["path"].endswith("new.rejected")
    assert not (tmp_path / "new").exists()


def test_bad_input_exits_with_2(call, shop, tmp_path):
    printed = call(
        "refresh", shop / "model", shop / "old.csv", "-o", tmp_path / "n", "--json", code=2
    )
    assert "the log is not newer" in printed["error"]["message"]
    printed = call("refresh", shop / "model", shop / "new.csv", "--json", code=2)
    assert "is not a registry: name the new artifact with --output" in printed["error"]["message"]
    printed = call("versions", shop / "model", "--json", code=2)
    assert "is not a registry of versions" in printed["error"]["message"]
