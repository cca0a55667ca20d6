"""Requests, encoded before they are due."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.loadtest.config import WorkConfig, checked_work

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextclick.loadtest.ask import Server
    from nextclick.loadtest.visits import Visit

_ENCODED = 20_000  # requests that are kept and sent again and again


class Work:
    """What to ask, as an endless row of requests.

    Args:
        visits: sessions, used in their order, then from the first one again.
        config: what is asked of them.
        seed: draws where prefixes end.

    Raises:
        ConfigError: a value of the config is out of its range.
    """

    def __init__(self, visits: Sequence[Visit], config: WorkConfig, seed: int = 0):
        self.config = checked_work(config)
        self.visits = visits
        self._seed = seed

    def requests(self, server: Server, rate: float) -> Iterator[bytes]:
        """Encoded requests to a server, without end. Live sessions have new names each time.

        Args:
            server: whom they address.
            rate: requests a second; so many live sessions click in turns that each of them clicks
                every `think` seconds.
        """
        if self.config.mode == "events":
            return self._events(server, max(1, round(rate * self.config.think)))
        return self._prefixes(server)

    def _prefixes(self, server: Server) -> Iterator[bytes]:
        rng = np.random.default_rng(self._seed)
        size = self.config.batch_size if self.config.mode == "batch" else 1
        path = "/v1/recommend/batch" if self.config.mode == "batch" else "/v1/recommend"
        n_requests = min(_ENCODED, max(1, len(self.visits) // size))
        encoded = []
        for n in range(n_requests):
            chosen = [self.visits[(n * size + j) % len(self.visits)] for j in range(size)]
            asked = [self._prefix(visit, int(rng.integers(len(visit.items)))) for visit in chosen]
            value = {"requests": asked} if self.config.mode == "batch" else asked[0]
            encoded.append(server.address.request(path, _body(value), server.token))
        while True:
            yield from encoded

    def _prefix(self, visit: Visit, last: int) -> dict[str, Any]:
        """The clicks up to number `last`, as the request of a session."""
        asked: dict[str, Any] = {"session": list(visit.items[: last + 1]), "k": self.config.k}
        if visit.times is not None:
            asked["times"] = list(visit.times[: last + 1])
        return asked | self._also(visit)

    def _also(self, visit: Visit) -> dict[str, Any]:
        also: dict[str, Any] = {}
        if visit.user is not None:
            also["user"] = visit.user
        if self.config.model is not None:
            also["model"] = self.config.model
        return also

    def _events(self, server: Server, n_live: int) -> Iterator[bytes]:
        """Clicks of live sessions in turns; where one ends the next one begins.

        Clicks carry no time: the server's clock counts, as for a visitor.
        """
        run, begun = secrets.token_hex(4), 0
        path = f"/v1/sessions/{run}/events"
        before, after = server.address.head(path, True, server.token).split(run.encode())
        encoded: dict[tuple[Any, ...], bytes] = {}
        # its name, its visit, the number of its next click
        live: list[tuple[bytes, Visit, int] | None] = [None] * n_live
        while True:
            for at, held in enumerate(live):
                if held is None:
                    visit = self.visits[begun % len(self.visits)]
                    name, n = f"loadtest-{run}-{begun}".encode(), 0
                    begun += 1
                else:
                    name, visit, n = held
                key = (visit.items[n], visit.user)
                click = encoded.get(key)
                if click is None:
                    body = _body({"item": visit.items[n], "k": self.config.k} | self._also(visit))
                    click = encoded[key] = b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
                yield b"".join((before, name, after, click))
                live[at] = (name, visit, n + 1) if n + 1 < len(visit.items) else None


def _body(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
