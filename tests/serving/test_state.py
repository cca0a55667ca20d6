import asyncio
import socket
import sys
import threading

import pytest

from nextclick.errors import ConfigError
from nextclick.serving.state import Click, Limits, StateLostError, open_store
from serving_cases import Client, make_app

LIMITS = Limits(seconds=60, clicks=3, sessions=2, megabytes=4)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Redis:
    """A stand-in for Redis that speaks its protocol on a port; it can be stopped and started."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.start()

    def start(self):
        from fakeredis import TcpFakeServer

        TcpFakeServer.allow_reuse_address = True
        self.server = TcpFakeServer(("127.0.0.1", self.port), server_type="redis")
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def redis():
    pytest.importorskip("fakeredis")
    server = Redis()
    yield server
    server.stop()


@pytest.fixture(params=["memory", "lmdb", "redis"])
def where(request, tmp_path):
    if request.param == "lmdb":
        return f"lmdb:{tmp_path / 'state'}"
    if request.param == "redis":
        return f"redis://127.0.0.1:{request.getfixturevalue('redis').port}/0"
    return "memory"


def test_what_every_store_does(where):
    async def steps():
        store = open_store(where, LIMITS)
        assert await store.ready()
        assert await store.get("a") is None
        for n, item in enumerate([10, "x", 30, 40]):
            session = await store.append("a", Click(item, float(n), "u" if n == 2 else None))
        assert session.items == ["x", 30, 40]  # the latest three
        again = await store.get("a")
        assert (again.items, again.times, again.user) == (["x", 30, 40], [1.0, 2.0, 3.0], "u")
        assert await store.get("b") is None
        assert await store.delete("a")
        assert not await store.delete("a")
        assert await store.get("a") is None
        await store.close()

    asyncio.run(steps())


@pytest.mark.parametrize("kind", ["memory", "lmdb"])
def test_a_session_is_gone_when_its_time_is_over(kind, tmp_path):
    clock = Clock()

    async def steps():
        store = open_store("memory" if kind == "memory" else f"lmdb:{tmp_path}", LIMITS, clock)
        await store.append("a", Click(10, 0.0))
        clock.now += 40
        await store.append("b", Click(20, 0.0))
        assert await store.sweep() == 0
        clock.now += 30  # 70 after a, 30 after b
        assert await store.get("a") is None
        assert (await store.get("b")).items == [20]
        assert await store.sweep() == 1
        assert not await store.delete("a")
        clock.now += 60
        assert (await store.append("b", Click(30, 0.0))).items == [30]  # begun anew
        await store.close()

    asyncio.run(steps())


def test_redis_is_told_when_a_session_expires(redis):
    from redis import Redis as Plain

    async def steps():
        store = open_store(f"redis://127.0.0.1:{redis.port}/0", LIMITS)
        await store.append("a", Click(10, 0.0))
        await store.close()

    asyncio.run(steps())
    plain = Plain(port=redis.port)
    assert 50_000 < plain.pttl("nextclick:session:a") <= 60_000
    plain.close()


def test_memory_holds_so_many_sessions():
    async def steps():
        store = open_store("memory", LIMITS)
        for name in "abc":
            await store.append(name, Click(10, 0.0))
        assert await store.get("a") is None
        assert len(store) == 2

    asyncio.run(steps())


def test_processes_share_lmdb(tmp_path):
    async def steps():
        one = open_store(f"lmdb:{tmp_path}", LIMITS)
        await one.append("a", Click(10, 0.0))
        await one.close()
        other = open_store(f"lmdb:{tmp_path}", LIMITS)
        assert (await other.append("a", Click(20, 0.0))).items == [10, 20]
        await other.close()

    asyncio.run(steps())


def test_a_full_lmdb_file_is_lost_state(tmp_path):
    async def steps():
        store = open_store(f"lmdb:{tmp_path}", Limits(megabytes=1))

        async def fills():
            for n in range(10_000):
                await store.append(f"s{n}", Click("x" * 256, 0.0))

        with pytest.raises(StateLostError, match="MDB_MAP_FULL"):
            await fills()
        await store.close()

    asyncio.run(steps())


def test_redis_that_stops_is_degradation_and_recovers(knn, redis):
    app = make_app({"knn": knn}, state=f"redis://127.0.0.1:{redis.port}/0")
    with Client(app) as client:
        click = {"item": 20, "k": 3, "before": [10]}
        assert client.post("/v1/sessions/a/events", click).json()["clicks"] == 1
        redis.stop()
        app.run_out = app.store._redis.connection_pool.disconnect
        client.run(app.run_out())
        told = client.post("/v1/sessions/a/events", click).json()
        assert (told["degraded"], told["clicks"]) == (True, 1)
        own = client.post("/v1/recommend", {"session": [10, 20], "k": 3}).json()
        assert told["recommended"]["items"] == own["items"]
        assert told["recommended"]["degraded"]
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        gone = client.get("/v1/sessions/a")
        assert gone.status_code == 503
        assert gone.json()["problem"] == "live sessions cannot be reached"
        assert client.delete("/v1/sessions/a").headers["retry-after"] == "1"
        redis.start()
        app.store._silent_until = 0.0
        told = client.post("/v1/sessions/b/events", click).json()
        assert (told["degraded"], told["clicks"]) == (False, 1)
        assert client.get("/readyz").json()["status"] == "ready"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("disk", "--state must be memory, lmdb:PATH or redis://HOST:PORT, got 'disk'"),
        ("lmdb:", "--state must be memory"),
        ("lmdb:/dev/null/x", "cannot be opened: .*; name a folder that this user"),
        ("redis://host:port", "cannot be read as an address of Redis"),
    ],
)
def test_places_that_are_none(where, message):
    with pytest.raises(ConfigError, match=message):
        open_store(where, LIMITS)


def test_a_store_without_its_library_says_what_to_install(monkeypatch, tmp_path):
    for where, library, module in (
        (f"lmdb:{tmp_path}", "lmdb", "state_lmdb"),
        ("redis://localhost:1/0", "redis", "state_redis"),
    ):
        monkeypatch.delitem(sys.modules, f"nextclick.serving.{module}", raising=False)
        monkeypatch.setitem(sys.modules, library, None)
        if library == "redis":
            monkeypatch.setitem(sys.modules, "redis.asyncio", None)
        words = r"--state \w+: needs the package [\w.]+, which is not installed; pip install 'next"
        with pytest.raises(ConfigError, match=words):
            open_store(where, LIMITS)
