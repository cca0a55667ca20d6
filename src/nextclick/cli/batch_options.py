"""The options of `recommend` for a table of sessions, and what is printed about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.output import OUTPUT, print_json, say, show
from nextclick.cli.prepare_flags import reading_group
from nextclick.cli.progress import progress_bar
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from nextclick.data.options import PrepareOptions
    from nextclick.experiments.batch_options import BatchCounts, BatchOptions


@dataclass(frozen=True, slots=True)
class BatchFiles:
    """The table of sessions and the file of recommendations."""

    sessions: Annotated[
        list[str] | None,
        Field(
            description="table of sessions, in place of --session: a row per click (session, item, "
            "time) or a row per session with a list of items; a file, folder, glob, address or -; "
            "repeatable"
        ),
    ] = None
    output: Annotated[
        Path | None,
        Field(
            description="file of the recommendations for --sessions: .parquet, .jsonl, .csv, .tsv "
            "or .csv.gz"
        ),
    ] = None
    lists: Annotated[
        bool, Field(description="write a row per session, with lists of items and scores")
    ] = False
    overwrite: Annotated[bool, Field(description="replace the file")] = False


BATCH = OptionGroup(
    "Batch",
    flags={"output": ("--output", "-o")},
    defaults={"lists": "a row per session and rank"},
    panels={"overwrite": OUTPUT},
)
BATCH_READING = reading_group("Reading --sessions", omit=("read.keep_columns",))


def recommend_table(
    model: str,
    files: BatchFiles,
    options: BatchOptions,
    *,
    as_json: bool,
) -> None:
    """Write the recommendations for a table, and print what was read and answered.

    Raises:
        ConfigError: there is no output.
    """
    from nextclick.experiments.batch_recommendation import recommend_file

    if files.output is None:
        raise ConfigError("--sessions needs a file for the recommendations; name it with --output")
    with progress_bar() as progress:
        counts = recommend_file(
            model,
            files.sessions,
            files.output,
            options,
            overwrite=files.overwrite,
            progress=progress,
        )
    for note in _notes(counts):
        say(f"note: {note}")
    show(
        f"{files.output}: {counts.recommended:,} items for {counts.sessions:,} sessions with "
        f"{counts.clicks:,} clicks"
    )
    if as_json:
        print_json("recommend-batch/1", {"path": str(files.output)} | asdict(counts))


def check_single(files: TypedOptions[BatchFiles], reading: TypedOptions[PrepareOptions]) -> None:
    """Check that no option of a table is given for a single session.

    Raises:
        ConfigError: one is.
    """
    for group, typed in ((BATCH, files), (BATCH_READING, reading)):
        for path in typed.values:
            raise ConfigError(
                f"{group.declared_flags(path)[0]} is an option for a table of sessions; name the "
                "table with --sessions"
            )


def check_batch(session: Mapping[str, Any]) -> None:
    """Check that no option of a single session is given for a table, except those of both.

    Raises:
        ConfigError: one is.
    """
    other = [name for name in session if name not in ("now", "history_from")]
    if other:
        flag = "--" + other[0].replace("_", "-")
        raise ConfigError(
            f"{flag} describes one session and --sessions a table of them: give one of the two; "
            "the columns of the table hold clicks, times and users"
        )


def _notes(counts: BatchCounts) -> list[str]:
    notes = list(counts.notes)
    if counts.clicks == counts.unknown_clicks > 0:
        notes.append(
            "no item of the table is known to the model: compare its ids with the training log; if "
            "cells of text hold lists, add --records COLUMN"
        )
    if counts.bad_rows:
        notes.append(f"{counts.bad_rows:,} rows cannot be parsed and were skipped")
    if counts.unknown_clicks:
        notes.append(
            f"{counts.unknown_clicks:,} of {counts.clicks:,} clicks are on items that the model "
            "does not know and were ignored"
        )
    if counts.unknown_sessions:
        notes.append(
            f"{counts.unknown_sessions:,} sessions have no click on a known item: they get the "
            "most popular items"
        )
    if counts.empty_sessions:
        notes.append(f"{counts.empty_sessions:,} sessions have no click")
    if counts.with_history:
        notes.append(f"{counts.with_history:,} sessions have earlier sessions of their user")
    if counts.filled:
        notes.append(
            f"{counts.filled:,} items have no score: they are filled from popularity, pinned, or "
            "drawn at random"
        )
    if counts.without_items:
        notes.append(
            "allow, block, where and exclude_seen leave no item for "
            f"{counts.without_items:,} sessions"
        )
    return notes
