"""The binomial distribution: successes among a known number of trials."""

from typing import Any, ClassVar, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core.model import Fixed
from .cells import Cells
from .chart import NEAR_EDGE
from .expected_log_gamma import expected_log_choices
from .log_factorial import log_factorial

#: Probabilities stay this far from 0 and 1, so that their logarithms are finite.
EDGE = 1e-12


class BinomialNatural(NamedTuple):
    """η = log p/(1 − p), the coefficient of T(x) = x."""

    logit: Float[Any, "K d"]


class BinomialValue(NamedTuple):
    """p = E[x]/m, with m trials."""

    probability: Float[Any, "K d"]


class Binomial(Cells):
    """Binomial cells with m trials: A(η) = m log(1 + e^η), h(x) = m!/(x! (m − x)!).

    Attributes
    ----------
    trials : tuple of int
        m of each column.
    """

    support: ClassVar[str] = "counts of successes: 0, 1, …, up to the number of trials"
    inside: ClassVar[float] = 0.0

    trials: tuple[int, ...] = eqx.field(static=True, default=())

    @classmethod
    def of(cls, x: Float[np.ndarray, "n d"], *, trials: Any = None, **settings: Any) -> Self:
        """The family for columns such as these (NaN where missing).

        Parameters
        ----------
        trials : int or array of int, shape (d,), optional
            By default the largest value of each column.
        """
        most = np.nanmax(x, axis=0)
        if trials is None:
            trials = np.maximum(most, 1)
        trials = np.broadcast_to(trials, most.shape)
        if np.any((trials < 1) | (trials != np.floor(trials))):
            raise ValueError(f"trials must be whole numbers from 1 on, not {trials.tolist()}")
        if np.any(over := most > trials):
            j = int(np.flatnonzero(over)[0])
            raise ValueError(f"column {j} holds {most[j]:g} successes, more than its {trials[j]:g} trials")
        chosen = tuple(int(m) for m in trials)
        return cls(Fixed(cls.pooled(x, trials=chosen)), trials=chosen, **settings)

    @staticmethod
    def contains(x: np.ndarray) -> np.ndarray:
        """Which of these values are counts; how many are too many is the columns' own affair, see `of`."""
        return (x >= 0) & (x == np.floor(x)) & np.isfinite(x)

    @classmethod
    def pooled(cls, x: Float[np.ndarray, "n d"], *, trials: tuple[int, ...] = ()) -> BinomialValue:
        return BinomialValue(np.clip(np.nanmean(x, axis=0) / np.array(trials, dtype=float), EDGE, 1 - EDGE))

    @property
    def _trials(self) -> Float[np.ndarray, " d"]:
        return np.array(self.trials, dtype=float)

    def cell_natural(self, value: BinomialValue) -> BinomialNatural:
        return BinomialNatural(jnp.log(value.probability) - jnp.log1p(-value.probability))

    def cell_normaliser(self, natural: BinomialNatural) -> Float[Array, "K d"]:
        return jax.nn.softplus(natural.logit) * self._trials

    def sufficient(self, x: Float[Array, "rows d"]) -> BinomialNatural:
        return BinomialNatural(x)

    def log_base(self, x: Float[Array, "rows d"]) -> Float[Array, "rows d"]:
        trials = jnp.asarray(self._trials)
        return log_factorial(trials) - log_factorial(x) - log_factorial(trials - x)

    def expected_cell_base(self, natural: BinomialNatural) -> Float[Array, "K d"]:
        return expected_log_choices(self._trials, jax.nn.sigmoid(-jnp.abs(natural.logit)))

    def maximise_cells(self, count: Array, stats: BinomialNatural, previous: BinomialValue) -> BinomialValue:
        return BinomialValue(jnp.clip(stats.logit / (count * self._trials), EDGE, 1 - EDGE))

    def edges(self, value: BinomialValue) -> BinomialValue:
        p = np.asarray(value.probability)
        return BinomialValue((p < NEAR_EDGE) | (p > 1 - NEAR_EDGE))

    def expected(self, value: BinomialValue) -> np.ndarray:
        return self._trials * np.asarray(value.probability)

    def draw(self, value: BinomialValue, rng: np.random.Generator) -> np.ndarray:
        return rng.binomial(np.array(self.trials), value.probability).astype(float)

    def cell_parameters(self) -> int:
        return self.n_columns
