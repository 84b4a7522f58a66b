"""What the covariance of a factor analyser is made of, and its M-step."""

from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
from jaxtyping import Bool, Float

from .normal_chart import LOG_2PI

#: Noise below this share of a column's variance leaves too few digits to the log likelihood.
LEAST_NOISE = 1e-10


class FactorNatural(NamedTuple):
    """η of log p(x, z | θ) with z̃ = (1, z) and w̃_j = (μ_j, w_j), any leading axes.

    ``linear`` is w̃_j/ψ_j, whose statistic is x_j z̃; ``gram`` −½ w̃_j w̃_jᵀ/ψ_j, whose statistic is z̃z̃ᵀ of the rows in
    which cell j is observed, with −½ log 2πψ_j in its corner, whose statistic is their number; ``square`` −½/ψ_j, whose
    statistic is x_j²; ``latent`` −½Φ⁻¹, whose statistic is zzᵀ. Where no cell is missing, the rows of all columns are
    the same ones, and ``gram`` holds the sum over the columns.
    """

    linear: Float[Any, "*k d p"]
    gram: Float[Any, "*k c p p"]
    square: Float[Any, "*k d"]
    latent: Float[Any, "*k q q"]


class FactorParameters(NamedTuple):
    """x = μ + Wz + ε, z ~ N(0, Φ), ε ~ N(0, diag ψ), in the frame; any leading axes.

    Without zeros in W, a linear map of z changes nothing that is observed. EM keeps Φ free all the same, since factors
    of a wrong scale would else creep to the right one (parameter expansion: Liu, Rubin & Wu 1998, Biometrika 85:755),
    and Φ is made the identity when all is done.

    Attributes
    ----------
    mean, noise : array, shape (…, d)
        μ and ψ.
    loadings : array, shape (…, d, q)
        W.
    latent : array, shape (…, q, q)
        Φ.
    at_floor : array of bool, shape (…, d)
        Which ψ are held up by the floor.
    """

    mean: Float[Any, "*k d"]
    loadings: Float[Any, "*k d q"]
    noise: Float[Any, "*k d"]
    latent: Float[Any, "*k q q"]
    at_floor: Bool[Any, "*k d"]

    def components(self, index: Any) -> "FactorParameters":
        """Those of some components."""
        return FactorParameters(*(part[index] for part in self))


@final
@dataclass(frozen=True)
class FactorStructure:
    """Which loadings are free, which noise variances are equal, and how the factors may correlate.

    Attributes
    ----------
    n_factors : int
        q.
    noise : tuple of int, length d
        Columns of one number share their noise variance; numbers are 0, 1, …
    free : tuple of tuples of bool, shape (d, q), optional
        Loadings that are not 0; None where none is.
    correlated : bool
        Whether factors may correlate, where some loadings are 0. Without such zeros there is nothing to choose.
    floor : float
        Least noise variance, in the frame.
    """

    n_factors: int
    noise: tuple[int, ...]
    free: tuple[tuple[bool, ...], ...] | None = None
    correlated: bool = True
    floor: float = LEAST_NOISE

    @property
    def n_columns(self) -> int:
        """d."""
        return len(self.noise)

    @property
    def groups(self) -> Float[np.ndarray, "d groups"]:
        """1 where a column belongs to a group of equal noise."""
        return np.eye(max(self.noise) + 1)[list(self.noise)]

    @property
    def n_loadings(self) -> int:
        """Loadings that are not 0."""
        return self.n_columns * self.n_factors if self.free is None else int(np.sum(self.free))

    @property
    def n_within(self) -> int:
        """Parameters of the covariance; of rotations, none."""
        pairs = self.n_factors * (self.n_factors - 1) // 2
        between = -pairs if self.free is None else pairs if self.correlated else 0
        return self.n_loadings + between + max(self.noise) + 1

    @property
    def n_moments(self) -> int:
        """Variances and covariances of the columns."""
        return self.n_columns * (self.n_columns + 1) // 2

    def n_parameters(self) -> int:
        """Free parameters of one analyser, its mean included, as far as there are moments to tell them by."""
        return self.n_columns + min(self.n_within, self.n_moments)


def natural_of(
    xp: Any, parameters: FactorParameters, precision: Float[Any, "*k q q"], complete: bool, spread: Any = None
) -> FactorNatural:
    """η.

    Parameters
    ----------
    xp : module
        ``numpy`` or ``jax.numpy``.
    parameters : FactorParameters
    precision : array, shape (…, q, q)
        Φ⁻¹.
    complete : bool
        Whether no cell is missing.
    spread : array, shape (…, d, q, q), optional
        Covariances of the loadings of each column, where they have a posterior.
    """
    weights = xp.concatenate([parameters.mean[..., None], parameters.loadings], axis=-1)
    inverse = 1 / parameters.noise
    linear = weights * inverse[..., None]
    corner = -0.5 * (xp.log(parameters.noise) + LOG_2PI)
    if complete and spread is None:
        gram = -0.5 * (xp.swapaxes(weights, -1, -2) @ linear)[..., None, :, :]
        corner = xp.sum(corner, axis=-1, keepdims=True)
    else:
        second = weights[..., :, None] * weights[..., None, :]
        if spread is not None:
            ahead = [(0, 0)] * (second.ndim - 2)
            second = second + xp.pad(spread, [*ahead, (1, 0), (1, 0)])
        gram = -0.5 * second * inverse[..., None, None]
        if complete:
            gram, corner = xp.sum(gram, axis=-3, keepdims=True), xp.sum(corner, axis=-1, keepdims=True)
    first = np.zeros(gram.shape[-2:])
    first[0, 0] = 1.0
    return FactorNatural(linear, gram + corner[..., None, None] * first, -0.5 * inverse, -0.5 * precision)


def maximise(xp: Any, structure: FactorStructure, count: Float[Any, "*k"], stats: FactorNatural) -> FactorParameters:
    """M-step: a regression of each column on z̃, over the rows in which it is observed (Rubin & Thayer 1982).

    Parameters
    ----------
    xp : module
        ``numpy`` or ``jax.numpy``.
    structure : FactorStructure
    count : array, shape (…,)
        Expected weight of the rows.
    stats : FactorNatural
        Expected statistics.

    References
    ----------
    Rubin & Thayer (1982), Psychometrika 47:69.
    """
    weights = regressed(xp, structure, stats)
    left = stats.square - xp.sum(weights * stats.linear, axis=-1)
    noise, at_floor = pooled_noise(xp, structure, left, stats.gram[..., 0, 0])
    latent = stats.latent / count[..., None, None]
    latent = 0.5 * (latent + xp.swapaxes(latent, -1, -2))
    if structure.free is not None and not structure.correlated:
        latent = latent * np.eye(structure.n_factors)
    return FactorParameters(weights[..., 0], weights[..., 1:], noise, latent, at_floor)


def regressed(xp: Any, structure: FactorStructure, stats: FactorNatural) -> Float[Any, "*k d p"]:
    """w̃ of each column by least squares."""
    if structure.free is not None:
        free = np.column_stack([np.ones(structure.n_columns), np.asarray(structure.free, float)])
        gram = stats.gram * (free[:, :, None] * free[:, None, :]) + (1 - free)[:, :, None] * np.eye(free.shape[1])
        return xp.linalg.solve(gram, (stats.linear * free)[..., None])[..., 0]
    if stats.gram.shape[-3] == 1:
        return xp.swapaxes(xp.linalg.solve(stats.gram[..., 0, :, :], xp.swapaxes(stats.linear, -1, -2)), -1, -2)
    return xp.linalg.solve(stats.gram, stats.linear[..., None])[..., 0]


def pooled_noise(xp: Any, structure: FactorStructure, left: Any, seen: Any) -> tuple[Any, Any]:
    """ψ from what the factors leave of each column and from its number of rows; and which ψ are at the floor."""
    groups = structure.groups
    pooled = (left @ groups) / ((seen + xp.zeros_like(left)) @ groups)
    noise = xp.maximum(pooled, structure.floor)
    place = list(structure.noise)
    return noise[..., place], (pooled <= structure.floor)[..., place]
