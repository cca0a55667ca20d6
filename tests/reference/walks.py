"""LGSR's graph, walks and pairs, one at a time; the loss of pairs, one negative after the other."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15


def edges(sessions):
    """{i: {j: how often j was clicked right after i}}."""
    found = {}
    for session in sessions:
        for i, j in pairwise(session):
            if i != j and 0 not in (i, j):
                found.setdefault(i, Counter())[j] += 1
    return found


def mixed(state):
    """SplitMix64's output."""
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def walk(graph, item, number, length, seed):
    """One walk."""
    state = mixed(mixed((seed + _GOLDEN) & _MASK) ^ ((number << 32) | item))
    found = [item]
    while len(found) < length and found[-1] in graph:
        followers = sorted(graph[found[-1]].items())
        state = (state + _GOLDEN) & _MASK
        drawn = ((mixed(state) >> 32) * sum(n for _, n in followers)) >> 32
        for follower, n in followers:
            if drawn < n:
                found.append(follower)
                break
            drawn -= n
    return found


def pairs(walk, window):
    """All (center, context) of a walk."""
    return [
        (walk[p], walk[q])
        for p in range(len(walk))
        for q in range(len(walk))
        if p != q and abs(p - q) <= window
    ]


def skip_gram_loss(found, negatives, score):
    """Mean over pairs; `score(i, j)` is that of a pair."""
    total = 0.0
    for i, c in found:
        total += math.log1p(math.exp(-score(i, c)))
        total += sum(math.log1p(math.exp(score(i, j))) for j in negatives if j != c)
    return total / len(found)
