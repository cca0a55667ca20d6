"""The OpenAPI document as an HTML page, with examples that a script sends."""

from __future__ import annotations

import json
from html import escape
from typing import Any
from urllib.parse import urlencode

from nextclick.serving.examples import PARAMETERS

STYLE = """
:root { color-scheme: light dark; background: Canvas; color: CanvasText; }
:root { font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; font-size: 1.1rem; overflow-wrap: anywhere; }
code, pre, textarea, input { font-family: ui-monospace, monospace; font-size: .875rem; }
h2 code { font-size: 1.1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; }
th, td { overflow-wrap: anywhere; }
td, th { border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
pre { margin: .5rem 0; padding: .6rem .8rem; max-height: 24rem; overflow: auto; }
pre { white-space: pre-wrap;
  overflow-wrap: anywhere; background: color-mix(in srgb, currentColor 7%, transparent); }
form { display: grid; gap: .5rem; margin-top: .5rem; }
[hidden] { display: none; }
form label { display: grid; gap: .2rem; max-width: 40rem; }
input, textarea, button { font-size: 1rem; padding: .35rem .6rem; box-sizing: border-box; }
button { width: fit-content; min-height: 2.25rem; font-family: inherit; cursor: pointer; }
:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
@media (max-width: 44rem) {
  tr { display: grid; padding: .3rem 0; }
  td { border: 0; padding: 0; }
  tr:has(th) { display: none; }
}
"""
_BOUNDS = {"minimum": "≥", "maximum": "≤", "minItems": "at least", "maxItems": "at most"}


def api_page(document: dict[str, Any]) -> str:
    """The page: a section for each operation, a table for each schema."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'><title>nextclick: HTTP API</title>",
        "<link rel=stylesheet href=/docs.css><main><h1>nextclick</h1>",
        "<script type=module src=/page/docs.js></script>",
        "<p>The HTTP API of this server, also as an <a href=/openapi.json>OpenAPI document</a>.",
        " <a href=/>The page to try the models</a>.",
        "<p>Each route has an example. <code>ITEM-1</code> stands for an id of your catalog.",
        "<form id=access hidden><label>Token, for routes that need one; it is not stored",
        "<input id=token type=password autocomplete=off></label></form>",
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
    return "".join(parts) + _example(method, path, operation)


def _example(method: str, path: str, operation: dict[str, Any]) -> str:
    """The command of an example, and a form that the script shows and sends."""
    query = {}
    for parameter in operation.get("parameters", ()):
        name = parameter["name"]
        if parameter["in"] == "path":
            path = path.replace(f"{{{name}}}", str(PARAMETERS[name]))
        elif name in PARAMETERS:
            query[name] = PARAMETERS[name]
    url = path + (f"?{urlencode(query)}" if query else "")
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = json.dumps(content["example"]) if "example" in content else ""
    name = f"{method.upper()} {escape(path)}"
    command = f"curl 'localhost:8000{url}'"
    if method != "get":
        command += f" -X {method.upper()}" if not body else f" -d '{body}'"
    field = f"<label>Body<textarea rows=4>{escape(body)}</textarea></label>" if body else ""
    return (
        f"<pre tabindex=0 aria-label='Command of {name}'>{escape(command)}</pre>"
        f"<form class=example hidden data-method={method.upper()} aria-label='Example of {name}'>"
        f"<label>Path<input value='{escape(url)}'></label>{field}"
        f"<button>Send {name}</button><pre role=status tabindex=0 hidden "
        f"aria-label='Response of {name}'></pre></form>"
    )


def _table(schema: dict[str, Any]) -> str:
    description = escape(schema.get("description", "")).partition("Attributes:")
    meanings = dict(_meanings(description[2]))
    rows = [
        f"<tr><td><code>{name}</code><td>{_type(field)}<td>{meanings.get(name, '')}"
        for name, field in schema.get("properties", {}).items()
    ]
    head = "<tr><th scope=col>field<th scope=col>type<th scope=col>meaning"
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
