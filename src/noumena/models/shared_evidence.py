"""What rows say of the steps of an elimination, each different piece of it once.

What a step sums over depends on which of its variables a row shows, in which state, and on the messages that come in.
Variables that are seen have one state left. A message whose variables are all seen is one number, which scales the
total and tells the steps after it nothing. So the sums are short, and rows that agree around a step have them in
common, however much they differ elsewhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import final

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float, Int

from ..core.block import Block
from ..core.threads import WORKERS, side_by_side
from .elimination import Plan, Step

#: Entries that rows treated at once have at most, some 30 bytes each; and those that they would have, were nothing
#: shared, since rows must be read to know what they share.
_MOST_ENTRIES, _MOST_UNSHARED = 4_000_000, 8_000_000
#: Rows with fewer entries than this are one piece: two share less, and the calls for each take time.
_ENTRIES_TO_SPLIT = 8_000_000
#: Bytes of what is worked out once and kept; what does not fit is worked out at every E-step.
_MOST_KEPT = 200_000_000
#: Keys up to this are ranked by counting, where they are not many more than the rows; and none is larger than that.
_COUNTED, _COUNTED_TO_ROWS, _LARGEST_KEY = 1000, 4, 2**62


@final
@dataclass(frozen=True)
class Part:
    """Entries of a step's product: a row for each state of its variable that is left, a column for those of the others.

    Attributes
    ----------
    tables : tuple of arrays, shape (columns,)
        Where each column finds its factor in each table of the step: in all rows of it where the variable is free and
        occurs in the table, else in the table as one row.
    messages : tuple of arrays, shape (states, columns)
        Where each entry finds its factor in each message that comes in; just behind the message, where a 1 is put, if
        the message is a number.
    """

    tables: tuple[Int[np.ndarray, " columns"], ...]
    messages: tuple[Int[np.ndarray, "states columns"], ...]


@final
@dataclass(frozen=True)
class Share:
    """What some rows say of a step.

    A configuration is what one or several rows say of it. Those in which the step's variable is free come first. The
    columns of a configuration follow each other, one for each combination of the states of the other variables that
    are free, and so do the entries of its message. ``strides``, ``first`` and ``of_row`` are empty where nothing is
    asked of single rows.

    Attributes
    ----------
    free, seen : Part
        The columns in which the variable is free, and those after them, in which it is seen.
    n_free_columns, n_columns : int
        How many are free, and in all.
    starts : array, shape (configurations,)
        First column of each.
    strides : array, shape (configurations, variables of the result)
        How far apart columns lie that differ by one in the state of a variable; 0 if it is seen.
    single : array of bool, shape (configurations,)
        Whether it has one column: its message is a number.
    weight : array, shape (configurations,)
        Of their rows.
    first : array, shape (configurations,)
        A row of each.
    of_row : array, shape (rows,)
        The configuration of each row.
    """

    free: Part
    seen: Part
    n_free_columns: int
    n_columns: int
    starts: Int[np.ndarray, " configurations"]
    strides: Int[np.ndarray, "configurations rest"]
    single: Bool[np.ndarray, " configurations"]
    weight: Float[np.ndarray, " configurations"]
    first: Int[np.ndarray, " configurations"]
    of_row: Int[np.ndarray, " rows"]

    @cached_property
    def n_free(self) -> int:
        """Configurations in which the step's variable is free."""
        return int(np.searchsorted(self.starts, self.n_free_columns))

    @cached_property
    def sizes(self) -> Int[np.ndarray, " configurations"]:
        """Columns of each configuration."""
        return np.diff(self.starts, append=self.n_columns)


@final
@dataclass(frozen=True)
class SharedEvidence:
    """What some rows say of all steps of a plan.

    Attributes
    ----------
    plan : Plan
    shares : tuple of Share
    """

    plan: Plan
    shares: tuple[Share, ...]

    @property
    def nbytes(self) -> int:
        """Of all arrays."""
        arrays: list[np.ndarray] = []
        for share in self.shares:
            arrays += [*share.free.tables, *share.free.messages, *share.seen.tables, *share.seen.messages]
            arrays += [share.starts, share.strides, share.single, share.weight, share.first, share.of_row]
        return sum(array.nbytes for array in arrays)


class SharedBlock(Block):
    """What rows say of a plan's steps, or the rows themselves.

    Attributes
    ----------
    evidence : SharedEvidence, optional
        None where it is worked out at each E-step.
    """

    evidence: SharedEvidence | None = eqx.field(static=True, default=None)


def largest_table(plan: Plan, x: Float[np.ndarray, "rows nodes"]) -> tuple[float, Step]:
    """Entries of the largest table that any of some rows needs, known before anything is summed; and its step."""
    found: list[tuple[float, Step]] = []
    for step, tables, sizes in zip(plan.steps, plan.tables, _sizes(plan, x), strict=True):
        entering = [prod(float(plan.states[v]) for v in scope) for _, scope in tables]
        found.append((max(float(sizes.max(initial=0.0)), *entering, 0.0), step))
    return max(found, key=lambda one: one[0])


def pieces_of(
    plan: Plan, x: Float[np.ndarray, "rows nodes"], most: int = _MOST_ENTRIES, workers: int = WORKERS
) -> list[slice]:
    """Rows that are treated at once: up to so many entries, and some for each worker where there is work for them."""
    entries = np.cumsum(sum(_sizes(plan, x), np.zeros(len(x))))
    if len(x) and entries[-1] > _ENTRIES_TO_SPLIT:
        most = min(most, entries[-1] // workers + 1)
    which = np.ceil(entries / most)  # the piece that a row's last entry lies in
    cuts = [0, *(np.flatnonzero(np.diff(which)) + 1).tolist(), len(x)]
    return [slice(begin, end) for begin, end in pairwise(cuts) if begin < end]


def _sizes(plan: Plan, x: Float[np.ndarray, "rows nodes"]) -> Iterator[Float[np.ndarray, " rows"]]:
    """Entries of each step for each row, given what is seen in it."""
    missing = np.isnan(x)
    for step in plan.steps:
        size = np.ones(len(x))
        for v in step.scope:
            size *= np.where(missing[:, v], float(plan.states[v]), 1.0)
        yield size


def _codes(plan: Plan, x: Float[np.ndarray, "rows nodes"]) -> Int[np.ndarray, "rows nodes"]:
    """−1 where nothing is seen."""
    kind = np.int16 if max(plan.states) < np.iinfo(np.int16).max else np.int32
    codes = np.empty(x.shape, dtype=kind)
    for own, column in zip(codes.T, x.T, strict=True):
        own[:] = np.where(np.isnan(column), -1, column)
    return codes


def _left(plan: Plan, scope: Sequence[int], codes: np.ndarray) -> Int[np.ndarray, "rows variables"]:
    """States of some variables that rows leave."""
    states = np.array([plan.states[v] for v in scope], dtype=np.int32)
    return np.where(codes[:, scope] < 0, states, np.int32(1))


def shared_blocks(
    plan: Plan, x: Float[np.ndarray, "rows nodes"], weight: Float[np.ndarray, " rows"] | None
) -> list[SharedBlock]:
    """Rows as E-steps along a plan take them, with what they say of its steps, as far as memory goes."""
    weight = np.ones(len(x)) if weight is None else weight
    if not weight.all():
        x, weight = x[weight > 0], weight[weight > 0]

    nothing = np.empty((1, 0, x.shape[1])), np.empty((1, 0))  # the cells may be forgotten
    found: list[SharedBlock] = []
    left = _MOST_KEPT
    pieces = pieces_of(plan, x, _MOST_UNSHARED)
    for blocks in side_by_side(lambda piece: _worked_out(plan, x[piece], weight[piece]), pieces):
        for block in blocks:
            left -= 0 if block.evidence is None else block.evidence.nbytes
            kept = SharedBlock(*nothing, evidence=block.evidence) if left >= 0 else SharedBlock(block.x, block.weight)
            found.append(kept)
    return found


def _worked_out(plan: Plan, x: np.ndarray, weight: np.ndarray) -> list[SharedBlock]:
    """Rows with what they say, in halves where that is too much."""
    evidence = _shared(plan, x, weight, most=_MOST_ENTRIES if len(x) > 1 else None)
    if evidence is not None:
        return [SharedBlock(x[None], weight[None], evidence=evidence)]
    half = len(x) // 2
    return _worked_out(plan, x[:half], weight[:half]) + _worked_out(plan, x[half:], weight[half:])


def shared(plan: Plan, block: Block) -> SharedEvidence:
    """What the rows of a block say of a plan's steps."""
    if isinstance(block, SharedBlock) and block.evidence is not None:
        return block.evidence
    x, weight = np.asarray(block.x).reshape(-1, block.shape[-1]), np.asarray(block.weight).ravel()
    return shared_evidence(plan, x[weight > 0], weight[weight > 0])


def shared_evidence(
    plan: Plan,
    x: Float[np.ndarray, "rows nodes"],
    weight: Float[np.ndarray, " rows"] | None = None,
    *,
    apart: bool = False,
    rows: bool = False,
) -> SharedEvidence:
    """What rows say of a plan's steps.

    Parameters
    ----------
    plan : Plan
    x : array, shape (rows, nodes)
        Codes of states, NaN where unknown.
    weight : array, shape (rows,), optional
        1 by default.
    apart : bool
        Whether each row has configurations of its own, as it must where something is asked of single rows.
    rows : bool
        Whether what tells of single rows is kept.
    """
    found = _shared(plan, x, np.ones(len(x)) if weight is None else weight, apart=apart, rows=rows)
    assert found is not None
    return found


def _shared(
    plan: Plan, x: np.ndarray, weight: np.ndarray, *, apart: bool = False, rows: bool = False, most: int | None = None
) -> SharedEvidence | None:
    """As `shared_evidence`; None where it takes more than so many entries."""
    codes, entries = _codes(plan, x), 0
    shares: list[Share] = []
    waiting: dict[int, np.ndarray] = {}  # configurations of the rows, until their messages are taken
    for number, step in enumerate(plan.steps):
        incoming = [(plan.steps[i], shares[i], waiting.pop(i)) for i in step.messages]
        if apart:
            first = np.argsort(codes[:, step.variable] >= 0, kind="stable")
            of_row = np.empty_like(first)
            of_row[first] = np.arange(len(first))
        else:
            of_row, first = _configurations(plan, step, codes, [(share, own) for _, share, own in incoming])
        own = codes[first]
        entries += int(_left(plan, step.scope, own).prod(axis=1, dtype=float).sum())
        if most is not None and entries > most:
            return None
        weights = np.bincount(of_row, weight, minlength=len(first))
        entering = [(past, share, of_past[first]) for past, share, of_past in incoming]
        of_row = of_row.astype(np.int32)
        shares.append(Share(*_columns(plan, number, own, entering), weights, first, of_row))
        waiting[number] = of_row
        # once its message is taken, nothing but single rows asks how a step is laid out
        for i in () if rows else (*step.messages, *(() if step.rest else (number,))):
            none = np.empty(0, dtype=np.int32)
            shares[i] = replace(shares[i], strides=none[None], first=none, of_row=none)
    return SharedEvidence(plan, tuple(shares))


def _configurations(
    plan: Plan, step: Step, codes: np.ndarray, incoming: Sequence[tuple[Share, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """The configuration of each row, and a row of each; those come first in which the step's variable is free."""
    digits = [(codes[:, v] + 1, plan.states[v] + 1) for v in step.scope]  # the variable's own counts most: 0 is free
    for share, of_row in incoming:
        number = np.where(share.single, 0, np.arange(1, len(share.starts) + 1))
        digits.append((number[of_row], len(number) + 1))
    key, size = np.zeros(len(codes), dtype=np.int64), 1
    for digit, radix in digits:
        if size * radix > _LARGEST_KEY:
            key, first = _ranked(key, size)
            size = len(first)
        key = key * radix + digit
        size *= radix
    return _ranked(key, size)


def _ranked(key: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The rank of each key among those that occur, and a place where each of these does."""
    if size <= _COUNTED + _COUNTED_TO_ROWS * len(key):
        place = np.full(size, -1)
        place[key] = np.arange(len(key))
        present = np.flatnonzero(place >= 0)
        rank = np.empty(size, dtype=np.int64)
        rank[present] = np.arange(len(present))
        return rank[key], place[present]
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    return which.ravel(), first


def _columns(
    plan: Plan, number: int, codes: np.ndarray, incoming: Sequence[tuple[Step, Share, np.ndarray]]
) -> tuple[Part, Part, int, int, np.ndarray, np.ndarray, np.ndarray]:
    """What a `Share` says of its columns, by the codes of each configuration.

    ``incoming`` has earlier steps, what is said of them, and which configuration of theirs each of this step's has.
    """
    variable, rest = plan.steps[number].variable, plan.steps[number].rest
    left = _left(plan, rest, codes)
    strides = np.ones(left.shape, dtype=np.int32)
    strides[:, :-1] = left[:, :0:-1].cumprod(axis=1)[:, ::-1]
    sizes = left.prod(axis=1, dtype=np.int64)
    starts = (np.cumsum(sizes) - sizes).astype(np.int32)
    owner = np.repeat(np.arange(len(codes), dtype=np.int32), sizes)
    offset = (np.arange(len(owner)) - starts[owner]).astype(np.int32)
    known = np.maximum(codes, 0)
    states = {variable: known[owner, variable]}  # 0 where it is free: its states are rows
    for axis, v in enumerate(rest):
        states[v] = known[owner, v]
        if (left[:, axis] > 1).any():
            states[v] = states[v] + offset // strides[owner, axis] % left[owner, axis]
    strides = np.where(left > 1, strides, np.int32(0))
    n_free = int(sizes[codes[:, variable] < 0].sum())
    tables = []
    for _, scope in plan.tables[number]:
        place = np.zeros(len(owner), dtype=np.int32)
        for v in scope:
            place = place * np.int32(plan.states[v]) + states[v]
        tables.append(place)
    free, seen = [], []
    for past, share, which in incoming:
        place = np.where(share.single[which], share.n_columns, share.starts[which]).astype(np.int32)[owner]
        strides_of = share.strides[which]
        for axis, v in enumerate(past.rest):
            if strides_of[:, axis].any():
                place += strides_of[owner, axis] * states[v]
        apart = strides_of[owner[:n_free], past.rest.index(variable)]
        free.append(place[:n_free] + apart * np.arange(plan.states[variable], dtype=np.int32)[:, None])
        seen.append(place[None, n_free:].copy())  # of a view the rest would be kept, too
    return (
        Part(tuple(place[:n_free] for place in tables), tuple(free)),
        Part(tuple(place[n_free:] for place in tables), tuple(seen)),
        n_free,
        len(owner),
        starts,
        strides,
        sizes == 1,
    )
