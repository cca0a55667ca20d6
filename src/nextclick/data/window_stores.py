"""Stores of consecutive test windows, made from the sessions of one store.

A window trains on every session of the store that ends before its boundary, and tests on the
sessions that end from the boundary to its stop. Filters and vocabularies are those of the training
sessions alone, so clicks from the boundary on do not affect what a model is trained on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.file_digests import digest_files
from nextclick.core.manifests import write_manifest
from nextclick.core.sessions import MS_PER_DAY
from nextclick.core.storage import atomic_folder, fingerprint
from nextclick.data.click_counts import ClickCounts
from nextclick.data.click_passes import passes_for
from nextclick.data.filters import apply_filters
from nextclick.data.options import FilterOptions
from nextclick.data.session_table import SessionTable
from nextclick.data.split import iso
from nextclick.data.store import PARTS, Store
from nextclick.data.store_manifest import FORMAT_VERSION, ITEM_TABLE, KIND
from nextclick.data.store_writer import count_part, n_valid
from nextclick.errors import ConfigError, EmptyLogError
from nextclick.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import BoolArray, Int32Array, Int64Array


@dataclass(frozen=True, slots=True)
class Window:
    """A test period.

    Attributes:
        name: `window-1` for the earliest.
        start_ms: sessions that end before are not trained on; None trains on all earlier ones.
        boundary_ms: start of the test, milliseconds since the epoch.
        stop_ms: end of the test, exclusive.
    """

    name: str
    start_ms: int | None
    boundary_ms: int
    stop_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class WindowLog:
    """All sessions of a store, sorted by the time of their last click.

    Attributes:
        store: the store.
        sessions: training and test sessions; item 0 is unseen in the training of the store.
        ends: (S,) int64, time of the last click of each, ascending.
        filters: filters of the training sessions of a window.
    """

    store: Store
    sessions: Sessions
    ends: Int64Array
    filters: FilterOptions

    @classmethod
    def read(cls, store: Store, min_item_support: int | None = None) -> WindowLog:
        """Read all sessions of a store.

        Args:
            store: the store.
            min_item_support: minimum number of clicks of an item before a boundary; None is that
                of the store.

        Raises:
            ConfigError: the log has no times.
        """
        sessions = store.part("train").concatenate(store.part("test"))
        if sessions.times is None:
            raise ConfigError(
                f"backtest needs the times of the clicks, which {store.path} lacks; prepare a log "
                "with times"
            )
        ends = sessions.times[sessions.offsets[1:] - 1]
        order = np.argsort(ends, kind="stable")
        stored: dict[str, Any] = store.protocol["filters"]
        names = {field.name for field in fields(FilterOptions)}
        filters = FilterOptions(**{name: stored[name] for name in names & stored.keys()})
        if min_item_support is not None:
            filters = replace(filters, min_item_support=min_item_support)
        return cls(store, sessions.take(order), ends[order], filters)

    def windows(
        self, n_windows: int, days: float | None = None, train_days: float | None = None
    ) -> list[Window]:
        """The last `n_windows` periods of equal length, the earliest first.

        Args:
            n_windows: number of windows.
            days: length of a window; None is the length of the store's test part, or the log
                divided by `n_windows` + 1 if that is shorter.
            train_days: length of the training period; None is everything before the boundary.

        Raises:
            EmptyLogError: no session ends before the first boundary.
        """
        first, stop = int(self.ends[0]), int(self.ends[-1]) + 1
        length = self._default_length(n_windows) if days is None else round(days * MS_PER_DAY)
        boundaries = [stop - n * length for n in range(n_windows, 0, -1)]
        if boundaries[0] <= first:
            longest = (stop - first) / MS_PER_DAY / (n_windows + 1)
            raise EmptyLogError(
                f"{n_windows} windows of {length / MS_PER_DAY:.4g} days start before the first "
                f"session ends, {iso(first)}; use fewer windows or at most {longest:.4g} days"
            )
        return [
            Window(
                f"window-{number}",
                None if train_days is None else boundary - round(train_days * MS_PER_DAY),
                boundary,
                boundary + length,
            )
            for number, boundary in enumerate(boundaries, 1)
        ]

    def _default_length(self, n_windows: int) -> int:
        boundary_ms, stop = self.store.protocol["boundary_ms"], int(self.ends[-1]) + 1
        if boundary_ms is None:
            test = self.store.part("test")
            assert test.times is not None
            boundary_ms = test.times[test.offsets[1:] - 1].min()
        boundary = int(boundary_ms)
        return max(min(stop - boundary, (stop - int(self.ends[0])) // (n_windows + 1)), 1)

    def write(self, window: Window, folder: Path) -> Store:
        """Write the store of a window, or open the one that an earlier process has written.

        Raises:
            EmptyLogError: the training or the test has no session.
            OutputError: the folder cannot be written.
        """
        if folder.exists():
            return Store.open(folder)
        first = 0 if window.start_ms is None else np.searchsorted(self.ends, window.start_ms)
        boundary, stop = np.searchsorted(self.ends, [window.boundary_ms, window.stop_ms]).tolist()
        train = self._filtered_train(self.sessions.slice(int(first), boundary))
        if len(train) == 0:
            raise _empty("training", window)
        in_catalog, item_table = train.support() > 0, self.store.item_table
        if item_table is not None and self.store.lists_unclicked:
            in_catalog |= item_table.has_values()
        chosen = np.flatnonzero(in_catalog[1:]).astype(np.int32) + 1
        items, item_index = self.store.items.only(chosen)
        train = train.remap_items(item_index, len(items))
        test = self.sessions.slice(boundary, stop).remap_items(item_index, len(items))
        test = self._selected_test(test)
        if len(test) == 0:
            raise _empty("test", window)
        with atomic_folder(folder) as scratch:
            items.save(scratch / "items")
            if item_table is not None:
                rows = np.append(np.int32(0), chosen)
                item_table.take(rows).save(scratch / ITEM_TABLE)
            if self.store.users is not None and train.users is not None:
                known = np.unique(train.users)
                users, user_index = self.store.users.only(known[known > 0].astype(np.int32))
                users.save(scratch / "users")
                train = replace(train, users=user_index[train.users])
                test = replace(test, users=user_index[np.asarray(test.users)])
            for name, part in (("train", train), ("test", test)):
                _write_part(scratch / name, part)
            self._write_manifest(scratch, window, len(train))
        return Store.open(folder)

    def _filtered_train(self, sessions: Sessions) -> Sessions:
        """The training sessions after the filters, which see these sessions only."""
        table = SessionTable(
            items=np.asarray(sessions.items),
            times=sessions.times,
            offsets=sessions.offsets,
            users=None if sessions.users is None else sessions.users - np.int32(1),
            keep=np.asarray(sessions.items > 0),
        )
        min_support = self.filters.min_item_support or 1
        clicks = ClickCounts(table, sessions.n_items + 1)
        apply_filters(clicks, self.filters, min_support, sessions.n_users)
        return keep_clicks(sessions, table.keep, min_length=1)

    def _selected_test(self, sessions: Sessions) -> Sessions:
        """The test sessions, without items that the training lacks if the store drops them."""
        drops_unseen = self.store.protocol["split"]["unseen"] == "drop"
        keep = (
            np.asarray(sessions.items > 0) if drops_unseen else np.ones(len(sessions.items), bool)
        )
        return keep_clicks(sessions, keep, min_length=max(2, self.filters.min_session_length))

    def _write_manifest(self, folder: Path, window: Window, n_train: int) -> None:
        protocol = self.store.protocol
        n_inner = n_train - n_valid(n_train, protocol["split"]["valid_fraction"])
        item_table = self.store.item_table
        described = [] if item_table is None else [item_table.kinds]
        digests = digest_files(folder)
        manifest = {
            "kind": KIND,
            "format_version": FORMAT_VERSION,
            "nextclick": __version__,
            "fingerprint": fingerprint(folder, n_inner, *described, digests=digests),
            "n_train_inner_sessions": n_inner,
            "protocol": protocol
            | {
                "filters": asdict(self.filters),
                "window": window.name,
                "boundary_ms": window.boundary_ms,
            },
            "prepared": self.store.prepared,
            "item_table": self.store.manifest.get("item_table", {}),
            "report": {"window_of": self.store.fingerprint, **asdict(window)},
        }
        store = Store(folder, {**manifest, "files": digests}, is_verified=True)
        parts = [name for name in PARTS if name != "valid" or n_inner < n_train]
        manifest["counts"] = {name: _counts(store.part(name)) for name in parts}
        write_manifest(folder, manifest, digests)


def _counts(part: Sessions) -> dict[str, int]:
    return count_part(part.lengths(), part.support()[1:], part.users)


def keep_clicks(sessions: Sessions, keep: BoolArray, *, min_length: int) -> Sessions:
    """The sessions without some clicks, and without sessions that become too short.

    Args:
        sessions: the sessions.
        keep: (E,) bool, False for clicks that are dropped.
        min_length: minimum number of clicks of a session.
    """
    lengths = passes_for(len(keep)).remaining_lengths(keep, sessions.offsets)
    alive = lengths >= min_length
    keep = keep & np.repeat(alive, sessions.lengths())
    offsets = np.zeros(int(alive.sum()) + 1, dtype=np.int64)
    np.cumsum(lengths[alive], out=offsets[1:])
    return replace(
        sessions,
        items=sessions.items[keep],
        offsets=offsets,
        times=None if sessions.times is None else sessions.times[keep],
        users=None if sessions.users is None else sessions.users[alive],
        blocks=None if sessions.blocks is None else sessions.blocks[alive],
    )


def _write_part(folder: Path, sessions: Sessions) -> None:
    folder.mkdir()
    arrays: dict[str, Int32Array | Int64Array | None] = {
        "items": sessions.items.astype(np.int32),
        "offsets": sessions.offsets,
        "times": sessions.times,
        "users": sessions.users,
        "blocks": sessions.blocks,
    }
    for name, array in arrays.items():
        if array is not None:
            np.save(folder / f"{name}.npy", array)


def _empty(part: str, window: Window) -> EmptyLogError:
    return EmptyLogError(
        f"the {part} part of {window.name} has no session: its boundary is "
        f"{iso(window.boundary_ms)}, its end {iso(window.stop_ms)}; use fewer windows, other "
        "--days, or a lower --min-item-support"
    )
