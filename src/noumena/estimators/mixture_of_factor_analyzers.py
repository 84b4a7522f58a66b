"""Mixtures of factor analysers: clusters in many columns."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ..core.result import Fit
from ..data.summary import check_columns
from ..families.factor_chart import determined
from ..families.factor_normal import FactorNormal
from ..families.factor_structure import FactorStructure
from ..families.family import Family
from ..models.mixture import Mixture
from .factor_analysis import noise_groups
from .factor_estimator import n_factors_of
from .factor_rows import frame_for
from .mixture_fitting import Problem
from .parameters import real
from .tabular import CompletingMixture


class MixtureOfFactorAnalyzers(CompletingMixture):
    """Mixture of normals with covariances W_k W_kᵀ + Ψ_k, for clusters in many columns.

    Each component is a factor analyser with q factors: d (q + 1) numbers in place of the d (d + 1)/2 of a full
    covariance. Factors and missing cells are integrated out exactly.

    Parameters
    ----------
    n_components : int, default=1
        K.
    n_factors : int, default=1
        q, of every component.
    noise_structure : {"diagonal", "isotropic"} or sequence of int, default="diagonal"
        As in `FactorAnalysis`; ``"isotropic"`` is a mixture of probabilistic principal components.
    min_noise : float, default=1e-6
        Least noise variance of a column in a component, as a share of the column's variance in all rows. A component
        that ends there has collapsed.
    n_init : int, default=1
        Number of starts, side by side: first as short runs, then the best quarter to convergence.
    init_params : {"kmeans", "hierarchical", "random"} or array, default="kmeans"
        As in `GaussianMixture`.
    tol : float, default=1e-4
        Projected remaining gain in total log likelihood, in nats, at which the fit has converged.
    max_iter : int, default=2000
    accelerate : {"squarem", "anderson", None}, default="squarem"
    random_state : int, RandomState or None
    verbose : int, default=0

    Attributes
    ----------
    weights_ : array, shape (K,)
    means_ : array, shape (K, d)
    loadings_ : array, shape (K, d, q)
        In the units of the columns; turned so that those of q columns form a triangle.
    noise_variance_ : array, shape (K, d)
    covariances_ : array, shape (K, d, d)
        W Wᵀ + Ψ.
    log_likelihood_, n_parameters_, trace_, status_, converged_, n_iter_
        As in `GaussianMixture`.

    References
    ----------
    Ghahramani & Hinton (1996), The EM algorithm for mixtures of factor analyzers; McLachlan & Peel (2000), Finite
    Mixture Models, chapter 8.

    Examples
    --------
    >>> import numpy as np
    >>> import noumena as nm
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(300, 1)) @ np.ones((1, 8)) + rng.normal(size=(300, 8)) * 0.5
    >>> x[150:] = 4 - x[150:] * np.tile([1, -1], 4)
    >>> mfa = nm.MixtureOfFactorAnalyzers(2, n_factors=1, random_state=0).fit(x)
    >>> np.bincount(mfa.predict(x)).tolist()
    [150, 150]
    """

    means_: np.ndarray
    loadings_: np.ndarray
    noise_variance_: np.ndarray
    covariances_: np.ndarray

    def __init__(
        self,
        n_components: int = 1,
        *,
        n_factors: int = 1,
        noise_structure: str | Sequence[int] = "diagonal",
        min_noise: float = 1e-6,
        n_init: int = 1,
        init_params: Any = "kmeans",
        tol: float = 1e-4,
        max_iter: int = 2000,
        accelerate: str | None = "squarem",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.n_factors = n_factors
        self.noise_structure = noise_structure
        self.min_noise = min_noise
        self.n_init = n_init
        self.init_params = init_params
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.random_state = random_state
        self.verbose = verbose

    def _family_for(self, problem: Problem) -> Callable[[int], Family]:
        d = problem.table.n_columns
        floor = real("min_noise", self.min_noise, 0.0)
        if not 0 < floor < 1:
            raise ValueError(f"min_noise={floor} is a share of a column's variance: between 0 and 1")
        groups = noise_groups(self.noise_structure, d)
        structure = FactorStructure(n_factors_of(self.n_factors, d, d), groups, floor=floor)
        frame = frame_for(problem.summary.mean, problem.summary.variance, structure)
        family = FactorNormal(frame, structure, not problem.summary.any_missing)
        return lambda size: family

    def _family_name(self) -> str:
        return f"{self.n_factors} factors"

    def _check_columns(self, problem: Problem) -> None:
        check_columns(problem.summary, self._column_names())

    def _adopt(self, fit: Fit) -> None:
        mixture = jax.tree.map(np.asarray, fit.model)
        assert isinstance(mixture, Mixture)
        assert isinstance(mixture.family, FactorNormal)
        own = mixture.family
        # rows to come may have missing cells where those of the fit had none
        family = FactorNormal(own.frame, own.structure)
        parameters = determined(mixture.parameters, own.structure)
        settled = Mixture(family, mixture.weights, parameters, mixture.active)
        super()._adopt(Fit(settled, fit.objective, fit.bound, fit.status, fit.trace))

    def _described(self, family: Family, reported: Any) -> dict[str, Any]:
        return {
            "means": reported["mean"],
            "loadings": reported["loadings"],
            "noise_variance": reported["noise"],
            "covariances": reported["covariance"],
        }

    def _degenerate_message(self, problem: Problem) -> str:
        told, names = [], self._column_names()
        _, parameters = self._model.foreground()
        for k in np.flatnonzero(parameters.at_floor.any(axis=1)):
            rows = self.weights_[k] * problem.summary.total_weight
            low = ", ".join(repr(name) for name, own in zip(names, parameters.at_floor[k], strict=True) if own)
            told.append(f"component {k} ({rows:.1f} rows) has no noise left in {low}, or lost its rows")
        return "; ".join(told) + ": its likelihood is a spike, not a fit; use fewer components or factors"
