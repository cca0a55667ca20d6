import numpy as np
import pytest

from nextclick.core.vocabulary import Vocabulary


@pytest.mark.parametrize("vocabulary", [
    Vocabulary.of_numbers(np.array([70, 5, 12])), Vocabulary.of_text(["b", "a", "é"]),
])  # fmt: skip
def test_raws_equals_raw_of_each_index(vocabulary, tmp_path):
    vocabulary.save(tmp_path / "items")
    for opened in (vocabulary, Vocabulary.open(tmp_path / "items")):
        assert opened.raws(np.array([3, 1, 1])) == [opened.raw(3), opened.raw(1), opened.raw(1)]
        assert opened.raws(np.array([], dtype=np.int32)) == []
        for invalid in (0, 4, -1):
            with pytest.raises(IndexError, match=r"must be in 1\.\.3, got"):
                opened.raws(np.array([1, invalid]))
