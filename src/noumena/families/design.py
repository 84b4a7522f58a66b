"""Columns that a density is conditional on, in coordinates that suit regression."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core.block import Block
from ..core.model import Fixed


class DesignFrame(eqx.Module):
    """Some of the covariates as z = (w − location) / scale: normal equations of raw columns lose digits.

    Attributes
    ----------
    location, scale : Fixed
        Of each column taken, shape (p,).
    columns : tuple of int
        Which covariates.
    intercept : bool
        Whether the first of them is the constant 1, so that the others can be centred.
    """

    location: Fixed
    scale: Fixed
    columns: tuple[int, ...] = eqx.field(static=True)
    intercept: bool = eqx.field(static=True)

    @classmethod
    def of(
        cls,
        given: Float[np.ndarray, "n all"],
        columns: tuple[int, ...],
        intercept: bool,
        weight: Float[np.ndarray, " n"] | None = None,
    ) -> "DesignFrame":
        """The frame of covariates such as these, rows weighted."""
        own = given[:, list(columns)]
        location = np.average(own, axis=0, weights=weight) if intercept else np.zeros(len(columns))
        scale = np.sqrt(np.average((own - location) ** 2, axis=0, weights=weight))
        if intercept:
            location[0], scale[0] = 0.0, 1.0
        return cls(Fixed(location), Fixed(np.where(scale > 0, scale, 1.0)), columns, intercept)

    @property
    def size(self) -> int:
        """p."""
        return len(self.columns)

    @property
    def slopes(self) -> np.ndarray:
        """1 for each coefficient but the intercept, shape (p,)."""
        return np.array([not (self.intercept and j == 0) for j in range(self.size)], dtype=float)

    def enter(self, given: Float[Array | np.ndarray, "rows all"]) -> Float[Array, "rows p"]:
        """z of each row."""
        return (jnp.asarray(given)[:, np.array(self.columns)] - self.location.value) / self.scale.value

    def leave(self, coefficients: Float[Array, "K p"]) -> Float[Array, "K p"]:
        """Coefficients of the covariates as they are, from those of z."""
        raw = jnp.asarray(coefficients) / self.scale.value
        if not self.intercept:
            return raw
        return raw.at[:, 0].add(-(raw @ jnp.asarray(self.location.value)))


def covariates(block: Block) -> Float[Array, "rows all"]:
    """What the rows' densities are conditional on."""
    assert block.given is not None, "the densities are conditional on covariates"
    return jnp.asarray(block.given)


def squares(z: Float[Array, "rows p"]) -> Float[Array, "rows p²"]:
    """zzᵀ of each row, in one row of numbers."""
    return (z[:, :, None] * z[:, None, :]).reshape(z.shape[0], -1)


def solved(curvature: Float[Array, "... p p"], target: Float[Array, "... p"]) -> Float[Array, "... p"]:
    """C⁻¹b for symmetric positive semidefinite C; finite, and all but exact, where C is singular or nearly so."""
    scale = jnp.sqrt(jnp.maximum(jnp.diagonal(curvature, axis1=-2, axis2=-1), np.finfo(float).tiny))
    unit = curvature / (scale[..., :, None] * scale[..., None, :])
    ridge = 1e-12 * jnp.eye(curvature.shape[-1])
    return jnp.linalg.solve(unit + ridge, (target / scale)[..., None])[..., 0] / scale
