"""The exceptions of nextclick.

    NextclickError
    ├── InputError             the caller's input is wrong
    │   ├── SourceError        a log: missing file, missing column, unreadable value
    │   │   └── EmptyLogError  no event, or no session left after the filters
    │   ├── ConfigError        an option, a parameter or a name
    │   ├── StoreError         a folder that is not a store, or has another format version
    │   ├── ArtifactError      a folder that is not an artifact, or does not fit the store
    │   │   └── UnreachableError  an artifact in object storage, whose server does not answer
    │   ├── ProtocolError      results that are not comparable
    │   ├── RequestError       a request that a server rejects
    │   └── OutputError        a target that exists, or a full disk
    ├── TrainingError          a loss, a gradient or a weight that is not finite
    ├── ScoringError           a scorer that returned scores that cannot be ranked
    ├── ProcessError           another process of a run of torchrun failed
    │   └── ReportedError      an error that another process reports
    └── InterruptedRunError    a run that the user interrupted

`NextclickWarning` is the category of the warnings. The command line prints them as notes.

The command line prints the message of each of them and exits with 2. Any other exception is an
internal error: exit code 1, with a traceback.

A message names the field (or file, column and row), the value, and the remedy.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class NextclickError(Exception):
    """Base class of the exceptions of nextclick."""


class NextclickWarning(UserWarning):
    """The category of the warnings of nextclick: a value was changed, or a result needs care."""


class InputError(NextclickError):
    """The caller's input is wrong: a file, an option, a folder or a request."""


class SourceError(InputError):
    """A log cannot be read."""


class EmptyLogError(SourceError):
    """A log has no event, or no session passes the filters."""


class ConfigError(InputError):
    """An option, a parameter or a name does not exist, is out of range or does not apply."""


class StoreError(InputError):
    """A folder is not a store that this version can open."""


class ArtifactError(InputError):
    """A folder is not an artifact that this version can open, or does not fit the store."""


class UnreachableError(ArtifactError):
    """An artifact or a registry in object storage cannot be read at the moment."""


class ProtocolError(InputError):
    """Results are not comparable: their data, protocol or metrics differ."""


class RequestError(InputError):
    """A server rejects a request.

    Attributes:
        status: HTTP status of the response.
        field: name of the request field with the wrong value, or None.
        retry_after: seconds after which the client may retry, or None.
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
    """A result cannot be written to its target."""


class TrainingError(NextclickError):
    """A loss, a gradient or a weight is not finite: the parameters do not suit the data."""


class ScoringError(NextclickError):
    """A scorer returned scores that cannot be ranked: not finite, or of another shape or type."""


class ProcessError(NextclickError):
    """Another process of a run on several processes failed, ended or does not answer."""


class ReportedError(ProcessError):
    """An error that process 0 of a run reports; the command line prints nothing for it."""


class InterruptedRunError(NextclickError):
    """The user interrupted a run; the message says what was saved and how to resume."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint with the known names that resemble `name`, or with all of them.

    >>> nearest("item_knn", ["pop", "item-knn", "rules"])
    'did you mean item-knn?'
    >>> nearest("zzz", ["pop", "rules"])
    'known: pop, rules'
    """
    names = sorted(known)
    folded = [each for each in names if each.lower() == name.lower()]
    close = folded or difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {listed(names)}"


def listed(names: Sequence[str], limit: int = 30) -> str:
    """Return the first names, joined by commas, and the number of the others.

    >>> listed(["a", "b", "c", "d"], limit=2)
    'a, b and 2 more'
    """
    if len(names) <= limit:
        return ", ".join(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit:,} more"
