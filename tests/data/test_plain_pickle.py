import os
import pickle
import time
from collections import OrderedDict

import numpy as np
import pytest

from nextclick.data.readers.plain_pickle import read_plain_pickle
from nextclick.errors import SourceError

VALUES = [[[1, 2], [3]], ([[1]], [2]), "text", 1.5, None, [10**30], {"a": [True]}]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", VALUES)
def test_plain_values_are_read(tmp_path, value, protocol):
    path = tmp_path / "plain"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    assert read_plain_pickle(path) == value


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_a_command_is_rejected_without_running_it(tmp_path, protocol):
    path, trace = tmp_path / "evil", tmp_path / "trace"
    evil = pickle.dumps([[1], Call(os.system, f"touch {trace}")], protocol=protocol)
    path.write_bytes(evil)
    message = r"evil: not a pickle of plain lists and numbers: it refers to \w+\.system; expected"
    with pytest.raises(SourceError, match=message):
        read_plain_pickle(path)
    time.sleep(0.05)
    assert not trace.exists()
    pickle.loads(evil)
    assert trace.exists()


@pytest.mark.parametrize(
    "value",
    [Call(eval, "1"), Call(open, "x", "w"), OrderedDict(a=1), np.arange(3), {1, 2}, SourceError()],
)
def test_every_global_is_rejected(tmp_path, value, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(
        SourceError, match="file: not a pickle of plain lists and numbers: it refers to"
    ):
        read_plain_pickle(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_external_object_is_rejected(tmp_path):
    (tmp_path / "file").write_bytes(b"\x80\x04\x8c\x03abcQ.")
    with pytest.raises(SourceError, match="it refers to the external object 'abc'"):
        read_plain_pickle(tmp_path / "file")


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps([1, 2])[:-3], b"\x80\x04\x95\xff"])
def test_a_file_that_is_not_a_pickle_is_rejected(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(SourceError, match="not a pickle of plain lists and numbers"):
        read_plain_pickle(tmp_path / "file")


def test_a_missing_file_is_rejected(tmp_path):
    with pytest.raises(SourceError, match="file: cannot be read: No such file or directory"):
        read_plain_pickle(tmp_path / "file")
