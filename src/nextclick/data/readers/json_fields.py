"""Fields of JSON objects, named by their path: `event.item.id`."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FieldPath: TypeAlias = tuple[str, ...]
Row: TypeAlias = "dict[str, str | list[str | None] | None]"
Tree: TypeAlias = dict[str, "Tree | None"]  # the selected fields; None is a value


LONG_WHOLE = re.compile(r"-?\d{16,}\.0+")  # an id of more digits than a float holds


@dataclass(slots=True)
class FieldNames:
    """The fields of the objects of a file, in the order of their first occurrence.

    Attributes:
        records: path of the array whose elements are the rows, None if the objects are the rows.
        values: fields that hold a number, a text, a boolean or null; True if not always null.
        arrays: fields that hold an array.
        object_arrays: fields that hold an array of objects.
        texts: fields that hold the text of a JSON object.
    """

    records: FieldPath | None = None
    values: dict[FieldPath, bool] = field(default_factory=dict)
    arrays: dict[FieldPath, None] = field(default_factory=dict)
    object_arrays: dict[FieldPath, None] = field(default_factory=dict)
    texts: set[FieldPath] = field(default_factory=set)

    def add(self, value: Any, path: FieldPath = ()) -> None:
        """Add the fields of a decoded value."""
        if isinstance(value, dict):
            for key, child in value.items():
                self.add(child, (*path, key))
        elif isinstance(value, list):
            self.arrays[path] = None
            if any(isinstance(element, dict) for element in value):
                self.object_arrays[path] = None
            if path == self.records:
                for element in value:
                    self.add(element, path)
        elif path:
            inner = object_in_text(value) if isinstance(value, str) else None
            if inner is None:
                self.values[path] = self.values.get(path, False) or value is not None
            else:
                self.texts.add(path)
                self.add(inner, path)

    def columns(self) -> dict[str, FieldPath]:
        """Return the path of each column by its name; a field that is null or an object is none."""
        objects = {path[:n] for path in self.values for n in range(1, len(path))}
        fields = [
            path for path, has_value in self.values.items() if has_value or path not in objects
        ]
        return {".".join(path): path for path in fields}

    def n_places(self, key: str) -> int:
        """Return the number of places at which a key occurs."""
        return len({path[: n + 1] for path in self.values for n, k in enumerate(path) if k == key})


def object_in_text(text: str) -> Any:
    """Return the object or the array of objects that a text holds as JSON, else None."""
    if not text.lstrip().startswith(("{", "[{")):
        return None
    try:
        return loads(text)
    except ValueError:
        return None


def loads(text: str | bytes) -> Any:
    """Return a JSON value; numbers are converted to text as `read_fields` does.

    >>> loads('{"a": [12, 12.0, 1e3, 0.10, -0]}')
    {'a': ['12', '12', '1000', '0.1', '0']}

    Raises:
        ValueError: the text is not JSON, or has a key twice.
    """
    try:
        return json.loads(
            text,
            parse_int=_integer_text,
            parse_float=_float_text,
            parse_constant=_no_number,
            object_pairs_hook=_unique_keys,
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON: {error.msg} at character {error.pos + 1}") from error
    except RecursionError:
        raise ValueError("the value is nested too deeply") from None


def _integer_text(digits: str) -> str:
    return "0" if digits == "-0" else digits


def _float_text(token: str) -> str:
    number = float(token)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {token} is too large")
    text = f"{Decimal(token if LONG_WHOLE.fullmatch(token) else repr(number)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _no_number(token: str) -> None:
    """Read NaN and Infinity, which Python writes and JSON does not have, as null."""
    del token


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} occurs twice")
    return fields


@dataclass(frozen=True, slots=True)
class Selection:
    """Fields to read from each object.

    Attributes:
        columns: path of each column.
        names: the fields of all objects.
    """

    columns: dict[str, FieldPath]
    names: FieldNames

    @property
    def records(self) -> FieldPath | None:
        """Path of the array whose elements are the rows, or None."""
        return self.names.records

    def in_records(self, path: FieldPath) -> bool:
        """Return whether a field belongs to the elements of the array."""
        return self.records is not None and path[: len(self.records)] == self.records

    def arrays(self) -> set[str]:
        """Return the columns that are always arrays; they are lists of text."""
        names = self.names
        return {
            name
            for name, path in self.columns.items()
            if path in names.arrays and not names.values.get(path) and path != names.records
        }

    def needs_walk(self) -> bool:
        """Return whether `read_fields` cannot read these fields."""
        paths = list(self.columns.values())
        prefixes = {path[:n] for path in paths for n in range(1, len(path))}
        return any(path in prefixes for path in paths) or any(
            self.in_records(path) for path in self.names.texts
        )

    def tree(self) -> Tree:
        """Return the selected fields as a tree of keys."""
        tree: Tree = {}
        for path in (*self.columns.values(), *([self.records] if self.records else [])):
            node = tree
            for key in path[:-1]:
                child = node.get(key)
                if child is None:
                    child = node[key] = {}
                node = child
            node.setdefault(path[-1], None)
        return tree


def read_fields(data: bytes, selection: Selection) -> pl.DataFrame:
    """Read the selected fields of lines of JSON objects; every column is text.

    Blank lines are left out. With `records`, each row has the lists of the elements.

    Raises:
        PolarsError: a line is not a JSON object, or a value is not of the expected kind.
    """
    arrays = {selection.columns[name] for name in selection.arrays()}
    reader = _FrameReader(selection, arrays)
    return pl.DataFrame(reader.columns(data, selection.tree(), ()))


@dataclass(slots=True)
class _FrameReader:
    selection: Selection
    arrays: set[FieldPath]

    def columns(self, data: bytes, tree: Tree, path: FieldPath) -> dict[str, pl.Series]:
        schema = {key: self._dtype(child, (*path, key)) for key, child in tree.items()}
        frame = pl.read_ndjson(io.BytesIO(data), schema=schema)
        columns: dict[str, pl.Series] = {}
        for key, child in tree.items():
            columns |= self._flatten(frame[key], child, (*path, key))
        return columns

    def _flatten(
        self, values: pl.Series, tree: Tree | None, path: FieldPath
    ) -> dict[str, pl.Series]:
        if path == self.selection.records or tree is None:
            return {".".join(path): values}
        if path in self.selection.names.texts:
            # a line feed between the tokens of a JSON text is a space
            lines = values.fill_null("{}").str.replace_all("\n", " ", literal=True)
            return self.columns("\n".join(lines.to_list()).encode() + b"\n", tree, path)
        columns: dict[str, pl.Series] = {}
        for key, child in tree.items():
            columns |= self._flatten(values.struct.field(key), child, (*path, key))
        return columns

    def _dtype(self, tree: Tree | None, path: FieldPath) -> pl.DataType:
        if path in self.selection.names.texts:
            return pl.String()
        dtype: pl.DataType = pl.String()
        if tree is None and path != self.selection.records and path in self.arrays:
            return pl.List(dtype)
        if tree is not None:
            children = {key: self._dtype(child, (*path, key)) for key, child in tree.items()}
            dtype = pl.Struct(children)
        return pl.List(dtype) if path == self.selection.records else dtype


def walk_rows(value: Any, selection: Selection) -> Iterator[Row | ValueError]:
    """Yield the rows of one decoded object, or why a row cannot be read.

    This is the slow twin of `read_fields`, for lines that it rejects.
    """
    if not isinstance(value, dict):
        yield ValueError(f"expected a JSON object, got {kind_of(value)}")
        return
    try:
        elements = [()] if selection.records is None else _elements(value, selection.records)
        for element in elements:
            yield _row(value, element, selection)
    except ValueError as error:
        yield error


def _row(value: Any, element: Any, selection: Selection) -> Row | ValueError:
    row: Row = {}
    arrays = selection.arrays()
    depth = len(selection.records or ())
    try:
        for name, path in selection.columns.items():
            inside = selection.in_records(path)
            found = _find(element, path[depth:]) if inside else _find(value, path)
            if isinstance(found, list) and name in arrays:
                row[name] = [_element_text(element) for element in found]
            else:
                row[name] = _text(found, name)
    except ValueError as error:
        return error
    return row


def _element_text(element: Any) -> str | None:
    if isinstance(element, dict | list):
        return json.dumps(element, ensure_ascii=False)
    return _text(element, "")


def _elements(value: Any, records: FieldPath) -> Iterable[Any]:
    found = _find(value, records)
    if isinstance(found, str):
        inner = object_in_text(found)
        found = found if inner is None else inner
    if found is None:
        return []
    if not isinstance(found, list):
        name = ".".join(records)
        raise ValueError(f"field {name!r}: expected an array, got {kind_of(found)}")  # noqa: TRY004
    return found


def _find(value: Any, path: FieldPath) -> Any:
    for key in path:
        if isinstance(value, str):
            inner = object_in_text(value)
            value = value if inner is None else inner
        if value is None:
            return None
        if not isinstance(value, dict):
            raise ValueError(f"field {key!r}: expected an object around it, got {kind_of(value)}")  # noqa: TRY004
        value = value.get(key)
    return value


def _text(value: Any, name: str) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        raise ValueError(f"field {name!r}: expected one value, got {kind_of(value)}")  # noqa: TRY004
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"field {name!r}: the text is not valid Unicode") from None
    text: str | None = value
    return text


def kind_of(value: Any) -> str:
    """Return what a decoded value is, for messages."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    return "nothing" if value is None else f"the value {str(value)[:40]!r}"
