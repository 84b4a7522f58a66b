"""Any table in; column names and float64 slabs out, NaN where a cell is missing, again and again, in bounded memory."""

from __future__ import annotations

import abc
import contextlib
import os
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np

from noumena.core.errors import ColumnTypeError, DataError
from noumena.data import columns as column
from noumena.data.columns import Wanted
from noumena.data.files import TableFileError, csv_columns, parquet_columns, parquet_slabs, read_ahead, table_files

if TYPE_CHECKING:
    import pandas

__all__ = ["ArrayTable", "ParquetTable", "SparseTable", "Table", "TableFileError", "read_table"]

_SLAB_CELLS = 2**20


@dataclass(frozen=True, eq=False, kw_only=True)
class Table(abc.ABC):
    """Rows of numbers, read slab by slab.

    The estimators see every input, from a list of lists to a folder of Parquet files, as this one type, so that what
    fits in memory and what does not go through the same code.

    Attributes
    ----------
    names : tuple of str, or None
        The column names; None for a bare array, and for a pandas frame without a single name that is a string.
    left_out : tuple of str
        The columns that ``numeric_only`` left out.
    shape : tuple of int
        ``(n_rows, n_columns)``, both at least 1 and known before any row is read.
    given : array, shape (n_rows, p), or None
        Columns beside the table's own, which a model's density of these is conditional on: covariates.
    in_memory : bool
        False if each pass decodes the rows from disk again.
    """

    names: tuple[str, ...] | None
    left_out: tuple[str, ...] = ()
    given: np.ndarray | None = None
    in_memory: ClassVar[bool] = True

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]: ...

    @final
    @property
    def n_rows(self) -> int:
        return self.shape[0]

    @final
    @property
    def n_columns(self) -> int:
        return self.shape[1]

    @final
    @property
    def slab_rows(self) -> int:
        """Rows that are read at a time: 8 MB of float64, where that is neither very few rows nor very many."""
        return min(max(_SLAB_CELLS // self.n_columns, 256), 65_536)

    @final
    def slabs(self, rows: int | None = None) -> Generator[np.ndarray]:
        """Return the rows in order, in C-contiguous float64 arrays of shape (rows, n_columns); the last may be shorter.

        ``slab_rows`` of them at a time, unless it is said how many.

        Each call starts anew. Slabs of an in-memory float64 array are views of it: do not write to them. Slabs from
        disk are decoded in a background thread, at most two ahead; closing the generator ends the thread.

        Raises
        ------
        DataError
            At a slab that holds infinity; in a table from disk, for in memory `read_table` has looked already.
        TableFileError
            Where a file is damaged, or is not the one it was when the table was opened.
        """
        rows = self.slab_rows if rows is None else rows
        if rows < 1:
            raise ValueError(f"a slab needs at least one row, got rows={rows}")
        return self._slabs(int(rows))

    @final
    def to_array(self) -> np.ndarray:
        """Return the whole table as one float64 array of shape (n_rows, n_columns): no copy if it is one already."""
        with contextlib.closing(self.slabs(self.n_rows)) as slabs:
            return next(slabs)

    @final
    def select(self, columns: Sequence[str | int]) -> Table:
        """Return the table of these columns, by name or position, in this order."""
        chosen = column.positions(columns, self.names, self.n_columns)
        _check_shape(self.n_rows, len(chosen))
        return self._take(chosen, None if self.names is None else tuple(self.names[i] for i in chosen))

    @abc.abstractmethod
    def _slabs(self, rows: int) -> Generator[np.ndarray]: ...

    @abc.abstractmethod
    def _take(self, chosen: list[int], names: tuple[str, ...] | None) -> Table: ...


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class ArrayTable(Table):
    """A real array of shape (n_rows, n_columns); any dtype and order, converted slab by slab where it must be."""

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.array.shape[0], self.array.shape[1]

    def _slabs(self, rows: int) -> Generator[np.ndarray]:
        for start in range(0, self.n_rows, rows):
            yield np.ascontiguousarray(self.array[start : start + rows], dtype=np.float64)

    def _take(self, chosen: list[int], names: tuple[str, ...] | None) -> Table:
        return replace(self, array=self.array.take(chosen, axis=1), names=names)


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class SparseTable(Table):
    """A SciPy CSR matrix in float64, made dense slab by slab; cells that are not stored are zeros, not missing."""

    matrix: Any

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape

    def _slabs(self, rows: int) -> Generator[np.ndarray]:
        for start in range(0, self.n_rows, rows):
            yield self.matrix[start : start + rows].toarray(order="C")

    def _take(self, chosen: list[int], names: tuple[str, ...] | None) -> Table:
        return replace(self, matrix=self.matrix[:, chosen], names=names)


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class ParquetTable(Table):
    """Parquet files, one after another, decoded anew at each pass and never held whole."""

    names: tuple[str, ...]
    files: tuple[tuple[Path, int], ...]  # with the number of rows of each
    in_memory: ClassVar[bool] = False

    @property
    def shape(self) -> tuple[int, int]:
        return sum(rows for _, rows in self.files), len(self.names)

    def _slabs(self, rows: int) -> Generator[np.ndarray]:
        return read_ahead(parquet_slabs(self.files, self.names, rows))

    def _take(self, chosen: list[int], names: tuple[str, ...] | None) -> Table:
        return replace(self, names=names)


def read_table(data: Any, *, columns: Wanted = None, numeric_only: bool = False) -> Table:
    """Read any table.

    Parameters
    ----------
    data : array-like, data frame, sparse matrix, str or path
        A NumPy array, nested lists or anything that NumPy makes an array of; a pandas, polars or Arrow table, or any
        other that narwhals reads (lazy ones are collected); a SciPy sparse matrix; or the path of a ``.csv``,
        ``.csv.gz``, ``.tsv`` (with a header line; read into memory) or ``.parquet`` file (never held in memory whole),
        or of a folder of files of one of these kinds, which follow each other in the order of their names.
    columns : sequence of str or int, optional
        The names or positions of the columns to read, in this order; by default all.
    numeric_only : bool, default False
        Leave out columns that do not hold numbers (listed in ``Table.left_out``) instead of refusing them.

    Returns
    -------
    Table
        With at least one row and one column, and NaN in missing cells: None, NaN, null, pd.NA, masked cells; in CSV
        files empty cells, ``NA``, ``NaN``, ``null``, ``?`` and the like.

    Raises
    ------
    ColumnTypeError
        If a column does not hold numbers and `numeric_only` is False.
    ColumnMismatchError
        If `columns` asks for one that is not there.
    TableFileError
        If a file is missing or damaged.
    DataError
        If the data is not a table, is empty, or holds infinity; rows are counted from 0.
    """
    if isinstance(data, Table):
        return data if columns is None else data.select(columns)
    if isinstance(data, str | os.PathLike):
        return _from_path(Path(data).expanduser(), columns, numeric_only)
    if not isinstance(data, np.ndarray | list | tuple):
        native = _from_native(data, columns, numeric_only)
        if native is not None:
            return native
        if not hasattr(data, "__array__") and not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
            raise _no_table(data)
    if isinstance(data, dict):
        raise _no_table(data)
    return _from_array(_as_array(data), columns, numeric_only)


def _no_table(data: object) -> DataError:
    kinds = "an array, nested lists, a data frame (pandas, polars, Arrow), a SciPy sparse matrix or the path of a file"
    return DataError(f"cannot read a table from {type(data).__name__}: pass {kinds}.")


def _from_native(data: Any, columns: Wanted, numeric_only: bool) -> Table | None:
    """Read what a library that the caller has imported calls a table; None if `data` is no such thing."""
    # An object of a library's type exists only if that library is loaded: ask sys.modules, import nothing.
    pandas, pyarrow, sparse = (sys.modules.get(name) for name in ("pandas", "pyarrow", "scipy.sparse"))
    if pandas and isinstance(data, pandas.DataFrame):
        return _from_pandas(data, columns, numeric_only)
    if sparse and sparse.issparse(data):
        return _from_sparse(data, columns)
    if pyarrow and isinstance(data, pyarrow.Table | pyarrow.RecordBatch | pyarrow.RecordBatchReader):
        table = data.read_all() if isinstance(data, pyarrow.RecordBatchReader) else data
        read = _reader(column.from_arrow, table.columns)
        return _from_columns(read, column.unique_names(table.schema.names), table.num_rows, columns, numeric_only)

    import narwhals

    frame = narwhals.from_native(data, pass_through=True)
    if isinstance(frame, narwhals.LazyFrame):
        return _from_native(frame.collect().to_native(), columns, numeric_only)
    if not isinstance(frame, narwhals.DataFrame):
        return None
    names = column.unique_names(frame.columns)
    return _from_columns(
        _reader(column.from_series, [frame[name] for name in names]), names, len(frame), columns, numeric_only
    )


def _reader(convert: Callable[[Any], np.ndarray], values: Sequence[Any]) -> Callable[[int], np.ndarray]:
    return lambda position: convert(values[position])


def _from_columns(
    read: Callable[[int], np.ndarray],
    names: tuple[str, ...] | None,
    n_rows: int,
    columns: Wanted,
    numeric_only: bool,
    n_columns: int | None = None,
) -> Table:
    """Make a table in memory, where ``read(position)`` returns one column in float64."""
    n_columns = len(names) if names is not None else n_columns or 0
    _check_shape(n_rows, n_columns)
    chosen = column.positions(columns, names, n_columns)
    kept, arrays, left_out = column.convert(read, chosen, names, numeric_only)
    _check_shape(n_rows, len(kept), left_out)
    array = np.empty((n_rows, len(kept)))
    column.interleave(arrays, array)
    return _checked(array, None if names is None else tuple(names[i] for i in kept), left_out)


def _checked(array: np.ndarray, names: tuple[str, ...] | None, left_out: tuple[str, ...] = ()) -> Table:
    table = ArrayTable(array=array, names=names, left_out=left_out)
    _check_shape(table.n_rows, table.n_columns, left_out)
    if array.dtype.kind == "f":
        step = _rows_in_cache(table.n_columns)
        for start in range(0, len(array), step):
            if np.isinf(array[start : start + step]).any():
                column.refuse_infinity(array, names)
    return table


def _rows_in_cache(n_columns: int) -> int:
    return max(1, 2**20 // n_columns)


def _check_shape(n_rows: int, n_columns: int, left_out: tuple[str, ...] = ()) -> None:
    for count, kind in ((n_rows, "sample"), (n_columns, "feature")):
        if count == 0:
            why = f" Left out, for they do not hold numbers: {', '.join(map(repr, left_out))}." if left_out else ""
            raise DataError(
                f"Found array with 0 {kind}(s) (shape=({n_rows}, {n_columns})) while a minimum of 1 is required.{why}"
            )


def _as_array(data: Any) -> np.ndarray:
    if isinstance(data, np.ma.MaskedArray):
        cells = np.array(data.data, dtype=np.float64 if data.dtype.kind in column.REAL else object)
        cells[np.ma.getmaskarray(data)] = None  # which float64 takes as NaN
        return cells
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise DataError(f"the rows do not make a table, for they differ in length or depth: {error}") from error
    # NumPy makes text of every number in a list that holds any text: keep the values, to name the text.
    return array if isinstance(data, np.ndarray) or array.dtype.kind not in "US" else np.asarray(data, dtype=object)


def _from_array(array: np.ndarray, columns: Wanted, numeric_only: bool) -> Table:
    if array.ndim < 2:
        kind = "1D" if array.ndim else "scalar"
        raise DataError(
            f"Expected 2D array, got {kind} array instead:\narray={array}.\nReshape your data either using "
            "array.reshape(-1, 1) if your data has a single feature or array.reshape(1, -1) if it contains a single "
            "sample."
        )
    if array.ndim > 2:
        raise DataError(
            f"Found array with dim {array.ndim}, while dim <= 2 is required: reshape it to (rows, columns)."
        )
    if array.dtype.kind == "c":
        raise column.complex_refused(array)
    n_rows, n_columns = array.shape
    if array.dtype.kind not in column.REAL:
        read = _reader(column.from_numpy, array.T)  # type: ignore[arg-type]
        return _from_columns(read, None, n_rows, columns, numeric_only, n_columns)
    chosen = column.positions(columns, None, n_columns)
    return _checked(array if columns is None else array.take(chosen, axis=1), None)


def _from_pandas(frame: pandas.DataFrame, columns: Wanted, numeric_only: bool) -> Table:
    labels = list(frame.columns)
    kinds = {type(label).__name__ for label in labels if not isinstance(label, str)}
    if kinds and any(isinstance(label, str) for label in labels):
        raise ColumnTypeError(
            "Feature names are only supported if all input features have string names, but these are of "
            f"{sorted(kinds | {'str'})}: set frame.columns = frame.columns.astype(str)."
        )
    names = None if kinds else column.unique_names(labels)
    dtypes = set(frame.dtypes)
    if len(dtypes) == 1 and isinstance(dtype := dtypes.pop(), np.dtype) and dtype.kind in column.REAL:
        array = frame.to_numpy()  # one block: no copy
        chosen = column.positions(columns, names, len(labels))
        return _checked(
            array if columns is None else array.take(chosen, axis=1), names and tuple(names[i] for i in chosen)
        )
    read = lambda position: column.from_pandas(frame.iloc[:, position])  # noqa: E731
    return _from_columns(read, names, len(frame), columns, numeric_only, len(labels))


def _from_sparse(matrix: Any, columns: Wanted) -> Table:
    if matrix.ndim != 2:
        raise DataError(f"Expected 2D array, got {matrix.ndim}D sparse array instead. Reshape your data.")
    if matrix.dtype.kind not in column.REAL:
        raise column.complex_refused(matrix) if matrix.dtype.kind == "c" else _no_table(matrix)
    csr = matrix.tocsr()
    if not csr.has_canonical_format:  # a cell stored in parts: add them up, in a copy
        csr = csr.copy()
        csr.sum_duplicates()
    n_rows, n_columns = csr.shape
    _check_shape(n_rows, n_columns)
    chosen = column.positions(columns, None, n_columns)
    _check_shape(n_rows, len(chosen))
    csr = (csr if columns is None else csr[:, chosen]).astype(np.float64)
    table = SparseTable(matrix=csr, names=None)
    if np.isinf(csr.data).any():
        step = _rows_in_cache(csr.shape[1])
        for first, slab in zip(range(0, n_rows, step), table.slabs(step), strict=True):
            column.refuse_infinity(slab, None, first, beyond="at least ")
    return table


def _from_path(path: Path, columns: Wanted, numeric_only: bool) -> Table:
    kind, paths = table_files(path)
    try:
        if kind == "csv":
            names, n_rows, read = csv_columns(paths)
            return _from_columns(read, names, n_rows, columns, numeric_only)
        names, files, read = parquet_columns(paths)
        n_rows = sum(rows for _, rows in files)
        _check_shape(n_rows, len(names))
        kept, _, left_out = column.convert(read, column.positions(columns, names, len(names)), names, numeric_only)
        _check_shape(n_rows, len(kept), left_out)
        return ParquetTable(names=tuple(names[i] for i in kept), left_out=left_out, files=files)
    except DataError as error:
        raise error if str(path) in str(error) else type(error)(f"{path}: {error}") from error.__cause__
