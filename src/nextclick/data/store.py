"""Store of a prepared log: memory-mapped arrays and a manifest.

    STORE/
      manifest.json            format version, options, report, counts, fingerprint
      items/  users/           vocabularies (users only if the log has users)
      train/  test/            items.npy (E,) int32    offsets.npy (S + 1,) int64
                               times.npy (E,) int64    users.npy, blocks.npy (S,) int32

Sessions are sorted by the time of their last click in the log, even if a filter dropped that click,
as in the published protocols. The validation part is the end of `train`; the manifest records where
it begins, so nothing is stored twice.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from nextclick.core.sessions import Sessions
from nextclick.core.vocabulary import Vocabulary
from nextclick.data.user_history import UserHistory
from nextclick.errors import ConfigError, StoreError, nearest

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray

FORMAT_VERSION = 2  # 1 called the part train_inner "fit"
KIND = "nextclick.store"
_KEYS = ("fingerprint", "n_train_inner_sessions", "protocol", "counts")
PartName = Literal["train", "train_inner", "valid", "test"]
PARTS: tuple[str, ...] = get_args(PartName)


class Store:
    """An open store. Opening reads the manifest only; arrays are memory-mapped on first use.

    Attributes:
        path: the folder.
        manifest: content of `manifest.json`.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]):
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Open a folder written by `prepare`.

        Raises:
            StoreError: the folder is not a store, or has another format version.
        """
        folder = Path(path)
        file = folder / "manifest.json"
        if not file.exists():
            windows = sorted(p.parent.name for p in folder.glob("window-*/manifest.json"))
            remedy = "create one with `nextclick prepare LOG -o STORE`"
            if windows:
                remedy = f"it contains {', '.join(windows)}: use one of them"
            raise StoreError(f"{folder} is not a store (it has no manifest.json); {remedy}")
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
            version = int(manifest["format_version"])
            kind = manifest["kind"]
            if kind == KIND and version == FORMAT_VERSION:
                _ = [manifest[key] for key in _KEYS]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise StoreError(f"{file}: not the manifest of a store: {error!r}") from error
        if kind != KIND:
            raise StoreError(f"{folder} is a {kind}, not a store; pass the folder of a store")
        if version != FORMAT_VERSION:
            remedy = "upgrade nextclick" if version > FORMAT_VERSION else "prepare the log again"
            raise StoreError(
                f"{folder} has store format {version}, but this version of nextclick reads format "
                f"{FORMAT_VERSION}: {remedy}"
            )
        return cls(folder, manifest)

    @property
    def fingerprint(self) -> str:
        """Hash of all arrays and of the start of the validation part: equal for equal data."""
        return str(self.manifest["fingerprint"])

    @property
    def protocol(self) -> dict[str, Any]:
        """Filters and split of the log."""
        protocol: dict[str, Any] = self.manifest["protocol"]
        return protocol

    @property
    def prepared(self) -> dict[str, Any] | None:
        """Options for reading the log and grouping it into sessions, None in an older store."""
        options: dict[str, Any] | None = self.manifest.get("prepared")
        return options

    @cached_property
    def items(self) -> Vocabulary:
        """Raw item ids."""
        return Vocabulary.open(self.path / "items")

    @cached_property
    def users(self) -> Vocabulary | None:
        """Raw user ids, None if the log has no users."""
        folder = self.path / "users"
        return Vocabulary.open(folder) if folder.exists() else None

    def part(self, name: str) -> Sessions:
        """Return the sessions of a part.

        `train` is the log before the test part. It consists of `train_inner` and, at its end,
        `valid`. Hyperparameters are selected by training on `train_inner` and evaluating on
        `valid`.

        Raises:
            ConfigError: no such part.
            StoreError: the part has no session, or cannot be read.
        """
        if name not in PARTS:
            raise ConfigError(
                f"part must be one of {', '.join(PARTS)}, got {name!r}: {nearest(name, PARTS)}"
            )
        sessions = self._sessions("test" if name == "test" else "train")
        n_inner = int(self.manifest["n_train_inner_sessions"])
        if name == "train_inner":
            sessions = sessions.slice(0, n_inner)
        if name == "valid":
            sessions = sessions.slice(n_inner, len(sessions))
        if len(sessions) == 0:
            raise StoreError(
                f"{self.path}: the {name} part has no session; prepare the log again "
                "with another --valid-fraction"
            )
        return sessions

    def history(self, name: str) -> UserHistory:
        """Return the earlier sessions of the user of each session of a part.

        For the test part, the sessions of training and test are concatenated in memory.

        Raises:
            ConfigError: no such part.
            StoreError: the log has no users or no times, or the part cannot be read.
        """
        sessions, train = self.part(name), self._sessions("train")
        pool = train.concatenate(sessions) if name == "test" else train
        return UserHistory.from_sessions(sessions, pool)

    def _sessions(self, folder: str) -> Sessions:
        def array(name: str) -> AnyArray | None:
            path = self.path / folder / f"{name}.npy"
            return np.load(path, mmap_mode="r") if path.exists() else None

        try:
            items, offsets = array("items"), array("offsets")
            times, users, blocks = array("times"), array("users"), array("blocks")
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.path / folder}: cannot be read: {error}") from error
        if items is None or offsets is None:
            raise StoreError(f"{self.path / folder}: items.npy or offsets.npy is missing")
        if len(offsets) == 0 or offsets[-1] != len(items):
            raise StoreError(
                f"{self.path / folder}: items.npy and offsets.npy have inconsistent lengths; "
                "prepare the log again"
            )
        return Sessions(
            items=items,
            offsets=offsets,
            n_items=len(self.items),
            times=times,
            users=users,
            n_users=0 if self.users is None else len(self.users),
            blocks=blocks,
        )
