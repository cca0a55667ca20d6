"""Buckets of object storage: S3, Google Cloud and Azure."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from nextclick.core.extra_packages import import_extra
from nextclick.errors import ConfigError, OutputError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

STORAGE_SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")
BLOCK_BYTES = 8 << 20  # a request transfers so many bytes of a large object
_RETRIES = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
_TIMEOUT = "30s"  # of one request
_CREDENTIALS = (
    "check the address, and the credentials in the environment, such as AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL"
)
_NO_BUCKET = re.compile("NoSuchBucket|ContainerNotFound|specified bucket does not exist")
_NO_CREDENTIALS = re.compile(r"//169\.254\.169\.254/|metadata\.google\.internal|MissingAccount")
_SIGNATURE = re.compile(r"[?&](sig|signature|X-Amz-\w+)=", re.IGNORECASE)
_STATUS = re.compile(r"status code: (\d+)")


class StorageError(Exception):
    """A request to object storage failed; the message has the reason and a remedy."""


class ConflictError(StorageError):
    """A conditional write was rejected, because another process has written the object."""


@contextmanager
def reading(url: str) -> Iterator[None]:
    """Convert the errors of requests that read an artifact or a registry.

    Raises:
        UnreachableError: a request failed.
    """
    try:
        yield
    except StorageError as error:
        raise UnreachableError(f"{url}: cannot be read: {error}") from error


@contextmanager
def writing(url: str) -> Iterator[None]:
    """Convert the errors of requests that write.

    Raises:
        OutputError: a request failed.
    """
    try:
        yield
    except StorageError as error:
        raise OutputError(f"{url}: cannot be written: {error}") from error


def store_options(url: str) -> dict[str, str] | None:
    """Return the option for a store whose address in the environment is not encrypted."""
    if not url.startswith("s3"):
        return None
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    is_plain = any(os.environ.get(name, "").startswith("http://") for name in names)
    return {"allow_http": "true"} if is_plain else None


def _describe(text: str) -> str:
    """Return the reason of a failed request and a remedy, for the text of an error of obstore."""
    status = _STATUS.search(text)
    code = int(status[1]) if status else 0
    if _NO_CREDENTIALS.search(text):
        return f"no credentials were found; {_CREDENTIALS}"
    if _NO_BUCKET.search(text):
        return f"{_reason(text)}; check the address, or create the bucket"
    if code in (429, 500, 502, 503, 504):
        return f"the server responds with {code}, also after retries: {_reason(text)}; try it later"
    if "kind: Timeout" in text:
        return f"no answer within {_TIMEOUT}; check the network, or try it later"
    if "kind: Connect" in text or "kind: Request" in text:
        return "the server cannot be reached; check the network and AWS_ENDPOINT_URL"
    return f"{_reason(text)}; {_CREDENTIALS}"


def _reason(text: str) -> str:
    """Return the message of the answer of the server, else the first line without any query."""
    answer = re.search(r"<Message>(.+?)</Message>", text)
    if answer is not None:
        return answer[1].rstrip(".")
    return re.sub(r"\?\S+", "", text.strip().splitlines()[0]) if text.strip() else "no reason given"


def check_no_credentials(url: str) -> None:
    """Check that an address has no password and no signature: it is printed and stored.

    Raises:
        ConfigError: it has.
    """
    parts = urlsplit(url)
    if parts.password is not None or _SIGNATURE.search(url):
        raise ConfigError(
            f"{parts.scheme}://{parts.hostname}/…: an address must not contain credentials, which "
            "would be printed; set them in the environment, such as AWS_SECRET_ACCESS_KEY or "
            "AZURE_STORAGE_SAS_KEY"
        )


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
            ConfigError: the address contains credentials.
        """
        check_no_credentials(url)
        obstore = import_extra("obstore", "cloud", url)
        parts = urlsplit(url)
        root = f"{parts.scheme}://{parts.netloc}"
        client = obstore.store.from_url(
            root,
            client_options={"timeout": _TIMEOUT, **(store_options(url) or {})},
            retry_config=_RETRIES,
        )
        # a wildcard ? is not the start of a query
        return cls(url, root, unquote(url[len(root) :].lstrip("/")), client, obstore)

    @contextmanager
    def requests(self) -> Iterator[None]:
        """Convert the errors of obstore, of which some are of the class OSError.

        Raises:
            ConflictError: a conditional write was rejected.
            StorageError: a request failed.
        """
        errors = self.obstore.exceptions
        try:
            yield
        except (errors.AlreadyExistsError, errors.PreconditionError) as error:
            raise ConflictError(
                "another process has written the object in the meantime; run the command again"
            ) from error
        except (errors.BaseError, OSError) as error:
            raise StorageError(_describe(str(error))) from error

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
            except FileNotFoundError as error:
                if _NO_BUCKET.search(str(error)):
                    raise
                return None
            tags = {name: result.meta.get(name) for name in ("e_tag", "version")}
            return bytes(result.bytes()), {name: tag for name, tag in tags.items() if tag}

    def has_changed(self, key: str, tags: Mapping[str, str]) -> bool:
        """Return whether an object has another content than the one that `read` returned."""
        with self.requests():
            try:
                found: Mapping[str, Any] = self.obstore.head(self.client, key)
            except FileNotFoundError:
                return True
            return not tags or any(found.get(name) != tag for name, tag in tags.items())

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder."""
        with self.requests():
            found = self.obstore.list_with_delimiter(self.client, prefix=folder or None)
            return [
                str(prefix).rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"]
            ]

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

        Raises:
            ConflictError: another process changed it. A request that is repeated because its
                answer was lost can raise this, too, although it was the one that changed it.
        """
        with self.requests():
            mode = "create" if tags is None else dict(tags)
            self.obstore.put(self.client, key, data, mode=mode)

    def delete_object(self, key: str) -> None:
        """Delete an object, if it exists."""
        with self.requests(), suppress(FileNotFoundError):
            self.obstore.delete(self.client, key)

    def delete(self, folder: str) -> None:
        """Delete all objects below a folder."""
        keys = [key for key, _ in self.sizes(folder)]
        with self.requests():
            if keys:
                self.obstore.delete(self.client, keys)
