"""`nextclick card`: the model card of an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nextclick.cli.output import ArtifactPath, Json, Overwrite, print_json, show
from nextclick.errors import OutputError


def card_command(
    artifact: ArtifactPath,
    result: Annotated[
        Path | None,
        typer.Option(
            help="Result of `evaluate -o` to include. [default: the one stored with the artifact]",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the card to this Markdown file.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Describe an artifact: its data, training, metrics and limits.

    \b
        nextclick card model
        nextclick card shop/models/blend/artifact -o card.md
        nextclick card model --result result.json --json

    Every value is recorded in the artifact or in a result; what is not recorded is "unknown".
    """  # noqa: D301
    from nextclick.core.storage import write_text
    from nextclick.experiments.stored_card import model_card
    from nextclick.report.card_markdown import render_card

    if output is not None and output.exists() and not overwrite:
        raise OutputError(f"{output} already exists; choose another --output or add --overwrite")
    card = model_card(artifact, result)
    text = render_card(card)
    if output is None:
        show(text.rstrip("\n"))
    else:
        write_text(output, text)
        show(f"{output}")
    if as_json:
        print_json("card/1", {"path": artifact, "card": card})
