"""Writes a filtered session table and its split as a store."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from nextclick.core.file_digests import digest_files
from nextclick.core.manifests import write_manifest
from nextclick.core.storage import fingerprint
from nextclick.core.time_blocks import NO_BLOCKS
from nextclick.data.click_counts import remaining_lengths
from nextclick.data.part_selection import item_support, remaining_clicks
from nextclick.data.store import Store
from nextclick.data.store_manifest import FORMAT_VERSION, ITEM_TABLE, KIND
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nextclick.core.time_blocks import TimeBlocks
    from nextclick.core.types import AnyArray, BoolArray, Int32Array, Int64Array
    from nextclick.data.encode import IdEncoder
    from nextclick.data.filtered_split import FilteredSplit
    from nextclick.data.matched_items import MatchedItems
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
    item_rows: MatchedItems | None,
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
        item_rows: the item table, None without one.
        options: options of `prepare`, stored in the manifest.
        report: report of `prepare`, stored in the manifest.
    """
    table, split, blocks = part.table, part.split, part.blocks
    item_codes = np.flatnonzero(selection.in_catalog).astype(np.int32)
    item_vocabulary, item_index = items.vocabulary(item_codes)
    item_vocabulary.save(folder / "items")
    if item_rows is not None:
        item_table = item_rows.table_of(item_index, len(item_vocabulary))
        item_table.save(folder / ITEM_TABLE)
    session_users = None  # (S,) indices
    if users is not None and table.users is not None:
        train_users = table.users[selection.train]
        user_codes = np.unique(train_users[train_users >= 0])
        user_vocabulary, index = users.vocabulary(user_codes)
        # code -1, unknown, reads the last entry
        session_users = np.append(index, np.int32(0))[table.users]
        user_vocabulary.save(folder / "users")
    for name, sessions in (("train", selection.train), ("test", selection.test)):
        path = folder / name
        _write_part(path, table, selection.keep, sessions, item_index, session_users, blocks)
    for number, (codes, source) in enumerate(zip(table.columns, columns.values(), strict=True)):
        _write_column(folder, number, codes, source, selection)
    n_train = len(selection.train)
    n_inner = n_train - n_valid(n_train, options.split.valid_fraction)
    described = [] if item_rows is None else [item_table.kinds]  # names are in no array
    digests = digest_files(folder)
    manifest = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "nextclick": __version__,
        "fingerprint": fingerprint(folder, n_inner, *described, digests=digests),
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
    if item_rows is not None:
        manifest["item_table"] = {"catalog": item_rows.catalog, "columns": item_table.kinds}
    sessions_of = {
        "train": selection.train,
        "train_inner": selection.train[:n_inner],
        "valid": selection.train[n_inner:],
        "test": selection.test,
    }
    lengths = remaining_lengths(selection.keep, table.offsets)
    # the written arrays are not mapped for this, because their pages would count as memory
    manifest["counts"] = {
        name: count_part(
            lengths[sessions],
            item_support(table, selection.keep, sessions, len(item_index))[item_index > 0],
            None if session_users is None else session_users[sessions],
        )
        for name, sessions in sessions_of.items()
        if len(sessions) or name != "valid"
    }
    return Store(folder, write_manifest(folder, manifest, digests), is_verified=True)


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


def _write_part(
    folder: Path,
    table: SessionTable,
    keep: BoolArray,
    sessions: Int64Array,
    item_index: Int32Array,
    session_users: Int32Array | None,
    blocks: TimeBlocks | None,
) -> None:
    folder.mkdir()
    offsets = np.zeros(len(sessions) + 1, dtype=np.int64)
    np.cumsum(remaining_lengths(keep, table.offsets)[sessions], out=offsets[1:])
    np.save(folder / "offsets.npy", offsets)
    columns = [_ClickColumn(folder / "items.npy", table.items, item_index)]
    if table.times is not None and blocks is not None:
        columns.append(_ClickColumn(folder / "times.npy", table.times))
        ends = table.times[table.offsets[sessions + 1] - 1]
        # a given test part may begin before the training part
        np.save(folder / "blocks.npy", np.maximum(blocks.of(ends), 0))
    _write_clicks(table, keep, sessions, int(offsets[-1]), columns)
    if session_users is not None:
        np.save(folder / "users.npy", session_users[sessions])


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


@dataclass(frozen=True, slots=True)
class _ClickColumn:
    """The file of an array with one value per click.

    Attributes:
        path: the file.
        values: (E,) integers, for all clicks of the table.
        index: maps the values to those in the file, unless it is None.
    """

    path: Path
    values: AnyArray
    index: Int32Array | None = None

    def of_clicks(self, clicks: Int64Array) -> AnyArray:
        """(C,) what the file contains for the clicks at these indices."""
        values = self.values[clicks]
        return values if self.index is None else self.index[values]

    def create(self, length: int) -> BinaryIO:
        """Create the file of an array (length,), with its header only."""
        file = self.path.open("wb")
        dtype = np.lib.format.dtype_to_descr(self.of_clicks(np.empty(0, np.int64)).dtype)
        header = {"descr": dtype, "fortran_order": False, "shape": (length,)}
        np.lib.format.write_array_header_1_0(file, header)
        return file


def _write_clicks(
    table: SessionTable,
    keep: BoolArray,
    sessions: Int64Array,
    n_clicks: int,
    columns: Sequence[_ClickColumn],
) -> None:
    """Write the kept clicks of `sessions`, a bounded number at a time.

    Args:
        table: all clicks.
        keep: (E,) bool, False for dropped clicks.
        sessions: numbers of the sessions, in the order of the output.
        n_clicks: the number of kept clicks of these sessions.
        columns: the files.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(column.create(n_clicks)) for column in columns]
        for clicks in remaining_clicks(table, keep, sessions):
            for file, column in zip(files, columns, strict=True):
                file.write(column.of_clicks(clicks).data)
