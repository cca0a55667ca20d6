"""What an encoder needs to know of its training log: users, bins of gaps, features of the items."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.models.features.item_features import ItemFeatures
from nextclick.models.ops.gap_bins import GapBins

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.item_table import ItemTable
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, BoolArray
    from nextclick.models.ops.gap_bins import BinRule


@dataclass(frozen=True, slots=True, eq=False)
class DatasetInfo:
    """Properties of the training log that an encoder depends on besides the number of items.

    Attributes:
        seen_users: (U + 1,) bool, whether a user has a training session; entry 0 is the unknown
            user. None for a model that reads no users.
        bins: the binning of gaps; None for a model that reads no times.
        features: the features of the items; None for a model that reads none.
    """

    seen_users: BoolArray | None = None
    bins: GapBins | None = None
    features: ItemFeatures | None = None

    @classmethod
    def from_sessions(
        cls, sessions: Sessions, reads: frozenset[str], bins: BinRule = "scott"
    ) -> DatasetInfo:
        """Measure training sessions for a model that reads "times" or "users"."""
        seen_users = gap_bins = None
        if "users" in reads:
            assert sessions.users is not None
            seen_users = np.bincount(sessions.users, minlength=sessions.n_users + 1) > 0
            seen_users[0] = False
        if "times" in reads:
            gap_bins = GapBins.from_sessions(sessions, bins)
        return cls(seen_users, gap_bins)

    def with_features(
        self, config: Any, sessions: Sessions, item_table: ItemTable | None
    ) -> DatasetInfo:
        """The same with the features that a config names.

        Raises:
            ConfigError: there is no item table, or it has no such column.
        """
        clicked = sessions.support() > 0
        return replace(self, features=ItemFeatures.learn(config, item_table, clicked))

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: Any = None) -> DatasetInfo:
        """Read the properties back from the weights of an encoder and the config of its model."""
        bins = GapBins.from_state(state) if "gap_width" in state else None
        return cls(state.get("seen_users"), bins, ItemFeatures.from_state(state, config))


NO_DATASET_INFO = DatasetInfo()
