"""Business rules: which items are shown and in which order, in serving and in evaluation alike."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.where_expression import WhereExpression
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.item_table import ItemTable
    from nextclick.core.types import BoolArray, Int32Array, RawId
    from nextclick.core.vocabulary import Vocabulary

_MAX_LISTED = 5  # ids in a description; longer lists are described by their number and digest


@dataclass(frozen=True, slots=True)
class ItemRules:
    """Which items are shown, and in which order.

    `exclude_seen`, `allow`, `block` and `where` hide items. The others form the list; see
    `nextclick.core.shown_list`.

    Attributes:
        exclude_seen: exclude the items that were clicked in the session.
        allow: raw ids of the only items that may be recommended; None allows all.
        block: raw ids of items that are never recommended.
        where: a condition on columns of the item table, such as "price >= 10 and stock > 0"; see
            `WhereExpression`. Items for which it is not true are never recommended.
        boost: raw id to the factor of its score, above 0.
        pin: raw id to its position in the list, from 1. A hidden item is not pinned.
        cap: categorical column of the item table to the largest number of items of each category
            in a list. Items without a category are not counted.
        diversity: weight of the dissimilarity to the items above, from 0 to below 1. 0 reorders
            nothing, and an evaluation measures the diversity. None does neither.
        explore: share of the positions that are filled at random, from 0 to below 1.
        explore_seed: seed of the random items; equal requests with equal seeds get equal answers.
            None draws other items for each request.

    Raises:
        ConfigError: a value is out of range, or two items are pinned to a position.
    """

    exclude_seen: bool = False
    allow: Sequence[RawId] | None = None
    block: Sequence[RawId] = ()
    where: str | None = None
    boost: Mapping[RawId, float] | Mapping[str, float] = field(default_factory=dict)
    pin: Mapping[RawId, int] | Mapping[str, int] = field(default_factory=dict)
    cap: Mapping[str, int] = field(default_factory=dict)
    diversity: float | None = None
    explore: float = 0.0
    explore_seed: int | None = None

    def __post_init__(self) -> None:
        if self.where is not None:
            WhereExpression(self.where)
        if self.forms_list:
            _check_list_rules(self)

    @property
    def names_items(self) -> bool:
        """Whether a rule names items."""
        return self.allow is not None or len(self.block) > 0 or bool(self.boost or self.pin)

    @property
    def forms_list(self) -> bool:
        """Whether a rule changes the order of the candidates."""
        orders = bool(self.boost or self.pin or self.cap or self.explore)
        return orders or self.diversity is not None

    def check(self, items: Vocabulary, table: ItemTable | None) -> None:
        """Check that a catalog has items and columns for the rules.

        Raises:
            ConfigError: it has none.
        """
        self.candidates(items, table)
        self.capped(table)

    def candidates(self, items: Vocabulary, table: ItemTable | None) -> BoolArray | None:
        """(N + 1,) bool, the items that `allow`, `block` and `where` leave; None without these.

        Raises:
            ConfigError: they leave no item, or the table does not have the columns.
        """
        if self.allow is None and not len(self.block) and self.where is None:
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
        if self.where is not None:
            candidates &= where_items(self.where, table)
            if not candidates.any():
                raise ConfigError(
                    f"where {self.where!r} is true for no item that may be recommended; "
                    "relax the condition"
                )
        return candidates

    def capped(self, table: ItemTable | None) -> list[tuple[Int32Array, int]]:
        """(N + 1,) category of each item from 1, 0 for none, and the limit of each cap.

        Raises:
            ConfigError: the table does not have a categorical column of that name.
        """
        if not self.cap:
            return []
        known = _known_table("cap", table)
        try:
            return [(known.categories(name).codes, limit) for name, limit in self.cap.items()]
        except ConfigError as error:
            raise ConfigError(f"cap: {error}") from None

    def describe(self) -> str | None:
        """The rules as text that is equal for equal rules; None without a rule.

        >>> ItemRules(exclude_seen=True, block=(7, 3)).describe()
        "exclude seen, block '3' '7'"
        >>> ItemRules(boost={7: 2}, pin={3: 1}, diversity=0.3).describe()
        "boost '7=2', pin '3@1', diversity 0.3"
        """
        rules = ["exclude seen"] if self.exclude_seen else []
        if self.allow is not None:
            rules.append(f"allow {_describe_ids(self.allow)}")
        if len(self.block):
            rules.append(f"block {_describe_ids(self.block)}")
        if self.where is not None:
            rules.append(f"where {self.where}")
        if self.boost:
            rules.append(f"boost {_describe_ids([f'{i}={f:g}' for i, f in self.boost.items()])}")
        if self.pin:
            rules.append(f"pin {_describe_ids([f'{i}@{p}' for i, p in self.pin.items()])}")
        rules += [f"cap {name} {limit}" for name, limit in sorted(self.cap.items())]
        if self.diversity is not None:
            rules.append(f"diversity {self.diversity:g}")
        if self.explore:
            seed = "" if self.explore_seed is None else f" seed {self.explore_seed}"
            rules.append(f"explore {self.explore:g}{seed}")
        return ", ".join(rules) or None


NO_RULES = ItemRules()


def allowed_items(items: Vocabulary, allow: Iterable[RawId] | None) -> BoolArray:
    """(N + 1,) bool, the items of `allow`, or all items; index 0 is never allowed."""
    allowed = np.full(len(items) + 1, allow is None)
    if allow is not None:
        allowed[items.indices(allow)] = True
    allowed[0] = False
    return allowed


def where_items(where: str, table: ItemTable | None) -> BoolArray:
    """(N + 1,) bool, the items for which a condition is true; index 0 is never one.

    Raises:
        ConfigError: the table does not have the columns.
    """
    return WhereExpression(where).items(_known_table("where", table))


def _known_table(rule: str, table: ItemTable | None) -> ItemTable:
    if table is None:
        raise ConfigError(
            f"{rule} needs columns of the items, and the model has none; prepare the log with "
            "--items FILE and train again"
        )
    return table


def _check_list_rules(rules: ItemRules) -> None:
    for name in ("boost", "pin", "cap"):
        if not isinstance(getattr(rules, name), Mapping):
            raise ConfigError(f"{name} must map names to numbers, got {getattr(rules, name)!r}")
    for column, limit in rules.cap.items():
        if type(limit) is not int or limit < 1:
            raise ConfigError(
                f"cap of {column} must be a number of items from 1, got {limit!r}; hide a "
                "category with where"
            )
    for raw, factor in rules.boost.items():
        if not (_is_number(factor) and 0 < factor < math.inf):
            raise ConfigError(
                f"boost of {raw!r} must be a factor above 0, got {factor!r}; block an item that "
                "must not be shown"
            )
    _check_pins(rules.pin)
    for name, share in (("diversity", rules.diversity or 0), ("explore", rules.explore)):
        if not (_is_number(share) and 0 <= share < 1):
            raise ConfigError(f"{name} must be at least 0 and below 1, got {share!r}")
    seed = rules.explore_seed
    if seed is not None and (type(seed) is not int or seed < 0):
        raise ConfigError(f"explore_seed must be an integer from 0, got {seed!r}")


def _check_pins(pins: Mapping[RawId, int] | Mapping[str, int]) -> None:
    item_at: dict[int, RawId] = {}
    for raw, position in pins.items():
        if type(position) is not int or position < 1:
            raise ConfigError(f"pin of {raw!r} must be a position from 1, got {position!r}")
        other = item_at.setdefault(position, raw)
        if other is not raw:
            raise ConfigError(
                f"pin must name one item for each position, got {other!r} and {raw!r} at "
                f"{position}; give one of them another position"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _describe_ids(ids: Iterable[RawId]) -> str:
    distinct = sorted({str(raw).strip() for raw in ids})
    if len(distinct) <= _MAX_LISTED:
        return " ".join(map(repr, distinct))
    digest = hashlib.blake2b("\n".join(distinct).encode(), digest_size=6).hexdigest()
    return f"{len(distinct)} items (digest {digest})"
