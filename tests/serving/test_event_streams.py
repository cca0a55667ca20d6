"""The event log in Kafka and Redis: what is written, outages, and what a refresh learns of it."""

import json
import logging
import os
import signal
import subprocess
import sys
import time

import pytest
from test_session_stores import Redis

from nextclick import train
from nextclick.artifact import Artifact, Registry
from nextclick.data.options import PrepareOptions
from nextclick.data.stream_messages import MessageError, MessageReader
from nextclick.errors import ConfigError, SourceError
from nextclick.experiments.artifact_refresh import refresh
from nextclick.experiments.click_sources import click_source
from nextclick.experiments.refresh_options import PublishCheckOptions
from nextclick.serving import event_log as event_log_module
from nextclick.serving.event_log import EventLog
from nextclick.serving.events import redis_sink
from nextclick.serving.events.event_sink import check_event_log
from serving_cases import Client, make_app
from small_shop import START

HOUR = 3600
NO_CHECK = PublishCheckOptions(holdout=0)
BROKER = """
import confluent_kafka, sys, time
broker = confluent_kafka.Producer({"bootstrap.servers": "mock:1", "test.mock.num.brokers": 1})
(one,) = broker.list_topics(timeout=30).brokers.values()
print(f"{one.host}:{one.port}", flush=True)
time.sleep(3600)
"""


class Broker:
    """A mock broker as a process, which can be halted and continued."""

    def __init__(self):
        pytest.importorskip("confluent_kafka", reason="the extra kafka is not installed")
        self.process = subprocess.Popen(
            [sys.executable, "-c", BROKER], stdout=subprocess.PIPE, text=True
        )
        self.servers = self.process.stdout.readline().strip()

    def location(self, name):
        return f"kafka://{self.servers}/{name}"

    def stop(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def start(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class RedisServer(Redis):
    """A Redis that keeps no data when it is stopped."""

    def location(self, name):
        return f"{self.url}?stream={name}"

    close = Redis.stop


@pytest.fixture(scope="module")
def servers():
    """The servers of this file by their kind."""
    started = {}
    yield started
    for server in started.values():
        server.close()


@pytest.fixture(params=["kafka", "fakeredis", "redis-server"])
def server(request, servers, monkeypatch):
    monkeypatch.setattr(redis_sink, "_TIMEOUT", 10.0)  # tests share processors
    if request.param not in servers:
        servers[request.param] = (
            Broker() if request.param == "kafka" else RedisServer(request.param)
        )
    return servers[request.param]


@pytest.fixture
def name(request):
    return "".join(c if c.isalnum() else "-" for c in request.node.name)


def add(log, n, session="s1"):
    log.add(
        session=session, user=None, seconds=START + n, answered_by=("shop", "v1"), item=n, items=[7]
    )


def written(server, name):
    """The records of a topic or stream, those of a partition in order."""
    if not isinstance(server, Broker):
        from redis import Redis as Plain

        with Plain(port=server.port) as client:
            return [json.loads(fields[b"event"]) for _, fields in client.xrange(name)]
    import confluent_kafka as kafka

    settings = {"bootstrap.servers": server.servers, "group.id": "test", "log_level": 0}
    consumer = kafka.Consumer(settings | {"enable.partition.eof": True})
    partitions = consumer.list_topics(name, timeout=30).topics[name].partitions
    consumer.assign([kafka.TopicPartition(name, p, 0) for p in partitions])
    found, n_ends = [], 0
    while n_ends < len(partitions):
        message = consumer.poll(30)
        assert message is not None
        if message.error() is None:
            found.append(json.loads(message.value()))
        else:
            n_ends += message.error().code() == kafka.KafkaError._PARTITION_EOF
    consumer.close()
    return found


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_events_are_messages_in_order(server, name):
    dropped = []
    check_event_log(server.location(name))
    log = EventLog(server.location(name), dropped.append, start=False)
    for n in range(1200):
        add(log, n)
    log.write()
    log.close()
    records = written(server, name)
    assert [record["item"] for record in records] == list(range(1200))
    assert len({record["request"] for record in records}) == 1200
    first = {k: v for k, v in records[0].items() if k not in ("request", "received")}
    assert first == {
        "schema": "nextclick.event/1", "time": START * 1000, "session": "s1", "user": None,
        "model": "shop", "version": "v1", "item": 0, "items": [7], "propensity": [1.0], "arm": None,
    }  # fmt: skip
    assert (log.dropped, dropped) == (0, [])


def test_answers_go_on_while_the_server_is_gone(server, name, knn, monkeypatch, caplog, tmp_path):
    """Events of a long outage are dropped and counted; after it, events are written again."""
    settings = tmp_path / "kafka.properties"  # a message is given up after a second
    settings.write_text("message.timeout.ms=1000\nsocket.timeout.ms=1000\n")
    monkeypatch.setenv("NEXTCLICK_KAFKA_CONFIG", str(settings))
    monkeypatch.setattr(redis_sink, "_TIMEOUT", 0.5)
    app = make_app({"knn": knn}, event_log=server.location(name))
    with Client(app) as client:
        app.event_log._max_queue = 5

        def click(n):
            answer = client.post("/v1/sessions/s1/events", {"item": 20, "k": 1, "time": START + n})
            assert answer.status_code == 200
            assert answer.json()["recommendation"]["items"]

        click(0)
        until(lambda: not app.event_log._queue)
        if isinstance(server, Broker):
            until(lambda: len(app.event_log._sink._producer) == 0)
        server.stop()
        for n in range(1, 31):
            click(n)
        until(lambda: app.event_log.dropped >= 20)
        state = client.get("/readyz").json()["event_log"]
        assert state["dropped"] >= 20
        assert state["waiting"] <= 5
        metric = next(
            line for line in client.get("/metrics").text.splitlines()
            if line.startswith("nextclick_dropped_events_total ")
        )  # fmt: skip
        assert float(metric.split()[1]) >= 20
        server.start()
        until(lambda: app.event_log.problem is None and not app.event_log._queue)
        click(31)
        until(lambda: not app.event_log._queue)
    times = [record["time"] - START * 1000 for record in written(server, name)]
    assert times[-1] == 31_000
    assert times == sorted(times)
    if isinstance(server, Broker):  # a Redis that is killed loses its stream
        assert times[0] == 0
    assert len(times) + app.event_log.dropped >= 31
    assert "events:" in caplog.text


def test_a_server_that_is_gone_when_the_log_is_closed(server, name, monkeypatch, caplog):
    monkeypatch.setattr(event_log_module, "CLOSE_SECONDS", 0.5)
    monkeypatch.setattr(redis_sink, "_TIMEOUT", 0.2)
    dropped = []
    server.stop()
    try:
        with caplog.at_level(logging.WARNING):
            log = EventLog(server.location(name), dropped.append, start=False)
            for n in range(7):
                add(log, n)
            log.close()
    finally:
        server.start()
    assert (log.dropped, sum(dropped)) == (7, 7)
    assert "dropped" in caplog.text


def test_served_clicks_are_learned_once(server, name, store, tmp_path, monkeypatch):
    """The same clicks in a folder, a topic and a stream give the same model."""
    monkeypatch.chdir(tmp_path)
    train(store, "pop", tmp_path / "model")
    registry = Registry.create(tmp_path / "shop")
    registry.publish(tmp_path / "model")
    before = Artifact.load(registry.current().path)
    start = before.trained["last_ms"] / 1000 + HOUR
    location = server.location(name)
    expected = {i: int(n) for i, n in zip(before.items.ids(), before.support[1:], strict=True)}
    for day in (1, 2):
        check_event_log(location)
        with Client(make_app({"shop": registry.path}, event_log=location)) as client:
            client.post("/v1/recommend", {"session": [40], "k": 1})  # of no session
            for n in range(8):
                for click, item in enumerate((10, 20, 50)):
                    seconds = start + 86_400 * day + 100 * n + click
                    body = {"item": item, "k": 2, "time": seconds, "user": "u"}
                    assert client.post(f"/v1/sessions/{day}-{n}/events", body).status_code == 200
                    expected[item] += 1
        result = refresh(registry.path, click_source(location), publish_check=NO_CHECK)
        assert (result.report["sessions"], result.report["stream"]["skipped"]) == (8, 1)
    learned = Artifact.load(registry.current().path)
    assert expected == {
        i: int(n) for i, n in zip(learned.items.ids(), learned.support[1:], strict=True)
    }
    with pytest.raises(SourceError, match="has no new click: 0 new messages are not clicks of a"):
        refresh(registry.path, click_source(location), publish_check=NO_CHECK)


# Redis ------------------------------------------------------------------------------------------


@pytest.fixture
def redis(servers, monkeypatch):
    monkeypatch.setattr(redis_sink, "_TIMEOUT", 10.0)
    if "redis-server" not in servers:
        servers["redis-server"] = RedisServer("redis-server")
    return servers["redis-server"]


def execute(redis, *command):
    from redis import Redis as Plain

    with Plain(port=redis.port) as plain:
        return plain.execute_command(*command)


def test_a_stream_keeps_its_latest_entries(redis, name):
    log = EventLog(f"{redis.location(name)}&maxlen=100", print, start=False)
    for n in range(1000):
        add(log, n)
    log.close()
    records = written(redis, name)
    assert 100 <= len(records) < 400  # Redis deletes whole nodes
    assert records[-1]["item"] == 999


def test_entries_that_were_deleted_unread_are_named(redis, name, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(store, "pop", tmp_path / "model")
    registry = Registry.create(tmp_path / "shop")
    registry.publish(tmp_path / "model")
    start = Artifact.load(registry.current().path).trained["last_ms"] + 1000 * HOUR
    location = redis.location(name)

    def produce(numbers):
        for n in numbers:
            event = {"session": f"s{n // 4}", "item": 10 + 10 * (n % 4), "time": start + 1000 * n}
            execute(redis, "XADD", name, "*", "event", json.dumps(event))

    produce(range(8))  # clicks of another program, and an entry that is none
    execute(redis, "XADD", name, "*", "other", "x")
    first = refresh(registry.path, click_source(location, max_messages=8), publish_check=NO_CHECK)
    assert (first.report["events"], first.report["stream"]["rejected"]) == (8, 0)
    second = [9, 10, 11, *range(12, 20)]
    produce(second)
    result = refresh(registry.path, click_source(location), publish_check=NO_CHECK)
    assert result.report["stream"]["rejected"] == 1
    (file,) = tmp_path.glob("*.rejected.jsonl")
    assert json.loads(file.read_text())["reason"] == "it has 0 bytes, the limit is 1,048,576"
    produce(range(20, 28))
    execute(redis, "XTRIM", name, "MAXLEN", "4")
    with pytest.raises(SourceError, match="is gone: entries after it may have been deleted unread"):
        refresh(registry.path, click_source(location), publish_check=NO_CHECK)
    skipping = click_source(location, skip_expired=True, max_seconds=60.0)
    assert refresh(registry.path, skipping, publish_check=NO_CHECK).report["events"] == 4
    execute(redis, "DEL", name)
    execute(redis, "XADD", name, "1-1", "event", "{}")
    with pytest.raises(SourceError, match="is gone: the stream was created again; pass --skip-ex"):
        refresh(registry.path, click_source(location), publish_check=NO_CHECK)


def test_addresses_and_passwords_of_redis(redis, name, caplog, monkeypatch):
    execute(redis, "SET", f"{name}-text", "x")
    with pytest.raises(ConfigError, match="the key is a string, not a stream; choose another name"):
        check_event_log(redis.location(f"{name}-text"))
    execute(redis, "CONFIG", "SET", "requirepass", "right")
    try:
        secret = redis.location(name).replace("//", "//:wrong-secret@")
        words = "cannot be written: redis: AuthenticationError.*; check its address, password"
        with pytest.raises(ConfigError, match=words) as error:
            check_event_log(secret)
        log = EventLog(secret, print, start=False)
        add(log, 1)
        log.write()
        assert log.problem.startswith("redis: AuthenticationError")
        monkeypatch.setattr(event_log_module, "CLOSE_SECONDS", 0.1)
        log.close()
        assert log.dropped == 1
        with pytest.raises(SourceError, match="cannot be read: AuthenticationError; check the ad"):
            click_source(secret).read({}, PrepareOptions())
        right = EventLog(redis.location(name).replace("//", "//:right@"), print, start=False)
        add(right, 2)
        right.close()
        assert right.dropped == 0
    finally:
        from redis import Redis as Plain

        with Plain(port=redis.port, password="right") as plain:
            plain.config_set("requirepass", "")
    assert [record["item"] for record in written(redis, name)] == [2]
    assert "secret" not in caplog.text + str(error.value)
    for address in (redis.url, f"{redis.url}?stream=", f"{redis.url}?stream=x&maxlen=0"):
        with pytest.raises(
            ConfigError, match=r"--event-log must be redis://.*, and may have &maxlen"
        ):
            check_event_log(address)
    wrong = f"{redis.url}?stream=x&socket_timeout=word".replace("//", "//:secret@")
    with pytest.raises(ConfigError, match="the client rejects the address; write redis:") as error:
        check_event_log(wrong)
    assert "secret" not in str(error.value)


# Messages and addresses ---------------------------------------------------------------------------


def event(**more):
    fields = {"schema": "nextclick.event/1", "request": "r1", "session": "s", "item": 5, "time": 9}
    return json.dumps(fields | more).encode()


def test_events_and_clicks_do_not_mix():
    reader = MessageReader(PrepareOptions())
    assert reader.click(event(user=7)) == {
        "request": "r1", "session": "s", "item": "5", "user": "7", "time": 9,
    }  # fmt: skip
    assert reader.click(event(session=None)) is None
    assert reader.click(event(item=None)) is None
    for content, words in (
        (event(time="9"), "it is an event without a request that is text and a time in ms"),
        (event(item=[5]), "it is an event with an id that is neither text nor a number"),
        (b'{"session": 1, "item": 2, "time": 3}', "it is no event of a server, as the messages b"),
    ):
        with pytest.raises(MessageError, match=words):
            reader.click(content)
    clicks = MessageReader(PrepareOptions())
    clicks.click(b'{"session": 1, "item": 2, "time": 3}')
    with pytest.raises(MessageError, match="it is an event of a server among other clicks"):
        clicks.click(event())


def test_a_broker_that_does_not_run_yet_is_no_reason_not_to_start(servers, caplog, monkeypatch):
    from nextclick.serving.events import kafka_sink

    monkeypatch.setattr(kafka_sink, "_METADATA_SECONDS", 0.2)
    for location in ("redis://127.0.0.1:9/0?stream=x", "kafka://127.0.0.1:9/x"):
        caplog.clear()
        check_event_log(location)
        assert "the event log cannot be written yet: " in caplog.text


def test_wrong_locations_are_named(servers, monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match=r"--event-log must be a folder, .* address of s3:/"):
        check_event_log("s3://bucket/events")
    with pytest.raises(ConfigError, match=r"--from must be a folder, .* an address of nats:"):
        click_source("nats://host/subject")
    with pytest.raises(ConfigError, match="--event-log must be kafka://HOST:PORT/TOPIC without a"):
        check_event_log("kafka://u:secret@host/topic")
    file = tmp_path / "kafka.properties"
    file.write_text("no.such.setting=1")
    monkeypatch.setenv("NEXTCLICK_KAFKA_CONFIG", str(file))
    with pytest.raises(ConfigError, match=r"the Kafka client rejects a setting: .*; correct it"):
        check_event_log("kafka://host:1/topic")


def test_a_client_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(
        ConfigError, match="--event-log kafka needs the package confluent_kafka, wh"
    ):
        check_event_log("kafka://host:1/topic")
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(
        ConfigError, match="--event-log redis needs the package redis, which is not"
    ):
        check_event_log("redis://host:1/0?stream=x")


def test_a_topic_that_cannot_be_written(monkeypatch):
    """The mock broker creates every topic, so a broker that refuses is written down here."""
    kafka = pytest.importorskip("confluent_kafka", reason="the extra kafka is not installed")
    from nextclick.core.kafka_topic import KafkaTopic
    from nextclick.serving.events.kafka_sink import KafkaSink

    class Refusing:
        def list_topics(self, topic, timeout):
            class Found:
                error = kafka.KafkaError(kafka.KafkaError.UNKNOWN_TOPIC_OR_PART)

            class Metadata:
                topics = {topic: Found}  # noqa: RUF012

            return Metadata

        def produce(self, *args, **more):
            raise kafka.KafkaException(kafka.KafkaError(kafka.KafkaError.MSG_SIZE_TOO_LARGE))

        def poll(self, seconds):
            return 0

    dropped = []
    sink = KafkaSink(KafkaTopic("host:1", "t"), lambda n, reason: dropped.append((n, reason)), 5)
    monkeypatch.setattr(sink, "_producer", Refusing())
    with pytest.raises(
        ConfigError, match=r"the topic cannot be written: .*; check its name and the"
    ):
        sink.check()
    log = EventLog("unused-folder", print, start=False)
    add(log, 1)
    sink.write(log._queue)  # a message that is too large is not sent again and again
    assert not log._queue
    assert dropped[0][0] == 1
