"""Measure `prepare --engine spark` against the local engine, and compare the stores byte by byte.

    python benchmarks/prepare_spark.py $NEXTCLICK_DATA/yoochoose-100k/train_full.txt
    python benchmarks/prepare_spark.py $NEXTCLICK_DATA/globo -- --format globo
    python benchmarks/prepare_spark.py --shard-clicks 1000000 log.parquet

Each engine runs as a command of its own. Processor seconds and memory are those of the command and
all of its child processes, the Java machine included, sampled from /proc every half second. Memory
that processes share counts once. The memory of the command alone is that of the driver without its
Java machine. With `--shard-clicks`, a third run lets the workers write the shards, and its store is
compared with the store of the local engine with the same shards. Needs Linux and
`nextclick[spark]`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Prepare the log with both engines and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log")
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--shard-clicks", help="clicks of a shard that workers write")
    parser.add_argument("options", nargs="*", help="options of prepare, after --")
    given = parser.parse_args()
    spark = ["--engine", "spark", "--master", given.master]
    engines = {"local": [], "spark": spark}
    if given.shard_clicks:
        shards = ["--shard-clicks", given.shard_clicks]
        engines = {"local": shards, "spark": spark, "spark with shards": spark + shards}
    print("| engine | wall, s | CPU, s | peak memory, MiB | of the command, MiB |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, options in engines.items():
            command = [sys.executable, "-m", "nextclick", "prepare", given.log]
            command += ["-o", f"{folder}/{name}", *given.options, *options]
            wall, cpu, total, own = measured(command)
            memory = f"{total / 2**20:,.0f} | {own / 2**20:,.0f}"
            print(f"| {name} | {wall:.1f} | {cpu:.1f} | {memory} |", flush=True)
        stores = [_contents(Path(folder, name)) for name in (min(engines), max(engines))]
    print("equal stores" if stores[0] == stores[1] else "DIFFERENT STORES")


def measured(command: list[str]) -> tuple[float, float, int, int]:
    """Run a command.

    Returns:
        Its seconds, its processor seconds, the peak memory of all processes in bytes, and that of
        the command alone.
    """
    start, peak, own_peak = time.perf_counter(), 0, 0
    seconds: dict[int, float] = {}
    with (
        tempfile.TemporaryFile() as messages,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=messages) as process,
    ):
        while process.poll() is None:
            tree = _tree(process.pid)
            own, *others = map(_memory, tree)
            own_peak, peak = max(own_peak, own), max(peak, own + sum(others))
            for pid in tree:
                seconds[pid] = max(seconds.get(pid, 0.0), _cpu(pid))
            time.sleep(0.5)
        if process.returncode:
            messages.seek(0)
            raise SystemExit(f"{' '.join(command)}: {messages.read().decode()[-500:]}")
    return time.perf_counter() - start, sum(seconds.values()), peak, own_peak


def _tree(root: int) -> list[int]:
    """The process and its descendants."""
    pids = [root]
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                pids += map(int, task.read_text().split())
            except OSError:
                continue
    return pids


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


if __name__ == "__main__":
    main()
