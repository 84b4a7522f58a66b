"""What a Bayesian network says of cells that were not observed: marginals, joint marginals, completions, draws."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from ..core.threads import side_by_side
from .elimination import Plan
from .elimination import plan as plan_of
from .network import Graph, Network
from .propagation import Sweep, backward, expected_counts, forward
from .shared_evidence import pieces_of, shared_evidence

Likelihood = Mapping[int, Float[np.ndarray, " states"]]
"""Soft evidence: from a node to how likely what was seen is under each of its states."""


def log_densities(
    network: Network, x: Float[np.ndarray, "n nodes"], along: Plan | None = None
) -> Float[np.ndarray, " n"]:
    """log p(x_observed) of each row, −inf for an impossible one.

    Parameters
    ----------
    network : Network
    x : array, shape (n, nodes)
        Codes of states, NaN where unknown.
    along : Plan, optional
        An elimination of the observed nodes at least; of all nodes by default.
    """
    plan = _whole(network) if along is None else along
    factors = network.factors(plan)

    def answer(piece: slice) -> np.ndarray:
        return forward(shared_evidence(plan, x[piece], rows=True), factors).log_density()

    return np.concatenate([np.empty(0), *side_by_side(answer, pieces_of(plan, x))])


def posteriors(
    network: Network,
    x: Float[np.ndarray, "n nodes"],
    likelihood: Likelihood | None = None,
    along: Plan | None = None,
) -> tuple[Float[np.ndarray, " n"], list[Float[np.ndarray, "n states"]]]:
    """log p(x_observed) of each row, and p(x_v | x_observed) of every node.

    Parameters
    ----------
    network : Network
    x : array, shape (n, nodes)
        Codes of states, NaN where unknown.
    likelihood : mapping, optional
    along : Plan, optional
        An elimination of the nodes that are observed or asked for, at least; of all nodes by default.

    Returns
    -------
    log_density : array, shape (n,)
        −inf for an impossible row, whose probabilities are 0.
    probabilities : list of arrays, shape (n, states)
        0 for nodes that are not in the plan.
    """
    plan = _whole(network) if along is None else along
    factors = _weighed(network.factors(plan), plan.scopes, likelihood)
    log_density, found = np.empty(len(x)), [np.zeros((len(x), count)) for count in network.graph.states]

    def answer(piece: slice) -> None:
        sweep = forward(shared_evidence(plan, x[piece], apart=True, rows=True), factors)
        log_density[piece] = sweep.log_density()
        possible = np.isfinite(log_density[piece])
        for number, share, (free, _) in backward(sweep):
            node = plan.steps[number].variable
            own = found[node][piece]
            hidden, seen = np.split(share.first, [share.n_free])
            if len(hidden):
                own[hidden] = np.add.reduceat(free, share.starts[: share.n_free], axis=1).T
            own[seen, x[piece][seen, node].astype(int)] = 1.0
            own[~possible] = 0.0

    deque(side_by_side(answer, pieces_of(plan, x)), maxlen=0)
    return log_density, found


def joint_plan(graph: Graph, x: Float[np.ndarray, "n nodes"], nodes: Sequence[int]) -> Plan:
    """An elimination that joins some nodes: the last of its factors is over them."""
    kept = sorted(graph.ancestors({*np.flatnonzero(~np.isnan(x).all(axis=0)).tolist(), *nodes}))
    return plan_of(graph.states, [*(graph.scopes[v] for v in kept), tuple(nodes)], kept)


def joint_posterior(
    network: Network, x: Float[np.ndarray, "n nodes"], nodes: Sequence[int], along: Plan | None = None
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n ..."]]:
    """log p(x_observed) and p(x_nodes | x_observed) of each row, with an axis for each node in their order.

    ``along`` is the `joint_plan`.
    """
    graph = network.graph
    plan = joint_plan(graph, x, nodes) if along is None else along
    factors = [network.tables[graph.table_of[scope[-1]]] for scope in plan.scopes[:-1]]
    flat = np.ones([graph.states[v] for v in nodes])
    log_density, found = np.empty(len(x)), np.empty((len(x), *flat.shape))
    for i in range(len(x)):
        sweep = forward(shared_evidence(plan, x[i : i + 1]), [*factors, flat])
        log_density[i] = sweep.total()
        found[i] = expected_counts(sweep)[-1]
    return log_density, found


def _weighed(tables: Sequence[Any], scopes: Sequence[Any], likelihood: Likelihood | None) -> list[Any]:
    """Tables of nodes with soft evidence on some of them."""
    told = likelihood or {}
    return [
        table * told[scope[-1]] if scope[-1] in told else table for table, scope in zip(tables, scopes, strict=True)
    ]


def completed(
    network: Network,
    x: Float[np.ndarray, "n nodes"],
    how: Literal["best", "draw"],
    rng: np.random.Generator | None = None,
    of: Int[np.ndarray, " m"] | None = None,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "m nodes"]]:
    """Rows without missing cells: the most probable completion, or a draw from p(missing | observed).

    Parameters
    ----------
    network : Network
    x : array, shape (n, nodes)
    how : {"best", "draw"}
    rng : Generator, optional
        For draws.
    of : array, shape (m,), optional
        The rows to complete, in rising order, each as often as it is named; all of them once by default.

    Returns
    -------
    log_total : array, shape (n,)
        log max p(x), or log p(x_observed) for draws; −inf where the row is impossible.
    completions : array, shape (m, nodes)
    """
    plan = _whole(network)
    factors = network.factors(plan)
    of = np.arange(len(x)) if of is None else of
    log_total, out = np.empty(len(x)), np.empty((len(of), x.shape[1]))
    for piece in pieces_of(plan, x, workers=1):  # the same draws on every machine
        sweep = forward(shared_evidence(plan, x[piece], rows=True), factors, best=how == "best")
        log_total[piece] = sweep.log_density()
        meant = slice(*np.searchsorted(of, [piece.start, piece.stop]))
        rows = of[meant] - piece.start
        for node, codes in _traced_back(sweep, x[piece], rows, rng if how == "draw" else None):
            out[meant, node] = codes
    return log_total, out


def _traced_back(
    sweep: Sweep, x: Float[np.ndarray, "n nodes"], rows: Int[np.ndarray, " m"], rng: np.random.Generator | None
) -> Iterator[tuple[int, Int[np.ndarray, " m"]]]:
    """A state for each variable in some rows, given those of the variables that were summed out after it."""
    chosen: dict[int, np.ndarray] = {}
    steps, shares = sweep.evidence.plan.steps, sweep.evidence.shares
    for step, share, (free, _) in zip(reversed(steps), reversed(shares), reversed(sweep.products), strict=True):
        of_row = share.of_row[rows]
        column = share.starts[of_row]
        for axis, v in enumerate(step.rest):
            column = column + share.strides[of_row, axis] * chosen[v]
        hidden = of_row < share.n_free
        chances = free[:, column[hidden]]
        codes = np.nan_to_num(x[rows, step.variable]).astype(np.int64)
        if rng is None:
            codes[hidden] = chances.argmax(axis=0)
        else:
            below = np.cumsum(chances, axis=0)
            u = rng.random(len(rows))[hidden]
            codes[hidden] = np.minimum((u * below[-1] >= below).sum(axis=0), len(below) - 1)
        chosen[step.variable] = codes
        yield step.variable, codes


def forward_draws(network: Network, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n nodes"]:
    """Rows from p(x), each node given its parents: no sums are needed where nothing is known."""
    graph = network.graph
    codes = np.empty((n, graph.n_nodes), dtype=np.int64)
    for v in graph.order:
        below = np.asarray(network.tables[graph.table_of[v]])[tuple(codes[:, p] for p in graph.parents[v])].cumsum(-1)
        u = rng.random(n)[:, None] * below[..., -1:]
        codes[:, v] = np.minimum((u >= below).sum(axis=-1), graph.states[v] - 1)
    return codes.astype(float)


def completions(
    network: Network, x: Float[np.ndarray, " nodes"], along: Plan | None = None
) -> tuple[float, Float[np.ndarray, "m nodes"], Float[np.ndarray, " m"]]:
    """p(x_observed) of one row, every completion of it that is possible, and its posterior weight.

    ``along`` is the `joint_plan` of the missing nodes.
    """
    missing = np.flatnonzero(np.isnan(x))
    log, joint = joint_posterior(network, x[None], missing.tolist(), along)
    if not len(missing):
        return float(np.exp(log[0])), x[None].copy(), np.ones(1)
    places = np.argwhere(joint[0] > 0)
    rows = np.tile(x, (len(places), 1))
    rows[:, missing] = places
    return float(np.exp(log[0])), rows, joint[0][joint[0] > 0]


def _whole(network: Network) -> Plan:
    return network.graph.plan(range(network.graph.n_nodes))
