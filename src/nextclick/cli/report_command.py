"""`nextclick report`: reports of what visitors clicked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.output import Json, Overwrite, print_json, say, show, table
from nextclick.errors import OutputError
from nextclick.experiments.online_options import OnlineOptions

_TEST = "A/B test"
_COLUMNS = ("sessions", "lists", "click-through", "hit rate", "MRR", "click rate of items")
_METRICS = ("click_through", "hit_rate", "mrr", "click_rate")


def report_command() -> None:
    """Report what visitors clicked of the lists that a server showed."""


def online_command(
    log: Annotated[Path, typer.Argument(help="Folder of `serve --event-log`.")],
    options: Annotated[
        TypedOptions[OnlineOptions],
        OptionGroup(
            "Options",
            flags={"ab": ("--ab",), "bootstrap": ("--bootstrap",)},
            panels=dict.fromkeys(("ab", "metric", "expected_difference"), _TEST),
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the report to this HTML file."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure the lists of an event log: click-through, hit rate and MRR by version and day.

    \b
        nextclick report online /var/log/shop-events
        nextclick report online /var/log/shop-events --since 2026-05-01 -o online.html
        nextclick report online /var/log/shop-events --ab v3=0.5,v4=0.5

    A click belongs to the list shown last before it in its session. The comparison of an A/B test
    may be read every day: its confidence sequence holds at all looks together.
    """  # noqa: D301
    from nextclick.experiments.online_report import online_report
    from nextclick.report.online_page import write_online_page

    if output is not None and output.exists() and not overwrite:
        raise OutputError(f"{output} already exists; choose another --output or add --overwrite")
    report = online_report(log, options.apply())
    _show(report)
    if output is not None:
        reason = write_online_page(output, report)
        if reason is not None:
            say(reason)
        show(f"{output}")
    if as_json:
        print_json("report/1", report)


SUBCOMMANDS = {"online": online_command}


def _show(report: dict[str, Any]) -> None:
    from nextclick.report.online_page import losses, provenance

    one_model = len({row["model"] for row in report["by_version"]}) == 1
    versions = [
        [row["version"] if one_model else f"{row['model']} {row['version']}", *_cells(row, report)]
        for row in report["by_version"]
    ]
    columns = [*_COLUMNS, *(["inverse propensity"] if report["explores"] else [])]
    table(
        "By version, in percent with 95 % intervals",
        ["version", *columns],
        [*versions, ["all", *_cells(report["total"], report)]],
    )
    days = [[row["day"], *_cells(row, report)] for row in report["by_day"]]
    table("By day, in percent with 95 % intervals", ["day", *columns], days)
    _show_positions(report)
    if report["comparison"] is not None:
        _show_comparison(report["comparison"])
    show(provenance(report))
    for loss in losses(report):
        say(f"note: {loss}")
    for name, reason in report["read"]["damaged_files"].items():
        say(f"note: {name}: {reason}")


def _cells(row: dict[str, Any], report: dict[str, Any]) -> list[Any]:
    names = [*_METRICS, *(["click_rate_ips"] if report["explores"] else [])]
    return [row["sessions"], row["lists"], *(_percent(row["metrics"][name]) for name in names)]


def _show_positions(report: dict[str, Any]) -> None:
    names = ["click_rate", *(["click_rate_ips"] if report["explores"] else [])]
    table(
        "By position, in percent with 95 % intervals",
        [
            "position",
            "shown",
            "clicks",
            "click rate",
            *(["inverse propensity"] if names[1:] else []),
        ],
        [
            [str(row["position"]), row["shown"], row["clicks"], *(_percent(row[n]) for n in names)]
            for row in report["positions"]
        ],
    )


def _show_comparison(comparison: dict[str, Any]) -> None:
    from nextclick.report.online_page import verdict

    first, second = comparison["versions"]
    visitors = [f"visitors of {version}" for version in comparison["versions"]]
    table(
        f"{second} − {first} after each day, in percent with a 95 % confidence sequence",
        ["until", *visitors, first, second, "difference", "p"],
        [
            [
                look["day"], *look["units"],
                *("–" if value is None else f"{100 * value:.2f}" for value in look["values"]),
                _difference(look), "–" if look["p_value"] is None else f"{look['p_value']:.2g}",
            ]
            for look in comparison["looks"]
        ],
    )  # fmt: skip
    show(verdict(comparison) or "")
    split = comparison["split"]
    if split is not None and not split["as_planned"]:
        say(
            f"note: the visitors are not split as planned (p = {split['p_value']:.2g}); find the "
            "cause before you read the comparison"
        )


def _difference(look: dict[str, Any]) -> str:
    if look["difference"] is None:
        return "–"
    value = f"{100 * look['difference']:+.2f}"
    if look["low"] is None:
        return value
    return f"{value} [{100 * look['low']:+.2f}, {100 * look['high']:+.2f}]"


def _percent(estimate: dict[str, Any] | None) -> str:
    from nextclick.report.summary import percent

    return "–" if estimate is None else percent(estimate)
