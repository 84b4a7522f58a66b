"""A fitted regression by augmentation, and rows with their responses, as drawings and tables see them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import issparse

from ..core.errors import DataError, NoumenaError
from ..data.coded import read_columns
from ..data.columns import positions
from ..estimators.augmented import AugmentedEstimator
from ..estimators.augmented_classifier import AugmentedClassifier
from ..estimators.augmented_inputs import Covariates, Frame, covariates_for_use, numeric
from ..estimators.inputs import row_weights
from ..estimators.missing_covariates import observed_frame
from .fitted import level_name
from .style import shown

#: A row with less than this share of the median row's weight is told from the others.
LOW_WEIGHT = 0.25


@dataclass(frozen=True)
class Answers:
    """Rows with their responses, checked.

    Attributes
    ----------
    estimator : AugmentedRegressor or AugmentedClassifier
    X : table
        As the estimator's methods take it: without the columns that ``y`` and ``censoring`` were taken from.
    given : array
        The responses as the estimator's methods take them.
    censoring : array, or None
    response : str
        What the response is called.
    y : array, shape (n_rows, 1) or (n_rows, 2)
        As the likelihood has it: numbers, ends of intervals, codes of classes.
    weight : array, shape (n_rows,), or None
    covariates : Covariates
        The design, without the intercept.
    """

    estimator: Any
    X: Any
    given: Any
    censoring: Any
    response: str
    y: np.ndarray
    weight: np.ndarray | None
    covariates: Covariates

    @property
    def n_rows(self) -> int:
        return len(self.y)

    @property
    def each(self) -> np.ndarray:
        """The weight of every row."""
        return np.ones(self.n_rows) if self.weight is None else self.weight

    @property
    def _asked(self) -> dict[str, Any]:
        return {} if isinstance(self.estimator, AugmentedClassifier) else {"censoring": self.censoring}

    @cached_property
    def log_density(self) -> np.ndarray:
        """log p(y | x) of each row."""
        return self.estimator.log_density(self.X, self.given, **self._asked)

    @property
    def log_likelihood(self) -> float:
        return float(self.each @ self.log_density)

    @cached_property
    def prediction(self) -> np.ndarray:
        """The linear predictor of each row, shape (n_rows,); of classes their probabilities, shape (n_rows, J)."""
        if isinstance(self.estimator, AugmentedClassifier):
            return self.estimator.predict_proba(self.X)
        return self.estimator.predict(self.X)

    @property
    def observed_probability(self) -> np.ndarray:
        """The probability that each row's own class was given."""
        return np.take_along_axis(self.prediction, self.y.astype(int), axis=1)[:, 0]

    @cached_property
    def low(self) -> np.ndarray | None:
        """Rows that count for little beside the median row; None where the likelihood gives none a weight."""
        if isinstance(self.estimator, AugmentedClassifier):
            return None
        latent = self.estimator.latents(self.X, self.given, **self._asked).get("weight")
        return None if latent is None else latent < LOW_WEIGHT * np.median(latent[self.each > 0])

    @property
    def censored(self) -> np.ndarray:
        """Rows of which only an interval is known."""
        return self.y[:, 0] != self.y[:, -1]

    def standard_errors(self) -> Any:
        """As the estimator gives them of these rows."""
        return self.estimator.standard_errors(self.X, self.given, sample_weight=self.weight, **self._asked)


@dataclass(frozen=True)
class FittedAugmented:
    """A fitted regression by augmentation, taken apart.

    Attributes
    ----------
    estimator : AugmentedRegressor or AugmentedClassifier
    names : list of str
        Of the p coefficients of one predictor.
    columns : list of str
        Of the table.
    owner : array of int, shape (p,)
        Which column each coefficient belongs to.
    coef : array, shape (K, p)
        In the units of the data.
    deviation : array, shape (p,)
        Standard deviation of each column of the design; without an intercept and without rows its root mean square.
    answers : Answers, or None
    """

    estimator: Any
    names: list[str]
    columns: list[str]
    owner: np.ndarray
    coef: np.ndarray
    deviation: np.ndarray
    answers: Answers | None

    @property
    def response(self) -> str:
        return "the response" if self.answers is None else self.answers.response

    @property
    def classes(self) -> list[str]:
        """As they are written; none of a regressor."""
        return [level_name(value) for value in np.asarray(getattr(self.estimator, "classes_", ())).tolist()]

    @property
    def kind(self) -> str:
        """The likelihood, or the link."""
        return getattr(self.estimator, "likelihood", None) or self.estimator.link

    @property
    def predictors(self) -> list[str]:
        """What each linear predictor is called, where there are several: the class that it belongs to."""
        return self.classes[1:] if len(self.coef) > 1 else [""]

    @property
    def effects(self) -> np.ndarray:
        """What one standard deviation of a column changes, shape (K, p)."""
        return self.coef * self.deviation

    @property
    def size(self) -> np.ndarray:
        """The largest effect of each column of the design, shape (p,)."""
        return np.abs(self.effects).max(axis=0)

    @property
    def uncertain(self) -> bool:
        """Whether the weights have a posterior."""
        return hasattr(self.estimator, "covariance_")

    @property
    def posterior_deviation(self) -> np.ndarray | None:
        """Standard deviations of the coefficients under the posterior, shape (K, p), where there is one."""
        if not self.uncertain:
            return None
        variance = np.maximum(np.diagonal(self.estimator.covariance_), 0.0).reshape(len(self.coef), -1)
        return np.sqrt(variance)[:, int(self.estimator._frame.intercept) :]

    @property
    def unit(self) -> str:
        """What the effects are those of."""
        known = self.estimator._frame.about_means or self.answers is not None
        return f"one {'standard deviation' if known else 'root mean square'} of the column"

    @property
    def scale(self) -> str:
        """What coefficients change, in words."""
        kind, name = self.kind, shown(self.response, 32)
        classes = [shown(one, 24) for one in self.classes]
        if kind == "laplace":
            return f"the median of {name}"
        if kind == "asymmetric_laplace":
            return f"the {self.estimator.quantile:g} quantile of {name}"
        if kind == "logit":
            return f"the log odds of {classes[1]}"
        if kind == "multinomial_logit":
            return f"the log odds against {classes[0]}"
        if kind == "multinomial_probit":
            return f"the utility, compared with {classes[0]}"
        if kind == "probit":
            return f"the latent response, above 0 for {classes[1]}"
        return "the latent response" if kind == "ordered_probit" else name

    def chosen(self, columns: Any) -> list[int]:
        """The coefficients of these columns of the table, given by name or position; all by default."""
        if columns is None:
            return list(range(len(self.names)))
        wanted = positions(list(columns), tuple(self.columns), len(self.columns))
        return [j for j in range(len(self.names)) if self.owner[j] in wanted]


def coefficient_errors(fitted: FittedAugmented, errors: Any) -> np.ndarray | None:
    """Standard errors of the coefficients, shape (K, p): of the posterior, else those that were found, if any."""
    if fitted.uncertain:
        return fitted.posterior_deviation
    return None if errors is None else np.atleast_2d(errors.coef)


def is_augmented(estimator: Any) -> bool:
    """Whether an estimator is a regression by augmentation."""
    return isinstance(estimator, AugmentedEstimator)


def augmented_taken_apart(
    estimator: Any, X: Any, y: Any, what: str, sample_weight: Any = None, censoring: Any = None
) -> FittedAugmented:
    """The parts of a fitted regression by augmentation; with rows, where they are given.

    Parameters
    ----------
    estimator : AugmentedRegressor or AugmentedClassifier
    X : table, or None
    y : array, or str, or None
        The responses, or the name of their column in X.
    what : str
        What needs them, for the message.
    sample_weight : array, optional
    censoring : array, or str, optional
        For tobit: the codes, or the name of their column in X.

    Raises
    ------
    NoumenaError
        Where it is not fitted.
    TypeError
        Where there is a table without responses, or the other way round.
    DataError
        Where these are not what the estimator can use.
    """
    name = type(estimator).__name__
    if not hasattr(estimator, "coef_"):
        raise NoumenaError(f"{what} needs a fitted regression, and this is a {name}: call fit first")
    if (X is None) != (y is None):
        lacking = "responses: pass y (an array, or the name of a column)" if y is None else "rows: pass X as well"
        raise TypeError(f"{what} of a {name} has rows with responses, and there are no {lacking}")
    if X is None and (sample_weight is not None or censoring is not None):
        raise TypeError(f"{what} of a {name}: sample_weight and censoring belong to rows, and there are none")
    if censoring is not None and getattr(estimator, "likelihood", None) != "tobit":
        raise TypeError(f'{what}: censoring belongs to likelihood="tobit": leave it out')
    answers = None if X is None else _answers(estimator, X, y, sample_weight, censoring)
    design, frame = estimator._design, estimator._frame
    levels = [None] * estimator.n_features_in_ if design is None else design.levels
    owner = [j for j, own in enumerate(levels) for _ in range(1 if own is None else len(own) - 1)]
    known = getattr(estimator, "feature_names_in_", None)
    columns = [f"x{j}" for j in range(estimator.n_features_in_)] if known is None else [str(one) for one in known]
    deviation = frame.scale[int(frame.intercept) :]
    if answers is not None and not frame.about_means:
        matrix = answers.covariates.matrix
        if issparse(matrix) or not np.isnan(matrix).any():
            deviation = Frame.of(matrix, answers.weight, intercept=False, centred=True).scale
        else:
            deviation = observed_frame(answers.covariates, answers.weight, True).scale[1:]
    return FittedAugmented(
        estimator,
        list(estimator.coef_names_),
        columns,
        np.array(owner, dtype=int),
        np.atleast_2d(estimator.coef_),
        deviation,
        answers,
    )


def _answers(estimator: Any, X: Any, y: Any, sample_weight: Any, censoring: Any) -> Answers:
    response = "y"
    if isinstance(y, str) or isinstance(censoring, str):
        if numeric(X):
            named = y if isinstance(y, str) else censoring
            raise DataError(f"{named!r} names a column, but the columns of X have no names: pass the values themselves")
        columns = read_columns(X)
        taken = [one for one in (y, censoring) if isinstance(one, str)]
        found = {one: np.asarray(columns.select([one]).arrays[0]) for one in taken}
        rest = zip(columns.names or (), columns.arrays, strict=True)
        X = pa.table({one: array for one, array in rest if one not in found})
        censoring = found[censoring] if isinstance(censoring, str) else censoring
        y, response = (found[y], y) if isinstance(y, str) else (y, response)
    if isinstance(getattr(y, "name", None), str):  # a column of a data frame
        response = y.name
    covariates = covariates_for_use(estimator, X, estimator._design, estimator.missing is not None)
    if np.ndim(y) == 0:
        raise DataError(f"y is {y!r}: pass one response for each of {covariates.n_rows} rows, or the name of a column")
    if len(y) != covariates.n_rows:
        raise DataError(f"y has {len(y)} values for {covariates.n_rows} rows: one response for each row")
    if isinstance(estimator, AugmentedClassifier):
        coded = estimator._response(y)
    else:
        coded = estimator._response(y, covariates.n_rows, censoring)
    weight = row_weights(sample_weight, covariates.n_rows)
    return Answers(estimator, X, y, censoring, response, coded, weight, covariates)
