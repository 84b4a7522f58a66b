"""Tables in files: CSV, read into memory; Parquet, decoded slab by slab, with the next slabs under way behind."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noumena.core.errors import DataError
from noumena.data.columns import (
    NotNumbersError,
    arrow_holds_numbers,
    from_arrow,
    interleave,
    refuse_infinity,
    unique_names,
)

if TYPE_CHECKING:
    import pyarrow
    from pyarrow import parquet

SUFFIXES = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".tsv": "csv",
    ".tsv.gz": "csv",
    ".parquet": "parquet",
}
SLABS_AHEAD = 2
BATCH_BYTES = 2**24  # decoded from Parquet at a time, so that wide files need little more memory than narrow ones
THREAD_NAME = "noumena-read-ahead"


class TableFileError(DataError, OSError):
    """A file of a table is missing, damaged or changed; the message names the file and the cure."""


def table_files(path: Path) -> tuple[str, tuple[Path, ...]]:
    """Return the kind (``"csv"`` or ``"parquet"``) and the files of a path: itself, or the files in the folder it is.

    Files in a folder come in the order of their names; hidden ones, and those that begin with ``_`` (Spark's markers),
    are passed over, and so are files of other kinds.
    """
    known = ", ".join(SUFFIXES)
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if _kind(file) and file.name[0] not in "._" and file.is_file())
        kinds = {_kind(file) for file in found}
        if not found:
            raise DataError(f"the folder {path} holds no file that can be read as a table: {known}.")
        if len(kinds) > 1:
            raise DataError(f"the folder {path} holds both CSV and Parquet files: pass a folder of one kind.")
        return kinds.pop(), tuple(found)
    if not path.exists():
        raise TableFileError(f"there is no file {path}: check the path (the working folder is {Path.cwd()}).")
    if not (kind := _kind(path)):
        raise DataError(f"cannot tell from its name what {path} is; tables are read from {known} or folders of them.")
    return kind, (path,)


def _kind(path: Path) -> str:
    name = path.name.lower()
    return next((kind for suffix, kind in SUFFIXES.items() if name.endswith(suffix)), "")


def _same_columns(path: Path, names: Sequence[str], first: Path, expected: Sequence[str]) -> None:
    """Refuse files of one folder with different columns; their order may differ."""
    names = unique_names(names)
    if {*names} != {*expected}:
        lacks = [name for name in expected if name not in names]
        has = [name for name in names if name not in expected]
        parts = [f"{verb} {', '.join(map(repr, which))}" for verb, which in (("lacks", lacks), ("adds", has)) if which]
        raise DataError(f"{path} has other columns than {first.name}: it {' and '.join(parts)}.")


@contextlib.contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """Turn what Arrow and the operating system raise about a file into `TableFileError`."""
    import pyarrow

    try:
        yield
    except (TableFileError, MemoryError):
        raise
    except (pyarrow.ArrowException, OSError) as error:
        raise TableFileError(
            f"{path} cannot be read ({error}): if it is damaged or incomplete, write or fetch it again."
        ) from error


# ---------------------------------------------------------------------------------------------------------------- CSV


def csv_columns(paths: Sequence[Path]) -> tuple[tuple[str, ...], int, Callable[[int], np.ndarray]]:
    """Read CSV files.

    Returns
    -------
    names : tuple of str
    n_rows : int
        Of all files together.
    read : callable
        ``read(position)`` returns that column in float64, or raises `NotNumbersError`.
    """
    tables = [_read_csv(path) for path in paths]
    names = unique_names(tables[0].column_names)
    for path, table in zip(paths, tables, strict=True):
        _same_columns(path, table.column_names, paths[0], names)

    def read(position: int) -> np.ndarray:
        pieces = [table.column(names[position]) for table in tables]
        if not all(arrow_holds_numbers(piece.type) for piece in pieces):
            raise NotNumbersError(lambda: (value.as_py() for piece in pieces for value in piece))
        return np.concatenate([from_arrow(piece) for piece in pieces])

    return names, sum(table.num_rows for table in tables), read


def arrow_table(path: Path) -> pyarrow.Table:
    """Read the files of a table whole, text and all, into memory.

    Raises
    ------
    TableFileError
        If a file is missing or damaged.
    """
    import pyarrow
    from pyarrow import parquet

    kind, paths = table_files(path)
    if kind == "csv":
        tables = [_read_csv(one) for one in paths]
    else:
        tables = []
        for one in paths:
            with _file_errors(one):
                tables.append(parquet.read_table(one))
    for one, table in zip(paths, tables, strict=True):
        _same_columns(one, table.column_names, paths[0], tables[0].column_names)
    return pyarrow.concat_tables(tables, promote_options="permissive")


def _read_csv(path: Path) -> pyarrow.Table:
    import pyarrow
    from pyarrow import csv

    name = path.name.lower()
    parse = csv.ParseOptions(delimiter="\t" if ".tsv" in name else ",")
    missing = csv.ConvertOptions(null_values=[*csv.ConvertOptions().null_values, "?"], strings_can_be_null=True)

    def read(use_threads: bool) -> pyarrow.Table:
        options = csv.ReadOptions(use_threads=use_threads)
        with pyarrow.input_stream(str(path), compression="gzip" if name.endswith(".gz") else None) as stream:
            return csv.read_csv(stream, read_options=options, parse_options=parse, convert_options=missing)

    with _file_errors(path):
        try:
            table = read(use_threads=True)
        except pyarrow.ArrowInvalid:
            table = read(use_threads=False)  # fails again, but only a single thread knows the number of the row
    if table.num_columns == 1 and (mark := next((m for m in (";", "\t", "|", ",") if m in table.column_names[0]), "")):
        expected = "tabs" if parse.delimiter == "\t" else "commas"
        raise DataError(
            f"{path} has one column, named {table.column_names[0]!r}: its cells seem to be separated by {mark!r}, "
            f"where {expected} are read. Read it with pandas.read_csv(path, sep={mark!r}) and pass the data frame."
        )
    return table


# ------------------------------------------------------------------------------------------------------------ Parquet


def parquet_columns(
    paths: Sequence[Path],
) -> tuple[tuple[str, ...], tuple[tuple[Path, int], ...], Callable[[int], np.ndarray]]:
    """Look at the schemas of Parquet files; no row is read.

    Returns
    -------
    names : tuple of str
    files : tuple of (path, number of rows)
    read : callable
        ``read(position)`` raises `NotNumbersError` if that column does not hold numbers in every file; else it returns
        an empty array, for the rows are left to `parquet_slabs`.
    """
    names: tuple[str, ...] = ()
    files, schemas = [], []
    for path in paths:
        with _file_errors(path), _open_parquet(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
        names = names or unique_names(schema.names)
        _same_columns(path, schema.names, paths[0], names)
        files.append((path, rows))
        schemas.append(schema)

    def read(position: int) -> np.ndarray:
        if not all(arrow_holds_numbers(schema.field(names[position]).type) for schema in schemas):
            raise NotNumbersError(lambda: _parquet_values(paths, names[position]))
        return np.empty(0)

    return names, tuple(files), read


def _open_parquet(path: Path, buffer: int = 2**16) -> parquet.ParquetFile:
    from pyarrow import parquet

    # pre_buffer would fetch all row groups at once; without a buffer, whole columns of a row group would come.
    return parquet.ParquetFile(path, pre_buffer=False, buffer_size=buffer, page_checksum_verification=True)


def _parquet_values(paths: Sequence[Path], name: str) -> Iterator[object]:
    for path in paths:
        with _file_errors(path), _open_parquet(path) as file:
            for batch in file.iter_batches(1024, columns=[name]):
                yield from batch.column(name).to_pylist()


def parquet_slabs(files: Sequence[tuple[Path, int]], names: tuple[str, ...], rows: int) -> Generator[np.ndarray]:
    """Cut the files' batches, whose sizes follow their row groups, into slabs of exactly `rows` rows, but the last."""
    n_rows = sum(count for _, count in files)
    first, filled = 0, 0
    slab = np.empty((min(rows, n_rows), len(names)))
    for batch in chain.from_iterable(_batches(path, count, names) for path, count in files):
        taken = 0
        while taken < len(batch[0]):
            count = min(len(slab) - filled, len(batch[0]) - taken)
            interleave([values[taken : taken + count] for values in batch], slab[filled : filled + count])
            taken, filled = taken + count, filled + count
            if filled == len(slab):
                refuse_infinity(slab, names, first, beyond="at least ")
                yield slab
                first, filled = first + filled, 0
                slab = np.empty((min(rows, n_rows - first), len(names)))


def _batches(path: Path, n_rows: int, names: tuple[str, ...]) -> Iterator[list[np.ndarray]]:
    """Yield the columns of one file in float64, some thousands of rows at a time: `n_rows` in all, or an error."""
    import pyarrow

    changed = TableFileError(f"{path} has changed since the table was opened: open it anew.")
    size = max(1, BATCH_BYTES // (8 * len(names)))
    buffer = max(2**14, min(2**20, 2**24 // len(names)))  # each column has one
    seen = 0
    try:
        with _file_errors(path), _open_parquet(path, buffer) as file:
            kinds = {field.name: field.type for field in file.schema_arrow}
            if not all(name in kinds and arrow_holds_numbers(kinds[name]) for name in names):
                raise changed
            for batch in file.iter_batches(size, columns=list(names), use_threads=True):
                seen += batch.num_rows
                if seen > n_rows:
                    raise changed
                yield [from_arrow(batch.column(name)) for name in names]
        if seen < n_rows:
            raise changed
    finally:
        pyarrow.default_memory_pool().release_unused()


def read_ahead(source: Generator[np.ndarray], depth: int = SLABS_AHEAD) -> Generator[np.ndarray]:
    """Run a generator in a background thread, at most `depth` items ahead of the consumer.

    What `source` raises is raised here. When this generator ends or is closed, in whatever way, `source` is closed and
    the thread is gone; the thread starts with the first item asked for.
    """
    places = threading.Semaphore(depth)
    ready: queue.SimpleQueue[tuple[np.ndarray | None, BaseException | None]] = queue.SimpleQueue()
    stop = threading.Event()

    def produce() -> None:
        try:
            while places.acquire() and not stop.is_set():
                if (item := next(source, None)) is None:
                    break
                ready.put((item, None))
                del item  # not to be kept alive while waiting for a place
            ready.put((None, None))
        except BaseException as error:
            ready.put((None, error))
        finally:
            source.close()

    # A daemon: an abandoned generator, alive at the interpreter's exit, must not hold it up.
    thread = threading.Thread(target=produce, name=THREAD_NAME, daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is None:
                return
            places.release()
            yield item
    finally:
        item = error = None  # an error refers to this frame: together they would outlive it until the next collection
        stop.set()
        places.release()
        if thread is not threading.current_thread():  # the garbage collector may close a generator from any thread
            thread.join()
