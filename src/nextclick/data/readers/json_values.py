"""Splits JSON text into values: JSON lines, an array, or values one after another.

A file is JSON lines if most of its first lines are JSON objects, or if it begins with a Python
dict. Any other JSON text is decoded value by value: the elements of an array, or objects one after
another, over any number of lines.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from nextclick.data.readers.line_blocks import Opener, read_blocks, utf8_chunks
from nextclick.data.readers.python_literals import as_json_lines, is_dict
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.types import Int64Array

BLOCK_BYTES = 8 << 20
_SAMPLE_LINES = 50
_ARRAY = re.compile(rb"\s*\[\s*[\[{\]]")
_OBJECT = re.compile(rb'\s*\{\s*["}]')
_SPACE = re.compile(r"\s*")
_MIN_UNFINISHED = 1000  # characters


@dataclass(frozen=True, slots=True)
class JsonBlock:
    """Values of a JSON file, one per line of `data`.

    Attributes:
        data: the values, each ended by a line feed; lines without text are blank.
        lines: (V,) line in the file of each value, from 1.
        bad: why a value cannot be read, by its index; `data` has an empty line for it.
    """

    data: bytes
    lines: Int64Array
    bad: dict[int, str]


def is_json(head: bytes) -> bool:
    """Return whether the first bytes of a file are JSON objects, or an array of them.

    >>> is_json(b'{"item": 1}'), is_json(b'[{"item": 1}]'), is_json(b"[01/Apr/2024] GET /")
    (True, True, False)
    """
    text = head.removeprefix(codecs.BOM_UTF8)
    if any(p.match(text) for p in (_ARRAY, _OBJECT)) or is_dict(text):
        return True
    return _is_json_lines(text)


def read_json_blocks(opener: Opener, label: str) -> Iterator[JsonBlock]:
    """Yield the values of a JSON file in blocks.

    Raises:
        OSError: the stream cannot be read.
        EOFError: a compressed stream is cut short.
        SourceError: a value cannot be decoded and the start of the next one cannot be found.
    """
    chunks = utf8_chunks(opener, BLOCK_BYTES)
    head = next(chunks)
    is_python = is_dict(head)
    if not is_python and not _is_json_lines(head):
        yield from _blocks_of_values(_ValueReader(chain([head], chunks), label).values())
        return
    chunks.close()
    for block in read_blocks(opener, BLOCK_BYTES):
        lines = np.arange(block.first_line, block.first_line + block.n_lines)
        data, bad = as_json_lines(block) if is_python else (block.data, block.bad)
        yield JsonBlock(data, lines, bad)


def _is_json_lines(head: bytes) -> bool:
    """Return whether at least half of the first complete lines are JSON objects."""
    if _ARRAY.match(head):
        return False
    first_lines = head.split(b"\n", _SAMPLE_LINES)
    if len(first_lines) > _SAMPLE_LINES or len(head) >= BLOCK_BYTES:
        first_lines.pop()  # the rest of the file, or an incomplete line
    lines = [line for line in first_lines if line.strip()]
    n_objects = sum(_is_object(line) for line in lines)
    return n_objects > 0 and 2 * n_objects >= len(lines) and _has_second_value(head)


def _has_second_value(head: bytes) -> bool:
    """Return whether there is text after the first line with text."""
    return len(head.strip().split(b"\n", 1)) > 1


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _blocks_of_values(values: Iterator[tuple[int, str, str | None]]) -> Iterator[JsonBlock]:
    """Join values to blocks; a line feed between the tokens of a value becomes a space."""
    parts: list[bytes] = []
    lines: list[int] = []
    bad: dict[int, str] = {}
    size = 0
    for line, text, reason in values:
        if reason is not None:
            bad[len(parts)], text = reason, ""
        parts.append(text.replace("\n", " ").encode(errors="surrogatepass") + b"\n")
        lines.append(line)
        size += len(parts[-1])
        if size >= BLOCK_BYTES:
            yield JsonBlock(b"".join(parts), np.array(lines), bad)
            parts, lines, bad, size = [], [], {}, 0
    if parts:
        yield JsonBlock(b"".join(parts), np.array(lines), bad)


class _ValueReader:
    """Decodes one value after another from chunks of bytes."""

    def __init__(self, chunks: Iterator[bytes], label: str):
        self._chunks = chunks
        self._label = label
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._line = 1
        self._ended = False
        # the values are decoded only to find their ends, so numbers are not converted
        self._decoder = json.JSONDecoder(parse_int=str, parse_float=str)

    def values(self) -> Iterator[tuple[int, str, str | None]]:
        """Yield the line, the text, and why it is not complete, of each value.

        Raises:
            SourceError: a value cannot be decoded.
        """
        in_array = self._next_character() == "["
        self._at += in_array
        longest, first = 0, True
        while (character := self._next_character()) not in ("", "]"):
            if in_array and not first:
                if character != ",":
                    raise self._error("expected a comma between two values of the array")
                self._at += 1
                if self._next_character() == "":
                    break
            first = False
            line, text, reason = self._value()
            if reason is not None and len(text) > max(2 * longest, _MIN_UNFINISHED):
                raise self._error(reason)
            longest = max(longest, len(text))
            yield line, text, reason
            if reason is not None:
                return
        if character == "]" and in_array:
            self._at += 1
            in_array = False
        if self._next_character():
            raise self._error("expected no text after the last value")
        if in_array:
            yield self._line, "", "the file ends before the end of the array"

    def _value(self) -> tuple[int, str, str | None]:
        line, start = self._line, self._at
        while True:
            try:
                _, end = self._decoder.raw_decode(self._text, start)
            except RecursionError:
                raise self._error("the value is nested too deeply") from None
            except json.JSONDecodeError as error:
                if self._may_continue(error) and self._extend():
                    continue
                if self._ended and self._may_continue(error):
                    text, self._at = self._text[start:], len(self._text)
                    return line, text, "the file ends within this value"
                self._line += self._text.count("\n", start, error.pos)
                raise self._error(error.msg) from error
            if end == len(self._text) and self._text[end - 1] not in "}]" and self._extend():
                continue  # the digits of a number may continue
            self._at = end
            self._line += self._text.count("\n", start, end)
            return line, self._text[start:end], None

    def _may_continue(self, error: json.JSONDecodeError) -> bool:
        """Return whether the text ends within a value, so that more text may complete it."""
        rest = self._text[error.pos :].strip()
        at_end = any(word.startswith(rest) for word in ("true", "false", "null", "-"))
        return at_end or error.msg.startswith("Unterminated")

    def _next_character(self) -> str:
        """Skip whitespace; return the next character without reading it, empty at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None
            self._line += self._text.count("\n", self._at, match.end())
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            self._text, self._at = "", 0
            if not self._extend():
                return ""

    def _extend(self) -> bool:
        """Append more text, at least as much as there is; return whether there was any."""
        if self._ended:
            return False
        parts, size = [self._text], 0
        while not self._ended and size <= len(self._text):
            chunk = next(self._chunks, None)
            self._ended = chunk is None
            try:
                parts.append(self._utf8.decode(chunk or b"", final=chunk is None))
            except UnicodeDecodeError as error:
                raise self._error(f"not UTF-8 text ({error.reason})") from error
            size += len(parts[-1])
        self._text = "".join(parts)
        return size > 0

    def _error(self, reason: str) -> SourceError:
        return SourceError(
            f"{self._label}, line {self._line}: not valid JSON: {reason}; the rows after it cannot "
            "be found; fix the file, or export it as JSON lines, one object per line"
        )
