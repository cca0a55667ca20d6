"""The segmentations that `--by` names, for a part of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextclick.errors import ConfigError, nearest
from nextclick.evaluation.segments import (
    BUILT_IN,
    EARLIER,
    POPULARITY,
    PREFIX_LENGTH,
    USER,
    by_column,
    by_earlier_sessions,
    by_popularity,
    by_prefix_length,
    by_user,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Int64Array
    from nextclick.data.store import Store
    from nextclick.evaluation.segments import Segmentation


def segmentations_for(
    store: Store,
    names: Sequence[str],
    *,
    part: str,
    trained_on: str,
    support: Int64Array | None = None,
) -> list[Segmentation]:
    """Build the segmentations of the sessions of a part.

    Args:
        store: the store.
        names: prefix-length, popularity, user, earlier-sessions, or columns that the store keeps.
        part: part that is ranked.
        trained_on: part that the model learns from; its users are known.
        support: clicks per item in training; None counts those of `trained_on`.

    Raises:
        ConfigError: an unknown or repeated name, or the log has no users or no times.
    """
    allowed = (*BUILT_IN, *store.columns)
    for name in names:
        if name not in allowed:
            raise ConfigError(
                f"by must name segments of {', '.join(allowed)}, got {name!r}: "
                f"{nearest(name, allowed)}; other columns need `prepare --keep-column`"
            )
    if len(set(names)) < len(names):
        raise ConfigError(f"by must name each segmentation once, got {', '.join(names)}")

    def build(name: str) -> Segmentation:
        if name == PREFIX_LENGTH:
            return by_prefix_length()
        if name == POPULARITY:
            return by_popularity(store.part(trained_on).support() if support is None else support)
        if name == USER:
            return by_user(store.part(part).users, store.part(trained_on).users)
        if name == EARLIER:
            return by_earlier_sessions(_count_earlier(store, part))
        codes, values = store.column(part, name)
        return by_column(name, codes, values)

    return [build(name) for name in names]


def _count_earlier(store: Store, part: str) -> Int64Array:
    """(S,) number of earlier sessions of the user of each session of a part."""
    sessions = store.part(part)
    if sessions.users is None or sessions.times is None:
        raise ConfigError(
            "by earlier-sessions needs a log with users and times; prepare it with --user-column "
            "and --time-column, or omit earlier-sessions"
        )
    return store.history(part).counts
