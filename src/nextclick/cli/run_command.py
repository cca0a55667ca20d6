"""`nextclick run`: from a click log to a leaderboard in one command."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.item_rule_options import ItemRuleOptions, with_item_rules
from nextclick.cli.output import Json, Overwrite, print_json, show
from nextclick.cli.parsing import parse_cutoffs, parse_list, quote_ids
from nextclick.cli.prepare_flags import (
    Prepare,
    Sources,
    TestSources,
    help_tables,
    prepare_options,
)
from nextclick.cli.progress import progress_bar
from nextclick.cli.ranking_options import SegmentNames
from nextclick.experiments.comparison_options import TrainOn
from nextclick.experiments.search_options import MinPrefix

if TYPE_CHECKING:
    from nextclick.data.store import Store

__all__ = ["help_tables", "run_command"]

# bpr-mf and fpmc, which `compare` also trains by default, compile kernels for seconds
COUNTING_MODELS = ("pop", "s-pop", "item-knn", "markov", "rules", "session-knn")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Which models are compared, and how."""

    models: Annotated[str, Field(description="models, such as pop,narm@global; see `compare`")] = (
        ",".join(COUNTING_MODELS)
    )
    ks: Annotated[str, Field(description="cut-offs K")] = "5,10,20"
    min_prefix: MinPrefix = 1
    by: SegmentNames = ()
    train_on: TrainOn = "all"
    items: ItemRuleOptions = field(default_factory=ItemRuleOptions)


def run_command(
    sources: Sources,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the store and the models.")
    ],
    options: Prepare,
    compared: Annotated[
        TypedOptions[RunOptions],
        with_item_rules(
            OptionGroup(flags={"models": ("--models", "-m"), "ks": ("-k",)}),
        ),
    ],
    test: TestSources = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Prepare a log, then train and compare models on it.

    By default the six counting models are compared; --models names others.

    \b
        nextclick run clicks.csv -o shop
        nextclick run clicks.csv -o shop --models pop,session-knn,narm --split fraction

    The folder gets `store`, the report `models/report.html` and, for each model,
    `models/NAME/artifact`.
    """  # noqa: D301
    from nextclick.cli.leaderboard_table import comparison_results, show_comparison
    from nextclick.cli.prepare_command import prepare_results, show_report
    from nextclick.data.prepare_store import prepare
    from nextclick.experiments.artifact_evaluation import store_protocol
    from nextclick.experiments.comparison import compare
    from nextclick.experiments.comparison_options import CompareOptions
    from nextclick.experiments.model_specs import parse_model_specs

    requested, checked = compared.apply(), prepare_options(options)
    names, cutoffs = parse_list(requested.models), parse_cutoffs(requested.ks)
    parse_model_specs(names, {})
    _check_new(output, overwrite=overwrite)
    with progress_bar() as progress:
        prepared = prepare(
            sources,
            output / "store",
            test=test or None,
            options=checked,
            overwrite=overwrite,
            progress=progress,
        )
    show_report(prepared)
    protocol = replace(
        store_protocol(prepared.store),
        min_prefix=requested.min_prefix,
        rules=requested.items.rules(),
    )
    with progress_bar() as progress:
        comparison = compare(
            prepared.store,
            names,
            output / "models",
            CompareOptions(
                ks=cutoffs, protocol=protocol, by=requested.by, train_on=requested.train_on
            ),
            overwrite=overwrite,
            progress=progress,
        )
    show_comparison(comparison)
    for first in comparison.numbers["leaderboard"][:1]:  # empty if every model failed
        artifact = output / "models" / first["folders"][0] / "artifact"
        words = ["nextclick", "recommend", str(artifact), "--session", _example(prepared.store)]
        conclusion = _conclusion(comparison.numbers["summary"])
        show(f"\n{conclusion}; get recommendations with\n  {shlex.join(words)}")
    if as_json:
        print_json("run/1", prepare_results(prepared) | comparison_results(comparison))


def _conclusion(summary: dict[str, Any]) -> str:
    best: list[str] = summary["best"]
    if len(best) == 1:
        return f"best model: {best[0]}"
    if best:
        return f"best models, which the test does not distinguish: {', '.join(best)}"
    reason = summary["no_best_reason"]
    return f"no best model, since the test does not distinguish the models ({reason})"


def _check_new(output: Path, *, overwrite: bool) -> None:
    from nextclick.errors import OutputError

    for part in ("store", "models"):
        if (output / part).exists() and not overwrite:
            raise OutputError(
                f"{output / part} already exists; choose another --output or add --overwrite"
            )


def _example(store: Store) -> str:
    clicks = store.part("test").session(0)
    return quote_ids(store.items.raw_ids(clicks[clicks > 0][:3]))
