"""`nextclick refresh`: yesterday's log into today's model."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from nextclick.artifact import Artifact
from nextclick.artifact.version_registry import artifact_folder, is_registry
from nextclick.cli.output import Json, Overwrite, print_json, progress_bar, say, table
from nextclick.cli.prepare_options import changed
from nextclick.cli.publish_command import told_of
from nextclick.core.metrics import metric_forms
from nextclick.data.increment import Overlap, options_of
from nextclick.data.options import PrepareOptions
from nextclick.errors import ConfigError
from nextclick.experiments.artifact_refresh import Refreshed, refresh
from nextclick.experiments.incremental_training import TuningOptions
from nextclick.experiments.publish_check import GateOptions, Verdict

KEPT_ASIDE = 3  # exit code

_READ, _GATE, _TUNE = "Reading (default: as the store was prepared)", "Gate", "Training on"


def _option(panel: str, help_text: str, *names: str) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=panel, show_default=False)


def refresh_command(
    artifact: Annotated[
        Path, typer.Argument(help="Artifact, or a registry: its current version is refreshed.")
    ],
    log: Annotated[
        list[Path], typer.Argument(help="The new log: files, folders or globs as for `prepare`.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A new folder for the artifact, or a registry to publish in. "
            "Default: the registry that is refreshed.",
            show_default=False,
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            help="The store of the first training: for --replay, and for item-knn, markov and "
            "rules that were trained without --refreshable.",
            show_default=False,
        ),
    ] = None,
    overlap: Annotated[
        str,
        typer.Option(
            help="Sessions that began before the artifact's last click and went on after it: "
            "whole keeps them so, cut leaves out their clicks up to it."
        ),
    ] = "whole",
    holdout: Annotated[
        float | None,
        _option(_GATE, "Share of the new sessions, the latest, to examine. 0: no gate. [0.1]"),
    ] = None,
    metric: Annotated[
        str | None, _option(_GATE, f"What is compared: {metric_forms()}. [recall@20]")
    ] = None,
    tolerance: Annotated[
        float | None, _option(_GATE, "How much worse a refresh may be, as a fraction. [0.01]")
    ] = None,
    epochs: Annotated[
        int | None,
        _option(
            _TUNE,
            "Passes over the new sessions, at most. 0 trains nothing: new items get rows, and a "
            "temporal graph advances. [1]",
        ),
    ] = None,
    minutes: Annotated[
        float | None, _option(_TUNE, "Stop after that many; the result cannot be repeated then.")
    ] = None,
    rate: Annotated[
        float | None, _option(_TUNE, "Share of the learning rate of the training. [0.5]")
    ] = None,
    replay: Annotated[
        float | None, _option(_TUNE, "Older sessions of the store for each new one. [0]")
    ] = None,
    seed: Annotated[int | None, _option(_TUNE, "Of everything random. [0]")] = None,
    device: Annotated[str | None, _option(_TUNE, "auto, cpu or cuda. [auto]")] = None,
    log_format: Annotated[str | None, _option(_READ, "See `prepare`.", "--format")] = None,
    session_column: Annotated[str | None, _option(_READ, "Its name.")] = None,
    user_column: Annotated[str | None, _option(_READ, "Its name.")] = None,
    item_column: Annotated[str | None, _option(_READ, "Its name.")] = None,
    time_column: Annotated[str | None, _option(_READ, "Its name.")] = None,
    event_column: Annotated[str | None, _option(_READ, "Its name.")] = None,
    separator: Annotated[str | None, _option(_READ, "Between fields.")] = None,
    time_unit: Annotated[str | None, _option(_READ, "s, ms, us, ns or iso.")] = None,
    events: Annotated[str | None, _option(_READ, "Event types that are clicks.")] = None,
    on_bad_row: Annotated[str | None, _option(_READ, "error, or skip and count.")] = None,
    min_item_support: Annotated[
        int | None, _option(_READ, "Clicks that a new item needs in the new log.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Go on learning from a newer log, and publish the result if it is not worse.

    \b
        nextclick refresh model yesterday.csv -o model-2
        nextclick refresh shop-models yesterday.csv

    The latest tenth of the new log is held out first; the current and the refreshed model are both
    ranked on it. A refresh that is worse is kept aside (`OUTPUT.rejected`, or `rejected/` of the
    registry) with the reason, and the exit code is 3. Otherwise the held-out part is learned, too.
    """  # noqa: D301
    if output is None and not is_registry(artifact):
        raise ConfigError(f"{artifact} is no registry: name the new artifact with --output")
    read = {
        "format": log_format,
        "separator": separator,
        "unit": time_unit,
        "events": tuple(events.split(",")) if events else None,
        "on_bad_row": on_bad_row,
    }
    columns = {
        "session": session_column,
        "user": user_column,
        "item": item_column,
        "time": time_column,
        "event": event_column,
    }
    folder = artifact_folder(artifact)
    options = None
    if any(v is not None for v in (*read.values(), *columns.values(), min_item_support)):
        options = _options(Artifact.load(folder), read, columns, min_item_support)
    with progress_bar() as told:
        found = refresh(
            artifact,
            list(log),
            output,
            options=options,
            gate=changed(GateOptions(), holdout=holdout, metric=metric, tolerance=tolerance),
            tuning=changed(
                TuningOptions(),
                epochs=epochs,
                minutes=minutes,
                rate=rate,
                replay=replay,
                seed=seed,
                device=device,
            ),
            store=store,
            overlap=cast("Overlap", overlap),
            overwrite=overwrite,
            progress=told,
        )
    _show(found)
    if as_json:
        print_json("refresh/1", to_json(found))
    if not found.accepted:
        raise typer.Exit(KEPT_ASIDE)


def to_json(found: Refreshed) -> dict[str, Any]:
    """A refresh as JSON types."""
    return {
        "accepted": found.accepted,
        "path": None if found.path is None else str(found.path),
        "version": None if found.version is None else told_of(found.version),
        "verdict": None if found.verdict is None else asdict(found.verdict),
        "report": found.report,
        "warnings": found.warnings,
        "refresh_seconds": found.seconds,
    }


def _options(
    base: Artifact,
    read: dict[str, Any],
    columns: dict[str, str | None],
    min_item_support: int | None,
) -> PrepareOptions:
    """How the store was prepared, under what was typed."""
    told = options_of(base.trained["protocol"], base.trained.get("prepared"))
    named = {role: name for role, name in columns.items() if name is not None}
    return replace(
        told,
        read=changed(told.read, columns=replace(told.read.columns, **named), **read),
        filters=changed(told.filters, min_item_support=min_item_support),
    )


def _show(found: Refreshed) -> None:
    report = found.report
    for warning in found.warnings:
        say(f"warning: {warning}")
    if found.verdict is not None:
        _show_verdict(found.verdict)
    say(
        f"{found.path}: {report['sessions']:,} new sessions with {report['events']:,} clicks and "
        f"{report['new_items']:,} new items, {report['way']} in {found.seconds:.2f} s"
    )
    if found.verdict is not None and found.verdict.reason is not None:
        say(f"kept aside, not published: {found.verdict.reason}")


def _show_verdict(verdict: Verdict) -> None:
    rows = [
        ["current", f"{verdict.current:.4f}", verdict.misses["current"]],
        ["refreshed", f"{verdict.refreshed:.4f}", verdict.misses["refreshed"]],
    ]
    table(
        f"Held out: {verdict.prefixes:,} prefixes of {verdict.sessions:,} sessions",
        ["version", verdict.metric, "unknown targets"],
        rows,
    )
    say(f"difference {verdict.difference:+.4f} [{verdict.low:+.4f}, {verdict.high:+.4f}]")
