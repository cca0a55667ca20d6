"""What a search of parameters found, as figures: how it went, and what mattered."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import MaxNLocator

from nextclick.analysis.plots.canvas import CATEGORIES, ITEMS, NEUTRAL, Page, note

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

_TOO_FEW = (
    "Importance needs five complete trials or more that differ in their value, and there are "
    "fewer. Trials that were stopped early do not count."
)


def draw_importance(numbers: Mapping[str, Any], path: Path, *, title: str, subtitle: str) -> None:
    """Write what `study.json` says of importance, as PNG or SVG."""
    page = Page(title, subtitle, 1, 1)
    heading = "What mattered (PED-ANOVA)"
    shares = sorted(numbers["importance"].items(), key=lambda one: one[1])
    if not shares:
        page.without(heading, _TOO_FEW)
    else:
        axes = page.panel(heading)
        axes.barh([name for name, _ in shares], [100 * v for _, v in shares], color=ITEMS)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("share of what tells the best trials from the others, %")
    page.save(path)


def draw_history(numbers: Mapping[str, Any], path: Path, *, title: str, subtitle: str) -> None:
    """Write how the trials went, one after the other, as PNG or SVG."""
    page = Page(title, subtitle, 1, 1)
    _draw_trials(page.panel("Trials"), numbers)
    page.save(path)


def _draw_trials(axes: Axes, numbers: Mapping[str, Any]) -> None:
    trials = numbers["trials"]
    for state, marker, color in (("complete", "o", ITEMS), ("pruned", "x", NEUTRAL)):
        # a trial that was stopped stands where it was then
        at = [
            (t["number"], 100 * (t["value"] if t["value"] is not None else max(t["history"])))
            for t in trials
            if t["state"] == state and (t["value"] is not None or t["history"])
        ]
        if at:
            x, y = zip(*at, strict=True)
            label = "complete" if state == "complete" else "stopped early"
            axes.plot(x, y, marker, color=color, markersize=5, label=label, linestyle="none")
    known = [(t["number"], t["value"]) for t in trials if t["value"] is not None]
    best = list(accumulate((value for _, value in known), max))
    axes.step(
        [number for number, _ in known],
        [100 * value for value in best],
        where="post",
        color=CATEGORIES,
        label="best so far",
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial (0: the preset)")
    axes.set_ylabel(f"{numbers['metric']} on the validation, %")
    axes.legend(loc="lower right", fontsize=9, frameon=False)
    failed = numbers["states"]["failed"]
    if failed:
        note(axes, f"failed: {failed}", x=0.02, align="left")
