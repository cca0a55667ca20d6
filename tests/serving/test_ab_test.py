"""A/B tests of a server: the split of sessions, two versions in one process, and what is logged."""

import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from nextclick import train
from nextclick.artifact import Registry
from nextclick.data.event_segments import convert_segments
from nextclick.errors import ConfigError
from nextclick.serving.events.event_sink import check_event_log
from nextclick.serving.settings import Settings
from nextclick.serving.traffic_split import TrafficSplit
from serving_cases import TOKEN, Client, make_app
from small_shop import START, make_store

AB = "v1=0.5,v2=0.5"


@pytest.fixture(scope="module")
def shop(store, tmp_path_factory):
    """A registry with markov as v1, pop as v2, and markov of another catalog as v3."""
    folder = tmp_path_factory.mktemp("ab")
    registry = Registry.create(folder / "shop")
    other = make_store(folder / "other", [[10, 20, 30], [20, 30, 60], [60, 10, 20]] * 10)
    for n, (data, model) in enumerate(((store, "markov"), (store, "pop"), (other, "markov"))):
        train(data, model, folder / f"model-{n}")
        registry.publish(folder / f"model-{n}")
    return registry.path


def test_the_split_has_the_shares_and_is_stable():
    split = TrafficSplit.parse("v3=0.3,v4=0.7")
    arms = [split.arm(f"s{n}", None) for n in range(20_000)]
    # 4 standard deviations of a binomial share
    assert np.mean([arm == "v3" for arm in arms]) == pytest.approx(0.3, abs=0.013)
    assert TrafficSplit.parse("v4=0.7,v3=0.3").arm("s1", None) == arms[1]
    assert split.arm("s1", "u") == split.arm("s2", "u") == split.arm(None, "u")
    assert split.arm(None, 12) == split.arm(None, "12")
    code = (
        "from nextclick.serving.traffic_split import TrafficSplit\n"
        "split = TrafficSplit.parse('v3=0.3,v4=0.7')\n"
        "print(*(split.arm(f's{n}', None) for n in range(100)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert done.stdout.split() == arms[:100]


def test_the_groups_of_two_tests_are_independent():
    first, second = TrafficSplit.parse("v1=0.5,v2=0.5"), TrafficSplit.parse("v2=0.5,v3=0.5")
    both = [(first.arm(f"s{n}", None), second.arm(f"s{n}", None)) for n in range(8_000)]
    shares = [both.count((a, b)) / len(both) for a in ("v1", "v2") for b in ("v2", "v3")]
    assert shares == pytest.approx([0.25] * 4, abs=0.02)


@pytest.mark.parametrize("text", ["v1", "v1=0.5", "v1=0.5,v2=0.6", "v1=1,v2=0", "v1=.5,v2=x"])
def test_a_split_that_is_none_is_refused(text):
    with pytest.raises(
        ConfigError,
        match=r"must be a version and its share in 0|the shares of at least two versions",
    ):
        Settings(ab=text).checked()


def test_the_shares_must_sum_to_1():
    with pytest.raises(
        ConfigError, match=r"of at least two versions must sum to 1, got 0\.9 for 2"
    ):
        TrafficSplit.parse("v1=0.5,v2=0.4")
    with pytest.raises(ConfigError, match=r"'v1=0\.5' must be a version and its share in"):
        TrafficSplit.parse("v1=0.5,v1=0.5")


def test_each_session_is_answered_by_its_version(shop, tmp_path):
    events = tmp_path / "events"
    check_event_log(str(events))
    split = TrafficSplit.parse(AB)
    alone = {}
    for n in (1, 2):
        with Client(make_app({"model": shop / "versions" / f"v{n}"})) as client:
            alone[f"v{n}"] = client.post("/v1/recommend", {"session": [10], "k": 3}).json()["items"]
    assert alone["v1"] != alone["v2"]
    for _ in range(2):  # also after a restart
        with Client(make_app({"shop": shop}, ab=AB, event_log=str(events))) as client:
            for n in range(20):
                answer = client.post(f"/v1/sessions/s{n}/events", {"item": 10, "k": 3}).json()
                arm = split.arm(f"s{n}", None)
                assert answer["recommendation"]["version"] == arm
                assert answer["recommendation"]["items"] == alone[arm]
                client.delete(f"/v1/sessions/s{n}")
            by_user = client.post("/v1/recommend", {"session": [10], "k": 3, "user": "u"}).json()
            assert by_user["version"] == split.arm(None, "u")
            anonymous = {"session": [10], "k": 3}
            assert client.post("/v1/recommend", anonymous).json()["version"] == "v1"
            requests = [anonymous, *({"session": [10], "k": 3, "user": f"u{n}"} for n in range(6))]
            batch = client.post("/v1/recommend/batch", {"requests": requests}).json()["responses"]
            assert [one["version"] for one in batch] == [
                "v1", *(split.arm(None, f"u{n}") for n in range(6))
            ]  # fmt: skip
            assert [one["items"] for one in batch] == [alone[one["version"]] for one in batch]
            (model,) = client.get("/v1/models").json()["models"]
            assert (model["version"], model["ab"]) == ("v1", {"v1": 0.5, "v2": 0.5})
    convert_segments(events)
    lines = pl.concat(pl.read_parquet(file) for file in events.iterdir()).to_dicts()
    assert {line["arm"] for line in lines if line["session"]} == {"v1", "v2"}
    assert all(line["arm"] == line["version"] for line in lines if line["session"])
    assert all(line["propensity"] == [1.0] * 3 for line in lines)
    assert any(line["arm"] is None and line["session"] is None for line in lines)


def test_the_visitor_of_the_stored_session_decides(shop):
    split = TrafficSplit.parse(AB)
    user = next(f"u{n}" for n in range(99) if split.arm("s1", None) != split.arm(None, f"u{n}"))
    with Client(make_app({"shop": shop}, ab=AB)) as client:
        for body in ({"user": user}, {}, {}):
            answer = client.post(
                "/v1/sessions/s1/events", {"item": 10, "k": 1, "time": START} | body
            )
            assert answer.json()["recommendation"]["version"] == split.arm(None, user)


def test_a_test_keeps_its_versions(shop, store, tmp_path):
    app = make_app({"shop": shop}, ab=AB, token=TOKEN)
    admin = {"Authorization": f"Bearer {TOKEN}"}
    with Client(app) as client:
        registry = Registry(shop)
        registry.activate("v2")
        app.models.reload()
        slot = app.models.slot(None)
        assert [loaded.version.name for loaded in slot.served] == ["v1", "v2"]
        answer = client.post("/v1/models/activate", {"version": "v2"}, headers=admin)
        assert answer.status_code == 409
        assert "runs an A/B test between v1, v2; to end the test" in answer.json()["detail"]
        registry.activate("v3")


def test_versions_that_cannot_be_compared_are_named(shop):
    with pytest.raises(ConfigError, match="has no version v9; known: v1, v2, v3; the test needs"):
        make_app({"shop": shop}, ab="v1=0.5,v9=0.5")
    with pytest.raises(
        ConfigError,
        match="the catalog of v3 differs from that of v1: 1 items are new, and 2 are missing",
    ):
        make_app({"shop": shop}, ab="v1=0.5,v3=0.5")
    with pytest.raises(ConfigError, match=r"has no version v1; .*; the test needs versions of a"):
        make_app({"model": shop / "versions" / "v1"}, ab=AB)
