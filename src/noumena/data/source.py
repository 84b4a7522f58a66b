"""From a table to the blocks that the E-step scans: grouped by missing cells, padded, cut into pieces."""

from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from ..core.block import Block
from ..core.threads import WORKERS
from .summary import Summary
from .table import Table

#: Tables up to this size are kept as device arrays; larger ones are read slab by slab at each iteration.
RESIDENT_BYTES = 48_000_000
#: A row with m missing cells is as much work as 1 + _MISSING_WORK · m² complete ones (measured at 16 columns).
_MISSING_WORK = 0.15
#: A program for a group of its own takes as long to compile as hundreds of iterations over so many complete rows.
_PROGRAM_WORK = 80_000
#: A group with fewer pieces than this for each worker stays one block: rounding up would cost more than it gains.
_PIECES_TO_SHARE = 4
#: Rows are given a pattern each where a piece has more patterns than this share of its rows.
_MOST_SHARED = 0.5


class Source:
    """A table as an iterable of blocks; every iteration gives the same ones.

    Rows are grouped by their number of missing cells, since the work per row grows with its cube, and each group is
    filled up with rows of weight 0 to whole pieces, so that few shapes occur and a program is compiled once for each.

    Parameters
    ----------
    table : Table
    summary : Summary
        Of this table: its histogram of missing cells decides the groups.
    rows_per_piece : callable
        From the most missing cells of a group to the number of rows that the model likes to see at once.
    weight : array, shape (n_rows,), optional
        1 by default.
    label : array of int, shape (n_rows,), optional
        −1 (unknown) by default.
    coupled : sequence of int, optional
        Columns whose missing cells the model integrates out together: rows are grouped by these. All columns by
        default; none for models to which a missing cell is no extra work: then all rows are one group.
    """

    def __init__(
        self,
        table: Table,
        summary: Summary,
        rows_per_piece: Callable[[int], int],
        *,
        weight: np.ndarray | None = None,
        label: np.ndarray | None = None,
        coupled: Sequence[int] | None = None,
    ) -> None:
        self._table, self._rows_per_piece = table, rows_per_piece
        self._weight, self._label = weight, label
        self._coupled = np.arange(table.n_columns) if coupled is None else np.array(coupled, dtype=int)
        self._sizes = _group_sizes(self._holes_per_row(summary))
        self._complete = not summary.any_missing and (weight is None or bool(np.all(weight > 0)))
        bytes_needed = table.n_rows * (table.n_columns + 2) * 8
        self._kept: list[Block] | None = None
        self._keep = bytes_needed <= RESIDENT_BYTES

    def _holes_per_row(self, summary: Summary) -> np.ndarray:
        """How many rows have 0, 1, … missing cells in the coupled columns."""
        if len(self._coupled) == self._table.n_columns or not summary.any_missing:
            return summary.missing_per_row
        counts = np.zeros(len(self._coupled) + 1, dtype=np.int64)
        if len(self._coupled) == 0:
            counts[0] = self._table.n_rows
            return counts
        for slab in self._table.slabs():
            counts += np.bincount(np.isnan(slab[:, self._coupled]).sum(axis=1), minlength=len(counts))
        return counts

    def __iter__(self) -> Iterator[Block]:
        if not self._keep:
            yield from (block for block, _ in self.indexed())
            return
        if self._kept is None:
            self._kept = [block for block, _ in self.indexed()]
        yield from self._kept

    def indexed(self) -> Iterator[tuple[Block, np.ndarray]]:
        """Blocks with the row numbers of their rows, shape (pieces, rows); −1 for rows that only fill up."""
        pending = _Pending(
            self._sizes,
            self._coupled,
            self._rows_per_piece,
            None if self._keep else self._table.slab_rows,
            self._label is None,
            self._complete,
        )
        start = 0
        for slab in self._table.slabs(self._table.n_rows if self._keep else None):
            stop = start + len(slab)
            weight = np.ones(len(slab)) if self._weight is None else self._weight[start:stop]
            label = np.full(len(slab), -1, np.int32) if self._label is None else self._label[start:stop]
            given = () if self._table.given is None else (self._table.given[start:stop],)
            yield from pending.add(slab, weight, label, np.arange(start, stop), *given)
            start = stop
        yield from pending.rest()


def _group_sizes(missing_per_row: np.ndarray) -> list[int]:
    """The most missing cells of each group, such that work and compilation together are least.

    Parameters
    ----------
    missing_per_row : array of int
        How many rows have 0, 1, 2, … missing cells.
    """
    present = np.flatnonzero(missing_per_row)
    most = int(present[-1]) if len(present) else 0
    below = np.concatenate([[0], np.cumsum(missing_per_row[: most + 1])])  # rows with fewer than m missing cells
    least, last = np.zeros(most + 2), np.zeros(most + 2, dtype=int)
    for end in range(most + 1):  # least[end + 1]: cost of all rows with at most `end` missing cells
        rows = below[end + 1] - below[: end + 1]
        cost = least[: end + 1] + rows * (1 + _MISSING_WORK * end**2) + _PROGRAM_WORK * (rows > 0)
        last[end + 1] = cost.argmin()
        least[end + 1] = cost.min()
    sizes, end = [], most + 1
    while end > 0 and below[end] > 0:
        sizes.append(end - 1)
        end = int(last[end])
    return sizes[::-1] or [0]


class _Pending:
    """Rows waiting, group by group, to fill a block."""

    def __init__(
        self,
        sizes: list[int],
        coupled: np.ndarray,
        rows_per_piece: Callable[[int], int],
        fixed_rows: int | None,
        unlabelled: bool,
        complete: bool,
    ) -> None:
        self._coupled, self._complete = coupled, complete
        self._sizes, self._rows_per_piece, self._unlabelled = sizes, rows_per_piece, unlabelled
        self._fixed = fixed_rows  # streaming: every block of a group has the same shape
        self._waiting: dict[int, list[tuple[np.ndarray, ...]]] = {size: [] for size in sizes}

    def add(self, x: np.ndarray, *columns: np.ndarray) -> Iterator[tuple[Block, np.ndarray]]:
        """Sort rows into their groups; give the blocks that are full."""
        if self._sizes == [0]:
            groups = [(0, slice(None))]
        else:
            missing = np.isnan(x[:, self._coupled]).sum(axis=1)
            end = np.searchsorted(self._sizes, missing)  # of the group that each row belongs to
            groups = [(size, np.flatnonzero(end == g)) for g, size in enumerate(self._sizes)]
        for size, rows in groups:
            part = (x[rows], *(column[rows] for column in columns))
            if self._fixed is None:
                if len(part[0]):
                    yield from self._blocks(size, part)
                continue
            self._waiting[size].append(part)
            pieces, rows_each = self._fixed_shape(size)
            while sum(len(one[0]) for one in self._waiting[size]) >= pieces * rows_each:
                yield self._block(size, self._take(size, pieces * rows_each), (pieces, rows_each))

    def rest(self) -> Iterator[tuple[Block, np.ndarray]]:
        """The blocks of the rows still waiting."""
        for size, waiting in self._waiting.items():
            if left := sum(len(one[0]) for one in waiting):
                yield self._block(size, self._take(size, left), self._fixed_shape(size))

    def _take(self, size: int, rows: int) -> tuple[np.ndarray, ...]:
        waiting = self._waiting[size]
        whole = waiting[0] if len(waiting) == 1 else tuple(np.concatenate(c) for c in zip(*waiting, strict=True))
        self._waiting[size] = [tuple(column[rows:] for column in whole)] if len(whole[0]) > rows else []
        return tuple(column[:rows] for column in whole)

    def _fixed_shape(self, size: int) -> tuple[int, int]:
        rows = self._rows_per_piece(size)
        assert self._fixed is not None
        budget = self._fixed if size == 0 else self._fixed // 4
        return max(1, budget // rows), rows

    def _blocks(self, size: int, part: tuple[np.ndarray, ...]) -> Iterator[tuple[Block, np.ndarray]]:
        """All rows of a group at once; many of them as one block for each worker, so that all have work to do."""
        pieces, rows = self._pieces_for(size, len(part[0]))
        blocks = WORKERS if pieces >= _PIECES_TO_SHARE * WORKERS else 1
        each = -(-pieces // blocks)
        whole, index = self._numbered(size, part, (each * blocks, rows))
        for start in range(0, each * blocks, each):
            cut = slice(start, start + each)
            yield jax.tree.map(lambda array, cut=cut: jax.device_put(array[cut]), whole), index[cut]

    def _pieces_for(self, size: int, n: int) -> tuple[int, int]:
        rows = self._rows_per_piece(size)
        if n >= rows:
            return -(-n // rows), rows
        grid = max(16, 2 ** (n.bit_length() - 3))  # at most an eighth too many, and few different shapes
        return 1, -(-n // grid) * grid

    def _block(self, size: int, part: tuple[np.ndarray, ...], shape: tuple[int, int]) -> tuple[Block, np.ndarray]:
        block, index = self._numbered(size, part, shape)
        return jax.device_put(block), index

    def _numbered(self, size: int, part: tuple[np.ndarray, ...], shape: tuple[int, int]) -> tuple[Block, np.ndarray]:
        """A block in NumPy, and the row numbers of its rows."""
        patterns = None
        which = np.empty(0, dtype=int)
        if size:
            order, which, patterns = _sorted_by_pattern(part[0][:, self._coupled])
            part = tuple(column[order] for column in part)
        x, weight, label, index, *given = part
        n, room = len(x), shape[0] * shape[1]
        if n < room:
            fill = room - n
            last = np.broadcast_to(x[-1:], (fill, x.shape[1]))  # any row will do, for its weight is 0
            x = np.concatenate([x, last])
            given = [np.concatenate([one, np.broadcast_to(one[-1:], (fill, one.shape[1]))]) for one in given]
            weight = np.concatenate([weight, np.zeros(fill)])
            label = np.concatenate([label, np.full(fill, -1, label.dtype)])
            index = np.concatenate([index, np.full(fill, -1, index.dtype)])
        pattern = columns = None
        if patterns is not None:
            which = np.concatenate([which, np.full(room - n, which[-1])]).reshape(shape)
            pattern, columns = _piecewise(which, patterns, self._coupled, x.shape[1], size, self._fixed is not None)
        block = Block(
            x.reshape(*shape, -1),
            weight.reshape(shape),
            None if self._unlabelled else label.reshape(shape),
            pattern,
            columns,
            given[0].reshape(*shape, -1) if given else None,
            self._complete,
        )
        return block, index.reshape(shape)


def _sorted_by_pattern(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An order of the rows in which equal missing patterns follow each other, each row's pattern, and the patterns."""
    hole = np.isnan(x)
    packed = np.packbits(hole, axis=1)
    key = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(which, kind="stable")
    return order, which[order], hole[first]


def _piecewise(
    which: np.ndarray, patterns: np.ndarray, coupled: np.ndarray, d: int, size: int, fixed: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Patterns numbered anew within each piece, and the missing columns of each, padded to one number per piece."""
    starts = which[:, :1]  # sorted: the patterns of a piece are consecutive numbers
    local = which - starts
    needed = int(local.max()) + 1
    rows = which.shape[1]
    most = min(-(-needed // 8) * 8, rows)
    if fixed or most > _MOST_SHARED * rows:
        local, most = np.broadcast_to(np.arange(rows), which.shape), rows  # too little is shared: each row its own
    # columns of the missing cells first, in order; a place beyond the pattern's last holds d + its own number
    rank = coupled[np.argsort(~patterns, axis=1, kind="stable")[:, :size]]
    place = np.arange(size)
    table = np.where(place < patterns.sum(axis=1)[:, None], rank, d + place)
    spread = which if most == rows else np.minimum(starts + np.arange(most), len(patterns) - 1)
    return local.astype(np.int32), table[spread].astype(np.int32)
