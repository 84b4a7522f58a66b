"""Factor analysers: normals whose covariance is of low rank but for noise, as a family of mixtures."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.block import Block
from .cells import DEAD
from .chart import Chart
from .factor_chart import FactorNormalChart
from .factor_starts import principal_start
from .factor_structure import FactorNatural, FactorParameters, FactorStructure, maximise, natural_of
from .family import Family
from .gaussian_integral import inverse_and_logdet, refined_gaussian_integral
from .normal import Frame
from .normal_chart import LOG_2PI


class FactorNormal(Family):
    """K normals N(μ_k, W_k Φ_k W_kᵀ + Ψ_k), the factors z and the missing cells integrated out.

    Given z the cells are independent, so that a missing one is left out at no cost, and what is integrated has q
    dimensions, not d.

    Attributes
    ----------
    frame : Frame
        Where its parameters live; columns of equal noise need equal scales.
    structure : FactorStructure
    complete : bool
        Whether no cell is missing: the grams of all columns are then one.
    """

    holes_are_free: ClassVar[bool] = True

    frame: Frame
    structure: FactorStructure = eqx.field(static=True)
    complete: bool = eqx.field(static=True, default=False)

    def for_bound(self) -> "FactorNormal":
        return self

    def natural(self, parameters: FactorParameters) -> FactorNatural:
        precision, _ = _inverse(jnp.asarray(parameters.latent))
        return natural_of(jnp, parameters, precision, self.complete)

    def log_normaliser(self, natural: FactorNatural) -> Float[Array, " K"]:
        # ½ log|Φ|, and the powers of 2π of z: those of the cells go with the cells
        precision = -(natural.latent + natural.latent.swapaxes(1, 2))
        return 0.5 * (self.structure.n_factors * LOG_2PI - _inverse(precision)[1])

    def marginal(self, natural: FactorNatural, block: Block) -> Float[Array, "rows K"]:
        x = jnp.asarray(block.x)
        if self.complete or block.complete:
            u, log_jacobian = self.frame.enter_complete(x)
            a, known = natural.gram.sum(axis=1)[None], jnp.zeros(x.shape[0], int)
        else:
            u, hole, log_jacobian = self.frame.enter(x)
            seen = jnp.where(hole, 0.0, 1.0)
            k, d, p, _ = natural.gram.shape
            flat = jnp.moveaxis(natural.gram, 1, 0).reshape(d, k * p * p)
            a, known = (seen @ flat).reshape(-1, k, p, p), jnp.arange(x.shape[0])
        k, d, p = natural.linear.shape
        b = (u @ jnp.moveaxis(natural.linear, 1, 0).reshape(d, k * p)).reshape(-1, k, p)
        squares = (u * u) @ natural.square.T
        precision = -(natural.latent + natural.latent.swapaxes(1, 2)) - (a + a.swapaxes(2, 3))[:, :, 1:, 1:]
        pull = b[:, :, 1:] + a[:, :, 0, 1:] + a[:, :, 1:, 0]
        over_z = refined_gaussian_integral(pull.swapaxes(1, 2), jnp.moveaxis(precision, 1, -1), known)
        value = squares + b[:, :, 0] + a[:, :, 0, 0] + over_z
        return value + 0.5 * self.structure.n_factors * LOG_2PI + jnp.broadcast_to(log_jacobian, x.shape[:1])[:, None]

    def maximise(self, count: Float[Array, " K"], stats: FactorNatural, previous: FactorParameters) -> FactorParameters:
        d, q = self.structure.n_columns, self.structure.n_factors
        seen = jnp.min(stats.gram[..., 0, 0], axis=1)
        alive = (count > 1e-8) & (seen > 1e-8)
        calm = FactorNatural(
            jnp.where(alive[:, None, None], stats.linear, 0.0),
            jnp.where(alive[:, None, None, None], stats.gram, jnp.eye(q + 1)),
            jnp.where(alive[:, None], stats.square, 1.0),
            jnp.where(alive[:, None, None], stats.latent, jnp.eye(q)),
        )
        found = maximise(jnp, self.structure, jnp.where(alive, count, 1.0), calm)
        return FactorParameters(
            jnp.where(alive[:, None], found.mean, previous.mean),
            jnp.where(alive[:, None, None], found.loadings, previous.loadings),
            jnp.where(alive[:, None], found.noise, previous.noise),
            jnp.where(alive[:, None, None], found.latent, previous.latent),
            found.at_floor | jnp.broadcast_to(~alive[:, None], (count.shape[0], d)),
        )

    def statistics(self, x: np.ndarray, responsibilities: np.ndarray, given: np.ndarray | None = None) -> FactorNatural:
        # those of a closed-form start for each component, its holes filled with the columns' means
        u, _ = self.frame.enter_array(x)
        parts = [_statistics(self.structure, self.complete, u, r) for r in responsibilities.T]
        return FactorNatural(*(np.stack(part) for part in zip(*parts, strict=True)))

    def log_prior(self, parameters: FactorParameters) -> Float[Array, " K"]:
        return jnp.zeros(parameters.mean.shape[0])

    def collapsed(self, parameters: FactorParameters) -> Bool[Array, " K"]:
        return jnp.any(parameters.at_floor, axis=1)

    def initial(self, n_components: int) -> FactorParameters:
        d, q = self.structure.n_columns, self.structure.n_factors
        loadings = 0.5 * np.cos(np.outer(np.arange(d) + 0.5, np.arange(q)) * np.pi / d)  # columns at right angles
        if self.structure.free is not None:
            loadings = 0.5 * np.asarray(self.structure.free, float)
        return FactorParameters(
            np.zeros((n_components, d)),
            np.tile(loadings, (n_components, 1, 1)),
            np.full((n_components, d), 0.5),
            np.tile(np.eye(q), (n_components, 1, 1)),
            np.zeros((n_components, d), dtype=bool),
        )

    def reported(self, parameters: FactorParameters) -> dict[str, Array]:
        location, scale = jnp.asarray(self.frame.location.value), jnp.asarray(self.frame.scale.value)
        common = parameters.loadings @ parameters.latent @ parameters.loadings.swapaxes(-1, -2)
        noise = parameters.noise[..., None] * jnp.eye(scale.shape[0])
        return {
            "mean": location + scale * parameters.mean,
            "loadings": scale[:, None] * parameters.loadings,
            "noise": parameters.noise * scale**2,
            "covariance": (common + noise) * scale[:, None] * scale,
        }

    def chart(self, parameters: FactorParameters) -> Chart:
        return FactorNormalChart.around(self, parameters)

    def n_parameters(self, n_components: int) -> int:
        return n_components * self.structure.n_parameters()

    def footprint(self, n_components: int, missing: int) -> int:
        p = self.structure.n_factors + 1
        return self.structure.n_columns + n_components * (3 * p if self.complete else 6 * p * p)

    def kl(self, natural: FactorNatural, other: FactorNatural) -> Float[Array, " K"]:
        raise NotImplementedError("the divergence of factor analysers is that of the normals that they are")

    def mean(self, natural: FactorNatural) -> FactorNatural:
        raise NotImplementedError("the expected statistics of a factor analyser depend on its rows' missing cells")


def _statistics(
    structure: FactorStructure, complete: bool, u: Float[np.ndarray, "n d"], r: Float[np.ndarray, " n"]
) -> FactorNatural:
    """Expected statistics of weighted rows under the start that their covariance suggests."""
    count = max(float(r.sum()), DEAD)
    mean = r @ u / count
    away = u - mean
    covariance = (away * r[:, None]).T @ away / count
    covariance += 1e-3 * np.eye(len(mean))
    start = principal_start(covariance, structure)
    slope = start.loadings / start.noise[:, None]
    within = np.linalg.inv(np.eye(structure.n_factors) + start.loadings.T @ slope)
    score = within @ slope.T  # E[z] = score (u − mean)
    q, d = score.shape
    second = score @ covariance @ score.T + within
    gram = np.zeros((q + 1, q + 1))
    gram[0, 0], gram[1:, 1:] = 1.0, second
    cross = np.outer(mean, np.eye(q + 1)[0])
    cross[:, 1:] = covariance @ score.T
    square = np.diagonal(covariance) + mean**2
    return FactorNatural(
        count * cross, count * np.tile(gram, (1 if complete else d, 1, 1)), count * square, count * second
    )


def _inverse(matrices: Float[Array, "K q q"]) -> tuple[Float[Array, "K q q"], Float[Array, " K"]]:
    inverse, logdet = inverse_and_logdet(jnp.moveaxis(matrices, 0, -1))
    return jnp.moveaxis(inverse, -1, 0), logdet
