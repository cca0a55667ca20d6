"""docs/tutorial.md, followed on a smaller log, and the logs of the traps."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import nextclick
from docs_pages import DOCS, ROOT, shell_lines, typed
from nextclick.cli.main import app
from page_in_browser import serving

if TYPE_CHECKING:
    from pathlib import Path

TUTORIAL = (DOCS / "tutorial.md").read_text(encoding="utf-8")
TRAPS = re.findall(r"```csv\n(.*?)```", (DOCS / "protocols.md").read_text("utf-8"), re.DOTALL)
SMALLER = {"120000": "8000", "2000": "200", "8000": "800"}


def run(*words: str) -> None:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, f"{words}: {done.stderr}"


def test_the_tutorial_can_be_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    done: list[str] = []
    text = TUTORIAL
    for line in filter(None, shell_lines(TUTORIAL)):
        words = line.split()
        if words[0] in {"awk", "curl"}:
            done.append(words[0])
            if words[0] == "awk":
                subprocess.run(line, shell=True, check=True)
            continue
        assert words[0] == "nextclick", line
        told = [with_known_items(word, tmp_path) for word in typed(line)]
        done.append(told[0])
        if told[0] == "simulate":
            told = [SMALLER.get(word, word) for word in told]
        if "--recipe" in told:
            told += ["--set", "epochs=1"]
        if told[0] == "serve":
            with serving({name: tmp_path / name for name in told[1:]}) as address:
                ask(address, tmp_path)
            continue
        run(*told)
    assert done[:3] == ["simulate", "awk", "awk"]
    assert {"prepare", "compare", "train", "evaluate", "recommend", "serve", "curl"} <= set(done)
    assert done[-3:] == ["publish", "refresh", "versions"]
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(with_known_items(code, tmp_path), "tutorial.md", "exec"), names)
    assert len(names["answer"].items) == 5


def with_known_items(text: str, folder: Path) -> str:
    """The text with its two item ids replaced by two of the log here."""
    log = folder / "clicks.csv"
    if not log.exists():
        return text
    first, second = (row.split(",")[2] for row in log.read_text().splitlines()[1:3])
    return text.replace("1002996", first).replace("1015337", second)


def ask(address: str, folder: Path) -> None:
    """The requests of the tutorial, to the server that answers here."""
    lines = [line for line in shell_lines(TUTORIAL) if line.startswith("curl ")]
    assert len(lines) == 3
    for line in lines:
        asked = with_known_items(line, folder).replace("localhost:8000", address)
        answer = subprocess.run(
            asked.replace("curl ", "curl -sS --fail-with-body ", 1),
            shell=True, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        assert '"items"' in answer


@pytest.fixture
def prepared(tmp_path: Path):
    """Prepares a log of the traps; the part that is asked for."""

    def prepares(number: int, **split: object) -> nextclick.Store:
        (tmp_path / "log.csv").write_text(TRAPS[number])
        words = ["prepare", str(tmp_path / "log.csv"), "-o", str(tmp_path / "store"), "--overwrite"]
        words += ["--min-item-support", "1"]
        run(*words, *(str(word) for pair in split.items() for word in pair if word is not None))
        return nextclick.Store.open(tmp_path / "store")

    return prepares


def test_the_last_day_of_a_log_with_a_wrong_clock(prepared) -> None:
    assert len(prepared(0, **{"--split": "last-days"}).part("test")) == 1
    assert len(prepared(0).part("test")) == 2
    assert len(prepared(0, **{"--boundary": "2026-03-02"}).part("test")) == 2


def test_duplicated_rows(prepared) -> None:
    session = prepared(1).part("test").session(0).tolist()
    repeats = [a == b for a, b in pairwise(session)]
    assert (len(repeats), sum(repeats)) == (3, 2)
    assert prepared(1, **{"--collapse-repeats": None}).part("test").n_prefixes == 1


def test_unseen_items(prepared, tmp_path: Path) -> None:
    for rule, prefixes, recall in (("drop", 1, 1.0), ("miss", 2, 0.5)):
        store = prepared(2, **{"--unseen": rule})
        assert store.part("test").n_prefixes == prefixes
        model = nextclick.train(store, "markov", tmp_path / rule)
        found = nextclick.evaluate(model, store, ks=(1,))
        assert found.metrics["recall@1"].value == recall
