"""Tables into the commands and out of them."""

import csv as text_csv
import io
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import typer
from pyarrow import compute, csv, parquet

from ..core.errors import DataError, NoumenaError
from ..data.coded import MOST_LEVELS, holds_numbers
from ..data.columns import arrow_holds_numbers, from_arrow, positions, unique_names
from ..data.files import arrow_table, csv_columns, parquet_columns, table_files
from ..data.table import Table, read_table
from ..estimators.storage import OutputError, write_atomically
from ..report.digits import count
from .terminal import say, write_bytes

STDOUT = Path("-")
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
        The columns used.
    left_out : tuple of str
        Those left out because they do not hold what the model takes.
    due : str
        What that is.
    weight, label : array, shape (n_rows,), or None
    """

    rows: Any
    n_rows: int
    names: tuple[str, ...]
    left_out: tuple[str, ...]
    weight: np.ndarray | None
    label: np.ndarray | None
    due: str = "numbers"


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
        label=None if labels is None else _labels(path, labels),
    )


def _wanted(path: Path, everything: tuple[str, ...], columns: Sequence[str], apart: Sequence[str]) -> list[str]:
    """The columns that are named, or all but those ``apart``."""
    _known(path, {*apart}, everything)
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
    items : bool
        Whether columns of numbers must hold few different whole ones, too.
    """
    table = arrow_table(path)
    everything = unique_names(table.column_names)
    wanted = _wanted(path, everything, columns, (*drop, *(name for name in (weights, labels) if name is not None)))
    _known(path, wanted, everything)
    kept = [name for name in wanted if columns or _usable(table[name], items=items)]
    due = "answers with few levels" if items else "numbers or text with few levels"
    left_out = tuple(name for name in wanted if name not in kept)
    if not kept:
        raise DataError(f"{path}: no column holds {due}: left out are {', '.join(map(repr, left_out))}")
    return Training(
        rows=table.select(kept),
        n_rows=table.num_rows,
        names=tuple(kept),
        left_out=left_out,
        weight=None if weights is None else read_column(path, weights),
        label=None if labels is None else _labels(path, labels),
        due=due,
    )


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


def _known(path: Path, wanted: Iterable[str], names: tuple[str, ...]) -> None:
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


# ----------------------------------------------------------------------------------------------------------------- out


def check_output(path: Path, *inputs: Path, force: bool, tabular: bool = True) -> None:
    """Refuse an output that could not be written at the end, before any work is done.

    Parameters
    ----------
    path : Path
    *inputs : Path
        Files that are read, and never replaced.
    force : bool
        Whether other files may be replaced.
    tabular : bool
        Whether a table is to be written, so that the name must end in ``.csv`` or ``.parquet``.

    Raises
    ------
    OutputError
        Where the file exists, or its folder does not or may not be written to.
    """
    if tabular and path == STDOUT:
        return
    if tabular and path.suffix.lower() not in (".csv", ".parquet"):
        raise typer.BadParameter(f"end the name in .csv or .parquet, not as in {path.name!r}", param_hint="'--out'")
    if path.is_dir():
        raise OutputError(f"{path} is a folder: name a file in it")
    if path.exists():
        if any(source.exists() and path.samefile(source) for source in inputs):
            raise OutputError(f"{path} is also read by this command: name another file")
        if not force:
            raise OutputError(f"{path} exists: name another file, or add --force to replace it")
    try:
        with tempfile.TemporaryFile(dir=path.parent):  # asks the file system itself: permissions do not tell all
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"cannot write {path}: {reason}; choose a folder that exists and may be written to"
        ) from error


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table, whole or not at all, as its name says; to stdout as CSV."""
    if path == STDOUT:
        write_bytes(_csv_bytes(table))
        return
    if path.suffix.lower() == ".csv":
        content = _csv_bytes(table)
    else:
        buffer = io.BytesIO()
        parquet.write_table(table, buffer)
        content = buffer.getvalue()
    write_atomically(path, content)
    say(f"{path}: {count(table.num_rows, 'row')}, {count(table.num_columns, 'column')}")


def _csv_bytes(table: pa.Table) -> bytes:
    header = io.StringIO()
    text_csv.writer(header, lineterminator="\n").writerow(table.column_names)
    buffer = io.BytesIO(header.getvalue().encode())
    buffer.seek(0, io.SEEK_END)
    # pyarrow knows two ways only: all text in quotes, or none. Most text needs none.
    style = "needed" if any(_needs_quotes(column) for column in table.columns) else "none"
    try:
        csv.write_csv(table, buffer, csv.WriteOptions(include_header=False, quoting_style=style))
    except pa.ArrowException as error:
        raise NoumenaError(f"this table cannot be written as CSV ({error}): write .parquet instead") from error
    return buffer.getvalue()


def _needs_quotes(column: pa.ChunkedArray) -> bool:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return False
    special = compute.match_substring_regex(column.cast(kind), '[",\r\n]')  # type: ignore[attr-defined]
    return any(chunk.true_count for chunk in special.chunks)


def filled(
    path: Path, names: Sequence[str], arrays: Sequence[np.ndarray | pa.Table], *, numbered: bool, verbatim: bool
) -> pa.Table:
    """The table in a file with the missing cells of some columns filled, all other columns as they are.

    Parameters
    ----------
    path : Path
    names : sequence of str
        The columns of ``arrays``.
    arrays : sequence of array, shape (n_rows, n_columns), or pyarrow.Table
        Completed tables; they are stacked.
    numbered : bool
        Whether a first column ``draw`` numbers them, from 1.
    verbatim : bool
        Keep the other columns of a CSV file as the text they are (a code 007 stays so), and do not look for numbers.
    """
    whole = _whole(path, {*names} if verbatim else None)
    if numbered and "draw" in whole.column_names:
        raise DataError(f"{path} has a column 'draw', the name of the column that numbers the draws: rename it")
    parts = []
    for draw, array in enumerate(arrays, start=1):
        part = whole
        columns: list[Any]
        columns = [pa.array(values) for values in array.T] if isinstance(array, np.ndarray) else list(array.columns)
        for name, values in zip(names, columns, strict=True):
            position = whole.column_names.index(name)
            # a complete column of numbers keeps its type; text is read here with its empty cells, which count as holes
            if _has_missing(whole.column(position)) or pa.types.is_string(values.type):
                part = part.set_column(position, name, values)
        if numbered:
            part = part.add_column(0, "draw", pa.array(np.full(part.num_rows, draw)))
        parts.append(part)
    return pa.concat_tables(parts)


def _has_missing(column: pa.ChunkedArray) -> bool:
    return any(chunk.true_count for chunk in column.is_null(nan_is_null=True).chunks)


def _whole(path: Path, numbers: set[str] | None) -> pa.Table:
    kind, files = table_files(path)
    if kind == "csv":
        tables = [_whole_csv(file, numbers) for file in files]
    else:
        tables = [parquet.ParquetFile(file).read() for file in files]
    names = tables[0].column_names
    return pa.concat_tables([table.select(names) for table in tables], promote_options="permissive")


def _whole_csv(path: Path, numbers: set[str] | None) -> pa.Table:
    """A CSV file with all its columns; those not in ``numbers``, where given, as text exactly as it is there."""
    name = path.name.lower()
    parse = csv.ParseOptions(delimiter="\t" if ".tsv" in name else ",")
    null = [*csv.ConvertOptions().null_values, "?"]

    def stream() -> pa.NativeFile:
        return pa.input_stream(str(path), compression="gzip" if name.endswith(".gz") else None)

    types = {}
    if numbers is not None:
        with stream() as source, csv.open_csv(source, parse_options=parse) as reader:
            types = {column: pa.string() for column in reader.schema.names if column not in numbers}
    convert = csv.ConvertOptions(null_values=null, strings_can_be_null=numbers is None, column_types=types)
    with stream() as source:
        return csv.read_csv(source, parse_options=parse, convert_options=convert)
