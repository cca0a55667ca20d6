"""The options of `prepare`, shared by every command that prepares a log."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from nextclick.cli.parsing import listing
from nextclick.core.config import build_config
from nextclick.data.options import (
    FilterOptions,
    PrepareOptions,
    ReadOptions,
    SessionOptions,
    SplitOptions,
)
from nextclick.data.protocols import PROTOCOLS, protocol
from nextclick.data.readers.formats import LOG_FORMATS, dialect
from nextclick.data.split import SPLITS

_READ, _SESSIONS, _FILTERS, _SPLIT = "Reading", "Sessions", "Filters", "Split"


def _option(panel: str, help_text: str, *names: str) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=panel, show_default=False)


def prepare_options(
    protocol_name: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            help="Filters and split of a paper, see above; options given beside it win.",
            show_default=False,
        ),
    ] = None,
    log_format: Annotated[
        str | None,
        _option(_READ, "How the log is written, see above. Default: table.", "--format"),
    ] = None,
    session_column: Annotated[str | None, _option(_READ, "Default: found by its name.")] = None,
    user_column: Annotated[str | None, _option(_READ, "Default: found by its name.")] = None,
    item_column: Annotated[str | None, _option(_READ, "Default: found by its name.")] = None,
    time_column: Annotated[str | None, _option(_READ, "Default: found by its name.")] = None,
    event_column: Annotated[str | None, _option(_READ, "Default: found by its name.")] = None,
    separator: Annotated[
        str | None, _option(_READ, "One character between fields. Default: found.")
    ] = None,
    time_unit: Annotated[
        str | None, _option(_READ, "s, ms, us, ns or iso. Default: found, and stated.")
    ] = None,
    order: Annotated[
        str | None,
        _option(
            _READ,
            "time, or file to keep the order of the file where a format has only days "
            "(diginetica, as NARM did). Default: time.",
        ),
    ] = None,
    events: Annotated[
        str | None,
        _option(
            _READ,
            "Event types that count as clicks, such as view,cart. Default: all, or "
            "what the format calls a click.",
        ),
    ] = None,
    on_bad_row: Annotated[
        str | None, _option(_READ, "error, or skip and count. Default: error.")
    ] = None,
    sessions_by: Annotated[
        str | None,
        _option(_SESSIONS, "id: the session column; user: cut by inactivity; auto. Default: auto."),
    ] = None,
    gap: Annotated[
        float | None, _option(_SESSIONS, "Seconds of inactivity that end a session. Default: 3600.")
    ] = None,
    block_days: Annotated[
        float | None, _option(_SESSIONS, "Length of a block of time in days. Default: 1.")
    ] = None,
    min_item_support: Annotated[
        int | None, _option(_FILTERS, "Clicks that an item needs. Default: 5, 1 if pre-split.")
    ] = None,
    min_session_length: Annotated[
        int | None, _option(_FILTERS, "Clicks that a session needs. Default: 2.")
    ] = None,
    max_session_length: Annotated[
        int | None, _option(_FILTERS, "Longer sessions are dropped. Default: no limit.")
    ] = None,
    min_user_sessions: Annotated[
        int | None, _option(_FILTERS, "Sessions that a user needs. Default: 1.")
    ] = None,
    iterate: Annotated[
        bool | None,
        _option(
            _FILTERS,
            "Filter until nothing changes, or once as the papers. Default: iterate.",
            "--iterate/--one-pass",
        ),
    ] = None,
    collapse_repeats: Annotated[
        bool | None,
        _option(
            _FILTERS,
            "Count clicks on one item in a row once. Default: no.",
            "--collapse-repeats/--keep-repeats",
        ),
    ] = None,
    split: Annotated[
        str | None,
        _option(
            _SPLIT,
            "What the test part holds, as whole sessions by the time of their last click. "
            + "; ".join(f"{kind.name}: {kind.summary}" for kind in SPLITS.values())
            + ". Default: last-days.",
        ),
    ] = None,
    days: Annotated[
        float | None, _option(_SPLIT, "Days of the test, for last-days and windows. Default: 1.")
    ] = None,
    boundary: Annotated[
        str | None, _option(_SPLIT, "ISO time (UTC) or milliseconds, for boundary.")
    ] = None,
    fraction: Annotated[
        float | None,
        _option(
            _SPLIT, "Share of the test, of sessions (fraction) or of blocks (blocks). Default: 0.1."
        ),
    ] = None,
    windows: Annotated[int | None, _option(_SPLIT, "How many windows. Default: 5.")] = None,
    train_days: Annotated[
        float | None, _option(_SPLIT, "Days of training in a window. Default: from the start.")
    ] = None,
    whole_days: Annotated[
        bool | None,
        _option(
            _SPLIT,
            "Compare calendar days (UTC) or moments. Default: moments.",
            "--whole-days/--moments",
        ),
    ] = None,
    drop_edge: Annotated[
        bool | None,
        _option(
            _SPLIT,
            "Drop sessions on the boundary (the day before the test), or test them. "
            "Default: test them.",
            "--drop-edge/--keep-edge",
        ),
    ] = None,
    valid_fraction: Annotated[
        float | None,
        _option(
            _SPLIT,
            "Share of the training sessions, the last in time, for validation. Default: 0.1.",
        ),
    ] = None,
    recent: Annotated[
        int | None, _option(_SPLIT, "Keep the most recent 1/RECENT of the samples. Default: 1.")
    ] = None,
    unseen: Annotated[
        str | None,
        _option(
            _SPLIT,
            "Test clicks on items unseen in training: drop, or keep as misses. "
            "Default: drop; keep if pre-split; with --recent, keep what the cut lost.",
        ),
    ] = None,
    unseen_users: Annotated[
        str | None,
        _option(_SPLIT, "Test sessions of users unseen in training: drop or keep. Default: keep."),
    ] = None,
) -> PrepareOptions:
    """Put together the options of `prepare` from what was typed."""
    base = protocol(protocol_name).options if protocol_name else PrepareOptions()
    columns = {
        "session": session_column,
        "user": user_column,
        "item": item_column,
        "time": time_column,
        "event": event_column,
    }
    if log_format is not None:
        dialect(log_format)
    kind = "boundary" if boundary is not None and split is None else split
    return replace(
        base,
        protocol=protocol_name,
        read=changed(
            base.read,
            format=log_format,
            columns=replace(base.read.columns, **_given(columns)),
            separator={"\\t": "\t", "tab": "\t"}.get(separator or "", separator),
            unit=time_unit,
            order=order,
            events=tuple(events.split(",")) if events else None,
            on_bad_row=on_bad_row,
        ),
        sessions=changed(base.sessions, by=sessions_by, gap_seconds=gap, block_days=block_days),
        filters=changed(
            base.filters,
            min_item_support=min_item_support,
            min_session_length=min_session_length,
            max_session_length=max_session_length,
            min_user_sessions=min_user_sessions,
            iterate=iterate,
            collapse_repeats=collapse_repeats,
        ),
        split=changed(
            base.split,
            kind=kind,
            days=days,
            boundary=boundary,
            fraction=fraction,
            windows=windows,
            train_days=train_days,
            whole_days=whole_days,
            drop_edge=drop_edge,
            valid_fraction=valid_fraction,
            recent=recent,
            unseen=unseen,
            unseen_users=unseen_users,
        ),
    )


def taking_prepare_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command with an argument `options` every option of `prepare_options` instead."""
    shared = inspect.signature(prepare_options, eval_str=True).parameters
    own = dict(inspect.signature(command, eval_str=True).parameters)
    del own["options"]

    @wraps(command)
    def called(**values: Any) -> None:
        options = prepare_options(**{name: values.pop(name) for name in shared})
        command(options=options, **values)

    parameters = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own.values(), *shared.values())
    ]
    called.__doc__ = listing(
        listing(
            command.__doc__,
            "Formats for --format:",
            ((d.name, d.summary) for d in LOG_FORMATS.values()),
        ),
        "Protocols for --protocol:",
        ((p.name, p.summary) for p in PROTOCOLS.values()),
    )
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    hints = get_type_hints(command, include_extras=True) | get_type_hints(
        prepare_options, include_extras=True
    )
    called.__annotations__ = {p.name: hints[p.name] for p in parameters}
    del called.__wrapped__
    return called


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


_OWNERS: dict[type[Any], str] = {
    ReadOptions: "read",
    SessionOptions: "sessions",
    FilterOptions: "filters",
    SplitOptions: "split",
}


def changed(base: Any, **values: Any) -> Any:
    """A group of options with the values that are not None, checked."""
    merged = {name: getattr(base, name) for name in base.__dataclass_fields__} | _given(values)
    return build_config(type(base), merged, _OWNERS.get(type(base), "refresh"))
