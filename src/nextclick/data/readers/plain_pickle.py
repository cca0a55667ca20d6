"""Reads pickles of lists, tuples, numbers and text without executing code."""

from __future__ import annotations

import pickle
from typing import IO, TYPE_CHECKING, Any

from nextclick.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it refers to {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError(f"it refers to the external object {pid!r}")


def read_plain_pickle(path: Path) -> Any:
    """Return the value of a pickle of plain lists, tuples, numbers and text.

    A pickle is a program. Every global is rejected, so the pickle cannot call a function.

    Raises:
        SourceError: the file cannot be read, is not a pickle, or refers to a class or a function.
    """
    try:
        with path.open("rb") as file:
            return _load(file)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # a corrupt pickle can raise almost any exception
        raise SourceError(
            f"{path}: not a pickle of plain lists and numbers: {error}; "
            "expected the pre-split files of SR-GNN and its successors"
        ) from error


def _load(file: IO[bytes]) -> Any:
    return _PlainUnpickler(file).load()
