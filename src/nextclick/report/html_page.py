"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from nextclick.report.html import Html, joined, tag
from nextclick.report.sections import SECTIONS
from nextclick.report.summary import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(numbers: dict[str, Any], drawn: Mapping[str, Html], not_drawn: str | None) -> str:
    """The whole file.

    Args:
        numbers: what `comparison` gave.
        drawn: name of each figure to what shows it.
        not_drawn: why there are no figures, or None.
    """
    title = f"Comparison on {numbers['name']}"
    body = [tag("h1", title)]
    if numbers["leaderboard"]:
        summary = numbers["summary"]
        body.append(tag("p", summary["text"], class_="lead"))
        if summary["notice"]:
            body.append(tag("p", summary["notice"], class_="notice"))
    body += _unfinished(numbers)
    if not_drawn is not None:
        body.append(tag("p", not_drawn, class_="notice"))
    sections, links = [], []
    for name, (heading, write) in SECTIONS.items():
        if name != "leaderboard" and not numbers["leaderboard"]:
            continue  # what failed is all there is to say
        inside = write(numbers, drawn)
        if inside:
            links.append(tag("a", heading, href=f"#{name}"))
            sections.append(tag("section", tag("h2", heading, id=name), inside))
    body += [tag("nav", *links), *sections]
    css = files("nextclick.report").joinpath("report.css").read_text(encoding="utf-8")
    head = joined(
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        tag("title", title),
        tag("style", Html(css)),
    )
    whole = tag("html", tag("head", head), tag("body", tag("main", *body)), lang="en")
    return f"<!doctype html>\n{whole}\n"


def _unfinished(numbers: dict[str, Any]) -> list[Html]:
    found = []
    if numbers["waiting"]:
        told = f"Not done yet: {listed(numbers['waiting'])}. The same command goes on."
        found.append(tag("p", told, class_="notice"))
    if numbers["failed"]:
        labels = list(dict.fromkeys(one["label"] for one in numbers["failed"]))
        told = f"Failed: {listed(labels)}; the reasons stand below the leaderboard."
        found.append(tag("p", told, class_="notice"))
    return found
