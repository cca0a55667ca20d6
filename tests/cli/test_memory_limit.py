"""Commands under a limit of memory or threads."""

import json
import resource
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from nextclick.cli import main
from nextclick.cli.memory_limit import check_memory_limit
from nextclick.errors import ConfigError


@pytest.mark.parametrize("megabytes", [300, 1200])
def test_a_low_limit_of_the_address_space_is_one_line(tmp_path, megabytes):
    done = subprocess.run(
        [sys.executable, "-m", "nextclick", "prepare", "clicks.csv", "-o", str(tmp_path / "s")],
        capture_output=True, text=True, timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20,) * 2),
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(
        f"error: the address space of this process is limited to {megabytes} MB, and the libraries"
    )


def test_the_needed_address_space_grows_with_the_threads(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2000 << 20, 2000 << 20))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    check_memory_limit()
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    with pytest.raises(ConfigError, match="need 3298 MB on this machine; raise the limit with"):
        check_memory_limit()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    check_memory_limit()


class PanicException(BaseException):
    """As libraries in Rust raise it."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "the memory is exhausted"),
        (RuntimeError("can't start new thread"), "no thread can be started"),
        (PanicException("could not spawn threads\nnote: x"),
         "a compiled library failed: could not spawn threads"),
    ],
)  # fmt: skip
def test_missing_memory_is_one_line(monkeypatch, error, reason):
    def load(name):
        raise error

    monkeypatch.setattr(main, "load_command", load)
    monkeypatch.setattr("sys.argv", ["nextclick", "models", "--json"])
    result = CliRunner().invoke(main.app, ["models", "--json"])
    assert result.exit_code == 2
    message = f"{reason}; raise the limits of memory and threads (`ulimit -a`"
    assert result.stderr.strip().startswith(f"error: {message}")
    assert "Traceback" not in result.stderr
    assert json.loads(result.stdout)["error"]["message"].startswith(message)


def test_another_error_is_reported_with_its_traceback(monkeypatch):
    def load(name):
        raise RuntimeError("another one")

    monkeypatch.setattr(main, "load_command", load)
    result = CliRunner().invoke(main.app, ["models"])
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
