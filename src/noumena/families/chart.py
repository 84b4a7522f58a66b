"""Free coordinates of a family's parameters around an estimate: what standard errors are taken in."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.model import Natural

#: A probability this close to 0 or 1 counts as at the edge: it has no standard error.
NEAR_EDGE = 1e-5


class Chart(eqx.Module):
    """Coordinates θ of shape (p,), all 0 at the estimate.

    `natural` and `parameters` need to be right to second order at 0, which spares factorisations (CONTRIBUTING says why
    a compiled program is better without).
    """

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """p, the number of free parameters."""

    @property
    @abc.abstractmethod
    def held(self) -> Bool[np.ndarray, " p"]:
        """Coordinates along which the estimate lies at an edge of the parameters' range."""

    @abc.abstractmethod
    def natural(self, theta: Float[Array, " p"]) -> tuple[Natural, Float[Array, " K"]]:
        """η and A(η) of each component."""

    @abc.abstractmethod
    def parameters(self, theta: Float[Array, " p"]) -> Any:
        """The family's parameters, as `Family.reported` takes them."""


def taken(theta: Float[Array, " p"], shapes: list[tuple[int, ...]]) -> list[Array]:
    """``theta`` cut into arrays of these shapes."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    parts = jnp.split(theta, ends[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
