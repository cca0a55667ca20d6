"""Turns every error of reading a source into one that names the source and the remedy."""

from __future__ import annotations

import lzma
import re
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import polars as pl

from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

READ_ERRORS = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,  # not an Exception: a fault inside of Polars
    OSError,
    EOFError,
    OverflowError,
    UnicodeDecodeError,
    lzma.LZMAError,
    zlib.error,
)


def reason_of(error: BaseException) -> str:
    """Return what went wrong, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, pl.exceptions.PanicException):
        return "the file is damaged, or holds values of a type that Polars cannot read"
    return re.split(r"\n|\. ", str(error).strip())[0] or type(error).__name__


@contextmanager
def read_errors(label: str, remedy: str = "check the file") -> Iterator[None]:
    """Raise an error of reading as SourceError with the label of the source and the remedy."""
    try:
        yield
    except READ_ERRORS as error:
        raise SourceError(f"{label}: cannot be read: {reason_of(error)}; {remedy}") from error
