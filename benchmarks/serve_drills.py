"""Test a server under disturbance: new versions, SIGTERM, Redis failure, long runs, invalid input.

    pip install 'nextclick[serve,redis,neural]'
    python benchmarks/serve_drills.py ARTIFACT_A ARTIFACT_B -o FOLDER
    python benchmarks/serve_drills.py A B -o FOLDER --drills fuzz --fuzz 20000      # a quick run

swaps    publishes 20 versions to a registry under load, alternately from two artifacts of one
         catalog, and once a broken version (its weights are NaN). Counts failed requests and the
         answers of each version.
sigterm  sends SIGTERM under load. Lost: a request that was sent and not answered. Refused: the port
         was already closed. Checks for exit code 0.
redis    keeps live sessions in Redis, kills and restarts it under load. Reports failures per second
         and the last degraded answer. Uses the redis-server on the PATH or of --redis-server,
         otherwise a substitute (fakeredis) with the same protocol; the table states which.
soak     runs --soak minutes of load over 2,000 live sessions; one request in ten ends a session.
         Reports memory at each full minute; the slope excludes the first quarter.
overload sends ten batches of 256 sessions of 330 clicks with 1,000 explained items at once, and
         reports latencies of other requests. Then --connections connections send one request after
         the other: latencies by status, until the response is written and until it is read. The
         same with a request per second and connection, and a queue of 1: processor time per 1,000
         requests that are nearly all refused.
headers  sends 103 MB of headers, a header of 60 MB, and headers without an end over 200
         connections: answers, peak memory, latency of health checks.
state    fills Redis, LMDB and its disk, breaks a key, changes the password, stops Redis and
         starts it again, and starts a server with wrong settings: answers, lost clicks and /readyz
         in the meantime and afterwards. Needs a redis-server, and root to mount a small disk.
fuzz     sends --fuzz requests over several persistent connections, as fast as they are answered.
         Routes and fields are those of the server's OpenAPI document; values, bytes, lengths,
         methods and paths are randomly invalid. Counts answers by status. No 5xx is allowed except
         503 for overload, which is counted separately. Resumable; --seed draws other requests.

FOLDER stores a JSON file per drill; rerun the same command to print it.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file, save_file

from cache_keys import artifact_key
from connection_flood import many_connections
from fuzz_requests import fuzz
from header_flood import header_floods
from nextclick.artifact import Artifact
from nextclick.artifact.version_registry import Registry
from nextclick.core.manifests import rewrite_manifest
from nextclick.core.percentiles import percentiles
from nextclick.experiments.run_cache import RunCache
from overload import beside_large
from server_process import Client, machine, running, serve_command
from state_faults import state_faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nextclick.core.types import RawId

POOL = 2_000  # live sessions that clicks go to
ENDS = 0.1  # of the requests delete a session, which then starts again
CALLERS = 8
SWAPS = 20
STAND_IN = """
import sys, time
from fakeredis import TcpFakeServer
TcpFakeServer.allow_reuse_address = True
TcpFakeServer(("127.0.0.1", int(sys.argv[1])), server_type="redis").serve_forever()
"""


class Load:
    """Clicks of live sessions at a constant rate, from several threads with a connection each.

    Attributes:
        seen: (second, what came of it) to how many; a version or a kind of failure.
        ms: second to latencies.
        degraded_until: seconds since the beginning, of the last answer without live sessions.
    """

    def __init__(self, url: str, items: list[RawId], rate: float):
        self.seen: Counter[tuple[int, str]] = Counter()
        self.ms: defaultdict[int, list[float]] = defaultdict(list)
        self.degraded_until = 0.0
        self._url, self._items, self._every = url, items, CALLERS / rate
        self._stops = threading.Event()
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._threads = [threading.Thread(target=self._calls, args=(n,)) for n in range(CALLERS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stops.set()
        for thread in self._threads:
            thread.join()

    def total(self) -> Counter[str]:
        """What came of all requests."""
        with self._lock:
            found: Counter[str] = Counter()
            for (_, kind), n in self.seen.items():
                found[kind] += n
            return found

    def _calls(self, number: int) -> None:
        rng = np.random.default_rng(number)
        due = self._began + self._every * number / CALLERS
        with Client(self._url, timeout=15) as client:
            while not self._stops.wait(max(0.0, due - time.monotonic())):
                due += self._every
                session, item = rng.integers(POOL), self._items[rng.integers(len(self._items))]
                began = time.monotonic()
                ends = rng.random() < ENDS
                kind = self._one(client, f"/v1/sessions/drill-{session}", None if ends else item)
                with self._lock:
                    second = int(began - self._began)
                    self.seen[second, kind] += 1
                    self.ms[second].append(1000 * (time.monotonic() - began))
                    if kind == "degraded":
                        self.degraded_until = time.monotonic() - self._began

    @staticmethod
    def _one(client: Client, path: str, item: RawId | None) -> str:
        """Click an item, or end the session."""
        try:
            if item is None:
                status, told = client.ask("DELETE", path)
            else:
                status, told = client.ask("POST", f"{path}/events", {"item": item, "k": 10})
        except ConnectionRefusedError:
            return "refused"
        except (OSError, HTTPException) as error:
            return f"lost: {type(error).__name__}"
        if item is None and status in (204, 404, 503):  # 503: the store of sessions is away
            return "ended"
        if status != 200:
            return f"status {status}"
        return "degraded" if told["degraded"] else f"ok {told['recommendation']['version']}"


def _failed(found: Counter[str]) -> int:
    return sum(n for kind, n in found.items() if not kind.startswith(("ok ", "degraded", "ended")))


def swaps(options: argparse.Namespace, items: list[RawId], rate: float) -> dict[str, Any]:
    """New versions and a broken one under load."""
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry.create(Path(folder) / "registry")
        artifacts = [options.first, options.second]
        versions = [registry.publish(artifacts[0]).name]
        command = serve_command(f"m={registry.path}", "--reload-interval", 0.2)
        with running(command) as server, Client(server.url) as client:

            def told() -> dict[str, Any]:
                model: dict[str, Any] = client.get("/v1/models")["models"][0]
                return model

            with Load(server.url, items, rate) as load:
                time.sleep(2)
                for n in range(SWAPS):
                    if n == SWAPS // 2:
                        broken = registry.publish(_broken(options.first, Path(folder) / "broken"))
                        _until(lambda: bool(told()["rejected"]))
                    versions.append(registry.publish(artifacts[(n + 1) % 2]).name)
                    _until(lambda: told()["version"] == versions[-1])
                    time.sleep(1)
            found = load.total()
            refused = told()["rejected"]
    ok = {name: found[f"ok {name}"] for name in versions}
    return {
        "swaps": len(versions) - 1, "requests": found.total(), "failed": _failed(found),
        "kinds": {kind: n for kind, n in found.items() if not kind.startswith(("ok ", "ended"))},
        "answers_by_version": ok, "versions_seen": sum(n > 0 for n in ok.values()),
        "broken": broken.name, "answers_of_broken": found[f"ok {broken.name}"], "refused": refused,
    }  # fmt: skip


def _broken(artifact: Path, place: Path) -> Path:
    """A copy whose scores overflow: a registry accepts it, because its weights are finite."""
    shutil.copytree(artifact, place)
    weights = load_file(place / "weights.safetensors")
    for array in weights.values():
        if array.dtype.kind == "f":
            array[:] = 1e38
    save_file(weights, place / "weights.safetensors")
    rewrite_manifest(place)
    return place


def _until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise SystemExit("the server did not take what was published")
        time.sleep(0.05)


def sigterm(options: argparse.Namespace, items: list[RawId], rate: float) -> dict[str, Any]:
    """The end under load."""
    with running(serve_command(f"m={options.first}")) as server:
        with Load(server.url, items, rate) as load:
            time.sleep(3)
            server.process.send_signal(signal.SIGTERM)
            code = server.process.wait(60)
            time.sleep(0.5)
        found = load.total()
    lost = sum(n for kind, n in found.items() if kind.startswith("lost"))
    answered = sum(n for kind, n in found.items() if kind.startswith(("ok ", "ended")))
    return {
        "answered": answered, "lost": lost, "refused_after_close": found["refused"],
        "other": {kind: n for kind, n in found.items() if kind.startswith("status")},
        "exit_code": code,
    }  # fmt: skip


@contextmanager
def redis_server(program: str | None, port: int) -> Iterator[None]:
    """Redis on a port, or its stand-in if there is no program; killed at the end."""
    command = [sys.executable, "-c", STAND_IN, str(port)]
    if program is not None:
        command = [program, "--port", str(port), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


def redis(options: argparse.Namespace, items: list[RawId], rate: float) -> dict[str, Any]:
    """Redis killed and started."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = serve_command(f"m={options.first}", "--state", f"redis://127.0.0.1:{port}/0")
    program = options.redis_server or shutil.which("redis-server")
    with redis_server(program, port):
        server = running(command)
        up = server.__enter__()
        load = Load(up.url, items, rate)
        load.__enter__()
        time.sleep(5)
    gone = time.monotonic() - load._began
    time.sleep(8)
    with redis_server(program, port):
        back = time.monotonic() - load._began
        time.sleep(8)
        load.__exit__()
        alive = up.process.poll() is None
        server.__exit__(None, None, None)
    seconds = []
    for second in sorted(load.ms):
        kinds: Counter[str] = Counter()
        for (at, kind), n in load.seen.items():
            kinds["ok" if kind.startswith("ok ") else kind] += n if at == second else 0
        ms = percentiles(load.ms[second], [99])[0]
        seconds.append({"second": second, "p99_ms": ms, **{k: n for k, n in kinds.items() if n}})
    total = load.total()
    return {
        "redis": _redis_version(program), "killed_at_s": gone, "back_at_s": back,
        "degraded_until_s": load.degraded_until, "failed": _failed(total),
        "degraded": total["degraded"], "server_alive": alive, "seconds": seconds,
    }  # fmt: skip


def _redis_version(program: str | None) -> str:
    if program is None:
        return f"a stand-in, fakeredis {version('fakeredis')}"
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return told.stdout.partition(" sha=")[0].strip()


def soak(options: argparse.Namespace, items: list[RawId], rate: float) -> dict[str, Any]:
    """Memory, minute by minute."""
    minutes = []
    with running(serve_command(f"m={options.first}", "--session-seconds", 600)) as server:
        began = time.monotonic()
        with Load(server.url, items, rate) as load:
            for minute in range(round(options.soak) + 1):
                time.sleep(max(0.0, began + 60 * minute - time.monotonic()))
                found = load.total()
                told = {"minute": minute, "requests": found.total(), "failed": _failed(found)}
                minutes.append(told | server.memory())
                print(minutes[-1], file=sys.stderr)
    late = minutes[len(minutes) // 4 :]
    at, rss = ([float(one[name]) for one in late] for name in ("minute", "rss"))
    slope = float(np.polyfit(at, rss, 1)[0]) if len(late) > 1 else 0.0
    return {"minutes": minutes, "slope_mib_per_minute": slope, "failed": minutes[-1]["failed"]}


def fuzzed(options: argparse.Namespace, items: list[RawId], rate: float) -> dict[str, Any]:
    """Nonsense."""
    del rate
    token = "a-token-of-some-length"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "token"
        file.write_text(token)
        arguments = (f"m={options.first}", "--token-file", file, "--timeout", 5)
        with running(serve_command(*arguments)) as server:
            before = server.memory()
            progress = options.output / "progress.json"
            found = fuzz(server.url, items, options.fuzz, options.seed, token, progress)
            alive, after = server.process.poll() is None, server.memory()
            told = server.log.read_text(errors="replace")
    return found | {
        "server_alive": alive, "memory_before": before, "memory_after": after,
        "tracebacks_in_log": told.count("Traceback"),
    }  # fmt: skip


def overload(options: argparse.Namespace, items: list[RawId], rate: float) -> dict[str, Any]:
    """Large requests, and thousands of connections."""
    del rate
    refusing = serve_command(f"m={options.first}", "--max-queue", 1, "--max-batch", 1)
    with running(refusing) as server:
        refused = many_connections(
            server.url, items, options.connections, server.process.pid, pause=1.0
        )
    with running(serve_command(f"m={options.first}")) as server:
        large = beside_large(server.url, items)
        many = many_connections(server.url, items, options.connections, server.process.pid)
        alive = server.process.poll() is None
    return {
        **large,
        **{f"{options.connections} connections: {name}": value for name, value in many.items()},
        **{f"nearly all refused: {name}": value for name, value in refused.items()},
        "server_alive": alive,
    }


def state(options: argparse.Namespace, items: list[RawId], rate: float) -> dict[str, Any]:
    """Faults of the session store."""
    del rate
    rows = state_faults(options.first, items, options.redis_server)
    return {
        "during": [row for row in rows if "message" not in row],
        "at the start": [row for row in rows if "message" in row],
    }


def headers(options: argparse.Namespace, items: list[RawId], rate: float) -> dict[str, Any]:
    """Floods of headers."""
    del items, rate
    with running(serve_command(f"m={options.first}")) as server:
        found = header_floods(server)
        alive = server.process.poll() is None
    return {**found, "server_alive": alive}


DRILLS = {
    "swaps": swaps, "sigterm": sigterm, "redis": redis, "soak": soak, "overload": overload,
    "fuzz": fuzzed, "state": state, "headers": headers,
}  # fmt: skip


def shown(name: str, found: dict[str, Any]) -> str:
    """A drill's result in Markdown."""
    lists = {key: value for key, value in found.items() if isinstance(value, list) and value}
    lines = [f"\n### {name}\n", "| what | result |", "|---|---|"]
    lines += [
        f"| {key} | {_cell(value)} |" for key, value in found.items() if not isinstance(value, list)
    ]
    for rows in lists.values():
        columns = list(dict.fromkeys(key for row in rows for key in row))
        lines += ["", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        lines += [f"| {' | '.join(_cell(row.get(c, '')) for c in columns)} |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_cell(one)}" for key, one in value.items()) or "none"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def main() -> None:
    """Run what is missing, print all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("first", type=Path, metavar="ARTIFACT_A", help="the model that is served")
    add("second", type=Path, metavar="ARTIFACT_B", help="of the same store, to swap with")
    add("-o", "--output", type=Path, required=True, help="folder for the figures")
    add("--drills", nargs="+", choices=list(DRILLS), default=list(DRILLS))
    add("--rate", type=float, default=200.0, help="requests a second (default 200)")
    add("--soak", type=lambda text: float(text.removesuffix("m")), default=20.0, metavar="20m")
    add("--fuzz", type=int, default=1_000_000, help="requests (default 1,000,000)")
    add("--connections", type=int, default=2000, help="of the drill overload (default 2,000)")
    add("--redis-server", metavar="PROGRAM", help="of redis and state (default: on the PATH)")
    add("--seed", type=int, default=0, help="of the nonsense")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    artifact = Artifact.load(options.first)
    best = np.argsort(-artifact.support[1:], kind="stable")[:1000] + 1
    items = [artifact.items.raw(int(i)) for i in best]
    for name in options.drills:
        print(shown(name, cached_drill(name, options, items)), flush=True)


def cached_drill(name: str, options: argparse.Namespace, items: list[RawId]) -> dict[str, Any]:
    """The figures of a drill, measured unless the cache has them for these options."""
    settings = {k: v for k, v in vars(options).items() if k not in ("output", "drills")}
    inputs = settings | {
        "first": artifact_key(options.first), "second": artifact_key(options.second),
        "drill": name, "machine": machine(),
    }  # fmt: skip

    def compute(folder: Path) -> dict[str, Any]:
        print(f"drill: {name}", file=sys.stderr)
        own = argparse.Namespace(**vars(options) | {"output": folder})
        return DRILLS[name](own, items, options.rate)

    return RunCache(options.output).values(name, inputs, compute)


if __name__ == "__main__":
    main()
