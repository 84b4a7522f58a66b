"""How far off the estimates may be: the observed information of a Gaussian mixture, by automatic differentiation."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core.block import Block
from ..core.errors import NoumenaError
from ..families.covariance import Structure
from ..families.normal import LOG_2PI, Normal, NormalNatural
from .mixture import Mixture, MixtureNatural


class InformationError(NoumenaError, ValueError):
    """The observed information is not positive definite, so that it has no inverse to read standard errors from."""


@final
@dataclass(frozen=True)
class StandardErrors:
    """Standard errors of a Gaussian mixture, in the units of the data.

    Attributes
    ----------
    weights : array, shape (K,)
    means : array, shape (K, d)
    covariances : array, shape (K, d, d)
    method : {"observed", "bootstrap"}
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    method: str


@dataclass(frozen=True)
class Coordinates:
    """Free coordinates of a Gaussian mixture around its estimate, where all of them are 0.

    The covariances are Σ_k = λ_k C_k or λ_k D_k A_k D_kᵀ as the structure says, with exp(·) of the symmetric or skew
    generators taken to second order, which is exact for first and second derivatives at 0.

    Attributes
    ----------
    structure : Structure
    weights, mean, covariance : array
        The estimate, in the family's frame.
    orientation : array, shape (d, d)
        Common eigenvectors, where the structure has them.
    """

    structure: Structure
    weights: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    orientation: np.ndarray

    @property
    def size(self) -> int:
        """Number of free coordinates."""
        k, d = self.mean.shape
        return k - 1 + k * d + self.structure.n_parameters(k, d)

    def parameters(self, theta: Float[Array, " p"]) -> tuple[Array, Array, Array]:
        """Weights, means and covariances at ``theta``."""
        k, d = self.mean.shape
        cut = np.cumsum([k - 1, k * d])
        logits = jnp.log(jnp.asarray(self.weights)) + jnp.append(theta[: cut[0]], 0.0)
        mean = self.mean + theta[cut[0] : cut[1]].reshape(k, d)
        return jax.nn.softmax(logits), mean, self._covariances(theta[cut[1] :])

    def natural(self, theta: Float[Array, " p"]) -> MixtureNatural:
        """The mixture's natural parameters at ``theta``."""
        weights, mean, covariance = self.parameters(theta)
        precision = jnp.linalg.inv(covariance)
        linear = jnp.einsum("kij,kj->ki", precision, mean)
        normaliser = 0.5 * jnp.einsum("ki,ki->k", linear, mean) + 0.5 * jnp.linalg.slogdet(covariance)[1]
        constant = jnp.log(weights) - normaliser - 0.5 * mean.shape[1] * LOG_2PI
        return MixtureNatural(constant, NormalNatural(linear, -0.5 * precision))

    def _covariances(self, theta: Array) -> Array:
        k, d = self.mean.shape
        shared = {"E": 1, "V": k, "I": 0}
        n_volume = shared[self.structure.volume]
        volume = jnp.broadcast_to(jnp.exp(theta[:n_volume]), (k,))[:, None, None]
        rest = theta[n_volume:]
        if self.structure.orientation == "I":
            axes = jnp.broadcast_to(jnp.eye(d), (k, d, d))
            values = np.diagonal(self.covariance, axis1=1, axis2=2)
            return volume * _rebuilt(axes, values, rest.reshape(shared[self.structure.shape], -1))
        if self.structure.shape == self.structure.orientation:
            root = np.linalg.cholesky(self.covariance)
            bend = _exponential(_traceless(rest.reshape(shared[self.structure.shape], -1), d))
            return volume * (root @ bend @ root.swapaxes(1, 2))
        n_shape = shared[self.structure.shape] * (d - 1)
        if self.structure.orientation == "E":
            axes = np.broadcast_to(self.orientation, (k, d, d))
        else:
            axes = np.linalg.eigh(self.covariance)[1]
        values = np.einsum("kji,kjl,kli->ki", axes, self.covariance, axes)
        skew = _skew(rest[n_shape:].reshape(shared[self.structure.orientation], -1), d)
        turned = axes @ _exponential(skew)
        return volume * _rebuilt(turned, values, rest[:n_shape].reshape(shared[self.structure.shape], -1))


def _rebuilt(axes: Any, values: np.ndarray, log_shape: Array) -> Array:
    """D diag(values · exp(shape)) Dᵀ, where the shapes' logarithms sum to 0."""
    if log_shape.size:
        full = jnp.concatenate([log_shape, -jnp.sum(log_shape, axis=1, keepdims=True)], axis=1)
        values = values * jnp.exp(full)
    return (axes * jnp.asarray(values)[:, None, :]) @ jnp.swapaxes(axes, 1, 2)


def _exponential(generator: Array) -> Array:
    return jnp.eye(generator.shape[-1]) + generator + 0.5 * generator @ generator


def _traceless(theta: Array, d: int) -> Array:
    """Symmetric matrices of trace 0, one per row of ``theta``."""
    if d == 1:
        return jnp.zeros((max(theta.shape[0], 1), 1, 1))
    i, j = np.tril_indices(d, -1)
    lower = jnp.zeros((theta.shape[0], d, d)).at[:, i, j].set(theta[:, : len(i)])
    diagonal = theta[:, len(i) :]
    diagonal = jnp.concatenate([diagonal, -jnp.sum(diagonal, axis=1, keepdims=True)], axis=1)
    return lower + lower.swapaxes(1, 2) + jax.vmap(jnp.diag)(diagonal)


def _skew(theta: Array, d: int) -> Array:
    i, j = np.tril_indices(d, -1)
    lower = jnp.zeros((theta.shape[0], d, d)).at[:, i, j].set(theta)
    return lower - lower.swapaxes(1, 2)


def observed_information(
    model: Mixture, coordinates: Coordinates, blocks: Iterable[Block]
) -> Float[np.ndarray, "p p"]:
    """−∂²ℓ/∂θ² of the log likelihood at the estimate, summed over all rows.

    Each column is a forward derivative of the gradient, so that memory does not grow with the square of the rows.
    """
    family = Normal(model.family.frame, Structure.named("VVV"), model.family.floor)  # type: ignore[attr-defined]
    plain = Mixture(family, model.weights, model.parameters, model.active)

    @jax.jit
    def of_block(block: Block) -> Array:
        def gradient(theta: Array, piece: Block) -> Array:
            def objective(theta: Array) -> Array:
                return jnp.sum(piece.weight * plain.bound(coordinates.natural(theta), piece))

            return jax.grad(objective)(theta)

        def add(total: Array, piece: Block) -> tuple[Array, None]:
            zero = jnp.zeros(coordinates.size)

            def column(direction: Array) -> Array:
                return jax.jvp(lambda theta: gradient(theta, piece), (zero,), (direction,))[1]

            return total - jax.lax.map(column, jnp.eye(coordinates.size), batch_size=4), None

        return jax.lax.scan(add, jnp.zeros((coordinates.size, coordinates.size)), block)[0]

    total = sum(np.asarray(of_block(block)) for block in blocks)
    return 0.5 * (total + np.asarray(total).T)


def observed_standard_errors(
    model: Mixture, coordinates: Coordinates, blocks: Iterable[Block], scale: np.ndarray
) -> StandardErrors:
    """Standard errors by the delta method from the inverse of the observed information.

    Parameters
    ----------
    model : Mixture
    coordinates : Coordinates
        Around the model's parameters.
    blocks : iterable of Block
        The rows that the model was fitted on.
    scale : array, shape (d,)
        Of the frame: errors are returned in the units of the data.

    Raises
    ------
    InformationError
        Where the information has no inverse.
    """
    information = observed_information(model, coordinates, blocks)
    values = np.linalg.eigvalsh(information)
    if not values[0] > 1e-10 * values[-1]:
        raise InformationError(
            f"the observed information is not positive definite (eigenvalues from {values[0]:.2g} to {values[-1]:.2g}): "
            "the fit is not at an inner maximum, or some parameters are not determined by these rows; "
            'lower tol, use fewer components, or method="bootstrap"'
        )
    covariance = np.linalg.inv(information)
    zero = jnp.zeros(coordinates.size)
    jacobian = jax.jit(jax.jacfwd(coordinates.parameters))(zero)

    def errors(part: Any) -> np.ndarray:
        flat = np.asarray(part).reshape(-1, coordinates.size)
        variance = np.einsum("ip,pq,iq->i", flat, covariance, flat, optimize=True)
        return np.sqrt(np.maximum(variance, 0.0)).reshape(part.shape[:-1])

    weights, means, covariances = (errors(part) for part in jacobian)
    return StandardErrors(weights, means * scale, covariances * np.outer(scale, scale), "observed")
