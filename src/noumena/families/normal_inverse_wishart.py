"""The conjugate prior of the normal."""

from typing import Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import multigammaln
from jaxtyping import Array, Float

from ..core.model import Fixed


class NormalInverseWishart(eqx.Module):
    """μ | Σ ~ N(m, Σ/κ), Σ ~ inverse Wishart(Ψ, ν).

    Each component has this prior. Its mode makes MAP-EM the maximum-likelihood M-step with pseudo-observations
    (Fraley & Raftery 2007, J. Classification 24:155, sec. 3).

    Parameters
    ----------
    mean : array, shape (d,)
        m, in the data's units.
    shrinkage : float
        κ, the weight of m in pseudo-rows.
    degrees_of_freedom : float
        ν > d − 1.
    scale : array, shape (d, d)
        Ψ, symmetric positive definite.
    """

    mean: Fixed
    shrinkage: float = eqx.field(static=True)
    degrees_of_freedom: float = eqx.field(static=True)
    scale: Fixed
    root: Fixed  # Cholesky factor of Ψ

    def __init__(self, mean: object, shrinkage: float, degrees_of_freedom: float, scale: object) -> None:
        self.mean = Fixed(np.asarray(mean, float))
        self.scale = Fixed(np.asarray(scale, float))
        self.shrinkage = float(shrinkage)
        self.degrees_of_freedom = float(degrees_of_freedom)
        d = self.mean.value.shape[0]
        if self.scale.value.shape != (d, d):
            raise ValueError(f"scale has shape {self.scale.value.shape}; the mean's {d} columns need ({d}, {d})")
        if not (self.degrees_of_freedom > d - 1 and self.shrinkage >= 0):
            raise ValueError(f"degrees_of_freedom must be above d − 1 = {d - 1} and shrinkage not negative")
        try:
            self.root = Fixed(np.linalg.cholesky(self.scale.value))
        except np.linalg.LinAlgError as error:
            raise ValueError("scale must be symmetric positive definite") from error

    @classmethod
    def default(cls, mean: np.ndarray, variance: np.ndarray, n_components: int) -> Self:
        """The weak prior of Fraley & Raftery (2007): κ = 0.01, ν = d + 2, Ψ = diag(variance) / K^(2/d)."""
        d = len(mean)
        return cls(mean, 0.01, d + 2, np.diag(np.broadcast_to(variance, d)) / n_components ** (2 / d))

    def framed(self, location: np.ndarray, scale: np.ndarray) -> Self:
        """The same prior in the coordinates (x − location) / scale."""
        return type(self)(
            (self.mean.value - location) / scale,
            self.shrinkage,
            self.degrees_of_freedom,
            self.scale.value / np.outer(scale, scale),
        )

    def _rows(self, d: int) -> float:
        """What the mode's denominator holds beside n: ν + d + 1, and one for μ | Σ where that is proper."""
        return self.degrees_of_freedom + d + 1 + (self.shrinkage > 0)

    def maximise(self, n: Array, mean: Array, scatter: Array) -> tuple[Array, Array, Array]:
        """Mean, scatter and count whose ratio is the posterior mode, from a component's own."""
        kappa, d = self.shrinkage, mean.shape[1]
        away = mean - self.mean.value
        shrunk = (n[:, None] * mean + kappa * self.mean.value) / (n + kappa)[:, None]
        pull = (kappa * n / (kappa + n))[:, None, None] * jnp.einsum("ki,kj->kij", away, away)
        return shrunk, scatter + self.scale.value + pull, n + self._rows(d)

    def maximise_diagonal(self, n: Array, mean: Array, scatter: Array) -> tuple[Array, Array, Array]:
        """As `maximise`, where only the diagonals of the scatter matrices are kept, shape (K, d)."""
        kappa, d = self.shrinkage, mean.shape[1]
        shrunk = (n[:, None] * mean + kappa * self.mean.value) / (n + kappa)[:, None]
        pull = (kappa * n / (kappa + n))[:, None] * (mean - self.mean.value) ** 2
        return shrunk, scatter + jnp.diagonal(self.scale.value) + pull, n + self._rows(d)

    def log_density(self, mean: Float[Array, "K d"], covariance: Float[Array, "K d d"]) -> Float[Array, " K"]:
        """log p(μ, Σ), constants kept; the factor of μ is left out where κ = 0 (improper)."""
        nu, kappa, d = self.degrees_of_freedom, self.shrinkage, mean.shape[1]
        root = self.root.value
        away = mean - self.mean.value
        factor = jnp.linalg.cholesky(covariance)
        # one solve for both, L⁻¹[Ψ^½, μ − m]: see CONTRIBUTING on batched LAPACK calls side by side
        right = jnp.concatenate([jnp.broadcast_to(root, covariance.shape), away[:, :, None]], axis=2)
        whitened = solve_triangular(factor, right, lower=True)
        logdet = 2 * jnp.sum(jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)), axis=1)
        value = (
            nu * jnp.sum(jnp.log(jnp.diagonal(root)))
            - 0.5 * nu * d * jnp.log(2.0)
            - multigammaln(0.5 * nu, d)
            - 0.5 * (nu + d + 1) * logdet
            - 0.5 * jnp.sum(whitened[:, :, :-1] ** 2, axis=(1, 2))  # tr(Σ⁻¹Ψ)
        )
        if kappa > 0:
            distance = jnp.sum(whitened[:, :, -1] ** 2, axis=1)
            value += 0.5 * d * jnp.log(kappa / (2 * jnp.pi)) - 0.5 * logdet - 0.5 * kappa * distance
        return value
