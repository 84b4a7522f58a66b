"""First and second moments of a table without missing cells, and a few rows that have the same ones."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from ..core.threads import one_blas_thread, side_by_side
from .table import Table

#: Cells that a thread takes at a time, and those of them that it works on at once: as many as its cache holds.
_SLAB_CELLS, _PIECE_CELLS = 1_000_000, 100_000


@final
@dataclass(frozen=True)
class Moments:
    """What a density whose logarithm is quadratic in x needs to know of rows.

    Attributes
    ----------
    n_rows : int
        Of weight above 0.
    weight : float
        Their total weight.
    mean : array, shape (d,)
    covariance : array, shape (d, d)
        Divided by the weight.
    """

    n_rows: int
    weight: float
    mean: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]

    def rows(self) -> tuple[Float[np.ndarray, "2d d"], Float[np.ndarray, " 2d"]]:
        """Rows and their weights with these moments: mean ± √d times each column of a root of the covariance.

        Sums of quadratic functions over the table are sums over them. (As the sigma points of Julier & Uhlmann 1997.)
        The root is that of the correlations, so that columns of small units keep their digits beside large ones.
        """
        d = len(self.mean)
        scale = np.sqrt(np.diagonal(self.covariance))
        unit = np.where(scale > 0, scale, 1.0)
        values, vectors = np.linalg.eigh(self.covariance / np.outer(unit, unit))
        away = (vectors * np.sqrt(d * np.maximum(values, 0.0))).T * scale
        return self.mean + np.concatenate([away, -away]), np.full(2 * d, self.weight / (2 * d))


def moments(table: Table, weight: Float[np.ndarray, " n"] | None = None) -> Moments | None:
    """Moments of a table in one pass, slab by slab, several of them at once; None where a cell is missing.

    Slabs are taken from places of their own and merged as in Chan, Golub & LeVeque (1983), Am. Stat. 37:242, so that a
    large common offset costs no digits.

    Parameters
    ----------
    table : Table
    weight : array, shape (n_rows,), optional
        Rows of weight 0 take no part.
    """
    d = table.n_columns
    mean, scatter, total, used = np.zeros(d), np.zeros((d, d)), 0.0, 0
    origin: np.ndarray | None = None
    # BLAS's own threads wait for each other after each of many small products
    with one_blas_thread():
        for part in side_by_side(_of_slab, _slabs(table, weight)):
            if part is None:
                continue
            if np.isnan(part.centre).any():
                return None
            origin = part.origin if origin is None else origin
            both = total + part.weight
            delta = (part.origin - origin) + part.centre - mean
            scatter += part.scatter + np.outer(delta, delta) * (total * part.weight / both)
            mean = mean + delta * (part.weight / both)
            total, used = both, used + part.n_rows
    assert origin is not None  # some row has weight
    return Moments(used, total, origin + mean, scatter / total)


@dataclass(frozen=True)
class _Slab:
    """Weight, mean (beyond an origin) and centred products of some rows."""

    n_rows: int
    weight: float
    origin: Float[np.ndarray, " d"]
    centre: Float[np.ndarray, " d"]
    scatter: Float[np.ndarray, "d d"]


def _slabs(table: Table, weight: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    start = 0
    with closing(table.slabs(max(_SLAB_CELLS // table.n_columns, 1))) as slabs:
        for slab in slabs:
            yield slab, None if weight is None else weight[start : start + len(slab)]
            start += len(slab)


def _of_slab(rows: tuple[np.ndarray, np.ndarray | None]) -> _Slab | None:
    """None where no row has weight."""
    x, w = rows
    if w is not None and not w.all():
        x, w = x[w > 0], w[w > 0]
    n, d = x.shape
    if n == 0:
        return None
    step = min(max(_PIECE_CELLS // d, d), n)
    origin = x[:step].mean(axis=0)
    away, first, second = np.empty((step, d)), np.zeros(d), np.zeros((d, d))
    for start in range(0, n, step):
        u = np.subtract(x[start : start + step], origin, out=away[: min(step, n - start)])
        root = np.ones(len(u)) if w is None else np.sqrt(w[start : start + step])
        if w is not None:
            u *= root[:, None]
        first += root @ u
        second += u.T @ u
    weight = float(n if w is None else w.sum())
    centre = first / weight
    return _Slab(n, weight, origin, centre, second - weight * np.outer(centre, centre))
