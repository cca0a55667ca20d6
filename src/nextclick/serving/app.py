"""The server application: models, session store, batchers, and their routes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Route

from nextclick.errors import RequestError
from nextclick.serving.api_page import STYLE, api_page
from nextclick.serving.batching import InlineBatcher, ThreadBatcher
from nextclick.serving.event_log import EventLog
from nextclick.serving.explain_routes import explain
from nextclick.serving.item_routes import draw_example, look_up_items, search_items
from nextclick.serving.middleware import ServerMiddleware
from nextclick.serving.model_manager import ModelManager
from nextclick.serving.model_routes import activate, list_models
from nextclick.serving.openapi import openapi_document
from nextclick.serving.operations import endpoint
from nextclick.serving.problem_details import http_error_response
from nextclick.serving.prometheus import ServerMetrics
from nextclick.serving.recommend_routes import recommend, recommend_batch
from nextclick.serving.session_routes import append_event, delete_session, get_session
from nextclick.serving.sessions.session_store import (
    SessionStoreError,
    SessionUnreadableError,
    StoreLimits,
    history_url,
    open_store,
)
from nextclick.serving.sessions.visitor_history import VisitorHistory, history_limits
from nextclick.serving.settings import shares_metrics
from nextclick.serving.status_routes import health, metrics, ready
from nextclick.serving.traffic_split import TrafficSplit
from nextclick.serving.visitor_routes import delete_visitor, get_visitor
from nextclick.serving.web_page import page_routes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Scope

    from nextclick.serving.batching import Answer, Answering
    from nextclick.serving.model_slot import LoadedModel
    from nextclick.serving.request import ResolvedRequest
    from nextclick.serving.sessions.session_store import SessionStore
    from nextclick.serving.settings import Settings

log = logging.getLogger("nextclick.serving")
_SWEEP_INTERVAL = 1.0  # seconds
_LARGE_BODY = 1 << 16  # bytes; a smaller one is decoded within a millisecond

OPERATIONS = (
    recommend, recommend_batch, explain, append_event, get_session, delete_session, get_visitor,
    delete_visitor, list_models, activate, search_items, look_up_items, draw_example, health,
    ready, metrics,
)  # fmt: skip


class App:
    """A server.

    Attributes:
        settings: its options.
        metrics: its Prometheus metrics.
        is_loaded: whether the models are loaded.
        store: the live sessions.
        event_log: the log of clicks and the items shown; None without `--event-log`.
        visitors: the earlier sessions of visitors; None with --history-seconds 0.
        lost_clicks: number of clicks that could not be stored.
        asgi: the ASGI application.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self.metrics = ServerMetrics(shared=shares_metrics())
        self._models: ModelManager | None = None
        self.store: SessionStore
        self.event_log: EventLog | None = None
        self.visitors: VisitorHistory | None = None
        self.lost_clicks = 0
        self.thread_batcher: ThreadBatcher
        self.inline_batcher: InlineBatcher
        self.asgi = ServerMiddleware(_starlette(self), settings, self.metrics)
        self.asgi.image_origins = self._image_origins

    def load_models(self) -> None:
        """Load the models, which compiles their kernels; may run on a thread.

        Raises:
            ArtifactError: a model cannot be loaded.
            ConfigError: the item file cannot be read, or the versions of --ab cannot be compared.
        """
        settings = self.settings
        self._models = ModelManager(
            settings.models,
            items=settings.items,
            min_recall=settings.min_recall,
            ids_as_text=settings.ids_as_text,
            split=None if settings.ab is None else TrafficSplit.parse(settings.ab),
            on_change=lambda model, result: self.metrics.swaps.labels(model, result).inc(),
        )

    def _image_origins(self) -> tuple[str, ...]:
        return () if self._models is None else self._models.image_origins

    @property
    def is_loaded(self) -> bool:
        """See above."""
        return self._models is not None

    @property
    def models(self) -> ModelManager:
        """The served models.

        Raises:
            RequestError: they are being loaded.
        """
        if self._models is None:
            raise RequestError(
                "the server is loading and compiling its models; retry in a second",
                status=503,
                retry_after=1,
            )
        return self._models

    def check_loaded(self) -> None:
        """Check that the models are loaded.

        Raises:
            RequestError: they are being loaded.
        """
        _ = self.models

    @contextlib.asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Open the session store and the batchers, and run the background tasks."""
        settings = self.settings
        limits = store_limits(settings)
        self.store = open_store(settings.state, limits)
        if settings.history_seconds:
            kept = history_limits(limits, settings.history_seconds)
            self.visitors = VisitorHistory(open_store(history_url(settings.state), kept))
        await self.check_store()
        if settings.event_log is not None:
            self.event_log = EventLog(settings.event_log, self.metrics.dropped_events.inc)
        options: dict[str, Any] = {
            "max_queue": settings.max_queue,
            "max_batch": settings.max_batch,
            "on_batch": self.metrics.batch.observe,
        }
        self.thread_batcher, self.inline_batcher = (
            ThreadBatcher(**options),
            InlineBatcher(**options),
        )
        tasks = [asyncio.create_task(loop()) for loop in (self._reload_models, self._sweep_store)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.inline_batcher.close()
            await asyncio.to_thread(self.thread_batcher.close)
            for store in self._stores:
                await store.close()
            if self.event_log is not None:
                await asyncio.to_thread(self.event_log.close)

    @property
    def _stores(self) -> list[SessionStore]:
        return [self.store, *([] if self.visitors is None else [self.visitors.store])]

    def batcher(self, loaded: LoadedModel, cost: int) -> ThreadBatcher | InlineBatcher:
        """The batcher of a model for requests of a cost."""
        inline = loaded.inline and cost <= self.settings.max_batch
        return self.inline_batcher if inline else self.thread_batcher

    def check_capacity(self, loaded: LoadedModel, cost: int) -> None:
        """Check that the queue of a model has room for requests of a cost.

        Raises:
            RequestError: it is full.
        """
        with self._counting_rejections():
            self.batcher(loaded, cost).check_capacity(cost)

    @contextlib.contextmanager
    def reserve(self, cost: int) -> Iterator[None]:
        """Hold room in the queue of large requests while one of a cost is prepared.

        Raises:
            RequestError: the queue is full.
        """
        with contextlib.ExitStack() as held:
            if cost > self.settings.max_batch:
                with self._counting_rejections():
                    held.enter_context(self.thread_batcher.reserve(cost))
            yield

    def check_body(self, size: int) -> None:
        """Check that a large request has a chance, before its body is read or decoded.

        Raises:
            RequestError: the queue of large requests is full.
        """
        if size > _LARGE_BODY:
            with self._counting_rejections():
                self.thread_batcher.check_capacity(self.settings.max_batch + 1)

    async def answer(
        self,
        loaded: LoadedModel,
        requests: Sequence[ResolvedRequest],
        costs: Sequence[int],
        scope: Scope,
    ) -> list[Answer]:
        """Compute the answers to requests of a client within the timeout.

        Raises:
            RequestError: the queue is full, or the timeout has passed.
            ClientDisconnect: the client has left.
        """
        batcher = self.batcher(loaded, sum(costs))
        return await self._answers(batcher, loaded.recommender, requests, costs, scope)

    async def compute(
        self,
        answering: Answering,
        requests: Sequence[ResolvedRequest],
        costs: Sequence[int],
        scope: Scope,
    ) -> list[Any]:
        """As `answer`, always on the thread, and by something else than a recommender."""
        return await self._answers(self.thread_batcher, answering, requests, costs, scope)

    async def _answers(
        self,
        batcher: ThreadBatcher | InlineBatcher,
        answering: Answering,
        requests: Sequence[ResolvedRequest],
        costs: Sequence[int],
        scope: Scope,
    ) -> list[Any]:
        timeout = self.settings.timeout
        with self._counting_rejections():
            future = batcher.submit(
                answering,
                requests,
                timeout=timeout,
                costs=costs,
                wanted=scope.get("nextclick.connected", _always),
            )
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.wrap_future(future)  # an asyncio future is returned as it is
        except TimeoutError:
            self.metrics.rejected.labels("timeout").inc()
            raise RequestError(
                f"no answer within {timeout:g} s; retry in a second", status=503, retry_after=1
            ) from None

    @contextlib.contextmanager
    def _counting_rejections(self) -> Iterator[None]:
        try:
            yield
        except RequestError:
            self.metrics.rejected.labels("queue").inc()
            raise

    def store_failed(self, error: SessionStoreError) -> None:
        """Record that the session store failed for a request."""
        self.metrics.degraded.inc()
        if not isinstance(error, SessionUnreadableError):  # which affects one session
            self.metrics.store_up.set(0)
        log.warning("the session store failed: %s", error)

    def click_lost(self, error: SessionStoreError) -> None:
        """Record that a click could not be stored."""
        self.lost_clicks += 1
        self.metrics.lost_clicks.inc()
        self.store_failed(error)

    async def check_store(self) -> str | None:
        """Write to the session stores; returns None, or why one failed."""
        try:
            for store in self._stores:
                await store.check_write()
        except SessionStoreError as error:
            self.metrics.store_up.set(0)
            log.warning("the session store cannot be written: %s", error)
            return str(error)
        self.metrics.store_up.set(1)
        return None

    async def _reload_models(self) -> None:
        """Activate new versions as they appear."""
        while True:
            await asyncio.sleep(self.settings.reload_interval)
            if not self.is_loaded:
                continue
            try:
                await asyncio.to_thread(self.models.reload)
            except Exception:
                log.exception("checking for new versions failed")

    async def _sweep_store(self) -> None:
        """Remove expired sessions."""
        while True:
            await asyncio.sleep(_SWEEP_INTERVAL)
            for store in self._stores:
                with contextlib.suppress(SessionStoreError):
                    await store.sweep()


def store_limits(settings: Settings) -> StoreLimits:
    """The retention of sessions."""
    return StoreLimits(
        settings.session_seconds,
        settings.session_clicks,
        settings.max_sessions,
        settings.state_megabytes,
    )


def _always() -> bool:
    return True


def _starlette(app: App) -> ASGIApp:
    routes = [
        Route(
            path.replace("{user}", "{user:path}"),  # an id may contain a slash
            endpoint(app, group := list(operations)),
            methods=[o.method for o in group],
        )
        for path, operations in groupby(OPERATIONS, key=lambda operation: operation.path)
    ]
    starlette = Starlette(
        routes=[*routes, *_documentation_routes(), *page_routes()],
        lifespan=lambda _: app.lifespan(),
        exception_handlers={HTTPException: _http_error},
    )
    starlette.router.redirect_slashes = False
    if app.settings.cors_origins:
        starlette.add_middleware(
            CORSMiddleware,
            allow_origins=app.settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return starlette


def _documentation_routes() -> list[Route]:
    document = openapi_document(OPERATIONS)
    files = {
        "/openapi.json": (msgspec.json.encode(document), "application/json"),
        "/docs": (api_page(document), "text/html"),
        "/docs.css": (STYLE, "text/css"),
    }

    async def respond(request: Request) -> Response:
        path = request.url.path
        request.scope["nextclick.route"] = path
        content, media_type = files[path]
        return Response(content, media_type=media_type)

    return [Route(path, respond, methods=["GET"]) for path in files]


async def _http_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)
    return http_error_response(error)
