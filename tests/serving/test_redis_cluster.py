"""Live sessions in a Redis cluster: a node that does not respond affects its own keys only."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import time

import pytest

from nextclick.serving.sessions import redis_store
from nextclick.serving.sessions.session_store import (
    Click,
    StoreLimits,
    StoreUnavailableError,
    open_store,
)

LIMITS = StoreLimits(60.0, 3, 1000, 64)
SESSIONS = [f"s{n}" for n in range(60)]


class Node:
    """A node of a cluster as a process; it can be stopped and started."""

    def __init__(self, folder):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as free:
            bus = free.getsockname()[1]
        folder.mkdir()
        self.address = f"127.0.0.1:{self.port}"
        self.command = [
            "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
            "--cluster-enabled", "yes", "--cluster-port", str(bus), "--dir", str(folder),
            "--cluster-require-full-coverage", "no",
        ]  # fmt: skip
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        _until(self._listens)

    def _listens(self):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    if not (shutil.which("redis-server") and shutil.which("redis-cli")):
        pytest.skip("no redis-server and redis-cli on the PATH")
    monkeypatch.setattr(redis_store, "_TIMEOUT", 10.0)  # tests share processors
    with contextlib.ExitStack() as stack:
        nodes = []
        for n in range(3):
            nodes.append(Node(tmp_path / str(n)))
            stack.callback(nodes[-1].stop)
        create = ["redis-cli", "--cluster", "create", *(node.address for node in nodes)]
        subprocess.run([*create, "--cluster-yes"], check=True, capture_output=True)
        for node in nodes:
            _until(lambda node=node: "cluster_state:ok" in _info(node))
        yield nodes


def _info(node):
    host, _, port = node.address.partition(":")
    command = ["redis-cli", "-h", host, "-p", port, "cluster", "info"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _until(holds, seconds=120):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


async def stored(store):
    """The sessions that take a click."""
    found = []
    for key in SESSIONS:
        with contextlib.suppress(StoreUnavailableError):
            await store.append(key, Click(10, 1.0))
            found.append(key)
    return found


def test_a_cluster_does_what_every_store_does(nodes):
    async def steps():
        store = open_store(f"redis+cluster://{nodes[0].address}", LIMITS)
        await store.check_write()
        for key in SESSIONS:
            for n, item in enumerate([10, "x", 30, 40]):
                session = await store.append(key, Click(item, float(n), "u" if n == 2 else None))
            assert session.items == ["x", 30, 40]  # the latest three
        several = await store.get_many([*SESSIONS[:5], "unknown"])
        assert [one and one.items for one in several] == [["x", 30, 40]] * 5 + [None]
        assert await store.delete("s0")
        assert await store.get("s0") is None
        assert (await store.get("s1")).user == "u"
        await store.close()

    asyncio.run(steps())


def test_a_node_that_is_away_affects_its_own_sessions_only(nodes):
    async def steps():
        store = open_store(f"redis+cluster://{nodes[0].address}", LIMITS)
        assert await stored(store) == SESSIONS
        nodes[1].stop()
        rest = await stored(store)
        assert 0 < len(rest) < len(SESSIONS)
        assert await stored(store) == rest
        nodes[1].start()
        while await stored(store) != SESSIONS:
            await asyncio.sleep(0.1)
        for node in nodes:
            node.stop()
        assert await stored(store) == []
        for node in nodes:
            node.start()
        while await stored(store) != SESSIONS:
            await asyncio.sleep(0.1)
        await store.close()

    asyncio.run(steps())


class Cluster:
    """A stand-in for the client: two nodes, one of which is away."""

    class Named:
        def __init__(self, name):
            self.name = name

    def __init__(self):
        self.away, self.sent = {"odd"}, []
        self.nodes_manager = self

    def get_node_from_key(self, key):
        return self.Named("odd" if int(key[-1]) % 2 else "even")

    def get_node(self, node_name):
        return self.Named(node_name)

    async def lrange(self, key, *_):
        node = self.get_node_from_key(key).name
        self.sent.append(node)
        if node in self.away:
            raise ConnectionError
        return []

    async def initialize(self):
        pass

    async def ping(self, target_nodes):
        if target_nodes.name in self.away:
            raise ConnectionError

    async def aclose(self):
        pass


def test_requests_do_not_contact_a_node_that_is_away(monkeypatch):
    cluster = Cluster()
    monkeypatch.setattr(redis_store.RedisClusterStore, "_client", staticmethod(lambda _: cluster))
    monkeypatch.setattr(redis_store, "_PING_INTERVAL", 0.001)

    async def steps():
        store = open_store("redis+cluster://127.0.0.1:1", LIMITS)
        for key in ("s1", "s2", "s3", "s4", "s5"):
            if int(key[1]) % 2:
                with pytest.raises(StoreUnavailableError, match="redis: ConnectionError"):
                    await store.get(key)
            else:
                assert await store.get(key) is None
        assert cluster.sent == ["odd", "even", "even"]
        cluster.away.clear()
        while "odd" not in cluster.sent[1:]:
            with contextlib.suppress(StoreUnavailableError):
                await store.get("s1")
            await asyncio.sleep(0.001)
        await store.close()

    asyncio.run(steps())
