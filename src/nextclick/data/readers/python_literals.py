"""Converts lines of Python dicts, as old datasets hold them, to JSON lines.

The reviews of Steam and the first product data of Amazon were written by `str`:
`{u'username': u'Ann', u'product_id': u'35140', u'early_access': False}`.
"""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nextclick.data.readers.line_blocks import LineBlock

_DICT = re.compile(rb"\s*\{\s*u?'")


def is_dict(head: bytes) -> bool:
    """Return whether text begins with a Python dict whose first key is in single quotes.

    >>> is_dict(b"{u'item': 1}"), is_dict(b'{"item": 1}')
    (True, False)
    """
    return _DICT.match(head) is not None


def as_json_lines(block: LineBlock) -> tuple[bytes, dict[int, str]]:
    """Return the lines as JSON, and the reason by index for lines that cannot be read."""
    bad = dict(block.bad)
    lines = block.lines()
    for number, line in enumerate(lines):
        if line.strip():
            try:
                lines[number] = _as_json(line)
            except ValueError as error:
                lines[number], bad[number] = b"", str(error)
    return b"".join(line + b"\n" for line in lines), bad


def _as_json(line: bytes) -> bytes:
    try:
        value = ast.literal_eval(line.decode().strip())
        return json.dumps(value).encode()
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError("not a dict of Python") from None
