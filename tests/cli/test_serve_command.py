import socket
import sys

import pytest
from typer.testing import CliRunner

from nextclick.cli.main import app
from nextclick.cli.serve_command import named_models
from nextclick.errors import ConfigError
from nextclick.serving.server import listen
from nextclick.serving.settings import (
    Settings,
    hand_on,
    handed_on,
    read_token,
)


def test_names_of_models():
    assert named_models(["a=x/y", "x/narm", "shop/models/knn/artifact"]) == {
        "a": "x/y",
        "narm": "x/narm",
        "knn": "shop/models/knn/artifact",
    }
    for wrong in (["x/a", "y/a"], ["=x"], ["a="]):
        with pytest.raises(ConfigError, match="each model needs a unique name; write NAME="):
            named_models(wrong)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 0}, "serve: workers must be integer ≥ 1, got 0"),
        ({"max_queue": 0}, "serve: max_queue must be integer ≥ 1, got 0"),
        ({"timeout": 0}, "serve: timeout must be number ≥ 0.01, got 0"),
        ({"rate": float("inf")}, "serve: rate must be number ≥ 0, got inf"),
        ({"timeout": float("nan")}, "serve: timeout must be number ≥ 0.01, got nan"),
        ({"min_recall": 0.4}, "serve: min_recall must be number ≥ 0.5 and ≤ 1, got 0.4"),
        ({"min_recall": float("nan")}, "serve: min_recall must be number ≥ 0.5 and ≤ 1, got nan"),
        ({"workers": 2}, r"--workers 2 cannot share --state memory, .* use --state lmdb:PATH"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ConfigError, match=message):
        Settings(models={}, **settings).checked()


def test_the_token_is_read_from_a_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("NEXTCLICK_TOKEN", raising=False)
    assert read_token(None) is None
    monkeypatch.setenv("NEXTCLICK_TOKEN", "of the environment")
    assert read_token(None) == "of the environment"
    file = tmp_path / "token"
    file.write_text("of a file, long enough\n")
    assert read_token(file) == "of a file, long enough"
    file.write_text("short")
    with pytest.raises(ConfigError, match="a token must have at least 16 characters, got 5"):
        read_token(file)
    with pytest.raises(
        ConfigError, match=r"--token-file .*: cannot be read: .*; name a readable text file"
    ):
        read_token(tmp_path / "none")


def test_settings_are_handed_on_to_workers(monkeypatch):
    for name in ("NEXTCLICK_SERVE", "PROMETHEUS_MULTIPROC_DIR"):
        monkeypatch.setenv(name, "")
    for name in ("OMP", "OPENBLAS", "MKL"):
        monkeypatch.setenv(f"{name}_NUM_THREADS", "1")
    settings = Settings(models={"a": "b"}, cors_origins=("https://x",), token="t" * 16)
    hand_on(settings, None)
    assert handed_on() == settings


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=r"cannot be opened: .*; choose another port"):
            listen("127.0.0.1", port)


def test_other_machines_are_not_served_without_a_token(monkeypatch):
    monkeypatch.delenv("NEXTCLICK_TOKEN", raising=False)
    done = CliRunner().invoke(app, ["serve", "model", "--host", "0.0.0.0"])
    assert done.exit_code == 2
    assert "lets other machines reach the server, which has no token" in done.stderr


def test_without_its_libraries_serve_says_what_to_install(monkeypatch):
    for module in ("server", "graceful_server"):
        monkeypatch.delitem(sys.modules, f"nextclick.serving.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = CliRunner().invoke(app, ["serve", "model"])
    assert result.exit_code == 2
    assert "serve needs the package uvicorn, which is not installed; pip install" in result.stderr
