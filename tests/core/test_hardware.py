import threading

import pytest

from nextclick.core import hardware
from nextclick.core.hardware import map_blocks


def test_results_are_in_the_order_of_the_blocks():
    assert map_blocks(lambda a, b: (a, b), [0, 3, 5, 9]) == [(0, 3), (3, 5), (5, 9)]


def test_a_single_block_runs_in_the_calling_thread():
    assert map_blocks(lambda _a, _b: threading.get_ident(), [0, 3]) == [threading.get_ident()]


@pytest.mark.parametrize("cpus", [1, 2])
def test_progress_is_reported_for_each_block(cpus, monkeypatch):
    monkeypatch.setattr(hardware, "cpus", lambda: cpus)
    calls = []
    map_blocks(lambda a, b: a + b, [0, 1, 2], stage="x", progress=lambda *call: calls.append(call))
    assert calls == [("x", 1, 2), ("x", 2, 2)]


def test_an_error_in_a_block_is_raised():
    with pytest.raises(ZeroDivisionError):
        map_blocks(lambda a, _b: 1 // a, [0, 1, 2])


def test_there_is_at_least_one_processor():
    assert hardware.cpus() >= 1
