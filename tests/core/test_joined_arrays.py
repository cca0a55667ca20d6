"""Joined arrays of mapped files equal the concatenated arrays."""

import mmap
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from nextclick.core import joined_arrays
from nextclick.core.array_checks import open_array
from nextclick.core.joined_arrays import array_header, join_arrays

PAGE = mmap.PAGESIZE


def written(folder, lengths, dtype, *, aligned=True):
    """Arrays of these lengths in files, and their concatenation."""
    rng = np.random.default_rng(5)
    arrays = [rng.integers(0, 1000, length).astype(dtype) for length in lengths]
    begin, opened = 0, []
    for number, array in enumerate(arrays):
        path = folder / f"{number}.npy"
        with path.open("wb") as file:
            file.write(array_header(array.dtype, len(array), begin if aligned else 4 * number))
            file.write(array.data)
        opened.append(open_array(path, dtype))
        begin += array.nbytes
    return opened, np.concatenate(arrays)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize(
    "lengths",
    [(PAGE, PAGE), (5000, 7001, 3, 0, 9999), (1, 1, 1), (1, 20_000, 1), (20_001, 20_001, 20_001)],
)
def test_the_joined_array_is_the_concatenation(tmp_path, lengths, dtype):
    arrays, expected = written(tmp_path, lengths, dtype)
    joined = join_arrays(arrays)
    assert joined.dtype == expected.dtype
    assert np.array_equal(joined, expected)
    with pytest.raises(ValueError, match="read-only"):
        joined[0] = 1


def test_whole_pages_are_mapped_and_the_rest_is_copied(tmp_path, monkeypatch):
    arrays, _ = written(tmp_path, (100_001, 100_003), np.int32)
    copied = []
    copy = joined_arrays._copy
    monkeypatch.setattr(
        joined_arrays, "_copy", lambda *args: (copied.append(args[4] - args[3]), copy(*args))
    )
    join_arrays(arrays)
    assert 0 < sum(n for n in copied if n > 0) <= 3 * PAGE


def test_numpy_reads_the_files_of_a_joined_array(tmp_path):
    arrays, expected = written(tmp_path, (5000, 7001), np.int64)
    assert np.array_equal(
        np.concatenate([np.load(tmp_path / f"{n}.npy") for n in range(2)]), expected
    )
    assert all(np.load(tmp_path / f"{n}.npy", mmap_mode="r").flags.aligned for n in range(2))
    assert len(arrays) == 2


def test_an_array_at_another_position_in_its_page_is_copied(tmp_path):
    arrays, expected = written(tmp_path, (5000, 7001, 8000), np.int32, aligned=False)
    assert np.array_equal(join_arrays(arrays), expected)


def test_arrays_in_memory_and_slices_are_copied(tmp_path):
    (first, second), _ = written(tmp_path, (5000, 70_000), np.int32)
    memory = np.arange(3000, dtype=np.int32)
    mixed = [first, second[17:], memory]
    assert np.array_equal(join_arrays(mixed), np.concatenate(mixed))
    assert join_arrays([memory]) is memory
    assert join_arrays([memory, memory]).flags.writeable


def test_a_file_that_was_replaced_after_it_was_opened(tmp_path):
    arrays, expected = written(tmp_path, (50_000, 70_000), np.int32)
    other = tmp_path / "other"
    other.write_bytes(b"short")
    os.replace(other, tmp_path / "1.npy")  # noqa: PTH105
    assert np.array_equal(join_arrays(arrays), expected)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_pages_are_unmapped_with_the_last_view(tmp_path):
    arrays, expected = written(tmp_path, (50_000, 70_000), np.int32)
    view = join_arrays(arrays)[60_000:]
    del arrays
    assert np.array_equal(view, expected[60_000:])
    mapped, name = Path("/proc/self/maps"), f"{tmp_path}/0.npy"
    assert name in mapped.read_text()
    del view
    assert name not in mapped.read_text()
