"""`nextclick explain`: why a session gets the items that it gets."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nextclick.artifact.version_registry import artifact_folder
from nextclick.cli.output import Json, print_json, say, shown, table
from nextclick.cli.parsing import Now, Times, User, parse_list, parse_seconds
from nextclick.errors import ConfigError
from nextclick.experiments.example_explanations import (
    check_figure,
    draw_explanations,
    explain_examples,
)
from nextclick.serving import Recommender

if TYPE_CHECKING:
    from nextclick.core.types import RawId
    from nextclick.experiments.example_explanations import Example
    from nextclick.serving import Explanation

_MOST_CLICKS = 12  # columns of a map that a terminal has room for
_MOST_ITEMS = 8  # of a neighbor session


def explain_command(
    artifact: Annotated[Path, typer.Argument(help="Folder that `train` made, or a registry.")],
    session: Annotated[
        str | None,
        typer.Option("--session", "-s", help="Item ids, the last click last.", show_default=False),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many recommended items to explain.")] = 5,
    item: Annotated[
        str | None,
        typer.Option(help="Explain these items, such as A,B.", show_default="those recommended"),
    ] = None,
    times: Times = None,
    now: Now = None,
    user: User = None,
    layer: Annotated[
        str | None,
        typer.Option(help="Show one layer of attention alone.", show_default="all"),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="Explain sessions of this store instead.", show_default=False),
    ] = None,
    examples: Annotated[int, typer.Option(help="How many of its sessions.")] = 10,
    part: Annotated[str, typer.Option(help="Of which part: train, fit, valid or test.")] = "test",
    least: Annotated[
        int, typer.Option(help="Clicks that they have at least before the last one.")
    ] = 5,
    seed: Annotated[int, typer.Option(help="Which sessions are drawn.")] = 0,
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw it into this file, .png or .svg.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say why a session gets the items that it gets.

    For any model: how far the score and the rank of each item fall without each click. For those
    that have them, too: attention to each click, sessions of the log that vote, neighbors in the
    graph of the days, and what each click gives to the score. Pictures need the extra `report`.

    \b
        nextclick explain model --session 214536502,214536500 --figure why.png
        nextclick explain model --store store --examples 10 --figure attention.png
    """  # noqa: D301
    if (session is None) == (store is None):
        raise ConfigError(
            "explain takes --session with the ids of a session, or --store to explain examples "
            f"out of it; got {'neither' if session is None else 'both'}"
        )
    if figure is not None:
        check_figure(figure)
    recommender = Recommender.load(artifact_folder(artifact))
    found: list[Example] = []
    if store is not None:
        found = explain_examples(recommender, store, n=examples, part=part, least=least, seed=seed)
        told = [example.why for example in found]
    else:
        assert session is not None
        clock = None if times is None else parse_seconds("--times", times)
        ids: list[RawId] = [*parse_list(session)]
        items = None if item is None else parse_list(item)
        told = [recommender.explain(ids, k, items=items, times=clock, user=user, now=now)]
    if layer is not None:
        told = [why.layer(layer) for why in told]
    if found:
        _show_examples(found)
    else:
        _show(told[0])
    if figure is not None:
        model = recommender.artifact.model.name
        draw_explanations(
            told,
            figure,
            names=[f"session {example.session}" for example in found] or ["session"],
            title=f"{model}: example sessions, part {part}"
            if found
            else f"Why {model} names these",
        )
        say(f"drawn into {figure}")
    if as_json:
        asked: list[dict[str, object]] = [{"session": e.session, "next": e.next} for e in found]
        asked = asked or [{"session": None, "next": None}]
        explanations = [at | asdict(why) for at, why in zip(asked, told, strict=True)]
        print_json("explain/1", {"explanations": explanations})


def _show(why: Explanation) -> None:
    stands = zip(why.items, _ranks(why.now.ranks), why.now.scores, why.now.leads, strict=True)
    table(
        f"{why.model}, after {_ids(why.clicks)}",
        ["item", "rank", "score", "over the mean"],
        [[str(item), rank, *map(shown, two)] for item, rank, *two in stands],
    )
    weights = [dict(zip(one.clicks, one.weights, strict=True)) for one in why.attention]
    table(
        "Each click: attention to it, and how far each item falls without it, over the mean (→ its "
        "rank then)",
        ["click", *(one.layer for one in why.attention), *map(str, why.items)],
        [
            [str(click), *(_weight(layer.get(n)) for layer in weights), *_falls(why, n)]
            for n, click in enumerate(why.clicks)
        ],
    )
    for one in why.attention:
        if one.map is not None:
            read = [str(why.clicks[at]) for at in one.clicks]
            if len(read) > _MOST_CLICKS:
                say(f"{one.layer}: {len(read)} × {len(read)} weights; see them with --figure")
                continue
            rows = zip(read, one.map, strict=True)
            table(
                f"{one.layer}: what each click takes from those before it",
                ["click", *read],
                [[name, *(_weight(w) for w in row)] for name, row in rows],
            )
    _show_others(why)
    if why.note:
        say(why.note)


def _show_others(why: Explanation) -> None:
    if why.parts is not None:
        given = [*zip(why.clicks, why.parts.clicks, strict=True), *why.parts.rest.items()]
        table(
            "What the score of each item is a sum of",
            ["", *map(str, why.items)],
            [[str(name), *map(shown, parts)] for name, parts in given],
        )
    if why.neighbors:
        table(
            "Sessions of the log that vote most",
            ["session", "similarity", "vote"],
            [
                [_voter(one.items, one.session), shown(one.similarity), shown(one.vote)]
                for one in why.neighbors
            ],
        )
    if why.links:
        table(
            "Active neighbors in the graph of the days, with weights",
            ["click", "neighbors"],
            [
                [
                    str(link.item),
                    ", ".join(
                        f"{other} {shown(weight, 3)}"
                        for other, weight in zip(link.neighbors, link.weights, strict=True)
                    )
                    or "none",
                ]
                for link in why.links
            ],
        )


def _show_examples(found: list[Example]) -> None:
    rows = []
    for example in found:
        why = example.why
        fall = [why.now.leads[0] - stands.leads[0] for stands in why.without]
        most = max(range(len(fall)), key=lambda n: fall[n])
        rows.append(
            [
                str(example.session),
                len(why.clicks),
                str(example.next),
                *_ranks(why.now.ranks),
                f"{why.clicks[most]} ({len(fall) - most} from the end)",
            ]
        )
    table(
        f"{found[0].why.model}: what was clicked next, and the click without which it falls most",
        ["session", "clicks", "next", "rank", "falls most without"],
        rows,
    )


def _falls(why: Explanation, click: int) -> list[str]:
    then = why.without[click]
    falls = [was - now for was, now in zip(why.now.leads, then.leads, strict=True)]
    return [
        f"{shown(fall, 3)} → {rank}" for fall, rank in zip(falls, _ranks(then.ranks), strict=True)
    ]


def _ranks(ranks: list[int | None]) -> list[str]:
    return ["none" if rank is None else f"{rank:,}" for rank in ranks]


def _weight(weight: object) -> str:
    return f"{weight:.3f}" if isinstance(weight, float) else ""


def _voter(items: list[RawId] | None, session: int | None) -> str:
    return f"number {session}" if items is None else _ids(items[:_MOST_ITEMS])


def _ids(items: list[RawId]) -> str:
    return ", ".join(map(str, items))
