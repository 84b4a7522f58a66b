"""Free coordinates of normal and t components under every covariance structure."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.model import Natural
from .chart import Chart
from .covariance import Structure

LOG_2PI = float(np.log(2 * np.pi))


class CovarianceChart(eqx.Module):
    """Free coordinates of K covariances Σ_k = λ_k C_k or λ_k D_k A_k D_kᵀ, as a structure has them.

    Everything is expanded to second order (the exponentials of symmetric or skew generators, inverses and log
    determinants), which is exact for the first and second derivatives at 0 that are asked of it and needs no
    factorisation inside a compiled program.

    Attributes
    ----------
    structure : Structure
    covariance, precision : array, shape (K, d, d)
        The estimate, in the family's frame.
    root : array, shape (K, d, d)
        Cholesky factors of the covariances.
    axes, values : array, shapes (K, d, d) and (K, d)
        Σ_k = axes_k diag(values_k) axes_kᵀ.
    log_determinant : array, shape (K,)
    metric : array, shape (d,)
        The structure holds for the covariances of metric · u, u being the frame's coordinates: ``root``, ``axes`` and
        ``values`` are of those.
    """

    structure: Structure = eqx.field(static=True)
    covariance: Float[Any, "K d d"]
    precision: Float[Any, "K d d"]
    root: Float[Any, "K d d"]
    axes: Float[Any, "K d d"]
    values: Float[Any, "K d"]
    log_determinant: Float[Any, " K"]
    metric: Float[Any, " d"]

    @classmethod
    def around(
        cls, structure: Structure, covariance: np.ndarray, orientation: np.ndarray, scale: np.ndarray
    ) -> "CovarianceChart":
        """Coordinates around an estimate.

        Parameters
        ----------
        structure : Structure
        covariance : array, shape (K, d, d)
            In the frame.
        orientation : array, shape (d, d)
            Common eigenvectors, where the structure has such.
        scale : array, shape (d,)
            Of the frame.
        """
        metric = np.ones(len(scale)) if structure.scale_invariant else scale / np.sqrt(np.mean(scale**2))
        structured = covariance * np.outer(metric, metric)
        if structure.orientation == "V":
            axes = np.linalg.eigh(structured)[1]
        else:
            common = np.eye(len(scale)) if structure.orientation == "I" else orientation
            axes = np.broadcast_to(common, covariance.shape)
        return cls(
            structure,
            covariance,
            np.linalg.inv(covariance),
            np.linalg.cholesky(structured),
            axes,
            np.einsum("kji,kjl,kli->ki", axes, structured, axes),
            np.linalg.slogdet(covariance)[1],
            metric,
        )

    @property
    def size(self) -> int:
        """Number of free coordinates."""
        return self.structure.n_parameters(*self.values.shape)

    def covariances(self, theta: Float[Array, " p"]) -> Float[Array, "K d d"]:
        """Σ_k."""
        k, d = self.values.shape
        shared = {"E": 1, "V": k, "I": 0}
        shape, orientation = shared[self.structure.shape], shared[self.structure.orientation]
        n_volume = shared[self.structure.volume]
        volume = jnp.broadcast_to(jnp.exp(theta[:n_volume]), (k,))[:, None, None]
        rest = theta[n_volume:]
        if self.structure.orientation == "I":
            found = _rebuilt(self.axes, self.values, _rows(rest, shape))
        elif self.structure.shape == self.structure.orientation:
            found = self.root @ _exponential(_traceless(_rows(rest, shape), d)) @ self.root.swapaxes(1, 2)
        else:
            n_shape = shape * (d - 1)
            turned = self.axes @ _exponential(_skew(_rows(rest[n_shape:], orientation), d))
            found = _rebuilt(turned, self.values, _rows(rest[:n_shape], shape))
        return volume * found / (self.metric[:, None] * self.metric)

    def inverse(self, covariance: Float[Array, "K d d"]) -> tuple[Float[Array, "K d d"], Float[Array, " K"]]:
        """Σ_k⁻¹ and log|Σ_k|."""
        bend = self.precision @ (covariance - self.covariance)  # Λ₀E
        precision = self.precision - bend @ self.precision + bend @ bend @ self.precision
        return precision, self.log_determinant + jnp.trace(bend - 0.5 * bend @ bend, axis1=1, axis2=2)


class NormalChart(Chart):
    """Means as they are, covariances by `CovarianceChart`.

    Attributes
    ----------
    family : Normal
    at : NormalParameters
        The estimate.
    covariance : CovarianceChart
    """

    family: Any
    at: Any
    covariance: CovarianceChart

    @property
    def size(self) -> int:
        return int(np.size(self.at.mean)) + self.covariance.size

    @property
    def held(self) -> Bool[np.ndarray, " p"]:
        return np.zeros(self.size, dtype=bool)

    def parameters(self, theta: Float[Array, " p"]) -> Any:
        cut = int(np.size(self.at.mean))
        mean = self.at.mean + theta[:cut].reshape(self.at.mean.shape)
        return self.at._replace(mean=mean, covariance=self.covariance.covariances(theta[cut:]))

    def natural(self, theta: Float[Array, " p"]) -> tuple[Natural, Float[Array, " K"]]:
        parameters = self.parameters(theta)
        precision, log_determinant = self.covariance.inverse(parameters.covariance)
        return self.family.natural_of(parameters.mean, precision), gaussian_normaliser(
            parameters.mean, precision, log_determinant
        )


def gaussian_normaliser(mean: Array, precision: Array, log_determinant: Array) -> Float[Array, " K"]:
    """A = ½ μᵀΛμ + ½ log|Σ| + (d/2) log 2π."""
    energy = jnp.einsum("ki,kij,kj->k", mean, precision, mean)
    return 0.5 * (energy + log_determinant + mean.shape[1] * LOG_2PI)


def _rows(theta: Array, rows: int) -> Array:
    """``theta`` cut into so many rows; an empty one where nothing is shared out."""
    return theta.reshape(rows, -1) if rows else theta.reshape(1, 0)


def log_shapes(log_shape: Float[Array, "rows less"]) -> Float[Array, "rows d"]:
    """Logarithms of shapes, which sum to 0, from all but the last of each."""
    return jnp.concatenate([log_shape, -jnp.sum(log_shape, axis=1, keepdims=True)], axis=1)


def _rebuilt(axes: Array, values: Array, log_shape: Array) -> Array:
    """D diag(values · exp(shape)) Dᵀ."""
    if log_shape.size:
        values = values * jnp.exp(log_shapes(log_shape))
    return (axes * values[:, None, :]) @ jnp.swapaxes(axes, 1, 2)


def _exponential(generator: Array) -> Array:
    return jnp.eye(generator.shape[-1]) + generator + 0.5 * generator @ generator


def _traceless(theta: Array, d: int) -> Array:
    """Symmetric matrices of trace 0, one per row of ``theta``."""
    if d == 1:
        return jnp.zeros((max(theta.shape[0], 1), 1, 1))
    i, j = np.tril_indices(d, -1)
    lower = jnp.zeros((theta.shape[0], d, d)).at[:, i, j].set(theta[:, : len(i)])
    diagonal = log_shapes(theta[:, len(i) :])
    return lower + lower.swapaxes(1, 2) + jax.vmap(jnp.diag)(diagonal)


def _skew(theta: Array, d: int) -> Array:
    i, j = np.tril_indices(d, -1)
    lower = jnp.zeros((theta.shape[0], d, d)).at[:, i, j].set(theta)
    return lower - lower.swapaxes(1, 2)
