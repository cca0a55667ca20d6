"""Events as messages of a topic of Kafka.

The client sends messages by a thread of its own, retries while the brokers do not respond, and
writes no message twice. A message is lost if no broker accepts it within the client's
`message.timeout.ms`, 5 minutes by default.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from nextclick.core.kafka_topic import client_settings, rejected_setting
from nextclick.errors import ConfigError
from nextclick.serving.events.click_event import encode_event
from nextclick.serving.events.event_sink import SinkUnavailableError

if TYPE_CHECKING:
    from nextclick.core.kafka_topic import KafkaTopic
    from nextclick.serving.events.click_event import ClickEvent
    from nextclick.serving.events.event_sink import Drop, EventQueue

log = logging.getLogger("nextclick.serving")
_METADATA_SECONDS = 5.0  # to wait for the topic before the server starts
_PURGE_SECONDS = 1.0  # to learn which messages are given up


class KafkaSink:
    """See `EventSink`.

    Args:
        topic: the topic; the events of a session are in one partition, in order.
        drop: called with a number of events that are lost and the reason.
        max_queue: messages that the client may hold.
    """

    def __init__(self, topic: KafkaTopic, drop: Drop, max_queue: int):
        self.name = str(topic)
        self._topic = topic
        self._drop = drop
        self._kafka = _import_client()
        settings = {
            "enable.idempotence": True,
            **client_settings(),
            "bootstrap.servers": topic.servers,
            "queue.buffering.max.messages": max_queue,
            "delivery.report.only.error": True,
            "log_level": 0,
        }
        try:
            self._producer = self._kafka.Producer(settings)
        except self._kafka.KafkaException as error:
            raise rejected_setting(error.args[0].str()) from None

    def check(self) -> None:
        """See `EventSink`."""
        try:
            found = self._producer.list_topics(self._topic.topic, timeout=_METADATA_SECONDS)
        except self._kafka.KafkaException as error:
            log.warning("the event log cannot be written yet: %s", error.args[0].str())
            return
        problem, codes = found.topics[self._topic.topic].error, self._kafka.KafkaError
        refused = (codes.UNKNOWN_TOPIC_OR_PART, codes.TOPIC_AUTHORIZATION_FAILED)
        if problem is not None and problem.code() in refused:
            raise ConfigError(
                f"--event-log {self.name}: the topic cannot be written: {problem.str()}; check its "
                "name and the rights of the client, or create it"
            )

    def write(self, queue: EventQueue) -> None:
        """See `EventSink`."""
        self._producer.poll(0)
        while queue:
            event = queue[0]
            try:
                self._producer.produce(
                    self._topic.topic, encode_event(event), _key(event), on_delivery=self._failed
                )
            except BufferError:
                raise SinkUnavailableError("the brokers do not respond") from None
            except self._kafka.KafkaException as error:  # such as a message above the limit
                self._drop(1, error.args[0].str())
            queue.popleft()
        self._producer.poll(0)

    def close(self, seconds: float) -> None:
        """See `EventSink`; messages that no broker accepts in time are lost."""
        if self._producer.flush(seconds):
            self._producer.purge()
            self._producer.flush(_PURGE_SECONDS)

    def _failed(self, error: Any, message: Any) -> None:
        del message
        self._drop(1, error.str())


def _key(event: ClickEvent) -> bytes:
    """What decides on the partition."""
    return (event.request if event.session is None else event.session).encode()


def _import_client() -> Any:
    try:
        import confluent_kafka
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--event-log kafka needs the package {error.name}, which is not installed; "
            "pip install 'nextclick[kafka]'"
        ) from None
    return confluent_kafka
