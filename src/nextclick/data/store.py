"""A prepared log on disk: memory-mapped arrays and a manifest.

    STORE/
      manifest.json            format version, options, report, counts, fingerprint
      items/  users/           vocabularies (users only where the log names them)
      train/  test/            items.npy (E,) int32    offsets.npy (S + 1,) int64
                               times.npy (E,) int64    users.npy, blocks.npy (S,) int32

Sessions stand in the order in which they ended, with a click that filters may have dropped since
(the published protocols split so). The validation part is the end of `train`: the
manifest says where it begins, so nothing is stored twice.
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
    """An open store. Opening reads the manifest only; arrays are mapped when they are asked for.

    Attributes:
        path: its folder.
        manifest: what `manifest.json` says.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]):
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Open a folder that `prepare` wrote.

        Raises:
            StoreError: there is none, or it has another format.
        """
        folder = Path(path)
        file = folder / "manifest.json"
        if not file.exists():
            windows = sorted(p.parent.name for p in folder.glob("window-*/manifest.json"))
            hint = (
                f"it holds {', '.join(windows)}: name one of them"
                if windows
                else ("make one with `nextclick prepare LOG -o STORE`")
            )
            raise StoreError(f"{folder} is not a store (it has no manifest.json); {hint}")
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
            version = int(manifest["format_version"])
            kind = manifest["kind"]
            if kind == KIND and version == FORMAT_VERSION:
                _ = [manifest[key] for key in _KEYS]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise StoreError(f"{file}: not the manifest of a store: {error!r}") from error
        if kind != KIND:
            raise StoreError(f"{folder} is a {kind}, not a store; name the folder of a store")
        if version != FORMAT_VERSION:
            remedy = "upgrade nextclick" if version > FORMAT_VERSION else "prepare the log again"
            raise StoreError(
                f"{folder} has store format {version}, but this version of nextclick reads format "
                f"{FORMAT_VERSION}: {remedy}"
            )
        return cls(folder, manifest)

    @property
    def fingerprint(self) -> str:
        """Hash of all arrays and of where the validation begins: equal for equal data."""
        return str(self.manifest["fingerprint"])

    @property
    def protocol(self) -> dict[str, Any]:
        """The rules by which the log was filtered and split."""
        rules: dict[str, Any] = self.manifest["protocol"]
        return rules

    @property
    def prepared(self) -> dict[str, Any] | None:
        """How the log was read and cut into sessions; None in a store of an older version."""
        told: dict[str, Any] | None = self.manifest.get("prepared")
        return told

    @cached_property
    def items(self) -> Vocabulary:
        """Raw item ids."""
        return Vocabulary.open(self.path / "items")

    @cached_property
    def users(self) -> Vocabulary | None:
        """Raw user ids, None where the log names nobody."""
        folder = self.path / "users"
        return Vocabulary.open(folder) if folder.exists() else None

    def part(self, name: str) -> Sessions:
        """Return the sessions of a part.

        `train` is everything before the test, `valid` its last part in time, and `train_inner`
        everything before that: a model is chosen by training on `train_inner` and ranking `valid`.

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
        """What each visitor of a part had clicked in sessions that were over when his began.

        For the test, earlier sessions of the training and of the test are joined in memory.

        Raises:
            ConfigError: no such part.
            StoreError: the log has no users or no times, or the part cannot be read.
        """
        sessions, train = self.part(name), self._sessions("train")
        pool = train.followed_by(sessions) if name == "test" else train
        return UserHistory.of(sessions, pool)

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
                f"{self.path / folder}: items.npy and offsets.npy do not fit together; "
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
