"""`nextclick publish`: a new current version of a registry."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nextclick.cli.output import Json, print_json, say, show

if TYPE_CHECKING:
    from nextclick.artifact import ModelVersion


def publish_command(
    artifact: Annotated[
        str, typer.Argument(help="Artifact, from `train` or `refresh`: its folder or address.")
    ],
    registry: Annotated[
        str,
        typer.Argument(
            help="Folder of versions, or its address (s3://, gs://, az://); created if it does not "
            "exist."
        ),
    ],
    note: Annotated[str, typer.Option(help="Comment stored with the version.")] = "",
    as_json: Json = False,
) -> None:
    """Copy an artifact into a registry and make it the current version.

    \b
        nextclick publish model shop-models
        nextclick publish s3://bucket/model s3://bucket/shop-models
    """  # noqa: D301
    from nextclick.artifact import Artifact, create_registry
    from nextclick.core.vocabulary import ROUNDED_IDS

    loaded, opened = Artifact.load(artifact), create_registry(registry)
    version = opened.publish(artifact, note=note)
    if loaded.items.exceeds_doubles:
        say(f"note: {ROUNDED_IDS}; serve the registry with --ids-as-text")
    is_current = opened.current().name == version.name
    show(f"{version.path}: {'the current' if is_current else 'a'} version of {registry}")
    if as_json:
        print_json("publish/1", {"registry": str(registry), "version": version_fields(version)})


def version_fields(version: ModelVersion) -> dict[str, Any]:
    """A version as JSON types."""
    return asdict(version) | {"path": str(version.path)}
