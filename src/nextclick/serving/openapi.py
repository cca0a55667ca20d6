"""The OpenAPI 3.1 document of the HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from nextclick.serving import examples, schemas
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.serving.operations import Operation

# location, description, schema
PARAMETERS = {
    "id": ("path", "Id of the live session: 1 to 128 letters, digits or . _ ~ -",
           {"type": "string", "pattern": f"^{schemas.SESSION_ID}$"}),
    "user": ("path", "Id of the visitor, as requests name it",
             {"type": "string", "minLength": 1, "maxLength": schemas.MAX_TEXT}),
    "q": ("query", "Text contained in an id or a title",
          {"type": "string", "maxLength": schemas.MAX_TEXT}),
    "limit": ("query", f"Number of items, 1..{schemas.MAX_RESULTS}",
              {"type": "integer", "minimum": 1, "maximum": schemas.MAX_RESULTS}),
    "model": ("query", "Name of a served model", {"type": "string"}),
}  # fmt: skip


def openapi_document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Build the document; operations without a response schema are left out, except DELETE."""
    documented = [one for one in operations if one.response is not None or one.method == "DELETE"]
    types = [schemas.Problem, *(t for one in documented for t in (one.body, one.response))]
    structs = list(dict.fromkeys(t for t in types if hasattr(t, "__struct_fields__")))
    _, components = msgspec.json.schema_components(
        structs, ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in documented:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "nextclick", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _describe(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"summary": operation.summary, "responses": {}}
    if operation.parameters:
        described["parameters"] = [_parameter(name) for name in operation.parameters]
    if operation.access != "public":  # the empty alternative: a server without a token
        described["security"] = [{}, {"token": []}]
    if operation.body is not None:
        content = _content(operation.body)
        if operation.path in examples.BODIES:
            content["application/json"]["example"] = examples.BODIES[operation.path]
        described["requestBody"] = {"required": True, "content": content}
    if operation.response is None:
        described["responses"]["204"] = {"description": "Done."}
    else:
        response = {"description": "Success.", "content": _content(operation.response)}
        described["responses"]["200"] = response
    for status in operation.statuses:
        described["responses"][str(status)] = {
            "description": "A problem.",
            "content": {"application/problem+json": {"schema": _reference(schemas.Problem)}},
        }
    return described


def _parameter(name: str) -> dict[str, Any]:
    location, description, schema = PARAMETERS[name]
    return {
        "name": name,
        "in": location,
        "required": location == "path",
        "description": description,
        "schema": schema,
    }


def _content(kind: Any) -> dict[str, Any]:
    schema = _reference(kind) if hasattr(kind, "__struct_fields__") else {"type": "object"}
    return {"application/json": {"schema": schema}}


def _reference(kind: Any) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
