"""The Python interface: the public names, and what the pages import from elsewhere."""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from typing import Any

from docstrings import markdown

import nextclick

_LINE = 88
_DEFAULT = 40  # a longer one says nothing
# what a model is made of, and given; add-a-model.md sends readers here
_OF_MODELS = {
    "nextclick.models.base": ["Model"],
    "nextclick.models.neural_model": ["Encoder", "NeuralModel", "Task"],
    "nextclick.core.sessions": ["Sessions"],
    "nextclick.core.session_batch": ["SessionBatch"],
    "nextclick.core.types": ["Scorer", "SparseScorer", "SparseScores", "Progress"],
    "nextclick.core.search_space": ["IntRange", "FloatRange", "Choice", "Bundles"],
}


def page(texts: dict[str, str]) -> str:
    """The page; `texts` are those of the other pages."""
    names = [name for name in nextclick.__all__ if callable(getattr(nextclick, name))]
    functions = [n for n in names if not inspect.isclass(getattr(nextclick, n))]
    parts = ["# Python", markdown(nextclick.__doc__), "## Functions"]
    parts += [_told(f"nextclick.{n}", getattr(nextclick, n)) for n in functions]
    parts += ["## Classes"]
    parts += [_told(f"nextclick.{n}", getattr(nextclick, n)) for n in names if n not in functions]
    parts += ["## Errors", markdown(import_module("nextclick.errors").__doc__)]
    parts += ["All messages are [listed](errors.md).", "## To write a model"]
    parts += [
        _told(f"{module}.{n}", getattr(import_module(module), n))
        for module, listed in _OF_MODELS.items()
        for n in listed
    ]
    shown = {getattr(nextclick, name) for name in names if name != "load"}
    parts += ["## Elsewhere in the package", "What these pages import besides."]
    for name, value in _imported(texts).items():
        if value not in shown:
            parts.append(_told(name, value))
    return "\n\n".join(parts) + "\n"


def _imported(texts: dict[str, str]) -> dict[str, Any]:
    """What the blocks of Python import out of the package's modules, by full name."""
    found: dict[str, Any] = {}
    for home, text in sorted(texts.items()):
        if home == "add-a-model.md":
            continue
        for line in re.findall(r"^from nextclick\.\S+ import .*$", text, re.MULTILINE):
            for node in ast.walk(ast.parse(line)):
                if isinstance(node, ast.ImportFrom):
                    module = import_module(str(node.module))
                    found |= {
                        f"{node.module}.{a.name}": getattr(module, a.name) for a in node.names
                    }
    return dict(sorted(found.items()))


def _told(name: str, value: Any) -> str:
    """A function or class, with the public methods that it defines itself."""
    if not callable(value):
        return f"### {name.rpartition('.')[2]}\n\n`{name}`"
    parts = [f"### {name.rpartition('.')[2]}", signature(name, value), markdown(value.__doc__)]
    for method, held in vars(value).items() if inspect.isclass(value) else ():
        call = held.__func__ if isinstance(held, classmethod | staticmethod) else held
        if isinstance(call, property):
            call = call.fget
        if method.startswith("_") or not inspect.isfunction(call):
            continue
        shown = method if isinstance(held, property) else signature(method, call)
        head = f"```python\n{shown}\n```" if isinstance(held, property) else shown
        parts.append(f"{head}\n\n{markdown(call.__doc__)}")
    return "\n\n".join(part for part in parts if part.strip())


def signature(name: str, value: Any) -> str:
    """How it is called, on one line if it fits."""
    try:
        found = inspect.signature(value)
    except ValueError:  # an exception's
        return f"```python\n{name}(message)\n```"
    words: list[str] = []
    starred = False
    for p in found.parameters.values():
        if p.name in {"self", "cls"}:
            continue
        if p.kind is p.KEYWORD_ONLY and not starred:
            starred = True
            words.append("*")
        words.append(_parameter(p))
        starred |= p.kind is p.VAR_POSITIONAL
    returned = found.return_annotation
    ends = "" if returned is found.empty or inspect.isclass(value) else f" -> {_type(returned)}"
    line = f"{name}({', '.join(words)}){ends}"
    if len(line) > _LINE:
        line = f"{name}(\n    " + ",\n    ".join(words) + f",\n){ends}"
    return f"```python\n{line}\n```"


def _parameter(p: inspect.Parameter) -> str:
    sign = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
    kind = "" if p.annotation is p.empty else f": {_type(p.annotation)}"
    if p.default is p.empty:
        return f"{sign}{p.name}{kind}"
    default = getattr(p.default, "__name__", None) or repr(p.default)
    default = "..." if default.startswith("<") or len(default) > _DEFAULT else default
    return f"{p.name}{kind} = {default}" if kind else f"{p.name}={default}"


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
