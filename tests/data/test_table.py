"""Every kind of table gives the same slabs, and everything that can be wrong with one is said by name."""

import gzip
import subprocess
import sys
import threading
from decimal import Decimal

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from scipy import sparse

from noumena.core.errors import ColumnMismatchError, ColumnTypeError, DataError
from noumena.data.files import THREAD_NAME, read_ahead
from noumena.data.table import TableFileError, read_table

NAN = np.nan
VALUES = np.array([[1.0, NAN, 1.0], [2.0, 0.5, 0.0], [NAN, -1.5, NAN], [4.0, 2.25, 1.0]])
NAMES = ("count", "size", "flag")
COUNT, SIZE, FLAG = [1, 2, None, 4], [None, 0.5, -1.5, 2.25], [True, False, None, True]
CSV = "count,size,flag\n1,,true\n2,0.5,false\n?,-1.5,NA\n4,2.25,true\n"


def arrow_table() -> pa.Table:
    return pa.table(
        {
            "count": pa.array(COUNT, pa.int64()).dictionary_encode(),
            "size": pa.array([None if x is None else Decimal(str(x)) for x in SIZE]),
            "flag": pa.array(FLAG),
        }
    )


def nullable_frame() -> pd.DataFrame:
    return pd.DataFrame(
        {"count": pd.array(COUNT, "Int64"), "size": pd.array(SIZE, "Float64"), "flag": pd.array(FLAG, "boolean")}
    )


FRAMES = {
    "pandas": lambda: pd.DataFrame(VALUES, columns=NAMES),
    "pandas, nullable": nullable_frame,
    "pandas, Arrow": lambda: nullable_frame().convert_dtypes(dtype_backend="pyarrow"),
    "pandas, object": lambda: pd.DataFrame({"count": [1, 2, pd.NA, 4], "size": SIZE, "flag": FLAG}, dtype=object),
    "pandas, categories": lambda: pd.DataFrame(VALUES, columns=NAMES).astype({"count": "category", "size": "float32"}),
    "pandas, sparse": lambda: pd.DataFrame(VALUES, columns=NAMES).astype(pd.SparseDtype(float)),
    "polars": lambda: pl.DataFrame({"count": COUNT, "size": SIZE, "flag": FLAG}),
    "polars, lazy": lambda: pl.LazyFrame({"count": COUNT, "size": SIZE, "flag": FLAG}),
    "polars, wide types": lambda: pl.DataFrame(
        [
            pl.Series("count", COUNT, pl.Int128),
            pl.Series("size", SIZE, pl.Decimal(10, 4)),
            pl.Series("flag", FLAG, pl.Object),
        ]
    ),
    "Arrow": arrow_table,
    "Arrow, batch": lambda: arrow_table().to_batches()[0],
    "Arrow, reader": lambda: arrow_table().to_reader(),
    "narwhals": lambda: nw.from_native(pl.DataFrame({"count": COUNT, "size": SIZE, "flag": FLAG})),
}
ARRAYS = {
    "float64": lambda: VALUES,
    "Fortran": lambda: np.asfortranarray(VALUES),
    "float32": lambda: VALUES.astype(np.float32),
    "big-endian": lambda: VALUES.astype(">f8"),
    "object": lambda: np.array([COUNT, SIZE, FLAG], dtype=object).T,
    "lists": lambda: [[1, None, True], [2, 0.5, False], [None, -1.5, None], (4, 2.25, 1)],
    "masked": lambda: np.ma.masked_invalid(VALUES),
    "masked object": lambda: np.ma.masked_array(np.nan_to_num(VALUES).astype(object), np.isnan(VALUES)),
    "pandas without names": lambda: pd.DataFrame(VALUES),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_frames(kind):
    table = read_table(FRAMES[kind]())
    assert (table.names, table.shape, table.in_memory, table.left_out) == (NAMES, (4, 3), True, ())
    np.testing.assert_array_equal(table.to_array(), VALUES)


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays(kind):
    table = read_table(ARRAYS[kind]())
    assert (table.names, table.n_rows, table.n_columns) == (None, 4, 3)
    np.testing.assert_array_equal(table.to_array(), VALUES)
    for slab in table.slabs(3):
        assert slab.dtype == np.float64
        assert slab.flags.c_contiguous


@pytest.mark.parametrize("name", ["table.csv", "TABLE.CSV", "table.csv.gz", "table.tsv", "table.parquet"])
def test_files(tmp_path, name):
    path = tmp_path / name
    if name.endswith("gz"):
        path.write_bytes(gzip.compress(CSV.encode()))
    elif name.endswith("parquet"):
        parquet.write_table(arrow_table(), path)
    else:
        path.write_text(CSV.replace(",", "\t") if name.endswith("tsv") else CSV)
    for data in (path, str(path)):
        table = read_table(data)
        assert (table.names, table.shape, table.in_memory) == (NAMES, (4, 3), not name.endswith("parquet"))
        np.testing.assert_array_equal(table.to_array(), VALUES)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csr_matrix])
def test_sparse(kind, container):
    table = read_table(container(VALUES).asformat(kind))
    assert (table.names, table.shape) == (None, (4, 3))
    np.testing.assert_array_equal(table.to_array(), VALUES)  # a stored NaN is missing, a cell not stored is zero
    np.testing.assert_array_equal(table.select([2, 0]).to_array(), VALUES[:, [2, 0]])
    assert [len(slab) for slab in table.slabs(3)] == [3, 1]


def test_sparse_cells_stored_in_parts_add_up_and_the_input_stays():
    parts = sparse.csr_array((np.array([1, 2]), np.array([1, 1]), np.array([0, 2])), shape=(1, 2))
    np.testing.assert_array_equal(read_table(parts).to_array(), [[0.0, 3.0]])
    assert parts.nnz == 2


def test_an_array_like_of_another_library_is_read():
    class Wrapped:
        def __array__(self, dtype=None, copy=None):
            return VALUES

    np.testing.assert_array_equal(read_table(Wrapped()).to_array(), VALUES)


def test_a_float64_array_is_never_copied():
    assert np.shares_memory(read_table(VALUES).to_array(), VALUES)
    assert all(np.shares_memory(slab, VALUES) for slab in read_table(VALUES).slabs(2))
    frame = pd.DataFrame(VALUES, columns=NAMES, copy=False)
    assert np.shares_memory(read_table(frame).to_array(), frame.to_numpy())


def test_a_read_only_memory_map_is_read(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(read_table(mapped).to_array(), VALUES)


def test_names_of_pandas_columns():
    assert read_table(pd.DataFrame(VALUES, columns=[3, 1, 2])).names is None
    assert read_table(pd.DataFrame(VALUES, columns=pd.MultiIndex.from_product([["a"], [1, 2, 3]]))).names is None
    with pytest.raises(ColumnTypeError, match=r"only supported if all input features have string names.*'int'"):
        read_table(pd.DataFrame(VALUES, columns=["a", 1, 2]))


@pytest.mark.parametrize("kind", ["pandas", "Arrow", "csv", "parquet"])
def test_duplicate_names_are_named(tmp_path, kind):
    table = pa.table([[1.0], [2.0], [3.0]], names=["a", "b", "a"])
    data = {"pandas": pd.DataFrame([[1.0, 2, 3]], columns=["a", "b", "a"]), "Arrow": table}.get(kind)
    if kind == "csv":
        data = tmp_path / "a.csv"
        data.write_text("a,b,a\n1,2,3\n")
    elif kind == "parquet":
        data = tmp_path / "a.parquet"
        parquet.write_table(table, data)
    with pytest.raises(DataError, match=r"must be unique; repeated: 'a' \(2 times\)"):
        read_table(data)


# ------------------------------------------------------------------------------------------------------------ columns


@pytest.fixture(params=["array frame", "mixed frame", "polars", "csv", "parquet", "array"])
def numbers(request, tmp_path):
    """Return the same three columns in one of several kinds."""
    if request.param == "csv":
        (tmp_path / "t.csv").write_text(CSV)
        return tmp_path / "t.csv"
    if request.param == "parquet":
        parquet.write_table(arrow_table(), tmp_path / "t.parquet")
        return tmp_path / "t.parquet"
    kinds = {"array frame": "pandas", "mixed frame": "pandas, nullable", "polars": "polars"}
    return FRAMES[kinds[request.param]]() if request.param in kinds else VALUES


def test_columns_in_the_order_asked_for(numbers):
    table = read_table(numbers, columns=[2, -3])
    np.testing.assert_array_equal(table.to_array(), VALUES[:, [2, 0]])
    np.testing.assert_array_equal(read_table(numbers).select(np.array([2, 0])).to_array(), VALUES[:, [2, 0]])
    if table.names is not None:
        assert table.names == ("flag", "count")
        by_name = read_table(numbers, columns=["flag", "count"])
        np.testing.assert_array_equal(by_name.to_array(), VALUES[:, [2, 0]])
        picked = table.select(["count"])
        assert (picked.names, picked.shape) == (("count",), (4, 1))
        np.testing.assert_array_equal(picked.to_array(), VALUES[:, [0]])
        assert read_table(numbers, columns="size").names == ("size",)


def test_unknown_columns_are_named_with_what_there_is(numbers):
    table = read_table(numbers)
    message = r"'siez'.*Did you mean 'size'\? The table has 'count', 'size', 'flag'"
    with pytest.raises(
        ColumnMismatchError, match=message if table.names else "no column names: pass positions from 0 to 2"
    ):
        read_table(numbers, columns=["siez"])
    for wrong in ([3], [-4], [True], [1.0]):
        with pytest.raises(ColumnMismatchError, match=r"no such column"):
            table.select(wrong)
    with pytest.raises(DataError, match=r"more than once for column ('size'|1)"):
        table.select([1, -2])
    with pytest.raises(DataError, match=r"0 feature\(s\) \(shape=\(4, 0\)\)"):
        table.select([])
    with pytest.raises(DataError, match=r"0 feature\(s\) \(shape=\(4, 0\)\)"):
        read_table(numbers, columns=[])


TEXTS = {
    "pandas": lambda path: pd.DataFrame(
        {"a": [1, 2], "city": [None, "Rome"], "day": pd.to_datetime(["2020-01-01", None]), "b": [3.0, 4.0]}
    ),
    "pandas, categories": lambda path: pd.DataFrame(
        {
            "a": [1, 2],
            "city": pd.Categorical([None, "Rome"]),
            "day": pd.to_timedelta([1, None], unit="s"),
            "b": [3.0, 4.0],
        }
    ),
    "polars": lambda path: pl.DataFrame(
        {"a": [1, 2], "city": pl.Series([None, "Rome"], dtype=pl.Categorical), "day": [[1], [2]], "b": [3.0, 4.0]}
    ),
    "Arrow": lambda path: pa.table(
        {"a": [1, 2], "city": pa.array([None, "Rome"]).dictionary_encode(), "day": [b"x", b"y"], "b": [3.0, 4.0]}
    ),
    "csv": lambda path: (path / "t.csv", (path / "t.csv").write_text("a,city,day,b\n1,,2020-01-01,3\n2,Rome,,4\n"))[0],
    "parquet": lambda path: (path / "t.parquet", parquet.write_table(TEXTS["Arrow"](path), path / "t.parquet"))[0],
}


@pytest.mark.parametrize("kind", TEXTS)
def test_columns_without_numbers(tmp_path, kind):
    data = TEXTS[kind](tmp_path)
    message = r"column 'city' holds 'Rome' at row 1, which is not a number: drop it, or encode it as numbers"
    with pytest.raises(ColumnTypeError, match=message + ".*Nor are column 'day' numbers"):
        read_table(data)
    table = read_table(data, numeric_only=True)
    assert (table.names, table.left_out) == (("a", "b"), ("city", "day"))
    np.testing.assert_array_equal(table.to_array(), [[1, 3], [2, 4]])
    np.testing.assert_array_equal(read_table(data, columns=["b", "a"]).to_array(), [[3, 1], [4, 2]])
    with pytest.raises(DataError, match=r"0 feature\(s\) .* Left out, for they do not hold numbers: 'city'"):
        read_table(data, columns=["city"], numeric_only=True)


def test_the_example_is_the_value_that_spoils_the_column(tmp_path):
    (tmp_path / "t.csv").write_text("a\n1\n2\nfew\n")
    with pytest.raises(ColumnTypeError, match=r"t.csv: column 'a' holds 'few' at row 2"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(ColumnTypeError, match=r"column 'a' holds '1' at row 1.*looks like a number"):
        read_table(pl.DataFrame({"a": [None, "1"]}))
    with pytest.raises(ColumnTypeError, match=r"column 'a' is declared as something else"):
        read_table(pl.DataFrame({"a": pl.Series([None], dtype=pl.String)}))
    with pytest.raises(ColumnTypeError, match=r"'y{56}\.\.\. at row 0"):
        read_table(pl.DataFrame({"a": ["y" * 1000]}))


def test_object_arrays_with_something_else_than_numbers():
    array = np.ones((2, 2), dtype=object)
    array[0, 0] = {"foo": "bar"}
    # In the words that scikit-learn's check_dtype_object looks for.
    with pytest.raises(
        TypeError, match=r"column 0 holds \{'foo': 'bar'\} at row 0.*argument must be .* string.* number"
    ):
        read_table(array)
    table = read_table(array, numeric_only=True)
    assert (table.names, table.shape, table.left_out) == (None, (2, 1), ("0",))
    array[0, 0] = "red"
    with pytest.raises(ValueError, match=r"holds 'red'.*could not convert string to float"):
        read_table(array)
    array[0, 0] = 10**400
    with pytest.raises(ColumnTypeError, match=r"too large"):
        read_table(array)
    with pytest.raises(ColumnTypeError, match=r"column 1 holds 'x' at row 0"):
        read_table([[1, "x"], [2, "y"]])
    with pytest.raises(ColumnTypeError, match=r"column 1 holds '2' at row 0.*still text"):
        read_table(np.array([["1", "2"], ["3", "4"]]), columns=[1])
    with pytest.raises(ColumnTypeError, match=r"column 0 holds .*2020-01-01"):
        read_table(np.array([["2020-01-01"]], dtype="datetime64[ns]"))


# ----------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "data",
    [
        VALUES.astype(complex),
        (VALUES + 1j).astype(object),
        pd.DataFrame(VALUES + 1j),
        pd.DataFrame({"a": [1.0], "b": [1j]}),
        sparse.csr_array(VALUES + 1j),
    ],
    ids=["array", "object", "frame", "mixed frame", "sparse"],
)
def test_complex_numbers_are_refused(data):
    with pytest.raises(DataError, match=r"Complex data not supported"):
        read_table(data)


@pytest.mark.parametrize(
    "data", [[1.0, 2.0], VALUES[0], pd.Series([1.0]), pl.Series([1.0]), pa.chunked_array([[1.0]]), []]
)
def test_one_dimension_is_refused(data):
    with pytest.raises(DataError, match=r"Expected 2D array, got 1D array instead:\n(.|\n)*Reshape your data"):
        read_table(data)


def test_other_dimensions_are_refused():
    with pytest.raises(DataError, match=r"got scalar array instead"):
        read_table(np.array(1.0))
    with pytest.raises(DataError, match=r"dim 3"):
        read_table(np.ones((2, 2, 2)))
    with pytest.raises(DataError, match=r"rows do not make a table"):
        read_table([[1, 2], [3]])


@pytest.mark.parametrize("data", [None, 3.5, {"a": [1]}, {1, 2}, object(), iter([[1.0]])])
def test_what_is_no_table_is_refused(data):
    with pytest.raises(DataError, match=f"cannot read a table from {type(data).__name__}: pass an array"):
        read_table(data)


def test_empty_tables_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n")
    parquet.write_table(pa.table({"a": pa.array([], pa.float64())}), tmp_path / "t.parquet")
    no_rows = [np.empty((0, 3)), pd.DataFrame({"a": []}), pd.DataFrame(), sparse.csr_array((0, 3)), pl.DataFrame()]
    for data in [*no_rows, tmp_path / "t.csv", tmp_path / "t.parquet"]:
        with pytest.raises(DataError, match=r"0 sample\(s\) \(shape=\(0, \d\)\) while a minimum of 1 is required\."):
            read_table(data)
    for data in [np.empty((12, 0)), [[]] * 12, pd.DataFrame(index=range(12))]:
        with pytest.raises(
            DataError, match=r"0 feature\(s\) \(shape=\(\d*, 0\)\) while a minimum of \d* is required\."
        ):
            read_table(data)


def test_infinity_is_refused_with_its_place(tmp_path):
    values = np.ones((50, 2))
    values[17:21, 1] = [np.inf, NAN, -np.inf, np.inf]
    frame = pd.DataFrame(values, columns=["y", "x"])
    frame.to_csv(tmp_path / "t.csv", index=False)
    for data in (frame, pl.DataFrame(frame.to_dict("list")), tmp_path / "t.csv", frame.astype({"x": "Float64"})):
        with pytest.raises(
            DataError, match=r"column 'x' holds infinity at row 17 \(and 2 more\): remove or mark as missing"
        ):
            read_table(data)
    with pytest.raises(DataError, match=r"column 1 holds infinity at row 17 \(and 2 more\)"):
        read_table(values)
    with pytest.raises(DataError, match=r"column 1 holds infinity at row 17 \(and at least 2 more\)"):
        read_table(sparse.csr_array(values))
    with pytest.raises(DataError, match=r"column 0 holds infinity at row 0: remove"):
        read_table([[np.inf]])
    assert read_table(frame, columns=["y"]).shape == (50, 1)


# -------------------------------------------------------------------------------------------------------------- files


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(TableFileError, match=r"there is no file .*nothing.csv: check the path"):
        read_table(tmp_path / "nothing.csv")
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"t.xlsx is; tables are read from .csv, .csv.gz, .tsv, .tsv.gz, .parquet"):
        read_table(tmp_path / "t.xlsx")
    with pytest.raises(DataError, match=r"holds no file that can be read"):
        read_table(tmp_path)
    (tmp_path / "t.csv").write_text(CSV)
    parquet.write_table(arrow_table(), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"both CSV and Parquet"):
        read_table(tmp_path)


def test_damaged_files(tmp_path):
    csv, gz, whole = tmp_path / "t.csv", tmp_path / "t.csv.gz", tmp_path / "t.parquet"
    csv.write_text("a,b\n1,2\n3,4,5\n")
    with pytest.raises(
        TableFileError, match=r"t.csv cannot be read \(CSV parse error: Row #3: Expected 2 columns, got 3"
    ):
        read_table(csv)
    csv.write_text("")
    with pytest.raises(TableFileError, match=r"t.csv cannot be read \(Empty CSV file"):
        read_table(csv)
    gz.write_bytes(gzip.compress(CSV.encode())[:-12])
    with pytest.raises(TableFileError, match=r"t.csv.gz cannot be read .*: if it is damaged or incomplete"):
        read_table(gz)
    parquet.write_table(arrow_table(), whole)
    whole.write_bytes(whole.read_bytes()[:-10])
    with pytest.raises(TableFileError, match=r"t.parquet cannot be read"):
        read_table(whole)


def test_another_separator_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("a;b\n1,5;2\n")
    (tmp_path / "one.csv").write_text("a;b\n1;2\n")
    with pytest.raises(TableFileError):
        read_table(tmp_path / "t.csv")
    with pytest.raises(DataError, match=r"named 'a;b': its cells seem to be separated by ';'.*pandas.read_csv"):
        read_table(tmp_path / "one.csv")


def test_numbers_that_turn_up_late_in_a_csv(tmp_path):
    # More than the block from which Arrow guesses the type.
    (tmp_path / "t.csv").write_text("a,b\n" + "1,\n" * 500_000 + "1.5,2\n")
    table = read_table(tmp_path / "t.csv")
    np.testing.assert_array_equal(table.to_array()[-2:], [[1, NAN], [1.5, 2]])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_folders(tmp_path, suffix):
    def write(name, frame):
        path = tmp_path / f"{name}.{suffix}"
        frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)

    write("2", pl.DataFrame({"b": [0.5, None], "a": [3, 4], "t": ["u", "v"]}))  # other order, other types
    write("1", pl.DataFrame({"a": [1.0, 2.5], "b": [7, 8], "t": [1, 2]}))
    (tmp_path / f"_meta.{suffix}").write_text("not a table")
    (tmp_path / f".hidden.{suffix}").write_text("not a table")
    (tmp_path / "_SUCCESS").write_text("")
    table = read_table(tmp_path, numeric_only=True)
    assert (table.names, table.left_out) == (("a", "b"), ("t",))
    np.testing.assert_array_equal(table.to_array(), [[1, 7], [2.5, 8], [3, 0.5], [4, NAN]])
    with pytest.raises(ColumnTypeError, match=r"column 't' holds 'u' at row 2"):
        read_table(tmp_path)
    write("3", pl.DataFrame({"a": [1], "c": [1], "t": [1]}))
    with pytest.raises(DataError, match=rf"3.{suffix} has other columns than 1.{suffix}: it lacks 'b' and adds 'c'"):
        read_table(tmp_path)


# ---------------------------------------------------------------------------------------------------------- streaming


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]


def _fail_within(slabs):
    for _ in slabs:
        raise KeyError


def write_parquet(path, values, group):
    names = [f"x{i}" for i in range(values.shape[1])]
    frame = pa.table([pa.array(column, from_pandas=True) for column in values.T], names=names)
    parquet.write_table(frame, path, row_group_size=group, write_page_checksum=True)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Return a folder of three files with uneven row groups, and its 1000 rows."""
    folder = tmp_path_factory.mktemp("numbered")
    values = np.arange(3000.0).reshape(1000, 3)
    values[values % 7 == 0] = NAN
    for number, (start, stop, group) in enumerate([(0, 333, 100), (333, 334, 10), (334, 1000, 97)]):
        write_parquet(folder / f"{number}.parquet", values[start:stop], group)
    return folder, values


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 1200), columns=st.permutations([0, 1, 2]), streamed=st.booleans())
def test_slabs_have_the_size_asked_for_and_follow_each_other(numbered, rows, columns, streamed):
    folder, values = numbered
    table = read_table(folder if streamed else values, columns=columns[:2])
    for _ in range(2):  # every pass is alike
        slabs = list(table.slabs(rows))
        assert [len(slab) for slab in slabs] == [rows] * (1000 // rows) + [1000 % rows] * (1000 % rows > 0)
        assert all(slab.flags.c_contiguous and slab.dtype == np.float64 for slab in slabs)
        np.testing.assert_array_equal(np.concatenate(slabs), values[:, columns[:2]])
    assert not readers()


def test_a_slab_needs_rows():
    with pytest.raises(ValueError, match=r"at least one row, got rows=0"):
        read_table(VALUES).slabs(0)


def test_two_passes_at_once(numbered):
    table = read_table(numbered[0])
    for one, other in zip(table.slabs(70), table.slabs(70), strict=True):
        np.testing.assert_array_equal(one, other)


def test_leaving_early_ends_the_thread(numbered):
    table = read_table(numbered[0])
    slabs = table.slabs(10)
    assert not readers()  # none before the first slab is asked for
    next(slabs)
    assert len(readers()) == 1
    slabs.close()
    assert not readers()
    with pytest.raises(KeyError):
        _fail_within(table.slabs(10))
    assert not readers()
    slabs = table.slabs(10)
    next(slabs)
    del slabs
    assert not readers()


def test_reading_ahead_is_bounded_and_closes_its_source():
    made, closed, third = [], [], threading.Event()

    def source():
        try:
            for number in range(100):
                made.append(number)
                if number == 2:
                    third.set()
                yield np.full((1, 1), number)
        finally:
            closed.append(True)

    ahead = read_ahead(source(), depth=2)
    assert next(ahead)[0, 0] == 0
    assert third.wait(10)  # one taken, two ahead
    assert made == [0, 1, 2]
    assert next(ahead)[0, 0] == 1
    ahead.close()
    assert len(made) <= 4
    assert closed == [True]


def test_infinity_in_a_stream_is_met_at_its_slab(tmp_path):
    values = np.ones((500, 2))
    values[[317, 318], 1] = np.inf
    write_parquet(tmp_path / "t.parquet", values, 60)
    table = read_table(tmp_path / "t.parquet")
    slabs = table.slabs(100)
    for _ in range(3):
        next(slabs)
    with pytest.raises(DataError, match=r"column 'x1' holds infinity at row 317 \(and at least 1 more\)"):
        next(slabs)
    assert not readers()
    assert table.select(["x0"]).to_array().sum() == 500


@pytest.mark.parametrize("damage", ["altered", "truncated"])
def test_a_file_damaged_in_the_middle(tmp_path, damage):
    path = tmp_path / "t.parquet"
    write_parquet(path, np.random.default_rng(0).normal(size=(20_000, 4)), 1000)
    table = read_table(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    if damage == "altered":
        content[middle : middle + 2000] = bytes(2000)
    path.write_bytes(content if damage == "altered" else content[:middle])
    with pytest.raises(TableFileError, match=r"t.parquet cannot be read .*: if it is damaged"):
        list(table.slabs(500))
    assert not readers()


@pytest.mark.parametrize("change", ["fewer rows", "more rows", "a column gone", "a column of text"])
def test_a_file_replaced_after_opening(tmp_path, change):
    path = tmp_path / "t.parquet"
    frame = pl.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    frame.write_parquet(path)
    table = read_table(path)
    new = {
        "fewer rows": frame[:1],
        "more rows": pl.concat([frame, frame]),
        "a column gone": frame.drop("b"),
        "a column of text": frame.with_columns(b=pl.lit("x")),
    }[change]
    new.write_parquet(path)
    with pytest.raises(TableFileError, match=r"t.parquet has changed since the table was opened"):
        list(table.slabs(10))
    path.unlink()
    with pytest.raises(TableFileError, match=r"t.parquet cannot be read"):
        table.to_array()
    assert not readers()


def test_importing_and_reading_an_array_loads_no_table_library():
    code = (
        "import sys, numpy as np\n"
        "from noumena.data.table import read_table\n"
        "read_table(np.ones((2, 2)))\n"
        "loaded = {'pandas', 'polars', 'pyarrow', 'scipy', 'narwhals', 'jax', 'sklearn'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
