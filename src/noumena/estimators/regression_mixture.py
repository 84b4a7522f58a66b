"""Mixtures of regressions, and of experts: a response given covariates, in every component another way."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from ..core.errors import DataError
from ..data.coded import Columns, read_columns
from ..data.columns import positions
from ..data.design import Design
from ..data.summary import summarise
from ..data.table import ArrayTable
from ..families.design import DesignFrame
from ..families.family import Family
from ..families.regression import Regression
from ..models.gated_mixture import GatedMixture
from ..models.standard_errors import StandardErrors
from .inputs import adopt_columns, check_least_rows, refuse_sparse, row_weights
from .mixture_fitter import MixtureFitter, double_precision
from .mixture_fitting import Problem
from .response_families import REGRESSIONS, response_column, response_family, response_values, two_classes


class RegressionMixture(RegressorMixin, MixtureFitter):
    """Mixture of linear, logistic or Poisson regressions; with concomitant variables, a mixture of experts.

    p(y | x, w) = Σ_k π_k(w) p(y | xᵀβ_k): rows that follow one of K regressions each, which one is hidden. The weights
    are constant, or follow a multinomial logistic regression on concomitant variables w.

    Parameters
    ----------
    n_components : int, default=1
        K.
    family : {"normal", "logistic", "poisson"}, default="normal"
        Linear regression with a residual variance for each component; logistic regression of a response with two
        values; Poisson regression of a count, with the log link.
    concomitant : sequence of column names or positions, optional
        Columns that the weights depend on. They are no regressors, unless ``regressors`` names them too.
    regressors : sequence of column names or positions, optional
        Columns that the response is regressed on; all but the concomitant ones by default. May be empty.
    fit_intercept : bool, default=True
        Whether the regressions have intercepts (the concomitant part always has).
    prior : "default" or float, optional
        Standard deviation of a normal prior on each coefficient but the intercept, for columns scaled to standard
        deviation 1 (and relative to the residuals' in the normal family); 2.5 by default. The fit is then maximum a
        posteriori, and finite under perfect separation. None is maximum likelihood.
    n_init : int, default=20
        Number of starts, side by side: first as short runs, then the best quarter to convergence.
    init_params : {"kmeans", "hierarchical", "random"} or array, default="kmeans"
        As in `GaussianMixture`, of the rows with their response.
    tol : float, default=1e-6
        Projected remaining gain in total log likelihood, in nats, at which the fit has converged.
    max_iter : int, default=5000
    accelerate : {"squarem", "anderson", None}, default="squarem"
    random_state : int, RandomState or None
    verbose : int, default=0

    Attributes
    ----------
    coef_ : array, shape (K, p)
        Slopes, in the units of the data.
    intercept_ : array, shape (K,)
    standard_deviation_ : array, shape (K,)
        Of the residuals; for the normal family.
    coef_names_ : tuple of str
        What each slope belongs to: ``age``, ``sex[male]`` (categories are compared with their first level).
    weights_ : array, shape (K,)
        π; the average shares of the components where there are concomitant variables.
    membership_coef_, membership_intercept_ : array, shapes (K, q) and (K,)
        Log odds of each component against the first, by concomitant variable.
    membership_names_ : tuple of str
    response_name_ : str or None
        What the response is called, where it was passed as a named column.
    classes_ : tuple
        The two values of a logistic response; the second is the one whose probability is predicted.
    log_likelihood_, n_parameters_, trace_, status_, converged_, n_iter_
        As in `GaussianMixture`.

    References
    ----------
    DeSarbo & Cron (1988), J. Classif. 5:249; Jordan & Jacobs (1994), Neural Comput. 6:181; Grün & Leisch (2008), J.
    Stat. Softw. 28(4):1.

    Examples
    --------
    >>> import noumena as nm
    >>> import numpy as np
    >>> x = np.linspace(0, 10, 40)
    >>> y = np.where(np.arange(40) % 2, 2 * x, 10 - x) + np.tile([0.1, -0.1, -0.1, 0.1], 10)
    >>> rm = nm.RegressionMixture(2, random_state=0).fit(x[:, None], y)
    >>> sorted(rm.coef_[:, 0].round(1).tolist())
    [-1.0, 2.0]
    """

    response_name_: str | None
    coef_: np.ndarray
    intercept_: np.ndarray

    def __init__(
        self,
        n_components: int = 1,
        family: str = "normal",
        *,
        concomitant: Sequence[str | int] | None = None,
        regressors: Sequence[str | int] | None = None,
        fit_intercept: bool = True,
        prior: str | float | None = None,
        n_init: int = 20,
        init_params: Any = "kmeans",
        tol: float = 1e-6,
        max_iter: int = 5000,
        accelerate: str | None = "squarem",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.family = family
        self.concomitant = concomitant
        self.regressors = regressors
        self.fit_intercept = fit_intercept
        self.prior = prior
        self.n_init = n_init
        self.init_params = init_params
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the mixture.

        Parameters
        ----------
        X : table, shape (n_rows, columns)
            Regressors and concomitant variables: numbers, or categories, without missing cells.
        y : array, shape (n_rows,)
            Numbers, counts, or two values of any kind, as the family has it.
        sample_weight : array, shape (n_rows,), optional
            Non-negative; a row of weight 2 counts as the row twice.

        Returns
        -------
        self

        Raises
        ------
        DataError
            For a missing or infinite cell, a response that does not fit the family, a constant column, or columns that
            determine each other; names the column and the row.

        Warns
        -----
        ConvergenceWarning
            Where ``max_iter`` was not enough.
        DegenerateWarning
            Where a component collapsed, or is separated without error.
        """
        return self._fitted(self._problem(X, y, sample_weight))

    def _problem(self, X: Any, y: Any, sample_weight: Any) -> Problem:
        if self.family not in REGRESSIONS:
            raise ValueError(f"family={self.family!r}: choose among {', '.join(REGRESSIONS)}")
        refuse_sparse(self, X)
        name = getattr(y, "name", None)
        self.response_name_ = name if isinstance(name, str) else None
        columns = read_columns(X)
        check_least_rows(columns.n_rows, len(columns.arrays), 2)
        weight = row_weights(sample_weight, columns.n_rows)
        adopt_columns(self, len(columns.arrays), columns.names)
        self._design = Design.of(columns, self._regressors(columns), bool(self.fit_intercept), "regressor")
        if not self._design.columns and not self.fit_intercept:
            raise ValueError("no regressors and no intercept: name at least one regressor")
        gate = self.concomitant
        self._gate_design = None if gate is None else Design.of(columns, gate, True, "concomitant variable")
        response = response_column(self, y, columns.n_rows)
        if self.family == "logistic":
            self.classes_ = two_classes(response)
        table = self._joined(columns, self._values(response))
        if table.n_rows <= self._width:
            raise DataError(f"{table.n_rows} rows (samples) are too few for {self._width} coefficients: add rows")
        problem = Problem(table, summarise(table, weight), weight, None)
        if self.family == "normal" and problem.summary.variance[0] == 0:
            raise DataError(f"y is constant (always {table.array[0, 0]:g}): there is nothing to explain")
        return problem

    def _regressors(self, columns: Columns) -> Sequence[str | int] | str | None:
        if self.regressors is not None or self.concomitant is None:
            return self.regressors
        n = len(columns.arrays)
        taken = positions(self.concomitant, columns.names, n)
        return [j for j in range(n) if j not in taken]

    @property
    def _width(self) -> int:
        """Columns of the regressors' design."""
        return len(self._design.names) + self._design.intercept

    def _values(self, response: Any) -> np.ndarray:
        """A response column as numbers, checked."""
        return response_values(response, self.family, self.classes_ if self.family == "logistic" else ())

    def _joined(self, columns: Columns, response: np.ndarray) -> ArrayTable:
        """The response as a table, given the covariates."""
        parts = [self._design.matrix(columns, "regressor")]
        if self._gate_design is not None:
            parts.append(self._gate_design.matrix(columns, "concomitant variable"))
        return ArrayTable(array=response[:, None], names=("y",), given=np.concatenate(parts, axis=1))

    def _used(self, X: Any) -> Columns:
        """The columns of a table that a fitted mixture is asked about."""
        check_is_fitted(self)
        refuse_sparse(self, X)
        columns = read_columns(X)
        if len(columns.arrays) != self.n_features_in_ and (
            columns.names is None or not hasattr(self, "feature_names_in_")
        ):
            raise DataError(
                f"X has {len(columns.arrays)} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input."
            )
        return columns

    def _table(self, X: Any, y: Any) -> ArrayTable:
        columns = self._used(X)
        return self._joined(columns, self._values(response_column(self, y, columns.n_rows)))

    def _unanswered(self, X: Any) -> ArrayTable:
        """The table where no response is known."""
        columns = self._used(X)
        return self._joined(columns, np.full(columns.n_rows, np.nan))

    def _column_names(self) -> list[str]:
        return ["y"]

    def _family_for(self, problem: Problem) -> Callable[[int], Family]:
        given, summary = problem.table.given, problem.summary
        assert given is not None
        frame = DesignFrame.of(given, tuple(range(self._width)), self._design.intercept, problem.weight)
        family = response_family(self.family, frame, self.prior, summary.mean[0], summary.variance[0])
        return lambda size: family

    def _gate(self, problem: Problem) -> DesignFrame | None:
        if self._gate_design is None:
            return None
        given = problem.table.given
        assert given is not None
        return DesignFrame.of(given, tuple(range(self._width, given.shape[1])), True, problem.weight)

    def _described(self, family: Family, reported: Any) -> dict[str, Any]:
        coefficients = reported["coefficients"]
        first = coefficients[:, 0] if self._design.intercept else np.zeros(len(coefficients))
        shown = {"intercept": first, "coef": coefficients[:, int(self._design.intercept) :]}
        if "standard_deviation" in reported:
            shown["standard_deviation"] = reported["standard_deviation"]
        return shown

    @property
    def coef_names_(self) -> tuple[str, ...]:
        """What each slope belongs to."""
        check_is_fitted(self)
        return self._design.names

    @property
    def membership_names_(self) -> tuple[str, ...]:
        """What each slope of the membership belongs to; none without concomitant variables."""
        check_is_fitted(self)
        return () if self._gate_design is None else self._gate_design.names

    def _degenerate_message(self, problem: Problem) -> str:
        told = []
        family, parameters = self._model.foreground()
        for k in np.flatnonzero(np.asarray(family.collapsed(parameters))):
            rows = self.weights_[k] * problem.summary.total_weight
            what = (
                "tells its rows apart without error (perfect separation), so that its coefficients have no finite "
                "maximum"
                if self.family == "logistic"
                else "lost its rows, or fits them exactly"
            )
            told.append(f"component {k} ({rows:.1f} rows) {what}")
        return "; ".join(told) + ': use fewer components or regressors, or prior="default"'

    def _means(self, table: ArrayTable) -> np.ndarray:
        """E[y | x, k] of each row, shape (n_rows, K)."""
        family, parameters = self._model.foreground()
        assert isinstance(family, Regression)
        assert table.given is not None
        with double_precision():
            return family.predicted(parameters.coefficients, table.given)

    def _shares(self, table: ArrayTable) -> np.ndarray:
        """π_k(w) of each row, shape (n_rows, K)."""
        if not isinstance(self._model, GatedMixture):
            return np.broadcast_to(self.weights_, (table.n_rows, len(self.weights_)))
        assert table.given is not None
        with double_precision():
            return self._model.shares(table.given)

    def predict(self, X: Any) -> np.ndarray:
        """E[y | x] = Σ_k π_k(w) E[y | x, k] of each row, shape (n_rows,).

        The probability of the second of ``classes_`` for logistic regressions.
        """
        table = self._unanswered(X)
        return np.sum(self._shares(table) * self._means(table), axis=1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R² of `predict`; of the probability of the second of ``classes_`` for logistic regressions."""
        table = self._table(X, y)
        return float(r2_score(table.array[:, 0], self.predict(X), sample_weight=sample_weight))

    def predict_by_component(self, X: Any) -> np.ndarray:
        """E[y | x, k] of each row and component, shape (n_rows, K)."""
        return self._means(self._unanswered(X))

    def component_proba(self, X: Any, y: Any = None) -> np.ndarray:
        """p(z = k | x, y) of each row, shape (n_rows, K); without ``y``, π_k(w)."""
        if y is None:
            return np.array(self._shares(self._unanswered(X)))
        return self._posterior(self._table(X, y))

    def component(self, X: Any, y: Any = None) -> np.ndarray:
        """Most probable component of each row, shape (n_rows,)."""
        return self.component_proba(X, y).argmax(axis=1)

    def log_density(self, X: Any, y: Any) -> np.ndarray:
        """log p(y | x) of each row in nats, shape (n_rows,)."""
        return self._log_density(self._table(X, y))

    def aic(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Akaike's criterion −2ℓ + 2 df of these rows (lower is better)."""
        return self._aic(self._table(X, y), sample_weight)

    def bic(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Schwarz' criterion −2ℓ + df log n of these rows (lower is better)."""
        return self._bic(self._table(X, y), sample_weight)

    def icl(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """BIC of the complete data, each row in its most probable component."""
        return self._icl(self._table(X, y), sample_weight)

    def sample(self, X: Any, random_state: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Draw a response for each row.

        Returns
        -------
        y : array, shape (n_rows,)
            Values of ``classes_`` for logistic regressions.
        components : array of int, shape (n_rows,)
        """
        table, rng = self._unanswered(X), self._rng(random_state)
        below = np.cumsum(self._shares(table), axis=1)
        component = np.minimum((rng.random((len(below), 1)) > below).sum(axis=1), below.shape[1] - 1)
        family, parameters = self._model.foreground()
        assert isinstance(family, Regression)
        mean = self._means(table)[np.arange(len(below)), component]
        drawn = family.draw(mean, parameters.variance[component], rng)
        if self.family == "logistic":
            return np.array(self.classes_)[drawn.astype(int)], component
        return drawn, component

    def standard_errors(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        method: str = "observed",
        n_bootstrap: int = 200,
        random_state: Any = None,
    ) -> StandardErrors:
        """Standard errors of coefficients, residual deviations and weights.

        Parameters
        ----------
        X, y, sample_weight
            The rows that the mixture was fitted on, as in `fit`.
        method : {"observed", "bootstrap"}, default="observed"
            As in `GaussianMixture`.
        n_bootstrap : int, default=200
        random_state : int, RandomState or None
            For the bootstrap; the estimator's own where None.

        Returns
        -------
        StandardErrors
            With the attributes of the estimates: ``errors.coef``, ``errors.intercept``, …

        Raises
        ------
        InformationError
            Where the information has no inverse (the fit is not at an inner maximum).
        """
        table = self._table(X, y)
        weight = row_weights(sample_weight, table.n_rows)
        problem = Problem(table, summarise(table, weight), weight, None)
        return self._standard_errors(problem, method, n_bootstrap, random_state)

    def _to_state(self) -> dict[str, Any]:
        return super()._to_state() | {
            "design": self._design,
            "gate_design": self._gate_design,
            "classes": list(getattr(self, "classes_", ())),
            "response_name": self.response_name_,
        }

    def _from_state(self, state: dict[str, Any]) -> None:
        self._design, self._gate_design = state["design"], state["gate_design"]
        self.response_name_ = state["response_name"]
        if state["classes"]:
            self.classes_ = tuple(state["classes"])
        super()._from_state(state)
