"""Lints the prose of Markdown pages and of Python docstrings and comments.

    python docs/style/prose_lint.py README.md docs          # pages
    python docs/style/prose_lint.py src/nextclick/errors.py  # docstrings and comments

The checks are those of proselint and the rules of `rules.yml`. Code blocks, inline code and link
targets are masked before the checks run. The exit status is 1 if there is a finding, else 0.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from proselint.checks import __register__ as proselint_checks
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, CheckResult
from proselint.registry.checks.engine import Fancy
from proselint.registry.checks.types import PreferredForms
from proselint.tools import LintFile

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES = Path(__file__).with_name("rules.yml")
GENERATED = {"_build", "model-pages"}
FENCED = re.compile(r"^ *```.*?^ *```$|^(?: {4}.*\n)+", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`[^`]*`|(?<=\])\([^)\s]*\)|https?://\S+|<!--.*?-->", re.DOTALL)
BLOCK = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*+|#>]|\d+\.)\s)|\|")
WORD = re.compile(r"[\w·]+(?:[.,'’-]\w+)*")
SENTENCE = re.compile(r"(?<=[.!?:;])[*_)\"”]*\s+(?=\S)")


def masked(match: re.Match[str]) -> str:
    """The match with each character replaced by a dot, so that positions are unchanged."""
    return re.sub(r"[^\n]", "\u00b7", match[0])


def blanked(match: re.Match[str]) -> str:
    """The match with each character replaced by a space."""
    return re.sub(r"[^\n]", " ", match[0])


def prose_of_page(text: str) -> str:
    """The text of a Markdown page without its code."""
    return INLINE.sub(masked, FENCED.sub(blanked, text))


def without_code(docstring: list[str], indent: int) -> list[str]:
    """The lines of a docstring; indented blocks after a blank line are code and left empty."""
    lines: list[str] = []
    code = False
    for line in docstring:
        indented = line.startswith(" " * (indent + 4))
        code = indented and (code or not lines or not lines[-1].strip())
        prose = "" if code or line.strip() == r"\b" else line  # \b marks a block for the help text
        lines.append(prose.replace('"""', "   "))
    return lines


def prose_of_module(text: str) -> str:
    """The docstrings and comments of a Python module; everything else is blank."""
    lines = [" " * len(line) for line in text.splitlines()]
    source = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = " " * column + token.string.replace("#", " ", 1)
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        first = node.body[0] if node.body else None
        if not (isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)):
            continue
        if isinstance(first.value.value, str):
            start, end = first.lineno - 1, first.end_lineno or first.lineno
            lines[start:end] = without_code(source[start:end], first.col_offset)
    return INLINE.sub(masked, "\n".join(lines))


def long_sentences(limit: int) -> Any:
    """A check of sentences of more than `limit` words, table cells and list items apart."""

    def check(text: str, rule: Check) -> Iterator[CheckResult]:
        start = 0
        for block_end in [*(m.start() for m in BLOCK.finditer(text)), len(text)]:
            at = start
            for sentence in SENTENCE.split(text[start:block_end]):
                begin = text.index(sentence, at)
                at = begin + len(sentence)
                words = len(WORD.findall(sentence))
                if words > limit:
                    first = begin + len(sentence) - len(sentence.lstrip(" \n|"))
                    message = f"{words} words in a sentence; the limit is {limit}."
                    yield CheckResult(rule.path, message, (first, at), None)
            start = block_end

    return check


def register(rules: dict[str, Any]) -> dict[str, bool]:
    """Register the checks of proselint and of `rules`; returns which checks are enabled."""
    words = Check(
        path="nextclick.terms",
        message='Use "{0}" instead of "{1}".',
        engine=Fancy(),
        check_type=PreferredForms(items=rules["terms"]),
    )
    length = Check(
        path="nextclick.sentence_length",
        check_type=long_sentences(rules["max_sentence_words"]),
    )
    registry = CheckRegistry()
    if not registry.checks:
        registry.register_many((*proselint_checks, words, length))
    switches: dict[str, bool] = rules["checks"]
    return dict(sorted(switches.items(), key=lambda item: -item[0].count(".")))


def files_below(paths: list[Path]) -> Iterator[Path]:
    """The Markdown and Python files among `paths` and in their folders, without generated ones."""
    for path in paths:
        candidates = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in candidates:
            if file.suffix in {".md", ".py"} and GENERATED.isdisjoint(file.parts):
                yield file


def main(paths: list[str]) -> int:
    """Print the findings as `file:line:column: check: message`; 1 if there are any."""
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    switches = register(rules)
    findings = 0
    for file in files_below([Path(path) for path in paths]):
        text = file.read_text(encoding="utf-8")
        prose = prose_of_module(text) if file.suffix == ".py" else prose_of_page(text)
        if not prose.strip():
            continue
        page = LintFile(str(file), prose)
        for finding in page.lint({"max_errors": 1000, "checks": switches}):
            line, column = finding.pos
            result = finding.check_result
            print(f"{file}:{line}:{column}: {result.check_path}: {result.message}")
            findings += 1
    return int(findings > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
