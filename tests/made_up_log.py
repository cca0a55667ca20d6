"""A made-up click log, and the registry of the files that hold it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

N_USERS, N_DAYS, N_CLICKS, N_ITEMS = 10, 5, 4, 10
N_SESSIONS = N_USERS * N_DAYS  # each user has one session of four clicks on each day
START = 1_709_280_000  # 2024-03-01T08:00Z, in seconds
FIRST_TIME = "2024-03-01T08:10:00.000+00:00"  # of the first click


@dataclass(frozen=True, slots=True)
class Click:
    """A click of the log.

    Attributes:
        session: session id, which no other user has.
        visit: number of the session of its user, from 1.
        user: user id.
        item: item id.
        seconds: time since 1970.
    """

    session: int
    visit: int
    user: int
    item: int
    seconds: int

    @property
    def time(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    @property
    def page(self) -> str:
        """Path of the page of the item."""
        return f"/product/{self.item}"

    def row(self) -> dict[str, Any]:
        """The row of a table with a header."""
        return {
            "session_id": self.session,
            "user_id": self.user,
            "item_id": self.item,
            "timestamp": self.seconds,
        }


CLICKS = [
    Click(
        session=100 * user + day,
        visit=day,
        user=user,
        item=1001 + (3 * user + day + click) % N_ITEMS,
        seconds=START + 86_400 * (day - 1) + 600 * user + 60 * click,
    )
    for day in range(1, N_DAYS + 1)
    for user in range(1, N_USERS + 1)
    for click in range(N_CLICKS)
]
SESSIONS = [
    [click for click in CLICKS if click.session == session]
    for session in dict.fromkeys(click.session for click in CLICKS)
]
ROWS = [click.row() for click in CLICKS]
FRAME = pl.DataFrame(ROWS)


def csv_text(rows: Iterable[dict[str, Any]], separator: str = ",", *, header: bool = True) -> str:
    """The text of a file with one row per line."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=separator, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def json_lines(objects: Iterable[Any]) -> str:
    """The text of a file with one object per line."""
    return "".join(json.dumps(value) + "\n" for value in objects)


def lines(line_of: Callable[[Click], str]) -> str:
    """The text of a file with one line per click."""
    return "".join(line_of(click) + "\n" for click in CLICKS)


def write(name: str, content: str | bytes) -> None:
    """Write a file below the working directory."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


@dataclass(frozen=True, slots=True)
class MadeUpSource:
    """The files of a command, and what it reads from them.

    Attributes:
        write: writes them to the working directory.
        users: number of users, 0 without a column of users.
        first_time: time of the first click, None for a log without times.
        report: further entries of the report.
        counted: whether a click of the log is a click of the source.
    """

    write: Callable[[], None]
    users: int = N_USERS
    first_time: str | None = FIRST_TIME
    report: dict[str, Any] = field(default_factory=dict)
    counted: Callable[[Click], bool] = bool

    def sessions(self) -> list[tuple[str, ...]]:
        """The items of each session, sorted."""
        counted = [[str(c.item) for c in session if self.counted(c)] for session in SESSIONS]
        return sorted(map(tuple, counted))


SOURCES: dict[str, MadeUpSource] = {}  # by command


def source(command: str, **expected: Any) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register the function that writes the files of `nextclick prepare COMMAND`."""

    def register(write_files: Callable[[], None]) -> Callable[[], None]:
        assert command not in SOURCES, f"two sources of {command}"
        SOURCES[command] = MadeUpSource(write_files, **expected)
        return write_files

    return register
