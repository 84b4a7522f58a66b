"""Bayesian principal components: a posterior over the loadings, so that factors without use switch themselves off."""

from dataclasses import dataclass
from typing import Any, Self

import jax
import numpy as np
from jaxtyping import Float, Int

from ..families.factor_structure import FactorParameters, pooled_noise
from .factor import FactorModel, FactorModelNatural

#: A factor that the rows do not need ends at this precision of its loadings, in the frame.
MOST = 1e10


class BayesianPCAModel(FactorModel):
    """w_jk ~ N(0, 1/α_k), a posterior over W, and α, μ and ψ where the bound is largest.

    q(Z, W) = Π_n q(z_n) Π_j q(w_j), all normal (Bishop 1999, ICANN, "Variational principal components"). The E-step is
    that of a factor model with E[w_j w_jᵀ] in place of w_j w_jᵀ, and `log_prior` is −KL[q(W) ‖ p(W | α)], so that the
    objective is a lower bound of log p(x | α, μ, ψ).

    Attributes
    ----------
    spread : array, shape (d, q, q), or (1, q, q) where all columns have the same one
        Covariance of each w_j; its mean is in ``parameters``.
    relevance : array, shape (q,)
        α.
    """

    spread: Float[Any, "c q q"]
    relevance: Float[Any, " q"]

    @classmethod
    def around(cls, model: FactorModel) -> "BayesianPCAModel":
        """A start whose loadings are certain, almost."""
        d, q = model.parameters.loadings.shape
        common = model.complete and max(model.structure.noise) == 0
        spread = np.tile(1e-6 * np.eye(q), (1 if common else d, 1, 1))
        relevance = d / np.maximum(np.sum(model.parameters.loadings**2, axis=0), d / MOST)
        return cls(model.frame, model.structure, model.parameters, model.complete, spread, relevance)

    def kept(self) -> Int[np.ndarray, " kept"]:
        """Factors of which more is known than is not, the longest first."""
        size = np.sum(np.asarray(self.parameters.loadings) ** 2, axis=0)
        each = np.diagonal(self.spread, axis1=1, axis2=2)
        kept = np.flatnonzero(size > each.sum(axis=0) * (len(self.parameters.loadings) / len(each)))
        return kept[np.argsort(-size[kept], kind="stable")]

    def without(self, factor: int) -> Self:
        """The model with one factor switched off."""
        gone = np.arange(len(self.relevance)) == factor
        own = self.parameters._replace(loadings=np.where(gone, 0.0, self.parameters.loadings))
        spread = np.where(gone[:, None] | gone, 0.0, self.spread) + np.diag(gone / MOST)
        relevance = np.where(gone, MOST, self.relevance)
        return self._with(own, spread, relevance)

    def _spread(self) -> Any:
        return self.spread

    def update(self, stats: FactorModelNatural) -> Self:
        try:
            return self._with(*self._updated(stats))
        except np.linalg.LinAlgError:  # extrapolated statistics need not be those of any rows: the step is taken back
            before = self.parameters, self.spread, self.relevance
            return self._with(*jax.tree.map(lambda part: np.full_like(part, np.nan), before))

    def _with(self, parameters: FactorParameters, spread: np.ndarray, relevance: np.ndarray) -> Self:
        return type(self)(self.frame, self.structure, parameters, self.complete, spread, relevance)

    def _updated(self, stats: FactorModelNatural) -> tuple[FactorParameters, np.ndarray, np.ndarray]:
        own = stats.factor
        found = self._posterior(stats, np.asarray(self.relevance))
        bolder = self._posterior(stats, found.mackay())
        if bolder.evidence >= found.evidence:
            found, relevance = bolder, found.mackay()
        else:
            relevance = found.relevance()
        weights, spread = found.weights, found.spread
        both = weights @ own.gram[0] if len(own.gram) == 1 else np.einsum("jp,jpr->jr", weights, own.gram)
        explained = np.sum(both * weights, axis=1)
        uncertain = np.sum(own.gram[:, 1:, 1:] * spread, axis=(1, 2))  # of one column, or of each
        left = own.square - 2 * np.sum(weights * own.linear, axis=1) + explained + uncertain
        noise, at_floor = pooled_noise(np, self.structure, left, own.gram[:, 0, 0])
        eye = np.eye(len(relevance))
        return FactorParameters(weights[:, 0], weights[:, 1:], noise, eye, at_floor), spread, relevance

    def _posterior(self, stats: FactorModelNatural, relevance: np.ndarray) -> "_Loadings":
        """q(W) given α, with μ where the bound is largest."""
        own, psi = stats.factor, np.asarray(self.parameters.noise)
        common = len(self.spread) == 1
        inverse = (1 / psi[:1] if common else 1 / psi)[:, None, None]
        curvature = own.gram * inverse + np.diag(np.concatenate([[0.0], relevance]))
        target = own.linear / psi[:, None]
        if common:
            weights = np.linalg.solve(curvature[0], target.T).T
        else:
            weights = np.linalg.solve(curvature, target[..., None])[..., 0]
        within = curvature[:, 1:, 1:]
        roots = np.linalg.cholesky(within)
        logdet = 2 * np.sum(np.log(np.diagonal(roots, axis1=1, axis2=2))) * (len(psi) / len(within))
        evidence = 0.5 * (np.sum(weights * target) - logdet + len(psi) * np.sum(np.log(relevance)))
        return _Loadings(weights, np.linalg.inv(within), relevance_before=relevance, evidence=float(evidence))

    @np.errstate(invalid="ignore")
    def log_prior(self) -> float:
        d, q = self.parameters.loadings.shape
        times = d / len(self.spread)
        second = np.sum(self.parameters.loadings**2, axis=0)
        second = second + times * np.diagonal(self.spread, axis1=1, axis2=2).sum(axis=0)
        logdet = times * np.sum(np.linalg.slogdet(self.spread)[1])
        return float(0.5 * (logdet + d * np.sum(np.log(self.relevance)) - np.sum(self.relevance * second) + d * q))


@dataclass(frozen=True)
class _Loadings:
    """q(W) under some α, with the part of the bound that depends on α."""

    weights: Float[np.ndarray, "d p"]
    spread: Float[np.ndarray, "c q q"]
    relevance_before: Float[np.ndarray, " q"]
    evidence: float

    @property
    def _second(self) -> tuple[np.ndarray, np.ndarray]:
        """Σ_j E[w_jk]², and the sum of their variances."""
        each = np.diagonal(self.spread, axis1=1, axis2=2)
        return np.sum(self.weights[:, 1:] ** 2, axis=0), each.sum(axis=0) * (len(self.weights) / len(each))

    def relevance(self) -> np.ndarray:
        """α of largest bound for this q(W): it creeps where a factor has no use."""
        size, variance = self._second
        return np.minimum(len(self.weights) / (size + variance), MOST)

    def mackay(self) -> np.ndarray:
        """α that this q(W) would leave as it is if its shape did not depend on α (MacKay 1992): it leaps there."""
        size, variance = self._second
        known = np.maximum(len(self.weights) - self.relevance_before * variance, 0.0)
        return np.clip(known / np.maximum(size, np.finfo(float).tiny), 1 / MOST, MOST)
