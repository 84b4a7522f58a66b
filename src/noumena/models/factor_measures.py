"""How well a factor model fits: against a covariance without structure, and against one without correlations."""

from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.optimize import root_scalar
from scipy.stats import chi2, ncx2

#: Coverage of the interval of the RMSEA, as is usual.
_LEVEL = 0.9


@final
@dataclass(frozen=True)
class FitMeasures:
    """Likelihood-ratio test of a factor model, and indices made of it.

    Attributes
    ----------
    chi2 : float
        Twice the log likelihood that is lost against a normal without structure.
    dof : int
        Its degrees of freedom.
    p_value : float
        NaN without degrees of freedom.
    rmsea : float
        √(max(χ² − dof, 0) / (dof · N)) (Steiger & Lind 1980).
    rmsea_interval : tuple of float
        Of 90%.
    cfi, tli : float
        Share of the misfit of uncorrelated columns that the factors explain (Bentler 1990; Tucker & Lewis 1973).
    srmr : float
        Root mean square of the residual correlations.
    """

    chi2: float
    dof: int
    p_value: float
    rmsea: float
    rmsea_interval: tuple[float, float]
    cfi: float
    tli: float
    srmr: float


def fit_measures(
    log_likelihood: float,
    saturated: float,
    independent: float,
    n: float,
    n_parameters: int,
    implied: np.ndarray,
    observed: np.ndarray,
) -> FitMeasures:
    """Measures from three log likelihoods.

    Parameters
    ----------
    log_likelihood, saturated, independent : float
        Of the factor model, of a normal without structure, of columns without correlations.
    n : float
        Weight of the rows.
    n_parameters : int
        Of the factor model, means included.
    implied, observed : array, shape (d, d)
        Covariance of the factor model, and the one without structure.
    """
    d = len(implied)
    dof, dof_independent = d + d * (d + 1) // 2 - n_parameters, d * (d - 1) // 2
    lost = max(2 * (saturated - log_likelihood), 0.0)
    lost_independent = max(2 * (saturated - independent), 0.0)
    excess, excess_independent = lost - dof, lost_independent - dof_independent
    worst = max(excess, excess_independent, 0.0)
    cfi = 1 - max(excess, 0.0) / worst if worst > 0 else 1.0
    scale = np.sqrt(np.diagonal(observed))
    rest = np.tril((observed - implied) / np.outer(scale, scale))
    srmr = float(np.sqrt(np.sum(rest**2) / (d * (d + 1) / 2)))
    if dof <= 0:
        return FitMeasures(lost, dof, np.nan, np.nan, (np.nan, np.nan), cfi, np.nan, srmr)
    ratio = lost_independent / dof_independent
    tli = (ratio - lost / dof) / (ratio - 1)
    low, high = (_noncentrality(lost, dof, share) for share in (0.5 + _LEVEL / 2, 0.5 - _LEVEL / 2))
    return FitMeasures(
        lost,
        dof,
        float(chi2.sf(lost, dof)),
        float(np.sqrt(max(excess, 0.0) / (dof * n))),
        (float(np.sqrt(low / (dof * n))), float(np.sqrt(high / (dof * n)))),
        cfi,
        tli,
        srmr,
    )


def _noncentrality(value: float, dof: int, share: float) -> float:
    """The noncentrality under which a χ² is below ``value`` with this probability; 0 where none is so large."""
    if chi2.cdf(value, dof) <= share:
        return 0.0
    high = value + dof
    while ncx2.cdf(value, dof, high) > share:
        high *= 2
    return float(root_scalar(lambda at: ncx2.cdf(value, dof, at) - share, bracket=(1e-12, high)).root)
