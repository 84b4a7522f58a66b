"""One column at a time: which are wanted, and how each kind of column becomes float64 with NaN where a cell is missing.

A column *holds numbers* if its values are integers, floats, decimals or booleans, or a dictionary (categories) of
these, or if it holds nothing at all. Text, bytes, dates, times and nested values are not numbers, even where they look
like some: "3" is text. Only NumPy is imported here; pyarrow, pandas and narwhals are imported by the converters which a
caller's own object needs.
"""

from __future__ import annotations

import contextlib
import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from noumena.core.errors import ColumnMismatchError, ColumnTypeError, DataError

if TYPE_CHECKING:
    import narwhals
    import pandas
    import pyarrow

Wanted = Sequence[str | int] | None  # the columns a caller asks for; None: all of them

REAL = "biuf"  # the NumPy dtype kinds which are numbers as they stand
CURE = "drop it, or encode it as numbers"


class NotNumbersError(Exception):
    """A column holds something else than numbers: raised by the converters, turned into `ColumnTypeError` by `convert`.

    Parameters
    ----------
    values : callable
        Gives the column's values as Python objects, in row order. It is only called if the error reaches the user:
        finding an example in a text column is slow, and a caller with ``numeric_only`` needs none.
    """

    def __init__(self, values: Callable[[], Iterable[object]]) -> None:
        super().__init__("a column that does not hold numbers")
        self.values = values


def unique_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the column names as a tuple; `DataError` names those which occur more than once."""
    names = tuple(str(name) for name in names)
    repeated = [f"{name!r} ({count} times)" for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(f"column names must be unique; repeated: {', '.join(repeated)}. Rename or drop them.")
    return names


def positions(wanted: Wanted, names: tuple[str, ...] | None, n_columns: int) -> list[int]:
    """Return where the wanted columns stand.

    Parameters
    ----------
    wanted : sequence of str or int, or None
        Names, or positions (negative ones count from the end). None: every column.
    names : tuple of str, or None
        The table's column names, None where it has none.
    n_columns : int
        How many columns the table has.

    Raises
    ------
    ColumnMismatchError
        For a name or position that the table does not have, naming it and what there is.
    DataError
        For a column wanted twice.
    """
    if wanted is None:
        return list(range(n_columns))
    found, unknown = [], []
    where = {name: position for position, name in enumerate(names or ())}
    for column in [wanted] if isinstance(wanted, str) else wanted:
        if isinstance(column, str) and column in where:
            found.append(where[column])
        elif isinstance(column, int | np.integer) and not isinstance(column, bool) and -n_columns <= column < n_columns:
            found.append(int(column) % n_columns)
        else:
            unknown.append(column)
    if unknown:
        raise ColumnMismatchError(_unknown_columns(unknown, names, n_columns))
    repeated = [described(position, names) for position, count in Counter(found).items() if count > 1]
    if repeated:
        raise DataError(f"columns= asks more than once for {', '.join(repeated)}: list each column once.")
    return found


def _unknown_columns(unknown: list[Any], names: tuple[str, ...] | None, n_columns: int) -> str:
    message = f"no such column: {', '.join(map(repr, unknown))}."
    if names is None:
        return f"{message} This table has no column names: pass positions from 0 to {n_columns - 1}."
    close = [match for column in unknown for match in difflib.get_close_matches(str(column), names, n=1)]
    if close:
        message += f" Did you mean {', '.join(map(repr, dict.fromkeys(close)))}?"
    shown = ", ".join(map(repr, names[:20])) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return f"{message} The table has {shown}."


def described(position: int, names: tuple[str, ...] | None) -> str:
    """Return how messages speak of a column: ``column 'age'``, or ``column 3`` where there are no names."""
    return f"column {names[position]!r}" if names else f"column {position}"


def convert(
    read: Callable[[int], np.ndarray], chosen: Sequence[int], names: tuple[str, ...] | None, numeric_only: bool
) -> tuple[list[int], list[np.ndarray], tuple[str, ...]]:
    """Read columns in float64; leave out, or refuse, those which do not hold numbers.

    Parameters
    ----------
    read : callable
        ``read(position)`` returns a column as a float64 array of shape (n_rows,), or raises `NotNumbersError`.
    chosen : sequence of int
        The positions of the columns to read.
    names : tuple of str, or None
        The names of all the table's columns.
    numeric_only : bool
        Leave out the columns without numbers instead of refusing the table.

    Returns
    -------
    kept : list of int
        The positions of the columns with numbers.
    arrays : list of ndarray
        These columns.
    left_out : tuple of str
        The names (positions, where there are no names) of the others.
    """
    kept, arrays, refused = [], [], []
    for position in chosen:
        try:
            arrays.append(read(position))
            kept.append(position)
        except NotNumbersError as error:
            refused.append((position, error))
    if refused and not numeric_only:
        others = [described(position, names) for position, _ in refused[1:]]
        raise _refusal(refused[0][1].values(), described(refused[0][0], names), others)
    return kept, arrays, tuple(names[position] if names else str(position) for position, _ in refused)


def _refusal(values: Iterable[object], column: str, others: list[str]) -> ColumnTypeError:
    """Say which column is no column of numbers, with the first value that shows it."""
    example, reason = None, "text that looks like a number is still text"
    for row, value in enumerate(values):
        if _is_missing(value):
            continue
        value = value.item() if isinstance(value, np.str_ | np.bytes_) else value
        try:
            float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError) as error:
            example, reason = (row, value), str(error)
            break
        # Text that looks like a number: shown only if nothing in the column says more plainly that it is text.
        example = example or (row, value)
    if example is None:  # a column without a single value, of a type that is not a number
        return ColumnTypeError(f"{column} is declared as something else than numbers: {CURE}.")
    row, value = example
    text = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    also = f" Nor are {', '.join(others[:10])}{' and more' if len(others) > 10 else ''} numbers." if others else ""
    return ColumnTypeError(f"{column} holds {text} at row {row}, which is not a number: {CURE}. ({reason}){also}")


def _is_missing(value: object) -> bool:
    # pandas' markers are known by their type's name, so that pandas need not be imported; NaN differs from itself.
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def from_objects(values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Convert Python objects: numbers of any type as they are; None, NaN, pd.NA and pd.NaT as missing.

    Raises
    ------
    NotNumbersError
        If any value is text, a date, or anything else without ``float(value)``.
    DataError
        For complex numbers.
    """
    kinds = set(map(type, values))
    if kinds <= {float, int, bool, type(None)}:
        with contextlib.suppress(OverflowError):  # an int beyond float64's range: found, and named, below
            return np.asarray(values, dtype=np.float64)
    numbers = np.empty(len(values))
    for row, value in enumerate(values):
        if isinstance(value, complex | np.complexfloating):
            raise complex_refused(value)
        if isinstance(value, str | bytes | np.datetime64 | np.timedelta64):
            raise NotNumbersError(lambda: values)
        try:
            numbers[row] = np.nan if _is_missing(value) else float(value)
        except (TypeError, ValueError, OverflowError):
            raise NotNumbersError(lambda: values) from None
    return numbers


def complex_refused(example: object) -> DataError:
    """Return the error for complex numbers, in the words scikit-learn uses."""
    return DataError(f"Complex data not supported\n{example}\nPass real and imaginary parts as separate columns.")


def from_numpy(values: np.ndarray) -> np.ndarray:
    """Convert a one-dimensional array of any dtype."""
    if values.dtype.kind in REAL:
        return values.astype(np.float64, copy=False)
    if values.dtype.kind == "c":
        raise complex_refused(values)
    if values.dtype.kind == "O":
        return from_objects(values)
    raise NotNumbersError(lambda: values)


def from_pandas(series: pandas.Series) -> np.ndarray:
    """Convert a pandas column of any dtype: NumPy's, nullable, Arrow-backed, sparse, categorical or object."""
    from pandas.api import types

    if types.is_complex_dtype(series.dtype):
        raise complex_refused(series.to_numpy())
    if types.is_numeric_dtype(series.dtype):
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return from_numpy(np.asarray(series))


def from_series(series: narwhals.Series) -> np.ndarray:
    """Convert a column of any other data frame that narwhals reads."""
    import narwhals

    if series.dtype == narwhals.Object:
        return from_objects(series.to_list())
    if series.dtype.is_numeric():  # cast there, for Arrow has no 128-bit integers and polars does
        series = series.cast(narwhals.Float64)
    return from_arrow(series.to_arrow())


def arrow_holds_numbers(kind: pyarrow.DataType) -> bool:
    """Tell whether an Arrow column of this type holds numbers."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return arrow_holds_numbers(kind.value_type)
    return any(
        is_kind(kind)
        for is_kind in (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    )


def from_arrow(column: pyarrow.ChunkedArray | pyarrow.Array) -> np.ndarray:
    """Convert an Arrow column; nulls become NaN."""
    import pyarrow

    if not arrow_holds_numbers(column.type):
        chunks = column.chunks if isinstance(column, pyarrow.ChunkedArray) else [column]
        raise NotNumbersError(lambda: (value.as_py() for chunk in chunks for value in chunk))
    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    # safe=False: integers beyond 2⁵³ are rounded to the nearest float64, as NumPy does.
    column = column.cast(pyarrow.float64(), safe=False)
    return column.to_numpy() if isinstance(column, pyarrow.ChunkedArray) else column.to_numpy(zero_copy_only=False)


def interleave(columns: Sequence[np.ndarray], out: np.ndarray) -> None:
    """Write columns, each of shape (n,), into the C-contiguous `out` of shape (n, n_columns)."""
    # In blocks that stay in cache: column by column over the whole array would walk through memory n_columns times.
    step = max(256, 65_536 // max(1, len(columns)))
    for start in range(0, len(out), step):
        np.stack([column[start : start + step] for column in columns], axis=1, out=out[start : start + step])


def refuse_infinity(values: np.ndarray, names: tuple[str, ...] | None, first: int = 0, beyond: str = "") -> None:
    """Raise `DataError` if a cell is infinite, naming its column and row.

    Parameters
    ----------
    values : ndarray of shape (n, n_columns)
    names : tuple of str, or None
    first : int
        The row of the table that ``values[0]`` is.
    beyond : str
        Said before the number of further infinite cells: "at least " where more rows follow.
    """
    infinite = np.isinf(values)
    if infinite.any():
        position = int(infinite.any(axis=0).argmax())
        rows = np.flatnonzero(infinite[:, position])
        more = f" (and {beyond}{len(rows) - 1} more)" if len(rows) > 1 else ""
        raise DataError(
            f"{described(position, names)} holds infinity at row {first + int(rows[0])}{more}: "
            "remove or mark as missing (NaN)."
        )
