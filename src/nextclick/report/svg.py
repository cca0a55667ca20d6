"""An SVG of matplotlib made part of a page: its fonts and colors are those of the page."""

from __future__ import annotations

import html
import re

# what figures draw with, and the name of the page's color for it; see report.css
COLORS = {
    "#000000": "ink",
    "#4d4d4d": "soft",
    "#e3e3e3": "rule",
    "#ffffff": "paper",
    "#d55e00": "one",
    "#0072b2": "two",
    "#009e73": "three",
    "#cc79a7": "four",
    "#e69f00": "five",
    "#56b4e9": "six",
}


def inlined(svg: str, title: str) -> str:
    """The element alone, without size, and with a title for who does not see it.

    Args:
        svg: a file whose texts are texts.
        title: what it shows.
    """
    element = svg[svg.index("<svg") :]
    head, _, body = element.partition(">")
    (box,) = re.findall(r'viewBox="([^"]+)"', head)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    # an id that nothing refers to may stand on the page twice
    used = set(re.findall(r"#([\w-]+)", body))
    body = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", body)
    body = re.sub(
        r"(font(?:-family)?:[^;\"]*?)('[^;\"]*|sans-serif[^;\"]*)", r"\1var(--sans)", body
    )
    for color, name in COLORS.items():
        body = re.sub(rf"{color}\b", f"var(--{name})", body, flags=re.IGNORECASE)
    return (
        f'<svg viewBox="{box}" role="img" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f"<title>{html.escape(title)}</title>{body}"
    )
