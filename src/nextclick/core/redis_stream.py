"""The address of a stream of Redis or Valkey."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from nextclick.errors import ConfigError

REDIS_SCHEMES = ("redis", "rediss", "unix")
DEFAULT_MAX_LENGTH = 1_000_000
_FORM = "redis://HOST:PORT/0?stream=NAME"


@dataclass(frozen=True, slots=True)
class RedisStream:
    """A stream.

    Attributes:
        url: address of the server, for the client; it may contain a password.
        server: the same without a user, a password and options, for messages.
        stream: name of the stream.
        max_length: number of latest entries that are kept, approximately.
    """

    url: str = field(repr=False)
    server: str
    stream: str
    max_length: int = DEFAULT_MAX_LENGTH

    @classmethod
    def parse(cls, option: str, address: str) -> Self:
        """The stream of an address such as `redis://HOST:PORT/0?stream=NAME&maxlen=1000000`.

        Other parameters are options of the client.

        Args:
            option: the option of the command line that has the address, for messages.
            address: the address.

        Raises:
            ConfigError: the address has another form.
        """
        parts = urlsplit(address)
        options = dict(parse_qsl(parts.query))
        stream, length = options.pop("stream", ""), options.pop("maxlen", None)
        if not stream or not (length is None or (length.isdecimal() and int(length) > 0)):
            raise ConfigError(
                f"{option} must be {_FORM}, and may have &maxlen=ENTRIES above 0; correct the "
                "address"
            )
        server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        return cls(
            parts._replace(query=urlencode(options)).geturl(),
            server,
            stream,
            DEFAULT_MAX_LENGTH if length is None else int(length),
        )

    def __str__(self) -> str:
        return f"{self.server}?stream={self.stream}"
