"""The business rules of a recommendation, shared by `recommend` and the evaluating commands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup
from nextclick.cli.parsing import parse_ids
from nextclick.core.item_rules import ItemRules


@dataclass(frozen=True, slots=True)
class ItemRuleOptions:
    """Which items may be recommended."""

    exclude_seen: Annotated[bool, Field(description="exclude items clicked in the session")] = False
    allow: Annotated[
        list[str] | None,
        Field(
            description="recommend only these items, such as A,B, or @FILE with an id on each line"
        ),
    ] = None
    block: Annotated[
        list[str] | None,
        Field(description="never recommend these items, such as A,B, or @FILE"),
    ] = None

    def rules(self) -> ItemRules:
        """The rules on raw ids."""
        return ItemRules(
            self.exclude_seen,
            None if self.allow is None else tuple(self.allow),
            tuple(self.block or ()),
        )


_PARSE = {"allow": parse_ids, "block": parse_ids}
ITEM_RULES = OptionGroup("Items", parse=_PARSE)


def with_item_rules(group: OptionGroup) -> OptionGroup:
    """The group of options that have these as their field `items`."""
    return replace(
        group,
        panels={**group.panels, "items": ITEM_RULES.panel},
        parse={**group.parse, **{f"items.{name}": parse for name, parse in _PARSE.items()}},
    )
