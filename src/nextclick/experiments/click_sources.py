"""Sources of new clicks that a refresh reads by itself: the event log of a server, and Kafka."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.data.event_segments import event_options, read_event_log

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from nextclick.data.increment import Overlap
    from nextclick.data.options import PrepareOptions


@dataclass(frozen=True, slots=True, eq=False)
class NewClicks:
    """Clicks that a model has not learned.

    Attributes:
        frame: columns session, item, time and, if there are any, user.
        options: how the frame is read.
        overlap: how `read_increment` recognizes clicks that the model knows.
        record: fields of the refresh in the manifest of the model.
    """

    frame: pl.DataFrame
    options: PrepareOptions
    overlap: Overlap
    record: dict[str, Any] = field(default_factory=dict)


class ClickSource(ABC):
    """Finds the clicks that a model has not learned."""

    @abstractmethod
    def read(self, trained: Mapping[str, Any], options: PrepareOptions) -> NewClicks:
        """Read the new clicks.

        Args:
            trained: field `trained` of the manifest of the model.
            options: the options of the log of the model, and those of the command.

        Raises:
            SourceError: there are none, or they cannot be read.
        """


@dataclass(frozen=True, slots=True)
class EventLogSource(ClickSource):
    """The folder of `serve --event-log`. Clicks up to the last one of the model are not new."""

    folder: Path

    def read(self, trained: Mapping[str, Any], options: PrepareOptions) -> NewClicks:
        """See `ClickSource`."""
        clicks = read_event_log(self.folder, int(trained["last_ms"]))
        return NewClicks(clicks, event_options(options), "cut")


def click_source(location: str, **options: Any) -> ClickSource:
    """The source of an option `--from`: a folder, or `kafka://HOST:PORT/TOPIC`.

    Args:
        location: the folder or the address.
        options: fields of `KafkaSource`, for an address.

    Raises:
        ConfigError: the address has another form.
    """
    if location.startswith("kafka://"):
        from nextclick.experiments.kafka_source import KafkaSource

        return KafkaSource.from_address(location, **options)
    return EventLogSource(Path(location))
