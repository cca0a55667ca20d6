"""Every message that nextclick raises, read from the `raise` statements of its source."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from nextclick import errors

SOURCE = Path(__file__).parents[2] / "src"
ERROR_CLASSES: dict[str, type[errors.NextclickError]] = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.NextclickError)
}
GAP = "…"  # a part of a message that is filled in at run time


@dataclass(frozen=True, order=True, slots=True)
class ErrorMessage:
    """One message of one exception class.

    Attributes:
        kind: name of the class.
        template: the message, with `…` for what is filled in at run time.
        module: dotted name of the module that raises it.
        line: line of the `raise` statement.
    """

    kind: str
    template: str
    module: str
    line: int


def error_messages() -> list[ErrorMessage]:
    """List the messages of all `raise` statements, sorted by class and text.

    Raises:
        ValueError: a message that cannot be read from the source.
    """
    collected = []
    for path in sorted(SOURCE.rglob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for node in ast.walk(module):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
                continue
            kind = getattr(node.exc.func, "id", "")
            if kind not in ERROR_CLASSES:
                continue
            texts = _MessageReader(module, node.lineno).texts(node.exc.args[0])
            if not texts:
                raise ValueError(f"{path}:{node.lineno}: no message in {ast.unparse(node)}")
            collected += [ErrorMessage(kind, _plain(t), name, node.lineno) for t in texts]
    return sorted(collected)


def _plain(text: str) -> str:
    """Join adjacent gaps, and drop the backticks, which a code span cannot hold."""
    return re.sub(f"{GAP}+", GAP, text.replace("`", "'")).strip()


class _MessageReader:
    """Evaluates message expressions to templates, as far as the syntax tree shows them."""

    def __init__(self, module: ast.Module, line: int):
        self._functions = [n for n in ast.walk(module) if isinstance(n, ast.FunctionDef)]
        scopes = [f for f in self._functions if f.lineno <= line <= (f.end_lineno or 0)]
        self._scopes: list[ast.AST] = [*scopes, module]

    def texts(self, node: ast.expr) -> list[str]:
        """The templates that an expression may evaluate to; empty if it is not understood."""
        match node:
            case ast.Constant():
                return [str(node.value)]
            case ast.JoinedStr():
                return ["".join(_literal(part) for part in node.values)]
            case ast.BinOp():
                left, right = (self.texts(n) or [GAP] for n in (node.left, node.right))
                return [a + b for a in left for b in right]
            case ast.IfExp():
                return self.texts(node.body) + self.texts(node.orelse)
            case ast.Call(func=ast.Attribute() as method):  # TEMPLATE.format(...)
                return [text.replace("{}", GAP) for text in self.texts(method.value)]
            case ast.Call(func=ast.Name() as function):
                return self._returned(function.id)
            case ast.Name():
                return self._assigned(node.id)
            case _:
                return []

    def _returned(self, name: str) -> list[str]:
        bodies = [n for f in self._functions if f.name == name for n in ast.walk(f)]
        values = [n.value for n in bodies if isinstance(n, ast.Return) and n.value]
        return [text for value in values for text in self.texts(value)]

    def _assigned(self, name: str) -> list[str]:
        for scope in self._scopes:
            values = [
                n.value
                for n in ast.walk(scope)
                if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == name
            ]
            if values:
                return [text for value in values for text in self.texts(value)]
        return []


def _literal(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else GAP
