"""`nextclick recommend`: the next clicks of one session."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.output import Json, format_score, print_json, say, table
from nextclick.cli.parsing import parse_list
from nextclick.cli.session_options import SESSION, SessionContext


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items may be recommended."""

    exclude_seen: Annotated[bool, Field(description="exclude items clicked in the session")] = False
    allow: Annotated[str | None, Field(description="recommend only these items, such as A,B")] = (
        None
    )
    block: Annotated[str, Field(description="never recommend these items, such as A,B")] = ""


def recommend_command(
    artifact: Annotated[
        Path, typer.Argument(help="Folder of an artifact, from `train`, or a registry.")
    ],
    session: Annotated[
        str, typer.Option("--session", "-s", help="Clicked item ids, the last click last.")
    ],
    context: Annotated[TypedOptions[SessionContext], SESSION],
    items: Annotated[TypedOptions[ItemFilter], OptionGroup("Items")],
    k: Annotated[int, typer.Option("-k", help="Number of items.")] = 20,
    as_json: Json = False,
) -> None:
    """Recommend the k most likely next clicks of a session.

    \b
        nextclick recommend model --session 214536502,214536500 -k 5
        nextclick recommend model --session 214536502 --exclude-seen --block 214536500
    """  # noqa: D301
    from nextclick.artifact.version_registry import artifact_folder
    from nextclick.serving import Recommender

    session_context, item_filter = context.apply(), items.apply()
    recommendation = Recommender.load(artifact_folder(artifact)).recommend(
        [parse_list(session)],
        k,
        times=None if session_context.times is None else [session_context.times],
        now=session_context.now,
        users=[session_context.user],
        exclude_seen=item_filter.exclude_seen,
        allow=None if item_filter.allow is None else parse_list(item_filter.allow),
        block=parse_list(item_filter.block),
    )[0]
    rows = [
        [str(rank), str(item), "popular" if score is None else format_score(score)]
        for rank, (item, score) in enumerate(
            zip(recommendation.items, recommendation.scores, strict=True), 1
        )
    ]
    table(f"After {session}", ["rank", "item", "score"], rows)
    if recommendation.note:
        say(recommendation.note)
    if as_json:
        print_json("recommend/1", asdict(recommendation))
