"""Hill climbing over directed acyclic graphs: edges added, deleted and reversed, with a tabu list and restarts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Bool, Float

from .family_scores import FamilyScores

Action = Literal["add", "delete", "reverse"]
_ACTIONS: tuple[Action, ...] = ("add", "delete", "reverse")

#: A gain below this share of the score is rounding: sums of some thousand terms, of relative error ε each.
_ROUNDING = 1e-11
#: A climb goes on for so many moves without an improvement.
_PATIENCE = 15
#: A restart loosens this share of the nodes, and so many at least. Moves at random find far less: they are taken back
#: one by one, since what holds a graph in a poor optimum is several edges together that point the wrong way.
_LOOSENED, _FEWEST_LOOSENED = 0.2, 2


@final
@dataclass(frozen=True)
class Move:
    """One change of a graph.

    Attributes
    ----------
    action : {"add", "delete", "reverse"}
    parent, child : int
        The edge as it was before, or as it is added.
    score : float
        Of the graph after it.
    """

    action: Action
    parent: int
    child: int
    score: float


@final
@dataclass(frozen=True)
class Rules:
    """What a graph must look like.

    Attributes
    ----------
    required, forbidden : array of bool, shape (nodes, nodes)
        By parent and child.
    max_parents : int
        No edge is added to a node with so many.
    """

    required: Bool[np.ndarray, "nodes nodes"]
    forbidden: Bool[np.ndarray, "nodes nodes"]
    max_parents: int


class _Climber:
    """A graph with the gain of every move from it."""

    def __init__(self, scores: FamilyScores, rules: Rules, edges: Bool[np.ndarray, "nodes nodes"]) -> None:
        n = scores.n_nodes
        self._scores, self._rules = scores, rules
        self.edges = edges.copy()
        self._own = np.array([scores(child, self._parents(child)) for child in range(n)])
        #: What adding or deleting each edge brings, and −∞ where that is no move.
        self._gain = np.full((n, n), -np.inf)
        for child in range(n):
            self._rescore(child)
        self._paths = _paths(self.edges)

    @property
    def score(self) -> float:
        return float(self._own.sum())

    def _parents(self, child: int) -> frozenset[int]:
        return frozenset(np.flatnonzero(self.edges[:, child]).tolist())

    def _rescore(self, child: int) -> None:
        """The gains of the moves that change one family."""
        parents = self._parents(child)
        own = self._own[child] = self._scores(child, parents)
        full = len(parents) >= self._rules.max_parents
        for other in range(len(self.edges)):
            if other in parents:
                gain = self._scores(child, parents - {other}) - own
            elif other == child or full or self._rules.forbidden[other, child]:
                gain = -np.inf
            else:
                gain = self._scores(child, parents | {other}) - own
            self._gain[other, child] = gain

    def gains(self) -> Float[np.ndarray, "3 nodes nodes"]:
        """Of every move, by action, parent and child; −∞ for those that are not allowed."""
        edges, loose = self.edges, self.edges & ~self._rules.required
        add = np.where(~edges & ~self._paths.T, self._gain, -np.inf)
        delete = np.where(loose, self._gain, -np.inf)
        # child ← parent becomes child → parent: one family loses a parent, the other gains one
        reverse = np.where(loose, self._gain + np.where(edges, self._gain.T, 0.0), -np.inf)
        for parent, child in np.argwhere(np.isfinite(reverse)):
            others = edges[:, child] & self._paths[parent]
            if others.any():  # a second path from the parent would close a cycle
                reverse[parent, child] = -np.inf
        return np.stack([add, delete, reverse])

    def make(self, action: Action, parent: int, child: int) -> Move:
        """Carry out a move."""
        self.edges[parent, child] = action == "add"
        self._rescore(child)
        if action == "reverse":
            self.edges[child, parent] = True
            self._rescore(parent)
        self._paths = _paths(self.edges)
        return Move(action, parent, child, self.score)

    def climb(self) -> list[Move]:
        """The best move, again and again, to a graph that this climb has not seen; back to the best graph in the end.

        Going on for a while where no move is an improvement leads along graphs of equal score, which are many: edges of
        equivalent graphs can be reversed for nothing. Not to return is a tabu list (Glover 1989, ORSA J. Comput. 1,
        190).
        """
        made: list[Move] = []
        best, top, length = self.edges.copy(), self.score, 0
        seen = {best.tobytes()}
        while len(made) - length < _PATIENCE:
            move = self._best_unseen(seen)
            if move is None:
                break
            made.append(self.make(*move))
            seen.add(self.edges.tobytes())
            if self.score - top > _ROUNDING * (1 + abs(top)):
                best, top, length = self.edges.copy(), self.score, len(made)
        for child in np.flatnonzero((self.edges != best).any(axis=0)).tolist():
            self.edges[:, child] = best[:, child]
            self._rescore(child)
        self._paths = _paths(self.edges)
        return made[:length]

    def _best_unseen(self, seen: set[bytes]) -> tuple[Action, int, int] | None:
        # to within rounding, so that of equal moves the first is taken on every machine
        gains = np.round(self.gains() / (_ROUNDING * (1 + abs(self.score))))
        while True:
            place = np.unravel_index(int(gains.argmax()), gains.shape)
            if not np.isfinite(gains[place]):
                return None
            action, parent, child = _ACTIONS[place[0]], int(place[1]), int(place[2])
            after = self.edges.copy()
            after[parent, child] = action == "add"
            after[child, parent] |= action == "reverse"
            if after.tobytes() not in seen:
                return action, parent, child
            gains[place] = -np.inf

    def loosen(self, nodes: np.ndarray) -> list[Move]:
        """Delete all edges at some nodes, but the required ones."""
        loose = self.edges & ~self._rules.required
        touched = np.isin(np.arange(len(loose)), nodes)
        return [
            self.make("delete", int(parent), int(child))
            for parent, child in np.argwhere(loose & (touched[:, None] | touched))
        ]


def hill_climb(
    scores: FamilyScores,
    rules: Rules,
    edges: Bool[np.ndarray, "nodes nodes"],
    n_restarts: int,
    rng: np.random.Generator,
) -> tuple[Bool[np.ndarray, "nodes nodes"], list[Move]]:
    """The best graph found, and the moves from ``edges`` to it.

    The first climb starts at ``edges``; each further one at the best graph so far, without the edges of some nodes.
    """
    climber = _Climber(scores, rules, edges)
    moves = climber.climb()
    best, top = climber.edges.copy(), climber.score
    few = min(max(round(_LOOSENED * len(best)), _FEWEST_LOOSENED), len(best))
    for _ in range(n_restarts):
        climber = _Climber(scores, rules, best)
        tried = climber.loosen(rng.choice(len(best), few, replace=False)) + climber.climb()
        if climber.score - top > _ROUNDING * (1 + abs(top)):
            best, top, moves = climber.edges.copy(), climber.score, moves + tried
    return best, moves


def parents_in(edges: Bool[np.ndarray, "nodes nodes"]) -> list[tuple[int, ...]]:
    """The parents of each node."""
    return [tuple(np.flatnonzero(column).tolist()) for column in edges.T]


def edges_of(parents: Sequence[Sequence[int]]) -> Bool[np.ndarray, "nodes nodes"]:
    """By parent and child."""
    edges = np.zeros((len(parents), len(parents)), dtype=bool)
    for child, own in enumerate(parents):
        edges[list(own), child] = True
    return edges


def _paths(edges: Bool[np.ndarray, "nodes nodes"]) -> Bool[np.ndarray, "nodes nodes"]:
    """Whether a path leads from one node to another (Warshall 1962)."""
    paths = edges.copy()
    for middle in range(len(paths)):
        paths |= paths[:, middle, None] & paths[middle]
    return paths
