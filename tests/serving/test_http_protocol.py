"""The limits of a connection, with a transport and a clock that the test controls."""

import asyncio
import json
import socket

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from nextclick.serving.http_protocol import bounded_protocol
from nextclick.serving.request_load import is_plain_post
from nextclick.serving.settings import Settings

HEAD = b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n"
REQUEST = HEAD + b"{}"


class Timer:
    def __init__(self, at, function):
        self.at, self.function = at, function

    def cancel(self):
        self.function = lambda: None


class Task:
    def add_done_callback(self, function):
        """Never done."""


class Loop:
    """Collects timers, callbacks and tasks; time passes as the test says."""

    def __init__(self):
        self.now, self.timers, self.soon, self.tasks = 0.0, [], [], []

    def time(self):
        return self.now

    def call_later(self, seconds, function, *arguments):
        self.timers.append(Timer(self.now + seconds, lambda: function(*arguments)))
        return self.timers[-1]

    def call_soon(self, function, *arguments):
        self.soon.append(lambda: function(*arguments))

    def create_task(self, work, **_):
        work.close()
        self.tasks.append(work)
        return Task()

    def passes(self, seconds):
        self.now += seconds
        due = [timer for timer in self.timers if timer.at <= self.now]
        self.timers = [timer for timer in self.timers if timer.at > self.now]
        for timer in due:
            timer.function()

    def iterates(self):
        soon, self.soon = self.soon, []
        for function in soon:
            function()


class Transport:
    def __init__(self):
        self.written, self.closed = b"", False

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def set_write_buffer_limits(self, high=None):
        self.high = high

    def get_extra_info(self, name):
        return None

    def pause_reading(self):
        pass

    resume_reading = pause_reading


@pytest.fixture
def connections():
    """Opens connections of one server; `load` is its number of requests in process."""

    class Connections:
        def __init__(self):
            self.loop, self.state, self.rejected = Loop(), ServerState(), 0
            settings = Settings(
                max_queue=2, max_batch=1, max_header_bytes=1024, header_timeout=3, max_bytes=2048,
                max_connections=20,
            )  # fmt: skip
            self.protocol = bounded_protocol(settings, self.reject, lambda: False, lambda: None)
            self.config = Config(lambda: None, log_config=None, ws="none")
            self.config.load()

        def reject(self):
            self.rejected += 1

        def open(self):
            connection = self.protocol(
                config=self.config, server_state=self.state, app_state={}, _loop=self.loop
            )
            connection.connection_made(Transport())
            return connection

        @property
        def load(self):
            return len(self.state.tasks) - self.protocol.load.reading

    async def opened():
        return Connections()

    return asyncio.run(opened())


def problem(connection):
    """Status and problem that were written."""
    head, _, body = connection.transport.written.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    found = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % found["status"])
    return found["status"], found["problem"]


def test_a_request_reaches_the_application(connections):
    connection = connections.open()
    connection.data_received(REQUEST)
    assert len(connections.loop.tasks) == connections.load == 1
    assert connection.scope["nextclick.connected"]()
    connection.connection_lost(None)
    assert not connection.scope["nextclick.connected"]()


def test_large_headers_are_rejected_before_they_are_stored(connections):
    one = connections.open()
    one.data_received(b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"x" * 2000)
    assert problem(one)[0] == 431
    assert one.transport.closed
    written = len(one.transport.written)
    one.data_received(b"x" * 10_000)  # what was under way
    assert len(one.transport.written) == written

    many = connections.open()
    lines = b"".join(b"h%d: x\r\n" % n for n in range(101))
    many.data_received(b"GET / HTTP/1.1\r\n" + lines + b"\r\n")
    assert problem(many) == (
        431, "the request line and headers exceed 1024 bytes or 100 headers",
    )  # fmt: skip
    path = connections.open()
    path.data_received(b"GET /" + b"x" * 2000 + b" HTTP/1.1\r\n\r\n" + REQUEST)
    assert problem(path)[0] == 431
    assert connections.loop.tasks == []  # neither the request nor the one behind it


def test_headers_have_a_time_limit(connections):
    slow, silent, whole = (connections.open() for _ in range(3))
    slow.data_received(HEAD[:20])
    whole.data_received(REQUEST[:20])
    whole.data_received(REQUEST[20:])
    assert len(connections.loop.timers) == 1  # for all of them
    connections.loop.passes(2.9)
    late = connections.open()
    assert not slow.transport.closed
    connections.loop.passes(0.1)
    assert problem(slow) == (408, "the headers did not arrive within 3 s")
    assert slow.transport.closed
    assert silent.transport.closed
    assert silent.transport.written == b""
    assert not whole.transport.closed
    connections.loop.passes(2.8)
    assert not late.transport.closed
    connections.loop.passes(0.2)
    assert late.transport.closed


def test_the_time_limit_applies_to_later_requests(connections):
    connection, idle = connections.open(), connections.open()
    for one in (connection, idle):
        one.data_received(REQUEST)
        one.cycle.response_complete = True
        one.on_response_complete()
    connections.loop.passes(4.0)
    connection.data_received(HEAD[:9])
    connections.loop.passes(1.0)
    assert idle.transport.closed
    assert not connection.transport.closed
    connections.loop.passes(2.0)
    assert problem(connection)[0] == 408


def test_a_connection_too_many_takes_the_place_of_the_one_idle_longest(connections):
    idle = [connections.open() for _ in range(2)]
    for one in idle:
        one.data_received(REQUEST)
        one.cycle.response_complete = True
        one.on_response_complete()
        connections.loop.passes(0.1)
    silent, *busy = [connections.open() for _ in range(18)]
    for one in busy:
        one.data_received(HEAD)  # whose body arrives later
    assert not any(one.transport.closed for one in [*idle, silent])
    for oldest in (*idle, silent):
        new = connections.open()
        assert oldest.transport.closed
        oldest.connection_lost(None)
        assert not new.transport.closed
        new.data_received(HEAD)
    refused = connections.open()
    assert problem(refused) == (503, "the server has 20 connections")
    assert refused.transport.closed
    assert not any(one.transport.closed for one in busy)


def test_what_is_not_http_is_a_problem(connections):
    connection = connections.open()
    connection.data_received(b"nonsense\r\n\r\n")
    assert problem(connection) == (400, "the request is not valid HTTP/1.1")
    assert connection.transport.closed


def test_under_load_requests_are_rejected_without_a_task(connections):
    for _ in range(3):  # max_queue and max_batch together
        connections.open().data_received(REQUEST)
    assert connections.load == len(connections.loop.tasks) == 3
    late = connections.open()
    late.data_received(HEAD)
    assert problem(late) == (503, "the server is overloaded")
    assert b"retry-after: 1\r\n" in late.transport.written
    late.data_received(b"{}")  # the body of the rejected request
    late.transport.written = b""
    late.data_received(REQUEST)
    assert problem(late)[0] == 503
    assert not late.transport.closed
    assert (connections.rejected, len(connections.loop.tasks)) == (2, 3)
    health = connections.open()
    health.data_received(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert len(connections.loop.tasks) == 4
    connections.state.tasks.clear()
    connections.loop.iterates()
    late.transport.written = b""
    late.data_received(REQUEST)
    assert late.transport.written == b""
    assert len(connections.loop.tasks) == 5


def test_a_whole_request_is_rejected_without_the_parser(connections):
    for _ in range(3):
        connections.open().data_received(REQUEST)
    late = connections.open()
    late.parser = None
    for _ in range(2):
        late.data_received(REQUEST)
        assert problem(late) == (503, "the server is overloaded")
        late.transport.written = b""
    assert late.transport.high is None  # later responses are buffered as before
    connections.loop.passes(5.0)
    assert late.transport.closed


@pytest.mark.parametrize(
    "data",
    [
        REQUEST + b"x",
        REQUEST[:-1],
        REQUEST.replace(b"POST", b"GET"),
        REQUEST.replace(b"1.1", b"1.0"),
        REQUEST.replace(b"\r\ncontent", b"\r\ncontent-length: 2\r\ncontent"),
        REQUEST.replace(b"length: 2", b"length: +2"),
        REQUEST.replace(b"host", b"transfer-encoding: chunked\r\nhost"),
        REQUEST.replace(b"host", b"Connection: close\r\nhost"),
        REQUEST.replace(b"host", b"expect: 100-continue\r\nhost"),
        REQUEST.replace(b"host", b"a: b\n content-length: 9\r\nhost"),
        REQUEST.replace(b"host", b"a: b\r\n folded\r\nhost"),
        REQUEST.replace(b"host", b"a: " + b"x" * 1024 + b"\r\nhost"),
        REQUEST.replace(b"host", b"a: b\r\n" * 101 + b"host"),
        REQUEST.replace(b"length: 2", b"length: 2049") + b"x" * 2047,
        b"",
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_left_to_the_parser(data):
    settings = Settings(max_header_bytes=1024, max_bytes=2048)
    assert is_plain_post(REQUEST, settings)
    assert not is_plain_post(data, settings)


@pytest.mark.parametrize(
    ("sent", "load", "rejected"),
    [(REQUEST, 3, True), (REQUEST, 2, False), (REQUEST[:-1], 3, False), (b"", 3, False)],
)
def test_a_request_of_a_new_connection_is_rejected_before_it_has_a_transport(
    connections, sent, load, rejected
):
    client, accepted = socket.socketpair()
    with client, accepted:
        client.sendall(sent)
        assert connections.protocol.reject_accepted(accepted, load) is rejected
        assert connections.rejected == rejected
        if rejected:
            head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"connection: close" in head
            assert b"retry-after: 1" in head
            assert json.loads(body)["status"] == 503
        else:
            accepted.setblocking(False)
            assert (accepted.recv(1 << 16) if sent else b"") == sent  # nothing was read
            accepted.send(b"still open")


def test_a_new_connection_that_was_lost_is_left_to_its_transport(connections):
    client, accepted = socket.socketpair()
    with accepted:
        client.sendall(REQUEST)
        client.close()
        connections.protocol.reject_accepted(accepted, 3)  # writing fails, or is discarded
        connections.protocol.is_shutting_down = staticmethod(lambda: True)
    assert connections.protocol.reject_accepted(accepted, 3) is False


def test_few_requests_start_per_iteration_of_the_event_loop(connections):
    connections.protocol.load.limit = 20
    opened = [connections.open() for _ in range(18)]
    for connection in opened:
        connection.data_received(REQUEST)
    started = [len(connections.loop.tasks)]
    probe = connections.open()
    probe.data_received(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert len(connections.loop.tasks) == started[0] + 1  # probes do not wait
    for _ in range(3):
        connections.loop.iterates()
        started.append(len(connections.loop.tasks) - 1)
    assert started == [8, 16, 18, 18]
    assert connections.loop.soon == []
    assert not connections.protocol.load.is_full(len(connections.state.tasks))
    connections.open().data_received(REQUEST)
    assert connections.protocol.load.is_full(len(connections.state.tasks))


def test_bodies_that_do_not_arrive_are_no_load(connections):
    slow = [connections.open() for _ in range(10)]
    for connection in slow:
        connection.data_received(HEAD)
    connections.loop.iterates()
    assert (len(connections.loop.tasks), connections.load) == (10, 0)
    connections.open().data_received(REQUEST)
    assert (connections.rejected, connections.load) == (0, 1)
    for connection in slow:
        connection.connection_lost(None)
    assert connections.protocol.load.reading == 0


def test_the_body_of_a_rejected_request_is_bounded(connections):
    for _ in range(3):
        connections.open().data_received(REQUEST)
    connection = connections.open()
    connection.data_received(HEAD.replace(b"length: 2", b"length: 9999"))
    connection.data_received(b"x" * 2049)
    assert connection.transport.closed
