"""Routes for operators: health, readiness, metrics, API documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from nextclick.errors import RequestError
from nextclick.serving.operations import operation

if TYPE_CHECKING:
    from starlette.requests import Request

    from nextclick.serving.app import App


@operation("GET", "/healthz", response=dict)
async def health(app: App, request: Request, body: None) -> dict[str, str]:
    """The process responds."""
    del app, request, body
    return {"status": "ok"}


@operation("GET", "/readyz", response=dict, problems=(503,))
async def ready(app: App, request: Request, body: None) -> dict[str, Any]:
    """The server accepts requests; reports lost clicks and whether they can be stored."""
    del request, body
    if app.asgi.shutting_down:
        raise RequestError(
            "the server is shutting down; retry in a second", status=503, retry_after=1
        )
    app.check_loaded()
    problem = await app.check_store()
    store: dict[str, Any] = {
        "backend": app.store.name,
        "status": "ok" if problem is None else "failing",
        "lost_clicks": app.lost_clicks,
    }
    if problem is not None:
        store["problem"] = problem
    state = {"status": "ready" if problem is None else "degraded", "session_store": store}
    if app.event_log is not None:
        state["event_log"] = app.event_log.state()
    return state


@operation("GET", "/metrics")
async def metrics(app: App, request: Request, body: None) -> Response:
    """Metrics in the text format of Prometheus."""
    del request, body
    app.metrics.queued.set(app.thread_batcher.queued + app.inline_batcher.queued)
    return Response(app.metrics.text(), media_type="text/plain; version=0.0.4")
