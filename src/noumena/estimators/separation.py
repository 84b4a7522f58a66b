"""Classes that covariates tell apart without error: a regression on them has no finite maximum."""

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog

from ..core.errors import DataError
from ..models.augmented_errors import row_information
from ..models.augmented_regression import AugmentedRegression
from ..models.augmented_rows import Rows

#: Predictors within this of each other leave every row some chance of every class.
_ORDINARY = 8.0
#: Information about some direction of the weights below this share of that of rows between two classes.
_CERTAIN = 1e-4


class SeparationError(DataError):
    """Covariates tell classes apart without error, so that a likelihood without a prior has no finite maximum."""


def refuse_separation(model: AugmentedRegression, rows: list[Rows], names: list[str], intercept: bool) -> None:
    """Refuse a fit without a prior whose weights were on their way to infinity.

    The fit is suspected where the information about a direction of its weights has all but vanished. But for ordered
    classes the suspicion is then decided by a linear program: are there weights, not all 0, with which no row's class
    has a predictor below another's (Albert & Anderson 1984, Biometrika 71:1)?

    Parameters
    ----------
    names : list of str
        Of each weight of one predictor; the intercept's first, where there is one.

    Raises
    ------
    SeparationError
        Naming the columns.
    """
    largest = max(float(np.ptp(block.features.predictors(model.weights))) for block in rows)
    if largest < _ORDINARY:
        return
    k, p = model.weights.shape
    information, gram = np.zeros((k * p, k * p)), sum(block.gram for block in rows)
    for block in rows:
        hessian = _information(model, block)
        for a in range(k):
            for b in range(k):
                own = block.features.gram(block.weighted(hessian[:, a, b]))
                information[a * p : (a + 1) * p, b * p : (b + 1) * p] += own
    inverse = np.kron(np.eye(k), np.linalg.inv(np.linalg.cholesky(gram)))
    values, vectors = np.linalg.eigh(inverse @ information @ inverse.T)
    if values[0] > _CERTAIN:
        return
    direction = np.abs(inverse.T @ vectors[:, 0]).reshape(k, p).max(axis=0) * np.sqrt(np.diagonal(gram))
    if model.likelihood.n_shape == 0:
        found = _separating(rows, k, intercept)
        if found is None:
            return
        direction = np.abs(found).max(axis=0)
    elif values[0] > _CERTAIN**2:
        return
    direction[: int(intercept)] = 0.0
    guilty = [repr(names[j]) for j in np.flatnonzero(direction > 1e-6 * direction.max())]
    raise SeparationError(
        f"the classes are told apart without error by {', '.join(guilty)} (perfect separation), so that the weights "
        'have no finite maximum: leave columns out, or use a prior (prior="ridge")'
    )


def _information(model: AugmentedRegression, block: Rows) -> Float[np.ndarray, "rows K K"]:
    """−∂² log p / ∂f² of each row, by hand where that is there."""
    if model.likelihood.n_shape or not model.likelihood.has_newton:
        return row_information(model, block, False)
    f = block.features.predictors(model.weights)
    weight = model.likelihood.working(block.y, f, None, model.scale, model.shape, True).weight
    assert weight is not None
    return np.reshape(weight, (-1, 1, 1))


def _separating(rows: list[Rows], k: int, intercept: bool) -> Float[np.ndarray, "K p"] | None:
    """Weights with which no row's class is below another, and some row's is above; of one column, if that will do."""
    margins = np.concatenate([_margins(block, k) for block in rows])
    p = margins.shape[2]
    alone = [j for j in range(int(intercept), p) if _program(margins[:, :, [0, j] if intercept else [j]]) is not None]
    if alone:
        found = np.zeros((k, p))
        found[:, alone] = 1.0
        return found
    return _program(margins)


def _margins(block: Rows, k: int) -> Float[np.ndarray, "margins K p"]:
    """By how much the predictor of each row's class is above each other one: coefficients of the weights; f_0 = 0."""
    taken = _taken(block)
    z, classes = block.features.predictors(np.eye(block.features.shape[1]))[taken], np.eye(k + 1)
    own = block.y[taken, 0].astype(int)
    parts = []
    for other in range(k + 1):
        rival = own != other
        parts.append((classes[own[rival]] - classes[other])[:, 1:, None] * z[rival, None, :])
    return np.concatenate(parts)


def _taken(block: Rows) -> np.ndarray:
    return np.ones(len(block.y), dtype=bool) if block.weight is None else block.weight > 0


def _program(margins: Float[np.ndarray, "margins K p"]) -> Float[np.ndarray, "K p"] | None:
    flat = margins.reshape(len(margins), -1)
    found = linprog(-flat.sum(axis=0), A_ub=-flat, b_ub=np.zeros(len(flat)), bounds=(-1, 1), method="highs")
    if not (found.success and -found.fun > 1e-6 * len(flat) ** 0.5):
        return None
    return found.x.reshape(margins.shape[1:])
