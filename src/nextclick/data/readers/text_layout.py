"""Detects the separator and the header of a delimited text file from its first lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextclick.data.readers.columns import check_unique, normalized_name
from nextclick.data.readers.header_names import (
    SKIP,
    guessed_names,
    is_value,
    looks_like_row,
    roles_of,
)
from nextclick.data.readers.line_blocks import read_first_lines
from nextclick.data.readers.text_fields import FieldSplitter
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.data.readers.line_blocks import Opener
    from nextclick.data.readers.text_fields import Quote

_SEPARATORS = (",", "\t", ";", "||", "::", "|", "\x01")
_SAMPLE_LINES = 100
_MAX_PREAMBLE = 20  # lines before the header
_MAX_NAME_LETTERS = 1_000
_MAX_SHOWN = 100  # letters of a line in a message


@dataclass(frozen=True, slots=True)
class TextLayout:
    """How the lines of a delimited text file are read.

    Attributes:
        splitter: separator and quotes.
        columns: names of the columns; `column 2` is a column without a name.
        first_row_line: number of the line of the first row, from 1.
        notes: what a reader of the report should know, such as lines skipped before the header.
    """

    splitter: FieldSplitter
    columns: tuple[str, ...]
    first_row_line: int
    notes: tuple[str, ...] = ()


class MissingHeaderError(SourceError):
    """A text file whose first line is a row.

    Attributes:
        n_fields: number of fields of the row.
    """

    def __init__(self, message: str, n_fields: int) -> None:
        super().__init__(message)
        self.n_fields = n_fields


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class _Split:
    """The first lines, split by one separator.

    Attributes:
        splitter: the separator.
        rows: fields of each line.
        header: index of the line that is most likely the header.
        n_roles: number of roles whose common names are in that line.
        has_whole_header: whether each quote in that line closes.
        agreement: share of the lines from there on with the same number of fields.
    """

    splitter: FieldSplitter
    rows: list[list[str]]
    header: int
    n_roles: int
    has_whole_header: bool
    agreement: float


def detect_layout(
    opener: Opener,
    label: str,
    *,
    separator: str | None,
    names: Sequence[str] | None,
    quote: Quote,
) -> TextLayout:
    """Read the first lines of a file and detect its separator and its header.

    Args:
        opener: opens the stream of the file.
        label: name of the file in messages.
        separator: text between two fields, None to detect it.
        names: names of the columns by position, for a file without a header; `_` skips one.
        quote: how quotes are read.

    Raises:
        SourceError: the file is empty, or its header is missing, is not text, or names a column
            twice.
        OSError: the file cannot be read.
        EOFError: a compressed file is cut short.
    """
    lines = _first_lines(opener, label)
    first_line = lines[0].number
    separator, lines = _separator_line(lines, separator)
    comments, lines = _leading_comments(lines)
    if separator is None:
        split = _best_split(lines, quote, names)
    else:
        split = _split(lines, FieldSplitter(separator, quote))
    if names is not None:
        return _named_layout(lines[0], split, names, label)
    header = lines[split.header]
    if comments and _is_commented_header(comments[-1], split):
        header = _Line(comments[-1].number, comments[-1].text.lstrip("# "))
    fields, n_lines = _read_header(header, lines, split, label)
    _check_header(fields, header, label)
    columns = tuple(name or f"column {n}" for n, name in enumerate(fields, start=1))
    check_unique(columns, label)
    notes = _skipped_lines(first_line, header, label)
    return TextLayout(split.splitter, columns, header.number + n_lines, notes)


def _first_lines(opener: Opener, label: str) -> list[_Line]:
    """Return the first lines that are not blank, without those that cannot be read.

    Raises:
        SourceError: there is none, or the first one cannot be read.
    """
    raw_lines, bad = read_first_lines(opener, _SAMPLE_LINES)
    lines: list[_Line] = []
    for index, raw in enumerate(raw_lines):
        if index in bad and not lines:
            raise SourceError(
                f"{label}, line {index + 1}: {bad[index]}; expected a header of UTF-8 text; "
                "convert the file (iconv -t utf-8), or set its --format"
            )
        if index not in bad and raw.strip():
            lines.append(_Line(index + 1, raw.decode()))
    if not lines:
        raise SourceError(f"{label}: the file is empty; expected a header and one row per click")
    return lines


def _separator_line(lines: list[_Line], separator: str | None) -> tuple[str | None, list[_Line]]:
    """Return the separator of a first line `sep=;`, as Excel writes it, and the other lines."""
    match = re.fullmatch(r"sep=(.)", lines[0].text)
    if match is None or len(lines) == 1:
        return separator, lines
    return separator or match[1], lines[1:]


def _leading_comments(lines: list[_Line]) -> tuple[list[_Line], list[_Line]]:
    """Divide the lines at the first that does not begin with `#`; the second part has a line."""
    n_comments = 0
    while n_comments < len(lines) - 1 and lines[n_comments].text.startswith("#"):
        n_comments += 1
    return lines[:n_comments], lines[n_comments:]


def _best_split(lines: list[_Line], quote: Quote, names: Sequence[str] | None) -> _Split:
    """Split the lines by the separator that explains them best.

    The first criterion is the number of names, or of common names of columns in a header; then
    whether the quotes of the header close; then the share of lines with the same number of fields;
    then the number of fields. A space separates only
    where nothing else does, because it is in names and times.
    """

    def score(split: _Split) -> tuple[bool, int, bool, float, int]:
        n_fields = len(split.rows[split.header])
        has_all_names = names is not None and n_fields == len(names)
        return (
            has_all_names, split.n_roles, split.has_whole_header, split.agreement, n_fields
        )  # fmt: skip

    splits = [_split(lines, FieldSplitter(separator, quote)) for separator in _SEPARATORS]
    separated = [split for split in splits if len(split.rows[split.header]) > 1]
    if not separated:
        by_space = _split(lines, FieldSplitter(" ", quote))
        return by_space if any(score(by_space)[:2]) else splits[0]
    best = max(separated, key=score)
    if best.splitter.separator == "|" and all(_has_only_pairs(line.text, "|") for line in lines):
        return next(split for split in splits if split.splitter.separator == "||")
    return best


def _has_only_pairs(text: str, letter: str) -> bool:
    return text.count(letter) == 2 * text.count(2 * letter) > 0


def _split(lines: list[_Line], splitter: FieldSplitter) -> _Split:
    rows = [splitter.split(line.text).values for line in lines]
    n_roles = [len(roles_of(row)) for row in rows[:_MAX_PREAMBLE]]
    header = 0
    best = max(range(len(n_roles)), key=n_roles.__getitem__)
    if n_roles[best] > max(n_roles[0], 1) and len(rows[best]) != len(rows[0]):
        header = best
    same = sum(len(row) == len(rows[header]) for row in rows[header:])
    roles = n_roles[header] if n_roles[header] > 1 else 0
    is_whole = splitter.split(lines[header].text).open_at is None
    return _Split(splitter, rows, header, roles, is_whole, same / len(rows[header:]))


def _is_commented_header(comment: _Line, split: _Split) -> bool:
    """Return whether `# session,item,time` is the header of the rows that follow."""
    fields = split.splitter.split(comment.text.lstrip("# ")).values
    if len(fields) != len(split.rows[0]) or looks_like_row(fields):
        return False
    return looks_like_row(split.rows[0]) or len(roles_of(fields)) > max(
        len(roles_of(split.rows[0])), 1
    )


def _read_header(
    header: _Line, lines: list[_Line], split: _Split, label: str
) -> tuple[list[str], int]:
    """Return the names of the columns and the number of lines of the header.

    A quoted name may contain a line break, which becomes a space.
    """
    following = [line for line in lines if line.number > header.number]
    record = [header.text]
    record += [line.text for n, line in enumerate(following, 1) if line.number == header.number + n]
    counts = [len(split.splitter.split(line.text).values) for line in following]
    widths = sorted(set(counts), key=counts.count, reverse=True)
    joined = (split.splitter.joins(record, n_columns) for n_columns in widths)
    n_lines = next((n_joined for n_joined in joined if n_joined > 1), 1)
    fields = split.splitter.split("\n".join(record[:n_lines]))
    if fields.open_at is not None and split.splitter.quote == '"':
        raise SourceError(
            f"{label}, line {header.number}: the quote of column {fields.open_at + 1} of the "
            "header does not close; close it, or read quotes as text with --quote none"
        )
    return [" ".join(name.split()) for name in fields.values], n_lines


def _check_header(fields: Sequence[str], header: _Line, label: str) -> None:
    """Check that the first line is a header.

    Raises:
        SourceError: it is a row, or a name is too long.
    """
    longest = max(fields, key=len)
    if len(longest) > _MAX_NAME_LETTERS:
        raise SourceError(
            f"{label}, line {header.number}: the name of a column has {len(longest):,} letters, it "
            f"begins with {longest[:40]!r}; expected a header of short names; check that this is a "
            "text file with one row per line"
        )
    if looks_like_row(fields):
        raise MissingHeaderError(
            f"{label}, line {header.number}: the file has no header, the first line is a row: "
            f"{header.text[:_MAX_SHOWN]!r}; name its columns by position, for example --columns "
            f"{','.join(guessed_names(fields))} ({SKIP} skips a column)",
            len(fields),
        )


def _named_layout(first: _Line, split: _Split, names: Sequence[str], label: str) -> TextLayout:
    """Return the layout of a file whose columns are named by position.

    Raises:
        SourceError: the file has more columns than names.
    """
    fields = split.rows[0]
    if any(field.strip() for field in fields[len(names) :]):
        raise SourceError(
            f"{label}, line {first.number}: {len(fields)} fields, but {len(names)} names of "
            f"columns ({','.join(names)}); name each column, {SKIP} skips one"
        )
    columns = tuple(f"column {n}" if name == SKIP else name for n, name in enumerate(names, 1))
    check_unique(columns, label)
    is_header = _has_names(fields, names)
    notes = (f"{label}: skipped the header in line {first.number}",) if is_header else ()
    return TextLayout(split.splitter, columns, first.number + is_header, notes)


def _has_names(fields: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether a line names the same columns, or the same roles, as `names`."""
    if any(map(is_value, fields)):
        return False
    pairs = [pair for pair in zip(fields, names, strict=False) if pair[1] != SKIP]
    return any(
        normalized_name(field) == normalized_name(name) or roles_of([field]) & roles_of([name])
        for field, name in pairs
    )


def _skipped_lines(first_line: int, header: _Line, label: str) -> tuple[str, ...]:
    if first_line == header.number:
        return ()
    last = header.number - 1
    lines = f"line {last}" if first_line == last else f"lines {first_line} to {last}"
    return (f"{label}: skipped {lines} before the header",)
