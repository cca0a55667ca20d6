"""`nextclick recommend`: the next clicks of one session, or of each session of a table."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from nextclick.cli.batch_options import (
    BATCH,
    BATCH_READING,
    BatchFiles,
    check_batch,
    check_single,
    recommend_table,
)
from nextclick.cli.dataclass_options import TypedOptions
from nextclick.cli.item_rule_options import ITEM_RULES, ItemRuleOptions
from nextclick.cli.output import ArtifactPath, IdsAsText, Json, format_score, print_json, say, table
from nextclick.cli.parsing import quote_ids
from nextclick.cli.prepare_flags import prepare_options
from nextclick.cli.session_options import SESSION, SessionOptions
from nextclick.data.options import PrepareOptions
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from nextclick.core.item_rules import ItemRules
    from nextclick.serving import Recommendation


def recommend_command(
    artifact: ArtifactPath,
    context: Annotated[TypedOptions[SessionOptions], SESSION],
    items: Annotated[TypedOptions[ItemRuleOptions], ITEM_RULES],
    files: Annotated[TypedOptions[BatchFiles], BATCH],
    reading: Annotated[TypedOptions[PrepareOptions], BATCH_READING],
    k: Annotated[int, typer.Option("-k", help="Number of items.")] = 20,
    ids_as_text: IdsAsText = False,
    as_json: Json = False,
) -> None:
    """Recommend the k most likely next clicks of a session, or of each of a table.

    \b
        nextclick recommend model --session 214536502,214536500 -k 5
        nextclick recommend model --session 214536502 --exclude-seen --block 214536500
        nextclick recommend model --session 214536502 --diversity 0.3 --pin 214536500@1
        nextclick recommend model --session '"shirt, red",shoe'
        nextclick recommend model --session shoe --history shirt,hat --history shoe,sock
        nextclick recommend model --session "" --user u7 --history-from store
        nextclick recommend model --sessions clicks.parquet -o recommendations.parquet
        nextclick recommend model --sessions now.csv --history-from store -o out.parquet
    """  # noqa: D301
    from nextclick.serving import Recommender

    rules, batch = items.apply().rules(), files.apply()
    if batch.sessions is not None:
        from nextclick.experiments.batch_options import BatchOptions

        check_batch(context.values)
        read = prepare_options(reading).read
        one = context.apply()
        options = BatchOptions(
            k, rules, one.now, batch.lists, ids_as_text, read, history_from=one.history_from
        )
        recommend_table(artifact, batch, options, as_json=as_json)
        return
    check_single(files, reading)
    session = context.apply()
    ids = session.ids()
    if ids is None:
        raise ConfigError(
            "recommend needs the clicks: --session, --click or --session-file, or a table of "
            "sessions: --sessions"
        )
    recommendation = Recommender.load(artifact, ids_as_text=ids_as_text).recommend(
        [ids],
        k,
        times=None if session.times is None else [session.times],
        now=session.now,
        users=[session.user],
        history=[session.earlier_sessions()],
        rules=rules,
    )[0]
    _show(recommendation, rules, f"After {quote_ids(ids)}" if ids else "First click")
    if as_json:
        print_json("recommend/1", asdict(recommendation))


def _show(answer: Recommendation, rules: ItemRules, title: str) -> None:
    table(title, *_table(answer, rules))
    if answer.note:
        say(answer.note)


def _table(answer: Recommendation, rules: ItemRules) -> tuple[list[str], list[list[str]]]:
    """The columns and rows of the recommended items."""
    pinned = {str(raw) for raw in rules.pin}
    columns, rows = ["rank", "item", "score"], []
    for rank, (item, score) in enumerate(zip(answer.items, answer.scores, strict=True), 1):
        unscored = "pinned" if str(item) in pinned else "popular"
        rows.append([str(rank), str(item), unscored if score is None else format_score(score)])
    if answer.propensity is not None:
        columns.append("propensity")
        for row, propensity in zip(rows, answer.propensity, strict=True):
            row.append(f"{propensity:.4g}")
    return columns, rows
