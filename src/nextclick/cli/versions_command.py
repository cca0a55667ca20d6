"""`nextclick versions`: the versions of a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nextclick.cli.output import Json, RegistryPath, print_json, say, table
from nextclick.cli.publish_command import version_fields

if TYPE_CHECKING:
    from nextclick.artifact import ModelVersion


def versions_command(
    registry: RegistryPath,
    activate: Annotated[
        str | None,
        typer.Option(help="Make this version the current one, such as v3.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the versions of a registry, or activate one.

    \b
        nextclick versions shop-models
        nextclick versions shop-models --activate v3
    """  # noqa: D301
    from nextclick.artifact import open_registry

    opened = open_registry(registry)
    if activate is not None:
        opened.activate(activate)
    published, rejected = opened.versions(), opened.rejected()
    current = opened.current().name if published else None
    rows = [
        [v.name, _status(v, current), v.created, v.note if v.reason is None else v.reason]
        for v in sorted([*published, *rejected], key=lambda version: version.number)
    ]
    damaged = {str(file): reason for file, reason in opened.damaged().items()}
    table(f"Versions of {registry}", ["version", "status", "created", "note"], rows, n_text=4)
    for file, reason in damaged.items():
        say(f"{file}: {reason}")
    if as_json:
        print_json(
            "versions/1",
            {
                "registry": str(registry),
                "current": current,
                "versions": [version_fields(v) for v in published],
                "rejected": [version_fields(v) for v in rejected],
                "damaged": damaged,
            },
        )


def _status(version: ModelVersion, current: str | None) -> str:
    if version.reason is not None:
        return "rejected"
    return "current" if version.name == current else ""
