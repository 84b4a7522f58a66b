"""A fitted mixture of regressions with its rows, for drawings and tables; its curves come from its own methods."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.errors import NoumenaError
from ..data.coded import Columns, codes, read_columns
from ..data.columns import from_arrow
from ..data.table import ArrayTable
from ..estimators.inputs import row_weights
from ..estimators.regression_mixture import RegressionMixture
from .fitted import Fitted, level_name

#: Points of a curve.
_POINTS = 200


@dataclass(frozen=True)
class Covariate:
    """A regressor or a concomitant variable.

    Attributes
    ----------
    column : str or int
        Name, or position where the table had no names.
    levels : tuple, or None
        Where it is a category: its levels, the reference first.
    values : array, shape (n_rows,)
        Numbers, or codes of levels.
    usual : float
        The mean of all rows, or the code of the most common level: where it is held while another one varies.
    """

    column: str | int
    levels: tuple[Any, ...] | None
    values: np.ndarray
    usual: float

    @property
    def name(self) -> str:
        return self.column if isinstance(self.column, str) else f"x{self.column}"

    @property
    def called(self) -> list[str]:
        """Its levels as they are written."""
        return [level_name(level) for level in self.levels or ()]

    @property
    def grid(self) -> np.ndarray:
        """Where curves along it are evaluated."""
        if self.levels is not None:
            return np.arange(len(self.levels), dtype=float)
        return np.linspace(self.values.min(), self.values.max(), _POINTS)

    def cells(self, values: np.ndarray) -> list[Any]:
        """Values as a table holds them."""
        return values.tolist() if self.levels is None else [self.levels[int(code)] for code in values]

    @classmethod
    def of(cls, columns: Columns, column: str | int, levels: tuple[Any, ...] | None, weight: np.ndarray) -> "Covariate":
        """The covariate in a table whose rows have these weights."""
        own = columns.select([column])
        if levels is None:
            values = from_arrow(own.arrays[0])
            return cls(column, None, values, float(np.average(values, weights=weight)))
        values = codes(own.arrays[0], levels, own.described(0))
        return cls(column, levels, values, float(np.bincount(values.astype(int), weight).argmax()))


@dataclass(frozen=True)
class FittedRegression(Fitted):
    """A fitted mixture of regressions, and the rows to tell of.

    Attributes
    ----------
    response : str
        What the response is called.
    table : ArrayTable
        The response given the covariates, as the estimator's E-step takes them.
    weight : array, shape (n_rows,), or None
    regressors, concomitant : tuple of Covariate
    """

    response: str
    table: ArrayTable
    weight: np.ndarray | None
    regressors: tuple[Covariate, ...]
    concomitant: tuple[Covariate, ...]

    @property
    def y(self) -> np.ndarray:
        """The response as numbers, shape (n_rows,); 1 for the second class of a logistic regression."""
        return self.table.array[:, 0]

    @property
    def covariates(self) -> list[Covariate]:
        """Each covariate once."""
        return list({one.column: one for one in (*self.regressors, *self.concomitant)}.values())

    @property
    def classes(self) -> tuple[str, ...]:
        """The two values of a logistic response, as they are written."""
        return tuple(map(level_name, getattr(self.estimator, "classes_", ())))

    @property
    def expectation(self) -> str:
        """What curves show: E[y], or the probability of the second class."""
        return f"P({self.response} = {self.classes[1]})" if self.classes else self.response

    def expected(self) -> np.ndarray:
        """E[y | x, k] of every row, shape (n_rows, K)."""
        return self.estimator.predict_by_component(self._rows({one.column: one.values for one in self.covariates}))

    def posterior(self) -> np.ndarray:
        """p(z = k | x, y) of every row, shape (n_rows, K)."""
        out = np.empty((self.table.n_rows, len(self.weights)))
        for index, _, posterior in self.rows(self.table):
            out[index] = posterior
        return out

    def curves(self, covariate: Covariate) -> np.ndarray:
        """E[y | x, k] along the grid of a covariate, the others at their usual values, shape (n, K)."""
        return self.estimator.predict_by_component(self._along(covariate))

    def weight_curves(self, covariate: Covariate) -> np.ndarray:
        """The weight of each component along the grid of a covariate, the others at their usual values."""
        return self.estimator.component_proba(self._along(covariate))

    def _along(self, covariate: Covariate) -> pa.Table:
        grid = covariate.grid
        fixed = {one.column: np.full(len(grid), one.usual) for one in self.covariates}
        return self._rows(fixed | {covariate.column: grid})

    def _rows(self, values: dict[str | int, np.ndarray]) -> pa.Table:
        """A table of covariates that the estimator takes."""
        n = len(next(iter(values.values()))) if values else self.table.n_rows
        held = {one.column: one.cells(values[one.column]) for one in self.covariates}
        if not hasattr(self.estimator, "feature_names_in_"):  # by position, so that every column must be there
            held = {j: held.get(j, [0.0] * n) for j in range(self.estimator.n_features_in_)}
        elif not held:
            held = {self.estimator.feature_names_in_[0]: [0.0] * n}
        return pa.table({str(column): cells for column, cells in held.items()})

    def standard_errors(self) -> Any:
        """As the estimator gives them of these rows."""
        y = self.y if not self.classes else np.array(self.estimator.classes_, dtype=object)[self.y.astype(int)]
        x = self._rows({one.column: one.values for one in self.covariates})
        return self.estimator.standard_errors(x, y, sample_weight=self.weight)


def regression_taken_apart(estimator: Any, X: Any, y: Any, what: str, sample_weight: Any = None) -> FittedRegression:
    """The parts of a fitted mixture of regressions, with rows.

    Parameters
    ----------
    estimator : RegressionMixture
    X : table
    y : array, or str
        The responses, or the name of their column in X.
    what : str
        What needs them, for the message.
    sample_weight : array, optional

    Raises
    ------
    NoumenaError
        Where it is not fitted.
    TypeError
        Where there is no table, or no response.
    """
    if not hasattr(estimator, "weights_"):
        raise NoumenaError(f"{what} needs a fitted mixture, and this is a {type(estimator).__name__}: call fit first")
    if X is None or y is None:
        raise TypeError(f"{what} needs the rows and their responses: pass X and y (an array, or the name of a column)")
    columns, response = read_columns(X), "y"
    if isinstance(y, str):
        y, response = np.asarray(columns.select([y]).arrays[0]), y
    elif getattr(y, "name", None) is not None:  # a column of a data frame
        response = str(y.name)
    table = estimator._table(X, y)
    weight = row_weights(sample_weight, table.n_rows)
    each = np.ones(table.n_rows) if weight is None else weight

    def covariates(design: Any) -> tuple[Covariate, ...]:
        if design is None:
            return ()
        named = zip(design.columns, design.levels, strict=True)
        return tuple(Covariate.of(columns, column, levels, each) for column, levels in named)

    regressors, concomitant = covariates(estimator._design), covariates(estimator._gate_design)
    return FittedRegression(estimator, estimator.weights_, None, response, table, weight, regressors, concomitant)


def is_regression(estimator: Any) -> bool:
    """Whether an estimator is a mixture of regressions: it has a response, which the drawings need."""
    return isinstance(estimator, RegressionMixture)
