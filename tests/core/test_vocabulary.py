import numpy as np
import pytest

from nextclick.core.vocabulary import Vocabulary


@pytest.mark.parametrize("vocabulary", [
    Vocabulary.from_integers(np.array([70, 5, 12])), Vocabulary.from_strings(["b", "a", "é"]),
])  # fmt: skip
def test_raws_equals_raw_of_each_index(vocabulary, tmp_path):
    vocabulary.save(tmp_path / "items")
    for opened in (vocabulary, Vocabulary.open(tmp_path / "items")):
        assert opened.raw_ids(np.array([3, 1, 1])) == [opened.raw(3), opened.raw(1), opened.raw(1)]
        assert opened.raw_ids(np.array([], dtype=np.int32)) == []
        for invalid in (0, 4, -1):
            with pytest.raises(IndexError, match=r"must be in 1\.\.3, got"):
                opened.raw_ids(np.array([1, invalid]))
