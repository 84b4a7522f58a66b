"""Units that are alike but not the same: means of groups, known up to a standard error, shrunk towards each other."""

import warnings
from typing import Any, Self

import numpy as np
from scipy.special import ndtr, ndtri
from sklearn.utils.validation import check_is_fitted

from ..core.accelerate import accelerator
from ..core.errors import ConvergenceWarning, DataError, NoumenaError, NoumenaWarning
from ..core.result import Status, Trace
from ..data.coded import Columns, holds_numbers, read_columns
from ..data.columns import from_arrow, positions
from ..models.chains import effective_sample_size, r_hat, summary
from ..models.hierarchical_gibbs import Draws, gibbs
from ..models.hierarchical_normal import Units, maximise, standard_errors
from ..models.standard_errors import StandardErrors
from .fitted_estimator import StoredEstimator
from .parameters import generator, integer, real

#: Chains have converged below this R̂ and above this number of effective draws (Vehtari et al. 2021, section 4).
_R_HAT, _EFFECTIVE = 1.01, 400
#: Halvings of an interval that brackets a quantile.
_HALVINGS = 60


class HierarchicalNormal(StoredEstimator):
    """Normal effects θ_j of units, each measured with a known standard error: y_j ~ N(θ_j, s_j²), θ_j ~ N(μ, τ²).

    The local unknowns θ_j get posteriors. The global ones, μ and τ, get a point estimate (empirical Bayes) or, with θ,
    a posterior by Gibbs sampling.

    Parameters
    ----------
    response : str or int, default=0
        Column of y, by name or position. A missing cell is a unit that was not measured: its posterior is the prior.
    standard_error : str or int, default=1
        Column of s, in units of y; above 0.
    unit : str or int, optional
        Column of the units' names; numbered from 0 by default.
    inference : {"em", "gibbs"}, default="em"
        μ and τ at the maximum of the marginal likelihood; or draws from the posterior of all unknowns, under a prior
        flat in μ and in τ ≥ 0 (Gelman et al. 2013, section 5.4), proper from three measured units on.
    restricted : bool, default=False
        Whether μ is integrated out before τ is maximised over (REML), and intervals allow for its uncertainty. For
        ``"em"``.
    tol : float, default=1e-8
        Projected remaining gain in log likelihood, in nats, at which EM has converged.
    max_iter : int, default=5000
    accelerate : {"squarem", "anderson", None}, default="squarem"
    n_chains, n_draws, n_warmup : int, default=4, 2000, 500
        Of ``"gibbs"``: chains, draws kept of each, and draws dropped before.
    random_state : int, RandomState or None
        For ``"gibbs"`` and `sample`.

    Attributes
    ----------
    mean_ : float
        μ; its posterior mean for ``"gibbs"``.
    spread_ : float
        τ; its posterior mean for ``"gibbs"``.
    at_edge_ : bool
        Whether the likelihood has its maximum at τ = 0, so that all units are estimated to be the same.
    log_likelihood_ : float
        log p(y | μ, τ) in nats, or log p(y | τ) where μ is integrated out under a density of 1 in units of y; exact,
        constants kept. For ``"em"``.
    trace_ : Trace
        Of the best of four starts; its last entry is the step to the edge, where that was taken. For ``"em"``.
    status_ : Status
    converged_ : bool
        For ``"gibbs"`` converged means: R̂ at most 1.01 and 400 effective draws at least, of every unknown.
    draws_ : dict
        ``mean`` and ``spread``, shape (n_chains, n_draws), and ``effects``, shape (n_chains, n_draws, units). For
        ``"gibbs"``.
    n_units_ : int
        Measured ones.

    References
    ----------
    Rubin (1981), J. Educ. Stat. 6:377; Gelman et al. (2013), Bayesian Data Analysis, chapter 5; Efron & Morris (1975),
    J. Am. Stat. Assoc. 70:311.

    Examples
    --------
    >>> import noumena as nm
    >>> hn = nm.HierarchicalNormal().fit([[30.0, 4.0], [12.0, 5.0], [-6.0, 4.0], [20.0, 9.0]])
    >>> round(hn.mean_, 1), round(hn.spread_, 1)
    (13.6, 12.9)
    >>> hn.predict([[20.0, 9.0]]).round(1)
    array([17.9])
    """

    mean_: float
    spread_: float
    at_edge_: bool
    log_likelihood_: float
    trace_: Trace
    draws_: dict[str, np.ndarray]

    def __init__(
        self,
        response: str | int = 0,
        standard_error: str | int = 1,
        *,
        unit: str | int | None = None,
        inference: str = "em",
        restricted: bool = False,
        tol: float = 1e-8,
        max_iter: int = 5000,
        accelerate: str | None = "squarem",
        n_chains: int = 4,
        n_draws: int = 2000,
        n_warmup: int = 500,
        random_state: Any = None,
    ) -> None:
        self.response = response
        self.standard_error = standard_error
        self.unit = unit
        self.inference = inference
        self.restricted = restricted
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.n_chains = n_chains
        self.n_draws = n_draws
        self.n_warmup = n_warmup
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit μ and τ.

        Parameters
        ----------
        X : table, shape (units, columns)
            With the columns that the parameters name; others are not read.
        y
            Not used: the response is a column of the table.

        Returns
        -------
        self

        Raises
        ------
        DataError
            For a standard error that is missing or not above 0, an infinite cell, a column without numbers, or fewer
            than two measured units (three for ``"gibbs"``); names the column and the row.

        Warns
        -----
        ConvergenceWarning
            Where ``max_iter``, or ``n_draws``, was not enough.
        NoumenaWarning
            Where τ is estimated as 0: every unit's posterior is then the common mean, and surer than it should be.
        """
        if self.inference not in ("em", "gibbs"):
            raise ValueError(f'inference={self.inference!r}: choose "em" or "gibbs"')
        if self.inference == "gibbs" and self.restricted:
            raise ValueError(
                'restricted=True is for inference="em": draws allow for the uncertainty of the mean anyway'
            )
        accelerator(self.accelerate)  # refuses unknown names
        names, response, error = self._read(X)
        seen = ~np.isnan(response)
        least = 2 if self.inference == "em" else 3
        if seen.sum() < least:
            raise DataError(
                f"{seen.sum()} measured units are too few to tell how units differ: at least {least} are needed"
                + (" for a posterior under flat priors" if least == 3 else "")
            )
        self._names, self._response, self._error = names, response, error
        self.n_units_ = int(seen.sum())
        units = Units(response[seen], error[seen] ** 2)
        if self.inference == "em":
            self._maximise(units)
        else:
            self._draw(units)
        return self

    def _maximise(self, units: Units) -> None:
        found = maximise(
            units,
            restricted=bool(self.restricted),
            tol=real("tol", self.tol, 0.0),
            max_iter=integer("max_iter", self.max_iter, 1),
            accelerate=self.accelerate,
        )
        self.mean_, self.spread_, self.at_edge_ = found.mean, found.spread, found.at_edge
        self.log_likelihood_, self.trace_, self.status_ = found.log_likelihood, found.trace, found.status
        if self.at_edge_:
            warnings.warn(
                "the likelihood is largest where the units do not differ at all (spread 0): their posteriors are the "
                'common mean, and too sure; inference="gibbs" averages over the spreads that the units allow',
                NoumenaWarning,
                stacklevel=3,
            )
        if not self.status_.ok:
            warnings.warn(f"after {len(self.trace_) - 1} iterations: {self.status_.message}", ConvergenceWarning, 3)

    def _draw(self, units: Units) -> None:
        draws = gibbs(
            units,
            integer("n_chains", self.n_chains, 2),
            integer("n_draws", self.n_draws, 10),
            integer("n_warmup", self.n_warmup, 0),
            generator(self.random_state),
        )
        self._adopt_draws(draws)
        told = [(r_hat(one), effective_sample_size(one), name) for name, one in self._chains()]
        worst, (fewest, poor) = max(told), min((effective, name) for _, effective, name in told)
        self.status_ = Status.CONVERGED if worst[0] <= _R_HAT and fewest >= _EFFECTIVE else Status.MAX_ITERATIONS
        if self.status_ is not Status.CONVERGED:
            warnings.warn(
                f"R̂ is {worst[0]:.3f} for {worst[2]}, and {poor} has {fewest:.0f} effective draws: raise n_draws until "
                f"R̂ is at most {_R_HAT} and effective draws are {_EFFECTIVE} at least",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _adopt_draws(self, draws: Draws) -> None:
        self.draws_ = draws._asdict()
        self.mean_, self.spread_, self.at_edge_ = float(draws.mean.mean()), float(draws.spread.mean()), False

    def _chains(self) -> list[tuple[str, np.ndarray]]:
        """Draws of each unknown, by what messages call it."""
        measured = np.flatnonzero(~np.isnan(self._response))
        effects = [(f"unit {self._names[j]}", self.draws_["effects"][..., i]) for i, j in enumerate(measured)]
        return [("mean", self.draws_["mean"]), ("spread", self.draws_["spread"]), *effects]

    def _read(self, X: Any) -> tuple[list[Any], np.ndarray, np.ndarray]:
        """Names, y and s of a table, checked."""
        columns = read_columns(X)
        asked = [self.response, self.standard_error]
        response, error = (_numbers(columns, i) for i in positions(asked, columns.names, len(columns.arrays)))
        bad = ~np.isnan(response) & ~(error > 0)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"the standard error ({self.standard_error!r}) is {error[row]:g} at row {row}: a measured unit needs "
                "one above 0; leave its response empty if it was not"
            )
        if self.unit is None:
            return list(range(len(response))), response, error
        (where,) = positions([self.unit], columns.names, len(columns.arrays))
        found = columns.arrays[where].to_pylist()
        return [name if isinstance(name, int) else str(name) for name in found], response, error

    def _global(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values of μ and τ that the posterior is averaged over, and the variance of μ given each; shapes (m, 1)."""
        if self.inference == "gibbs":
            mean, spread = (self.draws_[name].reshape(-1, 1) for name in ("mean", "spread"))
            return mean, spread, np.zeros_like(mean)
        mean, spread = np.full((1, 1), self.mean_), np.full((1, 1), self.spread_)
        return mean, spread, np.full((1, 1), self._units().pooled(self.spread_)[1] if self.restricted else 0.0)

    def _units(self) -> Units:
        seen = ~np.isnan(self._response)
        return Units(self._response[seen], self._error[seen] ** 2)

    def _effects(self, response: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each θ for each value of μ and τ, shapes (m, units)."""
        mean, spread, uncertain = self._global()
        share = np.where(np.isnan(response), 0.0, spread**2 / (np.where(error > 0, error, 1.0) ** 2 + spread**2))
        effect = mean + share * np.nan_to_num(response - mean)
        return effect, np.sqrt((1 - share) * spread**2 + (1 - share) ** 2 * uncertain)

    def posterior(self, X: Any = None, *, level: float = 0.95) -> Any:
        """Posterior of the effect θ of each unit.

        Parameters
        ----------
        X : table, optional
            Other units, with the columns of the fit; those fitted by default. A unit without a response is a new one,
            known by μ and τ only. What other units would add to μ and τ is not taken in.
        level : float
            Probability that the interval holds.

        Returns
        -------
        pyarrow.Table
            ``unit``, ``mean``, ``standard_deviation``, and the central interval's ends ``lower`` and ``upper``. Given μ
            and τ for ``"em"``; for ``"gibbs"`` averaged over their draws.
        """
        import pyarrow

        check_is_fitted(self, "mean_")
        if not 0 < level < 1:
            raise ValueError(f"level={level!r} must be a probability between 0 and 1")
        names, response, error = (self._names, self._response, self._error) if X is None else self._read(X)
        effect, deviation = self._effects(response, error)
        mean = effect.mean(axis=0)
        tail = (1 - level) / 2
        return pyarrow.table(
            {
                "unit": names,
                "mean": mean,
                "standard_deviation": np.sqrt(np.mean(deviation**2, axis=0) + np.var(effect, axis=0)),
                "lower": _quantile(effect, deviation, tail),
                "upper": _quantile(effect, deviation, 1 - tail),
            }
        )

    def predict(self, X: Any) -> np.ndarray:
        """Posterior mean of the effect of each unit of a table, shape (units,); μ for units without a response."""
        check_is_fitted(self, "mean_")
        _, response, error = self._read(X)
        return self._effects(response, error)[0].mean(axis=0)

    def sample(self, standard_error: Any, random_state: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Draw new units that are measured with these standard errors.

        Parameters
        ----------
        standard_error : array, shape (units,)
            In units of y; not below 0.
        random_state : int, RandomState or None
            The estimator's own where None.

        Returns
        -------
        y, effects : array, shape (units,)
            Each unit with a draw of μ and τ of its own for ``"gibbs"``.
        """
        check_is_fitted(self, "mean_")
        error = np.atleast_1d(np.asarray(standard_error, dtype=float))
        if error.ndim != 1 or not (error >= 0).all():
            raise ValueError("standard_error must be a list of numbers, none below 0")
        rng = self._rng(random_state)
        mean, spread, uncertain = (part[:, 0] for part in self._global())
        which = rng.integers(len(mean), size=len(error))
        # a draw of μ is common to all units; with point estimates it is the estimate itself
        centre = mean[which] + np.sqrt(uncertain[0]) * rng.standard_normal()
        effects = centre + spread[which] * rng.standard_normal(len(error))
        return effects + error * rng.standard_normal(len(error)), effects

    def standard_errors(self) -> StandardErrors:
        """Standard errors of μ and τ from the observed information: ``errors.mean`` and ``errors.spread``.

        NaN for τ at the edge, where it has none. For ``"em"``; `diagnostics` has posterior standard deviations.
        """
        check_is_fitted(self, "mean_")
        if self.inference == "gibbs":
            raise NoumenaError("draws have posterior standard deviations, not standard errors: see diagnostics()")
        errors = standard_errors(self._units(), self.mean_, self.spread_, restricted=bool(self.restricted))
        return StandardErrors(dict(zip(("mean", "spread"), errors, strict=True)), "observed")

    def diagnostics(self) -> Any:
        """What the draws say of each unknown, and what they are worth. For ``"gibbs"``.

        Returns
        -------
        pyarrow.Table
            ``unknown``, ``mean``, ``standard_deviation``, quantiles ``lower`` (2.5%), ``median`` and ``upper`` (97.5%),
            ``monte_carlo_error`` of the mean, ``effective_draws`` and ``r_hat``.
        """
        import pyarrow

        check_is_fitted(self, "mean_")
        if self.inference == "em":
            raise NoumenaError('point estimates have no draws to judge: fit with inference="gibbs"')
        rows = [{"unknown": name, **summary(draws)} for name, draws in self._chains()]
        return pyarrow.Table.from_pylist(rows)

    def _to_state(self) -> dict[str, Any]:
        state = {"names": self._names, "response": self._response, "error": self._error, "status": self.status_.value}
        if self.inference == "gibbs":
            return state | {"draws": dict(self.draws_)}
        return state | {
            "mean": self.mean_,
            "spread": self.spread_,
            "at_edge": self.at_edge_,
            "log_likelihood": self.log_likelihood_,
            "objective": self.trace_.objective,
            "accepted": self.trace_.accepted,
        }

    def _from_state(self, state: dict[str, Any]) -> None:
        self._names, self._response, self._error = state["names"], state["response"], state["error"]
        self.status_ = Status(state["status"])
        self.n_units_ = int(np.sum(~np.isnan(self._response)))
        if "draws" in state:
            self._adopt_draws(Draws(**state["draws"]))
            return
        self.mean_, self.spread_, self.at_edge_ = state["mean"], state["spread"], state["at_edge"]
        self.log_likelihood_, self.trace_ = state["log_likelihood"], Trace(state["objective"], state["accepted"])


def _numbers(columns: Columns, position: int) -> np.ndarray:
    """A column as float64, NaN where missing."""
    name, array = columns.described(position), columns.arrays[position]
    if not holds_numbers(array):
        raise DataError(f"{name} does not hold numbers: name the columns by response= and standard_error=")
    values = from_arrow(array)
    if np.isinf(values).any():
        raise DataError(f"{name} holds infinity at row {int(np.flatnonzero(np.isinf(values))[0])}: leave it empty")
    return values


def _quantile(mean: np.ndarray, deviation: np.ndarray, level: float) -> np.ndarray:
    """Of equal mixtures of normals over the first axis, by bisection; shape (units,)."""
    ends = mean + deviation * ndtri(level)
    low, high = ends.min(axis=0), ends.max(axis=0)  # the mixture's lies between those of its parts
    if len(mean) == 1:
        return low
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        below = ndtr((middle - mean) / deviation).mean(axis=0) < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)
