"""The report as one self-contained HTML page, rendered from the templates in `templates/`."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from nextclick.core.metrics import METRICS, metric_label
from nextclick.report.accuracy_breakdowns import MIN_PLOTTED_PREFIXES
from nextclick.report.significant_differences import find_pair
from nextclick.report.summary import join_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Environment

_MISSING = "–"
_MINUS = "−"
# color of matplotlib to the color variable of the page; see report.css
_COLOR_VARIABLES = {
    "#000000": "ink",
    "#4d4d4d": "soft",
    "#e3e3e3": "rule",
    "#ffffff": "paper",
    "#d55e00": "series-1",
    "#0072b2": "series-2",
    "#009e73": "series-3",
    "#cc79a7": "series-4",
    "#e69f00": "series-5",
    "#56b4e9": "series-6",
}


@dataclass(frozen=True, slots=True)
class InlinePlot:
    """A figure of the page.

    Attributes:
        title: what it shows.
        svg: an SVG file whose text is text.
    """

    title: str
    svg: str


def render_page(
    data: dict[str, Any], plots: Mapping[str, InlinePlot], no_plots_reason: str | None
) -> str:
    """Render the page; every text from `data` is escaped.

    Args:
        data: the report data, see `report_data`.
        plots: figures by name.
        no_plots_reason: why there are no figures, or None.
    """
    from markupsafe import Markup

    svgs = {name: Markup(inline_svg(plot.svg, plot.title)) for name, plot in plots.items()}  # noqa: S704
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            data=data,
            rows=data["leaderboard"],
            sections=_sections(data),
            provenance=_provenance(data),
            failed_labels=list(dict.fromkeys(run["label"] for run in data["failed"])),
            plots={name: {"title": plots[name].title, "svg": svg} for name, svg in svgs.items()},
            no_plots_reason=no_plots_reason,
            css=Markup(page_style()),  # noqa: S704
        )
    )


def inline_svg(svg: str, title: str) -> str:
    """Turn an SVG file into an element that takes its fonts, colors and size from the page.

    Args:
        svg: an SVG file whose text is text.
        title: description for screen readers.
    """
    element = svg[svg.index("<svg") :]
    head, _, body = element.partition(">")
    (view_box,) = re.findall(r'viewBox="([^"]+)"', head)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    # ids must be unique on the page: drop those without a reference
    referenced = set(re.findall(r"#([\w-]+)", body))
    body = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in referenced else "", body)
    body = re.sub(
        r"(font(?:-family)?:[^;\"]*?)('[^;\"]*|sans-serif[^;\"]*)", r"\1var(--sans)", body
    )
    for color, variable in _COLOR_VARIABLES.items():
        body = re.sub(rf"{color}\b", f"var(--{variable})", body, flags=re.IGNORECASE)
    return (
        f'<svg viewBox="{view_box}" role="img" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f"<title>{html.escape(title)}</title>{body}"
    )


def page_style() -> str:
    """The style sheet of all pages."""
    return files("nextclick.report").joinpath("templates/report.css").read_text(encoding="utf-8")


def environment() -> Environment:
    """The templates with their filters."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("nextclick.report"),
        extensions=["jinja2.ext.do"],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {
        "join_names": join_names,
        "metric_label": metric_label,
        "quantity": _quantity,
        "signed": _signed,
    }
    templates.globals |= {
        "METRICS": METRICS,
        "MIB": 1 << 20,
        "MIN_PLOTTED_PREFIXES": MIN_PLOTTED_PREFIXES,
        "MISSING": _MISSING,
        "find_pair": find_pair,
    }
    return templates


def _sections(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Template name and heading of each section that has content."""
    rows = data["leaderboard"]
    if not rows:
        return [("leaderboard", "Leaderboard")] if data["failed"] else []
    sections = [
        ("leaderboard", "Leaderboard", True),
        ("pairs", "Pairwise comparisons", data["pairs"]),
        ("costs", "Accuracy and cost", any(row["costs"] for row in rows)),
        ("lengths", "By clicks before the target", True),
        ("segments", "By segment", data["segments"]),
        ("cutoffs", "By cutoff", data["cutoffs"]["recall"]),
        ("recommendations", "Recommended items", True),
        ("variants", "Model variants", data["variants"]),
        ("methodology", "How to read this report", True),
    ]
    return [(name, heading) for name, heading, has_content in sections if has_content]


def _provenance(data: dict[str, Any]) -> str:
    """The data and protocol behind every table."""
    if not data["leaderboard"]:
        return "No model has a result."
    protocol = dict(data["protocol"])
    part, trained_on, prepared = (protocol.pop(name) for name in ("part", "trained_on", "data"))
    rules = ", ".join(f"{name} {value}" for name, value in protocol.items() if value is not None)
    counts, predicted = data["counts"], data["predicted"]
    share = (
        "" if predicted is None else f" ({predicted['share']:.0%} of the clicks of the test period)"
    )
    return (
        f"Data {data['data_fingerprint']} (protocol {prepared}); evaluated on {part}, trained on "
        f"{trained_on}; {counts['prefixes']:,} prefixes of {counts['sessions']:,} sessions{share}; "
        f"{rules}."
    )


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", _MINUS)


def _quantity(value: float | None, unit: float = 1) -> str:
    """Three significant digits, or a whole number from 100 on."""
    if value is None:
        return _MISSING
    scaled = value / unit
    return f"{scaled:,.0f}" if abs(scaled) >= 100 else f"{scaled:.3g}"
