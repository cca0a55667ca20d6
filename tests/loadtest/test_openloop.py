"""What is counted: waiting, failures, and a generator that is late itself."""

import socket
import time

import numpy as np
import pytest

from fake_server import FakeServer
from nextclick.errors import ConfigError
from nextclick.loadtest import LoadConfig, Visit, Work, WorkConfig, load, open_server
from nextclick.loadtest.arrivals import due_times
from nextclick.loadtest.measured import measured, percentile
from nextclick.loadtest.openloop import Log

VISITS = [Visit([10, 20, 30]), Visit([20, 10])]


def run(server, **options):
    work = {"mode": options.pop("mode", "recommend"), **options.pop("work", {})}
    stop = options.pop("stop", lambda: False)
    config = LoadConfig(**{"rates": (200.0,), "seconds": 1.0, "warm_up": 0.0} | options)
    return load(open_server(server.url), Work(VISITS, WorkConfig(**work)), config, stop=stop)


def test_a_stall_is_counted_for_every_request_that_was_due_meanwhile():
    """A client that waits for its answer would have seen one slow request."""

    def answer(number, path, body):
        if number == 60:
            time.sleep(0.4)
        return 200, {}

    with FakeServer(answer) as server:
        one = run(server, arrivals="uniform", connections=1).rates[0]
    # of the requests due in these 0.4 s, at 200/s, those of the first 0.2 s waited 0.2 s or more
    waited = sum(ms >= 200 for ms in _times(one.curve_ms, one.sent))
    assert waited >= 0.2 * 200 * 0.9
    assert one.latency_ms["max"] >= 395
    assert one.latency_ms["p90"] >= 100
    # counted from when they were sent, one request was slow
    assert one.service_ms["max"] >= 395
    assert one.service_ms["p90"] < 100
    assert one.waited >= 40
    assert (one.failed, one.answered, one.sent) == (0, 200, 200)


def _times(curve, n):
    """The latencies that a curve of percentiles stands for, at each of n equal steps."""
    percents, ms = np.array(curve).T
    return np.interp(np.linspace(0, 100, n), percents, ms)


def test_every_failure_is_counted_by_its_kind():
    kinds = {
        0: (200, {"items": [1]}),
        1: (503, {"detail": "busy; ask again in a second"}),
        2: b"",
        3: b"SSH-2.0-OpenSSH\r\n",
        4: (422, ["no detail"]),
    }

    def answer(number, path, body):
        return kinds[number % 5 if number else 0]

    with FakeServer(answer) as server:
        curve = run(server, rates=(100.0,), seconds=0.5, arrivals="uniform", connections=4)
    one = curve.rates[0]
    assert one.sent == 50
    closed = "connection closed" if "connection closed" in one.errors else "connection reset"
    kinds = ("status 503", closed, "answer is not HTTP", "status 422")
    assert one.errors == dict.fromkeys(kinds, 10)
    assert (one.answered, one.failed) == (10, 40)
    assert one.examples["status 503"] == "status 503: busy; ask again in a second"
    assert curve.highest is None
    assert curve.failed == one.failed


def test_what_takes_too_long_has_failed_and_its_wait_is_counted():
    def answer(number, path, body):
        if number:
            time.sleep(0.25)
        return 200, {}

    with FakeServer(answer) as server:
        one = run(server, rates=(20.0,), seconds=0.5, connections=2, timeout=0.1).rates[0]
    assert set(one.errors) <= {"timeout", "timeout before a connection was free"}
    assert one.failed == one.sent
    assert one.answered == 0
    assert one.latency_ms["p50"] >= 100
    assert one.achieved == 0


# a server that ends in the middle leaves a connection to the collector of garbage, with a warning
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_server_that_goes_away_refuses_and_the_load_goes_on():
    def answer(number, path, body):
        if number == 20:
            server.end()
        return 200, {}

    with FakeServer(answer) as server:
        one = run(server, rates=(100.0,), seconds=0.8, connections=4).rates[0]
    assert one.errors["connection refused"] > 20
    assert 10 <= one.answered <= 50


def test_the_warm_up_is_sent_and_not_counted():
    with FakeServer() as server:
        one = run(server, rates=(100.0,), arrivals="uniform", warm_up=0.3, seconds=0.2).rates[0]
        assert len(server.requests) == 1 + 50
    assert one.sent == one.answered == 20


def test_each_rate_is_measured_and_the_highest_that_holds_is_told():
    def measure(rate, ms, **also):
        log = Log()
        log.latency.extend([ms / 1000] * 100)
        log.service.extend([ms / 1000] * 100)
        log.lag.extend([0.0] * 100)
        log.answered = 100
        for name, value in also.items():
            setattr(log, name, value)
        return measured(log, rate, 1.0)

    assert measure(100, 4.0).holds(10)
    assert not measure(100, 11.0).holds(10)
    log = Log()
    assert not measured(log, 100, 1.0).holds(10)
    assert measured(log, 100, 1.0).latency_ms == {}
    assert not measure(100, 4.0, stopped=True).holds(10)


def test_a_generator_that_was_late_says_so():
    log = Log()
    log.latency.extend([0.020] * 100)
    log.service.extend([0.001] * 100)
    log.lag.extend([0.0] * 90 + [0.019] * 10)
    log.answered = 100
    one = measured(log, 100, 1.0)
    assert one.generator_was_late
    assert not one.holds(50)
    assert one.lag_ms == {"p99": pytest.approx(19), "max": pytest.approx(19)}


def test_percentiles_are_those_of_all_requests():
    log = Log()
    log.latency.extend(n / 1000 for n in range(1000, 0, -1))  # 1 to 1,000 ms
    log.service.extend([0.001] * 1000)
    log.answered = 1000
    at = measured(log, 100, 10.0).latency_ms
    told = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p99_9": 999, "max": 1000}
    assert at == pytest.approx(told | {"mean": 500.5})
    assert percentile(np.array([3.0]), 99.9) == 3.0


def test_arrivals_are_seeded_and_do_not_wait():
    def rng():
        return np.random.default_rng([7, 0])

    one, two = (due_times(50, 100, "poisson", rng()) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert (np.diff(one) >= 0).all()
    assert one[-1] <= 100
    # a Poisson process: as many as 50 × 100 ± 4 σ, gaps whose mean and deviation are 1/50 s
    assert abs(len(one) - 5000) < 4 * 5000**0.5
    assert np.diff(one).std() == pytest.approx(1 / 50, rel=0.1)
    assert (due_times(50, 100, "poisson", np.random.default_rng([8, 0]))[:9] != one[:9]).any()
    assert due_times(2, 2, "uniform", rng()).tolist() == [0, 0.5, 1, 1.5]
    with pytest.raises(ValueError, match="arrivals must be poisson or uniform, got 'burst'"):
        due_times(1, 1, "burst", rng())


def test_a_stop_ends_it_with_what_was_measured():
    with FakeServer() as server:
        curve = run(
            server,
            rates=(50.0, 60.0),
            seconds=60.0,
            stop=lambda: len(server.requests) > 20,
        )
    assert curve.stopped
    assert len(curve.rates) == 1
    assert 10 <= curve.rates[0].answered <= 100
    assert curve.highest is None


def test_the_server_is_asked_before_the_load():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(
            ConfigError, match=r"cannot be reached: .*start one with .nextclick serve"
        ):
            open_server(f"http://127.0.0.1:{taken.getsockname()[1]}")
    with (
        FakeServer(lambda *asked: (401, {"detail": "token"})) as server,
        pytest.raises(ConfigError, match=r"wants the token of the server .status 401.; give"),
    ):
        run(server)
    with FakeServer(lambda *asked: (404, {"detail": "no model x"})) as server:
        with pytest.raises(
            ConfigError, match="did not answer a trial request: status 404: no model"
        ):
            run(server)
        assert len(server.requests) == 1
    with FakeServer() as server:
        server._answer = lambda *asked: b"HTTP/1.1 404 X\r\ncontent-length: 4\r\n\r\nnone"
        with pytest.raises(
            ConfigError, match=r"expected an answer of .nextclick serve., got status 40"
        ):
            open_server(server.url)


def test_a_server_that_never_answers_is_told(monkeypatch):
    monkeypatch.setattr("nextclick.loadtest.ask._SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(
            ConfigError, match=r"did not answer within 0.2 s; see whether the server"
        ):
            open_server(f"http://127.0.0.1:{silent.getsockname()[1]}")


def test_connections_that_cannot_be_opened_are_told(monkeypatch):
    async def fails(*asked):
        raise OSError(24, "Too many open files")

    with FakeServer() as server:
        monkeypatch.setattr("nextclick.loadtest.openloop.connect", fails)
        with pytest.raises(ConfigError, match="64 connections cannot be opened: Too many open fil"):
            run(server)


def test_values_out_of_range_are_refused():
    with FakeServer() as server:
        for rates, told in (
            ((0.0,), "--rate must be above 0 and at most 1,000,000 requests a second, got 0"),
            ((float("nan"),), "got nan"),
            ((), "--rate must name at least one rate"),
        ):
            with pytest.raises(ConfigError, match=told):
                run(server, rates=rates)
        with pytest.raises(ConfigError, match="loadtest: seconds must be number > 0"):
            run(server, seconds=0.0)
        with pytest.raises(ConfigError, match="loadtest: mode must be one of events, recommend"):
            run(server, mode="evnts")
        assert server.requests == []
