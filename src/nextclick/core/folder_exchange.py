"""Exchange of two folders in one system call, where the operating system has one."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # Linux, renameat2(2)
_RENAME_SWAP = 2  # macOS, renamex_np(2)
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}


def exchange_folders(first: Path, second: Path) -> bool:
    """Exchange the contents of two names at once; False if the kernel or file system cannot.

    Raises:
        OSError: one of them does not exist or cannot be renamed.
    """
    call = _system_call()
    if call is None:
        return False
    if call(os.fsencode(first), os.fsencode(second)) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(second))


@lru_cache
def _system_call() -> Callable[[bytes, bytes], int] | None:
    name = {"linux": "renameat2", "darwin": "renamex_np"}.get(sys.platform)
    function: Any = getattr(ctypes.CDLL(None, use_errno=True), name, None) if name else None
    if function is None:
        return None
    if name == "renamex_np":
        function.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint]
        return lambda first, second: int(function(first, second, _RENAME_SWAP))
    folder, path = ctypes.c_int, ctypes.c_char_p
    function.argtypes = [folder, path, folder, path, ctypes.c_uint]
    return lambda first, second: int(
        function(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE)
    )
