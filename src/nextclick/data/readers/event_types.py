"""Event types that count as clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from nextclick.data.readers.click_rows import SAMPLE_ROWS
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextclick.data.options import ReadOptions
    from nextclick.data.readers.columns import Columns
    from nextclick.data.readers.formats import LogFormat
    from nextclick.data.readers.sources import LogSource

_MAX_EVENT_TYPES = 5  # in a message


def event_types(
    read: ReadOptions,
    log_format: LogFormat,
    columns: Columns,
    first: LogSource,
    notes: list[str],
) -> tuple[str, ...] | None:
    """Return the spellings of the selected event types in the log, None for all rows.

    Raises:
        SourceError: event types are selected and there is no event column.
    """
    if columns.event is None:
        if read.events is None:
            return log_format.events
        raise SourceError(
            f"{first.label}: --events needs an event column, none was found among "
            f"{', '.join(first.columns)}; name it with --event-column"
        )
    sample = first.head([columns.event], SAMPLE_ROWS)[columns.event].cast(pl.String).drop_nulls()
    counts = dict(sample.value_counts(sort=True).iter_rows())
    if read.events is None and log_format.events is None:
        if len(counts) > 1:
            notes.append(
                f"the event column {columns.event!r} is ignored, so every row counts as a click; "
                f"the first {len(sample):,} rows have {format_counts(counts)}; select event "
                "types with --events"
            )
        return None
    events: list[str] = []
    for event in read.events or log_format.events or ():
        same = [found for found in counts if found.strip().lower() == event.strip().lower()]
        spellings = [event] if event in counts or not same else same
        if spellings != [event]:
            notes.append(f"the event type {event!r} is written {', '.join(map(repr, same))}")
        events += spellings
    return tuple(events)


def missed_spellings(events: Sequence[str], others: Mapping[str, int]) -> list[str]:
    """Return a note for types that differ from a selected one by spelling and are no clicks."""
    selected = {event.strip().lower() for event in events}
    missed = {name: n for name, n in others.items() if name.strip().lower() in selected}
    if not missed:
        return []
    return [f"rows of the event types {format_counts(missed)} are no clicks; add them to --events"]


def format_counts(counts: Mapping[str, int]) -> str:
    """Return `view (812), cart (100)` and the number of other types."""
    listed = sorted(counts.items(), key=lambda pair: -pair[1])[:_MAX_EVENT_TYPES]
    more = len(counts) - len(listed)
    text = ", ".join(f"{name} ({count:,})" for name, count in listed)
    return f"{text} and {more} more" if more else text
