"""A table as factor models take it: its moments where it is complete, its rows where cells are missing."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import numpy as np

from ..core.block import Block
from ..core.errors import DataError
from ..core.threads import WORKERS
from ..data.moments import moments
from ..data.source import Source
from ..data.summary import check_columns, summarise
from ..data.table import Table
from ..families.factor_structure import FactorStructure
from ..families.normal import Frame

#: Columns with a correlation beyond this are one column twice,
_TWICE = 1 - 1e-12
#: if they are observed together in more rows than these: a few agree by chance.
_FEW = 10
_ROWS_PER_PIECE = 8192


@final
@dataclass(frozen=True)
class FactorRows:
    """What a factor model is fitted to.

    Attributes
    ----------
    blocks : iterable of Block
    frame : Frame
        Columns of equal noise have equal scales.
    covariance : array, shape (d, d)
        In the frame; where cells are missing, from the rows that have both columns, made positive definite.
    weight : float
        Of all rows.
    complete : bool
        Whether no cell is missing.
    """

    blocks: Iterable[Block]
    frame: Frame
    covariance: np.ndarray
    weight: float
    complete: bool


def rows_for(table: Table, weight: np.ndarray | None, structure: FactorStructure, names: list[str]) -> FactorRows:
    """Read a table.

    Raises
    ------
    DataError
        For a column without values or of one value; for the same column twice, where its noise is its own.
    """
    found = moments(table, weight)
    if found is not None:
        variance = np.diagonal(found.covariance)
        if np.any(variance <= (1e-13 * np.abs(found.mean)) ** 2):
            check_columns(summarise(table, weight), names)
        frame = frame_for(found.mean, variance, structure)
        scale = np.asarray(frame.scale.value)
        covariance = found.covariance / np.outer(scale, scale)
        _refuse_twice(covariance, structure, names)
        x, w = found.rows()
        if len(x) > table.n_rows and table.in_memory:  # fewer rows than their moments take
            x = table.to_array()
            w = np.ones(len(x)) if weight is None else weight
            x, w = x[w > 0], w[w > 0]
        return FactorRows([Block(x[None], w[None], complete=True)], frame, covariance, found.weight, True)
    summary = summarise(table, weight)
    check_columns(summary, names)
    frame = frame_for(summary.mean, summary.variance, structure)
    covariance, correlation = _pairwise(table, weight, frame)
    _refuse_twice(correlation, structure, names)
    source = Source(table, summary, lambda _: _rows_per_piece(summary.n_rows), weight=weight, label=None, coupled=())
    return FactorRows(source, frame, _positive(covariance), summary.total_weight, False)


def _rows_per_piece(n: int) -> int:
    return min(_ROWS_PER_PIECE, max(-(-n // (2 * WORKERS)), 64))


def frame_for(mean: np.ndarray, variance: np.ndarray, structure: FactorStructure) -> Frame:
    """The frame of these columns: those of equal noise have equal scales."""
    groups = structure.groups
    pooled = (variance @ groups) / groups.sum(axis=0)
    return Frame.of(mean, np.sqrt(pooled)[list(structure.noise)])


def _refuse_twice(correlation: np.ndarray, structure: FactorStructure, names: list[str]) -> None:
    if max(structure.noise) + 1 < structure.n_columns:
        return  # noise that columns have in common keeps the likelihood bounded
    i, j = np.nonzero(np.triu(np.abs(correlation), 1) > _TWICE)
    if len(i):
        raise DataError(
            f"columns {names[i[0]]!r} and {names[j[0]]!r} are the same up to a linear map, so that a factor can "
            "explain both without any noise and the likelihood has no maximum: leave one of them out"
        )


def _pairwise(table: Table, weight: np.ndarray | None, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Covariances and correlations in the frame, each from the rows in which both cells are observed.

    Correlations of columns that meet in few rows are 0.
    """
    d, start = table.n_columns, 0
    product, square, first, both, rows = (np.zeros((d, d)) for _ in range(5))
    for slab in table.slabs():
        w = np.ones(len(slab)) if weight is None else weight[start : start + len(slab)]
        start += len(slab)
        u, hole = frame.enter_array(slab)
        seen = 1.0 - hole
        wu = u * w[:, None]
        product += wu.T @ u
        square += (wu * u).T @ seen
        first += wu.T @ seen
        both += (seen * w[:, None]).T @ seen
        rows += seen[w > 0].T @ seen[w > 0]
    n = np.where(both > 0, both, 1.0)
    covariance = product / n - first * first.T / n**2
    variance = square / n - first**2 / n**2  # of column i where j is observed, too
    scale = np.sqrt(np.maximum(variance * variance.T, 0.0))
    known = (rows > _FEW) & (scale > 0)
    return covariance, np.where(known, covariance / np.where(known, scale, 1.0), 0.0)


def _positive(covariance: np.ndarray) -> np.ndarray:
    """The nearest covariance without negative eigenvalues, its diagonal as it was."""
    values, vectors = np.linalg.eigh(covariance)
    lifted = (vectors * np.maximum(values, 1e-3 * values[-1])) @ vectors.T
    scale = np.sqrt(np.diagonal(covariance) / np.diagonal(lifted))
    return lifted * np.outer(scale, scale)
