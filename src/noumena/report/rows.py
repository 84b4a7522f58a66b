"""What drawings and tables need of the rows, in bounded memory: samples, chosen rows, missing patterns."""

import contextlib
import heapq
from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..data.table import Table

#: Rows drawn in a scatter plot.
MOST_DRAWN = 5_000
#: Distinct patterns remembered; beyond, the rarest so far make room.
_MOST_PATTERNS = 100_000


def sample_rows(n_rows: int, most: int = MOST_DRAWN, seed: int = 0) -> np.ndarray:
    """Numbers of at most ``most`` rows, ascending: all of them, or a random sample without replacement."""
    if n_rows <= most:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, most, replace=False))


def take_rows(table: Table, index: np.ndarray) -> np.ndarray:
    """These rows (ascending row numbers), shape (len(index), d)."""
    out = np.empty((len(index), table.n_columns))
    first = done = 0
    with contextlib.closing(table.slabs()) as slabs:
        for slab in slabs:
            upto = int(np.searchsorted(index, first + len(slab)))
            out[done:upto] = slab[index[done:upto] - first]
            first, done = first + len(slab), upto
            if done == len(index):
                break
    return out


@dataclass(frozen=True)
class Missing:
    """Where the holes are.

    Attributes
    ----------
    n_rows : int
    per_column : array of int, shape (d,)
        Missing cells of each column.
    patterns : array of bool, shape (p, d)
        The row patterns, True where a cell is missing, most frequent first.
    counts : array of int, shape (p,)
        Rows of each.
    complete_rows, empty_rows : int
        Rows without a missing cell, and without an observed one.
    """

    n_rows: int
    per_column: np.ndarray
    patterns: np.ndarray
    counts: np.ndarray
    complete_rows: int
    empty_rows: int

    @property
    def share(self) -> float:
        """Share of all cells that are missing."""
        return float(self.per_column.sum() / (self.n_rows * len(self.per_column)))


def missing_patterns(table: Table) -> Missing:
    """Count the missing cells and the patterns they make; one pass."""
    d = table.n_columns
    seen: Counter[bytes] = Counter()
    per_column = np.zeros(d, dtype=np.int64)
    complete = empty = 0
    with contextlib.closing(table.slabs()) as slabs:
        for slab in slabs:
            hole = np.isnan(slab)
            per_column += hole.sum(axis=0)
            complete += int((~hole.any(axis=1)).sum())
            empty += int(hole.all(axis=1).sum())
            packed = np.packbits(hole, axis=1)
            keys = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
            for pattern, rows in zip(*np.unique(keys, return_counts=True), strict=True):
                seen[pattern.tobytes()] += int(rows)
            if len(seen) > _MOST_PATTERNS:
                seen = Counter(dict(heapq.nlargest(_MOST_PATTERNS // 2, seen.items(), key=lambda item: item[1])))
    ordered = sorted(seen.items(), key=lambda item: (-item[1], item[0]))
    packed = np.frombuffer(b"".join(pattern for pattern, _ in ordered), dtype=np.uint8).reshape(len(ordered), -1)
    patterns = np.unpackbits(packed, axis=1, count=d).astype(bool)
    counts = np.array([rows for _, rows in ordered])
    return Missing(table.n_rows, per_column, patterns, counts, complete, empty)
