"""Mixtures of multivariate t distributions: robust clustering."""

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from ..families.covariance import Structure
from ..families.family import Family
from ..families.normal import Frame
from ..families.normal_inverse_wishart import NormalInverseWishart
from ..families.student_t import StudentT
from .diagnosis import degenerate_message
from .mixture_fitting import Problem
from .parameters import normal_prior
from .tabular import CompletingMixture


class StudentTMixture(CompletingMixture):
    """Mixture of multivariate t distributions, for clusters with outliers.

    A t distribution is a normal whose covariance is divided by a latent weight of each row; rows far out get little
    weight in the means and scale matrices. Missing cells are integrated out exactly.

    Parameters
    ----------
    n_components : int, default=1
        K.
    covariance : str, default="VVV"
        What the scale matrices Σ_k share, as in `GaussianMixture`.
    degrees_of_freedom : {"each", "common"} or float, default="each"
        ν: estimated for each component, estimated as one number for all, or fixed. Estimates stay within [0.1, 10000].
    prior : NormalInverseWishart or "default", optional
        Prior of each μ_k and Σ_k, as in `GaussianMixture`; there is none on ν. The fit is then maximum a posteriori.
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
    locations_ : array, shape (K, d)
        μ, which are the means where ν > 1.
    scales_ : array, shape (K, d, d)
        Σ; the covariances are Σ ν / (ν − 2) where ν > 2.
    degrees_of_freedom_ : array, shape (K,)
    log_likelihood_, n_parameters_, trace_, status_, converged_, n_iter_
        As in `GaussianMixture`.

    References
    ----------
    Peel & McLachlan (2000), Stat. Comput. 10:339.

    Examples
    --------
    >>> import numpy as np
    >>> import noumena as nm
    >>> rng = np.random.default_rng(0)
    >>> x = np.concatenate([rng.standard_t(3, (200, 2)), 10 + rng.standard_t(3, (200, 2))])
    >>> tm = nm.StudentTMixture(2, degrees_of_freedom="common", random_state=0).fit(x)
    >>> bool(2 < tm.degrees_of_freedom_[0] < 5)
    True
    """

    locations_: np.ndarray
    scales_: np.ndarray
    degrees_of_freedom_: np.ndarray

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance: str = "VVV",
        degrees_of_freedom: str | float = "each",
        prior: NormalInverseWishart | str | None = None,
        n_init: int = 1,
        init_params: Any = "kmeans",
        tol: float = 1e-4,
        max_iter: int = 1000,
        accelerate: str | None = "squarem",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.covariance = covariance
        self.degrees_of_freedom = degrees_of_freedom
        self.prior = prior
        self.n_init = n_init
        self.init_params = init_params
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.random_state = random_state
        self.verbose = verbose

    def _family_for(self, problem: Problem) -> Callable[[int], Family]:
        d, freedom = problem.table.n_columns, self.degrees_of_freedom
        if self.covariance in ("E", "V") and d > 1:
            raise ValueError(f"covariance={self.covariance!r} is for one column; this table has {d}: use EII or VII")
        chosen: Any = freedom
        if isinstance(freedom, Real) and not isinstance(freedom, bool) and 0 < float(freedom) < np.inf:
            chosen = float(freedom)
        elif freedom not in ("each", "common"):
            raise ValueError(f'degrees_of_freedom={freedom!r}: choose "each", "common" or a number above 0')
        frame = Frame.of(problem.summary.mean, np.sqrt(problem.summary.variance))
        structure = Structure.named(self.covariance)
        prior = normal_prior(self.prior, problem.summary.mean, problem.summary.variance)
        return lambda size: StudentT(frame, structure, chosen, prior(size))

    def _sized(self) -> bool:
        return isinstance(self.prior, str)

    def _described(self, family: Family, reported: Any) -> dict[str, Any]:
        return {
            "locations": reported["location"],
            "scales": reported["scale"],
            "degrees_of_freedom": reported["degrees_of_freedom"],
        }

    def _degenerate_message(self, problem: Problem) -> str:
        return degenerate_message(
            self.weights_,
            self.scales_,
            self._model.parameters.collapsed,
            np.sqrt(problem.summary.variance),
            problem.summary.total_weight,
            self._column_names(),
        )
