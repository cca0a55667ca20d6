"""The thread that works ahead: order, errors, and that it ends."""

import threading
import time

import pytest

from nextclick.batches.prefetch import prefetched


def loaders():
    return [t for t in threading.enumerate() if t.name == "nextclick-loader"]


def test_yields_the_same_in_the_same_order():
    assert list(prefetched(range(1000))) == list(range(1000))
    assert list(prefetched([])) == []
    assert loaders() == []


def test_an_error_of_the_source_comes_after_what_came_before_it():
    def source():
        yield 1
        yield 2
        raise ValueError("a broken file")

    values = prefetched(source())
    assert [next(values), next(values)] == [1, 2]
    with pytest.raises(ValueError, match="a broken file"):
        next(values)
    assert loaders() == []


def test_the_thread_works_ahead_but_no_further_than_asked():
    taken = []

    def source():
        for n in range(100):
            taken.append(n)
            yield n

    values = prefetched(source(), depth=2)
    assert next(values) == 0
    until = time.monotonic() + 5
    while len(taken) < 4 and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.05)
    assert taken == [0, 1, 2, 3]  # one is yielded, two lie ready, one waits for room
    values.close()
    assert loaders() == []


def test_an_error_of_the_caller_ends_the_thread():
    def caller():
        for value in prefetched(range(100)):
            if value == 3:
                raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        caller()
    until = time.monotonic() + 5
    while loaders() and time.monotonic() < until:
        time.sleep(0.01)
    assert loaders() == []
