"""Random corruptions of a file of lines, for tests that no row is lost silently."""

from dataclasses import dataclass

TOKENS = (b'"', b"'", b",", b"\t", b";", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xc3", b"{", b"}")


@dataclass(frozen=True)
class Corruption:
    """A corrupted file.

    Attributes:
        data: its content.
        kind: what was done.
        first, last: indices of the first and last line of the clean file that were changed.
        shift: number of lines that were added.
    """

    data: bytes
    kind: str
    first: int
    last: int
    shift: int

    def line_now(self, line):
        """The index of a line of the clean file in this file; None if it was changed."""
        if line < self.first:
            return line
        return line + self.shift if line > self.last else None


def corrupt(data, rng, tokens=TOKENS, kind=None):
    """Replace a random part of `data`.

    Args:
        data: content of a clean file whose lines end with LF.
        rng: `random.Random`.
        tokens: bytes that are inserted and removed.
        kind: one of `KINDS`, None for a random one.
    """
    kind = kind or rng.choice(sorted(KINDS))
    start, end, new = KINDS[kind](data, rng, tokens)
    changed = data[:start] + new + data[end:]
    shift = changed.count(b"\n") - data.count(b"\n")
    return Corruption(changed, kind, data.count(b"\n", 0, start), data.count(b"\n", 0, end), shift)


def n_lines(data):
    """Number of physical lines, of which the last may have no line end."""
    return data.count(b"\n") + (not data.endswith(b"\n") and data != b"")


def _position(data, rng):
    return rng.randrange(len(data))


def _insert(data, rng, tokens):
    at = _position(data, rng)
    return at, at, rng.choice(tokens) * rng.choice((1, 1, 1, 2, 3))


def _insert_at_field(data, rng, tokens):
    starts = [
        at + 1 for at, letter in enumerate(data) if letter in b",\t\n;" and at + 1 < len(data)
    ]
    at = rng.choice(starts)
    return at, at, rng.choice(tokens)


def _remove_token(data, rng, tokens):
    token = rng.choice([token for token in tokens if token in data])
    found = [at for at in range(len(data)) if data.startswith(token, at)]
    at = rng.choice(found)
    return at, at + len(token), b""


def _replace_byte(data, rng, tokens):
    at = _position(data, rng)
    return at, at + 1, bytes([rng.randrange(256)])


def _cut_span(data, rng, tokens):
    at = _position(data, rng)
    return at, min(at + rng.randrange(1, 200), len(data)), b""


def _cut_end(data, rng, tokens):
    return _position(data, rng), len(data), b""


def _repeat_span(data, rng, tokens):
    at = _position(data, rng)
    return at, at, data[at : at + rng.randrange(1, 200)]


def _insert_garbage(data, rng, tokens):
    at = _position(data, rng)
    return at, at, rng.randbytes(rng.randrange(1, 60))


def _insert_zeros(data, rng, tokens):
    at = _position(data, rng)
    return at, at, bytes(rng.randrange(1, 500))


KINDS = {
    "insert": _insert,
    "insert at a field": _insert_at_field,
    "remove": _remove_token,
    "replace a byte": _replace_byte,
    "cut a span": _cut_span,
    "cut the end": _cut_end,
    "repeat a span": _repeat_span,
    "insert garbage": _insert_garbage,
    "insert zeros": _insert_zeros,
}
