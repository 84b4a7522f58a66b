"""Layered layout of a directed acyclic graph: parents above children, few crossings, straight long edges.

The framework of Sugiyama, Tagawa and Toda (1981): layers, places for edges that pass a layer, an order within layers,
then positions. A layer holds a limited number of nodes, as Coffman and Graham's schedules do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from scipy.optimize import isotonic_regression

#: Sweeps over all layers that look for an order with fewer crossings, and that move nodes towards their neighbours.
_ORDER_SWEEPS, _PLACE_SWEEPS = 24, 16
#: Layers with more places than this are not improved by exchanging neighbours, which takes long there.
_MOST_EXCHANGED = 60
#: How much more a bend in a long edge weighs than a node that is not centred.
_STRAIGHT = 4.0


@dataclass
class Layout:
    """Where nodes stand.

    Places are nodes 0, …, n − 1, then those where edges pass a layer.

    Attributes
    ----------
    layer : list of int
        Of each place, from 0 at the top.
    order : list of lists of int
        The places of each layer from left to right.
    paths : dict
        From an edge (parent, child) to all places on its way, both ends included.
    x : array
        The middle of each place.
    """

    layer: list[int]
    order: list[list[int]]
    paths: dict[tuple[int, int], list[int]]
    x: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def links(self) -> list[tuple[int, int]]:
        """Pairs of places in neighbouring layers that an edge joins."""
        return sorted({pair for path in self.paths.values() for pair in pairwise(path)})

    def crossings(self) -> int:
        """Pairs of edges that cross between layers."""
        place = self._places()
        return sum(_crossings([(place[a], place[b]) for a, b in links]) for links in self._links_by_layer())

    def _places(self) -> dict[int, int]:
        return {v: i for row in self.order for i, v in enumerate(row)}

    def _links_by_layer(self) -> list[list[tuple[int, int]]]:
        found: list[list[tuple[int, int]]] = [[] for _ in self.order]
        for a, b in self.links:
            found[self.layer[a]].append((a, b))
        return found


def layered(parents: Sequence[Sequence[int]], widths: Sequence[float], gap: float, thin: float, most: int) -> Layout:
    """Lay a graph out.

    Parameters
    ----------
    parents : sequence of sequences of int
        Of each node; no cycles.
    widths : sequence of float
        Of each node.
    gap : float
        Least space between two nodes of a layer.
    thin : float
        Space for an edge that passes a layer.
    most : int
        Nodes in one layer.
    """
    layer = _layers(parents, most)
    layout = _with_passing_edges(parents, layer)
    _fewer_crossings(layout)
    half = np.array([*(width / 2 for width in widths), *([thin / 2] * (len(layout.layer) - len(parents)))])
    layout.x = _positions(layout, half, gap, len(parents))
    return layout


def _layers(parents: Sequence[Sequence[int]], most: int) -> list[int]:
    """Longest paths from the top, at most so many nodes in a layer; then each node next to its children if it can."""
    children: list[list[int]] = [[] for _ in parents]
    for node, own in enumerate(parents):
        for p in own:
            children[p].append(node)
    below = [0] * len(parents)  # edges on the longest path downwards
    order = _topological(parents)
    for node in reversed(order):
        below[node] = max((below[c] + 1 for c in children[node]), default=0)
    place = {node: i for i, node in enumerate(order)}
    layer, held = [-1] * len(parents), [0]
    ready = [node for node in order if not parents[node]]
    while ready:
        node = min(ready, key=lambda v: (-below[v], place[v]))  # those with most below them first
        ready.remove(node)
        level = max((layer[p] + 1 for p in parents[node]), default=0)
        while level < len(held) and held[level] >= most:
            level += 1
        held += [0] * (level + 1 - len(held))
        layer[node], held[level] = level, held[level] + 1
        ready += [c for c in children[node] if all(layer[p] >= 0 for p in parents[c]) and layer[c] < 0]
    for node in reversed(order):  # down to the children, where that makes edges shorter
        if len(children[node]) > len(parents[node]):
            level = min(layer[c] for c in children[node]) - 1
            while level > layer[node] and held[level] >= most:
                level -= 1
            held[layer[node]] -= 1
            layer[node], held[level] = level, held[level] + 1
    used = sorted({*layer})
    return [used.index(level) for level in layer]


def _topological(parents: Sequence[Sequence[int]]) -> list[int]:
    left, found = dict(enumerate(parents)), []
    while left:
        free = [v for v, own in left.items() if not any(p in left for p in own)]
        found += free
        for v in free:
            del left[v]
    return found


def _with_passing_edges(parents: Sequence[Sequence[int]], layer: list[int]) -> Layout:
    layer = list(layer)
    paths = {}
    for child, own in enumerate(parents):
        for parent in own:
            path = [parent]
            for level in range(layer[parent] + 1, layer[child]):
                path.append(len(layer))
                layer.append(level)
            paths[parent, child] = [*path, child]
    order: list[list[int]] = [[] for _ in range(max(layer, default=0) + 1)]
    for v in _depth_first(len(layer), [pair for path in _mingled(paths, layer) for pair in pairwise(path)]):
        order[layer[v]].append(v)
    return Layout(layer, order, paths)


def _mingled(paths: dict[tuple[int, int], list[int]], layer: list[int]) -> list[list[int]]:
    """The paths of each node such that those that end in the next layer have the others between them."""
    ends: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for parent, child in paths:
        ends.setdefault((parent, layer[child]), []).append((parent, child))
    share = {edge: (i + 0.5) / len(edges) for edges in ends.values() for i, edge in enumerate(edges)}
    return [paths[edge] for edge in sorted(paths, key=lambda edge: (edge[0], share[edge]))]


def _depth_first(n: int, links: list[tuple[int, int]]) -> list[int]:
    """Places in an order that keeps what hangs together side by side."""
    near: list[list[int]] = [[] for _ in range(n)]
    for a, b in links:
        near[a].append(b)
        near[b].append(a)
    seen: dict[int, None] = {}
    for start in range(n):
        waiting = [start]
        while waiting:
            v = waiting.pop()
            if v not in seen:
                seen[v] = None
                waiting += reversed(near[v])
    return list(seen)


def _fewer_crossings(layout: Layout) -> None:
    """Barycentres, downwards and upwards in turn, and exchanges of neighbours; the best order that is met stays."""
    above: dict[int, list[int]] = {v: [] for v in range(len(layout.layer))}
    below: dict[int, list[int]] = {v: [] for v in above}
    for a, b in layout.links:
        above[b].append(a)
        below[a].append(b)
    best, fewest = [list(row) for row in layout.order], layout.crossings()
    for sweep in range(_ORDER_SWEEPS):
        if fewest == 0:
            break
        down = sweep % 2 == 0
        near = above if down else below
        rows = range(1, len(layout.order)) if down else range(len(layout.order) - 2, -1, -1)
        for i in rows:
            place = {v: j for j, v in enumerate(layout.order[i - 1 if down else i + 1])}
            centre = {
                v: float(np.mean([place[u] for u in near[v]])) if near[v] else float(j)
                for j, v in enumerate(layout.order[i])
            }
            layout.order[i].sort(key=centre.__getitem__)
        _exchange(layout.order, above, below)
        crossings = layout.crossings()
        if crossings < fewest:
            best, fewest = [list(row) for row in layout.order], crossings
    layout.order = best


def _exchange(order: list[list[int]], above: dict[int, list[int]], below: dict[int, list[int]]) -> None:
    """Exchange neighbours in a layer while that takes crossings away."""
    place = {v: i for row in order for i, v in enumerate(row)}
    for row in order:
        if len(row) > _MOST_EXCHANGED:
            continue
        changed = True
        while changed:
            changed = False
            for i in range(len(row) - 1):
                a, b = row[i], row[i + 1]
                now = _between(above[a], above[b], place) + _between(below[a], below[b], place)
                then = _between(above[b], above[a], place) + _between(below[b], below[a], place)
                if then < now:
                    row[i], row[i + 1] = b, a
                    place[a], place[b] = i + 1, i
                    changed = True


def _between(left: list[int], right: list[int], place: dict[int, int]) -> int:
    """Crossings of the edges of two neighbours, the first of which stands on the left."""
    return sum(place[u] > place[v] for u in left for v in right)


def _crossings(links: list[tuple[int, int]]) -> int:
    if len(links) < 2:
        return 0
    a, b = np.array(sorted(links)).T
    return int(((a[:, None] < a) & (b[:, None] > b)).sum())


def _positions(layout: Layout, half: np.ndarray, gap: float, n: int) -> np.ndarray:
    """Each layer moves as near to its neighbours as the order and the widths let it: an isotonic regression."""
    x = np.zeros(len(layout.layer))
    near: list[list[tuple[int, float]]] = [[] for _ in x]
    for a, b in layout.links:
        weight = _STRAIGHT if a >= n and b >= n else 2.0 if a >= n or b >= n else 1.0
        near[a].append((b, weight))
        near[b].append((a, weight))
    for row in layout.order:
        x[row] = _spaced(row, half, gap)
        x[row] -= x[row].mean()
    for sweep in range(_PLACE_SWEEPS):
        rows = layout.order if sweep % 2 == 0 else layout.order[::-1]
        for row in rows:
            wanted, weight = x[row].copy(), np.full(len(row), 1e-3)
            for i, v in enumerate(row):
                if near[v]:
                    weight[i] = sum(w for _, w in near[v])
                    wanted[i] = sum(w * x[u] for u, w in near[v]) / weight[i]
            least = _spaced(row, half, gap)
            x[row] = isotonic_regression(wanted - least, weights=weight).x + least
    return x - (x - half).min()


def _spaced(row: list[int], half: np.ndarray, gap: float) -> np.ndarray:
    """The least distances in a layer, from its first place on."""
    steps = half[row][:-1] + half[row][1:] + gap
    return np.concatenate([[0.0], np.cumsum(steps)])
