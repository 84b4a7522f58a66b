"""What a Bayesian network says of cells that were not observed: marginals, joint marginals, completions, draws."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from ..core.threads import side_by_side
from .elimination import Plan, contract, plan
from .network import Network, evidence_of
from .propagation import Propagation, marginal, rows_at_once

#: Rows that are completed at once: the products of all steps are kept for them.
_COMPLETED_AT_ONCE = 4_000_000


def posteriors(
    network: Network,
    x: Float[np.ndarray, "n nodes"],
    likelihood: Mapping[int, Float[np.ndarray, " states"]] | None = None,
) -> tuple[Float[np.ndarray, " n"], list[Float[np.ndarray, "n states"]]]:
    """log p(x_observed) of each row, and p(x_v | x_observed) of every node.

    Parameters
    ----------
    network : Network
    x : array, shape (n, nodes)
        Codes of states, NaN where unknown.
    likelihood : mapping, optional
        Soft evidence: from a node to how likely what was seen is under each of its states.

    Returns
    -------
    log_density : array, shape (n,)
        −inf for an impossible row, whose probabilities are 0.
    probabilities : list of arrays, shape (n, states)
    """
    whole = network.graph.plan(range(network.graph.n_nodes))
    rows = min(rows_at_once(whole), len(x))
    log_density, found = np.empty(len(x)), [np.empty((len(x), count)) for count in network.graph.states]

    def answer(part: tuple[int, np.ndarray]) -> None:
        start, own = part
        sweeps = Propagation(whole, network.factors(whole), rows)
        for begin in range(0, len(own), rows):
            few, used = _filled(own[begin : begin + rows], rows)
            log = sweeps.forward(evidence_for(network, few, likelihood))
            place = slice(start + begin, start + begin + used)
            log_density[place] = log[:used]
            for step, joint in sweeps.marginals(np.where(np.isfinite(log), 1.0, 0.0)):
                found[step.variable][place] = marginal(joint, step.scope, (step.variable,))[:, :used].T

    half = -(-len(x) // 2)
    parts = [(0, x[:half]), (half, x[half:])] if len(x) > rows else [(0, x)]
    deque(side_by_side(answer, parts), maxlen=0)
    return log_density, found


def joint_posterior(
    network: Network,
    x: Float[np.ndarray, "n nodes"],
    nodes: Sequence[int],
    likelihood: Mapping[int, Float[np.ndarray, " states"]] | None = None,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n ..."]]:
    """log p(x_observed) and p(x_nodes | x_observed) of each row, with an axis for each node in their order."""
    graph = network.graph
    known = set(np.flatnonzero(~np.isnan(x).all(axis=0)).tolist()) | set(likelihood or ())
    kept = sorted(graph.ancestors(known | set(nodes)))
    asked = plan(graph.states, [*(graph.scopes[v] for v in kept), tuple(nodes)], kept)
    flat = np.ones([graph.states[v] for v in nodes])
    own = [network.tables[graph.table_of[v]] for v in kept]
    rows = min(rows_at_once(asked), len(x))
    sweeps = Propagation(asked, [*own, flat], rows)
    log_density, found = np.empty(len(x)), np.empty((len(x), *flat.shape))
    for begin in range(0, len(x), rows):
        few, used = _filled(x[begin : begin + rows], rows)
        log = sweeps.forward(evidence_for(network, few, likelihood))
        log_density[begin : begin + used] = log[:used]
        for step, joint in sweeps.marginals(np.where(np.isfinite(log), 1.0, 0.0)):
            if len(own) in step.factors:
                answer = np.moveaxis(marginal(joint, step.scope, tuple(nodes)), -1, 0)
                found[begin : begin + used] = answer[:used]
    return log_density, found


def completed(
    network: Network,
    x: Float[np.ndarray, "n nodes"],
    how: Literal["best", "draw"],
    rng: np.random.Generator | None = None,
    likelihood: Mapping[int, Float[np.ndarray, " states"]] | None = None,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n nodes"]]:
    """Rows without missing cells: the most probable completion, or a draw from p(missing | observed).

    Returns
    -------
    log_total : array, shape (n,)
        log max p(x), or log p(x_observed) for draws; −inf where the row is impossible.
    x : array, shape (n, nodes)
    """
    whole = network.graph.plan(range(network.graph.n_nodes))
    rows = max(_COMPLETED_AT_ONCE // sum(whole.sizes), 1)
    log_total, out = np.empty(len(x)), np.empty(x.shape)
    for begin in range(0, len(x), rows):
        few = x[begin : begin + rows]
        swept = contract(
            np, whole, network.factors(whole), evidence_for(network, few, likelihood), best=how == "best", keep=True
        )
        log_total[begin : begin + rows] = swept.log_total
        for node, codes in _traced_back(whole, swept.products, len(few), rng if how == "draw" else None):
            out[begin : begin + rows, node] = codes
    return log_total, out


def _traced_back(
    plan: Plan, products: list[Any], n: int, rng: np.random.Generator | None
) -> Iterator[tuple[int, Int[np.ndarray, " n"]]]:
    """A state for each variable, given those of the variables that were summed out after it."""
    chosen: dict[int, np.ndarray] = {}
    rows = np.arange(n)
    for step, product in zip(reversed(plan.steps), reversed(products), strict=True):
        full = np.broadcast_to(product, (*(plan.states[v] for v in step.scope), n))
        chances = full[(slice(None), *(chosen[v] for v in step.rest), rows)]  # (states, n)
        if rng is None:
            codes = chances.argmax(axis=0)
        else:
            below = np.cumsum(chances, axis=0)
            codes = np.minimum((rng.random(n) * below[-1] >= below).sum(axis=0), len(below) - 1)
        chosen[step.variable] = codes
        yield step.variable, codes


def completions(
    network: Network, x: Float[np.ndarray, " nodes"], nodes: Sequence[int]
) -> tuple[float, Float[np.ndarray, "m nodes"], Float[np.ndarray, " m"]]:
    """p(x_observed) of one row, every completion of some missing nodes that is possible, and its posterior weight."""
    missing = [v for v in nodes if np.isnan(x[v])]
    log, joint = joint_posterior(network, x[None], missing)
    if not missing:
        return float(np.exp(log[0])), x[None].copy(), np.ones(1)
    places = np.argwhere(joint[0] > 0)
    rows = np.tile(x, (len(places), 1))
    rows[:, missing] = places
    return float(np.exp(log[0])), rows, joint[0][joint[0] > 0]


def evidence_for(
    network: Network, x: np.ndarray, likelihood: Mapping[int, np.ndarray] | None
) -> list[np.ndarray | None]:
    """As `evidence_of`, with soft evidence on some nodes."""
    evidence = evidence_of(x, network.graph.states)
    for node, chances in (likelihood or {}).items():
        soft = np.broadcast_to(np.asarray(chances, float)[:, None], (len(chances), len(x)))
        hard = evidence[node]
        evidence[node] = soft if hard is None else hard * soft
    return evidence


def _filled(x: np.ndarray, rows: int) -> tuple[np.ndarray, int]:
    """So many rows, the last one repeated; and how many of them are meant."""
    used = len(x)
    return (x, used) if used == rows else (np.concatenate([x, np.repeat(x[-1:], rows - used, axis=0)]), used)
