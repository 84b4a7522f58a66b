"""The families of a regression's response: as users name them, what they take for y, as they are made."""

from typing import Any

import numpy as np
from sklearn.utils.validation import column_or_1d

from ..core.errors import DataError
from ..core.model import Fixed
from ..data.coded import Levels, codes, holds_numbers, levels_of, read_columns
from ..data.columns import from_arrow
from ..families.design import DesignFrame
from ..families.linked_regression import BernoulliRegression, PoissonRegression
from ..families.regression import NormalRegression, Regression

#: Families of the response, by the names that users write.
REGRESSIONS: dict[str, type[Regression]] = {
    "normal": NormalRegression,
    "logistic": BernoulliRegression,
    "poisson": PoissonRegression,
}
#: Standard deviation of the default prior on the coefficient of a column of standard deviation 1: effects of several
#: times that are hardly met (Gelman, Jakulin, Pittau & Su 2008, Ann. Appl. Statist. 2:1360).
_DEFAULT_SPREAD = 2.5


def response_column(estimator: Any, y: Any, n_rows: int) -> Any:
    """y as a column of a table: one value of any kind for each row."""
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None: pass the response"
        )
    array = np.asarray(y)
    try:
        array = column_or_1d(array, warn=True)
    except ValueError as error:
        raise DataError(f"{error}: y holds one response for each row") from error
    if len(array) != n_rows:
        raise DataError(f"y has {len(array)} values (samples) for {n_rows} rows: one response for each row")
    return read_columns((array if array.dtype.kind in "biuf" else array.astype(object))[:, None]).arrays[0]


def two_classes(column: Any) -> Levels:
    """The values of a logistic response; `DataError` where there are not two."""
    classes = levels_of(column, "y")
    if len(classes) != 2:
        raise DataError(
            f"y has {len(classes)} different values ({', '.join(map(repr, classes[:5]))}), a logistic regression needs "
            "2: give the mixture another family"
        )
    return classes


def response_values(column: Any, family: str, classes: Levels) -> np.ndarray:
    """A response as numbers in the support of its family; ``classes`` are those of a logistic one."""
    if family == "logistic":
        values = codes(column, classes, "y")
    elif not holds_numbers(column):
        raise DataError(f"y does not hold numbers (unknown label type): a {family} regression needs them")
    else:
        values = from_arrow(column)
    if np.isnan(values).any():
        row = int(np.flatnonzero(np.isnan(values))[0])
        raise DataError(f"y is missing (NaN) at row {row}: leave the row out, it says nothing of the regression")
    bad = ~REGRESSIONS[family].contains(values)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"y is {values[row]:g} (infinity is no number) at row {row}, but a {family} regression takes "
            f"{REGRESSIONS[family].support}: give the mixture another family"
        )
    return values


def response_family(family: str, frame: DesignFrame, prior: Any, mean: float, variance: float) -> Regression:
    """The family of a response with these moments."""
    kind, spread = REGRESSIONS[family], _spread(prior)
    if kind is not NormalRegression:
        return kind(frame, spread)
    location = mean if frame.intercept else 0.0
    return NormalRegression(frame, spread, Fixed(np.asarray(location)), Fixed(np.asarray(np.sqrt(variance))))


def _spread(prior: Any) -> Fixed | None:
    """Standard deviation of the prior on each coefficient."""
    if prior is None:
        return None
    if isinstance(prior, str):
        if prior != "default":
            raise ValueError(f'prior={prior!r}: choose "default", a standard deviation or None')
        return Fixed(np.asarray(_DEFAULT_SPREAD))
    if isinstance(prior, bool) or not 0 < float(prior) < np.inf:
        raise ValueError(f"prior={prior!r} must be a standard deviation above 0")
    return Fixed(np.asarray(float(prior)))
