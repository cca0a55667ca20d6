"""Train a model on a part of a store and keep it as an artefact."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.artifact import Artifact
from nextclick.config import build_config
from nextclick.data.store import Store
from nextclick.errors import ConfigError, OutputError
from nextclick.models import model_class
from nextclick.types import silent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.types import Progress


def train(
    store: Store | str | Path,
    model: str,
    output: str | Path | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    part: str = "train",
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Artifact:
    """Train a model.

    Args:
        store: open, or its folder.
        model: name, as `nextclick models` lists them.
        output: folder for the artefact; None keeps it in memory only.
        config: parameters that differ from their defaults.
        part: `train` learns from all that lies before the test, `fit` leaves the validation out.
        seed: of everything random.
        overwrite: replace `output`.
        progress: told how far it has come.

    Raises:
        ConfigError: no such model, parameter, value or part.
        StoreError: the store cannot be read.
        OutputError: the artefact cannot be written.
    """
    opened = store if isinstance(store, Store) else Store.open(store)
    if part not in ("train", "fit"):
        raise ConfigError(f"part must be train or fit to learn from, got {part!r}")
    if output is not None and Path(output).exists() and not overwrite:
        raise OutputError(f"{output} exists already; choose another place or say --overwrite")
    model_type = model_class(model)
    settings = build_config(model_type.Config, config or {}, model)
    sessions = opened.part(part)
    started = time.perf_counter()
    fitted = model_type.fit(sessions, settings, seed=seed, progress=progress)
    trained = {
        "part": part,
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "counts": opened.manifest["counts"][part],
        "data_fingerprint": opened.fingerprint,
        "protocol": opened.protocol,
    }
    artifact = Artifact(fitted, opened.items, sessions.support(), trained)
    if output is not None:
        artifact.save(output, overwrite=overwrite)
    return artifact
