"""The sections of the page: each makes its HTML out of the numbers, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextclick.core.metrics import METRICS, metric_label
from nextclick.report.accuracy_by_cutoff import CUTOFFS
from nextclick.report.accuracy_by_length import FEWEST_DRAWN
from nextclick.report.html import Html, joined, table, tag
from nextclick.report.significant_differences import pair_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Numbers = dict[str, Any]
    Figures = Mapping[str, Html]

_NONE = "–"
_MIB = 1 << 20
_COLORS = "Orange: trained step by step; blue: counting, neighbors and factors; hollow: leaky."

_HOW = """\
Every model learned from the same sessions and ranked all items of the catalog after every \
prefix that the line below the tables speaks of.
An interval says what other sessions could have shown, and, for several seeds, other trainings. \
Intervals that overlap do not say that two models are alike: both saw the same sessions, so the \
difference is tested by pairs.
A difference is beyond chance if, with sessions drawn anew for both together and seeds drawn anew \
for each, it is too large for Student's t at 5 %, after Holm's correction for all pairs. With one \
seed only the sessions are drawn, and what is claimed is claimed of the trained models."""


def about(numbers: Numbers) -> str:
    """What stands under every table: the data, and how they were asked about."""
    protocol = dict(numbers["protocol"])
    part, learned, data = (protocol.pop(name) for name in ("part", "trained_on", "data"))
    rules = ", ".join(f"{name} {value}" for name, value in protocol.items() if value is not None)
    counts = numbers["counts"]
    return (
        f"Data {numbers['data_fingerprint']} (protocol {data}); {part} after learning from "
        f"{learned}: {counts['prefixes']:,} prefixes of {counts['sessions']:,} sessions; {rules}."
    )


def _leaderboard(numbers: Numbers, figures: Figures) -> Html | None:
    rows = numbers["leaderboard"]
    if not rows:
        return _failures(numbers)
    name, _, k = numbers["metric"].partition("@")
    shown = [numbers["metric"], *(f"{other}@{k}" for other in METRICS if other != name)]
    cells = []
    for row in rows:
        following = rows[row["place"]]["label"] if row["place"] < len(rows) else None
        cells.append(
            [
                _named(row, numbers),
                *(_estimate(row["metrics"].get(metric)) for metric in shown),
                _difference(pair_of(numbers, row["label"], numbers["best"])),
                _difference(pair_of(numbers, row["label"], following) if following else None),
                "any" if row["deterministic"] else len(row["seeds"]),
            ]
        )
    columns = [
        "model",
        *(f"{metric_label(metric)}, %" for metric in shown),
        "to the best",
        "to the next",
        "seeds",
    ]
    return joined(
        table("Leaderboard", columns, cells, about=about(numbers)),
        _key(numbers),
        _figures(figures, "leaderboard", "leaderboard-recall", "leaderboard-mrr"),
        tag("p", _COLORS, class_="key") if figures else "",
        _failures(numbers) or "",
    )


def _key(numbers: Numbers) -> Html:
    told = [
        "Brackets hold 95 % intervals. Differences are in points; ",
        tag("span", "● beyond chance", class_="yes"),
        " after Holm's correction for all pairs, ",
        tag("span", "○ not", class_="no"),
        ". ",
    ]
    if any(row["deterministic"] for row in numbers["leaderboard"]):
        told.append("A model that is the same for any seed draws nothing at random. ")
    leaky = [row for row in numbers["leaderboard"] if row["leaky"] is not None]
    if leaky:
        which = ", ".join(f"{row['label']} ({row['leaky']})" for row in leaky)
        told.append(
            f"Leaky: {which}. Such a model was shown what nobody knows when the recommendation is "
            "made; it is never called the best of those that may be used. "
        )
    if any(row["prequential"] for row in numbers["leaderboard"]):
        told.append(
            "A prequential model took in each block of time before it was asked about the next "
            "one, as one that is refreshed meanwhile; the others were not given that."
        )
    return tag("p", *told, class_="key")


def _failures(numbers: Numbers) -> Html | None:
    failed = numbers["failed"]
    if not failed:
        return None
    rows = [
        [one["label"], one["seed"], Html(tag("span", one["reason"], class_="reason"))]
        for one in failed
    ]
    told = about(numbers) if numbers["leaderboard"] else "Nothing was measured."
    return joined(
        tag("h3", "What gave nothing"),
        table("Failures", ["model", "seed", "reason"], rows, about=told, texts=3),
    )


def _pairs(numbers: Numbers, figures: Figures) -> Html | None:
    del figures
    if not numbers["pairs"]:
        return None
    labels = [row["label"] for row in numbers["leaderboard"]]
    rows = []
    for place, label in enumerate(labels, 1):
        cells: list[Any] = [joined(f"{place} ", label)]
        cells += [_sign(pair_of(numbers, label, other)) for other in labels]
        rows.append(cells)
    matrix = table(
        "All pairs",
        ["row against column", *map(str, range(1, len(labels) + 1))],
        rows,
        about=about(numbers),
    )
    told = (
        f"{metric_label(numbers['metric'])}: + better and − worse beyond chance, · not told apart. "
        "Each pair is a paired bootstrap over sessions"
        + (" and seeds" if any(p["about"] == "methods" for p in numbers["pairs"]) else "")
        + f", and all {len(numbers['pairs'])} pairs are corrected together (Holm)."
    )
    return joined(tag("p", told), tag("div", matrix, class_="matrix"))


def _costs(numbers: Numbers, figures: Figures) -> Html | None:
    known = [row for row in numbers["leaderboard"] if row["costs"]]
    if not known:
        return None
    rows = []
    for row in known:
        costs = row["costs"]
        rows.append(
            [
                _named(row, numbers),
                _estimate(row["metrics"][numbers["metric"]], interval=False),
                _figure(costs["training_seconds"]),
                _figure(costs["epochs"]),
                _figure(costs["iterations_per_second"]),
                _figure(costs["samples_per_second"]),
                _figure(costs["memory_bytes"], _MIB),
                *([_figure(costs["device_memory_bytes"], _MIB)] if _on_device(known) else []),
                _figure(costs["size_bytes"], _MIB),
                _figure(costs["answer_ms"]["median"]),
                _figure(costs["answer_ms"]["p99"]),
                costs["device"],
                _figure(costs["threads"]),
            ]
        )
    columns = [
        "model",
        f"{metric_label(numbers['metric'])}, %",
        "training, s",
        "epochs",
        "iterations/s",
        "samples/s",
        "memory, MiB",
        *(["on device, MiB"] if _on_device(known) else []),
        "on disk, MiB",
        "answer, ms",
        "99 %, ms",
        "device",
        "threads",
    ]
    told = (
        f"Measured on {'; '.join(numbers['machines'])}. Training counts the steps of all epochs, "
        "those that chose the number of epochs among them, and no validation. Memory is the "
        "largest resident set of the process while it trained. An answer is one query at a time, "
        "raw ids in and out, without a network."
    )
    names = ("training-time", "latency", "size", "memory", "iterations", "samples")
    return joined(
        table("Costs", columns, rows, about=about(numbers)),
        tag("p", told, class_="key"),
        _figures(figures, *names),
        tag("p", _COLORS, class_="key") if figures else "",
    )


def _on_device(rows: Sequence[dict[str, Any]]) -> bool:
    return any(row["costs"]["device_memory_bytes"] for row in rows)


def _lengths(numbers: Numbers, figures: Figures) -> Html | None:
    told = numbers["by_length"]
    labels = [row["label"] for row in numbers["leaderboard"]]
    columns = ["clicks before", "prefixes"]
    if told["against"] is not None:
        columns.append(f"{told['best']} on {told['against']}")
    columns += [f"{label}, hits" for label in labels]
    rows = []
    for row in told["rows"]:
        cells: list[Any] = [row["length"], f"{row['prefixes']:,}"]
        if told["against"] is not None:
            cells.append(_NONE if row["gain"] is None else _signed(100 * row["gain"], " %"))
        for label in labels:
            hits = row["hits"][label]
            share = tag("small", f" {100 * hits / row['prefixes']:.1f} %")
            cells.append(joined(f"{hits:,.0f}", share))
        rows.append(cells)
    text = (
        f"How often the next click is among the first {numbers['k']}, by the clicks before it. "
        "Hits are means over the seeds"
        + (
            f"; the third column is how many more {told['best']} has than {told['against']}."
            if told["against"] is not None
            else "."
        )
        + f" The figure leaves out lengths of fewer than {FEWEST_DRAWN} prefixes."
    )
    return joined(
        tag("p", text),
        _figures(figures, "by-length"),
        table("By clicks before the target", columns, rows, about=about(numbers)),
    )


def _cutoffs(numbers: Numbers, figures: Figures) -> Html | None:
    told = numbers["cutoffs"]
    labels = [row["label"] for row in numbers["leaderboard"] if row["label"] in told["recall"]]
    if not labels:
        return None
    names = {metric: list(next(iter(told[metric].values()))) for metric in CUTOFFS}
    columns = [
        "model",
        *(metric_label(f"{metric}@{k}") for metric, ks in names.items() for k in ks),
    ]
    rows = [
        [label, *(f"{100 * told[m][label][k]:.2f}" for m, ks in names.items() for k in ks)]
        for label in labels
    ]
    return joined(
        tag("p", "In percent, means over the seeds. MRR@all counts every rank."),
        _figures(figures, "recall-at-k", "mrr-at-k"),
        table("By cut-off", columns, rows, about=about(numbers)),
    )


def _shown(numbers: Numbers, figures: Figures) -> Html | None:
    k = numbers["k"]
    rows = []
    for row in numbers["leaderboard"]:
        told = row["popularity"] or {}
        rows.append(
            [
                _named(row, numbers),
                f"{100 * row['coverage']:.1f}",
                _figure(told.get("support")),
                f"{told['percentile']:.3f}" if told else _NONE,
            ]
        )
    text = (
        f"Coverage is the share of the catalog that is in at least one list of {k}. The place of "
        "what is recommended in the catalog by training clicks is 0 for the least and 1 for the "
        "most clicked; drawing items uniformly gives 0.5."
    )
    columns = ["model", f"coverage@{k}, %", "mean training clicks", "mean place"]
    return joined(
        tag("p", text),
        _figures(figures, "coverage"),
        table("Coverage and popularity", columns, rows, about=about(numbers)),
    )


def _variants(numbers: Numbers, figures: Figures) -> Html | None:
    del figures
    by_label = {row["label"]: row for row in numbers["leaderboard"]}
    k = numbers["k"]
    found = []
    for group in numbers["variants"]:
        rows = []
        for line in group["lines"]:
            row = by_label[line["label"]]
            costs = row["costs"] or {}
            rows.append(
                [
                    _named(row, numbers),
                    *(line["values"][name] for name in group["parameters"]),
                    _estimate(row["metrics"].get(f"recall@{k}")),
                    _estimate(row["metrics"].get(f"mrr@{k}")),
                    _difference(line["pair"]),
                    _figure(costs.get("training_seconds")),
                ]
            )
        columns = [
            "model", *group["parameters"], f"Recall@{k}, %", f"MRR@{k}, %", "to its best",
            "training, s",
        ]  # fmt: skip
        texts = 1 + len(group["parameters"])
        found.append(tag("h3", group["model"]))
        found.append(
            table(f"Variants of {group['model']}", columns, rows, about=about(numbers), texts=texts)
        )
    return joined(*found) if found else None


def _reading(numbers: Numbers, figures: Figures) -> Html | None:
    del figures
    if not numbers["leaderboard"]:
        return None
    parameters = [
        tag(
            "details",
            tag("summary", row["label"]),
            table(
                f"Parameters of {row['label']}",
                [row["model"], "value"],
                [[name, str(value)] for name, value in row["config"].items()],
                about=about(numbers),
                texts=2,
            ),
        )
        for row in numbers["leaderboard"]
        if row["config"]
    ]
    return joined(
        *(tag("p", text) for text in _HOW.split("\n")),
        tag("h3", "Parameters"),
        *parameters,
        tag("p", f"Made by nextclick {numbers['nextclick']}.", class_="key"),
    )


SECTIONS: dict[str, tuple[str, Callable[[Numbers, Figures], Html | None]]] = {
    "leaderboard": ("Leaderboard", _leaderboard),
    "pairs": ("Which is better than which", _pairs),
    "costs": ("Accuracy and what it costs", _costs),
    "lengths": ("By clicks before the target", _lengths),
    "cutoffs": ("By cut-off", _cutoffs),
    "shown": ("What is recommended", _shown),
    "variants": ("Variants of a model", _variants),
    "reading": ("How to read this", _reading),
}


def _named(row: dict[str, Any], numbers: Numbers) -> Html:
    tags = [
        tag("span", text, class_="tag", **({"title": title} if title else {}))
        for text, title in (("leaky", row["leaky"]), ("prequential", row["prequential"] and ""))
        if title is not None and title is not False
    ]
    best = {"class_": "best"} if row["label"] == numbers["best"] else {}
    return joined(tag("span", row["label"], **best), *tags)


def _estimate(told: dict[str, Any] | None, *, interval: bool = True) -> Html | str:
    if told is None:
        return _NONE
    value = f"{100 * told['value']:.2f}"
    if told["low"] is None or not interval:
        return value
    return joined(value, tag("small", f" [{100 * told['low']:.2f}, {100 * told['high']:.2f}]"))


def _difference(pair: dict[str, Any] | None) -> Html | str:
    if pair is None:
        return _NONE
    value = _signed(100 * pair["difference"])
    reach = f" [{_signed(100 * pair['low'])}, {_signed(100 * pair['high'])}] "
    mark = tag("span", "●", class_="yes", title="beyond chance") if pair["claimed"] else tag(
        "span", "○", class_="no", title="not beyond chance"
    )  # fmt: skip
    return joined(value, tag("small", reach), mark)


def _sign(pair: dict[str, Any] | None) -> Html | str:
    if pair is None:
        return ""
    if not pair["claimed"]:
        return tag("span", "·", class_="no")
    return tag("span", "+", class_="yes") if pair["difference"] > 0 else "−"


def _signed(value: float, unit: str = "") -> str:
    return f"{value:+.2f}{unit}".replace("-", "−")


def _figure(value: float | None, unit: float = 1) -> str:
    if value is None:
        return _NONE
    told = value / unit
    return f"{told:,.0f}" if abs(told) >= 100 else f"{told:.3g}"


def _figures(figures: Figures, *names: str) -> Html:
    there = [figures[name] for name in names if name in figures]
    return tag("div", *there, class_="figures") if there else Html("")
