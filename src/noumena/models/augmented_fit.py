"""Fits of augmented regressions: where they begin, and how weights become exactly 0."""

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, Int

from ..core.expectation import expectation
from ..core.fit import Progress, fit
from ..core.lanes import stack
from ..core.model import Fixed
from ..core.result import Fit, Status, Trace
from ..families.augmentation import Augmentation, NormalLikelihood
from ..families.weight_priors import LaplacePrior, RelevancePrior, WeightPrior
from .augmented_regression import AugmentedRegression, Statistics, WithPrior, ridge
from .augmented_rows import Moments, Rows

#: Ridge of a start, as a share of the information about each weight.
_START_RIDGE = 1e-2
#: A weight smaller than this share of the largest, in the frame, is 0 where the prior's kink holds it there.
_SMALL = 1e-3
#: Rounding of a gradient, as a share of the kink.
_SLACK = 1e-9
#: Nats below which letting a weight go from 0 gains nothing, whatever the tolerance.
_LEAST_GAIN = 1e-10
_MOST_ROUNDS = 50
#: Log E w², in the frame, that only the end of the range of variances leads to.
_IRRELEVANT = -300.0
#: Nats that EM may leave before it is seen which weights are 0: what follows is quicker.
_ROUGH = 0.1


@dataclass(frozen=True)
class Settings:
    """What is fitted, and how.

    Attributes
    ----------
    likelihood : Augmentation
    prior : WeightPrior or None
    groups : array of int, shape (Kp,)
        The prior's group of each weight, −1 for none.
    unit : array, shape (Kp,)
        A weight of the frame divided by this is one in the units of the data.
    by_evidence, posterior, newton : bool
        Whether hyperparameters are estimated; whether weights have a posterior; whether rows have Newton's weights.
    scale : float, optional
        s of the likelihood where it is known.
    max_iter, tol, accelerate, progress
        As `noumena.core.fit.fit` has them.
    """

    likelihood: Augmentation
    prior: WeightPrior | None
    groups: Int[np.ndarray, " q"]
    unit: Float[np.ndarray, " q"]
    by_evidence: bool = False
    posterior: bool = False
    newton: bool = False
    scale: float | None = None
    max_iter: int = 1000
    tol: float = 1e-6
    accelerate: str | None = "squarem"
    progress: Progress | None = None


def fit_augmented(rows: list[Rows], settings: Settings) -> Fit:
    """Maximise the (penalised) likelihood, or the bound of the evidence where there is a posterior.

    Weights that a prior's kink holds at 0 become 0: after EM, a group of weights is set to 0 where it has shrunk below
    0.001 of the largest weight (in the frame) and the likelihood's slope there is below the kink (the subgradient
    condition of a maximum at 0, strictly); the rest is fitted on; and groups of 0 whose slope exceeds the kink are let
    go again, for good, where that gains more than ``tol``, until none is left. Under a Laplace prior of single weights
    the rest is solved for in closed form.
    """
    settings, model, blocks = _start(rows, settings)
    stats = expectation(stack([model]), blocks)[1]
    stats = stats._replace(log_variance=_first_variance(model, lane_of(stats, 0))[None])
    first = model.update(lane_of(stats, 0))
    if isinstance(settings.prior, RelevancePrior):
        return _without_irrelevant(_run(first, blocks, settings, stats))
    if settings.posterior or settings.prior is None or settings.prior.kink is None:
        return _run(first, blocks, settings, stats)
    found = _run(first, blocks, replace(settings, tol=settings.tol and max(settings.tol, _ROUGH)), stats)
    return _with_zeros(found, blocks, settings)


def lane_of(stats: Statistics, index: int) -> Statistics:
    """The statistics of one lane."""
    return jax.tree.map(lambda part: np.asarray(part)[index], stats)


def _run(model: AugmentedRegression, blocks: list[Any], settings: Settings, start: Statistics | None) -> Fit:
    return fit(
        stack([model]),
        blocks,
        max_iter=settings.max_iter,
        tol=settings.tol,
        accelerate=settings.accelerate,
        schedule=WithPrior(),
        start=start,
        progress=settings.progress,
    )[0]


def _start(rows: list[Rows], settings: Settings) -> tuple[Settings, AugmentedRegression, list[Any]]:
    """The model before its first M-step, and the rows about its reference."""
    k, p = settings.likelihood.n_functions, rows[0].features.shape[1]
    reference, scale, first = np.zeros((k, p)), 1.0, 1.0
    blocks: list[Any] = rows
    if settings.likelihood.power is not None:
        reference, spread, size = _least_squares(rows, settings.groups)
        size = max(size, 1e-6 * np.sqrt(spread))
        largest = max(size, np.sqrt(spread)) if settings.posterior else size
        scale, first = (part ** round(1 / settings.likelihood.power) for part in (size, largest))
        settings = replace(settings, likelihood=settings.likelihood.for_residuals(size))
        blocks = [replace(block, y=block.y - block.features.predictors(reference)) for block in rows]
        if type(settings.likelihood) is NormalLikelihood:
            blocks = [Moments.of(blocks)]
    model = AugmentedRegression(
        reference.copy(),
        np.zeros((k * p, k * p)) if settings.posterior else None,
        np.asarray(scale if settings.scale is None else settings.scale, dtype=float),
        settings.likelihood.initial_shape,
        Fixed(reference),
        Fixed(np.asarray(first)),
        Fixed(settings.groups),
        Fixed(settings.unit),
        settings.likelihood,
        settings.prior,
        settings.by_evidence,
        settings.scale is not None,
        settings.newton,
    )
    return settings, model, blocks


def _least_squares(rows: list[Rows], groups: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Slightly shrunk least squares on the middle of what is known of y; Var y, and the size of residuals."""
    middle = [replace(block, y=middle_of(block.y)) for block in rows]
    moments = Moments.of(middle)
    shrunk = np.where(groups >= 0, _START_RIDGE, 1e-10) * np.diagonal(moments.gram)
    weights = ridge(moments.gram, moments.pull[0], shrunk, covariance=False)[0][None]
    rest = sum(
        float(block.weighted((block.y - block.features.predictors(weights))[:, 0] ** 2).sum()) for block in middle
    )
    mean = sum(float(block.weighted(block.y[:, 0]).sum()) for block in middle) / moments.total
    variance = sum(float(block.weighted((block.y[:, 0] - mean) ** 2).sum()) for block in middle) / moments.total
    return weights, variance, float(np.sqrt(rest / moments.total))


def middle_of(y: np.ndarray) -> np.ndarray:
    """One number for each row: y, the middle of an interval, or its finite end."""
    if y.shape[1] == 1:
        return y
    low, high = np.where(np.isfinite(y[:, 0]), y[:, 0], y[:, 1]), np.where(np.isfinite(y[:, 1]), y[:, 1], y[:, 0])
    with np.errstate(invalid="ignore"):  # of a row that nothing is known of
        found = 0.5 * (low + high)
    return np.where(np.isfinite(found), found, 0.0)[:, None]


def _first_variance(model: AugmentedRegression, stats: Statistics) -> np.ndarray:
    """−log E[1/τ²] for the first M-step: a weak ridge where weights of 0 would hold themselves there."""
    penalised = model.groups.value >= 0
    if model.prior is None:
        return np.empty(0)
    information = np.diagonal(np.kron(model.likelihood.coupling, stats.gram))[penalised] / model.scale
    weak = -np.log(_START_RIDGE * np.maximum(information, 1e-300))
    if model.by_evidence or model.prior.precision(np.zeros(1), np.ones(1))[0] == np.inf:
        return weak
    return model.log_variance()


def _without_irrelevant(found: Fit) -> Fit:
    """The fit in which weights whose variance has its maximum at 0 are 0: towards there they leave the bound alone.

    The sweeps of `relevant` have such variances at the end of their range, far from all others.
    """
    model = found.model
    assert isinstance(model, AugmentedRegression)
    weights, covariance = np.ravel(model.weights).astype(float), np.array(model.covariance)
    gone = np.flatnonzero(model.groups.value >= 0)[model.log_variance() < _IRRELEVANT]
    weights[gone] = covariance[gone] = covariance[:, gone] = 0.0
    place = lambda own: (own.weights, own.covariance)  # noqa: E731
    return replace(found, model=eqx.tree_at(place, model, (weights.reshape(model.weights.shape), covariance)))


def _with_zeros(found: Fit, blocks: list[Any], settings: Settings) -> Fit:
    """The fit in which weights that a kink holds at 0 are 0."""
    single = len(np.unique(settings.groups[settings.groups >= 0])) == np.count_nonzero(settings.groups >= 0)
    objectives, accepted = [found.trace.objective], [found.trace.accepted]
    status = found.status
    signed = bool(single and isinstance(settings.prior, LaplacePrior))
    released = np.zeros(settings.groups.max(initial=-1) + 1, dtype=bool)
    for _ in range(_MOST_ROUNDS):
        if found.status is Status.DEGENERATE:
            break  # where every row is met exactly, slopes are rounding
        model = found.model
        assert isinstance(model, AugmentedRegression)
        changed = _zeros(model, lane_of(expectation(stack([model]), blocks)[1], 0), settings.tol, released)
        if changed is None and (model.signed or not signed) and len(objectives) > 1:
            break
        weights = model.weights if changed is None else changed
        again = eqx.tree_at(lambda own: own.weights, model, np.asarray(weights))
        found = _run(replace(again, signed=signed), blocks, settings, None)
        objectives.append(found.trace.objective)
        accepted.append(found.trace.accepted)
        status = found.status
    else:
        status = Status.MAX_ITERATIONS
    trace = Trace(np.concatenate(objectives), np.concatenate(accepted))
    return replace(found, status=status, trace=trace)


def _zeros(model: AugmentedRegression, stats: Statistics, tol: float, released: np.ndarray) -> np.ndarray | None:
    """Weights with groups newly set to 0, or let go from there; None where neither is due.

    ``released`` groups have been let go before; it is updated.
    """
    assert model.prior is not None
    assert model.prior.kink is not None
    groups, unit = model.groups.value, model.unit.value
    own = groups >= 0
    weights = np.ravel(model.weights).astype(float)
    moved = np.asarray(model.weights) - model.reference.value
    beside = np.asarray(model.shape) @ stats.cross if len(stats.cross) else 0.0  # what `pull` has of the shape
    slope = np.ravel(stats.pull - model.likelihood.coupling @ moved @ stats.gram - beside) / model.scale * unit
    count = groups.max(initial=-1) + 1
    steep = np.sqrt(np.bincount(groups[own], slope[own] ** 2, count)) / model.prior.kink
    largest = np.zeros(count)
    np.maximum.at(largest, groups[own], np.abs(weights[own]))
    place = np.where(own, groups, 0)
    # what a weight of 0 would move by, were it alone, and what that would gain
    information = np.diagonal(np.kron(model.likelihood.coupling, stats.gram)) / model.scale
    step = slope * (1 - 1 / np.maximum(steep, 1.0))[place] / (unit * information)
    gain = 0.5 * np.bincount(groups[own], (step**2 * information)[own], count)
    shrunk = ~released & (largest > 0) & (largest < _SMALL * np.abs(weights[own]).max()) & (steep < 1 - _SLACK)
    loose = (largest == 0) & (steep > 1 + _SLACK) & (gain > max(tol, _LEAST_GAIN))
    if not shrunk.any() and not loose.any():
        return None
    released |= loose
    weights[own & shrunk[place]] = 0.0
    return np.where(own & loose[place], step, weights).reshape(model.weights.shape)
