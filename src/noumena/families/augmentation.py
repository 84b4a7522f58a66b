"""Likelihoods that become weighted least squares once a latent variable is added to each row."""

import abc
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as np
import scipy.special
from jaxtyping import Float
from scipy.optimize import brentq

from .log_gamma import stirling_rest
from .normal_chart import LOG_2PI
from .student_t import LEAST, MOST, START

Array: TypeAlias = Any
"""Of NumPy or of JAX: densities are computed by the one and differentiated by the other."""

#: Deviations from the mean beyond which a normal distribution ends, where an interval is open: Φ(−40) is 4e-350.
_END = 40.0
#: Intervals narrower than this, in standard deviations, have series in place of differences that would cancel.
_NARROW = 1e-2
#: Residuals below this share of a typical one count as 0 for quantiles.
_CORE = 1e-6


class Working(NamedTuple):
    """What a row brings to the least squares: −log p(y | f) ≤ ½ (fᵀBf ω − 2 fᵀ pull + square)/s + c(s), tight at f.

    Attributes
    ----------
    weight : array, shape (rows,), or None
        ω, in units in which the scale s is 1; None where it is 1 for every row.
    pull : array, shape (rows, K)
        ω B t, with the working response t.
    square : array, shape (rows,), or None
        What is left when f is 0; None for likelihoods without a scale.
    extra : array, shape (rows, m), or None
        Statistics for parameters of the likelihood's shape.
    cross : array, shape (rows, q), or None
        −∂² log p / ∂f ∂a, where q parameters a of the shape take a Newton step together with the coefficients.
    """

    weight: Array | None
    pull: Array
    square: Array | None = None
    extra: Array | None = None
    cross: Array | None = None


class Augmentation(abc.ABC):
    """A likelihood p(y | f, s) of a response given K linear predictors f, with a latent variable in each row.

    Given the latent variable, log p is quadratic in f. Averaged over the latent variable's posterior at the current f,
    it is the quadratic of `Working`, which lies below log p(y | f) and touches it there.

    Where f is itself uncertain, f ~ N(f̄, V), the quadratic is averaged over it too: every method takes the
    ``spread`` v = tr(BV), None for a certain f, and `log_density` is then the bound that mean-field posteriors reach.
    """

    #: The scale is s = σ² (½) or s = σ (1): Σ log p holds −``power`` · N log s. None where there is no scale.
    power: ClassVar[float | None] = None
    #: Whether ω is 1 in every row, and so the cross product of the columns the same at each iteration.
    steady: ClassVar[bool] = False
    #: Whether a constant added to the predictor is one added to the shape, so that covariates may be centred without an
    #: intercept.
    moves_with_predictor: ClassVar[bool] = False
    #: Whether `working` can give Newton's weights in place of the latent variable's.
    has_newton: ClassVar[bool] = False

    @property
    def n_functions(self) -> int:
        """K."""
        return 1

    @property
    def coupling(self) -> Float[np.ndarray, "K K"]:
        """B."""
        return np.eye(self.n_functions)

    @property
    def initial_shape(self) -> Float[np.ndarray, " m"]:
        """Where parameters of the shape begin; by default there are none."""
        return np.empty(0)

    @property
    def n_shape(self) -> int:
        """How many of them are estimated."""
        return 0

    def for_residuals(self, size: float) -> Self:
        """The likelihood for residuals of about this size, where it has a tolerance in their units."""
        return self

    @abc.abstractmethod
    def log_density(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array) -> Array:
        """log p(y | f, s) of each row in nats, or its bound where f is uncertain; for NumPy and JAX.

        Parameters
        ----------
        y : array, shape (rows, columns)
        f : array, shape (rows, K)
        spread : array, shape (rows,), or None
        scale : array, shape ()
            s.
        shape : array, shape (m,)
        """

    @abc.abstractmethod
    def working(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array, newton: bool) -> Working:
        """The least squares that the rows make at f; with weights −∂² log p / ∂f² where ``newton``; in NumPy."""

    def update_shape(self, extra: Float[np.ndarray, " m"], count: float, shape: np.ndarray) -> np.ndarray:
        """M-step of the shape, from Σ weight · ``extra`` and Σ weight."""
        return shape

    def latents(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array) -> dict[str, np.ndarray]:
        """What is known of each row's latent variable, by name."""
        working = self.working(y, f, spread, scale, shape, False)
        return {} if working.weight is None else {"weight": np.asarray(working.weight)}


class ResponseLikelihood(Augmentation):
    """A likelihood of a number y = f + residual."""

    @abc.abstractmethod
    def cumulative(self, residual: np.ndarray, scale: Array, shape: np.ndarray) -> np.ndarray:
        """P(y − f ≤ residual); of the uncensored response."""

    @abc.abstractmethod
    def moments(self, scale: Array, shape: np.ndarray) -> tuple[Array, Array]:
        """Mean and variance of y − f; NaN or infinite where they do not exist."""


def library(f: Array) -> tuple[Any, Any]:
    """The numerical library of an array, and its special functions."""
    return (jnp, jax.scipy.special) if isinstance(f, jax.Array) else (np, scipy.special)


def about(residual: Array, spread: Array | None) -> Array:
    """E r², where r has this mean and variance."""
    return residual**2 if spread is None else residual**2 + spread


def halved(spread: Array | None, scale: Array) -> Array:
    """What an uncertain f costs a likelihood whose augmentation has constant weight: v/2s."""
    return 0.0 if spread is None else 0.5 * spread / scale


@dataclass(frozen=True)
class NormalLikelihood(ResponseLikelihood):
    """y ~ N(f, s): nothing to augment."""

    power: ClassVar[float | None] = 0.5
    steady: ClassVar[bool] = True

    def log_density(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array) -> Array:
        xp, _ = library(f)
        return -0.5 * (LOG_2PI + xp.log(scale) + about(y[:, 0] - f[:, 0], spread) / scale)

    def working(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array, newton: bool) -> Working:
        return Working(None, y, y[:, 0] ** 2)

    def cumulative(self, residual: np.ndarray, scale: Array, shape: np.ndarray) -> np.ndarray:
        return scipy.special.ndtr(residual / np.sqrt(scale))

    def moments(self, scale: Array, shape: np.ndarray) -> tuple[Array, Array]:
        return 0.0, scale


@dataclass(frozen=True)
class StudentLikelihood(ResponseLikelihood):
    """y ~ t(f, s, ν) = ∫ N(y | f, s/u) Gamma(u | ν/2, ν/2) du.

    E[u | y] = (ν + 1)/(ν + r²/s) is the row's weight: an outlier has a small one. Lange, Little & Taylor (1989), JASA
    84:881.

    Attributes
    ----------
    dof : float or None
        ν; None where it is estimated.
    """

    dof: float | None
    power: ClassVar[float | None] = 0.5

    @property
    def initial_shape(self) -> np.ndarray:
        return np.array([START if self.dof is None else self.dof])

    @property
    def n_shape(self) -> int:
        return int(self.dof is None)

    def log_density(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array) -> Array:
        xp, special = library(f)
        nu, square = shape[0], about(y[:, 0] - f[:, 0], spread) / scale
        constant = _log_gamma_step(0.5 * nu, xp, special) - 0.5 * xp.log(np.pi * nu * scale)
        return constant - 0.5 * (nu + 1) * xp.log1p(square / nu)

    def working(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array, newton: bool) -> Working:
        nu, square = shape[0], about(y[:, 0] - f[:, 0], spread) / scale
        weight = (nu + 1) / (nu + square)
        extra = None
        if self.dof is None:  # E[u − log u − 1]
            log = scipy.special.digamma(0.5 * (nu + 1)) - np.log(0.5 * (nu + square))
            extra = (weight - log - 1)[:, None]
        return Working(weight, weight[:, None] * y, weight * y[:, 0] ** 2, extra)

    def update_shape(self, extra: np.ndarray, count: float, shape: np.ndarray) -> np.ndarray:
        if self.dof is not None:
            return shape
        return np.array([_degrees(float(extra[0]) / count)])

    def cumulative(self, residual: np.ndarray, scale: float, shape: np.ndarray) -> np.ndarray:
        return scipy.special.stdtr(shape[0], residual / np.sqrt(scale))

    def moments(self, scale: float, shape: np.ndarray) -> tuple[float, float]:
        nu = float(shape[0])
        variance = scale * nu / (nu - 2) if nu > 2 else np.inf if nu > 1 else np.nan
        return 0.0 if nu > 1 else np.nan, variance


def _log_gamma_step(a: Array, xp: Any, special: Any) -> Array:
    """log Γ(a + ½) − log Γ(a) = ½ log a − 1/(8a) + …, without the cancellation when a is large."""
    rest = stirling_rest(a + 0.5, xp, special) - stirling_rest(a, xp, special)
    return rest + 0.5 * xp.log(a) + (a + 0.5) * xp.log1p(0.5 / a) - 0.5


def _degrees(gap: float) -> float:
    """ν with log(ν/2) − ψ(ν/2) = ``gap``, the mean of E[u − log u − 1], or the nearer end of [`LEAST`, `MOST`]."""

    def excess(log: float) -> float:
        half = 0.5 * np.exp(log)
        return float(np.log(half) - scipy.special.digamma(half)) - gap

    low, high = float(np.log(LEAST)), float(np.log(MOST))
    if excess(low) <= 0:
        return LEAST
    if excess(high) >= 0:
        return MOST
    root: Any = brentq(excess, low, high, xtol=1e-14)
    return float(np.exp(root))


@dataclass(frozen=True)
class LaplaceLikelihood(ResponseLikelihood):
    """p(y) = 2q(1 − q)/s · exp(−(|r| + (2q − 1) r)/s), r = y − f: f is the q-quantile; the median for q = ½.

    Given a latent variance, exponentially distributed a priori, y is normal, and E[1/variance | y] ∝ 1/|r|: Kozumi &
    Kobayashi (2011), J. Stat. Comput. Simul. 81:1565. So that a row that is met exactly has a finite weight, |r| is
    r²/2ε + ε/2 where |r| < ε (Huber's function, a scale mixture of normals too); the density's integral is 1 up to
    (ε/s)².

    Attributes
    ----------
    quantile : float
        q.
    core : float
        ε, in units of y.
    """

    quantile: float
    core: float = 0.0
    power: ClassVar[float | None] = 1.0

    def for_residuals(self, size: float) -> Self:
        return replace(self, core=_CORE * size)

    @property
    def _skew(self) -> float:
        return 2 * self.quantile - 1

    def log_density(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array) -> Array:
        xp, _ = library(f)
        residual = y[:, 0] - f[:, 0]
        square = about(residual, spread)
        far = square > self.core**2
        size = xp.where(far, xp.sqrt(xp.where(far, square, 1.0)), 0.5 * (square / self.core + self.core))
        return xp.log(2 * self.quantile * (1 - self.quantile) / scale) - (size + self._skew * residual) / scale

    def working(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array, newton: bool) -> Working:
        size = np.maximum(np.sqrt(about(y[:, 0] - f[:, 0], spread)), self.core)
        weight = 1 / size
        square = weight * y[:, 0] ** 2 + size + 2 * self._skew * y[:, 0]
        return Working(weight, weight[:, None] * y + self._skew, square)

    def cumulative(self, residual: np.ndarray, scale: float, shape: np.ndarray) -> np.ndarray:
        q = self.quantile
        below = q * np.exp(2 * (1 - q) * np.minimum(residual, 0.0) / scale)
        return np.where(residual < 0, below, 1 - (1 - q) * np.exp(-2 * q * np.maximum(residual, 0.0) / scale))

    def moments(self, scale: float, shape: np.ndarray) -> tuple[float, float]:
        q = self.quantile
        mean = scale * (1 - 2 * q) / (2 * q * (1 - q))
        square = 0.5 * scale**2 * ((1 - q) / q**2 + q / (1 - q) ** 2)
        return mean, square - mean**2


@dataclass(frozen=True)
class TobitLikelihood(NormalLikelihood):
    """z ~ N(f, s), of which it is known that y₀ ≤ z ≤ y₁; z itself where the two are equal.

    Tobin (1958), Econometrica 26:24.
    The latent variable is z, with the mean and variance of a normal distribution cut off at both ends.
    """

    def log_density(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array) -> Array:
        xp, _ = library(f)
        seen, low, high, width = _standardised(y, f, scale)
        exact = -0.5 * (LOG_2PI + xp.log(scale) + low**2)
        inside = log_between(xp.where(seen, -1.0, low), xp.where(seen, 1.0, high), width)
        return xp.where(seen, exact, inside) - halved(spread, scale)

    def working(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array, newton: bool) -> Working:
        mean, variance = self._uncensored(y, f, scale)
        return Working(None, mean[:, None], mean**2 + variance)

    def latents(self, y: Array, f: Array, spread: Array | None, scale: Array, shape: Array) -> dict[str, np.ndarray]:
        mean, variance = self._uncensored(y, f, scale)
        return {"mean": mean, "standard_deviation": np.sqrt(variance)}

    @staticmethod
    def _uncensored(y: Array, f: Array, scale: Array) -> tuple[np.ndarray, np.ndarray]:
        seen, low, high, width = _standardised(y, f, scale)
        mean, variance = between(np.where(seen, -1.0, low), np.where(seen, 1.0, high), width)
        return np.where(seen, y[:, 0], f[:, 0] + np.sqrt(scale) * mean), np.where(seen, 0.0, scale * variance)


def _standardised(y: Array, f: Array, scale: Array) -> tuple[Array, Array, Array, Array]:
    """Which rows are seen exactly, and of the others the ends (z − f)/√s, open ones far out, and what lies between.

    The width of a narrow interval is that of y: a difference of the ends would change with the rounding of f.
    """
    xp, _ = library(f)
    deviation = xp.sqrt(scale)
    open_low, open_high = y[:, 0] == -np.inf, y[:, 1] == np.inf
    low = (xp.where(open_low, 0.0, y[:, 0]) - f[:, 0]) / deviation
    high = (xp.where(open_high, 0.0, y[:, 1]) - f[:, 0]) / deviation
    seen, wide = y[:, 0] == y[:, 1], open_low | open_high
    width = xp.where(seen | wide, 1.0, xp.where(wide, 0.0, y[:, 1]) - xp.where(wide, 0.0, y[:, 0])) / deviation
    return (seen, *ended(low, high, open_low, open_high), xp.where(seen | wide, 1.0, width))


def ended(low: Array, high: Array, open_low: Array, open_high: Array) -> tuple[Array, Array]:
    """An interval whose open ends lie so far out that nothing is beyond them."""
    xp, _ = library(low)
    closed = xp.where(open_low, xp.minimum(xp.where(open_high, 0.0, high), 0.0) - _END, low)
    return closed, xp.where(open_high, xp.maximum(xp.where(open_low, 0.0, low), 0.0) + _END, high)


def log_between(low: Array, high: Array, width: Array | None = None) -> Array:
    """log(Φ(high) − Φ(low)), in the tail where it is small, and for intervals as narrow as can be.

    ``width`` is high − low, for callers who know it better than that difference does.
    """
    xp, special = library(low)
    across = high - low if width is None else width
    narrow = across < _NARROW
    a, b = xp.where(narrow, -1.0, low), xp.where(narrow, 1.0, high)
    above = a > 0  # by symmetry
    a, b = xp.where(above, -b, a), xp.where(above, -a, b)
    log = special.log_ndtr(b)
    wide = log + xp.log1p(-xp.exp(xp.minimum(special.log_ndtr(a) - log, -1e-300)))
    # about the middle m the density is ∝ exp(−mx) but for x²: its integral is w sinh(t)/t, t = mw/2
    middle, w = 0.5 * (low + high), xp.maximum(xp.where(narrow, across, 1.0), np.finfo(float).tiny)
    t = xp.where(narrow, 0.5 * middle * w, 0.0)
    flat = xp.log(w) - 0.5 * (LOG_2PI + middle**2) + t**2 / 6 - t**4 / 180 + t**6 / 2835 - w**2 / 24
    return xp.where(narrow, flat, wide)


def between(low: np.ndarray, high: np.ndarray, width: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a standard normal variable that lies in an interval, with ``width`` as in `log_between`."""
    width = high - low if width is None else width
    log = log_between(low, high, width)
    narrow = width < _NARROW
    with np.errstate(invalid="ignore", over="ignore"):  # of narrow intervals
        at_low, at_high = (np.exp(-0.5 * (end**2 + LOG_2PI) - log) for end in (low, high))
        mean = np.clip(at_low - at_high, low, high)
        variance = np.clip(1 + low * at_low - high * at_high - mean**2, 0.0, 1.0)
    middle, w = 0.5 * (low + high), np.where(narrow, width, 0.0)
    t = 0.5 * middle * w  # derivatives of the series in `log_between`
    return (
        np.where(narrow, middle - w * (t / 6 - t**3 / 90 + t**5 / 945), mean),
        np.where(narrow, w**2 / 12 * (1 - t**2 / 5 + 2 * t**4 / 63), variance),
    )
