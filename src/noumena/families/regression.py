"""Regressions: densities p(y | w) of a response given covariates, in every component another one; the linear ones."""

import abc
from typing import Any, ClassVar, NamedTuple, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.block import Block
from ..core.model import Fixed, Natural
from .cells import DEAD
from .chart import Chart
from .covariance import FLOOR
from .design import DesignFrame, covariates, solved, squares
from .family import Family
from .normal_chart import LOG_2PI


class RegressionParameters(NamedTuple):
    """K regressions in the family's frame; ``variance`` is that of the residuals, 1 for families without one."""

    coefficients: Float[Any, "K p"]
    variance: Float[Any, " K"]
    collapsed: Bool[Any, " K"]

    def components(self, index: Any) -> "RegressionParameters":
        """Those of some components."""
        return RegressionParameters(self.coefficients[index], self.variance[index], self.collapsed[index])


class Regression(Family):
    """K conditional densities of one column y given covariates w (``Block.given``), with E[y] = g(zᵀβ_k).

    A row without y takes no part. Rows are conditional on w, so that there is no mean parameter and no divergence apart
    from the rows: `mean` and `kl` are refused.

    Attributes
    ----------
    frame : DesignFrame
        z from w.
    spread : Fixed or None
        Standard deviation of a normal prior on each coefficient but the intercept, in units of z (of the residuals
        where these have a variance).
    """

    holes_are_free: ClassVar[bool] = True
    blur: ClassVar[float] = 0.1
    #: Whether the residuals have a variance of their own.
    has_variance: ClassVar[bool] = False
    #: What y must be, as words for a message; `contains` checks it.
    support: ClassVar[str]

    frame: DesignFrame
    spread: Fixed | None = None

    @staticmethod
    @abc.abstractmethod
    def contains(y: np.ndarray) -> np.ndarray:
        """Which of these responses lie in the support."""

    @abc.abstractmethod
    def predicted(self, coefficients: Float[np.ndarray, "K p"], given: np.ndarray) -> Float[np.ndarray, "rows K"]:
        """E[y | w, k] of each row, in the units of the data."""

    @abc.abstractmethod
    def draw(self, mean: np.ndarray, variance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One response for each mean, given residual variances in the frame."""

    def for_bound(self) -> Self:
        return eqx.tree_at(lambda family: family.spread, self, None, is_leaf=lambda node: node is None)

    def log_normaliser(self, natural: Natural) -> Float[Array, " K"]:
        return jnp.zeros(natural.constant.shape[0])  # a row brings its own

    def mean(self, natural: Natural) -> Natural:
        raise NotImplementedError("E[T(y)] depends on the covariates of a row")

    def kl(self, natural: Natural, other: Natural) -> Float[Array, " K"]:
        raise NotImplementedError("the divergence depends on the covariates of a row")

    def log_prior(self, parameters: RegressionParameters) -> Float[Array, " K"]:
        if self.spread is None:
            return jnp.zeros(parameters.variance.shape[0])
        return _log_normal_prior(parameters.coefficients, parameters.variance, self._penalty())

    def chart(self, parameters: RegressionParameters) -> Chart:
        return RegressionChart(self, parameters, self.has_variance)

    def collapsed(self, parameters: RegressionParameters) -> Bool[Array, " K"]:
        return parameters.collapsed

    def initial(self, n_components: int) -> RegressionParameters:
        zero = np.zeros((n_components, self.frame.size))
        return RegressionParameters(zero, np.ones(n_components), np.zeros(n_components, dtype=bool))

    def embedding(self, x: np.ndarray, given: np.ndarray | None = None) -> np.ndarray:
        """The response and the covariates: rows near each other are near the same line."""
        assert given is not None
        return np.concatenate([x, np.asarray(self.frame.enter(given))], axis=1)

    def footprint(self, n_components: int, missing: int) -> int:
        return self.frame.size**2 + 6 * n_components

    def _penalty(self) -> Array:
        """Prior precision of each coefficient, shape (p,)."""
        return jnp.zeros(self.frame.size) if self.spread is None else self.frame.slopes / self.spread.value**2


class RegressionChart(Chart):
    """Coefficients as they are, logarithms of variances."""

    family: Regression
    at: RegressionParameters
    has_variance: bool = eqx.field(static=True)

    @property
    def size(self) -> int:
        return int(np.size(self.at.coefficients)) + (len(self.at.variance) if self.has_variance else 0)

    @property
    def held(self) -> Bool[np.ndarray, " p"]:
        return np.zeros(self.size, dtype=bool)

    def natural(self, theta: Float[Array, " p"]) -> tuple[Natural, Float[Array, " K"]]:
        natural = self.family.natural(self.parameters(theta))
        return natural, self.family.log_normaliser(natural)

    def parameters(self, theta: Float[Array, " p"]) -> RegressionParameters:
        beta = self.at.coefficients
        moved = beta + theta[: beta.size].reshape(beta.shape)
        variance = self.at.variance * jnp.exp(theta[beta.size :]) if self.has_variance else self.at.variance
        return self.at._replace(coefficients=moved, variance=variance)


class NormalNatural(NamedTuple):
    """η = (β/σ², −½ββᵀ/σ², −½/σ²), the coefficients of T(y) = (yz, zzᵀ, y²); ``constant`` is −½ log 2πσ²."""

    linear: Float[Any, "K p"]
    gram: Float[Any, "K p p"]
    square: Float[Any, " K"]
    constant: Float[Any, " K"]


class NormalRegression(Regression):
    """Linear regressions with normal residuals: y | w, k ~ N(zᵀβ_k, σ_k²), y standardised.

    Attributes
    ----------
    location, scale : Fixed
        Of the response, scalars.
    """

    has_variance: ClassVar[bool] = True
    support: ClassVar[str] = "numbers"

    location: Fixed = eqx.field(default_factory=lambda: Fixed(np.zeros(())))
    scale: Fixed = eqx.field(default_factory=lambda: Fixed(np.ones(())))

    @staticmethod
    def contains(y: np.ndarray) -> np.ndarray:
        return np.isfinite(y)

    def natural(self, parameters: RegressionParameters) -> NormalNatural:
        beta, precision = jnp.asarray(parameters.coefficients), 1 / jnp.asarray(parameters.variance)
        return NormalNatural(
            beta * precision[:, None],
            -0.5 * precision[:, None, None] * beta[:, :, None] * beta[:, None, :],
            -0.5 * precision,
            0.5 * (jnp.log(precision) - LOG_2PI),
        )

    def marginal(self, natural: NormalNatural, block: Block) -> Float[Array, "rows K"]:
        y = jnp.asarray(block.x)
        hole = jnp.isnan(y)
        y = jnp.where(hole, 0.0, (y - self.location.value) / self.scale.value)
        z = jnp.where(hole, 0.0, self.frame.enter(covariates(block)))
        seen = jnp.where(hole, 0.0, 1.0)
        features = jnp.concatenate([y * z, squares(z), y * y, seen], axis=1)
        k = natural.linear.shape[0]
        columns = [natural.linear, natural.gram.reshape(k, -1), natural.square[:, None], natural.constant[:, None]]
        return features @ jnp.concatenate(columns, axis=1).T - seen * jnp.log(self.scale.value)

    def maximise(
        self, count: Float[Array, " K"], stats: NormalNatural, previous: RegressionParameters
    ) -> RegressionParameters:
        alive = stats.constant > DEAD
        gram = jnp.where(alive[:, None, None], stats.gram + jnp.diag(self._penalty()), jnp.eye(self.frame.size))
        beta = solved(gram, stats.linear)
        # the prior is normal with variance spread² σ², whose log determinant counts as so many rows more
        n = stats.constant + (0.0 if self.spread is None else np.sum(self.frame.slopes))
        variance = (stats.square - jnp.sum(beta * stats.linear, axis=1)) / jnp.where(alive, n, 1.0)
        return RegressionParameters(
            jnp.where(alive[:, None], beta, previous.coefficients),
            jnp.where(alive, jnp.maximum(variance, FLOOR), previous.variance),
            ~alive | (variance <= FLOOR),
        )

    def predicted(self, coefficients: np.ndarray, given: np.ndarray) -> np.ndarray:
        z = np.asarray(self.frame.enter(given))
        return np.asarray(self.location.value) + np.asarray(self.scale.value) * (z @ np.asarray(coefficients).T)

    def draw(self, mean: np.ndarray, variance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return mean + np.asarray(self.scale.value) * np.sqrt(variance) * rng.standard_normal(mean.shape)

    def reported(self, parameters: RegressionParameters) -> dict[str, Array]:
        scale = self.scale.value
        raw = scale * self.frame.leave(parameters.coefficients)
        if self.frame.intercept:
            raw = raw.at[:, 0].add(self.location.value)
        return {"coefficients": raw, "standard_deviation": scale * jnp.sqrt(parameters.variance)}

    def n_parameters(self, n_components: int) -> int:
        return n_components * (self.frame.size + 1)


def _log_normal_prior(beta: Array, variance: Array, precision: Array) -> Float[Array, " K"]:
    """log Π_j N(β_j | 0, variance / precision_j) over the coefficients that have a prior."""
    beta, has = jnp.asarray(beta), precision > 0
    scaled = jnp.where(has, precision, 1.0) / variance[:, None]
    each = 0.5 * (jnp.log(scaled) - LOG_2PI - scaled * beta**2)
    return jnp.sum(jnp.where(has, each, 0.0), axis=1)
