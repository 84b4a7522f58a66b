"""Predictive distributions of augmented regressions: likelihoods averaged over what is not known of the predictor."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from ..families.augmentation import Augmentation, ResponseLikelihood

#: Nodes of the Gauss–Hermite rule over one uncertain predictor.
_NODES = 32
#: Draws of several uncertain predictors, from half as many and their mirror images.
_DRAWS = 128
_BISECTIONS = 80


def _nodes() -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    return nodes, weights / weights.sum()


def class_probabilities(
    likelihood: Augmentation,
    mean: Float[np.ndarray, "rows K"],
    spread: Float[np.ndarray, "rows K K"],
    shape: np.ndarray,
    n_classes: int,
) -> Float[np.ndarray, "rows J"]:
    """P(y = j), predictors being normal with this mean and covariance.

    By Gauss–Hermite quadrature for one predictor; for several by the average over 128 fixed draws, whose standard error
    is at most an eleventh of how far the probability varies over the posterior.
    """
    k = likelihood.n_functions
    if not spread.any():
        places, shares = [mean], [1.0]
    elif k == 1:
        nodes, weights = _nodes()
        places, shares = [mean + np.sqrt(spread[:, 0]) * node for node in nodes], list(weights)
    else:
        half = np.random.default_rng(0).standard_normal((_DRAWS // 2, k))
        values, vectors = np.linalg.eigh(spread)
        root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        places = [mean + root @ draw for draw in np.concatenate([half, -half])]
        shares = [1 / len(places)] * len(places)
    found = np.zeros((len(mean), n_classes))
    for place, share in zip(places, shares, strict=True):
        for j in range(n_classes):
            y = np.full((len(mean), 1), float(j))
            found[:, j] += share * np.exp(likelihood.log_density(y, place, None, np.ones(()), shape))
    return found / found.sum(axis=1, keepdims=True)


@final
@dataclass(frozen=True)
class PredictiveDistribution:
    """Distribution of a new response for each row, in the units of the data.

    Where the weights have a posterior it is averaged over (Gauss–Hermite quadrature over the linear predictor);
    otherwise the estimates are taken for known. For tobit it is that of the uncensored response.

    Attributes
    ----------
    predictor : array, shape (n_rows,)
        Mean of the linear predictor.
    predictor_deviation : array, shape (n_rows,)
        Its standard deviation; 0 at point estimates.
    likelihood : ResponseLikelihood
    scale : float or array, shape (n_rows,)
        Of a normal response, that of each row where it is not the same in all.
    shape : array
    """

    predictor: Float[np.ndarray, " rows"]
    predictor_deviation: Float[np.ndarray, " rows"]
    likelihood: ResponseLikelihood
    scale: float | Float[np.ndarray, " rows"]
    shape: np.ndarray

    @property
    def mean(self) -> Float[np.ndarray, " rows"]:
        """E[y]; NaN where it does not exist."""
        return self.predictor + self.likelihood.moments(self.scale, self.shape)[0]

    @property
    def standard_deviation(self) -> Float[np.ndarray, " rows"]:
        """Of y; NaN or infinite where it does not exist."""
        return np.sqrt(self.likelihood.moments(self.scale, self.shape)[1] + self.predictor_deviation**2)

    def cdf(self, y: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
        """P(response ≤ y) of each row."""
        y = np.broadcast_to(np.asarray(y, dtype=float), self.predictor.shape)
        if not self.predictor_deviation.any():
            return self.likelihood.cumulative(y - self.predictor, self.scale, self.shape)
        nodes, weights = _nodes()
        residual = (y - self.predictor)[:, None] - self.predictor_deviation[:, None] * nodes
        return self.likelihood.cumulative(residual, self.scale, self.shape) @ weights

    def quantile(self, probability: float) -> Float[np.ndarray, " rows"]:
        """The value that a new response lies below with this probability, by bisection.

        Raises
        ------
        ValueError
            For a probability that is not between 0 and 1.
        """
        if not 0 < probability < 1:
            raise ValueError(f"probability={probability!r} must be between 0 and 1")
        step = np.sqrt(self.scale) + self.scale + self.predictor_deviation.max(initial=0.0)
        low, high = self.predictor - step, self.predictor + step
        while (self.cdf(low) > probability).any():
            low, step = low - step, 2 * step
        while (self.cdf(high) < probability).any():
            high, step = high + step, 2 * step
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            below = self.cdf(middle) < probability
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return 0.5 * (low + high)

    def interval(self, level: float = 0.95) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
        """Ends of the central interval that holds a new response with probability ``level``.

        Raises
        ------
        ValueError
            For a level that is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level={level!r} must be a probability between 0 and 1")
        return self.quantile(0.5 * (1 - level)), self.quantile(0.5 * (1 + level))
