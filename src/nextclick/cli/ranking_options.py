"""The options of a ranking evaluation, shared by `evaluate` and `compare`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup
from nextclick.cli.item_rule_options import ItemRuleOptions, with_item_rules
from nextclick.errors import ConfigError
from nextclick.experiments.search_options import MinPrefix

if TYPE_CHECKING:
    from nextclick.batches.prefixes import Mode
    from nextclick.data.store import Store
    from nextclick.evaluation import RankingProtocol

SegmentNames = Annotated[
    tuple[str, ...],
    Field(
        description="also report metrics by prefix-length, popularity, user, earlier-sessions, or "
        "a column that `prepare --keep-column` stored"
    ),
]


@dataclass(frozen=True, slots=True)
class RankingOptions:
    """What is ranked, and how targets are counted."""

    ks: Annotated[str, Field(description="cut-offs K")] = "5,10,20"
    part: Annotated[
        str, Field(description="split to evaluate: test, or valid to select a model")
    ] = "test"
    ties: Annotated[
        str,
        Field(description="rank of a target among items of equal score: worst, best or mean"),
    ] = "worst"
    last_only: Annotated[bool, Field(description="predict the last click of each session only")] = (
        False
    )
    first_click: Annotated[
        bool,
        Field(
            description="predict the first click of each session whose user has an earlier session"
        ),
    ] = False
    unseen: Annotated[
        str | None,
        Field(description="targets that do not occur in training: miss or drop"),
    ] = None
    min_prefix: MinPrefix = 1
    by: SegmentNames = ()
    prequential: Annotated[
        bool,
        Field(
            description="models with a temporal item graph (tasrec) add each block of time to it "
            "before they predict the next one"
        ),
    ] = False

    items: ItemRuleOptions = field(default_factory=ItemRuleOptions)

    def protocol(self, store: Store) -> RankingProtocol:
        """The protocol of a store with these options."""
        from nextclick.experiments.artifact_evaluation import store_protocol

        changes: dict[str, Any] = {
            "ties": self.ties,
            "mode": self._mode(),
            "min_prefix": self.min_prefix,
            "rules": self.items.rules(),
        }
        if self.unseen is not None:
            changes["unseen"] = self.unseen
        return replace(store_protocol(store), **changes)

    def _mode(self) -> Mode:
        if self.first_click and self.last_only:
            raise ConfigError(
                "--first-click and --last-only choose different targets: give one of them"
            )
        return "first" if self.first_click else "last" if self.last_only else "all"


def ranking_group(**changes: Any) -> OptionGroup:
    """How these options appear on the command line."""
    group = OptionGroup(
        "Evaluation", flags={"ks": ("-k",)}, defaults={"unseen": "as the store was prepared"}
    )
    return replace(with_item_rules(group), **changes)
