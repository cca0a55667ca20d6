"""The report of an event log: metrics of the lists that a server showed, and A/B tests."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from nextclick.data.online_events import read_online_events
from nextclick.data.shown_lists import ShownLists, shown_lists
from nextclick.errors import ConfigError, SourceError
from nextclick.evaluation.online_metrics import (
    effective_sample_size,
    explores,
    list_metrics,
    position_curve,
)
from nextclick.evaluation.version_difference import compare_versions
from nextclick.experiments.online_options import OnlineOptions

if TYPE_CHECKING:
    import polars as pl

_GROUPS = ("model", "version")


def online_report(log: str | Path, options: OnlineOptions | None = None) -> dict[str, Any]:
    """Measure the lists of an event log.

    Args:
        log: the folder of `serve --event-log`.
        options: what is measured; None uses the defaults.

    Returns:
        JSON values; see `report/1` in docs/json.md.

    Raises:
        SourceError: the folder is not that of an event log, or has no list of a live session in the
            period.
        ConfigError: a time, a time zone or a version is invalid.
    """
    options = options or OnlineOptions()
    versions, shares = _parse_versions(options.ab)
    zone = _zone(options.timezone)
    events, read = read_online_events(
        Path(log),
        since_ms=_moment("--since", options.since, zone),
        until_ms=_moment("--until", options.until, zone),
        max_skew_ms=round(options.max_skew * 1000),
    )
    shown = shown_lists(events, within_ms=round(options.within * 1000), timezone=options.timezone)
    if shown.lists.is_empty():
        raise SourceError(
            f"{log} has no list of a live session in the period, only {read.records:,} other "
            "records; send clicks to /v1/sessions/{id}/events, whose lists can be followed"
        )
    report = {
        "path": str(log),
        "options": asdict(options),
        "read": asdict(read),
        "counts": shown.counts.to_json(),
        **_metrics(shown, options),
        "comparison": None,
    }
    if versions is not None:
        report["comparison"] = compare_versions(
            shown.lists,
            versions,
            metric=options.metric,
            scale=options.expected_difference,
            shares=shares,
        )
    return report


def _metrics(shown: ShownLists, options: OnlineOptions) -> dict[str, Any]:
    lists, positions = shown.lists, shown.positions
    by_version = [
        {**row, "positions": _curve(own, options)} for row, own in _grouped(shown, _GROUPS, options)
    ]
    return {
        "days": [str(lists["day"].min()), str(lists["day"].max())],
        "explores": explores(positions),
        "effective_sample_size": effective_sample_size(positions),
        "total": _row(lists, positions, options),
        "positions": _curve(positions, options),
        "by_version": by_version,
        "by_day": [row for row, _ in _grouped(shown, ("day",), options)],
        "by_version_and_day": [row for row, _ in _grouped(shown, (*_GROUPS, "day"), options)],
    }


def _grouped(
    shown: ShownLists, by: tuple[str, ...], options: OnlineOptions
) -> list[tuple[dict[str, Any], pl.DataFrame]]:
    """The metrics of each group of lists, and its positions, in the order of the groups."""
    groups = shown.lists.partition_by(by, as_dict=True)
    rows = []
    for key in sorted(groups):
        lists = groups[key]
        positions = shown.positions.join(lists.select("list"), on="list", how="semi")
        names = dict(zip(by, map(str, key), strict=True))
        rows.append((names | _row(lists, positions, options), positions))
    return rows


def _row(lists: pl.DataFrame, positions: pl.DataFrame, options: OnlineOptions) -> dict[str, Any]:
    return {
        "sessions": lists["session"].n_unique(),
        "lists": len(lists),
        "clicks_on_list": int(lists["hits"].sum()),
        "metrics": list_metrics(lists, positions, n_bootstrap=options.bootstrap),
    }


def _curve(positions: pl.DataFrame, options: OnlineOptions) -> list[dict[str, Any]]:
    return position_curve(positions, n_positions=options.positions, n_bootstrap=options.bootstrap)


def _parse_versions(text: str | None) -> tuple[list[str] | None, list[float] | None]:
    """The two versions of `--ab`, and their shares if both have one.

    Raises:
        ConfigError: there are not two versions, or a share is not a number above 0.
    """
    if text is None:
        return None, None
    parts = [part.strip().partition("=") for part in text.split(",")]
    names, numbers = [part[0] for part in parts], [part[2] for part in parts if part[1]]
    try:
        shares = [float(number) for number in numbers]
    except ValueError:
        shares = [0.0]
    if (
        len(names) != 2
        or not all(names)
        or len(shares) not in (0, 2)
        or min(shares, default=1) <= 0
    ):
        raise ConfigError(
            f"--ab must be two versions such as v3,v4, or both with their shares such as "
            f"v3=0.5,v4=0.5, got {text!r}"
        )
    return names, shares or None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ConfigError(
            f"--timezone must be a name such as UTC or Europe/Berlin, got {name!r}"
        ) from None


def _moment(flag: str, text: str | None, zone: ZoneInfo) -> int | None:
    """Milliseconds since the epoch of a date or time.

    Raises:
        ConfigError: it is neither.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{flag} must be a date or time such as 2026-05-01 or 2026-05-01T12:00, got {text!r}"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return round(moment.timestamp() * 1000)
