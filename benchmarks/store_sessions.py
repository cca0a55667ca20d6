"""Sessions of a store on raw ids, and the requests that a client of a server makes of them."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.sessions import MS_PER_SECOND
from nextclick.data.store import Store
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nextclick.core.types import RawId

_MAX_SESSIONS = 20_000
_MAX_CLICKS = 1000  # the server's limit
Request = tuple[str, bytes]  # path and JSON body of a POST


@dataclass(frozen=True, slots=True)
class RawSession:
    """A session on raw ids.

    Attributes:
        items: the clicked items, in order; at least one.
        times: seconds since the epoch of each click, or None.
        user: raw id of the user, or None.
    """

    items: Sequence[RawId]
    times: Sequence[float] | None = None
    user: RawId | None = None


def sessions_of_store(
    store: Store | str | Path, part: str = "test", *, seed: int = 0, limit: int = _MAX_SESSIONS
) -> list[RawSession]:
    """Read sessions of a store in random order, with times and users where the store has them.

    Clicks on items that are not in the training part have no raw id and are left out.

    Raises:
        StoreError: the folder is not a store.
        ConfigError: the store has no such part, or the part has no click on a known item.
    """
    opened = store if isinstance(store, Store) else Store.open(store)
    sessions = opened.part(part)
    order = np.random.default_rng(seed).permutation(len(sessions))[:limit]
    raw_sessions = []
    for s in order.tolist():
        first, last = int(sessions.offsets[s]), int(sessions.offsets[s + 1])
        known = [at for at in range(max(first, last - _MAX_CLICKS), last) if sessions.items[at]]
        if not known:
            continue
        times = user = None
        if sessions.times is not None:
            times = [int(sessions.times[at]) / MS_PER_SECOND for at in known]
        if sessions.users is not None and opened.users is not None and sessions.users[s]:
            user = opened.users.raw(int(sessions.users[s]))
        raw_sessions.append(RawSession(opened.items.raw_ids(sessions.items[known]), times, user))
    if not raw_sessions:
        raise ConfigError(
            f"{opened.path}: the {part} part has no click on a known item; use another part"
        )
    return raw_sessions


def prefix_requests(sessions: Sequence[RawSession], k: int, seed: int = 0) -> Iterator[Request]:
    """Whole sessions up to a random click, without end."""
    rng = np.random.default_rng(seed)
    while True:
        for session in sessions:
            n_clicks = int(rng.integers(len(session.items))) + 1
            body: dict[str, Any] = {"session": list(session.items[:n_clicks]), "k": k}
            if session.times is not None:
                body["times"] = list(session.times[:n_clicks])
            yield "/v1/recommend", _json(body, session)


def click_requests(sessions: Sequence[RawSession], k: int, n_live: int) -> Iterator[Request]:
    """Clicks of `n_live` live sessions in turns, without end; a finished one is replaced."""
    prefix, started = secrets.token_hex(4), 0

    def start() -> Iterator[Request]:
        nonlocal started
        session, name = sessions[started % len(sessions)], f"{prefix}-{started}"
        started += 1
        for item in session.items:
            yield f"/v1/sessions/{name}/events", _json({"item": item, "k": k}, session)

    live = [start() for _ in range(max(1, n_live))]
    while True:
        for at, clicks in enumerate(live):
            request = next(clicks, None)
            if request is None:
                live[at] = start()
                request = next(live[at])
            yield request


def workload(
    mode: str, sessions: Sequence[RawSession], k: int = 20, think: float = 1.0
) -> Callable[[float], Iterator[Request]]:
    """The requests of a mode ("recommend" or "events") as a function of the rate.

    Raises:
        ValueError: the mode is another one.
    """
    if mode == "recommend":
        return lambda _: prefix_requests(sessions, k)
    if mode == "events":
        return lambda rate: click_requests(sessions, k, round(rate * think))
    raise ValueError(f"mode must be recommend or events, got {mode!r}")


def _json(body: dict[str, Any], session: RawSession) -> bytes:
    if session.user is not None:
        body["user"] = session.user
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
