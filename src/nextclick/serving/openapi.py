"""The OpenAPI document of the routes, and a page of it that needs no script."""

from __future__ import annotations

from functools import cache
from html import escape
from typing import Any

import msgspec

from nextclick.serving import schemas
from nextclick.version import __version__

_PARAMETERS = {
    "id": ("path", "Name of the live session: 1 to 128 letters, digits or . _ ~ -",
           {"type": "string", "pattern": f"^{schemas.SESSION_ID}$"}),
    "q": ("query", "Text that begins a word of an id or title, or stands in one",
          {"type": "string", "maxLength": schemas.MAX_TEXT}),
    "limit": ("query", "How many items, 1..100",
              {"type": "integer", "minimum": 1, "maximum": schemas.MAX_FOUND}),
    "model": ("query", "Which of the served models", {"type": "string"}),
}  # fmt: skip
# method, path, what it does, body, answer, parameters, statuses of problems
_ROUTES: tuple[tuple[str, str, str, type | None, Any, tuple[str, ...], tuple[int, ...]], ...] = (
    ("post", "/v1/recommend", "Name the most likely next clicks of a session.",
     schemas.RecommendRequest, schemas.RecommendAnswer, (), (400, 404, 408, 413, 422, 429, 503)),
    ("post", "/v1/recommend/batch", "The same for several sessions.",
     schemas.BatchRequest, schemas.BatchAnswer, (), (400, 404, 408, 413, 422, 429, 503)),
    ("post", "/v1/sessions/{id}/events", "Add a click to a live session, and recommend.",
     schemas.EventRequest, schemas.EventAnswer, ("id",),
     (400, 401, 404, 408, 413, 422, 429, 503)),
    ("get", "/v1/sessions/{id}", "What is kept of a live session.",
     None, schemas.SessionAnswer, ("id",), (401, 404, 422, 429, 503)),
    ("delete", "/v1/sessions/{id}", "Forget a live session.",
     None, None, ("id",), (401, 404, 422, 429, 503)),
    ("get", "/v1/models", "The served models and their versions.",
     None, schemas.ModelsAnswer, (), (429,)),
    ("post", "/v1/models/activate", "Let another version of a model answer.",
     schemas.ActivateRequest, schemas.ModelAnswer, (),
     (400, 401, 403, 404, 408, 409, 413, 422, 429)),
    ("get", "/v1/items", "Search items by id and title; the most clicked first.",
     None, schemas.ItemsAnswer, ("q", "limit", "model"), (404, 422, 429)),
    ("get", "/healthz", "The process answers.", None, dict[str, Any], (), ()),
    ("get", "/readyz", "Requests may be sent here.", None, dict[str, Any], (), (503,)),
)  # fmt: skip

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; font-size: 1.1rem; }
code { font-family: ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; }
td, th { border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
"""


@cache
def document() -> dict[str, Any]:
    """The document, OpenAPI 3.1."""
    types: list[Any] = [schemas.Problem]
    for _, _, _, body, answer, _, _ in _ROUTES:
        types += [t for t in (body, answer) if isinstance(t, type) and t is not dict]
    unique = list(dict.fromkeys(t for t in types if hasattr(t, "__struct_fields__")))
    _, components = msgspec.json.schema_components(
        unique, ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for method, path, summary, body, answer, parameters, problems in _ROUTES:
        operation: dict[str, Any] = {"summary": summary, "responses": {}}
        if parameters:
            operation["parameters"] = [_parameter(name) for name in parameters]
        if 401 in problems:  # asked for by a server that has a token
            operation["security"] = [{}, {"token": []}]
        if body is not None:
            operation["requestBody"] = {"required": True, "content": _content(body)}
        if answer is None:
            operation["responses"]["204"] = {"description": "Done."}
        else:
            told = {"description": "The answer.", "content": _content(answer)}
            operation["responses"]["200"] = told
        for status in problems:
            operation["responses"][str(status)] = {
                "description": "A problem.",
                "content": {"application/problem+json": {"schema": _reference(schemas.Problem)}},
            }
        paths.setdefault(path, {})[method] = operation
    about = {"title": "nextclick", "version": __version__}
    return {
        "openapi": "3.1.0",
        "info": about,
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


@cache
def page() -> str:
    """The same for people: one section a route, one table a schema."""
    told = document()
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'><title>nextclick: routes</title>",
        "<link rel=stylesheet href=/docs.css><main><h1>nextclick</h1>",
        "<p>The routes of this server, as <a href=/openapi.json>OpenAPI document</a> too.",
    ]
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(operation['summary'])}")
            for parameter in operation.get("parameters", ()):
                name, what = parameter["name"], parameter["description"]
                parts.append(f"<br><code>{name}</code>: {escape(what)}")
            shown = [("Body", operation.get("requestBody"))]
            shown.append(("Answer", operation["responses"].get("200")))
            for title, held in shown:
                schema = held and held["content"]["application/json"]["schema"]
                if schema and "$ref" in schema:
                    parts.append(f"<p>{title}: {_link(schema)}")
    for name, schema in told["components"]["schemas"].items():
        parts.append(f"<h2 id={name}>{name}</h2>{_table(schema)}")
    return "".join(parts) + "</main></html>"


def _parameter(name: str) -> dict[str, Any]:
    where, what, schema = _PARAMETERS[name]
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": what,
        "schema": schema,
    }


def _content(kind: Any) -> dict[str, Any]:
    schema = _reference(kind) if hasattr(kind, "__struct_fields__") else {"type": "object"}
    return {"application/json": {"schema": schema}}


def _reference(kind: Any) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _table(schema: dict[str, Any]) -> str:
    about = escape(schema.get("description", "")).partition("Attributes:")
    meanings = dict(_meanings(about[2]))
    rows = [
        f"<tr><td><code>{name}</code><td>{_kind(rule)}<td>{meanings.get(name, '')}"
        for name, rule in schema.get("properties", {}).items()
    ]
    head = "<tr><th>field<th>takes<th>what it is"
    return f"<p>{about[0]}<table>{head}{''.join(rows)}</table>"


def _meanings(text: str) -> list[tuple[str, str]]:
    """`name: meaning` of each line of a docstring; deeper lines go on with the one before."""
    found: list[tuple[str, str]] = []
    for line in text.strip().splitlines():
        name, colon, meaning = line.strip().partition(": ")
        if colon and name.isidentifier():
            found.append((name, meaning))
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
    return found


def _kind(rule: dict[str, Any]) -> str:
    if "$ref" in rule:
        return _link(rule)
    if "anyOf" in rule:
        return " or ".join(dict.fromkeys(_kind(branch) for branch in rule["anyOf"]))
    kind = str(rule.get("type", "any"))
    if kind == "array":
        kind = f"list of {_kind(rule.get('items', {}))}"
    bounds = [f"{sign} {rule[key]}" for key, sign in _BOUNDS.items() if key in rule]
    return escape(f"{kind} {', '.join(bounds)}".strip()) if kind != "any" else "any"


_BOUNDS = {"minimum": "≥", "maximum": "≤", "minItems": "at least", "maxItems": "at most"}


def _link(rule: dict[str, str]) -> str:
    name = rule["$ref"].rpartition("/")[2]
    return f"<a href=#{name}>{name}</a>"
