"""Items that a session clicked before each target: repeated targets, and items that rules hide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from nextclick.core.filtered_topk import NO_MASK, CandidateFilter
from nextclick.core.item_rules import NO_RULES
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from nextclick.batches.prefixes import PrefixBlock
    from nextclick.core.item_rules import ItemRules
    from nextclick.core.item_table import ItemTable
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import BoolArray, Int32Array, Int64Array
    from nextclick.core.vocabulary import Vocabulary


def repeated_clicks(sessions: Sessions) -> BoolArray:
    """(E,) bool, whether the item of a click was clicked earlier in the same session.

    Clicks on unknown items (0) are not repeats, because their ids are not known.
    """
    items = np.asarray(sessions.items, dtype=np.int64)
    session = np.repeat(np.arange(len(sessions)), sessions.lengths())  # (E,)
    _, first = np.unique(session * (sessions.n_items + 1) + items, return_index=True)
    repeated = np.ones(len(items), dtype=np.bool_)
    repeated[first] = False
    return repeated & (items > 0)


@dataclass(frozen=True, slots=True, eq=False)
class CandidateRules:
    """The rules of an evaluation on item indices.

    Attributes:
        allowed: (N + 1,) bool, items that may be recommended; None allows all.
        exclude_seen: exclude the items that were clicked before the target.
        sessions: the sessions that are ranked.
    """

    allowed: BoolArray | None
    exclude_seen: bool
    sessions: Sessions

    @classmethod
    def of(
        cls,
        rules: ItemRules,
        items: Vocabulary | None,
        table: ItemTable | None,
        sessions: Sessions,
        candidates: BoolArray | None = None,
    ) -> Self | None:
        """The rules on item indices; None if all items are candidates.

        Args:
            rules: the rules.
            items: raw ids of the items.
            table: columns of the items.
            sessions: the sessions that are ranked.
            candidates: (N + 1,) bool, the items that the scorer can rank; None is all.

        Raises:
            ConfigError: a rule names items, and `items` is None; the table does not have a column
                of a rule; or the rules leave no item.
        """
        if rules == NO_RULES and candidates is None:
            return None
        if items is None and (rules.names_items or rules.where is not None):
            raise ConfigError(
                "rules with allow, block, where, boost or pin need items, the vocabulary of ids"
            )
        allowed = None if items is None else rules.candidates(items, table)
        if candidates is not None:
            allowed = candidates if allowed is None else allowed & candidates
        return cls(allowed, rules.exclude_seen, sessions)

    def candidates(self, block: PrefixBlock, k: int) -> CandidateFilter:
        """The candidates of each prefix of a block, for lists of k items.

        All clicks before the target count as seen, also those beyond `max_length` of the protocol.
        """
        offsets, excluded = np.zeros(len(block) + 1, dtype=np.int64), np.empty(0, np.int32)
        if self.exclude_seen:
            offsets, excluded = seen_items(self.sessions, block.session, block.position)
        return CandidateFilter(
            k=np.full(len(block), k, dtype=np.int64),
            excluded_offsets=offsets,
            excluded=excluded,
            mask_of=np.full(len(block), -1 if self.allowed is None else 0, dtype=np.int64),
            masks=NO_MASK if self.allowed is None else self.allowed[None, :],
        )


def seen_items(
    sessions: Sessions, session: Int64Array, position: Int32Array
) -> tuple[Int64Array, Int32Array]:
    """The distinct known items of the first clicks of sessions, ascending within a row.

    Args:
        sessions: the log.
        session: (P,) int64, session of each row.
        position: (P,) int32, number of its first clicks.

    Returns:
        (P + 1,) offsets and the items: row p has items[offsets[p]:offsets[p + 1]].
    """
    P, base = len(session), sessions.n_items + 1
    ends = np.cumsum(position, dtype=np.int64)
    starts = sessions.offsets[session] - (ends - position)
    clicks = np.arange(int(ends[-1]) if P else 0) + np.repeat(starts, position)
    row = np.repeat(np.arange(P), position)
    keys = np.unique(row * base + sessions.items[clicks])
    keys = keys[keys % base > 0]
    offsets = np.searchsorted(keys, np.arange(P + 1) * base)
    return offsets.astype(np.int64), (keys % base).astype(np.int32)
