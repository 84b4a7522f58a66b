"""Regressions by augmentation: any likelihood and any prior of `families`, by weighted least squares.

A likelihood's latent variables turn its rows into weighted least squares, and a prior's latent variances turn its
weights into a ridge (`families/augmentation.py`, `families/weight_priors.py`). The E-step gathers the cross products
ZᵀΩZ and ZᵀΩt, additive over rows; the M-step solves one ridge regression, whatever the pair.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from ..core.expectation import expectation
from ..core.lanes import lanes
from ..core.model import Fixed, Model
from ..core.schedule import Schedule
from ..families.augmentation import Augmentation
from ..families.normal_chart import LOG_2PI
from ..families.weight_priors import LaplacePrior, RelevancePrior, WeightPrior
from .augmented_rows import Moments, Rows

#: Log prior variances are kept within ± this; at the lower end a weight is 0.
_FAR = 600.0
#: Variance below which every row is met exactly: of a point, as a share of that of its start; of a posterior, whose
#: covariance spans as many digits, as a share of the response's own (as `evidence_model.FLOOR`). The first is the
#: square of the core of a Laplace likelihood: within it, a residual counts as 0.
_EXACT, _EXACT_POSTERIOR = 1e-12, 1e-10
#: What is added to a diagonal of 1 where rounding has left no Cholesky factor.
_JITTER = 1e-12
#: Eigenvalues below this share of a diagonal of 1 belong to columns that determine each other.
_SINGULAR = 1e-11


class Statistics(NamedTuple):
    """What the E-step gathers: of the rows, about the model's reference; and of the prior.

    ``plain`` is ZᵀZ, for posteriors of likelihoods whose rows have Newton's weights; ``log_variance`` is −log E[1/τ²]
    of each penalised weight.
    """

    gram: Float[Any, "p p"]
    pull: Float[Any, "K p"]
    square: Float[Any, ""]
    total: Float[Any, ""]
    extra: Float[Any, " m"]
    cross: Float[Any, "q p"]
    plain: Float[Any, "p p"]
    log_variance: Float[Any, " penalised"]


class AugmentedRegression(Model):
    """p(y | x) with linear predictors f_k = zᵀw_k, at point estimates of w or under a normal posterior q(w).

    Attributes
    ----------
    weights : array, shape (K, p)
        In the frame of z; the posterior mean where there is a posterior.
    covariance : array, shape (Kp, Kp), or None
        Of q(w); None for a point estimate.
    scale : array, shape ()
        s of the likelihood; 1 where it has none.
    shape : array, shape (m,)
        Other parameters of the likelihood.
    reference : Fixed
        Weights whose predictors were taken off y, shape (K, p): moments about them lose no digits.
    first_scale : Fixed
        Scale that the fit began with; of the response itself where there is a posterior.
    groups : Fixed
        Group of each weight for the prior, −1 for weights without one, shape (Kp,).
    unit : Fixed
        What a weight of the frame is divided by to be one in the units of the data, shape (Kp,).
    likelihood : Augmentation
    prior : WeightPrior or None
    by_evidence : bool
        Whether the prior's hyperparameters are estimated.
    scale_known : bool
    newton : bool
        Whether rows are weighted by their curvature and not by their latent variable's mean.
    signed : bool
        Whether weights keep their signs, so that the M-step under a Laplace prior of single weights has a closed form
        without latent variances: the end of a fit with weights that are 0.
    """

    compiled: ClassVar[bool] = False

    weights: Float[Any, "K p"]
    covariance: Float[Any, "q q"] | None
    scale: Float[Any, ""]
    shape: Float[Any, " m"]
    reference: Fixed
    first_scale: Fixed
    groups: Fixed
    unit: Fixed
    likelihood: Augmentation = eqx.field(static=True)
    prior: WeightPrior | None = eqx.field(static=True)
    by_evidence: bool = eqx.field(static=True)
    scale_known: bool = eqx.field(static=True)
    newton: bool = eqx.field(static=True)
    signed: bool = eqx.field(static=True, default=False)

    def natural(self) -> dict[str, Any]:
        return {"weights": self.weights, "scale": self.scale, "shape": self.shape}

    def exact(self) -> bool:
        return not self.newton

    # ------------------------------------------------------------------------------------------------- E-step

    def bound(self, natural: dict[str, Any], block: Any) -> Float[Array, " rows"]:
        """As the base has it; differentiable in ``weights``, ``scale`` and ``shape``. Needs dense rows."""
        f = jnp.asarray(block.features.z) @ (natural["weights"] - self.reference.value).T
        return self.likelihood.log_density(block.y, f, self.spread(block), natural["scale"], natural["shape"])

    def spread(self, block: Rows) -> Float[np.ndarray, " rows"] | None:
        """tr(B V) of each row, V the covariance of its predictors; None at a point estimate."""
        if self.covariance is None:
            return None
        k, p = self.weights.shape
        mixed = np.einsum("kl,kilj->ij", self.likelihood.coupling, np.reshape(self.covariance, (k, p, k, p)))
        return block.features.spread(mixed)

    def gather(self, natural: dict[str, Any], block: Any) -> tuple[float, Statistics]:
        if isinstance(block, Moments):
            return self._of_moments(block)
        f, spread = block.features.predictors(self._moved), self.spread(block)
        with np.errstate(all="ignore"):  # what is extrapolated may be out of range: its bound is not finite
            return self._of_rows(block, f, spread)

    @property
    def _moved(self) -> Float[np.ndarray, "K p"]:
        return np.asarray(self.weights) - self.reference.value

    def _of_rows(self, block: Rows, f: np.ndarray, spread: np.ndarray | None) -> tuple[float, Statistics]:
        density = self.likelihood.log_density(block.y, f, spread, self.scale, self.shape)
        working = self.likelihood.working(block.y, f, spread, self.scale, self.shape, self.newton)
        p = self.weights.shape[1]

        def total(values: np.ndarray | None) -> np.ndarray:
            return np.zeros(()) if values is None else block.weighted(values).sum(axis=0)

        stats = Statistics(
            block.gram if working.weight is None else block.features.gram(block.weighted(working.weight)),
            block.features.project(block.weighted(working.pull)),
            total(working.square),
            np.asarray(block.total),
            np.empty(0) if working.extra is None else total(working.extra),
            np.empty((0, p)) if working.cross is None else block.features.project(block.weighted(working.cross)),
            np.empty((0, 0)) if working.cross is None or spread is None else block.gram,
            np.zeros(np.count_nonzero(self.groups.value >= 0)),  # `WithPrior` fills them in
        )
        return float(block.weighted(density).sum()), stats

    def _of_moments(self, moments: Moments) -> tuple[float, Statistics]:
        assert self.likelihood.power is not None
        p = self.weights.shape[1]
        rest = self._residual(moments.gram, moments.pull, moments.square)
        bound = -0.5 * (moments.total * (LOG_2PI + np.log(self.scale)) + rest / self.scale)
        zero = np.zeros(np.count_nonzero(self.groups.value >= 0))
        none = np.empty(0), np.empty((0, p)), np.empty((0, 0))
        square, total = np.asarray(moments.square), np.asarray(moments.total)
        return float(bound), Statistics(moments.gram, moments.pull, square, total, *none, zero)

    def _residual(self, gram: np.ndarray, pull: np.ndarray, square: Any) -> float:
        """Σ ω E(t − f)² from the statistics."""
        w, coupling = self._moved, self.likelihood.coupling
        found = float(square) - 2 * np.sum(w * pull) + np.sum((coupling @ w) * (w @ gram))
        if self.covariance is not None:
            k, p = w.shape
            apart = np.reshape(self.covariance, (k, p, k, p))
            found += np.einsum("kl,kilj,ij->", coupling, apart, gram, optimize=True)
        return float(found)

    def magnitude(self, stats: Statistics) -> float:
        """Size of the squares that cancel in those of residuals, in units of the scale."""
        if self.likelihood.power is None:
            return 0.0
        w = np.abs(self._moved)
        found = np.abs(stats.square) + 2 * np.sum(w * np.abs(stats.pull))
        return float((found + np.sum((self.likelihood.coupling @ w) * (w @ np.abs(stats.gram)))) / self.scale)

    # -------------------------------------------------------------------------------------------------- prior

    def squares(self) -> tuple[Float[np.ndarray, " g"], Float[np.ndarray, " g"]]:
        """E‖w‖² of each group in the units of the data, and its number of weights."""
        groups = self.groups.value
        own = groups >= 0
        square = np.ravel(self.weights) ** 2
        if self.covariance is not None:
            square = square + np.diagonal(self.covariance)
        count = groups.max(initial=-1) + 1
        units = square[own] / self.unit.value[own] ** 2
        return np.bincount(groups[own], units, count), np.bincount(groups[own], minlength=count).astype(float)

    def adapted_prior(self) -> WeightPrior:
        """The prior with the hyperparameters that these weights ask for, where they are estimated."""
        assert self.prior is not None
        return self.prior.adapted(*self.squares()) if self.by_evidence else self.prior

    def precisions(self) -> Float[np.ndarray, " penalised"]:
        """E[1/τ²] of each penalised weight, in the units of the data."""
        if self.prior is None:
            return np.empty(0)
        groups = self.groups.value
        return self.adapted_prior().precision(*self.squares())[groups[groups >= 0]]

    def log_variance(self) -> Float[np.ndarray, " penalised"]:
        """−log E[1/τ²] in the frame, within bounds."""
        own = self.groups.value >= 0
        with np.errstate(divide="ignore"):
            log = -np.log(self.precisions()) + 2 * np.log(self.unit.value[own])
        return np.clip(log, -_FAR, _FAR)

    def log_prior(self) -> float:
        """ψ of every group; with a posterior, and its entropy."""
        found = 0.0 if self.prior is None else float(self.adapted_prior().log_density(*self.squares()).sum())
        if self.covariance is not None:
            scale = np.sqrt(np.diagonal(self.covariance))
            log = np.linalg.slogdet(self.covariance / np.outer(scale, scale))[1]
            log += 2 * np.sum(np.log(scale / self.unit.value))
            found += float(0.5 * (len(scale) * (1 + LOG_2PI) + log))
        return found

    def degenerate(self) -> bool:
        return bool(self.scale < self._least_scale)

    @property
    def _least_scale(self) -> float:
        """The scale below which every row is met exactly; 0 where there is none."""
        share = _EXACT if self.covariance is None else _EXACT_POSTERIOR
        power = self.likelihood.power
        return 0.0 if power is None else float(share ** (0.5 / power) * self.first_scale.value)

    # ------------------------------------------------------------------------------------------------- M-step

    def update(self, stats: Statistics) -> Self:
        k, p = self.weights.shape
        precision = np.zeros(k * p)
        precision[self.groups.value >= 0] = np.exp(-np.clip(stats.log_variance, -_FAR, _FAR))
        hessian = np.kron(self.likelihood.coupling, stats.gram) / self.scale
        target = np.ravel(stats.pull + self.likelihood.coupling @ self.reference.value @ stats.gram) / self.scale
        shape, m = np.asarray(self.shape), len(stats.cross)
        if m:  # one Newton step of weights and shape together
            own = stats.extra[m:].reshape(m, m)
            hessian = np.block([[hessian, stats.cross.T], [stats.cross, own]])
            target, precision = np.append(target, stats.extra[:m]), np.append(precision, np.zeros(m))
        try:
            if self.covariance is None:
                free = np.ones(len(target), dtype=bool)  # of a certain weight of 0, the precision is infinite
                free[np.flatnonzero(self.groups.value >= 0)] = stats.log_variance > -_FAR
                both, covariance = self._mode(hessian, target, precision, free), None
            else:
                both, covariance = self._posterior(hessian, target, precision, stats)
        except LinAlgError:  # an extrapolated cross product need not be one
            return eqx.tree_at(lambda model: model.weights, self, np.full((k, p), np.nan))
        weights = both[: k * p]
        if m:
            shape = both[k * p :]
        found = eqx.tree_at(
            lambda model: (model.weights, model.covariance),
            self,
            (weights.reshape(k, p), covariance),
            is_leaf=lambda node: node is None,
        )
        scale = self.scale
        if self.likelihood.power is not None and not self.scale_known:
            rest = found._residual(stats.gram, stats.pull, stats.square)
            scale = max(rest / (2 * self.likelihood.power * stats.total), 0.1 * self._least_scale)
        if len(stats.extra) and not m:
            shape = self.likelihood.update_shape(stats.extra, float(stats.total), shape)
        return eqx.tree_at(lambda model: (model.scale, model.shape), found, (np.array(float(scale)), shape))

    def _mode(
        self, hessian: np.ndarray, target: np.ndarray, precision: np.ndarray, free: np.ndarray
    ) -> Float[np.ndarray, " t"]:
        """Weights, and shape where it is beside them, at the mode; a weight that is not free is 0."""
        if self.signed:
            assert isinstance(self.prior, LaplacePrior)
            penalised, rate = np.flatnonzero(self.groups.value >= 0), np.zeros(len(target))
            rate[penalised] = self.prior.penalty / self.unit.value[penalised]
            now = np.append(np.ravel(self.weights), self.shape)[: len(target)]
            return within_orthant(hessian, target, rate, np.where(free, now, 0.0))
        found = np.zeros(len(target))
        own = np.ix_(free, free)
        found[free] = ridge(hessian[own], target[free], precision[free], covariance=False)[0]
        return found

    def _posterior(
        self, hessian: np.ndarray, target: np.ndarray, precision: np.ndarray, stats: Statistics
    ) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, "q q"] | None]:
        """Posterior mean of the weights, the shape after it where it is beside them, and the weights' covariance."""
        groups, relevance = self.groups.value, isinstance(self.prior, RelevancePrior)
        if not len(stats.cross):
            if relevance:
                precision = 1 / relevant(hessian, target, precision, groups)
            return ridge(hessian, target, precision)
        both = ridge(hessian, target, precision, covariance=False)[0]
        mean, own = both[: len(groups)], precision[: len(groups)]
        if relevance:
            # about this mean, the quadratic of constant weight that the bound is made of has its maximum here too
            own = 1 / relevant(stats.plain, stats.plain @ mean + own * mean, own, groups)
            both = ridge(hessian, target, np.append(own, precision[len(groups) :]), covariance=False)[0]
        return both, ridge(stats.plain, stats.plain @ mean, own)[1]


def ridge(
    hessian: Float[np.ndarray, "q q"],
    target: Float[np.ndarray, " q"],
    precision: Float[np.ndarray, " q"],
    *,
    covariance: bool = True,
) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, "q q"] | None]:
    """(H + P)⁻¹ target, and the inverse itself where it is asked for.

    In coordinates in which the diagonal is 1, weights w = d u with d² = 1/(H_jj + P_j): a precision of any size becomes
    a number between 0 and 1, and nothing is divided by a weight that vanishes.

    Raises
    ------
    LinAlgError
        Where the matrix is not positive definite.
    """
    diagonal = np.diagonal(hessian) + precision
    if not (diagonal > 0).all():
        raise LinAlgError("no information on some weight")
    d = 1 / np.sqrt(diagonal)
    unit = d[:, None] * hessian * d
    np.fill_diagonal(unit, 1.0)
    factor = _factor(unit)
    weights = d * cho_solve(factor, d * target, check_finite=False)
    if not covariance:
        return weights, None
    inverse = d[:, None] * cho_solve(factor, np.eye(len(d)), check_finite=False) * d
    return weights, 0.5 * (inverse + inverse.T)


def _factor(unit: Float[np.ndarray, "q q"]) -> tuple[np.ndarray, bool]:
    """Cholesky factor of a matrix with a diagonal of 1, for `cho_solve`; of one that is singular but for rounding, too.

    Raises
    ------
    LinAlgError
        Where it is further from positive definite.
    """
    try:
        return cho_factor(unit, lower=True, check_finite=False)
    except LinAlgError:
        return cho_factor(unit + _JITTER * np.eye(len(unit)), lower=True, overwrite_a=True, check_finite=False)


def within_orthant(
    hessian: Float[np.ndarray, "q q"],
    target: Float[np.ndarray, " q"],
    rate: Float[np.ndarray, " q"],
    weights: Float[np.ndarray, " q"],
) -> Float[np.ndarray, " q"]:
    """The maximum of targetᵀw − ½wᵀHw − Σ rate |w| among weights of the same signs as these; those of 0 stay 0.

    Where |w| is linear the maximum solves linear equations. A weight that would change its sign on the way there ends
    at 0, and the way begins anew without it: the objective is concave, and rises. Where columns determine each other,
    so that many weights are as good, the way is the shortest one.
    """
    weights = weights.copy()
    while True:
        free = (weights != 0) | (rate == 0)
        own = np.ix_(free, free)
        here, signs = weights[free], np.sign(weights[free])
        goal = here + _ascent(hessian[own], target[free] - rate[free] * signs - hessian[own] @ here)
        crossing = (rate[free] > 0) & (goal * signs <= 0)
        if not crossing.any():
            weights[free] = goal
            return weights
        share = np.where(crossing, here / np.where(crossing, here - goal, 1.0), np.inf)
        first = share.min()
        weights[free] = np.where(share <= first, 0.0, here + first * (goal - here))


def _ascent(hessian: Float[np.ndarray, "q q"], slope: Float[np.ndarray, " q"]) -> Float[np.ndarray, " q"]:
    """H⁻¹ slope; the shortest such step, in units of the diagonal, where H is singular.

    Raises
    ------
    LinAlgError
        Where H has a negative eigenvalue, or a diagonal that is not positive.
    """
    diagonal = np.diagonal(hessian)
    if not (diagonal > 0).all():
        raise LinAlgError("no information on some weight")
    d = 1 / np.sqrt(diagonal)
    unit = d[:, None] * hessian * d
    try:
        factor = cho_factor(unit, lower=True, check_finite=False)
        if np.diagonal(factor[0]).min(initial=1.0) ** 2 > _SINGULAR:
            return d * cho_solve(factor, d * slope, check_finite=False)
    except LinAlgError:
        pass
    values, vectors = np.linalg.eigh(unit)
    if not values[0] > -_SINGULAR * len(values):
        raise LinAlgError("not positive definite")
    kept = values > _SINGULAR * len(values)
    return d * (vectors[:, kept] @ (vectors[:, kept].T @ (d * slope) / values[kept]))


def relevant(
    hessian: Float[np.ndarray, "q q"],
    target: Float[np.ndarray, " q"],
    precision: Float[np.ndarray, " q"],
    groups: Int[np.ndarray, " q"],
) -> Float[np.ndarray, " q"]:
    """Prior variances after one sweep of automatic relevance determination over single weights; inf without a prior.

    Each in turn is set to the maximum of the evidence given the others. With s = h_jj − hᵀΣh and q = t_j − hᵀm, where Σ
    and m are the posterior without weight j, that is (q² − s)/s², or 0 where q² ≤ s: Tipping & Faul (2003), AISTATS.
    EM's own step, E w², reaches neither the one nor the other in finite time where the maximum is at 0.
    """
    covariance = ridge(hessian, target, precision)[1]
    assert covariance is not None
    variance = np.divide(1.0, precision, out=np.full(len(precision), np.inf), where=precision > 0)
    for j in np.flatnonzero(groups >= 0):
        # the posterior of the others, given a weight of 0
        others = covariance - np.outer(covariance[j], covariance[j]) / covariance[j, j]
        others[j], others[:, j] = 0.0, 0.0
        reach = others @ hessian[j]
        s = hessian[j, j] - hessian[j] @ reach
        q = target[j] - reach @ target
        variance[j] = max((q * q - s) / (s * s), np.exp(-_FAR)) if s > 0 else np.exp(-_FAR)
        own = 1 / (1 / variance[j] + max(s, 0.0))
        reach[j] = -1.0
        covariance = others + own * np.outer(reach, reach)
    return variance


class WithPrior(Schedule):
    """All blocks at each iteration, and the prior's expected precisions once beside them."""

    monotone = True

    def gather(self, models: Model, blocks: Iterable[Any]) -> tuple[Any, Statistics]:
        bound, stats = expectation(models, blocks)
        own = [model.log_variance() for model in lanes(models)]  # type: ignore[attr-defined]
        return bound, stats._replace(log_variance=np.stack(own))
