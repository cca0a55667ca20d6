"""Run the code, the tests and the commands of docs/add-a-model.md."""

from __future__ import annotations

import inspect
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from docs_pages import ADDED, ADDING, commands
from nextclick.cli.main import app
from nextclick.models.model_registry import model_names
from nextclick.testing import declared_model

if TYPE_CHECKING:
    from collections.abc import Iterator

TOY = Path(__file__).parent / "toy_package"
FILES = dict(
    re.findall(
        r"`([\w-]+/[\w.]+)`[^`]*(?:`[\w.]+`[^`]*)?\n\n```(?:python|toml)\n(.*?)```",
        ADDING,
        re.DOTALL,
    )
)


@pytest.fixture(scope="module")
def page_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the files of the page, on the import path, with its models declared."""
    folder = tmp_path_factory.mktemp("added")
    for path, text in FILES.items():
        (folder / Path(path).name).write_text(text, encoding="utf-8")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.syspath_prepend(str(folder))
        for name, value in ADDED.items():
            stack.enter_context(declared_model(name, value, f"package-of-{name}"))
        yield folder
    for value in ADDED.values():
        sys.modules.pop(value.partition(":")[0], None)


def test_files_and_models_of_the_page() -> None:
    assert list(ADDED) == ["fading-markov", "fading-mean"]
    assert list(FILES) == [
        "fading-markov/fading_markov.py",
        "fading-markov/pyproject.toml",
        "fading-markov/test_fading_markov.py",
        "fading-mean/fading_mean.py",
        "fading-mean/test_fading_mean.py",
    ]
    assert not ADDED.keys() & set(model_names())


@pytest.mark.parametrize("name", ["fading_markov.py", "pyproject.toml"])
def test_the_package_of_the_page_is_the_installed_one(name: str) -> None:
    assert FILES[f"fading-markov/{name}"] == (TOY / name).read_text(encoding="utf-8")


def _page_tests() -> list[tuple[str, str]]:
    return [
        (path, name)
        for path, code in FILES.items()
        if "/test_" in path
        for name in re.findall(r"^def (test_\w+)", code, re.MULTILINE)
    ]


@pytest.mark.parametrize(("path", "name"), _page_tests())
def test_the_tests_of_the_page_pass(page_files: Path, tmp_path: Path, path: str, name: str) -> None:
    """Each test is called with its fixtures and parameters."""
    names: dict[str, Any] = {}
    code = FILES[path].replace("@pytest.fixture\n", "")
    exec(compile(code, path, "exec"), names)
    function = names[name]
    argument_names = list(inspect.signature(function).parameters)
    for number, check in enumerate(names["CHECKS"] if "check" in argument_names else [None]):
        folder = tmp_path / str(number)
        folder.mkdir()
        arguments = {"check": check, "tmp_path": folder}
        arguments |= {"encoder": names["encoder"]()} if "encoder" in argument_names else {}
        function(**{argument: arguments[argument] for argument in argument_names})


def test_the_commands_of_the_page_run(
    page_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    command_lines = list(commands(ADDING))
    names = [words[0] for words in command_lines]
    assert names[:2] == ["simulate", "prepare"]
    assert names.count("train") == names.count("evaluate") == names.count("recommend") == 2
    session = "A,B,C"
    for words in command_lines:
        arguments = [session if word == "A,B,C" else word for word in words]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{words}: {result.stderr}"
        if words[0] == "simulate":
            rows = (tmp_path / "clicks.csv").read_text().splitlines()[1:4]
            session = ",".join(row.split(",")[2] for row in rows)
