"""Text whose columns are separated by runs of spaces and tabs, as in aligned tables.

Each run becomes one tab, and spaces at both ends of a line are removed, so the text can be read as
tab-separated values with the same lines. Runs within quotes stay as they are.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from nextclick.data.readers.header_names import roles_of
from nextclick.data.readers.line_blocks import MAX_LINE_BYTES, read_first_lines, utf8_chunks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextclick.data.readers.line_blocks import Opener

WHITESPACE = "whitespace"  # value of `--separator`
_CHUNK_BYTES = 4 << 20
_SAMPLE_LINES = 100
_MIN_AGREEMENT = 0.5  # share of the lines with as many fields as the first
_OTHER_SEPARATORS = (b",", b"\t", b";", b"|", b"::")
_ENDS = re.compile(rb"^[ \t]+|[ \t]+(?=\r?$)", re.MULTILINE)
_RUN = re.compile(rb"[ \t]+")
_RUN_OR_QUOTED = re.compile(rb'"[^"\n]*"|[ \t]+')


def has_aligned_columns(opener: Opener, names: Sequence[str] | None) -> bool:
    """Return whether the first lines of a file are columns separated by runs of spaces.

    No other separator is in the first line, and a line has a run of spaces. At least half of the
    lines have the same number of fields: as many as `names`, or two of them are common names.

    Raises:
        OSError: the file cannot be read.
        EOFError: a compressed file is cut short.
    """
    raw, bad = read_first_lines(opener, _SAMPLE_LINES)
    lines = [line for n, line in enumerate(raw) if n not in bad and line.strip()]
    if len(lines) < 2 or any(separator in lines[0] for separator in _OTHER_SEPARATORS):
        return False
    if not any(line.startswith(b" ") or b"  " in line.strip() for line in lines):
        return False
    rows = [with_tabs(line).split(b"\t") for line in lines]
    if sum(len(row) == len(rows[0]) for row in rows) < _MIN_AGREEMENT * len(rows):
        return False
    if names is not None:
        return len(rows[0]) == len(names)
    return len(roles_of([name.decode() for name in rows[0]])) > 1


def with_tabs(text: bytes) -> bytes:
    """Replace each run of spaces and tabs by a tab; remove those at the ends of lines."""
    text = _ENDS.sub(b"", text)
    if b'"' not in text:
        return _RUN.sub(b"\t", text)
    return _RUN_OR_QUOTED.sub(lambda match: match[0] if match[0][:1] == b'"' else b"\t", text)


def tab_separated(opener: Opener) -> Opener:
    """Return an opener of the same text with tabs as separators."""
    return lambda: io.BufferedReader(_Chunks(_converted(opener)))


def _converted(opener: Opener) -> Iterator[bytes]:
    rest = b""
    for chunk in utf8_chunks(opener, _CHUNK_BYTES):
        text = rest + chunk
        end = text.rfind(b"\n") + 1
        if not end and len(text) > MAX_LINE_BYTES:
            end = len(text)  # a line that is refused as too long
        yield with_tabs(text[:end])
        rest = text[end:]
    yield with_tabs(rest)


class _Chunks(io.RawIOBase):
    """A stream of the bytes that an iterator yields."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        n_bytes = min(len(buffer), len(self._rest))
        buffer[:n_bytes] = self._rest[:n_bytes]
        self._rest = self._rest[n_bytes:]
        return n_bytes
