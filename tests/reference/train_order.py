"""Simple references of the training samples and of session-parallel lanes, click by click."""

from itertools import pairwise


def pairs(sessions):
    """(input, target) of every click except the first of each session."""
    return [(a, b) for s in sessions for a, b in pairwise(s)]


def lanes(sessions, n_lanes, min_active_lanes=1):
    """The steps of session-parallel lanes, each a list of (input, target, starts) by lane."""
    waiting = [list(s) for s in sessions if len(s) >= 2]
    current = [[] for _ in range(n_lanes)]
    steps = []
    while True:
        step = []
        for lane in range(n_lanes):
            starts = len(current[lane]) < 2 and bool(waiting)
            if starts:
                current[lane] = waiting.pop(0)
            if len(current[lane]) >= 2:
                step.append((current[lane][0], current[lane][1], starts))
                current[lane] = current[lane][1:]
            else:
                step.append((0, 0, False))
        if sum(target > 0 for _, target, _ in step) < min_active_lanes:
            return steps
        steps.append(step)
