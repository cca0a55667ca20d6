"""benchmarks/open_loop.py: latency counts from the due time, failures are counted by kind."""

import json
import sys
import time
from itertools import islice, repeat

import pytest

from docs_pages import ROOT
from fake_server import FakeServer

sys.path.insert(0, str(ROOT / "benchmarks"))
from http_stream import HttpStream
from open_loop import Load, Measurement, RateResult, exit_code, measure, table_row
from store_sessions import RawSession, click_requests, prefix_requests, workload

QUICK = Load(seconds=1.0, warm_up=0.0, connections=1)
REQUEST = ("/v1/recommend", b"{}")


def test_latency_counts_from_when_a_request_was_due():
    def answer(number, path, body):
        time.sleep(0.02)  # 50 a second can be served; 150 are due
        return 200, {}

    with FakeServer(answer) as server:
        result = measure(server.url, repeat(REQUEST), 150.0, QUICK)
    # a closed loop would report the 20 ms that each response takes; request n waits n * 13 ms
    assert result.failed == 0
    assert result.latency_ms["p50"] > 500
    assert result.latency_ms["max"] > 1000
    assert result.sent == len(server.requests)


def test_a_fast_server_shows_short_latencies():
    with FakeServer() as server:
        result = measure(server.url, repeat(REQUEST), 50.0, QUICK)
    assert result.failed == 0
    assert result.latency_ms["p50"] < 100


def test_failures_are_counted_by_kind():
    def answer(number, path, body):
        return [(200, {}), (503, {}), b"not HTTP\r\n\r\n", b""][number % 4]

    with FakeServer(answer) as server:
        result = measure(server.url, islice(repeat(REQUEST), 40), 100.0, QUICK)
    assert result.sent == 40
    assert result.errors == {
        "status 503": 10, "BadResponseError": 10, "IncompleteReadError": 10
    }  # fmt: skip
    assert not result.meets(1e9)
    assert "10 × status 503" in table_row(result)


def test_a_timeout_counts_from_the_due_time_and_is_in_the_latencies():
    load = Load(seconds=0.5, warm_up=0.0, connections=1, timeout=0.1)
    with FakeServer(lambda number, path, body: None) as server:
        result = measure(server.url, islice(repeat(REQUEST), 5), 20.0, load)
    assert result.errors["timeout"] == result.sent == 5
    assert result.latency_ms["p50"] >= 100


def test_a_server_that_is_gone_is_a_failure():
    with FakeServer() as server:
        pass
    result = measure(server.url, islice(repeat(REQUEST), 3), 20.0, QUICK)
    assert result.errors == {"ConnectionRefusedError": 3}
    assert result.latency_ms == {}
    assert json.loads(json.dumps(result.to_json()))["failed"] == 3


def test_a_response_that_is_no_success_has_no_latency():
    measurement = Measurement("http://localhost:1", 100.0, QUICK)
    for failure, seconds in (
        (None, 0.002), ("status 503", 9.0), ("status 404", 0.0), (None, 0.001),
        ("ConnectionResetError", 9.0), ("timeout", 5.0), ("status 503", 9.0),
    ):  # fmt: skip
        measurement.record(failure, seconds)
    result = measurement.result()
    assert result.latency_ms == {
        "p50": 2.0, "p90": 5000.0, "p95": 5000.0, "p99": 5000.0, "p99_9": 5000.0, "max": 5000.0
    }  # fmt: skip
    assert result.errors == {
        "status 503": 2, "status 404": 1, "ConnectionResetError": 1, "timeout": 1
    }  # fmt: skip
    assert result.failed == 5


def test_a_run_without_a_success_fails():
    fine, mixed = RateResult(1.0, sent=9), RateResult(1.0, sent=9, errors={"status 503": 8})
    refused = RateResult(1.0, sent=9, errors={"status 503": 5, "timeout": 4})
    assert exit_code([fine, mixed], None) == 0
    assert exit_code([fine, refused], None) == 1
    assert exit_code([refused], 99) == 1
    assert exit_code([RateResult(1.0)], None) == 1  # nothing was due
    assert exit_code([fine, mixed], 8) == 0
    assert exit_code([fine, mixed], 7) == 1


def test_the_warm_up_is_not_measured():
    load = Load(seconds=0.5, warm_up=0.5, connections=4)
    with FakeServer() as server:
        result = measure(server.url, repeat(REQUEST), 100.0, load)
    assert 0 < result.sent < len(server.requests)


def test_a_late_generator_is_reported():
    late = RateResult(100.0, sent=10, latency_ms=dict.fromkeys(("p99",), 5.0), lag_ms_p99=2.0)
    assert late.generator_was_late
    assert not late.meets(10.0)
    slow_server = RateResult(100.0, sent=10, latency_ms={"p99": 50.0}, lag_ms_p99=2.0)
    assert not slow_server.generator_was_late


def test_requests_of_whole_sessions_and_of_live_ones():
    sessions = [RawSession([1, 2], [10.0, 20.0], "anna"), RawSession(["x"])]
    first, second, *_ = islice(prefix_requests(sessions, 5), 2)
    body = json.loads(first[1])
    assert body["session"] == [1, 2][: len(body["session"])]
    assert body["user"] == "anna"
    assert len(body["times"]) == len(body["session"])
    assert json.loads(second[1]) == {"session": ["x"], "k": 5}

    clicks = list(islice(click_requests(sessions, 5, 2), 6))
    names = [path.split("/")[3].partition("-")[2] for path, _ in clicks]
    items = [json.loads(body)["item"] for _, body in clicks]
    assert names == ["0", "1", "0", "2", "3", "2"]
    assert items == [1, "x", 2, 1, "x", 2]


def test_bad_arguments():
    with pytest.raises(ValueError, match="url must be http://HOST:PORT, got 'localhost'"):
        HttpStream.to("localhost")
    with pytest.raises(ValueError, match="mode must be recommend or events, got 'batch'"):
        workload("batch", [])
