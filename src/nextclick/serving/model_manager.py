"""The models that a server answers with, and how a new version takes the place of an old one."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
import timeit
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nextclick.core.compiled_above import compile_at_once
from nextclick.errors import ArtifactError, InputError, RequestError, ScoringError, nearest
from nextclick.serving.catalog_search import Catalog
from nextclick.serving.recommender import Recommender
from nextclick.serving.request import Query, batch_of
from nextclick.serving.search.search_check import tried_search
from nextclick.serving.title_file import TitleFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nextclick.core.types import RawId

log = logging.getLogger("nextclick.serving")


class Version(Protocol):
    """One trained state of a model."""

    @property
    def name(self) -> str:
        """Told from all others of the model by this."""
        ...

    @property
    def path(self) -> Path:
        """The folder of its artifact."""
        ...


QUICK_SECONDS = 0.004  # of a request alone; a thread costs about one of these milliseconds


@dataclass(frozen=True, slots=True)
class _Only:
    """The `Version` of an artifact that is no part of a registry."""

    name: str
    path: Path


class Source(Protocol):
    """Where the versions of a model are."""

    def current(self) -> Version:
        """The one that is to answer.

        Raises:
            ArtifactError: there is none.
        """
        ...

    def versions(self) -> Sequence[Version]:
        """Those that may be activated, the oldest first."""
        ...

    def activate(self, name: str) -> object:
        """Make one the current one, for all who read it."""
        ...


class ArtifactSource:
    """One artifact; a version is what its manifest says, so that a new one in its place is seen."""

    def __init__(self, folder: Path):
        self.folder = folder

    def current(self) -> Version:
        """See `Source`."""
        try:
            manifest = (self.folder / "manifest.json").read_bytes()
        except OSError as error:
            raise ArtifactError(
                f"{self.folder} is not an artifact (it has no manifest.json); make one with "
                "`nextclick train STORE --model NAME -o ARTIFACT`"
            ) from error
        changed = (self.folder / "weights.safetensors").stat().st_mtime_ns
        mark = hashlib.blake2b(manifest + str(changed).encode(), digest_size=6)
        return _Only(mark.hexdigest(), self.folder)

    def versions(self) -> Sequence[Version]:
        """See `Source`."""
        return [self.current()]

    def activate(self, name: str) -> None:
        """There is one only."""


def source_of(folder: str | Path) -> Source:
    """The versions below a folder: an artifact, or a registry of several."""
    path = Path(folder)
    try:
        kind = json.loads((path / "manifest.json").read_bytes()).get("kind")
    except (OSError, ValueError, AttributeError):
        kind = None  # loading it says what is wrong
    if kind != "nextclick.registry":
        return ArtifactSource(path)
    found: Source = import_module("nextclick.artifact.version_registry").Registry(path)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A version that answers.

    Attributes:
        version: which one.
        recommender: its model.
        items: its catalog, with titles, to search in.
        since: seconds since 1970.
        search: how the best items are found, and what that found when it was tried.
        quick: whether an answer costs less than a thread of its own is worth.
    """

    version: Version
    recommender: Recommender
    items: Catalog
    since: float
    search: dict[str, object]
    quick: bool


@dataclass(slots=True, eq=False)
class Slot:
    """A model by its name.

    Attributes:
        source: where its versions are.
        loaded: the version that answers; replaced whole, so a request keeps the one it began with.
        refused: versions that could not be taken, and why; the latest eight.
    """

    name: str
    source: Source
    loaded: Loaded
    refused: dict[str, str] = field(default_factory=dict)
    changing: threading.RLock = field(default_factory=threading.RLock)


def _tells_nobody(model: str, result: str) -> None:
    del model, result


class Served:
    """All models of a server.

    Args:
        folders: name of a model to its folder; the first one answers who names none.
        titles: a file with the titles of items, of all models.
        least_recall: of the best items of a large catalog, which share has to be found; below 1
            its search may be faster.
        told: called with model and "swapped" or "refused".

    Raises:
        ArtifactError: one cannot be loaded.
        ConfigError: the titles cannot be read.
    """

    def __init__(
        self,
        folders: Mapping[str, str | Path],
        *,
        titles: str | Path | None = None,
        least_recall: float = 1.0,
        told: Callable[[str, str], None] = _tells_nobody,
    ):
        self._titles = None if titles is None else TitleFile(titles)
        self._least_recall = least_recall
        self._told = told
        self.slots: dict[str, Slot] = {}
        for name, folder in folders.items():
            source = source_of(folder)
            self.slots[name] = Slot(name, source, self._load(name, source.current()))

    def slot(self, name: str | None) -> Slot:
        """The model of a name, the first one for None.

        Raises:
            RequestError: there is none.
        """
        if name is None:
            return next(iter(self.slots.values()))
        if name not in self.slots:
            shown = name if len(name) <= 80 else name[:80] + "…"
            raise RequestError(
                f"there is no model {shown!r}; {nearest(name, self.slots)}",
                status=404,
                field="model",
            )
        return self.slots[name]

    def look(self) -> None:
        """Take new versions of all models, if there are any."""
        for slot in self.slots.values():
            with slot.changing:  # what is current is read after what is being activated
                try:
                    version = slot.source.current()
                except (InputError, OSError) as error:
                    log.warning("model %s: its versions cannot be read: %s", slot.name, error)
                    continue
                if version.name not in (slot.loaded.version.name, *slot.refused):
                    self.take(slot, version)

    def take(self, slot: Slot, version: Version) -> str | None:
        """Load a version beside the one that answers, and put it in its place.

        Returns:
            None, or why it was refused; the old one answers then as before.
        """
        with slot.changing:
            if slot.loaded.version.name == version.name:
                return None
            began = time.perf_counter()
            try:
                loaded = self._load(slot.name, version)
            except Exception as error:  # whatever is wrong with it, it is refused
                reason = f"{type(error).__name__}: {error}"
                slot.refused[version.name] = reason
                while len(slot.refused) > 8:
                    del slot.refused[next(iter(slot.refused))]
                self._told(slot.name, "refused")
                log.warning(
                    "model %s: version %s was refused, %s stays: %s",
                    slot.name, version.name, slot.loaded.version.name, reason,
                )  # fmt: skip
                return reason
            slot.loaded = loaded
            slot.refused.pop(version.name, None)
            self._told(slot.name, "swapped")
            log.info(
                "model %s: version %s answers, after %.2f s",
                slot.name, version.name, time.perf_counter() - began,
            )  # fmt: skip
            return None

    def activate(self, slot: Slot, version: str | None, path: str | None) -> None:
        """Make a version answer, here and for all who watch the registry.

        Raises:
            RequestError: there is no such version, or it is broken; the old one stays.
        """
        if (version is None) == (path is None):
            raise RequestError("name one of version and path; send either", field="version")
        known = slot.source.versions()
        if version is not None:
            found = [v for v in known if v.name == version]
        else:
            assert path is not None
            found = [v for v in known if _same_folder(v.path, path)]
        if not found:
            names = ", ".join(v.name for v in known[-5:])
            raise RequestError(
                f"model {slot.name} has no such version below its folder; the latest are {names}",
                status=404,
                field="version" if version is not None else "path",
            )
        with slot.changing:
            reason = self.take(slot, found[-1])
            if reason is None:
                slot.source.activate(found[-1].name)
                return
        raise RequestError(
            f"the version was refused, {slot.loaded.version.name} stays: {reason}; "
            "activate another one",
            status=409,
        )

    def _load(self, name: str, version: Version) -> Loaded:
        recommender = Recommender.load(version.path)
        warm(recommender)
        items = self._catalog(name, recommender)
        search = tried_search(recommender, self._least_recall)
        return Loaded(version, recommender, items, time.time(), search, is_quick(recommender))

    def _catalog(self, name: str, recommender: Recommender) -> Catalog:
        known = recommender.artifact
        titles = None if self._titles is None else self._titles.titles()
        items = Catalog(known.items, recommender.popular, known.support, titles)
        items.find("a", 1)  # the search is made ready
        if titles is not None:
            log.log(
                logging.INFO if items.titled else logging.WARNING,
                "model %s: %d of %d items have a title; passed over of the file: "
                "%d ids that are unknown, %d that come again, %d lines without an id or a title",
                name, items.titled, len(known.items),
                items.placed.unknown, items.placed.again, titles.bare,
            )  # fmt: skip
        return items


def warm(recommender: Recommender) -> None:
    """Ask a model what requests will ask: kernels are compiled, pages read, and scores are seen.

    Raises:
        ScoringError: it answers with scores that are not finite.
    """
    compile_at_once()  # no request is to wait for a compiler
    popular, k = _asked_first(recommender)
    for session in ([popular[0]], popular, ["\x00"]):
        asked = [
            Query(session, k, times=[0.0] * len(session), now=1.0, explain=True),
            Query(session, k, exclude_seen=True, block=popular[:1], live="\x00warm"),
            Query(session, 1, allow=popular),
        ]
        wishes = [recommender.wish(query) for query in asked]
        recommender.answer(wishes)
        recommender.reasons(wishes)
        if not np.isfinite(recommender.artifact.model.score(batch_of(wishes[:1]))[:, 1:]).all():
            raise ScoringError("an item has a score that is not finite; train again")
    recommender.scorer.forget("\x00warm")


def is_quick(recommender: Recommender) -> bool:
    """Whether one request is answered within `QUICK_SECONDS`, the best of a few."""
    wishes = [recommender.wish(Query(*_asked_first(recommender)))]
    took = timeit.repeat(lambda: recommender.answer(wishes), number=1, repeat=10)
    return min(took) < QUICK_SECONDS


def _asked_first(recommender: Recommender) -> tuple[list[RawId], int]:
    """A session that any model can answer, and how many items."""
    popular = recommender.popular
    return recommender.artifact.items.raws(popular[:3]), min(20, len(popular))


def _same_folder(version: Path, path: str) -> bool:
    try:
        return version.resolve() == Path(path).resolve()
    except (OSError, ValueError, RuntimeError):
        return False
