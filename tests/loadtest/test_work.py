"""What is asked: live sessions in turns, prefixes, batches, of real and of simulated visits."""

import json
from itertools import islice

import pytest

from fake_server import FakeServer
from nextclick.data.store import Store
from nextclick.errors import ConfigError, StoreError
from nextclick.loadtest import Address, Server, Visit, Work, WorkConfig, from_store, simulated
from nextclick.loadtest.ask import open_server
from small_shop import SESSIONS, make_store

SERVER = Server(Address.of("http://h:1"), "secret")
VISITS = [Visit([10, 20, 30], times=[1.0, 2.0, 9.5], user="anna"), Visit(["x", "y"]), Visit([7])]


def asked(n, rate=1.0, visits=VISITS, **config):
    """The first n requests: path and body."""
    found = []
    for sent in islice(Work(visits, WorkConfig(**config), seed=3).requests(SERVER, rate), n):
        head, body = sent.split(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"Authorization: Bearer secret" in head
        found.append((head.split()[1].decode(), json.loads(body)))
    return found


def test_live_sessions_click_in_turns_and_each_in_its_order():
    found = asked(12, rate=4, think=0.5, k=5, model="narm")  # two sessions at a time
    sessions = {}
    for path, body in found:
        name = path.removeprefix("/v1/sessions/").removesuffix("/events")
        sessions.setdefault(name, []).append(body.pop("item"))
        assert body.pop("user", "anna") == "anna"
        assert body == {"k": 5, "model": "narm"}
    # a new name for each visit, begun one after the other; the last ones have not ended
    assert list(sessions.values()) == [[10, 20, 30], ["x", "y"], [7], [10, 20, 30], ["x", "y"], [7]]
    assert [p for p, _ in found[:4]] == [found[0][0], found[1][0]] * 2
    names = {path for path, _ in found}
    assert names.isdisjoint(path for path, _ in asked(12))


def test_prefixes_end_at_any_click_with_times_and_user():
    visit = VISITS[0]
    found = [body for _, body in asked(60, visits=[visit] * 60, mode="recommend", k=3)]
    assert {len(body["session"]) for body in found} == {1, 2, 3}
    for body in found:
        n = len(body["session"])
        assert body == {
            "session": visit.items[:n],
            "times": visit.times[:n],
            "user": "anna",
            "k": 3,
        }
    assert found == [body for _, body in asked(60, visits=[visit] * 60, mode="recommend", k=3)]


def test_a_batch_holds_several_prefixes():
    path, body = asked(1, mode="batch", batch_size=5)[0]
    assert path == "/v1/recommend/batch"
    assert len(body["requests"]) == 5
    assert [one["session"][0] for one in body["requests"]] == [10, "x", 7, 10, "x"]


def test_visits_of_a_store_have_raw_ids_and_times(tmp_path):
    store = make_store(tmp_path / "store")
    visits = from_store(store, "train", seed=1)
    assert sorted(map(tuple, {tuple(v.items) for v in visits})) == sorted(
        {tuple(s) for s in SESSIONS}
    )
    assert all(b - a == 20 for v in visits for a, b in zip(v.times, v.times[1:], strict=False))
    assert [v.items for v in visits] == [v.items for v in from_store(store, "train", seed=1)]
    assert len(from_store(tmp_path / "store", "train", most=2)) == 2
    with pytest.raises(StoreError, match="is not a store"):
        from_store(tmp_path)


def test_a_part_without_a_known_item_is_refused(tmp_path, monkeypatch):
    store = make_store(tmp_path / "store")
    part = Store.part

    def unknown(self, name):
        sessions = part(self, name)
        return sessions.as_known(0 * sessions.support())

    monkeypatch.setattr(Store, "part", unknown)
    with pytest.raises(ConfigError, match="test part has no click on a known item; name another"):
        from_store(store)


def test_simulated_visits_click_what_the_server_sells_as_often_as_it_was_clicked():
    with FakeServer() as fake:
        server = open_server(fake.url)
        visits = simulated(server, seed=4, most=4000)
        assert visits == simulated(server, seed=4, most=4000)
        clicks = [item for visit in visits for item in visit.items]
        assert len(visits) == 4000
        assert len(clicks) / 4000 == pytest.approx(5, rel=0.1)
        assert clicks.count(10) / len(clicks) == pytest.approx(0.5, abs=0.03)
        assert min(len(visit.items) for visit in visits) == 1
        fake._answer = lambda *request: (200, {"items": []})
        with pytest.raises(ConfigError, match="names no items to click on; give real sessions"):
            simulated(server, model="narm")
