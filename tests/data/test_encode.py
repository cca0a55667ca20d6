import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.data.encode import IdEncoder


def codes_by_dict(ids):
    """Reference: a dict from id to the order of its first occurrence."""
    codes = {}
    return [-1 if i is None else codes.setdefault(str(i), len(codes)) for i in ids]


@given(
    st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40)), max_size=300), st.integers(1, 7)
)
def test_numbers_get_the_codes_of_a_dict(ids, step):
    encoder = IdEncoder()
    chunks = [pl.Series(ids[i : i + step], dtype=pl.Int64) for i in range(0, len(ids), step)]
    assert [c for chunk in chunks for c in encoder.encode(chunk).tolist()] == codes_by_dict(ids)


@given(st.lists(st.one_of(st.none(), st.text("ab01 é", min_size=1).map(str.strip).filter(bool))))
def test_text_gets_the_codes_of_a_dict(ids):
    encoder = IdEncoder()
    codes = [encoder.encode(pl.Series([i], dtype=pl.String))[0] for i in ["first", *ids]]
    assert codes == codes_by_dict(["first", *ids])


def test_codes_do_not_change_when_the_hash_table_grows():
    encoder = IdEncoder()
    ids = pl.Series(range(100_000), dtype=pl.Int64) * 7919
    first = encoder.encode(ids)
    assert (encoder.encode(ids) == first).all()
    assert len(encoder) == 100_000


@pytest.mark.parametrize("text_id", ["A12", "007", "+7", "-0", "1.5"])
def test_one_other_id_converts_all_ids_to_text_with_their_codes(text_id):
    encoder = IdEncoder()
    assert encoder.encode(pl.Series(["7", "12"])).tolist() == [0, 1]
    assert encoder.encode(pl.Series(["12", text_id, "7"])).tolist() == [1, 2, 0]
    vocabulary, index_of = encoder.vocabulary(pl.Series([0, 1, 2]).cast(pl.Int32).to_numpy())
    assert vocabulary.is_text
    assert [vocabulary.raw(int(index_of[c])) for c in range(3)] == ["7", "12", text_id]


def test_integers_stored_as_floats_are_integers():
    encoder = IdEncoder()
    assert encoder.encode(pl.Series([3.0, None, 5.0, 3.0])).tolist() == [0, -1, 1, 0]
    vocabulary, _ = encoder.vocabulary(pl.Series([0, 1]).cast(pl.Int32).to_numpy())
    assert [vocabulary.raw(1), vocabulary.raw(2)] == [3, 5]


def test_a_vocabulary_is_sorted_by_raw_id_in_any_order_of_the_log():
    encoder = IdEncoder()
    encoder.encode(pl.Series([30, 10, 20, 99]))
    vocabulary, index_of = encoder.vocabulary(pl.Series([0, 1, 2]).cast(pl.Int32).to_numpy())
    assert [vocabulary.raw(i) for i in (1, 2, 3)] == [10, 20, 30]
    assert index_of.tolist() == [3, 1, 2, 0]


def test_a_dropped_text_id_leaves_integer_ids():
    encoder = IdEncoder()
    encoder.encode(pl.Series(["30", "A7", "4"]))
    vocabulary, index_of = encoder.vocabulary(pl.Series([0, 2]).cast(pl.Int32).to_numpy())
    assert vocabulary.ids() == [4, 30]
    assert index_of.tolist() == [2, 0, 1]
