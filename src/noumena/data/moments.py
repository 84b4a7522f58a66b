"""First and second moments of a table without missing cells, and a few rows that have the same ones."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from .table import Table

#: Cells of a slab: large enough for matrix products, small enough to stay near the cores.
_SLAB_CELLS = 2_000_000


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
    """Moments of a table in one pass, slab by slab; None where a cell is missing.

    Slabs are centred each by itself and merged as in Chan, Golub & LeVeque (1983), Am. Stat. 37:242, so that a large
    common offset costs no digits.

    Parameters
    ----------
    table : Table
    weight : array, shape (n_rows,), optional
        Rows of weight 0 take no part.
    """
    d = table.n_columns
    mean, scatter, total, used, start = np.zeros(d), np.zeros((d, d)), 0.0, 0, 0
    for slab in table.slabs(max(_SLAB_CELLS // d, 1)):
        w = None if weight is None else weight[start : start + len(slab)]
        start += len(slab)
        if w is not None and not w.all():
            slab, w = slab[w > 0], w[w > 0]
        if len(slab) == 0:
            continue
        own = float(len(slab) if w is None else w.sum())
        centre = slab.mean(axis=0) if w is None else w @ slab / own
        if np.isnan(centre).any():
            return None
        away = slab - centre
        scatter += away.T @ away if w is None else (away * w[:, None]).T @ away
        both = total + own
        delta = centre - mean
        scatter += np.outer(delta, delta) * (total * own / both)
        mean = mean + delta * (own / both)
        total, used = both, used + len(slab)
    return Moments(used, total, mean, scatter / total)
