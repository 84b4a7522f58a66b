"""Bayesian networks to test with: a published one, and random ones small enough to enumerate."""

import itertools

import numpy as np
import pandas as pd

import noumena as nm
from noumena.core.model import Fixed
from noumena.models.network import Graph, Network

YES_NO = ("yes", "no")


def asia() -> nm.BayesianNetwork:
    """Lauritzen & Spiegelhalter (1988), J. R. Statist. Soc. B 50:157."""
    either = [[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]]
    return nm.BayesianNetwork.from_tables(
        {
            "asia": [],
            "tub": ["asia"],
            "smoke": [],
            "lung": ["smoke"],
            "bronc": ["smoke"],
            "either": ["lung", "tub"],
            "xray": ["either"],
            "dysp": ["bronc", "either"],
        },
        {
            "asia": [0.01, 0.99],
            "tub": [[0.05, 0.95], [0.01, 0.99]],
            "smoke": [0.5, 0.5],
            "lung": [[0.1, 0.9], [0.01, 0.99]],
            "bronc": [[0.6, 0.4], [0.3, 0.7]],
            "either": either,
            "xray": [[0.98, 0.02], [0.05, 0.95]],
            "dysp": [[[0.9, 0.1], [0.8, 0.2]], [[0.7, 0.3], [0.1, 0.9]]],
        },
        dict.fromkeys(["asia", "tub", "smoke", "lung", "bronc", "either", "xray", "dysp"], YES_NO),
    )


def random_network(seed: int, zeros: bool = False) -> Network:
    """Up to six nodes of two or three states, up to three parents; with zeros, tables hold some."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 7))
    states = tuple(rng.integers(2, 4, n).tolist())
    order = rng.permutation(n)
    parents: list[tuple[int, ...]] = [()] * n
    for i, node in enumerate(order):
        many = int(rng.integers(0, min(i, 3) + 1))
        parents[node] = tuple(rng.choice(order[:i], many, replace=False).tolist())
    tables = []
    for node in range(n):
        table = rng.dirichlet(np.ones(states[node]), size=[states[p] for p in parents[node]])
        if zeros:
            table = np.where(rng.random(table.shape) < 0.3, 0.0, table) + 1e-300
            table = np.where(table < 1e-200, 0.0, table)
            empty = table.sum(axis=-1) == 0
            table[empty, 0] = 1.0
            table /= table.sum(axis=-1, keepdims=True)
        tables.append(table)
    graph = Graph(states, tuple(parents), tuple(range(n)), (False,) * n)
    return Network(tuple(tables), Fixed(tuple(np.zeros(t.shape) for t in tables)), graph, graph.plan(range(n)))


def enumerated(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Every state of the whole network, and its probability."""
    graph = network.graph
    every = np.array(list(itertools.product(*(range(count) for count in graph.states))))
    chance = np.ones(len(every))
    for node, table in enumerate(network.tables):
        chance = chance * table[tuple(every[:, v] for v in graph.scopes[node])]
    return every, chance


def evidence_rows(network: Network, seed: int, n: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed + 1000)
    x = np.stack([rng.integers(count, size=n) for count in network.graph.states], axis=1).astype(float)
    x[rng.random(x.shape) < 0.5] = np.nan
    x[0] = np.nan  # a row that says nothing
    return x


def with_holes(table, share: float, seed: int) -> pd.DataFrame:
    frame = table.to_pandas()
    return frame.mask(np.random.default_rng(seed).random(frame.shape) < share)


def divergence(truth: nm.BayesianNetwork, other: nm.BayesianNetwork) -> float:
    """KL(p ‖ q) of two networks with the same edges: Σ over tables and parents' states of p(parents) · KL(row)."""
    total = 0.0
    for name, parents in truth.parents_.items():
        p, q = truth.tables_[name], other.tables_[name]
        each = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0) / q), 0.0).sum(axis=-1)
        total += float(((truth.joint(parents) if parents else 1.0) * each).sum())
    return total
