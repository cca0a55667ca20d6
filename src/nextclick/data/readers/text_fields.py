"""Splits a line of delimited text into fields.

A quoted field opens with a quote at the start of the field, closes before the separator or the end
of the line, and doubles each quote inside; spaces around it are ignored. With `--quote auto`, every
other quote is text: `5" screen` and `"Heroes` keep their quote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Quote: TypeAlias = Literal["auto", "none", '"']

MAX_JOINED_LINES = 100  # lines of one record; a quote that closes later is text
MAX_JOINED_LETTERS = 1 << 20
_QUOTED = r'"[^"]*+(?:""[^"]*+)*+"'
_ESCAPED = r'"(?:[^"\\]|\\.|"")*+"'  # with \" inside, as Spark writes it


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a line.

    Attributes:
        values: their text, without the quotes of quoted fields.
        quoted: whether each field is a quoted field.
        open_at: position of the first field that opens with a quote and is not a quoted field, None
            without one.
    """

    values: list[str]
    quoted: list[bool]
    open_at: int | None

    def value(self, position: int) -> str | None:
        """Return a field, or None for a missing or an empty one; a quoted field may be empty."""
        if position >= len(self.values) or not (self.values[position] or self.quoted[position]):
            return None
        return self.values[position]


@dataclass(frozen=True, slots=True)
class FieldSplitter:
    """Splits lines by a separator of one or several characters.

    Attributes:
        separator: text between two fields.
        quote: `none` takes every quote as text; `"` takes a quote that does not close as an error.
    """

    separator: str
    quote: Quote = "auto"
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _escaped: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        separator, spaces = escaped(self.separator), "" if self.separator == " " else " *"
        unquoted = f"[^{separator}]*" if len(self.separator) == 1 else f"(?:(?!{separator}).)*"
        for name, quoted in (("_pattern", _QUOTED), ("_escaped", _ESCAPED)):
            pattern = rf"{spaces}({quoted}){spaces}(?={separator}|\Z)|({unquoted})"
            object.__setattr__(self, name, re.compile(pattern, re.DOTALL))

    def split(self, line: str, n_columns: int | None = None) -> Fields:
        r"""Split a line.

        With `--quote auto`, a line that has `n_columns` fields only if its quotes are text, as
        `"a,b"` in a file of two columns, is split so. If it has them only where a backslash
        precedes a quote inside of a quoted field, as in `"say \"a, b\""`, it is split so.
        """
        if self.quote == "none" or '"' not in line:
            return self._unquoted(line)
        fields = self._quoted(line)
        if self.quote == "auto" and n_columns is not None and len(fields.values) != n_columns:
            unquoted = self._unquoted(line)
            if len(unquoted.values) == n_columns:
                return unquoted
            if '\\"' in line:
                with_escapes = self._quoted(line, self._escaped)
                if len(with_escapes.values) == n_columns:
                    return with_escapes
        return fields

    def joins(self, lines: list[str], n_columns: int) -> int:
        """Return how many lines form the record that starts with the first line.

        1 is a whole record, 0 a record that may continue after the last of these lines. A record
        continues if a quote opens a field and closes in a later line, the record then has
        `n_columns` fields, and no line after the first looks like a record of its own. Its last
        line may look like one if the first does not, as where the quote opens the first column. In
        a list, `"[…]"`, lines without quotes may look like records.
        """
        first = self._quoted(lines[0])
        if self.quote == "none" or first.open_at is None:
            return 1
        is_list = first.values[first.open_at].lstrip(" ").startswith('"[')
        first_is_row = not is_list and self._looks_like_row(lines[0], n_columns)
        starts_with_number = not is_list and _is_number(first.values[0])
        record = lines[0]
        for n_lines, line in enumerate(lines[1:MAX_JOINED_LINES], start=2):
            values = self._unquoted(line).values
            if len(values) > 1 and starts_with_number and _is_number(values[0]):
                return 1
            is_row = self._looks_like_row(line, n_columns)
            record = f"{record}\n{line}"
            if len(record) > MAX_JOINED_LETTERS or (is_row and first_is_row):
                return 1
            if '"' in line:
                fields = self._quoted(record)
                if fields.open_at is None:
                    return n_lines if len(fields.values) == n_columns else 1
            if is_row and not (is_list and '"' not in line):
                return 1
        return 0 if len(lines) < MAX_JOINED_LINES else 1

    def _looks_like_row(self, line: str, n_columns: int) -> bool:
        """Return whether a line has all fields, with its quotes as text or with quoted fields."""
        values = self._unquoted(line).values
        n_values = len(values) - (len(values) > n_columns and not values[-1])
        return n_columns in (n_values, len(self._quoted(line).values))

    def _unquoted(self, line: str) -> Fields:
        values = line.split(self.separator)
        return Fields(values, [False] * len(values), None)

    def _quoted(self, line: str, pattern: re.Pattern[str] | None = None) -> Fields:
        pattern = pattern or self._pattern
        values: list[str] = []
        quoted: list[bool] = []
        open_at, position = None, 0
        while True:
            match = pattern.match(line, position)
            assert match is not None
            text = match[1]
            quoted.append(text is not None)
            if text is not None:
                value = text[1:-1].replace('""', '"')
                values.append(value.replace('\\"', '"') if pattern is self._escaped else value)
            else:
                values.append(match[2])
                if open_at is None and match[2].lstrip(" ").startswith('"'):
                    open_at = len(values) - 1
            if match.end() >= len(line):
                return Fields(values, quoted, open_at)
            position = match.end() + len(self.separator)


def escaped(separator: str) -> str:
    """Return a separator for a regular expression of Python or Polars."""
    return "".join(f"\\x{ord(letter):02x}" for letter in separator)


def _is_number(text: str) -> bool:
    return text.strip().isdecimal()
