"""`nextclick recommend`: the next clicks of one session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.output import IdsAsText, Json, format_score, print_json, say, table
from nextclick.cli.parsing import parse_ids, quote_ids
from nextclick.cli.session_options import SESSION, SessionOptions
from nextclick.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items may be recommended."""

    exclude_seen: Annotated[bool, Field(description="exclude items clicked in the session")] = False
    allow: Annotated[
        list[str] | None,
        Field(description="recommend only these items, as for --session; repeatable"),
    ] = None
    block: Annotated[
        list[str] | None,
        Field(description="never recommend these items, as for --session; repeatable"),
    ] = None


def recommend_command(
    artifact: Annotated[
        Path, typer.Argument(help="Folder of an artifact, from `train`, or a registry.")
    ],
    context: Annotated[TypedOptions[SessionOptions], SESSION],
    items: Annotated[TypedOptions[ItemFilter], OptionGroup("Items")],
    k: Annotated[int, typer.Option("-k", help="Number of items.")] = 20,
    ids_as_text: IdsAsText = False,
    as_json: Json = False,
) -> None:
    """Recommend the k most likely next clicks of a session.

    \b
        nextclick recommend model --session 214536502,214536500 -k 5
        nextclick recommend model --session 214536502 --exclude-seen --block 214536500
        nextclick recommend model --session '"shirt, red",shoe'
    """  # noqa: D301
    from nextclick.artifact.version_registry import artifact_folder
    from nextclick.serving import Recommender

    session, item_filter = context.apply(), items.apply()
    ids, allow = session.ids(), item_filter.allow
    if ids is None:
        raise ConfigError("recommend needs the clicks: --session, --click or --session-file")
    recommendation = Recommender.load(artifact_folder(artifact), ids_as_text=ids_as_text).recommend(
        [ids],
        k,
        times=None if session.times is None else [session.times],
        now=session.now,
        users=[session.user],
        exclude_seen=item_filter.exclude_seen,
        allow=None if allow is None else _all_ids("--allow", allow),
        block=_all_ids("--block", item_filter.block or []),
    )[0]
    rows = [
        [str(rank), str(item), "popular" if score is None else format_score(score)]
        for rank, (item, score) in enumerate(
            zip(recommendation.items, recommendation.scores, strict=True), 1
        )
    ]
    table(f"After {quote_ids(ids)}", ["rank", "item", "score"], rows)
    if recommendation.note:
        say(recommendation.note)
    if as_json:
        print_json("recommend/1", asdict(recommendation))


def _all_ids(option: str, texts: Sequence[str]) -> list[str]:
    return [one for text in texts for one in parse_ids(option, text)]
