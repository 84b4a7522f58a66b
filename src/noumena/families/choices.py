"""Likelihoods of classes, ordered or not, that become weighted least squares once a latent variable is added."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.special
from jaxtyping import Float

from .augmentation import Array, Augmentation, Working, between, ended, halved, library, log_between
from .normal_chart import LOG_2PI

#: Nodes of the Gauss–Hermite rule for the utility of the chosen class.
_NODES = 64


@dataclass(frozen=True)
class ProbitLikelihood(Augmentation):
    """y = 1[z > 0], z ~ N(f, 1): z given y is normal, cut off at 0. Albert & Chib (1993), JASA 88:669."""

    steady: ClassVar[bool] = True
    has_newton: ClassVar[bool] = True

    def log_density(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array) -> Array:
        _, special = library(f)
        return special.log_ndtr((2 * y[:, 0] - 1) * f[:, 0]) - halved(spread, scale)

    def working(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array, newton: bool) -> Working:
        eta, slope = f[:, 0], _mills(y[:, 0], f[:, 0])
        if not newton:
            return Working(None, (eta + slope)[:, None])
        weight = slope * (slope + eta)
        return Working(weight, (weight * eta + slope)[:, None])

    def latents(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array) -> dict[str, np.ndarray]:
        slope = _mills(y[:, 0], f[:, 0])
        variance = np.clip(1 - slope * (slope + f[:, 0]), 0.0, 1.0)
        return {"mean": f[:, 0] + slope, "standard_deviation": np.sqrt(variance)}


def _mills(y: np.ndarray, f: np.ndarray) -> np.ndarray:
    """∂ log p / ∂f of a probit: ±φ(f)/Φ(±f)."""
    sign = 2 * y - 1
    return sign * np.exp(-0.5 * (f * f + LOG_2PI) - scipy.special.log_ndtr(sign * f))


@dataclass(frozen=True)
class LogitLikelihood(Augmentation):
    """P(y = 1) = 1/(1 + e^−f), with a Pólya–Gamma variable of mean tanh(f/2)/2f: Polson, Scott & Windle (2013), JASA
    108:1339.
    """

    has_newton: ClassVar[bool] = True

    def log_density(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array) -> Array:
        xp, _ = library(f)
        if spread is None:
            return -xp.logaddexp(0.0, (1 - 2 * y[:, 0]) * f[:, 0])
        xi = xp.sqrt(f[:, 0] ** 2 + spread)  # Jaakkola & Jordan (2000), Stat. Comput. 10:25
        return (y[:, 0] - 0.5) * f[:, 0] - xp.logaddexp(0.5 * xi, -0.5 * xi)

    def working(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array, newton: bool) -> Working:
        if newton:
            chance = scipy.special.expit(f[:, 0])
            weight = chance * scipy.special.expit(-f[:, 0])
            return Working(weight, (weight * f[:, 0] + y[:, 0] - chance)[:, None])
        half = 0.5 * np.sqrt(f[:, 0] ** 2 + (0.0 if spread is None else spread))
        small = half < 1e-4  # tanh(h)/h = 1 − h²/3 + …
        weight = 0.25 * np.where(small, 1 - half**2 / 3, np.tanh(half) / np.where(small, 1.0, half))
        return Working(weight, y - 0.5)


@dataclass(frozen=True)
class OrderedProbitLikelihood(Augmentation):
    """y = j where c_j < z ≤ c_j+1, z ~ N(f, 1), c_0 = −∞, c_J = ∞: McKelvey & Zavoina (1975), J. Math. Sociol. 4:103.

    The thresholds c_1 < … < c_J−1 are parameters of the shape. The rows' log densities are concave in f and c together,
    and the two take one Newton step.

    Attributes
    ----------
    n_classes : int
        J.
    start : tuple of float
        The thresholds at f = 0.
    """

    n_classes: int
    start: tuple[float, ...]
    has_newton: ClassVar[bool] = True
    moves_with_predictor: ClassVar[bool] = True

    @property
    def initial_shape(self) -> np.ndarray:
        return np.array(self.start)

    @property
    def n_shape(self) -> int:
        return self.n_classes - 1

    def log_density(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array) -> Array:
        return log_between(*self._ends(y, f, shape)) - halved(spread, scale)

    def _ends(self, y: Array, f: Array, shape: Array) -> tuple[Array, Array]:
        code = y[:, 0].astype(int)
        first, last = code == 0, code == self.n_classes - 1
        low = shape[(code - 1).clip(0)]
        high = shape[code.clip(0, self.n_classes - 2)]
        return ended(low - f[:, 0], high - f[:, 0], first, last)

    def working(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array, newton: bool) -> Working:
        """Newton's, always: ``extra`` holds what stands beside c in the normal equations, then −∂² log p / ∂c²."""
        low, high = self._ends(y, f, shape)
        log = log_between(low, high)
        at_low, at_high = (np.exp(-0.5 * (end**2 + LOG_2PI) - log) for end in (low, high))
        slope = at_low - at_high  # ∂ log p / ∂f
        # second derivatives of log(Φ(high) − Φ(low)) in its two ends, with the sign changed
        from_low, from_high, mixed = at_low * (at_low - low), at_high * (at_high + high), -at_low * at_high
        weight = np.maximum(from_low + from_high + 2 * mixed, 0.0)
        n, m = len(low), self.n_classes - 1
        code = y[:, 0].astype(int)
        gradient, cross, curvature = np.zeros((n, m)), np.zeros((n, m)), np.zeros((n, m, m))
        has_low, has_high = np.flatnonzero(code > 0), np.flatnonzero(code < m)
        below, above = code[has_low] - 1, code[has_high]
        gradient[has_low, below] = -at_low[has_low]
        gradient[has_high, above] = at_high[has_high]
        cross[has_low, below] = -(from_low + mixed)[has_low]
        cross[has_high, above] = -(from_high + mixed)[has_high]
        curvature[has_low, below, below] = from_low[has_low]
        curvature[has_high, above, above] = from_high[has_high]
        both = np.flatnonzero((code > 0) & (code < m))
        curvature[both, code[both] - 1, code[both]] = curvature[both, code[both], code[both] - 1] = mixed[both]
        pull = weight * f[:, 0] + slope + cross @ shape
        beside = gradient + cross * f + curvature @ shape
        return Working(weight, pull[:, None], None, np.concatenate([beside, curvature.reshape(n, -1)], axis=1), cross)

    def latents(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array) -> dict[str, np.ndarray]:
        mean, variance = between(*self._ends(y, f, shape))
        return {"mean": f[:, 0] + mean, "standard_deviation": np.sqrt(variance)}


@dataclass(frozen=True)
class MultinomialLogitLikelihood(Augmentation):
    """P(y = k) ∝ exp(f_k), f_0 = 0, under Böhning's quadratic bound, B = ½(I − 11ᵀ/J): Böhning (1992), Ann. Inst.
    Statist. Math. 44:197.

    Attributes
    ----------
    n_classes : int
        J.
    """

    n_classes: int
    steady: ClassVar[bool] = True

    @property
    def n_functions(self) -> int:
        return self.n_classes - 1

    @property
    def coupling(self) -> np.ndarray:
        return 0.5 * (np.eye(self.n_functions) - 1 / self.n_classes)

    def log_density(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array) -> Array:
        xp, special = library(f)
        full = xp.concatenate([xp.zeros((len(f), 1)), f], axis=1)
        chosen = xp.sum(xp.where(y == np.arange(self.n_classes), full, 0.0), axis=1)
        return chosen - special.logsumexp(full, axis=1) - halved(spread, scale)

    def working(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array, newton: bool) -> Working:
        full = np.concatenate([np.zeros((len(f), 1)), f], axis=1)
        chance = scipy.special.softmax(full, axis=1)[:, 1:]
        return Working(None, f @ self.coupling + (y == np.arange(1, self.n_classes)) - chance)


@dataclass(frozen=True)
class MultinomialProbitLikelihood(Augmentation):
    """y is the largest of the utilities z_k ~ N(f_k, 1), f_0 = 0, independent of each other.

    Given the noise e of the chosen one, the others lie below it independently: P(y = k) = E Π_j Φ(f_k − f_j + e), a
    one-dimensional integral, by Gauss–Hermite quadrature. Thurstone (1927), Psychol. Rev. 34:273, case V.

    Attributes
    ----------
    n_classes : int
    """

    n_classes: int
    steady: ClassVar[bool] = True

    @property
    def n_functions(self) -> int:
        return self.n_classes - 1

    def _terms(self, y: Array, f: Array) -> tuple[Array, Array]:
        """Log of each node's share of P(y), and by how much the chosen utility exceeds each other mean there."""
        xp, special = library(f)
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        full = xp.concatenate([xp.zeros((len(f), 1)), f], axis=1)
        is_chosen = y == np.arange(self.n_classes)
        chosen = xp.sum(xp.where(is_chosen, full, 0.0), axis=1, keepdims=True)
        ahead = (chosen - full)[:, :, None] + nodes
        each = xp.where(is_chosen[:, :, None], 0.0, special.log_ndtr(ahead))
        return xp.sum(each, axis=1) + np.log(weights / np.sqrt(2 * np.pi)), ahead

    def log_density(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array) -> Array:
        _, special = library(f)
        return special.logsumexp(self._terms(y, f)[0], axis=1) - halved(spread, scale)

    def working(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array, newton: bool) -> Working:
        terms, ahead = self._terms(y, f)
        share = scipy.special.softmax(terms, axis=1)  # of the nodes
        mills = np.exp(-0.5 * (ahead**2 + LOG_2PI) - scipy.special.log_ndtr(ahead))
        others = np.where(y == np.arange(self.n_classes), 0.0, -np.einsum("nq,nkq->nk", share, mills))
        slope = np.where(y == np.arange(self.n_classes), -others.sum(axis=1, keepdims=True), others)
        return Working(None, f + slope[:, 1:])

    def latents(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array) -> dict[str, np.ndarray]:
        pull = self.working(y, f, spread, scale, shape, False).pull
        # the first utility's slope is what the others leave of 0: p depends on differences only
        first = -(pull - f).sum(axis=1, keepdims=True)
        return {"mean": np.concatenate([first, pull], axis=1)}


def ordered_start(counts: Float[np.ndarray, " J"]) -> tuple[float, ...]:
    """Thresholds at which a standard normal variable has these shares."""
    return tuple(scipy.special.ndtri(np.cumsum(counts)[:-1] / np.sum(counts)).tolist())
