"""The face of the mixtures that are densities of a table's rows."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from ..core.errors import ColumnMismatchError, DataError
from ..data.summary import check_columns, summarise
from ..data.table import Table
from ..families.family import Family
from ..families.with_noise import Kind, WithNoise
from ..models.standard_errors import StandardErrors
from .inputs import known_labels, row_weights, table_for_fit, table_for_use
from .mixture_fitter import MixtureFitter
from .mixture_fitting import Problem

#: Convex hulls take time and memory that grow with the power of half the number of columns.
_MOST_HULL = 8


class MixtureEstimator(DensityMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, MixtureFitter):
    """Base of the mixture estimators that are densities of a table's rows."""

    n_features_in_: int

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _check_columns(self, problem: Problem) -> None:
        """Refuse columns that the family cannot take."""
        check_columns(problem.summary, self._column_names())

    noise: str | None = None

    def _kinds(self) -> tuple[Kind, ...]:
        """What the cells of each column are."""
        return ("number",) * self.n_features_in_

    def _noisy(self, problem: Problem, family: Callable[[int], Family]) -> Callable[[int], Family]:
        if self.noise is None:
            return family
        if self.noise not in ("box", "hull"):
            raise ValueError(f'noise={self.noise!r}: choose "box", "hull" or None')
        kinds, summary, names = self._kinds(), problem.summary, self._column_names()
        low, high = summary.minimum, summary.maximum
        for name, kind, least, most in zip(names, kinds, low, high, strict=True):
            if kind == "number" and least == most:
                raise DataError(f"column {name!r} is constant (always {least:g}), no room for noise: leave it out")
        if self.noise == "box":
            return lambda size: WithNoise.box(family(size), low, high, kinds)
        others = [repr(name) for name, kind in zip(names, kinds, strict=True) if kind != "number"]
        if others or summary.any_missing or len(names) > _MOST_HULL or summary.n_rows <= len(names) + 1:
            why = (
                f"column {others[0]} does not hold real numbers"
                if others
                else "some cells are missing"
                if summary.any_missing
                else f"{len(names)} columns are more than {_MOST_HULL}"
                if len(names) > _MOST_HULL
                else f"{summary.n_rows} rows are too few"
            )
            raise DataError(f'noise="hull" needs the convex hull of the rows, but {why}: use noise="box"')
        from scipy.spatial import QhullError

        x = problem.table.to_array()
        try:
            WithNoise.hull(family(1), x)
        except QhullError as error:
            raise DataError(
                'noise="hull" needs columns that span a region, but some of these determine others: use noise="box", '
                "or leave one of them out"
            ) from error
        return lambda size: WithNoise.hull(family(size), x)

    def _read(self, X: Any) -> Table:
        """The table of a fit; sets ``n_features_in_`` and ``feature_names_in_``."""
        return table_for_fit(self, X, least_rows=2)

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the mixture.

        Parameters
        ----------
        X : table, shape (n_rows, d)
            NumPy array, data frame (pandas, polars, Arrow, …), or the path of a CSV or Parquet file or folder. NaN,
            null and NA are missing cells.
        y : array of int, shape (n_rows,), optional
            Known components, −1 where unknown. A ``y`` without any −1 is not used, as pipelines hand one to every step.
        sample_weight : array, shape (n_rows,), optional
            Non-negative; a row of weight 2 counts as the row twice.

        Returns
        -------
        self

        Raises
        ------
        DataError
            For a table, weights or labels that cannot be used; names the column or row.

        Warns
        -----
        ConvergenceWarning
            Where ``max_iter`` was not enough.
        DegenerateWarning
            Where a component collapsed.
        """
        return self._fitted(self._problem(X, y, sample_weight))

    def _problem(self, X: Any, y: Any, sample_weight: Any) -> Problem:
        """Check the table, the weights and the labels; one pass over the rows."""
        table = self._read(X)
        weight = row_weights(sample_weight, table.n_rows)
        problem = Problem(table, summarise(table, weight), weight, known_labels(y, table.n_rows))
        self._check_columns(problem)
        return problem

    def _column_names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", None)
        return [f"x{i}" for i in range(self.n_features_in_)] if names is None else list(names)

    def standard_errors(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        method: str = "observed",
        n_bootstrap: int = 200,
        random_state: Any = None,
    ) -> StandardErrors:
        """Standard errors of the weights and of the components' parameters.

        Parameters
        ----------
        X : table
            The rows that the mixture was fitted on.
        y, sample_weight : array, optional
            As in `fit`.
        method : {"observed", "bootstrap"}, default="observed"
            The inverse of the observed information, by automatic differentiation of the log likelihood in free
            coordinates (missing cells cost information, as they should); or refits of ``n_bootstrap`` tables of rows
            drawn with replacement.
        n_bootstrap : int, default=200
        random_state : int, RandomState or None
            For the bootstrap; the estimator's own where None.

        Returns
        -------
        StandardErrors
            With the attributes of the estimates: ``errors.weights``, ``errors.means``, …

        Raises
        ------
        InformationError
            Where the information has no inverse (the fit is not at an inner maximum).
        """
        table = self._table(X)
        weight, label = row_weights(sample_weight, table.n_rows), known_labels(y, table.n_rows)
        problem = Problem(table, summarise(table, weight), weight, label)
        return self._standard_errors(problem, method, n_bootstrap, random_state)

    @property
    def _n_features_out(self) -> int:
        return len(self._model.weights)

    def predict(self, X: Any) -> np.ndarray:
        """Most probable component of each row; −1 for the background, where the mixture has one.

        Parameters
        ----------
        X : table
            Any table with the columns of the fit; missing cells may be anywhere.

        Returns
        -------
        array of int, shape (n_rows,)
        """
        table = self._table(X)
        out = np.empty(table.n_rows, dtype=np.int64)
        for rows, _, posterior in self._rows(table):
            out[rows] = posterior.argmax(axis=1) - self._model.family.background
        return out

    def predict_proba(self, X: Any) -> np.ndarray:
        """p(z = k | observed cells) of each row, shape (n_rows, n_components); a background's comes last, as k = −1."""
        return np.roll(self._posterior(self._table(X)), -self._model.family.background, axis=1)

    def transform(self, X: Any) -> np.ndarray:
        """The rows in the coordinates of the mixture: `predict_proba`, as a step of a pipeline."""
        return self.predict_proba(X)

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Fit, then `predict` the same rows."""
        return self.fit(X, y, sample_weight=sample_weight).predict(X)

    def score_samples(self, X: Any) -> np.ndarray:
        """log p(observed cells) of each row in nats, shape (n_rows,); 0 for a wholly missing row."""
        return self._log_density(self._table(X))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:  # type: ignore[override]
        """Average of `score_samples`, weighted; ``y`` is not used."""
        values = self.score_samples(X)
        return float(np.average(values, weights=row_weights(sample_weight, len(values))))

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Akaike's criterion −2ℓ + 2 df of these rows (lower is better)."""
        return self._aic(self._table(X), sample_weight)

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Schwarz' criterion −2ℓ + df log n of these rows (lower is better; mclust's has the other sign)."""
        return self._bic(self._table(X), sample_weight)

    def icl(self, X: Any, sample_weight: Any = None) -> float:
        """BIC of the complete data, each row in its most probable component (Biernacki, Celeux & Govaert 2000).

        ``bic − 2 Σ log max_k p(z = k | x)``, lower is better: overlapping components are paid for.
        """
        return self._icl(self._table(X), sample_weight)

    def _positions(self, columns: Any) -> np.ndarray:
        names = self._column_names()
        where = []
        for column in columns:
            if isinstance(column, str):
                if column not in names:
                    raise ColumnMismatchError(f"no column {column!r}: the model has {', '.join(names)}")
                where.append(names.index(column))
            elif -len(names) <= column < len(names):
                where.append(int(column) % len(names))
            else:
                raise ColumnMismatchError(f"no column {column}: the model has {len(names)}")
        if len(set(where)) != len(where) or not where:
            raise ColumnMismatchError(f"columns {list(columns)} must be at least one, each named once")
        return np.array(where)

    def _table(self, X: Any) -> Table:
        check_is_fitted(self)
        return table_for_use(self, X)
