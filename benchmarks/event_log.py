"""The cost of the event log: latency and processor time of a server with and without it.

    python benchmarks/event_log.py STORE ARTIFACT --redis redis://127.0.0.1:6379/0 --kafka HOST:PORT

Each round starts a server without a log, with a folder, and with a stream and a topic if they are
given, one after the other, and sends live clicks at a fixed rate. Processor time is that of the
server, with the threads of its log, for each click. `--kafka mock` starts the mock broker of the
client library in a process of its own. A stopped broker (`--stopped`) is halted before the load.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from open_loop import Load, measure
from server_process import Client, machine, running, serve_command
from store_sessions import sessions_of_store, workload

if TYPE_CHECKING:
    from collections.abc import Iterator

MOCK = """
import confluent_kafka, time
broker = confluent_kafka.Producer({"bootstrap.servers": "mock:1", "test.mock.num.brokers": 1})
(one,) = broker.list_topics(timeout=30).brokers.values()
print(f"{one.host}:{one.port}", flush=True)
time.sleep(36000)
"""


@contextmanager
def brokers(kafka: str | None) -> Iterator[tuple[str | None, int | None]]:
    """Address of the brokers, and the process of a mock broker."""
    if kafka != "mock":
        yield kafka, None
        return
    with subprocess.Popen([sys.executable, "-c", MOCK], stdout=subprocess.PIPE, text=True) as mock:
        assert mock.stdout is not None
        yield mock.stdout.readline().strip(), mock.pid
        mock.kill()


def processor_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("store", type=Path)
    add("artifact", type=Path)
    add("--redis", help="address of a Redis, such as redis://127.0.0.1:6379/0")
    add("--kafka", help="brokers as HOST:PORT, or mock")
    add("--stopped", action="store_true", help="halt the mock broker before the load")
    add("--rate", type=float, default=200.0, help="clicks per second")
    add("--seconds", type=float, default=5.0)
    add("--rounds", type=int, default=3)
    options = parser.parse_args()
    requests = workload("events", sessions_of_store(options.store), think=1.0)
    load = Load(options.seconds, warm_up=2.0)
    print(f"{machine()}; {options.rate:g} clicks/s for {options.seconds:g} s")
    print("| event log | round | p50, ms | p99, ms | processor, ms per click | dropped |")
    print("|---" * 6 + "|")
    with tempfile.TemporaryDirectory() as folder, brokers(options.kafka) as (servers, mock):
        places = {"none": None, "folder": f"{folder}/events"}
        if options.redis:
            places["Redis"] = f"{options.redis}?stream=benchmark"
        if servers:
            places["Kafka"] = f"kafka://{servers}/benchmark"
        for n in range(1, options.rounds + 1):
            for name, place in places.items():
                log = [] if place is None else ["--event-log", place]
                with running(serve_command(options.artifact, *log)) as server:
                    if options.stopped and mock is not None:
                        os.kill(mock, signal.SIGSTOP)
                    before = processor_seconds(server.process.pid)
                    result = measure(server.url, requests(options.rate), options.rate, load)
                    used = processor_seconds(server.process.pid) - before
                    with Client(server.url) as client:
                        state = client.get("/readyz").get("event_log", {})
                    if options.stopped and mock is not None:
                        os.kill(mock, signal.SIGCONT)
                per_click = 1000 * used / (options.rate * (load.seconds + load.warm_up))
                late = " (late)" if result.generator_was_late else ""
                print(
                    f"| {name} | {n}{late} | {result.latency_ms['p50']:.2f} | "
                    f"{result.latency_ms['p99']:.2f} | {per_click:.2f} | "
                    f"{state.get('dropped', '–')} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
