"""Covariates of augmented regressions: any table, or a sparse matrix, in coordinates that suit least squares."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float
from scipy.sparse import issparse

from ..core.errors import DataError
from ..data.coded import Columns, read_columns
from ..data.design import Design
from ..data.table import ArrayTable, SparseTable, read_table
from ..models.augmented_rows import DenseFeatures, Features, SparseFeatures
from .inputs import adopt_columns

#: Cells of a block of rows.
_BLOCK_CELLS = 2**20
#: A column of which the others leave less than this share of its variance is determined by them.
_DETERMINED = 1e-10


@final
@dataclass(frozen=True)
class Covariates:
    """The covariates of some rows as numbers.

    Attributes
    ----------
    matrix : array or CSR matrix, shape (rows, p)
        Without the intercept.
    names : tuple of str
        Of its columns.
    owner : tuple of int
        The column of the table that each column of ``matrix`` comes from.
    """

    matrix: Any
    names: tuple[str, ...]
    owner: tuple[int, ...]

    @property
    def n_rows(self) -> int:
        return self.matrix.shape[0]


def numeric(X: Any) -> bool:
    """Whether a table is an array of numbers, or sparse, so that no column can hold text."""
    return issparse(X) or (isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "biuf")


def covariates_for_fit(estimator: Any, X: Any, holes: bool) -> tuple[Covariates, Design | None]:
    """Read the covariates, and set ``n_features_in_`` and ``feature_names_in_``.

    The design, by which tables with text and categories became numbers, is None where there were numbers only. Where
    ``holes`` may be, missing numbers are NaN.
    """
    if numeric(X):
        adopt_columns(estimator, X.shape[1], None)
        return _of_numbers(X, holes), None
    columns = read_columns(X)
    adopt_columns(estimator, len(columns.arrays), columns.names)
    design = Design.of(columns, None, False, "covariate", check=False)
    for j, levels in enumerate(design.levels):
        if levels is not None and len(levels) == 1:
            raise DataError(f"{columns.described(j)} is constant (always {levels[0]!r}): leave it out")
    return _of_columns(columns, design, holes), design


def covariates_for_use(estimator: Any, X: Any, design: Design | None, holes: bool) -> Covariates:
    """Read covariates that must have the columns of the fit."""
    if not numeric(X):
        columns = read_columns(X)
        if columns.names is None or not hasattr(estimator, "feature_names_in_"):
            _check_count(estimator, len(columns.arrays))
        if design is None:
            numbers = [np.asarray(a.to_numpy(zero_copy_only=False)) for a in columns.arrays]
            return _of_numbers(np.column_stack(numbers), holes)
        return _of_columns(columns, design, holes)
    _check_count(estimator, X.shape[1])
    if design is None:
        return _of_numbers(X, holes)
    return _of_columns(read_columns(X.toarray() if issparse(X) else X), design, holes)


def _check_count(estimator: Any, count: int) -> None:
    if count != estimator.n_features_in_:
        raise DataError(
            f"X has {count} features, but {type(estimator).__name__} is expecting {estimator.n_features_in_} features "
            "as input."
        )


def _of_numbers(X: Any, holes: bool) -> Covariates:
    if holes and issparse(X):
        raise DataError('missing="normal" takes no sparse matrix: pass X.toarray()')
    table = read_table(X)
    names = tuple(f"x{j}" for j in range(table.n_columns))
    if isinstance(table, SparseTable):
        matrix = table.matrix
        bad = np.flatnonzero(np.isnan(matrix.data))
        if len(bad):
            row = int(np.searchsorted(matrix.indptr, bad[0], side="right")) - 1
            raise _missing(names[matrix.indices[bad[0]]], row)
    else:
        assert isinstance(table, ArrayTable)
        matrix = np.asarray(table.array, dtype=float)
        if not holes and np.isnan(np.dot(np.ones(len(matrix)), matrix).sum()):  # one pass without a copy
            row, column = (int(place[0]) for place in np.nonzero(np.isnan(matrix)))
            raise _missing(names[column], row)
    return Covariates(matrix, names, tuple(range(table.n_columns)))


def _missing(name: str, row: int) -> DataError:
    return DataError(
        f"covariate {name!r} is missing (NaN) at row {row}: fill it in first (noumena's impute can), leave the row "
        'out, or integrate the cell out (missing="normal")'
    )


def _of_columns(columns: Columns, design: Design, holes: bool) -> Covariates:
    owner = [j for j, levels in enumerate(design.levels) for _ in range(1 if levels is None else len(levels) - 1)]
    return Covariates(design.matrix(columns, "covariate", holes), design.names, tuple(owner))


@final
@dataclass(frozen=True)
class Frame:
    """z = (x − location)/scale, after a 1 where there is an intercept (whose location is 0 and scale 1).

    Without an intercept the location is 0, but for ordered probits: there the thresholds move with it.

    Attributes
    ----------
    location, scale : array, shape (p,)
        The intercept's place, if there is one, included.
    intercept : bool
    """

    location: Float[np.ndarray, " p"]
    scale: Float[np.ndarray, " p"]
    intercept: bool

    @classmethod
    def of(cls, matrix: Any, weight: np.ndarray | None, intercept: bool, centred: bool) -> "Frame":
        """Scaled by standard deviations where ``centred``, as with an intercept, or else root mean squares."""
        weight = np.ones(matrix.shape[0]) if weight is None else weight
        total = weight.sum()
        mean = np.asarray(matrix.T @ weight) / total if centred else np.zeros(matrix.shape[1])
        if issparse(matrix):
            square = np.asarray(matrix.multiply(matrix).T @ weight) / total - mean**2
        else:
            square = np.zeros(matrix.shape[1])
            for part in _slices(*matrix.shape):
                square += weight[part] @ (matrix[part] - mean) ** 2 / total
        # a constant column's mean is off by rounding, which is no spread
        floor = (64 * np.finfo(float).eps * np.maximum(np.abs(mean), 0.0)) ** 2 * (1e8 if issparse(matrix) else 1.0)
        scale = np.where(square > floor, np.sqrt(np.maximum(square, 0.0)), 0.0)
        if intercept:
            mean, scale = np.append(0.0, mean), np.append(1.0, scale)
        return cls(mean, scale, intercept)

    def features(self, matrix: Any) -> Iterator[tuple[slice, Features]]:
        """The rows z, block by block."""
        i = int(self.intercept)
        for part in _slices(matrix.shape[0], matrix.shape[1] + 1):
            own = matrix[part]
            if issparse(matrix):
                yield part, SparseFeatures(own, self.location, self.scale, self.intercept)
                continue
            z = np.empty((own.shape[0], len(self.location)))
            z[:, :i] = 1.0
            np.subtract(own, self.location[i:], out=z[:, i:])
            z[:, i:] /= self.scale[i:]
            yield part, DenseFeatures(z)

    def leave(self, weights: Float[np.ndarray, "K p"]) -> tuple[np.ndarray, np.ndarray]:
        """Intercepts, shape (K,), and slopes, shape (K, p without the intercept), of the covariates as they are."""
        raw = weights / self.scale
        if not self.intercept:
            return np.zeros(len(raw)), raw
        return raw[:, 0] - raw @ self.location, raw[:, 1:]

    def centre(self, weights: Float[np.ndarray, "K p"]) -> Float[np.ndarray, " K"]:
        """What a predictor has at x = location beside the intercept: the frame takes it off."""
        return weights @ (self.location / self.scale)

    @property
    def about_means(self) -> bool:
        """Whether scales are standard deviations, not root mean squares (of means of 0, both are the same)."""
        return self.intercept or bool(self.location.any())

    @property
    def jacobian(self) -> Float[np.ndarray, "p p"]:
        """Of intercept (where there is one) and slopes, by weights in the frame."""
        found = np.diag(1 / self.scale)
        if self.intercept:
            found[0, 1:] = -self.location[1:] / self.scale[1:]
        return found


def _slices(n_rows: int, n_columns: int) -> Iterator[slice]:
    step = min(max(_BLOCK_CELLS // max(n_columns, 1), 256), 65_536)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def refuse_constant(frame: Frame, names: tuple[str, ...], matrix: Any) -> None:
    """Refuse columns that do not vary (or are 0 throughout, where there is no intercept)."""
    still = np.flatnonzero(frame.scale[int(frame.intercept) :] == 0)
    if len(still):
        value = matrix[:1].toarray()[0, still[0]] if issparse(matrix) else matrix[0, still[0]]
        raise DataError(f"covariate {names[still[0]]!r} is constant (always {value:g}): leave it out")


def refuse_determined(gram: Float[np.ndarray, "p p"], names: list[str]) -> None:
    """Refuse columns that those before them determine: their weights are not identified without a prior.

    Parameters
    ----------
    gram : array, shape (p, p)
        Σ zzᵀ.
    """
    scale = np.sqrt(np.diagonal(gram))
    rest = gram / np.outer(scale, scale)
    for j in range(len(rest)):  # Cholesky by outer products: the diagonal is the variance that is left
        if rest[j, j] < _DETERMINED:
            before = [name for name in names[:j] if name != "intercept"]
            raise DataError(
                f"covariate {names[j]!r} is determined by the others ({', '.join(before[:10])}"
                f"{' …' if len(before) > 10 else ''}): leave one of them out, or use a prior"
            )
        column = rest[j + 1 :, j] / np.sqrt(rest[j, j])
        rest[j + 1 :, j + 1 :] -= np.outer(column, column)
