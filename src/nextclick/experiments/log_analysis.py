"""Analyze a part of a store and write its statistics and figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.analysis import (
    CategoryFile,
    LogStatistics,
    compute_statistics,
    read_categories,
)
from nextclick.core.storage import atomic_folder, write_json
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.experiments.requirements import need_matplotlib
from nextclick.version import __version__

if TYPE_CHECKING:
    from nextclick.analysis import ItemCategories
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress

SCHEMA = "nextclick.analysis/2"
KIND = "nextclick.analysis"
FORMAT_VERSION = 1
NUMBERS = "analysis.json"
FIGURE1, PROFILE, TEMPORAL_GRAPH = "figure1.png", "profile.png", "temporal-graph.png"


@dataclass(frozen=True, slots=True)
class Analyzed:
    """The result of an analysis.

    Attributes:
        statistics: the statistics.
        numbers: the JSON object in `analysis.json`.
    """

    statistics: LogStatistics
    numbers: dict[str, Any]


def analyze(
    store: Store | str | Path,
    output: str | Path,
    *,
    part: str = "train",
    categories: CategoryFile | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Analyzed:
    """Write `analysis.json`, the figures and a manifest into a folder.

    Args:
        store: open, or its folder.
        output: the folder, made whole or not at all.
        part: train, fit, valid or test.
        categories: where the items' categories stand, None to leave categories out.
        overwrite: replace `output`.
        progress: told how far it has come.

    Raises:
        ConfigError: matplotlib is not installed, or there is no such part or format.
        StoreError: the store cannot be read, or the part is empty.
        SourceError: the categories cannot be read.
        OutputError: the folder exists or cannot be written.
    """
    need_matplotlib("analyze")
    opened = store if isinstance(store, Store) else Store.open(store)
    sessions = opened.part(part)
    with atomic_folder(Path(output), overwrite=overwrite) as folder:
        read = None
        if categories is not None:
            read = read_categories(categories, opened.items, progress=progress)
        statistics = compute_statistics(sessions, read, progress=progress)
        numbers = {
            "schema": SCHEMA,
            "nextclick": __version__,
            "store": {"fingerprint": opened.fingerprint, "protocol": opened.protocol},
            "part": part,
            "counts": opened.manifest["counts"][part],
            "categories": None if read is None else _about(read, categories, sessions),
            **statistics.to_json(),
        }
        write_json(folder / NUMBERS, numbers)
        title = f"{opened.path.resolve().name}, part {part}"
        _draw(statistics, folder, title=title, counts=numbers["counts"])
        manifest = {
            "kind": KIND,
            "format_version": FORMAT_VERSION,
            "nextclick": __version__,
            "data_fingerprint": opened.fingerprint,
            "part": part,
        }
        write_json(folder / "manifest.json", manifest)
    return Analyzed(statistics, numbers)


def _about(read: ItemCategories, file: CategoryFile | None, sessions: Sessions) -> dict[str, Any]:
    assert file is not None
    support = sessions.support()
    return {
        "file": str(file.path),
        "columns": read.columns,
        "categories": read.n,
        "items_without": read.items_without,
        "clicks_without": int(support[1:][read.of_item[1:] == 0].sum()),
    }


def _draw(statistics: LogStatistics, folder: Path, *, title: str, counts: dict[str, int]) -> None:
    from nextclick.analysis.plots.asars_figure1 import draw_figure1  # matplotlib takes a second
    from nextclick.analysis.plots.profile_plot import draw_profile
    from nextclick.analysis.plots.temporal_graph_plot import draw_temporal_graph

    totals = [f"{counts[name]:,} {name}" for name in ("events", "sessions", "items", "users")]
    subtitle = ", ".join(totals if counts["users"] else totals[:-1]).replace("events", "clicks")
    draw_figure1(statistics, folder / FIGURE1, title=title, subtitle=subtitle)
    draw_profile(statistics, folder / PROFILE, title=title, subtitle=subtitle)
    draw_temporal_graph(statistics, folder / TEMPORAL_GRAPH, title=title, subtitle=subtitle)
