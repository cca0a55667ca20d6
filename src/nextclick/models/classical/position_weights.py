"""Weights that decrease with the distance between clicks, named as in the session-based kNN papers.

| name | step n = 1, 2, … away from the last click | position p of L clicks, at distance d = L - p |
|-|-|-|
| same | 1 | 1 |
| div | 1 / n | p / L |
| linear | max(0, 1 - 0.1 n) | max(0, 1 - 0.1 d) |
| log | 1 / log10(n + 1.7) | 1 / log10(d + 1.7) |
| quadratic | 1 / n² | (p / L)² |

Ludewig & Jannach, Evaluation of Session-based Recommendation Algorithms, UMUAI 2018; the constants
of `linear` and `log` are those of their published code. In that code `linear` becomes negative
after ten steps, and is disabled for clicks *after the tenth of the session* instead of those more
than ten clicks before its end. Here it is 0 from the tenth step on.
"""

from __future__ import annotations

from math import log10
from typing import Literal, TypeAlias

Weighting: TypeAlias = Literal["same", "div", "linear", "log", "quadratic"]

SAME, DIV, LINEAR, LOG, QUADRATIC = range(5)
CODES: dict[str, int] = {
    "same": SAME,
    "div": DIV,
    "linear": LINEAR,
    "log": LOG,
    "quadratic": QUADRATIC,
}


def step_weight(code: int, step: int) -> float:
    """Weight at a distance of `step` >= 1 steps; 1 is the adjacent click."""
    if code == DIV:
        return 1.0 / step
    if code == LINEAR:
        return max(0.0, 1.0 - 0.1 * step)
    if code == LOG:
        return 1.0 / log10(step + 1.7)
    if code == QUADRATIC:
        return 1.0 / (step * step)
    return 1.0


def position_weight(code: int, position: int, length: int) -> float:
    """Weight of the click at `position` in 1..length of a session."""
    if code == DIV:
        return position / length
    if code == LINEAR:
        return max(0.0, 1.0 - 0.1 * (length - position))
    if code == LOG:
        return 1.0 / log10(length - position + 1.7)
    if code == QUADRATIC:
        return (position / length) * (position / length)
    return 1.0
