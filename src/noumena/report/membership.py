"""Who belongs where, over all rows of a table, in one pass and bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..data.table import ArrayTable, Table
from .fitted import Fitted, FittedMixture
from .rows import sample_rows, take_rows

#: A row whose most probable component has less than this is called uncertain.
CERTAIN = 0.8


@dataclass(frozen=True)
class Membership:
    """Posterior probabilities of a table's rows, summed up; a background counts as the last component.

    Attributes
    ----------
    n_rows : int
    total_weight : float
        Of the rows: their number where they have no weights.
    log_likelihood : float
        log p(observed cells) of all rows, weighted, in nats.
    log_certainty : float
        Σ log max_k p(z = k | x), weighted: what the ICL adds to the BIC.
    expected : array, shape (K,)
        Σ p(z = k | x), weighted: rows each component is expected to hold.
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
    total_weight: float
    log_likelihood: float
    log_certainty: float
    expected: np.ndarray
    chosen: np.ndarray
    certainty: np.ndarray
    uncertain: int
    least_certain: np.ndarray
    least_certain_posterior: np.ndarray


def membership(fitted: Fitted, table: Table, most: int = 20, weight: np.ndarray | None = None) -> Membership:
    """Sum up p(z | x) over all rows; keeps the ``most`` least certain ones."""
    size = len(fitted.shares)
    expected, chosen, certainty = np.zeros(size), np.zeros(size, dtype=np.int64), np.zeros(size)
    total = log_certainty = 0.0
    uncertain = 0
    worst_rows, worst = np.empty(0, dtype=np.int64), np.empty((0, size))
    for rows, bound, posterior in fitted.rows(table):
        w = np.ones(len(rows)) if weight is None else weight[rows]
        total += float(w @ bound)
        expected += w @ posterior
        best, top = posterior.argmax(axis=1), posterior.max(axis=1)
        log_certainty += float(w @ np.log(top))
        chosen += np.bincount(best, minlength=size)
        certainty += np.bincount(best, weights=top, minlength=size)
        uncertain += int((top < CERTAIN).sum())
        doubtful = np.flatnonzero(top < 0.99)
        worst_rows, worst = np.append(worst_rows, rows[doubtful]), np.concatenate([worst, posterior[doubtful]])
        order = np.lexsort((worst_rows, worst.max(axis=1)))[:most]  # blocks come in any order: ties by row number
        worst_rows, worst = worst_rows[order], worst[order]
    mean = np.divide(certainty, chosen, out=np.full(size, np.nan), where=chosen > 0)
    n = float(table.n_rows if weight is None else weight.sum())
    return Membership(
        table.n_rows, n, total, log_certainty, expected, chosen, mean, uncertain, worst_rows, worst
    )  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """Rows to draw: a sample, its holes filled by what is expected of them.

    Attributes
    ----------
    n_rows : int
        Of the table the sample comes from.
    cells : array, shape (n, d)
        NaN where missing; levels as their codes.
    filled : array, shape (n, d)
    posterior : array, shape (n, K)
    weight : array, shape (n,)
    shares : dict
        From the position of each column of levels to the share of each level in the observed cells of all rows of the
        table, weighted; NaN where there are none.
    """

    n_rows: int
    cells: np.ndarray
    filled: np.ndarray
    posterior: np.ndarray
    weight: np.ndarray
    shares: dict[int, np.ndarray]

    def select(self, columns: Sequence[int]) -> "Drawn":
        """The same rows, of some columns only."""
        chosen = list(columns)
        return replace(self, cells=self.cells[:, chosen], filled=self.filled[:, chosen])


def rows_to_draw(fitted: FittedMixture, table: Table, weight: np.ndarray | None = None) -> Drawn:
    """A sample of the rows that have at least one observed cell."""
    sample = sample_rows(table.n_rows)
    cells = take_rows(table, sample)
    seen = ~np.isnan(cells).all(axis=1)
    cells = cells[seen]
    posterior = np.ones((len(cells), len(fitted.shares)))
    if len(cells):
        given = None if table.given is None else table.given[sample][seen]
        for rows, _, share in fitted.rows(ArrayTable(array=cells, names=table.names, given=given)):
            posterior[rows] = share
    w = np.ones(len(cells)) if weight is None else weight[sample][seen]
    shares = _level_shares(fitted, table, weight)
    return Drawn(table.n_rows, cells, fitted.filled(cells, posterior), posterior, w, shares)


def _level_shares(fitted: FittedMixture, table: Table, weight: np.ndarray | None) -> dict[int, np.ndarray]:
    named = {column.position: column.levels for column in fitted.columns if column.levels is not None}
    counts = {j: np.zeros(len(levels)) for j, levels in named.items()}
    first = 0
    for slab in table.slabs() if named else ():
        w = np.ones(len(slab)) if weight is None else weight[first : first + len(slab)]
        first += len(slab)
        for j, count in counts.items():
            seen = ~np.isnan(slab[:, j])
            count += np.bincount(slab[seen, j].astype(int), w[seen], minlength=len(count))
    return {j: count / count.sum() if count.any() else np.full(len(count), np.nan) for j, count in counts.items()}


def separation_by_columns(drawn: Drawn, levels: Sequence[int]) -> np.ndarray:
    """Share of each column's variance over the rows drawn that lies between the components, shape (d,).

    Of a column of levels, the variance is that of their indicators, all together (Goodman and Kruskal's tau).

    Parameters
    ----------
    drawn : Drawn
    levels : sequence of int
        Number of levels of each column; 0 where it holds numbers.
    """
    return np.array([_separation(drawn, drawn.cells[:, j], count) for j, count in enumerate(levels)])


def _separation(drawn: Drawn, cells: np.ndarray, levels: int) -> float:
    seen = ~np.isnan(cells)
    if not drawn.weight[seen].any():
        return 0.0
    share = drawn.posterior[seen] * drawn.weight[seen, None]
    values = cells[seen, None] == np.arange(levels) if levels else cells[seen, None]
    weight = share.sum(axis=0)
    means = np.divide(share.T @ values, weight[:, None], out=np.zeros((len(weight), values.shape[1])),
                      where=weight[:, None] > 0)  # fmt: skip
    centre = weight @ means / weight.sum()
    total = float(share.sum(axis=1) @ ((values - centre) ** 2).sum(axis=1))
    return float(weight @ ((means - centre) ** 2).sum(axis=1)) / total if total > 0 else 0.0
