"""What the names of files and folders of a log say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Partitions = tuple[tuple[str, str | None], ...]

WILDCARD = re.compile(r"[*?\[]")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_DOCUMENT = re.compile(
    r"(readme|licen[cs]e|notice|changelog)[^.]*(\.(txt|md|rst))?$|.*\.(md|crc|md5|sha256)$"
)
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def matches_suffix(name: str, suffixes: Sequence[str]) -> bool:
    """Return whether a name has one of the suffixes, perhaps before that of a compression."""
    lower = name.lower()
    for compression in _COMPRESSED:
        lower = lower.removesuffix(compression)
    return lower.endswith((*suffixes, ".zip")) and not is_document(lower)


def is_document(name: str) -> bool:
    """Return whether a name is that of a file about the log, such as README.txt."""
    return _DOCUMENT.match(name.lower()) is not None


def is_hidden(name: str) -> bool:
    """Return whether a name is that of a hidden file, or of one that Spark or Hive write.

    Names such as `_SUCCESS` and `_metadata` have no suffix.
    """
    return name.startswith(".") or (name.startswith("_") and "." not in name)


def partitions_of(folders: Iterable[str]) -> Partitions:
    """Return the columns that names such as `date=2024-01-01` state, the outermost first.

    >>> partitions_of(["log", "date=2024-01-01", "shop=a%2Fb"])
    (('date', '2024-01-01'), ('shop', 'a/b'))
    """
    pairs = (folder.partition("=") for folder in folders)
    return tuple(
        (unquote(name), None if value == _NO_VALUE else unquote(value))
        for name, equals, value in pairs
        if equals and name
    )
