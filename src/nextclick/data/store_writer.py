"""Writes a filtered session table and its split as a store."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.format import open_memmap

from nextclick.core.file_digests import digest_files
from nextclick.core.manifests import write_manifest
from nextclick.core.storage import fingerprint
from nextclick.core.time_blocks import NO_BLOCKS
from nextclick.data.click_counts import remaining_lengths
from nextclick.data.part_selection import remaining_clicks
from nextclick.data.store import FORMAT_VERSION, KIND, PARTS, Store
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nextclick.core.time_blocks import TimeBlocks
    from nextclick.core.types import AnyArray, BoolArray, Int32Array, Int64Array
    from nextclick.data.encode import IdEncoder
    from nextclick.data.filtered_split import FilteredSplit
    from nextclick.data.options import PrepareOptions
    from nextclick.data.part_selection import PartSelection
    from nextclick.data.predicted_share import PredictedShare
    from nextclick.data.sessionize import SessionTable
    from nextclick.data.split import Split


def write_store(
    folder: Path,
    part: FilteredSplit,
    selection: PartSelection,
    predicted: PredictedShare,
    *,
    items: IdEncoder,
    users: IdEncoder | None,
    columns: Mapping[str, IdEncoder],
    options: PrepareOptions,
    report: dict[str, Any],
) -> Store:
    """Write the two parts, their vocabularies and the manifest.

    Args:
        folder: created for the store.
        part: all clicks and the split.
        selection: the sessions and clicks of the two parts.
        predicted: share of the test period that is evaluated.
        items: encoder of the item codes.
        users: encoder of the user codes, None without users.
        columns: names of the kept columns, in the order of the table, to the encoders of their
            values.
        options: options of `prepare`, stored in the manifest.
        report: report of `prepare`, stored in the manifest.
    """
    table, split, blocks = part.table, part.split, part.blocks
    item_codes = np.flatnonzero(selection.support).astype(np.int32)
    item_vocabulary, item_index = items.vocabulary(item_codes)
    item_vocabulary.save(folder / "items")
    user_index = None
    if users is not None and table.users is not None:
        train_users = table.users[selection.train]
        user_codes = np.unique(train_users[train_users >= 0])
        user_vocabulary, user_index = users.vocabulary(user_codes)
        user_vocabulary.save(folder / "users")
    for name, sessions in (("train", selection.train), ("test", selection.test)):
        _write_part(folder / name, table, selection.keep, sessions, item_index, user_index, blocks)
    for number, (codes, source) in enumerate(zip(table.columns, columns.values(), strict=True)):
        _write_column(folder, number, codes, source, selection)
    n_train = len(selection.train)
    n_inner = n_train - n_valid(n_train, options.split.valid_fraction)
    digests = digest_files(folder)
    manifest = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "nextclick": __version__,
        "fingerprint": fingerprint(folder, n_inner, digests=digests),
        "n_train_inner_sessions": n_inner,
        "protocol": _protocol_fields(options, split, blocks, selection.unseen_rule),
        "prepared": {"read": asdict(options.read), "sessions": asdict(options.sessions)},
        "unseen_test": selection.unseen,
        "columns": list(columns),
        "boundary": {"kind": split.kind, "reason": split.reason},
        "boundary_sessions": split.n_edge,
        "predicted": asdict(predicted) | {"share": predicted.share},
        "report": report,
    }
    store = Store(folder, {**manifest, "files": digests}, is_verified=True)
    parts = [name for name in PARTS if name != "valid" or n_inner < n_train]
    manifest["counts"] = {name: part_counts(store, name) for name in parts}
    return Store(folder, write_manifest(folder, manifest, digests), is_verified=True)


def part_counts(store: Store, name: str) -> dict[str, int]:
    """Count the clicks, sessions, prefixes, users and items of a part."""
    part = store.part(name)
    has_item = part.support() > 0
    has_user = np.zeros(part.n_users + 1, dtype=np.bool_)
    if part.users is not None:
        has_user[part.users] = True
    return {
        "events": part.n_events,
        "sessions": len(part),
        "prefixes": part.n_prefixes,
        "users": int(has_user[1:].sum()),
        "items": int(has_item[1:].sum()),
    }


def n_valid(n_train: int, fraction: float) -> int:
    """The number of training sessions at the end that are the validation part."""
    if fraction == 0 or n_train < 2:
        return 0
    return min(max(1, round(fraction * n_train)), n_train - 1)


def _protocol_fields(
    options: PrepareOptions, split: Split, blocks: TimeBlocks | None, unseen: str
) -> dict[str, Any]:
    return {
        "name": options.protocol,
        "filters": asdict(options.filters),
        "split": asdict(options.split) | {"unseen": unseen},
        "window": split.name or None,
        "boundary_ms": split.boundary_ms,
        **(NO_BLOCKS if blocks is None else blocks.to_protocol()),
    }


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
    np.cumsum(remaining_lengths(keep, table.offsets)[sessions], out=offsets[1:])
    np.save(folder / "offsets.npy", offsets)
    n_clicks = int(offsets[-1])
    items = _mapped_array(folder / "items.npy", np.int32, n_clicks)
    outputs: list[tuple[np.memmap, AnyArray, Int32Array | None]] = [
        (items, table.items, item_index)
    ]
    if table.times is not None and blocks is not None:
        times = _mapped_array(folder / "times.npy", np.int64, n_clicks)
        outputs.append((times, table.times, None))
        ends = table.times[table.offsets[sessions + 1] - 1]
        # a given test part may begin before the training part
        np.save(folder / "blocks.npy", np.maximum(blocks.of(ends), 0))
    _copy_clicks(table, keep, sessions, outputs)
    if table.users is not None and user_index is not None:
        codes = table.users[sessions]
        users = np.append(user_index, np.int32(0))[codes]  # code -1, unknown, reads the last entry
        np.save(folder / "users.npy", users)


def _write_column(
    folder: Path, number: int, codes: Int32Array, source: IdEncoder, selection: PartSelection
) -> None:
    """Write the values of a kept column, and their vocabulary."""
    parts = {"train": codes[selection.train], "test": codes[selection.test]}
    present = np.unique(np.concatenate(list(parts.values())))
    vocabulary, index = source.vocabulary(present[present >= 0])
    vocabulary.save(folder / "columns" / str(number))
    for name, values in parts.items():
        # code -1, no value, reads the last entry
        np.save(folder / name / f"column-{number}.npy", np.append(index, np.int32(0))[values])


def _mapped_array(path: Path, dtype: type[np.signedinteger[Any]], length: int) -> np.memmap:
    """Create the file of an array (length,) and map it for writing.

    The disk space is allocated first, because a later write without space kills the process.

    Raises:
        OSError: the disk is full.
    """
    array = open_memmap(path, mode="w+", dtype=dtype, shape=(length,))
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _copy_clicks(
    table: SessionTable,
    keep: BoolArray,
    sessions: Int64Array,
    outputs: Sequence[tuple[np.memmap, AnyArray, Int32Array | None]],
) -> None:
    """Copy the kept clicks of `sessions` into mapped arrays, and write these to the disk.

    Args:
        table: all clicks.
        keep: (E,) bool, False for dropped clicks.
        sessions: numbers of the sessions, in the order of the output.
        outputs: each mapped array, the values (E,) for it, and the index through which they are
            mapped, or None.
    """
    n_copied = 0
    for clicks in remaining_clicks(table, keep, sessions):
        copied = slice(n_copied, n_copied + len(clicks))
        for out, values, index in outputs:
            out[copied] = values[clicks] if index is None else index[values[clicks]]
        n_copied += len(clicks)
    for out, _, _ in outputs:
        out.flush()
