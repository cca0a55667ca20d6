"""A run in Weights & Biases."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nextclick.training.trackers import open_wandb_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class WandbRun:
    """See `TrackerRun`. The environment of W&B, such as WANDB_MODE and WANDB_PROJECT, applies.

    Args:
        name: of the run.
        group: of the runs of one command; None is the name.
    """

    def __init__(self, name: str, group: str | None = None):
        self._group = group or name
        self._wandb, self._run = open_wandb_run(name, self._group)

    def log_parameters(self, values: Mapping[str, Any]) -> None:
        """See `TrackerRun`."""
        self._run.config.update(dict(values))

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """See `TrackerRun`."""
        if step is None:
            self._run.summary.update(dict(values))
        else:
            self._run.log(dict(values), step=step)

    def log_folder(self, folder: Path, name: str) -> None:
        """See `TrackerRun`."""
        self._log_artifact(folder, name, "files")

    def log_model(self, artifact: Path) -> None:
        """See `TrackerRun`."""
        self._log_artifact(artifact, "model", "model")

    def child(self, name: str) -> WandbRun:
        """See `TrackerRun`; runs of one command have one group."""
        return WandbRun(name, self._group)

    def close(self, *, failed: bool) -> None:
        """See `TrackerRun`."""
        self._run.finish(exit_code=int(failed))

    def _log_artifact(self, folder: Path, name: str, kind: str) -> None:
        label = re.sub(r"[^\w.-]", "-", f"{self._group}-{name}")
        artifact = self._wandb.Artifact(label, type=kind)
        artifact.add_dir(str(folder))
        self._run.log_artifact(artifact)
