"""Routes of the items of a catalog: search, look up, and a session to try the model with."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import RequestError
from nextclick.serving import item_schemas, schemas
from nextclick.serving.example_sessions import draw_session
from nextclick.serving.operations import operation

if TYPE_CHECKING:
    from starlette.requests import Request

    from nextclick.serving.app import App

_DEFAULT_LIMIT = 20


@operation(
    "GET", "/v1/items",
    response=schemas.ItemsResponse, parameters=("q", "limit", "model"), problems=(404, 422),
)  # fmt: skip
async def search_items(app: App, request: Request, body: None) -> schemas.ItemsResponse:
    """Search items by id and title; without a text, list the most clicked items."""
    del body
    slot = app.models.slot(request.query_params.get("model"))
    text = request.query_params.get("q", "")
    limit = request.query_params.get("limit", str(_DEFAULT_LIMIT))
    if len(text) > schemas.MAX_TEXT:
        raise RequestError(
            f"q must have at most {schemas.MAX_TEXT} characters, got {len(text)}; shorten it",
            field="q",
        )
    if not re.fullmatch(r"[0-9]{1,3}", limit) or not 1 <= int(limit) <= schemas.MAX_RESULTS:
        raise RequestError(
            f"limit must be in 1..{schemas.MAX_RESULTS}; request fewer items", field="limit"
        )
    loaded = slot.loaded
    indices = await asyncio.to_thread(loaded.catalog.find, text, int(limit))
    raw_ids = loaded.recommender.artifact.items.raw_ids(indices)
    clicks = [loaded.catalog.clicks(item) for item in indices.tolist()]
    return schemas.ItemsResponse(slot.name, raw_ids, clicks, loaded.catalog.titles(raw_ids))


@operation(
    "POST", "/v1/items",
    body=item_schemas.LookupRequest, response=item_schemas.LookupResponse, problems=(404,),
)  # fmt: skip
async def look_up_items(
    app: App, request: Request, body: item_schemas.LookupRequest
) -> item_schemas.LookupResponse:
    """Look up titles, pictures, prices, links and categories of items."""
    del request
    slot = app.models.slot(body.model)
    catalog = slot.loaded.catalog
    indices = slot.loaded.recommender.artifact.items.indices(body.items).tolist()
    items = [
        item_schemas.ItemResponse(
            item=raw, clicks=catalog.clicks(index) if index else None, **details._asdict()
        )
        for raw, index, details in zip(
            body.items, indices, catalog.details(body.items), strict=True
        )
    ]
    return item_schemas.LookupResponse(slot.name, items)


@operation(
    "GET", "/v1/example",
    response=item_schemas.ExampleResponse, parameters=("model",), problems=(404,),
)  # fmt: skip
async def draw_example(app: App, request: Request, body: None) -> item_schemas.ExampleResponse:
    """Draw a session at random to try a model with."""
    del body
    slot = app.models.slot(request.query_params.get("model"))
    example = draw_session(slot.loaded.recommender, np.random.default_rng())
    return item_schemas.ExampleResponse(
        model=slot.name, session=example.items, source=example.source
    )
