"""Conditions on item columns: by hand, missing values, and what is refused."""

import inspect
import operator
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.core.item_columns import (
    Categories,
    CategoryColumn,
    NumberColumn,
    TextColumn,
)
from nextclick.core.item_rules import ItemRules
from nextclick.core.item_table import ItemTable
from nextclick.core.vocabulary import Vocabulary
from nextclick.core.where_expression import MAX_LENGTH, WhereExpression
from nextclick.errors import ConfigError

PRICES = (5.0, 10.0, 20.0, None)
BRANDS = ("a", None, "b", "a")
SOLD = ("true", "false", "false", "true")
NAMES = ("red shirt", "hat", "", "blue shirt")


def category(name, values):
    labels = sorted({value for value in values if value})
    codes = [0, *(0 if value is None else 1 + labels.index(value) for value in values)]
    return CategoryColumn(
        name, Categories(np.array(codes, dtype=np.int32), Vocabulary.from_strings(labels))
    )


TABLE = ItemTable(
    4,
    [
        NumberColumn("price", np.array([np.nan, *(np.nan if p is None else p for p in PRICES)])),
        NumberColumn("list price", np.array([np.nan, 5.0, 12.0, 20.0, 1.0])),
        category("brand", BRANDS),
        category("sold", SOLD),
        category("size", ("42", "7", "42", None)),
        TextColumn("name", Vocabulary.from_strings(NAMES)),
    ],
)


def found(text):
    return np.flatnonzero(WhereExpression(text).items(TABLE)).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price >= 10", [2, 3]),
        ("10 <= price < 20", [2]),
        ("20 == price", [3]),
        ("price > -1 and brand == 'a'", [1]),
        ("price == 5 or brand == 'a'", [1, 4]),  # a missing price is no reason to hide item 4
        ("not price > 5", [1]),  # the missing price is unknown, not false
        ("not (price > 5 and brand == 'b')", [1, 4]),
        ("price != 5", [2, 3]),
        ("price is None", [4]),
        ("price is not None and brand is not None", [1, 3]),
        ("brand in ('a', 'c')", [1, 4]),
        ("brand not in ['a']", [3]),
        ("size in (42, 9)", [1, 3]),
        ("size == 42 and sold == True", [1]),
        ("sold == 'false'", [2, 3]),
        ("name == 'hat' or name > 'p'", [1, 2]),
        ("name is None", [3]),
        ("price < col('list price')", [2]),
        (' price > 1 and (brand == "b") ', [3]),
        (r"brand == '\d'", []),
    ],
)
def test_by_hand(text, expected):
    assert found(text) == expected


COMPARISONS = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq,
    "!=": operator.ne,
}  # fmt: skip


@st.composite
def conditions(draw, depth=3):
    """A condition as text, and as a function of an item to True, False or None."""
    if depth and draw(st.booleans()):
        kind = draw(st.sampled_from(["and", "or", "not"]))
        text, truth = draw(conditions(depth - 1))
        if kind == "not":
            return f"not ({text})", lambda n: None if truth(n) is None else not truth(n)
        other_text, other = draw(conditions(depth - 1))

        def both(n):
            values, decides = {truth(n), other(n)}, kind == "or"
            return decides if decides in values else None if None in values else not decides

        return f"({text}) {kind} ({other_text})", both
    sign = draw(st.sampled_from(sorted(COMPARISONS)))
    name, values, constants = draw(
        st.sampled_from([("price", PRICES, (5, 10.5)), ("brand", BRANDS, ("a", "b"))])
    )
    constant = draw(st.sampled_from(constants))
    return (
        f"{name} {sign} {constant!r}",
        lambda n: None if values[n] is None else COMPARISONS[sign](values[n], constant),
    )


@given(conditions())
def test_three_values_of_truth(condition):
    text, truth = condition
    assert found(text) == [n + 1 for n in range(4) if truth(n) is True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("price >", "where: 'price >' is not a condition: invalid syntax; write one such as"),
        ("price = 3", "where: 'price = 3' is not a condition"),
        ("", "where: '' is not a condition"),
        ("(" * 300 + "price > 1" + ")" * 300, "is not a condition"),
        ("x" * (MAX_LENGTH + 1), f"where must have at most {MAX_LENGTH} characters, got"),
        ("price", "cannot read 'price' in 'price': it is not a condition; compare a column"),
        ("price + 1 > 3", r"cannot read 'price \+ 1' .*: only columns, numbers and texts"),
        ("__import__('os').system('true') == 0", "only columns, numbers and texts"),
        ("price.real > 3", "only columns, numbers and texts"),
        ("price is 3", "`is` compares with None only; use =="),
        ("brand in 'abc'", "`in` needs a list such as"),
        ("brand in ()", "`in` needs a list such as"),
        ("price > 'a'", "where: cannot read .*: 'a' is text, but price is a number"),
        ("brand == price", "brand is text, but price is a number"),
        ("prize > 3", "where: the item table has no column 'prize'"),
        ("col(price) > 3", "only columns, numbers and texts"),
        ("price > None", "only columns, numbers and texts"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        found(text)


def test_deep_nesting_is_refused():
    text, limit = "not " * 450 + "price > 1", sys.getrecursionlimit()
    expression = WhereExpression(text)
    sys.setrecursionlimit(len(inspect.stack(0)) + 200)
    try:
        with pytest.raises(ConfigError, match="is nested too deeply; use fewer parentheses"):
            expression.items(TABLE)
    finally:
        sys.setrecursionlimit(limit)


def test_rules_with_a_condition():
    items = Vocabulary.from_strings("wxyz")
    rules = ItemRules(allow="wx", where="price >= 10")
    assert np.flatnonzero(rules.candidates(items, TABLE)).tolist() == [2]
    assert rules.describe() == "allow 'w' 'x', where price >= 10"
    with pytest.raises(ConfigError, match="where 'price > 99' is true for no item"):
        ItemRules(where="price > 99").check(items, TABLE)
    with pytest.raises(ConfigError, match="where needs columns of the items, and the model has no"):
        ItemRules(where="price > 9").check(items, None)
    with pytest.raises(ConfigError, match="where: 'price >' is not a condition"):
        ItemRules(where="price >")
