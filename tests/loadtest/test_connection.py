"""Where an answer ends, and what is none."""

import asyncio
import time

import pytest

from nextclick.errors import ConfigError
from nextclick.loadtest.address import Address
from nextclick.loadtest.clock import exact_loop
from nextclick.loadtest.connection import BadAnswerError, read_answer

ANSWERS = {
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello": (200, b"hello", False),
    b"HTTP/1.1 200 OK\r\nA: b\r\nCONTENT-LENGTH:0\r\nC: d\r\n\r\n": (200, b"", False),
    b"HTTP/1.1 204 No Content\r\n\r\n": (204, b"", False),
    b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx": (503, b"x", True),
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ny": (
        200,
        b"y",
        False,
    ),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n": (200, b"abc0123456789", False),
}


@pytest.mark.parametrize(("sent", "read"), ANSWERS.items())
def test_an_answer_is_read_when_its_last_byte_has_come_and_not_before(sent, read):
    for stop in range(len(sent)):
        assert read_answer(sent[:stop]) is None
    assert read_answer(sent) == read


@pytest.mark.parametrize(
    "sent",
    [
        b"SSH-2.0-OpenSSH",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_what_is_no_answer_is_refused(sent):
    with pytest.raises(BadAnswerError):
        read_answer(sent)


def test_addresses():
    here = Address.of("http://127.0.0.1:8000/")
    assert (here.host, here.port, here.base, here.tls) == ("127.0.0.1", 8000, "", None)
    shop = Address.of("https://shop.example/next/")
    assert (shop.port, shop.base, shop.shown) == (443, "/next", "https://shop.example:443/next")
    assert shop.tls is not None
    assert Address.of("http://[::1]:80").authority == "[::1]:80"
    sent = Address.of("http://h:1/b").request("/x", b"{}", "secret").decode()
    assert sent.splitlines()[0] == "POST /b/x HTTP/1.1"
    assert sent.endswith("Authorization: Bearer secret\r\nContent-Length: 2\r\n\r\n{}")


@pytest.mark.parametrize("url", ["", "8000", "localhost:8000", "ftp://h", "http://", "http://h:x"])
def test_a_url_that_is_none(url):
    with pytest.raises(ConfigError, match="URL must be the address of a server such as http://"):
        Address.of(url)


def test_the_loop_wakes_within_a_millisecond():
    """The shortest of many waits: a busy machine makes the others longer."""

    async def waits():
        found = []
        for _ in range(50):
            start = time.perf_counter()
            await asyncio.sleep(0.0021)
            found.append(time.perf_counter() - start)
        return min(found)

    with asyncio.Runner(loop_factory=exact_loop) as runner:
        shortest = runner.run(waits())
    assert 0.0020 < shortest < 0.0029  # the loop of the standard library takes 0.003
