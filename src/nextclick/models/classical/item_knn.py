"""Item-KNN: items that share sessions with the last click.

The item-to-item baseline of Hidasi et al. (Session-based Recommendations with Recurrent Neural
Networks, ICLR 2016, section 4). With c(i, j) the number of sessions that hold both items, n(i) the
number that hold i, and i the last click:

    score(j) = c(i, j) / ((n(i) + λ)^α (n(j) + λ)^(1 - α)),    score(i) = 0

λ damps chance meetings of rare items; α = ½ makes it the cosine of the two session sets. Only the
best `neighbors` of each item are kept; everything else scores 0.

`count=clicks` is what the authors' later code does: n(i) counts clicks, and a session adds to
c(i, j) once for every click on i, but once only for all clicks on j, so that c is not symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from nextclick.core.compiled_above import compiled_above
from nextclick.core.search_space import Choice, FloatRange, IntRange, Space
from nextclick.models.classical.inverted_index import Postings
from nextclick.models.classical.item_table import ItemTable, Rows, TableModel
from nextclick.models.classical.ragged import best_of_rows, expand

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import (
        Float64Array,
        Progress,
    )


@dataclass(frozen=True, slots=True)
class ItemKNNConfig:
    """Parameters of Item-KNN."""

    neighbors: Annotated[int, Field(ge=1, description="items kept for each item")] = 100
    shrinkage: Annotated[float, Field(ge=0, description="λ, damps rare pairs")] = 20.0
    alpha: Annotated[
        float, Field(ge=0, le=1, description="α, share of the last click's count in the divisor")
    ] = 0.5
    count: Annotated[
        Literal["sessions", "clicks"],
        Field(description="whether a session counts once or for each click of the item"),
    ] = "sessions"


class ItemKNN(TableModel):
    """Shared sessions with the last click, damped and normalized."""

    name: ClassVar[str] = "item-knn"
    Config: ClassVar[type[ItemKNNConfig]] = ItemKNNConfig
    search_space: ClassVar[Space] = {
        "neighbors": IntRange(20, 1000, log=True),
        "shrinkage": FloatRange(0.0, 200.0),
        "alpha": FloatRange(0.0, 1.0),
        "count": Choice("sessions", "clicks"),
    }

    @classmethod
    def fit(
        cls, sessions: Sessions, config: ItemKNNConfig, *, seed: int, progress: Progress
    ) -> Self:
        """Count item by item over the sessions that hold it; nothing is drawn at random.

        Memory: 4 bytes for each distinct (session, item), 8 for each kept neighbor, and 20 bytes
        times N for each thread. Time: each of an item's sessions is read once.
        """
        del seed
        postings = Postings.of(sessions)
        by_click = config.count == "clicks"
        count = sessions.support() if by_click else postings.n_sessions
        damped = count.astype(np.float64) + config.shrinkage  # (N + 1,)
        norms = (
            np.power(damped, config.alpha, dtype=np.float64),
            np.power(damped, 1.0 - config.alpha, dtype=np.float64),
        )

        rows = neighbor_rows(sessions, postings, norms, by_click, config.neighbors)
        return cls(config, ItemTable.build(rows, postings, progress=progress))


@compiled_above(
    300_000,
    kernel="nextclick.models.classical.item_kernels:neighbor_rows",
    work=lambda _sessions, postings, *_: len(postings.sessions),
)
def neighbor_rows(
    sessions: Sessions,
    postings: Postings,
    norms: tuple[Float64Array, Float64Array],
    by_click: bool,
    n: int,
) -> Callable[[int, int], Rows]:
    """A function of (start, stop): the n best neighbors of items start..stop - 1.

    Args:
        sessions: the log.
        postings: the sessions of each item.
        norms: (N + 1,) (n(i) + λ)^α, and (N + 1,) (n(j) + λ)^(1 - α).
        by_click: count a session for each click on i, not once.
        n: how many neighbors are kept for each item.
    """
    return partial(_neighbors, sessions, postings, norms, by_click, n)


def _neighbors(
    sessions: Sessions,
    postings: Postings,
    norms: tuple[Float64Array, Float64Array],
    by_click: bool,
    n: int,
    start: int,
    stop: int,
) -> Rows:
    items, width = sessions.items, sessions.n_items + 1
    bounds = postings.offsets[start : stop + 1]
    listed = postings.sessions[bounds[0] : bounds[-1]]  # (P,)
    posting_item = np.repeat(np.arange(start, stop), np.diff(bounds))  # (P,)
    posting, at = expand(sessions.offsets[listed], sessions.offsets[listed + 1])
    own = items[at] == posting_item[posting]
    weight = np.ones(len(listed))  # (P,) what a session adds to c(i, j)
    if by_click:
        weight = np.bincount(posting[own], minlength=len(listed)).astype(np.float64)
    other = ~own & (items[at] > 0)
    shared = np.unique(posting[other] * width + items[at[other]])  # each j once for a session
    posting, item = np.divmod(shared, width)
    keys, place = np.unique(posting_item[posting] * width + item, return_inverse=True)
    counts = np.bincount(place, weight[posting], minlength=len(keys))
    row, item = np.divmod(keys, width)
    scores = counts / (norms[0][row] * norms[1][item])
    lengths, best = best_of_rows(row - start, item, scores, n, stop - start)
    return lengths, item[best].astype(np.int32), scores[best].astype(np.float32)
