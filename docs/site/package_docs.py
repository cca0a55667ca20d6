"""Sphinx extension: pages and tables that are generated from the package.

Directives: `error-messages`, `module-list`, `parameters MODULE:CONFIG` and `registry MODULE:DICT`.
Model pages are written before the build into docs/model-pages, one for each registered model.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from error_catalog import ERROR_CLASSES, SOURCE, error_messages
from sphinx.util.docutils import SphinxDirective

from nextclick.core.config import describe
from nextclick.models.model_registry import model_class, model_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from docutils import nodes
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
MODEL_PAGES = ROOT / "docs" / "model-pages"
_SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Yields|Examples?):$")
_CODE = re.compile(r"(`[^`]+`)")


class ErrorMessages(SphinxDirective):
    """Every message, in one table for each class of the exception tree."""

    def run(self) -> Sequence[nodes.Node]:
        """See docutils."""
        by_class: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for message in error_messages():
            by_class[message.kind][message.template] = message.module.removeprefix("nextclick.")
        parts = []
        for kind, messages in sorted(by_class.items()):
            rows = ((f"`{text}`", f"`{module}`") for text, module in messages.items())
            doc = ERROR_CLASSES[kind].__doc__ or ""
            summary = doc.partition("\n")[0]
            parts += [f"## {kind}", summary, markdown_table(("message", "raised in"), rows)]
        return self.parse_text_to_nodes("\n\n".join(parts), allow_section_headings=True)


class ModuleList(SphinxDirective):
    """Every module of the package with the first paragraph of its docstring."""

    def run(self) -> Sequence[nodes.Node]:
        """See docutils."""
        folders = defaultdict(list)
        for path in sorted((SOURCE / "nextclick").rglob("*.py")):
            module = ast.parse(path.read_text(encoding="utf-8"))
            summary = (ast.get_docstring(module) or "").partition("\n\n")[0]
            folder = path.parent.relative_to(SOURCE).as_posix()
            folders[folder].append((f"`{path.name}`", " ".join(summary.split())))
        parts = []
        for folder, rows in folders.items():
            parts += [f"### {folder}", markdown_table(("module", "content"), rows)]
        return self.parse_text_to_nodes("\n\n".join(parts), allow_section_headings=True)


class Parameters(SphinxDirective):
    """The fields of a config, as `nextclick.config:Name`: values, default, meaning."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> Sequence[nodes.Node]:
        """See docutils."""
        module, _, name = self.arguments[0].partition(":")
        listed = describe(getattr(import_module(module), name))
        if not listed:
            return self.parse_text_to_nodes("No parameters.")
        rows = ((f"`{p.name}`", p.kind, f"`{p.default}`", p.description) for p in listed)
        head = ("parameter", "values", "default", "meaning")
        return self.parse_text_to_nodes(markdown_table(head, rows))


class Registry(SphinxDirective):
    """The entries of a registry, `nextclick.data.readers.formats:LOG_FORMATS`: name and summary."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> Sequence[nodes.Node]:
        """See docutils."""
        module, _, name = self.arguments[0].partition(":")
        registry: dict[str, Any] = getattr(import_module(module), name)
        rows = ((f"`{key}`", _summary(entry)) for key, entry in registry.items())
        return self.parse_text_to_nodes(markdown_table(("name", "meaning"), rows))


def _summary(entry: Any) -> str:
    return str(getattr(entry, "summary", None) or entry.description)


def markdown_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table; `|` within cells is escaped."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(c.replace("|", r"\|") for c in row) + " |" for row in lines)


def write_model_pages(app: Sphinx) -> None:
    """Write a page for each registered model: docstring, parameters, presets and recipes."""
    del app
    MODEL_PAGES.mkdir(exist_ok=True)
    for name in model_names():
        (MODEL_PAGES / f"{name}.md").write_text(model_page(name), encoding="utf-8")


def model_page(name: str) -> str:
    """The page of a model, in MyST Markdown."""
    model = model_class(name)
    module, config = model.__module__, model.Config
    parts = [f"# {name}", f"```{{eval-rst}}\n.. automodule:: {module}\n   :no-index:\n```"]
    parts += ["## Parameters", f"```{{parameters}} {module}:{config.__name__}\n```"]
    presets = model.presets
    if presets:
        settings = (
            (f"`{preset}`", ", ".join(f"`{k}={v}`" for k, v in values.items()) or "nothing")
            for preset, values in presets.items()
        )
        parts += ["## Presets", markdown_table(("preset", "sets"), settings)]
    recipes = [
        f"- [recipes/{path.name}](../../recipes/{path.name})"
        for path in sorted((ROOT / "recipes").glob("*.toml"))
        if tomllib.loads(path.read_text("utf-8"))["model"] == name
    ]
    if recipes:
        parts += ["## Recipes", "\n".join(recipes)]
    parts += ["## Class", f"```{{eval-rst}}\n.. autoclass:: {module}.{model.__name__}\n```"]
    return "\n\n".join(parts) + "\n"


def to_restructured_text(lines: list[str]) -> list[str]:
    """Convert a docstring to reStructuredText.

    Indented blocks (equations) become literal blocks, lists get the blank line that they need,
    code spans get double backticks, and the other special characters are escaped.
    """
    converted: list[str] = []
    in_section = in_block = False
    for line in lines:
        previous = converted[-1] if converted else ""
        if line and not line.startswith(" "):
            in_section, in_block = bool(_SECTION.match(line)), False
        if line.startswith("    ") and not in_section and not previous and not in_block:
            converted += [".. code-block:: text", ""]
            in_block = True
        is_item = line.lstrip().startswith("- ")
        if is_item and previous and not previous.lstrip().startswith(("- ", "  ")):
            converted.append("")
        literal = in_block or line.lstrip().startswith((">>>", "..."))
        converted.append(line if literal else _escaped(line))
    return converted


def _escaped(line: str) -> str:
    def code(span: str, following: str) -> str:
        return f"`{span}`" + (r"\ " if following[:1].isalnum() else "")

    parts = _CODE.split(line)
    return "".join(
        code(part, parts[at + 1]) if part.startswith("`") and len(part) > 2
        else re.sub(r"([*|]|_\b)", r"\\\1", part)
        for at, part in enumerate(parts)
    )  # fmt: skip


def convert_docstring(
    app: Sphinx, what: str, name: str, obj: object, _: Any, lines: list[str]
) -> None:
    """Convert in place, before napoleon reads the sections."""
    del app, what, name, obj
    lines[:] = to_restructured_text(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("error-messages", ErrorMessages)
    app.add_directive("module-list", ModuleList)
    app.add_directive("parameters", Parameters)
    app.add_directive("registry", Registry)
    app.connect("builder-inited", write_model_pages)
    app.connect("autodoc-process-docstring", convert_docstring, priority=100)
    return {"parallel_read_safe": True}
