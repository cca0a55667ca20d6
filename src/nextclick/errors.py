"""Every error that nextclick raises on purpose.

NextclickError
├── InputError            something the caller gave is wrong; the command line exits with 2
│   ├── SourceError       a log: a missing file, a missing column, an unreadable value
│   │   └── EmptyLogError no event, or no session left after the filters
│   ├── ConfigError       an option, a parameter or a name
│   ├── StoreError        a folder that is not a store, or one of another format version
│   ├── ArtifactError     a folder that is not an artifact, or one that does not fit the store
│   ├── ProtocolError     results that may not be compared, or a score that may not be ranked
│   ├── ScoringError      a scorer that answered with something other than finite scores
│   ├── TrainingError     training that ran into values that are not finite
│   ├── StoppedError      training that the user stopped; the message says how to go on
│   ├── RequestError      a request that a server does not answer as it was asked
│   └── OutputError       a target that exists, or a disk that is full
└── InternalError         our fault; the command line exits with 1

A message names the field (or file, column and row), what came, and what to do about it.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class NextclickError(Exception):
    """Base of the tree."""


class InputError(NextclickError):
    """Something the caller gave is wrong."""


class SourceError(InputError):
    """A log cannot be read as asked."""


class EmptyLogError(SourceError):
    """Nothing is left to learn from."""


class ConfigError(InputError):
    """An option, a parameter or a name is not one that exists or may be used."""


class StoreError(InputError):
    """A folder is not a store that this version can open."""


class ArtifactError(InputError):
    """A folder is not an artifact that this version can open, or it does not fit."""


class ProtocolError(InputError):
    """Results made under different conditions may not be compared."""


class ScoringError(InputError):
    """A scorer answered with something that cannot be ranked."""


class TrainingError(InputError):
    """A loss, a gradient or a weight is not finite any more; the settings do not suit the data."""


class StoppedError(InputError):
    """The user stopped the work; what was done is kept where the message says so."""


class RequestError(InputError):
    """A server does not answer a request as it was asked.

    Attributes:
        status: of the answer, as HTTP numbers it.
        field: the part of the request that is at fault, or None.
        retry_after: seconds after which it is worth asking again, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 422,
        field: str | None = None,
        retry_after: int | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.field = field
        self.retry_after = retry_after


class OutputError(InputError):
    """The result cannot be written where it was asked for."""


class InternalError(NextclickError):
    """A fault of the program itself."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that lists the known names most like `name`, or all of them.

    >>> nearest("item_knn", ["pop", "item-knn", "rules"])
    'did you mean item-knn?'
    >>> nearest("zzz", ["pop", "rules"])
    'known: pop, rules'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(names)}"
