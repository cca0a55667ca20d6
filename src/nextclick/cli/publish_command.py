"""`nextclick publish` and `nextclick versions`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from nextclick.artifact import ModelVersion, Registry
from nextclick.cli.output import Json, print_json, say, table


def publish_command(
    artifact: Annotated[Path, typer.Argument(help="Folder that `train` or `refresh` made.")],
    registry: Annotated[Path, typer.Argument(help="Folder of versions; made if it is not there.")],
    note: Annotated[str, typer.Option(help="A line for people.")] = "",
    as_json: Json = False,
) -> None:
    """Copy an artifact into a registry and make it the current version.

    \b
        nextclick publish model shop-models
    """  # noqa: D301
    version = Registry.create(registry).publish(artifact, note=note)
    say(f"{version.path}: the current version of {registry}")
    if as_json:
        print_json("publish/1", {"registry": str(registry), "version": told_of(version)})


def versions_command(
    registry: Annotated[Path, typer.Argument(help="Folder of versions.")],
    activate: Annotated[
        str | None,
        typer.Option(help="Make this version the current one, such as v3.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the versions of a registry, or go back to one.

    \b
        nextclick versions shop-models
        nextclick versions shop-models --activate v3
    """  # noqa: D301
    opened = Registry(registry)
    if activate is not None:
        opened.activate(activate)
    published, aside = opened.versions(), opened.rejected()
    current = opened.current().name if published else None
    everything = sorted([*published, *aside], key=lambda version: version.number)
    rows = [
        [v.name, _standing(v, current), v.created, v.note if v.reason is None else v.reason]
        for v in everything
    ]
    table(f"Versions of {registry}", ["version", "", "created", "note"], rows)
    if as_json:
        print_json(
            "versions/1",
            {
                "registry": str(registry),
                "current": current,
                "versions": [told_of(v) for v in published],
                "rejected": [told_of(v) for v in aside],
            },
        )


def told_of(version: ModelVersion) -> dict[str, Any]:
    """A version as JSON types."""
    return asdict(version) | {"path": str(version.path)}


def _standing(version: ModelVersion, current: str | None) -> str:
    if version.reason is not None:
        return "kept aside"
    return "current" if version.name == current else ""
