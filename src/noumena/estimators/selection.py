"""How many components, and which covariance structure: the whole sweep, and the best of it."""

import warnings
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import pyarrow as pa
from sklearn.utils import check_random_state

from ..core.errors import ConvergenceWarning, DataError
from ..core.expectation import expectation
from ..core.fit import Progress
from ..core.lanes import stack
from ..core.result import Fit, Status
from ..families.covariance import STRUCTURES, Structure
from ..models.mixture import Mixture, evaluate
from .mixture_fitter import MixtureFitter, double_precision
from .mixture_fitting import Problem, Settings, fit_mixtures
from .parameters import check_size, copy_of, integer

_NOT_COMPARED = (Status.DEGENERATE, Status.NOT_FINITE, Status.FELL)
CRITERIA = ("bic", "icl", "aic", "cv")


@final
@dataclass(frozen=True)
class Selection:
    """A sweep and its best model.

    Attributes
    ----------
    estimator_ : estimator
        The best candidate, fitted on all rows.
    table_ : pyarrow.Table
        One row per candidate. `select_network` says what its columns are for networks; for mixtures: n_components,
        covariance (if the estimator has it), log_likelihood, n_parameters, bic, icl, aic (all three: lower is better),
        cv_log_likelihood (nats per held-out row, higher is better; null unless asked for), status, n_iter.
        A degenerate candidate keeps its log likelihood, but no criterion: it is not compared.
    criterion : str
    """

    estimator_: Any
    table_: pa.Table
    criterion: str


def select(
    estimator: Any,
    X: Any,
    *,
    n_components: int | Iterable[int] = range(1, 10),
    covariance: str | Sequence[str] | None = None,
    criterion: str = "bic",
    y: Any = None,
    sample_weight: Any = None,
    n_folds: int = 5,
    progress: Progress | None = None,
) -> Selection:
    """Fit every combination of a number of components and a covariance structure, and choose.

    All numbers of components run side by side, padded to the largest, so that a structure compiles once.

    Parameters
    ----------
    estimator : GaussianMixture, Mixture, …
        Its other parameters hold for every candidate.
    X : table
    n_components : int or iterable of int, default=1..9
    covariance : str or sequence of str, optional
        Structures to try; ``"all"`` for the 14 (E and V for one column); the estimator's own where None.
    criterion : {"bic", "icl", "aic", "cv"}, default="bic"
        ``"cv"``: log likelihood of held-out rows, by ``n_folds``-fold cross-validation.
    y, sample_weight : array, optional
        As in `GaussianMixture.fit`.
    n_folds : int, default=5
    progress : callable, optional
        Called after every iteration of the structure at work.

    Returns
    -------
    Selection

    Raises
    ------
    DataError
        Where no candidate could be fitted.

    Examples
    --------
    >>> import noumena as nm
    >>> x = [[0.0], [0.1], [0.3], [0.2], [5.0], [5.2], [5.1], [5.4]]
    >>> best = nm.select(nm.GaussianMixture(random_state=0), x, n_components=[1, 2], covariance=["E"])
    >>> best.estimator_.n_components
    2
    """
    if criterion not in CRITERIA:
        raise ValueError(f"criterion={criterion!r}: choose among {', '.join(CRITERIA)}")
    if not isinstance(estimator, MixtureFitter):
        raise TypeError(
            f"select compares mixtures, {type(estimator).__name__} is none: for Bayesian networks use select_network"
        )
    base = copy_of(estimator)
    problem = base._problem(X, y, sample_weight)
    sizes = [n_components] if isinstance(n_components, int | np.integer) else sorted(set(n_components))
    sizes = [integer("n_components", size, 1) for size in sizes]
    if not sizes:
        raise ValueError("n_components is empty: name at least one number of components")
    fitting = [size for size in sizes if _fits(problem, size)]
    if not fitting:
        check_size(problem, sizes[0])  # raises
    seed = check_random_state(base.random_state).randint(2**31)
    candidates: list[_Candidate] = []
    with double_precision():
        for name in _structures(covariance, base, problem.table.n_columns):
            if name is not None:
                base.set_params(covariance=name)
            settings = base._settings_for_sweep(problem, progress)
            try:
                swept = _swept(name, problem, settings, fitting, seed, n_folds if criterion == "cv" else None)
            except KeyboardInterrupt:  # outside the loop that keeps its best so far: what is finished is kept
                if not candidates:
                    raise
                break
            candidates += swept
            if any(one.fit.status is Status.INTERRUPTED for one in swept):
                break
        usable = [(value, one) for one in candidates if (value := one.value(criterion)) is not None]
        if not usable:
            raise DataError(
                "every candidate is degenerate: ask for fewer components, simpler structures, or give the estimator "
                'prior="default"'
            )
        sign = -1 if criterion == "cv" else 1
        best = min(usable, key=lambda scored: sign * scored[0])[1]
        chosen = copy(base).set_params(n_components=best.size)
        if best.structure is not None:
            chosen.set_params(covariance=best.structure)
        chosen._adopt(best.fit)
    if best.fit.status not in (Status.CONVERGED, Status.COMPLETED):
        warnings.warn(
            f"the best candidate ({best.structure}, {best.size}): {best.fit.status.message}", ConvergenceWarning, 2
        )
    return Selection(chosen, _as_table(candidates), criterion)


def _swept(
    structure: str | None, problem: Problem, settings: Settings, sizes: Sequence[int], seed: int, n_folds: int | None
) -> list["_Candidate"]:
    """Every size of one structure; with folds, each scored on held-out rows too."""
    fits = fit_mixtures(problem, settings, sizes, np.random.default_rng(seed))
    interrupted = any(fit.status is Status.INTERRUPTED for fit in fits.values())
    held_out = {} if n_folds is None or interrupted else _cross_validated(problem, settings, sizes, seed, n_folds)
    certainty = _certainty(problem, [fits[size].model for size in sizes])
    return [
        _Candidate.of(structure, size, fits[size], certain, problem, held_out.get(size))
        for size, certain in zip(sizes, certainty, strict=True)
    ]


@final
@dataclass(frozen=True)
class _Candidate:
    structure: str | None
    size: int
    fit: Fit
    log_likelihood: float
    n_parameters: int
    bic: float
    icl: float
    aic: float
    cv: float | None

    @classmethod
    def of(
        cls, structure: str | None, size: int, fit: Fit, certainty: float, problem: Problem, cv: float | None
    ) -> "_Candidate":
        model = fit.model
        assert isinstance(model, Mixture)
        df = model.n_parameters()
        bic = -2 * fit.bound + df * np.log(problem.summary.total_weight)
        aic = -2 * fit.bound + 2 * df
        return cls(structure, size, fit, fit.bound, df, bic, bic - 2 * certainty, aic, cv)

    def value(self, criterion: str) -> float | None:
        """The criterion, or None where the candidate is not to be compared."""
        value = getattr(self, criterion)
        if value is None or self.fit.status in _NOT_COMPARED or not np.isfinite(value):
            return None
        return float(value)


def _as_table(candidates: list[_Candidate]) -> pa.Table:
    columns: dict[str, list[Any]] = {
        "n_components": [one.size for one in candidates],
        **({} if candidates[0].structure is None else {"covariance": [one.structure for one in candidates]}),
        "log_likelihood": [one.log_likelihood for one in candidates],
        "n_parameters": [one.n_parameters for one in candidates],
        "bic": [one.value("bic") for one in candidates],
        "icl": [one.value("icl") for one in candidates],
        "aic": [one.value("aic") for one in candidates],
        "cv_log_likelihood": [one.value("cv") for one in candidates],
        "status": [one.fit.status.value for one in candidates],
        "n_iter": [max(len(one.fit.trace) - 1, 1) for one in candidates],
    }
    types = {"cv_log_likelihood": pa.float64(), "bic": pa.float64(), "icl": pa.float64(), "aic": pa.float64()}
    return pa.table({name: pa.array(values, types.get(name)) for name, values in columns.items()})


def _structures(covariance: str | Sequence[str] | None, base: MixtureFitter, d: int) -> Sequence[str | None]:
    """The covariance structures to try; one None where the estimator has none."""
    if "covariance" not in base.get_params():
        if covariance is not None:
            raise ValueError(f"{type(base).__name__} has no covariance structures: leave covariance out")
        return [None]
    if covariance is None:
        return [Structure.named(base.get_params()["covariance"]).name]
    if isinstance(covariance, str):
        if covariance != "all":
            return [covariance]
        return list(STRUCTURES) if d > 1 else ["E", "V"]
    return list(covariance)


def _fits(problem: Problem, size: int) -> bool:
    try:
        check_size(problem, size)
    except DataError:
        return False
    return True


def _certainty(problem: Problem, models: Sequence[Any]) -> list[float]:
    """Σ weight · log max_k p(z = k | x) of each model: what ICL adds to BIC."""
    totals = np.zeros(len(models))
    for block in problem.blocks(models[0].family, len(models[0].weights)):
        weight = np.asarray(block.weight)
        for i, model in enumerate(models):
            _, posterior = evaluate(model, block)
            totals[i] += float(np.sum(weight * np.log(np.asarray(posterior).max(axis=-1))))
    return totals.tolist()


def _cross_validated(
    problem: Problem, settings: Settings, sizes: Sequence[int], seed: int, n_folds: int
) -> dict[int, float]:
    """Log likelihood per held-out row of each size. Folds are weights of 0, so that all share one set of programs."""
    n = problem.table.n_rows
    folds = integer("n_folds", n_folds, 2)
    if n < 2 * folds:
        raise DataError(f"{n} rows are too few for {folds} folds: lower n_folds or use another criterion")
    weight = np.ones(n) if problem.weight is None else problem.weight
    fold = np.random.default_rng(seed).permutation(n) % folds
    total: dict[int, float] = dict.fromkeys(sizes, 0.0)
    for held in range(folds):
        train = Problem(problem.table, problem.summary, np.where(fold == held, 0.0, weight), problem.label)
        fits = fit_mixtures(train, settings, sizes, np.random.default_rng(seed))
        if any(fit.status is Status.INTERRUPTED for fit in fits.values()):
            raise KeyboardInterrupt  # half a cross-validation is none
        test = np.where(fold == held, weight, 0.0)
        models = stack([fits[size].model for size in sizes])
        first = fits[sizes[0]].model
        assert isinstance(first, Mixture)
        held_out = replace(problem, weight=test).blocks(first.family, len(first.weights) * len(sizes))
        bound, _ = expectation(models.for_bound(), held_out)
        for i, size in enumerate(sizes):
            total[size] += float(bound[i]) if fits[size].status not in _NOT_COMPARED else -np.inf
    return {size: value / float(weight.sum()) for size, value in total.items()}
