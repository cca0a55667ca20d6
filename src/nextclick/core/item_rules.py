"""Business rules: which items may be recommended, in serving and in evaluation alike."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nextclick.core.types import BoolArray, RawId
    from nextclick.core.vocabulary import Vocabulary

_MAX_LISTED = 5  # ids in a description; longer lists are described by their number and digest


@dataclass(frozen=True, slots=True)
class ItemRules:
    """Which items may be recommended.

    Attributes:
        exclude_seen: exclude the items that were clicked in the session.
        allow: raw ids of the only items that may be recommended; None allows all.
        block: raw ids of items that are never recommended.
    """

    exclude_seen: bool = False
    allow: tuple[RawId, ...] | None = None
    block: tuple[RawId, ...] = ()

    @property
    def names_items(self) -> bool:
        """Whether a rule names items."""
        return self.allow is not None or bool(self.block)

    def candidates(self, items: Vocabulary) -> BoolArray | None:
        """(N + 1,) bool, the items that `allow` and `block` leave; None if neither is given.

        Raises:
            ConfigError: they leave no item.
        """
        if not self.names_items:
            return None
        candidates = allowed_items(items, self.allow)
        if self.allow is not None and not candidates.any():
            raise ConfigError(
                f"allow names no item of the model: none of its {len(self.allow)} ids is known, "
                f"such as {', '.join(map(repr, self.allow[:3])) or 'none'}; use ids of the "
                "training log"
            )
        candidates[items.indices(self.block)] = False
        if not candidates.any():
            raise ConfigError("allow and block leave no item to recommend; block fewer items")
        return candidates

    def describe(self) -> str | None:
        """The rules as text that is equal for equal rules; None without a rule.

        >>> ItemRules(exclude_seen=True, block=(7, 3)).describe()
        "exclude seen, block '3' '7'"
        """
        rules = ["exclude seen"] if self.exclude_seen else []
        if self.allow is not None:
            rules.append(f"allow {_describe_ids(self.allow)}")
        if self.block:
            rules.append(f"block {_describe_ids(self.block)}")
        return ", ".join(rules) or None


NO_RULES = ItemRules()


def allowed_items(items: Vocabulary, allow: Iterable[RawId] | None) -> BoolArray:
    """(N + 1,) bool, the items of `allow`, or all items; index 0 is never allowed."""
    allowed = np.full(len(items) + 1, allow is None)
    if allow is not None:
        allowed[items.indices(allow)] = True
    allowed[0] = False
    return allowed


def _describe_ids(ids: Sequence[RawId]) -> str:
    distinct = sorted({str(raw).strip() for raw in ids})
    if len(distinct) <= _MAX_LISTED:
        return " ".join(map(repr, distinct))
    digest = hashlib.blake2b("\n".join(distinct).encode(), digest_size=6).hexdigest()
    return f"{len(distinct)} items (digest {digest})"
