"""Rows and lanes, a click at a time."""

from itertools import pairwise


def pairs(sessions):
    """(input, target) of every click but the first of each session."""
    return [(a, b) for s in sessions for a, b in pairwise(s)]


def lanes(sessions, n_lanes, at_least=1):
    """Steps of session-parallel lanes: each a list of (input, target, starts) for each lane."""
    waiting = [list(s) for s in sessions if len(s) >= 2]
    held = [[] for _ in range(n_lanes)]
    steps = []
    while True:
        step = []
        for lane in range(n_lanes):
            starts = len(held[lane]) < 2 and bool(waiting)
            if starts:
                held[lane] = waiting.pop(0)
            if len(held[lane]) >= 2:
                step.append((held[lane][0], held[lane][1], starts))
                held[lane] = held[lane][1:]
            else:
                step.append((0, 0, False))
        if sum(target > 0 for _, target, _ in step) < at_least:
            return steps
        steps.append(step)
