"""Trees that keep most of the dependence between discrete variables (Chow & Liu 1968)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import xlogy

#: Rows whose indicators of states are held at once.
_PIECE = 16_384


def mutual_information(
    x: Float[np.ndarray, "n nodes"], states: Sequence[int], weight: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "nodes nodes"]:
    """I(a; b) = Σ p(a, b) log p(a, b) / (p(a) p(b)) of every pair, in nats, from the shares of rows.

    A pair's shares, margins included, are those of the rows in which both cells are observed; a pair without any has 0.

    Parameters
    ----------
    x : array, shape (n, nodes)
        Codes of states, NaN where missing.
    states : sequence of int
    weight : array, shape (n,)
    """
    ends = np.cumsum(states)
    begins = ends - states
    counts = np.zeros((ends[-1], ends[-1]))
    for start in range(0, len(x), _PIECE):
        few = x[start : start + _PIECE]
        seen = ~np.isnan(few)
        # an indicator for each state of each node; a missing cell has none, so that products count available cases
        shown = np.zeros((len(few), ends[-1]))
        state = (begins + np.where(seen, few, 0.0)).astype(int)
        shown[np.nonzero(seen)[0], state[seen]] = 1.0
        counts += (shown * weight[start : start + _PIECE, None]).T @ shown
    found = np.zeros((len(states), len(states)))
    for a in range(len(states)):
        for b in range(a):
            joint = counts[begins[a] : ends[a], begins[b] : ends[b]]
            total = joint.sum()
            if total > 0:
                parts = xlogy(joint, joint).sum() + xlogy(total, total)
                margins = sum(xlogy(joint.sum(axis=axis), joint.sum(axis=axis)).sum() for axis in (0, 1))
                found[a, b] = found[b, a] = max((parts - margins) / total, 0.0)  # rounding may leave less than 0
    return found


def maximum_spanning_tree(
    value: Float[np.ndarray, "nodes nodes"],
    required: Bool[np.ndarray, "nodes nodes"],
    forbidden: Bool[np.ndarray, "nodes nodes"],
) -> list[tuple[int, int]] | None:
    """The pairs of the tree of largest total value, the required ones first, then by falling value (Kruskal 1956).

    A forest where what is forbidden leaves no tree; None where the required pairs close a circle.

    Parameters
    ----------
    value, required, forbidden : arrays, shape (nodes, nodes)
        Symmetric.
    """
    n = len(value)
    part = np.arange(n)  # the subtree of each node
    pairs = [(a, b) for a in range(n) for b in range(a + 1, n) if not forbidden[a, b]]
    pairs.sort(key=lambda pair: (not required[pair], -value[pair]))
    chosen: list[tuple[int, int]] = []
    for a, b in pairs:
        if part[a] != part[b]:
            chosen.append((a, b))
            part[part == part[b]] = part[a]
        elif required[a, b]:
            return None
    return chosen


def directed(pairs: Sequence[tuple[int, int]], n_nodes: int, root: int) -> list[tuple[int, ...]]:
    """The parents of each node, edges leading away from the root; from the first node of a tree without it."""
    near: list[list[int]] = [[] for _ in range(n_nodes)]
    for a, b in pairs:
        near[a].append(b)
        near[b].append(a)
    parents: list[tuple[int, ...]] = [() for _ in range(n_nodes)]
    reached: set[int] = set()
    for start in (root, *range(n_nodes)):
        waiting = [] if start in reached else [start]
        reached |= {*waiting}
        while waiting:
            node = waiting.pop()
            for other in near[node]:
                if other not in reached:
                    reached.add(other)
                    parents[other] = (node,)
                    waiting.append(other)
    return parents
