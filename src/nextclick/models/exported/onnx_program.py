"""From a PyTorch module to a file of ONNX, by PyTorch's exporter."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from nextclick.core.extra_packages import import_extra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn
    from torch.onnx import ONNXProgram

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""What the export needs besides PyTorch."""

OPSET = 20
Axes: TypeAlias = "tuple[str | None, ...]"
BATCH, LENGTH = "batch", "length"  # names of dynamic axes
# a protobuf file has at most 2 GiB; larger weights get a file of their own
_EXTERNAL_BYTES = 1 << 30


def save_onnx(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    file: Path,
    *,
    max_length: int | None,
) -> None:
    """Export a module in evaluation mode and write it, with `FILE.data` if it is large.

    Args:
        module: takes the inputs by name.
        inputs: example values, (B,) or (B, T) with B and T of at least 2; both axes are dynamic.
        outputs: names of the outputs.
        file: the file to write.
        max_length: the largest T; None for no limit.

    Raises:
        SourceError: the packages of the extra `onnx` are missing.
    """
    for package in PACKAGES:
        import_extra(package, "onnx", "export")
    axes = {name: (BATCH, LENGTH)[: value.dim()] for name, value in inputs.items()}
    program = onnx_program(module, inputs, axes, lambda: outputs, max_length=max_length)
    n_bytes = sum(weight.nbytes for weight in module.state_dict().values())
    program.save(file, external_data=n_bytes > _EXTERNAL_BYTES)


def onnx_program(
    module: nn.Module,
    inputs: Mapping[str, Tensor | Mapping[str, Tensor]],
    axes: Mapping[str, Axes | Mapping[str, Axes]],
    outputs: Callable[[], Sequence[str]],
    *,
    max_length: int | None,
) -> ONNXProgram:
    """A module in evaluation mode as a program of ONNX.

    Args:
        module: takes the inputs by name.
        inputs: example values, at least 2 along each dynamic axis. A dict of tensors becomes inputs
            named `NAME.KEY`.
        axes: the names of the axes of each input, None for one of fixed size.
        outputs: returns the names of the outputs, once the module has computed them.
        max_length: the largest size of the axis `LENGTH`; None for no limit.

    Raises:
        RuntimeError: PyTorch cannot export the module.
    """
    sizes: dict[str, Any] = {}

    def size(axis: str | None) -> Any:
        if axis is None:
            return torch.export.Dim.STATIC
        largest = max_length if axis == LENGTH else None
        return sizes.setdefault(axis, torch.export.Dim(axis, min=1, max=largest))

    def shape(value: Axes | Mapping[str, Axes]) -> Any:
        if isinstance(value, tuple):
            return {n: size(axis) for n, axis in enumerate(value)}
        return {name: shape(one) for name, one in value.items()}

    shapes = {name: shape(value) for name, value in axes.items()}
    with _quiet(), torch.no_grad():
        # not left to `torch.onnx.export`, which fixes an axis that it cannot keep dynamic
        captured = torch.export.export(
            module.eval(), (), dict(inputs), dynamic_shapes=shapes, strict=False
        )
        program = torch.onnx.export(
            captured,
            input_names=_names(inputs),
            output_names=list(outputs()),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    _remove_traces(program.model)
    return program


def _names(inputs: Mapping[str, Any]) -> list[str]:
    """The names of the inputs of the graph."""
    names: list[str] = []
    for name, value in inputs.items():
        names += [name] if isinstance(value, torch.Tensor) else [f"{name}.{key}" for key in value]
    return names


def _remove_traces(model: Any) -> None:
    """Remove what the exporter notes of its source: paths of this machine and lines of code."""
    model.metadata_props.clear()
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        graph.metadata_props.clear()
        for node in graph.all_nodes():
            node.metadata_props.clear()
            for value in node.outputs:
                value.metadata_props.clear()
        for value in (*graph.inputs, *graph.initializers.values()):
            value.metadata_props.clear()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what PyTorch reports of its own parts, such as packages that are not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
