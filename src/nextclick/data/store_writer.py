"""Writes a filtered session table and its split as a store."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.file_digests import digest_files, list_files
from nextclick.core.manifests import write_manifest
from nextclick.core.storage import fingerprint
from nextclick.core.time_blocks import NO_BLOCKS
from nextclick.data.part_selection import mask_of
from nextclick.data.part_writer import PartArrays
from nextclick.data.store_manifest import FORMAT_VERSION, ITEM_TABLE, KIND, SHARDED_VERSION
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nextclick.core.remote_upload import OutputFolder
    from nextclick.core.time_blocks import TimeBlocks
    from nextclick.core.types import Int32Array, Int64Array
    from nextclick.data.encode import IdEncoder
    from nextclick.data.filtered_split import FilteredSplit
    from nextclick.data.matched_items import MatchedItems
    from nextclick.data.options import PrepareOptions
    from nextclick.data.part_selection import PartSelection
    from nextclick.data.predicted_share import PredictedShare
    from nextclick.data.split import Split


def write_store(
    output: OutputFolder,
    part: FilteredSplit,
    selection: PartSelection,
    predicted: PredictedShare,
    *,
    items: IdEncoder,
    users: IdEncoder | None,
    columns: Mapping[str, IdEncoder],
    item_rows: MatchedItems | None,
    options: PrepareOptions,
    report: dict[str, Any],
) -> dict[str, Any]:
    """Write the two parts, their vocabularies and the manifest, and return the manifest.

    Args:
        output: created for the store.
        part: all clicks and the split.
        selection: the sessions and clicks of the two parts.
        predicted: share of the test period that is evaluated.
        items: encoder of the item codes.
        users: encoder of the user codes, None without users.
        columns: names of the kept columns, in the order of the table, to the encoders of their
            values.
        item_rows: the item table, None without one.
        options: options of `prepare`, stored in the manifest.
        report: report of `prepare`, stored in the manifest.
    """
    table, split, blocks, folder = selection.table, part.split, part.blocks, output.path
    item_codes = np.flatnonzero(selection.in_catalog).astype(np.int32)
    item_vocabulary, item_index = items.vocabulary(item_codes)
    item_vocabulary.save(folder / "items")
    if item_rows is not None:
        item_table = item_rows.table_of(item_index, len(item_vocabulary))
        item_table.save(folder / ITEM_TABLE)
    values = {  # (S,) of all sessions
        f"column-{number}.npy": _write_values(folder, number, codes, source, selection)
        for number, (codes, source) in enumerate(zip(table.columns, columns.values(), strict=True))
    }
    session_users = None
    if users is not None and table.users is not None:
        session_users = _write_users(folder, users, table.users, selection)
        values["users.npy"] = session_users
    lengths, ends = table.remaining_lengths(), table.ends()
    written = {}
    for name, sessions in (("train", selection.train), ("test", selection.test)):
        of_part = {file: column[sessions] for file, column in values.items()}
        has_times = ends is not None and blocks is not None
        if ends is not None and blocks is not None:
            # a given test part may begin before the training part
            of_part["blocks.npy"] = np.maximum(blocks.of(ends[sessions]), 0)
        arrays = PartArrays(sessions, lengths[sessions], item_index, has_times, of_part)
        written[name] = table.write_part(arrays, name, output, options.store.max_clicks)
    shards = {name: files.sizes for name, files in written.items() if files.sizes}
    n_train = len(selection.train)
    n_inner = n_train - n_valid(n_train, options.split.valid_fraction)
    described = [] if item_rows is None else [item_table.kinds]  # names are in no array
    own = [file for file in list_files(folder) if file.partition("/")[0] not in written]
    digests = of_parts = digest_files(folder, own)
    for files in written.values():
        digests, of_parts = digests | files.digests, of_parts | files.undivided
    manifest = {
        "kind": KIND,
        "format_version": SHARDED_VERSION if shards else FORMAT_VERSION,
        "nextclick": __version__,
        "fingerprint": fingerprint(folder, n_inner, *described, digests=of_parts),
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
    if shards:
        manifest["shards"] = shards
    if item_rows is not None:
        manifest["item_table"] = {"catalog": item_rows.catalog, "columns": item_table.kinds}
    # the written arrays are not mapped for this, because their pages would count as memory
    manifest["counts"] = {
        name: count_part(
            lengths[sessions],
            table.item_counts(len(item_index), mask_of(sessions, len(table)))[item_index > 0],
            None if session_users is None else session_users[sessions],
        )
        for name, sessions in {
            "train": selection.train,
            "train_inner": selection.train[:n_inner],
            "valid": selection.train[n_inner:],
            "test": selection.test,
        }.items()
        if len(sessions) or name != "valid"
    }
    return write_manifest(folder, manifest, digests)


def count_part(
    lengths: Int64Array, support: Int64Array, users: Int32Array | None
) -> dict[str, int]:
    """Count the clicks, sessions, prefixes, users and items of a part.

    Args:
        lengths: (S,) clicks of each session.
        support: (N,) clicks on each item of the vocabulary.
        users: (S,) indices, 0 for an unknown user; None without users.
    """
    n_users = 0
    if users is not None and len(users):
        has_user = np.zeros(int(users.max()) + 1, dtype=np.bool_)
        has_user[users] = True
        n_users = int(has_user[1:].sum())
    return {
        "events": int(lengths.sum()),
        "sessions": len(lengths),
        "prefixes": int(np.maximum(lengths - 1, 0).sum()),
        "users": n_users,
        "items": int((support > 0).sum()),
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


def _write_users(
    folder: Path, users: IdEncoder, codes: Int32Array, selection: PartSelection
) -> Int32Array:
    """Write the users of the training part; return the index of the user of each session."""
    vocabulary, index = users.vocabulary(_present(codes[selection.train], len(users)))
    vocabulary.save(folder / "users")
    # code -1, unknown, reads the last entry
    return np.append(index, np.int32(0))[codes]


def _write_values(
    folder: Path, number: int, codes: Int32Array, source: IdEncoder, selection: PartSelection
) -> Int32Array:
    """Write the values of a kept column that a part has; return the index of each session."""
    read = np.concatenate([codes[selection.train], codes[selection.test]])
    vocabulary, index = source.vocabulary(_present(read, len(source)))
    vocabulary.save(folder / "columns" / str(number))
    # code -1, no value, reads the last entry
    return np.append(index, np.int32(0))[codes]


def _present(codes: Int32Array, n_codes: int) -> Int32Array:
    """The distinct codes, ascending, without -1."""
    is_present = np.zeros(n_codes + 1, dtype=np.bool_)
    is_present[codes] = True  # code -1 writes the last entry
    return np.flatnonzero(is_present[:-1]).astype(np.int32)
