"""Who belongs where, over all rows of a table, in one pass and bounded memory."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.table import ArrayTable, Table
from .rows import sample_rows, take_rows

#: A row whose most probable component has less than this is called uncertain.
CERTAIN = 0.8


@dataclass(frozen=True)
class Membership:
    """Posterior probabilities of a table's rows, summed up.

    Attributes
    ----------
    n_rows : int
    log_likelihood : float
        log p(observed cells) of all rows, in nats.
    log_certainty : float
        Σ log max_k p(z = k | x): what the ICL adds to the BIC.
    expected : array, shape (K,)
        Σ p(z = k | x): rows each component is expected to hold.
    chosen : array of int, shape (K,)
        Rows that have the component as their most probable one.
    certainty : array, shape (K,)
        Mean probability of that component in those rows; NaN where there are none.
    uncertain : int
        Rows whose most probable component has a probability below `CERTAIN`.
    least_certain : array of int, shape (≤ most,)
        Row numbers, the least certain first; only rows below 0.99.
    least_certain_posterior : array, shape (≤ most, K)
    """

    n_rows: int
    log_likelihood: float
    log_certainty: float
    expected: np.ndarray
    chosen: np.ndarray
    certainty: np.ndarray
    uncertain: int
    least_certain: np.ndarray
    least_certain_posterior: np.ndarray


def membership(estimator: Any, table: Table, most: int = 20) -> Membership:
    """Sum up p(z | x) over all rows; keeps the ``most`` least certain ones."""
    size = len(estimator.weights_)
    expected, chosen, certainty = np.zeros(size), np.zeros(size, dtype=np.int64), np.zeros(size)
    total = log_certainty = 0.0
    uncertain = 0
    worst_rows, worst = np.empty(0, dtype=np.int64), np.empty((0, size))
    for rows, bound, posterior in estimator._rows(table):
        total += float(bound.sum())
        expected += posterior.sum(axis=0)
        best, top = posterior.argmax(axis=1), posterior.max(axis=1)
        log_certainty += float(np.log(top).sum())
        chosen += np.bincount(best, minlength=size)
        certainty += np.bincount(best, weights=top, minlength=size)
        uncertain += int((top < CERTAIN).sum())
        doubtful = np.flatnonzero(top < 0.99)
        worst_rows, worst = np.append(worst_rows, rows[doubtful]), np.concatenate([worst, posterior[doubtful]])
        order = np.lexsort((worst_rows, worst.max(axis=1)))[:most]  # blocks come in any order: ties by row number
        worst_rows, worst = worst_rows[order], worst[order]
    mean = np.divide(certainty, chosen, out=np.full(size, np.nan), where=chosen > 0)
    return Membership(
        table.n_rows, total, log_certainty, expected, chosen, mean, uncertain, worst_rows, worst
    )  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """Rows to draw: a sample, its holes filled by their conditional means.

    Attributes
    ----------
    n_rows : int
        Of the table the sample comes from.
    cells : array, shape (n, d)
        NaN where missing.
    filled : array, shape (n, d)
    component : array of int, shape (n,)
    certainty : array, shape (n,)
        Probability of that component.
    """

    n_rows: int
    cells: np.ndarray
    filled: np.ndarray
    component: np.ndarray
    certainty: np.ndarray


def rows_to_draw(estimator: Any, table: Table) -> Drawn:
    """A sample of the rows that have at least one observed cell."""
    cells = take_rows(table, sample_rows(table.n_rows))
    cells = cells[~np.isnan(cells).all(axis=1)]
    component, certainty = np.zeros(len(cells), dtype=np.int64), np.ones(len(cells))
    if len(cells):
        for rows, _, posterior in estimator._rows(ArrayTable(array=cells, names=table.names)):
            component[rows], certainty[rows] = posterior.argmax(axis=1), posterior.max(axis=1)
    return Drawn(table.n_rows, cells, estimator._density().conditional_mean(cells), component, certainty)
