"""Sources of new clicks that a refresh reads by itself: the event log of a server, and streams."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.core.locations import is_url
from nextclick.core.redis_stream import REDIS_SCHEMES, RedisStream
from nextclick.data.event_segments import event_options, read_event_log
from nextclick.errors import ConfigError

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
    """The source of an option `--from`: a folder, or the address of a topic or a stream.

    Args:
        location: the folder, `kafka://HOST:PORT/TOPIC` or `redis://HOST:PORT/0?stream=NAME`.
        options: fields of `KafkaSource` or `RedisSource`, for an address.

    Raises:
        ConfigError: the address has another form.
    """
    scheme = location.partition("://")[0].lower() if is_url(location) else ""
    if scheme == "kafka":
        from nextclick.experiments.kafka_source import KafkaSource

        return KafkaSource.from_address(location, **options)
    if scheme in REDIS_SCHEMES:
        from nextclick.experiments.redis_source import RedisSource

        return RedisSource(RedisStream.parse("--from", location), **options)
    if scheme:
        raise ConfigError(
            "--from must be a folder, kafka://HOST:PORT/TOPIC or redis://HOST:PORT/0?stream=NAME, "
            f"got an address of {scheme}://; choose one"
        )
    return EventLogSource(Path(location))
