"""Questions to a server before the load: is it there, does it answer, what does it sell."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from nextclick.errors import ConfigError
from nextclick.loadtest.address import Address
from nextclick.loadtest.connection import Connection, connect

_SECONDS = 10.0
_SHOWN = 300  # letters of an answer in a message


@dataclass(frozen=True, slots=True)
class Server:
    """A server that can be reached.

    Attributes:
        address: where.
        token: sent with every request, or None.
    """

    address: Address
    token: str | None = None

    def get(self, path: str) -> Any:
        """The JSON of an answer.

        Raises:
            ConfigError: there is no such answer.
        """
        status, body = self._ask(self.address.request(path, token=self.token))
        try:
            if status == 200:
                return json.loads(body)
        except ValueError:
            pass
        raise ConfigError(
            f"{self.address.shown}{path}: expected an answer of `nextclick serve`, got "
            f"{told(status, body)}; check the URL"
        )

    def check(self, request: bytes) -> None:
        """Send one request, as a trial.

        Raises:
            ConfigError: it is not answered as asked.
        """
        status, body = self._ask(request)
        if status == 401:
            raise ConfigError(
                f"{self.address.shown} wants the token of the server (status 401); give "
                "--token-file, or set NEXTCLICK_TOKEN"
            )
        if status >= 300:
            raise ConfigError(
                f"{self.address.shown} did not answer a trial request: {told(status, body)}; "
                "mend what it names, then measure"
            )

    def _ask(self, request: bytes) -> tuple[int, bytes]:
        where = self.address.shown
        try:
            return asyncio.run(_ask(self.address, request))
        except TimeoutError:
            raise ConfigError(
                f"{where} did not answer within {_SECONDS:g} s; see whether the server is busy, "
                "or behind a firewall"
            ) from None
        except OSError as error:
            raise ConfigError(
                f"{where} cannot be reached: {error.strerror or error}; start one with "
                "`nextclick serve`, or check the URL"
            ) from None


def open_server(url: str, token: str | None = None) -> Server:
    """A server, after it has said that it lives.

    Raises:
        ConfigError: the URL is none, nobody answers there, or somebody else does.
    """
    server = Server(Address.of(url), token)
    server.get("/healthz")
    return server


def told(status: int, body: bytes) -> str:
    """An answer in a few words."""
    text = body.decode("utf-8", "replace")
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        detail = text
    return f"status {status}: {str(detail)[:_SHOWN]}"


async def _ask(address: Address, request: bytes) -> tuple[int, bytes]:
    answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

    def answered(_: Connection, status: int, body: bytes) -> None:
        if not answer.done():
            answer.set_result((status, body))

    def lost(_: Connection, kind: str) -> None:
        if not answer.done():
            answer.set_exception(ConnectionError(kind))

    async with asyncio.timeout(_SECONDS):
        connection = await connect(address, answered, lost, _SECONDS)
        try:
            connection.send(request)
            return await answer
        finally:
            connection.abort()
