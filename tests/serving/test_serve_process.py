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
    answered, lost, refused = [], [], []

    def asks():
        with httpx.Client(base_url=url, timeout=30) as client:
            while True:
                try:
                    answered.append(client.post("/v1/recommend", json=BODY).status_code)
                except httpx.ConnectError:
                    refused.append(1)  # the port is closed: nothing was sent
                    return
                except httpx.TransportError as error:
                    lost.append(repr(error))
                    return

    threads = [threading.Thread(target=asks) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(60)
    assert process.wait(60) == 0
    assert lost == []
    assert set(answered) == {200}
    assert len(refused) == 4


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
