"""`nextclick prepare`: from a click log to a store."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nextclick.cli.output import Json, Overwrite, print_json, progress_bar, say, table
from nextclick.cli.prepare_options import taking_prepare_options
from nextclick.data.options import PrepareOptions
from nextclick.data.prepare_store import Prepared, prepare
from nextclick.data.split import iso

Sources = Annotated[
    list[str],
    typer.Argument(help="Files, folders or globs: CSV, TSV, gzip, JSON lines, Parquet."),
]
TestSources = Annotated[
    list[str] | None,
    typer.Option("--test", help="Files of the test part, for a log that is split already."),
]


@taking_prepare_options
def prepare_command(
    sources: Sources,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the store.")],
    options: PrepareOptions,
    test: TestSources = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Prepare a click log: read, cut into sessions, filter, split by time, store.

    A log has an item, a time, and a session or a user for each click. Columns, separator and the
    unit of the times are found, and stated at the end.

    \b
        nextclick prepare clicks.csv -o store
        nextclick prepare clicks/*.parquet -o store --sessions-by user --gap 1800
        nextclick prepare yoochoose-clicks.dat -o store --protocol sr-gnn-yoochoose
    """  # noqa: D301
    with progress_bar() as told:
        prepared = prepare(
            sources, output, test=test or None, options=options, overwrite=overwrite, progress=told
        )
    show_report(prepared)
    if as_json:
        print_json("prepare/1", prepare_figures(prepared))


def prepare_figures(prepared: Prepared) -> dict[str, Any]:
    """All figures of a preparation, as JSON types."""
    stores = [
        {
            "path": str(store.path),
            "fingerprint": store.fingerprint,
            "counts": store.manifest["counts"],
            "boundary_ms": store.protocol["boundary_ms"],
            "unseen_test": store.manifest["unseen_test"],
            "edge_sessions": store.manifest["edge_sessions"],
        }
        for store in prepared.stores
    ]
    return {"report": prepared.report, "stores": stores}


def show_report(prepared: Prepared) -> None:
    """Print what was read, what each step left, the parts, and the warnings."""
    report = prepared.report
    if report["columns"]:
        named = ", ".join(f"{role} = {name}" for role, name in report["columns"].items())
        say(f"columns: {named}")
    say(f"times: {report['times']}")
    if "first_time" in report:
        say(f"from {report['first_time']} to {report['last_time']}")
    for key, what in (
        ("blank_rows", "blank rows"),
        ("other_event_rows", "rows of other events"),
        ("bad_rows", "bad rows"),
    ):
        if report.get(key):
            say(f"left out: {report[key]:,} {what}")
    for example in report.get("bad_row_examples", []):
        say(
            f"  {example['file']}, row {example['row']}, column {example['column']!r}: "
            f"{example['reason']}, got {example['value']!r}"
        )
    rows = [
        [s["name"], s["events"], s["sessions"], s["users"], s["items"]] for s in report["steps"]
    ]
    table("Steps", ["step", "events", "sessions", "users", "items"], rows)
    for store in prepared.stores:
        edge = store.protocol["boundary_ms"]
        where = "" if edge is None else f", boundary {iso(edge)}"
        parts = [
            [name, c["events"], c["sessions"], c["prefixes"], c["users"], c["items"]]
            for name, c in store.manifest["counts"].items()
        ]
        table(
            f"{store.path}{where}",
            ["part", "events", "sessions", "prefixes", "users", "items"],
            parts,
        )
        lost = store.manifest["unseen_test"]
        say(
            f"test clicks on items unseen in training: {lost['clicks_dropped']:,} dropped, "
            f"{lost['clicks_kept_as_unseen']:,} kept as misses; "
            f"{lost['sessions_dropped']:,} test sessions fell below 2 clicks; "
            f"{store.manifest['edge_sessions']:,} sessions on the boundary in neither part"
        )
    for log, figures in report["published"].items():
        say(f"published for {log}: {figures}")
    for warning in report["warnings"]:
        say(f"warning: {warning}")
    say(f"prepared in {report['seconds']:.1f} s")
