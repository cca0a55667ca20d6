"""A corrupted file of JSON lines loses no row silently."""

import io
import json
import random
from collections import Counter

import pytest
from corruptions import corrupt, n_lines

from nextclick.data.readers.json_records import json_source
from nextclick.data.readers.json_values import is_json
from nextclick.data.readers.sources import BAD, LINE
from nextclick.errors import SourceError

_TOKENS = (b'"', b"{", b"}", b"[", b"]", b":", b",", b"\\", b"\n", b"\r\n", b"\0", b"\xff", b"NaN")
_COLUMNS = ("session_id", "item_id", "timestamp", "at.page")


def clean_file(rng):
    lines = []
    for n in range(rng.randrange(20, 120)):
        item = rng.choice((f"i{n}", 100 + n, n + 0.5, 'say "hi"', "Crème", "日本 😀"))
        click = {"session_id": n // 4, "item_id": item, "timestamp": 1_711_929_600 + n}
        if rng.random() < 0.5:
            click["at"] = {"page": rng.choice(("x", 7, None))}
        lines.append(json.dumps(click, ensure_ascii=rng.random() < 0.5))
    return "\n".join([*lines, ""]).encode()


def read(data):
    """Return the readable rows and the reasons of bad rows by line, and the blank rows."""
    source = json_source(lambda: io.BytesIO(data), "log")
    columns = [name for name in _COLUMNS if name in source.types]
    rows, bad, n_blank = {}, {}, 0
    for frame in source.frames(columns):
        for row in frame.iter_rows(named=True):
            line = row[LINE] - 1
            if row.get(BAD):
                bad[line] = row[BAD]
            elif all(row[name] is None for name in columns):
                n_blank += 1
            else:
                rows[line] = tuple(row.get(name) for name in _COLUMNS)
    return rows, bad, n_blank


def check_corruption(seed):
    """Corrupt a file and read it; return what became of the file."""
    rng = random.Random(seed)
    clean = clean_file(rng)
    rows, bad, _ = read(clean)
    assert not bad
    changed = corrupt(clean, rng, _TOKENS)
    if not is_json(changed.data):
        return "not JSON"
    try:
        new_rows, new_bad, n_blank = read(changed.data)
    except SourceError:
        return "refused"
    only_cr = b"\r" in changed.data and b"\n" not in changed.data
    if not only_cr:
        assert len(new_rows) + len(new_bad) + n_blank == n_lines(changed.data), seed
    for line, row in rows.items():
        now = changed.line_now(line)
        if now is not None and row[3] is None:
            assert new_rows[now] == row, (changed.kind, line, seed)
    return "bad rows" if new_bad else "read"


@pytest.mark.parametrize("start", range(0, 200, 20))
def test_no_row_is_lost_silently(start):
    for seed in range(start, start + 20):
        check_corruption(seed)


@pytest.mark.slow
def test_no_row_is_lost_silently_in_many_files():
    outcomes = Counter(check_corruption(seed) for seed in range(10_000))
    assert outcomes["bad rows"] > 5_000
    assert outcomes["read"] > 500
    assert outcomes["refused"] + outcomes["not JSON"] < 500
