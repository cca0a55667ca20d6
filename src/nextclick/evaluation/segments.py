"""Metrics by segment: groups of prefixes by target, prefix length, popularity, user or column.

Every prefix belongs to one segment of each segmentation, so the mean of the segments, weighted by
their prefixes, is the metric over all prefixes. The interval of a segment is the bootstrap over the
sessions with a prefix in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import ConfigError
from nextclick.evaluation.beyond_accuracy import popularity_percentile
from nextclick.evaluation.intervals import Estimate, estimates
from nextclick.evaluation.ranking_metrics import session_sums
from nextclick.evaluation.seen_items import repeated_clicks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, BoolArray, Float64Array, Int32Array, Int64Array

TARGET, PREFIX_LENGTH, POPULARITY, USER = "target", "prefix-length", "popularity", "user"
EARLIER = "earlier-sessions"
# those that can be chosen; TARGET is always measured
BUILT_IN = (PREFIX_LENGTH, POPULARITY, USER, EARLIER)
LENGTHS = {"0": 0, "1": 1, "2": 2, "3-5": 5, "6-10": 10}  # label to the largest length; then LONGER
LONGER = "11+"
EARLIER_COUNTS = {"0": 0, "1": 1, "2-4": 4, "5-9": 9}  # label to the largest number; then MANY
MANY = "10+"
UNSEEN = "unseen"  # popularity of a target that does not occur in training
MISSING = "(missing)"  # value of a column
N_DECILES = 10


@dataclass(frozen=True, slots=True, eq=False)
class RankedPrefixes:
    """P evaluated prefixes.

    Attributes:
        session: (P,) int64, index of the session, ascending.
        position: (P,) int32, number of clicks before the target.
        targets: (P,) int32, the target in 1..N, 0 if it is unseen in training.
    """

    session: Int64Array
    position: Int32Array
    targets: Int32Array


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """A partition of the prefixes.

    Attributes:
        name: such as prefix-length, or a column.
        labels: names of the segments, in the order of tables.
        segment_of: returns the (P,) index in `labels` of each prefix.
    """

    name: str
    labels: tuple[str, ...]
    segment_of: Callable[[RankedPrefixes], AnyArray]


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """Metrics of one segment.

    Attributes:
        segment: its label.
        prefixes: number of prefixes, the denominator.
        sessions: number of sessions with such a prefix.
        metrics: name such as "recall@20" to value and interval.
    """

    segment: str
    prefixes: int
    sessions: int
    metrics: dict[str, Estimate]


def by_target(sessions: Sessions) -> Segmentation:
    """Repeats (the target was clicked before in the session) and other targets.

    A target that is unseen in training is not a repeat, because its id is not known.
    """
    repeated = repeated_clicks(sessions)

    def segment_of(prefixes: RankedPrefixes) -> BoolArray:
        new: BoolArray = ~repeated[sessions.offsets[prefixes.session] + prefixes.position]
        return new

    return Segmentation(TARGET, ("repeat", "new"), segment_of)


def by_prefix_length() -> Segmentation:
    """Number of clicks before the target, unknown items included."""
    bounds = list(LENGTHS.values())
    return Segmentation(
        PREFIX_LENGTH,
        (*LENGTHS, LONGER),
        lambda prefixes: np.searchsorted(bounds, prefixes.position),
    )


def by_popularity(support: Int64Array) -> Segmentation:
    """Decile of the target among the items of the training, by its clicks there.

    Decile 10 has the most popular tenth of the items. Items with equal clicks share a decile.

    Args:
        support: (N + 1,) clicks per item in training.
    """
    trained = np.flatnonzero(support[1:] > 0) + 1
    decile = np.full(len(support), N_DECILES)  # an item without clicks is unseen
    percentile = popularity_percentile(support[np.append(0, trained)])
    decile[trained] = np.minimum((percentile * N_DECILES).astype(np.int64), N_DECILES - 1)
    labels = (*(str(n) for n in range(1, N_DECILES + 1)), UNSEEN)
    return Segmentation(POPULARITY, labels, lambda prefixes: decile[prefixes.targets])


def by_user(users: Int32Array | None, trained: Int32Array | None) -> Segmentation:
    """Users with a session in training, and others, anonymous ones included.

    Args:
        users: (S,) user of each session, 0 if unknown; None without users.
        trained: users of the training sessions.

    Raises:
        ConfigError: the log has no users.
    """
    if users is None or trained is None:
        raise ConfigError(
            "by user needs a log with users; prepare it with --user-column, or omit user"
        )
    is_known = np.isin(users, trained[trained > 0])
    return Segmentation(USER, ("known", "new"), lambda prefixes: ~is_known[prefixes.session])


def by_earlier_sessions(counts: Int64Array) -> Segmentation:
    """Number of sessions of the user that ended before the session began; 0 without a user.

    Args:
        counts: (S,) that number for each session.
    """
    segment = np.searchsorted(list(EARLIER_COUNTS.values()), counts)  # (S,)
    labels = (*EARLIER_COUNTS, MANY)
    return Segmentation(EARLIER, labels, lambda prefixes: segment[prefixes.session])


def by_column(name: str, codes: Int32Array, values: Sequence[str]) -> Segmentation:
    """The value of a column that the store keeps.

    Args:
        name: of the column.
        codes: (S,) index of the value of each session in 1..n, 0 if it has none.
        values: the n values.
    """
    return Segmentation(name, (MISSING, *values), lambda prefixes: codes[prefixes.session])


def measure_segments(
    segmentation: Segmentation,
    prefixes: RankedPrefixes,
    metrics: dict[str, Float64Array],
    *,
    n_bootstrap: int,
    seed: int,
) -> tuple[SegmentRow, ...]:
    """Metrics of every segment that has a prefix.

    Args:
        segmentation: the segments.
        prefixes: P prefixes.
        metrics: name to (P,) values.
        n_bootstrap: as in `estimates`.
        seed: as in `estimates`.
    """
    segment_of = np.asarray(segmentation.segment_of(prefixes), dtype=np.int64)
    rows = []
    for code in np.unique(segment_of):
        chosen = segment_of == code
        values = {name: metric[chosen] for name, metric in metrics.items()}
        sums, counts = session_sums(prefixes.session[chosen], values)
        rows.append(
            SegmentRow(
                segment=segmentation.labels[code],
                prefixes=int(counts.sum()),
                sessions=len(counts),
                metrics=estimates(list(values), sums, counts, n_bootstrap=n_bootstrap, seed=seed),
            )
        )
    return tuple(rows)
