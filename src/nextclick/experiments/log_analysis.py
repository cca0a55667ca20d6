"""Write the statistics and figures of a part of a store."""

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
from nextclick.core.manifests import write_manifest
from nextclick.core.storage import atomic_folder, write_json
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.experiments.requirements import require_matplotlib
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
class AnalysisResult:
    """The outcome of an analysis.

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
) -> AnalysisResult:
    """Write `analysis.json`, the figures and a manifest into a folder.

    Args:
        store: a store or its folder.
        output: the folder, written completely or not at all.
        part: train, train_inner, valid or test.
        categories: table of items and categories; None omits the statistics of categories.
        overwrite: replace `output`.
        progress: receives the progress of the statistics.

    Raises:
        ConfigError: matplotlib is not installed, or the part or the format does not exist.
        StoreError: the store cannot be read, or the part is empty.
        SourceError: the table of categories cannot be read.
        OutputError: the folder exists or cannot be written.
    """
    require_matplotlib("analyze")
    store = store if isinstance(store, Store) else Store.open(store, progress)
    sessions = store.part(part)
    with atomic_folder(Path(output), overwrite=overwrite, replaces=(KIND,)) as folder:
        item_categories = None
        if categories is not None:
            item_categories = read_categories(categories, store.items, progress=progress)
        statistics = compute_statistics(sessions, item_categories, progress=progress)
        numbers = {
            "schema": SCHEMA,
            "nextclick": __version__,
            "store": {"fingerprint": store.fingerprint, "protocol": store.protocol},
            "part": part,
            "counts": store.manifest["counts"][part],
            "categories": _category_fields(item_categories, categories, sessions),
            **statistics.to_json(),
        }
        write_json(folder / NUMBERS, numbers)
        title = f"{store.path.resolve().name}, part {part}"
        _draw(statistics, folder, title=title, counts=numbers["counts"])
        manifest = {
            "kind": KIND,
            "format_version": FORMAT_VERSION,
            "nextclick": __version__,
            "data_fingerprint": store.fingerprint,
            "part": part,
        }
        write_manifest(folder, manifest)
    return AnalysisResult(statistics, numbers)


def _category_fields(
    categories: ItemCategories | None, file: CategoryFile | None, sessions: Sessions
) -> dict[str, Any] | None:
    """The table of categories in `analysis.json`; None without one."""
    if categories is None or file is None:
        return None
    support = sessions.support()
    return {
        "file": str(file.path),
        "columns": categories.columns,
        "categories": categories.n,
        "items_without": categories.items_without,
        "unreadable_rows": categories.n_unreadable,
        "clicks_without": int(support[1:][categories.of_item[1:] == 0].sum()),
    }


def _draw(statistics: LogStatistics, folder: Path, *, title: str, counts: dict[str, int]) -> None:
    # importing matplotlib takes a second
    from nextclick.analysis.plots.asars_figure1 import draw_figure1
    from nextclick.analysis.plots.profile_plot import draw_profile
    from nextclick.analysis.plots.temporal_graph_plot import draw_temporal_graph

    totals = [f"{counts[name]:,} {name}" for name in ("events", "sessions", "items", "users")]
    subtitle = ", ".join(totals if counts["users"] else totals[:-1]).replace("events", "clicks")
    draw_figure1(statistics, folder / FIGURE1, title=title, subtitle=subtitle)
    draw_profile(statistics, folder / PROFILE, title=title, subtitle=subtitle)
    draw_temporal_graph(statistics, folder / TEMPORAL_GRAPH, title=title, subtitle=subtitle)
