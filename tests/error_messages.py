"""Which error messages the tests match; run as a program it prints those that none does."""

import ast
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "site"))
from error_catalog import GAP, error_messages  # noqa: E402

_WINDOW = 12  # letters in a row that a test must share with a message


def untested_messages():
    """The messages of the source of which no test holds a stretch of `_WINDOW` letters.

    Only stretches that no other message has count, where a message has one.
    """
    messages = {message.template: message for message in error_messages()}
    windows = {template: _windows(template) for template in messages}
    owners = Counter(window for stretches in windows.values() for window in stretches)
    text = tests_text()
    untested = []
    for template, stretches in windows.items():
        unique = {window for window in stretches if owners[window] == 1}
        if not any(window in text for window in unique or stretches):
            untested.append(messages[template])
    return untested


def tests_text():
    """The text constants of all tests, without the backslashes of regular expressions."""
    texts = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        texts += [
            node.value
            for node in ast.walk(module)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
    return "\n".join(texts).replace("\\", "").replace("`", "'")


def _windows(template):
    parts = [part.strip() for part in template.split(GAP)]
    width = min(_WINDOW, max(map(len, parts)))
    return {part[i : i + width] for part in parts for i in range(len(part) - width + 1)}


if __name__ == "__main__":
    for message in untested_messages():
        print(f"{message.module}:{message.line} {message.kind}: {message.template}")  # noqa: T201
