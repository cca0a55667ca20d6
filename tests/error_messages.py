"""Every message of the tree of errors, read from the source; `…` stands for what is filled in.

Run as a program it names the messages that docs/errors.md lacks, each with the test that knows
most of its words.
"""

import ast
import re
from pathlib import Path

from nextclick import errors

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "errors.md"
TREE = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.NextclickError)
}
_WINDOW = 12  # letters in a row that a test must share with the message that it knows


def messages():
    """{(class, message)} of every `raise` below src."""
    found = set()
    for path in sorted((ROOT / "src").rglob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        functions = [n for n in ast.walk(module) if isinstance(n, ast.FunctionDef)]
        for node in ast.walk(module):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
                continue
            name = getattr(node.exc.func, "id", "")
            if name in TREE:
                around = [f for f in functions if f.lineno <= node.lineno <= f.end_lineno]
                texts = _texts(node.exc.args[0], [*around, module], functions)
                assert texts, f"{path}:{node.lineno}: no message found in {ast.unparse(node)}"
                # a table cell has no room for backticks and blanks at its ends
                plain = [re.sub("…[…]+", "…", text.replace("`", "'")).strip() for text in texts]
                found |= {(name, text) for text in plain}
    return found


def _texts(node, around, functions):
    """The texts that an expression may be."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        return ["".join(p.value if isinstance(p, ast.Constant) else "…" for p in node.values)]
    if isinstance(node, ast.BinOp):
        left, right = (_texts(n, around, functions) or ["…"] for n in (node.left, node.right))
        return [a + b for a in left for b in right]
    if isinstance(node, ast.IfExp):
        return [t for n in (node.body, node.orelse) for t in _texts(n, around, functions)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):  # TEMPLATE.format()
        return [t.replace("{}", "…") for t in _texts(node.func.value, around, functions)]
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", "")
        told = [n for f in functions if f.name == name for n in ast.walk(f)]
        values = [n.value for n in told if isinstance(n, ast.Return)]
        return [t for value in values for t in _texts(value, around, functions)]
    if isinstance(node, ast.Name):
        for place in around:
            values = [
                n.value
                for n in ast.walk(place)
                if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == node.id
            ]
            if values:
                return [t for value in values for t in _texts(value, around, functions)]
    return []


def rows():
    """[(class, message, test)] of docs/errors.md."""
    found, kind = [], ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            kind = line[3:].strip()
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and cells[0].startswith("`"):
            found.append((kind, cells[0].strip("`").replace(r"\|", "|"), cells[3].strip("`")))
    return found


def known_tests():
    """`tests/…::test_name` to every text in it, its parameters and the mistakes that it reads."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        functions = {n.name: n for n in module.body if isinstance(n, ast.FunctionDef)}
        for name, function in functions.items():
            if not name.startswith("test_"):
                continue
            used = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)} & set(functions)
            nodes = [function, *(functions[n] for n in used if not n.startswith("test_"))]
            texts = [
                n.value
                for node in nodes
                for n in ast.walk(node)
                if isinstance(n, ast.Constant) and isinstance(n.value, str)
            ]
            found[f"{path.relative_to(ROOT)}::{name}"] = "\n".join(texts).replace("\\", "")
    return found


def share(message, text):
    """How many stretches of a message stand in a text."""
    parts = [part.strip() for part in message.split("…")]
    width = min(_WINDOW, max(map(len, parts)))
    windows = {part[i : i + width] for part in parts for i in range(len(part) - width + 1)}
    return sum(window in text for window in windows)


if __name__ == "__main__":
    known = {(kind, message) for kind, message, _ in rows()} if PAGE.exists() else set()
    texts = known_tests()
    for kind, message in sorted(messages() - known):
        best = max(texts, key=lambda test: share(message, texts[test]))
        print(f"{kind}\t{message}\t{best if share(message, texts[best]) else 'NO TEST'}")  # noqa: T201
    for kind, message in sorted(known - messages()):
        print(f"gone: {kind}\t{message}")  # noqa: T201
