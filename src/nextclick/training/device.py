"""Device, precision, number of threads, and random seed of a training run."""

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

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_UNLIMITED = 1 << 16  # processors


def choose_device(name: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`; auto is cuda if PyTorch sees a CUDA device.

    Raises:
        ConfigError: another name, or cuda without a CUDA device.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device must be auto, cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device cuda: PyTorch sees no CUDA device; use cpu, or install a build of PyTorch "
            "that matches the driver"
        )
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def check_precision(precision: str, device: torch.device) -> None:
    """Reject bf16 on a device that emulates it.

    Raises:
        ConfigError: the device has no bf16 arithmetic.
    """
    if precision == "bf16" and not has_bf16(device):
        raise ConfigError(
            f"precision bf16: this {device.type} has no bf16 arithmetic, and emulating it is "
            "slower than float32; set precision=float32"
        )


def choose_precision(precision: str, device: torch.device) -> str:
    """The precision for `auto`: bf16-products on a CPU with AMX, else float32."""
    if precision != "auto":
        return precision
    return "bf16-products" if device.type == "cpu" and has_amx() else "float32"


def has_amx() -> bool:
    """Whether the CPU multiplies bf16 matrices in hardware (Intel AMX)."""
    is_supported = getattr(torch.cpu, "_is_amx_tile_supported", None)  # since PyTorch 2.4
    return is_supported is not None and bool(is_supported())


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Within this block, round the inputs of float32 products to bf16 for "bf16-products"."""
    if precision != "bf16-products":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def has_bf16(device: torch.device) -> bool:
    """Whether the device has bf16 arithmetic, not an emulation of it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def thread_count(threads: int, products: int) -> int:
    """Number of threads: `threads`, or for 0 as many as a step keeps busy.

    The limit is the number of processors available to the process and to its container. The
    default for 0 is also limited by PyTorch's number of threads, which follows OMP_NUM_THREADS and
    counts physical cores. A small step consists of operations too short for more than one thread:
    on two idle processors GRU4Rec with 32 lanes is no faster on two threads than on one, and beside
    another busy process it is fifteen times slower.

    Args:
        threads: number of threads, or 0.
        products: multiplications of queries and candidates in a step.

    Raises:
        ConfigError: `threads` exceeds the number of available processors.
    """
    available = min(cpus(), _container_cpus(_CPU_QUOTA))
    if threads > available:
        raise ConfigError(
            f"threads must be in 0..{available}, the number of available processors; got {threads}"
        )
    busy = max(products // PRODUCTS_PER_THREAD, 1)
    return threads or min(available, torch.get_num_threads(), busy)


def _container_cpus(quota_file: Path) -> int:
    """Processors that the quota of the container allows, rounded up."""
    try:
        quota, period = quota_file.read_text().split()
        return max(math.ceil(int(quota) / int(period)), 1)
    except (OSError, ValueError):  # no such file, or "max"
        return _UNLIMITED


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch in this block, and restore its random state afterwards."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
