"""Standard errors of a fitted mixture: from curvature, or from refits of resampled rows."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from ..core.errors import NoumenaError, NoumenaWarning
from ..core.result import Status
from ..models.mixture import Mixture
from ..models.standard_errors import DIRECTIONS, MixtureChart, observed_errors
from .mixture_fitting import Problem, Settings, fit_mixtures

#: What users see of a mixture: its weights (or its gate), and its components.
Reported = tuple[np.ndarray, Any]


def observed(model: Mixture, problem: Problem) -> Reported:
    """Standard errors from the observed information, for a model whose arrays are NumPy's."""
    blocks = problem.blocks(model.family, DIRECTIONS * len(model.weights))
    return observed_errors(model, MixtureChart.around(model), blocks)


def bootstrap(
    settings: Settings,
    size: int,
    problem: Problem,
    reported: Callable[[Mixture], Reported],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> Reported:
    """Standard deviations over refits of rows drawn with replacement.

    A draw is a vector of row weights, so that all of them share one set of programs.

    Parameters
    ----------
    settings : Settings
        That start from the estimate.
    size : int
        Number of components.
    problem : Problem
        The rows of the fit.
    reported : callable
        What users see of a model.
    """
    base = np.ones(problem.table.n_rows) if problem.weight is None else problem.weight
    draws = max(round(float(base.sum())), 1)
    kept: list[Reported] = []
    for _ in range(n_bootstrap):
        weight = rng.multinomial(draws, base / base.sum()).astype(float)
        summary = replace(problem.summary, total_weight=float(weight.sum()))
        fit = fit_mixtures(replace(problem, weight=weight, summary=summary), settings, [size], rng)[size]
        if fit.status not in (Status.DEGENERATE, Status.NOT_FINITE):
            kept.append(reported(fit.model))  # type: ignore[arg-type]
    if len(kept) < n_bootstrap:
        lost = n_bootstrap - len(kept)
        warnings.warn(f"{lost} of {n_bootstrap} bootstrap refits collapsed and were left out", NoumenaWarning, 4)
    if len(kept) < 2:
        raise NoumenaError(
            f'no two of {n_bootstrap} bootstrap refits ended well: use fewer components, a prior, or method="observed"'
        )
    return jax.tree.map(lambda *parts: np.std(parts, axis=0, ddof=1), *kept)
