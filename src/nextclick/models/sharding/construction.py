"""Builds a model whose item tables have only the rows of this process.

The encoder is built as usual, and draws the same random numbers as with whole tables: what it draws
for the rows of other processes is discarded block by block. The initial weights are therefore those
of one process, bit for bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nextclick.models.sharding.item_shards import ItemShards
from nextclick.models.sharding.row_exchange import row_bounds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from torch import Tensor

    from nextclick.core.processes import Processes
    from nextclick.models.dataset_info import DatasetInfo
    from nextclick.models.neural_model import NeuralModel

M = TypeVar("M", bound="NeuralModel")

_aten = torch.ops.aten
_CREATE = (_aten.empty.memory_format, _aten.zeros.default)
_DRAW = (_aten.normal_.default, _aten.uniform_.default)
_UNIT = 16  # PyTorch draws normal numbers in groups of so many
_BLOCK = 1 << 20  # numbers drawn at a time


def build_sharded(
    model_type: type[M],
    config: Any,
    n_items: int,
    dataset_info: DatasetInfo,
    processes: Processes,
    *,
    draws: bool = True,
) -> M:
    """Build a model with the rows of this process; initial weights as `NeuralModel`.

    Args:
        model_type: the model.
        config: its config.
        n_items: N.
        dataset_info: as for `NeuralModel`.
        processes: all processes.
        draws: draw initial weights; False leaves the rows uninitialized, for weights from a file.

    Raises:
        ConfigError: the item tables of the model cannot be split.
    """
    model_type.check_splittable()
    built = [_built_on_meta(model_type, config, n, dataset_info) for n in (3, 4)]
    (three, few), (four, more) = built
    item_created = {number for number, (a, b) in enumerate(zip(few, more, strict=True)) if a != b}
    names = [name for name, shape in three.items() if shape != four[name]]
    bounds = row_bounds(n_items + 1, processes.size)
    with _OwnRows(
        item_created, n_items + 1, bounds[processes.rank : processes.rank + 2], draws=draws
    ):
        model = model_type(config, n_items, dataset_info)
    model.encoder.shards = ItemShards(model.encoder, names, n_items + 1, processes)
    return model


def _built_on_meta(
    model_type: type[NeuralModel], config: Any, n_items: int, dataset_info: DatasetInfo
) -> tuple[dict[str, torch.Size], list[torch.Size]]:
    """The shapes of the parameters, and those of all tensors in the order of their creation."""
    with torch.random.fork_rng([]), torch.device("meta"), _Created() as created:
        encoder = model_type(config, n_items, dataset_info).encoder
    return {name: p.shape for name, p in encoder.named_parameters()}, created.shapes


class _Created(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the shapes of the tensors that are created."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shapes: list[torch.Size] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _CREATE:
            self.shapes.append(result.shape)
        return result


class _OwnRows(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Creates some tensors with a range of their rows only.

    Args:
        numbers: which of the tensors, in the order of their creation.
        n_rows: number of rows of the whole tensors.
        bounds: the range.
        draws: fill them with the random numbers of the range, or leave them as they are.
    """

    def __init__(
        self, numbers: Collection[int], n_rows: int, bounds: list[int], *, draws: bool
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._numbers, self._n_rows, self._draws = numbers, n_rows, draws
        self._start, self._stop = bounds
        self._n_created = 0
        self._own: set[int] = set()  # addresses of the tensors

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _CREATE:
            return self._create(func, args, kwargs)
        if args and isinstance(args[0], torch.Tensor) and self._is_own(args[0]):
            if func in _DRAW:
                return self._draw(func, args[0], args[1:], kwargs)
            if func is _aten.select.int and self._start > 0:  # padding, which process 0 has
                return torch.empty_like(args[0][:1])[0]
        return func(*args, **kwargs)

    def _create(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        is_own = self._n_created in self._numbers
        self._n_created += 1
        if not is_own:
            result: Tensor = func(*args, **kwargs)
            return result
        shape = [self._stop - self._start, *args[0][1:]]
        own: Tensor = func(shape, *args[1:], **kwargs)
        self._own.add(own.untyped_storage().data_ptr())
        return own

    def _is_own(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage().data_ptr() in self._own

    def _draw(self, func: Any, own: Tensor, args: Any, kwargs: Any) -> Tensor:
        if not self._draws:
            return own
        for begin, end in _draw_ranges(self._n_rows, own.shape[1:].numel()):
            drawn = func(own.new_empty(end - begin, *own.shape[1:]), *args, **kwargs)
            first, last = max(begin, self._start), min(end, self._stop)
            if first < last:
                own[first - self._start : last - self._start] = drawn[first - begin : last - begin]
        return own


def _draw_ranges(n_rows: int, width: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows that draw the numbers of one call; none but a single one is short."""
    n = max(_BLOCK // max(width, 1) // _UNIT, 1) * _UNIT
    begin = 0
    while begin < n_rows:
        end = min(begin + n, n_rows)
        if (n_rows - end) * width < _UNIT:
            end = n_rows
        yield begin, end
        begin = end
