"""Measure throughput, latency, startup time and memory of a server on one core.

    pip install 'nextclick[serve,neural,report]' fastapi
    python benchmarks/serve.py -o FOLDER                          # hours
    python benchmarks/serve.py -o FOLDER --models narm --items 10000 --seconds 3    # a quick run

For each catalog size a log is simulated and prepared, and each model is trained on it for an epoch
with a sampled softmax over at most --train-events clicks. This gives tables and neighbors with the
structure that latency depends on; accuracy is not meaningful. The catalog holds the clicked items,
whose number is in the column.

Servers of the same artifact, one after the other:

    nextclick                 default options, whole sessions
    nextclick, live           the same, click by click
    nextclick, 0.99           with --min-recall 0.99, whole sessions; if named by --servers
    nextclick, 0.99, live     the same, click by click
    FastAPI                   benchmarks/serve_peer.py: plain PyTorch and FastAPI, whole sessions;
                              left out for session-knn, which is no product of vectors

Each server is one process pinned to one core (--server-core), the load generator to another
(--client-core). Requests are sent on schedule (open loop, Poisson arrivals, 64 connections), with
test sessions, their times and users. Latency counts from the scheduled time. The rate increases by
half from 50 per second until half of the answers exceed --target-ms; a rate whose p99 exceeds it is
measured a second time. The table has the highest rate whose p99, and whose median, is below the
target. Memory is that of the process when ready and after the load. Startup time counts from the
start of the process, with compiled kernels in their cache. The share of a core is what the server
computes at the highest rate whose p99 is below the target, the warm-up included.

FOLDER stores finished parts (stores, artifacts, a JSON file per row); rerun the same command to
resume.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache_keys import artifact_key
from nextclick.data.store import Store
from nextclick.experiments.run_cache import RunCache
from open_loop import Load, measure
from server_process import Running, machine, running, serve_command
from store_sessions import sessions_of_store, workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from store_sessions import Request

EVENTS = {10_000: 1_000_000, 100_000: 3_000_000}  # of a log; larger ones have ten for each item
TRAINING = {
    "loss": "sampled", "negatives": 2048, "log_q": "true", "sparse": "true", "optimizer": "adam",
    "learning_rate": 0.002, "batch_size": 512, "order": "sessions", "epochs": 1, "keep": "last",
}  # fmt: skip
SLOWEST, FASTEST, STEP = 50.0, 20_000.0, 1.5  # requests a second
LOOSE_MS = 25.0


def nextclick(*arguments: object) -> None:
    """Run a command; what it says goes to standard error."""
    command = [sys.executable, "-m", "nextclick", *map(str, arguments)]
    print("nextclick", *arguments, file=sys.stderr)
    subprocess.run(command, check=True, stdout=sys.stderr)


def store_of(n_items: int, cache: RunCache) -> Path:
    """A simulated log of that catalog, prepared."""
    events = EVENTS.get(n_items, max(10 * n_items, 200_000))
    sizes = {"events": events, "items": n_items, "users": max(events // 100, 1000)}
    folder = cache.run_folder(f"store-{n_items}", {"simulate": sizes, "min_item_support": 1})
    store, log = folder / "store", folder / "log.parquet"
    if not store.exists():
        flags = [part for name, value in sizes.items() for part in (f"--{name}", value)]
        nextclick("simulate", "-o", log, *flags, "--overwrite")
        nextclick("prepare", log, "-o", store, "--min-item-support", 1)
        log.unlink()
    return store


def artifact_of(model: str, store: Store, cache: RunCache, events: int) -> Path:
    """The model, trained a little."""
    values: dict[str, Any] = {}
    if model != "session-knn":
        share = min(1.0, events / store.part("train").n_events)
        values = TRAINING | ({} if share == 1.0 else {"recent": share})
    if model == "asars":
        values["history"] = "none"  # the requests have none
    inputs = {"data_fingerprint": store.fingerprint, "model": model, "values": values}
    place = cache.run_folder(f"{model}-{len(store.items)}", inputs) / "artifact"
    if not place.exists():
        told = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
        nextclick("train", store.path, "--model", model, "--train-on", "all", "-o", place, *told)
    return place


def climbed(
    server: Running, requests: Callable[[float], Iterator[Request]], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """The curve: rates that grow until half of the answers come later than the target.

    A rate whose p99 misses the target is measured a second time, and the better one counts.
    """
    target = options.target_ms
    load = Load(seconds=options.seconds, warm_up=options.seconds / 4)
    curve: list[dict[str, Any]] = []
    rate = SLOWEST
    while rate <= FASTEST:
        tries: list[dict[str, Any]] = []
        while len(tries) < 2 and not (tries and tries[-1]["meets_target"]):
            began, used = time.perf_counter(), server.processor_seconds()
            result = measure(server.url, requests(rate), rate, load)
            used = (server.processor_seconds() - used) / (time.perf_counter() - began)
            met = {"meets_target": result.meets(target), "processor": used}
            tries.append(result.to_json() | met)
            at = result.latency_ms
            shown = f"p50 {at['p50']:.2f} p99 {at['p99']:.2f} ms" if at else "no answer"
            late = ", generator late" if result.generator_was_late else ""
            print(
                f"  {rate:,.0f}/s: {shown}, {used:.0%} of a core, {result.failed} failed{late}",
                file=sys.stderr,
            )
        curve.append(min(tries, key=lambda one: (one["failed"], _ms(one, "p99"))))
        if min(_ms(one, "p50") for one in tries) > target:
            break
        rate *= STEP
    return curve


def _ms(one: dict[str, Any], name: str) -> float:
    return float(one["latency_ms"][name]) if one["latency_ms"] else float("inf")


def highest(curve: list[dict[str, Any]], name: str, ms: float) -> dict[str, Any] | None:
    """The highest rate without a failure of which a percentile is below so many milliseconds."""
    good = [one for one in curve if not one["failed"] and _ms(one, name) < ms]
    return max(good, key=lambda one: float(one["rate"]), default=None)


def measured(
    command: list[str], store: Path, mode: str, options: argparse.Namespace
) -> dict[str, Any]:
    """One server: start, memory, curve."""
    with running(command, core=options.server_core) as process:
        os.sched_setaffinity(0, {options.client_core})
        found: dict[str, Any] = {"ready_s": process.seconds, "memory_ready": process.memory()}
        requests = workload(mode, sessions_of_store(store))
        found["curve"] = climbed(process, requests, options)
        found["memory_loaded"] = process.memory()
    return found


def sides(model: str, artifact: Path, wanted: list[str]) -> dict[str, tuple[list[str], str]]:
    """The servers of a model: command and what they are asked."""
    ours = serve_command(f"m={artifact}")
    found = {"nextclick": (ours, "recommend"), "nextclick, live": (ours, "events")}
    faster = [*ours, "--min-recall", "0.99"]
    found |= {"nextclick, 0.99": (faster, "recommend"), "nextclick, 0.99, live": (faster, "events")}
    if model != "session-knn":
        peer = Path(__file__).with_name("serve_peer.py")
        found["FastAPI"] = ([sys.executable, str(peer), str(artifact)], "recommend")
    return {name: side for name, side in found.items() if name in wanted}


def cached_row(
    model: str,
    name: str,
    artifact: Path,
    store: Store,
    cache: RunCache,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """A row of the table, measured unless the cache has the same measurement."""
    command, mode = sides(model, artifact, [name])[name]
    shared = {"model": model, "items": len(store.items), "server": name, "measures": "share"}
    inputs = shared | {
        "artifact": artifact_key(artifact), "data_fingerprint": store.fingerprint,
        "machine": machine(), "seconds": options.seconds, "target_ms": options.target_ms,
        "server_core": options.server_core, "client_core": options.client_core,
    }  # fmt: skip

    def compute(folder: Path) -> dict[str, Any]:
        print(f"{model}, {name}; see {folder}", file=sys.stderr)
        return shared | measured(command, store.path, mode, options)

    return cache.values(f"{model}-{len(store.items)}-{name.replace(', ', '-')}", inputs, compute)


def row(told: dict[str, Any], target_ms: float) -> str:
    """Of the table."""
    curve = told["curve"]
    asked = [(name, ms) for ms in (target_ms, LOOSE_MS) for name in ("p99", "p50")][:3]
    rates = [highest(curve, name, ms) for name, ms in asked]
    shown = [
        told["model"], f"{told['items']:,}", told["server"],
        *(f"{one['rate']:,.0f}" if one else "none" for one in rates),
        f"{rates[0]['processor']:.0%}" if rates[0] else "",
        f"{_ms(curve[0], 'p50'):.2f}, {_ms(curve[0], 'p99'):.2f}",
        f"{told['ready_s']:.1f}", f"{told['memory_ready']['rss']:,.0f}",
        f"{told['memory_loaded']['rss']:,.0f}", f"{told['memory_loaded']['pss']:,.0f}",
    ]  # fmt: skip
    return f"| {' | '.join(shown)} |"


def draw(rows: list[dict[str, Any]], path: Path, target_ms: float) -> None:
    """p99 against the rate, a panel for each model and size."""
    from nextclick.analysis.plots.canvas import NEUTRAL_COLOR, PanelFigure

    panels = list(dict.fromkeys((one["model"], one["items"]) for one in rows))
    across = min(3, len(panels))
    page = PanelFigure("Latency and rate", "p99 (line) and p50 (dots), from when a request was due",
                -(-len(panels) // across), across)  # fmt: skip
    for model, items in panels:
        axes = page.panel(f"{model}, {items:,} items")
        for one in rows:
            if (one["model"], one["items"]) != (model, items):
                continue
            known = [at for at in one["curve"] if at["latency_ms"]]
            x = [at["rate"] for at in known]
            (line,) = axes.plot(x, [at["latency_ms"]["p99"] for at in known], "o-",
                                markersize=3, label=one["server"])  # fmt: skip
            axes.plot(x, [at["latency_ms"]["p50"] for at in known], ":", color=line.get_color())
        axes.axhline(target_ms, color=NEUTRAL_COLOR, linestyle="--", linewidth=1)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("requests a second")
        axes.set_ylabel("ms")
        axes.legend(frameon=False, fontsize=7)
    page.save(path)


SERVERS = ("nextclick", "nextclick, live", "FastAPI")
NAMED_ONLY = ("nextclick, 0.99", "nextclick, 0.99, live")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = ["narm", "asars", "sr-gnn", "session-knn"]
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True, help="folder for all that is made")
    add("--models", nargs="+", default=usual, help="asars is its variant time_user")
    add("--items", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    add("--servers", nargs="+", default=list(SERVERS), choices=SERVERS + NAMED_ONLY)
    add("--seconds", type=float, default=8.0, help="of each rate, and a quarter to warm up")
    add("--target-ms", type=float, default=10.0, help="p99 that a rate has to stay below")
    add("--train-events", type=int, default=2_000_000, help="the latest clicks that are learned")
    add("--server-core", type=int, default=0)
    add("--client-core", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Measure, print a Markdown table, draw."""
    options = parsed()
    folder: Path = options.output
    folder.mkdir(parents=True, exist_ok=True)
    cache = RunCache(folder)
    all_cores = os.sched_getaffinity(0)
    rows: list[dict[str, Any]] = []
    print(f"{machine()}; server on core {options.server_core}, generator on {options.client_core}")
    columns = (
        "model", "items", "server", f"requests/s with p99 < {options.target_ms:g} ms",
        f"p50 < {options.target_ms:g} ms", f"p99 < {LOOSE_MS:g} ms",
        "share of a core at the first", f"p50, p99 in ms at {SLOWEST:g}/s", "ready after, s",
        "RSS MiB", "after load", "PSS",
    )  # fmt: skip
    print(f"\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    for n_items in options.items:
        for model in options.models:
            os.sched_setaffinity(0, all_cores)
            store = Store.open(store_of(n_items, cache))
            artifact = artifact_of(model, store, cache, options.train_events)
            for name in sides(model, artifact, options.servers):
                rows.append(cached_row(model, name, artifact, store, cache, options))
                print(row(rows[-1], options.target_ms), flush=True)
    if find_spec("matplotlib") is None:
        print("no figure: matplotlib is not installed", file=sys.stderr)
        return
    draw(rows, folder / "latency.svg", options.target_ms)
    draw(rows, folder / "latency.png", options.target_ms)


if __name__ == "__main__":
    main()
