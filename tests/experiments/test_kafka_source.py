"""Refreshes from a topic of Kafka, with the mock broker of the client library."""

import json
import random
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from nextclick import PrepareOptions, prepare, train
from nextclick.artifact import Artifact, Registry
from nextclick.data.options import FilterOptions, SplitOptions
from nextclick.data.stream_messages import MessageError, MessageReader, click_frame
from nextclick.errors import ConfigError, SourceError
from nextclick.experiments import kafka_source
from nextclick.experiments.artifact_refresh import refresh
from nextclick.experiments.click_sources import click_source
from nextclick.experiments.kafka_source import KafkaSource
from nextclick.experiments.read_messages import ReadMessages
from nextclick.experiments.refresh_options import PublishCheckOptions
from small_shop import START, frame_of

kafka = pytest.importorskip("confluent_kafka", reason="the extra kafka is not installed")
NO_CHECK = PublishCheckOptions(holdout=0)
DAY = 86_400_000
OPTIONS = PrepareOptions(
    filters=FilterOptions(min_item_support=1, min_session_length=1),
    split=SplitOptions(kind="fraction"),
)


@pytest.fixture(scope="module")
def producer():
    """A producer whose process runs the broker."""
    created = kafka.Producer(
        {"bootstrap.servers": "mock:1", "test.mock.num.brokers": 1, "message.max.bytes": 20 << 20}
    )
    yield created
    created.flush(30)


@pytest.fixture(scope="module")
def servers(producer):
    (broker,) = producer.list_topics(timeout=30).brokers.values()
    return f"{broker.host}:{broker.port}"


@pytest.fixture
def topic(request):
    return "".join(c if c.isalnum() else "-" for c in request.node.name)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    return prepare(frame_of([[10, 20, 30, 40, 50]] * 20), folder / "store", options=OPTIONS).store


@pytest.fixture
def registry(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(store, "pop", tmp_path / "model")
    created = Registry.create(tmp_path / "shop")
    created.publish(tmp_path / "model")
    return created


def click(n, **more):
    """Click n: five items, of which item 10 * m is clicked in message n if n % 5 is m - 1."""
    fields = {"session_id": f"s{n // 4}", "item_id": 10 * (n % 5 + 1)}
    return {**fields, "timestamp": START * 1000 + DAY * 100 + 1000 * n, **more}


def produce(producer, topic, messages):
    for n, message in enumerate(messages):
        content = message if isinstance(message, bytes) else json.dumps(message).encode()
        producer.produce(topic, content, partition=n // 4 % 3)
    assert producer.flush(60) == 0


def learned(registry):
    artifact = Artifact.load(registry.current().path)
    return dict(zip(artifact.items.ids(), map(int, artifact.support[1:]), strict=True))


def test_each_message_is_learned_once(producer, servers, topic, registry):
    before = learned(registry)
    address = f"kafka://{servers}/{topic}"
    produce(producer, topic, [click(n) for n in range(40)])
    first = refresh(registry.path, click_source(address, max_messages=15), publish_check=NO_CHECK)
    assert first.report["stream"]["messages"] == 15
    late = click(40) | {"timestamp": START * 1000}  # long before the last click of the model
    produce(producer, topic, [late])
    second = refresh(registry.path, click_source(address), publish_check=NO_CHECK)
    assert second.report["stream"]["messages"] == 26
    stream = Artifact.load(registry.current().path).trained["refreshes"][-1]["stream"]
    assert (stream["topic"], sum(stream["offsets"].values())) == (topic, 41)
    expected = {item: n + 8 for item, n in before.items()}
    assert learned(registry) == expected | {10: expected[10] + 1}
    with pytest.raises(SourceError, match="has no new click: 0 new messages are not clicks of a"):
        refresh(registry.path, click_source(address), publish_check=NO_CHECK)


def test_a_refresh_that_is_not_published_is_repeated(
    producer, servers, topic, registry, monkeypatch
):
    address = f"kafka://{servers}/{topic}"
    produce(producer, topic, [click(n) for n in range(20)])
    before = learned(registry)
    with monkeypatch.context() as patch:
        patch.setattr(Registry, "_point_to", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            refresh(registry.path, click_source(address), publish_check=NO_CHECK)
    refresh(registry.path, click_source(address), publish_check=NO_CHECK)
    assert learned(registry) == {item: n + 4 for item, n in before.items()}


def test_bad_messages_are_written_to_a_file(producer, servers, topic, registry, tmp_path):
    bad = [b"no json", b"[1]", {"item_id": 1}, click(0, item_id=None), b"x" * (10 << 20)]
    produce(producer, topic, [*(click(n) for n in range(8)), *bad[:4]])
    source = KafkaSource.from_address(f"kafka://{servers}/{topic}", max_messages=12)
    result = refresh(registry.path, source, publish_check=NO_CHECK)
    assert (result.report["stream"]["rejected"], result.report["events"]) == (4, 8)
    rejected = list(
        map(json.loads, (tmp_path / f"{topic}.rejected.jsonl").read_text().splitlines())
    )
    assert {message["reason"] for message in rejected} == {
        "it is not JSON",
        "it is not a JSON object",
        "it has no time and no session that is text or a number",
        "it has no item that is text or a number",
    }
    assert {message["message"] for message in rejected} >= {"no json", "[1]"}
    reader = MessageReader(PrepareOptions())
    with pytest.raises(MessageError, match="it has 10,485,760 bytes, the limit is 1,048,576"):
        reader.click(bad[4])
    produce(producer, topic, [b"no json"])
    (tmp_path / "folder").mkdir()
    source = click_source(f"kafka://{servers}/{topic}", dead_letters=tmp_path / "folder")
    with pytest.raises(ConfigError, match=r"--dead-letters .* cannot be written: Is a directory"):
        refresh(registry.path, source, publish_check=NO_CHECK)


def test_fields_have_the_names_of_files():
    from nextclick.data.options import ReadOptions
    from nextclick.data.readers.columns import Columns

    reader = MessageReader(PrepareOptions())
    content = json.dumps({"SessionId": 3, "itemId": "x", "ts": 1.5, "user": "u"}).encode()
    assert reader.click(content) == {"session": 3, "item": "x", "time": 1.5, "user": "u"}
    columns = Columns(session="sid", item="event.item.id", time="when")
    reader = MessageReader(PrepareOptions(read=ReadOptions(columns=columns)))
    nested = {"sid": "s", "event": {"item": {"id": 7}}, "when": "2026-01-01T00:00:00Z"}
    found = reader.click(json.dumps(nested).encode())
    assert found == {"session": "s", "item": 7, "time": "2026-01-01T00:00:00Z"}
    frame = click_frame([found, {"session": 1, "item": 8, "time": 5}])
    assert frame["item"].to_list() == ["7", "8"]
    assert frame["time"].to_list() == ["2026-01-01T00:00:00Z", "5"]
    with pytest.raises(MessageError, match="it has no session that is text or a number"):
        reader.click(json.dumps({**nested, "sid": {}}).encode())


def test_a_missing_topic_and_a_missing_broker_are_named(servers, registry, monkeypatch):
    with pytest.raises(SourceError, match=r"there is no such topic: .*; check its name, or create"):
        refresh(registry.path, click_source(f"kafka://{servers}/none"))
    monkeypatch.setattr(kafka_source, "_TIMEOUT", 1.0)
    with pytest.raises(SourceError, match=r"cannot be read: .*; check the address, the settings"):
        refresh(registry.path, click_source("kafka://127.0.0.1:9/clicks"))


def test_deleted_messages_are_named(producer, servers, topic, registry):
    address = f"kafka://{servers}/{topic}"
    produce(producer, topic, [click(n) for n in range(12)])
    refresh(registry.path, click_source(address, max_messages=2), publish_check=NO_CHECK)
    for _ in range(8):  # the broker deletes the oldest messages of a full partition
        for partition in range(3):
            producer.produce(topic, b"x" * (1 << 20), partition=partition)
    produce(producer, topic, [click(n) for n in range(12, 24)])
    with pytest.raises(SourceError, match=r"messages .* were deleted unread; pass --skip-expired"):
        refresh(registry.path, click_source(address), publish_check=NO_CHECK)
    source = click_source(address, skip_expired=True)
    assert refresh(registry.path, source, publish_check=NO_CHECK).report["events"] >= 12


def test_a_topic_that_was_created_again_is_named(producer, servers, topic, registry):
    produce(producer, topic, [click(n) for n in range(4)])
    source = KafkaSource(servers, topic)
    with pytest.raises(SourceError, match="but was read up to 9: the topic was created again"):
        source._check_offset(0, 9, 0, 4)


def test_wrong_addresses_and_settings_are_named(servers, registry, tmp_path, monkeypatch):
    message = "--from must be kafka://HOST:PORT/TOPIC without a user and a password; set"
    for address in ("kafka://host:1", "kafka:///topic", "kafka://u:secret@host/topic"):
        with pytest.raises(ConfigError, match=message) as error:
            click_source(address)
        assert "secret" not in str(error.value)
    source = click_source(f"kafka://{servers}/none")
    file = tmp_path / "kafka.properties"
    monkeypatch.setenv("NEXTCLICK_KAFKA_CONFIG", str(file))
    with pytest.raises(ConfigError, match=r"cannot be read: .*; name a text file"):
        refresh(registry.path, source)
    file.write_text("# comment\nclient.id=x\nno value")
    with pytest.raises(ConfigError, match=r"line 3 must be NAME=VALUE, such as security.protocol"):
        refresh(registry.path, source)
    file.write_text("no.such.setting=1")
    with pytest.raises(ConfigError, match=r"the Kafka client rejects a setting: .*; correct it"):
        refresh(registry.path, source)


def test_a_broker_that_stops_ends_the_refresh(monkeypatch):
    class Silent:
        def consume(self, number, timeout):
            return []

    monkeypatch.setattr(kafka_source, "_STALLED", 0.0)
    messages = ReadMessages(MessageReader(PrepareOptions()))
    window = kafka_source._Window(messages, {0: 0})
    with pytest.raises(SourceError, match="before the end of the topic; check that the brokers"):
        KafkaSource("host:1", "t")._consume(kafka, Silent(), window, {0: 5})
    KafkaSource("host:1", "t", max_seconds=1e-9)._consume(kafka, Silent(), window, {0: 5})


def run_and_kill(registry, address, n, seconds):
    """Run a refresh as a process; kill it after some seconds. Returns whether it had finished."""
    command = [sys.executable, "-m", "nextclick", "refresh", str(registry.path), "--from", address]
    process = subprocess.Popen(
        [*command, "--max-messages", str(n), "--holdout", "0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return process.returncode == 0


@pytest.mark.parametrize(
    ("n_clicks", "n_kills"), [(200, 2), pytest.param(20_000, 20, marks=pytest.mark.slow)]
)
def test_killed_refreshes_learn_each_click_once(
    producer, servers, topic, registry, n_clicks, n_kills
):
    before = learned(registry)
    address = f"kafka://{servers}/{topic}"
    produce(producer, topic, [click(n) for n in range(n_clicks)])
    start = time.monotonic()
    assert run_and_kill(registry, address, n_clicks // 10, 600)
    duration, rng = time.monotonic() - start, random.Random(0)
    for _ in range(n_kills):
        run_and_kill(registry, address, n_clicks // 40, rng.uniform(0.3, 1.1) * duration)
    with suppress(SourceError):  # killed refreshes may have learned all
        refresh(registry.path, click_source(address), publish_check=NO_CHECK)
    expected = {item: n + n_clicks // 5 for item, n in before.items()}
    assert learned(registry) == expected
