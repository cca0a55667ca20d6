"""Routes of the served models: list, activate a version, search the catalog."""

from __future__ import annotations

import asyncio
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nextclick.errors import RequestError
from nextclick.serving import schemas
from nextclick.serving.operations import operation

if TYPE_CHECKING:
    from starlette.requests import Request

    from nextclick.serving.app import App
    from nextclick.serving.model_slot import ModelSlot

_TRAINING_FIELDS = ("part", "seed", "seconds", "counts", "data_fingerprint", "protocol")
_DEFAULT_LIMIT = 20


@operation("GET", "/v1/models", response=schemas.ModelsResponse)
async def list_models(app: App, request: Request, body: None) -> schemas.ModelsResponse:
    """List the served models and their versions."""
    del request, body
    slots = app.models.slots.values()
    return schemas.ModelsResponse([await asyncio.to_thread(_describe, slot) for slot in slots])


@operation(
    "POST", "/v1/models/activate",
    body=schemas.ActivateRequest, response=schemas.ModelResponse, access="admin",
    problems=(404, 409),
)  # fmt: skip
async def activate(
    app: App, request: Request, body: schemas.ActivateRequest
) -> schemas.ModelResponse:
    """Activate another version of a model."""
    del request
    slot = app.models.slot(body.model)
    await asyncio.to_thread(app.models.activate, slot, body.version, body.path)
    return await asyncio.to_thread(_describe, slot)


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


def _describe(slot: ModelSlot) -> schemas.ModelResponse:
    loaded = slot.loaded
    artifact = loaded.recommender.artifact
    model: Any = artifact.model
    return schemas.ModelResponse(
        name=slot.name,
        model=model.name,
        version=loaded.version.name,
        loaded_at=loaded.loaded_at,
        items=model.n_items,
        titles=loaded.catalog.n_titled,
        reads=sorted(model.requires(model.config) - {"features"}),  # of a request
        config=asdict(model.config),
        trained={name: artifact.trained.get(name) for name in _TRAINING_FIELDS},
        search=loaded.search,
        rejected=dict(slot.rejected),
        versions=[version.name for version in slot.source.versions()],
        ab={} if slot.split is None else dict(slot.split.shares),
    )
