"""Is one more component needed: the likelihood ratio against its distribution over simulated tables."""

import warnings
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from ..core.errors import ConvergenceWarning, DataError, NoumenaWarning
from ..core.result import Fit, Status
from ..data.table import ArrayTable
from ..models.starts import responsibilities
from .mixture_estimator import MixtureEstimator
from .mixture_fitter import double_precision
from .mixture_fitting import Problem, Settings, fit_mixtures, merged
from .parameters import check_size, copy_of, integer

#: Share of a split component's rows that stays with the other half: a probability that begins at 0 would stay there.
_BLUR = 0.1
#: How often fits that collapse are tried again.
_RETRIES = 2
#: Nats to which the fits to simulated tables converge at least: their statistics differ by whole ones.
_COARSE = 1e-3


@final
@dataclass(frozen=True, eq=False)
class BootstrapTest:
    """A parametric bootstrap test of K components against K + 1.

    Attributes
    ----------
    statistic : float
        2 (ℓ_{K+1} − ℓ_K) of the table, in nats × 2; never negative.
    null_statistics : array, shape (n_bootstrap,)
        The same of tables simulated from the K components; fewer where refits collapsed.
    p_value : float
        (1 + number of null statistics ≥ statistic) / (1 + number of null statistics).
    null, alternative : mixture estimator
        Fitted with K and with K + 1 components.
    """

    statistic: float
    null_statistics: np.ndarray
    p_value: float
    null: Any
    alternative: Any


def bootstrap_test(
    estimator: MixtureEstimator,
    X: Any,
    *,
    n_components: int | None = None,
    n_bootstrap: int = 99,
    sample_weight: Any = None,
    random_state: Any = None,
) -> BootstrapTest:
    """Test K components against K + 1 by a parametric bootstrap of the likelihood ratio.

    The χ² distribution does not hold for this ratio, since a mixture with a superfluous component has no unique
    parameters. Its distribution is therefore simulated: tables of as many rows are drawn from the fitted K components,
    missing cells are put where the table has them, and K and K + 1 components are fitted to each.

    Each table, the given one and every simulated one, gets ``n_init`` starts for both sizes, and one more start for
    each: for K, where the simulation began (in the given table: the K + 1 components with the two that overlap most
    joined); for K + 1, the fit of K with one component, drawn by its weight, divided in two. A ratio that is still
    below 1 is a missed maximum, since the K components are among the K + 1, and counts as 1. Where every start of a
    size collapses, random starts are tried, up to twice.

    Parameters
    ----------
    estimator : mixture estimator
        Fitted or not; its parameters hold for every fit. Raise ``n_init`` where fits end in local optima: a poor fit of
        K to the given table looks like evidence for K + 1.
    X : table
        Held in memory.
    n_components : int, optional
        K; the estimator's own where None.
    n_bootstrap : int, default=99
        Simulated tables. The smallest p-value is 1 / (n_bootstrap + 1).
    sample_weight : array of whole numbers, shape (n_rows,), optional
        How often each row occurs.
    random_state : int, RandomState or None
        The estimator's own where None.

    Returns
    -------
    BootstrapTest

    Raises
    ------
    DataError
        For weights that are no counts; for fewer than K + 1 rows; where a fit to the given table is degenerate.
    ValueError
        For parameters out of range, for starts that hold for one number of components only, and for covariates.

    Warns
    -----
    ConvergenceWarning
        Where a fit did not converge.
    NoumenaWarning
        Where fits to simulated tables collapsed each time; these tables are left out.

    Notes
    -----
    With a prior, log likelihoods at the posterior modes are compared. Levels, units and prior are those of the given
    table in every fit, so that a level which does not occur in a simulated table keeps its place, and compiled programs
    are shared.

    References
    ----------
    McLachlan (1987), Appl. Statist. 36:318.

    Examples
    --------
    >>> import numpy as np
    >>> import noumena as nm
    >>> rng = np.random.default_rng(0)
    >>> x = np.concatenate([rng.normal(0, 1, 60), rng.normal(6, 1, 60)])[:, None]
    >>> nm.bootstrap_test(nm.GaussianMixture(1), x, n_bootstrap=19, random_state=0).p_value
    0.05
    """
    base = copy_of(estimator)
    size = integer("n_components", base.n_components if n_components is None else n_components, 1)
    draws = integer("n_bootstrap", n_bootstrap, 1)
    problem = base._problem(X, None, sample_weight)
    if sample_weight is not None and not np.array_equal(
        counts := np.asarray(sample_weight, dtype=float), counts.round()
    ):
        raise DataError(
            "sample_weight must be whole numbers, how often each row occurs: a fraction of a row cannot be simulated"
        )
    if problem.table.given is not None:
        raise ValueError("a mixture with covariates cannot be simulated without a model of these: leave them out")
    check_size(problem, size + 1)
    rng = base._rng(random_state)
    hole = np.isnan(problem.table.to_array())
    if problem.weight is not None:
        hole = hole.repeat(problem.weight.astype(int), axis=0)
    with double_precision():
        settings = base._settings_for_sweep(problem, None)
        pair = _fitted(base, problem, settings, size, rng, None)
        _check_given(pair)
        null = pair.null
        coarse = replace(settings, tol=max(settings.tol, _COARSE))
        found, unfinished = [], 0
        for _ in range(draws):
            simulated = _simulated(null, problem, hole, rng)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # of single starts; told once, below
                one = _fitted(base, simulated, coarse, size, rng, null)
            if one.usable:
                found.append(one.statistic)
                unfinished += not one.finished
    _tell(draws, len(found), unfinished)
    statistics = np.array(found)
    p_value = float((1 + np.count_nonzero(statistics >= pair.statistic)) / (1 + len(statistics)))
    return BootstrapTest(pair.statistic, statistics, p_value, null, pair.alternative)


@final
@dataclass(frozen=True)
class _Pair:
    """Both sizes fitted to one table."""

    null: Any
    alternative: Any

    @property
    def statistic(self) -> float:
        return 2 * max(self.alternative.log_likelihood_ - self.null.log_likelihood_, 0.0)

    @property
    def usable(self) -> bool:
        return all(_usable(one.status_) for one in (self.null, self.alternative))

    @property
    def finished(self) -> bool:
        return all(one.status_ is not Status.MAX_ITERATIONS for one in (self.null, self.alternative))


def _usable(status: Status) -> bool:
    return status not in (Status.DEGENERATE, Status.NOT_FINITE)


def _fitted(
    base: MixtureEstimator, problem: Problem, settings: Settings, size: int, rng: np.random.Generator, truth: Any
) -> _Pair:
    """Both sizes fitted to a table; where that collapses, from random starts, whose components begin wide."""
    pair = _once(base, problem, settings, size, rng, truth)
    for _ in range(_RETRIES):
        if pair.usable:
            break
        pair = _once(base, problem, replace(settings, init_params="random"), size, rng, truth)
    return pair


def _once(
    base: MixtureEstimator, problem: Problem, settings: Settings, size: int, rng: np.random.Generator, truth: Any
) -> _Pair:
    """Both sizes from ``n_init`` starts, and from one start each that knows of the other size or of the truth."""
    fits = fit_mixtures(problem, settings, [size, size + 1], rng)
    fewer = fits[size]
    if size > 1:  # one component has one maximum
        if truth is None:
            start = _joined(_posterior(_adopted(base, fits[size + 1], size + 1), problem))
        else:
            start = _posterior(truth, problem)
        fewer = _better(fewer, _from(start, problem, settings, rng))
    null = _adopted(base, fewer, size)
    start = _divided(_posterior(null, problem), problem, rng)
    alternative = _adopted(base, _better(fits[size + 1], _from(start, problem, settings, rng)), size + 1)
    return _Pair(null, alternative)


def _from(start: np.ndarray, problem: Problem, settings: Settings, rng: np.random.Generator) -> Fit:
    """The fit that begins at these responsibilities, shape (n_rows, size)."""
    size = start.shape[1]
    fit = fit_mixtures(problem, replace(settings, init_params=start), [size], rng)[size]
    if fit.status is Status.INTERRUPTED:
        raise KeyboardInterrupt  # half a test is none
    return fit


def _better(one: Fit, other: Fit) -> Fit:
    """The higher objective, if it is that of a fit."""
    if one.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    return max(one, other, key=lambda fit: (_usable(fit.status), fit.objective))


def _adopted(base: MixtureEstimator, fit: Fit, size: int) -> Any:
    fitted = copy(base).set_params(n_components=size)
    fitted._adopt(fit)
    return fitted


def _posterior(fitted: Any, problem: Problem) -> np.ndarray:
    """p(z = k | observed cells) of the rows of a problem, shape (n_rows, K), without a background's."""
    return fitted._posterior(problem.table)[:, fitted._model.family.background :]


def _joined(posterior: np.ndarray) -> np.ndarray:
    """The two components that share most of their rows as one."""
    shared = np.triu(posterior.T @ posterior, 1)
    share = np.sqrt(np.diag(posterior.T @ posterior))
    a, b = np.unravel_index(np.argmax(shared / np.outer(share, share)), shared.shape)
    out = np.delete(posterior, b, axis=1)
    out[:, a] += posterior[:, b]
    return out


def _divided(posterior: np.ndarray, problem: Problem, rng: np.random.Generator) -> np.ndarray:
    """One component, drawn by its weight, cut in two by k-means of its rows."""
    x = problem.table.to_array()
    weight = np.ones(len(x)) if problem.weight is None else problem.weight
    total = weight @ posterior
    k = rng.choice(len(total), p=total / total.sum())
    own = np.maximum(weight * posterior[:, k], np.finfo(float).tiny)
    scale = np.sqrt(problem.summary.variance)
    u = (x - problem.summary.mean) / np.where(scale > 0, scale, 1.0)
    side = responsibilities("kmeans", u, own, np.full(len(x), -1), 2, rng) / own[:, None]
    halves = posterior[:, k : k + 1] * ((1 - _BLUR) * side + _BLUR / 2)
    return np.column_stack([np.delete(posterior, k, axis=1), halves])


def _simulated(null: Any, problem: Problem, hole: np.ndarray, rng: np.random.Generator) -> Problem:
    """A table drawn from the null, with the holes of the given one; identical rows as one, where that saves much."""
    rows, _ = null.sample(len(hole), random_state=int(rng.integers(2**31)))
    x = rows if isinstance(rows, np.ndarray) else null._table(rows).to_array()
    x = np.where(hole, np.nan, x)
    summary = replace(
        problem.summary,
        n_rows=len(x),
        total_weight=float(len(x)),
        missing_per_row=np.bincount(hole.sum(axis=1), minlength=hole.shape[1] + 1),
    )
    return merged(Problem(ArrayTable(array=x, names=problem.table.names), summary, None, None))


def _check_given(pair: _Pair) -> None:
    """Refuse a table that cannot be tested; warn of fits that have not converged."""
    for fitted in (pair.null, pair.alternative):
        if not _usable(fitted.status_):
            raise DataError(
                f"the fit of {fitted.n_components} components is degenerate, so that its likelihood says nothing: test "
                'fewer components, choose a simpler structure, raise n_init, or give the estimator prior="default"'
            )
    if not pair.finished:
        warnings.warn("a fit to the table did not converge: raise max_iter", ConvergenceWarning, stacklevel=3)


def _tell(draws: int, kept: int, unfinished: int) -> None:
    if kept < draws:
        warnings.warn(
            f"{draws - kept} of {draws} simulated tables were left out, since fits to them collapsed: the p-value may "
            'be too small; raise n_init, or give the estimator prior="default"',
            NoumenaWarning,
            stacklevel=3,
        )
    if unfinished:
        warnings.warn(
            f"fits to {unfinished} of {draws} simulated tables did not converge: raise max_iter",
            ConvergenceWarning,
            stacklevel=3,
        )
