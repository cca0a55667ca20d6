"""`nextclick refresh`: an updated model from a newer log."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.output import Json, Overwrite, print_json, say, show, table
from nextclick.cli.prepare_flags import Reading
from nextclick.cli.progress import progress_bar
from nextclick.errors import ConfigError
from nextclick.experiments.refresh_options import FineTuneOptions, PublishCheckOptions

if TYPE_CHECKING:
    from nextclick.experiments.artifact_refresh import RefreshResult
    from nextclick.experiments.publish_check import PublishDecision

EXIT_REJECTED = 3
_UPDATES = {
    "exact": "updated exactly",
    "by-block": "updated block by block",
    "fine-tune": "fine-tuned",
    "by-member": "each member updated in its own way",
}


@dataclass(frozen=True, slots=True)
class RefreshOptions:
    """Where new clicks come from, where the result goes, and which older sessions are available."""

    source: Annotated[
        str | None,
        Field(
            description="instead of LOG: the folder of `serve --event-log`, of which the clicks "
            "after the last one of the model are learned; or a topic, as kafka://HOST:PORT/TOPIC, "
            "or a stream, as redis://HOST:PORT/0?stream=NAME, of which each message is learned once"
        ),
    ] = None
    max_messages: Annotated[
        int | None,
        Field(ge=1, description="largest number of messages of a topic or stream that are learned"),
    ] = None
    max_seconds: Annotated[
        float | None,
        Field(gt=0, description="seconds after which no more messages of it are read"),
    ] = None
    dead_letters: Annotated[
        Path | None,
        Field(description="file to which messages of it are appended that are not clicks"),
    ] = None
    skip_expired: Annotated[
        bool,
        Field(
            description="continue with the oldest message of it if earlier ones were deleted unread"
        ),
    ] = False

    output: Annotated[
        str | None,
        Field(description="new folder or address of the artifact, or a registry to publish in"),
    ] = None
    store: Annotated[
        str | None,
        Field(
            description="store of the first training, for --replay, and for item-knn, markov and "
            "rules trained without --refreshable"
        ),
    ] = None
    items: Annotated[
        str | None,
        Field(
            description="newer item table, with the columns of that of the model; new items of a "
            "model with features begin with the vectors of their features"
        ),
    ] = None
    items_id_column: Annotated[
        str | None, Field(description="column of the item ids of --items")
    ] = None
    overlap: Annotated[
        Literal["whole", "cut"],
        Field(
            description="sessions that continue across the last click of the artifact: keep them "
            "whole, or cut off the clicks up to it"
        ),
    ] = "whole"
    until: Annotated[
        str | None,
        Field(
            description="time until which the log is complete, as ISO time (UTC) or milliseconds; "
            "a block of time that ends later stays open"
        ),
    ] = None


def refresh_command(
    artifact: Annotated[
        str,
        typer.Argument(
            help="Artifact, or a registry, whose current version is refreshed: a folder, or its "
            "address (s3://, gs://, az://)."
        ),
    ],
    target: Annotated[
        TypedOptions[RefreshOptions],
        OptionGroup(
            flags={"output": ("--output", "-o"), "source": ("--from",)},
            defaults={
                "output": "the refreshed registry",
                "until": "the last click of the log",
                "items": "the table of the model",
                "items_id_column": "detected by name",
                "max_messages": "up to the end",
                "max_seconds": "up to the end",
                "dead_letters": "TOPIC.rejected.jsonl",
            },
        ),
    ],
    publish_check: Annotated[
        TypedOptions[PublishCheckOptions],
        OptionGroup("Check before publication", omit=("n_bootstrap",)),
    ],
    fine_tune: Annotated[
        TypedOptions[FineTuneOptions], OptionGroup("Training", defaults={"minutes": "unlimited"})
    ],
    reading: Reading,
    log: Annotated[
        list[str] | None,
        typer.Argument(help="The new log: files, folders or globs as for `prepare`."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Update a model with a newer log and publish it unless it is worse.

    \b
        nextclick refresh model yesterday.csv -o model-2
        nextclick refresh shop-models yesterday.csv
        nextclick refresh s3://bucket/shop-models --from /var/log/shop-events
        nextclick refresh shop-models --from kafka://broker:9092/clicks

    The latest tenth of the new log is held out first, and both the current and the refreshed model
    are ranked on it. A refresh that is worse is rejected: it is stored in `OUTPUT.rejected`, or in
    `rejected/` of the registry, with the reason, and the exit code is 3. Otherwise the model is
    also trained on the held-out sessions.
    """  # noqa: D301
    from nextclick.artifact.registries import artifact_folder, is_registry
    from nextclick.data.options import ItemOptions
    from nextclick.experiments.artifact_refresh import refresh

    destination = target.apply()
    if (destination.source is None) == (not log):
        raise ConfigError(
            "refresh needs either the files of a new log or --from with the folder of an event "
            f"log; got {'neither' if not log else 'both'}"
        )
    if destination.output is None and not is_registry(artifact):
        raise ConfigError(f"{artifact} is not a registry: name the new artifact with --output")
    with progress_bar() as progress:
        refreshed = refresh(
            artifact,
            _source(destination) if destination.source else log,
            destination.output,
            options=_read_options(artifact_folder(artifact), reading) if reading else None,
            publish_check=publish_check.apply(),
            fine_tune=fine_tune.apply(),
            store=destination.store,
            items=ItemOptions(destination.items, destination.items_id_column),
            overlap=destination.overlap,
            until=destination.until,
            overwrite=overwrite,
            progress=progress,
        )
    _show(refreshed)
    if as_json:
        print_json("refresh/1", refresh_results(refreshed))
    if not refreshed.accepted:
        raise typer.Exit(EXIT_REJECTED)


def refresh_results(refreshed: RefreshResult) -> dict[str, Any]:
    """A refresh as JSON types."""
    from nextclick.cli.publish_command import version_fields

    return {
        "accepted": refreshed.accepted,
        "path": None if refreshed.path is None else str(refreshed.path),
        "version": None if refreshed.version is None else version_fields(refreshed.version),
        "decision": None if refreshed.decision is None else asdict(refreshed.decision),
        "report": refreshed.report,
        "warnings": refreshed.warnings,
        "refresh_seconds": refreshed.seconds,
    }


def _source(options: RefreshOptions) -> Any:
    """The source of `--from`."""
    from nextclick.experiments.click_sources import click_source

    assert options.source is not None
    return click_source(
        options.source,
        max_messages=options.max_messages,
        max_seconds=options.max_seconds,
        dead_letters=options.dead_letters,
        skip_expired=options.skip_expired,
    )


def _read_options(location: str | Path, reading: Any) -> Any:
    """The options the store was prepared with, overridden by the typed ones."""
    from nextclick.artifact import Artifact
    from nextclick.data.increment import options_from_manifest

    trained = Artifact.load(location).trained
    return reading.apply(options_from_manifest(trained["protocol"], trained.get("prepared")))


def _show(refreshed: RefreshResult) -> None:
    report = refreshed.report
    for warning in refreshed.warnings:
        say(f"warning: {warning}")
    if refreshed.decision is not None:
        _show_decision(refreshed.decision)
    show(
        f"{refreshed.path}: {report['sessions']:,} new sessions with {report['events']:,} clicks "
        f"and {report['new_items']:,} new items, {_UPDATES[report['update']]} in "
        f"{refreshed.seconds:.2f} s"
    )
    if refreshed.decision is not None and refreshed.decision.reason is not None:
        show(f"rejected, not published: {refreshed.decision.reason}")


def _show_decision(decision: PublishDecision) -> None:
    unknown = decision.unknown_targets
    rows = [
        ["current", f"{decision.current:.4f}", unknown["current"]],
        ["refreshed", f"{decision.refreshed:.4f}", unknown["refreshed"]],
    ]
    table(
        f"Held out: {decision.prefixes:,} prefixes of {decision.sessions:,} sessions",
        ["version", decision.metric, "unknown targets"],
        rows,
    )
    show(f"difference {decision.difference:+.4f} [{decision.low:+.4f}, {decision.high:+.4f}]")
