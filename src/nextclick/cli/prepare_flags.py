"""The options of `prepare`, shared by every command that reads a log."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.data.options import PrepareOptions
from nextclick.data.readers.columns import COMMON_NAMES

_READ, _SESSIONS, _FILTERS, _SPLIT = "Reading", "Sessions", "Filters", "Split"
_ITEMS, _STORE = "Item table", "Store"
_FLAGS = {
    **{f"read.columns.{role}": (f"--{role}-column",) for role in COMMON_NAMES},
    "read.names": ("--columns",),
    "read.unit": ("--time-unit",),
    "read.keep_columns": ("--keep-column",),
    "sessions.by": ("--sessions-by",),
    "sessions.gap_seconds": ("--gap",),
    "filters.iterate": ("--iterate/--one-pass",),
    "filters.collapse_repeats": ("--collapse-repeats/--keep-repeats",),
    "split.kind": ("--split",),
    "item_table.source": ("--items",),
    "item_table.id_column": ("--items-id-column",),
    "item_table.catalog": ("--items-only",),
    "item_table.kinds": ("--items-kind",),
    "split.whole_days": ("--whole-days/--moments",),
    "split.drop_edge": ("--drop-edge/--keep-edge",),
}
_DEFAULTS = {
    **{f"read.columns.{role}": "detected by name" for role in COMMON_NAMES},
    "read.separator": "detected",
    "read.names": "those of the header",
    "read.table": "the only one with the columns of a log",
    "read.unit": "detected",
    "read.time_format": "detected",
    "read.timezone": "UTC",
    "read.missing": "NA, null, None, NaN, undefined, (not set) and others",
    "read.records": "each object or row is one row",
    "read.item_pattern": "the whole value",
    "read.events": "those the format defines, else all",
    "sessions.gap_seconds": "3600 for sessions by user; sessions with an id are not divided",
    "filters.min_item_support": "5, or 1 for a pre-split log",
    "filters.max_session_length": "unlimited",
    "filters.iterate": "iterate",
    "filters.collapse_repeats": "keep repeats",
    "split.kind": "auto, or the kind of another option of this group",
    "split.days": "1",
    "split.fraction": "0.1",
    "split.windows": "5",
    "split.train_days": "from the first click",
    "split.whole_days": "moments",
    "split.drop_edge": "keep edge",
    "split.unseen": "drop, or miss for a pre-split log",
    "item_table.id_column": "detected by name",
    "item_table.kinds": "detected from the values",
    "store.shard_clicks": "100,000,000",
}

Prepare = Annotated[
    TypedOptions[PrepareOptions],
    OptionGroup(
        flags=_FLAGS,
        defaults=_DEFAULTS,
        panels={
            "read": _READ,
            "sessions": _SESSIONS,
            "filters": _FILTERS,
            "split": _SPLIT,
            "item_table": _ITEMS,
            "store": _STORE,
        },
    ),
]


def reading_group(panel: str, **changes: Any) -> OptionGroup:
    """The options of a group that reads tables, without the other options of `prepare`."""
    return replace(OptionGroup(panel, flags=_FLAGS, only=("read",), defaults=_DEFAULTS), **changes)


Reading = Annotated[
    TypedOptions[PrepareOptions],
    reading_group(
        "Reading (default: as the store was prepared)",
        only=("read", "filters.min_item_support"),
        omit=("read.order", "read.keep_columns"),
        defaults=dict.fromkeys(
            (*_DEFAULTS, "read.format", "read.on_bad_row", "filters.min_item_support"), ""
        ),
    ),
]

Sources = Annotated[
    list[str],
    typer.Argument(
        help="Files, folders, globs, addresses (s3://, https://) or - for standard input: CSV, "
        "JSON, Parquet, Arrow, SQLite and others, also compressed."
    ),
]
TestSources = Annotated[
    list[str] | None,
    typer.Option("--test", help="Files of the test, for a log that is already split; repeatable."),
]


def prepare_options(typed: TypedOptions[PrepareOptions]) -> PrepareOptions:
    """Return the options of a protocol, or the defaults, overridden by the typed options.

    Raises:
        ConfigError: no such protocol or format.
    """
    from nextclick.data.protocols import protocol
    from nextclick.data.readers.formats import get_log_format

    values = dict(typed.values)
    if "read.separator" in values:
        separator = values["read.separator"]
        values["read.separator"] = {"\\t": "\t", "tab": "\t", "\\x01": "\x01"}.get(
            separator, separator
        )
    if "split.boundary" in values:
        values.setdefault("split.kind", "boundary")
    name = values.get("protocol")
    options = TypedOptions(PrepareOptions, values).apply(
        None if name is None else protocol(name).options
    )
    get_log_format(options.read.format)
    return options


def help_tables() -> dict[str, list[tuple[str, str]]]:
    """The names that `--format` and `--protocol` take, for the end of the help."""
    from nextclick.data.protocols import PROTOCOLS
    from nextclick.data.readers.formats import LOG_FORMATS

    return {
        "Formats (--format)": [(d.name, d.summary) for d in LOG_FORMATS.values()],
        "Protocols (--protocol)": [(p.name, p.summary) for p in PROTOCOLS.values()],
    }
