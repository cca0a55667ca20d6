"""Thresholds of glibc are raised during a training, and set back after it."""

import subprocess
import sys

import pytest

from nextclick.training import memory_reuse
from nextclick.training.memory_reuse import reuse_freed_memory


class RecordedLibrary:
    def __init__(self):
        self.calls = []

    def mallopt(self, parameter, value):
        self.calls.append((parameter, value))
        return 1

    def malloc_trim(self, pad):
        self.calls.append(("trim", pad))
        return 1


def test_thresholds_within_a_block_and_after_an_error(monkeypatch):
    library = RecordedLibrary()
    monkeypatch.setattr(memory_reuse, "_glibc", lambda: library)

    @reuse_freed_memory()
    def failing():
        assert library.calls == [(-1, 2**31 - 1), (-3, 2**30)]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert library.calls[2:] == [(-1, 2**26), (-3, 2**25), ("trim", 0)]


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with reuse_freed_memory():
        assert memory_reuse._glibc() is None


FAULTS = """
import resource, torch
from nextclick.training.memory_reuse import reuse_freed_memory

def faults_of_twenty_allocations():
    torch.ones(1 << 24)  # 64 MB, above every usual threshold
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(1 << 24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = faults_of_twenty_allocations()
with reuse_freed_memory():
    print(usual, faults_of_twenty_allocations())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_freed_memory_stays_in_the_process():
    if memory_reuse._glibc() is None:
        pytest.skip("needs glibc")
    # in a process of its own: a heap with gaps from earlier tests serves it without faults
    printed = subprocess.run(
        [sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True
    ).stdout
    usual, reused = map(int, printed.split())
    assert reused < 0.5 * usual
