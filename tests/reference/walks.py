"""Simple references of LGSR's item graph, random walks, skip-gram pairs and their loss."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15


def edges(sessions):
    """{i: {j: number of transitions from i to j}}."""
    followers = {}
    for session in sessions:
        for i, j in pairwise(session):
            if i != j and 0 not in (i, j):
                followers.setdefault(i, Counter())[j] += 1
    return followers


def mixed(state):
    """The output of SplitMix64 for a state."""
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def walk(graph, item, number, length, seed):
    """The items of one random walk."""
    state = mixed(mixed((seed + _GOLDEN) & _MASK) ^ ((number << 32) | item))
    items = [item]
    while len(items) < length and items[-1] in graph:
        followers = sorted(graph[items[-1]].items())
        state = (state + _GOLDEN) & _MASK
        drawn = ((mixed(state) >> 32) * sum(n for _, n in followers)) >> 32
        for follower, n in followers:
            if drawn < n:
                items.append(follower)
                break
            drawn -= n
    return items


def pairs(walk, window):
    """All (center, context) of a walk."""
    return [
        (walk[p], walk[q])
        for p in range(len(walk))
        for q in range(len(walk))
        if p != q and abs(p - q) <= window
    ]


def skip_gram_loss(pairs, negatives, score):
    """The mean loss over (center, context) pairs; `score(i, j)` is the score of a pair."""
    total = 0.0
    for i, c in pairs:
        total += math.log1p(math.exp(-score(i, c)))
        total += sum(math.log1p(math.exp(score(i, j))) for j in negatives if j != c)
    return total / len(pairs)
