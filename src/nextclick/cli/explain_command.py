"""`nextclick explain`: explanations of recommendations."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import Field

from nextclick.cli.dataclass_options import Given, OptionGroup
from nextclick.cli.output import Json, format_score, print_json, say, table
from nextclick.cli.parsing import parse_list
from nextclick.cli.session_options import SESSION, SessionContext
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from nextclick.core.types import RawId
    from nextclick.experiments.example_explanations import Example
    from nextclick.serving import Explanation

_MAX_CLICKS = 12  # columns of an attention map that fit a terminal
_MAX_ITEMS = 8  # of a neighbor session


@dataclass(frozen=True, slots=True)
class ExplanationOptions:
    """What is explained, and how it is shown."""

    item: Annotated[str | None, Field(description="items to explain, such as A,B")] = None
    layer: Annotated[str | None, Field(description="attention layer to show")] = None
    figure: Annotated[
        Path | None, Field(description="plot the explanation to this .png or .svg file")
    ] = None


@dataclass(frozen=True, slots=True)
class ExampleOptions:
    """Which sessions of a store are explained in place of --session."""

    store: Annotated[Path | None, Field(description="store of the example sessions")] = None
    examples: Annotated[int, Field(description="number of sessions")] = 10
    part: Annotated[str, Field(description="their split: train, train_inner, valid or test")] = (
        "test"
    )
    least: Annotated[int, Field(description="minimum number of clicks before the last one")] = 5
    seed: Annotated[int, Field(description="seed of the sample of sessions")] = 0


def explain_command(
    artifact: Annotated[
        Path, typer.Argument(help="Folder of an artifact, from `train`, or a registry.")
    ],
    context: Annotated[Given[SessionContext], SESSION],
    view: Annotated[
        Given[ExplanationOptions],
        OptionGroup("Explanation", defaults={"item": "the recommended items", "layer": "all"}),
    ],
    examples: Annotated[Given[ExampleOptions], OptionGroup("Example sessions")],
    session: Annotated[
        str | None,
        typer.Option(
            "--session",
            "-s",
            help="Clicked item ids, the last click last.",
            show_default=False,
            rich_help_panel="Session",
        ),
    ] = None,
    k: Annotated[
        int,
        typer.Option(
            "-k", help="Number of recommended items to explain.", rich_help_panel="Explanation"
        ),
    ] = 5,
    as_json: Json = False,
) -> None:
    """Explain the recommendations for a session.

    For every model: by how much the score and the rank of each item fall without each click. For
    models that provide it: attention to each click, the sessions of the log that vote, neighbors in
    the temporal item graph, and the contribution of each click to the score. Plots need the extra
    `report`.

    \b
        nextclick explain model --session 214536502,214536500 --figure why.png
        nextclick explain model --store store --examples 10 --figure attention.png
    """  # noqa: D301
    from nextclick.experiments.example_explanations import check_figure, draw_explanations

    chosen, source = view.apply(), examples.apply()
    if (session is None) == (source.store is None):
        raise ConfigError(
            "explain needs either --session with item ids, or --store with example sessions; got "
            f"{'neither' if session is None else 'both'}"
        )
    if chosen.figure is not None:
        check_figure(chosen.figure)
    samples, explanations, model = _explain(artifact, session, k, context, chosen, source)
    if chosen.layer is not None:
        explanations = [why.layer(chosen.layer) for why in explanations]
    if samples:
        _show_examples(samples)
    else:
        _show(explanations[0])
    if chosen.figure is not None:
        draw_explanations(
            explanations,
            chosen.figure,
            names=[f"session {example.session}" for example in samples] or ["session"],
            title=f"{model}: example sessions, part {source.part}"
            if samples
            else f"Recommendations of {model}, explained",
        )
        say(f"plotted to {chosen.figure}")
    if as_json:
        rows: list[dict[str, object]] = [{"session": e.session, "next": e.next} for e in samples]
        rows = rows or [{"session": None, "next": None}]
        joined = [row | asdict(why) for row, why in zip(rows, explanations, strict=True)]
        print_json("explain/1", {"explanations": joined})


def _explain(
    artifact: Path,
    session: str | None,
    k: int,
    context: Given[SessionContext],
    view: ExplanationOptions,
    source: ExampleOptions,
) -> tuple[list[Example], list[Explanation], str]:
    """The example sessions, if any, the explanations, and the name of the model."""
    from nextclick.artifact.version_registry import artifact_folder
    from nextclick.experiments.example_explanations import explain_examples
    from nextclick.serving import Recommender

    recommender = Recommender.load(artifact_folder(artifact))
    model = recommender.artifact.model.name
    if source.store is not None:
        samples = explain_examples(
            recommender,
            source.store,
            n=source.examples,
            part=source.part,
            least=source.least,
            seed=source.seed,
        )
        return samples, [example.why for example in samples], model
    known = context.apply()
    ids: list[RawId] = [*parse_list(session or "")]
    items = None if view.item is None else parse_list(view.item)
    why = recommender.explain(
        ids, k, items=items, times=known.times, user=known.user, now=known.now
    )
    return [], [why], model


def _show(why: Explanation) -> None:
    rows = zip(why.items, _ranks(why.now.ranks), why.now.scores, why.now.leads, strict=True)
    table(
        f"{why.model}, after {_ids(why.clicks)}",
        ["item", "rank", "score", "above mean"],
        [[str(item), rank, *map(format_score, two)] for item, rank, *two in rows],
    )
    weights = [dict(zip(one.clicks, one.weights, strict=True)) for one in why.attention]
    table(
        "Each click: its attention, and the fall of the score of each item above the mean "
        "without it (→ rank without it)",
        ["click", *(one.layer for one in why.attention), *map(str, why.items)],
        [
            [str(click), *(_weight(layer.get(n)) for layer in weights), *_falls(why, n)]
            for n, click in enumerate(why.clicks)
        ],
    )
    for one in why.attention:
        _show_map(why, one)
    _show_others(why)
    if why.note:
        say(why.note)


def _show_map(why: Explanation, attention: Any) -> None:
    if attention.map is None:
        return
    names = [str(why.clicks[at]) for at in attention.clicks]
    if len(names) > _MAX_CLICKS:
        say(f"{attention.layer}: {len(names)} × {len(names)} weights; plot them with --figure")
        return
    table(
        f"{attention.layer}: attention of each click to those before it",
        ["click", *names],
        [
            [name, *(_weight(w) for w in row)]
            for name, row in zip(names, attention.map, strict=True)
        ],
    )


def _show_others(why: Explanation) -> None:
    if why.parts is not None:
        given = [*zip(why.clicks, why.parts.clicks, strict=True), *why.parts.rest.items()]
        table(
            "Contributions to the score of each item",
            ["", *map(str, why.items)],
            [[str(name), *map(format_score, parts)] for name, parts in given],
        )
    if why.neighbors:
        table(
            "Sessions of the log with the largest votes",
            ["session", "similarity", "vote"],
            [
                [
                    _voter(one.items, one.session),
                    format_score(one.similarity),
                    format_score(one.vote),
                ]
                for one in why.neighbors
            ],
        )
    if why.links:
        table(
            "Active neighbors in the temporal item graph, with weights",
            ["click", "neighbors"],
            [
                [
                    str(link.item),
                    ", ".join(
                        f"{other} {format_score(weight, 3)}"
                        for other, weight in zip(link.neighbors, link.weights, strict=True)
                    )
                    or "none",
                ]
                for link in why.links
            ],
        )


def _show_examples(samples: list[Example]) -> None:
    rows = []
    for example in samples:
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
        f"{samples[0].why.model}: the next click, and the click whose removal lowers its score "
        "most",
        ["session", "clicks", "next", "rank", "most important click"],
        rows,
    )


def _falls(why: Explanation, click: int) -> list[str]:
    then = why.without[click]
    falls = [was - now for was, now in zip(why.now.leads, then.leads, strict=True)]
    return [
        f"{format_score(fall, 3)} → {rank}"
        for fall, rank in zip(falls, _ranks(then.ranks), strict=True)
    ]


def _ranks(ranks: list[int | None]) -> list[str]:
    return ["none" if rank is None else f"{rank:,}" for rank in ranks]


def _weight(weight: object) -> str:
    return f"{weight:.3f}" if isinstance(weight, float) else ""


def _voter(items: list[RawId] | None, session: int | None) -> str:
    return f"number {session}" if items is None else _ids(items[:_MAX_ITEMS])


def _ids(items: list[RawId]) -> str:
    return ", ".join(map(str, items))
