"""A model card as Markdown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nextclick.core.metrics import metric_label
from nextclick.report.summary import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

UNKNOWN = "unknown"
_MIB = 1 << 20


def render_card(card: Mapping[str, Any]) -> str:
    """Render a card of `artifact.model_card`; a value that is not recorded is `unknown`."""
    model = card["model"]
    lines = [f"# Model card: {_text(model['name'])}", ""]
    if model["summary"]:
        lines += [_text(model["summary"]), ""]
    lines += ["## Intended use", "", *_bullets(card["intended_use"]), ""]
    lines += ["## Limits", "", *_bullets(card["limits"]), ""]
    lines += ["## Data", "", *_rows(_data(card["data"])), ""]
    lines += ["## Training", "", *_rows(_training(card)), ""]
    lines += ["## Evaluation", "", *_evaluation(card["evaluation"]), ""]
    if card.get("version"):
        lines += ["## Version", "", *_rows(_values(card["version"])), ""]
    lines += ["## Parameters", "", *_rows(_values(model["parameters"]))]
    if card["training"]["parameters"]:
        lines += ["", "Of the training:", "", *_rows(_values(card["training"]["parameters"]))]
    return "\n".join(lines) + "\n"


def _data(data: Mapping[str, Any]) -> list[tuple[str, Any]]:
    log, counts = data["log"] or {}, data["counts"] or {}
    columns = log.get("columns")
    return [
        ("fingerprint", data["fingerprint"]),
        (
            "columns of the log",
            columns and ", ".join(f"{c} ({role})" for role, c in columns.items()),
        ),
        ("rows of the log", log.get("rows")),
        ("unreadable rows", log.get("bad_rows")),
        ("period of the log", _period(log.get("first_time"), log.get("last_time"))),
        ("trained on", data["part"]),
        ("period of the training", _period(_iso(data["first_ms"]), _iso(data["last_ms"]))),
        *((f"{name} in training", n) for name, n in counts.items()),
        ("protocol", data["protocol"] or ("own" if data["filters"] else None)),
        ("filters", _pairs(data["filters"])),
        ("split", _pairs(data["split"])),
        ("start of the test", _iso(data["boundary_ms"])),
        ("sessions", _pairs(data["sessions"])),
        *(("warning", warning) for warning in log.get("warnings", ())),
    ]


def _training(card: Mapping[str, Any]) -> list[tuple[str, Any]]:
    training = card["training"]
    seconds, memory = training["seconds"], training["memory_bytes"]
    rows = [
        ("nextclick", card["nextclick"]),
        ("seed", training["seed"]),
        ("seconds", None if seconds is None else f"{seconds:,.1f}"),
        ("processor", training["processor"]),
        ("peak memory", None if memory is None else f"{memory / _MIB:,.0f} MiB"),
        ("items of the catalog", card["model"]["n_items"]),
    ]
    if card["model"]["members"]:
        rows.append(("members", ", ".join(card["model"]["members"])))
    optional = ("preset", "device", "threads", "epochs", "best_epoch", "validation")
    rows += [(name, training[name]) for name in optional if training[name] is not None]
    if training["refreshes"]:
        rows.append(("updates with newer logs", training["refreshes"]))
    return rows


def _evaluation(evaluation: Mapping[str, Any] | None) -> list[str]:
    if evaluation is None:
        return ["No evaluation is recorded. `nextclick evaluate ARTIFACT STORE` makes one."]
    counts = evaluation["counts"]
    names = list(evaluation["metrics"])
    lines = [
        (
            f"{counts['prefixes']:,} prefixes of {counts['sessions']:,} sessions; "
            f"{_pairs(evaluation['protocol'])}."
        ),
        "",
        "In percent, with 95 % intervals:",
        "",
        *_table(
            ["metric", "value"],
            [[metric_label(name), percent(evaluation["metrics"][name])] for name in names],
        ),
    ]
    for title, segments in (evaluation["segments"] or {}).items():
        lines += ["", f"By {_text(title)}:", ""]
        lines += _table(
            ["segment", "prefixes", *map(metric_label, names)],
            [
                [
                    str(row["segment"]),
                    f"{row['prefixes']:,}",
                    *(percent(row["metrics"][n]) if n in row["metrics"] else "–" for n in names),
                ]
                for row in segments
            ],
        )
    return lines


def _values(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, "none" if value is None else value) for name, value in values.items()]


def _rows(rows: Iterable[tuple[str, Any]]) -> list[str]:
    return _table(["", ""], [[name, _shown(value)] for name, value in rows])


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [columns, ["---"] * len(columns), *([_text(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(row)} |" for row in cells]


def _bullets(sentences: Iterable[str]) -> list[str]:
    return [f"- {_text(sentence)}" for sentence in sentences]


def _shown(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, dict):
        return _pairs(value) or "none"
    return f"{value:,}" if type(value) is int else str(value)


def _pairs(values: Mapping[str, Any] | None) -> str | None:
    if values is None:
        return None
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _period(first: str | None, last: str | None) -> str | None:
    return None if first is None and last is None else f"{first or UNKNOWN} to {last or UNKNOWN}"


def _iso(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")


def _text(value: str) -> str:
    """Text of one line, without characters that end a cell of a table or start a tag."""
    plain = " ".join(value.split())
    return plain.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
