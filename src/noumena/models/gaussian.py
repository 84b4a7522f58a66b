"""A fitted Gaussian mixture in the units of the data: conditioning, imputing, sampling, in closed form."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve


@final
@dataclass(frozen=True)
class GaussianMixtureDensity:
    """Σ_k π_k N(x | μ_k, Σ_k), as plain arrays.

    Attributes
    ----------
    weights : array, shape (K,)
    means : array, shape (K, d)
    covariances : array, shape (K, d, d)
    """

    weights: Float[np.ndarray, " K"]
    means: Float[np.ndarray, "K d"]
    covariances: Float[np.ndarray, "K d d"]

    def marginal(self, columns: np.ndarray) -> "GaussianMixtureDensity":
        """The mixture over some of the columns: means and covariances restricted to them (Bishop 2006, eq. 2.98)."""
        return GaussianMixtureDensity(self.weights, self.means[:, columns], self.covariances[:, columns][:, :, columns])

    def conditional(self, given: np.ndarray, values: Float[np.ndarray, " g"]) -> "GaussianMixtureDensity":
        """The mixture over the other columns, in their order, given the values of these (Bishop 2006, eqs. 2.81-2.82).

        Parameters
        ----------
        given : array of int, shape (g,)
        values : array, shape (g,)
        """
        pattern = _Conditioning(self, given)
        weights, means = pattern.weights_and_means(np.asarray(values, float)[None])
        return GaussianMixtureDensity(weights[0], means[0], pattern.covariances)

    def conditional_mean(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Each row with its missing cells replaced by E[x_missing | x_observed]."""

        def mean(pattern: "_Conditioning", rows: np.ndarray) -> np.ndarray:
            weights, means = pattern.weights_and_means(rows)
            return np.einsum("nk,nkm->nm", weights, means)

        return self._fill(x, mean)

    def conditional_draw(self, x: Float[np.ndarray, "n d"], rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Each row with its missing cells drawn from p(x_missing | x_observed)."""

        def draw(pattern: "_Conditioning", rows: np.ndarray) -> np.ndarray:
            weights, means = pattern.weights_and_means(rows)
            component = _choose(weights, rng)
            noise = rng.standard_normal((len(rows), means.shape[2]))
            roots = _roots(pattern.covariances)
            return means[np.arange(len(rows)), component] + np.einsum("nij,nj->ni", roots[component], noise)

        return self._fill(x, draw)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Float[np.ndarray, "n d"], np.ndarray]:
        """Rows and the components they came from."""
        component = _choose(np.broadcast_to(self.weights, (n, len(self.weights))), rng)
        noise = rng.standard_normal((n, self.means.shape[1]))
        return self.means[component] + np.einsum("nij,nj->ni", _roots(self.covariances)[component], noise), component

    def _fill(self, x: np.ndarray, fill) -> np.ndarray:  # type: ignore[no-untyped-def]
        """Apply ``fill(conditioning, observed cells)`` to the rows of each missing pattern."""
        out = x.copy()
        hole = np.isnan(x)
        some = np.flatnonzero(hole.any(axis=1))
        if len(some) == 0:
            return out
        patterns, which = np.unique(hole[some], axis=0, return_inverse=True)
        order = np.argsort(which.ravel(), kind="stable")
        groups = np.split(some[order], np.cumsum(np.bincount(which.ravel()))[:-1])
        for pattern, rows in zip(patterns, groups, strict=True):
            seen = np.flatnonzero(~pattern)
            out[np.ix_(rows, np.flatnonzero(pattern))] = fill(_Conditioning(self, seen), x[np.ix_(rows, seen)])
        return out


class _Conditioning:
    """What does not depend on the values: regressions of the other columns on the given ones, per component."""

    def __init__(self, density: GaussianMixtureDensity, given: np.ndarray) -> None:
        d = density.means.shape[1]
        rest = np.setdiff1d(np.arange(d), given)
        self._log_weights = np.log(np.maximum(density.weights, np.finfo(float).tiny))
        self._given_means, self._rest_means = density.means[:, given], density.means[:, rest]
        slopes, covariances, factors = [], [], []
        for sigma in density.covariances:
            factor = cho_factor(sigma[np.ix_(given, given)], lower=True) if len(given) else None
            cross = sigma[np.ix_(rest, given)]
            slope = cho_solve(factor, cross.T).T if factor is not None else np.zeros((len(rest), 0))
            slopes.append(slope)  # Σ_rg Σ_gg⁻¹
            factors.append(factor)
            covariances.append(sigma[np.ix_(rest, rest)] - slope @ cross.T)
        self._slopes, self._factors = np.array(slopes), factors
        self.covariances = np.array(covariances)

    def weights_and_means(self, values: Float[np.ndarray, "n g"]) -> tuple[np.ndarray, np.ndarray]:
        """p(z | given), shape (n, K), and E[rest | given, z], shape (n, K, rest)."""
        log_weights = np.tile(self._log_weights, (len(values), 1))
        means = np.empty((len(values), *self._rest_means.shape))
        for k, factor in enumerate(self._factors):
            away = values - self._given_means[k]
            if factor is not None:
                lower = np.diag(factor[0])
                log_weights[:, k] -= 0.5 * np.einsum("ng,gn->n", away, cho_solve(factor, away.T))
                log_weights[:, k] -= np.log(lower).sum() + 0.5 * len(lower) * np.log(2 * np.pi)
            means[:, k] = self._rest_means[k] + away @ self._slopes[k].T
        log_weights -= log_weights.max(axis=1, keepdims=True)
        weights = np.exp(log_weights)
        return weights / weights.sum(axis=1, keepdims=True), means


def _roots(covariances: Float[np.ndarray, "K d d"]) -> Float[np.ndarray, "K d d"]:
    """Square roots by eigenvalues, which a singular conditional covariance has too."""
    values, vectors = np.linalg.eigh(covariances)
    return vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]


def _choose(weights: Float[np.ndarray, "n K"], rng: np.random.Generator) -> np.ndarray:
    """One component per row, by inversion of the cumulative weights."""
    cumulative = np.cumsum(weights, axis=1)
    draw = rng.random((len(weights), 1)) * cumulative[:, -1:]
    return np.minimum((draw >= cumulative).sum(axis=1), weights.shape[1] - 1)
