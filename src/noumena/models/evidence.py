"""Hyperparameters by evidence (MLE-II): precisions of a linear regression that maximise p(y | X, λ, β), weights out."""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Int

from ..core.errors import DataError
from ..core.result import Status, Trace
from ..core.threads import one_blas_thread
from .evidence_model import HELD, UNDETERMINED, EvidenceModel, Posterior, Rows, log_evidence, posterior
from .evidence_profile import Profile, best_noise, best_ratio, coordinates, orthogonal
from .evidence_steps import climb
from .second_moments import SecondMoments

METHODS = ("coordinate", "em", "mackay", "gradient")
#: Iterations after which EM, MacKay's steps and the gradient look for columns to prune.
_ROUND = 50


@final
@dataclass(frozen=True)
class Evidence:
    """Precisions at a maximum of the evidence, and the posterior of the weights given these.

    Attributes
    ----------
    precision : array, shape (groups,)
        λ of each group of columns, in 1 / (units of the weights)²; inf where the group is pruned.
    noise_precision : float
        β, in 1 / (units of y)².
    mean : array, shape (p,)
        Posterior mean of the weights; exactly 0 where pruned.
    covariance : array, shape (p, p)
    intercept : float
        ȳ − x̄ᵀm.
    log_evidence : float
        log p(y | X, λ, β) in nats, exact, constants kept.
    effective : array, shape (groups,)
        γ_g, how many of the group's weights the rows determine (MacKay 1992, Neural Comput. 4:415).
    status : Status
        ``DEGENERATE`` where the residual variance is held at its floor: the columns explain y without error.
        ``FELL``, of EM and MacKay's steps, where it is small enough for rounding to hide the way up; the best point is
        kept.
    trace : Trace
        The log evidence at each iteration.
    """

    precision: Float[np.ndarray, " groups"]
    noise_precision: float
    mean: Float[np.ndarray, " p"]
    covariance: Float[np.ndarray, "p p"]
    intercept: float
    log_evidence: float
    effective: Float[np.ndarray, " groups"]
    status: Status
    trace: Trace

    @property
    def pruned(self) -> Bool[np.ndarray, " groups"]:
        """Groups that the evidence wants no weights of."""
        return np.isinf(self.precision)


def maximise_evidence(
    moments: SecondMoments,
    group: Int[np.ndarray, " p"] | None = None,
    *,
    method: str = "coordinate",
    intercept: str = "integrated",
    tol: float = 1e-6,
    max_iter: int = 5000,
) -> Evidence:
    """Prior precisions λ_g and noise precision β of y ~ N(b + Xw, I/β), w_j ~ N(0, 1/λ_g), of the largest evidence.

    With one group this is ridge regression whose penalty λ/β is chosen by the evidence; with a group for each column,
    automatic relevance determination (ARD), whose evidence has many local maxima. The start is the best single ratio
    λ/β, of standardised columns for ARD. Where λ_g goes to infinity the group is pruned: its weights are 0.

    Parameters
    ----------
    moments : SecondMoments
    group : array of int, shape (p,), optional
        Of each column: 0, 1, …, none left out; one group by default, ``np.arange(p)`` for ARD.
    method : {"coordinate", "em", "mackay", "gradient"}
        Maximise over one λ_g at a time and β with it, in closed form for single columns; EM with w as the latent
        variable, accelerated; MacKay's fixed point, a fall taken back by a step of EM; L-BFGS over log λ and log β.
    intercept : {"integrated", "profiled"}
        What becomes of b. Integrated out under a flat density of 1 in units of y; or at its maximum, which is the
        evidence of the centred response that scikit-learn reports: higher by ½ log(nβ/2π) at the same precisions, and
        without a bound where there are as many columns as rows. Without an intercept both are the same.
    tol : float
        Projected remaining gain of the log evidence, in nats, at which the search has converged.
    max_iter : int
        Most iterations: sweeps over all groups, or steps.

    Raises
    ------
    ValueError
        For a method or treatment of the intercept that is not among these, or groups with gaps.
    DataError
        Where too few rows are left to learn a variance from.

    References
    ----------
    MacKay (1992), Neural Comput. 4:415; Tipping & Faul (2003), AISTATS; Bishop (2006), sections 3.5, 7.2 and 9.3.4.
    """
    for name, value, known in (("method", method, METHODS), ("intercept", intercept, ("integrated", "profiled"))):
        if value not in known:
            raise ValueError(f"{name}={value!r}: choose {', '.join(map(repr, known))}")
    p = len(moments.cross)
    group = np.zeros(p, dtype=int) if group is None else np.asarray(group)
    if group.shape != (p,) or not np.array_equal(np.unique(group), np.arange(group.max(initial=-1) + 1)):
        raise ValueError(f"group must hold a number 0, 1, … for each of the {p} columns, and leave none out")
    integrated = moments.intercept and intercept == "integrated"
    count = moments.total_weight - integrated
    if count <= 1:
        raise DataError(
            f"rows of total weight {moments.total_weight:g} are too few to learn a residual variance from: add rows"
        )
    constant = -0.5 * float(np.log(moments.total_weight)) if integrated else 0.0
    with one_blas_thread():  # the matrices are small, and its other threads wait for each other on busy cores
        found = _Search(moments, count, constant, group, method, tol, max_iter).outcome()
    return replace(found, intercept=float(moments.response_centre - moments.centre @ found.mean))


class _Search:
    """One maximisation, in the basis that suits it: a single group's columns are made orthogonal."""

    def __init__(
        self,
        moments: SecondMoments,
        count: float,
        constant: float,
        group: np.ndarray,
        method: str,
        tol: float,
        max_iter: int,
    ) -> None:
        self._group, self._method, self._tol, self._left = group, method, tol, max_iter
        self._basis, self._scale = None, np.ones(len(group))
        single = group.max(initial=0) == 0
        if not single:
            own = np.diagonal(moments.gram)
            self._scale = np.sqrt(np.where(own > 0, own / count, 1.0))
        gram = moments.gram if single else moments.gram / np.outer(self._scale, self._scale)
        self._strength, basis = orthogonal(gram)
        length = np.sqrt(self._strength)
        response = basis.T @ (moments.cross / self._scale) / np.where(length > 0, length, np.inf)
        rest = max(moments.square - float(response @ response), 0.0)
        if single:
            self._basis, root = basis, length
        else:
            root = length[:, None] * basis.T * self._scale
            root[:, moments.constant] = 0.0
        self._rows = Rows.of(root, response, rest, count, constant)

    def outcome(self) -> Evidence:
        """The maximum found from the best single ratio; the intercept is left to the caller."""
        start = self._start()
        if self._method == "coordinate":
            found = self._by_coordinates(start)
            noise = best_noise(self._rows, found.ratio[self._group])
            variance = found.ratio / noise
        else:
            variance, noise, found = self._by_steps(start)
        end = posterior(self._rows, variance[self._group], noise)
        held = noise * self._rows.least > HELD
        covariance, mean = end.covariance, end.mean
        if self._basis is not None:
            mean, covariance = self._basis @ mean, (self._basis * covariance) @ self._basis.T
        return Evidence(
            np.divide(1.0, variance, out=np.full(len(variance), np.inf), where=variance > 0),
            noise,
            mean,
            covariance,
            0.0,
            log_evidence(self._rows, end, noise),
            np.bincount(self._group, 1 - end.free),
            Status.DEGENERATE if held else found.status,
            found.trace,
        )

    def _start(self) -> np.ndarray:
        """The best ratio for all groups alike, for columns of standard deviation 1 where there are several groups."""
        rows = self._rows
        ratio = best_ratio(self._strength, rows.response, rows.rest, rows.count, rows.least_square)
        if self._basis is not None:
            return np.array([ratio])
        if ratio == 0:  # together they explain nothing, but one of them may
            ratio = 1 / float(rows.count)
        return ratio * np.bincount(self._group) / np.bincount(self._group, self._scale**2)

    def _by_coordinates(self, start: np.ndarray) -> Profile:
        if self._basis is None:
            return coordinates(self._rows, self._group, start, self._left, self._tol)
        noise = best_noise(self._rows, start[self._group])
        value = log_evidence(self._rows, posterior(self._rows, start[self._group] / noise, noise), noise)
        return Profile(start, Status.CONVERGED, Trace(np.array([value]), np.ones(1, dtype=bool)))

    def _by_steps(self, start: np.ndarray) -> tuple[np.ndarray, float, Profile]:
        """EM, MacKay or gradient in rounds, after each of which groups that the evidence is better without are pruned.

        Towards an infinite precision EM creeps: λ grows by a constant at each step (Tipping 2001, J. Mach. Learn. Res.
        1:211). Taking the step to the end raises the evidence too.
        """
        noise = best_noise(self._rows, start[self._group])
        variance, status, traces = start / noise, Status.CONVERGED, []
        strength = self._rows.gram if self._basis is not None else np.diagonal(self._rows.gram)
        variance[np.bincount(self._group, strength) == 0] = 0.0
        while np.any(variance > 0):
            kept = variance > 0
            columns = np.flatnonzero(kept[self._group])
            group = (np.cumsum(kept) - 1)[self._group[columns]]
            rows = self._rows if kept.all() else self._rows.columns(columns)
            model = EvidenceModel(
                1 / variance[kept], np.asarray(noise), tuple(group.tolist()), rows.gram.ndim == 1, rows.least
            )
            steps = min(self._left, _ROUND) if self._tol > 0 else self._left
            fit = climb(self._method, model, rows.block(), steps, self._tol)
            assert isinstance(fit.model, EvidenceModel)
            self._left -= max(len(fit.trace) - 1, 1)
            traces.append(fit.trace)
            status, noise = fit.status, float(fit.model.noise)
            variance[kept] = 1 / np.asarray(fit.model.precision)
            found = posterior(rows, variance[self._group[columns]], noise)
            gone = np.zeros(len(kept), dtype=bool)
            gone[kept] = _better_without(rows, group, found, 1 / variance[kept])
            variance[gone] = 0.0
            if (status is not Status.MAX_ITERATIONS and not gone.any()) or self._left <= 0:
                break
        else:
            noise = best_noise(self._rows, variance[self._group])
        objective = np.concatenate([trace.objective for trace in traces]) if traces else np.empty(0)
        accepted = np.concatenate([trace.accepted for trace in traces]) if traces else np.empty(0, dtype=bool)
        return variance, noise, Profile(variance, status, Trace(objective, accepted))


def _better_without(rows: Rows, group: np.ndarray, found: Posterior, precision: np.ndarray) -> np.ndarray:
    """Groups whose removal, one after the other, does not lower the evidence, and towards whose removal it rises.

    Removing group g costs ½ [log |λ_g Σ_gg| + m_gᵀ Σ_gg⁻¹ m_g] nats. With C_g the covariance of y without the group,
    the slope of the evidence against 1/λ_g at 0 is ½ [‖X_gᵀC_g⁻¹y‖² − tr X_gᵀC_g⁻¹X_g], where X_gᵀC_g⁻¹y = Σ_gg⁻¹ m_g
    and X_gᵀC_g⁻¹X_g = Σ_gg⁻¹ − λ_g I (for single columns the q and s of Tipping & Faul 2003). What is left has the
    posterior given w_g = 0: of columns that can stand for each other one stays.
    """
    out = np.zeros(len(precision), dtype=bool)
    diagonal = found.covariance.ndim == 1
    mean, covariance = found.mean.copy(), found.covariance.copy()
    for g in range(len(precision)):
        own = np.flatnonzero(group == g)
        block = np.diag(covariance[own]) if diagonal else covariance[np.ix_(own, own)]
        inverse = np.linalg.inv(block)
        slope = inverse @ mean[own]
        cost = np.linalg.slogdet(precision[g] * block)[1] + mean[own] @ slope
        unwanted = cost <= 0 and slope @ slope <= np.trace(inverse) - precision[g] * len(own)
        determined = len(own) - precision[g] * np.trace(block)
        out[g] = unwanted or determined <= UNDETERMINED * len(own)
        if out[g] and not diagonal:
            mean -= covariance[:, own] @ slope
            covariance -= covariance[:, own] @ inverse @ covariance[own]
    return out
