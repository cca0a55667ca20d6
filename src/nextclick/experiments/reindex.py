"""Sessions of a store in the item and user indices of a model with another vocabulary."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.artifact import Artifact
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int32Array
    from nextclick.core.vocabulary import Vocabulary
    from nextclick.data.store import Store


def sessions_for(artifact: Artifact, store: Store, part: str) -> Sessions:
    """A part of a store, matched by raw id; items and users unknown to the model are 0.

    The earlier sessions of a user unknown to the model are not found, if the model has users.
    """
    sessions = store.part(part)
    reindexed = sessions.remap_items(_index_map(store.items, artifact.items), len(artifact.items))
    if store.users is None or sessions.users is None:
        return replace(reindexed, users=None, n_users=0)
    if artifact.users is None:  # users identify earlier sessions only
        return reindexed
    index, earlier = _index_map(store.users, artifact.users), reindexed.earlier
    return replace(
        reindexed,
        users=index[sessions.users],
        n_users=len(artifact.users),
        earlier=None if earlier is None else earlier.remap_users(index),
    )


def _index_map(source: Vocabulary, target: Vocabulary) -> Int32Array:
    """(len(source) + 1,) int32, the index in `target` of each index of `source`."""
    return np.append(np.int32(0), target.indices(source.ids())).astype(np.int32)
