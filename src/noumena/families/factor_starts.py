"""Where factor models begin: closed forms on a covariance matrix."""

import numpy as np
from jaxtyping import Bool, Float

from .factor_structure import FactorParameters, FactorStructure

#: Eigenvalues of a start's covariance are at least this.
_LEAST = 1e-6


def principal_start(covariance: Float[np.ndarray, "d d"], structure: FactorStructure) -> FactorParameters:
    """Parameters from a covariance in the frame.

    Where all noise is of one variance and no loading is 0, this is the maximum of the likelihood (Tipping & Bishop
    1999, J. R. Stat. Soc. B 61:611): the eigenvectors of the largest eigenvalues λ, of length √(λ − ψ), and for ψ the
    mean of the other eigenvalues. Else ψ_j begins at (1 − q/2d) / (S⁻¹)_jj (Jöreskog 1967, Psychometrika 32:443), for
    which the loadings of largest likelihood are those eigenvectors of Ψ^(−½) S Ψ^(−½) (Lawley 1940); loadings that are
    0 are left out, and those of one factor taken from the columns that it alone explains.
    """
    d, q = structure.n_columns, structure.n_factors
    values, vectors = np.linalg.eigh(covariance)
    if max(structure.noise) == 0 and structure.free is None:
        rest = float(np.mean(values[: d - q])) if q < d else 0.0
        noise = np.full(d, max(rest, structure.floor))
        loadings = vectors[:, ::-1][:, :q] * np.sqrt(np.maximum(values[::-1][:q] - noise[0], 0.0))
        return _parameters(structure, loadings, noise)
    inverse = (vectors / np.maximum(values, _LEAST)) @ vectors.T
    noise = (1 - q / (2 * d)) / np.diagonal(inverse)
    groups = structure.groups
    noise = np.maximum((noise @ groups / groups.sum(axis=0))[list(structure.noise)], structure.floor)
    if structure.free is not None:
        return _parameters(structure, _confirmatory(covariance, np.asarray(structure.free)), noise)
    root = np.sqrt(noise)
    values, vectors = np.linalg.eigh(covariance / np.outer(root, root))
    length = np.sqrt(np.maximum(values[::-1][:q] - 1, 1e-2))
    return _parameters(structure, root[:, None] * vectors[:, ::-1][:, :q] * length, noise)


def _parameters(structure: FactorStructure, loadings: np.ndarray, noise: np.ndarray) -> FactorParameters:
    d = structure.n_columns
    eye = np.eye(structure.n_factors)
    return FactorParameters(np.zeros(d), loadings, noise, eye, noise <= structure.floor)


def _confirmatory(covariance: Float[np.ndarray, "d d"], free: Bool[np.ndarray, "d q"]) -> Float[np.ndarray, "d q"]:
    """For each factor, the first eigenvector of its own columns."""
    loadings = np.zeros(free.shape)
    alone = free.sum(axis=1) == 1
    for k in range(free.shape[1]):
        own = np.flatnonzero(free[:, k] & alone) if (free[:, k] & alone).sum() > 1 else np.flatnonzero(free[:, k])
        values, vectors = np.linalg.eigh(covariance[np.ix_(own, own)])
        loadings[own, k] = vectors[:, -1] * np.sqrt(max(values[-1], _LEAST) / 2)
    return loadings
