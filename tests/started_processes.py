"""Starts a script in several processes, as torchrun does, and reaps them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

WORKER = Path(__file__).parent / "reference" / "process_worker.py"


def environment(rank, size, port, **more):
    """What torchrun sets for a process."""
    numbers = {
        "RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size,
        "MASTER_PORT": port, "OMP_NUM_THREADS": 1, **more,
    }  # fmt: skip
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return {
        **os.environ,
        **{name: str(value) for name, value in numbers.items()},
        "MASTER_ADDR": "127.0.0.1",
        "PYTHONPATH": path,
    }


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def launch(command, size=2, commands=None, **more):
    """Run a command in each process; returns (exit code, output, errors) of each.

    `commands` are those of each process, if they differ.
    """
    port = free_port()
    started = [
        subprocess.Popen(
            [sys.executable, *map(str, words)],
            env=environment(rank, size, port, **more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, words in enumerate(commands or [command] * size)
    ]
    try:
        texts = [process.communicate(timeout=600) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    return [(process.returncode, *text) for process, text in zip(started, texts, strict=True)]


def run_worker(folder, *names, size=2, last_may_leave=False):
    """What the scenarios of the worker return in each process, or in all but the last."""
    done = launch([WORKER, folder, *names], size)
    assert all(code == 0 for code, _, _ in done), "\n".join(errors for _, _, errors in done)
    return [
        json.loads((folder / f"{rank}.json").read_text()) for rank in range(size - last_may_leave)
    ]
