"""Checks of the origin of a request: the Host header, and the web page that sends it.

A web page on another site can make a browser send requests to this server. It cannot read the
responses unless it resolves its own name to the address of the server (DNS rebinding); then the
Host header contains its name. An address in the Host header is always accepted, because a page that
was loaded from an address cannot resolve it to another one. Requests that write are rejected if a
page of another origin sends them.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from nextclick.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Scope

    from nextclick.serving.settings import Settings

_LOCAL_NAME = "localhost"
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_PAGES = frozenset({b"same-origin", b"none"})  # values of Sec-Fetch-Site; "none" is the user


def is_loopback(host: str) -> bool:
    """Whether only the local machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == _LOCAL_NAME


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class AccessRules:
    """The hosts and origins that a server accepts.

    Attributes:
        hosts: accepted names, "*.example.com" for all below one; None accepts every name.
            Addresses are always accepted.
        origins: web origins that may write, besides the server's own; "*" accepts all.
    """

    def __init__(self, settings: Settings):
        hosts = settings.allowed_hosts
        if not hosts and is_loopback(settings.host):
            hosts = (_LOCAL_NAME,)
        self.hosts = None if not hosts or "*" in hosts else frozenset(h.lower() for h in hosts)
        self.origins = frozenset(origin.lower().encode() for origin in settings.cors_origins)

    def check(self, scope: Scope) -> None:
        """Check the headers of a request.

        Raises:
            RequestError: the host is missing, repeated or not accepted, or another origin writes.
        """
        values: dict[bytes, list[bytes]] = {b"host": [], b"origin": [], b"sec-fetch-site": []}
        for name, value in scope["headers"]:
            if name in values:
                values[name].append(value)
        host = self._host(values[b"host"])
        if scope["method"] not in _READS:
            self._check_origin(host, values[b"origin"], values[b"sec-fetch-site"])

    def _host(self, values: Sequence[bytes]) -> bytes:
        host = values[0].lower() if len(values) == 1 else b""
        match = _HOST.fullmatch(host.decode("latin-1"))
        if match is None:
            raise RequestError(
                f"the request must have one valid Host header, got {len(values)}; "
                "send the name of the server",
                status=400,
            )
        if not self._accepts(match["name"]):
            raise RequestError(
                "the server does not respond to the name in the Host header; use another name of "
                "the server, or start it with --allowed-hosts",
                status=421,
            )
        return host

    def _accepts(self, name: str) -> bool:
        if self.hosts is None or name in self.hosts or _is_address(name.strip("[]")):
            return True
        parents = (name[dot:] for dot, letter in enumerate(name) if letter == ".")
        return any(f"*{parent}" in self.hosts for parent in parents)

    def _check_origin(self, host: bytes, origins: Sequence[bytes], sites: Sequence[bytes]) -> None:
        """Check that no page of another origin writes; a client without a browser sends neither."""
        if b"*" in self.origins:
            return
        if origins:
            own = {b"http://" + host, b"https://" + host}
            accepted = len(origins) == 1 and origins[0].lower() in own | self.origins
        else:
            accepted = set(sites) <= _OWN_PAGES
        if not accepted:
            raise RequestError(
                "a web page of another origin may not send this request; start the server with "
                "--cors-origin to allow it",
                status=403,
            )
