"""Priors of regression weights that are scale mixtures of normals: w_j ~ N(0, τ_j²), τ_j hidden."""

import abc
from dataclasses import dataclass, replace
from typing import Self, final

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln

from .normal_chart import LOG_2PI

#: A sum of squares below this is 0: the logarithm of 0 is none.
_LEAST = 1e-280


class WeightPrior(abc.ABC):
    """A density of groups of weights that depends on their sum of squares only, as log p(w) = ψ(‖w‖²), ψ convex.

    The scale is integrated out, or held at its optimal q: ψ(E‖w‖²) is a lower bound of E log p(w), tight where w is
    certain, and −2ψ′ is E[1/τ²], the precision of the weighted ridge that the M-step solves.

    Every method takes, of each group, ``square`` = E‖w‖² and ``size``, its number of weights.
    """

    @property
    def kink(self) -> float | None:
        """Slope of −log p in ‖w‖ at 0, for priors with a kink there, which hold weights at 0; None without one."""
        return None

    @abc.abstractmethod
    def log_density(self, square: Float[np.ndarray, " g"], size: Float[np.ndarray, " g"]) -> Float[np.ndarray, " g"]:
        """ψ of each group, in nats."""

    @abc.abstractmethod
    def precision(self, square: Float[np.ndarray, " g"], size: Float[np.ndarray, " g"]) -> Float[np.ndarray, " g"]:
        """E[1/τ²] of each group; infinite where a group is 0 and the prior has a kink there."""

    def adapted(self, square: Float[np.ndarray, " g"], size: Float[np.ndarray, " g"]) -> Self:
        """The prior whose hyperparameters maximise Σψ.

        Raises
        ------
        NotImplementedError
            For priors without a closed form of them.
        """
        raise NotImplementedError(f"{type(self).__name__} has no closed form of its hyperparameters")


@final
@dataclass(frozen=True)
class RidgePrior(WeightPrior):
    """w_j ~ N(0, 1/λ)."""

    penalty: float

    def log_density(self, square: np.ndarray, size: np.ndarray) -> np.ndarray:
        return 0.5 * (size * (np.log(self.penalty) - LOG_2PI) - self.penalty * square)

    def precision(self, square: np.ndarray, size: np.ndarray) -> np.ndarray:
        return np.full(len(square), self.penalty)

    def adapted(self, square: np.ndarray, size: np.ndarray) -> Self:
        return replace(self, penalty=float(size.sum() / square.sum()))


@final
@dataclass(frozen=True)
class LaplacePrior(WeightPrior):
    """p(w) ∝ exp(−γ‖w‖): of single weights the LASSO (Park & Casella 2008, JASA 103:681), of groups the group LASSO.

    τ² has a gamma distribution, with E[1/τ² | w] = γ/‖w‖.
    """

    penalty: float

    @property
    def kink(self) -> float:
        return self.penalty

    def log_density(self, square: np.ndarray, size: np.ndarray) -> np.ndarray:
        constant = size * np.log(self.penalty) + gammaln(0.5 * size) - gammaln(size)
        return constant - np.log(2) - 0.5 * size * np.log(np.pi) - self.penalty * np.sqrt(square)

    def precision(self, square: np.ndarray, size: np.ndarray) -> np.ndarray:
        return np.divide(self.penalty, np.sqrt(square), out=np.full(len(square), np.inf), where=square > 0)

    def adapted(self, square: np.ndarray, size: np.ndarray) -> Self:
        return replace(self, penalty=float(size.sum() / np.sqrt(square).sum()))


@final
@dataclass(frozen=True)
class StudentPrior(WeightPrior):
    """w_j ~ t(0, 1/λ, ν), of single weights: E[1/τ² | w] = (ν + 1) λ²/(ν + λ²w²)."""

    penalty: float
    dof: float

    def log_density(self, square: np.ndarray, size: np.ndarray) -> np.ndarray:
        nu, rate = self.dof, self.penalty
        constant = gammaln(0.5 * (nu + 1)) - gammaln(0.5 * nu) - 0.5 * np.log(np.pi * nu) + np.log(rate)
        return constant - 0.5 * (nu + 1) * np.log1p(rate**2 * square / nu)

    def precision(self, square: np.ndarray, size: np.ndarray) -> np.ndarray:
        return (self.dof + 1) * self.penalty**2 / (self.dof + self.penalty**2 * square)


@final
@dataclass(frozen=True)
class HorseshoePrior(WeightPrior):
    """w_j ~ N(0, κ_j²/λ²), κ_j half-Cauchy, of single weights: Carvalho, Polson & Scott (2010), Biometrika 97:465.

    Its density has no closed form and a pole at 0, so that it has no useful mode. What is maximised is the lower bound
    by κ² ~ InvGamma(½, 1/ν), ν ~ InvGamma(½, 1) with q(κ²) q(ν) (Wand et al. 2011, Bayesian Anal. 6:847): finite at 0,
    with a kink there and tails ∝ 1/w². With c = λ²w²/2, u = E[1/κ²] solves c u² + c u = 1.
    """

    penalty: float

    @property
    def kink(self) -> float:
        return self.penalty * np.sqrt(2)

    def log_density(self, square: np.ndarray, size: np.ndarray) -> np.ndarray:
        c = 0.5 * self.penalty**2 * square
        share = 2 / (c + 2 + np.sqrt(c * c + 4 * c))  # u/(1 + u) = 1 − cu
        return -0.5 * LOG_2PI + np.log(self.penalty / np.pi) + np.log(share) + share

    def precision(self, square: np.ndarray, size: np.ndarray) -> np.ndarray:
        c = 0.5 * self.penalty**2 * square
        ratio = np.divide(4.0, c, out=np.full(len(c), np.inf), where=c > _LEAST)
        return 0.5 * self.penalty**2 * (np.sqrt(1 + ratio) - 1)


@final
@dataclass(frozen=True)
class RelevancePrior(WeightPrior):
    """Automatic relevance determination: w ~ N(0, τ²), τ² of each group a parameter at its maximum (type II)."""

    def log_density(self, square: np.ndarray, size: np.ndarray) -> np.ndarray:
        return -0.5 * size * (LOG_2PI + 1 + np.log(np.maximum(square, _LEAST) / size))

    def precision(self, square: np.ndarray, size: np.ndarray) -> np.ndarray:
        return np.where(square > _LEAST, size / np.maximum(square, _LEAST), np.inf)
