"""Routes of the served models: list them, activate a version."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nextclick.serving import model_schemas as schemas
from nextclick.serving.model_facts import accuracy, last_click, published
from nextclick.serving.operations import operation

if TYPE_CHECKING:
    from starlette.requests import Request

    from nextclick.serving.app import App
    from nextclick.serving.model_slot import ModelSlot

_TRAINING_FIELDS = ("part", "seed", "seconds", "counts", "data_fingerprint", "protocol")


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
        details=loaded.catalog.n_detailed,
        reads=sorted(model.requires(model.config) - {"features"}),  # of a request
        config=asdict(model.config),
        trained={name: artifact.trained.get(name) for name in _TRAINING_FIELDS},
        search=loaded.search,
        rejected=dict(slot.rejected),
        accuracy=accuracy(artifact.trained, loaded.version),
        last_click=last_click(artifact.trained),
        published=published(loaded.version),
        versions=[version.name for version in slot.source.versions()],
        ab={} if slot.split is None else dict(slot.split.shares),
    )
