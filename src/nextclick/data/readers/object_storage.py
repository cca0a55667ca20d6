"""Buckets of object storage: S3, Google Cloud and Azure."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from nextclick.data.readers.extra_packages import import_extra

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

STORAGE_SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")
BLOCK_BYTES = 8 << 20  # a request transfers so many bytes of a large object
_CREDENTIALS = (
    "check the address, and the credentials in the environment, such as AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL"
)


class StorageError(Exception):
    """A request to object storage failed; the message has the reason and a remedy."""


def store_options(url: str) -> dict[str, str] | None:
    """Return the option for a store whose address in the environment is not encrypted."""
    if not url.startswith("s3"):
        return None
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    is_plain = any(os.environ.get(name, "").startswith("http://") for name in names)
    return {"allow_http": "true"} if is_plain else None


def _reason(text: str) -> str:
    """Return the message of the answer of the server, else the first line of the error."""
    answer = re.search(r"<Message>(.+?)</Message>", text)
    return text.strip().splitlines()[0] if answer is None else answer[1].rstrip(".")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A connection to the bucket or container of an address.

    Attributes:
        url: the address.
        root: the address of the bucket.
        key: the rest of the address.
        client: the store of obstore.
        obstore: the package.
    """

    url: str
    root: str
    key: str
    client: Any
    obstore: Any

    @classmethod
    def connect(cls, url: str) -> Bucket:
        """Create the client of an address; the first request connects.

        Raises:
            SourceError: the package obstore is not installed.
        """
        obstore = import_extra("obstore", "cloud", url)
        parts = urlsplit(url)
        root = f"{parts.scheme}://{parts.netloc}"
        client = obstore.store.from_url(
            root,
            client_options=store_options(url),
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
        )
        # a wildcard ? is not the start of a query
        return cls(url, root, unquote(url[len(root) :].lstrip("/")), client, obstore)

    @contextmanager
    def requests(self) -> Iterator[None]:
        """Convert the errors of obstore, of which some are of the class OSError.

        Raises:
            StorageError: a request failed.
        """
        try:
            yield
        except (self.obstore.exceptions.BaseError, OSError) as error:
            raise StorageError(f"{_reason(str(error))}; {_CREDENTIALS}") from error

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield the key and size of every object below a folder."""
        with self.requests():
            for batch in self.obstore.list(self.client, prefix=folder or None):
                yield from ((str(meta["path"]), int(meta["size"])) for meta in batch)

    def read(self, key: str) -> tuple[bytes, dict[str, str]] | None:
        """Read a small object and what identifies its content; None if there is none."""
        with self.requests():
            try:
                result = self.obstore.get(self.client, key)
            except FileNotFoundError:
                return None
            tags = {name: result.meta.get(name) for name in ("e_tag", "version")}
            return bytes(result.bytes()), {name: tag for name, tag in tags.items() if tag}

    def exists(self, key: str) -> bool:
        """Return whether there is an object."""
        with self.requests():
            try:
                self.obstore.head(self.client, key)
            except FileNotFoundError:
                return False
            return True

    def open(self, key: str) -> Any:
        """Open a reader of an object, whose methods raise the errors of obstore."""
        with self.requests():
            return self.obstore.open_reader(self.client, key, buffer_size=BLOCK_BYTES)

    def blocks(self, key: str) -> Iterator[bytes]:
        """Read an object in blocks, one request each."""
        reader = self.open(key)
        with self.requests():
            while block := reader.read(BLOCK_BYTES):
                yield bytes(block)

    def write(self, key: str, data: bytes | Iterable[bytes]) -> None:
        """Write an object; it is complete or missing."""
        with self.requests():
            self.obstore.put(self.client, key, data, chunk_size=BLOCK_BYTES)

    def replace(self, key: str, data: bytes, tags: Mapping[str, str] | None) -> None:
        """Write an object unless another process changed it.

        Args:
            key: its key.
            data: its content.
            tags: those that `read` returned; None if the object did not exist.
        """
        with self.requests():
            mode = "create" if tags is None else dict(tags)
            self.obstore.put(self.client, key, data, mode=mode)

    def delete(self, folder: str) -> None:
        """Delete all objects below a folder."""
        keys = [key for key, _ in self.sizes(folder)]
        with self.requests():
            self.obstore.delete(self.client, keys)
