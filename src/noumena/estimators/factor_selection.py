"""How many factors: the sweep, and the best of it."""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.errors import ConvergenceWarning, DataError, DegenerateWarning
from ..core.result import Status
from ..models.factor import at_floor
from .factor_analysis import FactorAnalysis
from .factor_estimator import FactorEstimator
from .inputs import row_weights, table_for_fit
from .parameters import copy_of, integer
from .probabilistic_pca import ProbabilisticPCA
from .selection import Selection

_CRITERIA = ("bic", "aic")


def select_factors(
    estimator: FactorEstimator,
    X: Any,
    n_factors: int | Iterable[int] = range(1, 6),
    *,
    criterion: str = "bic",
    sample_weight: Any = None,
) -> Selection:
    """Fit every number of factors, and choose.

    Numbers that the columns cannot tell apart, as they would take more parameters than a normal without structure has,
    are left out.

    Parameters
    ----------
    estimator : FactorAnalysis or ProbabilisticPCA
        Its other parameters hold for every candidate. `BayesianPCA` finds the number of its factors by itself.
    X : table
    n_factors : int or iterable of int, default=1..5
    criterion : {"bic", "aic"}, default="bic"
        AIC keeps more factors.
    sample_weight : array, optional

    Returns
    -------
    Selection
        ``table_`` has one row per candidate: n_factors, log_likelihood, n_parameters, bic, aic (lower is better),
        heywood (columns that the factors leave no noise of; such a candidate is compared, and its loadings are not to
        be trusted), status, n_iter.

    Raises
    ------
    DataError
        As `FactorAnalysis.fit`.

    Warns
    -----
    ConvergenceWarning, DegenerateWarning
        About the best candidate alone.

    Examples
    --------
    >>> import numpy as np
    >>> import noumena as nm
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 8)) + rng.normal(size=(300, 8)) * 0.5
    >>> nm.select_factors(nm.FactorAnalysis(), x, range(1, 5)).estimator_.n_factors
    2
    """
    if criterion not in _CRITERIA:
        raise ValueError(f"criterion={criterion!r}: choose among {', '.join(_CRITERIA)}")
    if not isinstance(estimator, FactorAnalysis | ProbabilisticPCA):
        raise TypeError(
            f"select_factors compares FactorAnalysis or ProbabilisticPCA, not {type(estimator).__name__}: BayesianPCA "
            "finds the number of its factors by itself, and mixtures have select"
        )
    if getattr(estimator, "pattern", None) is not None:
        raise ValueError("a pattern says how many factors there are: leave it out, or fit the estimator")
    sizes = [n_factors] if isinstance(n_factors, int | np.integer) else sorted(set(n_factors))
    sizes = [integer("n_factors", size, 1) for size in sizes]
    if not sizes:
        raise ValueError("n_factors is empty: name at least one number of factors")
    blank = copy_of(estimator)
    table = table_for_fit(blank, X, least_rows=2)
    fitting = [size for size in sizes if _told_apart(blank, size, table.n_columns)]
    if not fitting:
        raise ValueError(
            f"n_factors={sizes[0]} is too many for a table of {table.n_columns} column(s), whose covariance has fewer "
            "parameters"
        )
    weight = row_weights(sample_weight, table.n_rows)
    fitted: list[FactorEstimator] = []
    for size in fitting:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", (ConvergenceWarning, DegenerateWarning))  # told of the best one
            fitted.append(copy_of(estimator).set_params(n_factors=size).fit(X, sample_weight=weight))
        if fitted[-1].status_ is Status.INTERRUPTED:
            break
    found = _as_table(fitted, fitting, table.n_rows if weight is None else float(weight.sum()))
    values = found[criterion].to_numpy()
    if not np.isfinite(values).any():
        raise DataError("no candidate has a finite likelihood: ask for fewer factors")
    best = fitted[int(np.nanargmin(values))]
    best._tell()
    return Selection(best, found, criterion)


def _told_apart(candidate: FactorAnalysis | ProbabilisticPCA, q: int, d: int) -> bool:
    """Whether d columns have as many covariances as q factors take."""
    if q > (d - 1 if isinstance(candidate, ProbabilisticPCA) else d):
        return False
    structure = candidate.set_params(n_factors=q)._structure(d, candidate._column_names())
    return d * q - q * (q - 1) // 2 + structure.groups.shape[1] <= d * (d + 1) // 2


def _as_table(fitted: list[FactorEstimator], sizes: list[int], n: float) -> pa.Table:
    ell = np.array([one.log_likelihood_ for one in fitted])
    df = np.array([one.n_parameters_ for one in fitted])
    return pa.table(
        {
            "n_factors": sizes[: len(fitted)],
            "log_likelihood": ell,
            "n_parameters": df,
            "bic": -2 * ell + df * np.log(n),
            "aic": -2 * ell + 2 * df,
            "heywood": [int(at_floor(one._model).sum()) for one in fitted],
            "status": [one.status_.value for one in fitted],
            "n_iter": [one.n_iter_ for one in fitted],
        }
    )
