"""Where a server listens."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from nextclick.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Address:
    """A base URL, taken apart.

    Attributes:
        host: name or number, without brackets.
        port: to connect to.
        base: path before `/v1/…`, "" or such as "/shop".
        tls: the context of https, None for http.
    """

    host: str
    port: int
    base: str
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, url: str) -> Address:
        """Take a URL apart.

        Raises:
            ConfigError: it is not one of http or https.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise ConfigError(
                f"URL must be the address of a server such as http://127.0.0.1:8000, got {url!r}"
            )
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        return cls(parts.hostname, port or (443 if tls else 80), parts.path.rstrip("/"), tls)

    @property
    def shown(self) -> str:
        """The URL, for people and for the Host header's readers."""
        return f"http{'s' if self.tls else ''}://{self.authority}{self.base}"

    @property
    def authority(self) -> str:
        """HOST:PORT, as the Host header has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def request(self, path: str, body: bytes | None = None, token: str | None = None) -> bytes:
        """Encode a request: POST where there is a body, else GET."""
        return self.head(path, body is not None, token) + (
            b"\r\n" if body is None else b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )

    def head(self, path: str, posts: bool, token: str | None) -> bytes:
        """Encode what stands before the length of the body."""
        lines = [
            f"{'POST' if posts else 'GET'} {self.base}{path} HTTP/1.1",
            f"Host: {self.authority}",
            "Accept: application/json",
        ]
        if posts:
            lines.append("Content-Type: application/json")
        if token:
            lines.append(f"Authorization: Bearer {token}")
        return "".join(f"{line}\r\n" for line in lines).encode("latin-1")
