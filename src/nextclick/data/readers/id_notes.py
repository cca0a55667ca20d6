"""Notes about ids that are probably not what the log had: placeholders and rounded numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Int32Array
    from nextclick.data.readers.raw_log import RawLog

PLACEHOLDERS = (
    *("0", "-1", "-", "--", "?", "unknown", "anonymous", "anon", "guest", "nobody", "default"),
    *("empty", "00000000-0000-0000-0000-000000000000"),
)
_MIN_CLICKS = 20  # of a placeholder
_MIN_RATIO = 3.0  # to the mean clicks of the other ids
_SCIENTIFIC = r"^-?\d(\.\d+)?[eE]\+\d+$"
_MIN_SHARE = 0.1  # of the ids
SAMPLE_IDS = 100_000


@dataclass(frozen=True, slots=True)
class IdSummary:
    """The ids of the sessions or users of a part.

    Attributes:
        n_ids: number of ids.
        n_clicks: number of clicks.
        sample: the first ids, at most `SAMPLE_IDS`.
        placeholders: ids that may mean that there is none, with their clicks.
    """

    n_ids: int
    n_clicks: int
    sample: pl.Series
    placeholders: list[tuple[int | str, int]]


def summarize_ids(ids: pl.Series, chunks: Sequence[Int32Array]) -> IdSummary:
    """Summarize the ids of a part.

    Args:
        ids: the ids by code.
        chunks: the codes of the clicks.
    """
    if ids.dtype.is_integer():
        is_placeholder = ids.is_in([0, -1])
    else:
        is_placeholder = ids.str.to_lowercase().is_in(PLACEHOLDERS)
    placeholders = [
        (ids[code], sum(int(np.count_nonzero(codes == code)) for codes in chunks))
        for code in is_placeholder.arg_true()
    ]
    return IdSummary(len(ids), sum(map(len, chunks)), ids.head(SAMPLE_IDS), placeholders)


def id_notes(log: RawLog) -> list[str]:
    """Return one sentence for each kind of id that is probably wrong."""
    role = "user" if log.by_user else "session"
    summaries = [part.id_summary() for part in log.parts]
    notes = [note for summary in summaries for note in _placeholder_notes(summary, role)]
    items = log.items.ids()
    notes += _scientific_notes(items.head(SAMPLE_IDS), "item")
    notes += _scientific_notes(summaries[0].sample, role)
    return list(dict.fromkeys(notes + _normal_form_notes(items)))


def _placeholder_notes(summary: IdSummary, role: str) -> list[str]:
    notes = []
    for name, n_clicks in summary.placeholders:
        mean = (summary.n_clicks - n_clicks) / max(summary.n_ids - 1, 1)
        if n_clicks >= max(_MIN_CLICKS, _MIN_RATIO * mean):
            notes.append(
                f"the {role} {name!r} has {n_clicks:,} clicks, the others have {mean:,.1f} on "
                f"average; if it means that the {role} is not known, add it to the list of "
                "--missing"
            )
    return notes


def _scientific_notes(ids: pl.Series, role: str) -> list[str]:
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


def _normal_form_notes(ids: pl.Series) -> list[str]:
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
