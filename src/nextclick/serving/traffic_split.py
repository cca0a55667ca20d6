"""The split of sessions between versions of a model, for an A/B test.

A visitor, or a session without one, is assigned by a keyed hash of its id:

    u = BLAKE2b(id, key = names of the versions) / 2^64, in [0, 1)

and to the first version, in the order of the names, whose cumulated share exceeds u. The assignment
needs no memory: it is the same in every process and after a restart. Another pair of versions has
another key, so the groups of one test are spread evenly over those of the next.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from nextclick.core.types import RawId

_TOLERANCE = 1e-6  # of the sum of the shares


@dataclass(frozen=True, slots=True)
class TrafficSplit:
    """The versions of an A/B test.

    Attributes:
        shares: name of a version to its share of the sessions, in 0..1; they sum to 1.
    """

    shares: dict[str, float]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `v3=0.5,v4=0.5`.

        Raises:
            ConfigError: a share is missing or not a number above 0, a version is named twice, there
                is one only, or the shares do not sum to 1.

        >>> TrafficSplit.parse("v3=0.9, v4=0.1").shares
        {'v3': 0.9, 'v4': 0.1}
        """
        shares: dict[str, float] = {}
        for part in text.split(","):
            name, _, number = (piece.strip() for piece in part.partition("="))
            share = _share(number)
            if not name or name in shares or share is None:
                raise ConfigError(
                    f"--ab {text}: {part.strip()!r} must be a version and its share in 0..1, each "
                    "version once; write v3=0.5,v4=0.5"
                )
            shares[name] = share
        if len(shares) < 2 or abs(math.fsum(shares.values()) - 1) > _TOLERANCE:
            raise ConfigError(
                f"--ab {text}: the shares of at least two versions must sum to 1, got "
                f"{math.fsum(shares.values()):g} for {len(shares)}; write v3=0.5,v4=0.5"
            )
        return cls(shares)

    def arm(self, session: str | None, user: RawId | None) -> str:
        """The version of a visitor; without a visitor, that of the session."""
        kind, unit = ("session", session) if user is None else ("user", user)
        names = sorted(self.shares)
        key = hashlib.blake2b("\n".join(names).encode(), digest_size=32).digest()
        text = f"{kind}\n{unit}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(text, key=key, digest_size=8).digest()
        u = int.from_bytes(digest, "big") / 2**64
        cumulated = 0.0
        for name in names[:-1]:
            cumulated += self.shares[name]
            if u < cumulated:
                return name
        return names[-1]


def _share(text: str) -> float | None:
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0 < share < 1 else None
