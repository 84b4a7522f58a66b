"""Bayesian principal components: the number of factors is found."""

from dataclasses import replace
from typing import Any

import numpy as np

from ..core.expectation import expectation
from ..core.lanes import stack
from ..core.result import Fit
from ..families.factor_structure import FactorStructure
from ..models.bayesian_pca import BayesianPCAModel
from ..models.factor import FactorModel
from .factor_analysis import noise_groups
from .factor_estimator import FactorEstimator, begun, n_factors_of
from .factor_rows import FactorRows
from .mixture_fitter import double_precision


class BayesianPCA(FactorEstimator):
    """Probabilistic principal components with a prior on the loadings that switches off factors without use.

    The loadings of factor k are N(0, 1/α_k); α_k is estimated by the evidence, and grows without end for a factor that
    the rows do not need (automatic relevance determination). The loadings have a normal posterior, the fit is mean
    field, and its objective a lower bound of the log evidence. Missing cells are integrated out.

    Parameters
    ----------
    n_factors : int, optional
        Most factors; one less than there are columns by default.
    noise_structure : {"isotropic", "diagonal"} or sequence of int, default="isotropic"
        As in `FactorAnalysis`; with a noise variance for each column, a Bayesian factor analysis.
    tol : float, default=1e-4
        Projected remaining gain of the bound, in nats, at which the fit has converged.
    max_iter : int, default=10000
    accelerate : {"squarem", "anderson", None}, default="squarem"
    random_state : int, RandomState or None
        For `sample` and draws of `impute`.
    verbose : int, default=0

    Attributes
    ----------
    n_factors_ : int
        Factors that were kept.
    loadings_ : array, shape (d, n_factors_)
        Posterior means, the longest first.
    relevance_ : array, shape (n_factors_,)
        α; of the loadings of standardised columns where the noise is not isotropic.
    noise_variance_ : array, shape (d,)
    lower_bound_ : float
        Of log p(observed cells | α, μ, ψ), in nats, all factors included.
    log_likelihood_ : float
        log p(observed cells) at the posterior means of the loadings.
    standardized_loadings_, communalities_, mean_, trace_, status_, converged_, n_iter_
        As in `FactorAnalysis`; the trace is of the bound.

    References
    ----------
    Bishop (1999), Variational principal components, ICANN.

    Examples
    --------
    >>> import numpy as np
    >>> import noumena as nm
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6)) + rng.normal(size=(300, 6)) * 0.3
    >>> nm.BayesianPCA().fit(x).n_factors_
    2
    """

    n_factors_: int
    relevance_: np.ndarray
    noise_variance_: np.ndarray
    lower_bound_: float

    def __init__(
        self,
        n_factors: int | None = None,
        *,
        noise_structure: Any = "isotropic",
        tol: float = 1e-4,
        max_iter: int = 10_000,
        accelerate: str | None = "squarem",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_factors = n_factors
        self.noise_structure = noise_structure
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.random_state = random_state
        self.verbose = verbose

    def _structure(self, d: int, names: list[str]) -> FactorStructure:
        most = max(d - 1, 1)
        q = most if self.n_factors is None else n_factors_of(self.n_factors, d, most)
        return FactorStructure(q, noise_groups(self.noise_structure, d), floor=1e-6)

    def _begin(self, rows: FactorRows, structure: FactorStructure) -> FactorModel:
        return BayesianPCAModel.around(begun(rows, structure))

    def _raised(self, start: FactorModel, rows: FactorRows) -> Fit:
        # a factor that fits noise may sit in a maximum of its own: the bound decides whether it stays
        found = super()._raised(start, rows)
        while found.status.ok:
            model = found.model
            assert isinstance(model, BayesianPCAModel)
            if not len(kept := model.kept()):
                break
            without = super()._raised(model.without(int(kept[-1])), rows)
            if not without.status.ok or without.objective <= found.objective:
                break
            found = without
        return found

    def _settle(self, model: FactorModel, rows: FactorRows, found: Fit) -> float:
        assert isinstance(model, BayesianPCAModel)
        self._kept = model.kept()
        self.lower_bound_ = found.objective
        scale = np.asarray(model.frame.scale.value)
        self.relevance_ = model.relevance[self._kept] / (1.0 if np.ptp(scale) > 0 else scale[0] ** 2)
        with double_precision():
            bound, _ = expectation(stack([self._presented(model)]), rows.blocks)
        return float(bound[0])

    def _presented(self, model: FactorModel) -> FactorModel:
        own = model.parameters
        loadings = own.loadings[:, self._kept]
        loadings = loadings * np.where(np.sum(loadings**3, axis=0) < 0, -1.0, 1.0)
        structure = replace(model.structure, n_factors=len(self._kept))
        parameters = own._replace(loadings=loadings, latent=np.eye(len(self._kept)))
        return FactorModel(model.frame, structure, parameters, model.complete)

    def _describe(self) -> None:
        self.n_factors_ = self._model.structure.n_factors
        self.noise_variance_ = self._noise() ** 2

    def _to_state(self) -> dict[str, Any]:
        return super()._to_state() | {"lower_bound": self.lower_bound_, "relevance": self.relevance_}

    def _from_state(self, state: dict[str, Any]) -> None:
        self.lower_bound_, self.relevance_ = state["lower_bound"], state["relevance"]
        super()._from_state(state)
