"""HTML in which every text is escaped, but what was made here."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, *inside: Any, **attributes: str) -> Html:
    """An element; what is not Html is escaped. `class_` stands for class.

    >>> tag("td", "a < b", class_="n")
    '<td class="n">a &lt; b</td>'
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
    )
    return Html(f"<{name}{told}>{joined(*inside)}</{name}>")


def joined(*parts: Any) -> Html:
    """Parts one after the other, escaped where they are not Html."""
    return Html(
        "".join(part if isinstance(part, Html) else html.escape(str(part)) for part in parts)
    )


def table(
    title: str,
    columns: Sequence[Any],
    rows: Sequence[Sequence[Any]],
    *,
    about: str,
    texts: int = 1,
) -> Html:
    """A table that scrolls within its box.

    Args:
        title: for who does not see the heading above.
        columns: its head.
        rows: cells; the first of a row is its head.
        about: protocol and data, below the table.
        texts: how many of the first columns are texts; the others are figures.
    """
    classes = ["t" if n < texts else "n" for n in range(len(columns))]
    head = [
        tag("th", c, class_=kind, scope="col") for c, kind in zip(columns, classes, strict=True)
    ]
    body = []
    for row in rows:
        first, *rest = row
        cells = [tag("th", first, class_="t", scope="row")]
        cells += [tag("td", c, class_=kind) for c, kind in zip(rest, classes[1:], strict=True)]
        body.append(tag("tr", *cells))
    caption = tag("caption", title, class_="unseen")
    grid = tag("table", caption, tag("thead", tag("tr", *head)), tag("tbody", *body))
    # the box can be scrolled with the keyboard
    box = tag("div", grid, class_="scroll", tabindex="0", role="region", aria_label=title)
    return tag("div", box, tag("p", about, class_="about"), class_="table")


def figure(svg: str, caption: Any) -> Html:
    """A drawing with what it shows."""
    return tag("figure", Html(svg), tag("figcaption", caption))
