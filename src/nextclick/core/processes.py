"""The processes of one run that torchrun started, and what they exchange.

Each process has a number, its rank, from 0. Process 0 writes files and messages. All processes call
the methods of `Processes` in the same order. PyTorch is imported only if there are several.
"""

from __future__ import annotations

import atexit
import os
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from nextclick.core.process_round import store_of_this_start
from nextclick.errors import ConfigError, NextclickError, ProcessError, ReportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

TIMEOUT = "NEXTCLICK_PROCESS_TIMEOUT"  # environment variable, in seconds
_DEFAULT_TIMEOUT = 600  # longer than process 0 writes a checkpoint or an artifact
_NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT")


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among all processes of a run.

    Attributes:
        rank: number of this process.
        size: number of processes.
        local_rank: number of this process among those of its machine.
        on_host: number of processes on its machine.
        restarts: how often torchrun has restarted the processes.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    on_host: int = 1
    restarts: int = 0

    @property
    def are_several(self) -> bool:
        """Whether there are other processes."""
        return self.size > 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in the order of their ranks; values are pickled."""
        if not self.are_several:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.size
        with self.exchange():
            dist.all_gather_object(values, value)
        return values

    def from_first(self, value: T) -> T:
        """The value of process 0."""
        if not self.are_several:
            return value
        import torch.distributed as dist

        values = [value if self.is_first else None]
        with self.exchange():
            dist.broadcast_object_list(values, src=0)
        received: T = cast("T", values[0])
        return value if self.is_first else received

    def on_first(self, work: Callable[[], T]) -> T:
        """The result of a function that process 0 alone calls.

        Raises:
            NextclickError: the error of the function; `ReportedError` in the other processes.
        """
        if not self.are_several:
            return work()
        result: T | None = None
        error: NextclickError | None = None
        if self.is_first:
            try:
                result = work()
            except NextclickError as raised:
                error = raised
        failed, received = self.from_first((None if error is None else str(error), result))
        if error is not None:
            raise error
        if failed is not None:
            raise ReportedError(f"process 0 reports: {failed}")
        return cast("T", result if self.is_first else received)

    def agree(self, work: Callable[[], T]) -> T:
        """The result of a function that every process calls, if none of them fails.

        Raises:
            NextclickError: the function failed in this process, and it is process 0.
            ProcessError: it failed in another process.
        """
        if not self.are_several:
            return work()
        result: T | None = None
        error: NextclickError | None = None
        try:
            result = work()
        except NextclickError as raised:
            error = raised
        reports = self.gather(None if error is None else (socket.gethostname(), str(error)))
        failed = next((rank for rank, report in enumerate(reports) if report is not None), None)
        if failed is None:
            return cast("T", result)
        host, message = reports[failed] or ("", "")
        if not self.is_first:
            raise ReportedError(f"process 0 reports: {message}") from error
        if error is not None:
            raise error
        raise ProcessError(f"process {failed} on {host} failed: {message}")

    def check_equal(self, values: Mapping[str, Any]) -> None:
        """Check that all processes have the same values.

        Raises:
            ConfigError: they differ; the message names the first value that does.
        """
        every = self.gather((socket.gethostname(), dict(values)))

        def check() -> None:
            for rank, (host, other) in enumerate(every):
                for name, value in every[0][1].items():
                    if other.get(name) != value:
                        raise ConfigError(
                            f"{name} is {value} in process 0 on {every[0][0]} and "
                            f"{other.get(name)} in process {rank} on {host}; start all processes "
                            "with the same version, store and options"
                        )

        self.on_first(check)

    def check_several(self, option: str) -> None:
        """Check that an option that needs several processes has them.

        Raises:
            ConfigError: there is one process.
        """
        if not self.are_several:
            raise ConfigError(
                f"{option} needs several processes, got 1; start the command with torchrun, or "
                f"omit {option}"
            )

    @contextmanager
    def exchange(self) -> Iterator[None]:
        """Within this block, tensors are exchanged, and nothing else is done.

        Raises:
            ProcessError: another process ended or does not answer.
        """
        try:
            yield
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise ProcessError(
                f"process {self.rank} of {self.size}: another process ended or did not answer "
                f"within {_timeout():g} s ({reason}); run the same command again, a training with "
                "--resume; torchrun --max-restarts does so by itself"
            ) from error


ALONE = Processes()
_joined = [ALONE]  # the last entry is that of the innermost block


def current() -> Processes:
    """The processes that this one has joined; `ALONE` outside of `joined_processes`."""
    return _joined[-1]


def launched() -> Processes:
    """What torchrun says of this process; `ALONE` without torchrun.

    Raises:
        ConfigError: a variable of the environment is not a number.
    """
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys():
        return ALONE
    numbers = {name: os.environ.get(name, "0") for name in _NUMBERS}
    for name, value in numbers.items():
        if not value.isdecimal():
            raise ConfigError(
                f"the environment variable {name} must be a number, got {value!r}; torchrun sets it"
            )
    rank, size, local_rank, on_host, restarts = map(int, numbers.values())
    return Processes(rank, size, local_rank, max(on_host, 1), restarts)


@contextmanager
def joined_processes(device: str = "cpu") -> Iterator[Processes]:
    """Within this block, this process works with the others that torchrun started.

    Without torchrun, and within another such block, nothing changes. The connections stay open for
    the next block.

    Args:
        device: auto, cpu or cuda; tensors on CUDA devices are exchanged by NCCL, others by Gloo.

    Raises:
        ConfigError: there are more processes than CUDA devices.
        ProcessError: the processes do not find each other.
    """
    processes = launched()
    if not processes.are_several or current().are_several:
        _joined.append(current() if current().are_several else processes)
        try:
            yield current()
        finally:
            _joined.pop()
        return
    import torch.distributed as dist

    backend = _choose_backend(device, processes)
    if not dist.is_initialized():  # once: a second group could meet the end of the first
        timeout = timedelta(seconds=_timeout())
        rank, size = processes.rank, processes.size
        with processes.exchange():
            store = store_of_this_start(rank, size, timeout)
            dist.init_process_group(
                backend, timeout=timeout, store=store, rank=rank, world_size=size
            )
        atexit.register(dist.destroy_process_group)
    restarts = max(processes.gather(processes.restarts))  # each machine counts its own
    _joined.append(
        Processes(processes.rank, processes.size, processes.local_rank, processes.on_host, restarts)
    )
    try:
        yield current()
    finally:
        _joined.pop()


def _choose_backend(device: str, processes: Processes) -> str:
    import torch

    if device == "cpu" or not torch.cuda.is_available():
        return "gloo"
    if processes.on_host > torch.cuda.device_count():
        raise ConfigError(
            f"device {device}: this machine has {torch.cuda.device_count()} CUDA devices for "
            f"{processes.on_host} processes; lower --nproc-per-node, or use --device cpu"
        )
    torch.cuda.set_device(processes.local_rank)
    os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")  # an error instead of an abort
    return "cpu:gloo,cuda:nccl"


def _timeout() -> float:
    text = os.environ.get(TIMEOUT, str(_DEFAULT_TIMEOUT))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise ConfigError(
            f"the environment variable {TIMEOUT} must be a number of seconds above 0, got {text!r}"
        )
    return seconds
