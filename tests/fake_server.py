"""A small HTTP server in a thread whose responses a test defines: for tests of clients."""

import asyncio
import contextlib
import json
import threading
from collections import Counter


class FakeServer:
    """Responds to GET with 200, and to POST with `answer(number, path, body)`.

    `answer` returns a status and a JSON value, or bytes that are sent unchanged, after which the
    connection is closed, or None, which never answers. It may sleep: the server stalls meanwhile.
    """

    def __init__(self, answer=lambda number, path, body: (200, {"items": []})):
        self.answer = answer
        self.requests = []
        self.paths = Counter()
        self.connections = 0
        self._ready = threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *error):
        self.end()
        self._thread.join(30)

    def end(self):
        """Close all connections and stop listening."""
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._end.set)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    async def _main(self):
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._tasks = set()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()
        await _rounds()  # for accepted connections to begin
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await _rounds()  # for the connections to close

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path, _ = head.split(" ", 2)
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                sent = self._answer(method, path, fields, body)
                if sent is None:
                    await self._end.wait()
                    break
                if isinstance(sent, bytes):
                    writer.write(sent)
                    break
                status, value = sent
                text = json.dumps(value).encode()
                writer.write(
                    b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(text), text)
                )
        writer.close()

    def _answer(self, method, path, fields, body):
        self.paths[method, path.split("?")[0]] += 1
        if method == "GET":
            return 200, {"status": "ok"}
        value = json.loads(body)
        self.requests.append((path, fields, value))
        return self.answer(len(self.requests) - 1, path, value)


async def _rounds():
    """Let the loop go round: on a busy machine one sleep may be one round."""
    for _ in range(10):
        await asyncio.sleep(0.005)
