"""Latent class analysis: mixtures of categorical items."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy.stats import chi2
from sklearn.utils.validation import check_is_fitted

from ..core.errors import DataError
from ..data.coded import Columns, Levels, levels_of
from ..families.categorical import Categorical
from ..families.family import Family
from .inputs import row_weights
from .mixture_fitting import Problem, merged
from .tabular import TabularMixture


@final
@dataclass(frozen=True)
class GoodnessOfFit:
    """How far the counts of response patterns are from those that a latent class model expects.

    Attributes
    ----------
    g_squared : float
        Likelihood ratio statistic 2 Σ observed · log(observed / expected).
    x_squared : float
        Pearson's Σ (observed − expected)² / expected, over all possible patterns.
    degrees_of_freedom : int
        min(possible patterns − 1, rows) − parameters.
    g_p_value, x_p_value : float
        Upper tails of the χ² distribution; NaN without degrees of freedom, and hardly to be trusted where most patterns
        are expected less than once.
    """

    g_squared: float
    x_squared: float
    degrees_of_freedom: int
    g_p_value: float
    x_p_value: float


class LatentClassAnalysis(TabularMixture):
    """Latent class analysis of polytomous items with missing answers.

    Every column is an item with any number of levels (numbers, text, truth values or categories); given the class,
    items are independent. Missing answers are integrated out: rows with holes count for what they hold.

    Parameters
    ----------
    n_components : int, default=1
        Number of classes.
    covariates : sequence of column names or positions, optional
        Columns that the class depends on, by a multinomial logistic regression (Dayton & Macready 1988); the other
        columns are items. Numbers, or categories, without missing cells.
    prior : "default", optional
        One row of the items' overall shares for each class, so that no probability becomes 0. None is maximum
        likelihood.
    n_init : int, default=20
        Number of starts, side by side: first as short runs, then the best quarter to convergence. Latent class models
        have many local maxima.
    init_params : {"kmeans", "hierarchical", "random"} or array, default="kmeans"
        As in `GaussianMixture`; items enter as indicators of their levels.
    tol : float, default=1e-6
        Projected remaining gain in total log likelihood, in nats, at which the fit has converged.
    max_iter : int, default=5000
    accelerate : {"squarem", "anderson", None}, default="squarem"
    random_state : int, RandomState or None
    verbose : int, default=0

    Attributes
    ----------
    weights_ : array, shape (K,)
        Class shares; their averages where there are covariates.
    membership_coef_, membership_intercept_ : array, shapes (K, q) and (K,)
        With covariates: log odds of each class against the first.
    membership_names_ : tuple of str
        What each slope belongs to: ``age``, ``sex[male]``.
    levels_ : dict
        From each item to its levels.
    probabilities_ : dict
        From each item to P(level | class), shape (K, levels).
    log_likelihood_, n_parameters_, trace_, status_, converged_, n_iter_
        As in `GaussianMixture`.

    References
    ----------
    Linzer & Lewis (2011), J. Stat. Softw. 42(10):1, for the statistics of fit.

    Examples
    --------
    >>> import noumena as nm
    >>> answers = [["yes", "no"], ["yes", None], ["no", "no"], ["no", "yes"], ["yes", "yes"]]
    >>> lca = nm.LatentClassAnalysis(1).fit(answers)
    >>> lca.probabilities_["x0"].round(2)
    array([[0.4, 0.6]])
    """

    probabilities_: dict[str, np.ndarray]

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariates: Sequence[str | int] | None = None,
        prior: str | None = None,
        n_init: int = 20,
        init_params: Any = "kmeans",
        tol: float = 1e-6,
        max_iter: int = 5000,
        accelerate: str | None = "squarem",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.covariates = covariates
        self.prior = prior
        self.n_init = n_init
        self.init_params = init_params
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.random_state = random_state
        self.verbose = verbose

    def _understand(self, columns: Columns) -> list[int]:
        places = self._no_covariates(columns)
        self._codes = {i: levels_of(columns.arrays[j], columns.described(j)) for i, j in enumerate(places)}
        return places

    def _problem(self, X: Any, y: Any, sample_weight: Any) -> Problem:
        problem = super()._problem(X, y, sample_weight)
        return merged(problem) if isinstance(self.init_params, str) else problem

    def _family_for(self, problem: Problem) -> Callable[[int], Family]:
        if self.prior not in (None, "default"):
            raise ValueError(f'prior={self.prior!r}: choose "default" or None')
        levels = tuple(len(self._codes[j]) for j in range(problem.table.n_columns))
        family = Categorical.of(problem.sample(), levels=levels)
        chosen = family.with_prior(1.0) if self.prior == "default" else family
        return lambda size: chosen

    @property
    def levels_(self) -> dict[str, Levels]:
        """From each item to its levels."""
        names = self._column_names()
        return {names[j]: levels for j, levels in self._codes.items()}

    def _described(self, family: Family, reported: Any) -> dict[str, Any]:
        names, probability = self._column_names(), reported["probability"]
        return {
            "probabilities": {names[j]: probability[:, j, : len(levels)] for j, levels in self._codes.items()},
        }

    def entropy_r2(self, X: Any, sample_weight: Any = None) -> float:
        """How sure the classes of these rows are: 1 − Σ H(z | x) / (n log K); 1 is certain, 0 is a guess.

        Ramaswamy et al. (1993), Marketing Science 12:103.
        """
        table = self._table(X)
        posterior, weight = self._posterior(table), row_weights(sample_weight, table.n_rows)
        if posterior.shape[1] == 1:
            return 1.0
        entropy = -np.sum(posterior * np.log(np.maximum(posterior, np.finfo(float).tiny)), axis=1)
        return float(1 - np.average(entropy, weights=weight) / np.log(posterior.shape[1]))

    def goodness_of_fit(self, X: Any, sample_weight: Any = None) -> GoodnessOfFit:
        """Observed against expected counts of response patterns, over the rows without missing answers.

        Raises
        ------
        DataError
            Where no row is complete.
        """
        check_is_fitted(self)
        table = self._table(X)
        x, weight = table.to_array(), row_weights(sample_weight, table.n_rows)
        weight = np.ones(len(x)) if weight is None else weight
        complete = ~np.isnan(x).any(axis=1)
        if not weight[complete].any():
            raise DataError("no row is complete: the counts of response patterns need some")
        patterns, which = np.unique(x[complete], axis=0, return_inverse=True)
        observed = np.bincount(which.ravel(), weight[complete])
        total = observed.sum()
        density = np.zeros(len(patterns))
        for k, share in enumerate(self.weights_):
            chance = np.full(len(patterns), share)
            for j, name in enumerate(self._column_names()):
                chance *= self.probabilities_[name][k, patterns[:, j].astype(int)]
            density += chance
        expected = total * density
        g = float(2 * np.sum(observed * np.log(observed / expected)))
        # patterns that never occurred bring their expected counts
        x_squared = float(np.sum((observed - expected) ** 2 / expected) + total - expected.sum())
        possible = float(np.prod([float(len(levels)) for levels in self._codes.values()])) - 1
        df = int(min(possible, total)) - self.n_parameters_
        tail = (lambda value: float(chi2.sf(value, df))) if df > 0 else (lambda value: float("nan"))
        return GoodnessOfFit(g, x_squared, df, tail(g), tail(x_squared))
