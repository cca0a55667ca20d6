import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
import time

import pytest

from nextclick.errors import ConfigError
from nextclick.serving.sessions.session_store import (
    SESSION_STORES,
    Click,
    SessionStoreError,
    StoreBackend,
    StoreLimits,
    StoreUnavailableError,
    open_store,
)
from serving_cases import Client, make_app

LIMITS = StoreLimits(seconds=60, clicks=3, sessions=2, megabytes=4)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


STAND_IN = """
import sys
from fakeredis import TcpFakeServer
TcpFakeServer.allow_reuse_address = True
TcpFakeServer(("127.0.0.1", int(sys.argv[1])), server_type="redis").serve_forever()
"""


class Redis:
    """A Redis, or what speaks its protocol, as a process; it can be stopped and started."""

    def __init__(self, kind):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        if kind == "fakeredis":
            pytest.importorskip("fakeredis")
            self.command = [sys.executable, "-c", STAND_IN, str(self.port)]
        elif shutil.which(kind) is None:
            pytest.skip(f"no {kind} on the PATH")
        else:
            self.command = [kind, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                return socket.create_connection(("127.0.0.1", self.port), 1).close()
            time.sleep(0.02)
        raise TimeoutError("nobody listens")

    def stop(self):
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def running_redis(kind, monkeypatch):
    monkeypatch.setattr(
        "nextclick.serving.sessions.redis_store._TIMEOUT", 10.0
    )  # tests share processors
    server = Redis(kind)
    yield server
    server.stop()


@pytest.fixture(params=["fakeredis", "redis-server"])
def redis(request, monkeypatch):
    with running_redis(request.param, monkeypatch) as server:
        yield server


@contextlib.contextmanager
def backend(kind, tmp_path, monkeypatch):
    """The address of an empty store of a kind."""
    if kind == "memory":
        yield "memory"
    elif kind == "lmdb":
        yield f"lmdb:{tmp_path / 'state'}"
    else:
        with running_redis(kind, monkeypatch) as server:
            yield server.url


@pytest.fixture(params=["memory", "lmdb", "fakeredis", "redis-server"])
def where(request, tmp_path, monkeypatch):
    with backend(request.param, tmp_path, monkeypatch) as address:
        yield address


def test_what_every_store_does(where):
    async def steps():
        store = open_store(where, LIMITS)
        await store.check_write()
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
        store = open_store(redis.url, LIMITS)
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
        store = open_store(f"lmdb:{tmp_path}", StoreLimits(megabytes=1))

        async def fills():
            for n in range(10_000):
                await store.append(f"s{n}", Click("x" * 256, 0.0))

        with pytest.raises(StoreUnavailableError, match="the file is full"):
            await fills()
        await store.close()

    asyncio.run(steps())


async def writable(store):
    try:
        await store.check_write()
    except SessionStoreError:
        return False
    return True


async def back(store):
    """Wait until it can be written."""
    async with asyncio.timeout(30):
        while not await writable(store):
            await asyncio.sleep(0.05)


def test_redis_that_stops_is_degradation_and_recovers(knn, redis):
    app = make_app({"knn": knn}, state=redis.url)
    with Client(app) as client:
        click = {"item": 20, "k": 3, "history": [10]}
        assert client.post("/v1/sessions/a/events", click).json()["clicks"] == 1
        redis.stop()
        told = client.post("/v1/sessions/a/events", click).json()
        assert (told["degraded"], told["clicks"]) == (True, 1)
        own = client.post("/v1/recommend", {"session": [10, 20], "k": 3}).json()
        assert told["recommendation"]["items"] == own["items"]
        assert told["recommendation"]["degraded"]
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        gone = client.get("/v1/sessions/a")
        assert gone.status_code == 503
        assert gone.json()["problem"] == "the session store does not respond"
        assert client.delete("/v1/sessions/a").headers["retry-after"] == "1"
        redis.start()
        client.run(back(app.store))
        told = client.post("/v1/sessions/b/events", click).json()
        assert (told["degraded"], told["clicks"]) == (False, 1)
        assert client.get("/readyz").json()["status"] == "ready"


def test_kept_connections_that_redis_closed_cost_no_click(redis):
    async def steps():
        store = open_store(redis.url, LIMITS)

        async def clicks():
            await asyncio.gather(*(store.append(f"s{n}", Click(10, 0.0)) for n in range(8)))

        await clicks()  # eight connections
        redis.stop()
        redis.start()
        await asyncio.sleep(0.05)
        await clicks()
        redis.stop()
        with pytest.raises(StoreUnavailableError):
            await store.append("a", Click(10, 0.0))
        redis.start()
        await back(store)
        await clicks()
        await store.close()

    asyncio.run(steps())


class Silent:
    """Takes connections and says nothing. `called` counts them, `store` is away because of it."""

    async def __aenter__(self):
        self.called = 0
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.store = open_store(f"redis://127.0.0.1:{port}/0", LIMITS)
        with pytest.raises(StoreUnavailableError, match="redis: Timeout"):
            await self.store.append("a", Click(10, 0.0))
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _take(self, reader, writer):
        self.called += 1
        await reader.read()
        writer.close()


def test_redis_that_is_silent_is_asked_twice_a_second_whatever_the_load():
    async def steps():
        began = time.monotonic()
        async with Silent() as redis:
            while redis.called < 3:
                with pytest.raises(StoreUnavailableError, match="has not responded since"):
                    await redis.store.append("a", Click(10, 0.0))
                await asyncio.sleep(0.001)
            assert time.monotonic() - began >= 2 * 0.5
            await redis.store.close()

    asyncio.run(steps())


def test_a_store_closes_at_any_moment_of_asking_whether_redis_is_back(monkeypatch):
    monkeypatch.setattr("nextclick.serving.sessions.redis_store._PING_INTERVAL", 0.001)

    async def steps(turns):
        async with Silent() as redis:
            before = redis.called
            while redis.called == before:
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            async with asyncio.timeout(5):
                await redis.store.close()

    for turns in range(12):
        asyncio.run(steps(turns))


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            "disk",
            "--state must be one of memory, lmdb:PATH, redis://HOST:PORT, .*, got 'disk'; ch",
        ),
        ("lmdb:", "--state lmdb: needs the path of a folder; write lmdb:PATH"),
        ("memory:x", "--state memory takes no address, got 'memory:x'; use --state memory"),
        ("lmdb:/dev/null/x", "cannot be opened: .*; name a folder that this user"),
        ("redis://host:port", "--state: invalid Redis URL: .*; write redis://HOST"),
    ],
)
def test_places_that_are_none(where, message):
    with pytest.raises(ConfigError, match=message):
        open_store(where, LIMITS)


def test_a_store_without_its_library_says_what_to_install(monkeypatch, tmp_path):
    for where, library, module in (
        (f"lmdb:{tmp_path}", "lmdb", "lmdb_store"),
        ("redis://localhost:1/0", "redis", "redis_store"),
    ):
        monkeypatch.delitem(sys.modules, f"nextclick.serving.sessions.{module}", raising=False)
        monkeypatch.setitem(sys.modules, library, None)
        if library == "redis":
            monkeypatch.setitem(sys.modules, "redis.asyncio", None)
        words = r"--state \w+ needs the package [\w.]+, which is not installed; pip install 'next"
        with pytest.raises(ConfigError, match=words):
            open_store(where, LIMITS)


TOY = """
from nextclick.serving.sessions.session_store import Session


class ToyStore:
    name = "toy"

    def __init__(self):
        self.sessions = {}

    @classmethod
    def open(cls, url, limits, clock):
        return cls()

    async def append(self, key, click):
        self.sessions.setdefault(key, []).append(click)
        return Session(self.sessions[key])

    async def get(self, key):
        return Session(self.sessions[key]) if key in self.sessions else None

    async def delete(self, key):
        return self.sessions.pop(key, None) is not None

    async def sweep(self):
        return 0

    async def check_write(self):
        pass

    async def close(self):
        pass
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A backend of one file."""
    (tmp_path / "toy_store.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    yield StoreBackend("toy_store:ToyStore", "toy", shared=False)
    sys.modules.pop("toy_store", None)


def check_toy(knn):
    with Client(make_app({"knn": knn}, state="toy")) as client:
        for n, item in enumerate([10, 20], start=1):
            event = client.post("/v1/sessions/a/events", {"item": item, "k": 2}).json()
            assert (event["clicks"], event["degraded"]) == (n, False)
        whole = client.post("/v1/recommend", {"session": [10, 20], "k": 2}).json()
        assert event["recommendation"] == whole
        assert client.get("/readyz").json()["session_store"] == {
            "backend": "toy", "status": "ok", "lost_clicks": 0,
        }  # fmt: skip
        assert client.delete("/v1/sessions/a").status_code == 204
        assert client.get("/v1/sessions/a").status_code == 404


def test_a_backend_is_one_file_and_one_line(knn, toy, monkeypatch):
    monkeypatch.setitem(SESSION_STORES, "toy", toy)
    check_toy(knn)
    with pytest.raises(
        ConfigError,
        match="--workers 2 cannot share --state toy, which is private to a",
    ):
        make_app({"knn": knn}, state="toy", workers=2)


def test_another_package_adds_a_backend_by_an_entry_point(knn, toy, monkeypatch):
    class EntryPoint:
        def load(self):
            return toy

    def entry_points(*, group, name):
        return [EntryPoint()] if (group, name) == ("nextclick.session_stores", "toy") else []

    monkeypatch.setattr("nextclick.serving.sessions.session_store.entry_points", entry_points)
    check_toy(knn)
