"""A filtered table and a split of it, written as a store."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.format import open_memmap

from nextclick.core.storage import fingerprint
from nextclick.data.filters import lengths_left
from nextclick.data.split import Split, recent_samples
from nextclick.data.store import FORMAT_VERSION, KIND, PARTS, Store
from nextclick.errors import EmptyLogError
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextclick.core.types import AnyArray, BoolArray, Int32Array, Int64Array
    from nextclick.data.encode import IdEncoder
    from nextclick.data.options import PrepareOptions
    from nextclick.data.sessionize import SessionTable

_EVENTS_AT_ONCE = 2_000_000  # bounds the memory of the indices by which clicks are copied


@dataclass(frozen=True, slots=True)
class TimeBlocks:
    """TimeBlocks of time: block b holds the milliseconds from origin_ms + b · length_ms on."""

    origin_ms: int
    length_ms: int


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The sessions of both parts after the cut to recent samples, and what the test lost."""

    train: Int64Array
    test: Int64Array
    keep: BoolArray
    unseen: dict[str, int]


def write_store(
    folder: Path,
    table: SessionTable,
    split: Split,
    *,
    items: IdEncoder,
    users: IdEncoder | None,
    blocks: TimeBlocks | None,
    options: PrepareOptions,
    unseen: str,
    about: dict[str, Any],
) -> Store:
    """Write the two parts, their vocabularies and the manifest into an empty folder.

    Args:
        folder: made for it.
        table: all clicks; `keep` says which are in.
        split: which session goes where.
        items: the encoder behind the item codes.
        users: the encoder behind the user codes, None without users.
        blocks: of time, None without times.
        options: as they were asked for, for the manifest.
        unseen: `drop` or `keep` test clicks on items outside training; `full` drops those that
            no training session has and keeps those that only the cut to recent samples lost.
        about: more for the manifest.

    Raises:
        EmptyLogError: no test session is left.
    """
    chosen = _choose(table, split, options, unseen, len(items))
    known = np.flatnonzero(_support(table, chosen.keep, chosen.train, len(items)))
    item_vocabulary, item_index = items.vocabulary(known.astype(np.int32))
    item_vocabulary.save(folder / "items")
    user_index = None
    if users is not None and table.users is not None:
        of_train = table.users[chosen.train]
        present = np.zeros(len(users), dtype=np.bool_)
        present[of_train[of_train >= 0]] = True
        named = np.flatnonzero(present).astype(np.int32)
        user_vocabulary, user_index = users.vocabulary(named)
        user_vocabulary.save(folder / "users")
    for name in ("train", "test"):
        sessions = getattr(chosen, name)
        _write_part(folder / name, table, chosen.keep, sessions, item_index, user_index, blocks)
    n_inner = len(chosen.train) - _n_valid(len(chosen.train), options.split.valid_fraction)
    manifest = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "nextclick": __version__,
        "fingerprint": fingerprint(folder, n_inner),
        "n_train_inner_sessions": n_inner,
        "protocol": _rules(options, split, blocks, unseen),
        "prepared": {"read": asdict(options.read), "sessions": asdict(options.sessions)},
        "unseen_test": chosen.unseen,
        "edge_sessions": split.n_edge,
        **about,
    }
    store = Store(folder, manifest)
    has_valid = n_inner < len(chosen.train)
    parts = [name for name in PARTS if name != "valid" or has_valid]
    manifest["counts"] = {name: part_counts(store, name) for name in parts}
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    return store


def part_counts(store: Store, name: str) -> dict[str, int]:
    """Count what a part holds."""
    part = store.part(name)
    seen = part.support() > 0
    present = np.zeros(part.n_users + 1, dtype=np.bool_)
    if part.users is not None:
        present[part.users] = True
    return {
        "events": part.n_events,
        "sessions": len(part),
        "prefixes": part.n_prefixes,
        "users": int(present[1:].sum()),
        "items": int(seen[1:].sum()),
    }


def _n_valid(n_train: int, fraction: float) -> int:
    if fraction == 0 or n_train < 2:
        return 0
    return min(max(1, round(fraction * n_train)), n_train - 1)


def _rules(
    options: PrepareOptions, split: Split, blocks: TimeBlocks | None, unseen: str
) -> dict[str, Any]:
    return {
        "name": options.protocol,
        "filters": asdict(options.filters),
        "split": asdict(options.split) | {"unseen": unseen},
        "window": split.name or None,
        "boundary_ms": split.boundary_ms,
        "block_ms": None if blocks is None else blocks.length_ms,
        "block_origin_ms": None if blocks is None else blocks.origin_ms,
    }


def _choose(
    table: SessionTable, split: Split, options: PrepareOptions, unseen: str, n_items: int
) -> _Chosen:
    """Cut training to its recent samples, then the test to what may be asked of a model."""
    keep, train, test = table.keep.copy(), split.train, split.test
    everywhere = _support(table, keep, train, n_items)
    if options.split.recent > 1:
        lengths = lengths_left(keep, table.offsets)[train]
        _refuse_no_sample(lengths, options.split.recent)
        first, clicks = recent_samples(lengths, options.split.recent)
        train = train[first:]
        _keep_first(keep, table.offsets, int(train[0]), clicks)
    known = _support(table, keep, train, n_items)
    allowed = {"drop": known, "full": everywhere, "keep": np.ones(n_items, np.int64)}[unseen]
    if options.split.unseen_users == "drop" and table.users is not None:
        present = np.zeros(int(table.users.max(initial=0)) + 1, dtype=np.bool_)
        of_train = table.users[train]
        present[of_train[of_train >= 0]] = True
        of_test = table.users[test]
        test = test[(of_test >= 0) & present[of_test]]
    before = int(lengths_left(keep, table.offsets)[test].sum())
    _drop_unseen(table, keep, test, allowed)
    lengths = lengths_left(keep, table.offsets)[test]
    dropped = before - int(lengths.sum())
    test = test[lengths >= 2]
    if len(test) == 0:
        raise EmptyLogError(
            "no test session is left: all of their items are unseen in training; choose an "
            "earlier boundary, or keep them as misses with --unseen keep"
        )
    kept = _unseen_clicks(table, keep, test, known)
    lost = {
        "clicks_dropped": dropped,
        "clicks_kept_as_unseen": kept,
        "sessions_dropped": len(split.test) - len(test),
    }
    return _Chosen(train, test, keep, lost)


def _refuse_no_sample(lengths: Int64Array, recent: int) -> None:
    samples = int(np.maximum(lengths - 1, 0).sum())
    if samples < recent:
        raise EmptyLogError(
            f"training has {samples:,} samples, of which the most recent 1/{recent} are none; "
            "choose a smaller --recent"
        )


def _reserve(path: Path) -> None:
    """Take the disk space of a mapped file now: a write that finds none later kills the process.

    Raises:
        OSError: the disk is full.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _write_part(
    folder: Path,
    table: SessionTable,
    keep: BoolArray,
    sessions: Int64Array,
    item_index: Int32Array,
    user_index: Int32Array | None,
    blocks: TimeBlocks | None,
) -> None:
    folder.mkdir()
    offsets = np.zeros(len(sessions) + 1, dtype=np.int64)
    np.cumsum(lengths_left(keep, table.offsets)[sessions], out=offsets[1:])
    np.save(folder / "offsets.npy", offsets)
    n_events = (int(offsets[-1]),)
    items = open_memmap(folder / "items.npy", mode="w+", dtype=np.int32, shape=n_events)
    _reserve(folder / "items.npy")
    _copy(table, table.items, keep, sessions, items, item_index)
    items.flush()
    if table.times is not None and blocks is not None:
        times = open_memmap(folder / "times.npy", mode="w+", dtype=np.int64, shape=n_events)
        _reserve(folder / "times.npy")
        _copy(table, table.times, keep, sessions, times)
        times.flush()
        ends = table.times[table.offsets[sessions + 1] - 1]
        block = (ends - blocks.origin_ms) // blocks.length_ms
        np.save(folder / "blocks.npy", block.astype(np.int32))
    if table.users is not None and user_index is not None:
        codes = table.users[sessions]
        users = np.append(user_index, np.int32(0))[codes]  # code -1, nobody, is the last entry
        np.save(folder / "users.npy", users)


def _clicks_left(
    table: SessionTable, keep: BoolArray, sessions: Int64Array
) -> Iterator[Int64Array]:
    """Yield where the clicks of `sessions` that are still in stand, some sessions at a time."""
    lengths = np.diff(table.offsets)[sessions]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    bounds = np.searchsorted(ends, np.arange(0, total, _EVENTS_AT_ONCE), side="right")
    for start, stop in pairwise([*np.unique(bounds).tolist(), len(sessions)]):
        part = slice(start, stop)
        first = table.offsets[:-1][sessions[part]]
        before = ends[part] - lengths[part]
        at = np.arange(before[0], ends[stop - 1]) + np.repeat(first - before, lengths[part])
        yield at[keep[at]]


def _support(
    table: SessionTable, keep: BoolArray, sessions: Int64Array, n_items: int
) -> Int64Array:
    """(n_items,) int64, clicks of each item in `sessions` that are still in."""
    support = np.zeros(n_items, dtype=np.int64)
    for at in _clicks_left(table, keep, sessions):
        support += np.bincount(table.items[at], minlength=n_items)
    return support


def _keep_first(keep: BoolArray, offsets: Int64Array, session: int, clicks: int) -> None:
    left = offsets[session] + np.flatnonzero(keep[offsets[session] : offsets[session + 1]])
    keep[left[clicks:]] = False


def _drop_unseen(
    table: SessionTable, keep: BoolArray, sessions: Int64Array, allowed: Int64Array
) -> None:
    for at in _clicks_left(table, keep, sessions):
        keep[at] = allowed[table.items[at]] > 0


def _unseen_clicks(
    table: SessionTable, keep: BoolArray, sessions: Int64Array, known: Int64Array
) -> int:
    parts = _clicks_left(table, keep, sessions)
    return sum(int(np.count_nonzero(known[table.items[at]] == 0)) for at in parts)


def _copy(
    table: SessionTable,
    source: AnyArray,
    keep: BoolArray,
    sessions: Int64Array,
    out: AnyArray,
    index: Int32Array | None = None,
) -> None:
    """Copy the clicks of `sessions` that are still in, through `index` if it is given."""
    n = 0
    for at in _clicks_left(table, keep, sessions):
        values = source[at] if index is None else index[source[at]]
        out[n : n + len(at)] = values
        n += len(at)
