"""The zero-inflated Poisson distribution: counts with more zeros than Poisson ones."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .cells import LatentCells
from .chart import NEAR_EDGE
from .expected_log_gamma import expected_log_factorial
from .log_factorial import log_factorial

#: Rates stay above this and shares of structural zeros this far from 0 and 1, so that their logarithms are finite.
EDGE = 1e-12


class ZeroInflatedPoissonNatural(NamedTuple):
    """η = (log π/(1 − π) + λ, log λ), the coefficients of T = (1[x is a structural zero], x)."""

    inflation: Float[Any, "K d"]
    log_rate: Float[Any, "K d"]


class ZeroInflatedPoissonValue(NamedTuple):
    """Share π of structural zeros, and the rate λ of the other counts: E[x] = (1 − π) λ."""

    inflation: Float[Any, "K d"]
    rate: Float[Any, "K d"]


class ZeroInflatedPoisson(LatentCells):
    """Poisson cells of which a share is zero by its structure: A(η) = log(e^η₁ + exp e^η₂), h(x) = 1/x!.

    Whether a zero is a structural one is latent.
    """

    support: ClassVar[str] = "counts: 0, 1, 2, …"
    inside: ClassVar[float] = 0.0

    @staticmethod
    def contains(x: np.ndarray) -> np.ndarray:
        return (x >= 0) & (x == np.floor(x)) & np.isfinite(x)

    @classmethod
    def pooled(cls, x: Float[np.ndarray, "n d"]) -> ZeroInflatedPoissonValue:
        mean, variance = np.nanmean(x, axis=0), np.nanvar(x, axis=0)
        mean = np.maximum(mean, EDGE)
        excess = variance / mean - 1  # λπ
        inflation = np.clip(excess / (mean + np.maximum(excess, 0.0)), 0.01, 0.99)  # EM hardly moves from 0 or 1
        return ZeroInflatedPoissonValue(inflation, mean / (1 - inflation))

    def cell_natural(self, value: ZeroInflatedPoissonValue) -> ZeroInflatedPoissonNatural:
        logit = jnp.log(value.inflation) - jnp.log1p(-value.inflation)
        return ZeroInflatedPoissonNatural(logit + value.rate, jnp.log(value.rate))

    def cell_normaliser(self, natural: ZeroInflatedPoissonNatural) -> Float[Array, "K d"]:
        return jnp.logaddexp(natural.inflation, jnp.exp(natural.log_rate))

    def cell_marginal(
        self, natural: ZeroInflatedPoissonNatural, x: Float[Array, "rows 1 d"]
    ) -> Float[Array, "rows K d"]:
        count = x * natural.log_rate - log_factorial(x)
        return jnp.where(x == 0, jax.nn.softplus(natural.inflation), count)

    def cell_entropy(self, natural: ZeroInflatedPoissonNatural) -> Float[Array, "K d"]:
        rate = jnp.exp(natural.log_rate)
        log_zero = jax.nn.softplus(natural.inflation) - self.cell_normaliser(natural)
        log_share = rate - self.cell_normaliser(natural)  # log(1 − π)
        # of the counts above 0, log p(x) = log(1 − π) − λ + x log λ − log x!
        factorial = expected_log_factorial(rate, lambda t: rate[..., None] * np.expm1(-t))
        above = -jnp.expm1(-rate) * (log_share - rate) + rate * natural.log_rate - factorial
        return -jnp.exp(log_zero) * log_zero - jnp.exp(log_share) * above

    def maximise_cells(
        self, count: Array, stats: ZeroInflatedPoissonNatural, previous: ZeroInflatedPoissonValue
    ) -> ZeroInflatedPoissonValue:
        others = jnp.maximum(count - stats.inflation, EDGE * count)
        return ZeroInflatedPoissonValue(
            jnp.clip(stats.inflation / count, EDGE, 1 - EDGE), jnp.maximum(stats.log_rate / others, EDGE)
        )

    def edges(self, value: ZeroInflatedPoissonValue) -> ZeroInflatedPoissonValue:
        inflation, rate = np.asarray(value.inflation), np.asarray(value.rate)
        return ZeroInflatedPoissonValue((inflation < NEAR_EDGE) | (inflation > 1 - NEAR_EDGE), rate < NEAR_EDGE)

    def expected(self, value: ZeroInflatedPoissonValue) -> np.ndarray:
        return (1 - np.asarray(value.inflation)) * np.asarray(value.rate)

    def draw(self, value: ZeroInflatedPoissonValue, rng: np.random.Generator) -> np.ndarray:
        structural = rng.random(np.shape(value.inflation)) < value.inflation
        return np.where(structural, 0.0, rng.poisson(value.rate))

    def cell_parameters(self) -> int:
        return 2 * self.n_columns
