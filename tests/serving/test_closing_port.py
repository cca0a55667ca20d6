"""A port that is closed resets no connection."""

import socket
import sys

import pytest

from nextclick.serving.closing_port import refuse_handshakes


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has socket filters")
def test_established_connections_can_still_be_accepted():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        early = socket.create_connection(listener.getsockname())
        early.sendall(b"before")
        refuse_handshakes(listener)
        early.sendall(b" and after")
        accepted, _ = listener.accept()
        with accepted, early:
            assert accepted.recv(6) == b"before"
            assert accepted.recv(100) == b" and after"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has socket filters")
def test_no_further_connection_is_established():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refuse_handshakes(listener)
        with pytest.raises(TimeoutError):
            socket.create_connection(listener.getsockname(), timeout=0.2)
