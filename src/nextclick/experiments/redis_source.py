"""New clicks of a stream of Redis or Valkey.

The id of the last entry that a model has learned is in its manifest. It changes with the model in
one step, when the version is published. Nothing is written to the stream.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.core.event_schema import EVENT_FIELD
from nextclick.core.extra_packages import import_extra
from nextclick.data.stream_messages import MessageReader
from nextclick.errors import SourceError
from nextclick.experiments.click_sources import ClickSource, NewClicks
from nextclick.experiments.read_messages import ReadMessages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.redis_stream import RedisStream
    from nextclick.data.options import PrepareOptions

_BATCH = 1000
_TIMEOUT = 15.0  # seconds for an answer


@dataclass(frozen=True, slots=True)
class RedisSource(ClickSource):
    """A stream, whose entries have the record of a click in the field `event`.

    Attributes:
        stream: the stream.
        max_messages: largest number of entries that are read; None reads to the end.
        max_seconds: time after which no more entries are read; None reads to the end.
        dead_letters: file to which entries are appended that are not clicks.
        skip_expired: continue with the oldest entry if earlier ones were deleted unread.
    """

    stream: RedisStream
    max_messages: int | None = None
    max_seconds: float | None = None
    dead_letters: Path | None = None
    skip_expired: bool = False

    def read(self, trained: Mapping[str, Any], options: PrepareOptions) -> NewClicks:
        """See `ClickSource`.

        Raises:
            SourceError: the stream has no new click, or cannot be read.
            ConfigError: the address is malformed.
        """
        redis = import_extra("redis", "redis", str(self.stream))
        name, messages = self.stream.stream, ReadMessages(MessageReader(options))
        try:
            with redis.Redis.from_url(
                self.stream.url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT
            ) as client:
                last_id = self._read_all(client, _learned_id(trained, name), messages)
        except (redis.exceptions.RedisError, OSError, ValueError, TypeError) as error:
            # its message may contain the password
            raise SourceError(
                f"{self.stream}: cannot be read: {type(error).__name__}; check the address, the "
                "password, and that the server runs"
            ) from None
        file_name = re.sub(r"[^\w.-]", "-", name)
        rejected = self.dead_letters or Path(f"{file_name}.rejected.jsonl")
        record = {"stream": name, "last_id": last_id}
        return messages.new_clicks(str(self.stream), options, rejected, record)

    def _read_all(self, client: Any, learned: str | None, messages: ReadMessages) -> str:
        """Read up to the end that the stream has now; return the id of the last entry read."""
        name, start = self.stream.stream, time.monotonic()
        newest = client.xrevrange(name, count=1)
        end = newest[0][0].decode() if newest else "0-0"
        self._check_learned(client, learned, end)
        last_id = learned or "0-0"
        if _order(end) < _order(last_id):  # created again
            last_id = "0-0"
        while _order(last_id) < _order(end):
            if self.max_seconds is not None and time.monotonic() - start >= self.max_seconds:
                break
            n_left = _BATCH
            if self.max_messages is not None:
                n_left = min(_BATCH, self.max_messages - len(messages))
            entries = client.xrange(name, f"({last_id}", end, count=n_left) if n_left > 0 else []
            if not entries:
                break
            for entry_id, fields in entries:
                last_id = entry_id.decode()
                messages.add(fields.get(EVENT_FIELD), entry=last_id)
        return last_id

    def _check_learned(self, client: Any, learned: str | None, end: str) -> None:
        """Check that no entry was deleted unread: the oldest are deleted first.

        Raises:
            SourceError: the last entry that was learned is gone.
        """
        if learned is None or self.skip_expired:
            return
        if not client.xrange(self.stream.stream, learned, learned):
            ending = (
                "the stream was created again"
                if _order(end) < _order(learned)
                else "entries after it may have been deleted unread"
            )
            raise SourceError(
                f"{self.stream}: entry {learned}, the last that was learned, is gone: {ending}; "
                "pass --skip-expired to continue with the oldest entry, and refresh more often or "
                "raise maxlen in the address of --event-log"
            )


def _learned_id(trained: Mapping[str, Any], stream: str) -> str | None:
    """The id of the last entry of a stream that a model has learned."""
    for refresh in reversed(trained.get("refreshes", [])):
        record = refresh.get("stream") or {}
        if record.get("stream") == stream:
            return str(record["last_id"])
    return None


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
