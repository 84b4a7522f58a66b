"""Generalised linear regressions: a response whose mean is a function of zᵀβ, in every component another one."""

import abc
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from ..core.block import Block
from .cells import DEAD
from .design import covariates, solved, squares
from .log_factorial import log_factorial
from .product import after
from .regression import Regression, RegressionParameters

#: A logistic component whose information about some direction of its coefficients is less than this, per row and in
#: units of z, tells rows apart without error: there is no finite maximum.
_CERTAIN = 1e-7
#: Log rates above this count as it: what they are the logarithms of must be finite.
_LARGEST = 700.0


class LinkedNatural(NamedTuple):
    """β, and three places that are 0: what multiplies them is gathered for the M-step.

    ``curvature`` gathers C = Σ r A″(η) zzᵀ and ``working`` Σ r (A″(η) η + y − A′(η)) z, the normal equations of a
    Newton step: β ← C⁻¹ working (iteratively reweighted least squares). ``constant`` gathers the observed weight.
    """

    coefficients: Float[Any, "K p"]
    working: Float[Any, "K p"]
    curvature: Float[Any, "K p p"]
    constant: Float[Any, " K"]


class LinkedRegression(Regression):
    """Generalised linear regressions with the canonical link: log p(y | η) = yη − A(η) + log h(y), η = zᵀβ_k.

    The maximum in β has no closed form; `maximise` is one Newton step towards it (McCullagh & Nelder 1989, Generalized
    Linear Models, section 2.5), so that EM is a generalised EM.
    """

    @staticmethod
    @abc.abstractmethod
    def log_partition(eta: Array) -> Array:
        """A(η)."""

    @staticmethod
    @abc.abstractmethod
    def log_base(y: Array) -> Array:
        """log h(y)."""

    @staticmethod
    @abc.abstractmethod
    def moments(eta: Array) -> tuple[Array, Array]:
        """A′(η) and A″(η): mean and variance of y."""

    @staticmethod
    @abc.abstractmethod
    def rough(y: np.ndarray) -> np.ndarray:
        """η of each response by itself, drawn towards their mean so that it is finite."""

    def exact(self) -> bool:
        return False

    def natural(self, parameters: RegressionParameters) -> LinkedNatural:
        beta = jnp.asarray(parameters.coefficients)
        k, p = beta.shape
        return LinkedNatural(beta, jnp.zeros((k, p)), jnp.zeros((k, p, p)), jnp.zeros(k))

    def marginal(self, natural: LinkedNatural, block: Block) -> Float[Array, "rows K"]:
        y = jnp.asarray(block.x)
        hole = jnp.isnan(y)
        y = jnp.where(hole, 0.0, y)
        z = jnp.where(hole, 0.0, self.frame.enter(covariates(block)))
        eta = z @ natural.coefficients.T
        value = y * eta - self.log_partition(eta) + self.log_base(y) + natural.constant
        return jnp.where(
            hole, 0.0, value + _working(natural, z, lax.stop_gradient(jnp.minimum(eta, _LARGEST)), y, self.moments)
        )

    def maximise(
        self, count: Float[Array, " K"], stats: LinkedNatural, previous: RegressionParameters
    ) -> RegressionParameters:
        alive = stats.constant > DEAD
        curvature = stats.curvature + jnp.diag(self._penalty())
        curvature = jnp.where(alive[:, None, None], curvature, jnp.eye(self.frame.size))
        beta = solved(curvature, stats.working)
        certain = self._certain(after(stats, beta), jnp.where(alive, stats.constant, 1.0))
        return RegressionParameters(
            jnp.where(alive[:, None], beta, previous.coefficients), jnp.ones_like(count), ~alive | certain
        )

    def _certain(self, stats: LinkedNatural, seen: Float[Array, " K"]) -> Bool[Array, " K"]:
        """Which components have no maximum within reach."""
        return jnp.zeros(seen.shape, dtype=bool)

    def statistics(self, x: np.ndarray, responsibilities: np.ndarray, given: np.ndarray | None = None) -> LinkedNatural:
        # a Newton step from η = 0 may land anywhere: the normal equations are taken at each response's own η
        seen = ~np.isnan(x[:, 0])
        y, r = x[seen, 0], responsibilities[seen]
        z = np.asarray(self.frame.enter(np.asarray(given)[seen]))
        eta = self.rough(y)
        mean, variance = (np.asarray(part) for part in self.moments(jnp.asarray(eta)))
        working = r.T @ ((variance * eta + y - mean)[:, None] * z)
        curvature = np.einsum("nk,n,ni,nj->kij", r, variance, z, z, optimize=True)
        return LinkedNatural(np.zeros_like(working), working, curvature, r.sum(axis=0))

    def predicted(self, coefficients: np.ndarray, given: np.ndarray) -> np.ndarray:
        z = np.asarray(self.frame.enter(given))
        return np.asarray(self.moments(jnp.asarray(z @ np.asarray(coefficients).T))[0])

    def reported(self, parameters: RegressionParameters) -> dict[str, Array]:
        return {"coefficients": self.frame.leave(parameters.coefficients)}

    def n_parameters(self, n_components: int) -> int:
        return n_components * self.frame.size


class BernoulliRegression(LinkedRegression):
    """Logistic regressions: A(η) = log(1 + e^η)."""

    support: ClassVar[str] = "0 or 1"

    @staticmethod
    def contains(y: np.ndarray) -> np.ndarray:
        return (y == 0) | (y == 1)

    @staticmethod
    def log_partition(eta: Array) -> Array:
        return jax.nn.softplus(eta)

    @staticmethod
    def log_base(y: Array) -> Array:
        return jnp.zeros_like(y)

    @staticmethod
    def moments(eta: Array) -> tuple[Array, Array]:
        mean = jax.nn.sigmoid(eta)
        return mean, mean * jax.nn.sigmoid(-eta)

    @staticmethod
    def rough(y: np.ndarray) -> np.ndarray:
        mean = 0.5 * (y + 0.5)
        return np.log(mean) - np.log1p(-mean)

    def _certain(self, stats: LinkedNatural, seen: Float[Array, " K"]) -> Bool[Array, " K"]:
        least = jnp.linalg.eigvalsh(stats.curvature / seen[:, None, None])[:, 0]
        return least < _CERTAIN

    def draw(self, mean: np.ndarray, variance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return (rng.random(mean.shape) < mean).astype(float)


class PoissonRegression(LinkedRegression):
    """Poisson regressions: A(η) = e^η, the log link."""

    support: ClassVar[str] = "counts 0, 1, 2, …"

    @staticmethod
    def contains(y: np.ndarray) -> np.ndarray:
        return (y >= 0) & (y == np.floor(y)) & np.isfinite(y)

    @staticmethod
    def log_partition(eta: Array) -> Array:
        return jnp.exp(jnp.minimum(eta, _LARGEST))

    @staticmethod
    def log_base(y: Array) -> Array:
        return -log_factorial(y)

    @staticmethod
    def moments(eta: Array) -> tuple[Array, Array]:
        mean = jnp.exp(jnp.minimum(eta, _LARGEST))
        return mean, mean

    @staticmethod
    def rough(y: np.ndarray) -> np.ndarray:
        return np.log(0.5 * (y + max(float(y.mean()), 0.1)))

    def draw(self, mean: np.ndarray, variance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.poisson(mean).astype(float)


def _working(natural: LinkedNatural, z: Array, eta: Array, y: Array, moments: Any) -> Float[Array, "rows K"]:
    """What the places for statistics multiply; its value is 0, for these are."""
    mean, variance = moments(eta)
    curvature = squares(z) @ natural.curvature.reshape(natural.curvature.shape[0], -1).T
    return variance * curvature + (variance * eta + y - mean) * (z @ natural.working.T)
