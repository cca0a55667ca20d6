"""Closing a port without resetting a connection.

Closing a listening socket resets connections that the kernel has established and nobody has
accepted. A socket filter that drops SYN packets ends the arrival of new ones first; a client that
is filtered repeats its SYN after a second, and is refused once the port is closed.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys

_SO_ATTACH_FILTER = 26
_FLAGS_OFFSET, _SYN = 13, 0x02  # in the TCP header
_DROP_SYN = b"".join(
    struct.pack("HBBI", code, if_true, if_false, value)
    for code, if_true, if_false, value in (
        (0x30, 0, 0, _FLAGS_OFFSET),  # load a byte of the packet
        (0x45, 0, 1, _SYN),  # go on with the next instruction if the bit is set
        (0x06, 0, 0, 0),  # drop the packet
        (0x06, 0, 0, 0xFFFFFFFF),  # accept it
    )
)


def refuse_handshakes(listener: socket.socket) -> None:
    """Drop further SYN packets; established connections can still be accepted.

    The filter belongs to the socket: it holds for every process that shares it, and it cannot be
    undone. Systems other than Linux have no such filter, and the call does nothing.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(_DROP_SYN, len(_DROP_SYN))
    size = len(_DROP_SYN) // 8
    with contextlib.suppress(OSError):
        listener.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", size, ctypes.addressof(program))
        )
