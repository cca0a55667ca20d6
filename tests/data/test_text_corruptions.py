"""A corrupted text file loses no row silently, and rows far from the corruption are unchanged."""

import io
import random
from collections import Counter

import pytest
from corruptions import corrupt, n_lines

from nextclick.data.readers.delimited_text import text_source
from nextclick.data.readers.sources import BAD, LINE
from nextclick.errors import SourceError

TITLES = {
    ",": ("x", "", "Blau", "Crème brûlée", '"a, b"', '"say ""hi"""', '24" wide', '"Heroes',
          "日本", '"two\nlines"', '"[\'p\', \'q\'\n \'r\']"', '"a, ""b""\nc"',
          "'tis", '"Weird Al" Y'),
    "\t": ("x", "", "Crème, brûlée", '"a\tb"', '"say ""hi"""', '24" wide', '"Heroes',
           '"two\nlines"'),
}  # fmt: skip


def clean_file(rng, separator):
    columns = ["session_id", "item_id", "timestamp", "title", "page"]
    if rng.random() < 0.4:  # line breaks and open quotes in the first column
        columns = ["title", "item_id", "timestamp", "session_id", "page"]
    lines = [separator.join(columns)]
    for n in range(rng.randrange(20, 120)):
        row = {
            "session_id": f"{n // 4}",
            "item_id": rng.choice((f"i{n}", str(100 + n))),
            "timestamp": str(1_711_929_600 + n),
            "title": rng.choice(TITLES[separator]),
            "page": rng.choice(("", "7")),
        }
        lines.append(separator.join(row[name] for name in columns))
    return "\n".join([*lines, ""]).encode()


def read(data):
    """Return the columns, the readable rows and the bad rows by line index, and the counts."""
    source = text_source(lambda: io.BytesIO(data), "log")
    rows, bad = {}, {}
    for frame in source.frames(source.columns):
        for row in frame.iter_rows(named=True):
            line = row[LINE] - 1
            if row.get(BAD):
                bad[line] = row[BAD]
            else:
                rows[line] = tuple(row[name] for name in source.columns)
    return source.columns, rows, bad, source.lines


def check_corruption(seed):
    """Corrupt a file and read it; return the kind of the corruption and what became of the file."""
    rng = random.Random(seed)
    separator = rng.choice(sorted(TITLES))
    clean = clean_file(rng, separator)
    columns, rows, bad, _ = read(clean)
    assert not bad
    changed = corrupt(clean, rng)
    try:
        new_columns, new_rows, new_bad, lines = read(changed.data)
    except SourceError:
        return changed.kind, "refused"
    assert lines.rows == len(new_rows) + len(new_bad)
    assert lines.rows + lines.blank + lines.continuation + lines.before_rows == n_lines(
        changed.data
    )
    if changed.first == 0 and columns != new_columns:
        return changed.kind, "other columns"
    for line, row in rows.items():
        # a row with line breaks has up to 2 lines
        if abs(line - changed.first) > 2 and abs(line - changed.last) > 2:
            now = changed.line_now(line)
            if now is not None:
                assert new_rows[now] == row, (changed.kind, line, seed)
    if new_bad:
        return changed.kind, "bad rows"
    return changed.kind, "read"


@pytest.mark.parametrize("start", range(0, 200, 20))
def test_no_row_is_lost_silently(start):
    for seed in range(start, start + 20):
        check_corruption(seed)


@pytest.mark.slow
def test_no_row_is_lost_silently_in_many_files():
    outcomes = Counter(check_corruption(seed)[1] for seed in range(10_000))
    assert outcomes["bad rows"] > 1_000
    assert outcomes["read"] > 1_000
    assert outcomes["refused"] < 1_000
