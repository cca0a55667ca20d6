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
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from numba import njit
from pydantic import Field

from nextclick.core.search_space import Choice, FloatRange, IntRange, Space
from nextclick.models.classical.inverted_index import Postings
from nextclick.models.classical.item_table import ItemTable, Rows, TableModel
from nextclick.models.ops.kernels import grow, keep_best

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import (
        Float64Array,
        Int32Array,
        Int64Array,
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
        own_norm = np.power(damped, config.alpha, dtype=np.float64)
        other_norm = np.power(damped, 1.0 - config.alpha, dtype=np.float64)

        def rows(start: int, stop: int) -> Rows:
            found: Rows = _neighbors(
                sessions.items,
                sessions.offsets,
                postings.offsets,
                postings.sessions,
                own_norm,
                other_norm,
                by_click,
                config.neighbors,
                start,
                stop,
            )
            return found

        return cls(config, ItemTable.build(rows, postings, progress=progress))


@njit(cache=True, nogil=True)
def _neighbors(
    items: Int32Array,
    offsets: Int64Array,
    posting_offsets: Int64Array,
    postings: Int32Array,
    own_norm: Float64Array,
    other_norm: Float64Array,
    by_click: bool,
    n: int,
    start: int,
    stop: int,
) -> Rows:
    """The best neighbors of items start..stop - 1."""
    lengths = np.zeros(stop - start, np.int64)
    out_items, out_values, used = np.empty(0, np.int32), np.empty(0, np.float32), 0
    shared = np.zeros(len(own_norm))  # (N + 1,) c(i, ·) of the item at hand
    touched = np.empty(len(own_norm), np.int32)
    seen_in, visit = np.zeros(len(own_norm), np.int64), 0
    for i in range(start, stop):
        n_touched = 0
        for posting in range(posting_offsets[i], posting_offsets[i + 1]):
            s = postings[posting]
            session = items[offsets[s] : offsets[s + 1]]
            weight = np.sum(session == i) if by_click else 1
            visit += 1
            for j in session:
                if j == 0 or j == i or seen_in[j] == visit:
                    continue
                seen_in[j] = visit
                if shared[j] == 0:
                    touched[n_touched] = j
                    n_touched += 1
                shared[j] += weight
        others = touched[:n_touched]
        scores = shared[others] / (own_norm[i] * other_norm[others])
        shared[others] = 0.0
        best, best_scores = keep_best(others, scores, n)
        out_items = grow(out_items, used, len(best))
        out_values = grow(out_values, used, len(best))
        out_items[used : used + len(best)] = best
        out_values[used : used + len(best)] = best_scores
        used += len(best)
        lengths[i - start] = len(best)
    return lengths, out_items[:used], out_values[:used]
