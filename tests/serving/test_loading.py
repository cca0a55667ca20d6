"""A server that loads its models: what it answers meanwhile, and what stops it."""

import re
import subprocess
import sys
import threading
import time

import httpx
import pytest

from nextclick.errors import ConfigError
from nextclick.serving import graceful_server, server
from nextclick.serving.app import App
from nextclick.serving.open_files import allow_connections
from nextclick.serving.server import listen
from nextclick.serving.settings import Settings
from nextclick.serving.worker_pool import LoadingOrder
from serving_cases import Client

BODY = {"session": [10, 20], "k": 3}


def test_until_the_models_are_loaded_requests_are_rejected(knn):
    app = App(Settings(models={"knn": str(knn)}))

    async def no_body():
        raise AssertionError("the body was read")
        yield b""

    with Client(app) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/metrics").status_code == 200
        for answer in (
            client.get("/readyz"),
            client.get("/v1/models"),
            client.post("/v1/recommend", content=no_body()),
            client.delete("/v1/sessions/a"),
        ):
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["problem"] == "the server is loading and compiling its models"
        app.load_models()
        assert client.get("/readyz").json()["status"] == "ready"
        assert client.post("/v1/recommend", BODY).status_code == 200


def test_models_that_cannot_be_loaded_stop_the_server(monkeypatch):
    def load(app):
        raise ConfigError("no such model")

    monkeypatch.setattr(App, "load_models", load)
    monkeypatch.setattr(graceful_server, "_FINAL_REQUEST_SECONDS", 0.0)
    with listen("127.0.0.1", 0) as listener, pytest.raises(ConfigError, match="no such model"):
        server.run_worker(Settings(), [listener])


def test_one_process_compiles_and_the_others_load_after_it():
    steps, go_on, loaded = [], threading.Event(), threading.Event()

    def worker(number):
        with LoadingOrder(is_first=number == 0, first_loaded=loaded):
            steps.append(number == 0)
            assert number > 0 or go_on.wait(30)

    threads = [threading.Thread(target=worker, args=(number,)) for number in (1, 2, 0)]
    for thread in threads:
        thread.start()
    while not steps:
        time.sleep(0.01)
    assert steps == [True]
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert steps == [True, False, False]


def test_connections_are_bounded_by_open_files(monkeypatch, caplog):
    import resource

    limits = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1000))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    assert [allow_connections(n) for n in (10, 500, 10_000)] == [10, 500, 872]
    assert limits == [(256, 1000), (628, 1000), (1000, 1000)]
    assert "--max-connections 10000: the system allows 1000 open files; accepting 872" in (
        caplog.text
    )


@pytest.mark.slow
def test_a_server_that_compiles_answers(knn, tmp_path):
    """With an empty cache of kernels, compilation takes many seconds."""
    import os

    process = subprocess.Popen(
        [sys.executable, "-m", "nextclick", "serve", f"knn={knn}", "--port", "0"],
        stderr=subprocess.PIPE, text=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    with process, httpx.Client(timeout=60) as client:
        url = re.search(r"http://[\d.:]+", process.stderr.readline())[0]
        statuses, slowest = [], 0.0
        while not statuses or statuses[-1] != (200, 200, 200):
            answers = []
            for method, path in (("GET", "healthz"), ("GET", "readyz"), ("POST", "v1/recommend")):
                began = time.monotonic()
                body = BODY if method == "POST" else None
                try:
                    answers.append(client.request(method, f"{url}/{path}", json=body))
                except httpx.ConnectError:  # not yet started
                    break
                slowest = max(slowest, time.monotonic() - began) if statuses else 0.0
            else:
                statuses.append(tuple(answer.status_code for answer in answers))
            time.sleep(0.05)
        process.terminate()
        process.stderr.read()
    print(f"{len(statuses)} rounds, the slowest answer after {1000 * slowest:.0f} ms")  # noqa: T201
    assert statuses[0] == (200, 503, 503)
    assert process.returncode == 0
