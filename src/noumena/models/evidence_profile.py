"""Evidence of a linear regression with the noise precision at its maximum: a function of the ratios r_g = β/λ_g.

y ~ N(0, V/β) with V = I + XRXᵀ. For given R the maximum over β is ν/(yᵀV⁻¹y), and the log evidence there is
−½ [ν log(2π yᵀV⁻¹y/ν) + ν + log |V|].
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg.blas import dger  # pyright: ignore[reportAttributeAccessIssue]
from scipy.optimize import minimize_scalar

from ..core.fit import remaining_gain, rounding
from ..core.result import Status, Trace
from .evidence_model import FLOOR, Rows, log_evidence, posterior

#: Ratios tried before the best is refined: as many, from where no weight is determined to where all are.
_GRID = 64


class Profile(NamedTuple):
    """Where a search ended.

    Attributes
    ----------
    ratio : array, shape (groups,)
        r, 0 where the evidence wants no such weights.
    status : Status
    trace : Trace
    """

    ratio: np.ndarray
    status: Status
    trace: Trace


def best_noise(rows: Rows, ratio: Float[np.ndarray, " p"]) -> float:
    """β = ν/(yᵀV⁻¹y), held where the residual variance would fall below its floor."""
    found = posterior(rows, ratio, 1.0)
    return float(rows.count / max(found.error + found.penalty, rows.least_square))


def misfit(square: float, least: float, count: float) -> float:
    """What yᵀV⁻¹y = ``square`` costs at the best β, twice and in nats: ν log of it, or, where β is held, its tangent.

    With ``least`` the smallest sum of squares, β = ν/max(square, least), and −ν log β + β square is this up to a
    constant.
    """
    return float(count * (np.log(max(square, least)) + min(square / least, 1.0) - 1))


def best_ratio(
    strength: Float[np.ndarray, " p"], response: Float[np.ndarray, " p"], rest: float, count: float, least: float
) -> float:
    """The ratio of one group of orthogonal columns at the maximum, all others fixed.

    Minimises `misfit` + log |V| over r ≥ 0, with yᵀV⁻¹y = rest + Σ response_j²/(1 + r d_j), log |V| = Σ log(1 + r d_j).

    Parameters
    ----------
    strength : array, shape (p,)
        d, squared lengths of the columns in the metric of the others' V.
    response : array, shape (p,)
        Of y along each column.
    rest : float
        Of yᵀV⁻¹y, along none.
    count : float
        ν.
    least : float
        yᵀV⁻¹y below which β is held.
    """
    d, along = strength[strength > 0], response[strength > 0] ** 2
    if len(d) == 0:
        return 0.0
    square = rest + float(along.sum())
    if len(d) == 1:
        # with v = 1/(1 + rd): ν log(rest + along v) − log v is least at v = rest/(along (ν − 1)); where that meets all
        # but ``least``, ν along v/least − log v is, at v = least/(along ν)
        v = max(rest, least * (1 - 1 / count)) / (along[0] * (count - 1)) if along[0] > 0 else 1.0
        return 0.0 if v >= 1 else (1 / v - 1) / d[0]

    def objective(log_ratio: float) -> float:
        inner = 1 + np.exp(log_ratio) * d
        return misfit(rest + float(np.sum(along / inner)), least, count) + float(np.log(inner).sum())

    grid = np.linspace(np.log(1e-6 / d.max()), np.log(1 / (FLOOR * d.min())), _GRID)
    tried = np.array([objective(point) for point in grid])
    best = int(tried.argmin())
    around = grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)]
    found = minimize_scalar(objective, bounds=around, method="bounded", options={"xatol": 1e-10})
    top, value = min((float(found.x), float(found.fun)), (grid[best], tried[best]), key=lambda pair: pair[1])
    return 0.0 if value >= misfit(square, least, count) else float(np.exp(top))


def coordinates(
    rows: Rows, group: np.ndarray, ratio: Float[np.ndarray, " groups"], max_iter: int, tol: float
) -> Profile:
    """Maximise over one ratio after the other, β with each of them; the evidence rises at every step.

    For single columns each step is in closed form, as in the fast marginal likelihood of Tipping & Faul (2003,
    AISTATS), but for β, which they hold fixed; a pruned column comes back where the evidence wants it.
    """
    sweep = _columns if len(ratio) == len(group) else _groups
    trace, gains, status = [_objective(rows, ratio[group])], [], None
    for _ in range(max_iter):
        ratio, value = _raised(sweep, rows, group, ratio, trace[-1], np.arange(len(ratio)))
        gain = value - trace[-1]
        trace.append(value)
        gains.append(gain)
        if tol > 0 and (abs(gain) <= _rounding(rows, ratio[group], value) or remaining_gain(gains) < tol):
            status = Status.CONVERGED
            break
    status = status or (Status.COMPLETED if tol <= 0 else Status.MAX_ITERATIONS)
    return Profile(ratio, status, Trace(np.array(trace), np.ones(len(trace), dtype=bool)))


def _raised(
    sweep: Callable[..., np.ndarray],
    rows: Rows,
    group: np.ndarray,
    ratio: np.ndarray,
    value: float,
    some: Int[np.ndarray, " some"],
) -> tuple[np.ndarray, float]:
    """The ratios after a sweep over ``some`` of the groups, and the log evidence there.

    Each step raises it in theory. Where columns explain all but the floor, the updates within a sweep lose their
    digits, and the evidence may fall: such a sweep is made again in halves, each from fresh products, down to single
    groups, of which those whose step still lowers the evidence are left where they are.
    """
    new = sweep(rows, group, ratio, some)
    found = _objective(rows, new[group])
    if found >= value - _rounding(rows, new[group], found):
        return new, found
    if len(some) > 1:
        for part in np.array_split(some, 2):
            ratio, value = _raised(sweep, rows, group, ratio, value, part)
    return ratio, value


def _rounding(rows: Rows, ratio: np.ndarray, value: float) -> float:
    """Rounding of the log evidence.

    yᵀV⁻¹y, a small rest of yᵀy where the columns explain nearly all, carries its own into it.
    """
    return float(rounding(np.array(value))) + np.finfo(float).eps * best_noise(rows, ratio) * float(rows.square)


def _objective(rows: Rows, ratio: np.ndarray) -> float:
    noise = best_noise(rows, ratio)
    return log_evidence(rows, posterior(rows, ratio / noise, noise), noise)


def _precision_weighted(rows: Rows, ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """XᵀV⁻¹X, XᵀV⁻¹y and yᵀV⁻¹y.

    With Σ the posterior covariance at β = 1: X_uᵀV⁻¹X_u = R⁻¹ − R⁻¹ΣR⁻¹ for the columns u that are in use, X_oᵀV⁻¹X_u =
    X_oᵀX_u ΣR⁻¹ for others, X_oᵀV⁻¹X_o = X_oᵀX_o − X_oᵀX_u Σ X_uᵀX_o; XᵀV⁻¹y = Xᵀ(y − Xm), which is R⁻¹m in u.
    """
    used, out = np.flatnonzero(ratio), np.flatnonzero(ratio == 0)
    found = posterior(rows.columns(used), ratio[used], 1.0)
    own, across = ratio[used], rows.gram[np.ix_(out, used)]
    errors = rows.response - rows.root[:, used] @ found.mean
    kernel, slope = np.empty_like(rows.gram), rows.root.T @ errors
    share = found.covariance / own
    kernel[np.ix_(used, used)] = (np.eye(len(used)) - share.T) / own
    kernel[np.ix_(out, used)] = across @ share
    kernel[np.ix_(used, out)] = kernel[np.ix_(out, used)].T
    kernel[np.ix_(out, out)] = rows.gram[np.ix_(out, out)] - across @ found.covariance @ across.T
    slope[used] = found.mean / own
    return kernel, slope, found.error + found.penalty


def _columns(rows: Rows, group: np.ndarray, ratio: np.ndarray, some: np.ndarray) -> np.ndarray:
    """One sweep over ``some`` single columns, each its own group.

    A change of r_j by δ changes V by δx_jx_jᵀ: Sherman & Morrison's formula.
    """
    kernel, slope, left = _precision_weighted(rows, ratio)
    own = np.diagonal(rows.gram)
    kernel, ratio = np.asfortranarray(kernel), np.where(own > 0, ratio, 0.0)
    for j in some[own[some] > 0]:
        without = 1 - ratio[j] * kernel[j, j]  # what V⁻¹ would be without the column
        if without <= 0 or kernel[j, j] <= FLOOR * own[j] * without:
            new = 0.0  # its like is in already
        else:
            along = slope[j] / np.sqrt(kernel[j, j] * without)
            rest = float(max(left - slope[j] ** 2 / kernel[j, j], 0.0))
            new = best_ratio(kernel[j : j + 1, j] / without, np.array([along]), rest, rows.count, rows.least_square)
        if new == ratio[j]:
            continue
        factor = (new - ratio[j]) / (1 + (new - ratio[j]) * kernel[j, j])
        left -= factor * slope[j] ** 2
        column = kernel[:, j].copy()
        slope = slope - factor * slope[j] * column
        kernel = dger(-factor, column, column, a=kernel, overwrite_a=1)
        ratio[j] = new
    return ratio


def _groups(rows: Rows, group: np.ndarray, ratio: np.ndarray, some: np.ndarray) -> np.ndarray:
    """One sweep over ``some`` groups of columns, each in the basis in which it is orthogonal given the others."""
    ratio = ratio.copy()
    for g in some:
        own = np.flatnonzero(group == g)
        kernel, slope, left = _precision_weighted(rows, np.where(group == g, 0.0, ratio[group]))
        strength, basis = orthogonal(kernel[np.ix_(own, own)])
        response = (basis.T @ slope[own]) / np.sqrt(np.where(strength > 0, strength, np.inf))
        rest = float(max(left - response @ response, 0.0))
        ratio[g] = best_ratio(strength, response, rest, rows.count, rows.least_square)
    return ratio


def orthogonal(gram: Float[np.ndarray, "p p"]) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and -vectors of a Gram matrix; those below rounding are exactly 0."""
    values, vectors = np.linalg.eigh(gram)
    return np.where(values > len(values) * np.finfo(float).eps * max(values[-1], 0.0), values, 0.0), vectors
