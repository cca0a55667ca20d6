"""docs/add-a-model.md, followed: its files are written, its lines added, its commands typed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import nextclick.models
from docs_pages import ADDED, ADDING, commands
from nextclick.cli.main import app
from nextclick.core.config import describe
from nextclick.models import CLASSICAL, MODELS, NEURAL, model_class

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = {
    path: text
    for path, text in re.findall(
        r"`((?:src|tests)/[\w/]+\.py)`[^`]*\n\n```python\n(.*?)```", ADDING, re.DOTALL
    )
    if not path.endswith("__init__.py")
}


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The files of the page beside ours, and its lines in the table."""
    folder = tmp_path_factory.mktemp("added")
    for path, text in FILES.items():
        (folder / Path(path).name).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        package = [*nextclick.models.__path__, str(folder)]
        patched.setattr(nextclick.models, "__path__", package)
        for name, place in ADDED.items():
            patched.setitem(MODELS, name, place)
        yield folder
    for place in ADDED.values():
        sys.modules.pop(place.partition(":")[0], None)


def test_a_model_is_one_file_one_line_and_one_test() -> None:
    assert list(ADDED) == ["fading-markov", "fading-mean"]
    stems = [place.partition(":")[0].rpartition(".")[2] for place in ADDED.values()]
    assert list(FILES) == [
        path
        for stem in stems
        for path in (f"src/nextclick/models/{stem}.py", f"tests/models/test_{stem}.py")
    ]
    assert ADDING.count("```python") == len(FILES) + len(ADDED)
    assert not ADDED.keys() & (CLASSICAL.keys() | NEURAL.keys())


@pytest.mark.parametrize("name", ADDED)
def test_the_table_knows_it_and_its_parameters(followed: Path, name: str) -> None:
    found = model_class(name)
    assert found.name == name
    assert all(parameter.description for parameter in describe(found.Config))


@pytest.mark.parametrize("path", [path for path in FILES if path.startswith("tests/")])
def test_its_test_passes(followed: Path, path: str) -> None:
    """Its functions are called as they are; the one fixture that they know is made by hand."""
    names: dict[str, object] = {}
    code = FILES[path].replace("@pytest.fixture\n", "")
    exec(compile(code, path, "exec"), names)
    tests = [name for name in names if name.startswith("test_")]
    assert tests
    for name in tests:
        made = [names["encoder"]()] if "(encoder)" in code.split(f"def {name}")[1][:20] else []
        names[name](*made)


def test_its_commands_run(followed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    typed = list(commands(ADDING))
    names = [words[0] for words in typed]
    assert names[:2] == ["simulate", "prepare"]
    assert names.count("train") == names.count("evaluate") == names.count("recommend") == 2
    clicked = "A,B,C"
    for words in typed:
        real = [clicked if word == "A,B,C" else word for word in words]
        done = CliRunner().invoke(app, real)
        assert done.exit_code == 0, f"{words}: {done.stderr}"
        if words[0] == "simulate":
            rows = (tmp_path / "clicks.csv").read_text().splitlines()[1:4]
            clicked = ",".join(row.split(",")[2] for row in rows)
