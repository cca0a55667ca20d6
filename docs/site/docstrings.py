"""Docstrings as Markdown: equations stay as they are written, sections become lists."""

from __future__ import annotations

import inspect
import re

_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields):$")
_CODE = re.compile(r"(`[^`]*`)")


def markdown(docstring: str | None) -> str:
    """The text of a docstring; blocks that are indented by four become blocks of code."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    made: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        stop = at + 1
        if _SECTION.match(line) or line.startswith(("    ", ">>>")):
            while stop < len(lines) and (not lines[stop] or _goes_on(line, lines[stop])):
                stop += 1
            block = inspect.cleandoc("\n".join(lines[at + 1 if line[0] not in " >" else at : stop]))
            made += _listed(line, block) if line[0] not in " >" else _fenced(block)
        else:
            made.append(_escaped(line))
        at = stop
    return "\n".join(made).strip() + "\n"


def _goes_on(first: str, line: str) -> bool:
    return line.strip() != "" if first.startswith(">>>") else line.startswith("    ")


def _fenced(block: str) -> list[str]:
    kind = "python" if re.search(r"^(>>>|import |from |@|\w+ = )", block, re.MULTILINE) else "text"
    if re.search(r"[←-⋿∈Σσ½·√]|score", block):
        kind = "text"
    return [f"```{kind}", *block.splitlines(), "```", ""]


def _listed(header: str, block: str) -> list[str]:
    """A section: its items, each with what it says."""
    items: list[str] = []
    for line in block.splitlines():
        named = re.match(r"^([\w, .]+): (.*)$", line)
        if named and not line.startswith(" "):
            names = ", ".join(f"`{name.strip()}`" for name in named[1].split(","))
            items.append(f"- {names}: {_escaped(named[2])}")
        elif line.startswith(" ") or items:
            items.append(f"  {_escaped(line.strip())}")
        else:
            items.append(_escaped(line))
    return ["", f"**{header[:-1]}**", "", *items, ""]


def _escaped(line: str) -> str:
    """A line of text whose signs mean nothing in Markdown, but for code and lists."""
    parts = _CODE.split(line)
    return "".join(
        part if part.startswith("`") else re.sub(r"([*<\[\]|])", r"\\\1", part) for part in parts
    )
