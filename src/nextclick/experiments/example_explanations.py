"""Explanations of example sessions of a store, and their figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.sessions import MS_PER_SECOND
from nextclick.core.storage import raising_output_errors
from nextclick.data.store import Store
from nextclick.errors import ConfigError
from nextclick.experiments.requirements import require_matplotlib

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import BoolArray, RawId
    from nextclick.data.user_history import UserHistory
    from nextclick.serving.explanation import Explanation
    from nextclick.serving.recommender import Recommender

FIGURES = (".png", ".svg")
_MAX_EARLIER = 100  # earlier sessions of a user; a model reads at most so many


@dataclass(frozen=True, slots=True)
class Example:
    """A session of a store, with an explanation of its last click.

    Attributes:
        session: its number in its part.
        target: its last click, the item that is explained.
        explanation: of the target, after the clicks before it.
    """

    session: int
    target: RawId
    explanation: Explanation


def explain_examples(
    recommender: Recommender,
    store: Store | str | Path,
    *,
    n: int = 10,
    part: str = "test",
    min_clicks: int = 5,
    seed: int = 0,
) -> list[Example]:
    """Explain the last click of random sessions of a part, in the order of the part.

    Args:
        recommender: a model that knows items of the store.
        store: a store or its folder.
        n: number of sessions, drawn without replacement; all sessions if there are fewer.
        part: train, train_inner, valid or test.
        min_clicks: minimum number of clicks before the last one.
        seed: seed of the sample.

    Raises:
        ConfigError: the part does not exist, a number is below 1, or no session is long enough.
        StoreError: the store cannot be read, or the part is empty.
    """
    for name, value in (("examples", n), ("min_clicks", min_clicks)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")
    store = store if isinstance(store, Store) else Store.open(store)
    sessions = store.part(part)
    known = _known_items(recommender, store)
    n_known_before = np.concatenate([[0], np.cumsum(known[sessions.items])])
    n_clicks = n_known_before[sessions.offsets[1:]] - n_known_before[sessions.offsets[:-1]]  # (S,)
    candidates = np.flatnonzero(n_clicks > min_clicks)
    if len(candidates) == 0:
        raise ConfigError(
            f"no session of part {part} of {store.path} has {min_clicks} clicks before its last "
            "one on items that the model knows; use a smaller --min-clicks"
        )
    sample = np.random.default_rng(seed).permutation(candidates)[:n]
    reads_history = recommender.artifact.model.capabilities.earlier_sessions > 0
    history = store.history(part) if reads_history else None
    return [
        _explain_session(recommender, store, sessions, s, known, history)
        for s in np.sort(sample).tolist()
    ]


def _known_items(recommender: Recommender, store: Store) -> BoolArray:
    """(N + 1,) bool by item index of the store: whether the model knows the item."""
    model_index = recommender.artifact.items.indices(store.items.ids())
    return np.concatenate([[False], model_index > 0])


def _explain_session(
    recommender: Recommender,
    store: Store,
    sessions: Sessions,
    s: int,
    known: BoolArray,
    history: UserHistory | None,
) -> Example:
    """Explain the last click on a known item of session number s."""
    positions = np.arange(sessions.offsets[s], sessions.offsets[s + 1])
    positions = positions[known[sessions.items[positions]]]
    *clicks, target = store.items.raw_ids(sessions.items[positions])
    times = None
    if sessions.times is not None:
        click_times = sessions.times[positions[:-1]]
        times = ((click_times - click_times[0]) / MS_PER_SECOND).tolist()
    user = None
    if sessions.users is not None and store.users is not None and sessions.users[s] > 0:
        user = store.users.raw(int(sessions.users[s]))
    earlier = [] if history is None else _earlier_sessions(store, sessions, s, history)
    explanation = recommender.explain(
        clicks, items=[target], times=times, user=user, history=earlier
    )
    return Example(s, explanation.items[0], explanation)


def _earlier_sessions(
    store: Store, sessions: Sessions, s: int, history: UserHistory
) -> list[tuple[list[RawId], float]]:
    """The earlier sessions of the user of session s, with seconds before its first click."""
    pool, times = history.pool, history.pool.times
    assert sessions.times is not None and times is not None
    start = sessions.times[sessions.offsets[s]]
    earlier = []
    for number in history.sessions(s, _MAX_EARLIER).tolist():
        items = pool.session(number)
        age = (start - times[pool.offsets[number + 1] - 1]) / MS_PER_SECOND
        earlier.append((store.items.raw_ids(items[items != 0]), -float(age)))
    return earlier


def check_figure_path(path: Path) -> None:
    """Validate the file of a figure before anything is computed.

    Raises:
        ConfigError: the file has another suffix, or matplotlib is not installed.
    """
    require_matplotlib("explain --figure")
    if path.suffix not in FIGURES:
        raise ConfigError(f"a figure must be a .png or .svg file, got {path}")


def draw_explanations(
    explanations: Sequence[Explanation], path: str | Path, *, names: Sequence[str], title: str
) -> None:
    """Plot explanations of one model, one row for each, labeled with its name.

    Raises:
        ConfigError: the file is neither .png nor .svg, or matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    file = Path(path)
    check_figure_path(file)
    from nextclick.analysis.plots.explanation_plot import draw_explained  # takes a second to import

    with raising_output_errors(file):
        draw_explained(list(map(asdict, explanations)), file, names=names, title=title)
