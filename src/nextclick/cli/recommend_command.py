"""`nextclick recommend`: the next clicks of one session."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nextclick.artifact.version_registry import artifact_folder
from nextclick.cli.output import Json, print_json, say, shown, table
from nextclick.cli.parsing import Now, Times, User, parse_list, parse_seconds
from nextclick.serving import Recommender


def recommend_command(
    artifact: Annotated[Path, typer.Argument(help="Folder that `train` made, or a registry.")],
    session: Annotated[str, typer.Option("--session", "-s", help="Item ids, the last click last.")],
    k: Annotated[int, typer.Option("-k", help="How many items.")] = 20,
    times: Times = None,
    now: Now = None,
    user: User = None,
    exclude_seen: Annotated[
        bool, typer.Option("--exclude-seen", help="Leave out what the session has clicked.")
    ] = False,
    allow: Annotated[
        str | None, typer.Option(help="Show only these items, such as A,B.", show_default=False)
    ] = None,
    block: Annotated[
        str, typer.Option(help="Never show these items, such as A,B.", show_default=False)
    ] = "",
    as_json: Json = False,
) -> None:
    """Name the k most likely next clicks of a session of raw item ids.

    \b
        nextclick recommend model --session 214536502,214536500 -k 5
    """  # noqa: D301
    answer = Recommender.load(artifact_folder(artifact)).recommend(
        [parse_list(session)],
        k,
        times=None if times is None else [parse_seconds("--times", times)],
        now=now,
        users=[user],
        exclude_seen=exclude_seen,
        allow=None if allow is None else parse_list(allow),
        block=parse_list(block),
    )[0]
    rows = [
        [str(number), str(item), "popular" if score is None else shown(score)]
        for number, (item, score) in enumerate(zip(answer.items, answer.scores, strict=True), 1)
    ]
    table(f"After {session}", ["rank", "item", "score"], rows)
    if answer.note:
        say(answer.note)
    if as_json:
        print_json("recommend/1", asdict(answer))
