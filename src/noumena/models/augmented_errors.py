"""Observed information of augmented regressions: second derivatives of each row, with its covariates multiplied in."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..families.augmentation import Augmentation, LaplaceLikelihood
from .augmented_regression import AugmentedRegression
from .augmented_rows import Rows
from .standard_errors import InformationError

#: Information whose least eigenvalue is below this, in units of its diagonal, is singular.
_LEAST_EIGENVALUE = 1e-10
#: Relative step of the derivative of a prior's precision.
_STEP = 1e-5


def covariance_of_estimates(model: AugmentedRegression, rows: list[Rows]) -> Float[np.ndarray, "t t"]:
    """Inverse of the observed information, of the weights in the frame, log s, and the shape, as far as estimated.

    ∂²ℓ/∂θ² is, for each row, the second derivative of log p in its predictors, log s and the shape (by automatic
    differentiation of the marginal density), and its covariates are multiplied in. Under a prior, the curvature of its
    −log density is added; weights of 0 are held there, and have variance NaN. Quantiles have no second derivative: the
    expected information of the asymmetric Laplace density stands in its place, 4q(1 − q)/s² for each row.

    Parameters
    ----------
    model : AugmentedRegression
        A point estimate, in NumPy.
    rows : list of Rows
        As they were fitted, y not yet about the model's reference.

    Raises
    ------
    InformationError
        Where the information has no inverse.
    """
    k, p = model.weights.shape
    q, has_scale = k * p, model.likelihood.power is not None and not model.scale_known
    m = model.likelihood.n_shape
    size = q + int(has_scale) + m
    information = np.zeros((size, size))
    for block in rows:
        hessian = row_information(model, block, has_scale)
        for a in range(k):
            for b in range(k):
                own = block.features.gram(block.weighted(hessian[:, a, b]))
                information[a * p : (a + 1) * p, b * p : (b + 1) * p] += own
            cross = block.features.project(block.weighted(hessian[:, k:, a])).T
            information[a * p : (a + 1) * p, q:] += cross
            information[q:, a * p : (a + 1) * p] += cross.T
        information[q:, q:] += (
            block.weighted(hessian[:, k:, k:].reshape(len(hessian), -1)).sum(axis=0).reshape(size - q, size - q)
        )
    information[:q, :q] += prior_information(model)
    held = np.append((np.ravel(model.weights) == 0) & (model.groups.value >= 0), np.zeros(size - q, dtype=bool))
    covariance = np.full((size, size), np.nan)
    covariance[np.ix_(~held, ~held)] = _inverse(information[np.ix_(~held, ~held)])
    return covariance


def row_information(model: AugmentedRegression, block: Rows, has_scale: bool) -> Float[np.ndarray, "rows t t"]:
    """−∂² log p of each row in its predictors, log s (where ``has_scale``) and the estimated shape."""
    f = block.features.predictors(np.asarray(model.weights))
    k, m = model.likelihood.n_functions, model.likelihood.n_shape
    if isinstance(model.likelihood, LaplaceLikelihood):
        found = np.zeros((len(f), 1 + int(has_scale), 1 + int(has_scale)))
        found[:, 0, 0] = 4 * model.likelihood.quantile * (1 - model.likelihood.quantile) / model.scale**2
        found[:, 1:, 1:] = 1.0
        return found
    rest = np.append(np.log(model.scale), np.asarray(model.shape, dtype=float))
    hessian = _row_hessians(model.likelihood, block.y, f, rest)
    keep = np.r_[np.arange(k), np.arange(k, k + int(has_scale)), np.arange(k + 1, k + 1 + m)]
    return -np.asarray(hessian)[:, keep][:, :, keep]


@partial(jax.jit, static_argnums=0)
def _row_hessians(likelihood: Augmentation, y: Array, f: Array, rest: Array) -> Array:
    k = likelihood.n_functions

    def one(own: Array, theta: Array) -> Array:
        return likelihood.log_density(own[None], theta[None, :k], None, jnp.exp(theta[k]), theta[k + 1 :])[0]

    theta = jnp.concatenate([f, jnp.broadcast_to(rest, (len(f), len(rest)))], axis=1)
    return jax.vmap(jax.hessian(one, argnums=1))(y, theta)


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
