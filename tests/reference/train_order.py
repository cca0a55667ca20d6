"""Training pairs and lanes, one click at a time: slow version of nextclick.batches."""

from itertools import pairwise


def pairs(sessions):
    """(input, target) for every click of each session but the first."""
    return [(a, b) for s in sessions for a, b in pairwise(s)]


def lanes(sessions, n_lanes, at_least=1):
    """Steps of session-parallel lanes: (input, target, starts) for each lane."""
    queue = [list(s) for s in sessions if len(s) >= 2]
    lane_clicks = [[] for _ in range(n_lanes)]
    steps = []
    while True:
        step = []
        for lane in range(n_lanes):
            starts = len(lane_clicks[lane]) < 2 and bool(queue)
            if starts:
                lane_clicks[lane] = queue.pop(0)
            if len(lane_clicks[lane]) >= 2:
                step.append((lane_clicks[lane][0], lane_clicks[lane][1], starts))
                lane_clicks[lane] = lane_clicks[lane][1:]
            else:
                step.append((0, 0, False))
        if sum(target > 0 for _, target, _ in step) < at_least:
            return steps
        steps.append(step)
