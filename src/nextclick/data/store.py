"""Store of a prepared log: memory-mapped arrays and a manifest.

    STORE/
      manifest.json            format version, options, report, counts, fingerprint
      items/  users/           vocabularies (users only if the log has users)
      items/table/             features of the items (only with an item table)
      columns/0/  …            vocabularies of the values of the kept columns
      train/  test/            items.npy (E,) int32    offsets.npy (S + 1,) int64
                               times.npy (E,) int64    users.npy, blocks.npy (S,) int32
                               column-0.npy, … (S,) int32, value of the session, 0 for none

A part of more clicks than `prepare --shard-clicks` consists of shards, `train/shard-0/`,
`train/shard-1/`, …, each with the arrays of consecutive sessions.

Sessions are sorted by the time of their last click in the log, even if a filter dropped that click,
as in the published protocols. The validation part is the end of `train`; the manifest records where
it begins, so nothing is stored twice.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from nextclick.core.array_checks import ArrayError, check_length, check_range
from nextclick.core.display import Display, Displayed
from nextclick.core.earlier_sessions import EarlierSessions
from nextclick.core.file_digests import MANIFEST
from nextclick.core.item_table import ItemTable
from nextclick.core.locations import resolve_location
from nextclick.core.manifests import describe_os_error, read_manifest
from nextclick.core.storage import restore_interrupted
from nextclick.core.storage_connection import ALL_SCHEMES
from nextclick.core.types import silent
from nextclick.core.vocabulary import Vocabulary
from nextclick.data.store_files import StoreFiles, misfit
from nextclick.data.store_manifest import ITEM_TABLE, checked_manifest, shard_name, shard_sizes
from nextclick.data.user_history import UserHistory
from nextclick.errors import ConfigError, StoreError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import BoolArray, Int32Array, Progress


class SessionColumn(NamedTuple):
    """A kept column of a part.

    Attributes:
        codes: (S,) int32, index of the value of each session in 1..n, 0 if it has none.
        values: the n values, as text.
    """

    codes: Int32Array
    values: tuple[str, ...]


PartName = Literal["train", "train_inner", "valid", "test"]
PARTS: tuple[str, ...] = get_args(PartName)


class Store(Displayed):
    """An open store. Opening reads the manifest only.

    Arrays are mapped when a part is first used. They are then checked against the digests in the
    manifest, once for each file in a process, and against the ranges that kernels rely on.

    Attributes:
        address: where the store was opened: the folder, or its address.
        manifest: content of `manifest.json`.
    """

    def __init__(
        self,
        path: Path | None,
        manifest: dict[str, Any],
        *,
        is_verified: bool = False,
        address: str | None = None,
    ):
        """Wrap a folder whose manifest is checked; see `open`.

        Args:
            path: the folder; None to download it from `address` when it is first used.
            manifest: its manifest.
            is_verified: the files are known to have the digests of the manifest.
            address: where the store was opened; by default the folder.
        """
        self._path = path
        self.address = str(path) if address is None else address
        self.manifest = manifest
        self._is_verified = is_verified
        self._parts: dict[str, Sessions] = {}

    @classmethod
    def open(cls, path: str | Path, progress: Progress = silent) -> Store:
        """Open a store written by `prepare`.

        Args:
            path: its folder, or its address, such as `s3://bucket/store` or `hdfs://host/store`.
                A store at an address is downloaded, unless an earlier process has downloaded it.
            progress: progress callback of the download.

        Raises:
            StoreError: the folder is not a store, has another format version, or its manifest is
                damaged.
        """
        folder = resolve_location(path, ALL_SCHEMES)
        if not isinstance(folder, Path):
            from nextclick.core.remote_folder import download_folder
            from nextclick.data.remote_store import STORE

            copy = cls.open(download_folder(STORE, folder, progress))
            return cls(copy.path, copy.manifest, address=str(path))
        file = folder / MANIFEST
        try:
            if not folder.exists():
                restore_interrupted(folder)
            manifest = checked_manifest(folder, lambda: read_manifest(file))
        except (FileNotFoundError, NotADirectoryError):
            raise StoreError(
                f"{folder} is not a store (it has no manifest.json); create one with "
                "`nextclick prepare LOG -o STORE`"
            ) from None
        except OSError as error:
            raise StoreError(f"{file}: cannot be read: {describe_os_error(error)}") from error
        return cls(folder, manifest)

    @cached_property
    def path(self) -> Path:
        """The folder; the local copy of a store in object storage."""
        return Store.open(self.address).path if self._path is None else self._path

    @cached_property
    def _files(self) -> StoreFiles:
        return StoreFiles(self.path, self.manifest, is_verified=self._is_verified)

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

    def display(self) -> Display:
        """What is shown of the store: its parts, and how it was split."""
        counts = self.manifest["counts"]
        names = ("events", "sessions", "items", "users")
        shown = [name for name in names if any(part.get(name) for part in counts.values())]
        return Display(
            f"Store {self.address}",
            {
                "log": self._log_span(),
                "test": self._test_part(),
                "fingerprint": self.fingerprint,
            },
            ("part", *("clicks" if name == "events" else name for name in shown)),
            [[part, *(values.get(name) for name in shown)] for part, values in counts.items()],
        )

    def _test_part(self) -> str | None:
        boundary = self.manifest.get("boundary") or {}
        found = [boundary.get("kind"), boundary.get("reason")]
        return ": ".join(part for part in found if part) or None

    def _log_span(self) -> str | None:
        report = self.manifest.get("report", {})
        first, last = report.get("first_time"), report.get("last_time")
        return None if first is None else f"{first} to {last}"

    @property
    def n_train_inner(self) -> int:
        """The number of sessions of `train` before its validation part."""
        return int(self.manifest["n_train_inner_sessions"])

    @property
    def _n_users(self) -> int:
        return 0 if self.users is None else len(self.users)

    @cached_property
    def items(self) -> Vocabulary:
        """Raw item ids."""
        self._files.verify("items")
        return Vocabulary.open(self.path / "items")

    @cached_property
    def item_table(self) -> ItemTable | None:
        """Features of the items, None if the store was prepared without `--items`.

        Raises:
            StoreError: a file is missing or damaged.
        """
        if not self._files.names(ITEM_TABLE):
            return None
        self._files.verify("items")
        table = ItemTable.open(self.path / ITEM_TABLE)
        if table.n_items != len(self.items):
            raise StoreError(
                f"{self.path / ITEM_TABLE}: the item table has {table.n_items} items, the "
                f"vocabulary {len(self.items)}; prepare the log again"
            )
        return table

    @property
    def lists_unclicked(self) -> bool:
        """Whether the vocabulary has items of the item table that training does not click."""
        described: dict[str, Any] = self.manifest.get("item_table", {})
        return described.get("catalog") == "all"

    def candidates(self, known: BoolArray) -> BoolArray | None:
        """(N + 1,) bool, the items that a model that knows these may recommend; None for all.

        Without items of the item table that training does not click, all items are candidates.
        """
        return known if self.lists_unclicked and not known[1:].all() else None

    @cached_property
    def users(self) -> Vocabulary | None:
        """Raw user ids, None if the log has no users."""
        if not self._files.names("users"):
            return None
        self._files.verify("users")
        return Vocabulary.open(self.path / "users")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that `prepare --keep-column` stored."""
        return tuple(self.manifest.get("columns", ()))

    def column(self, part: str, name: str) -> SessionColumn:
        """Return the value of a kept column for each session of a part.

        Raises:
            ConfigError: no such part or column.
            StoreError: the part has no session, or cannot be read.
        """
        if name not in self.columns:
            raise ConfigError(
                f"column must be one of {', '.join(self.columns) or 'none'}, got {name!r}; prepare "
                f"the log with --keep-column {name}"
            )
        number = self.columns.index(name)
        sessions = self.part(part)
        folder, start = _folder(part), self.n_train_inner if part == "valid" else 0
        self._files.verify(f"columns/{number}")
        vocabulary = Vocabulary.open(self.path / "columns" / str(number))
        codes = self._files.column(folder, number)
        column = SessionColumn(
            codes[start : start + len(sessions)], tuple(map(str, vocabulary.ids()))
        )
        try:
            check_length(f"column-{number}", column.codes, len(sessions))
            check_range(f"column-{number}", column.codes, 0, len(vocabulary))
        except ArrayError as error:
            raise misfit(self.path / folder, error) from error
        return column

    def part(self, name: str) -> Sessions:
        """Return the sessions of a part.

        `train` is the log before the test part. It consists of `train_inner` and, at its end,
        `valid`. Hyperparameters are selected by training on `train_inner` and evaluating on
        `valid`.

        Raises:
            ConfigError: no such part.
            StoreError: the part has no session, or cannot be read.
        """
        _check_part(name)
        sessions = self._sessions(_folder(name))
        if name == "train_inner":
            sessions = sessions.slice(0, self.n_train_inner)
        if name == "valid":
            sessions = sessions.slice(self.n_train_inner, len(sessions))
        if len(sessions) == 0:
            raise StoreError(
                f"{self.path}: the {name} part has no session; prepare the log again "
                "with another --valid-fraction"
            )
        return self._with_earlier(name, sessions)

    def shards(self, name: str) -> Iterator[Sessions]:
        """Yield the sessions of a part shard by shard, the oldest first.

        A shard is checked and mapped when it is reached, and unmapped when it is no longer used;
        the other shards may be missing. A part without shards is yielded whole.

        Raises:
            ConfigError: no such part.
            StoreError: a shard cannot be read.
        """
        _check_part(name)
        sizes = shard_sizes(self.manifest, _folder(name))
        if not sizes:
            yield self.part(name)
            return
        first = self.n_train_inner if name == "valid" else 0
        last = self.n_train_inner if name == "train_inner" else sum(sizes)
        begin = 0
        for number, size in enumerate(sizes):
            start, stop = max(first - begin, 0), min(last - begin, size)
            if start < stop:
                self._files.verify(f"{_folder(name)}/{shard_name(number)}")
                shard = self._files.shard(_folder(name), number, len(self.items), self._n_users)
                yield self._with_earlier(name, shard.slice(start, stop))
            begin += size

    def _with_earlier(self, name: str, sessions: Sessions) -> Sessions:
        if sessions.users is None or sessions.times is None:
            return sessions
        return replace(sessions, earlier=self._earlier[_folder(name)])

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

    @cached_property
    def _earlier(self) -> dict[str, EarlierSessions]:
        """The logs in which the earlier sessions of users are found."""
        train = EarlierSessions(lambda: [self._sessions("train")])
        test = EarlierSessions(lambda: [self._sessions("train"), self._sessions("test")])
        return {"train": train, "test": test}

    def _sessions(self, folder: str) -> Sessions:
        if folder not in self._parts:
            self._files.verify(folder)
            sessions = self._files.sessions(folder, len(self.items), self._n_users)
            try:
                if folder == "train":
                    n_inner = np.array(self.n_train_inner)
                    check_range("n_train_inner_sessions", n_inner, 0, len(sessions))
            except ArrayError as error:
                raise misfit(self.path / folder, error) from error
            self._parts[folder] = sessions
        return self._parts[folder]


def _check_part(name: str) -> None:
    if name not in PARTS:
        raise ConfigError(
            f"part must be one of {', '.join(PARTS)}, got {name!r}: {nearest(name, PARTS)}"
        )


def _folder(part: str) -> str:
    """The folder of the arrays of a part."""
    return "test" if part == "test" else "train"
