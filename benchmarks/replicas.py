"""Three servers behind HAProxy with live sessions in Redis, while parts of it are replaced.

    pip install 'nextclick[serve,redis]'; apt-get install haproxy redis-server
    python benchmarks/replicas.py ARTIFACT_A ARTIFACT_B --store STORE -o replicas.json

Clicks of live sessions arrive at a constant rate (open loop). Meanwhile
- a new version is published to the registry that all servers read, a fifth into the run;
- one server is killed, and started again ten seconds later;
- each server is stopped with SIGTERM and started again, one after the other;
- Redis is killed, and started again three seconds later, empty.

HAProxy runs with `deploy/haproxy.cfg`. A request failed if it has no 2xx response within five
seconds. Its answer is degraded if Redis did not take the click. The table has a row for each phase,
which ends when the next begins, and counts the versions that answered.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.artifact import create_registry
from nextclick.core.percentiles import percentiles
from open_loop import Load, Measurement, run_measurement
from serve_drills import redis_server
from server_process import Running, running, serve_command
from store_sessions import sessions_of_store, workload

if TYPE_CHECKING:
    from http_stream import HttpStream

CONFIG = Path(__file__).parents[1] / "deploy" / "haproxy.cfg"
REPLICAS = 3
PHASES = ("undisturbed", "new version", "killed server", "rolling restart", "Redis restart")
_VERSION = re.compile(rb'"version":"([^"]*)"')


class PhasedMeasurement(Measurement):
    """Counts answers by phase, version and failure."""

    def __init__(self, url: str, rate: float, load: Load):
        super().__init__(url, rate, load)
        self.phase = PHASES[0]
        self.kinds: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.ms: defaultdict[str, list[float]] = defaultdict(list)

    async def answer(self, stream: HttpStream, request: bytes) -> int:
        """Send one request, and look at the answer."""
        phase, start = self.phase, time.perf_counter()
        status, body = await stream.send(request)
        self.ms[phase].append(1000 * (time.perf_counter() - start))
        version = _VERSION.search(body)
        kinds = self.kinds[phase]
        kinds["answered"] += 200 <= status < 300
        kinds["degraded"] += b'"degraded":true' in body
        if version is not None:
            kinds[version[1].decode()] += 1
        return status

    def record(self, failure: str | None, seconds: float) -> None:
        """Count a failure in the phase of its end."""
        super().record(failure, seconds)
        if failure is not None:
            self.kinds[self.phase][f"failed: {failure}"] += 1


class Shop:
    """The servers, HAProxy and Redis."""

    def __init__(self, registry: Path, redis_program: str):
        self._ports = [_free_port() for _ in range(REPLICAS)]
        self._redis_port, self.listen = _free_port(), f"127.0.0.1:{_free_port()}"
        self._registry, self._redis_program = registry, redis_program
        self._servers: list[ExitStack] = []
        self._redis = ExitStack()

    def __enter__(self) -> Shop:
        self._redis.enter_context(redis_server(self._redis_program, self._redis_port))
        self._running = []
        for port in self._ports:
            self._servers.append(ExitStack())
            self._running.append(self._start(self._servers[-1], port))
        addresses = {
            f"REPLICA_{n}": f"127.0.0.1:{port}" for n, port in enumerate(self._ports, start=1)
        }
        self._haproxy = subprocess.Popen(
            ["haproxy", "-f", str(CONFIG)], env={**os.environ, "LISTEN": self.listen, **addresses}
        )
        time.sleep(2)  # the first checks
        return self

    def __exit__(self, *error: object) -> None:
        self._haproxy.kill()
        self._haproxy.wait()
        for server in self._servers:
            server.close()
        self._redis.close()

    def kill_one(self) -> None:
        """Kill a server, and start it again after ten seconds."""
        self._running[0].process.send_signal(signal.SIGKILL)
        self._running[0].process.wait()
        time.sleep(10)
        self._restart(0)

    def restart_all(self) -> None:
        """Stop each server and start it again."""
        for n in range(REPLICAS):
            self._restart(n)
            time.sleep(1)

    def restart_redis(self) -> None:
        """Kill Redis, and start it again after three seconds."""
        self._redis.close()
        time.sleep(3)
        self._redis.enter_context(redis_server(self._redis_program, self._redis_port))

    def _restart(self, n: int) -> None:
        self._servers[n].close()
        self._running[n] = self._start(self._servers[n], self._ports[n])

    def _start(self, stack: ExitStack, port: int) -> Running:
        command = serve_command(
            f"m={self._registry}",
            "--state", f"redis://127.0.0.1:{self._redis_port}/0",
            "--reload-interval", 1, "--shutdown-grace", 3, "--trusted-proxies", "127.0.0.1",
            "--rate", 0,
        )  # fmt: skip
        command[command.index("--port") + 1] = str(port)
        return stack.enter_context(running(command))


def measure(options: argparse.Namespace, shop: Shop, publish: Any) -> PhasedMeasurement:
    """Send requests through HAProxy while the phases pass."""
    sessions = sessions_of_store(options.store)
    load = Load(seconds=options.seconds, warm_up=5.0)
    measurement = PhasedMeasurement(f"http://{shop.listen}", options.rate, load)
    actions = [publish, shop.kill_one, shop.restart_all, shop.restart_redis]

    def pass_phases() -> None:
        start = time.monotonic() + load.warm_up
        for n, action in enumerate(actions, start=1):
            time.sleep(max(0.0, start + n * options.seconds / len(PHASES) - time.monotonic()))
            measurement.phase = PHASES[n]
            print(f"{time.monotonic() - start:.0f} s: {PHASES[n]}", file=sys.stderr)
            action()

    thread = threading.Thread(target=pass_phases)
    thread.start()
    requests = workload("events", sessions, 20, think=10.0)(options.rate)
    run_measurement(measurement, requests, options.rate, load)
    thread.join()
    return measurement


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def main() -> None:
    """Run the servers, and print a row for each phase."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("first", type=Path, metavar="ARTIFACT_A", help="the version at the beginning")
    add("second", type=Path, metavar="ARTIFACT_B", help="the version that is published")
    add("--store", type=Path, required=True, help="store with the sessions to send")
    add("-o", "--output", type=Path, required=True, help="JSON file")
    add("--rate", type=float, default=500.0, help="requests per second (default 500)")
    add("--seconds", type=float, default=300.0, help="measured time (default 300)")
    options = parser.parse_args()
    redis_program = shutil.which("redis-server")
    if redis_program is None or shutil.which("haproxy") is None:
        raise SystemExit("redis-server and haproxy must be on the PATH: apt-get install both")
    with tempfile.TemporaryDirectory(prefix="nextclick-replicas-") as folder:
        registry = create_registry(Path(folder) / "registry")
        registry.publish(options.first)
        with Shop(Path(folder) / "registry", redis_program) as shop:
            measured = measure(options, shop, lambda: registry.publish(options.second))
    rows = []
    print("| phase | answered | failed | degraded | versions | p50, ms | p99, ms | max, ms |")
    print("|---" * 8 + "|")
    for phase in PHASES:
        kinds = measured.kinds[phase]
        failed = {kind: n for kind, n in kinds.items() if kind.startswith("failed")}
        versions = {k: n for k, n in kinds.items() if re.fullmatch(r"v\d+", k)}
        p50, p99, most = percentiles(measured.ms[phase], [50, 99, 100])
        rows.append(
            {"phase": phase, "ms": {"p50": p50, "p99": p99, "max": most}, "kinds": dict(kinds)}
        )
        failures = ", ".join(f"{n} ({kind[8:]})" for kind, n in failed.items()) or "0"
        answered = ", ".join(f"{k} {n:,}" for k, n in sorted(versions.items()))
        print(
            f"| {phase} | {kinds['answered']:,} | {failures} | {kinds['degraded']:,} | {answered} "
            f"| {p50:.1f} | {p99:.1f} | {most:.0f} |"
        )
    options.output.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
