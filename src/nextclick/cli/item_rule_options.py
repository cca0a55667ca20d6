"""The business rules of a recommendation, shared by `recommend` and the evaluating commands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup
from nextclick.cli.parsing import parse_ids
from nextclick.core.item_rules import ItemRules
from nextclick.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ItemRuleOptions:
    """Which items may be recommended."""

    exclude_seen: Annotated[bool, Field(description="exclude items clicked in the session")] = False
    allow: Annotated[
        list[str] | None,
        Field(
            description="recommend only these items, such as A,B, or @FILE with an id on each "
            "line; repeatable"
        ),
    ] = None
    block: Annotated[
        list[str] | None,
        Field(description="never recommend these items, such as A,B, or @FILE; repeatable"),
    ] = None

    def rules(self) -> ItemRules:
        """The rules on raw ids.

        Raises:
            ConfigError: a list is not closed, or its file cannot be read.
        """
        return ItemRules(
            self.exclude_seen,
            None if self.allow is None else _ids("--allow", self.allow),
            _ids("--block", self.block or []),
        )


ITEM_RULES = OptionGroup("Items")


def with_item_rules(group: OptionGroup) -> OptionGroup:
    """The group of options that have these as their field `items`."""
    return replace(group, panels={**group.panels, "items": ITEM_RULES.panel})


def _ids(option: str, texts: list[str]) -> tuple[str, ...]:
    return tuple(one for text in texts for one in _listed(option, text))


def _listed(option: str, text: str) -> list[str]:
    """The ids of `A,B`, or of `@FILE`, one on each line."""
    if not text.startswith("@"):
        return parse_ids(option, text)
    try:
        lines = Path(text[1:]).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{option} {text}: the file cannot be read: {error}") from error
    ids = [line.strip() for line in lines if line.strip()]
    if not ids:
        raise ConfigError(f"{option} {text}: the file has no id; write one on each line")
    return ids
