"""Item-KNN: items that occur in the same sessions as the last clicked item.

The item-to-item baseline of Hidasi et al. (Session-based Recommendations with Recurrent Neural
Networks, ICLR 2016, section 4). With c(i, j) the number of sessions with both items, n(i)
the number of sessions with i, and i the last click:

    score(j) = c(i, j) / ((n(i) + λ)^α (n(j) + λ)^(1 - α)),    score(i) = 0

λ shrinks the scores of rare items. With α = ½ and λ = 0 the score is the cosine similarity of the
two sets of sessions. Only the `neighbors` best items of each item are stored; all others score 0.

Items of the session are scored by the repeat model (see `repeat_model`); `repeats="keep"` is the
published form.

`count=clicks` follows the later code of the authors: n(i) counts clicks, and a session adds to
c(i, j) once per click on i, but only once for all clicks on j, so c is not symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from nextclick.core.compiled_above import compiled_above
from nextclick.core.search_space import Choice, FloatRange, IntRange, Space
from nextclick.models.classical.item_table import ItemTable, Rows, TableModel
from nextclick.models.classical.ragged import expand_ranges, top_n_of_rows
from nextclick.models.classical.repeat_model import REPEATS, RepeatModel, Repeats

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Float64Array, Progress
    from nextclick.models.classical.inverted_index import Postings


@dataclass(frozen=True, slots=True)
class ItemKNNConfig:
    """Parameters of Item-KNN."""

    neighbors: Annotated[int, Field(ge=1, description="neighbors stored per item")] = 100
    shrinkage: Annotated[float, Field(ge=0, description="λ, shrinks the scores of rare items")] = (
        20.0
    )
    alpha: Annotated[
        float, Field(ge=0, le=1, description="α, exponent of the last item's count in the divisor")
    ] = 0.5
    count: Annotated[
        Literal["sessions", "clicks"],
        Field(description="whether a session counts once or once per click on the item"),
    ] = "sessions"
    repeats: Repeats = "learned"


class ItemKNN(TableModel):
    """Number of sessions shared with the last clicked item, shrunk and normalized."""

    name: ClassVar[str] = "item-knn"
    Config: ClassVar[type[ItemKNNConfig]] = ItemKNNConfig
    search_space: ClassVar[Space] = {
        "neighbors": IntRange(20, 1000, log=True),
        "shrinkage": FloatRange(0.0, 200.0),
        "alpha": FloatRange(0.0, 1.0),
        "count": Choice("sessions", "clicks"),
        "repeats": Choice(*REPEATS),
    }

    @classmethod
    def fit(
        cls, sessions: Sessions, config: ItemKNNConfig, *, seed: int, progress: Progress
    ) -> Self:
        """Count shared sessions item by item; deterministic.

        Memory: 4 bytes per distinct (session, item) pair of the items that are counted at once, 8
        per stored neighbor, and 20 N bytes per thread. Time: for each item, each session with the
        item is read once.
        """
        del seed
        count_clicks = config.count == "clicks"

        def rows_of(postings: Postings) -> Callable[[int, int], Rows]:
            count = sessions.support() if count_clicks else postings.n_sessions
            shrunk_count = count.astype(np.float64) + config.shrinkage  # (N + 1,)
            norms = (
                np.power(shrunk_count, config.alpha, dtype=np.float64),
                np.power(shrunk_count, 1.0 - config.alpha, dtype=np.float64),
            )
            return neighbor_rows(sessions, postings, norms, count_clicks, config.neighbors)

        table = ItemTable.build(rows_of, sessions, progress=progress)
        return cls(config, table, RepeatModel.fit(config.repeats, sessions))


@compiled_above(
    300_000,
    kernel="nextclick.models.classical.item_kernels:neighbor_rows",
    work=lambda _sessions, postings, *_: len(postings.sessions),
)
def neighbor_rows(
    sessions: Sessions,
    postings: Postings,
    norms: tuple[Float64Array, Float64Array],
    count_clicks: bool,
    n: int,
) -> Callable[[int, int], Rows]:
    """Return a function of (start, stop) that computes the rows of items start..stop - 1.

    Args:
        sessions: the training sessions.
        postings: the sessions of each item.
        norms: (N + 1,) (n(i) + λ)^α, and (N + 1,) (n(j) + λ)^(1 - α).
        count_clicks: count a session once per click on i instead of once.
        n: number of neighbors stored per item.
    """
    return partial(_neighbors, sessions, postings, norms, count_clicks, n)


def _neighbors(
    sessions: Sessions,
    postings: Postings,
    norms: tuple[Float64Array, Float64Array],
    count_clicks: bool,
    n: int,
    start: int,
    stop: int,
) -> Rows:
    items, width = sessions.items, sessions.n_items + 1
    bounds = postings.offsets[start : stop + 1]
    posting_session = postings.sessions[bounds[0] : bounds[-1]]  # (P,)
    posting_item = np.repeat(np.arange(start, stop), np.diff(bounds))  # (P,)
    posting, click = expand_ranges(
        sessions.offsets[posting_session], sessions.offsets[posting_session + 1]
    )
    is_item = items[click] == posting_item[posting]
    weight = np.ones(len(posting_session))  # (P,) summand of c(i, j)
    if count_clicks:
        weight = np.bincount(posting[is_item], minlength=len(posting_session)).astype(np.float64)
    is_other = ~is_item & (items[click] > 0)
    pairs = posting[is_other] * width + items[click[is_other]]
    shared = np.unique(pairs)  # each j once per session
    posting, item = np.divmod(shared, width)
    keys, key_index = np.unique(posting_item[posting] * width + item, return_inverse=True)
    counts = np.bincount(key_index, weight[posting], minlength=len(keys))
    row, item = np.divmod(keys, width)
    scores = counts / (norms[0][row] * norms[1][item])
    lengths, best = top_n_of_rows(row - start, item, scores, n, stop - start)
    return lengths, item[best].astype(np.int32), scores[best].astype(np.float32)
