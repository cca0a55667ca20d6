"""A proxy before an S3 server that lets chosen requests fail."""

from __future__ import annotations

import http.client
import http.server
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

FAULTS = ("503", "412", "timeout", "cut", "lost")
HANG = 1.5  # seconds, longer than the time limit of the client
_OF_A_CONNECTION = ("content-length", "transfer-encoding", "connection", "date")


class FaultyProxy(http.server.ThreadingHTTPServer):
    """Forwards requests, except those whose method and path contain a text.

    Attributes:
        target: address of the server.
        fault: what happens to those requests: "503", "412" and "403" are answers; "timeout" gives
            none; "cut" closes the connection in the middle of the request; "lost" forwards the
            request and closes the connection instead of an answer.
        method, path: the requests that fail.
        n_faults: how many failed.
        requests: method and path of all requests.
    """

    def __init__(self, target: str):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target)
        self.fault: str | None = None
        self.method = self.path = ""
        self.n_faults = 0
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fail(self, fault: str, method: str, path: str) -> None:
        """Let requests fail from now on."""
        self.fault, self.method, self.path, self.n_faults = fault, method, path, 0

    def heal(self) -> None:
        """Let no request fail from now on."""
        self.fault = None

    def next_fault(self, method: str, path: str) -> str | None:
        """The fault of a request."""
        self.requests.append(f"{method} {path}")
        fault = self.fault if method == self.method and self.path in path else None
        self.n_faults += fault is not None
        return fault

    def handle_error(self, *arguments: object) -> None:
        pass  # the client has left


@contextmanager
def faulty_proxy(target: str) -> Iterator[FaultyProxy]:
    """Run a proxy before the server of an address."""
    with FaultyProxy(target) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        fault = self.server.next_fault(self.command, self.path)
        body = self.rfile.read(length // 2 if fault == "cut" else length)
        if fault == "timeout":
            time.sleep(HANG)
        if fault is not None and fault.isdigit():
            content = f"<Error><Message>{fault} made up</Message></Error>".encode()
            self.reply(int(fault), [], content)
            return
        answer = None if fault in ("cut", "timeout") else self.forward(body)
        if fault is None and answer is not None:
            self.reply(*answer)
        else:
            self.close_connection = True
            self.connection.close()

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer  # noqa: N815

    def forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        target = self.server.target
        connection = http.client.HTTPConnection(target.hostname or "", target.port)
        headers = {name: value for name, value in self.headers.items() if name != "Host"}
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, response.getheaders(), content

    def reply(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _OF_A_CONNECTION:
                self.send_header(name, value)
        sizes = [value for name, value in headers if name.lower() == "content-length"]
        is_head = self.command == "HEAD" and sizes
        self.send_header("Content-Length", sizes[0] if is_head else str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass
