import numpy as np
import pytest

from nextclick.core.vocabulary import Vocabulary


@pytest.mark.parametrize("vocabulary", [
    Vocabulary.of_numbers(np.array([70, 5, 12])), Vocabulary.of_text(["b", "a", "é"]),
])  # fmt: skip
def test_many_raw_ids_are_those_of_one_after_another(vocabulary, tmp_path):
    vocabulary.save(tmp_path / "items")
    for each in (vocabulary, Vocabulary.open(tmp_path / "items")):
        assert each.raws(np.array([3, 1, 1])) == [each.raw(3), each.raw(1), each.raw(1)]
        assert each.raws(np.array([], dtype=np.int32)) == []
        for wrong in (0, 4, -1):
            with pytest.raises(IndexError, match=r"must be in 1\.\.3, got"):
                each.raws(np.array([1, wrong]))
