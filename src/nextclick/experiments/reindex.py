"""The sessions of a store in the indices of a model that has another vocabulary."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.artifact import Artifact
    from nextclick.core.sessions import Sessions
    from nextclick.core.vocabulary import Vocabulary
    from nextclick.data.store import Store


def sessions_for(artifact: Artifact, store: Store, part: str) -> Sessions:
    """A part of a store, by raw ids; items and users that the model does not know are 0."""
    sessions = store.part(part)
    found = sessions.renumbered(_index(store.items, artifact.items), len(artifact.items))
    if artifact.users is None or store.users is None or sessions.users is None:
        return replace(found, users=None, n_users=0)
    users = _index(store.users, artifact.users)[sessions.users]
    return replace(found, users=users, n_users=len(artifact.users))


def _index(of: Vocabulary, to: Vocabulary) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """(len(of) + 1,) int32, the index in `to` of each index of `of`."""
    return np.append(np.int32(0), to.indices(of.ids())).astype(np.int32)
