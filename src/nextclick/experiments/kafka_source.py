"""New clicks of a topic of Kafka.

The offsets up to which a model has learned the topic are in its manifest. They change with the
model in one step, when the version is published. Hence a click is learned once, even if a refresh
is killed. Nothing is committed to the broker.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.core.extra_packages import import_extra
from nextclick.core.kafka_topic import CONFIG, KafkaTopic, client_settings, rejected_setting
from nextclick.data.stream_messages import MessageReader
from nextclick.errors import SourceError
from nextclick.experiments.click_sources import ClickSource, NewClicks
from nextclick.experiments.read_messages import ReadMessages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nextclick.data.options import PrepareOptions

_TIMEOUT = 15.0  # seconds to wait for the metadata of a topic
_STALLED = 60.0  # seconds without a message before the end
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class KafkaSource(ClickSource):
    """A topic.

    Attributes:
        servers: brokers, as host:port, separated by commas.
        topic: its name.
        max_messages: largest number of messages that are read; None reads to the end.
        max_seconds: time after which no more messages are read; None reads to the end.
        dead_letters: file to which messages are appended that are not clicks.
        skip_expired: continue with the oldest message if earlier ones were deleted unread.
    """

    servers: str
    topic: str
    max_messages: int | None = None
    max_seconds: float | None = None
    dead_letters: Path | None = None
    skip_expired: bool = False

    @classmethod
    def from_address(cls, address: str, **options: Any) -> KafkaSource:
        """The topic of an address `kafka://HOST:PORT/TOPIC`.

        Raises:
            ConfigError: the address has another form.
        """
        topic = KafkaTopic.parse("--from", address)
        return cls(topic.servers, topic.topic, **options)

    def read(self, trained: Mapping[str, Any], options: PrepareOptions) -> NewClicks:
        """See `ClickSource`.

        Raises:
            SourceError: the topic has no new click, or cannot be read.
            ConfigError: a setting of the client is wrong.
        """
        kafka = import_extra("confluent_kafka", "kafka", self._name)
        messages = ReadMessages(MessageReader(options))
        window = _Window(messages, _learned_offsets(trained, self.topic))
        with self._consumer(kafka) as consumer:
            ends = self._assign(kafka, consumer, window.offsets)
            self._consume(kafka, consumer, window, ends)
        offsets = {str(partition): offset for partition, offset in window.offsets.items()}
        rejected = self.dead_letters or Path(f"{self.topic}.rejected.jsonl")
        record = {"topic": self.topic, "offsets": offsets}
        return messages.new_clicks(self._name, options, rejected, record)

    @property
    def _name(self) -> str:
        return f"kafka://{self.servers}/{self.topic}"

    @contextmanager
    def _consumer(self, kafka: Any) -> Iterator[Any]:
        settings = {
            **client_settings(),
            "bootstrap.servers": self.servers,
            "group.id": "nextclick-refresh",  # which the client needs; nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "log_level": 0,
        }
        try:
            consumer = kafka.Consumer(settings)
        except kafka.KafkaException as error:
            raise rejected_setting(error.args[0].str()) from None
        try:
            yield consumer
        except kafka.KafkaException as error:
            raise SourceError(
                f"{self._name}: cannot be read: {error.args[0].str()}; check the address, the "
                f"settings of {CONFIG}, and that the broker runs"
            ) from None
        finally:
            consumer.close()

    def _assign(self, kafka: Any, consumer: Any, offsets: dict[int, int]) -> dict[int, int]:
        """Start at the offsets, or at the beginning of a partition; return where they end now."""
        topic = consumer.list_topics(self.topic, timeout=_TIMEOUT).topics[self.topic]
        if topic.error is not None:
            raise SourceError(
                f"{self._name}: there is no such topic: {topic.error.str()}; check its name, or "
                "create it"
            )
        ends = {}
        for partition in sorted(topic.partitions):
            place = kafka.TopicPartition(self.topic, partition)
            low, high = consumer.get_watermark_offsets(place, timeout=_TIMEOUT)
            self._check_offset(partition, offsets.get(partition, low), low, high)
            learned = offsets.get(partition, low)
            offsets[partition] = learned if low <= learned <= high else low
            ends[partition] = high
        consumer.assign([kafka.TopicPartition(self.topic, p, offsets[p]) for p in ends])
        return ends

    def _check_offset(self, partition: int, learned: int, low: int, high: int) -> None:
        """Check that the first message that is not learned still exists.

        Raises:
            SourceError: it was deleted, or the topic was created again.
        """
        if self.skip_expired or low <= learned <= high:
            return
        lost = f"messages {learned:,} to {low - 1:,} of partition {partition} were deleted unread"
        if learned > high:
            lost = (
                f"partition {partition} ends at {high:,}, but was read up to {learned:,}: the "
                "topic was created again"
            )
        raise SourceError(
            f"{self._name}: {lost}; pass --skip-expired to continue with message {low:,}, and "
            "refresh more often or raise the retention of the topic"
        )

    def _consume(self, kafka: Any, consumer: Any, window: _Window, ends: dict[int, int]) -> None:
        start = last = time.monotonic()
        while any(window.offsets[partition] < end for partition, end in ends.items()):
            now = time.monotonic()
            if self.max_seconds is not None and now - start >= self.max_seconds:
                return
            n_left = _BATCH
            if self.max_messages is not None:
                n_left = min(_BATCH, self.max_messages - len(window.messages))
            if n_left <= 0:
                return
            messages = consumer.consume(n_left, timeout=0.5)
            if messages:
                last = now
            elif now - last > _STALLED:
                raise SourceError(
                    f"{self._name}: no message for {_STALLED:g} s before the end of the topic; "
                    "check that the brokers run, and refresh again"
                )
            for message in messages:
                error = message.error()
                if error is None:
                    window.add(message, ends)
                elif error.code() == kafka.KafkaError._PARTITION_EOF:
                    # the last messages before the end may be of aborted transactions
                    window.reach(message.partition(), message.offset(), ends)
                else:
                    raise kafka.KafkaException(error)


@dataclass(slots=True)
class _Window:
    """The messages that are read.

    Attributes:
        messages: the messages.
        offsets: partition to the offset of the first message that is not read.
    """

    messages: ReadMessages
    offsets: dict[int, int]

    def add(self, message: Any, ends: dict[int, int]) -> None:
        """Add a message, unless it arrived after the end of the window."""
        partition, offset = message.partition(), message.offset()
        if offset >= ends[partition]:
            self.reach(partition, offset, ends)
            return
        self.offsets[partition] = offset + 1
        self.messages.add(message.value(), partition=partition, offset=offset)

    def reach(self, partition: int, offset: int, ends: dict[int, int]) -> None:
        """Record that there is no message before an offset that is not read."""
        self.offsets[partition] = max(self.offsets[partition], min(offset, ends[partition]))


def _learned_offsets(trained: Mapping[str, Any], topic: str) -> dict[int, int]:
    """The offsets up to which a model has learned a topic."""
    for refresh in reversed(trained.get("refreshes", [])):
        stream = refresh.get("stream") or {}
        if stream.get("topic") == topic:
            return {int(partition): int(n) for partition, n in stream["offsets"].items()}
    return {}
