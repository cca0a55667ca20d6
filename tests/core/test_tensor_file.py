"""Files of named arrays are those that safetensors reads."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from nextclick.core.tensor_file import write_tensors


class Blocks:
    shape, dtype = (5, 2), np.dtype("int32")

    def blocks(self):
        yield np.arange(4, dtype=np.int32).reshape(2, 2)
        yield np.arange(4, 10, dtype=np.int32).reshape(3, 2)


@pytest.mark.parametrize("arrays", [{}, {"empty": np.zeros((0, 3), np.float32)}])
def test_small_files(arrays, tmp_path):
    write_tensors(tmp_path / "file", arrays)
    found = load_file(tmp_path / "file")
    assert {name: (a.shape, a.dtype) for name, a in found.items()} == {
        name: (a.shape, a.dtype) for name, a in arrays.items()
    }


def test_all_types(tmp_path):
    rng = np.random.default_rng(0)
    kinds = "?bBhHiIlLefd"
    arrays = {kind: (100 * rng.random((3, 5))).astype(kind) for kind in kinds}
    arrays |= {"number": np.float64(3.5), "columns": np.arange(12).reshape(3, 4).T}
    arrays["number"] = np.asarray(arrays["number"])
    write_tensors(tmp_path / "file", arrays | {"blocks": Blocks()})
    found = load_file(tmp_path / "file")
    expected = arrays | {"blocks": np.arange(10, dtype=np.int32).reshape(5, 2)}
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


def test_a_type_that_safetensors_lacks(tmp_path):
    with pytest.raises(KeyError, match="complex128"):
        write_tensors(tmp_path / "file", {"a": np.ones(3, np.complex128)})
