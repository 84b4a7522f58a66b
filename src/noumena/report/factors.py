"""A fitted factor model as drawings and tables see it: standardised loadings, communalities, correlations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import NoumenaError
from ..data.table import Table
from ..estimators.bayesian_pca import BayesianPCA
from ..estimators.factor_estimator import FactorEstimator
from ..models.factor import at_floor
from .rows import sample_rows, take_rows

#: Loadings below this are not spoken of.
SALIENT = 0.3
#: Rows whose factors are found at once, for each has a covariance of its own.
_RUN = 512


@dataclass(frozen=True)
class FittedFactors:
    """A fitted factor model, taken apart.

    Attributes
    ----------
    estimator : FactorAnalysis, ProbabilisticPCA or BayesianPCA
    names : list of str
        Of the d columns.
    factors : list of str
        Of the q factors.
    loadings : array, shape (d, q)
        Of columns of variance 1.
    correlations : array, shape (q, q)
        Of the factors.
    communalities : array, shape (d,)
    deviation : array, shape (d,)
        Standard deviation of each column under the model.
    free : array of bool, shape (d, q)
        Loadings that are estimated; the others are 0.
    heywood : array of bool, shape (d,)
        Columns that the factors leave no noise of.
    """

    estimator: Any
    names: list[str]
    factors: list[str]
    loadings: np.ndarray
    correlations: np.ndarray
    communalities: np.ndarray
    deviation: np.ndarray
    free: np.ndarray
    heywood: np.ndarray

    @property
    def oblique(self) -> bool:
        """Whether the factors correlate."""
        return not np.allclose(self.correlations, np.eye(len(self.factors)), rtol=0, atol=1e-9)

    @property
    def bayesian(self) -> bool:
        return isinstance(self.estimator, BayesianPCA)

    @property
    def undetermined(self) -> bool:
        """Whether factors without a pattern take more parameters than d columns have covariances."""
        (d, q), own = self.loadings.shape, self.estimator._model.structure
        return own.free is None and d * q - q * (q - 1) // 2 + own.groups.shape[1] > d * (d + 1) // 2

    @property
    def noise(self) -> np.ndarray:
        """Variance of each column's noise, in its own units."""
        return np.broadcast_to(self.estimator.noise_variance_, len(self.names))

    @property
    def explained(self) -> np.ndarray:
        """Share of the variance of the standardised columns that each factor explains, shape (q,).

        Of correlated factors, what two of them explain together is divided between them.
        """
        crossed = self.correlations * (self.loadings.T @ self.loadings)
        return crossed.sum(axis=0) / len(self.names)

    def order(self, columns: Sequence[int]) -> list[int]:
        """Columns so that those of one factor stand together, the largest loading first."""
        size = np.abs(self.loadings)
        if not size.shape[1]:
            return list(columns)
        return sorted(columns, key=lambda j: (int(size[j].argmax()), -size[j].max(), j))

    def scores(self, x: np.ndarray) -> np.ndarray:
        """E[z | observed cells] of rows, shape (n, q)."""
        found = [self.estimator._latents(x[start : start + _RUN]).mean for start in range(0, len(x), _RUN)]
        return np.concatenate([np.empty((0, len(self.factors))), *found])


@dataclass(frozen=True)
class Scored:
    """Rows to draw, with their factors.

    Attributes
    ----------
    scores : array, shape (n, q)
    holes : array of bool, shape (n,)
        Rows with a missing cell.
    n_rows : int
        Of the whole table.
    """

    scores: np.ndarray
    holes: np.ndarray
    n_rows: int

    @classmethod
    def of(cls, fitted: FittedFactors, table: Table) -> "Scored":
        """A sample of the rows that have an observed cell."""
        cells = take_rows(table, sample_rows(table.n_rows))
        hole = np.isnan(cells)
        some = np.flatnonzero(~hole.all(axis=1))
        return cls(fitted.scores(cells[some]), np.any(hole[some], axis=1), table.n_rows)


def is_factors(estimator: Any) -> bool:
    """Whether an estimator is a factor model."""
    return isinstance(estimator, FactorEstimator)


def factors_taken_apart(estimator: Any, what: str) -> FittedFactors:
    """The parts of a fitted factor model.

    Parameters
    ----------
    estimator : FactorEstimator
    what : str
        What needs them, for the message.

    Raises
    ------
    NoumenaError
        Where it is not fitted.
    """
    if not hasattr(estimator, "loadings_"):
        raise NoumenaError(f"{what} needs a fitted factor model, and this is a {type(estimator).__name__}: call fit")
    own = estimator._model
    deviation = np.sqrt(np.diagonal(own.covariance()))
    loadings = estimator.loadings_ / deviation[:, None]
    q = loadings.shape[1]
    free = own.structure.free
    return FittedFactors(
        estimator,
        estimator._column_names(),
        list(getattr(estimator, "factor_names_", [f"factor {k + 1}" for k in range(q)])),
        loadings,
        np.asarray(own.parameters.latent),
        np.einsum("jk,kl,jl->j", loadings, own.parameters.latent, loadings),
        deviation,
        np.ones(loadings.shape, dtype=bool) if free is None else np.asarray(free),
        at_floor(own),
    )
