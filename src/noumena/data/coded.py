"""Tables with columns of categories: levels become codes 0, 1, …, numbers stay what they are.

A missing cell of a column of categories is a null, or an empty text.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..core.errors import ColumnTypeError, DataError
from .columns import arrow_holds_numbers, described, from_arrow, positions, unique_names
from .files import arrow_table
from .table import ArrayTable, Table, read_table

Levels: TypeAlias = tuple[Any, ...]
"""The values of a column in the order of their codes."""

#: More levels than this are hardly categories: a name, an id.
MOST_LEVELS = 200


@dataclass(frozen=True)
class Columns:
    """The columns of any table, as they are.

    Attributes
    ----------
    names : tuple of str, or None
    arrays : tuple of pyarrow.ChunkedArray or pyarrow.Array
    """

    names: tuple[str, ...] | None
    arrays: tuple[Any, ...]

    @property
    def n_rows(self) -> int:
        return len(self.arrays[0]) if self.arrays else 0

    def described(self, position: int) -> str:
        """How messages speak of a column."""
        return described(position, self.names)

    def select(self, wanted: Sequence[str | int] | None) -> "Columns":
        """Those columns, by name or position, in this order."""
        chosen = positions(wanted, self.names, len(self.arrays))
        names = None if self.names is None else tuple(self.names[i] for i in chosen)
        return Columns(names, tuple(self.arrays[i] for i in chosen))


def read_columns(data: Any) -> Columns:
    """Read any table with its text and categories; files are read into memory.

    Parameters
    ----------
    data : table
        As `noumena.data.table.read_table` takes it.

    Raises
    ------
    DataError
        If it is no table, or empty.
    """
    import pyarrow

    if isinstance(data, str | os.PathLike):
        table = arrow_table(Path(data).expanduser())
        return _checked(Columns(unique_names(table.column_names), tuple(table.columns)))
    if not isinstance(data, np.ndarray | list | tuple):
        import narwhals

        if hasattr(data, "columns") and all(isinstance(name, str) for name in data.columns):
            unique_names(data.columns)  # narwhals has an error of its own
        frame = narwhals.from_native(data, pass_through=True)
        if isinstance(frame, narwhals.LazyFrame):
            frame = frame.collect()
        if isinstance(frame, narwhals.DataFrame):
            names = _names(list(frame.columns))
            arrays = tuple(_arrow(frame[:, j], described(j, names)) for j in range(frame.shape[1]))
            return _checked(Columns(names, arrays))
    array = np.asarray(data) if isinstance(data, np.ndarray) else np.asarray(data, dtype=object)
    if array.ndim != 2 or array.dtype.kind in "biufc":
        array = read_table(data).to_array()  # numbers: one set of checks for them all
        return _checked(Columns(None, tuple(pyarrow.array(column, from_pandas=True) for column in array.T)))
    return _checked(Columns(None, tuple(_listed(list(column), f"column {j}") for j, column in enumerate(array.T))))


def _names(found: list[Any]) -> tuple[str, ...] | None:
    """Names of columns; none where these are only numbered from 0 on.

    Raises
    ------
    ColumnTypeError
        Where names are other numbers: ``1`` would mean a position as well.
    """
    if all(isinstance(name, str) for name in found):
        return unique_names(found)
    if found == list(range(len(found))):
        return None
    odd = next(name for name in found if not isinstance(name, str))
    raise ColumnTypeError(
        f"a column is called {odd!r}, which is no text: name all columns by text, as in frame.columns.map(str)"
    )


def _arrow(series: Any, column: str) -> Any:
    import narwhals

    if series.dtype == narwhals.Object or series.dtype == narwhals.String:
        return _listed(series.to_list(), column)
    return series.to_arrow()


def _listed(values: list[Any], column: str) -> Any:
    import pyarrow

    # pandas.NA first: it has no truth value, nor has what it is compared with
    missing = [type(value).__name__ in ("NAType", "NaTType") or value is None or value != value for value in values]
    values = [None if gone else value for value, gone in zip(values, missing, strict=True)]
    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
        kinds = sorted({type(value).__name__ for value in values if value is not None})
        raise ColumnTypeError(
            f"{column} mixes values of the kinds {', '.join(kinds)}: make them all text, or all numbers (the argument "
            "must be a string or a real number)"
        ) from error


def _checked(columns: Columns) -> Columns:
    if not columns.arrays or columns.n_rows == 0:
        raise DataError(
            f"Found array with {columns.n_rows} sample(s) and {len(columns.arrays)} feature(s) while a minimum of 1 of "
            "each is required."
        )
    return columns


def holds_numbers(array: Any) -> bool:
    """Whether a column holds numbers and not truth values or categories."""
    from pyarrow import types

    return arrow_holds_numbers(array.type) and not types.is_boolean(array.type) and not types.is_dictionary(array.type)


def levels_of(array: Any, column: str, cure: str = "leave it out, or give it another family") -> Levels:
    """The observed values of a column: declared categories in their order, others sorted.

    ``cure`` is what a message says to do with too many.

    Raises
    ------
    DataError
        Where there is none, or more than `MOST_LEVELS`.
    """
    import pyarrow

    try:
        declared, values, _ = _encoded(array)
    except pyarrow.ArrowNotImplementedError as error:
        raise ColumnTypeError(f"{column} holds {array.type}, which makes no levels: leave it out") from error
    present = [value for value in values if value is not None and value == value]
    if not present:
        raise DataError(f"{column} has no observed value in any row: leave it out")
    if len(present) > MOST_LEVELS:
        raise DataError(
            f"{column} has {len(present)} different values, more than the {MOST_LEVELS} that make useful categories: "
            f"{cure}"
        )
    seen = set(present)
    return tuple(value for value in declared if value in seen) if declared else tuple(sorted(present))


def _encoded(array: Any) -> tuple[list[Any] | None, list[Any], np.ndarray]:
    """Declared categories if there are any, the values that occur, and which of them each row holds (−1 for none)."""
    import pyarrow

    if isinstance(array, pyarrow.ChunkedArray):
        array = array.combine_chunks()
    declared = None
    if pyarrow.types.is_dictionary(array.type):
        declared = array.dictionary.to_pylist()
        array = array.dictionary_decode()
    encoded = array.dictionary_encode()
    # an empty text is an empty cell of a file that was read without saying so
    values = [None if value == "" else value for value in encoded.dictionary.to_pylist()]
    return declared, values, encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)


def coded(columns: Columns, levels: Mapping[int, Levels]) -> Table:
    """Numbers and codes as one table.

    Parameters
    ----------
    columns : Columns
    levels : mapping
        From the position of a column of categories to its levels; the other columns must hold numbers.

    Raises
    ------
    DataError
        For a value that is no level, naming the column and the row; for infinity.
    ColumnTypeError
        For text where numbers are due.
    """
    out = np.empty((columns.n_rows, len(columns.arrays)))
    for j, array in enumerate(columns.arrays):
        if j in levels:
            out[:, j] = codes(array, levels[j], columns.described(j))
        elif not arrow_holds_numbers(array.type):
            raise ColumnTypeError(
                f"{columns.described(j)} does not hold numbers (it is {array.type}): give it the family "
                '"categorical", or leave it out'
            )
        else:
            out[:, j] = from_arrow(array)
    table = read_table(out)
    assert isinstance(table, ArrayTable)
    return ArrayTable(array=out, names=columns.names)


def codes(array: Any, levels: Levels, column: str) -> np.ndarray:
    """The code of each value, NaN for a missing cell; `DataError` for a value that is no level."""
    _, values, which = _encoded(array)
    code_of = {level: code for code, level in enumerate(levels)}
    of_value = np.array([code_of.get(value, np.nan) for value in values] + [np.nan], dtype=float)
    for place, value in enumerate(values):
        if value is not None and value == value and value not in code_of:
            row = int(np.flatnonzero(which == place)[0])
            known = ", ".join(map(repr, levels[:10])) + (" …" if len(levels) > 10 else "")
            raise DataError(
                f"{column} holds {value!r} at row {row}, a level that the model was not fitted on: mark it as missing, "
                f"or fit again; known are {known}"
            )
    return of_value[which]  # −1, a missing cell, is the last: NaN


def decoded(codes: np.ndarray, levels: Levels) -> list[Any]:
    """The levels of codes, None for NaN."""
    return [None if np.isnan(code) else levels[int(code)] for code in codes]
