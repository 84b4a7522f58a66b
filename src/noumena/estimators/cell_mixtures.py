"""Mixtures whose columns are all of one family: Bernoulli, Poisson."""

from collections.abc import Callable
from typing import Any, ClassVar

from ..families.bernoulli import Bernoulli
from ..families.cells import Cells
from ..families.family import Family
from ..families.multinomial import Multinomial
from ..families.poisson import Poisson
from .mixture_fitting import Problem, merged
from .tabular import CompletingMixture


class CellMixture(CompletingMixture):
    """Base of the mixtures whose cells are numbers of one family."""

    _kind: ClassVar[type[Cells]]

    def __init__(
        self,
        n_components: int = 1,
        *,
        prior: str | None = None,
        n_init: int = 1,
        init_params: Any = "kmeans",
        tol: float = 1e-4,
        max_iter: int = 1000,
        accelerate: str | None = "squarem",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.prior = prior
        self.n_init = n_init
        self.init_params = init_params
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.random_state = random_state
        self.verbose = verbose

    def _problem(self, X: Any, y: Any, sample_weight: Any) -> Problem:
        problem = super()._problem(X, y, sample_weight)
        return merged(problem) if isinstance(self.init_params, str) else problem

    def _supports(self) -> list[tuple[type[Cells | Multinomial], tuple[int, ...]]]:
        return [(self._kind, tuple(range(self.n_features_in_)))]

    def _family_for(self, problem: Problem) -> Callable[[int], Family]:
        if self.prior not in (None, "default"):
            raise ValueError(f'prior={self.prior!r}: choose "default" or None')
        family = self._kind.of(problem.sample())
        chosen = family.with_prior(1.0) if self.prior == "default" else family
        return lambda size: chosen


class BernoulliMixture(CellMixture):
    """Mixture of independent Bernoulli columns: cells are 0 or 1, or missing.

    The probability of a row is Σ_k π_k Π_j p_kj^x_j (1 − p_kj)^(1 − x_j). Tables of whole bytes (uint8, bool) are kept
    as they are and read piece by piece.

    Parameters
    ----------
    n_components : int, default=1
        K.
    prior : "default", optional
        One row of the table's averages for each component (a conjugate prior): the fit is then maximum a posteriori.
    n_init : int, default=1
        Number of starts, side by side: first as short runs, then the best quarter to convergence.
    init_params : {"kmeans", "hierarchical", "random"} or array, default="kmeans"
        As in `GaussianMixture`.
    tol : float, default=1e-4
        Projected remaining gain in total log likelihood, in nats, at which the fit has converged.
    max_iter : int, default=1000
    accelerate : {"squarem", "anderson", None}, default="squarem"
    random_state : int, RandomState or None
    verbose : int, default=0

    Attributes
    ----------
    weights_ : array, shape (K,)
    probabilities_ : array, shape (K, d)
        P(x_j = 1 | component).
    log_likelihood_, n_parameters_, trace_, status_, converged_, n_iter_
        As in `GaussianMixture`.

    Examples
    --------
    >>> import noumena as nm
    >>> x = [[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, None, 1], [1, 1, 0], [0, 0, 1]]
    >>> bm = nm.BernoulliMixture(2, random_state=0).fit(x)
    >>> sorted(bm.weights_.round(2).tolist())
    [0.5, 0.5]
    """

    _kind = Bernoulli

    def _described(self, family: Family, reported: Any) -> dict[str, Any]:
        return {"probabilities": reported["probability"]}


class PoissonMixture(CellMixture):
    """Mixture of independent Poisson columns: cells are counts, or missing.

    The probability of a row is Σ_k π_k Π_j Poisson(x_j | λ_kj).

    Parameters
    ----------
    n_components : int, default=1
        K.
    prior : "default", optional
        One row of the table's averages for each component (a conjugate prior): the fit is then maximum a posteriori.
    n_init : int, default=1
        Number of starts, side by side: first as short runs, then the best quarter to convergence.
    init_params : {"kmeans", "hierarchical", "random"} or array, default="kmeans"
        As in `GaussianMixture`.
    tol : float, default=1e-4
        Projected remaining gain in total log likelihood, in nats, at which the fit has converged.
    max_iter : int, default=1000
    accelerate : {"squarem", "anderson", None}, default="squarem"
    random_state : int, RandomState or None
    verbose : int, default=0

    Attributes
    ----------
    weights_ : array, shape (K,)
    rates_ : array, shape (K, d)
    log_likelihood_, n_parameters_, trace_, status_, converged_, n_iter_
        As in `GaussianMixture`.

    Examples
    --------
    >>> import noumena as nm
    >>> pm = nm.PoissonMixture(2, random_state=0).fit([[0], [1], [0], [9], [11], [10]])
    >>> sorted(pm.rates_[:, 0].round(1).tolist())
    [0.3, 10.0]
    """

    _kind = Poisson

    def _described(self, family: Family, reported: Any) -> dict[str, Any]:
        return {"rates": reported["rate"]}
