"""Factor models: x = μ + Wz + ε with normal z and ε, so that W carries what the columns have in common."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.block import Block
from ..core.model import Model
from ..families.factor_normal import FactorNormal
from ..families.factor_structure import FactorNatural, FactorParameters, FactorStructure, maximise, natural_of
from ..families.normal import Frame
from ..families.normal_chart import LOG_2PI

#: Numbers that a run of rows may hold while each has a matrix of its own.
_RUN = 400_000


class FactorModelNatural(NamedTuple):
    """``constant`` is −½ log|Φ|, whose statistic is the weight of the rows."""

    constant: Float[Any, ""]
    factor: FactorNatural


class FactorModel(Model):
    """One factor analyser: p(x, z) = N(z | 0, Φ) Π_j N(x_j | μ_j + w_jᵀz, ψ_j).

    Given z the cells are independent: a missing one is left out, and what is integrated has q dimensions. Its E-step is
    a few products of matrices, which NumPy has at once, while compiling takes longer than most fits.

    Attributes
    ----------
    frame : Frame
        Where the parameters live; columns of equal noise need equal scales.
    structure : FactorStructure
    parameters : FactorParameters
        Without leading axes.
    complete : bool
        Whether no cell is missing.
    """

    compiled: ClassVar[bool] = False

    frame: Frame
    structure: FactorStructure = eqx.field(static=True)
    parameters: FactorParameters
    complete: bool = eqx.field(static=True)

    @property
    def family(self) -> FactorNormal:
        """The same density as a family."""
        return FactorNormal(self.frame, self.structure, self.complete)

    @np.errstate(invalid="ignore")
    def natural(self) -> FactorModelNatural:
        latent = np.asarray(self.parameters.latent)
        constant = np.asarray(-0.5 * np.linalg.slogdet(latent)[1])
        return FactorModelNatural(
            constant, natural_of(np, self.parameters, np.linalg.inv(latent), self.complete, self._spread())
        )

    def _spread(self) -> Any:
        """Covariances of the loadings, where they have a posterior."""
        return None

    def bound(self, natural: FactorModelNatural, block: Block) -> Float[Array, " rows"]:
        one = jax.tree.map(lambda part: jnp.asarray(part)[None], natural.factor)
        value = self.family.marginal(one, block)[:, 0]
        return value + natural.constant - 0.5 * self.structure.n_factors * LOG_2PI

    def gather(self, natural: FactorModelNatural, block: Block) -> tuple[float, FactorModelNatural]:
        if np.isnan(natural.constant):  # of statistics that are those of no rows, see `update`
            return np.nan, jax.tree.map(np.zeros_like, natural)
        x, weight = np.asarray(block.x), np.asarray(block.weight)
        x, weight = x.reshape(-1, x.shape[-1]), weight.ravel()
        d, p = natural.factor.linear.shape
        total = 0.0
        constant, linear, square = 0.0, np.zeros((d, p)), np.zeros(d)
        gram, latent = np.zeros(natural.factor.gram.shape), np.zeros((p - 1, p - 1))
        for rows in runs(self, len(x)):
            w = weight[rows]
            u, hole = self.frame.enter_array(x[rows])
            seen = None if self.complete else 1.0 - hole
            found = latents(natural, u, seen)
            mean = np.column_stack([np.ones(len(u)), found.mean])
            total += float(w @ (found.log_density + self.log_jacobian(seen)))
            constant += w.sum()
            wu = u * w[:, None]
            linear += wu.T @ mean
            square += np.einsum("nj,nj->j", wu, u)
            if seen is None:
                moments = (mean * w[:, None]).T @ mean
                moments[1:, 1:] += w.sum() * found.covariance
                gram[0] += moments
                latent += moments[1:, 1:]
            else:
                second = mean[:, :, None] * mean[:, None, :]
                second[:, 1:, 1:] += found.covariance
                flat = second.reshape(len(u), -1)
                gram += ((seen * w[:, None]).T @ flat).reshape(d, p, p)
                latent += (w @ flat).reshape(p, p)[1:, 1:]
        stats = FactorNatural(linear, gram, square, latent)
        return total, FactorModelNatural(np.asarray(constant), stats)

    def log_jacobian(self, seen: np.ndarray | None) -> Any:
        """log|du/dx| of the observed cells of each row."""
        log_scale = np.log(np.asarray(self.frame.scale.value))
        return -np.sum(log_scale) if seen is None else -(seen @ log_scale)

    def update(self, stats: FactorModelNatural) -> Self:
        try:
            found = maximise(np, self.structure, np.asarray(stats.constant), stats.factor)
            np.linalg.cholesky(found.latent)  # a determinant may be positive where Φ is not
        except np.linalg.LinAlgError:  # extrapolated statistics need not be those of any rows: the step is taken back
            found = jax.tree.map(lambda part: np.full_like(part, np.nan), self.parameters)
        return eqx.tree_at(lambda model: model.parameters, self, found)

    def magnitude(self, stats: FactorModelNatural) -> float:
        # squares over the noise, which cancel where the factors explain nearly all; sums over the factors round, too
        parts = jax.tree.map(lambda a, b: float(np.sum(np.abs(a * b))), self.natural(), stats)
        return (self.structure.n_factors + 1) * sum(jax.tree.leaves(parts))

    def n_parameters(self) -> int:
        """Free parameters."""
        return self.structure.n_parameters()

    def covariance(self) -> Float[np.ndarray, "d d"]:
        """WΦWᵀ + Ψ in the units of the data."""
        own = self.parameters
        scale = np.asarray(self.frame.scale.value)
        return (own.loadings @ own.latent @ own.loadings.T + np.diag(own.noise)) * np.outer(scale, scale)


@final
@dataclass(frozen=True)
class Latents:
    """What rows say of their factors.

    Attributes
    ----------
    log_density : array, shape (n,)
        log p(x_observed), in the frame.
    mean : array, shape (n, q)
        E[z | x_observed].
    covariance : array, shape (q, q), or (n, q, q) where cells are missing
    """

    log_density: Float[np.ndarray, " n"]
    mean: Float[np.ndarray, "n q"]
    covariance: Float[np.ndarray, "*n q q"]


def latents(natural: FactorModelNatural, u: Float[np.ndarray, "n d"], seen: Float[np.ndarray, "n d"] | None) -> Latents:
    """p(z | x_observed) of each row: N(M⁻¹h, M⁻¹) with M = Φ⁻¹ + Σ_j w_j w_jᵀ/ψ_j over the observed cells.

    Parameters
    ----------
    natural : FactorModelNatural
    u : array, shape (n, d)
        In the frame, 0 where missing.
    seen : array, shape (n, d), optional
        1 where observed, 0 where missing; None where nothing is missing.
    """
    own = natural.factor
    p = own.linear.shape[1]
    b = u @ own.linear
    known = own.gram.sum(axis=0) if seen is None else (seen @ own.gram.reshape(len(own.gram), -1)).reshape(-1, p, p)
    precision = -(own.latent + own.latent.T) - (known + known.swapaxes(-1, -2))[..., 1:, 1:]
    pull = b[:, 1:] + known[..., 0, 1:] + known[..., 1:, 0]
    covariance = np.linalg.inv(precision)
    logdet = np.linalg.slogdet(precision)[1]
    mean = _times(covariance, pull)
    mean += _times(covariance, pull - _times(precision, mean))  # digits that go where M has small and large eigenvalues
    value = (u * u) @ own.square + b[:, 0] + known[..., 0, 0] + 0.5 * np.einsum("nq,nq->n", pull, mean)
    return Latents(value - 0.5 * logdet + natural.constant, mean, covariance)


def _times(matrices: Float[np.ndarray, "*n q q"], rows: Float[np.ndarray, "n q"]) -> Float[np.ndarray, "n q"]:
    return (matrices @ rows[:, :, None])[:, :, 0] if matrices.ndim == 3 else rows @ matrices.T


def runs(model: FactorModel, n: int) -> list[slice]:
    """Rows that are worked on at once."""
    p = model.structure.n_factors + 1
    each = max(_RUN // (model.structure.n_columns + (p if model.complete else 4 * p * p)), 64)
    return [slice(start, start + each) for start in range(0, n, each)]


def at_floor(model: FactorModel) -> Bool[np.ndarray, " d"]:
    """Columns of which the factors leave nothing but the floor (Heywood cases)."""
    return np.asarray(model.parameters.at_floor)
