"""Fits that need a word: which components collapsed, where, and what to do."""

import numpy as np


def degenerate_message(
    weights: np.ndarray,
    covariances: np.ndarray,
    collapsed: np.ndarray,
    scale: np.ndarray,
    total_weight: float,
    names: list[str],
) -> str:
    """Which components collapsed, along which columns, and what to do.

    Parameters
    ----------
    weights : array, shape (K,)
    covariances : array, shape (K, d, d)
        In the units of the data.
    collapsed : array of bool, shape (K,)
    scale : array, shape (d,)
        The columns' own standard deviations.
    total_weight : float
        Of the training rows.
    names : list of str
    """
    told = []
    for k in np.flatnonzero(collapsed):
        rows = weights[k] * total_weight
        if rows < 1e-6:
            told.append(f"component {k} lost all its rows")
            continue
        values, vectors = np.linalg.eigh(covariances[k] / np.outer(scale, scale))
        flat = np.abs(vectors[:, values <= 10 * values[0]]).max(axis=1)  # how much each column is in a flat direction
        along = [names[j] for j in np.argsort(-flat, kind="stable") if flat[j] > 0.3][:3]
        told.append(
            f"component {k} (weight {weights[k]:.3g}, {rows:.1f} rows) collapsed in {', '.join(along)}: "
            f"its variance there is held at {values[0]:.0e} of the columns' own"
        )
    return (
        "; ".join(told)
        + ". Its likelihood is a spike, not a fit: use fewer components, a simpler covariance structure, "
        'prior="default", or drop columns that repeat each other.'
    )
