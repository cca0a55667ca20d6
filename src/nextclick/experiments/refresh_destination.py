"""The source and the destination of a refresh: artifacts, or versions of a registry."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from nextclick.artifact import Artifact, ModelVersion, open_registry
from nextclick.artifact.registries import AnyRegistry, is_registry, is_same_registry
from nextclick.core.locations import resolve_location

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.experiments.publish_check import PublishDecision


@dataclass(frozen=True, slots=True, eq=False)
class RefreshDestination:
    """The model to refresh, and where the refreshed one is written.

    Attributes:
        base: the model to refresh.
        registry: where the refreshed model is published; None if it is written to `output`.
        base_version: version of `base`, if it is the current one of `registry`.
        output: folder of the refreshed artifact; None if it is published or not written.
        overwrite: replace `output`.
    """

    base: Artifact
    registry: AnyRegistry | None
    base_version: str | None
    output: str | Path | None
    overwrite: bool

    @classmethod
    def resolve(
        cls, artifact: Artifact | str | Path, output: str | Path | None, *, overwrite: bool
    ) -> RefreshDestination:
        """Load the model, and choose the destination.

        Args:
            artifact: an artifact, its folder, or a registry, of which the current version is read.
            output: a folder or a registry; None is the registry that `artifact` is, if any.
            overwrite: replace a folder.

        Raises:
            ArtifactError: the artifact cannot be read.
            OutputError: `output` exists, and `overwrite` is false or it is not an artifact.
        """
        source, base_version = None, None
        if not isinstance(artifact, Artifact):
            if is_registry(artifact):
                source = open_registry(artifact)
                current = source.current()
                base_version, artifact = current.name, current.path
            artifact = Artifact.load(artifact)
        if output is None:
            return cls(artifact, source, base_version, None, overwrite)
        target = resolve_location(output)
        if is_registry(target):
            registry = open_registry(target)
            same = source is not None and is_same_registry(source, registry)
            return cls(artifact, registry, base_version if same else None, None, overwrite)
        Artifact.check_output(target, overwrite=overwrite)
        return cls(artifact, None, None, target, overwrite)

    def write(
        self, refreshed: Artifact, decision: PublishDecision | None
    ) -> tuple[str | Path | None, ModelVersion | None]:
        """Publish or save the model; return its folder, and its version in the registry.

        A rejected model is written to `rejected/` of the registry, or to `OUTPUT.rejected`.

        Raises:
            OutputError: it cannot be written.
        """
        reason = None if decision is None else decision.reason
        if self.registry is not None:
            version = self._publish(self.registry, refreshed, decision)
            return version.path, version
        if self.output is None:
            return None, None
        if reason is None:
            refreshed.save(self.output, overwrite=self.overwrite)
            return self.output, None
        rejected = resolve_location(f"{self.output}.rejected")
        refreshed.save(rejected, overwrite=True)
        return rejected, None

    def _publish(
        self, registry: AnyRegistry, refreshed: Artifact, decision: PublishDecision | None
    ) -> ModelVersion:
        metrics = {} if decision is None else asdict(decision)
        note = f"refreshed from {self.base_version}" if self.base_version else "refreshed"
        if decision is not None and decision.reason is not None:
            return registry.reject(refreshed, decision.reason, metrics=metrics, note=note)
        return registry.publish(refreshed, metrics=metrics, note=note, follows=self.base_version)
