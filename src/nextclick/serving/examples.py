"""An example of each request, for the OpenAPI document and the page that sends them."""

from __future__ import annotations

from typing import Any

ITEMS = ("ITEM-1", "ITEM-2", "ITEM-3")
"""Stand for ids of the catalog; the page /docs replaces them by the most clicked items."""
VERSION = "VERSION"
"""Stands for the active version of the first model."""

BODIES: dict[str, Any] = {
    "/v1/recommend": {"session": [ITEMS[0], ITEMS[1]], "k": 5},
    "/v1/recommend/batch": {
        "requests": [{"session": [ITEMS[0]], "k": 3}, {"session": [ITEMS[1], ITEMS[2]], "k": 3}]
    },
    "/v1/explain": {"session": [ITEMS[0], ITEMS[1]], "k": 2},
    "/v1/sessions/{id}/events": {"item": ITEMS[0], "k": 5, "user": "u7"},
    "/v1/models/activate": {"version": VERSION},
    "/v1/items": {"items": list(ITEMS)},
}
"""Path of a POST operation to its body."""

PARAMETERS: dict[str, Any] = {"id": "example", "user": "u7", "q": "", "limit": 5}
"""Name of a parameter to its value; others are left out."""
