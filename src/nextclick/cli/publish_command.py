"""`nextclick publish`: a new current version of a registry."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nextclick.cli.output import Json, print_json, say, show

if TYPE_CHECKING:
    from nextclick.artifact import ModelVersion


def publish_command(
    artifact: Annotated[
        Path, typer.Argument(help="Folder of an artifact, from `train` or `refresh`.")
    ],
    registry: Annotated[
        Path, typer.Argument(help="Folder of versions; created if it does not exist.")
    ],
    note: Annotated[str, typer.Option(help="Comment stored with the version.")] = "",
    as_json: Json = False,
) -> None:
    """Copy an artifact into a registry and make it the current version.

    \b
        nextclick publish model shop-models
    """  # noqa: D301
    from nextclick.artifact import Artifact, Registry
    from nextclick.core.vocabulary import ROUNDED_IDS

    version = Registry.create(registry).publish(artifact, note=note)
    if Artifact.load(version.path).items.exceeds_doubles:
        say(f"note: {ROUNDED_IDS}; serve the registry with --ids-as-text")
    show(f"{version.path}: the current version of {registry}")
    if as_json:
        print_json("publish/1", {"registry": str(registry), "version": version_fields(version)})


def version_fields(version: ModelVersion) -> dict[str, Any]:
    """A version as JSON types."""
    return asdict(version) | {"path": str(version.path)}
