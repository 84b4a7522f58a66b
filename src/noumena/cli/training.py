"""Tables into the commands."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.errors import DataError
from ..data.coded import MOST_LEVELS, holds_numbers
from ..data.columns import arrow_holds_numbers, from_arrow, positions, unique_names
from ..data.files import arrow_table, csv_columns, parquet_columns, table_files
from ..data.table import Table, read_table
from ..report.digits import count

#: Whole numbers with more different values than this are not taken for the answers to an item unless it is said.
_MOST_ITEM_LEVELS = 20


@dataclass(frozen=True)
class Training:
    """What `fit` is given.

    Attributes
    ----------
    rows : table
        As the estimators take it.
    n_rows : int
    names : tuple of str
        The columns used, the response and the covariates of weights apart.
    left_out : tuple of str
        Those left out because they do not hold what the model takes.
    due : str
        What that is.
    weight : array, shape (n_rows,), or None
    y : array, shape (n_rows,), or None
        The known components, or the responses.
    lacking : tuple of (str, int)
        Columns on which the model is conditional, or the response, with the number of rows without it: these rows are
        left out.
    """

    rows: Any
    n_rows: int
    names: tuple[str, ...]
    left_out: tuple[str, ...]
    weight: np.ndarray | None
    y: np.ndarray | None
    due: str = "numbers"
    lacking: tuple[tuple[str, int], ...] = ()


def training(
    path: Path, *, columns: Sequence[str], drop: Sequence[str], weights: str | None, labels: str | None
) -> Training:
    """Read the columns to fit.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        Used exactly. Where empty: every column of numbers but ``drop``, ``weights`` and ``labels``.
    drop : sequence of str
    weights, labels : str, optional
        Columns with the weight and the known component of each row.
    """
    everything = _column_names(path)
    wanted = _wanted(path, everything, columns, (*drop, *(name for name in (weights, labels) if name is not None)))
    table = read_table(path, columns=wanted, numeric_only=not columns)
    assert table.names is not None  # files have names
    return Training(
        rows=_as_input(path, table, everything),
        n_rows=table.n_rows,
        names=table.names,
        left_out=table.left_out,
        weight=None if weights is None else read_column(path, weights),
        y=None if labels is None else _labels(path, labels),
    )


def _wanted(path: Path, everything: tuple[str, ...], columns: Sequence[str], apart: Sequence[str]) -> list[str]:
    """The columns that are named, or all but those ``apart``."""
    known_columns(path, {*apart}, everything)
    wanted = list(columns) or [name for name in everything if name not in apart]
    if not wanted:
        raise DataError(f"{path}: no column is left to fit: drop fewer")
    return wanted


def coded_training(
    path: Path,
    *,
    columns: Sequence[str],
    drop: Sequence[str],
    weights: str | None,
    labels: str | None,
    covariates: Sequence[str],
    items: bool,
) -> Training:
    """Read the columns to fit, text too.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        Used exactly. Where empty: every column but ``drop``, ``weights`` and ``labels`` that holds numbers, truth
        values, or text with few different values.
    drop : sequence of str
    weights, labels : str, optional
        Columns with the weight and the known component of each row.
    covariates : sequence of str
        Columns that the weights of the components depend on; rows without them are left out.
    items : bool
        Whether columns of numbers must hold few different whole ones, too.
    """
    table = arrow_table(path)
    everything = unique_names(table.column_names)
    apart = (*drop, *covariates, *(name for name in (weights, labels) if name is not None))
    wanted = [name for name in _wanted(path, everything, columns, apart) if name not in covariates]
    known_columns(path, wanted, everything)
    kept = [name for name in wanted if columns or _usable(table[name], items=items)]
    due = "answers with few levels" if items else "numbers or text with few levels"
    left_out = tuple(name for name in wanted if name not in kept)
    if not kept:
        told = f"left out are {', '.join(map(repr, left_out))}" if left_out else "every column is a covariate"
        raise DataError(f"{path}: no column holds {due}: {told}")
    rows, lacking = complete_rows(path, table, covariates)
    label = None if labels is None else _labels(path, labels)
    return Training(
        rows=table.select([*kept, *covariates]).filter(rows),
        n_rows=int(rows.sum()),
        names=tuple(kept),
        left_out=left_out,
        weight=None if weights is None else read_column(path, weights)[rows],
        y=None if label is None else label[rows],
        due=due,
        lacking=lacking,
    )


def regression_training(
    path: Path,
    *,
    response: str,
    regressors: Sequence[str],
    concomitant: Sequence[str],
    drop: Sequence[str],
    weights: str | None,
) -> Training:
    """Read a response and its covariates; rows that lack one are left out.

    Parameters
    ----------
    path : Path
    response : str
    regressors : sequence of str
        Where empty: every column but the response, ``concomitant``, ``drop`` and ``weights`` that holds numbers, truth
        values, or text with few different values.
    concomitant, drop : sequence of str
    weights : str, optional
        Column with the weight of each row.
    """
    table = arrow_table(path)
    everything = unique_names(table.column_names)
    known_columns(
        path, {response, *regressors, *concomitant, *drop, *([] if weights is None else [weights])}, everything
    )
    if response in (*regressors, *concomitant):
        raise DataError(f"{path}: column {response!r} is the response, which cannot explain itself: name others")
    apart = (response, *concomitant, *drop, weights)
    wanted = list(regressors) or [name for name in everything if name not in apart]
    kept = [name for name in wanted if regressors or _usable(table[name], items=False)]
    used = [name for name in everything if name in (*kept, *concomitant)]
    if not used:
        raise DataError(f"{path}: no column is left to explain {response!r}: drop fewer, or name --regressors")
    rows, lacking = complete_rows(path, table, [response, *used])
    # with the response, which the report reads
    return Training(
        rows=table.select([*used, response]).filter(rows),
        n_rows=int(rows.sum()),
        names=tuple(kept),
        left_out=tuple(name for name in wanted if name not in kept),
        weight=None if weights is None else read_column(path, weights)[rows],
        y=np.asarray(table[response].filter(pa.array(rows))),
        due="numbers or text with few levels",
        lacking=lacking,
    )


def complete_rows(
    path: Path, table: pa.Table, columns: Sequence[str]
) -> tuple[np.ndarray, tuple[tuple[str, int], ...]]:
    """Which rows have all of these columns, shape (n_rows,); and how many rows each column lacks, where it lacks some.

    Raises
    ------
    DataError
        Where the table lacks a column, or every row is without one of them.
    """
    known_columns(path, columns, unique_names(table.column_names))
    holes = {name: missing_cells(table[name]) for name in columns}
    rows = ~np.any([np.zeros(table.num_rows, dtype=bool), *holes.values()], axis=0)
    lacking = tuple((name, int(hole.sum())) for name, hole in holes.items() if hole.any())
    if not rows.any():
        told = ", ".join(f"{name} ({count(n, 'row')})" for name, n in lacking)
        raise DataError(f"{path}: every row lacks a column that the model is conditional on: {told}")
    return rows, lacking


def missing_cells(column: pa.ChunkedArray) -> np.ndarray:
    """Which cells are missing: null, NaN, empty text."""
    hole = np.asarray(column.is_null(nan_is_null=True))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        hole = hole | np.array([value == "" for value in column.to_pylist()])
    return hole


def _usable(column: pa.ChunkedArray, *, items: bool) -> bool:
    """Whether a column is taken unasked: not dates, nor text that differs in most rows, nor measurements as items."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_boolean(kind):
        return True
    if holds_numbers(column):
        if not items:
            return True
        values = from_arrow(column)
        values = np.unique(values[~np.isnan(values)])
        return len(values) <= _MOST_ITEM_LEVELS and np.array_equal(values, np.floor(values))
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or arrow_holds_numbers(kind)):
        return False
    different = len(column.unique().drop_null())
    return different <= min(MOST_LEVELS, max(2, (len(column) - column.null_count) // 2))


def _column_names(path: Path) -> tuple[str, ...]:
    kind, files = table_files(path)
    return csv_columns(files)[0] if kind == "csv" else parquet_columns(files)[0]


def known_columns(path: Path, wanted: Iterable[str], names: tuple[str, ...]) -> None:
    """Refuse columns that a file has not."""
    try:
        positions(sorted(wanted), names, len(names))
    except DataError as error:
        raise type(error)(f"{path}: {error}") from None


def _as_input(path: Path, table: Table, everything: tuple[str, ...]) -> Any:
    """The path where the estimators read the same columns from it, so that Parquet is streamed; else in memory."""
    if not table.in_memory and table.names == everything:
        return path
    assert table.names is not None
    return pa.table(dict(zip(table.names, table.to_array().T, strict=True)))


def read_column(path: Path, name: str) -> np.ndarray:
    """One column of numbers."""
    return read_table(path, columns=[name]).to_array()[:, 0]


def _labels(path: Path, name: str) -> np.ndarray:
    label = read_column(path, name)
    label = np.where(np.isnan(label), -1, label)
    if not (label == -1).any():  # the estimators take such a y for one that a pipeline hands on, and pass it over
        raise DataError(
            f"{path}: column {name!r} labels every row, so that nothing is left to find: leave cells empty (or -1) "
            "where the component is unknown"
        )
    return label
