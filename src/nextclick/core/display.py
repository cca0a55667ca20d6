"""How public objects show themselves: as text of one screen, and as HTML in a notebook."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_ROWS = 15
_MAX_WIDTH = 72  # characters of a value


@dataclass(frozen=True, slots=True)
class Display:
    """What is shown of an object.

    Attributes:
        title: one line.
        facts: names to values.
        columns: names of the columns of a table; empty without a table.
        rows: its rows. The first rows are shown, and the number of the others.
    """

    title: str
    facts: Mapping[str, object] = field(default_factory=dict)
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()

    def text(self) -> str:
        """The text, at most some twenty lines.

        >>> print(Display("Store shop", {"items": 1200}, ("part", "clicks"), [["test", 90]]).text())
        Store shop
          items  1,200
        <BLANKLINE>
          part  clicks
          test      90
        """
        names = [str(name) for name in self.facts]
        width = max(map(len, names), default=0)
        lines = [self.title]
        lines += [
            f"  {name:<{width}}  {format_value(value)}"
            for name, value in zip(names, self.facts.values(), strict=True)
        ]
        if self.columns:
            cells = [list(self.columns), *self._shown_rows()]
            widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
            lines.append("")
            for row in cells:
                first, *others = (
                    cell.rjust(size) if i else cell.ljust(size)
                    for i, (cell, size) in enumerate(zip(row, widths, strict=True))
                )
                lines.append("  " + "  ".join([first, *others]).rstrip())
            lines += [f"  {more}" for more in self._more()]
        return "\n".join(lines)

    def html(self) -> str:
        """The same as an HTML fragment without styles or scripts of its own."""
        facts = "".join(
            f"<tr><th>{escape(str(name))}</th><td>{escape(format_value(value))}</td></tr>"
            for name, value in self.facts.items()
        )
        parts = [f"<strong>{escape(self.title)}</strong>"]
        parts += [f"<table>{facts}</table>"] if facts else []
        if self.columns:
            head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
            body = "".join(
                f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
                for row in self._shown_rows()
            )
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
            parts += [f"<p>{escape(more)}</p>" for more in self._more()]
        return f"<div>{''.join(parts)}</div>"

    def _shown_rows(self) -> list[list[str]]:
        return [[format_value(cell) for cell in row] for row in self.rows[:_MAX_ROWS]]

    def _more(self) -> list[str]:
        hidden = len(self.rows) - _MAX_ROWS
        return [f"and {hidden:,} more"] if hidden > 0 else []


class Displayed:
    """An object that shows what `display` returns."""

    __slots__ = ()

    def display(self) -> Display:
        """What is shown of the object."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.display().text()

    def _repr_html_(self) -> str:
        return self.display().html()


def format_value(value: object) -> str:
    """A value in one line.

    >>> [format_value(value) for value in (1234, 0.12345, None, ["a", 2])]
    ['1,234', '0.1235', '–', 'a, 2']
    """
    if value is None:
        return "–"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        value = ", ".join(map(format_value, value))
    text = " ".join(str(value).split())
    return text if len(text) <= _MAX_WIDTH else text[: _MAX_WIDTH - 1] + "…"
