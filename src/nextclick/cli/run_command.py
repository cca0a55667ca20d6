"""`nextclick run`: from a click log to a leaderboard in one command."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.item_rule_options import ItemRuleOptions, with_item_rules
from nextclick.cli.output import Json, Overwrite, print_json, say, show
from nextclick.cli.parsing import parse_cutoffs, parse_duration, parse_list, quote_ids
from nextclick.cli.prepare_flags import (
    Prepare,
    Sources,
    TestSources,
    help_tables,
    prepare_options,
)
from nextclick.cli.progress import progress_bar
from nextclick.cli.ranking_options import SegmentNames
from nextclick.experiments.comparison_options import Track, TrainOn
from nextclick.experiments.search_options import MinPrefix

if TYPE_CHECKING:
    from nextclick.data.store import Store
    from nextclick.experiments.comparison import ComparisonResult
    from nextclick.experiments.comparison_options import CompareOptions
    from nextclick.experiments.default_comparison import Choice, TrainingLimit

__all__ = ["help_tables", "run_command"]

# bpr-mf and fpmc, which `compare` also trains by default, compile kernels for seconds
COUNTING_MODELS = ("pop", "s-pop", "item-knn", "markov", "rules", "session-knn")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Which models are compared, and how."""

    models: Annotated[
        str | None,
        Field(
            description="models, such as pop,narm@global; see `compare`. By default session-knn, "
            "cosine-gru and the blend, or six counting models without PyTorch"
        ),
    ] = None
    budget: Annotated[
        float | None,
        Field(
            gt=0,
            description="approximate time to train the default models, such as 30m or 2h; without "
            "it they are trained to their end, ten to twenty minutes for a million clicks on two "
            "cores",
        ),
    ] = None
    ks: Annotated[str, Field(description="cut-offs K")] = "5,10,20"
    min_prefix: MinPrefix = 1
    by: SegmentNames = ()
    train_on: TrainOn = "all"
    track: Track = ()
    items: ItemRuleOptions = field(default_factory=ItemRuleOptions)


Resume = Annotated[
    bool,
    typer.Option("--resume", help="Continue an interrupted run with the store that it prepared."),
]


def run_command(
    sources: Sources,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the store and the models.")
    ],
    options: Prepare,
    compared: Annotated[
        TypedOptions[RunOptions],
        with_item_rules(
            OptionGroup(
                flags={"models": ("--models", "-m"), "ks": ("-k",)},
                defaults={"budget": "unlimited"},
                parse={"budget": parse_duration},
            ),
        ),
    ],
    test: TestSources = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Prepare a log, then train and compare models on it.

    By default session-based k-NN, Cosine-GRU and a blend are trained. The validation selects
    one of them, and the test measures all three once. --models names other models.

    \b
        nextclick run clicks.csv -o shop
        nextclick run clicks.csv -o shop --budget 5m
        nextclick run clicks.csv -o shop --models pop,session-knn,narm --split fraction

    The folder gets `store`, the report `models/report.html` and, for each model,
    `models/NAME/artifact`. After Ctrl-C, rerun the same command with --resume.
    """  # noqa: D301
    from nextclick.cli.leaderboard_table import comparison_results
    from nextclick.cli.prepare_command import prepare_results, show_report
    from nextclick.data.prepare_store import prepare
    from nextclick.data.store import Store
    from nextclick.experiments.model_specs import parse_model_specs

    requested, checked = compared.apply(), prepare_options(options)
    names = _model_names(requested)
    parse_cutoffs(requested.ks)
    parse_model_specs(COUNTING_MODELS if names is None else names, {})
    if resume and (output / "store").exists():
        store, prepared_fields = Store.open(output / "store"), {}
    else:
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
        store, prepared_fields = prepared.store, prepare_results(prepared)
    compare_options = _compare_options(requested, store)
    if names is None:
        comparison = _run_default(store, output, compare_options, requested.budget, overwrite)
    else:
        comparison = _run_named(store, output, names, compare_options, overwrite)
    if as_json:
        print_json("run/1", prepared_fields | comparison_results(comparison))


def _model_names(requested: RunOptions) -> list[str] | None:
    """The named models; None for the default ones, if PyTorch is installed."""
    from nextclick.errors import ConfigError

    if requested.models is not None:
        if requested.budget is not None:
            raise ConfigError(
                f"--budget limits the default models, got it with --models {requested.models}; "
                "limit a named model by max_steps, such as narm@max_steps=2000"
            )
        return parse_list(requested.models)
    if find_spec("torch") is not None:
        return None
    say(
        "PyTorch is not installed, so counting models are compared: pip install 'nextclick[neural]'"
    )
    return list(COUNTING_MODELS)


def _compare_options(requested: RunOptions, store: Store) -> CompareOptions:
    from nextclick.experiments.artifact_evaluation import store_protocol
    from nextclick.experiments.comparison_options import CompareOptions

    protocol = replace(
        store_protocol(store), min_prefix=requested.min_prefix, rules=requested.items.rules()
    )
    return CompareOptions(
        ks=parse_cutoffs(requested.ks),
        protocol=protocol,
        by=requested.by,
        train_on=requested.train_on,
        track=requested.track,
    )


def _run_named(
    store: Store, output: Path, names: list[str], options: CompareOptions, overwrite: bool
) -> ComparisonResult:
    """Compare the named models, and say which is best on the test."""
    from nextclick.cli.leaderboard_table import show_comparison
    from nextclick.experiments.comparison import compare

    with progress_bar() as progress:
        comparison = compare(
            store, names, output / "models", options, overwrite=overwrite, progress=progress
        )
    show_comparison(comparison)
    for first in comparison.numbers["leaderboard"][:1]:  # empty if every model failed
        artifact = output / "models" / first["folders"][0] / "artifact"
        words = ["nextclick", "recommend", str(artifact), "--session", _example(store)]
        conclusion = _conclusion(comparison.numbers["summary"])
        show(f"\n{conclusion}; get recommendations with\n  {shlex.join(words)}")
    return comparison


def _run_default(
    store: Store, output: Path, options: CompareOptions, budget: float | None, overwrite: bool
) -> ComparisonResult:
    """Compare the default models, and say which one the validation selects."""
    from nextclick.cli.leaderboard_table import show_comparison
    from nextclick.experiments.default_comparison import compare_by_default

    with progress_bar() as progress:
        comparison, choice = compare_by_default(
            store,
            output,
            options,
            budget=budget,
            overwrite=overwrite,
            progress=progress,
        )
    show_comparison(comparison)
    if choice is not None:
        words = shlex.join(["nextclick", "serve", str(choice.folder)])
        show(f"\n{_selection(choice, comparison)}; serve it with\n  {words}")
        if choice.limit is not None:
            show(_missing_training(choice.limit))
    return comparison


def _selection(choice: Choice, comparison: ComparisonResult) -> str:
    """One sentence: the selected model, by how much, and its result on the test."""
    from nextclick.core.metrics import metric_label
    from nextclick.experiments.order_of_time import describe_order

    name = metric_label(choice.metric)
    own = choice.validated[choice.label][choice.metric]
    others = ", ".join(
        f"{label} {values[choice.metric]:.2%}"
        for label, values in choice.validated.items()
        if label != choice.label
    )
    sentence = f"the validation selects {choice.label}: {name} {own:.2%} ({others})"
    for row in comparison.numbers["leaderboard"]:
        if row["label"] == choice.label and choice.metric in row["metrics"]:
            value = row["metrics"][choice.metric]["value"]
            sentence += f"; on the test it has {value:.2%}"
    if choice.order is not None:
        sentence += f"; Cosine-GRU trains on {describe_order(choice.order)}"
    return sentence


def _missing_training(limit: TrainingLimit) -> str:
    """One sentence: what the budget left out."""
    from nextclick.core.metrics import metric_label

    sentence = (
        f"the budget ended the training of Cosine-GRU after {limit.steps:,} of "
        f"{limit.all_steps:,} steps; all of them take about {limit.all_seconds / 60:.0f} minutes"
    )
    if limit.last_gain is not None:
        name = metric_label(limit.metric)
        sentence += f". Its last third raised {name} on the validation by {limit.last_gain:.2%}"
    return sentence


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
