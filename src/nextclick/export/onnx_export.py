"""Export of a trained neural model to a folder with a graph in the format ONNX.

FOLDER/
manifest.json          kind, model, config, opset, inputs, outputs and the digests of all files
model.onnx             the network, float32; with model.onnx.data if the weights exceed 1 GiB
example.py             recommendations by onnxruntime and numpy alone
items/                 vocabulary as in the artifact, and support.npy: clicks in training;
                       known.npy if the model cannot rank some items: which ones it can
users/                 vocabulary, for a model that reads users
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.artifact import Artifact
from nextclick.artifact.artifact_manifest import local_artifact
from nextclick.artifact.artifact_manifest import read_manifest as read_artifact_manifest
from nextclick.artifact.registries import artifact_folder
from nextclick.core.manifests import write_manifest
from nextclick.core.overwrite_check import check_target
from nextclick.core.storage import atomic_folder
from nextclick.errors import ConfigError, ScoringError
from nextclick.export.exportable import exported_artifact
from nextclick.version import __version__

if TYPE_CHECKING:
    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.types import AnyArray, BoolArray, Float32Array
    from nextclick.models.base import Model

KIND = "nextclick.export"
FORMAT_VERSION = 1
MODEL, EXAMPLE = "model.onnx", "example.py"
OUTPUTS = {
    "scores": ("float32", ["batch", "N + 1"], "of item i in column i; -inf in column 0"),
    "query": ("float32", ["batch", "D"], "vector whose products with the item vectors are scores"),
}
TOLERANCE = 1e-4  # largest accepted difference of a score, relative above 1
_LENGTHS = (1, 2, 3, 7)  # of the sessions that compare both


def export_onnx(
    artifact: str | Path,
    folder: str | Path,
    *,
    member: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Export a neural model to a folder with an ONNX graph; return the manifest.

    The scores of the graph are compared with those of the model before the folder gets its name.

    Args:
        artifact: an artifact or a registry: a folder, or an address in object storage.
        folder: the folder to write.
        member: the label of the member of a blend that is exported, such as "narm".
        overwrite: replace an existing export.

    Raises:
        ArtifactError: there is no artifact, or it is damaged.
        ConfigError: the model cannot be exported; the message says what to do.
        OutputError: the folder exists, must not be replaced, or cannot be written.
        ScoringError: the graph computes other scores than the model.
        SourceError: the packages of the extra `onnx` are missing.
    """
    target = Path(folder)
    check_target(target, overwrite=overwrite, replaces=(KIND,))
    source = local_artifact(artifact_folder(artifact))
    exported = exported_artifact(Artifact.load(source), member)
    digest = read_artifact_manifest(source)["digest"]
    with atomic_folder(target, overwrite=overwrite, replaces=(KIND,)) as scratch:
        _write_graph(exported.model, scratch / MODEL, exported.candidates)
        _check_scores(exported.model, scratch / MODEL)
        exported.items.save(scratch / "items")
        np.save(scratch / "items" / "support.npy", exported.support)
        if exported.candidates is not None:
            np.save(scratch / "items" / "known.npy", exported.candidates)
        if exported.users is not None and "users" in graph_inputs(exported.model):
            exported.users.save(scratch / "users")
        shutil.copyfile(Path(__file__).with_name(EXAMPLE), scratch / EXAMPLE)
        return write_manifest(scratch, _fields(exported, member, digest))


def graph_inputs(model: Model) -> dict[str, tuple[str, list[str], str]]:
    """Type, axes and meaning of each input of the graph of a model."""
    requires = model.requires(model.config)
    inputs = {
        "items": ("int64", ["batch", "length"], "clicked items 1..N, oldest first, then padding"),
        "lengths": ("int64", ["batch"], "clicks of each session, at least 1"),
    }
    if "times" in requires:
        meaning = "seconds since the click before; NaN if unknown"
        inputs["gaps"] = ("float32", ["batch", "length"], meaning)
        if model.capabilities.prediction_moment != "at-click":
            meaning = "seconds from the last click to the prediction"
            inputs["waited"] = ("float32", ["batch"], meaning)
    if "users" in requires:
        inputs["users"] = ("int64", ["batch"], "visitors 1..U, 0 if unknown")
    return inputs


def graph_feed(model: Model, batch: SessionBatch) -> dict[str, AnyArray]:
    """The arrays of the inputs of the graph for a batch of at most `max_length` clicks."""
    arrays: dict[str, AnyArray | None] = {
        "items": batch.items,
        "lengths": batch.lengths,
        "gaps": batch.gaps,
        "waited": batch.time_since_last_click,
        "users": batch.users,
    }
    feed = {}
    for name, (dtype, axes, _) in graph_inputs(model).items():
        array = arrays[name]
        if array is None:
            missing = np.nan if name == "gaps" else 0
            array = np.full(batch.items.shape[: len(axes)], missing, dtype)
        feed[name] = array.astype(dtype)
    return feed


def _write_graph(model: Model, file: Path, candidates: BoolArray | None) -> None:
    import torch

    from nextclick.export.scoring_graph import ScoringGraph
    from nextclick.models.exported.onnx_program import save_onnx

    neural: Any = model
    inputs = {  # the sizes are examples: both axes are dynamic
        name: torch.from_numpy(np.ones((3, 4)[: len(axes)], dtype))
        for name, (dtype, axes, _) in graph_inputs(model).items()
    }
    graph = ScoringGraph(neural.encoder, candidates)
    try:
        save_onnx(graph, inputs, list(OUTPUTS), file, max_length=neural.max_length)
    except RuntimeError as error:  # the base of the errors of PyTorch's exporter
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"{model.name} cannot be exported: PyTorch's exporter reports {reason!r:.200}; serve "
            "it with `nextclick serve`, or use operations in its encoder that PyTorch exports"
        ) from error


def _check_scores(model: Model, file: Path) -> None:
    """Compare the graph with the model on random sessions.

    Raises:
        ScoringError: a score differs by more than `TOLERANCE`.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    batch = _random_sessions(model)
    (scores,) = session.run(["scores"], graph_feed(model, batch))
    expected: Float32Array = model.score(batch)
    ranked = scores != -np.inf  # the others are no candidates
    difference = np.abs(scores - expected)[ranked] / np.maximum(np.abs(expected[ranked]), 1)
    largest = float(difference.max(initial=0.0))
    if not largest <= TOLERANCE:  # also if it is NaN
        raise ScoringError(
            f"the exported {model.name} computes other scores than the artifact: they differ by "
            f"{largest:.2g}, more than {TOLERANCE:g}; install the versions of constraints.txt, and "
            "report it if they differ again"
        )


def _random_sessions(model: Model) -> SessionBatch:
    from nextclick.core.session_batch import SessionBatch

    neural: Any = model
    rng = np.random.default_rng(0)
    lengths = np.minimum(_LENGTHS, neural.max_length or max(_LENGTHS)).astype(np.int32)
    is_click = np.arange(lengths.max()) < lengths[:, None]  # (B, T)
    items = np.where(is_click, rng.integers(1, model.n_items + 1, is_click.shape), 0)
    gaps = rng.exponential(60.0, is_click.shape).astype(np.float32)
    gaps[:, 0] = 0.0
    n_users = neural.n_users or 0
    waited = rng.exponential(60.0, len(lengths)) * (
        model.capabilities.prediction_moment != "at-click"
    )
    return SessionBatch(
        items=items.astype(np.int32),
        lengths=lengths,
        gaps=gaps,
        users=rng.integers(0, n_users + 1, len(lengths)).astype(np.int32),
        time_since_last_click=waited.astype(np.float32),
    )


def _fields(exported: Artifact, member: str | None, digest: str) -> dict[str, Any]:
    from nextclick.models.exported.onnx_program import OPSET

    model: Any = exported.model
    trained = exported.trained
    return {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "nextclick": __version__,
        "model": model.name,
        "member": member,
        "config": asdict(model.config),
        "n_items": model.n_items,
        "n_users": model.n_users,
        "max_length": model.max_length,
        "opset": OPSET,
        "inputs": _described(graph_inputs(model)),
        "outputs": _described(OUTPUTS),
        "artifact_digest": digest,
        "trained": {name: trained[name] for name in ("part", "seed", "data_fingerprint")},
    }


def _described(named: dict[str, tuple[str, list[str], str]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "dtype": dtype, "axes": axes, "meaning": meaning}
        for name, (dtype, axes, meaning) in named.items()
    ]
