import threading

import pytest

from nextclick.core import hardware as runtime
from nextclick.core.hardware import map_blocks


def test_blocks_come_back_in_order():
    assert map_blocks(lambda a, b: (a, b), [0, 3, 5, 9]) == [(0, 3), (3, 5), (5, 9)]


def test_one_block_is_worked_off_by_the_calling_thread():
    assert map_blocks(lambda _a, _b: threading.get_ident(), [0, 3]) == [threading.get_ident()]


@pytest.mark.parametrize("cpus", [1, 2])
def test_progress_is_told_of_each_block(cpus, monkeypatch):
    monkeypatch.setattr(runtime, "cpus", lambda: cpus)
    told = []
    map_blocks(lambda a, b: a + b, [0, 1, 2], stage="x", progress=lambda *call: told.append(call))
    assert told == [("x", 1, 2), ("x", 2, 2)]


def test_a_fault_in_a_block_is_raised():
    with pytest.raises(ZeroDivisionError):
        map_blocks(lambda a, _b: 1 // a, [0, 1, 2])


def test_there_is_at_least_one_processor():
    assert runtime.cpus() >= 1
