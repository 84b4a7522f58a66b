"""What every factor model does, whatever its noise and its prior: rows in, factors out."""

import abc
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self, final

import equinox as eqx
import jax
import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from ..core.accelerate import accelerator
from ..core.errors import DataError, DegenerateWarning
from ..core.fit import fit
from ..core.lanes import stack
from ..core.result import Fit
from ..data.output import table_like
from ..data.table import Table
from ..families.factor_starts import principal_start
from ..families.factor_structure import FactorParameters, FactorStructure
from ..models.factor import FactorModel, FactorModelNatural, Latents, at_floor, latents, runs
from .factor_rows import FactorRows, rows_for
from .fitted_estimator import FittedEstimator
from .inputs import row_weights, table_for_fit, table_for_use
from .mixture_fitter import double_precision, printer
from .parameters import integer, real


@final
@dataclass(frozen=True)
class FactorPosterior:
    """p(z | observed cells) of rows: normal.

    Attributes
    ----------
    mean : array, shape (n, q)
    covariance : array, shape (n, q, q)
    """

    mean: np.ndarray
    covariance: np.ndarray


class FactorEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, FittedEstimator):
    """Base of the factor models: checks, fits, transforms, stores.

    Subclasses have the parameters ``tol``, ``max_iter``, ``accelerate``, ``random_state`` and ``verbose``.
    """

    tol: float
    max_iter: int
    accelerate: str | None
    verbose: int

    n_features_in_: int
    mean_: np.ndarray
    loadings_: np.ndarray
    standardized_loadings_: np.ndarray
    communalities_: np.ndarray
    _model: FactorModel

    @abc.abstractmethod
    def _structure(self, d: int, names: list[str]) -> FactorStructure:
        """What is free; the estimator's own parameters are checked here."""

    @abc.abstractmethod
    def _begin(self, rows: FactorRows, structure: FactorStructure) -> FactorModel:
        """The model that EM begins with."""

    @abc.abstractmethod
    def _presented(self, model: FactorModel) -> FactorModel:
        """The same density, its factors as users see them."""

    @abc.abstractmethod
    def _describe(self) -> None:
        """Set the fitted attributes from the model."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : table, shape (n_rows, d)
            NumPy array, data frame, or the path of a CSV or Parquet file or folder. NaN, null and NA are missing cells.
            A table without any is read once, slab by slab: all that counts are its second moments.
        y : ignored
        sample_weight : array, shape (n_rows,), optional
            Non-negative; a row of weight 2 counts as the row twice.

        Returns
        -------
        self

        Raises
        ------
        DataError
            For a table or weights that cannot be used; names the column or row.

        Warns
        -----
        ConvergenceWarning
            Where ``max_iter`` was not enough.
        DegenerateWarning
            Where the factors leave nothing of a column (a Heywood case).
        """
        table = table_for_fit(self, X, least_rows=2)
        names = self._column_names()
        structure = self._structure(table.n_columns, names)
        rows = rows_for(table, row_weights(sample_weight, table.n_rows), structure, names)
        accelerator(self.accelerate)  # refuses unknown names
        with double_precision():
            found = self._raised(self._begin(rows, structure), rows)
        model = jax.tree.map(np.asarray, found.model)
        assert isinstance(model, FactorModel)
        likelihood = self._settle(model, rows, found)
        self._adopt(Fit(self._presented(model), found.objective, likelihood, found.status, found.trace))
        self._tell()
        return self

    def _raised(self, start: FactorModel, rows: FactorRows) -> Fit:
        """EM from a start to its end."""
        return fit(
            stack([start]),
            rows.blocks,
            max_iter=integer("max_iter", self.max_iter, 1),
            tol=real("tol", self.tol, 0.0),
            accelerate=self.accelerate,
            progress=printer(self.verbose),
        )[0]

    def _settle(self, model: FactorModel, rows: FactorRows, found: Fit) -> float:
        """The log likelihood of a fit; where the bound is another number, that is kept here."""
        return found.bound

    def _adopt(self, fit: Fit) -> None:
        assert isinstance(fit.model, FactorModel)
        self._model = fit.model
        self._record(fit)
        seen = self._general(self._model.parameters)
        self.mean_, self.loadings_ = seen["mean"], seen["loadings"]
        self.standardized_loadings_, self.communalities_ = seen["standardized_loadings"], seen["communalities"]
        self._describe()

    def _general(self, own: FactorParameters) -> dict[str, np.ndarray]:
        """What users see of the parameters of any factor model, in the units of the data."""
        location, scale = self._location_and_scale()
        variance = np.einsum("jk,kl,jl->j", own.loadings, own.latent, own.loadings) + own.noise
        return {
            "mean": location + scale * own.mean,
            "loadings": own.loadings * scale[:, None],
            "standardized_loadings": own.loadings / np.sqrt(variance)[:, None],
            "communalities": 1 - own.noise / variance,
        }

    def _tell(self) -> None:
        """Warn about what the user should know of the fit just adopted."""
        self._tell_unconverged(stacklevel=3)
        heywood = [repr(name) for name, low in zip(self._column_names(), at_floor(self._model), strict=True) if low]
        if heywood:
            warnings.warn(
                f"the factors explain column {', '.join(heywood)} but for the least noise that is allowed (a Heywood "
                "case): its loadings are not to be trusted; use fewer factors, more rows, or leave the column out",
                DegenerateWarning,
                stacklevel=3,
            )

    def _location_and_scale(self) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(self._model.frame.location.value), np.asarray(self._model.frame.scale.value)

    @property
    def n_parameters_(self) -> int:
        """Free parameters, the means included; rotations are none."""
        check_is_fitted(self)
        return self._model.n_parameters()

    @property
    def _n_features_out(self) -> int:
        return self._model.structure.n_factors

    def _column_names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", None)
        return [f"x{i}" for i in range(self.n_features_in_)] if names is None else list(names)

    def get_covariance(self) -> np.ndarray:
        """Covariance of the columns, WΦWᵀ + Ψ, shape (d, d)."""
        check_is_fitted(self)
        return self._model.covariance()

    def _table(self, X: Any) -> Table:
        check_is_fitted(self)
        return table_for_use(self, X)

    def _rows(self, X: Any, sample_weight: Any) -> FactorRows:
        """The rows of the fit, as the model takes them."""
        table = self._table(X)
        weight = row_weights(sample_weight, table.n_rows)
        return rows_for(table, weight, self._model.structure, self._column_names())

    def _latents(self, x: np.ndarray) -> Latents:
        """Of rows in the units of the data; log densities too."""
        u, hole = self._model.frame.enter_array(x)
        seen = 1.0 - hole if hole.any() else None
        found = latents(self._natural(seen is None), u, seen)
        return Latents(found.log_density + self._model.log_jacobian(seen), found.mean, found.covariance)

    def _natural(self, complete: bool) -> FactorModelNatural:
        return self._for_rows(complete).natural()

    def _for_rows(self, complete: bool) -> FactorModel:
        """The fitted density, for rows with or without missing cells."""
        own = self._model
        return FactorModel(own.frame, own.structure, own.parameters, complete)

    def _runs(self, X: Any) -> Iterator[tuple[slice, np.ndarray]]:
        """Places and cells of rows that are worked on at once."""
        start = 0
        for slab in self._table(X).slabs():
            for rows in runs(self._for_rows(not np.isnan(slab).any()), len(slab)):
                part = slab[rows]
                yield slice(start, start + len(part)), part
                start += len(part)

    def transform(self, X: Any) -> np.ndarray:
        """Factor scores E[z | observed cells] of each row, shape (n_rows, q); 0 for a wholly missing row."""
        return np.concatenate([self._latents(x).mean for _, x in self._runs(X)])

    def posterior(self, X: Any) -> FactorPosterior:
        """Mean and covariance of the factors of each row, given its observed cells."""
        means, covariances = [], []
        for _, x in self._runs(X):
            found = self._latents(x)
            means.append(found.mean)
            q = found.mean.shape[1]
            covariances.append(np.broadcast_to(found.covariance, (len(x), q, q)))
        return FactorPosterior(np.concatenate(means), np.concatenate(covariances))

    def score_samples(self, X: Any) -> np.ndarray:
        """log p(observed cells) of each row in nats, shape (n_rows,); 0 for a wholly missing row."""
        return np.concatenate([self._latents(x).log_density for _, x in self._runs(X)])

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Average of `score_samples`, weighted; ``y`` is not used."""
        values = self.score_samples(X)
        return float(np.average(values, weights=row_weights(sample_weight, len(values))))

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Akaike's criterion −2ℓ + 2 df of these rows (lower is better)."""
        total, _ = self._total(X, sample_weight)
        return -2 * total + 2 * self.n_parameters_

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Schwarz' criterion −2ℓ + df log n of these rows (lower is better)."""
        total, n = self._total(X, sample_weight)
        return float(-2 * total + self.n_parameters_ * np.log(n))

    def _total(self, X: Any, sample_weight: Any) -> tuple[float, float]:
        values = self.score_samples(X)
        weight = row_weights(sample_weight, len(values))
        return (float(values.sum()), float(len(values))) if weight is None else (float(values @ weight), weight.sum())

    def impute(self, X: Any, *, draws: int | None = None, random_state: Any = None) -> Any:
        """Fill the missing cells.

        Parameters
        ----------
        X : table
        draws : int, optional
            Number of completed tables with missing cells drawn from p(missing | observed), for multiple imputation.
            None fills in the conditional means E[missing | observed].
        random_state : int, RandomState or None
            The estimator's own where None.

        Returns
        -------
        table or list of tables
            Of the kind that was passed (arrays for paths and lists); a list where ``draws`` is given.
        """
        if draws is None:
            return table_like(X, self._filled(X, None), self._column_names())
        rng = self._rng(random_state)
        return [table_like(X, self._filled(X, rng), self._column_names()) for _ in range(integer("draws", draws, 1))]

    def _filled(self, X: Any, rng: np.random.Generator | None) -> np.ndarray:
        parts = []
        for _, x in self._runs(X):
            found = self._latents(x)
            z, noise = found.mean, 0.0
            if rng is not None:
                root = np.linalg.cholesky(found.covariance)
                z = z + (root @ rng.standard_normal((*z.shape, 1)))[..., 0]
                noise = self._noise() * rng.standard_normal(x.shape)
            parts.append(np.where(np.isnan(x), self.mean_ + z @ self.loadings_.T + noise, x))
        return np.concatenate(parts)

    def _noise(self) -> np.ndarray:
        """Standard deviation of the noise of each column, in the units of the data."""
        return np.sqrt(self._model.parameters.noise) * self._location_and_scale()[1]

    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows from the model.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState or None
            The estimator's own where None.

        Returns
        -------
        X : array, shape (n_samples, d)
        factors : array, shape (n_samples, q)
        """
        check_is_fitted(self)
        n, rng = integer("n_samples", n_samples, 1), self._rng(random_state)
        z = rng.standard_normal((n, self._n_features_out)) @ np.linalg.cholesky(self._model.parameters.latent).T
        x = self.mean_ + z @ self.loadings_.T + self._noise() * rng.standard_normal((n, self.n_features_in_))
        return x, z

    def _to_state(self) -> dict[str, Any]:
        return super()._to_state() | {"model": self._model}


def replaced(model: FactorModel, parameters: FactorParameters) -> FactorModel:
    """The model with these parameters."""
    return eqx.tree_at(lambda own: own.parameters, model, parameters)


def n_factors_of(value: Any, d: int, most: int) -> int:
    """A checked number of factors.

    Raises
    ------
    ValueError
        For more factors than the columns can tell apart.
    """
    if most < 1:
        raise DataError(f"Found array with {d} feature(s) while a minimum of 2 is required: one column has no factors")
    q = integer("n_factors", value, 1)
    if q > most:
        raise ValueError(f"n_factors={q} is too many for {d} columns: at most {most}")
    return q


def begun(rows: FactorRows, structure: FactorStructure) -> FactorModel:
    """The model of a closed-form start."""
    return FactorModel(rows.frame, structure, principal_start(rows.covariance, structure), rows.complete)
