"""Sources of new clicks that a refresh reads by itself: the event log of a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from nextclick.data.event_segments import read_event_log

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from nextclick.data.increment import Overlap


@dataclass(frozen=True, slots=True, eq=False)
class NewClicks:
    """Clicks that a model has not learnt.

    Attributes:
        frame: columns session, item, time in milliseconds and, if there are any, user.
        overlap: how `read_increment` recognizes clicks that the model knows.
        record: fields of the refresh in the manifest of the model.
    """

    frame: pl.DataFrame
    overlap: Overlap
    record: dict[str, Any] = field(default_factory=dict)


@runtime_checkable
class ClickSource(Protocol):
    """Finds the clicks that a model has not learnt."""

    def read(self, trained: Mapping[str, Any]) -> NewClicks:
        """Read the new clicks.

        Args:
            trained: field `trained` of the manifest of the model.

        Raises:
            SourceError: there are none, or they cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class EventLogSource:
    """The folder of `serve --event-log`. Clicks up to the last one of the model are not new."""

    folder: Path

    def read(self, trained: Mapping[str, Any]) -> NewClicks:
        """See `ClickSource`."""
        return NewClicks(read_event_log(self.folder, int(trained["last_ms"])), "cut")


def click_source(location: str) -> ClickSource:
    """The source of an option `--from`."""
    return EventLogSource(Path(location))
