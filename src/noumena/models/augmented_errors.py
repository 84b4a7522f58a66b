"""Observed information of augmented regressions: second derivatives of each row, with its covariates multiplied in."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import stats

from ..families.augmentation import Augmentation, LaplaceLikelihood
from .augmented_regression import AugmentedRegression
from .augmented_rows import Rows
from .standard_errors import InformationError

#: Information whose least eigenvalue is below this, in units of its diagonal, is singular.
_LEAST_EIGENVALUE = 1e-10
#: Relative step of the derivative of a prior's precision.
_STEP = 1e-5


def covariance_of_estimates(
    model: AugmentedRegression, rows: list[Rows], robust: bool = False
) -> Float[np.ndarray, "t t"]:
    """Covariance of the weights in the frame, log s, and the shape, as far as estimated.

    The inverse of the observed information H. ∂²ℓ/∂θ² is, for each row, the second derivative of log p in its
    predictors, log s and the shape (by automatic differentiation of the marginal density), and its covariates are
    multiplied in. Under a prior, the curvature of its −log density is added; weights of 0 are held there, and have
    variance NaN. Quantiles have no second derivative: the expected information of the asymmetric Laplace density stands
    in its place, 4q(1 − q)/s² for each row.

    ``robust``: H⁻¹ J H⁻¹, J the sum of the outer products of each row's slopes (Huber 1967, Proc. Fifth Berkeley Symp.
    1:221; White 1980, Econometrica 48:817), which needs the mean or quantile to be right, not the distribution about
    it. Of quantiles, H is then 2/s times the density of the residuals at 0, by a kernel (Powell 1991; Koenker 2005,
    Quantile Regression, section 3.4.2).

    Parameters
    ----------
    model : AugmentedRegression
        A point estimate, in NumPy.
    rows : list of Rows
        As they were fitted, y not yet about the model's reference. A row of weight 2 counts as the row twice.
    robust : bool

    Raises
    ------
    InformationError
        Where the information has no inverse.
    """
    has_scale = model.likelihood.power is not None and not model.scale_known
    near = _near_quantile(model, rows) if robust and isinstance(model.likelihood, LaplaceLikelihood) else None

    def curvature(block: Rows) -> np.ndarray:
        found = row_information(model, block, has_scale)
        if near is not None:
            found[:, 0, 0] = 2 / model.scale * near(_residuals(model, block))
        return found

    q = model.weights.size
    information = _with_covariates(model, rows, curvature)
    information[:q, :q] += prior_information(model)
    held = np.append((np.ravel(model.weights) == 0) & (model.groups.value >= 0), np.zeros(len(information) - q, bool))
    free = np.ix_(~held, ~held)
    inverse = _inverse(information[free])
    if robust:
        inverse = inverse @ _with_covariates(model, rows, lambda block: _outer(model, block, has_scale))[free] @ inverse
    covariance = np.full(information.shape, np.nan)
    covariance[free] = inverse
    return covariance


def _with_covariates(
    model: AugmentedRegression, rows: list[Rows], of_block: Callable[[Rows], Float[np.ndarray, "rows t t"]]
) -> Float[np.ndarray, "t t"]:
    """Sum of matrices in each row's predictors and what is not a weight, with its covariates multiplied in."""
    k, p = model.weights.shape
    q, total = k * p, 0.0
    for block in rows:
        own = of_block(block)
        size = q + own.shape[1] - k
        found = np.zeros((size, size))
        for a in range(k):
            for b in range(k):
                found[a * p : (a + 1) * p, b * p : (b + 1) * p] = block.features.gram(block.weighted(own[:, a, b]))
            cross = block.features.project(block.weighted(own[:, k:, a])).T
            found[a * p : (a + 1) * p, q:] = cross
            found[q:, a * p : (a + 1) * p] = cross.T
        found[q:, q:] = block.weighted(own[:, k:, k:].reshape(len(own), -1)).sum(axis=0).reshape(size - q, size - q)
        total = total + found
    return np.asarray(total)


def _near_quantile(model: AugmentedRegression, rows: list[Rows]) -> Callable[[np.ndarray], np.ndarray]:
    """A kernel whose average over residuals is their density at 0, of Hall & Sheather's width (1988, JRSS B 50:381)."""
    assert isinstance(model.likelihood, LaplaceLikelihood)
    residuals = np.concatenate([_residuals(model, block) for block in rows])
    weight = np.concatenate([np.ones(len(block.y)) if block.weight is None else block.weight for block in rows])
    q, n = model.likelihood.quantile, weight.sum()
    z = stats.norm.ppf(q)
    width = (1.96 / n**0.5) ** (2 / 3) * (1.5 * stats.norm.pdf(z) ** 2 / (2 * z**2 + 1)) ** (1 / 3)
    width = min(width, 0.5 * min(q, 1 - q))
    order = np.argsort(residuals)
    share = np.cumsum(weight[order]) / n
    quarters = residuals[order][np.searchsorted(share, [0.25, 0.75])]
    mean = weight @ residuals / n
    spread = min(np.sqrt(weight @ (residuals - mean) ** 2 / n), (quarters[1] - quarters[0]) / 1.34)
    reach = spread * (stats.norm.ppf(q + width) - stats.norm.ppf(q - width))
    return lambda own: stats.norm.pdf(own, scale=reach)


def _residuals(model: AugmentedRegression, block: Rows) -> Float[np.ndarray, " rows"]:
    return block.y[:, 0] - block.features.predictors(np.asarray(model.weights))[:, 0]


def row_information(model: AugmentedRegression, block: Rows, has_scale: bool) -> Float[np.ndarray, "rows t t"]:
    """−∂² log p of each row in its predictors, log s (where ``has_scale``) and the estimated shape."""
    if isinstance(model.likelihood, LaplaceLikelihood):
        found = np.zeros((len(block.y), 1 + int(has_scale), 1 + int(has_scale)))
        found[:, 0, 0] = 4 * model.likelihood.quantile * (1 - model.likelihood.quantile) / model.scale**2
        found[:, 1:, 1:] = 1.0
        return found
    keep = _estimated(model, has_scale)
    return -np.asarray(_row_hessians(model.likelihood, *_arguments(model, block)))[:, keep][:, :, keep]


def _outer(model: AugmentedRegression, block: Rows, has_scale: bool) -> Float[np.ndarray, "rows t t"]:
    """∂ log p ∂ log pᵀ of each row, as `row_information`."""
    if isinstance(model.likelihood, LaplaceLikelihood):  # its core differs from fit to fit: nothing to compile for
        residual, skew = _residuals(model, block), 2 * model.likelihood.quantile - 1
        along = (np.clip(residual / model.likelihood.core, -1, 1) + skew) / model.scale
        slopes = np.stack([along, (np.abs(residual) + skew * residual) / model.scale - 1], axis=1)
        slopes = slopes[:, : 1 + int(has_scale)]
    else:
        slopes = np.asarray(_row_slopes(model.likelihood, *_arguments(model, block)))[:, _estimated(model, has_scale)]
    return slopes[:, :, None] * slopes[:, None, :]


def _arguments(model: AugmentedRegression, block: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rest = np.append(np.log(model.scale), np.asarray(model.shape, dtype=float))
    return block.y, block.features.predictors(np.asarray(model.weights)), rest


def _estimated(model: AugmentedRegression, has_scale: bool) -> np.ndarray:
    """Which of a row's predictors, log s and shape are."""
    k, m = model.likelihood.n_functions, model.likelihood.n_shape
    return np.r_[np.arange(k), np.arange(k, k + int(has_scale)), np.arange(k + 1, k + 1 + m)]


@partial(jax.jit, static_argnums=0)
def _row_hessians(likelihood: Augmentation, y: Array, f: Array, rest: Array) -> Array:
    one, theta = _of_row(likelihood, f, rest)
    return jax.vmap(jax.hessian(one, argnums=1))(y, theta)


@partial(jax.jit, static_argnums=0)
def _row_slopes(likelihood: Augmentation, y: Array, f: Array, rest: Array) -> Array:
    one, theta = _of_row(likelihood, f, rest)
    return jax.vmap(jax.grad(one, argnums=1))(y, theta)


def _of_row(likelihood: Augmentation, f: Array, rest: Array) -> tuple[Callable[[Array, Array], Array], Array]:
    """log p of a row's response, as a function of its predictors, log s and shape; and these of all rows."""
    k = likelihood.n_functions

    def one(own: Array, theta: Array) -> Array:
        return likelihood.log_density(own[None], theta[None, :k], None, jnp.exp(theta[k]), theta[k + 1 :])[0]

    return one, jnp.concatenate([f, jnp.broadcast_to(rest, (len(f), len(rest)))], axis=1)


def prior_information(model: AugmentedRegression) -> Float[np.ndarray, "q q"]:
    """−∂² log p(w), in the frame: P I + 2P′ wwᵀ for each group of weights w, P the precision as a function of ‖w‖²."""
    q = model.weights.size
    found = np.zeros((q, q))
    if model.prior is None:
        return found
    groups, unit = model.groups.value, model.unit.value
    square, size = model.squares()
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = model.prior.precision(square, size)
        above, below = (model.prior.precision(square * (1 + step), size) for step in (_STEP, -_STEP))
        slope = (above - below) / (2 * _STEP * square)
    weights = np.ravel(model.weights) / unit
    for g in range(len(square)):
        if square[g] == 0:
            continue  # held at the kink
        own = np.flatnonzero(groups == g)
        block = precision[g] * np.eye(len(own)) + 2 * slope[g] * np.outer(weights[own], weights[own])
        found[np.ix_(own, own)] = block / np.outer(unit[own], unit[own])
    return found


def _inverse(information: Float[np.ndarray, "t t"]) -> Float[np.ndarray, "t t"]:
    diagonal = np.diagonal(information)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    unit = information / np.outer(scale, scale)
    values = np.linalg.eigvalsh(unit) if len(unit) else np.ones(1)
    if not (np.isfinite(values).all() and values[0] > _LEAST_EIGENVALUE):
        raise InformationError(
            f"the observed information is not positive definite (least eigenvalue {values[0]:.2g} in units of its "
            "diagonal): the fit is not at an inner maximum, or the rows do not determine some weights; lower tol, or "
            "use a prior"
        )
    return np.linalg.inv(unit) / np.outer(scale, scale)
