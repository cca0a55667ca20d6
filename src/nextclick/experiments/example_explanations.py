"""Example sessions of a store explained, and explanations as a picture."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.sessions import MS_PER_SECOND
from nextclick.core.storage import raising_output_errors
from nextclick.data.store import Store
from nextclick.errors import ConfigError
from nextclick.experiments.requirements import need_matplotlib

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import RawId
    from nextclick.serving.explanation import Explanation
    from nextclick.serving.recommender import Recommender

FIGURES = (".png", ".svg")


@dataclass(frozen=True, slots=True)
class Example:
    """A session of a store, explained before its last click.

    Attributes:
        session: its number in its part.
        next: what was clicked then; it is the item that is explained.
        why: of the clicks before it.
    """

    session: int
    next: RawId
    why: Explanation


def explain_examples(
    recommender: Recommender,
    store: Store | str | Path,
    *,
    n: int = 10,
    part: str = "test",
    least: int = 5,
    seed: int = 0,
) -> list[Example]:
    """Explain why a model gives sessions their last click, in the order of the part.

    Args:
        recommender: any model that knows the items of the store.
        store: open, or its folder.
        n: how many sessions, drawn without repetition; all that there are if they are fewer.
        part: train, fit, valid or test.
        least: clicks that a session has at least before its last one.
        seed: of the draw.

    Raises:
        ConfigError: no such part, a number below 1, or no session is as long.
        StoreError: the store cannot be read, or the part is empty.
    """
    for name, value in (("examples", n), ("least", least)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")
    opened = store if isinstance(store, Store) else Store.open(store)
    sessions = opened.part(part)
    theirs = recommender.artifact.items.indices(opened.items.ids())
    known = np.concatenate([[False], theirs > 0])  # (N + 1,) by the index of the store
    counted = np.concatenate([[0], np.cumsum(known[sessions.items])])
    clicks = counted[sessions.offsets[1:]] - counted[sessions.offsets[:-1]]  # (S,)
    long = np.flatnonzero(clicks > least)
    if len(long) == 0:
        raise ConfigError(
            f"no session of part {part} of {opened.path} has {least} clicks before its last one "
            "on items that the model knows; ask for a smaller least"
        )
    drawn = np.random.default_rng(seed).permutation(long)[:n]
    examples = []
    for s in np.sort(drawn).tolist():
        at = np.arange(sessions.offsets[s], sessions.offsets[s + 1])
        at = at[known[sessions.items[at]]]
        *before, after = opened.items.raws(sessions.items[at])
        times = None
        if sessions.times is not None:
            times = ((sessions.times[at[:-1]] - sessions.times[at[0]]) / MS_PER_SECOND).tolist()
        user = None
        if sessions.users is not None and opened.users is not None and sessions.users[s] > 0:
            user = opened.users.raw(int(sessions.users[s]))
        why = recommender.explain(before, items=[after], times=times, user=user)
        examples.append(Example(s, after, why))
    return examples


def check_figure(path: Path) -> None:
    """Refuse a place that no picture can be written to, before anything is computed.

    Raises:
        ConfigError: it ends otherwise, or matplotlib is not installed.
    """
    need_matplotlib("explain --figure")
    if path.suffix not in FIGURES:
        raise ConfigError(f"a figure is a file that ends in .png or .svg, got {path}")


def draw_explanations(
    explanations: Sequence[Explanation], path: str | Path, *, names: Sequence[str], title: str
) -> None:
    """Draw explanations of one model; several are rows below each other, with their names.

    Raises:
        ConfigError: the file ends in neither .png nor .svg, or matplotlib is not installed.
        OutputError: it cannot be written.
    """
    place = Path(path)
    check_figure(place)
    from nextclick.analysis.plots.explanation_plot import draw_explained  # takes a second to import

    with raising_output_errors(place):
        told = [asdict(explanation) for explanation in explanations]
        draw_explained(told, place, names=names, title=title)
