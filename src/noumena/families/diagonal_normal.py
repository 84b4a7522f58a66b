"""Normals with diagonal covariances: no product of two columns is ever taken, so hundreds of columns are cheap."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.block import Block
from ..core.model import Natural
from .chart import Chart
from .covariance import FLOOR, Structure
from .family import Family
from .normal import Frame
from .normal_chart import LOG_2PI, log_shapes
from .normal_inverse_wishart import NormalInverseWishart

_ANY = Structure.named("VVI")


class DiagonalNatural(NamedTuple):
    """η = (μ/σ², −1/2σ²), the coefficients of T(x) = (x, x²)."""

    linear: Float[Any, "K d"]
    quadratic: Float[Any, "K d"]


class DiagonalParameters(NamedTuple):
    """K normals in the family's frame; ``collapsed`` says which are held up by the variance floor."""

    mean: Float[Any, "K d"]
    variance: Float[Any, "K d"]
    collapsed: Bool[Any, " K"]

    def components(self, index: slice) -> "DiagonalParameters":
        """Those of some components."""
        return DiagonalParameters(self.mean[index], self.variance[index], self.collapsed[index])


class DiagonalNormal(Family):
    """K normals N(μ_k, diag(σ_k²)) whose variances have one of the structures with orientation I."""

    holes_are_free: ClassVar[bool] = True

    frame: Frame
    structure: Structure = eqx.field(static=True)
    prior: NormalInverseWishart | None = None

    def for_bound(self) -> "DiagonalNormal":
        return DiagonalNormal(self.frame, _ANY)

    def natural(self, parameters: DiagonalParameters) -> DiagonalNatural:
        return DiagonalNatural(parameters.mean / parameters.variance, -0.5 / parameters.variance)

    def log_normaliser(self, natural: DiagonalNatural) -> Float[Array, " K"]:
        return jnp.sum(_cell_normaliser(natural), axis=1)

    def marginal(self, natural: DiagonalNatural, block: Block) -> Float[Array, "rows K"]:
        u, hole, log_jacobian = self.frame.enter(jnp.asarray(block.x))
        # a missing cell integrates to its own normaliser
        features = jnp.concatenate([u, u * u, jnp.where(hole, 1.0, 0.0)], axis=1)
        coefficients = jnp.concatenate([natural.linear, natural.quadratic, _cell_normaliser(natural)], axis=1)
        return features @ coefficients.T + log_jacobian[:, None]

    def maximise(
        self, count: Float[Array, " K"], stats: DiagonalNatural, previous: DiagonalParameters
    ) -> DiagonalParameters:
        alive = count > 1e-8
        n = jnp.where(alive, count, 1.0)
        mean = stats.linear / n[:, None]
        scatter = stats.quadratic - stats.linear * mean
        if self.prior is not None:
            mean, scatter, n = self.prior.maximise_diagonal(n, mean, scatter)
        n, scatter = jnp.where(alive, n, 0.0), jnp.where(alive[:, None], scatter, 0.0)
        metric = 1.0
        if not self.structure.scale_invariant:  # equal variances are meant in the data's units
            metric = self.frame.scale.value**2 / jnp.mean(self.frame.scale.value**2)
        variance, at_floor = self.structure.maximise_diagonal(n, scatter * metric, FLOOR * jnp.min(jnp.asarray(metric)))
        variance = variance / metric
        return DiagonalParameters(
            jnp.where(alive[:, None], mean, previous.mean),
            jnp.where(alive[:, None], variance, previous.variance),
            at_floor | ~alive,
        )

    def expected_log_base(self, natural: DiagonalNatural) -> Float[Array, " K"]:
        # the frame's log|du/dx|; A holds the powers of 2π
        return jnp.full(natural.linear.shape[0], -jnp.sum(jnp.log(self.frame.scale.value)))

    def log_prior(self, parameters: DiagonalParameters) -> Float[Array, " K"]:
        if self.prior is None:
            return jnp.zeros(parameters.mean.shape[0])
        d = parameters.mean.shape[1]
        log_jacobian = -(d + 2) * jnp.sum(jnp.log(self.frame.scale.value))
        covariance = parameters.variance[:, :, None] * jnp.eye(d)
        return self.prior.log_density(parameters.mean, covariance) + log_jacobian

    def reported(self, parameters: DiagonalParameters) -> dict[str, Array]:
        location, scale = jnp.asarray(self.frame.location.value), jnp.asarray(self.frame.scale.value)
        return {
            "mean": location + scale * parameters.mean,
            "variance": parameters.variance * scale**2,
            "standard_deviation": scale * jnp.sqrt(parameters.variance),
        }

    def chart(self, parameters: DiagonalParameters) -> Chart:
        return DiagonalChart(self, parameters)

    def collapsed(self, parameters: DiagonalParameters) -> Bool[Array, " K"]:
        return parameters.collapsed

    def initial(self, n_components: int) -> DiagonalParameters:
        shape = (n_components, self.frame.location.value.shape[0])
        return DiagonalParameters(np.zeros(shape), np.ones(shape), np.zeros(n_components, dtype=bool))

    def statistics(
        self, x: np.ndarray, responsibilities: np.ndarray, given: np.ndarray | None = None
    ) -> DiagonalNatural:
        u, hole = self.frame.enter_array(x)
        return DiagonalNatural(responsibilities.T @ u, responsibilities.T @ (u * u + hole))

    def n_parameters(self, n_components: int) -> int:
        d = self.frame.location.value.shape[0]
        return n_components * d + self.structure.n_parameters(n_components, d)

    def footprint(self, n_components: int, missing: int) -> int:
        d = self.frame.location.value.shape[0]
        return 3 * d + 2 * n_components


class DiagonalChart(Chart):
    """Means as they are, logarithms of volumes and shapes as far as the structure leaves them free."""

    family: DiagonalNormal
    at: DiagonalParameters

    @property
    def size(self) -> int:
        k, d = self.at.mean.shape
        return k * d + self.family.structure.n_parameters(k, d)

    @property
    def held(self) -> Bool[np.ndarray, " p"]:
        return np.zeros(self.size, dtype=bool)

    def natural(self, theta: Float[Array, " p"]) -> tuple[Natural, Float[Array, " K"]]:
        natural = self.family.natural(self.parameters(theta))
        return natural, self.family.log_normaliser(natural)

    def parameters(self, theta: Float[Array, " p"]) -> DiagonalParameters:
        k, d = self.at.mean.shape
        free = {"E": 1, "V": k, "I": 0}
        n_volume, n_shape = free[self.family.structure.volume], free[self.family.structure.shape]
        mean, volume, shape = jnp.split(theta, [k * d, k * d + n_volume])
        log_variance = jnp.log(self.at.variance) + jnp.broadcast_to(volume[:, None], (max(n_volume, 1), 1))
        if n_shape and d > 1:
            log_variance += log_shapes(shape.reshape(n_shape, d - 1))
        return self.at._replace(mean=self.at.mean + mean.reshape(k, d), variance=jnp.exp(log_variance))


def covariance_of(reported: dict[str, Any]) -> np.ndarray:
    """The covariances among what a normal family reports, diagonal or not, shape (K, d, d)."""
    if "covariance" in reported:
        return reported["covariance"]
    return reported["variance"][:, :, None] * np.eye(reported["variance"].shape[1])


def _cell_normaliser(natural: DiagonalNatural) -> Float[Array, "K d"]:
    # ∫ exp(hu − ½Ju²) du = exp(½h²/J) √(2π/J)
    precision = -2 * natural.quadratic
    return 0.5 * (natural.linear**2 / precision - jnp.log(precision) + LOG_2PI)
