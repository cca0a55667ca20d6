"""Faults of session stores: what a server answers, counts and reports meanwhile, and afterwards.

`serve_drills.py` imports it. Redis and LMDB are real: a redis-server on a free port, an LMDB folder
on a file system of its own (a mounted tmpfs, which needs root), which can be full or read-only.
"""

from __future__ import annotations

import datetime
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis import Redis

from server_process import Client, running, serve_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nextclick.core.types import RawId

CLICKS = 200
SESSIONS = 50
_MORE = 100_000  # sessions that certainly fill a small store


@dataclass(frozen=True)
class Store:
    """A session store to disturb.

    Attributes:
        arguments: of `nextclick serve`.
        breaks: causes the fault.
        repairs: ends it.
        sessions: prefix of the sessions that are clicked during the fault; "drill" exist already.
    """

    arguments: tuple[object, ...]
    breaks: Callable[[Client, RawId], object]
    repairs: Callable[[Client], object]
    sessions: str = "drill"


def state_faults(artifact: Path, items: Sequence[RawId], redis_server: str | None) -> list[Any]:
    """A row for each fault; faults whose means are missing have a reason instead of counts."""
    program = redis_server or shutil.which("redis-server")
    rows = []
    with tempfile.TemporaryDirectory(prefix="nextclick-state-") as folder:
        for name, fault in {**_REDIS, **_LMDB}.items():
            if name in _REDIS and program is None:
                rows.append({"fault": name, "skipped": "no redis-server"})
                continue
            place = Path(folder) / name.replace(" ", "-").replace(":", "")
            place.mkdir()
            try:
                with fault(place, str(program)) as store:
                    rows.append({"fault": name, **_disturbed(artifact, items, store)})
            except subprocess.CalledProcessError as error:
                rows.append({"fault": name, "skipped": str(error)})
        for name, start in _AT_THE_START.items():
            place = Path(folder) / name.replace(" ", "-").replace(":", "")
            place.mkdir()
            with start(place, str(program)) as arguments:
                rows.append({"fault": name, **_refused_start(artifact, arguments)})
    return rows


def _disturbed(artifact: Path, items: Sequence[RawId], store: Store) -> dict[str, Any]:
    """Clicks and recommendations during a fault and after it."""
    with running(serve_command(f"m={artifact}", *store.arguments)) as server:
        with Client(server.url) as client:
            healthy = _clicks(client, items, "drill")
            store.breaks(client, items[0])
            lost_before = _ready(client)["lost_clicks"]
            during = _clicks(client, items, store.sessions)
            ready = _ready(client)
            store.repairs(client)
            until = time.monotonic() + 10
            while _ready(client)["status"] != "ok" and time.monotonic() < until:
                time.sleep(0.05)
            after = _clicks(client, items, store.sessions)
            end = _ready(client)
        alive = server.process.poll() is None
    return {
        "degraded before": healthy["degraded"],
        "clicks": during["clicks"], "degraded": during["degraded"],
        "counted lost": ready["lost_clicks"] - lost_before,
        "recommendations failed": during["failed"],
        "slowest ms": during["slowest ms"],
        "readyz": f"{ready['status']}: {ready.get('problem', '')}".rstrip(": "),
        "degraded after": after["degraded"],
        "lost after": end["lost_clicks"] - ready["lost_clicks"],
        "readyz after": end["status"], "alive": alive,
    }  # fmt: skip


def _clicks(client: Client, items: Sequence[RawId], sessions: str) -> dict[str, Any]:
    degraded = failed = 0
    slowest = 0.0
    for n in range(CLICKS):
        path = f"/v1/sessions/{sessions}-{n % SESSIONS}/events"
        began = time.perf_counter()
        status, told = client.ask("POST", path, {"item": items[n % len(items)], "k": 5})
        slowest = max(slowest, 1000 * (time.perf_counter() - began))
        failed += status != 200
        degraded += status == 200 and bool(told["degraded"])
        status, _ = client.ask("POST", "/v1/recommend", {"session": list(items[:2]), "k": 5})
        failed += status != 200
    return {"clicks": CLICKS, "degraded": degraded, "failed": failed, "slowest ms": slowest}


def _ready(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/readyz")["session_store"]
    return found


def _refused_start(artifact: Path, arguments: Sequence[object]) -> dict[str, Any]:
    done = subprocess.run(
        serve_command(f"m={artifact}", *arguments),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return {"exit code": done.returncode, "message": done.stderr.strip().splitlines()[-1]}


class _RedisProcess:
    """A redis-server that can be stopped and started."""

    def __init__(self, program: str, *options: str):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        port = ["--port", "0", "--tls-port"] if "--tls-cert-file" in options else ["--port"]
        self._command = [program, *port, str(self.port), "--save", "", *options]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                time.sleep(0.02)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def call(self, *command: str, password: str | None = None) -> Any:
        with Redis(port=self.port, password=password) as client:
            return client.execute_command(*command)


@contextmanager
def _redis(program: str) -> Iterator[_RedisProcess]:
    redis = _RedisProcess(program)
    try:
        yield redis
    finally:
        redis.stop()


@contextmanager
def _redis_full(place: Path, program: str) -> Iterator[Store]:
    del place
    with _redis(program) as redis:
        redis.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
        yield Store(
            ("--state", redis.url),
            lambda *_: redis.call("CONFIG", "SET", "maxmemory", "1"),
            lambda _: redis.call("CONFIG", "SET", "maxmemory", "0"),
        )


@contextmanager
def _redis_wrong_type(place: Path, program: str) -> Iterator[Store]:
    del place
    with _redis(program) as redis:
        key = "nextclick:session:drill-0"
        yield Store(
            ("--state", redis.url),
            lambda *_: redis.call("SET", key, "x"),
            lambda _: redis.call("DEL", key),
        )


@contextmanager
def _redis_password(place: Path, program: str) -> Iterator[Store]:
    """The password changes while the server runs."""
    del place
    with _redis(program) as redis:

        def breaks(*_: object) -> None:
            redis.call("CONFIG", "SET", "requirepass", "other")
            redis.call("CLIENT", "KILL", "TYPE", "normal", password="other")

        yield Store(
            ("--state", redis.url),
            breaks,
            lambda _: redis.call("CONFIG", "SET", "requirepass", "", password="other"),
        )


@contextmanager
def _redis_read_only(place: Path, program: str) -> Iterator[Store]:
    """Redis becomes a replica, as after a failover."""
    del place
    with _redis(program) as redis:
        yield Store(
            ("--state", redis.url),
            lambda *_: redis.call("REPLICAOF", "127.0.0.1", "1"),
            lambda _: redis.call("REPLICAOF", "NO", "ONE"),
        )


@contextmanager
def _redis_gone(place: Path, program: str) -> Iterator[Store]:
    del place
    with _redis(program) as redis:
        yield Store(("--state", redis.url), lambda *_: redis.stop(), lambda _: redis.start())


@contextmanager
def _lmdb_full(place: Path, program: str) -> Iterator[Store]:
    del program
    more = range(SESSIONS, _MORE)

    def repairs(client: Client) -> None:
        for n in more:
            if client.ask("DELETE", f"/v1/sessions/drill-{n}")[0] != 204:
                break

    yield Store(("--state", f"lmdb:{place}", "--state-megabytes", 1), _fill, repairs)


def _fill(client: Client, item: RawId) -> None:
    """Start sessions until one is not stored."""
    for n in range(SESSIONS, _MORE):
        _, told = client.ask("POST", f"/v1/sessions/drill-{n}/events", {"item": item, "k": 0})
        if told["degraded"]:
            return
    raise SystemExit("the store did not become full")


@contextmanager
def _disk_full(place: Path, program: str) -> Iterator[Store]:
    del program
    with _mounted(place, "size=4m"):

        def breaks(client: Client, item: RawId) -> None:
            with (place / "filler").open("wb", buffering=0) as filler:
                try:
                    while True:
                        filler.write(bytes(1 << 12))
                except OSError:
                    pass
            _fill(client, item)

        yield Store(
            ("--state", f"lmdb:{place}"), breaks, lambda _: (place / "filler").unlink(), "new"
        )


@contextmanager
def _mounted(place: Path, options: str) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def _wrong_password(place: Path, program: str) -> Iterator[tuple[object, ...]]:
    del place
    with _redis(program) as redis:
        redis.call("CONFIG", "SET", "requirepass", "right")
        yield "--state", redis.url.replace("//", "//:wrong@")


@contextmanager
def _wrong_host(place: Path, program: str) -> Iterator[tuple[object, ...]]:
    del place, program
    yield "--state", "redis://no-such-host.invalid:6379/0"


@contextmanager
def _wrong_authority(place: Path, program: str) -> Iterator[tuple[object, ...]]:
    """The certificate of Redis is signed by itself; the server trusts another one."""
    for name in ("redis", "other"):
        _certificate(place / f"{name}.pem")
    own = str(place / "redis.pem")
    redis = _RedisProcess(
        program, "--tls-cert-file", own, "--tls-key-file", own, "--tls-ca-cert-file", own,
        "--tls-auth-clients", "no",
    )  # fmt: skip
    try:
        url = redis.url.replace("redis://", "rediss://")
        yield "--state", f"{url}?ssl_ca_certs={place / 'other.pem'}"
    finally:
        redis.stop()


@contextmanager
def _read_only(place: Path, program: str) -> Iterator[tuple[object, ...]]:
    del program
    with _mounted(place, "size=1m,ro"):
        yield "--state", f"lmdb:{place}"


def _certificate(file: Path) -> None:
    """A key and its own certificate for this machine."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, file.stem)])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.DNSName("localhost")
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + signed.public_bytes(encoding))


_REDIS = {
    "redis: full, noeviction": _redis_full,
    "redis: one key of another type": _redis_wrong_type,
    "redis: the password changes": _redis_password,
    "redis: read-only": _redis_read_only,
    "redis: gone and back": _redis_gone,
}
_LMDB = {"lmdb: file full": _lmdb_full, "lmdb: disk full": _disk_full}
_AT_THE_START = {
    "start: wrong password": _wrong_password,
    "start: wrong host": _wrong_host,
    "start: wrong certificate authority": _wrong_authority,
    "start: lmdb in a read-only folder": _read_only,
}
