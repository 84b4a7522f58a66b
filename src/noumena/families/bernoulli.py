"""The Bernoulli distribution: cells that are 0 or 1."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .cells import Cells
from .chart import NEAR_EDGE

#: Probabilities stay this far from 0 and 1, so that their logarithms are finite.
EDGE = 1e-12


class BernoulliNatural(NamedTuple):
    """η = log p/(1 − p), the coefficient of T(x) = x."""

    logit: Float[Any, "K d"]


class BernoulliValue(NamedTuple):
    """p = P(x = 1)."""

    probability: Float[Any, "K d"]


class Bernoulli(Cells):
    """Bernoulli cells: A(η) = log(1 + e^η)."""

    support: ClassVar[str] = "0 or 1"
    inside: ClassVar[float] = 0.0

    @staticmethod
    def contains(x: np.ndarray) -> np.ndarray:
        return (x == 0) | (x == 1)

    @classmethod
    def pooled(cls, x: Float[np.ndarray, "n d"]) -> BernoulliValue:
        return BernoulliValue(np.clip(np.nanmean(x, axis=0), EDGE, 1 - EDGE))

    def cell_natural(self, value: BernoulliValue) -> BernoulliNatural:
        return BernoulliNatural(jnp.log(value.probability) - jnp.log1p(-value.probability))

    def cell_normaliser(self, natural: BernoulliNatural) -> Float[Array, "K d"]:
        return jax.nn.softplus(natural.logit)

    def sufficient(self, x: Float[Array, "rows d"]) -> BernoulliNatural:
        return BernoulliNatural(x)

    def log_base(self, x: Float[Array, "rows d"]) -> Float[Array, "rows d"]:
        return jnp.zeros_like(x)

    def maximise_cells(self, count: Array, stats: BernoulliNatural, previous: BernoulliValue) -> BernoulliValue:
        return BernoulliValue(jnp.clip(stats.logit / count, EDGE, 1 - EDGE))

    def edges(self, value: BernoulliValue) -> BernoulliValue:
        p = np.asarray(value.probability)
        return BernoulliValue((p < NEAR_EDGE) | (p > 1 - NEAR_EDGE))

    def expected(self, value: BernoulliValue) -> np.ndarray:
        return np.asarray(value.probability)

    def draw(self, value: BernoulliValue, rng: np.random.Generator) -> np.ndarray:
        return (rng.random(np.shape(value.probability)) < value.probability).astype(float)

    def cell_parameters(self) -> int:
        return self.n_columns
