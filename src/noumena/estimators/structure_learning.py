"""Which edges a Bayesian network should have, learned from a table."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pyarrow as pa

from ..core.errors import DataError, NoumenaWarning
from ..data.coded import Levels
from ..models.dependence_tree import directed, maximum_spanning_tree, mutual_information
from ..models.family_scores import FamilyScores
from ..models.network_queries import completed
from ..models.structure_search import Move, Rules, edges_of, hill_climb, parents_in
from .bayesian_network import BayesianNetwork
from .mixture_fitting import Problem, merged
from .network_size import NetworkError
from .network_structure import METHODS, refuse_cycles
from .parameters import generator, integer

#: A new structure is taken if the observed data's BIC falls by more than the fits of both, each good to `tol` nats, may
#: be off.
_LEAST_FALL = 4e-4
#: After a structure was refused, so many times as many completions are drawn, once, before the search ends.
_MORE_DRAWS = 4


@final
@dataclass(frozen=True, eq=False)
class LearnedStructure:
    """A structure found in data, and the way to it.

    Attributes
    ----------
    parents : dict
        From each node to its parents: what `BayesianNetwork` takes as its structure.
    method : {"chow-liu", "hill-climbing", "structural-em"}
    score : float
        By ``criterion``.
    criterion : {"bic", "mutual information"}
        Schwarz' criterion −2ℓ + df log n of the fitted network on the observed cells (lower is better), which is
        `BayesianNetwork.bic`; for trees the sum of their edges' mutual information in nats per row (higher is better).
    moves : pyarrow.Table
        The way: ``action`` ("add", "delete", "reverse"), ``parent`` and ``child`` of the edge before it, ``score``
        after it, ``round``. Restarts that led to something better begin with edges deleted. The scores of structural
        EM are those of the completed data, estimates of the expected score.
    trace : tuple of float
        The score at first and after every move (trees, hill climbing), or of the observed data at first and after every
        round (structural EM), where it never rises.
    """

    parents: dict[str, tuple[str, ...]]
    method: str
    score: float
    criterion: str
    moves: pa.Table
    trace: tuple[float, ...]

    @property
    def edges(self) -> list[tuple[str, str]]:
        """Parent and child of every edge."""
        return [(parent, child) for child, own in self.parents.items() for parent in own]


def learn_structure(
    X: Any,
    method: str = "hill-climbing",
    *,
    sample_weight: Any = None,
    max_parents: int = 3,
    required: Iterable[tuple[str, str]] = (),
    forbidden: Iterable[tuple[str, str]] = (),
    root: str | None = None,
    hidden: Mapping[str, Any] | None = None,
    states: Mapping[str, Sequence[Any]] | None = None,
    n_restarts: int = 20,
    n_completions: int = 10,
    random_state: Any = None,
) -> LearnedStructure:
    """Learn the edges of a Bayesian network.

    The direction of an edge is often a matter of choice: graphs with the same edges and the same unmarried parents of a
    common child say the same of the data, and have the same BIC (Verma & Pearl 1990).

    Parameters
    ----------
    X : table
        As `BayesianNetwork.fit` takes it.
    method : {"hill-climbing", "chow-liu", "structural-em"}, default="hill-climbing"
        - ``"chow-liu"``: the tree of largest likelihood, the maximum spanning tree of the pairwise mutual information
          (Chow & Liu 1968). Where cells are missing, a pair's information is that of the rows that show both cells
          (available cases), which is right if cells are missing completely at random.
        - ``"hill-climbing"``: the edge whose addition, deletion or reversal lowers BIC most, again and again, with a
          tabu list; restarts at the best graph without the edges of a fifth of the nodes. For tables without holes.
        - ``"structural-em"``: where cells are missing or nodes hidden (Friedman 1997): EM for the tables of the
          structure at hand; hill climbing on completions drawn from its posterior, a Monte Carlo estimate of the
          expected score; the outcome is taken only if BIC of the observed cells falls.
    sample_weight : array, shape (n_rows,), optional
    max_parents : int, default=3
        An edge is added only to a node with fewer; a tree has one.
    required, forbidden : iterable of pairs (parent, child), optional
        Edges that must, and must not, be there. For a tree pairs, in either direction.
    root : str, optional
        Of the tree: edges lead away from it. The first column by default.
    hidden : mapping, optional
        As in `BayesianNetwork`, for structural EM. A hidden node keeps the edges that ``required`` gives it, and gets
        no others.
    states : mapping, optional
        As in `BayesianNetwork`.
    n_restarts : int, default=20
        Of each hill climbing.
    n_completions : int, default=10
        Of each row with missing cells, in structural EM.
    random_state : int, RandomState or None

    Returns
    -------
    LearnedStructure

    Raises
    ------
    NetworkError
        Where the required edges contradict the forbidden ones or close a cycle.
    DataError
        For missing cells where a method takes none, and what `BayesianNetwork.fit` refuses.

    References
    ----------
    Chow & Liu (1968), IEEE Trans. Inf. Theory 14:462. Friedman (1997), Learning belief networks in the presence of
    missing values and hidden variables, ICML. Teyssier & Koller (2005), UAI, for greedy searches with tabu lists.

    Examples
    --------
    >>> import noumena as nm
    >>> rows = [["rain", "wet", "slow"], ["dry", "dry", "fast"], ["rain", "wet", "slow"], ["dry", "dry", "slow"]] * 20
    >>> nm.learn_structure(rows, "chow-liu", root="x1").edges
    [('x1', 'x0'), ('x0', 'x2')]
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}: choose among {', '.join(map(repr, METHODS))}")
    if hidden and method != "structural-em":
        raise NetworkError(f'method={method!r} sees no hidden nodes: use method="structural-em"')
    network = BayesianNetwork(hidden=hidden, states=states)
    problem = merged(network._problem(X, sample_weight))
    wanted, unwanted = (_marked(network.nodes_, pairs) for pairs in (required, forbidden))
    both = np.argwhere(wanted & (unwanted | (unwanted.T if method == "chow-liu" else False)))
    if len(both):
        edge = tuple(network.nodes_[v] for v in both[0])
        raise NetworkError(f"the edge {edge} is both required and forbidden: take it out of one of them")
    if method == "chow-liu":
        return _tree(network, problem, wanted, unwanted, root)
    if root is not None:
        raise ValueError(f'root={root!r} is for method="chow-liu", whose edges lead away from it')
    refuse_cycles(_by_name(network.nodes_, parents_in(wanted)))
    most = integer("max_parents", max_parents, 0)
    for node in range(len(network.nodes_) - len(hidden or {}), len(network.nodes_)):  # hidden nodes come last
        unwanted[node], unwanted[:, node] = True, True
    rules = Rules(wanted, unwanted, most)
    search = _Search(rules, integer("n_restarts", n_restarts, 0), integer("n_completions", n_completions, 1))
    rng = generator(random_state)
    if method == "structural-em":
        return search.with_missing_cells(network, problem, rng)
    return search.of_complete(network, problem, rng)


def _tree(
    network: BayesianNetwork, problem: Problem, required: np.ndarray, forbidden: np.ndarray, root: str | None
) -> LearnedStructure:
    nodes, x = network.nodes_, problem.table.to_array()
    begin = 0 if root is None else network._node(root)
    value = mutual_information(x, network._graph.states, _weights(problem))
    pairs = maximum_spanning_tree(value, required | required.T, forbidden | forbidden.T)
    if pairs is None:
        raise NetworkError('the required edges close a circle, and a tree has none: use method="hill-climbing"')
    parents = directed(pairs, len(nodes), begin)
    moves, total = [], 0.0
    for a, b in pairs:
        total += float(value[a, b])
        parent, child = (a, b) if a in parents[b] else (b, a)
        moves.append(Move("add", parent, child, total))
    told = _told(nodes, [moves])
    trace = (0.0, *told["score"].to_pylist())
    return LearnedStructure(_by_name(nodes, parents), "chow-liu", total, "mutual information", told, trace)


@final
@dataclass(frozen=True)
class _Search:
    rules: Rules
    n_restarts: int
    n_completions: int

    def of_complete(self, network: BayesianNetwork, problem: Problem, rng: np.random.Generator) -> LearnedStructure:
        x = problem.table.to_array()
        holes = [name for name, column in zip(network.nodes_, x.T, strict=True) if np.isnan(column).any()]
        if holes:
            shown = ", ".join(map(repr, holes[:5])) + (" …" if len(holes) > 5 else "")
            raise DataError(
                f"hill climbing counts complete rows, but cells are missing in {shown}: use "
                'method="structural-em", or "chow-liu" for a tree'
            )
        weight = _weights(problem)
        scores = FamilyScores(x, network._graph.states, weight, weight.sum())
        edges, moves = hill_climb(scores, self.rules, self.rules.required, self.n_restarts, rng)
        parents = parents_in(edges)
        begin, end = (
            -2 * sum(scores(child, frozenset(own)) for child, own in enumerate(graph))
            for graph in (parents_in(self.rules.required), parents)
        )
        told = _told(network.nodes_, [moves], factor=-2.0)
        trace = (begin, *told["score"].to_pylist())
        return LearnedStructure(_by_name(network.nodes_, parents), "hill-climbing", end, "bic", told, trace)

    def with_missing_cells(
        self, network: BayesianNetwork, problem: Problem, rng: np.random.Generator
    ) -> LearnedStructure:
        """Structural EM: each structure is searched on completions under the one before."""
        states, parents = network.states_, parents_in(self.rules.required)
        bic = _fitted(network, states, problem, parents, rng)
        trace, rounds, draws = [bic], [], self.n_completions
        while True:
            found, moves = hill_climb(
                self._expected_scores(network, problem, draws, rng), self.rules, edges_of(parents), self.n_restarts, rng
            )
            other = BayesianNetwork(hidden=network.hidden)
            after = np.inf
            if moves:
                try:
                    after = _fitted(other, states, problem, parents_in(found), rng)
                except NetworkError as error:
                    warnings.warn(f"structural EM ends early: {error}; or lower max_parents", NoumenaWarning, 3)
                    break
            if bic - after > _LEAST_FALL:
                network, parents, bic = other, parents_in(found), after
                trace.append(bic)
                rounds.append(moves)
            elif draws == self.n_completions and np.isnan(problem.table.to_array()).any():
                draws *= _MORE_DRAWS  # a better structure may have been missed by chance
            else:
                break
        told = _told(network.nodes_, rounds, factor=-2.0)
        return LearnedStructure(
            _by_name(network.nodes_, parents), "structural-em", bic, "bic", told, tuple(map(float, trace))
        )

    def _expected_scores(
        self, network: BayesianNetwork, problem: Problem, draws: int, rng: np.random.Generator
    ) -> FamilyScores:
        """Scores of the rows, each with missing cells so many times with cells from p(missing | observed)."""
        x, weight = problem.table.to_array(), _weights(problem)
        holes = np.isnan(x).any(axis=1)
        of, share = np.repeat(np.arange(holes.sum()), draws), np.repeat(weight[holes] / draws, draws)
        _, rows = completed(network._model, x[holes], "draw", rng, of)
        filled = np.concatenate([x[~holes], rows])
        share = np.concatenate([weight[~holes], share])
        same, which = np.unique(filled.astype(np.int32), axis=0, return_inverse=True)
        merged = np.bincount(which.ravel(), share, minlength=len(same))
        return FamilyScores(same, network._graph.states, merged, float(weight.sum()))


def _fitted(
    network: BayesianNetwork,
    states: Mapping[str, Levels],
    problem: Problem,
    parents: Sequence[Sequence[int]],
    rng: np.random.Generator,
) -> float:
    """BIC of the observed cells after EM for the tables of a structure, which ``network`` gets."""
    nodes = tuple(states)
    network.random_state = int(rng.integers(2**31))
    network._understand(nodes, states, _by_name(nodes, parents))
    network._learn(problem)
    return float(-2 * network.log_likelihood_ + network.n_parameters_ * np.log(_weights(problem).sum()))


def _marked(nodes: tuple[str, ...], pairs: Iterable[tuple[str, str]]) -> np.ndarray:
    """Pairs of names as a matrix by parent and child."""
    marked = np.zeros((len(nodes), len(nodes)), dtype=bool)
    for pair in pairs:
        if isinstance(pair, str) or len(pair) != 2:
            raise NetworkError(f"an edge is a pair (parent, child), not {pair!r}")
        unknown = [name for name in pair if name not in nodes]
        if unknown:
            raise NetworkError(f"the edge {tuple(pair)} names {unknown[0]!r}; the nodes are {', '.join(nodes)}")
        if pair[0] == pair[1]:
            raise NetworkError(f"the edge {tuple(pair)} leads from a node to itself")
        marked[nodes.index(pair[0]), nodes.index(pair[1])] = True
    return marked


def _by_name(nodes: tuple[str, ...], parents: Sequence[Sequence[int]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(nodes[p] for p in own) for name, own in zip(nodes, parents, strict=True)}


def _weights(problem: Problem) -> np.ndarray:
    return np.ones(problem.table.n_rows) if problem.weight is None else problem.weight


def _told(nodes: tuple[str, ...], rounds: Sequence[Sequence[Move]], factor: float = 1.0) -> pa.Table:
    """Moves by names, their scores times a factor."""
    all_moves = [(number, move) for number, moves in enumerate(rounds) for move in moves]
    return pa.table(
        {
            "round": pa.array([number for number, _ in all_moves], pa.int64()),
            "action": pa.array([move.action for _, move in all_moves], pa.string()),
            "parent": pa.array([nodes[move.parent] for _, move in all_moves], pa.string()),
            "child": pa.array([nodes[move.child] for _, move in all_moves], pa.string()),
            "score": pa.array([factor * move.score for _, move in all_moves], pa.float64()),
        }
    )
