"""Loads the served models, and replaces a version while requests are answered."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.vocabulary import ROUNDED_IDS
from nextclick.errors import (
    ConfigError,
    InputError,
    RequestError,
    UnreachableError,
    nearest,
)
from nextclick.models.exported.served_models import pytorch_notice
from nextclick.serving.catalog_search import ItemCatalog
from nextclick.serving.item_file import ItemFile
from nextclick.serving.item_table_details import table_rows
from nextclick.serving.model_slot import LoadedModel, ModelSlot
from nextclick.serving.model_versions import open_versions
from nextclick.serving.recommender import Recommender
from nextclick.serving.warm_up import answers_inline, calibrate_search, warm_up

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nextclick.serving.model_versions import ServedVersion, VersionSource
    from nextclick.serving.traffic_split import TrafficSplit

log = logging.getLogger("nextclick.serving")

_MAX_REJECTED = 8  # rejected versions that are remembered


def _ignore(model: str, result: str) -> None:
    del model, result


class ModelManager:
    """All models of a server.

    Args:
        folders: name of a model to its folder or address; the first model is the default.
        items: a file with titles and other details of the items, shared by all models; without it,
            those of the item table in the artifact are shown.
        min_recall: recall that an approximate search of a large catalog must reach; 1 is exact.
        ids_as_text: answer with ids as text.
        split: an A/B test between versions of the first model, or None.
        on_change: called with the model and "swapped" or "refused".

    Attributes:
        image_origins: origins of the pictures of all models, as `https://images.shop.example`.
        slots: name to model.

    Raises:
        ArtifactError: a model cannot be loaded.
        ConfigError: the file of items cannot be read; a version of the split is missing, or has
            another catalog.
    """

    def __init__(
        self,
        folders: Mapping[str, str | Path],
        *,
        items: str | Path | None = None,
        min_recall: float = 1.0,
        ids_as_text: bool = False,
        split: TrafficSplit | None = None,
        on_change: Callable[[str, str], None] = _ignore,
    ):
        self._items = None if items is None else ItemFile(items)
        self._min_recall = min_recall
        self._ids_as_text = ids_as_text
        self._on_change = on_change
        self._origins: dict[str, list[str]] = {}
        self.image_origins: tuple[str, ...] = ()
        self.slots: dict[str, ModelSlot] = {}
        for name, folder in folders.items():
            source = open_versions(folder)
            if split is not None and not self.slots:
                self.slots[name] = self._load_split(name, source, split, folder)
            else:
                self.slots[name] = ModelSlot(name, source, self._load(name, source.current()))

    def slot(self, name: str | None) -> ModelSlot:
        """The model of a name; the default model for None.

        Raises:
            RequestError: there is no such model.
        """
        if name is None:
            return next(iter(self.slots.values()))
        if name not in self.slots:
            shown = name if len(name) <= 80 else name[:80] + "…"
            raise RequestError(
                f"model {shown!r} is not served; {nearest(name, self.slots)}",
                status=404,
                field="model",
            )
        return self.slots[name]

    def reload(self) -> None:
        """Load the current version of each model that has changed."""
        for slot in self.slots.values():
            if slot.split is not None:
                continue
            with slot.lock:  # the current version is read after a running activation
                try:
                    version = slot.source.current()
                except (InputError, OSError) as error:
                    log.warning("model %s: cannot read its versions: %s", slot.name, error)
                    continue
                if version.name not in (slot.loaded.version.name, *slot.rejected):
                    self.swap(slot, version)

    def swap(self, slot: ModelSlot, version: ServedVersion) -> str | None:
        """Load a version beside the active one, then replace it.

        Returns:
            None, or the reason why the version was rejected; the active one then stays.
        """
        with slot.lock:
            if slot.loaded.version.name == version.name:
                return None
            start = time.perf_counter()
            try:
                loaded = self._load(slot.name, version)
            except UnreachableError as error:  # not the fault of the version: it is tried again
                log.warning("model %s: version %s: %s", slot.name, version.name, error)
                return str(error)
            except Exception as error:  # any failure rejects the version
                return self._reject(slot, version, f"{type(error).__name__}: {error}")
            slot.loaded = loaded
            slot.rejected.pop(version.name, None)
            self._on_change(slot.name, "swapped")
            log.info(
                "model %s: version %s is active, loaded in %.2f s",
                slot.name, version.name, time.perf_counter() - start,
            )  # fmt: skip
            return None

    def activate(self, slot: ModelSlot, version: str | None, path: str | None) -> None:
        """Make a version active, here and for all servers of the registry.

        Raises:
            RequestError: there is no such version, or it is broken; the active one then stays.
        """
        if slot.split is not None:
            raise RequestError(
                f"model {slot.name} runs an A/B test between {', '.join(slot.arms)}; to end the "
                "test, start the server without --ab",
                status=409,
            )
        if (version is None) == (path is None):
            raise RequestError("give either version or path, not both", field="version")
        known = slot.source.versions()
        if version is not None:
            matches = [v for v in known if v.name == version]
        else:
            assert path is not None
            matches = [v for v in known if _same_folder(v.path, path)]
        if not matches:
            names = ", ".join(v.name for v in known[-5:])
            raise RequestError(
                f"model {slot.name} has no such version in its folder; the latest are {names}",
                status=404,
                field="version" if version is not None else "path",
            )
        with slot.lock:
            reason = self.swap(slot, matches[-1])
            if reason is None:
                slot.source.activate(matches[-1].name)
                return
        raise RequestError(
            f"version rejected, {slot.loaded.version.name} stays active: {reason}; "
            "activate another version",
            status=409,
        )

    def _load_split(
        self, name: str, source: VersionSource, split: TrafficSplit, folder: str | Path
    ) -> ModelSlot:
        """Load the versions of an A/B test.

        Raises:
            ConfigError: one is missing, or has another catalog than the first.
        """
        known = {version.name: version for version in source.versions()}
        for arm in split.shares:
            if arm not in known:
                raise ConfigError(
                    f"--ab: {folder} has no version {arm}; {nearest(arm, known)}; the test needs "
                    "versions of a registry, which `nextclick versions` lists"
                )
        arms = {arm: self._load(name, known[arm]) for arm in split.shares}
        first, *others = arms
        for other in others:
            difference = catalog_difference(arms[first].recommender, arms[other].recommender)
            if difference is not None:
                raise ConfigError(
                    f"--ab: the catalog of {other} differs from that of {first}: {difference}; "
                    "train both versions on one store"
                )
        return ModelSlot(name, source, arms[first], split=split, arms=arms)

    def _reject(self, slot: ModelSlot, version: ServedVersion, reason: str) -> str:
        slot.rejected[version.name] = reason
        while len(slot.rejected) > _MAX_REJECTED:
            del slot.rejected[next(iter(slot.rejected))]
        self._on_change(slot.name, "refused")
        log.warning(
            "model %s: version %s rejected, %s stays active: %s",
            slot.name, version.name, slot.loaded.version.name, reason,
        )  # fmt: skip
        return reason

    def _load(self, name: str, version: ServedVersion) -> LoadedModel:
        recommender = Recommender.load(version.path, ids_as_text=self._ids_as_text)
        if recommender.artifact.items.exceeds_doubles:
            log.warning("model %s: %s; start the server with --ids-as-text", name, ROUNDED_IDS)
        notice = pytorch_notice(recommender.artifact.model)
        if notice is not None:
            log.warning("model %s: %s", name, notice)
        warm_up(recommender)
        catalog = self._catalog(name, recommender)
        search = calibrate_search(recommender, self._min_recall)
        inline = answers_inline(recommender)
        return LoadedModel(version, recommender, catalog, time.time(), search, inline)

    def _catalog(self, name: str, recommender: Recommender) -> ItemCatalog:
        artifact = recommender.artifact
        rows = table_rows(artifact) if self._items is None else self._items.rows()
        catalog = ItemCatalog(artifact.items, recommender.popular, artifact.support, rows)
        if rows is not None:
            log.log(
                logging.INFO if catalog.n_titled else logging.WARNING,
                "model %s: %d of %d items have a title, %d further details; ignored rows of the "
                "items: %d with an unknown id, %d duplicates, %d without an id or a value or "
                "with too many fields; %d pictures and links are not addresses of the web",
                name, catalog.n_titled, len(artifact.items), catalog.n_detailed,
                catalog.n_unknown, catalog.n_duplicate, rows.n_incomplete, rows.n_bad_addresses,
            )  # fmt: skip
        self._origins[name] = [] if rows is None else rows.image_origins()
        self.image_origins = tuple(sorted({one for some in self._origins.values() for one in some}))
        return catalog


def catalog_difference(first: Recommender, second: Recommender) -> str | None:
    """How the catalog of a second model differs from that of a first one, or None."""
    ids, other = first.artifact.items, second.artifact.items
    arrays, other_arrays = ids.arrays(), other.arrays()
    if arrays.keys() == other_arrays.keys() and all(
        np.array_equal(arrays[name], other_arrays[name]) for name in arrays
    ):
        return None
    own, others = ({str(raw) for raw in vocabulary.ids()} for vocabulary in (ids, other))
    return f"{len(others - own):,} items are new, and {len(own - others):,} are missing"


def _same_folder(version: Path | str, path: str) -> bool:
    if isinstance(version, str):
        return version == path.rstrip("/")
    try:
        return version.resolve() == Path(path).resolve()
    except (OSError, ValueError, RuntimeError):
        return False
