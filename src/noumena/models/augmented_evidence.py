"""Linear regressions whose prior precisions are estimated: with normal residuals the evidence is exact."""

from dataclasses import replace

import numpy as np

from ..core.model import Fixed
from ..core.result import Fit
from ..families.augmentation import NormalLikelihood
from ..families.weight_priors import RelevancePrior, RidgePrior
from .augmented_fit import Settings
from .augmented_regression import AugmentedRegression
from .augmented_rows import Moments, Rows
from .evidence import maximise_evidence
from .second_moments import SecondMoments


def has_evidence(settings: Settings) -> bool:
    """Whether the weights can be integrated out: normal residuals of a scale to be estimated, ridge or ARD."""
    estimated = isinstance(settings.prior, RelevancePrior) or (
        settings.by_evidence and isinstance(settings.prior, RidgePrior)
    )
    return estimated and type(settings.likelihood) is NormalLikelihood and settings.scale is None


def fit_by_evidence(rows: list[Rows], settings: Settings, intercept: bool, method: str) -> Fit:
    """The regression at the precisions of the largest evidence, which is its objective.

    Parameters
    ----------
    rows : list of Rows
        Of covariates that are centred where there is an intercept, which is the first of them.
    settings : Settings
        With `has_evidence`.
    intercept : bool
    method : {"coordinate", "em", "mackay", "gradient"}
        As `maximise_evidence` has it.
    """
    i, total = int(intercept), sum(block.total for block in rows)
    middle = sum(float(block.weighted(block.y).sum()) for block in rows) / total if intercept else 0.0
    moments = Moments.of([replace(block, y=block.y - middle) for block in rows])
    unit = settings.unit[i:]
    gram, cross = moments.gram[i:, i:] * np.outer(unit, unit), moments.pull[0, i:] * unit
    table = SecondMoments(gram, cross, moments.square, total, np.zeros(len(unit)), middle, intercept)
    prior = settings.prior
    group = np.arange(len(unit)) if isinstance(prior, RelevancePrior) else None
    found = maximise_evidence(table, group, method=method, tol=settings.tol, max_iter=settings.max_iter)
    weights = np.concatenate([np.full(i, found.intercept), found.mean * unit])
    covariance = np.zeros((len(weights), len(weights)))
    covariance[i:, i:] = found.covariance * np.outer(unit, unit)
    covariance[:i, :i] = 1 / (found.noise_precision * total)
    variance = np.asarray(1 / found.noise_precision)
    model = AugmentedRegression(
        weights[None],
        covariance,
        variance,
        settings.likelihood.initial_shape,
        Fixed(np.zeros((1, len(weights)))),
        Fixed(variance),
        Fixed(settings.groups),
        Fixed(settings.unit),
        settings.likelihood,
        RidgePrior(float(found.precision[0])) if isinstance(prior, RidgePrior) else prior,
        by_evidence=False,
        scale_known=False,
        newton=False,
    )
    return Fit(model, found.log_evidence, found.log_evidence, found.status, found.trace)
