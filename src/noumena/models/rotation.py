"""Rotations of factors: the same covariance, loadings that are easier to read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

#: Power that promax raises varimax loadings to (Hendrickson & White 1964).
_POWER = 4
#: A rotation is found when the projected gradient is below this, for loadings of standardised columns.
_TOLERANCE = 1e-10
_STEPS = 5000
#: Share of the criterion, a sum of some hundred terms, that its rounding may reach.
_ROUNDING = 1e-13

ROTATIONS = ("varimax", "promax", "oblimin")


@final
@dataclass(frozen=True)
class Rotated:
    """Loadings after a rotation.

    Attributes
    ----------
    loadings : array, shape (d, q)
        Λ with Λ Φ Λᵀ as before.
    correlations : array, shape (q, q)
        Φ; the identity for orthogonal rotations.
    transformation : array, shape (q, q)
        M with Λ = W M, so that the factors are M⁻¹z.
    """

    loadings: Float[np.ndarray, "d q"]
    correlations: Float[np.ndarray, "q q"]
    transformation: Float[np.ndarray, "q q"]


def rotated(
    loadings: Float[np.ndarray, "d q"], method: str | None, start: Float[np.ndarray, "q q"] | None = None
) -> Rotated:
    """Rotate loadings of uncorrelated factors, each row weighted to length 1 (Kaiser's normalisation).

    Parameters
    ----------
    loadings : array, shape (d, q)
        Of standardised columns.
    method : {"varimax", "promax", "oblimin", None}
        None leaves them as they are. Oblimin is the one with γ = 0, also called quartimin.
    start : array, shape (q, q), optional
        The transformation of a rotation nearby.

    References
    ----------
    Kaiser (1958), Psychometrika 23:187; Hendrickson & White (1964), Br. J. Stat. Psychol. 17:65; Jennrich (2001,
    2002), Psychometrika 66:289 and 67:7 (the gradient projection that finds them).
    """
    q = loadings.shape[1]
    eye = np.eye(q)
    if method is None or q == 1:
        return Rotated(loadings, eye, eye)
    length = np.sqrt(np.sum(loadings**2, axis=1, keepdims=True))
    unit = loadings / np.where(length > 0, length, 1.0)
    if method == "oblimin":
        first = eye if start is None else np.linalg.inv(start).T
        turn = _descend(lambda t: _oblique(unit, t), _unit_columns, first)
        transformation = np.linalg.inv(turn).T
    else:
        first = eye if start is None else start  # that of promax is near the orthogonal one it came from
        transformation = _descend(lambda t: _orthogonal(unit, t), _nearest_orthogonal, first)
        if method == "promax":
            transformation = transformation @ _towards_powers(unit @ transformation)
    inverse = np.linalg.inv(transformation)
    correlations = eye if method == "varimax" else inverse @ inverse.T
    return Rotated(loadings @ transformation, correlations, transformation)


def in_order(found: Rotated) -> Rotated:
    """The factors from the one that explains most to the one that explains least, most of their loadings positive."""
    size = np.sum(found.loadings**2, axis=0)
    order = np.argsort(-size, kind="stable")
    sign = np.where(np.sum(found.loadings[:, order] ** 3, axis=0) < 0, -1.0, 1.0)
    return Rotated(
        found.loadings[:, order] * sign,
        found.correlations[np.ix_(order, order)] * np.outer(sign, sign),
        found.transformation[:, order] * sign,
    )


def canonical(
    loadings: Float[np.ndarray, "d q"], noise: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, "d q"], Float[np.ndarray, "q q"]]:
    """The orthogonal rotation for which WᵀΨ⁻¹W is diagonal, largest first, and its transformation."""
    _, vectors = np.linalg.eigh(loadings.T @ (loadings / noise[:, None]))
    turn = vectors[:, ::-1]
    sign = np.where(np.sum((loadings @ turn) ** 3, axis=0) < 0, -1.0, 1.0)
    return loadings @ turn * sign, turn * sign


def _towards_powers(loadings: np.ndarray) -> np.ndarray:
    """The map that brings loadings next to their own powers, for factors of variance 1."""
    target = loadings * np.abs(loadings) ** (_POWER - 1)
    turn = np.linalg.lstsq(loadings, target, rcond=None)[0]
    return turn * np.sqrt(np.diagonal(np.linalg.inv(turn.T @ turn)))


def _varimax(loadings: np.ndarray) -> tuple[float, np.ndarray]:
    """Minus the variance of the squared loadings of each factor, and its gradient."""
    square = loadings**2
    away = square - square.mean(axis=0)
    return -0.25 * float(np.sum(away**2)), -loadings * away


def _quartimin(loadings: np.ndarray) -> tuple[float, np.ndarray]:
    """Products of squared loadings of different factors, and the gradient of their sum."""
    square = loadings**2
    others = square.sum(axis=1, keepdims=True) - square
    return 0.25 * float(np.sum(square * others)), loadings * others


def _orthogonal(unit: np.ndarray, turn: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Varimax of Λ = W T, its gradient, and the gradient's part along the orthogonal matrices."""
    value, slope = _varimax(unit @ turn)
    gradient = unit.T @ slope
    across = turn.T @ gradient
    return value, gradient, gradient - turn @ (across + across.T) / 2


def _oblique(unit: np.ndarray, turn: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Quartimin of Λ = W T⁻ᵀ, its gradient, and the gradient's part along columns of length 1."""
    inverse = np.linalg.inv(turn)
    loadings = unit @ inverse.T
    value, slope = _quartimin(loadings)
    gradient = -(loadings.T @ slope @ inverse).T
    return value, gradient, gradient - turn * np.sum(turn * gradient, axis=0)


def _nearest_orthogonal(matrix: np.ndarray) -> np.ndarray:
    left, _, right = np.linalg.svd(matrix)
    return left @ right


def _unit_columns(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.sqrt(np.sum(matrix**2, axis=0))


def _descend(
    criterion: Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]],
    project: Callable[[np.ndarray], np.ndarray],
    turn: np.ndarray,
) -> np.ndarray:
    """Gradient projection: steps down, each brought back to the admissible matrices."""
    turn = project(turn)
    value, _, along = criterion(turn)
    step = 1.0
    for _ in range(_STEPS):
        size = float(np.sum(along**2))
        if size <= _TOLERANCE**2:
            break
        step *= 2
        for _ in range(60):
            moved = project(turn - step * along)
            found, _, next_along = criterion(moved)
            if step * size < _ROUNDING * abs(value):  # what is gained cannot be seen any more: the gradient tells
                lower = float(np.sum(next_along**2)) < size
            else:
                lower = found <= value - 0.5 * step * size
            if lower:
                break
            step /= 2
        else:
            break  # no step goes down any more: rounding
        turn, value, along = moved, found, next_along
    return turn
