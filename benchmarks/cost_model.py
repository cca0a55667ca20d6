"""Estimate time, memory and money of each step on logs that are larger than the measured ones.

    python benchmarks/scaling.py -o scaling.jsonl --events 1000000 10000000 100000000
    python benchmarks/cost_model.py scaling.jsonl

Processor seconds and peak memory of a step are a + b · clicks, a and b at least 0, fitted to the
measurements by least squares of the relative errors. As a check, the largest log is predicted from
the smaller ones. A log of C clicks has C / 200 items, as in the measurements; the default training
of a neural model takes at most 50,000 steps, and its cost of a step and its memory grow with the
items. --price is that of a core for an hour, --memory-price of a GiB for an hour.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

NARM, STEPS_MEASURED, STEPS_OF_DEFAULT = "train narm", 500, 50_000
NAMES = ("processor_seconds", "peak_mib")


def fit(clicks: list[int], values: list[float]) -> tuple[float, float]:
    """(a, b) of a + b · clicks, at least 0, with the least relative errors."""
    x, y = np.asarray(clicks, dtype=float), np.asarray(values)
    design = np.stack([np.ones_like(x), x], axis=1) / y[:, None]
    scale = np.abs(design).max(axis=0)
    (a, b), _ = nnls(design / scale, np.ones_like(y))
    return float(a / scale[0]), float(b / scale[1])


def main() -> None:
    """Print the check, and a row for each step and size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measured", type=Path, help="JSON lines of scaling.py")
    parser.add_argument("--price", type=float, default=0.04, help="of a core-hour (0.04)")
    parser.add_argument("--memory-price", type=float, default=0.005, help="of a GiB-hour (0.005)")
    options = parser.parse_args()
    rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in options.measured.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows[row["step"]].append(row)
    print("| step | largest log | seconds predicted | measured | MiB predicted | measured |")
    print("|---" * 6 + "|")
    models: dict[str, list[tuple[float, float]]] = {}
    for step, measured in rows.items():
        ordered = sorted(measured, key=lambda row: row["events"])
        clicks = [row["events"] for row in ordered]
        cells = []
        models[step] = []
        for name in NAMES:
            values = [row[name] for row in ordered]
            a, b = fit(clicks[:-1], values[:-1])
            cells += [f"{a + b * clicks[-1]:,.0f}", f"{values[-1]:,.0f}"]
            models[step].append(fit(clicks, values))
        print(f"| {step} | {clicks[-1]:,} | {' | '.join(cells)} |")
    print("\n| step | clicks | core-hours | peak memory, GiB | price |\n|---|---|---|---|---|")
    for step, ((a, b), (c, d)) in models.items():
        for clicks_of_log in (10**9, 10**10, 10**11):
            hours = (a + b * clicks_of_log) / 3600
            if step == NARM:
                hours *= STEPS_OF_DEFAULT / STEPS_MEASURED
            gib = (c + d * clicks_of_log) / 1024
            price = hours * (options.price + options.memory_price * gib)
            print(f"| {step} | {clicks_of_log:,} | {hours:,.2f} | {gib:,.0f} | {price:,.2f} |")


if __name__ == "__main__":
    main()
