"""The log-normal distribution: positive numbers whose logarithms are normal."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .cells import Cells
from .covariance import FLOOR


class LogNormalNatural(NamedTuple):
    """η = (μ/σ², −1/(2σ²)), the coefficients of T(x) = (y, y²) with y = log x − location."""

    linear: Float[Any, "K d"]
    quadratic: Float[Any, "K d"]


class LogNormalValue(NamedTuple):
    """Mean and standard deviation of log x."""

    log_mean: Float[Any, "K d"]
    log_sd: Float[Any, "K d"]


class LogNormal(Cells):
    """Log-normal cells: A(η) = μ²/(2σ²) + log σ, h(x) = 1/(x √2π).

    Logarithms are taken from the column's typical one, so that their squares lose no digits. Variances stay above
    `FLOOR` times the typical one.
    """

    support: ClassVar[str] = "numbers above 0"
    inside: ClassVar[float] = 1.0

    @staticmethod
    def contains(x: np.ndarray) -> np.ndarray:
        return (x > 0) & np.isfinite(x)

    @classmethod
    def pooled(cls, x: Float[np.ndarray, "n d"]) -> LogNormalValue:
        log = np.log(x)
        sd = np.nanstd(log, axis=0)
        return LogNormalValue(np.nanmean(log, axis=0), np.where(sd > 0, sd, 1.0))

    @property
    def _least(self) -> Float[Array, " d"]:
        return FLOOR**0.5 * self.typical.value.log_sd

    def cell_natural(self, value: LogNormalValue) -> LogNormalNatural:
        precision = 1 / jnp.asarray(value.log_sd) ** 2
        return LogNormalNatural((value.log_mean - self.typical.value.log_mean) * precision, -0.5 * precision)

    def cell_normaliser(self, natural: LogNormalNatural) -> Float[Array, "K d"]:
        return -0.25 * natural.linear**2 / natural.quadratic - 0.5 * jnp.log(-2 * natural.quadratic)

    def sufficient(self, x: Float[Array, "rows d"]) -> LogNormalNatural:
        y = jnp.log(x) - self.typical.value.log_mean
        return LogNormalNatural(y, y**2)

    def log_base(self, x: Float[Array, "rows d"]) -> Float[Array, "rows d"]:
        return -jnp.log(x) - 0.5 * np.log(2 * np.pi)

    def expected_cell_base(self, natural: LogNormalNatural) -> Float[Array, "K d"]:
        return -(self.typical.value.log_mean + self.cell_mean(natural).linear) - 0.5 * np.log(2 * np.pi)

    def maximise_cells(self, count: Array, stats: LogNormalNatural, previous: LogNormalValue) -> LogNormalValue:
        mean = stats.linear / count
        sd = jnp.sqrt(jnp.maximum(stats.quadratic / count - mean**2, 0.0))
        return LogNormalValue(mean + self.typical.value.log_mean, jnp.maximum(sd, self._least))

    def at_edge(self, value: LogNormalValue) -> Bool[Array, "K d"]:
        return value.log_sd <= self._least

    def expected(self, value: LogNormalValue) -> np.ndarray:
        return np.exp(np.asarray(value.log_mean) + 0.5 * np.asarray(value.log_sd) ** 2)

    def draw(self, value: LogNormalValue, rng: np.random.Generator) -> np.ndarray:
        return rng.lognormal(value.log_mean, value.log_sd)

    def cell_parameters(self) -> int:
        return 2 * self.n_columns
