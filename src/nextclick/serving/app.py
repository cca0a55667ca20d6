"""The routes of the server."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import re
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from nextclick.errors import InputError, RequestError
from nextclick.serving import schemas
from nextclick.serving.batching import Engine, Turns
from nextclick.serving.middleware import Gate
from nextclick.serving.model_manager import Served
from nextclick.serving.openapi import STYLE, document, page
from nextclick.serving.problem_details import as_answer, field_in, of_http_error, read_json
from nextclick.serving.prometheus import Metrics
from nextclick.serving.request import Query
from nextclick.serving.sessions.session_store import (
    Click,
    Limits,
    Session,
    StateLostError,
    open_store,
)
from nextclick.serving.settings import shares_metrics
from nextclick.serving.web_page import page_routes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from nextclick.core.types import RawId
    from nextclick.serving.explanation_summary import Reasons
    from nextclick.serving.model_manager import Loaded, Slot
    from nextclick.serving.recommender import Recommendation
    from nextclick.serving.request import Wish
    from nextclick.serving.sessions.session_store import SessionStore
    from nextclick.serving.settings import Settings

log = logging.getLogger("nextclick.serving")
_SESSION = re.compile(schemas.SESSION_ID)
_TRAINED = ("part", "seed", "seconds", "counts", "data_fingerprint", "protocol")
_SWEEP_EVERY = 1.0  # seconds
_FOUND = 20  # items of a search, if nobody says how many


class App:
    """A server: models, live sessions, the engine, and the routes to them.

    Raises:
        ArtifactError: a model cannot be loaded.
        ConfigError: the titles cannot be read.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self.metrics = Metrics(shared=shares_metrics())
        self.served = Served(
            settings.models,
            titles=settings.titles,
            least_recall=settings.min_recall,
            told=lambda model, result: self.metrics.swaps.labels(model, result).inc(),
        )
        self.store: SessionStore
        self.engine: Engine
        self.turns: Turns
        self._recommend = msgspec.json.Decoder(schemas.RecommendRequest)
        self._batch = msgspec.json.Decoder(schemas.BatchRequest)
        self._event = msgspec.json.Decoder(schemas.EventRequest)
        self._activate = msgspec.json.Decoder(schemas.ActivateRequest)
        self._encode = msgspec.json.Encoder().encode
        self.gate = Gate(self._starlette(), settings, self.metrics)

    def _starlette(self) -> ASGIApp:
        def route(path: str, handler: Any, *methods: str) -> Route:
            async def handles(request: Request) -> Response:
                request.scope["nextclick.route"] = path
                try:
                    answer: Response = await handler(request)
                except ClientDisconnect:
                    raise  # nobody is left to be told
                except Exception as error:  # whatever it is, the client gets an answer
                    answer = as_answer(error)
                return answer

            return Route(path, handles, methods=list(methods) or ["GET"])

        routes = [
            route("/v1/recommend", self.recommend, "POST"),
            route("/v1/recommend/batch", self.recommend_batch, "POST"),
            route("/v1/sessions/{id}/events", self.append, "POST"),
            route("/v1/sessions/{id}", self.session, "GET", "DELETE"),
            route("/v1/models", self.models),
            route("/v1/models/activate", self.activate, "POST"),
            route("/v1/items", self.items),
            route("/healthz", self.health),
            route("/readyz", self.ready),
            route("/metrics", self.counted),
            route("/openapi.json", self.openapi),
            route("/docs", self.docs),
            route("/docs.css", self.style),
            *page_routes(),
        ]
        app = Starlette(
            routes=routes,
            lifespan=lambda _: self.running(),
            exception_handlers={HTTPException: _http_error},
        )
        app.router.redirect_slashes = False
        if self.settings.cors_origins:
            app.add_middleware(
                CORSMiddleware,
                allow_origins=self.settings.cors_origins,
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["Authorization", "Content-Type"],
            )
        return app

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """From the first request to the last one."""
        settings = self.settings
        limits = Limits(
            settings.session_seconds,
            settings.session_clicks,
            settings.max_sessions,
            settings.state_megabytes,
        )
        self.store = open_store(settings.state, limits)
        options: dict[str, Any] = {
            "max_queue": settings.max_queue,
            "most": settings.max_batch,
            "told": self.metrics.batch.observe,
        }
        self.engine, self.turns = Engine(**options), Turns(**options)
        tasks = [asyncio.create_task(work()) for work in (self._watch, self._sweep)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.turns.close()
            await asyncio.to_thread(self.engine.close)
            await self.store.close()

    # what requests ask

    async def recommend(self, request: Request) -> Response:
        """POST /v1/recommend."""
        asked = read_json(await self._body(request), self._recommend)
        slot = self.served.slot(asked.model)
        loaded = slot.loaded
        wish = loaded.recommender.wish(_query(asked, loaded))
        ((answer, why),) = await self._answers(loaded, [wish])
        told = _told(slot, loaded, answer, why, titled=asked.session if asked.titles else None)
        return self._json(told)

    async def recommend_batch(self, request: Request) -> Response:
        """POST /v1/recommend/batch."""
        asked = read_json(await self._body(request), self._batch).requests
        slots = [self._at(n, self.served.slot, one.model) for n, one in enumerate(asked)]
        loaded = {slot.name: slot.loaded for slot in slots}
        wishes = [
            self._at(n, loaded[slot.name].recommender.wish, _query(one, loaded[slot.name]))
            for n, (slot, one) in enumerate(zip(slots, asked, strict=True))
        ]
        rows = {name: [n for n, slot in enumerate(slots) if slot.name == name] for name in loaded}
        found = await asyncio.gather(
            *(self._answers(loaded[name], [wishes[n] for n in rows[name]]) for name in rows)
        )
        told: list[Any] = [None] * len(asked)
        for (name, at), answers in zip(rows.items(), found, strict=True):
            for n, (answer, why) in zip(at, answers, strict=True):
                titled = asked[n].session if asked[n].titles else None
                slot = self.served.slots[name]
                told[n] = _told(slot, loaded[name], answer, why, titled=titled)
        return self._json(schemas.BatchAnswer(told))

    async def append(self, request: Request) -> Response:
        """POST /v1/sessions/{id}/events."""
        self._writes(request)
        key = _key(request)
        asked = read_json(await self._body(request), self._event)
        slot = self.served.slot(asked.model)
        loaded = slot.loaded
        k = _k(asked.k, loaded)
        if k:  # what cannot be answered is not taken note of
            loaded.recommender.check(k, asked.allow, asked.block)
            self._queue(loaded).check_room(1)
        click = Click(asked.item, time.time() if asked.time is None else asked.time, asked.user)
        degraded = False
        try:
            session = await self.store.append(key, click)
        except StateLostError as error:
            degraded = self._lost(error)
            before = [Click(item, click.time) for item in asked.before]
            session = Session([*before, click])
        recommended = None
        if k:
            query = _event_query(asked, k, session, None if degraded else key)
            wish = loaded.recommender.wish(query)
            ((answer, why),) = await self._answers(loaded, [wish])
            titled = session.items if asked.titles else None
            recommended = _told(slot, loaded, answer, why, titled=titled, degraded=degraded)
        kept = 1 if degraded else len(session.clicks)
        return self._json(schemas.EventAnswer(kept, degraded, recommended))

    async def session(self, request: Request) -> Response:
        """GET and DELETE /v1/sessions/{id}."""
        self._writes(request)
        key = _key(request)
        try:
            if request.method == "DELETE":
                was_there = await self.store.delete(key)
                for slot in self.served.slots.values():
                    slot.loaded.recommender.scorer.forget(key)
                if was_there:
                    return Response(status_code=204)
                found = None
            else:
                found = await self.store.get(key)
        except StateLostError as error:
            self._lost(error)
            raise RequestError(
                "live sessions cannot be reached; ask again in a second", status=503, retry_after=1
            ) from None
        if found is None:
            raise RequestError(
                "there is no such session, or it has expired; a click makes one", status=404
            )
        clicks = [
            schemas.ClickAnswer(item, at) for item, at in zip(found.items, found.times, strict=True)
        ]
        return self._json(schemas.SessionAnswer(key, clicks, found.user))

    async def models(self, request: Request) -> Response:
        """GET /v1/models."""
        del request
        found = [await asyncio.to_thread(_model, slot) for slot in self.served.slots.values()]
        return self._json(schemas.ModelsAnswer(found))

    async def activate(self, request: Request) -> Response:
        """POST /v1/models/activate."""
        if self.settings.token is None:
            raise RequestError(
                "this server was started without a token, so nobody may change its models; "
                "start it with --token-file",
                status=403,
            )
        self._writes(request)
        asked = read_json(await self._body(request), self._activate)
        slot = self.served.slot(asked.model)
        await asyncio.to_thread(self.served.activate, slot, asked.version, asked.path)
        return self._json(await asyncio.to_thread(_model, slot))

    async def items(self, request: Request) -> Response:
        """GET /v1/items?q=TEXT&limit=N&model=NAME."""
        slot = self.served.slot(request.query_params.get("model"))
        text = request.query_params.get("q", "")
        limit = request.query_params.get("limit", str(_FOUND))
        if len(text) > schemas.MAX_TEXT:
            raise RequestError("q must have at most 256 letters; shorten it", field="q")
        if not re.fullmatch(r"[0-9]{1,3}", limit) or not 1 <= int(limit) <= schemas.MAX_FOUND:
            raise RequestError("limit must be in 1..100; ask for fewer items", field="limit")
        loaded = slot.loaded
        found = await asyncio.to_thread(loaded.items.find, text, int(limit))
        raws = loaded.recommender.artifact.items.raws(found)
        clicks = [loaded.items.clicks(item) for item in found.tolist()]
        return self._json(schemas.ItemsAnswer(slot.name, raws, clicks, loaded.items.titles(raws)))

    # what operators ask

    async def health(self, request: Request) -> Response:
        """GET /healthz: the process answers."""
        del request
        return self._json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """GET /readyz: requests may be sent here."""
        del request
        state = "ok" if await self.store.ready() else "unreachable"
        self.metrics.state_up.set(state == "ok")
        if self.gate.drains:
            raise RequestError(
                "the server is stopping; ask again in a second", status=503, retry_after=1
            )
        status = "ready" if state == "ok" else "degraded"
        return self._json({"status": status, "state": {"kind": self.store.name, "is": state}})

    async def counted(self, request: Request) -> Response:
        """GET /metrics."""
        del request
        self.metrics.waiting.set(self.engine.waiting + self.turns.waiting)
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:
        """GET /openapi.json."""
        del request
        return self._json(document())

    async def docs(self, request: Request) -> Response:
        """GET /docs."""
        del request
        return Response(page(), media_type="text/html")

    async def style(self, request: Request) -> Response:
        """GET /docs.css."""
        del request
        return Response(STYLE, media_type="text/css")

    # parts of these

    async def _body(self, request: Request) -> bytes:
        """Read the body, up to the limit.

        Raises:
            RequestError: it is larger, or does not come.
        """
        most = self.settings.max_bytes
        parts, size = [], 0
        try:
            async with asyncio.timeout(self.settings.timeout):
                async for part in request.stream():
                    size += len(part)
                    if size > most:
                        raise RequestError(
                            f"the body has more than {most} bytes; send less at once", status=413
                        )
                    parts.append(part)
        except TimeoutError:
            raise RequestError(
                f"the body did not come within {self.settings.timeout:g} s; send it at once",
                status=408,
            ) from None
        return b"".join(parts)

    def _queue(self, loaded: Loaded) -> Engine | Turns:
        return self.turns if loaded.quick else self.engine

    async def _answers(
        self, loaded: Loaded, wishes: Sequence[Wish]
    ) -> list[tuple[Recommendation, Reasons | None]]:
        timeout = self.settings.timeout
        queue = self._queue(loaded)
        try:
            job = queue.submit(loaded.recommender, wishes, timeout=timeout)
        except RequestError:
            self.metrics.refused.labels("queue").inc()
            raise
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.wrap_future(job)  # what is of the loop already stays so
        except TimeoutError:
            self.metrics.refused.labels("timeout").inc()
            raise RequestError(
                f"no answer within {timeout:g} s; ask again in a second", status=503, retry_after=1
            ) from None

    def _at(self, number: int, work: Any, asked: Any) -> Any:
        """`work(asked)`, whose errors name the number of the request."""
        try:
            return work(asked)
        except InputError as error:
            field = getattr(error, "field", None) or field_in(str(error))
            raise RequestError(
                f"requests[{number}]: {error}",
                status=getattr(error, "status", 422),
                field=f"requests[{number}]" + (f".{field}" if field else ""),
            ) from None

    def _writes(self, request: Request) -> None:
        """Who may write.

        Raises:
            RequestError: there is a token, and the request does not have it.
        """
        token = self.settings.token
        if token is None:
            return
        given = request.headers.get("authorization", "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, b"Bearer " + token.encode()):
            raise RequestError(
                "this route needs the token of the server; send Authorization: Bearer TOKEN",
                status=401,
            )

    def _lost(self, error: StateLostError) -> bool:
        self.metrics.degraded.inc()
        self.metrics.state_up.set(0)
        log.warning("live sessions cannot be reached: %s", error)
        return True

    def _json(self, told: object) -> Response:
        return Response(self._encode(told), media_type="application/json")

    # what goes on beside the requests

    async def _watch(self) -> None:
        """Take new versions when they come."""
        while True:
            await asyncio.sleep(self.settings.reload_interval)
            try:
                await asyncio.to_thread(self.served.look)
            except Exception:
                log.exception("looking for new versions failed")

    async def _sweep(self) -> None:
        """Remove what has expired."""
        while True:
            await asyncio.sleep(_SWEEP_EVERY)
            with contextlib.suppress(StateLostError):
                await self.store.sweep()


async def _http_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)
    return of_http_error(error)


def _k(k: int | None, loaded: Loaded) -> int:
    return min(schemas.USUAL_K, len(loaded.recommender.popular)) if k is None else k


def _query(asked: schemas.RecommendRequest, loaded: Loaded) -> Query:
    return Query(
        asked.session,
        _k(asked.k, loaded),
        times=asked.times,
        user=asked.user,
        now=asked.now,
        exclude_seen=asked.exclude_seen,
        allow=asked.allow,
        block=asked.block,
        explain=asked.explain,
    )


def _event_query(asked: schemas.EventRequest, k: int, session: Session, live: str | None) -> Query:
    return Query(
        session.items,
        k,
        times=session.times,
        user=session.user,
        exclude_seen=asked.exclude_seen,
        allow=asked.allow,
        block=asked.block,
        explain=asked.explain,
        live=live,
    )


def _told(
    slot: Slot,
    loaded: Loaded,
    answer: Recommendation,
    why: Reasons | None,
    *,
    titled: Sequence[RawId] | None,
    degraded: bool = False,
) -> schemas.RecommendAnswer:
    """What a client is told; with titles if `titled` is the session, and not None."""
    told = schemas.RecommendAnswer(
        model=slot.name,
        version=loaded.version.name,
        items=answer.items,
        scores=answer.scores,
        from_model=answer.from_model,
        unknown=answer.unknown,
        note=answer.note,
        degraded=degraded,
    )
    if why is not None:
        told.reasons = msgspec.convert(asdict(why), schemas.ReasonsAnswer)
    if titled is not None:
        titles = loaded.items.titles
        told.titles, told.session_titles = titles(told.items), titles(titled)
        for voter in (told.reasons and told.reasons.neighbors) or ():
            voter.titles = titles(voter.items)
    return told


def _model(slot: Slot) -> schemas.ModelAnswer:
    loaded = slot.loaded
    artifact = loaded.recommender.artifact
    model = artifact.model
    return schemas.ModelAnswer(
        name=slot.name,
        model=model.name,
        version=loaded.version.name,
        loaded=loaded.since,
        items=model.n_items,
        titles=loaded.items.titled,
        reads=sorted(model.requires(model.config)),
        config=asdict(model.config),
        trained={name: artifact.trained.get(name) for name in _TRAINED},
        search=loaded.search,
        refused=dict(slot.refused),
        versions=[version.name for version in slot.source.versions()],
    )


def _key(request: Request) -> str:
    """The name of a live session.

    Raises:
        RequestError: it is none.
    """
    key: str = request.path_params["id"]
    if not _SESSION.fullmatch(key):
        raise RequestError(
            "a session's id must be 1 to 128 letters, digits or . _ ~ -; name it otherwise",
            field="id",
        )
    return key
