"""`nextclick loadtest`: its tables, its folder, its exit codes, and what goes wrong."""

import json
import os
import signal
import sys
import threading
import time
import xml.etree.ElementTree as ET

import pytest

from fake_server import FakeServer
from nextclick.data.store import Store
from nextclick.errors import StoreError
from small_shop import make_store
from test_docs import check_fields

QUICK = ["--rate", "60", "--seconds", "0.3", "--warm-up", "0.05", "--connections", "4"]
FILES = ["latency.png", "latency.svg", "loadtest.json", "manifest.json"]


@pytest.fixture
def shop():
    with FakeServer() as server:
        yield server


def test_it_explains_itself(run):
    code, out, err = run("loadtest", "--help")
    assert (code, err) == (0, "")
    assert "nextclick loadtest http://127.0.0.1:8000 --rates 100,200,500,1000" in out
    assert "--token " not in out


def test_it_measures_a_curve_and_draws_it(shop, tmp_path, run):
    pytest.importorskip("matplotlib")
    place = tmp_path / "load"
    code, out, err = run(
        "loadtest",
        shop.url,
        *QUICK,
        "--rates",
        "60,80",
        "--target-ms",
        "5000",
        "-o",
        place,
        "--json",
    )
    assert code == 0
    assert sorted(path.name for path in place.iterdir()) == FILES
    assert "events: latency from when a request was due, poisson arrivals" in err
    assert "latency.png, latency.svg" in err
    told = json.loads(out)
    assert (told["schema"], told["path"]) == ("nextclick.loadtest/1", str(place))
    saved = json.loads((place / "loadtest.json").read_text())
    common = {"seconds", "peak_memory_bytes", "path"}
    assert {k: v for k, v in told.items() if k not in common} == saved
    assert [one["rate"] for one in saved["rates"]] == [60, 80]
    assert saved["failed"] == 0
    check_fields(told, "loadtest/1", common=True)
    check_fields(saved["rates"][0], "rates")
    assert all(path.startswith("/v1/sessions/loadtest-") for path, _, _ in shop.requests)
    assert (place / "latency.png").read_bytes()[:4] == b"\x89PNG"
    assert ET.parse(place / "latency.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    with pytest.raises(StoreError, match=r"is a nextclick\.loadtest, not a store"):
        Store.open(place)


def test_real_sessions_of_a_store(shop, tmp_path, run):
    make_store(tmp_path / "store")
    code, _, _ = run(
        "loadtest", shop.url, *QUICK, "--store", tmp_path / "store", "--mode", "batch",
        "--batch-size", "3", "--model", "knn", "--part", "train",
    )  # fmt: skip
    assert code == 0
    path, _, body = shop.requests[0]
    assert path == "/v1/recommend/batch"
    assert {len(body["requests"]), *(one["model"] for one in body["requests"])} == {3, "knn"}
    assert len(body["requests"][0]["times"]) == len(body["requests"][0]["session"])
    assert ("GET", "/v1/items") not in shop.paths


def test_the_token_comes_from_a_file_or_the_environment(shop, tmp_path, run, monkeypatch):
    monkeypatch.setenv("NEXTCLICK_TOKEN", "of-the-environment")
    assert run("loadtest", shop.url, *QUICK)[0] == 0
    assert {fields["authorization"] for _, fields, _ in shop.requests} == {
        "bearer of-the-environment"
    }
    shop.requests.clear()
    (tmp_path / "token").write_text("of-the-file\n")
    assert run("loadtest", shop.url, *QUICK, "--token-file", tmp_path / "token")[0] == 0
    assert {fields["authorization"] for _, fields, _ in shop.requests} == {"bearer of-the-file"}


def test_more_errors_than_allowed_exit_with_3(run):
    def answer(number, path, body):
        if number == 0:
            return 200, {}
        return (503, {"detail": "busy"}) if number % 2 else (200, {"degraded": True})

    with FakeServer(answer) as server:
        code, out, err = run("loadtest", server.url, *QUICK, "--mode", "recommend", "--json")
        assert code == 3
        assert " × status 503 (status 503: busy)" in err
        assert "requests failed, more than --max-errors 0" in err
        assert "no rate that was measured had p99 below 10 ms and no error" in err
        one = json.loads(out)["rates"][0]
        assert one["failed"] == one["errors"]["status 503"] > 0
        assert run("loadtest", server.url, *QUICK, "--max-errors", "1000")[0] == 0


def test_answers_without_the_live_session_are_counted(run):
    body = b'{"clicks":1,"degraded":true}'
    sent = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
    with FakeServer(lambda *asked: sent % (len(body), body)) as server:
        code, out, err = run("loadtest", server.url, *QUICK, "--json")
    one = json.loads(out)["rates"][0]
    assert code == 0
    assert one["degraded"] == one["answered"] == one["sent"] > 0
    assert "answers were given without the live session (degraded)" in err


def test_ctrl_c_ends_it_with_what_was_measured(shop, tmp_path, run):
    pytest.importorskip("matplotlib")

    def interrupt():
        until = time.monotonic() + 60
        while len(shop.requests) < 20 and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    code, out, err = run(
        "loadtest", shop.url, "--rate", "50", "--seconds", "500", "--warm-up", "0", "--json",
        "-o", tmp_path / "load",
    )  # fmt: skip
    assert code == 2
    assert "stopped; the figures are of what was measured until then" in err
    told = json.loads(out)
    assert told["stopped"] is True
    assert told["rates"][0]["answered"] >= 15
    assert sorted(path.name for path in (tmp_path / "load").iterdir()) == FILES


def test_without_matplotlib_it_says_so_at_once(tmp_path, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = run("loadtest", "http://127.0.0.1:9", "-o", tmp_path / "load")
    assert code == 2
    assert "-o draws with matplotlib, which is not installed" in err
    assert "or leave -o out" in err


def test_bad_input_exits_with_2_and_says_what_to_do(shop, tmp_path, run):
    ask = ["loadtest", shop.url]
    (tmp_path / "empty").write_text("\n")
    mistakes = [
        (["loadtest", "localhost:8000"], "URL must be the address of a server such as http://"),
        (["loadtest", "http://127.0.0.1:9"], "cannot be reached: "),
        ([*ask, "--rate", "fast"], "--rate takes requests a second such as 100 or 100,200,500"),
        ([*ask, "--rate", "0"], "--rate must be above 0"),
        ([*ask, "--rates", "100,-5"], "requests a second, got -5"),
        ([*ask, "--rate", ","], "--rate must name at least one rate, such as 100"),
        ([*ask, "--seconds", "0"], "loadtest: seconds must be number > 0"),
        ([*ask, "--mode", "click"], "loadtest: mode must be one of events, recommend, batch"),
        ([*ask, "--arrivals", "burst"], "loadtest: arrivals must be one of poisson, uniform"),
        ([*ask, "--connections", "0"], "loadtest: connections must be integer ≥ 1"),
        ([*ask, "--store", tmp_path], "is not a store"),
        ([*ask, "--token-file", tmp_path / "none"], "none cannot be read: "),
        ([*ask, "--token-file", tmp_path / "empty"], "empty is empty; write the server's token"),
    ]
    for arguments, message in mistakes:
        code, out, _ = run(*arguments, "--json")
        error = json.loads(out)["error"]
        assert code == 2
        assert message in error["message"]
    assert shop.requests == []
