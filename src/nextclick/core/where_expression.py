"""Conditions on columns of the item table, such as `price >= 10 and stock > 0`.

The text is parsed by `ast.parse` of the standard library, and only the nodes named here are read;
nothing is executed:

- columns by name, or `col("name of a column")` for a name with spaces;
- numbers, texts in quotes, `True` and `False`. Labels of categories are text, so `size == 42` and
  `size == "42"` are equal, and so are `sold == True` and `sold == "true"`;
- `==`, `!=`, `<`, `<=`, `>`, `>=`, also in chains such as `10 <= price < 20`; `in` and `not in` a
  list such as `brand in ("a", "b")`; `is None` and `is not None` for missing values;
- `and`, `or`, `not` and parentheses.

A comparison with a missing value is unknown, as in SQL: it is not true, and neither is its `not`.
"""

from __future__ import annotations

import ast
import operator
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.item_columns import CategoryColumn, NumberColumn
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.core.item_table import ItemTable
    from nextclick.core.types import BoolArray

MAX_LENGTH = 2000  # characters of an expression
_OPERATORS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@dataclass(frozen=True, slots=True, eq=False)
class _Operand:
    """A column or a constant.

    Attributes:
        values: (N + 1,) numbers or texts of a column, or the value of a constant.
        known: (N + 1,) bool, where a column has a value; True for a constant.
        is_text: whether the values are text.
        name: for messages.
    """

    values: Any
    known: Any
    is_text: bool
    name: str

    @property
    def is_constant(self) -> bool:
        return self.known is True

    def as_label(self) -> _Operand:
        """A number as the label of a category."""
        label = str(self.values).lower() if isinstance(self.values, bool) else str(self.values)
        return _Operand(label, True, True, self.name)

    def at(self, rows: BoolArray) -> Any:
        return self.values if self.is_constant else self.values[rows]


@dataclass(frozen=True, slots=True, eq=False)
class _Truth:
    """(N + 1,) bool, where a condition is true, and where it is false; elsewhere it is unknown."""

    true: BoolArray
    false: BoolArray

    def negated(self) -> _Truth:
        return _Truth(self.false, self.true)


class WhereExpression:
    """A condition on columns of the item table.

    Args:
        text: the expression.

    Raises:
        ConfigError: the text is not an expression of the form above.
    """

    def __init__(self, text: str):
        self.text = text.strip()
        if len(text) > MAX_LENGTH:
            raise ConfigError(
                f"where must have at most {MAX_LENGTH} characters, got {len(text)}; use allow or "
                "block for lists of items"
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of texts such as "\d"
                self._root = ast.parse(self.text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else "it is nested too deeply"
            raise ConfigError(
                f"where: {self.text!r} is not a condition: {reason}; write one such as "
                "price >= 10 and brand == 'a'"
            ) from None

    def items(self, table: ItemTable) -> BoolArray:
        """(N + 1,) bool, the items for which the condition is true; index 0 is never one.

        Raises:
            ConfigError: a column is unknown, or is compared with a value of another kind.
        """
        try:
            found = _Evaluation(self.text, table).condition(self._root).true.copy()
        except RecursionError:
            raise ConfigError(
                f"where: {self.text!r} is nested too deeply; use fewer parentheses"
            ) from None
        found[0] = False
        return found


class _Evaluation:
    """Reads the nodes of an expression.

    Args:
        text: the expression, for messages.
        table: the columns.
    """

    def __init__(self, text: str, table: ItemTable):
        self._text = text
        self._table = table

    def condition(self, node: ast.expr) -> _Truth:
        if isinstance(node, ast.BoolOp):
            parts = [self.condition(value) for value in node.values]
            return _all(parts) if isinstance(node.op, ast.And) else _any(parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self.condition(node.operand).negated()
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            links = zip(operands, node.ops, operands[1:], strict=False)
            return _all([self._comparison(*link) for link in links])
        raise self._refusal(node, "it is not a condition; compare a column, as in stock > 0")

    def _comparison(self, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> _Truth:
        if isinstance(sign, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise self._refusal(right, "`is` compares with None only; use ==")
            known = self._rows(self._operand(left).known)
            missing = _Truth(~known, known)
            return missing if isinstance(sign, ast.Is) else missing.negated()
        if isinstance(sign, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List) or not right.elts:
                raise self._refusal(right, "`in` needs a list such as ('a', 'b')")
            found = _any([self._comparison(left, ast.Eq(), value) for value in right.elts])
            return found if isinstance(sign, ast.In) else found.negated()
        first, second = self._operand(left), self._operand(right)
        if first.is_text and second.is_constant and not second.is_text:
            second = second.as_label()
        if second.is_text and first.is_constant and not first.is_text:
            first = first.as_label()
        if first.is_text != second.is_text:
            text, number = (first, second) if first.is_text else (second, first)
            raise self._refusal(right, f"{text.name} is text, but {number.name} is a number")
        known = self._rows(first.known) & self._rows(second.known)
        true = np.zeros_like(known)
        true[known] = _OPERATORS[type(sign)](first.at(known), second.at(known))
        return _Truth(true, known & ~true)

    def _operand(self, node: ast.expr) -> _Operand:
        match node:
            case ast.Name(id=name):
                return self._column(name)
            case ast.Call(
                func=ast.Name(id="col"), args=[ast.Constant(value=str(name))], keywords=[]
            ):
                return self._column(name)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=float() | int() as number)):
                return _Operand(-number, True, False, str(-number))
            case ast.Constant(value=(float() | int() | str()) as value):
                return _Operand(value, True, isinstance(value, str), repr(value))
        raise self._refusal(node, "only columns, numbers and texts can be compared")

    def _column(self, name: str) -> _Operand:
        try:
            column = self._table.column(name)
        except ConfigError as error:
            raise ConfigError(f"where: {error}") from None
        known = column.has_value()
        if isinstance(column, NumberColumn):
            return _Operand(column.values, known, False, name)
        if isinstance(column, CategoryColumn):
            labels = np.array(["", *map(str, column.values.labels.ids())], dtype=object)
            return _Operand(labels[column.values.codes], known, True, name)
        return _Operand(np.array(self._table.texts(name), dtype=object), known, True, name)

    def _rows(self, known: Any) -> BoolArray:
        rows: BoolArray = np.broadcast_to(np.asarray(known), self._table.n_items + 1)
        return rows

    def _refusal(self, node: ast.expr, reason: str) -> ConfigError:
        part = ast.get_source_segment(self._text, node) or self._text
        return ConfigError(f"where: cannot read {part!r} in {self._text!r}: {reason}")


def _all(parts: list[_Truth]) -> _Truth:
    return _Truth(
        np.logical_and.reduce([part.true for part in parts]),
        np.logical_or.reduce([part.false for part in parts]),
    )


def _any(parts: list[_Truth]) -> _Truth:
    return _all([part.negated() for part in parts]).negated()
