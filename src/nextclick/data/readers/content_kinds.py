"""Recognizes what a file holds from its first bytes."""

from __future__ import annotations

import re

from nextclick.data.readers.json_values import is_json

HEAD_BYTES = 1 << 16

_COMPRESSIONS = (
    (re.compile(rb"\x1f\x8b\x08"), "gzip"),
    (re.compile(rb"BZh[1-9](\x31\x41\x59\x26\x53\x59|\x17\x72\x45\x38\x50\x90)"), "bzip2"),
    (re.compile(rb"\xfd7zXZ\x00"), "xz"),
    (re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), "zstd"),
)
_READABLE = (
    (re.compile(rb"PAR1"), "parquet"),
    (re.compile(rb"ARROW1"), "arrow"),
    (re.compile(rb"\xff\xff\xff\xff[\x10-\xff]..\x00", re.DOTALL), "arrow stream"),
    (re.compile(rb"Obj\x01"), "avro"),
    (re.compile(rb"SQLite format 3\x00"), "sqlite"),
    (re.compile(rb".{8}DUCK", re.DOTALL), "duckdb"),
    (re.compile(rb"PK(\x03\x04|\x05\x06)"), "zip"),
)

_UNPACK = "unpack it"
_EXPORT = "save the table as CSV or Parquet"
_UNREADABLE = (
    (re.compile(rb"PARE"), "an encrypted Parquet file", "decrypt it"),
    (re.compile(rb"FEA1"), "a Feather file of version 1", "save it as Feather version 2"),
    (re.compile(rb"ORC"), "an ORC file", "save it as Parquet"),
    (
        re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        "a Microsoft Office file, such as an .xls workbook",
        "save the sheet as CSV",
    ),
    (re.compile(rb"%PDF-"), "a PDF document", "export the table as CSV"),
    (re.compile(rb"\x89HDF\r\n\x1a\n"), "an HDF5 file", _EXPORT),
    (re.compile(rb"\x93NUMPY"), "a NumPy array", _EXPORT),
    (re.compile(rb"(RDX[23]|RDA[23]|X)\n"), "an R data file", _EXPORT),
    (re.compile(rb"\$FL[23]@\(#\)"), "an SPSS file", _EXPORT),
    (re.compile(rb"<stata_dta>"), "a Stata file", _EXPORT),
    (re.compile(rb"MATLAB [57]"), "a MATLAB file", _EXPORT),
    (re.compile(rb"\x80[\x02-\x05][^\x80-\xff]*?[\x00-\x08]", re.DOTALL), "a pickle", _EXPORT),
    (re.compile(rb"\x80[\x04\x05]\x95"), "a pickle", _EXPORT),
    (re.compile(rb"\x04\x22\x4d\x18"), "compressed with lz4", _UNPACK + " (lz4 -d)"),
    (re.compile(rb"\x1f\x9d"), "compressed with compress", _UNPACK + " (uncompress)"),
    (re.compile(rb"\xff\x06\x00\x00sNaPpY"), "compressed with Snappy", _UNPACK),
    (re.compile(rb"LZIP"), "compressed with lzip", _UNPACK + " (lzip -d)"),
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "a 7-Zip archive", _UNPACK),
    (re.compile(rb"Rar!\x1a\x07"), "a RAR archive", _UNPACK),
    (re.compile(rb".{257}ustar", re.DOTALL), "a tar archive", _UNPACK + " (tar -xf)"),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8"), "an image", "pass the log itself"),
    (re.compile(rb"\x7fELF|MZ\x90"), "a program", "pass the log itself"),
)
_TEXTS = (
    (
        re.compile(rb"version https://git-lfs\."),
        "a pointer of Git LFS",
        "download the file itself (git lfs pull)",
    ),
    (
        re.compile(rb"\s*(-- (MySQL|MariaDB|PostgreSQL)|(CREATE TABLE|INSERT INTO|PRAGMA) )"),
        "an SQL script",
        "load it into a database and export the table as CSV",
    ),
)
_MARKUP = (
    (re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE), "an HTML page"),
    (re.compile(rb"\s*<\?xml", re.IGNORECASE), "an XML document"),
)
_HTML_REMEDY = "download the file itself; a login page or an error page may have been saved instead"
_XML_REMEDY = "convert it to CSV or JSON lines"

_FIELD_SEPARATORS = (b",", b"\t", b";", b"|", b"::", b"~", b"^", b"\x01", b"  ")
_SEPARATORS = b"\x01\x1c\x1d\x1e\x1f"  # of fields, such as those of Hive
_CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))
_UTF16_UTF32 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def compression_of(head: bytes) -> str | None:
    """Return the compression that the first bytes of a file show, or None."""
    return next((name for pattern, name in _COMPRESSIONS if pattern.match(head)), None)


def kind_of(head: bytes) -> str:
    """Return what the first bytes of a decompressed file show.

    One of `empty`, `parquet`, `arrow`, `arrow stream`, `avro`, `sqlite`, `duckdb`, `zip`, `json`,
    `text` and `unreadable`.
    """
    if not head:
        return "empty"
    kind = next((name for pattern, name in _READABLE if pattern.match(head)), None)
    if kind is not None:
        return kind
    if is_json(_as_utf8(head)):
        return "json"
    return "text" if unreadable_content(head) is None else "unreadable"


def holds_columns(head: bytes) -> bool:
    r"""Return whether a line of the first bytes of a text may have several fields.

    >>> holds_columns(b"user item\n1 2\n3 4\n"), holds_columns(b"exported by Ann\n")
    (True, False)
    """
    if kind_of(head) != "text" or not head.isascii():
        return True
    lines = [line for line in head.split(b"\n")[:20] if line.strip()]
    if any(separator in line for line in lines for separator in _FIELD_SEPARATORS):
        return True
    return len(lines) > 2 and len({len(line.split()) for line in lines}) == 1


def unreadable_content(head: bytes) -> tuple[str, str] | None:
    """Return what a file is and what to do about it, if nextclick cannot read its kind."""
    for pattern, what, remedy in (*_UNREADABLE, *_TEXTS):
        if pattern.match(head):
            return what, remedy
    for pattern, what in _MARKUP:
        if pattern.match(head):
            return what, _HTML_REMEDY if "HTML" in what else _XML_REMEDY
    if not _looks_like_text(head):
        return "binary data of an unknown kind", _EXPORT
    return None


def _looks_like_text(head: bytes) -> bool:
    """Return whether at most a tenth of the bytes are control characters.

    A file that was not written to its end may end in NUL bytes.
    """
    head = head.rstrip(b"\0") or head
    if head.startswith(_UTF16_UTF32) or _is_utf16_without_mark(head):
        return True
    text = head.translate(None, _CONTROL_BYTES)
    if len(text) == len(head.translate(None, _SEPARATORS)):
        return True  # no other control characters
    n_control = len(head) - len(text)
    return n_control * 10 <= len(head)


def _as_utf8(head: bytes) -> bytes:
    """Return UTF-16 text as UTF-8, other bytes as they are."""
    encoding = None
    if head.startswith(_UTF16_UTF32[:2]):
        encoding = "utf-16"
    elif _is_utf16_without_mark(head):
        encoding = "utf-16-le" if head[1:2] == b"\0" else "utf-16-be"
    return head if encoding is None else head.decode(encoding, "replace").encode()


def _is_utf16_without_mark(head: bytes) -> bool:
    """Return whether nearly every second byte is zero and the others are not."""
    even, odd = head[::2], head[1::2]
    zeros, others = sorted((even.count(0), odd.count(0)), reverse=True)
    return zeros > 0.9 * len(odd) and others < 0.02 * len(odd)
