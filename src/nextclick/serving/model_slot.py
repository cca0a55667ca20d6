"""A served model: its active version, or the versions of an A/B test."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nextclick.core.types import RawId
    from nextclick.serving.catalog_search import ItemCatalog
    from nextclick.serving.model_versions import ServedVersion, VersionSource
    from nextclick.serving.recommender import Recommender
    from nextclick.serving.traffic_split import TrafficSplit


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A version in memory.

    Attributes:
        version: its name and folder.
        recommender: its model.
        catalog: its items, with titles and other details.
        loaded_at: seconds since 1970.
        search: the method of its top-k search, and the recall measured when it was loaded.
        inline: whether requests are computed in the event loop instead of on a thread.
    """

    version: ServedVersion
    recommender: Recommender
    catalog: ItemCatalog
    loaded_at: float
    search: dict[str, object]
    inline: bool


@dataclass(slots=True, eq=False)
class ModelSlot:
    """A served model.

    Attributes:
        name: as requests name it.
        source: its versions.
        loaded: the active version; replaced as a whole, so a request keeps the one it started with.
        rejected: the latest versions that could not be loaded, with the reason.
        lock: held while the version changes.
        split: the A/B test between versions, or None; they stay active, whatever is published.
        arms: its versions by name; `loaded` is the first. Empty without a test.
    """

    name: str
    source: VersionSource
    loaded: LoadedModel
    rejected: dict[str, str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    split: TrafficSplit | None = None
    arms: dict[str, LoadedModel] = field(default_factory=dict)

    @property
    def served(self) -> list[LoadedModel]:
        """The versions that answer requests."""
        return list(self.arms.values()) or [self.loaded]

    def assign(self, session: str | None, user: RawId | None) -> tuple[LoadedModel, str | None]:
        """The version that answers a request, and its name if an A/B test selected it.

        A request with neither a visitor nor a session is answered by the first version.

        Args:
            session: id of the live session, or None.
            user: id of the visitor, or None.
        """
        if self.split is None or (session is None and user is None):
            return self.loaded, None
        arm = self.split.arm(session, user)
        return self.arms[arm], arm
