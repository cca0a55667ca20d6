"""Locations of folders: a path, or an address such as `s3://bucket/store`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from nextclick.core.object_storage import STORAGE_SCHEMES
from nextclick.core.storage_connection import ALL_SCHEMES
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection

Location: TypeAlias = str | Path

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_COLLAPSED = re.compile(rf"({'|'.join(STORAGE_SCHEMES)}|file):/(?!/)", re.IGNORECASE)


def is_url(text: str) -> bool:
    """Return whether a source is an address such as `s3://bucket/clicks.csv`."""
    return _URL.match(text) is not None


def resolve_location(location: Location, schemes: Collection[str] = STORAGE_SCHEMES) -> Location:
    """Return a `Path` for a folder of this machine, and the text of an address otherwise.

    A `Path` that was made of an address, which has lost a slash, is an address as well.

    >>> resolve_location("s3://bucket/model/")
    's3://bucket/model'
    >>> resolve_location("file:///srv/model").name
    'model'

    Raises:
        ConfigError: the address is neither of this machine nor of one of the schemes.
    """
    text = _COLLAPSED.sub(r"\1://", str(location), count=1)
    if not is_url(text):
        return Path(location)
    parts = urlsplit(text)
    scheme = parts.scheme.lower()
    if scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    if scheme in schemes:
        return text.rstrip("/")
    if scheme in ALL_SCHEMES:
        raise ConfigError(
            f"{text}: only stores and logs can be at an address of {scheme}://; use a folder, or "
            "an address of s3://, gs:// or az://"
        )
    raise ConfigError(
        f"{text}: a store, artifact or registry cannot be at an address of {scheme}://; use a "
        "folder, or an address of s3://, gs:// or az://"
    )
