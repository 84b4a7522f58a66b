"""Tables out, of the kind that came in."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np


def table_like(data: Any, array: np.ndarray, names: list[str]) -> Any:
    """``array`` as a frame of the same library as ``data`` where that is a frame, else as it is.

    A pandas index is kept.

    Parameters
    ----------
    data : table
        What the user passed.
    array : array, shape (n_rows, d)
    names : list of str
    """
    import narwhals as nw

    frame = nw.from_native(data, pass_through=True)
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    if not isinstance(frame, nw.DataFrame):
        return array
    named = all(isinstance(column, str) for column in frame.columns)
    columns = dict(zip(names if named else frame.columns, array.T, strict=True))
    if frame.implementation.is_pandas():
        native = nw.to_native(frame)
        return type(native)(dict(columns), index=native.index)
    return nw.from_dict(columns, backend=frame.implementation).to_native()


def table_of(data: Any, columns: dict[str, Any]) -> Any:
    """Columns of any kind as a frame of the same library as ``data`` where that is a frame, else as an Arrow table.

    A pandas index is kept, and so are the types that columns of pandas, polars and Arrow had, where they hold the new
    values as they are.
    """
    import narwhals as nw
    import pyarrow

    frame = nw.from_native(data, pass_through=True)
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    if not isinstance(frame, nw.DataFrame):
        return pyarrow.table(columns)
    native = nw.to_native(frame)
    if frame.implementation.is_pandas():
        import pandas

        kinds = dict(native.dtypes)
        made = {
            name: _typed(lambda values, kind: pandas.Series(values, native.index, kind), values, kinds.get(name))
            for name, values in columns.items()
        }
        return type(native)(made, index=native.index)
    if frame.implementation.is_polars():
        import polars

        kinds = dict(native.schema)
        made = [
            _typed(lambda values, kind, name=name: polars.Series(name, values, kind), values, kinds.get(name))
            for name, values in columns.items()
        ]
        return type(native)(made)
    if frame.implementation.is_pyarrow():
        kinds = dict(zip(native.column_names, native.schema.types, strict=True))
        return pyarrow.table({name: _typed(pyarrow.array, values, kinds.get(name)) for name, values in columns.items()})
    return nw.from_dict(columns, backend=frame.implementation).to_native()


def _typed(make: Callable[[Any, Any], Any], values: Any, kind: Any) -> Any:
    """A column of that type if it holds the values as they are, else of the type that the library gives them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas makes values that are no categories missing, with a warning
            column = make(values, kind)
            if list(column.to_pylist() if hasattr(column, "to_pylist") else column) == list(values):
                return column
    except Exception:  # each library has errors of its own for values that a type does not hold
        pass
    return make(values, None)
