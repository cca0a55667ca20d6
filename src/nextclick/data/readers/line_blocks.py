"""Reads a byte stream as blocks of whole lines of UTF-8 text.

Line ends are LF, CR LF or, in a file whose first lines have no LF, CR. A byte order mark is
removed. UTF-16 is converted to UTF-8. Memory holds one block.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from codecs import IncrementalDecoder

Opener: TypeAlias = Callable[[], BinaryIO]

BLOCK_BYTES = 16 << 20
MAX_LINE_BYTES = 16 << 20
_SNIFF_BYTES = 1 << 16  # bytes from which the encoding and the line ends are detected
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Consecutive lines of a file.

    Attributes:
        data: the lines, each ended by LF; a CR before it is not removed.
        first_line: number of the first line in the file, from 1.
        n_lines: number of lines.
        bad: why a line cannot be read, by its index in the block; `data` has an empty line for it.
    """

    data: bytes
    first_line: int
    n_lines: int
    bad: dict[int, str] = field(default_factory=dict)

    def lines(self) -> list[bytes]:
        """Return the lines without LF."""
        return self.data.split(b"\n")[:-1]

    def after(self, previous: LineBlock) -> LineBlock:
        """Return one block of the lines of `previous` and of this block."""
        bad = previous.bad | {previous.n_lines + line: why for line, why in self.bad.items()}
        n_lines = previous.n_lines + self.n_lines
        return LineBlock(previous.data + self.data, previous.first_line, n_lines, bad)

    def divided(self, n_lines: int) -> tuple[LineBlock, LineBlock]:
        """Return the blocks of the first `n_lines` lines and of the other lines."""
        n_lines = min(n_lines, self.n_lines)
        end = 0
        if n_lines:
            letters = np.frombuffer(self.data, dtype=np.uint8)
            end = int(np.flatnonzero(letters == ord("\n"))[n_lines - 1]) + 1
        first_bad = {line: why for line, why in self.bad.items() if line < n_lines}
        other_bad = {line - n_lines: why for line, why in self.bad.items() if line >= n_lines}
        return (
            LineBlock(self.data[:end], self.first_line, n_lines, first_bad),
            LineBlock(
                self.data[end:], self.first_line + n_lines, self.n_lines - n_lines, other_bad
            ),
        )


def read_blocks(opener: Opener, block_bytes: int | None = None) -> Iterator[LineBlock]:
    """Yield the lines of a stream in blocks of about `block_bytes`, by default `BLOCK_BYTES`.

    A line of more than `MAX_LINE_BYTES`, with a NUL byte or with invalid UTF-8 is a bad line.

    Raises:
        OSError: the stream cannot be read.
        EOFError: a compressed stream is cut short.
    """
    first_line = 1
    for data, long_lines in _whole_lines(utf8_chunks(opener, block_bytes or BLOCK_BYTES)):
        n_lines = int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")))
        data, bad = _without_bad_lines(data)
        yield LineBlock(data, first_line, n_lines, bad | long_lines)
        first_line += n_lines


def read_first_lines(opener: Opener, n_lines: int) -> tuple[list[bytes], dict[int, str]]:
    """Return the first lines without line ends, and why a line is bad, by its index."""
    lines: list[bytes] = []
    bad: dict[int, str] = {}
    for block in read_blocks(opener, _SNIFF_BYTES):
        bad |= {len(lines) + line: why for line, why in block.bad.items()}
        lines += block.lines()
        if len(lines) >= n_lines:
            break
    return [line.removesuffix(b"\r") for line in lines[:n_lines]], bad


def utf8_chunks(opener: Opener, chunk_bytes: int) -> Generator[bytes]:
    """Yield chunks of UTF-8 with LF or CR LF as line ends, without a byte order mark."""
    with opener() as stream:
        start = _read_fully(stream, _SNIFF_BYTES)
        decoder = _utf16_decoder(start)
        chunks = _raw_chunks(stream, start.removeprefix(codecs.BOM_UTF8), chunk_bytes)
        if decoder is not None:
            chunks = _decoded(chunks, decoder)
        first = next(chunks, b"")
        sniffed = first[: _SNIFF_BYTES // 2]
        has_only_cr = b"\r" in sniffed and b"\n" not in sniffed
        chunks = _chained(first, chunks)
        yield from _lf_for_cr(chunks) if has_only_cr else chunks


def _raw_chunks(stream: BinaryIO, start: bytes, chunk_bytes: int) -> Iterator[bytes]:
    yield start + _read_fully(stream, max(chunk_bytes - len(start), 0))
    while chunk := _read_fully(stream, chunk_bytes):
        yield chunk


def _read_fully(stream: BinaryIO, n_bytes: int) -> bytes:
    """Read `n_bytes`, or less at the end of the stream; a pipe returns less per call."""
    data = stream.read(n_bytes)
    if len(data) == n_bytes:
        return data
    parts = [data]
    n_missing = n_bytes - len(data)
    while n_missing and (part := stream.read(n_missing)):
        parts.append(part)
        n_missing -= len(part)
    return b"".join(parts)


def _chained(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from chunks


def _utf16_decoder(start: bytes) -> IncrementalDecoder | None:
    """Return the decoder of UTF-16, None for other encodings.

    UTF-16 without a byte order mark is detected by a NUL byte in each of the first 8 characters.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return codecs.getincrementaldecoder(encoding)("surrogatepass")
    high, low = start[1:16:2], start[0:16:2]
    if len(high) == 8 and not any(high) and all(low):
        return codecs.getincrementaldecoder("utf-16-le")("surrogatepass")
    if len(low) == 8 and not any(low) and all(high):
        return codecs.getincrementaldecoder("utf-16-be")("surrogatepass")
    return None


def _decoded(chunks: Iterator[bytes], decoder: IncrementalDecoder) -> Iterator[bytes]:
    """Yield chunks of UTF-8; what cannot be decoded becomes invalid UTF-8, so its line is bad."""
    for chunk in chunks:
        yield decoder.decode(chunk).removeprefix("\ufeff").encode("utf-8", "surrogatepass")
    if decoder.getstate()[0]:
        yield b"\xff"  # the stream ends within a character


def _lf_for_cr(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Replace each line end CR or CR LF by LF."""
    held = b""  # a CR at the end of a chunk may be the first half of CR LF
    for chunk in chunks:
        text = held + chunk
        held = b"\r" if text.endswith(b"\r") else b""
        yield text.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    yield held and b"\n"


def _whole_lines(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, dict[int, str]]]:
    """Yield whole lines, and the reason by index for lines of more than `MAX_LINE_BYTES`."""
    rest, n_dropped = b"", 0  # start of an unfinished line, and bytes dropped from it
    for chunk in chunks:
        first_end = chunk.find(b"\n")
        if first_end < 0:
            rest += chunk
            if len(rest) > MAX_LINE_BYTES:
                n_dropped, rest = n_dropped + len(rest), b""
            continue
        bad: dict[int, str] = {}
        if n_dropped or len(rest) + first_end > MAX_LINE_BYTES:
            bad = {0: _too_long(n_dropped + len(rest) + first_end)}
            rest, n_dropped, chunk = b"", 0, chunk[first_end:]
        last_end = chunk.rfind(b"\n") + 1
        yield b"".join((rest, memoryview(chunk)[:last_end])), bad
        rest = chunk[last_end:]
    if n_dropped:
        yield b"\n", {0: _too_long(n_dropped + len(rest))}
    elif rest:
        yield rest + b"\n", {}


def _too_long(n_bytes: int) -> str:
    return f"the line has {n_bytes:,} bytes, more than {MAX_LINE_BYTES:,}"


def _without_bad_lines(data: bytes) -> tuple[bytes, dict[int, str]]:
    """Empty the lines with NUL bytes or invalid UTF-8; return the data and the reasons by index."""
    if data.isascii():
        if b"\0" not in data:
            return data, {}
    else:
        # a byte order mark within a file is left by concatenation
        data = data.replace(b"\n\xef\xbb\xbf", b"\n")
        if b"\0" not in data and _is_utf8(data):
            return data, {}
    lines = data.split(b"\n")
    reasons = ((index, _bad_bytes(line)) for index, line in enumerate(lines))
    bad = {index: reason for index, reason in reasons if reason is not None}
    for index in bad:
        lines[index] = b""
    return b"\n".join(lines), bad


def _is_utf8(data: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(data)
    step = 1 << 20  # decoding in steps bounds the memory of the text
    try:
        for start in range(0, len(data), step):
            decoder.decode(view[start : start + step], final=start + step >= len(data))
    except UnicodeDecodeError:
        return False
    return True


def _bad_bytes(line: bytes) -> str | None:
    nul = line.find(b"\0")
    if nul >= 0:
        return f"NUL byte at byte {nul + 1} of the line"
    if line.isascii():
        return None
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"invalid UTF-8 at byte {error.start + 1} of the line"
    return None
