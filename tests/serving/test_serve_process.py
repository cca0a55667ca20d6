"""The server as a process: starting, stopping, several workers."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest

BODY = {"session": [10, 20], "k": 3}


def start(*arguments, **environment):
    process = subprocess.Popen(
        [sys.executable, "-m", "nextclick", "serve", *map(str, arguments), "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    lines = []
    for line in process.stderr:
        lines.append(line)
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if found:
            break
    else:
        raise AssertionError("".join(lines))

    def reads():
        with process.stderr:
            process.stderr.read()

    threading.Thread(target=reads, daemon=True).start()
    url = f"http://127.0.0.1:{found[1]}"
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            if httpx.get(f"{url}/readyz", timeout=30).status_code == 200:
                return process, url
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server did not come up")


@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_under_load_no_answer_is_lost(knn, tmp_path, workers):
    more = ["--workers", workers, "--state", f"lmdb:{tmp_path / 's'}"] if workers > 1 else []
    process, url = start(knn, "--shutdown-grace", "1", *more)
    outcomes = stop_under_load(process, url, keep_alive=4)
    assert set(outcomes) == {200, "refused"}
    assert outcomes.count("refused") == 4


def test_new_connections_do_not_keep_a_server_from_stopping(knn):
    process, url = start(knn, "--shutdown-grace", "0.2")
    outcomes = stop_under_load(process, url, new_connections=16)
    assert set(outcomes) == {200, "refused"}
    assert outcomes.count("refused") == 16


def stop_under_load(process, url, keep_alive=0, new_connections=0):
    """The outcomes of requests until the port is closed; each thread ends with its first error."""
    outcomes = []

    def asks(headers):
        with httpx.Client(base_url=url, timeout=30, headers=headers) as client:
            while True:
                try:
                    outcomes.append(client.post("/v1/recommend", json=BODY).status_code)
                except httpx.ConnectError:
                    outcomes.append("refused")  # nothing was sent
                    return
                except httpx.TransportError as error:
                    outcomes.append(repr(error))
                    return

    headers = [{}] * keep_alive + [{"connection": "close"}] * new_connections
    threads = [threading.Thread(target=asks, args=(one,)) for one in headers]
    for thread in threads:
        thread.start()
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(60)
    assert process.wait(60) == 0
    return outcomes


def test_a_counting_model_is_served_without_pytorch(knn):
    script = (
        "import sys\n"
        "from nextclick.serving.app import App\n"
        "from nextclick.serving.settings import Settings\n"
        f"App(Settings(models={{'knn': {str(knn)!r}}})).load_models()\n"
        "print([m for m in ('torch', 'polars', 'pandas', 'typer') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
