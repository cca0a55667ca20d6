"""The tables of a report for other programs: rows of flat cells, figures as fractions."""

from __future__ import annotations

import json
from typing import Any


def tables(numbers: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Name of each table that has rows to its rows; every row says data and protocol."""
    if not numbers["leaderboard"]:
        return {}
    found = {
        "leaderboard": [_line(row) for row in numbers["leaderboard"]],
        "differences": [dict(pair) for pair in numbers["pairs"]],
        "by-length": [
            {"clicks": row["length"], "prefixes": row["prefixes"], "label": label, "hits": hits}
            for row in numbers["by_length"]["rows"]
            for label, hits in row["hits"].items()
        ],
        "cutoffs": [
            {"metric": metric, "k": k, "label": label, "value": value}
            for metric, labels in numbers["cutoffs"].items()
            for label, values in labels.items()
            for k, value in values.items()
        ],
    }
    about = {
        "data_fingerprint": numbers["data_fingerprint"],
        **{f"protocol_{name}": value for name, value in numbers["protocol"].items()},
    }
    return {name: [row | about for row in rows] for name, rows in found.items() if rows}


def _line(row: dict[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {
        "place": row["place"],
        "label": row["label"],
        "model": row["model"],
        "config": json.dumps(row["config"]),
        "seeds": len(row["seeds"]),
        "leaky": row["leaky"],
        "prequential": row["prequential"],
    }
    for name, told in row["metrics"].items():
        cells |= {name: told["value"], f"{name}_low": told["low"], f"{name}_high": told["high"]}
    popularity, costs = row["popularity"] or {}, row["costs"] or {}
    times = costs.get("answer_ms") or {}
    return cells | {
        "coverage": row["coverage"],
        "popularity_support": popularity.get("support"),
        "popularity_percentile": popularity.get("percentile"),
        **{
            name: costs.get(name)
            for name in (
                "training_seconds", "epochs", "iterations_per_second", "samples_per_second",
                "memory_bytes", "device_memory_bytes", "device", "threads", "size_bytes",
            )
        },
        "answer_ms_median": times.get("median"),
        "answer_ms_p99": times.get("p99"),
    }  # fmt: skip
