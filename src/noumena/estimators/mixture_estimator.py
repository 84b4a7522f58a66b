"""What every mixture estimator does, whatever its family."""

import abc
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Self

import jax
import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from ..core.accelerate import accelerator
from ..core.errors import ColumnMismatchError, ConvergenceWarning, DegenerateWarning
from ..core.fit import Progress
from ..core.result import Fit, Status, Trace
from ..data.summary import check_columns, summarise
from ..data.table import Table
from ..families.family import Family
from ..models.mixture import Mixture, evaluate
from .inputs import known_labels, row_weights, table_for_fit, table_for_use
from .mixture_fitting import Given, Problem, Settings, fit_mixtures
from .parameters import check_size, check_start, integer, real
from .storage import save

_STARTS = ("kmeans", "hierarchical", "random")


def double_precision() -> AbstractContextManager:
    """Float64 inside our own calls; the user's JAX configuration is not touched."""
    return jax.enable_x64(True)


class MixtureEstimator(DensityMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, abc.ABC):
    """Base of the mixture estimators: checks, fits, answers, stores.

    Subclasses have the parameters ``n_components``, ``prior``, ``n_init``, ``init_params``, ``tol``, ``max_iter``,
    ``accelerate``, ``random_state`` and ``verbose``, and say which family their components are.
    """

    n_components: int
    n_init: int
    init_params: Any
    tol: float
    max_iter: int
    accelerate: str | None
    random_state: Any
    verbose: int

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

    @abc.abstractmethod
    def _family_for(self, problem: Problem) -> Callable[[int], Family]:
        """From a number of components to the family; the estimator's own parameters are checked here."""

    @abc.abstractmethod
    def _adopt_parameters(self, model: Mixture) -> None:
        """Set the fitted attributes that are this family's own, in the units of the data."""

    @abc.abstractmethod
    def _degenerate_message(self, problem: Problem) -> str:
        """Which components collapsed, and what to do."""

    def _family_name(self) -> str:
        """What tells the family from others of a sweep."""
        return ""

    def _sized(self) -> bool:
        """Whether the family depends on the number of components."""
        return False

    def _given(self, size: int) -> Given | None:
        """Parameters to start from, if the user gave some."""
        return None

    def _check_for_sweep(self) -> None:
        """Refuse what holds for one number of components only."""
        if not isinstance(self.init_params, str):
            raise ValueError("init_params as an array holds for one number of components only: name a method")

    def _check_columns(self, problem: Problem) -> None:
        """Refuse columns that the family cannot take."""
        check_columns(problem.summary, self._column_names())

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
        problem = self._problem(X, y, sample_weight)
        size = integer("n_components", self.n_components, 1)
        check_size(problem, size)
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        with double_precision():
            settings = self._settings(problem, size)
            fit = fit_mixtures(problem, settings, [size], rng)[size]
            self._adopt(fit, size)
        self._tell(problem)
        return self

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

    def _settings_for_sweep(self, problem: Problem, progress: Progress | None) -> Settings:
        """Settings for many sizes at once, which no given parameters can fit."""
        self._check_for_sweep()
        return self._settings(problem, 1, progress)

    def _settings(self, problem: Problem, size: int, progress: Progress | None = None) -> Settings:
        accelerator(self.accelerate)  # refuses unknown names
        if isinstance(self.init_params, str):
            if self.init_params not in _STARTS:
                known = ", ".join(_STARTS)
                raise ValueError(f"init_params={self.init_params!r}: choose among {known}, or pass an array")
        else:
            check_start(np.asarray(self.init_params), problem.table.n_rows, size)
        return Settings(
            family=self._family_for(problem),
            name=self._family_name(),
            sized=self._sized(),
            n_init=integer("n_init", self.n_init, 1),
            init_params=self.init_params,
            tol=real("tol", self.tol, 0.0),
            max_iter=integer("max_iter", self.max_iter, 1),
            accelerate=self.accelerate,
            progress=progress or _printer(self.verbose),
            given=self._given(size),
        )

    def _adopt(self, fit: Fit, size: int) -> None:
        """Take a fit's parameters, in the units of the data."""
        model = jax.tree.map(np.asarray, fit.model)
        keep = slice(size)
        parameters = model.parameters.components(keep)
        self._model = Mixture(model.family, model.weights[keep], parameters, model.active[keep])
        self.weights_ = self._model.weights
        self._adopt_parameters(self._model)
        self.n_parameters_ = size - 1 + model.family.n_parameters(size)
        self.log_likelihood_ = fit.bound
        self.trace_, self.status_ = fit.trace, fit.status
        self.n_iter_ = max(len(fit.trace) - 1, 1)

    def _tell(self, problem: Problem) -> None:
        """Warn about what the user should know of the fit just adopted."""
        if self.status_ is Status.DEGENERATE:
            warnings.warn(self._degenerate_message(problem), DegenerateWarning, stacklevel=3)
        elif self.status_ not in (Status.CONVERGED, Status.COMPLETED):
            message = f"after {self.n_iter_} iterations: {self.status_.message}"
            warnings.warn(message, ConvergenceWarning, stacklevel=3)

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
        return self.fit(X, y, sample_weight=sample_weight).predict(X)

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

    def save(self, path: str | os.PathLike[str]) -> None:
        """Store the fitted mixture as arrays and JSON; `noumena.load` reads it.

        Raises
        ------
        OutputError
            Where the file cannot be written; what was there before is untouched.
        """
        save(self, path)

    def _to_state(self) -> dict[str, Any]:
        return {
            "family": jax.tree.map(np.asarray, self._model.family),
            "parameters": self._model.parameters,
            "weights": self.weights_,
            "log_likelihood": self.log_likelihood_,
            "status": self.status_.value,
            "objective": self.trace_.objective,
            "accepted": self.trace_.accepted,
            "n_features_in": self.n_features_in_,
            "feature_names_in": getattr(self, "feature_names_in_", None),
        }

    def _from_state(self, state: dict[str, Any]) -> None:
        weights = state["weights"]
        model = Mixture(state["family"], weights, state["parameters"], np.ones(len(weights), dtype=bool))
        trace = Trace(state["objective"], state["accepted"])
        self.n_features_in_ = state["n_features_in"]
        if state["feature_names_in"] is not None:
            self.feature_names_in_ = state["feature_names_in"]
        fit = Fit(model, float(trace.objective[-1]), state["log_likelihood"], Status(state["status"]), trace)
        self._adopt(fit, len(weights))

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

    def _rng(self, random_state: Any) -> np.random.Generator:
        chosen = self.random_state if random_state is None else random_state
        return np.random.default_rng(check_random_state(chosen).randint(2**31))

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


def _printer(verbose: int) -> Progress | None:
    if not verbose:
        return None

    def show(iteration: int, objective: np.ndarray, running: int) -> None:
        if iteration % int(verbose) == 0:
            print(f"iteration {iteration}: best objective {objective.max():.6f}, {running} of {len(objective)} running")

    return show
