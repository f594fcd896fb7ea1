"""Attributes of many units: what all share, and the distinct combinations of what they don't."""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate_server.errors import InvalidField


@dataclass(frozen=True, slots=True, eq=False)
class Combinations:
    """Row i has the attributes `distinct[codes[i]]`; without `codes`, all rows have the first."""

    distinct: list[dict[str, Any]]
    codes: NDArray[np.intp] | None = None

    def of(self, row: int) -> dict[str, Any]:
        """Return the attributes of a row."""
        return self.distinct[0 if self.codes is None else self.codes[row]]


def combine(
    attributes: Mapping[str, Any] | None, rows: int, relevant: Collection[str] | None
) -> Combinations:
    """Return the attributes of `rows` rows; only the `relevant` ones, None for all.

    An array gives each row its own value, anything else is the same for all rows. An Arrow null
    is a missing attribute.

    Raises:
        InvalidField: an array has another length than there are rows, or more than one dimension.
    """
    shared: dict[str, Any] = {}
    columns: dict[str, tuple[list[Any], NDArray[np.intp]]] = {}
    for name, value in (attributes or {}).items():
        column = _is_column(value)
        if column:
            _check_rows(f"attributes[{name!r}]", value, rows)
        if relevant is not None and name not in relevant:
            continue
        if column:
            columns[name] = _factorised(f"attributes[{name!r}]", value)
        else:
            shared[name] = value
    if not columns or not rows:
        return Combinations([shared])
    codes = np.zeros(rows, np.intp)
    for values, column_codes in columns.values():
        codes = np.unique(codes * len(values) + column_codes, return_inverse=True)[1]
    firsts = np.unique(codes, return_index=True)[1]
    distinct = [
        shared | {name: values[where[first]] for name, (values, where) in columns.items()}
        for first in firsts
    ]
    return Combinations(distinct, codes)


def _is_column(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return hasattr(value, "__arrow_c_array__") or hasattr(value, "__arrow_c_stream__")


def _check_rows(field: str, column: Any, rows: int) -> None:
    if isinstance(column, np.ndarray) and column.ndim > 1:
        raise InvalidField(field, f"has {column.ndim} dimensions; give an array of one")
    if len(column) != rows:
        raise InvalidField(
            field, f"has {len(column):,} rows and there are {rows:,} units; give one for each"
        )


def _factorised(field: str, column: Any) -> tuple[list[Any], NDArray[np.intp]]:
    """Return a column's distinct values and, for each row, the place of its own."""
    if not isinstance(column, np.ndarray):
        from tidegate_server.batch import arrow  # an optional dependency

        return arrow.dictionary_encoded(field, column)
    if column.dtype.kind in "biuf":
        values, codes = np.unique(column, return_inverse=True)
        return values.tolist(), codes
    return _factorised_list(column.tolist())


def _factorised_list(rows: list[Any]) -> tuple[list[Any], NDArray[np.intp]]:
    """Return the distinct values of a list and, for each row, the place of its own.

    1, 1.0 and True are distinct; what has no hash is a value of its own in each row.
    """
    places: dict[Any, int] = {}
    values: list[Any] = []
    codes = np.empty(len(rows), np.intp)
    for row, value in enumerate(rows):
        place = len(values)
        if isinstance(value, Hashable):
            place = places.setdefault((type(value), value), place)
        if place == len(values):
            values.append(value)
        codes[row] = place
    return values, codes
