"""The negative binomial distribution: counts that vary more than Poisson ones."""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

from .cells import LatentCells
from .expected_log_gamma import expected_log_rising
from .gamma import LEAST, GammaNatural, GammaValue, gamma_natural, gamma_normaliser, maximise_gamma
from .log_factorial import log_factorial


class NegativeBinomial(LatentCells):
    """Poisson cells whose rate λ is latent and gamma distributed: η = (r, −β), T = (log λ, λ).

    The number of successes is r, their probability β/(1 + β). EM with the rates as latent variables has a closed E-step
    and the M-step of the gamma distribution.
    """

    support: ClassVar[str] = "counts: 0, 1, 2, …"
    inside: ClassVar[float] = 0.0

    @staticmethod
    def contains(x: np.ndarray) -> np.ndarray:
        return (x >= 0) & (x == np.floor(x)) & np.isfinite(x)

    @classmethod
    def pooled(cls, x: Float[np.ndarray, "n d"]) -> GammaValue:
        mean, variance = np.nanmean(x, axis=0), np.nanvar(x, axis=0)
        mean = np.where(mean > 0, mean, LEAST)
        # EM hardly moves from rates that vary by less than a hundredth of the counts' own variance
        shape = np.maximum(mean**2 / np.maximum(variance - mean, 0.01 * mean), LEAST)
        return GammaValue(shape, shape / mean)

    def cell_natural(self, value: GammaValue) -> GammaNatural:
        return gamma_natural(value)

    def cell_normaliser(self, natural: GammaNatural) -> Float[Array, "K d"]:
        return gamma_normaliser(natural)

    def cell_marginal(self, natural: GammaNatural, x: Float[Array, "rows 1 d"]) -> Float[Array, "rows K d"]:
        shape = x + natural.shape
        return gammaln(shape) - shape * jnp.log1p(-natural.negative_rate) - log_factorial(x)

    def cell_entropy(self, natural: GammaNatural) -> Float[Array, "K d"]:
        # log p(x) = log Γ(x + r)/(Γ(r) x!) + r log β/(1 + β) − x log(1 + β)
        r, beta = natural.shape, -natural.negative_rate
        rising = expected_log_rising(r, lambda t: -r[..., None] * jnp.log1p(-np.expm1(-t) / beta[..., None]))
        return r * jnp.log1p(1 / beta) + r / beta * jnp.log1p(beta) - rising

    def maximise_cells(self, count: Array, stats: GammaNatural, previous: GammaValue) -> GammaValue:
        return maximise_gamma(count, stats)

    def expected(self, value: GammaValue) -> np.ndarray:
        return np.asarray(value.shape) / np.asarray(value.rate)

    def draw(self, value: GammaValue, rng: np.random.Generator) -> np.ndarray:
        return rng.poisson(rng.gamma(value.shape, 1 / np.asarray(value.rate))).astype(float)

    def cell_parameters(self) -> int:
        return 2 * self.n_columns
