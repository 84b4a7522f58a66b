"""Gaussian mixtures: model-based clustering with missing cells."""

import os
import warnings
from collections.abc import Mapping
from typing import Any, Self

import jax
import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..core.accelerate import accelerator
from ..core.errors import ColumnMismatchError, ConvergenceWarning, DataError, DegenerateWarning
from ..core.fit import Progress
from ..core.result import Fit, Status, Trace
from ..data.output import table_like
from ..data.summary import check_columns, summarise
from ..families.covariance import Structure
from ..families.diagonal_normal import DiagonalNormal, DiagonalParameters
from ..families.normal import Frame, Normal, NormalParameters
from ..families.normal_inverse_wishart import NormalInverseWishart
from ..models.gaussian import GaussianMixtureDensity
from ..models.mixture import Mixture
from ..models.standard_errors import StandardErrors
from .diagnosis import degenerate_message
from .inputs import known_labels, row_weights, table_for_fit
from .mixture_estimator import MixtureEstimator, double_precision
from .mixture_fitting import Problem, Settings, fit_mixtures
from .parameters import check_size, check_start, given_array, integer, real
from .storage import save
from .uncertainty import bootstrap, observed, problem_for_use

_STARTS = ("kmeans", "hierarchical", "random")


class GaussianMixture(MixtureEstimator):
    """Mixture of multivariate normals, fitted by EM to tables with missing cells.

    The density of a row is Σ_k π_k N(x | μ_k, Σ_k). Missing cells, in any pattern, are integrated out exactly, at the
    fit and in every method; nothing is imputed on the way.

    Parameters
    ----------
    n_components : int, default=1
        K.
    covariance : str, default="VVV"
        What the Σ_k share: one of the 14 structures of model-based clustering (EII VII EEI VEI EVI VVI EEE VEE EVE VVE
        EEV VEV EVV VVV: volume, shape and orientation each Equal, Variable or the Identity; E or V for one column), or
        scikit-learn's names ``"full"`` (VVV), ``"tied"`` (EEE), ``"diag"`` (VVI), ``"spherical"`` (VII).
    prior : NormalInverseWishart or "default", optional
        Conjugate prior on each (μ_k, Σ_k): the fit is then maximum a posteriori, and no covariance can collapse.
        ``"default"`` is the weak prior of Fraley & Raftery (2007). None is maximum likelihood.
    n_init : int, default=1
        Number of starts: side by side, first as short runs, then the best quarter to convergence.
    init_params : {"kmeans", "hierarchical", "random"} or array, default="kmeans"
        How the first start is found: k-means seeded by k-means++, Ward's agglomeration of sphered rows, random
        responsibilities; or given responsibilities, shape (n_rows, K), or labels, shape (n_rows,). Further starts vary
        the method, since those of one method mostly end in one optimum.
    weights_init, means_init, covariances_init : array, optional
        Parameters to start from, shapes (K,), (K, d) and (K, d, d).
    tol : float, default=1e-4
        The fit has converged when the gain in total log likelihood that is still to come, projected from the latest
        steps, is below this many nats. 0 runs exactly ``max_iter`` iterations.
    max_iter : int, default=1000
    accelerate : {"squarem", "anderson", None}, default="squarem"
        Extrapolates EM's steps; one that would lower the log likelihood is taken back.
    random_state : int, RandomState or None
    verbose : int, default=0
        Above 0, prints the objective every so many iterations.

    Attributes
    ----------
    weights_ : array, shape (K,)
    means_ : array, shape (K, d)
    covariances_ : array, shape (K, d, d)
        Full matrices, whatever the structure.
    log_likelihood_ : float
        log p(observed cells) of the training rows, in nats.
    n_parameters_ : int
        Free parameters.
    trace_ : Trace
        The objective (log likelihood, plus log prior if there is one) at every iteration.
    status_ : Status
        How the fit ended; ``status_.message`` says it in words.
    converged_ : bool
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : array of str
        Where the table has column names.

    Notes
    -----
    Ctrl-C during a fit keeps the best parameters so far, with the status ``interrupted``.

    Examples
    --------
    >>> import numpy as np
    >>> import noumena as nm
    >>> rng = np.random.default_rng(0)
    >>> x = np.concatenate([rng.normal(0, 1, (100, 2)), rng.normal(6, 1, (100, 2))])
    >>> x[::7, 0] = np.nan
    >>> gm = nm.GaussianMixture(n_components=2, random_state=0).fit(x)
    >>> gm.status_.value
    'converged'
    >>> gm.weights_.round(1)
    array([0.5, 0.5])
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance: str = "VVV",
        prior: NormalInverseWishart | str | None = None,
        n_init: int = 1,
        init_params: Any = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        covariances_init: Any = None,
        tol: float = 1e-4,
        max_iter: int = 1000,
        accelerate: str | None = "squarem",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.covariance = covariance
        self.prior = prior
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.covariances_init = covariances_init
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.random_state = random_state
        self.verbose = verbose

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
        sizes = [self._checked_size(problem)]
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        with double_precision():
            settings = self._settings(problem, sizes[0])
            fit = fit_mixtures(problem, settings, sizes, rng)[sizes[0]]
            self._adopt(fit, sizes[0])
        self._tell(problem)
        return self

    def _problem(self, X: Any, y: Any, sample_weight: Any) -> Problem:
        """Check the table, the weights and the labels; one pass over the rows."""
        table = table_for_fit(self, X, least_rows=2)
        weight = row_weights(sample_weight, table.n_rows)
        label = known_labels(y, table.n_rows)
        summary = summarise(table, weight)
        check_columns(summary, self._column_names())
        return Problem(table, summary, weight, label)

    def _column_names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", None)
        return [f"x{i}" for i in range(self.n_features_in_)] if names is None else list(names)

    def _checked_size(self, problem: Problem) -> int:
        size = integer("n_components", self.n_components, 1)
        check_size(problem, size)
        return size

    def _settings_for_sweep(self, problem: Problem, progress: Progress | None) -> Settings:
        """Settings for many sizes at once, which no given parameters can fit."""
        for name in ("weights_init", "means_init", "covariances_init"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} holds for one number of components only: leave it out of a sweep")
        if not isinstance(self.init_params, str):
            raise ValueError("init_params as an array holds for one number of components only: name a method")
        return self._settings(problem, 1, progress)

    def _settings(self, problem: Problem, size: int, progress: Progress | None = None) -> Settings:
        d = problem.table.n_columns
        if self.covariance in ("E", "V") and d > 1:
            raise ValueError(f"covariance={self.covariance!r} is for one column; this table has {d}: use EII or VII")
        accelerator(self.accelerate)  # refuses unknown names
        if isinstance(self.init_params, str):
            if self.init_params not in _STARTS:
                known = ", ".join(_STARTS)
                raise ValueError(f"init_params={self.init_params!r}: choose among {known}, or pass an array")
        else:
            check_start(np.asarray(self.init_params), problem.table.n_rows, size)
        prior = self.prior
        if isinstance(prior, str) and prior != "default":
            raise ValueError(f'prior={prior!r}: choose "default", a NormalInverseWishart or None')
        if isinstance(prior, NormalInverseWishart) and len(prior.mean.value) != d:
            raise ValueError(f"the prior is for {len(prior.mean.value)} columns, the table has {d}")
        return Settings(
            structure=Structure.named(self.covariance),
            prior=prior,
            n_init=integer("n_init", self.n_init, 1),
            init_params=self.init_params,
            weights_init=given_array("weights_init", self.weights_init, (size,)),
            means_init=given_array("means_init", self.means_init, (size, d)),
            covariances_init=given_array("covariances_init", self.covariances_init, (size, d, d)),
            tol=real("tol", self.tol, 0.0),
            max_iter=integer("max_iter", self.max_iter, 1),
            accelerate=self.accelerate,
            progress=progress or _printer(self.verbose),
        )

    def _adopt(self, fit: Fit, size: int) -> None:
        """Take a fit's parameters, in the units of the data."""
        model = jax.tree.map(np.asarray, fit.model)
        keep = slice(size)
        location, scale = model.family.frame.location.value, model.family.frame.scale.value
        parameters = model.parameters.components(keep)
        self._model = type(model)(model.family, model.weights[keep], parameters, model.active[keep])
        self.weights_ = self._model.weights
        self.means_ = location + scale * parameters.mean
        if isinstance(parameters, DiagonalParameters):
            self.covariances_ = parameters.variance[:, :, None] * np.eye(len(scale)) * scale**2
        else:
            self.covariances_ = parameters.covariance * np.outer(scale, scale)
        self.n_parameters_ = size - 1 + model.family.n_parameters(size)
        self.log_likelihood_ = fit.bound
        self.trace_, self.status_ = fit.trace, fit.status
        self.n_iter_ = max(len(fit.trace) - 1, 1)

    def _tell(self, problem: Problem) -> None:
        """Warn about what the user should know of the fit just adopted."""
        if self.status_ is Status.DEGENERATE:
            message = degenerate_message(
                self.weights_,
                self.covariances_,
                self._model.parameters.collapsed,
                np.sqrt(problem.summary.variance),
                problem.summary.total_weight,
                self._column_names(),
            )
            warnings.warn(message, DegenerateWarning, stacklevel=3)
        elif self.status_ not in (Status.CONVERGED, Status.COMPLETED):
            warnings.warn(
                f"after {self.n_iter_} iterations: {self.status_.message}",
                ConvergenceWarning,
                stacklevel=3,
            )

    @property
    def _family(self) -> Normal | DiagonalNormal:
        family = self._model.family
        assert isinstance(family, Normal | DiagonalNormal)
        return family

    def _density(self) -> GaussianMixtureDensity:
        check_is_fitted(self)
        return GaussianMixtureDensity(self.weights_, self.means_, self.covariances_)

    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows from the mixture.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState or None
            The estimator's own where None.

        Returns
        -------
        X : array, shape (n_samples, d)
        components : array of int, shape (n_samples,)
        """
        check_is_fitted(self)
        n = integer("n_samples", n_samples, 1)
        return self._density().sample(n, self._rng(random_state))

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
        x = self._table(X).to_array()
        density, names = self._density(), self._column_names()
        if draws is None:
            return table_like(X, density.conditional_mean(x), names)
        rng = self._rng(random_state)
        return [table_like(X, density.conditional_draw(x, rng), names) for _ in range(integer("draws", draws, 1))]

    def marginal(self, columns: Any) -> GaussianMixtureDensity:
        """The mixture over some columns, all others integrated out.

        Parameters
        ----------
        columns : sequence of str or int
            Names or positions.
        """
        return self._density().marginal(self._positions(columns))

    def conditional(self, given: Mapping[str | int, float]) -> GaussianMixtureDensity:
        """The mixture over the remaining columns, given values of some.

        Parameters
        ----------
        given : mapping
            From column name or position to its value.

        Examples
        --------
        >>> import noumena as nm
        >>> gm = nm.GaussianMixture(random_state=0).fit([[0.0, 0.0], [1.0, 1.2], [2.0, 1.8], [3.0, 3.0]])
        >>> gm.conditional({0: 1.5}).means.round(2)
        array([[1.5]])
        """
        positions, values = self._positions(list(given)), np.array(list(given.values()), dtype=float)
        if len(positions) == self.n_features_in_:
            raise DataError("every column is given: there is nothing left to condition on them")
        for column, value in given.items():
            if not np.isfinite(value):
                raise DataError(f"the value given for column {column!r} is {value}: leave a missing column out")
        return self._density().conditional(positions, values)

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
        """Standard errors of the weights, means and covariances.

        Parameters
        ----------
        X : table
            The rows that the mixture was fitted on.
        y, sample_weight : array, optional
            As in `fit`.
        method : {"observed", "bootstrap"}, default="observed"
            The inverse of the observed information, by automatic differentiation of the log likelihood in the free
            coordinates of the covariance structure (missing cells cost information, as they should); or refits of
            ``n_bootstrap`` tables of rows drawn with replacement.
        n_bootstrap : int, default=200
        random_state : int, RandomState or None
            For the bootstrap; the estimator's own where None.

        Returns
        -------
        StandardErrors

        Raises
        ------
        InformationError
            Where the information has no inverse (the fit is not at an inner maximum).
        """
        if method not in ("observed", "bootstrap"):
            raise ValueError(f'method={method!r}: choose "observed" or "bootstrap"')
        table = self._table(X)
        weight, label = row_weights(sample_weight, table.n_rows), known_labels(y, table.n_rows)
        problem = problem_for_use(table, weight, label)
        with double_precision():
            if method == "observed":
                return observed(self._model, problem)
            return bootstrap(self, problem, integer("n_bootstrap", n_bootstrap, 2), self._rng(random_state))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Store the fitted mixture as arrays and JSON; `noumena.load` reads it.

        Raises
        ------
        OutputError
            Where the file cannot be written; what was there before is untouched.
        """
        save(self, path)

    def _to_state(self) -> dict[str, Any]:
        model, family = self._model, self._family
        frame = family.frame
        return {
            "location": frame.location.value,
            "scale": frame.scale.value,
            "structure": family.structure.name,
            "prior": family.prior,
            "weights": model.weights,
            "model": dict(model.parameters._asdict()),
            "n_parameters": self.n_parameters_,
            "log_likelihood": self.log_likelihood_,
            "status": self.status_.value,
            "objective": self.trace_.objective,
            "accepted": self.trace_.accepted,
            "n_iter": self.n_iter_,
            "n_features_in": self.n_features_in_,
            "feature_names_in": getattr(self, "feature_names_in_", None),
        }

    def _from_state(self, state: dict[str, Any]) -> None:
        structure = Structure.named(state["structure"])
        kind, parameters = (DiagonalNormal, DiagonalParameters) if structure.diagonal else (Normal, NormalParameters)
        frame = Frame.of(state["location"], state["scale"])
        family = kind(frame, structure, state["prior"])
        weights = state["weights"]
        model = Mixture(family, weights, parameters(**state["model"]), np.ones(len(weights), dtype=bool))
        trace = Trace(state["objective"], state["accepted"])
        fit = Fit(model, float(trace.objective[-1]), state["log_likelihood"], Status(state["status"]), trace)
        self._adopt(fit, len(weights))
        self.n_iter_ = state["n_iter"]
        self.n_features_in_ = state["n_features_in"]
        if state["feature_names_in"] is not None:
            self.feature_names_in_ = state["feature_names_in"]

    def _rng(self, random_state: Any) -> np.random.Generator:
        chosen = self.random_state if random_state is None else random_state
        return np.random.default_rng(check_random_state(chosen).randint(2**31))


def _printer(verbose: int) -> Progress | None:
    if not verbose:
        return None

    def show(iteration: int, objective: np.ndarray, running: int) -> None:
        if iteration % int(verbose) == 0:
            print(f"iteration {iteration}: best objective {objective.max():.6f}, {running} of {len(objective)} running")

    return show
