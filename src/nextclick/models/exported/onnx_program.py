"""From a PyTorch module to a file of ONNX, by PyTorch's exporter."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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
BATCH, LENGTH = "batch", "length"  # names of the dynamic axes
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
    program = onnx_program(module, inputs, lambda: outputs, max_length=max_length)
    n_bytes = sum(weight.nbytes for weight in module.state_dict().values())
    program.save(file, external_data=n_bytes > _EXTERNAL_BYTES)


def onnx_program(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Callable[[], Sequence[str]],
    *,
    max_length: int | None,
    batched: bool = True,
) -> ONNXProgram:
    """A module in evaluation mode as a program of ONNX.

    Args:
        module: takes the inputs by name.
        inputs: see `save_onnx`; without `batched`, B is 1.
        outputs: returns the names of the outputs, once the module has computed them.
        max_length: the largest T; None for no limit.
        batched: whether the axis B is dynamic.

    Raises:
        RuntimeError: PyTorch cannot export the module.
    """
    axes: tuple[Any, Any] = (
        torch.export.Dim(BATCH, min=1) if batched else torch.export.Dim.STATIC,
        torch.export.Dim(LENGTH, min=1, max=max_length),
    )
    shapes = {name: dict(enumerate(axes[: value.dim()])) for name, value in inputs.items()}
    with _quiet(), torch.no_grad():
        # not left to `torch.onnx.export`, which fixes an axis that it cannot keep dynamic
        captured = torch.export.export(
            module.eval(), (), dict(inputs), dynamic_shapes=shapes, strict=False
        )
        program = torch.onnx.export(
            captured,
            input_names=list(inputs),
            output_names=list(outputs()),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    _remove_traces(program.model)
    return program


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
