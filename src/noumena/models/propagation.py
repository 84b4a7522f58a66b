"""Sums of products and all their marginals, for many rows: one sweep along a plan of elimination, and one back.

In NumPy: XLA fuses the sums over states with the products before them and then computes them entry by entry, and
compiling a network takes longer than most fits do.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from math import prod
from operator import mul
from typing import final

import numpy as np
from jaxtyping import Float

from .elimination import FACTORS_BETWEEN_SCALES, Plan, Scope, Step, aligned, grouped

#: Entries of all products times rows that are treated at once: 32 MB. Fewer rows stay nearer to a core between the two
#: sweeps, but NumPy's loops along the rows are short then.
_CHUNK_ENTRIES = 4_194_304
_FEWEST_ROWS, _MOST_ROWS = 64, 1024


def rows_at_once(plan: Plan) -> int:
    """How many rows suit the caches, a power of two."""
    wanted = max(_CHUNK_ENTRIES // max(sum(plan.sizes), 1), 1)
    return int(np.clip(2 ** int(np.log2(wanted)), _FEWEST_ROWS, _MOST_ROWS))


@final
class Propagation:
    """Tables laid out along a plan, with room for the products of so many rows; one at a time, in one thread.

    Parameters
    ----------
    plan : Plan
    factors : sequence of arrays
        Non-negative, with the axes of ``plan.scopes``.
    rows : int
    """

    def __init__(self, plan: Plan, factors: Sequence[np.ndarray], rows: int) -> None:
        self._plan, self._rows = plan, rows
        # what is the same for all rows is multiplied once
        self._fixed = [
            reduce(mul, (aligned(np, factors[i], plan.scopes[i], step.scope) for i in step.factors))
            if step.factors
            else None
            for step in plan.steps
        ]
        shapes = [(*(plan.states[v] for v in step.scope), rows) for step in plan.steps]
        # kept from one set of rows to the next: fresh memory costs as much as what is computed in it
        self._products = [np.empty(shape) for shape in shapes]
        self._messages = [np.empty(shape[1:]) for shape in shapes]
        self._scales = [np.ones(rows) for _ in shapes]

    def forward(self, evidence: Sequence[np.ndarray | None]) -> Float[np.ndarray, " rows"]:
        """Log of the sum over all states of each row, −inf where that is 0.

        Parameters
        ----------
        evidence : sequence of arrays, shape (states, rows), or None
            How likely each state of each variable is seen; None where nothing is known in any row.
        """
        log_total = np.zeros(self._rows)
        for number, (step, fixed) in enumerate(zip(self._plan.steps, self._fixed, strict=True)):
            product, message = self._products[number], self._messages[number]
            parts = [aligned(np, self._messages[i], self._plan.steps[i].rest, step.scope) for i in step.messages]
            seen = evidence[step.variable]
            if seen is not None:
                parts.append(aligned(np, seen, (step.variable,), step.scope))
            if fixed is not None:
                parts.append(fixed)
            log_total += _multiplied(parts, product)
            np.sum(product, axis=0, out=message)
            if step.rest:
                self._scales[number] = scale = _largest(message)
                message /= scale
                log_total += np.log(scale)
            else:
                with np.errstate(divide="ignore"):
                    log_total += np.log(message)
        return log_total

    def marginals(self, weight: Float[np.ndarray, " rows"]) -> Iterator[tuple[Step, Float[np.ndarray, "... rows"]]]:
        """After `forward`: the marginal of each step's variables, times the row's weight; the last step first.

        A message's own marginal over the message is what the rest of the network says of its variables; where the
        message is 0 so is the marginal (Jensen, Lauritzen & Olesen 1990, Comput. Statist. Quart. 4:269). The arrays
        are valid until the next row set.

        Parameters
        ----------
        weight : array, shape (rows,)
            0 for impossible rows.
        """
        of_rest: dict[int, np.ndarray] = {}
        for number in range(len(self._plan.steps) - 1, -1, -1):
            step, message = self._plan.steps[number], self._messages[number]
            above = of_rest.pop(number) if step.rest else weight
            ratio = np.divide(above, message, out=np.zeros_like(message), where=message > 0)
            if step.rest:
                ratio /= self._scales[number]
            joint = self._products[number]
            joint *= ratio
            for i in step.messages:
                of_rest[i] = marginal(joint, step.scope, self._plan.steps[i].rest)
            yield step, joint


def _multiplied(parts: list[np.ndarray], out: np.ndarray) -> Float[np.ndarray, " rows"] | float:
    """The product of some arrays, the small ones first; the logarithm of what each row was divided by on the way."""
    log_scale: np.ndarray | float = 0.0
    if len(parts) > FACTORS_BETWEEN_SCALES:
        total = np.ones((1,) * out.ndim)
        for few in grouped(parts):
            total = reduce(np.multiply, few, total)
            if total.shape[-1] == out.shape[-1]:
                scale = _largest(total)
                total = total / scale
                log_scale = log_scale + np.log(scale)
        out[...] = total
        return log_scale
    parts = sorted(parts, key=lambda part: prod(part.shape))
    if len(parts) == 1:
        out[...] = parts[0]
        return log_scale
    small = parts[0]
    while len(parts) > 2 and np.broadcast_shapes(small.shape, parts[1].shape) != out.shape:
        small = small * parts[1]
        parts = [small, *parts[2:]]
    np.multiply(small, parts[1], out=out)
    for part in parts[2:]:
        out *= part
    return log_scale


def _largest(array: np.ndarray) -> Float[np.ndarray, " rows"]:
    """Of each row's entries; 1 where all are 0."""
    scale = array.reshape(-1, array.shape[-1]).max(axis=0)
    return np.where(scale > 0, scale, 1.0)


def marginal(joint: np.ndarray, scope: Scope, wanted: Scope) -> np.ndarray:
    """The marginal of some variables, in the order that is wanted; rows stay last."""
    axes = tuple(axis for axis, v in enumerate(scope) if v not in wanted)
    summed = joint.sum(axis=axes) if axes else joint
    left = [v for v in scope if v in wanted]
    if left != list(wanted):
        summed = summed.transpose(*(left.index(v) for v in wanted), len(left))
    return summed
