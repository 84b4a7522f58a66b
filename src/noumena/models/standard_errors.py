"""How far off the estimates may be: the observed information of a Gaussian mixture, by automatic differentiation."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core.block import Block
from ..core.errors import NoumenaError
from ..core.expectation import curvature, expectation
from ..core.lanes import stack
from ..families.covariance import Structure
from ..families.normal import LOG_2PI, NormalNatural
from .mixture import Mixture, MixtureNatural

#: Directions of curvature taken at once.
DIRECTIONS = 8


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


class Coordinates(eqx.Module):
    """Free coordinates θ of a Gaussian mixture around its estimate, where all of them are 0.

    The covariances are Σ_k = λ_k C_k or λ_k D_k A_k D_kᵀ as the structure says. Everything is expanded to second order
    (the exponentials of symmetric or skew generators, inverses and log determinants), which is exact for the first and
    second derivatives at 0 that are asked of it and needs no factorisation inside a compiled program.

    Attributes
    ----------
    structure : Structure
    weights, mean, covariance, precision : array
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
    weights: Float[Any, " K"]
    mean: Float[Any, "K d"]
    covariance: Float[Any, "K d d"]
    precision: Float[Any, "K d d"]
    root: Float[Any, "K d d"]
    axes: Float[Any, "K d d"]
    values: Float[Any, "K d"]
    log_determinant: Float[Any, " K"]
    metric: Float[Any, " d"]

    @classmethod
    def around(
        cls,
        structure: Structure,
        weights: np.ndarray,
        mean: np.ndarray,
        covariance: np.ndarray,
        orientation: np.ndarray,
        metric: np.ndarray,
    ) -> "Coordinates":
        """Coordinates around an estimate; ``orientation`` holds the common eigenvectors, where there are such."""
        structured = covariance * np.outer(metric, metric)
        if structure.orientation == "V":
            axes = np.linalg.eigh(structured)[1]
        else:
            axes = np.broadcast_to(orientation, covariance.shape)
        return cls(
            structure,
            weights,
            mean,
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
        k, d = self.mean.shape
        return k - 1 + k * d + self.structure.n_parameters(k, d)

    def parameters(self, theta: Float[Array, " p"]) -> tuple[Array, Array, Array]:
        """Weights, means and covariances at ``theta``."""
        k, d = self.mean.shape
        cut = np.cumsum([k - 1, k * d])
        logits = jnp.log(self.weights) + jnp.append(theta[: cut[0]], 0.0)
        mean = self.mean + theta[cut[0] : cut[1]].reshape(k, d)
        covariance = self._covariances(theta[cut[1] :]) / (self.metric[:, None] * self.metric)
        return jax.nn.softmax(logits), mean, covariance

    def natural(self, theta: Float[Array, " p"]) -> MixtureNatural:
        """The mixture's natural parameters at ``theta``."""
        weights, mean, covariance = self.parameters(theta)
        bend = self.precision @ (covariance - self.covariance)  # Λ₀E
        precision = self.precision - bend @ self.precision + bend @ bend @ self.precision
        log_determinant = self.log_determinant + jnp.trace(bend - 0.5 * bend @ bend, axis1=1, axis2=2)
        linear = jnp.einsum("kij,kj->ki", precision, mean)
        normaliser = 0.5 * jnp.einsum("ki,ki->k", linear, mean) + 0.5 * log_determinant
        constant = jnp.log(weights) - normaliser - 0.5 * mean.shape[1] * LOG_2PI
        return MixtureNatural(constant, NormalNatural(linear, -0.5 * precision))

    def _covariances(self, theta: Array) -> Array:
        k, d = self.mean.shape
        shared = {"E": 1, "V": k, "I": 0}
        shape, orientation = shared[self.structure.shape], shared[self.structure.orientation]
        n_volume = shared[self.structure.volume]
        volume = jnp.broadcast_to(jnp.exp(theta[:n_volume]), (k,))[:, None, None]
        rest = theta[n_volume:]
        if self.structure.orientation == "I":
            return volume * _rebuilt(self.axes, self.values, _rows(rest, shape))
        if self.structure.shape == self.structure.orientation:
            return volume * (self.root @ _exponential(_traceless(_rows(rest, shape), d)) @ self.root.swapaxes(1, 2))
        n_shape = shape * (d - 1)
        turned = self.axes @ _exponential(_skew(_rows(rest[n_shape:], orientation), d))
        return volume * _rebuilt(turned, self.values, _rows(rest[:n_shape], shape))


def _rows(theta: Array, rows: int) -> Array:
    """``theta`` cut into so many rows; an empty one where nothing is shared out."""
    return theta.reshape(rows, -1) if rows else theta.reshape(1, 0)


def _rebuilt(axes: Array, values: Array, log_shape: Array) -> Array:
    """D diag(values · exp(shape)) Dᵀ, where the shapes' logarithms sum to 0."""
    if log_shape.size:
        full = jnp.concatenate([log_shape, -jnp.sum(log_shape, axis=1, keepdims=True)], axis=1)
        values = values * jnp.exp(full)
    return (axes * values[:, None, :]) @ jnp.swapaxes(axes, 1, 2)


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


@jax.jit
def _derivatives(coordinates: Coordinates, stats: MixtureNatural) -> tuple[Any, Array, Any]:
    """∂η/∂θ, Σ_j S_j ∂²η_j/∂θ² and ∂(weights, means, covariances)/∂θ at θ = 0."""
    zero = jnp.zeros(coordinates.size)

    def weighted(theta: Array) -> Array:
        parts = jax.tree.map(lambda a, b: jnp.sum(a * b), coordinates.natural(theta), stats)
        return sum(jax.tree.leaves(parts), jnp.zeros(()))

    return (
        jax.jacfwd(coordinates.natural)(zero),
        jax.jacfwd(jax.grad(weighted))(zero),
        jax.jacfwd(coordinates.parameters)(zero),
    )


def observed_standard_errors(
    model: Mixture, coordinates: Coordinates, blocks: Iterable[Block], scale: np.ndarray
) -> StandardErrors:
    """Standard errors by the delta method from the inverse of the observed information.

    With ℓ(η(θ)), −∂²ℓ/∂θ² = −(∂η/∂θ)ᵀ (∂S/∂η) (∂η/∂θ) − Σ_j S_j ∂²η_j/∂θ², where S = ∂ℓ/∂η is what the E-step gathers:
    only its derivative needs the rows.

    Parameters
    ----------
    model : Mixture
        One model.
    coordinates : Coordinates
        Around the model's parameters.
    blocks : iterable of Block
        The rows that the model was fitted on; iterated over several times.
    scale : array, shape (d,)
        Of the frame: errors are returned in the units of the data.

    Raises
    ------
    InformationError
        Where the information has no inverse.
    """
    _, stats = expectation(stack([model]).for_bound(), blocks)
    stats = jax.tree.map(lambda part: part[0], stats)
    natural, second, parts = _derivatives(coordinates, stats)
    p = coordinates.size
    directions = [np.moveaxis(np.asarray(leaf), -1, 0) for leaf in jax.tree.leaves(natural)]
    tree = jax.tree.structure(natural)
    flat = np.concatenate([leaf.reshape(p, -1) for leaf in directions], axis=1)
    first = np.empty((p, p))
    for begin in range(0, p, DIRECTIONS):
        few = [_padded(leaf[begin : begin + DIRECTIONS]) for leaf in directions]
        bent = jax.tree.leaves(curvature(model, jax.tree.unflatten(tree, few), blocks))
        rows = np.concatenate([np.asarray(leaf).reshape(DIRECTIONS, -1) for leaf in bent], axis=1)
        first[begin : begin + DIRECTIONS] = (rows @ flat.T)[: p - begin]
    information = -(0.5 * (first + first.T) + np.asarray(second))
    values = np.linalg.eigvalsh(information)
    if not values[0] > 1e-10 * values[-1]:
        raise InformationError(
            f"the observed information is not positive definite (eigenvalues {values[0]:.2g} to {values[-1]:.2g}): "
            "the fit is not at an inner maximum, or some parameters are not determined by these rows; "
            'lower tol, use fewer components, or method="bootstrap"'
        )
    covariance = np.linalg.inv(information)

    def errors(part: Any) -> np.ndarray:
        jacobian = np.asarray(part).reshape(-1, p)
        variance = np.einsum("ip,pq,iq->i", jacobian, covariance, jacobian, optimize=True)
        return np.sqrt(np.maximum(variance, 0.0)).reshape(part.shape[:-1])

    weights, means, covariances = (errors(part) for part in parts)
    return StandardErrors(weights, means * scale, covariances * np.outer(scale, scale), "observed")


def _padded(directions: np.ndarray) -> np.ndarray:
    """Filled up with zero directions, so that one program serves all."""
    return np.concatenate([directions, np.zeros((DIRECTIONS - len(directions), *directions.shape[1:]))])
