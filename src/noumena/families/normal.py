"""The multivariate normal, with any covariance structure and any missing cells."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float

from ..core.block import Block
from ..core.model import Fixed
from .chart import Chart
from .covariance import FLOOR, Structure
from .family import Family
from .gaussian_integral import log_gaussian_integral, shared_out
from .normal_chart import LOG_2PI, CovarianceChart, NormalChart
from .normal_inverse_wishart import NormalInverseWishart

_ANY = Structure.named("VVV")
#: Up to so many columns, the features are products of slices, which run faster than those of gathered columns; with
#: more, they take longer to compile than they gain.
_SLICED = 32


class NormalNatural(NamedTuple):
    """η = (Σ⁻¹μ, −½Σ⁻¹), the coefficients of T(x) = (x, xxᵀ); `Normal.prepare` fills in ``packed``."""

    linear: Float[Any, "K d"]
    quadratic: Float[Any, "K d d"]
    packed: Float[Any, "K features"] | None = None


class NormalParameters(NamedTuple):
    """K normals in the family's frame.

    ``orientation`` holds the common eigenvectors where the covariance structure has them (its M-step goes on from
    there) and the identity elsewhere; ``collapsed`` says which components are held up by the variance floor.
    """

    mean: Float[Any, "K d"]
    covariance: Float[Any, "K d d"]
    orientation: Float[Any, "d d"]
    collapsed: Bool[Any, " K"]

    def components(self, index: slice) -> "NormalParameters":
        """Those of some components."""
        return NormalParameters(self.mean[index], self.covariance[index], self.orientation, self.collapsed[index])


class Frame(eqx.Module):
    """The affine coordinates u = (x − location) / scale in which second moments are taken.

    Raw second moments lose digits when a column's mean is large beside its spread, or when columns differ much in their
    units; centred and scaled ones do not.
    """

    location: Fixed
    scale: Fixed

    @classmethod
    def of(cls, location: np.ndarray, scale: np.ndarray) -> "Frame":
        """Frame with these columns' locations and scales, shape (d,)."""
        return cls(Fixed(np.asarray(location, float)), Fixed(np.asarray(scale, float)))

    def enter(self, x: Float[Array, "rows d"]) -> tuple[Float[Array, "rows d"], Bool[Array, "rows d"], Array]:
        """Standardised cells (0 where missing), what is missing, and log|du/dx| over the observed cells."""
        hole = jnp.isnan(x)
        u = jnp.where(hole, 0.0, (x - self.location.value) * (1 / self.scale.value))
        return u, hole, -(jnp.where(hole, 0.0, 1.0) @ jnp.log(self.scale.value))

    def enter_complete(self, x: Float[Array, "rows d"]) -> tuple[Float[Array, "rows d"], Array]:
        """As `enter`, for rows that are known to have no missing cell."""
        return (x - self.location.value) * (1 / self.scale.value), -jnp.sum(jnp.log(self.scale.value))

    def enter_array(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Standardised cells (0 where missing) and what is missing, for NumPy."""
        u = (x - np.asarray(self.location.value)) / np.asarray(self.scale.value)
        hole = np.isnan(u)
        return np.where(hole, 0.0, u), hole


class Normal(Family):
    """K multivariate normals N(μ_k, Σ_k).

    Parameters
    ----------
    frame : Frame
        Where its parameters live.
    structure : Structure
        What the Σ_k share.
    prior : NormalInverseWishart, optional
        Conjugate prior of each component, in the frame.
    """

    holes_are_free: ClassVar[bool] = False

    frame: Frame
    structure: Structure = eqx.field(static=True)
    prior: NormalInverseWishart | None = None

    def for_bound(self) -> "Normal":
        return Normal(self.frame, _ANY)

    def natural(self, parameters: NormalParameters) -> NormalNatural:
        return self.natural_of(parameters.mean, _inverse(parameters.covariance))

    def natural_of(self, mean: Float[Array, "K d"], precision: Float[Array, "K d d"]) -> NormalNatural:
        """η from means and precisions."""
        return NormalNatural(jnp.einsum("kij,kj->ki", precision, mean), -0.5 * precision)

    def prepare(self, natural: NormalNatural) -> NormalNatural:
        return natural._replace(packed=_packed(natural))

    def log_normaliser(self, natural: NormalNatural) -> Float[Array, " K"]:
        # A = ½ hᵀJ⁻¹h − ½ log|J| + (d/2) log 2π with J = Σ⁻¹ = −2 quadratic, h = Σ⁻¹μ
        energy, logdet = energy_and_logdet(natural)
        return energy - 0.5 * logdet + 0.5 * natural.linear.shape[1] * LOG_2PI

    def marginal(self, natural: NormalNatural, block: Block) -> Float[Array, "rows K"]:
        if block.columns is None:  # no pattern: no cell is missing
            u, log_jacobian = self.frame.enter_complete(jnp.asarray(block.x))
            return quadratic_form(natural, u) + log_jacobian
        u, hole, log_jacobian = self.frame.enter(jnp.asarray(block.x))
        pattern = jnp.asarray(block.pattern)
        b, a = missing_gaussian(natural, u, pattern, jnp.asarray(block.columns))
        missing = log_gaussian_integral(b, a, pattern) + 0.5 * LOG_2PI * jnp.sum(hole, axis=1)[:, None]
        return quadratic_form(natural, u) + missing + log_jacobian[:, None]

    def maximise(self, count: Float[Array, " K"], stats: NormalNatural, previous: NormalParameters) -> NormalParameters:
        alive = count > 1e-8
        n = jnp.where(alive, count, 1.0)
        mean = stats.linear / n[:, None]
        scatter = stats.quadratic - jnp.einsum("ki,kj->kij", stats.linear, mean)
        if self.prior is not None:
            mean, scatter, n = self.prior.maximise(n, mean, scatter)
        return self.from_scatter(alive, n, mean, scatter, previous)

    def from_scatter(
        self, alive: Array, n: Array, mean: Array, scatter: Array, previous: NormalParameters
    ) -> NormalParameters:
        """The parameters with these means and the structure's covariances; previous ones where not ``alive``."""
        n, scatter = jnp.where(alive, n, 0.0), jnp.where(alive[:, None, None], scatter, 0.0)
        covariance, orientation, at_floor = self._structured(n, scatter, previous.orientation)
        return NormalParameters(
            jnp.where(alive[:, None], mean, previous.mean),
            jnp.where(alive[:, None, None], covariance, previous.covariance),
            orientation,
            at_floor | ~alive,
        )

    def _structured(self, n: Array, scatter: Array, orientation: Array) -> tuple[Array, Array, Array]:
        """The structure's covariances, in the frame."""
        if self.structure.scale_invariant:
            return self.structure.maximise(n, scatter, orientation)
        # volumes, shapes and orientations of this structure mean something in the data's units only (up to one factor)
        metric = self.frame.scale.value / jnp.sqrt(jnp.mean(self.frame.scale.value**2))
        both = metric[:, None] * metric
        covariance, orientation, at_floor = self.structure.maximise(
            n, scatter * both, orientation, FLOOR * jnp.min(metric) ** 2
        )
        values, vectors = jnp.linalg.eigh(covariance / both)
        lifted = (vectors * jnp.maximum(values, FLOOR)[:, None, :]) @ vectors.swapaxes(1, 2)
        below = values[:, 0] <= FLOOR
        return jnp.where(below[:, None, None], lifted, covariance / both), orientation, at_floor | below

    def expected_log_base(self, natural: NormalNatural) -> Float[Array, " K"]:
        # the frame's log|du/dx|; A holds the powers of 2π
        return jnp.full(natural.linear.shape[0], -jnp.sum(jnp.log(self.frame.scale.value)))

    def log_prior(self, parameters: NormalParameters) -> Float[Array, " K"]:
        if self.prior is None:
            return jnp.zeros(parameters.mean.shape[0])
        d = parameters.mean.shape[1]
        # the prior is a density of (μ, Σ) in the data's units: |d(μ, Σ)_frame / d(μ, Σ)| = Π s_j^−(d+2)
        log_jacobian = -(d + 2) * jnp.sum(jnp.log(self.frame.scale.value))
        return self.prior.log_density(parameters.mean, parameters.covariance) + log_jacobian

    def reported(self, parameters: NormalParameters) -> dict[str, Array]:
        location, scale = jnp.asarray(self.frame.location.value), jnp.asarray(self.frame.scale.value)
        return {
            "mean": location + scale * parameters.mean,
            "covariance": parameters.covariance * scale[:, None] * scale,
        }

    def chart(self, parameters: NormalParameters) -> Chart:
        scale = np.asarray(self.frame.scale.value)
        covariance = CovarianceChart.around(self.structure, parameters.covariance, parameters.orientation, scale)
        return NormalChart(self, parameters, covariance)

    def collapsed(self, parameters: NormalParameters) -> Bool[Array, " K"]:
        return parameters.collapsed

    def initial(self, n_components: int) -> NormalParameters:
        d = self.frame.location.value.shape[0]
        eye = np.eye(d)
        return NormalParameters(
            np.zeros((n_components, d)),
            np.tile(eye, (n_components, 1, 1)),
            eye,
            np.zeros(n_components, dtype=bool),
        )

    def statistics(self, x: np.ndarray, responsibilities: np.ndarray, given: np.ndarray | None = None) -> NormalNatural:
        u, hole = self.frame.enter_array(x)
        quadratic = np.einsum("nk,ni,nj->kij", responsibilities, u, u, optimize=True)
        i = np.arange(x.shape[1])
        quadratic[:, i, i] += responsibilities.T @ hole  # a missing cell has mean 0 and variance 1
        return NormalNatural(responsibilities.T @ u, quadratic)

    def n_parameters(self, n_components: int) -> int:
        d = self.frame.location.value.shape[0]
        return n_components * d + self.structure.n_parameters(n_components, d)

    def footprint(self, n_components: int, missing: int) -> int:
        d = self.frame.location.value.shape[0]
        complete = d * (d + 3) // 2 + 2 * n_components
        return complete if missing == 0 else complete + n_components * (2 * d + 3 * missing**2 // 2)


def _inverse(matrices: Float[Array, "K d d"]) -> Float[Array, "K d d"]:
    """Inverse of symmetric positive definite matrices, symmetric to the last bit."""
    factor = jnp.linalg.cholesky(matrices)
    eye = jnp.broadcast_to(jnp.eye(matrices.shape[-1]), matrices.shape)
    root = solve_triangular(factor, eye, lower=True)  # L⁻¹
    return root.swapaxes(1, 2) @ root


def energy_and_logdet(natural: NormalNatural) -> tuple[Float[Array, " K"], Float[Array, " K"]]:
    """½ hᵀJ⁻¹h and log|J|."""
    precision = -(natural.quadratic + natural.quadratic.swapaxes(1, 2))
    factor = jnp.linalg.cholesky(precision)
    whitened = solve_triangular(factor, natural.linear[:, :, None], lower=True)[:, :, 0]
    logdet = 2 * jnp.sum(jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)), axis=1)
    return 0.5 * jnp.sum(whitened**2, axis=1), logdet


def _packed(natural: NormalNatural) -> Float[Array, "K features"]:
    """Coefficients of the features u and u_i u_j, i ≤ j: uᵀQu = Σ_{i≤j} (Q_ij + Q_ji) u_i u_j, the diagonal once."""
    i, j = np.triu_indices(natural.linear.shape[1])
    both = jnp.where(i == j, 0.5, 1.0) * (natural.quadratic[:, i, j] + natural.quadratic[:, j, i])
    return jnp.concatenate([natural.linear, both], axis=1)


def quadratic_form(natural: NormalNatural, u: Float[Array, "rows d"]) -> Float[Array, "rows K"]:
    """hᵀu + uᵀQu of each row and component: one matrix product with the quadratic features of the rows."""
    d = u.shape[1]
    if d <= _SLICED:
        products = [u[:, a : a + 1] * u[:, a:] for a in range(d)]
    else:
        i, j = np.triu_indices(d)
        products = [u[:, i] * u[:, j]]
    packed = _packed(natural) if natural.packed is None else natural.packed
    return jnp.concatenate([u, *products], axis=1) @ packed.T


def missing_gaussian(natural: NormalNatural, u: Array, pattern: Array, columns: Array) -> tuple[Array, Array]:
    """b = h_m − J_mo u_o and A = J_mm: exp(bᵀu_m − ½ u_mᵀAu_m) is the density of each row's missing cells m, unscaled.

    In precision form only the m × m block of the missing cells needs factorising, once for each pattern. Patterns with
    fewer missing cells than the widest are filled up with independent standard normals, whose integral is 1.
    """
    rows, d = u.shape
    k = natural.linear.shape[0]
    most = columns.shape[1]
    wide = d + most
    precision = -(natural.quadratic + natural.quadratic.swapaxes(1, 2))
    # components last, so that one gathered element is a contiguous run of K numbers
    filler = np.arange(d, wide)
    table = jnp.zeros((wide, wide, k), u.dtype).at[:d, :d].set(jnp.moveaxis(precision, 0, -1))
    table = table.at[filler, filler].set(1.0).reshape(-1, k)
    a = table[columns[:, :, None] * wide + columns[:, None, :]]  # J_mm, shape (patterns, m, m, K)
    # h − J u of every cell, of which the missing ones are picked
    affine = jnp.concatenate([natural.linear.T[None], -precision.transpose(1, 2, 0)], axis=0).reshape(d + 1, d * k)
    pull = jnp.concatenate([jnp.ones((rows, 1), u.dtype), u], axis=1) @ affine
    each = shared_out(columns, pattern)
    picked = pull.reshape(-1, k)[jnp.arange(rows)[:, None] * d + jnp.minimum(each, d - 1)]
    b = jnp.where((each < d)[:, :, None], picked, 0.0)  # shape (rows, m, K)
    return b, a
