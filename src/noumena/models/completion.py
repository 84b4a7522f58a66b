"""What a fitted mixture says of cells that were not observed: expectations and draws, in the units of the data."""

from dataclasses import dataclass
from typing import Any, final

import jax
import numpy as np
from jaxtyping import Float, Int

from ..families.categorical import Categorical
from ..families.cells import Cells
from ..families.diagonal_normal import DiagonalNormal, DiagonalParameters
from ..families.factor_normal import FactorNormal
from ..families.family import Family
from ..families.multinomial import Multinomial
from ..families.normal import Normal
from ..families.product import Product
from ..families.student_t import StudentParameters, StudentT
from ..families.with_noise import WithNoise
from .gaussian import GaussianMixtureDensity


def expected_cells(
    family: Family, parameters: Any, x: Float[np.ndarray, "n d"], posterior: Float[np.ndarray, "n K"]
) -> Float[np.ndarray, "n d"]:
    """Rows with their missing cells replaced by Σ_k p(z = k | x) E[x_missing | x_observed, k].

    Categories get their most probable level.

    Parameters
    ----------
    family : Family
    parameters : tree of arrays
        NumPy, K components.
    x : array, shape (n, d)
    posterior : array, shape (n, K)
        p(z = k | x) of each row.
    """
    if isinstance(family, Product):
        return _by_part(family, x, lambda i, part, own: expected_cells(part, parameters.parts[i], own, posterior))
    hole = np.isnan(x)
    if isinstance(family, WithNoise):
        among = expected_cells(family.family, parameters.components_of, x, posterior[:, 1:])
        return np.where(hole, among + posterior[:, :1] * family.middle(), x)
    if isinstance(family, Categorical):
        return np.where(hole, level_probabilities(parameters, posterior).argmax(axis=2), x)
    if isinstance(family, Cells | Multinomial):
        return np.where(hole, posterior @ family.expected(parameters.value), x)
    filled = np.where(hole, 0.0, x)
    for k in range(posterior.shape[1]):
        one = _normal(family, parameters, k).conditional_mean(x)
        filled += np.where(hole, posterior[:, k : k + 1] * one, 0.0)
    return filled


def drawn_cells(
    family: Family,
    parameters: Any,
    x: Float[np.ndarray, "n d"],
    component: Int[np.ndarray, " n"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "n d"]:
    """Rows with their missing cells drawn from p(x_missing | x_observed, z = component)."""
    if isinstance(family, Product):
        return _by_part(family, x, lambda i, part, own: drawn_cells(part, parameters.parts[i], own, component, rng))
    if isinstance(family, WithNoise):
        among = drawn_cells(family.family, parameters.components_of, x, np.maximum(component - 1, 0), rng)
        noise = np.where(np.isnan(x), family.draw(len(x), rng), x)
        return np.where((component == 0)[:, None], noise, among)
    if isinstance(family, Cells | Multinomial):
        value = jax.tree.map(lambda part: np.asarray(part)[component], parameters.value)
        return np.where(np.isnan(x), family.draw(value, rng), x)
    out = x.copy()
    for k in np.unique(component):
        rows = component == k
        density = _normal(family, parameters, k)
        draw = density.conditional_draw
        if isinstance(family, StudentT):
            draw = _StudentDraw(density, float(parameters.degrees[k]))
        out[rows] = draw(x[rows], rng)
    return out


@final
@dataclass(frozen=True)
class _StudentDraw:
    """Draws of the missing cells of a multivariate t: first of the scale given the observed cells, then as a normal.

    w | x_o ~ Gamma((ν + d_o)/2, rate (ν + δ_o)/2), with δ_o the squared Mahalanobis distance of the observed cells, and
    the missing cells are normal around their regression on those, with covariance divided by w.
    """

    normal: GaussianMixtureDensity
    degrees: float

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        hole = np.isnan(x)
        mean = self.normal.conditional_mean(x)
        away = self.normal.conditional_draw(x, rng) - mean  # of the normal, w = 1
        distance = np.zeros(len(x))
        for pattern in np.unique(hole, axis=0):
            rows, seen = (hole == pattern).all(axis=1), ~pattern
            if seen.any():
                delta = x[np.ix_(rows, seen)] - self.normal.means[0][seen]
                precise = np.linalg.solve(self.normal.covariances[0][np.ix_(seen, seen)], delta.T)
                distance[rows] = np.einsum("ni,in->n", delta, precise)
        weight = rng.gamma((self.degrees + (~hole).sum(axis=1)) / 2, 2 / (self.degrees + distance))
        return np.where(hole, mean + away / np.sqrt(weight)[:, None], x)


def level_probabilities(parameters: Any, posterior: Float[np.ndarray, "n K"]) -> Float[np.ndarray, "n d L"]:
    """p(x_j = level | observed cells) of each row and categorical column."""
    return np.einsum("nk,kdl->ndl", posterior, np.asarray(parameters.value.probability))


def _by_part(family: Product, x: np.ndarray, fill: Any) -> np.ndarray:
    out = np.empty_like(x)
    for i, (part, columns) in enumerate(zip(family.parts, family.columns, strict=True)):
        out[:, list(columns)] = fill(i, part, x[:, list(columns)])
    return out


def _normal(family: Family, parameters: Any, k: int) -> GaussianMixtureDensity:
    """One component, by itself."""
    assert isinstance(family, Normal | DiagonalNormal | StudentT | FactorNormal)
    location, scale = np.asarray(family.frame.location.value), np.asarray(family.frame.scale.value)
    if isinstance(parameters, StudentParameters):  # the normal that it is, given a scale of 1
        covariance = np.asarray(parameters.scale)[k]
    elif isinstance(family, FactorNormal):
        w = np.asarray(parameters.loadings)[k]
        covariance = w @ np.asarray(parameters.latent)[k] @ w.T + np.diag(np.asarray(parameters.noise)[k])
    elif isinstance(parameters, DiagonalParameters):
        covariance = np.diag(np.asarray(parameters.variance)[k])
    else:
        covariance = np.asarray(parameters.covariance)[k]
    mean = location + scale * np.asarray(parameters.mean)[k]
    return GaussianMixtureDensity(np.ones(1), mean[None], (covariance * np.outer(scale, scale))[None])
