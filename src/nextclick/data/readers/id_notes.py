"""Notes about ids that are probably not what the log had: placeholders and rounded numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from nextclick.data.encode import IdEncoder
    from nextclick.data.readers.raw_log import RawLog, RawPart

_PLACEHOLDERS = (
    *("0", "-1", "-", "--", "?", "unknown", "anonymous", "anon", "guest", "nobody", "default"),
    *("empty", "00000000-0000-0000-0000-000000000000"),
)
_MIN_CLICKS = 20  # of a placeholder
_MIN_RATIO = 3.0  # to the mean clicks of the other ids
_SCIENTIFIC = r"^-?\d(\.\d+)?[eE]\+\d+$"
_MIN_SHARE = 0.1  # of the ids
_SAMPLE_IDS = 100_000


def id_notes(log: RawLog) -> list[str]:
    """Return one sentence for each kind of id that is probably wrong."""
    role = "user" if log.by_user else "session"
    notes = [note for part in log.parts for note in _placeholder_notes(part, role)]
    encoders = {"item": log.items, role: log.parts[0].groups}
    for name, encoder in encoders.items():
        notes += _scientific_notes(encoder, name)
    return list(dict.fromkeys(notes + _normal_form_notes(log.items)))


def _placeholder_notes(part: RawPart, role: str) -> list[str]:
    ids = part.groups.ids()
    if ids.dtype.is_integer():
        is_placeholder = ids.is_in([0, -1])
    else:
        is_placeholder = ids.str.to_lowercase().is_in(_PLACEHOLDERS)
    total = sum(map(len, part.chunk_groups))
    notes = []
    for code in is_placeholder.arg_true():
        n_clicks = sum(int(np.count_nonzero(codes == code)) for codes in part.chunk_groups)
        mean = (total - n_clicks) / max(len(ids) - 1, 1)
        if n_clicks >= max(_MIN_CLICKS, _MIN_RATIO * mean):
            notes.append(
                f"the {role} {ids[code]!r} has {n_clicks:,} clicks, the others have {mean:,.1f} on "
                f"average; if it means that the {role} is not known, add it to the list of "
                "--missing"
            )
    return notes


def _scientific_notes(encoder: IdEncoder, role: str) -> list[str]:
    ids = encoder.ids().head(_SAMPLE_IDS)
    if ids.dtype != pl.String or len(ids) == 0:
        return []
    rounded = ids.filter(ids.str.contains(_SCIENTIFIC))
    if len(rounded) < _MIN_SHARE * len(ids):
        return []
    note = (
        f"{role} ids such as {rounded[0]!r} were rounded by a spreadsheet, so different ids may "
        "have become one; export the log again with this column as text"
    )
    return [note]


def _normal_form_notes(encoder: IdEncoder) -> list[str]:
    ids = encoder.ids()
    if ids.dtype != pl.String:
        return []
    ids = ids.filter(ids.str.len_bytes() != ids.str.len_chars())
    n_same = len(ids) - ids.str.normalize("NFC").n_unique() if len(ids) else 0
    if not n_same:
        return []
    note = (
        f"{n_same:,} item ids are the same as others but for the Unicode form of their accents, "
        "and count as other items; write all ids in one form, such as NFC"
    )
    return [note]
