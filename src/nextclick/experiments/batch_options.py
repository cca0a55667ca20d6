"""Options and counts of the recommendations for a table of sessions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.item_rules import NO_RULES, ItemRules
from nextclick.data.options import ReadOptions
from nextclick.serving.batch_scoring import PackedSessions, RankedLists

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.data.store import Store


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How the sessions of a table are answered.

    Attributes:
        k: number of items for each session.
        rules: which items may be recommended.
        now: the moment of prediction for all sessions, in seconds since 1970; None is the last
            click of each session.
        lists: one row per session with lists of items and scores; else one row per session and
            rank.
        ids_as_text: write item ids as text.
        read: columns and format of the input, as for `prepare`. A column of users is read if the
            model reads users or earlier sessions.
        history: give the earlier sessions of the user of a session to a model that reads them: the
            sessions of the table that ended before it began.
        history_from: a store, or its folder, with the earlier sessions, in place of the table.
    """

    k: int = 20
    rules: ItemRules = NO_RULES
    now: float | None = None
    lists: bool = False
    ids_as_text: bool = False
    read: ReadOptions = field(default_factory=ReadOptions)
    history: bool = True
    history_from: Store | str | Path | None = None


@dataclass(slots=True)
class BatchCounts:
    """What was read and answered.

    Attributes:
        rows: rows read.
        bad_rows: rows that were skipped, as they cannot be parsed.
        sessions: sessions answered.
        clicks: their clicks.
        unknown_clicks: clicks on items that the model does not know; they are ignored.
        unknown_sessions: sessions with clicks, none of them on a known item; they get the most
            popular items.
        empty_sessions: sessions without clicks.
        recommended: items written.
        filled: those of them without a score: filled from popularity, pinned, or drawn at random.
        without_items: sessions for which the rules leave no item.
        with_history: sessions for which an earlier session of the user is known.
        notes: decisions about columns that the user should know.
    """

    rows: int = 0
    bad_rows: int = 0
    sessions: int = 0
    clicks: int = 0
    unknown_clicks: int = 0
    unknown_sessions: int = 0
    empty_sessions: int = 0
    recommended: int = 0
    filled: int = 0
    without_items: int = 0
    with_history: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, sessions: PackedSessions, ranked: RankedLists) -> None:
        """Count answered sessions."""
        lengths = np.diff(sessions.offsets)
        is_known = np.append(0, np.cumsum(sessions.items > 0))
        n_known = np.diff(is_known[sessions.offsets])
        self.sessions += len(sessions)
        self.clicks += len(sessions.items)
        self.unknown_clicks += len(sessions.items) - int(is_known[-1])
        self.unknown_sessions += int(np.count_nonzero((lengths > 0) & (n_known == 0)))
        self.empty_sessions += int(np.count_nonzero(lengths == 0))
        self.recommended += len(ranked.items)
        self.filled += int(np.count_nonzero(np.isnan(ranked.scores)))
        if sessions.history is not None:
            self.with_history += int(np.count_nonzero(sessions.history.counts))
        self.without_items += int(np.count_nonzero(np.diff(ranked.offsets) == 0))
