"""`nextclick explain`: explanations of recommendations."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.output import ArtifactPath, IdsAsText, Json, format_score, print_json, say, table
from nextclick.cli.parsing import parse_ids
from nextclick.cli.session_options import SESSION, SessionOptions
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from nextclick.core.types import RawId
    from nextclick.experiments.example_explanations import Example
    from nextclick.serving import Explanation, Recommender

_MAX_CLICKS = 12  # columns of an attention map that fit a terminal
_MAX_ITEMS = 8  # of a neighbor session


@dataclass(frozen=True, slots=True)
class ExplanationOptions:
    """What is explained, and how it is shown."""

    item: Annotated[
        list[str] | None,
        Field(description="items to explain, as for --session; repeatable"),
    ] = None
    layer: Annotated[str | None, Field(description="attention layer to show")] = None
    figure: Annotated[
        Path | None, Field(description="plot the explanation to this .png or .svg file")
    ] = None


@dataclass(frozen=True, slots=True)
class ExampleOptions:
    """Which sessions of a store are explained in place of a session."""

    store: Annotated[str | None, Field(description="store of the example sessions")] = None
    examples: Annotated[int, Field(description="number of sessions")] = 10
    part: Annotated[str, Field(description="their split: train, train_inner, valid or test")] = (
        "test"
    )
    min_clicks: Annotated[
        int, Field(description="minimum number of clicks before the last one")
    ] = 5
    seed: Annotated[int, Field(description="seed of the sample of sessions")] = 0


def explain_command(
    artifact: ArtifactPath,
    context: Annotated[TypedOptions[SessionOptions], SESSION],
    view: Annotated[
        TypedOptions[ExplanationOptions],
        OptionGroup("Explanation", defaults={"item": "the recommended items", "layer": "all"}),
    ],
    examples: Annotated[TypedOptions[ExampleOptions], OptionGroup("Example sessions")],
    k: Annotated[
        int,
        typer.Option(
            "-k", help="Number of recommended items to explain.", rich_help_panel="Explanation"
        ),
    ] = 5,
    ids_as_text: IdsAsText = False,
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
    from nextclick.experiments.example_explanations import check_figure_path, draw_explanations
    from nextclick.serving import Recommender

    view_options, source, session = view.apply(), examples.apply(), context.apply()
    if (session.ids() is None) == (source.store is None):
        raise ConfigError(
            "explain needs either --session with item ids, or --store with example sessions; got "
            f"{'neither' if source.store is None else 'both'}"
        )
    if view_options.figure is not None:
        check_figure_path(view_options.figure)
    recommender = Recommender.load(artifact, ids_as_text=ids_as_text)
    samples, explanations = _explain(recommender, session, k, view_options, source)
    if view_options.layer is not None:
        explanations = [explanation.layer(view_options.layer) for explanation in explanations]
    if view_options.figure is not None:
        draw_explanations(
            explanations,
            view_options.figure,
            names=[f"session {example.session}" for example in samples] or ["session"],
            title=f"{explanations[0].model}: example sessions, part {source.part}"
            if samples
            else f"Recommendations of {explanations[0].model}, explained",
        )
        say(f"plotted to {view_options.figure}")
    if samples:
        _show_examples(samples)
    else:
        _show(explanations[0])
    if as_json:
        rows: list[dict[str, object]] = [
            {"session": e.session, "target": e.target} for e in samples
        ]
        rows = rows or [{"session": None, "target": None}]
        joined = [row | asdict(e) for row, e in zip(rows, explanations, strict=True)]
        print_json("explain/1", {"explanations": joined})


def _explain(
    recommender: Recommender,
    session: SessionOptions,
    k: int,
    view: ExplanationOptions,
    source: ExampleOptions,
) -> tuple[list[Example], list[Explanation]]:
    """The example sessions, if any, and the explanations."""
    from nextclick.experiments.example_explanations import explain_examples

    if source.store is not None:
        samples = explain_examples(
            recommender,
            source.store,
            n=source.examples,
            part=source.part,
            min_clicks=source.min_clicks,
            seed=source.seed,
        )
        return samples, [example.explanation for example in samples]
    ids: list[RawId] = [*(session.ids() or [])]
    items: list[RawId] | None = None
    if view.item is not None:
        items = [one for text in view.item for one in parse_ids("--item", text)]
    explanation = recommender.explain(
        ids,
        k,
        items=items,
        times=session.times,
        user=session.user,
        now=session.now,
        history=session.earlier_sessions(),
    )
    return [], [explanation]


def _show(explanation: Explanation) -> None:
    now = explanation.now
    rows = zip(explanation.items, _ranks(now.ranks), now.scores, now.above_mean, strict=True)
    table(
        f"{explanation.model}, after {_ids(explanation.clicks)}",
        ["item", "rank", "score", "above mean"],
        [
            [str(item), rank, format_score(score), format_score(above_mean)]
            for item, rank, score, above_mean in rows
        ],
    )
    weights = [dict(zip(a.clicks, a.weights, strict=True)) for a in explanation.attention]
    table(
        "Each click: its attention, and the decrease of the score of each item above the mean "
        "without it (→ rank without it)",
        ["click", *(a.layer for a in explanation.attention), *map(str, explanation.items)],
        [
            [
                str(click),
                *(_weight(layer.get(n)) for layer in weights),
                *_decreases(explanation, n),
            ]
            for n, click in enumerate(explanation.clicks)
        ],
    )
    for attention in explanation.attention:
        _show_map(explanation, attention)
    _show_contributions(explanation)
    _show_neighbors(explanation)
    if explanation.note:
        say(explanation.note)


def _show_map(explanation: Explanation, attention: Any) -> None:
    if attention.map is None:
        return
    names = [str(explanation.clicks[position]) for position in attention.clicks]
    if len(names) > _MAX_CLICKS:
        say(f"{attention.layer}: {len(names)} × {len(names)} weights; plot them with --figure")
        return
    table(
        f"{attention.layer}: attention of each click to those before it",
        ["click", *names],
        [
            [name, *(_weight(weight) for weight in row)]
            for name, row in zip(names, attention.map, strict=True)
        ],
    )


def _show_contributions(explanation: Explanation) -> None:
    parts = explanation.parts
    if parts is None:
        return
    contributions = [*zip(explanation.clicks, parts.clicks, strict=True), *parts.rest.items()]
    table(
        "Contributions to the score of each item",
        ["", *map(str, explanation.items)],
        [[str(source), *map(format_score, values)] for source, values in contributions],
    )


def _show_neighbors(explanation: Explanation) -> None:
    if explanation.neighbors:
        table(
            "Sessions of the log with the largest votes for these items",
            ["session", "times", "similarity", "vote"],
            [
                [
                    _session_name(neighbor.items, neighbor.session),
                    str(neighbor.count),
                    format_score(neighbor.similarity),
                    format_score(neighbor.vote),
                ]
                for neighbor in explanation.neighbors
            ],
        )
    if explanation.links:
        table(
            "Active neighbors in the temporal item graph, with weights",
            ["click", "neighbors"],
            [
                [str(link.item), _weighted_items(link.neighbors, link.weights) or "none"]
                for link in explanation.links
            ],
        )


def _show_examples(samples: list[Example]) -> None:
    rows = []
    for example in samples:
        explanation = example.explanation
        now = explanation.now
        decreases = [now.above_mean[0] - without.above_mean[0] for without in explanation.without]
        largest = max(range(len(decreases)), key=lambda n: decreases[n])
        rows.append(
            [
                str(example.session),
                len(explanation.clicks),
                str(example.target),
                *_ranks(now.ranks),
                f"{explanation.clicks[largest]} ({len(decreases) - largest} from the end)",
            ]
        )
    table(
        f"{samples[0].explanation.model}: the next click, and the click whose removal lowers its "
        "score most",
        ["session", "clicks", "next", "rank", "most important click"],
        rows,
    )


def _decreases(explanation: Explanation, click: int) -> list[str]:
    """The decrease of the score of each item without a click, and its rank without the click."""
    without = explanation.without[click]
    above_mean = zip(
        explanation.now.above_mean, without.above_mean, _ranks(without.ranks), strict=True
    )
    return [f"{format_score(now - then, 3)} → {rank}" for now, then, rank in above_mean]


def _ranks(ranks: list[int | None]) -> list[str]:
    return ["none" if rank is None else f"{rank:,}" for rank in ranks]


def _weight(weight: object) -> str:
    return f"{weight:.3f}" if isinstance(weight, float) else ""


def _weighted_items(items: list[RawId], weights: list[float]) -> str:
    pairs = zip(items, weights, strict=True)
    return ", ".join(f"{item} {format_score(weight, 3)}" for item, weight in pairs)


def _session_name(items: list[RawId] | None, session: int | None) -> str:
    return f"number {session}" if items is None else _ids(items[:_MAX_ITEMS])


def _ids(items: list[RawId]) -> str:
    return ", ".join(map(str, items))
