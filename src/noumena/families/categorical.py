"""The categorical distribution: cells that hold one of several levels, coded 0, 1, …"""

from typing import Any, ClassVar, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.model import Fixed, Natural
from .cells import CellParameters, Cells
from .chart import NEAR_EDGE, Chart

#: Probabilities of levels that exist stay above this, so that their logarithms are finite.
EDGE = 1e-12
#: Log probability of a place beyond a column's last level: exp of it is 0.
_NEVER = -1e30


class CategoricalNatural(NamedTuple):
    """η_l = log p_l / p_0 for the levels but the first, the coefficients of T(x) = (1[x = 1], 1[x = 2], …).

    Columns come last: products over rows run along them, and there are more of them than levels.
    """

    log_odds: Float[Any, "K L d"]


class CategoricalValue(NamedTuple):
    """p = P(x = level), summing to 1 over a column's levels; 0 in places beyond its last one."""

    probability: Float[Any, "K d L"]


class Categorical(Cells):
    """Categorical cells with a number of levels for each column: A(η) = log(1 + Σ e^η).

    Attributes
    ----------
    levels : tuple of int
        Number of levels of each column; arrays have room for the largest.
    """

    support: ClassVar[str] = "codes of levels: 0, 1, …"
    inside: ClassVar[float] = 0.0

    levels: tuple[int, ...] = eqx.field(static=True, default=())

    @classmethod
    def of(cls, x: Float[np.ndarray, "n d"], *, levels: tuple[int, ...] | None = None, **settings: Any) -> Self:
        """The family for columns of codes such as these; by default a column has as many levels as its largest says."""
        if levels is None:
            levels = tuple(int(top) + 1 for top in np.nanmax(x, axis=0))
        return cls(Fixed(cls.pooled(x, levels=levels)), levels=levels)

    @staticmethod
    def contains(x: np.ndarray) -> np.ndarray:
        return (x >= 0) & (x == np.floor(x)) & np.isfinite(x)

    @classmethod
    def pooled(cls, x: Float[np.ndarray, "n d"], *, levels: tuple[int, ...] = ()) -> CategoricalValue:
        probability = np.zeros((x.shape[1], max(levels)))
        for j, count in enumerate(levels):
            seen = x[~np.isnan(x[:, j]), j].astype(int)
            share = np.bincount(seen, minlength=count)[:count] / max(len(seen), 1)
            share = np.maximum(share, EDGE)
            probability[j, :count] = share / share.sum()
        return CategoricalValue(probability)

    @property
    def exists(self) -> np.ndarray:
        """Which places hold a level, shape (d, L)."""
        return np.arange(max(self.levels)) < np.array(self.levels)[:, None]

    def cell_natural(self, value: CategoricalValue) -> CategoricalNatural:
        log = jnp.log(jnp.where(self.exists, value.probability, 1.0))
        odds = jnp.where(self.exists[:, 1:], log[..., 1:] - log[..., :1], 0.0)
        return CategoricalNatural(jnp.moveaxis(odds, -1, -2))

    def cell_normaliser(self, natural: CategoricalNatural) -> Float[Array, "K d"]:
        odds = jnp.where(self.exists[:, 1:].T, natural.log_odds, _NEVER)
        return jax.nn.logsumexp(jnp.concatenate([jnp.zeros_like(odds[:, :1]), odds], axis=1), axis=1)

    def sufficient(self, x: Float[Array, "rows d"]) -> CategoricalNatural:
        later = jnp.arange(1, max(self.levels))[:, None]
        return CategoricalNatural(jnp.where(x[:, None, :] == later, 1.0, 0.0))

    def log_base(self, x: Float[Array, "rows d"]) -> Float[Array, "rows d"]:
        return jnp.zeros_like(x)

    def maximise_cells(self, count: Array, stats: CategoricalNatural, previous: CategoricalValue) -> CategoricalValue:
        later = jnp.moveaxis(stats.log_odds, -2, -1)  # (K, d, L − 1)
        share = jnp.concatenate([count[..., None] - jnp.sum(later, axis=-1, keepdims=True), later], axis=-1)
        share = jnp.where(self.exists, jnp.maximum(share, EDGE), 0.0)
        share = share / jnp.sum(share, axis=-1, keepdims=True)
        share = jnp.where(self.exists, jnp.maximum(share, EDGE), 0.0)
        return CategoricalValue(share / jnp.sum(share, axis=-1, keepdims=True))

    def chart(self, parameters: CellParameters) -> Chart:
        return CategoricalChart(self, parameters)

    def expected(self, value: CategoricalValue) -> np.ndarray:
        """The most probable level: codes have no mean."""
        return np.asarray(value.probability).argmax(axis=-1).astype(float)

    def draw(self, value: CategoricalValue, rng: np.random.Generator) -> np.ndarray:
        below = np.cumsum(np.asarray(value.probability), axis=-1)
        below[..., -1] = np.inf
        return (rng.random(below.shape[:-1])[..., None] > below).sum(axis=-1).astype(float)

    def embedding(self, x: np.ndarray, given: np.ndarray | None = None) -> np.ndarray:
        """One column for each level, NaN where the cell is missing."""
        columns = [
            np.where(np.isnan(x[:, j]), np.nan, x[:, j] == level)
            for j, count in enumerate(self.levels)
            for level in range(count)
        ]
        return np.stack(columns, axis=1)

    def cell_parameters(self) -> int:
        return sum(self.levels) - len(self.levels)


class CategoricalChart(Chart):
    """Log odds of each level against the most probable one of its component and column."""

    family: Categorical
    at: CellParameters

    @property
    def _places(self) -> tuple[Any, ...]:
        """Component, column and level of each coordinate."""
        p = self.at.value.probability
        component, column, level = np.nonzero(
            np.broadcast_to(self.family.exists[:, 1:], (*p.shape[:2], p.shape[2] - 1))
        )
        reference = jnp.argmax(p, axis=2)[component, column]
        return component, column, level + (level >= reference)

    @property
    def size(self) -> int:
        return self.at.value.probability.shape[0] * self.family.cell_parameters()

    @property
    def held(self) -> Bool[np.ndarray, " p"]:
        return np.asarray(jnp.asarray(self.at.value.probability)[self._places]) < NEAR_EDGE

    def natural(self, theta: Float[Array, " p"]) -> tuple[Natural, Float[Array, " K"]]:
        natural = self.family.natural(self.parameters(theta))
        return natural, self.family.log_normaliser(natural)

    def parameters(self, theta: Float[Array, " p"]) -> CellParameters:
        p = jnp.asarray(self.at.value.probability)
        moved = p * jnp.exp(jnp.zeros_like(p).at[self._places].set(theta))
        return self.at._replace(value=CategoricalValue(moved / jnp.sum(moved, axis=2, keepdims=True)))
