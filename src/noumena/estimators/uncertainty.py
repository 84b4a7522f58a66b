"""Standard errors of a fitted Gaussian mixture: from curvature, or from refits of resampled rows."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from ..core.errors import NoumenaWarning
from ..data.summary import summarise
from ..families.diagonal_normal import DiagonalParameters
from ..families.normal import Normal, NormalParameters
from ..models.mixture import Mixture
from ..models.standard_errors import DIRECTIONS, Coordinates, StandardErrors, observed_standard_errors
from .mixture_fitting import Problem, fit_mixtures
from .parameters import copy_of


def observed(model: Mixture, problem: Problem) -> StandardErrors:
    """Standard errors from the observed information, for a model whose arrays are NumPy's."""
    parameters, family = model.parameters, model.family
    d = parameters.mean.shape[1]
    if isinstance(parameters, DiagonalParameters):  # curvature is taken among full covariances
        covariance = parameters.variance[:, :, None] * np.eye(d)
        orientation = np.eye(d)
        full = NormalParameters(parameters.mean, covariance, orientation, parameters.collapsed)
        plain = Normal(family.frame, family.structure)  # type: ignore[attr-defined]
        model = Mixture(plain, model.weights, full, model.active)
    else:
        covariance, orientation = parameters.covariance, parameters.orientation
    scale = np.asarray(family.frame.scale.value)  # type: ignore[attr-defined]
    structure = family.structure  # type: ignore[attr-defined]
    metric = np.ones(d) if structure.scale_invariant else scale / np.sqrt(np.mean(scale**2))
    coordinates = Coordinates.around(structure, model.weights, parameters.mean, covariance, orientation, metric)
    source = problem.blocks(model.family, DIRECTIONS * len(model.weights))
    return observed_standard_errors(model, coordinates, source, scale)


def bootstrap(gm: Any, problem: Problem, n_bootstrap: int, rng: np.random.Generator) -> StandardErrors:
    """Standard deviations over refits of rows drawn with replacement, each started at the estimate.

    A draw is a vector of row weights, so that all of them share one set of programs.
    """
    base = np.ones(problem.table.n_rows) if problem.weight is None else problem.weight
    draws = max(round(float(base.sum())), 1)
    again = copy_of(gm).set_params(
        weights_init=gm.weights_, means_init=gm.means_, covariances_init=gm.covariances_, n_init=1, verbose=0
    )
    again.n_features_in_ = gm.n_features_in_
    settings = again._settings(problem, len(gm.weights_))
    kept: list[tuple[np.ndarray, ...]] = []
    for _ in range(n_bootstrap):
        weight = rng.multinomial(draws, base / base.sum()).astype(float)
        summary = replace(problem.summary, total_weight=float(weight.sum()))
        fit = fit_mixtures(replace(problem, weight=weight, summary=summary), settings, [len(gm.weights_)], rng)
        one = fit[len(gm.weights_)]
        again._adopt(one, len(gm.weights_))
        if not again._model.parameters.collapsed.any():
            kept.append((again.weights_, again.means_, again.covariances_))
    if len(kept) < n_bootstrap:
        lost = n_bootstrap - len(kept)
        warnings.warn(f"{lost} of {n_bootstrap} bootstrap refits collapsed and were left out", NoumenaWarning, 3)
    weights, means, covariances = (np.std(part, axis=0, ddof=1) for part in zip(*kept, strict=True))
    return StandardErrors(weights, means, covariances, "bootstrap")


def problem_for_use(table: Any, weight: np.ndarray | None, label: np.ndarray | None) -> Problem:
    """A table that a fitted estimator already knows the columns of."""
    return Problem(table, summarise(table, weight), weight, label)
