"""Tests of the prose linter: findings, and text that it ignores."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from docs_pages import DOCS

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("proselint")
sys.path.insert(0, str(DOCS / "style"))
import prose_lint

LONG = " ".join(["word"] * 41)


def findings(file: Path, text: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    file.write_text(text, encoding="utf-8")
    status = prose_lint.main([str(file)])
    lines = capsys.readouterr().out.splitlines()
    assert status == int(bool(lines))
    return [line.removeprefix(f"{file}:") for line in lines]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A clean sentence.\n", []),
        (
            "One.\n\nThe artefact.\n",
            ['3:5: nextclick.terms: Use "artifact" instead of "artefact".'],
        ),
        ("Use `artefact` and [this](artefact.md).\n", []),
        ("```sh\nartefact\n```\n\n    artefact\n", []),
        (
            f"{LONG}.\n",
            ["1:1: nextclick.sentence_length: 41 words in a sentence; the limit is 40."],
        ),
        (f"{LONG[:-5]}.\n", []),
        ("The rates are " + ", ".join(["0.25"] * 37) + ".\n", []),
        (f"**First.** {LONG[:-5]}.\n", []),
        (f"- {LONG[:100]}\n- {LONG[:100]}\n", []),
    ],
)
def test_pages(
    text: str, expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert findings(tmp_path / "page.md", text, capsys) == expected


def test_only_docstrings_and_comments_of_python(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        '"""A store.\n\n    An artefact in code.\n"""\nartefact = "artefact"  # an artefact\n\n\n'
        'def f() -> str:\n    """The artefact."""\n    return "artefact"\n'
    )
    assert [line.partition(": ")[0] for line in findings(tmp_path / "a.py", text, capsys)] == [
        "5:29",
        "9:12",
    ]


def test_folders_are_read_recursively(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "page.md").write_text("An artefact.\n")
    (tmp_path / "data.csv").write_text("artefact\n")
    assert prose_lint.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.count("artifact") == 1
