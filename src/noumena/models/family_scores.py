"""How well a set of parents explains a node: BIC of families, from counts of complete rows."""

from collections.abc import Sequence
from math import prod
from typing import final

import numpy as np
from jaxtyping import Float
from scipy.special import xlogy

#: Tables of more entries are counted by the combinations that occur.
_MOST_DENSE = 1_000_000


@final
class FamilyScores:
    """−BIC / 2 of each family, a node with its parents: the maximum of the log likelihood less ½ df log n.

    BIC of a network is −2 times the sum over its nodes (Schwarz 1978; Heckerman, Geiger & Chickering 1995, Machine
    Learning 20:197, for why a sum over families). What was computed once is kept.

    Parameters
    ----------
    x : array, shape (n, nodes)
        Codes of states, none missing.
    states : sequence of int
    weight : array, shape (n,)
    total : float
        n of the penalty: the rows' weight.
    """

    def __init__(
        self, x: Float[np.ndarray, "n nodes"], states: Sequence[int], weight: Float[np.ndarray, " n"], total: float
    ) -> None:
        self._columns = [np.ascontiguousarray(column).astype(np.intp) for column in x.T]
        self._states = tuple(states)
        # whole numbers are counted faster than weights
        self._weight = None if (weight == 1).all() else weight
        self._half_log_n = 0.5 * np.log(total)
        self._known: dict[tuple[int, frozenset[int]], float] = {}

    @property
    def n_nodes(self) -> int:
        return len(self._states)

    def __call__(self, node: int, parents: frozenset[int]) -> float:
        """Of one family."""
        key = node, parents
        if key not in self._known:
            self._known[key] = self._score(node, sorted(parents))
        return self._known[key]

    def _score(self, node: int, parents: list[int]) -> float:
        # mixed radix: one number for each combination of states, the node's own digit last
        combination = np.zeros(1, dtype=np.intp)
        size, own = prod(self._states[p] for p in parents), self._states[node]
        df = size * (own - 1)
        for parent in parents:
            combination = combination * self._states[parent] + self._columns[parent]
        if size * own > _MOST_DENSE:
            values, combination = np.unique(combination, return_inverse=True)
            combination, size = combination.ravel(), len(values)
        code = combination * own + self._columns[node]
        counts = np.bincount(code, self._weight, minlength=size * own).reshape(size, own).astype(float)
        totals = counts.sum(axis=1)
        # Σ n_jk log(n_jk / n_j)
        fit = float(xlogy(counts, counts).sum() - xlogy(totals, totals).sum())
        return fit - self._half_log_n * df
