"""What users pass to fit and predict, checked once: tables, weights, labels."""

import os
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import validate_data

from ..core.errors import ColumnMismatchError, ColumnTypeError, DataError
from ..data.table import Table, read_table


def table_for_fit(estimator: Any, data: Any, *, least_rows: int) -> Table:
    """Read the table and set ``n_features_in_`` and ``feature_names_in_``."""
    refuse_sparse(estimator, data)
    table = read_table(data)
    check_least_rows(table.n_rows, table.n_columns, least_rows)
    adopt_columns(estimator, table.n_columns, table.names)
    return table


def check_least_rows(n_rows: int, n_columns: int, least_rows: int) -> None:
    """Refuse a table with fewer rows."""
    if n_rows < least_rows:
        raise DataError(
            f"Found array with {n_rows} sample(s) (shape=({n_rows}, {n_columns})) while a minimum of {least_rows} is "
            "required."
        )


def adopt_columns(estimator: Any, n_columns: int, names: tuple[str, ...] | None) -> None:
    """Set ``n_features_in_`` and ``feature_names_in_``."""
    estimator.n_features_in_ = n_columns
    if names is not None:
        estimator.feature_names_in_ = np.asarray(names, dtype=object)
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_


def table_for_use(estimator: Any, data: Any) -> Table:
    """Read a table that must have the columns of the fit; from files, those columns are picked by name."""
    refuse_sparse(estimator, data)
    names = getattr(estimator, "feature_names_in_", None)
    if isinstance(data, str | os.PathLike):
        table = read_table(data, columns=None if names is None else list(names), numeric_only=names is None)
        if table.n_columns != estimator.n_features_in_:
            raise ColumnMismatchError(
                f"{os.fspath(data)} has {table.n_columns} numeric columns, but the model was fitted on "
                f"{estimator.n_features_in_}"
            )
        return table
    table = read_table(data)
    if names is not None and table.names is not None and set(names) != set(table.names):
        missing = [name for name in names if name not in table.names]
        extra = [name for name in table.names if name not in set(names)]
        raise ColumnMismatchError(
            "The feature names should match those that were passed during fit. " + _as_scikit_learn(missing, extra)
        )
    validate_data(estimator, data, reset=False, skip_check_array=True)
    return table


def refuse_sparse(estimator: Any, data: Any) -> None:
    if issparse(data) and not estimator.__sklearn_tags__().input_tags.sparse:
        raise ColumnTypeError(
            f"Sparse data was passed, but {type(estimator).__name__} takes every cell for a measurement, zeros too: "
            "pass data.toarray() if that is meant"
        )


def _as_scikit_learn(missing: list[str], extra: list[str]) -> str:
    """The two lists in scikit-learn's own words, which its estimator checks look for."""

    def listed(names: list[str]) -> str:
        shown = "".join(f"- {name}\n" for name in sorted(names)[:5])
        return shown + ("- ...\n" if len(names) > 5 else "")

    text = "\n"
    if extra:
        text += "Feature names unseen at fit time:\n" + listed(extra)
    if missing:
        text += "Feature names seen at fit time, yet now missing:\n" + listed(missing)
    return text


def row_weights(sample_weight: Any, n_rows: int) -> np.ndarray | None:
    """Weights as float64, shape (n_rows,); None where none are given.

    Raises
    ------
    DataError
        Wrong shape, a negative or non-finite weight (with its row), or no positive one.
    """
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, dtype=float)
    if weight.ndim == 0:
        weight = np.full(n_rows, float(weight))
    if weight.ndim != 1:
        raise DataError(f"Sample weights must be 1D array or scalar, got {weight.ndim}D array")
    if len(weight) != n_rows:
        raise DataError(f"sample_weight.shape == {weight.shape}, expected ({n_rows},): one weight for each row")
    for bad, what in ((~np.isfinite(weight), "not a finite number"), (weight < 0, "negative")):
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(f"sample_weight is {what} ({weight[row]}) at row {row}: weights are counts, 0 or more")
    if not weight.any():
        raise DataError("every sample weight is zero: at least one row must count")
    return weight


def known_labels(y: Any, n_rows: int) -> np.ndarray | None:
    """Labels as int32 with −1 for unknown, or None where ``y`` says nothing about components.

    scikit-learn hands every estimator the y of a pipeline, so y counts as labels only if it marks unknown ones by −1.
    """
    if y is None:
        return None
    label = np.asarray(y)
    if label.ndim != 1 or label.dtype.kind not in "iuf" or not (label == -1).any():
        return None
    if len(label) != n_rows:
        raise DataError(f"y has {len(label)} labels for {n_rows} rows")
    if not np.array_equal(label, np.round(label)) or label.min() < -1:
        raise DataError("y must hold component numbers 0, 1, … and −1 where the component is unknown")
    return label.astype(np.int32)
