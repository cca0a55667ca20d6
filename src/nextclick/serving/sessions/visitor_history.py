"""The earlier sessions of visitors, for models that read them.

They are in a session store of their own, whose entries live longer than live sessions. It has two
kinds of lists: `visitor:USER` has the ids of the latest sessions of a visitor, `clicks:SESSION` the
latest clicks of a session. So a session can be deleted by its id alone.

Leakage guarantee: a session is earlier than another one of the same visitor if its last stored
click precedes the first click of the other. The clicks of a session are not earlier than itself.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from nextclick.core.session_history import MAX_EARLIER_CLICKS
from nextclick.serving.sessions.session_store import Click, Session, StoreLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nextclick.core.types import RawId
    from nextclick.serving.sessions.session_store import SessionStore

EARLIER_SESSIONS = 10
"""The number of latest earlier sessions that are stored of a visitor."""


def history_limits(live: StoreLimits, seconds: float) -> StoreLimits:
    """The retention of earlier sessions, each `seconds` after its last click.

    The number of entries and of megabytes is that of the live sessions.
    """
    return StoreLimits(seconds, MAX_EARLIER_CLICKS, live.sessions, live.megabytes)


class PastSession(NamedTuple):
    """A session that a visitor has ended.

    Attributes:
        items: raw ids of its latest clicks in click order.
        times: of these clicks, in seconds.
    """

    items: list[RawId]
    times: list[float]

    @property
    def end(self) -> float:
        """The time of its last click."""
        return self.times[-1]


@dataclass(frozen=True, slots=True)
class VisitorHistory:
    """Stores and finds the earlier sessions of visitors. Calls may raise `SessionStoreError`.

    Attributes:
        store: of both kinds of lists.
        clock: seconds since 1970.
    """

    store: SessionStore
    clock: Callable[[], float] = time.time

    async def record(self, session_id: str, session: Session) -> list[PastSession]:
        """Store the last click of a live session; returns the earlier sessions of its visitor.

        If the session is new in the history of the visitor, all its clicks are stored, so that a
        visitor may be named after the first click.

        Args:
            session_id: its id.
            session: its clicks; one of them names the visitor.
        """
        user = session.user
        assert user is not None
        ids = await self._session_ids(user)
        added = session_id not in ids
        if added:
            for outdated in ids[-EARLIER_SESSIONS - 1 : -EARLIER_SESSIONS]:
                await self.store.delete(_clicks(outdated))
            ids = [*ids[-EARLIER_SESSIONS:], session_id]
        clicks = list(zip(session.items, session.times, strict=True))
        for n, (item, seconds) in enumerate(clicks if added else clicks[-1:]):
            starts = n == 0 and (added or len(clicks) == 1)
            await self.store.append(_clicks(session_id), Click(item, seconds, user, starts))
        if added:
            await self.store.append(_visitor(user), Click(session_id, self.clock()))
        return await self._past_sessions(user, ids, session.times[0], session_id)

    async def before(self, user: RawId, start: float) -> list[PastSession]:
        """The sessions of a visitor that ended before a session that starts at `start`."""
        return await self._past_sessions(user, await self._session_ids(user), start)

    async def delete_session(self, session_id: str) -> bool:
        """Delete the clicks of a session; True if there were any."""
        return await self.store.delete(_clicks(session_id))

    async def delete_visitor(self, user: RawId) -> list[str] | None:
        """Delete the sessions of a visitor; returns their ids, None without a history."""
        ids = await self._session_ids(user)
        for one in ids:
            await self.store.delete(_clicks(one))
        return ids if await self.store.delete(_visitor(user)) else None

    async def _session_ids(self, user: RawId) -> list[str]:
        """The ids of the latest sessions of a visitor, the latest last."""
        stored = await self.store.get(_visitor(user))
        ids = [] if stored is None else [str(item) for item in stored.items]
        return list(dict.fromkeys(reversed(ids)))[::-1]

    async def _past_sessions(
        self, user: RawId, ids: Iterable[str], start: float, current: str | None = None
    ) -> list[PastSession]:
        """The latest sessions that ended before `start`, the oldest first.

        Only clicks as this user are read. The last session with the id `current` is left out.
        """
        keys = list(ids)[-EARLIER_SESSIONS - 1 :]
        found = await self.store.get_many([_clicks(one) for one in keys])
        past = []
        for session_id, session in zip(keys, found, strict=True):
            sessions = [] if session is None else _sessions_of(session)
            for clicks in sessions[:-1] if session_id == current else sessions:
                own = [click for click in clicks if str(click.user) == str(user)]
                if own:
                    times = list(accumulate((click.time for click in own), max))
                    past.append(PastSession([click.item for click in own], times))
        ended = sorted((one for one in past if one.end < start), key=lambda one: one.end)
        return ended[-EARLIER_SESSIONS:]


def _sessions_of(stored: Session) -> list[list[Click]]:
    """The clicks stored under an id, by session: an id may be used again."""
    sessions: list[list[Click]] = []
    for click in stored.clicks:
        if click.starts or not sessions:
            sessions.append([])
        sessions[-1].append(click)
    return sessions


def _visitor(user: RawId) -> str:
    return f"visitor:{user}"


def _clicks(session_id: str) -> str:
    return f"clicks:{session_id}"
