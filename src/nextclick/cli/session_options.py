"""The session, and what is known about it besides its items, for `recommend` and `explain`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup
from nextclick.cli.output import say
from nextclick.cli.parsing import parse_ids, parse_seconds
from nextclick.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from nextclick.serving.request_history import RawHistory


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The clicks, their times, the moment of prediction, and the user."""

    session: Annotated[
        str | None,
        Field(
            description="clicked item ids, the last click last, such as A,B; quote an id with a "
            "comma as in CSV"
        ),
    ] = None
    click: Annotated[
        list[str] | None,
        Field(description="one clicked item id as it is, in place of --session; repeatable"),
    ] = None
    session_file: Annotated[
        Path | None,
        Field(description="file with one clicked item id per line; - is standard input"),
    ] = None
    times: Annotated[
        list[float] | None,
        Field(description="time of each click in seconds, such as 0,12.5,40; any origin"),
    ] = None
    now: Annotated[
        float | None, Field(description="moment of prediction in seconds, with the same origin")
    ] = None
    user: Annotated[str | None, Field(description="user of the session")] = None
    history: Annotated[
        list[str] | None,
        Field(
            description="an earlier session of the user, for models that read them, as for "
            "--session; repeatable, the oldest first"
        ),
    ] = None
    history_times: Annotated[
        list[float] | None,
        Field(description="time of the last click of each --history, with the origin of --times"),
    ] = None

    history_from: Annotated[
        str | None,
        Field(
            description="store with the earlier sessions of --user, in place of --history: those "
            "that ended before the first of --times, or before --now if there is no click; with "
            "--sessions those of the user of each session, in place of the table"
        ),
    ] = None

    def earlier_sessions(self) -> RawHistory:
        """The clicks of each earlier session, and the time of its last click or of each click.

        Raises:
            ConfigError: the number of times is another one, a quote is not closed, or a store is
                named without a user or beside --history.
            StoreError: the store has no users or no times.
        """
        if self.history_from is not None:
            return self._stored_sessions(self.history_from)
        sessions = [parse_ids("--history", text) for text in self.history or ()]
        if self.history_times is None:
            return [(session, None) for session in sessions]
        if len(self.history_times) != len(sessions):
            raise ConfigError(
                f"--history-times must have a time for each of {len(sessions)} --history, got "
                f"{len(self.history_times)}"
            )
        return list(zip(sessions, self.history_times, strict=True))

    def _stored_sessions(self, store: str) -> RawHistory:
        from nextclick.experiments.user_sessions import user_sessions

        if self.user is None or self.history:
            raise ConfigError(
                "--history-from needs --user and excludes --history: give the user whose sessions "
                "are read from the store"
            )
        start = self.times[0] if self.times else self.now
        sessions = user_sessions(store, self.user, before=start)
        if not sessions:
            say(f"--user {self.user}: no earlier session in {store}")
        return sessions

    def ids(self) -> list[str] | None:
        """The clicked items in order; None if no option names them.

        Raises:
            ConfigError: several options name them, or a quote is not closed.
            SourceError: the file cannot be read.
        """
        given = [self.session, self.click, self.session_file]
        if sum(one is not None for one in given) > 1:
            raise ConfigError("give the clicks once: --session, --click or --session-file")
        if self.session is not None:
            return parse_ids("--session", self.session)
        return self.click if self.session_file is None else _read_ids(self.session_file)


def _read_ids(path: Path) -> list[str]:
    """The lines of a file that are not empty."""
    try:
        data = sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"--session-file {path}: cannot read it: {error}; it is UTF-8 text with one id per line"
        ) from None
    return [line for line in text.replace("\r\n", "\n").split("\n") if line]


SESSION = OptionGroup(
    "Session",
    flags={"session": ("--session", "-s")},
    defaults={"now": "the last click", "user": "anonymous"},
    parse={"times": parse_seconds, "history_times": parse_seconds},
)
