"""Each row of docs/common-tasks.md is run, and what it says is checked."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from contextlib import chdir, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

import nextclick
from docs_pages import DOCS
from nextclick.cli.main import app
from task_checks import TASKS
from task_shop import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (DOCS / "common-tasks.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|]+) \| \[([^]]+)\]\(([^)]+)\) \| `(.+)` \| ", PAGE, re.MULTILINE)
CALLS = [call for _, _, _, call in ROWS]
LIBRARIES = {"RecBole", "Transformers4Rec", "RecTools", "implicit", "session-rec"}

pytestmark = pytest.mark.filterwarnings("ignore:.*:nextclick.errors.NextclickWarning")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with chdir(tmp_path_factory.mktemp("shop")):
        yield Shop()


def test_the_page_and_the_checks_have_the_same_rows() -> None:
    assert len(ROWS) == PAGE.count("\n| ") - 1  # without the head
    assert len(CALLS) >= 25
    assert len(set(CALLS)) == len(CALLS)
    assert set(CALLS) == TASKS.keys()


def test_each_row_names_a_public_issue() -> None:
    libraries = {name.rpartition(" #")[0] for _, name, _, _ in ROWS}
    assert libraries >= LIBRARIES
    for _, name, url, _ in ROWS:
        number = name.rpartition("#")[2]
        assert re.fullmatch(rf"https://github\.com/[\w.-]+/[\w.-]+/issues/{number}", url)


@pytest.mark.parametrize("call", CALLS)
def test_the_row_has_its_effect(shop: Shop, call: str) -> None:
    task = TASKS[call]
    names = task.before(shop) or {}
    typed = re.sub(r"\b[ABC]\b", lambda letter: str(shop.ids[letter[0]]), call)
    if not typed.startswith("nextclick "):
        typed = re.sub(r'"(\d+)"', r"\1", typed)
        known = {"nextclick": nextclick, "Estimator": nextclick.Estimator}
        task.check(shop, eval(typed, known | names))
        return
    words = [*shlex.split(typed)[1:], *task.options]
    if words[0] == "serve":
        with served(words) as process:
            task.check(shop, process)
    else:
        task.check(shop, printed_by(words))


def printed_by(words: list[str]) -> dict[str, Any]:
    """The JSON of a command."""
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


@contextmanager
def served(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A server that is starting."""
    command = [sys.executable, "-m", "nextclick", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate()
