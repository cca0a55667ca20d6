"""Writes the encoder of a trained model into its artifact, as a graph in the format ONNX.

The graph refers to the weights in the file of the artifact, so that an item table is stored once
and mapped into memory once. Only weights in another order, such as those of recurrent layers, are
in the graph itself. Its metadata are `EncoderFacts`.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.errors import ArtifactError, ConfigError
from nextclick.models.exported.encoder_facts import KEY, EncoderFacts
from nextclick.models.exported.exportable import check_exportable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextclick.core.session_batch import SessionBatch
    from nextclick.models.base import Model
    from nextclick.models.exported.exported_model import ExportedModel

log = logging.getLogger("nextclick.artifact")

ENCODER = "encoder.onnx"
TOLERANCE = 1e-4  # largest accepted difference of a query, relative above 1
_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime")
_LENGTHS = (1, 2, 3, 7)  # of the sessions that compare the graph with the model


def encoder_name(member: int | None) -> str:
    """The file of the encoder of a model, or of member m of a blend."""
    return ENCODER if member is None else f"encoder-{member}.onnx"


def write_encoders(model: Model, folder: Path, weights: str) -> None:
    """Write the encoder of a model, or those of the neural members of a blend.

    Nothing is written if a package of the extra `onnx` is missing, for a model that cannot be
    exported, or if the graph computes other queries than the model; a server then uses PyTorch.

    Args:
        model: the trained model.
        folder: the folder of its artifact.
        weights: the name of the file in it that has the arrays of `Model.stored_state`.
    """
    if not model.capabilities.neural and not model.capabilities.composite:
        return
    if any(find_spec(package) is None for package in _PACKAGES):
        return
    for member, one, prefix in _neural(model):
        try:
            check_exportable(one, batches=False)
            _write(one, folder / encoder_name(member), folder / weights, prefix)
        except (ConfigError, ArtifactError) as error:
            log.info("%s is served by PyTorch: %s", one.name, error)


def _neural(model: Any) -> Iterator[tuple[int | None, Any, str]]:
    """The neural models: member or None, model, prefix of its arrays in the file."""
    members: list[tuple[int | None, Any, str]] = [(None, model, "")]
    if model.capabilities.composite:
        members = [(m, one, f"members.{m}.") for m, one in enumerate(model.members)]
    for member, one, prefix in members:
        if one.capabilities.neural and one.shards is None:
            yield member, one, prefix


def _write(model: Any, file: Path, weights: Path, prefix: str) -> None:
    from nextclick.models.exported.exported_model import ExportedModel
    from nextclick.models.exported.onnx_program import onnx_program
    from nextclick.models.exported.session_feed import OneSession, session_feed
    from nextclick.models.exported.session_graph import AXES, SessionGraph, as_inputs

    if next(model.encoder.parameters()).device.type != "cpu":
        model = type(model).from_state(model.state(), model.config)
    facts, capabilities = _facts(model, prefix), model.capabilities
    graph = SessionGraph(model.encoder, has_additions=not capabilities.product_scores)
    batch = _random_sessions(model, np.random.default_rng(0))
    longest = OneSession.of(batch, len(batch) - 1)
    feed = session_feed(longest, facts.reads, model.max_length, capabilities.earlier_sessions)
    inputs = as_inputs(feed)
    axes = {name: AXES[name] for name in inputs}
    try:
        program = onnx_program(graph, inputs, axes, graph.output_names, max_length=model.max_length)
    except RuntimeError as error:  # the base of the errors of PyTorch's exporter
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(f"PyTorch's exporter reports {reason!r:.200}") from error
    evidence = [(one.kind, one.name, tuple(one.tensors)) for one in graph.recorded.evidence]
    program.model.metadata_props[KEY] = replace(facts, evidence=tuple(evidence)).to_json()
    _refer_to_weights(program.model, weights, prefix)
    program.save(file, external_data=False)
    difference = _largest_difference(model, ExportedModel.load(file, weights), batch)
    if not difference <= TOLERANCE:  # also if it is NaN
        file.unlink()
        raise ConfigError(f"its exported graph differs from the model by {difference:.2g}")


def _facts(model: Any, prefix: str) -> EncoderFacts:
    """What `ExportedModel` needs to know of the model."""
    table, bias = model.encoder.eval().table()
    named = {id(weight): name for name, weight in model.encoder.named_parameters()}
    if id(table) not in named or (bias is not None and id(bias) not in named):
        raise ConfigError("its item vectors are not among its weights")
    return EncoderFacts(
        model=model.name,
        config=asdict(model.config),
        capabilities=model.capabilities,
        reads=tuple(sorted(model.requires(model.config))),
        prefix=prefix,
        table=named[id(table)],
        bias=None if bias is None else named[id(bias)],
        n_users=model.n_users,
    )


def _refer_to_weights(program: Any, weights: Path, prefix: str) -> None:
    """Replace the initializers that are arrays of the file of weights by references to it."""
    import onnx_ir

    with weights.open("rb") as opened:
        n_header = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(n_header))
    for name, value in program.graph.initializers.items():
        stored = header.get(prefix + name.removeprefix("encoder."))
        tensor = value.const_value
        if stored is None or stored["shape"] != list(tensor.shape) or not tensor.size:
            continue
        start, stop = stored["data_offsets"]
        if stop - start == tensor.nbytes:
            value.const_value = onnx_ir.ExternalTensor(
                weights.name, 8 + n_header + start, stop - start, tensor.dtype,
                shape=tensor.shape, name=name, base_dir=weights.parent,
            )  # fmt: skip


def _random_sessions(model: Any, rng: np.random.Generator) -> SessionBatch:
    """Sessions of several lengths, the longest last, with times, users and earlier sessions."""
    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.session_history import EarlierClicks, SessionHistory

    def clicks(n: int) -> Any:
        return rng.integers(1, model.n_items + 1, n, dtype=np.int32)

    padded = SessionBatch.from_lists([clicks(length) for length in _LENGTHS])
    B, T = padded.items.shape
    history = [[EarlierClicks(clicks(n + 1), 1e5 / (n + 1)) for n in range(b)] for b in range(B)]
    return replace(
        padded,
        gaps=rng.exponential(60.0, (B, T)).astype(np.float32),
        users=rng.integers(0, (model.n_users or 0) + 1, (B,), dtype=np.int32),
        time_since_last_click=rng.exponential(60.0, (B,)).astype(np.float32),
        history=SessionHistory.from_lists(history),
    )


def _largest_difference(model: Any, exported: ExportedModel, batch: SessionBatch) -> float:
    """The largest difference of queries, or of scores with additions, relative above 1."""
    if model.capabilities.product_scores:
        found, expected = exported.queries(batch), model.queries(batch)
    else:
        found, expected = exported.score(batch)[:, 1:], model.score(batch)[:, 1:]
    difference = np.abs(found - expected) / np.maximum(np.abs(expected), 1)
    return float(difference.max())
