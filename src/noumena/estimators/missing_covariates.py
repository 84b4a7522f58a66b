"""Missing cells among covariates, integrated out under a joint normal: checks, frames, the fit, answers."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float

from ..core.block import Block
from ..core.errors import DataError
from ..core.fit import fit
from ..core.lanes import stack
from ..core.model import Fixed
from ..core.result import Fit, Status
from ..families.augmentation import Augmentation
from ..families.choices import ProbitLikelihood
from ..families.weight_priors import RidgePrior
from ..models.augmented_fit import Settings, middle_of
from ..models.augmented_regression import AugmentedRegression
from ..models.augmented_rows import DenseFeatures, Features, Rows
from ..models.joint_regression import JointChart, JointRegression, PatternRows, by_pattern, patterns
from ..models.standard_errors import coordinate_covariance
from .augmented_inputs import Covariates, Frame

#: Likelihoods of a normal response, seen, in an interval or by its sign, and normal priors.
_LIKELIHOODS = ("normal", "tobit", "probit")
_PRIORS = ("flat", "ridge")
#: Rows of a piece whose curvature is taken at once.
_PIECE = 256
#: Share of the largest by which a column takes part in a linear relation.
_PART = 1e-3


def check_missing(missing: str | None, likelihood: str, prior: str, uncertain: bool, accelerate: str | None) -> None:
    """Refuse what ``missing="normal"`` cannot be combined with."""
    if missing is None:
        return
    if missing != "normal":
        raise ValueError(f'missing={missing!r}: choose "normal" or None')
    if likelihood not in _LIKELIHOODS:
        raise ValueError(
            f'missing="normal" has no closed form for {likelihood!r}: it takes the likelihoods "normal" and "tobit" of '
            'AugmentedRegressor and the link "probit" of AugmentedClassifier'
        )
    if prior not in _PRIORS:
        raise ValueError(f'missing="normal" takes prior="flat" or "ridge", not {prior!r}')
    if uncertain:
        raise ValueError('missing="normal" has point estimates only: leave weights=None and hyperparameters="fixed"')
    if accelerate == "newton":
        raise ValueError('accelerate="newton" is not for missing="normal": choose "squarem", "anderson" or None')


def observed_frame(covariates: Covariates, weight: np.ndarray | None, intercept: bool) -> Frame:
    """The frame of the observed cells, as `Frame.of` has it.

    Raises
    ------
    DataError
        For a column without observed cells, or one that does not vary; names it.
    """
    x = covariates.matrix
    weight = np.ones(len(x)) if weight is None else weight
    seen = ~np.isnan(x) & (weight > 0)[:, None]
    nothing = np.flatnonzero(~seen.any(axis=0))
    if len(nothing):
        raise DataError(f"covariate {covariates.names[nothing[0]]!r} has no observed cell: leave it out")
    for j, name in enumerate(covariates.names):
        value = x[seen[:, j], j]
        if (value == value[0]).all():
            raise DataError(f"covariate {name!r} is constant (always {value[0]:g}): leave it out")
    share = weight[:, None] * seen
    share /= share.sum(axis=0)
    cells = np.where(seen, x, 0.0)
    mean = np.sum(share * cells, axis=0) if intercept else np.zeros(x.shape[1])
    scale = np.sqrt(np.sum(share * (cells - mean) ** 2, axis=0))
    if intercept:
        mean, scale = np.append(0.0, mean), np.append(1.0, scale)
    return Frame(mean, scale, intercept)


def fit_jointly(
    rows: list[Rows], settings: Settings, frame: Frame, names: tuple[str, ...]
) -> tuple[Fit, JointRegression]:
    """The regression within the joint normal of covariates and response, and that joint.

    Parameters
    ----------
    rows : list of Rows
        Missing covariates NaN.
    names : tuple of str
        Of the covariates.

    Raises
    ------
    DataError
        Where covariates determine each other: their joint normal has no density.
    """
    i = int(frame.intercept)
    location, scale = (0.0, 1.0) if isinstance(settings.likelihood, ProbitLikelihood) else _response_frame(rows, i)
    start = _start(rows, settings, frame, location, scale)
    parts: list[Any] = _parts(start, settings.likelihood, rows, i)
    found = fit(
        stack([start]),
        parts,
        max_iter=settings.max_iter,
        tol=settings.tol,
        accelerate=settings.accelerate,
        progress=settings.progress,
    )[0]
    joint = jax.tree.map(np.asarray, found.model)
    assert isinstance(joint, JointRegression)
    if found.status in (Status.DEGENERATE, Status.NOT_FINITE):
        # what the next M-step would take for Σ: the model may be the last that had a density
        moments = np.sum([joint.gather(None, part)[1] for part in parts], axis=0) / _weights(rows).sum()
        _refuse_determined(moments[1:-1, 1:-1] - np.outer(moments[0, 1:-1], moments[0, 1:-1]), names)
    return replace(found, model=_regression(joint, settings, i)), joint


def _response_frame(rows: list[Rows], intercept: int) -> tuple[float, float]:
    """Mean (where there is an intercept) and spread of the response, by the middle of what is known of it."""
    y = np.concatenate([middle_of(block.y)[:, 0] for block in rows])
    weight = _weights(rows)
    location = float(weight @ y / weight.sum()) if intercept else 0.0
    return location, float(np.sqrt(weight @ (y - location) ** 2 / weight.sum())) or 1.0


def _weights(rows: list[Rows]) -> np.ndarray:
    return np.concatenate([np.ones(len(block.y)) if block.weight is None else block.weight for block in rows])


def _start(rows: list[Rows], settings: Settings, frame: Frame, location: float, scale: float) -> JointRegression:
    """Covariates and response independent, with the means and variances of what is seen."""
    i = int(frame.intercept)
    x = np.concatenate([_cells(block, i) for block in rows])
    weight = _weights(rows)[:, None] * ~np.isnan(x)
    mean = np.nansum(weight * x, axis=0) / weight.sum(axis=0)
    variance = np.nansum(weight * (x - mean) ** 2, axis=0) / weight.sum(axis=0)
    noise = 1.0 if isinstance(settings.likelihood, ProbitLikelihood) else settings.scale
    prior = settings.prior
    assert prior is None or isinstance(prior, RidgePrior)
    return JointRegression(
        mean,
        np.diag(variance),
        np.zeros(1 + len(mean)),
        np.array(1.0 if noise is None else noise / scale**2),
        Fixed(np.append(frame.scale[i:], scale)),
        Fixed(np.array(location)),
        Fixed(settings.unit[i:] / scale),
        prior,
        frame.intercept,
        noise is not None,
    )


def _cells(block: Rows, intercept: int) -> Float[np.ndarray, "rows p"]:
    """The covariates in the frame, NaN where missing."""
    assert isinstance(block.features, DenseFeatures)
    x = block.features.z[:, intercept:]
    return x if block.hole is None else np.where(block.hole, np.nan, x)


def _ends(joint: JointRegression, likelihood: Augmentation, y: np.ndarray) -> Float[np.ndarray, "rows 2"]:
    """The interval that holds each row's response, in the frame."""
    if isinstance(likelihood, ProbitLikelihood):
        yes = y[:, 0] == 1
        return np.column_stack([np.where(yes, 0.0, -np.inf), np.where(yes, np.inf, 0.0)])
    return (np.column_stack([y[:, 0], y[:, -1]]) - joint.location.value) / joint.frame_scale.value[-1]


def _parts(joint: JointRegression, likelihood: Augmentation, rows: list[Rows], intercept: int) -> list[PatternRows]:
    x = np.concatenate([_cells(block, intercept) for block in rows])
    y = np.concatenate([_ends(joint, likelihood, block.y) for block in rows])
    return by_pattern(x, y, _weights(rows))


def _refuse_determined(covariance: Float[np.ndarray, "p p"], names: tuple[str, ...]) -> None:
    deviation = np.sqrt(np.diagonal(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    if values[0] > 1e-9:
        return
    part = np.flatnonzero(np.abs(vectors[:, 0]) > _PART * np.abs(vectors[:, 0]).max())
    listed = ", ".join(repr(names[j]) for j in part[:10]) + (" …" if len(part) > 10 else "")
    raise DataError(
        f"the covariates {listed} determine each other, so that their joint normal has no density: leave one of them "
        "out, or add rows"
    )


def _regression(joint: JointRegression, settings: Settings, intercept: int) -> AugmentedRegression:
    """z given x, the response in the units of the data."""
    scale = joint.frame_scale.value[-1]
    line = scale * joint.line
    line[0] += joint.location.value
    weights = line[1 - intercept :][None]
    return AugmentedRegression(
        weights,
        None,
        np.array(float(joint.scale * scale**2)),
        settings.likelihood.initial_shape,
        Fixed(np.zeros_like(weights)),
        Fixed(np.array(scale**2)),
        Fixed(settings.groups),
        Fixed(settings.unit),
        settings.likelihood,
        settings.prior,
        False,
        settings.scale is not None,
        False,
    )


# ------------------------------------------------------------------------------------------------------- answers


def completed(
    joint: JointRegression, features: Features
) -> tuple[DenseFeatures, Float[np.ndarray, " rows"], Bool[np.ndarray, "rows p"]]:
    """Covariates with E[x_m | x_o] for missing cells, w_mᵀ Cov(x_m | x_o) w_m of each row, and which were missing."""
    assert isinstance(features, DenseFeatures)
    z, i = features.z.copy(), int(joint.intercept)
    hole = np.isnan(z[:, i:])
    hidden = np.zeros(len(z))
    for pattern, rows in patterns(hole):
        if pattern.any():
            given = joint.conditional(pattern)
            seen = z[np.ix_(rows, i + np.flatnonzero(~pattern))]
            z[np.ix_(rows, i + np.flatnonzero(pattern))] = given.offset + seen @ given.slope.T
            hidden[rows] = given.hidden * joint.frame_scale.value[-1] ** 2
    return DenseFeatures(z), hidden, hole


def completed_rows(joint: JointRegression, block: Rows) -> Rows:
    """`completed`, of rows with their responses."""
    features, hidden, hole = completed(joint, block.features)
    return replace(block, features=features, hidden=hidden, hole=hole)


def in_deviations(block: Rows) -> Rows:
    """`completed_rows` of a probit as complete ones: predictors in standard deviations of the response given x_o."""
    assert isinstance(block.features, DenseFeatures)
    assert block.hidden is not None
    return replace(block, features=DenseFeatures(block.features.z / np.sqrt(1 + block.hidden)[:, None]))


def joint_covariance(joint: JointRegression, likelihood: Augmentation, rows: list[Rows]) -> Float[np.ndarray, "t t"]:
    """Inverse of the observed information of log p(x_o, y): its part of the weights, and of log s where it is free.

    As `covariance_of_estimates` has it, what is not known of μ and Σ included.
    """
    i = int(joint.intercept)
    x = np.concatenate([_cells(block, i) for block in rows])
    y = np.concatenate([_ends(joint, likelihood, block.y) for block in rows])
    cells = np.concatenate([x, y], axis=1)
    pieces = -(-len(cells) // _PIECE)
    padding = pieces * _PIECE - len(cells)
    cells = np.concatenate([cells, np.zeros((padding, cells.shape[1]))])
    weight = np.append(_weights(rows), np.zeros(padding))
    block = Block(cells.reshape(pieces, _PIECE, -1), weight.reshape(pieces, _PIECE))
    chart = JointChart.around(joint)
    own = chart.n_regression
    curvature = np.zeros((chart.size, chart.size))
    if joint.prior is not None:
        slopes = np.arange(i, i + len(joint.mean))
        curvature[slopes, slopes] = joint.prior.penalty / joint.unit.value**2
    found = coordinate_covariance(joint, chart, [block], curvature)[:own, :own]
    units = np.full(own, joint.frame_scale.value[-1])
    units[i + len(joint.mean) :] = 1.0  # log s
    return found * np.outer(units, units)
