"""One pass over a table: what a fit must know before it starts."""

from dataclasses import dataclass

import numpy as np

from ..core.errors import DataError
from .table import Table


@dataclass(frozen=True)
class Summary:
    """Weighted moments of the observed cells, and where the holes are.

    Attributes
    ----------
    n_rows : int
    total_weight : float
    mean, variance : array, shape (d,)
        Of the observed cells of each column, weighted; the variance divides by the weight.
    minimum, maximum : array, shape (d,)
    observed : array, shape (d,)
        Weight of the observed cells of each column.
    missing_per_row : array of int, shape (d + 1,)
        Number of rows with 0, 1, …, d missing cells.
    """

    n_rows: int
    total_weight: float
    mean: np.ndarray
    variance: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    observed: np.ndarray
    missing_per_row: np.ndarray

    @property
    def any_missing(self) -> bool:
        return bool(self.missing_per_row[1:].any())


def summarise(table: Table, weight: np.ndarray | None = None) -> Summary:
    """Summary of a table, read slab by slab.

    Moments of slabs are merged as in Chan, Golub & LeVeque (1983), Am. Stat. 37:242, so that a large common offset
    costs no digits.

    Parameters
    ----------
    table : Table
    weight : array, shape (n_rows,), optional
        Row weights; 1 by default. Rows of weight 0 take no part.
    """
    d = table.n_columns
    observed, mean, square = np.zeros(d), np.zeros(d), np.zeros(d)
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    histogram = np.zeros(d + 1, dtype=np.int64)
    rows, total = 0, 0.0
    for slab in table.slabs():
        w = np.ones(len(slab)) if weight is None else weight[rows : rows + len(slab)]
        rows += len(slab)
        if not w.all():
            slab, w = slab[w > 0], w[w > 0]
        total += float(w.sum())
        hole = np.isnan(slab)
        any_hole = bool(hole.any())
        histogram += np.bincount(hole.sum(axis=1), minlength=d + 1) if any_hole else _all_complete(len(slab), d)
        if len(slab) == 0:
            continue
        wide = np.where(hole, 0.0, w[:, None]) if any_hole else w[:, None]
        here = wide.sum(axis=0) if any_hole else np.full(d, w.sum())
        filled = np.where(hole, 0.0, slab) if any_hole else slab
        shift = np.where(observed > 0, mean, filled[0])
        away = (filled - shift) * (wide > 0)
        part = np.divide((away * wide).sum(axis=0), here, out=np.zeros(d), where=here > 0)
        part_square = (wide * (away - part) ** 2).sum(axis=0)
        both = observed + here
        share = np.divide(here, both, out=np.zeros(d), where=both > 0)
        delta = shift + part - mean
        square += part_square + np.where(observed > 0, delta**2 * observed * share, 0.0)
        mean = np.where(observed > 0, mean + delta * share, shift + part)
        observed = both
        if any_hole:
            low = np.minimum(low, np.where(hole, np.inf, slab).min(axis=0))
            high = np.maximum(high, np.where(hole, -np.inf, slab).max(axis=0))
        else:
            low, high = np.minimum(low, slab.min(axis=0)), np.maximum(high, slab.max(axis=0))
    variance = np.divide(square, observed, out=np.zeros(d), where=observed > 0)
    return Summary(rows, total, mean, variance, low, high, observed, histogram)


def _all_complete(rows: int, d: int) -> np.ndarray:
    counts = np.zeros(d + 1, dtype=np.int64)
    counts[0] = rows
    return counts


def check_columns(summary: Summary, names: list[str]) -> None:
    """Refuse columns without information.

    Raises
    ------
    DataError
        Naming every column that has no observed cell, or one value only.
    """
    empty = [name for name, weight in zip(names, summary.observed, strict=True) if weight == 0]
    if empty:
        raise DataError(f"column {_list(empty)} has no observed value in any row: leave it out")
    constant = [
        f"{name!r} (always {value:g})"
        for name, value, top in zip(names, summary.minimum, summary.maximum, strict=True)
        if value == top
    ]
    if constant:
        raise DataError(
            f"column {', '.join(constant)} is constant, so that its density has no maximum: leave it out "
            "(it tells no rows apart)"
        )


def _list(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)
