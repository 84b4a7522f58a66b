"""Tables out of the commands."""

import csv as text_csv
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import typer
from pyarrow import compute, csv, parquet

from ..core.errors import DataError, NoumenaError
from ..data.files import table_files
from ..estimators.storage import OutputError, write_atomically
from ..report.digits import count
from .terminal import say, write_bytes

STDOUT = Path("-")


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
