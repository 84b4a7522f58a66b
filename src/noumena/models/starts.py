"""Where EM begins: responsibilities of a sample of rows, found without a model."""

from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

Method: TypeAlias = Literal["kmeans", "hierarchical", "random", "seeds"]

_LLOYD_STEPS = 20
#: Agglomeration needs all pairwise distances.
_MOST_ROWS_HIERARCHICAL = 2000


def responsibilities(
    method: Method,
    u: Float[np.ndarray, "n d"],
    weight: Float[np.ndarray, " n"],
    label: np.ndarray,
    n_components: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "n K"]:
    """Soft or hard assignment of rows to components, times their weights.

    Parameters
    ----------
    method : {"kmeans", "hierarchical", "random", "seeds"}
        k-means (seeded by k-means++), Ward's agglomeration of sphered rows (the classification likelihood of equal
        spherical components), rows that are each shared out at random, or the nearest of K rows chosen at random.
    u : array, shape (n, d)
        Standardised rows, NaN where a cell is missing.
    weight : array, shape (n,)
    label : array of int, shape (n,)
        Known component, −1 where unknown; known ones are kept.
    n_components : int
    rng : numpy.random.Generator

    Returns
    -------
    array, shape (n, n_components)
    """
    if method == "random":
        shares = rng.dirichlet(np.ones(n_components), size=len(u))
    elif method == "seeds":
        shares = np.eye(n_components)[_nearest_seeds(u, weight, n_components, rng)]
    else:
        guess = _hierarchical(u, n_components, rng) if method == "hierarchical" else None
        shares = np.eye(n_components)[_kmeans(u, weight, label, n_components, rng, guess)]
    known = label >= 0
    shares[known] = np.eye(n_components)[label[known]]
    return shares * weight[:, None]


def _kmeans(
    u: np.ndarray,
    weight: np.ndarray,
    label: np.ndarray,
    k: int,
    rng: np.random.Generator,
    guess: np.ndarray | None,
) -> np.ndarray:
    """Lloyd's algorithm where a missing cell adds the average of the row's observed ones to its distance.

    Ends on hard labels with no empty cluster, as far as there are rows to fill them.
    """
    seen = ~np.isnan(u)
    filled = np.where(seen, u, 0.0)
    blow_up = u.shape[1] / np.maximum(seen.sum(axis=1), 1)

    def distances(centres: np.ndarray) -> np.ndarray:
        # Σ_j seen (u_j − c_j)² = Σ u² − 2 u·c + seen·c²
        square = (filled**2).sum(axis=1)[:, None] - 2 * filled @ centres.T + seen @ (centres**2).T
        return np.maximum(square, 0.0) * blow_up[:, None]

    def means(assigned: np.ndarray, centres: np.ndarray) -> np.ndarray:
        share = np.eye(k)[assigned] * weight[:, None]
        count = share.T @ seen
        return np.divide(share.T @ filled, count, out=centres.copy(), where=count > 0)

    known = label >= 0
    centres = np.zeros((k, u.shape[1]))
    if guess is not None:
        assigned = np.where(guess < 0, 0, guess)
        centres = means(assigned, centres)
        assigned = np.where(guess < 0, distances(centres).argmin(axis=1), guess)
        assigned = np.where(known, label, assigned)
        return _fill_empty(assigned, distances(means(assigned, centres)), k, known)
    chosen = np.unique(label[known])
    if len(chosen):
        share = np.eye(k)[np.where(known, label, 0)] * (weight * known)[:, None]
        count = share.T @ seen
        centres = np.divide(share.T @ filled, count, out=centres, where=count > 0)
    centres = _seed(distances, filled, weight, centres, list(chosen), k, rng)
    assigned = None
    for _ in range(_LLOYD_STEPS):
        distance = distances(centres)
        new = np.where(known, label, distance.argmin(axis=1))
        new = _fill_empty(new, distance, k, known)
        if assigned is not None and np.array_equal(new, assigned):
            break
        assigned = new
        centres = means(assigned, centres)
    assert assigned is not None
    return assigned


def _seed(distances, filled, weight, centres, chosen, k, rng):  # type: ignore[no-untyped-def]
    """k-means++ (Arthur & Vassilvitskii 2007): each new centre is a row, drawn with probability ∝ squared distance."""
    closest = distances(centres[chosen]).min(axis=1) if chosen else np.full(len(filled), np.inf)
    for component in range(k):
        if component in chosen:
            continue
        nearest = closest * weight if chosen else weight
        total = nearest.sum()
        chance = nearest / total if total > 0 else weight / weight.sum()
        # the best of a few draws, as greedy k-means++ has it
        draws = rng.choice(len(filled), size=2 + int(np.log(k)) if chosen else 1, p=chance)
        if len(draws) > 1:
            trial = distances(filled[draws])
            best = np.minimum(trial, closest[:, None])
            draws = draws[[int((best * weight[:, None]).sum(axis=0).argmin())]]
        centres[component] = filled[draws[0]]
        chosen.append(component)
        closest = np.minimum(closest, distances(centres[component : component + 1])[:, 0])
    return centres


def _nearest_seeds(u: np.ndarray, weight: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """The nearest of k random rows: starts that are unlike each other."""
    filled = np.where(np.isnan(u), 0.0, u)
    chosen = rng.choice(len(u), size=k, replace=False, p=weight / weight.sum())
    distance = (filled**2).sum(axis=1)[:, None] - 2 * filled @ filled[chosen].T + (filled[chosen] ** 2).sum(axis=1)
    return _fill_empty(distance.argmin(axis=1), distance, k, np.zeros(len(u), dtype=bool))


def _fill_empty(assigned: np.ndarray, distance: np.ndarray, k: int, known: np.ndarray) -> np.ndarray:
    """Give each empty cluster the row that is farthest from its own centre."""
    assigned = assigned.copy()
    far = np.where(known, -1.0, distance[np.arange(len(assigned)), assigned])
    for empty in np.flatnonzero(np.bincount(assigned, minlength=k) == 0):
        alone = np.bincount(assigned, minlength=k)[assigned] <= 1
        candidate = int(np.where(alone, -1.0, far).argmax())
        assigned[candidate], far[candidate] = empty, -1.0
    return assigned


def _hierarchical(u: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Cluster of each row by Ward's method on sphered rows; −1 for those not in the sample that is agglomerated."""
    from scipy.cluster.hierarchy import fcluster, linkage

    sample = np.arange(len(u))
    if len(u) > _MOST_ROWS_HIERARCHICAL:
        sample = np.sort(rng.choice(len(u), _MOST_ROWS_HIERARCHICAL, replace=False))
    filled = np.where(np.isnan(u[sample]), 0.0, u[sample])
    values, vectors = np.linalg.eigh(np.cov(filled, rowvar=False).reshape(u.shape[1], -1))
    sphered = filled @ vectors / np.sqrt(np.maximum(values, 1e-10))
    guess = np.full(len(u), -1)
    guess[sample] = fcluster(linkage(sphered, "ward"), k, "maxclust") - 1 if len(sample) > 1 else 0
    return guess
