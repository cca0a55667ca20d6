"""Lists and opens files in object storage, in file systems of Hadoop and on web servers."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from nextclick.core.object_storage import Bucket, StorageError
from nextclick.core.storage_connection import ALL_SCHEMES, connect
from nextclick.data.readers.file_names import WILDCARD, is_hidden, matches_suffix, partitions_of
from nextclick.data.readers.log_file import LogFile, copied_file, local_file
from nextclick.errors import SourceError
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.storage_connection import Storage

_SCHEMES = ("s3://", "gs://", "az://", "hdfs://", "https://", "http://", "file://")
_TIMEOUT = 60  # seconds without an answer


def find_remote_files(url: str, suffixes: Sequence[str]) -> list[LogFile]:
    """List the files behind an address: a file, a folder or a glob.

    Raises:
        SourceError: there is no such file, or it cannot be reached.
    """
    scheme = urlsplit(url).scheme.lower()
    if scheme == "s3a":  # as Hadoop and Spark write s3://
        url, scheme = f"s3{url[len(scheme) :]}", "s3"
    if scheme in ("http", "https"):
        return [_download(url)]
    if scheme == "file":
        return [local_file(Path(unquote(urlsplit(url).path)))]
    if scheme not in ALL_SCHEMES:
        raise SourceError(
            f"{url}: addresses of {scheme}:// cannot be read; supported are {', '.join(_SCHEMES)}"
        )
    return _Objects(url).files(suffixes)


def _download(url: str) -> LogFile:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    request = Request(url, headers={"User-Agent": f"nextclick/{__version__}"})  # noqa: S310
    try:
        stream = cast("BinaryIO", urlopen(request, timeout=_TIMEOUT))  # noqa: S310
        return copied_file(url, stream)
    except HTTPError as error:
        error.close()
        raise SourceError(
            f"{url}: the server answers {error.code} {error.reason}; check the address, or "
            "download the file"
        ) from error


class _Objects:
    """The objects behind an address."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._bucket = connect(url)
        self._key = self._bucket.key

    def files(self, suffixes: Sequence[str]) -> list[LogFile]:
        """List the files behind the key, which is that of a file, a folder or a glob."""
        try:
            if WILDCARD.search(self._key):
                return self._matches()
            is_file = self._key and not self._key.endswith("/") and self._bucket.exists(self._key)
            return [self._file(self._key)] if is_file else self._folder(suffixes)
        except StorageError as error:
            raise SourceError(f"{self._url}: cannot be read: {error}") from error

    def _matches(self) -> list[LogFile]:
        wildcard = WILDCARD.search(self._key)
        assert wildcard is not None
        folder = self._key[: wildcard.start()].rpartition("/")[0]
        pattern = re.compile(_expression(self._key))
        keys = [key for key in self._list(folder) if pattern.fullmatch(key)]
        if not keys:
            raise SourceError(f"{self._url}: no such file; check the address or the glob pattern")
        return [self._file(key, folder) for key in keys]

    def _folder(self, suffixes: Sequence[str]) -> list[LogFile]:
        folder = self._key.rstrip("/")
        keys = self._list(folder)
        start = f"{folder}/" if folder else ""
        if any(key.startswith(f"{start}_delta_log/") for key in keys):
            return [LogFile(self._url, self._no_stream, url=self._url, layout="delta")]
        names = {key: key.removeprefix(start).split("/") for key in keys}
        visible = [key for key in keys if not any(map(is_hidden, names[key]))]
        files = [key for key in visible if matches_suffix(names[key][-1], suffixes)]
        own = [key for key in files if len(names[key]) == 1 or "=" in names[key][0]]
        if not files:
            raise SourceError(
                f"{self._url}: no such file, and no file below it ends in {', '.join(suffixes)}; "
                "check the address, or pass the files by name"
            )
        return [self._file(key, folder) for key in own or files]

    def _list(self, folder: str) -> list[str]:
        return sorted(key for key, _ in self._bucket.sizes(folder))

    def _file(self, key: str, folder: str | None = None) -> LogFile:
        def open_object() -> BinaryIO:
            try:
                stream = _ObjectStream(self._bucket, key)
            except StorageError as error:
                raise SourceError(f"{self._url}: cannot be read: {error}") from error
            return cast("BinaryIO", stream)

        url = f"{self._bucket.root}/{key}"
        below = key.removeprefix(folder or "").split("/")[:-1] if folder is not None else []
        scanned = url if isinstance(self._bucket, Bucket) else None  # Polars reads no other address
        return LogFile(url, open_object, url=scanned, partitions=partitions_of(below))

    def _no_stream(self) -> BinaryIO:
        raise IsADirectoryError(f"{self._url} is a folder")


class _ObjectStream(io.RawIOBase):
    """Reads an object by ranges; the errors of the store are OSError."""

    def __init__(self, bucket: Storage, key: str) -> None:
        self._bucket = bucket
        self._reader = bucket.open(key)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        try:
            with self._bucket.requests():
                data = memoryview(self._reader.read(len(buffer)))
        except StorageError as error:
            raise OSError(str(error)) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._reader.close()
        super().close()


def _expression(pattern: str) -> str:
    """Return the regular expression of a glob pattern, in which `**/` matches any folders."""
    tokens = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    wildcards = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        wildcards.get(t) or (t.replace("[!", "[^") if t.startswith("[") else re.escape(t))
        for t in tokens
    )
