"""`nextclick prepare`: from a click log to a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nextclick.cli.output import Json, Overwrite, print_json, say, show, table
from nextclick.cli.prepare_flags import (
    Prepare,
    Sources,
    TestSources,
    help_tables,
    prepare_options,
)
from nextclick.cli.progress import progress_bar

if TYPE_CHECKING:
    from nextclick.data.prepare_store import Prepared

__all__ = ["help_tables", "prepare_command"]


def prepare_command(
    sources: Sources,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the store, or its address (s3://, gs://, az://, hdfs://).",
        ),
    ],
    options: Prepare,
    test: TestSources = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    engine: Annotated[
        str,
        typer.Option(
            help="What reads and sorts the log: local (this process) or spark (Apache Spark). "
            "The store is the same."
        ),
    ] = "local",
    master: Annotated[
        str | None,
        typer.Option(
            help="Spark cluster, such as local[4] or spark://host:7077; needs --engine spark. "
            "Default: that of the configuration of Spark, or local[*]."
        ),
    ] = None,
) -> None:
    """Prepare a click log: read, sessionize, filter and split it into a store.

    Each click of the log has an item, a time, and a session or a user. The columns, the separator
    and the unit of the times are detected and reported.

    \b
        nextclick prepare clicks.csv -o store
        nextclick prepare clicks/*.parquet -o store --sessions-by user --gap 1800
        nextclick prepare yoochoose-clicks.dat -o store --protocol sr-gnn-yoochoose
        nextclick prepare s3://bucket/clicks/ -o s3://bucket/store
        nextclick prepare clicks/ -o store --engine spark --master spark://host:7077
        nextclick prepare clicks.csv -o store --items items.parquet
    """  # noqa: D301
    from nextclick.data.prepare_store import prepare

    checked = prepare_options(options)
    with progress_bar() as progress:
        prepared = prepare(
            sources,
            output,
            test=test or None,
            options=checked,
            overwrite=overwrite,
            progress=progress,
            engine=engine,
            master=master,
        )
    show_report(prepared)
    if as_json:
        print_json("prepare/1", prepare_results(prepared))


def prepare_results(prepared: Prepared) -> dict[str, Any]:
    """All results of a preparation, as JSON types."""
    stores = [
        {
            "path": store.address,
            "fingerprint": store.fingerprint,
            "counts": store.manifest["counts"],
            "boundary_ms": store.protocol["boundary_ms"],
            "boundary": store.manifest["boundary"],
            "predicted": store.manifest["predicted"],
            "unseen_test": store.manifest["unseen_test"],
            "boundary_sessions": store.manifest["boundary_sessions"],
        }
        for store in prepared.stores
    ]
    return {"report": prepared.report, "stores": stores}


def show_report(prepared: Prepared) -> None:
    """Print counts of the log, the effect of each filter, the parts, and the warnings."""
    report = prepared.report
    _show_reading(report)
    rows = [
        [s["name"], s["events"], s["sessions"], s["users"], s["items"]] for s in report["steps"]
    ]
    table(_filters_title(prepared), ["step", "events", "sessions", "users", "items"], rows)
    if "item_table" in report:
        _show_items(report["item_table"])
    for store in prepared.stores:
        _show_store(store)
    for log, figures in report["published"].items():
        show(f"published for {log}: {figures}")
    for warning in report["warnings"]:
        say(f"warning: {warning}")
    say(f"prepared in {report['seconds']:.1f} s")


def _filters_title(prepared: Prepared) -> str:
    filter_on = prepared.store.protocol["filters"]["filter_on"]
    return "Filters, before the split and on the test, too" if filter_on == "all" else "Filters"


def _show_reading(report: dict[str, Any]) -> None:
    if report["columns"]:
        columns = ", ".join(f"{role} = {name}" for role, name in report["columns"].items())
        show(f"columns: {columns}")
    show(f"times: {report['times']}")
    if "first_time" in report:
        show(f"from {report['first_time']} to {report['last_time']}")
    for key, row_kind in (
        ("blank_rows", "blank rows"),
        ("other_event_rows", "rows of other event types"),
        ("bad_rows", "unreadable rows"),
    ):
        if report.get(key):
            say(f"skipped: {report[key]:,} {row_kind}")
    for example in report.get("bad_row_examples", []):
        where = f"{example['file']}, row {example['row']}"
        if example["column"] is None:
            say(f"  {where}: {example['reason']}")
        else:
            value = f"{example['reason']}, got {example['value']!r}"
            say(f"  {where}, column {example['column']!r}: {value}")


def _show_items(items: dict[str, Any]) -> None:
    rows = [[name, kind, items["missing"][name]] for name, kind in items["columns"].items()]
    title = f"Items of {items['file']}: {items['rows']:,} rows, ids in {items['id_column']}"
    table(title, ["column", "kind", "missing"], rows)


def _show_store(store: Any) -> None:
    from nextclick.data.split import iso

    boundary_ms = store.protocol["boundary_ms"]
    boundary = "" if boundary_ms is None else f", boundary {iso(boundary_ms)}"
    parts = [
        [name, c["events"], c["sessions"], c["prefixes"], c["users"], c["items"]]
        for name, c in store.manifest["counts"].items()
    ]
    columns = ["part", "events", "sessions", "prefixes", "users", "items"]
    table(f"{store.address}{boundary}", columns, parts)
    reason = store.manifest["boundary"]["reason"]
    if reason is not None:
        say(f"default split: {reason}")
    predicted, unseen = store.manifest["predicted"], store.manifest["unseen_test"]
    show(
        f"{predicted['targets']:,} of the {predicted['clicks']:,} clicks of the test period "
        f"({predicted['share']:.0%}) are predicted"
    )
    show(
        f"test clicks on items unseen in training: {unseen['clicks_dropped']:,} dropped, "
        f"{unseen['clicks_kept_as_unseen']:,} count as misses; {unseen['sessions_dropped']:,} "
        f"test sessions dropped with too few clicks left; {store.manifest['boundary_sessions']:,} "
        "sessions on the boundary belong to neither part"
    )
