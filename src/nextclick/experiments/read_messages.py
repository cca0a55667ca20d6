"""The messages of a topic or a stream that a refresh has read."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nextclick.data.event_segments import event_options
from nextclick.data.stream_messages import MessageError, MessageReader, click_frame, message_options
from nextclick.errors import ConfigError, SourceError
from nextclick.experiments.click_sources import NewClicks

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.data.options import PrepareOptions

_SHOWN = 2000  # bytes of a rejected message that are stored


@dataclass(slots=True)
class ReadMessages:
    """Messages, in the order in which they were read.

    Attributes:
        reader: finds their fields.
        clicks: the messages that are clicks.
        rejected: those that are neither clicks nor events of a server, with the reason.
        n_skipped: events without a click of a live session, and events that were read before.
    """

    reader: MessageReader
    clicks: list[dict[str, str | int | float]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    n_skipped: int = 0
    _requests: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.clicks) + len(self.rejected) + self.n_skipped

    def add(self, content: bytes | None, **position: str | int) -> None:
        """Add a message.

        Args:
            content: the message.
            position: what identifies it in the file of rejected messages.
        """
        try:
            click = self.reader.click(content)
        except MessageError as error:
            text = (content or b"")[:_SHOWN].decode(errors="backslashreplace")
            self.rejected.append({**position, "reason": str(error), "message": text})
            return
        request = None if click is None else click.pop("request", None)
        if click is None or request in self._requests:
            self.n_skipped += 1
            return
        self.clicks.append(click)
        if request is not None:
            self._requests.add(str(request))

    def new_clicks(
        self, name: str, options: PrepareOptions, rejected_file: Path, record: dict[str, Any]
    ) -> NewClicks:
        """The clicks for a refresh; writes the rejected messages.

        Args:
            name: of the topic or stream, for messages.
            options: the options of the log of the model, and those of the command.
            rejected_file: gets the rejected messages, if there are any.
            record: where the next refresh begins to read.

        Raises:
            SourceError: there is no click.
            ConfigError: the file cannot be written.
        """
        if self.rejected:
            self._write_rejected(rejected_file)
        if not self.clicks:
            raise SourceError(
                f"{name} has no new click: {len(self):,} new messages are not clicks of a session; "
                "refresh when there are new ones, or check --item-column and the others"
            )
        counts = {
            "messages": len(self),
            "rejected": len(self.rejected),
            "skipped": self.n_skipped,
        }
        read = event_options(options) if self.reader.reads_events else message_options(options)
        return NewClicks(click_frame(self.clicks), read, "all", record | counts)

    def _write_rejected(self, file: Path) -> None:
        lines = "".join(json.dumps(message) + "\n" for message in self.rejected)
        try:
            with file.open("a", encoding="utf-8") as opened:
                opened.write(lines)
        except OSError as error:
            raise ConfigError(
                f"--dead-letters {file}: cannot be written: {os.strerror(error.errno or 0)}; name "
                "a file that can be written"
            ) from error
