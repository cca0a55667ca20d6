"""Session stores that fail: what is lost, who notices, and what the log contains."""

import asyncio
import errno
import logging
import os
import socket
import ssl
from pathlib import Path

import lmdb
import pytest
from redis import exceptions as redis_errors
from test_session_stores import Redis

from nextclick.errors import ArtifactError, ConfigError
from nextclick.serving import model_versions
from nextclick.serving.log_limit import RepeatLimit
from nextclick.serving.problem_details import error_response
from nextclick.serving.server import check_session_store
from nextclick.serving.sessions import redis_failures, redis_store
from nextclick.serving.sessions.lmdb_store import LMDBStore
from nextclick.serving.sessions.session_store import (
    Click,
    SessionUnreadableError,
    StoreConfigError,
    StoreLimits,
    StoreUnavailableError,
    open_store,
)
from nextclick.serving.settings import Settings
from nextclick.serving.worker_pool import NOT_LOADED, WorkerPool
from serving_cases import Client, make_app

LIMITS = StoreLimits(seconds=60, clicks=100, sessions=10, megabytes=4)
CLICK = {"item": 10, "k": 1}


def events(name):
    return f"/v1/sessions/{name}/events"


class Failing:
    """A store that fails as it is told, `error(key)`; the rest is that of a memory store."""

    name = "failing"

    def __init__(self, error):
        self.error, self.sessions = error, open_store("memory", LIMITS)

    def __getattr__(self, name):
        return getattr(self.sessions, name)

    async def append(self, key, click):
        error = self.error(key)
        if error is not None:
            raise error
        return await self.sessions.append(key, click)

    async def check_write(self):
        error = self.error("the write check")
        if error is not None:
            raise error


def with_store(app, client, error):
    app.store = Failing(error)
    return client


def test_lost_clicks_are_counted_and_readiness_tells(knn, caplog):
    app = make_app({"knn": knn})
    with Client(app) as client:
        full = StoreUnavailableError("lmdb: MapFullError")
        with_store(app, client, lambda key: full)
        for _ in range(3):
            assert client.post(events("secret-id"), CLICK).json()["degraded"]
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json() == {
            "status": "degraded",
            "session_store": {
                "backend": "failing", "status": "failing", "lost_clicks": 3,
                "problem": "lmdb: MapFullError",
            },
        }  # fmt: skip
        metrics = client.get("/metrics").text
        assert "nextclick_lost_clicks_total 3.0" in metrics
        assert "nextclick_state_up 0.0" in metrics
        app.store.error = lambda key: None
        assert client.get("/readyz").json()["session_store"]["status"] == "ok"
        assert client.get("/readyz").json()["session_store"]["lost_clicks"] == 3
    assert "secret-id" not in caplog.text


def test_a_session_that_cannot_be_read_is_no_outage(knn):
    app = make_app({"knn": knn})
    with Client(app) as client:
        broken = SessionUnreadableError("redis: ResponseError WRONGTYPE")
        with_store(app, client, lambda key: broken if key == "broken" else None)
        client.get("/readyz")
        for _ in range(3):
            assert client.post(events("broken"), CLICK).json()["degraded"]
            assert not client.post(events("other"), CLICK).json()["degraded"]
        assert client.get("/readyz").json()["status"] == "ready"
        assert "nextclick_state_up 1.0" in client.get("/metrics").text


def test_errors_of_redis_are_told_apart_and_contain_no_ids():
    secret = "Command # 1 (RPUSH nextclick:session:secret OOM) of pipeline caused error: "
    for error, kind, message in (
        (redis_errors.ResponseError(f"{secret}('WRONGTYPE Operation against',)"),
         SessionUnreadableError, "redis: ResponseError WRONGTYPE"),
        (redis_errors.ResponseError("WRONGTYPE Operation"), SessionUnreadableError, None),
        (redis_errors.OutOfMemoryError(f"{secret}('command not allowed',)"),
         StoreUnavailableError, "redis: OutOfMemoryError"),
        (redis_errors.ReadOnlyError(secret), StoreConfigError, "redis: ReadOnlyError"),
        (redis_errors.ResponseError("NOPERM User x may not"), StoreConfigError, None),
        (redis_errors.ResponseError(f"ERR unknown command 'secret' {secret}SECRET x"),
         StoreUnavailableError, "redis: ResponseError"),
        (redis_errors.AuthenticationError("invalid username-password pair"),
         StoreConfigError, "redis: AuthenticationError"),
        (redis_errors.ConnectionError("secret"), StoreUnavailableError, "redis: ConnectionError"),
        (TimeoutError(), StoreUnavailableError, "redis: TimeoutError"),
    ):  # fmt: skip
        found = redis_failures.store_failure(error)
        assert type(found) is kind, error
        assert message is None or str(found) == message
        assert "secret" not in str(found).lower()
    unknown = redis_errors.ConnectionError()
    unknown.__context__ = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert type(redis_failures.store_failure(unknown)) is StoreConfigError
    assert (
        str(redis_failures.store_failure(unknown))
        == "redis: ConnectionError: the host does not exist"
    )
    unknown.__context__ = socket.gaierror(socket.EAI_AGAIN, "Temporary failure")
    assert type(redis_failures.store_failure(unknown)) is StoreUnavailableError
    unknown.__context__ = ssl.SSLCertVerificationError(1, "certificate verify failed")
    assert type(redis_failures.store_failure(unknown)) is StoreConfigError


@pytest.fixture
def redis(monkeypatch):
    monkeypatch.setattr(redis_store, "_TIMEOUT", 10.0)
    server = Redis("redis-server")
    yield server
    server.stop()


def administer(redis, *command):
    from redis import Redis as Plain

    with Plain(port=redis.port) as plain:
        return plain.execute_command(*command)


def test_a_wrong_type_in_redis_affects_one_session(knn, redis, caplog):
    administer(redis, "SET", "nextclick:session:broken", "x")
    with Client(make_app({"knn": knn}, state=redis.url)) as client:
        requests = [("POST", events(name), {"json": CLICK}) for name in ("broken", "a", "b", "c")]
        for _ in range(5):
            answers = [answer.json()["degraded"] for answer in client.together(requests)]
            assert answers == [True, False, False, False]
        ready = client.get("/readyz").json()
        assert (ready["status"], ready["session_store"]["lost_clicks"]) == ("ready", 5)
        assert client.get("/v1/sessions/broken").status_code == 503
    assert "WRONGTYPE" in caplog.text
    assert "nextclick:session" not in caplog.text


def test_a_full_redis_is_told(knn, redis):
    with Client(make_app({"knn": knn}, state=redis.url)) as client:
        assert client.get("/readyz").json()["status"] == "ready"
        administer(redis, "CONFIG", "SET", "maxmemory-policy", "noeviction")
        administer(redis, "CONFIG", "SET", "maxmemory", "1")
        assert client.post(events("a"), CLICK).json()["degraded"]
        store = client.get("/readyz").json()["session_store"]
        assert (store["status"], store["lost_clicks"]) == ("failing", 1)
        administer(redis, "CONFIG", "SET", "maxmemory", "0")
        assert not client.post(events("a"), CLICK).json()["degraded"]
        assert client.get("/readyz").json()["status"] == "ready"


def test_a_wrong_password_is_told_before_the_server_starts(redis):
    administer(redis, "CONFIG", "SET", "requirepass", "right")
    for url in (redis.url, redis.url.replace("//", "//:wrong@")):
        words = "--state redis: the store cannot be written: redis: AuthenticationError.*; check"
        with pytest.raises(ConfigError, match=words):
            check_session_store(Settings(state=url))
    check_session_store(Settings(state=redis.url.replace("//", "//:right@")))


def test_a_redis_that_does_not_run_yet_is_no_reason_not_to_start(caplog):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    check_session_store(Settings(state=f"redis://127.0.0.1:{port}/0"))
    assert "the session store cannot be written yet: redis: ConnectionError" in caplog.text


def test_an_lmdb_folder_that_is_read_only(tmp_path, monkeypatch):
    def opens(path, **options):
        raise lmdb.Error(f"{path}: Permission denied")

    monkeypatch.setattr(lmdb, "open", opens)
    with pytest.raises(ConfigError, match="Permission denied; name a folder that this user may"):
        check_session_store(Settings(state=f"lmdb:{tmp_path}"))


def test_sessions_of_an_earlier_version_are_not_left_in_the_file(tmp_path):
    with lmdb.open(str(tmp_path)) as plain, plain.begin(write=True) as transaction:
        transaction.put(b"s42", b"as text")
    with pytest.raises(ConfigError, match="contains other data, or sessions of an earlier version"):
        LMDBStore(tmp_path, LIMITS)


def test_a_full_lmdb_file_rejects_clicks_until_sessions_end(tmp_path):
    now = [1000.0]

    async def fill(store):
        for n in range(10_000):
            try:
                await store.append(f"s{n}", Click("x" * 256, 0.0))
            except StoreUnavailableError as error:
                return n, str(error)
        raise AssertionError

    async def steps():
        store = LMDBStore(tmp_path, StoreLimits(seconds=60, megabytes=1), lambda: now[0])
        await store.check_write()
        n, message = await fill(store)
        assert message == "lmdb: the file is full: --state-megabytes 1"
        with pytest.raises(StoreUnavailableError, match="the file is full"):
            await store.check_write()
        for m in range(n // 2):
            assert await store.delete(f"s{m}")
        await store.check_write()
        await store.append("s0", Click("x" * 256, 0.0))
        for _ in range(20):  # neither deletions nor expiry ever fail
            await fill(store)
            now[0] += 100.0
            while await store.sweep():
                pass
            await store.check_write()
        assert (tmp_path / "data.mdb").stat().st_size <= 2 << 20
        await store.close()

    asyncio.run(steps())


def test_a_full_disk_fails_the_write_check(tmp_path, monkeypatch):
    class Full:
        def begin(self, **options):
            raise lmdb.DiskError("mdb_txn_commit: No space left on device")

        def info(self):
            return {"last_pgno": 10}

    async def steps():
        store = LMDBStore(tmp_path, LIMITS)
        whole, store._env = store._env, Full()
        with pytest.raises(StoreUnavailableError, match="No space left"):
            await store.check_write()
        with pytest.raises(StoreUnavailableError, match="No space left"):
            await store.append("a", Click(1, 0.0))
        store._env = whole
        await store.close()

    asyncio.run(steps())


def test_a_deleted_session_cannot_be_read_in_the_file(tmp_path):
    """Neither ids nor items are stored as text, and without its key no old page is readable."""
    clicks = [Click(f"secret-item-{n}", float(n), "secret-user") for n in range(30)]

    async def steps():
        store = LMDBStore(tmp_path, LIMITS)
        for click in clicks:
            await store.append("secret-session", click)
            await store.append("other", click)
        vault, name = store._vault, store._vault.name("secret-session")
        with store._env.begin() as transaction:
            value = bytes(transaction.get(name, db=store._sessions))
        slot, sealed = int.from_bytes(value[8:12], "big"), value[12:]
        key = (tmp_path / "keys").read_bytes()[slot * 32 : slot * 32 + 32]
        assert vault.decrypt(slot, sealed)
        assert await store.delete("secret-session")
        assert vault.decrypt(slot, sealed) is None  # also from a copy of the file
        assert key not in (tmp_path / "keys").read_bytes()
        assert b"secret" not in (tmp_path / "data.mdb").read_bytes()
        assert len((await store.get("other")).items) == 30
        await store.append("new", clicks[0])  # takes the slot with another key
        assert vault.decrypt(slot, sealed) is None
        assert (await store.get("new")).items == ["secret-item-0"]
        await store.close()

    asyncio.run(steps())


def test_an_expired_session_loses_its_key_and_a_lost_key_its_session(tmp_path):
    now = [1000.0]

    async def steps():
        store = LMDBStore(tmp_path, LIMITS, lambda: now[0])
        await store.append("a", Click(1, 0.0))
        now[0] += 100
        before = (tmp_path / "keys").read_bytes()
        assert await store.sweep() == 1
        after = (tmp_path / "keys").read_bytes()
        assert (before[:32], after[32:64]) == (after[:32], bytes(32))
        await store.append("b", Click(1, 0.0))
        (tmp_path / "keys").write_bytes(before)  # an older file, as after a power failure
        assert await store.get("b") is None
        assert (await store.append("b", Click(2, 0.0))).items == [2]
        await store.close()

    asyncio.run(steps())


def test_the_clock_of_a_client_is_at_most_a_day_ahead(knn):
    with Client(make_app({"knn": knn})) as client:
        for time in (1e15, 1e11, 4_000_000_000_000):
            answer = client.post(events("a"), CLICK | {"time": time})
            assert answer.status_code == 422
            assert answer.json()["field"] == "time"
            assert answer.json()["problem"].startswith(
                "time must be in seconds since 1970 and at most a day from now, got "
            )
        assert client.get("/v1/sessions/a").status_code == 404
        assert client.post(events("a"), CLICK | {"time": 1.5e9}).status_code == 200


class Process:
    """A process whose life a test decides."""

    pid, exitcode, terminated = 1, 3, False

    def __init__(self, is_alive):
        self._is_alive = is_alive

    def is_alive(self):
        return self._is_alive


class Time:
    """A clock that waiting moves."""

    def __init__(self, most=1000):
        self.now, self.waits, self.most = 0.0, [], most

    def wait(self, seconds):
        self.waits.append(seconds)
        self.now += seconds
        return len(self.waits) >= self.most


def test_workers_that_die_at_once_are_restarted_ever_later_and_then_no_more():
    time, started = Time(), []

    def start():
        started.append(Process(is_alive=False))
        return started[-1]

    pool = WorkerPool(2, start, time.wait, lambda: time.now)
    words = "--workers: the processes exited 5 times soon after their start, the last one with cod"
    with pytest.raises(ConfigError, match=words):
        pool.supervise()
    assert [wait for wait in time.waits if wait != 0.5] == [1.0, 2.0, 4.0, 8.0]
    assert len(started) == 2 + 4


def test_a_first_worker_that_cannot_load_the_models_stops_the_server():
    class Failed(Process):
        exitcode = NOT_LOADED

    time = Time()
    pool = WorkerPool(2, lambda: Failed(is_alive=False), time.wait, lambda: time.now)
    with pytest.raises(ConfigError, match="the models cannot be loaded; see the log"):
        pool.supervise()
    assert time.waits == [0.5]


def test_a_worker_that_ran_for_a_while_is_restarted_at_once():
    time, lives = Time(most=200), []

    class Lasting(Process):
        def __init__(self):
            self.born = time.now

        def is_alive(self):
            return time.now < self.born + 31

    def start():
        lives.append(Lasting())
        return lives[-1]

    WorkerPool(1, start, time.wait, lambda: time.now).supervise()
    assert set(time.waits) == {0.5}
    assert len(lives) == 4


def test_repeated_log_lines_are_left_out():
    now, lines = [0.0], []
    logger = logging.Logger("test")
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    handler.addFilter(RepeatLimit(lambda: now[0]))
    logger.addHandler(handler)
    for n in range(100):
        logger.warning("lost %d", n)
        logger.info("request %d", n)
    assert [line for line in lines if "lost" in line] == [f"lost {n}" for n in range(5)]
    assert sum("request" in line for line in lines) == 100
    now[0] = 60.0
    logger.warning("lost %d", 100)
    assert lines[-1] == "lost 100 (95 similar lines left out)"


def test_the_log_of_an_internal_error_contains_no_message(caplog):
    item_id = "-".join(("secret", "id"))
    with pytest.raises(KeyError) as failure:
        {}[item_id]
    assert error_response(failure.value).status_code == 500
    assert "a request failed with KeyError" in caplog.text
    assert "in test_the_log_of_an_internal_error" in caplog.text
    assert item_id not in caplog.text


@pytest.mark.parametrize(
    ("code", "of_source", "of_registry"),
    [
        (errno.EMFILE, "too many files are open; raise the limit with", "Too many open files"),
        (errno.EACCES, "cannot be read: Permission denied; check the folder", "Permission denied"),
    ],
)
def test_a_folder_of_versions_that_cannot_be_read(
    tmp_path, monkeypatch, code, of_source, of_registry
):
    def fail(path, *_, **__):
        raise OSError(code, os.strerror(code), str(path))

    (tmp_path / "manifest.json").write_text("{}")
    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(ArtifactError, match=of_source):
        model_versions.ArtifactSource(tmp_path).current()
    monkeypatch.setattr(Path, "read_text", fail)
    with pytest.raises(ArtifactError, match=f"cannot be read: {of_registry}"):
        model_versions.open_versions(tmp_path)


def test_a_folder_of_versions_that_is_no_artifact(tmp_path):
    with pytest.raises(ArtifactError, match=r"is not an artifact: manifest\.json is missing; c"):
        model_versions.open_versions(tmp_path).current()
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"not an artifact: weights\.safetensors is missing"):
        model_versions.open_versions(tmp_path).current()
