"""The answer to one session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextclick.core.display import Display, Displayed

if TYPE_CHECKING:
    from nextclick.core.types import RawId


@dataclass(frozen=True, slots=True, repr=False)
class Recommendation(Displayed):
    """Recommended items for one session, best first.

    Attributes:
        items: raw ids, at most k.
        scores: the model's scores with boosts, not comparable across models; None for items that
            the model did not return: pinned ones, and others drawn at random or from popularity.
        from_model: number of items that the model returned; without rules that form the list, they
            come first.
        unknown: clicked ids that the model does not know; they are ignored.
        note: a remark for the reader, or None.
        propensity: the probability that each item is shown, which is below 1 if the rules explore;
            None otherwise, when it is 1.
    """

    items: list[RawId]
    scores: list[float | None]
    from_model: int
    unknown: list[RawId]
    note: str | None
    propensity: list[float] | None = None

    def display(self) -> Display:
        """What is shown of the recommendation: the items with their ranks and scores."""
        facts = {"unknown": self.unknown or None, "note": self.note}
        pairs = zip(self.items, self.scores, strict=True)
        return Display(
            f"{len(self.items)} recommended items",
            {name: value for name, value in facts.items() if value is not None},
            ("rank", "item", "score"),
            [
                [str(rank), str(item), "" if score is None else score]
                for rank, (item, score) in enumerate(pairs, 1)
            ],
        )
