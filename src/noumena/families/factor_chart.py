"""Free coordinates of factor analysers: what standard errors are taken in."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.linalg import qr

from .chart import Chart, taken
from .factor_structure import FactorNatural, FactorParameters, FactorStructure, natural_of
from .normal_chart import LOG_2PI


class FactorNormalChart(Chart):
    """Means, the loadings that are not 0, correlations of factors, and logarithms of noise variances.

    Loadings without zeros of their own form a triangle in q of the columns (see `determined`), which leaves no rotation
    free; the factors are then uncorrelated.

    Attributes
    ----------
    family : FactorNormal
    at : FactorParameters
        The estimate, with factors of variance 1.
    precision : array, shape (K, q, q)
        Φ⁻¹.
    log_determinant : array, shape (K,)
        log|Φ|.
    free : Frozen, of an array of bool, shape (K, d, q)
        Loadings that are coordinates.
    """

    family: Any
    at: FactorParameters
    precision: Float[Any, "K q q"]
    log_determinant: Float[Any, " K"]
    free: "Frozen" = eqx.field(static=True)

    @classmethod
    def around(cls, family: Any, parameters: FactorParameters) -> "FactorNormalChart":
        """Coordinates around an estimate in the form that `determined` gives it, in NumPy."""
        structure = family.structure
        wanted = parameters.loadings != 0 if structure.free is None else np.asarray(structure.free)
        free = Frozen(np.broadcast_to(wanted, parameters.loadings.shape))
        latent = parameters.latent
        return cls(family, parameters, np.linalg.inv(latent), np.linalg.slogdet(latent)[1], free)

    @property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        structure = self.family.structure
        q = structure.n_factors if structure.free is not None and structure.correlated else 0
        return np.tril_indices(q, -1)

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        k, d = self.at.mean.shape
        noise = max(self.family.structure.noise) + 1
        return [(k, d), (int(self.free.array.sum()),), (k, noise), (k, len(self._pairs[0]))]

    @property
    def size(self) -> int:
        return sum(int(np.prod(shape)) for shape in self._shapes)

    @property
    def held(self) -> Bool[np.ndarray, " p"]:
        before, after = (sum(int(np.prod(shape)) for shape in self._shapes[a:b]) for a, b in ((0, 2), (3, 4)))
        place = np.unique(self.family.structure.noise, return_index=True)[1]
        noise = np.asarray(self.at.at_floor)[:, place].ravel()
        return np.concatenate([np.zeros(before, bool), noise, np.zeros(after, bool)])

    def parameters(self, theta: Float[Array, " p"]) -> FactorParameters:
        mean, moved, noise, between = taken(theta, self._shapes)
        i, j = self._pairs
        half = jnp.zeros(self.at.latent.shape).at[:, i, j].set(between)
        return FactorParameters(
            self.at.mean + mean,
            jnp.asarray(self.at.loadings).at[np.nonzero(self.free.array)].add(moved),
            self.at.noise * jnp.exp(noise)[:, np.asarray(self.family.structure.noise)],
            self.at.latent + half + half.swapaxes(1, 2),
            self.at.at_floor,
        )

    def natural(self, theta: Float[Array, " p"]) -> tuple[FactorNatural, Float[Array, " K"]]:
        own = self.parameters(theta)
        bend = self.precision @ (own.latent - self.at.latent)
        precision = self.precision - bend @ self.precision + bend @ bend @ self.precision
        log_determinant = self.log_determinant + jnp.trace(bend - 0.5 * bend @ bend, axis1=1, axis2=2)
        q = self.family.structure.n_factors
        return natural_of(jnp, own, precision, self.family.complete), 0.5 * (log_determinant + q * LOG_2PI)


class Frozen:
    """A constant array that compiled programs are told apart by."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __hash__(self) -> int:
        return hash(self.array.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frozen) and np.array_equal(self.array, other.array)


def standardised(parameters: FactorParameters) -> FactorParameters:
    """The same density, with factors of variance 1."""
    scale = np.sqrt(np.diagonal(np.asarray(parameters.latent), axis1=-2, axis2=-1))
    latent = np.asarray(parameters.latent) / (scale[..., :, None] * scale[..., None, :])
    return parameters._replace(
        loadings=np.asarray(parameters.loadings) * scale[..., None, :],
        latent=np.where(np.eye(latent.shape[-1], dtype=bool), 1.0, latent),
    )


def uncorrelated(parameters: FactorParameters) -> Float[np.ndarray, "*k d q"]:
    """Loadings of uncorrelated factors of variance 1 with the same density."""
    return np.asarray(parameters.loadings) @ np.linalg.cholesky(np.asarray(parameters.latent))


def determined(parameters: FactorParameters, structure: FactorStructure) -> FactorParameters:
    """The same density with factors that nothing but their signs is left to choose of, any leading axes.

    Factors have variance 1; loadings without zeros of their own are turned until those of q columns, chosen for their
    size, form a triangle.
    """
    own = standardised(parameters)
    if structure.free is not None:
        return own
    loadings = uncorrelated(own)
    flat = loadings.reshape(-1, *loadings.shape[-2:])
    turned = np.stack([_triangular(each) for each in flat]).reshape(loadings.shape)
    return own._replace(loadings=turned, latent=np.broadcast_to(np.eye(structure.n_factors), own.latent.shape))


def _triangular(loadings: Float[np.ndarray, "d q"]) -> Float[np.ndarray, "d q"]:
    parts: Any = qr(loadings.T, pivoting=True, mode="economic")
    turn, _, order = parts
    turned = loadings @ turn
    for rank, column in enumerate(order[: turned.shape[1]]):
        turned[column, rank + 1 :] = 0.0
    return turned
