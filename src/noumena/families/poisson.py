"""The Poisson distribution: counts."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .cells import Cells
from .chart import NEAR_EDGE
from .expected_log_gamma import expected_log_factorial
from .log_factorial import log_factorial

#: Rates stay above this, so that their logarithms are finite.
EDGE = 1e-12


class PoissonNatural(NamedTuple):
    """η = log λ, the coefficient of T(x) = x."""

    log_rate: Float[Any, "K d"]


class PoissonValue(NamedTuple):
    """λ = E[x]."""

    rate: Float[Any, "K d"]


class Poisson(Cells):
    """Poisson cells: A(η) = e^η, h(x) = 1/x!."""

    support: ClassVar[str] = "counts: 0, 1, 2, …"
    inside: ClassVar[float] = 0.0

    @staticmethod
    def contains(x: np.ndarray) -> np.ndarray:
        return (x >= 0) & (x == np.floor(x)) & np.isfinite(x)

    @classmethod
    def pooled(cls, x: Float[np.ndarray, "n d"]) -> PoissonValue:
        return PoissonValue(np.maximum(np.nanmean(x, axis=0), EDGE))

    def cell_natural(self, value: PoissonValue) -> PoissonNatural:
        return PoissonNatural(jnp.log(value.rate))

    def cell_normaliser(self, natural: PoissonNatural) -> Float[Array, "K d"]:
        return jnp.exp(natural.log_rate)

    def sufficient(self, x: Float[Array, "rows d"]) -> PoissonNatural:
        return PoissonNatural(x)

    def log_base(self, x: Float[Array, "rows d"]) -> Float[Array, "rows d"]:
        return -log_factorial(x)

    def expected_cell_base(self, natural: PoissonNatural) -> Float[Array, "K d"]:
        rate = jnp.exp(natural.log_rate)
        return -expected_log_factorial(rate, lambda t: rate[..., None] * np.expm1(-t))

    def maximise_cells(self, count: Array, stats: PoissonNatural, previous: PoissonValue) -> PoissonValue:
        return PoissonValue(jnp.maximum(stats.log_rate / count, EDGE))

    def edges(self, value: PoissonValue) -> PoissonValue:
        return PoissonValue(np.asarray(value.rate) < NEAR_EDGE)

    def expected(self, value: PoissonValue) -> np.ndarray:
        return np.asarray(value.rate)

    def draw(self, value: PoissonValue, rng: np.random.Generator) -> np.ndarray:
        return rng.poisson(value.rate).astype(float)

    def cell_parameters(self) -> int:
        return self.n_columns
