"""Evidence of a linear regression with the noise precision at its maximum: a function of the ratios r_g = β/λ_g.

y ~ N(0, V/β) with V = I + XRXᵀ. For given R the maximum over β is ν/(yᵀV⁻¹y), and the log evidence there is
−½ [ν log(2π yᵀV⁻¹y/ν) + ν + log |V|].
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
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
    left = rows.square - found.mean @ rows.cross
    return float(rows.count / max(left, FLOOR * rows.square))


def best_ratio(strength: Float[np.ndarray, " p"], cross: Float[np.ndarray, " p"], square: float, count: float) -> float:
    """The ratio that one group of orthogonal columns with these squared lengths has at the maximum, all others fixed.

    Minimises ν log(yᵀV⁻¹y) + log |V| = ν log(s − Σ r c_j²/(1 + r d_j)) + Σ log(1 + r d_j) over r ≥ 0.
    """
    used = strength > 0
    d, c2 = strength[used], cross[used] ** 2
    if len(d) == 0:
        return 0.0
    if len(d) == 1:  # with v = 1/(1 + rd) and e = c²/d: ν log(s − e + ev) − log v
        e = c2[0] / d[0]
        v = (square - e) / (e * (count - 1)) if e > 0 and count > 1 else 1.0
        return 0.0 if v >= 1 else (1 / max(v, FLOOR) - 1) / d[0]

    def objective(log_ratio: float) -> float:
        r = np.exp(log_ratio)
        left = square - np.sum(r * c2 / (1 + r * d))
        return count * np.log(max(left, FLOOR * square)) + float(np.log1p(r * d).sum())

    grid = np.linspace(np.log(1e-6 / d.max()), np.log(1 / (FLOOR * d.min())), _GRID)
    tried = np.array([objective(point) for point in grid])
    best = int(tried.argmin())
    around = grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)]
    found = minimize_scalar(objective, bounds=around, method="bounded", options={"xatol": 1e-10})
    top, value = min((float(found.x), float(found.fun)), (grid[best], tried[best]), key=lambda pair: pair[1])
    return 0.0 if value >= count * np.log(square) else float(np.exp(top))


def coordinates(
    rows: Rows, group: np.ndarray, ratio: Float[np.ndarray, " groups"], max_iter: int, tol: float
) -> Profile:
    """Maximise over one ratio after the other, β with each of them; the evidence rises at every step.

    For single columns each step is in closed form, as in the fast marginal likelihood of Tipping & Faul (2003,
    AISTATS), but for β, which they hold fixed; a pruned column comes back where the evidence wants it.
    """
    single = len(ratio) == len(group)
    members = [np.flatnonzero(group == g) for g in range(len(ratio))]
    trace, gains, status = [_objective(rows, ratio[group])], [], None
    for _ in range(max_iter):
        new = _columns(rows, ratio) if single else _groups(rows, members, group, ratio)
        value = _objective(rows, new[group])
        gain, noise = value - trace[-1], float(rounding(np.array(value)))
        if gain < -noise:  # more rounding than the evidence shows: the columns explain y all but exactly
            status = Status.CONVERGED
            break
        ratio = new
        trace.append(value)
        gains.append(gain)
        if tol > 0 and (abs(gain) <= noise or remaining_gain(gains) < tol):
            status = Status.CONVERGED
            break
    status = status or (Status.COMPLETED if tol <= 0 else Status.MAX_ITERATIONS)
    return Profile(ratio, status, Trace(np.array(trace), np.ones(len(trace), dtype=bool)))


def _objective(rows: Rows, ratio: np.ndarray) -> float:
    noise = best_noise(rows, ratio)
    return log_evidence(rows, posterior(rows, ratio / noise, noise), noise)


def _precision_weighted(rows: Rows, ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """XᵀV⁻¹X, XᵀV⁻¹y and yᵀV⁻¹y, by V⁻¹ = I − XΣXᵀ at β = 1."""
    used = np.flatnonzero(ratio)
    found = posterior(Rows(rows.gram[np.ix_(used, used)], rows.cross[used], 0.0, 0.0, 0.0), ratio[used], 1.0)
    across = rows.gram[:, used]
    kernel = rows.gram - across @ found.covariance @ across.T
    return kernel, rows.cross - across @ found.mean, float(rows.square - rows.cross[used] @ found.mean)


def _columns(rows: Rows, ratio: np.ndarray) -> np.ndarray:
    """One sweep over single columns. A change of r_j by δ changes V by δx_jx_jᵀ: Sherman & Morrison's formula."""
    kernel, slope, left = _precision_weighted(rows, ratio)
    own = np.diagonal(rows.gram)
    kernel, ratio = np.asfortranarray(kernel), np.where(own > 0, ratio, 0.0)
    for j in np.flatnonzero(own):
        without = 1 - ratio[j] * kernel[j, j]  # what V⁻¹ would be without the column
        if without <= 0 or kernel[j, j] <= FLOOR * own[j] * without:
            new = 0.0  # its like is in already
        else:
            strength, cross = kernel[j, j] / without, slope[j] / without
            square = max(left + ratio[j] * slope[j] ** 2 / without, FLOOR * rows.square)
            new = best_ratio(np.array([strength]), np.array([cross]), square, rows.count)
        if new == ratio[j]:
            continue
        factor = (new - ratio[j]) / (1 + (new - ratio[j]) * kernel[j, j])
        left -= factor * slope[j] ** 2
        column = kernel[:, j].copy()
        slope = slope - factor * slope[j] * column
        kernel = dger(-factor, column, column, a=kernel, overwrite_a=1)
        ratio[j] = new
    return ratio


def _groups(rows: Rows, members: list[np.ndarray], group: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """One sweep over groups of columns, each in the basis in which it is orthogonal given the others."""
    ratio = ratio.copy()
    for g, own in enumerate(members):
        kernel, slope, left = _precision_weighted(rows, np.where(group == g, 0.0, ratio[group]))
        strength, basis = orthogonal(kernel[np.ix_(own, own)])
        ratio[g] = best_ratio(strength, basis.T @ slope[own], max(left, FLOOR * rows.square), rows.count)
    return ratio


def orthogonal(gram: Float[np.ndarray, "p p"]) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and -vectors of a Gram matrix; those below rounding are exactly 0."""
    values, vectors = np.linalg.eigh(gram)
    return np.where(values > len(values) * np.finfo(float).eps * max(values[-1], 0.0), values, 0.0), vectors
