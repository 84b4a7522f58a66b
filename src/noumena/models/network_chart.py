"""Free coordinates of a network's tables around an estimate: what their standard errors are taken in."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.model import Fixed
from ..families.chart import NEAR_EDGE, taken
from .network import NEVER, Network, Tables

#: Parents' states that fewer rows than this are expected to have count as never seen: nothing is known of their rows.
_FEWEST_ROWS = 1e-5


class NetworkChart(eqx.Module):
    """Log odds of each entry of a table against the most probable one for the same states of the parents.

    Tables that are fixed have no coordinates.

    Attributes
    ----------
    model : Network
        The estimate, in NumPy.
    counts : Fixed
        Expected number of rows of each entry of each table, from the E-step.
    """

    model: Network
    counts: Fixed

    @property
    def _learned(self) -> list[int]:
        return [table for table, fixed in enumerate(self.model.graph.fixed) if not fixed]

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        """Of each learned table's coordinates: one fewer than states."""
        shapes = [self.model.graph.shape(table) for table in self._learned]
        return [(*shape[:-1], shape[-1] - 1) for shape in shapes]

    @property
    def size(self) -> int:
        """Number of free coordinates."""
        return sum(int(np.prod(shape)) for shape in self._shapes)

    @property
    def held(self) -> Bool[np.ndarray, " p"]:
        """Coordinates at an edge, or of parents' states that never occur."""
        found = [np.zeros(0, dtype=bool)]
        for table in self._learned:
            p, count = np.asarray(self.model.tables[table]), np.asarray(self.counts.value[table])
            entry = np.take_along_axis(p, np.asarray(self._places(table)), axis=-1)
            never = count.sum(axis=-1, keepdims=True) < _FEWEST_ROWS
            found.append(((entry < NEAR_EDGE) | never).ravel())
        return np.concatenate(found)

    def _places(self, table: int) -> Array:
        """The states that coordinates move: all but the most probable one."""
        p = jnp.asarray(self.model.tables[table])
        reference, place = jnp.argmax(p, axis=-1)[..., None], jnp.arange(p.shape[-1] - 1)
        return place + (place >= reference)

    def natural(self, theta: Float[Array, " p"]) -> Tables:
        """log θ of every table."""
        tables = [jnp.asarray(p) for p in self.model.tables]
        found = [jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)), NEVER) for p in tables]
        for table, free in zip(self._learned, taken(theta, self._shapes), strict=True):
            log = found[table]
            odds = jnp.put_along_axis(jnp.zeros_like(log), self._places(table), free, axis=-1, inplace=False)
            found[table] = jnp.where(log > NEVER, jax.nn.log_softmax(log + odds, axis=-1), NEVER)
        return tuple(found)

    def reported(self, theta: Float[Array, " p"]) -> Any:
        """The tables."""
        return tuple(jnp.exp(log) for log in self.natural(theta))

    def determined(self) -> tuple[Bool[np.ndarray, "..."], ...]:
        """Of each table, the entries that have a standard error: learned ones, inside their range, of states seen."""
        found = []
        for table, fixed in enumerate(self.model.graph.fixed):
            p, count = np.asarray(self.model.tables[table]), np.asarray(self.counts.value[table])
            seen = count.sum(axis=-1, keepdims=True) >= _FEWEST_ROWS
            found.append((p >= NEAR_EDGE) & (p <= 1 - NEAR_EDGE) & seen & (not fixed))
        return tuple(found)
