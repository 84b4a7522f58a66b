"""Structures as users write them: parents by node, or edges."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from .network_size import NetworkError

Structure: TypeAlias = Mapping[str, Sequence[str]] | Sequence[tuple[str, str]]
"""Parents by node, or edges (parent, child)."""

#: How a structure can be learned.
METHODS = ("chow-liu", "hill-climbing", "structural-em")


def parents_of(structure: Structure | None, nodes: tuple[str, ...]) -> dict[str, list[str]]:
    """The parents of each node that a structure names; `NetworkError` for edges that are none."""
    if structure is None:
        return {name: [] for name in nodes}
    if isinstance(structure, Mapping):
        found = {child: [own] if isinstance(own, str) else list(own) for child, own in structure.items()}
    else:
        found = {}
        for edge in structure:
            if len(edge) != 2:
                raise NetworkError(f"an edge is a pair (parent, child), not {edge!r}")
            found.setdefault(edge[1], []).append(edge[0])
    for child, own in found.items():
        if len(set(own)) < len(own) or child in own:
            raise NetworkError(f"node {child!r} has parents {own!r}: each may occur once, and the node itself never")
    return found


def refuse_cycles(parents: Mapping[str, Sequence[str]]) -> None:
    """`NetworkError` where a node descends from itself, with the path."""
    left = {name: set(own) for name, own in parents.items()}
    while left:
        free = [name for name, own in left.items() if not own & set(left)]
        if not free:
            path = [next(iter(left))]
            while path[-1] not in path[:-1]:
                path.append(next(p for p in parents[path[-1]] if p in left))
            cycle = path[path.index(path[-1]) :][::-1]
            raise NetworkError(f"the structure has a cycle: {' → '.join(map(str, cycle))}: turn or remove an edge")
        for name in free:
            del left[name]
