"""Figures of a hyperparameter search: trial history and parameter importance."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import MaxNLocator

from nextclick.analysis.plots.canvas import (
    CATEGORY_COLOR,
    ITEM_COLOR,
    NEUTRAL_COLOR,
    PanelFigure,
    note,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

_TOO_FEW_TRIALS = (
    "Importance needs at least five complete trials with different values of the metric. Trials "
    "that were stopped early do not count."
)


def draw_importance(study: Mapping[str, Any], path: Path, *, title: str, subtitle: str) -> None:
    """Write the parameter importance in `study.json` as PNG or SVG."""
    figure = PanelFigure(title, subtitle, 1, 1)
    heading = "Hyperparameter importance (PED-ANOVA)"
    importance = sorted(study["importance"].items(), key=lambda entry: entry[1])
    if not importance:
        figure.empty_panel(heading, _TOO_FEW_TRIALS)
    else:
        axes = figure.panel(heading)
        names, shares = zip(*importance, strict=True)
        axes.barh(names, [100 * share for share in shares], color=ITEM_COLOR)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("share of what separates the best trials from the others, %")
    figure.save(path)


def draw_history(study: Mapping[str, Any], path: Path, *, title: str, subtitle: str) -> None:
    """Write the metric of each trial in order as PNG or SVG."""
    figure = PanelFigure(title, subtitle, 1, 1)
    _draw_trials(figure.panel("Trials"), study)
    figure.save(path)


def _draw_trials(axes: Axes, study: Mapping[str, Any]) -> None:
    styles = (
        ("complete", "complete", "o", ITEM_COLOR),
        ("pruned", "stopped early", "x", NEUTRAL_COLOR),
    )
    for state, label, marker, color in styles:
        # a trial that was stopped early has no value: draw its best epoch
        points = [
            (t["number"], 100 * (t["value"] if t["value"] is not None else max(t["history"])))
            for t in study["trials"]
            if t["state"] == state and (t["value"] is not None or t["history"])
        ]
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, marker, color=color, markersize=5, label=label, linestyle="none")
    values = [(t["number"], t["value"]) for t in study["trials"] if t["value"] is not None]
    best = accumulate((value for _, value in values), max)
    axes.step(
        [number for number, _ in values],
        [100 * value for value in best],
        where="post",
        color=CATEGORY_COLOR,
        label="best so far",
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial (0: the preset)")
    axes.set_ylabel(f"{study['metric']} on the validation split, %")
    axes.legend(loc="lower right", fontsize=9, frameon=False)
    failed = study["states"]["failed"]
    if failed:
        note(axes, f"failed trials: {failed}", x=0.02, align="left")
