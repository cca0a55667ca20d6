"""Decompresses a stream while it is read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

_BUFFER_BYTES = 1 << 18
_ZSTD_CHUNK = 1 << 14  # small: one compressed chunk is expanded as a whole


class _Closable(Protocol):
    def close(self) -> None: ...


class _Readable(_Closable, Protocol):
    def readinto(self, buffer: Any, /) -> int | None: ...


def decompress(stored: BinaryIO, compression: str) -> io.BufferedReader:
    """Return the decompressed stream of `stored`; closing it closes `stored`.

    Errors of the compressed data are raised as OSError, data that ends early as EOFError.
    """
    return io.BufferedReader(_Decompressed(_OPENERS[compression](stored), stored), _BUFFER_BYTES)


def checked_stream(stream: _Readable) -> io.BufferedReader:
    """Return a stream whose errors are OSError and EOFError only."""
    return io.BufferedReader(_Decompressed(stream, stream), _BUFFER_BYTES)


class _Decompressed(io.RawIOBase):
    """A stream that reports every fault of compressed data as OSError or EOFError."""

    def __init__(self, stream: _Readable, stored: _Closable) -> None:
        self._stream = stream
        self._stored = stored

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        try:
            return self._stream.readinto(buffer) or 0
        except EOFError as error:
            raise EOFError("the compressed data ends early, so the file is incomplete") from error
        except (zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
            raise OSError(f"the compressed data is damaged ({error})") from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise OSError(f"the data cannot be decompressed ({error})") from error
        except (NotImplementedError, RuntimeError) as error:  # of a member of a zip archive
            raise OSError(f"the archive cannot be unpacked ({error})") from error

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._stored.close()
        super().close()


class _ZstdStream(io.RawIOBase):
    """Decompresses all frames of a stream, and rejects a frame that ends early."""

    def __init__(self, stored: BinaryIO) -> None:
        self._zstandard = _import_zstandard()
        self._stored = stored
        self._frame: Any = None
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._output:
            chunk = self._input or self._stored.read(_ZSTD_CHUNK)
            if not chunk:
                if self._frame is not None:
                    raise EOFError
                return 0
            self._output = memoryview(self._expand(chunk))
        n_bytes = min(len(buffer), len(self._output))
        buffer[:n_bytes] = self._output[:n_bytes]
        self._output = self._output[n_bytes:]
        return n_bytes

    def _expand(self, chunk: bytes) -> bytes:
        if self._frame is None:
            self._frame = self._zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
        try:
            output: bytes = self._frame.decompress(chunk)
        except self._zstandard.ZstdError as error:
            raise OSError(f"the compressed data is damaged ({error})") from error
        self._input = b""
        if self._frame.eof:
            self._input, self._frame = self._frame.unused_data, None
        return output


def _import_zstandard() -> ModuleType:
    import zstandard

    return zstandard


def _open_gzip(stored: BinaryIO) -> _Readable:
    return gzip.GzipFile(fileobj=stored)


_OPENERS: Mapping[str, Callable[[BinaryIO], _Readable]] = {
    "gzip": _open_gzip,
    "bzip2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "zstd": _ZstdStream,
}
