"""The online report as one self-contained HTML page, and as sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextclick.core.storage import write_text
from nextclick.evaluation.online_metrics import ONLINE_METRICS
from nextclick.report.html_page import environment, inline_svg, page_style
from nextclick.report.report_files import why_no_plots

if TYPE_CHECKING:
    from pathlib import Path


def write_online_page(file: Path, report: dict[str, Any]) -> str | None:
    """Write the page; return why it has no figures, or None.

    Raises:
        OutputError: the file cannot be written.
    """
    reason = why_no_plots()
    write_text(file, render_online_page(report, reason))
    return reason


def render_online_page(report: dict[str, Any], no_plots_reason: str | None) -> str:
    """Render the page; every text of the report is escaped.

    Args:
        report: JSON values of `experiments.online_report`.
        no_plots_reason: why there are no figures, or None to draw them.
    """
    from markupsafe import Markup

    plots = {}
    if no_plots_reason is None:
        from nextclick.report.online_plots import online_plots  # matplotlib takes a second

        plots = {
            name: {"title": plot.title, "svg": Markup(inline_svg(plot.svg, plot.title))}  # noqa: S704
            for name, plot in online_plots(report).items()
        }
    one_model = len({row["model"] for row in report["by_version"]}) == 1
    return (
        environment()
        .get_template("online.html.jinja")
        .render(
            data=report,
            names={
                name: label for name, label in ONLINE_METRICS.items() if name != "click_rate_ips"
            },
            one_model=one_model,
            verdict=verdict(report["comparison"]),
            losses=losses(report),
            plots=plots,
            no_plots_reason=no_plots_reason,
            provenance=provenance(report),
            css=Markup(page_style()),  # noqa: S704
        )
    )


def provenance(report: dict[str, Any]) -> str:
    """The period and the records behind every table."""
    counts, (first, last) = report["counts"], report["days"]
    return (
        f"{counts['lists']:,} lists and {counts['clicks']:,} clicks of {counts['sessions']:,} live "
        f"sessions, {first} to {last}; a click belongs to the last list of its session within "
        f"{report['options']['within']:g} s."
    )


def verdict(comparison: dict[str, Any] | None) -> str | None:
    """The conclusion of an A/B test in one sentence, or None without one."""
    if comparison is None:
        return None
    first, second = comparison["versions"]
    metric = ONLINE_METRICS[comparison["metric"]]
    if comparison["better"] is None:
        if comparison["p_value"] is None:
            return f"{first} and {second}: too few visitors for a test of the {metric}."
        return f"No difference in {metric} between {first} and {second} so far."
    other = first if comparison["better"] == second else second
    return (
        f"{comparison['better']} has a higher {metric} than {other}: the confidence sequence of "
        f"the difference excluded 0 on {comparison['decided_on']}."
    )


def losses(report: dict[str, Any]) -> list[str]:
    """What was not measured, one sentence for each kind that occurred."""
    read, counts = report["read"], report["counts"]
    kinds = {
        "damaged files skipped": len(read["damaged_files"]),
        "damaged records skipped": read["damaged_records"],
        "unfinished records skipped": read["unfinished_records"],
        "duplicates skipped": read["duplicates"],
        "clicks with a wrong clock, placed by the clock of the server": read["skewed"],
        "clicks before any list of their session": counts["clicks_before_list"],
        "clicks later than the limit of time": counts["late_clicks"],
        "lists of requests without a live session, not measured": counts["lists_without_session"],
        "sessions that changed their version, counted for the first": counts[
            "sessions_in_several_arms"
        ],
    }
    return [f"{number:,} {kind}" for kind, number in kinds.items() if number]
