"""Blocks of whole lines: line ends, encodings, bad lines and long lines."""

import io
import random

import pytest

from nextclick.data.readers import line_blocks
from nextclick.data.readers.line_blocks import LineBlock, read_blocks, read_first_lines


class Trickle(io.BytesIO):
    """A stream that returns fewer bytes than asked, as a pipe does."""

    def read(self, size=-1):
        return super().read(min(size, 7) if size > 0 else size)


def lines_of(data, *, stream=io.BytesIO, size=None):
    """The lines without line ends, and the bad ones by number from 1."""
    lines, bad = [], {}
    for block in read_blocks(lambda: stream(data), size):
        assert block.first_line == len(lines) + 1
        assert block.n_lines == len(block.lines()) == block.data.count(b"\n")
        bad |= {block.first_line + index: reason for index, reason in block.bad.items()}
        lines += [line.removesuffix(b"\r") for line in block.lines()]
    return lines, bad


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"a\n", [b"a"]),
        (b"\na\n\n", [b"", b"a", b""]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"a\rb\r", [b"a", b"b"]),
        (b"a\r\rb", [b"a", b"", b"b"]),
        (b"a\rb\nc", [b"a\rb", b"c"]),
        (b"\xef\xbb\xbfa\nb", [b"a", b"b"]),
        (b"a\n\xef\xbb\xbfb\n", [b"a", b"b"]),
        ("é\n日本".encode("utf-16"), ["é".encode(), "日本".encode()]),
        (b"\xfe\xff" + "é\r\nb".encode("utf-16-be"), ["é".encode(), b"b"]),
        ("session,item\n1,2\n".encode("utf-16-le"), [b"session,item", b"1,2"]),
        ("session,item\n1,2\n".encode("utf-16-be"), [b"session,item", b"1,2"]),
    ],
)
@pytest.mark.parametrize("stream", [io.BytesIO, Trickle])
def test_line_ends_and_encodings(data, lines, stream):
    assert lines_of(data, stream=stream) == (lines, {})


def test_blocks_hold_whole_lines(monkeypatch):
    monkeypatch.setattr(line_blocks, "_SNIFF_BYTES", 16)
    rng = random.Random(1)
    for end in (b"\n", b"\r\n", b"\r"):
        for encoding in ("utf-8", "utf-16"):
            texts = ["é" * rng.randrange(9) for _ in range(200)]
            texts[0] = texts[-1] = "header"
            data = end.decode().join(texts).encode(encoding)
            for size in (16, 17, 64):
                assert lines_of(data, size=size)[0] == [text.encode() for text in texts], end


def test_bad_lines_are_empty_and_have_a_reason():
    data = b"a\nb\xff\nc\0\0\nd\n"
    assert lines_of(data) == (
        [b"a", b"", b"", b"d"],
        {2: "invalid UTF-8 at byte 2 of the line", 3: "NUL byte at byte 2 of the line"},
    )
    cut = "ab\ncd".encode("utf-16-le")[:-1]
    assert lines_of(b"\xff\xfe" + cut)[1] == {2: "invalid UTF-8 at byte 2 of the line"}
    assert read_first_lines(lambda: io.BytesIO(data), 2)[0] == [b"a", b""]


def test_a_long_line_is_bad_and_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(line_blocks, "_SNIFF_BYTES", 16)
    monkeypatch.setattr(line_blocks, "MAX_LINE_BYTES", 100)
    reason = "the line has 1,000 bytes, more than 100"
    for data, lines in (
        (b"a\n" + b"x" * 1000 + b"\nb\n", [b"a", b"", b"b"]),
        (b"a\n" + b"x" * 1000, [b"a", b""]),
    ):
        for size in (16, 50, 100):
            assert lines_of(data, size=size) == (lines, {2: reason}), size
    assert lines_of(b"a\n" + b"x" * 100 + b"\nb", size=16) == ([b"a", b"x" * 100, b"b"], {})


def test_blocks_are_divided_and_joined():
    block = LineBlock(b"a\n\nc\n", 5, 3, {1: "bad"})
    first, rest = block.divided(2)
    assert first == LineBlock(b"a\n\n", 5, 2, {1: "bad"})
    assert rest == LineBlock(b"c\n", 7, 1)
    assert rest.after(first) == block
    assert block.divided(9)[1].n_lines == 0
