"""Test two versions of a model on simulated visitors, from event logs that a server records.

    pip install 'nextclick[serve]'
    python benchmarks/online_ab.py -o FOLDER

A shop of 200 items has a successor for each item, which its visitors want next in 60 % of the
clicks; else they want any item. The better version is a Markov chain of the current log, the worse
one of a log in which 15 % of the items had other successors. Both are versions of one registry,
served in this process with `--ab` and `--event-log` on a simulated clock, one hour a day for seven
days. A visitor reads the list of ten from the top and continues after each item with a probability
of 85 %; a wanted item that was read is clicked. A visitor who did not find it searches for it in
half of the cases, and leaves in the others. Half of the visitors are anonymous.

The first table is the test of better against worse after each day, as `nextclick report online`
shows it. The second has 20 tests of a version against a copy of itself: how many claim a difference
on any day, for the confidence sequence and for intervals of fixed size that are read daily.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from nextclick import prepare, train
from nextclick.artifact import Registry
from nextclick.data.event_segments import convert_segments
from nextclick.data.options import FilterOptions, PrepareOptions
from nextclick.experiments.online_options import OnlineOptions
from nextclick.experiments.online_report import online_report
from nextclick.serving.app import App
from nextclick.serving.event_log import EventLog
from nextclick.serving.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from nextclick.core.types import Int64Array

N, K, DAYS = 200, 10, 7
OTHER_SUCCESSORS, WANTS_SUCCESSOR, CONTINUES, SEARCHES = 0.15, 0.6, 0.85, 0.5
START = 1_780_272_000  # 2026-06-01T00:00 UTC
DAY, HOUR = 86_400, 3600
AB = "v1=0.5,v2=0.5"


class SimulatedLog(EventLog):
    """An event log on a simulated clock; segments are converted on request."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.now = float(START)
        super().__init__(str(folder), lambda _: None, clock=lambda: self.now, start=False)


def wanted(last: int, successors: Int64Array, rng: np.random.Generator) -> int:
    """The item that a visitor wants next."""
    known = rng.random() < WANTS_SUCCESSOR
    return int(successors[last]) if known else int(rng.integers(N))


def train_versions(folder: Path, successors: list[Int64Array], seed: int) -> Path:
    """A registry with a Markov chain of a log for each list of successors."""
    registry = Registry.create(folder / "shop")
    for version, own in enumerate(successors):
        rng = np.random.default_rng([seed, 1])
        rows = []
        for session in range(4_000):
            item = session % N  # every item is in every catalog
            for click in range(5):
                rows.append((session, item, START - 30 * DAY + 60 * session + click))
                item = wanted(item, own, rng)
        log = pl.DataFrame(rows, orient="row", schema=["session", "item", "time"])
        options = PrepareOptions(filters=FilterOptions(min_item_support=1))
        store = prepare(log, folder / f"store-{version}", options=options).store
        train(store, "markov", folder / f"model-{version}")
        registry.publish(folder / f"model-{version}")
    return registry.path


async def post(app: App, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The answer of the application to a request, without a socket."""
    content = json.dumps(body).encode()
    sent: list[MutableMapping[str, Any]] = []
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": headers, "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }  # fmt: skip
    received = iter([{"type": "http.request", "body": content, "more_body": False}])

    async def receive() -> dict[str, Any]:
        message = next(received, None)
        return message if message is not None else await asyncio.Future()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app.asgi(scope, receive, send)
    answer: dict[str, Any] = json.loads(b"".join(message.get("body", b"") for message in sent))
    if sent[0]["status"] != 200:
        raise RuntimeError(f"{path}: {answer}")
    return answer


async def visit(
    app: App, log: SimulatedLog, name: str, user: str | None, rng: np.random.Generator,
    successors: Int64Array,
) -> None:  # fmt: skip
    """One session: clicks until the visitor leaves."""
    item = int(rng.integers(N))
    while True:
        log.now += 5
        body = {"item": item, "k": K, "time": log.now, "user": user}
        answer = await post(app, f"/v1/sessions/{name}/events", body)
        target = wanted(item, successors, rng)
        shown = answer["recommendation"]["items"]
        read = shown[: int(rng.geometric(1 - CONTINUES))]
        if target not in read and rng.random() >= SEARCHES:
            return
        item = target


async def serve_days(
    registry: Path, folder: Path, successors: Int64Array, *, sessions: int, seed: int
) -> None:
    """Record the event log of seven days; four of them are converted, as a server does."""
    settings = Settings(models={"shop": str(registry)}, ab=AB, timeout=600.0)
    app = App(settings.checked())
    app.load_models()
    rng = np.random.default_rng(seed)
    async with app.lifespan():
        log = app.event_log = SimulatedLog(folder)
        for day in range(DAYS):
            for n in range(sessions):
                log.now = START + day * DAY + n * HOUR / sessions
                user = f"u{seed}-{rng.integers(4 * sessions)}" if rng.random() < 0.5 else None
                await visit(app, log, f"{seed}-{day}-{n}", user, rng, successors)
                log.write()
            if day == 4:
                log.close()
                convert_segments(folder)


def claims_of_fixed_size(comparison: dict[str, Any]) -> bool:
    """Whether a 95 % interval of fixed size excludes 0 on any day."""
    return any(
        abs(look["difference"]) > 1.96 * look["standard_error"] for look in comparison["looks"]
    )


def cells(look: dict[str, Any]) -> list[str]:
    """The row of a look."""
    difference, p_value = f"{100 * look['difference']:+.2f}", "–"
    if look["low"] is not None:
        difference += f" [{100 * look['low']:+.2f}, {100 * look['high']:+.2f}]"
        p_value = f"{look['p_value']:.2g}"
    units = ", ".join(f"{n:,}" for n in look["units"])
    return [look["day"], units, *(f"{100 * v:.2f}" for v in look["values"]), difference, p_value]


def compare(registry: Path, folder: Path, successors: Int64Array, **size: int) -> dict[str, Any]:
    """Record an event log, and return the report of its A/B test."""
    asyncio.run(serve_days(registry, folder, successors, **size))
    return online_report(folder, OnlineOptions(ab=AB, bootstrap=0))


def main(say: Callable[[str], None] = print) -> None:
    """Run both experiments, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, help="folder of the logs and results")
    parser.add_argument("--sessions", type=int, default=300, help="sessions a day")
    parser.add_argument(
        "--repetitions", type=int, default=20, help="tests of a version with itself"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.output or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        successors = rng.permutation(N)
        before = successors.copy()
        moved = rng.choice(N, round(OTHER_SUCCESSORS * N), replace=False)
        before[moved] = rng.permutation(before[moved])
        both = train_versions(folder / "ab", [before, successors], seed=0)
        same = train_versions(folder / "aa", [successors, successors], seed=0)
        size = {"sessions": arguments.sessions}
        report = compare(both, folder / "ab" / "events", successors, seed=1, **size)
        say("| until | visitors v1, v2 | v1, % | v2, % | difference, points | p |")
        say("|---|---|---|---|---|---|")
        for look in report["comparison"]["looks"]:
            say(f"| {' | '.join(cells(look))} |")
        say(f"better: {report['comparison']['better']}")
        claims = fixed = 0
        for seed in range(arguments.repetitions):
            events = folder / "aa" / f"events-{seed}"
            comparison = compare(same, events, successors, seed=100 + seed, **size)["comparison"]
            claims += comparison["better"] is not None
            fixed += claims_of_fixed_size(comparison)
        say(f"\n| test of a version with itself | claims of {arguments.repetitions} |")
        say(f"|---|---|\n| confidence sequence | {claims} |\n| intervals of fixed size | {fixed} |")
        say(f"\n{datetime.now(UTC):%Y-%m-%d}")


if __name__ == "__main__":
    main()
