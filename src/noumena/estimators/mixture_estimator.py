"""What every fitted mixture answers, whatever its family."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from ..core.result import Status, Trace
from ..data.summary import summarise
from ..data.table import Table
from ..models.mixture import Mixture, evaluate
from .inputs import row_weights, table_for_use
from .mixture_fitting import Problem


def double_precision() -> AbstractContextManager:
    """Float64 inside our own calls; the user's JAX configuration is not touched."""
    return jax.enable_x64(True)


class MixtureEstimator(DensityMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base of the mixture estimators.

    Subclasses set, in ``fit``: ``weights_``, ``n_parameters_``, ``log_likelihood_``, ``trace_``, ``status_``,
    ``n_iter_`` and ``_model`` (a `noumena.models.mixture.Mixture` of NumPy arrays).
    """

    weights_: np.ndarray
    n_parameters_: int
    log_likelihood_: float
    trace_: Trace
    status_: Status
    n_iter_: int
    n_features_in_: int
    _model: Mixture

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @property
    def converged_(self) -> bool:
        """Whether the stopping rule was met."""
        check_is_fitted(self)
        return self.status_ is Status.CONVERGED

    @property
    def _n_features_out(self) -> int:
        return len(self.weights_)

    def predict(self, X: Any) -> np.ndarray:
        """Most probable component of each row.

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
            out[rows] = posterior.argmax(axis=1)
        return out

    def predict_proba(self, X: Any) -> np.ndarray:
        """p(z = k | observed cells) of each row, shape (n_rows, n_components)."""
        table = self._table(X)
        out = np.empty((table.n_rows, len(self.weights_)))
        for rows, _, posterior in self._rows(table):
            out[rows] = posterior
        return out

    def transform(self, X: Any) -> np.ndarray:
        """The rows in the coordinates of the mixture: `predict_proba`, as a step of a pipeline."""
        return self.predict_proba(X)

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Fit, then `predict` the same rows."""
        return self.fit(X, y, sample_weight=sample_weight).predict(X)  # type: ignore[attr-defined]

    def score_samples(self, X: Any) -> np.ndarray:
        """log p(observed cells) of each row in nats, shape (n_rows,); 0 for a wholly missing row."""
        table = self._table(X)
        out = np.empty(table.n_rows)
        for rows, bound, _ in self._rows(table):
            out[rows] = bound
        return out

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:  # type: ignore[override]
        """Average of `score_samples`, weighted; ``y`` is not used."""
        values = self.score_samples(X)
        return float(np.average(values, weights=row_weights(sample_weight, len(values))))

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Akaike's criterion −2ℓ + 2 df of these rows (lower is better)."""
        values = self.score_samples(X)
        weight = row_weights(sample_weight, len(values))
        return float(-2 * _total(values, weight) + 2 * self.n_parameters_)

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Schwarz' criterion −2ℓ + df log n of these rows (lower is better; mclust's has the other sign)."""
        values = self.score_samples(X)
        weight = row_weights(sample_weight, len(values))
        n = len(values) if weight is None else weight.sum()
        return float(-2 * _total(values, weight) + self.n_parameters_ * np.log(n))

    def icl(self, X: Any, sample_weight: Any = None) -> float:
        """BIC of the complete data, each row in its most probable component (Biernacki, Celeux & Govaert 2000).

        ``bic − 2 Σ log max_k p(z = k | x)``, lower is better: overlapping components are paid for.
        """
        table = self._table(X)
        weight = row_weights(sample_weight, table.n_rows)
        total, certainty = 0.0, 0.0
        for rows, bound, posterior in self._rows(table):
            w = np.ones(len(rows)) if weight is None else weight[rows]
            total += float(w @ bound)
            certainty += float(w @ np.log(posterior.max(axis=1)))
        n = table.n_rows if weight is None else weight.sum()
        return float(-2 * total + self.n_parameters_ * np.log(n) - 2 * certainty)

    def _table(self, X: Any) -> Table:
        check_is_fitted(self)
        return table_for_use(self, X)

    def _rows(self, table: Table) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Row numbers, log p(x) and p(z | x), block by block; the rows of a block need not follow each other."""
        problem = Problem(table, summarise(table), None, None)
        with double_precision():
            blocks = problem.blocks(self._model.family, len(self.weights_)).indexed()
            for block, index in blocks:
                bound, posterior = (np.asarray(part) for part in evaluate(self._model, block))
                used = index >= 0
                yield index[used], bound[used], posterior[used]


def _total(values: np.ndarray, weight: np.ndarray | None) -> float:
    return float(values.sum() if weight is None else weight @ values)
