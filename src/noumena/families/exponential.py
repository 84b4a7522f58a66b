"""The exponential distribution: waiting times."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .cells import Cells

#: Means stay above this share of the column's own: without it a component of zeros has an infinite density.
FLOOR = 1e-12


class ExponentialNatural(NamedTuple):
    """η = −λ, the coefficient of T(x) = x."""

    negative_rate: Float[Any, "K d"]


class ExponentialValue(NamedTuple):
    """λ = 1/E[x]."""

    rate: Float[Any, "K d"]


class Exponential(Cells):
    """Exponential cells: A(η) = −log(−η), h(x) = 1."""

    support: ClassVar[str] = "numbers from 0 on"
    inside: ClassVar[float] = 0.0

    @staticmethod
    def contains(x: np.ndarray) -> np.ndarray:
        return (x >= 0) & np.isfinite(x)

    @classmethod
    def pooled(cls, x: Float[np.ndarray, "n d"]) -> ExponentialValue:
        mean = np.nanmean(x, axis=0)
        return ExponentialValue(1 / np.where(mean > 0, mean, 1.0))

    @property
    def _most(self) -> Float[Array, " d"]:
        return self.typical.value.rate / FLOOR

    def cell_natural(self, value: ExponentialValue) -> ExponentialNatural:
        return ExponentialNatural(-jnp.asarray(value.rate))

    def cell_normaliser(self, natural: ExponentialNatural) -> Float[Array, "K d"]:
        return -jnp.log(-natural.negative_rate)

    def sufficient(self, x: Float[Array, "rows d"]) -> ExponentialNatural:
        return ExponentialNatural(x)

    def log_base(self, x: Float[Array, "rows d"]) -> Float[Array, "rows d"]:
        return jnp.zeros_like(x)

    def maximise_cells(self, count: Array, stats: ExponentialNatural, previous: ExponentialValue) -> ExponentialValue:
        mean = jnp.maximum(stats.negative_rate / count, 0.5 / self._most)
        return ExponentialValue(jnp.minimum(1 / mean, self._most))

    def at_edge(self, value: ExponentialValue) -> Bool[Array, "K d"]:
        return value.rate >= self._most

    def expected(self, value: ExponentialValue) -> np.ndarray:
        return 1 / np.asarray(value.rate)

    def draw(self, value: ExponentialValue, rng: np.random.Generator) -> np.ndarray:
        return rng.exponential(1 / np.asarray(value.rate))

    def cell_parameters(self) -> int:
        return self.n_columns
