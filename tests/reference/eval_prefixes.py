"""A simple reference of nextclick.batches.prefixes: the samples of a log in nested loops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions


@dataclass(frozen=True)
class Sample:
    items: list[int]
    gaps: list[float] | None
    user: int | None
    target: int
    session: int
    position: int


def samples(sessions: Sessions, mode: str, max_length: int | None) -> list[Sample]:
    result = []
    for s in range(len(sessions)):
        start, stop = int(sessions.offsets[s]), int(sessions.offsets[s + 1])
        n = stop - start
        for position in range(1, n):
            if mode == "last" and position != n - 1:
                continue
            known = [e for e in range(start, start + position) if sessions.items[e] != 0]
            if max_length is not None:
                known = known[-max_length:]
            gaps = None
            if sessions.times is not None:
                times = [int(sessions.times[e]) for e in known]
                gaps = [0.0] * len(times)
                for i in range(1, len(times)):
                    gaps[i] = (times[i] - times[i - 1]) / 1000
            result.append(
                Sample(
                    items=[int(sessions.items[e]) for e in known],
                    gaps=gaps,
                    user=None if sessions.users is None else int(sessions.users[s]),
                    target=int(sessions.items[start + position]),
                    session=s,
                    position=position,
                )
            )
    return result
