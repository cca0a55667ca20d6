"""Prefetching in a background thread: order, errors and termination."""

import threading
import time

import pytest

from nextclick.batches.prefetch import prefetch


def loaders():
    return [t for t in threading.enumerate() if t.name == "nextclick-loader"]


def test_yields_the_same_in_the_same_order():
    assert list(prefetch(range(1000))) == list(range(1000))
    assert list(prefetch([])) == []
    assert loaders() == []


def test_an_error_of_the_source_is_raised_after_the_elements_before_it():
    def source():
        yield 1
        yield 2
        raise ValueError("a broken file")

    values = prefetch(source())
    assert [next(values), next(values)] == [1, 2]
    with pytest.raises(ValueError, match="a broken file"):
        next(values)
    assert loaders() == []


def test_the_thread_prefetches_at_most_depth_elements():
    produced = []

    def source():
        for n in range(100):
            produced.append(n)
            yield n

    values = prefetch(source(), depth=2)
    assert next(values) == 0
    deadline = time.monotonic() + 5
    while len(produced) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert produced == [0, 1, 2, 3]  # one is yielded, two are queued, one waits for space
    values.close()
    assert loaders() == []


def test_an_error_of_the_caller_ends_the_thread():
    def caller():
        for value in prefetch(range(100)):
            if value == 3:
                raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        caller()
    deadline = time.monotonic() + 5
    while loaders() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert loaders() == []
