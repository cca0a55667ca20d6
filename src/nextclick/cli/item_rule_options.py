"""The business rules of a recommendation, shared by `recommend` and the evaluating commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup
from nextclick.cli.parsing import parse_ids
from nextclick.core.item_rules import ItemRules
from nextclick.errors import ConfigError

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class ItemRuleOptions:
    """Which items are shown, and in which order."""

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
    where: Annotated[
        str | None,
        Field(
            description="recommend only items whose columns of `prepare --items` satisfy a "
            "condition, such as 'price >= 10 and stock > 0'"
        ),
    ] = None
    boost: Annotated[
        list[str] | None,
        Field(
            description="multiply the score, or the odds, of items: A=2.0,B=0.5, or @FILE with "
            "A=2.0 on each line; repeatable"
        ),
    ] = None
    pin: Annotated[
        list[str] | None,
        Field(description="show items at positions, such as A@1,B@5, or @FILE; repeatable"),
    ] = None
    cap: Annotated[
        list[str] | None,
        Field(
            description="show at most this many items of each category, such as category=3; "
            "repeatable"
        ),
    ] = None
    diversity: Annotated[
        float | None,
        Field(
            ge=0,
            lt=1,
            description="weight of the dissimilarity to the items above; 0 only measures the "
            "diversity",
        ),
    ] = None
    explore: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="share of the positions that get a random item; `recommend` only",
        ),
    ] = 0.0
    explore_seed: Annotated[
        int | None,
        Field(ge=0, description="seed of the random items; omitted, each call draws others"),
    ] = None

    def rules(self) -> ItemRules:
        """The rules on raw ids.

        Raises:
            ConfigError: a list is not closed, its file cannot be read, or a value is wrong.
        """
        return ItemRules(
            self.exclude_seen,
            None if self.allow is None else _ids("--allow", self.allow),
            _ids("--block", self.block or []),
            where=self.where,
            boost=_numbers("--boost", self.boost or [], "=", float),
            pin=_numbers("--pin", self.pin or [], "@", int),
            cap=_numbers("--cap", self.cap or [], "=", int),
            diversity=self.diversity,
            explore=self.explore,
            explore_seed=self.explore_seed,
        )


ITEM_RULES = OptionGroup("Items")


def with_item_rules(group: OptionGroup) -> OptionGroup:
    """The group of options that have these as their field `items`."""
    return replace(group, panels={**group.panels, "items": ITEM_RULES.panel})


def _ids(option: str, texts: list[str]) -> tuple[str, ...]:
    return tuple(one for text in texts for one in _listed(option, text))


def _numbers(
    option: str, texts: list[str], sign: str, number: Callable[[str], Number]
) -> dict[str, Number]:
    """The numbers of names such as `A=2.0` or `A@1`."""
    expected = (
        "a column with a number, such as brand=2"
        if option == "--cap"
        else f"items with numbers, such as A{sign}2"
    )
    numbers: dict[str, Number] = {}
    for text in _ids(option, texts):
        name, found, value = text.rpartition(sign)
        try:
            parsed = number(value)
        except ValueError:
            found = ""
        if not found or not name.strip():
            raise ConfigError(f"{option} must be {expected}, got {text!r}")
        if name.strip() in numbers:
            raise ConfigError(f"{option} must name {name.strip()!r} once, got it twice")
        numbers[name.strip()] = parsed
    return numbers


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
