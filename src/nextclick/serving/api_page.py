"""The OpenAPI document as an HTML page without scripts."""

from __future__ import annotations

from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; font-size: 1.1rem; }
code { font-family: ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; }
td, th { border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
"""
_BOUNDS = {"minimum": "≥", "maximum": "≤", "minItems": "at least", "maxItems": "at most"}


def api_page(document: dict[str, Any]) -> str:
    """The page: a section for each operation, a table for each schema."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'><title>nextclick: HTTP API</title>",
        "<link rel=stylesheet href=/docs.css><main><h1>nextclick</h1>",
        "<p>The HTTP API of this server, also as an <a href=/openapi.json>OpenAPI document</a>.",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(_section(method, path, operation))
    for name, schema in document["components"]["schemas"].items():
        parts.append(f"<h2 id={name}>{name}</h2>{_table(schema)}")
    return "".join(parts) + "</main></html>"


def _section(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f"<h2><code>{method.upper()} {escape(path)}</code></h2>"]
    parts.append(f"<p>{escape(operation['summary'])}")
    parts += [
        f"<br><code>{parameter['name']}</code>: {escape(parameter['description'])}"
        for parameter in operation.get("parameters", ())
    ]
    bodies = [("Request", operation.get("requestBody"))]
    bodies.append(("Response", operation["responses"].get("200")))
    for title, body in bodies:
        schema = body and body["content"]["application/json"]["schema"]
        if schema and "$ref" in schema:
            parts.append(f"<p>{title}: {_link(schema)}")
    return "".join(parts)


def _table(schema: dict[str, Any]) -> str:
    description = escape(schema.get("description", "")).partition("Attributes:")
    meanings = dict(_meanings(description[2]))
    rows = [
        f"<tr><td><code>{name}</code><td>{_type(field)}<td>{meanings.get(name, '')}"
        for name, field in schema.get("properties", {}).items()
    ]
    head = "<tr><th>field<th>type<th>meaning"
    return f"<p>{description[0]}<table>{head}{''.join(rows)}</table>"


def _meanings(text: str) -> list[tuple[str, str]]:
    """`name: meaning` of each line of a docstring; indented lines continue the one before."""
    meanings: list[tuple[str, str]] = []
    for line in text.strip().splitlines():
        name, colon, meaning = line.strip().partition(": ")
        if colon and name.isidentifier():
            meanings.append((name, meaning))
        elif meanings:
            meanings[-1] = (meanings[-1][0], f"{meanings[-1][1]} {line.strip()}")
    return meanings


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return _link(field)
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(branch) for branch in field["anyOf"]))
    name = str(field.get("type", "any"))
    if name == "array":
        name = f"list of {_type(field.get('items', {}))}"
    bounds = [f"{sign} {field[key]}" for key, sign in _BOUNDS.items() if key in field]
    return escape(f"{name} {', '.join(bounds)}".strip()) if name != "any" else "any"


def _link(field: dict[str, str]) -> str:
    name = field["$ref"].rpartition("/")[2]
    return f"<a href=#{name}>{name}</a>"
