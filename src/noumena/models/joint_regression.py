"""Regression with missing covariates: (x, z) jointly normal, z known up to an interval, integrals in closed form."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.linalg import LinAlgError

from ..core.block import Block
from ..core.model import Fixed, Model
from ..families.augmentation import TobitLikelihood
from ..families.gaussian_integral import inverse_and_logdet
from ..families.normal_chart import LOG_2PI
from ..families.weight_priors import RidgePrior
from .augmented_regression import ridge

#: z given its interval, or seen: what the likelihoods of this model have in common.
_RESPONSE = TobitLikelihood()
_NO_SHAPE = np.empty(0)
#: A scale this far below 1, the response's variance in the frame, has met every row exactly.
_EXACT = 1e-13
#: Covariates of which the others leave less than this share of the variance determine each other.
_DETERMINED = 1e-10


@dataclass(frozen=True)
class PatternRows:
    """Rows with the same missing covariates, in the frame.

    Attributes
    ----------
    hole : array of bool, shape (p,)
        Which covariates are missing.
    x : array, shape (rows, observed covariates)
    y : array, shape (rows, 2)
        Ends of the interval that holds z; equal where it is seen.
    weight : array, shape (rows,)
    """

    hole: Bool[np.ndarray, " p"]
    x: Float[np.ndarray, "rows observed"]
    y: Float[np.ndarray, "rows 2"]
    weight: Float[np.ndarray, " rows"]


def patterns(hole: Bool[np.ndarray, "rows p"]) -> Iterator[tuple[Bool[np.ndarray, " p"], Int[np.ndarray, " some"]]]:
    """Each missing pattern, and the rows that have it."""
    bits = np.packbits(hole, axis=1)
    _, first, which = np.unique(bits, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(which.ravel()))[:-1]
    for one, rows in zip(first, np.split(order, ends), strict=True):
        yield hole[one], rows


def by_pattern(x: Float[np.ndarray, "rows p"], y: np.ndarray, weight: np.ndarray) -> list[PatternRows]:
    """Rows whose missing covariates are NaN, sorted by which these are."""
    return [
        PatternRows(hole, x[np.ix_(rows, np.flatnonzero(~hole))], y[rows], weight[rows])
        for hole, rows in patterns(np.isnan(x))
    ]


@final
@dataclass(frozen=True)
class Conditional:
    """x_m and z given x_o, for one missing pattern: x_m ~ N(offset + slope x_o, covariance), z ~ N(f, variance).

    Attributes
    ----------
    root : array, shape (o, o)
        Lower Cholesky factor of Σ_oo.
    offset, slope, covariance : array, shapes (m,), (m, o) and (m, m)
    line : array, shape (1 + o,)
        f = line · (1, x_o).
    hidden : float
        w_mᵀ Cov(x_m | x_o) w_m, what the missing cells leave of the predictor's variance.
    """

    root: Float[np.ndarray, "o o"]
    offset: Float[np.ndarray, " m"]
    slope: Float[np.ndarray, "m o"]
    covariance: Float[np.ndarray, "m m"]
    line: Float[np.ndarray, " 1+o"]
    hidden: float


class JointRegression(Model):
    """x ~ N(μ, Σ), z = b + wᵀx + e, e ~ N(0, s), of which x_o and an interval of z are known.

    Missing cells are taken to be missing at random (Little & Rubin 2002, Statistical Analysis with Missing Data, sec.
    11.4, for seen z). The complete data are jointly normal, so that with v = (1, x, z) the statistic is E[vvᵀ].

    Attributes
    ----------
    mean, covariance : array, shapes (p,) and (p, p)
        μ and Σ, in the frame.
    line : array, shape (1 + p,)
        (b, w).
    scale : array, shape ()
        s.
    frame_scale : Fixed
        What the data were divided by, shape (p + 1,), z last.
    location : Fixed
        What was taken off z before, shape ().
    unit : Fixed
        What a weight of the frame is divided by to be one in the units that the prior is in, shape (p,).
    prior : RidgePrior or None
    intercept : bool
        Whether b is free; otherwise it is 0.
    scale_known : bool
    """

    compiled: ClassVar[bool] = False

    mean: Float[Any, " p"]
    covariance: Float[Any, "p p"]
    line: Float[Any, " 1+p"]
    scale: Float[Any, ""]
    frame_scale: Fixed
    location: Fixed
    unit: Fixed
    prior: RidgePrior | None = eqx.field(static=True)
    intercept: bool = eqx.field(static=True)
    scale_known: bool = eqx.field(static=True)

    def natural(self) -> Float[np.ndarray, "v v"]:
        if not self._finite():
            return np.full((len(self.line) + 1, len(self.line) + 1), np.nan)
        log_determinant = np.linalg.slogdet(self.covariance)[1]
        return coefficients(np, self.mean, np.linalg.inv(self.covariance), log_determinant, self.line, self.scale)

    # ------------------------------------------------------------------------------------------------- E-step

    def bound(self, natural: Float[Array, "v v"], block: Block) -> Float[Array, " rows"]:
        """log p(x_o, y) of rows (x, low, high) of the frame, NaN where missing; the density is per unit of the data.

        With the exponent −½ vᵀAv, the missing cells are integrated out of it (Schur complement), which leaves a
        quadratic in z.
        """
        a = -(natural + natural.T)
        p = len(natural) - 2
        rows = jnp.asarray(block.x)
        hole, y = jnp.isnan(rows[:, :p]), rows[:, p:]
        u = jnp.where(hole, 0.0, rows[:, :p])
        known = jnp.concatenate([jnp.ones((len(u), 1)), u, jnp.zeros((len(u), 1))], axis=1)  # v at z = 0
        mask = hole.astype(u.dtype)
        block_a = mask[:, :, None] * a[1:-1, 1:-1] * mask[:, None] + jnp.eye(p) * (1 - mask)[:, None]
        inverse, logdet = inverse_and_logdet(jnp.moveaxis(block_a, 0, 2))
        from_known, from_z = mask * (known @ a[:, 1:-1]), mask * a[-1, 1:-1]

        def taken(left: Array, right: Array) -> Array:
            return jnp.einsum("ni,ijn,nj->n", left, inverse, right)

        aa = jnp.einsum("ni,ij,nj->n", known, a, known) - taken(from_known, from_known)
        az = known @ a[:, -1] - taken(from_known, from_z)
        zz = a[-1, -1] - taken(from_z, from_z)
        all_z = 0.5 * (az**2 / zz - aa + LOG_2PI - jnp.log(zz))  # log ∫ exp(−½(aa + 2az z + zz z²)) dz
        inside = _RESPONSE.log_density(y, (-az / zz)[:, None], None, 1 / zz, jnp.empty(0))
        missing = 0.5 * (LOG_2PI * mask.sum(axis=1) - logdet)
        log_scale = jnp.log(self.frame_scale.value)
        jacobian = (1 - mask) @ log_scale[:-1] + jnp.where(y[:, 0] == y[:, 1], log_scale[-1], 0.0)
        return all_z + missing + inside - jacobian

    def gather(self, natural: Any, block: Any) -> tuple[float, Float[np.ndarray, "v v"]]:
        """As the base has it, for `PatternRows` or a block as `bound` takes it."""
        size = len(self.line) + 1
        if not self._finite():  # of extrapolated statistics that are those of no rows
            return np.nan, np.zeros((size, size))
        if isinstance(block, PatternRows):
            return self._of_pattern(block)
        rows = np.asarray(block.x).reshape(-1, size)
        parts = by_pattern(rows[:, :-2], rows[:, -2:], np.ravel(block.weight))
        found = [self._of_pattern(part) for part in parts]
        return sum(value for value, _ in found), np.sum([stats for _, stats in found], axis=0)

    def _finite(self) -> bool:
        return bool(np.isfinite(self.scale) and np.isfinite(self.covariance).all() and np.isfinite(self.line).all())

    def conditional(self, hole: Bool[np.ndarray, " p"]) -> Conditional:
        """What depends on the pattern alone."""
        o, m = np.flatnonzero(~hole), np.flatnonzero(hole)
        root = np.linalg.cholesky(self.covariance[np.ix_(o, o)])
        whitened = np.linalg.solve(root, self.covariance[np.ix_(o, m)])
        slope = np.linalg.solve(root.T, whitened).T  # Σ_mo Σ_oo⁻¹
        covariance = self.covariance[np.ix_(m, m)] - whitened.T @ whitened
        offset = self.mean[m] - slope @ self.mean[o]
        w = self.line[1:]
        line = np.append(self.line[0] + w[m] @ offset, w[o] + w[m] @ slope)
        return Conditional(root, offset, slope, covariance, line, float(max(w[m] @ covariance @ w[m], 0.0)))

    @np.errstate(all="ignore")  # what is extrapolated may be out of range: its bound is not finite
    def _of_pattern(self, rows: PatternRows) -> tuple[float, Float[np.ndarray, "v v"]]:
        o, m = np.flatnonzero(~rows.hole), np.flatnonzero(rows.hole)
        given = self.conditional(rows.hole)
        variance = self.scale + given.hidden  # of z given x_o
        known = np.column_stack([np.ones(len(rows.x)), rows.x])
        f = (known @ given.line)[:, None]
        away = np.linalg.solve(given.root, (rows.x - self.mean[o]).T)
        density = -0.5 * (np.sum(away**2, axis=0) + len(o) * LOG_2PI) - np.log(np.diagonal(given.root)).sum()
        density += _RESPONSE.log_density(rows.y, f, None, variance, _NO_SHAPE)
        log_scale = np.log(self.frame_scale.value)
        density -= log_scale[o].sum() + np.where(rows.y[:, 0] == rows.y[:, 1], log_scale[-1], 0.0)

        z = _RESPONSE.working(rows.y, f, None, variance, _NO_SHAPE, False)  # E z and E z² given x_o and y
        full = np.column_stack([known, z.pull])
        second = (rows.weight[:, None] * full).T @ full
        second[-1, -1] = rows.weight @ z.square
        # E[v | x_o, z] is linear in (1, x_o, z): x_m moves with z by Cov(x_m, z | x_o)/Var(z | x_o)
        reach = given.covariance @ self.line[1 + m] / variance
        lift = np.zeros((len(self.line) + 1, len(second)))
        lift[np.append(np.append(0, 1 + o), -1), np.arange(len(second))] = 1.0
        lift[1 + m, 0] = given.offset
        lift[np.ix_(1 + m, 1 + np.arange(len(o)))] = given.slope
        lift[1 + m, :-1] -= np.outer(reach, given.line)
        lift[1 + m, -1] = reach
        stats = lift @ second @ lift.T
        stats[np.ix_(1 + m, 1 + m)] += rows.weight.sum() * (given.covariance - variance * np.outer(reach, reach))
        return float(rows.weight @ density), 0.5 * (stats + stats.T)

    def magnitude(self, stats: Float[np.ndarray, "v v"]) -> float:
        return float(np.sum(np.abs(self.natural() * stats)))

    # -------------------------------------------------------------------------------------------------- prior

    def log_prior(self) -> float:
        if self.prior is None:
            return 0.0
        square = (np.asarray(self.line[1:]) / self.unit.value) ** 2
        return float(self.prior.log_density(square, np.ones(len(square))).sum())

    def degenerate(self) -> bool:
        return bool(self.scale < _EXACT) or bool(_least_share(self.covariance) < _DETERMINED)

    # ------------------------------------------------------------------------------------------------- M-step

    def update(self, stats: Float[np.ndarray, "v v"]) -> Self:
        total = stats[0, 0]
        mean = stats[0, 1:-1] / total
        covariance = stats[1:-1, 1:-1] / total - np.outer(mean, mean)
        first = 0 if self.intercept else 1
        precision = np.zeros(len(self.line) - first)
        if self.prior is not None:
            precision[1 - first :] = self.prior.penalty * self.scale / self.unit.value**2
        line = np.zeros(len(self.line))
        try:
            if _least_share(covariance) < 0.1 * _DETERMINED:  # kept finite; the model is `degenerate`
                covariance = covariance + 0.5 * _DETERMINED * np.diag(np.diagonal(covariance))
            np.linalg.cholesky(covariance)
            line[first:] = ridge(stats[first:-1, first:-1], stats[first:-1, -1], precision, covariance=False)[0]
        except (LinAlgError, np.linalg.LinAlgError):  # extrapolated statistics need not be those of any rows
            return eqx.tree_at(lambda model: model.scale, self, np.array(np.nan))
        scale = float(self.scale)
        if not self.scale_known:
            residual = np.append(-line, 1.0)
            scale = max(float(residual @ stats @ residual) / total, 0.1 * _EXACT)
        found = (mean, covariance, line, np.array(scale))
        return eqx.tree_at(lambda model: (model.mean, model.covariance, model.line, model.scale), self, found)


def _least_share(covariance: Float[np.ndarray, "p p"]) -> float:
    """Least eigenvalue of the correlations; NaN where there are none."""
    deviation = np.sqrt(np.diagonal(covariance))
    if not (np.isfinite(deviation).all() and (deviation > 0).all()):
        return np.nan
    return float(np.linalg.eigvalsh(covariance / np.outer(deviation, deviation))[0])


def coefficients(xp: Any, mean: Any, precision: Any, log_determinant: Any, line: Any, scale: Any) -> Any:
    """η with ⟨η, vvᵀ⟩ = log N(x | μ, Σ) + log N(z | b + wᵀx, s), v = (1, x, z); for NumPy and JAX.

    ``log_determinant`` is log|Σ|.
    """
    pull = precision @ mean
    constant = mean @ pull + log_determinant + (len(mean) + 1) * LOG_2PI + xp.log(scale)
    square = xp.concatenate(
        [xp.append(constant, -pull)[None], xp.concatenate([-pull[:, None], precision], axis=1)], axis=0
    )
    residual = xp.append(-line, 1.0)
    return -0.5 * (xp.pad(square, ((0, 1), (0, 1))) + xp.outer(residual, residual) / scale)


class JointChart(eqx.Module):
    """Free coordinates around a joint regression: b (if free), w, log s (if free), μ, and the lower triangle of E in
    Σ⁻¹ = L⁻ᵀ(I + E)L⁻¹, Σ̂ = LLᵀ; to second order.

    Attributes
    ----------
    model : JointRegression
    inverse_root : array, shape (p, p)
        L⁻¹.
    log_determinant : array, shape ()
        log|Σ̂|.
    """

    model: JointRegression
    inverse_root: Float[Any, "p p"]
    log_determinant: Float[Any, ""]

    @classmethod
    def around(cls, model: JointRegression) -> "JointChart":
        """Coordinates around an estimate."""
        root = np.linalg.cholesky(model.covariance)
        return cls(model, np.linalg.inv(root), np.array(2 * np.log(np.diagonal(root)).sum()))

    @property
    def n_regression(self) -> int:
        """Coordinates of the regression, which come first."""
        return len(self.model.line) - (not self.model.intercept) + (not self.model.scale_known)

    @property
    def size(self) -> int:
        """Number of coordinates."""
        p = len(self.model.mean)
        return self.n_regression + p + p * (p + 1) // 2

    @property
    def held(self) -> Bool[np.ndarray, " size"]:
        """None is at an edge."""
        return np.zeros(self.size, dtype=bool)

    def natural(self, theta: Float[Array, " size"]) -> Float[Array, "v v"]:
        """The model's natural parameters."""
        model, p, n = self.model, len(self.model.mean), self.n_regression
        first, known = int(not model.intercept), int(model.scale_known)
        line = jnp.asarray(model.line).at[first:].add(theta[: n - 1 + known])
        scale = model.scale if known else model.scale * jnp.exp(theta[n - 1])
        mean = model.mean + theta[n : n + p]
        lower = jnp.zeros((p, p)).at[np.tril_indices(p)].set(theta[n + p :])
        bent = 0.5 * (lower + lower.T)
        precision = self.inverse_root.T @ (jnp.eye(p) + bent) @ self.inverse_root
        log_determinant = self.log_determinant - jnp.trace(bent) + 0.5 * jnp.sum(bent * bent)  # log|I + E|
        return coefficients(jnp, mean, precision, log_determinant, line, scale)
