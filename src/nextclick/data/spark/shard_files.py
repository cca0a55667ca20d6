"""Files that workers of Spark write into the folder of a store, or to its address."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nextclick.core.joined_arrays import header_bytes
from nextclick.core.object_storage import BLOCK_BYTES, reading, writing
from nextclick.core.remote_folder import join_key
from nextclick.core.storage import raising_output_errors, sync_path
from nextclick.core.storage_connection import connect
from nextclick.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """The folder or the address of a store that is being written.

    A file has its name only when it is complete, and a repeated task writes the same content.

    Attributes:
        location: path of the folder, or its address.
        is_address: whether it is an address.
    """

    location: str
    is_address: bool

    def write(self, name: str, header: bytes, data: memoryview) -> str:
        """Write a file in one piece, and return its digest.

        Raises:
            OutputError: it cannot be written.
        """
        digest = hashlib.blake2b(header, digest_size=16)
        digest.update(data)
        if self.is_address:
            with writing(self.location):
                bucket = connect(self.location)
                blocks = _blocks(header, data)
                content = blocks if len(data) > BLOCK_BYTES else b"".join(blocks)
                bucket.write(join_key(bucket.key, name), content)
        else:
            self._write_file(Path(self.location, name), header, data)
        return digest.hexdigest()

    def _write_file(self, path: Path, header: bytes, data: memoryview) -> None:
        if not path.parent.is_dir():
            raise OutputError(
                f"{path.parent}: a worker of Spark does not see this folder; choose a folder that "
                "all workers share, or an address such as s3://bucket/store"
            )
        scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        with raising_output_errors(path):
            try:
                with scratch.open("wb") as file:
                    for block in _blocks(header, data):
                        file.write(block)
                sync_path(scratch)
                os.replace(scratch, path)  # noqa: PTH105 (as in `core.storage`)
            finally:
                scratch.unlink(missing_ok=True)

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file in blocks.

        Raises:
            UnreachableError: it cannot be read from its address.
            OutputError: it is not in the folder.
        """
        if self.is_address:
            with reading(self.location):
                bucket = connect(self.location)
                yield from bucket.blocks(join_key(bucket.key, name))
            return
        path = Path(self.location, name)
        with raising_output_errors(path), path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block

    def digest_joined(self, header: bytes, names: Iterable[str]) -> str:
        """The digest of the file with this header and the entries of the arrays of other files."""
        total = hashlib.blake2b(header, digest_size=16)
        for name in names:
            begin = None
            for block in self.blocks(name):
                if begin is None:
                    begin = header_bytes(block)
                    total.update(memoryview(block)[begin:])
                else:
                    total.update(block)
        return total.hexdigest()


def _blocks(header: bytes, data: memoryview) -> Iterator[bytes]:
    yield header
    for start in range(0, len(data), BLOCK_BYTES):
        yield bytes(data[start : start + BLOCK_BYTES])
