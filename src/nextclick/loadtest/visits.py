"""Sessions to ask with: real ones of a store, or drawn from what a server sells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.sessions import MS_PER_SECOND
from nextclick.data.store import Store
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nextclick.core.types import RawId
    from nextclick.loadtest.ask import Server

_MOST = 20_000  # sessions
_MOST_CLICKS = 1000  # a server takes no longer session
_MEAN_CLICKS = 5
_LISTED = 100  # items that a server tells at once


@dataclass(frozen=True, slots=True)
class Visit:
    """A session on raw ids.

    Attributes:
        items: what was clicked, in order; never empty.
        times: seconds of each click, or None.
        user: who clicked, or None.
    """

    items: Sequence[RawId]
    times: Sequence[float] | None = None
    user: RawId | None = None


def from_store(
    store: Store | str | Path, part: str = "test", *, seed: int = 0, most: int = _MOST
) -> list[Visit]:
    """Sessions of a store, in random order, with their times and users where it has them.

    Clicks on items that training never saw have no raw id there and are left out.

    Raises:
        StoreError: it cannot be read.
        ConfigError: there is no such part, or no click on a known item in it.
    """
    opened = store if isinstance(store, Store) else Store.open(store)
    sessions = opened.part(part)
    order = np.random.default_rng(seed).permutation(len(sessions))[:most]
    found = []
    for s in order.tolist():
        first, last = int(sessions.offsets[s]), int(sessions.offsets[s + 1])
        known = [at for at in range(max(first, last - _MOST_CLICKS), last) if sessions.items[at]]
        if not known:
            continue
        times = user = None
        if sessions.times is not None:
            times = [int(sessions.times[at]) / MS_PER_SECOND for at in known]
        if sessions.users is not None and opened.users is not None and sessions.users[s]:
            user = opened.users.raw(int(sessions.users[s]))
        found.append(Visit(opened.items.raws(sessions.items[known]), times, user))
    if not found:
        raise ConfigError(
            f"{opened.path}: the {part} part has no click on a known item; name another --part"
        )
    return found


def simulated(
    server: Server, *, model: str | None = None, seed: int = 0, most: int = _MOST
) -> list[Visit]:
    """Sessions of 1 to 1,000 clicks, 5 on average, on the items that a server names first.

    Those are its 100 most clicked items, each drawn as often as it was clicked. Nothing connects
    the clicks of a session, and no rare item occurs: for figures to rely on use `from_store`.

    Raises:
        ConfigError: the server names no items.
    """
    asked = f"/v1/items?limit={_LISTED}" + (f"&model={model}" if model else "")
    answer = server.get(asked)
    items, clicks = _listed(answer)
    if not items:
        raise ConfigError(
            f"{server.address.shown}{asked} names no items to click on; give real sessions "
            "with --store"
        )
    rng = np.random.default_rng(seed)
    share = np.maximum(np.array(clicks, dtype=np.float64), 1)
    lengths = np.minimum(rng.geometric(1 / _MEAN_CLICKS, most), _MOST_CLICKS)
    drawn = rng.choice(len(items), lengths.sum(), p=share / share.sum())
    return [Visit([items[i] for i in part]) for part in np.split(drawn, np.cumsum(lengths)[:-1])]


def _listed(answer: object) -> tuple[list[RawId], list[float]]:
    if not isinstance(answer, dict):
        return [], []
    items, clicks = answer.get("items"), answer.get("clicks")
    if not isinstance(items, list):
        return [], []
    fits = isinstance(clicks, list) and len(clicks) == len(items)
    return items, clicks if fits and isinstance(clicks, list) else [1] * len(items)
