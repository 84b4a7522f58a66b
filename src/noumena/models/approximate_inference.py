"""Answers of networks that are too large for exact ones: loopy belief propagation and mean field.

Both look at one table at a time: their work grows with the sizes of the tables, and not with those of the cliques.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import final

import numpy as np
from jaxtyping import Bool, Float

from .elimination import aligned, marginal
from .network import NEVER, Network

#: Entries of all tables times rows that are treated at once.
_ENTRIES = 2_000_000
#: Sweeps over all tables at most.
_MOST_SWEEPS = 500
#: Messages that still change after so many sweeps are averaged with those before them.
_UNDAMPED, _DAMPING = 20, 0.5
#: Beliefs that change by less have converged.
_SETTLED = 1e-8
#: A bound that rises by less, in nats and beside its size, has converged.
_LEAST_RISE = 1e-9
#: A bound below this gives weight to what is impossible.
_NO_BOUND = -1e12


@final
@dataclass(frozen=True)
class Approximation:
    """What an approximation says of some rows.

    Attributes
    ----------
    log_density : array, shape (rows,)
        Mean field: a lower bound of log p(x_observed), which may be −inf. Loopy propagation: 0, or −inf for rows that
        it found to be impossible.
    probabilities : list of arrays, shape (rows, states)
        Of each node.
    converged : array of bool, shape (rows,)
    trace : array, shape (sweeps, rows)
        Mean field: the bound after every sweep. Loopy propagation: the largest change of a belief.
    """

    log_density: Float[np.ndarray, " rows"]
    probabilities: list[Float[np.ndarray, "rows states"]]
    converged: Bool[np.ndarray, " rows"]
    trace: Float[np.ndarray, "sweeps rows"]


def rows_at_a_time(network: Network) -> int:
    """How many rows fit."""
    graph = network.graph
    return max(_ENTRIES // sum(prod(graph.states[v] for v in scope) for scope in graph.scopes), 1)


def is_polytree(network: Network) -> bool:
    """Whether no two nodes are joined by two paths, whatever their directions: belief propagation is exact then."""
    graph = network.graph
    part = list(range(graph.n_nodes))
    for scope in graph.scopes:
        for parent in scope[:-1]:
            if part[parent] == part[scope[-1]]:
                return False
            old, new = part[parent], part[scope[-1]]
            part = [new if own == old else own for own in part]
    return True


def loopy(
    network: Network, x: Float[np.ndarray, "rows nodes"], likelihood: Mapping[int, np.ndarray] | None = None
) -> Approximation:
    """Sum-product messages between tables and nodes, passed until they settle (Pearl 1988; Murphy et al. 1999).

    Exact on polytrees; elsewhere evidence is counted more than once on its way around a loop, and beliefs tend to be
    too sure. Messages may go on changing for good.

    Parameters
    ----------
    network : Network
    x : array, shape (rows, nodes)
    likelihood : mapping, optional
        Soft evidence, as `network_queries.posteriors` takes it.
    """
    graph, n = network.graph, len(x)
    scopes = graph.scopes
    tables = [np.asarray(network.tables[own])[..., None] for own in graph.table_of]
    seen = _evidence(network, x, likelihood)
    # the message of each table to each of its nodes
    sent = {(f, v): np.full((graph.states[v], n), 1 / graph.states[v]) for f, scope in enumerate(scopes) for v in scope}
    tables_at: list[list[int]] = [[f for f, scope in enumerate(scopes) if v in scope] for v in range(graph.n_nodes)]
    possible = np.ones(n, dtype=bool)

    def gathered(v: int, without: int | None) -> np.ndarray:
        found = seen[v].copy()
        for f in tables_at[v]:
            if f != without:
                found *= sent[f, v]
                found /= np.maximum(found.max(axis=0), np.finfo(float).tiny)  # many messages would underflow
        total = found.sum(axis=0)
        possible[...] &= total > 0
        return np.divide(found, total, out=np.zeros_like(found), where=total > 0)

    beliefs, changes = [gathered(v, None) for v in range(graph.n_nodes)], []
    for sweep in range(_MOST_SWEEPS):
        keep = 0.0 if sweep < _UNDAMPED else _DAMPING
        # down the network and up again: one such sweep settles a polytree
        for f in (*graph.order, *reversed(graph.order)):
            scope = scopes[f]
            incoming = {v: aligned(np, gathered(v, f), (v,), scope) for v in scope}
            for v in scope:
                product = tables[f]
                for other in scope:
                    if other != v:
                        product = product * incoming[other]
                message = marginal(np.broadcast_to(product, (*product.shape[:-1], n)), scope, (v,))
                total = message.sum(axis=0)
                message = np.divide(message, total, out=np.zeros_like(message), where=total > 0)
                sent[f, v] = keep * sent[f, v] + (1 - keep) * message
        now = [gathered(v, None) for v in range(graph.n_nodes)]
        changes.append(
            np.max([np.abs(new - old).max(axis=0) for new, old in zip(now, beliefs, strict=True)], axis=0, initial=0.0)
        )
        beliefs = now
        if (changes[-1] < _SETTLED)[possible].all():
            break
    settled = (changes[-1] < _SETTLED) | ~possible
    return Approximation(np.where(possible, 0.0, -np.inf), [b.T for b in beliefs], settled, np.array(changes))


def mean_field(
    network: Network, x: Float[np.ndarray, "rows nodes"], likelihood: Mapping[int, np.ndarray] | None = None
) -> Approximation:
    """The product of independent distributions q_v nearest to the posterior in KL(q ‖ p), by coordinate ascent.

    log q_v = Σ E_q[log θ of the tables at v] + log evidence + constant, node by node: no step lowers the bound
    log p(x_observed) ≥ E_q[log p(x)] + H(q) (Saul, Jaakkola & Jordan 1996, JAIR 4:61). The maximum is a local one, and
    probabilities tend to be too sure, the more so where tables hold zeros.

    Parameters
    ----------
    network, x, likelihood
        As `loopy`.
    """
    graph, n = network.graph, len(x)
    scopes = graph.scopes
    tables = [np.asarray(log)[..., None] for log in network.natural()]
    evidence = [
        np.where(chance > 0, np.log(np.where(chance > 0, chance, 1.0)), NEVER)
        for chance in _evidence(network, x, likelihood)
    ]
    tables_at: list[list[int]] = [[f for f, scope in enumerate(scopes) if v in scope] for v in range(graph.n_nodes)]
    q = [_softmax(log) for log in evidence]

    def expected(f: int, v: int) -> np.ndarray:
        """E_q[log θ] of a table for each state of one of its nodes."""
        scope = scopes[f]
        product = tables[graph.table_of[f]]
        for other in scope:
            if other != v:
                product = product * aligned(np, q[other], (other,), scope)
        return marginal(np.broadcast_to(product, (*product.shape[:-1], n)), scope, (v,))

    bounds: list[np.ndarray] = []
    settled = np.zeros(n, dtype=bool)
    while len(bounds) < _MOST_SWEEPS and not settled.all():
        for v in graph.order:
            q[v] = _softmax(sum((expected(f, v) for f in tables_at[v]), evidence[v]))
        energy = sum((np.sum(q[v] * expected(v, v), axis=0) for v in range(graph.n_nodes)), np.zeros(n))
        entropy = sum((-np.sum(q_v * np.log(np.where(q_v > 0, q_v, 1.0)), axis=0) for q_v in q), np.zeros(n))
        told = sum((np.sum(q_v * log, axis=0) for q_v, log in zip(q, evidence, strict=True)), np.zeros(n))
        bounds.append(energy + told + entropy)
        if len(bounds) > 1:
            settled = bounds[-1] - bounds[-2] <= _LEAST_RISE * (1 + np.abs(bounds[-1]))
    trace = np.where(np.array(bounds) > _NO_BOUND, np.array(bounds), -np.inf)
    return Approximation(trace[-1], [q_v.T for q_v in q], settled, trace)


def _softmax(log: Float[np.ndarray, "states rows"]) -> Float[np.ndarray, "states rows"]:
    chance = np.exp(log - log.max(axis=0))
    return chance / chance.sum(axis=0)


def _evidence(
    network: Network, x: np.ndarray, likelihood: Mapping[int, np.ndarray] | None
) -> Sequence[Float[np.ndarray, "states rows"]]:
    """How likely each state of each node is seen, 1 where nothing is known."""
    seen = [
        np.where(np.isnan(codes), 1.0, codes == np.arange(count)[:, None])
        for codes, count in zip(x.T, network.graph.states, strict=True)
    ]
    return [own * (likelihood or {}).get(v, np.ones(len(own)))[:, None] for v, own in enumerate(seen)]
