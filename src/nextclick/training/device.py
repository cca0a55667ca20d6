"""Where arithmetic runs, how precisely, and on how many threads."""

from __future__ import annotations

import math
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from nextclick.core.hardware import cpus
from nextclick.errors import ConfigError
from nextclick.models.ops.torch_threads import PRODUCTS_PER_THREAD

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def choose_device(name: str) -> torch.device:
    """The device of `auto`, `cpu` or `cuda`; auto is cuda where there is one.

    Raises:
        ConfigError: another name, or cuda where there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device must be auto, cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device cuda: PyTorch sees no CUDA device here; say cpu, or install a build of "
            "PyTorch for the driver of this machine"
        )
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse bf16 where the device would only imitate it.

    Raises:
        ConfigError: the device has no bf16.
    """
    if precision == "bf16" and not has_bf16(device):
        raise ConfigError(
            f"precision bf16: this {device.type} does not compute in bf16 itself, so that it "
            "would be slower than float32; set precision=float32"
        )


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 numbers itself."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def thread_count(asked: int, products: int) -> int:
    """How many threads to compute on: `asked`, or as many as a step keeps busy.

    Never more than the processors that the process may run on, the share of them that its
    container is granted, and, unless asked for, what PyTorch would take (which knows
    OMP_NUM_THREADS, and counts cores, not their halves). A step of few products goes through
    operations too short to be shared: on two idle processors GRU4Rec with 32 lanes is no faster
    on two threads than on one, and beside another busy process fifteen times slower.

    Args:
        asked: as many, or 0.
        products: multiplications of queries and candidates in a step.

    Raises:
        ConfigError: more are asked for than there are.
    """
    most = min(cpus(), _granted(_QUOTA))
    if asked > most:
        raise ConfigError(f"threads must be in 0..{most}, the processors there are; got {asked}")
    return asked or min(most, torch.get_num_threads(), max(products // PRODUCTS_PER_THREAD, 1))


def _granted(quota: Path) -> int:
    """Processors that a container may keep busy, rounded up; very many without a limit."""
    try:
        granted, period = quota.read_text().split()
        return max(math.ceil(int(granted) / int(period)), 1)
    except (OSError, ValueError):  # no such file, or "max"
        return 1 << 16


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from `seed` in this block, and go on as before afterwards."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
