"""Two directions in which a mixture of many columns is seen best."""

from dataclasses import dataclass

import numpy as np

#: Weight of the largest spread against the separation of components: it only breaks ties.
_TIE = 1e-6


@dataclass(frozen=True)
class Projection:
    """``(x − centre) @ directions``.

    Attributes
    ----------
    centre : array, shape (d,)
    directions : array, shape (d, 2)
        Scaled so that the pooled standard deviation within components is 1.
    loadings : array, shape (d, 2)
        Correlations between the columns and the projected rows, under the mixture.
    """

    centre: np.ndarray
    directions: np.ndarray
    loadings: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return (x - self.centre) @ self.directions


def separating_projection(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> Projection:
    """The plane in which components differ most, in means and in covariances.

    Solves M v = λ Σ v with M = B Σ⁻¹ B + Σ_k π_k (Σ_k − W) Σ⁻¹ (Σ_k − W), where B is the covariance between the means,
    W the pooled one within components, and Σ = W + B (GMMDR: Scrucca 2010, Stat. Comput. 20:471, section 3). Where that
    leaves a direction open (one component; two that differ in their means only), it is the one in which the
    standardised columns spread most.

    Parameters
    ----------
    weights : array, shape (K,)
    means : array, shape (K, d)
    covariances : array, shape (K, d, d)
    """
    centre = weights @ means
    away = means - centre
    within = np.einsum("k,kij->ij", weights, covariances)
    scale = np.sqrt(np.diag(within) + weights @ away**2)
    away, within = away / scale, within / np.outer(scale, scale)  # in standard deviations: units must not matter
    differ = covariances / np.outer(scale, scale) - within
    between = np.einsum("k,ki,kj->ij", weights, away, away)
    values, vectors = np.linalg.eigh(within + between)
    root = vectors / np.sqrt(np.maximum(values, 1e-10 * values[-1]))  # rootᵀ Σ root = I
    kernel = (root.T @ between @ root) @ (root.T @ between @ root)
    for weight, one in zip(weights, differ, strict=True):
        white = root.T @ one @ root
        kernel += weight * white @ white
    largest = np.linalg.eigvalsh(kernel)[-1]
    spread = values / values[-1]  # of the standardised columns, in the axes of root
    kernel += (_TIE * largest if largest > 1e-12 else 1.0) * np.diag(spread)
    directions = root @ np.linalg.eigh(kernel)[1][:, ::-1][:, :2]
    directions /= np.sqrt(np.einsum("ij,ik,kj->j", directions, within, directions))
    total = (within + between) @ directions
    loadings = total / np.sqrt(np.einsum("ij,ij->j", directions, total))
    sign = np.where(loadings[np.abs(loadings).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    return Projection(centre, directions * sign / scale[:, None], loadings * sign)


def separation(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Share of each column's variance that lies between the components' means, shape (d,)."""
    between = weights @ (means - weights @ means) ** 2
    return between / (between + np.einsum("k,kii->i", weights, covariances))
