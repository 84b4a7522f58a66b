"""Tables out, of the kind that came in."""

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

    A pandas index is kept.
    """
    import narwhals as nw
    import pyarrow

    frame = nw.from_native(data, pass_through=True)
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    if not isinstance(frame, nw.DataFrame):
        return pyarrow.table(columns)
    if frame.implementation.is_pandas():
        native = nw.to_native(frame)
        return type(native)(columns, index=native.index)
    return nw.from_dict(columns, backend=frame.implementation).to_native()
