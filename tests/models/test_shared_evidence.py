"""What rows share along an elimination: sums are those of dense contractions, however rows are cut and keys ranked."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import noumena as nm
from noumena.core.block import Block
from noumena.core.expectation import expectation
from noumena.core.lanes import stack
from noumena.core.model import Fixed
from noumena.models import elimination, shared_evidence
from noumena.models.network import Graph, Network
from noumena.models.network_queries import completed, log_densities, posteriors
from noumena.models.propagation import expected_counts, forward
from noumena.models.shared_evidence import largest_table, pieces_of, shared_blocks
from sample_networks import random_network


def wide_network(seed: int, n: int = 11) -> Network:
    """Up to four states and three parents among the six nodes before."""
    rng = np.random.default_rng(seed)
    states = tuple(rng.integers(2, 5, n).tolist())
    parents = tuple(
        tuple(rng.choice(np.arange(max(0, v - 6), v), min(v, int(rng.integers(0, 4))), replace=False).tolist())
        for v in range(n)
    )
    tables = tuple(rng.dirichlet(np.ones(states[v]), size=[states[p] for p in parents[v]]) for v in range(n))
    graph = Graph(states, parents, tuple(range(n)), (False,) * n)
    return Network(tables, Fixed(tuple(np.zeros(t.shape) for t in tables)), graph, graph.plan(range(n)))


def some_rows(network: Network, n: int, missing: float, seed: int) -> np.ndarray:
    x = completed(
        network, np.full((1, network.graph.n_nodes), np.nan), "draw", np.random.default_rng(seed), np.zeros(n, int)
    )[1]
    x[np.random.default_rng(seed).random(x.shape) < missing] = np.nan
    return x


def dense(network: Network, weight: np.ndarray) -> Callable[[np.ndarray], tuple[float, list[np.ndarray]]]:
    """The bound of some rows and its gradient by JAX, over all states of every row."""

    @jax.jit
    def found(natural, x):
        return jax.value_and_grad(
            lambda natural: jnp.sum(weight * network.bound(network.prepare(natural), Block(x, weight)))
        )(natural)

    def answer(x: np.ndarray) -> tuple[float, list[np.ndarray]]:
        with jax.enable_x64(True):
            value, slope = found(tuple(map(jnp.asarray, network.natural())), x)
            return float(value), [np.asarray(own) for own in slope]

    return answer


@pytest.mark.parametrize("seed", range(2))
def test_shared_sums_are_the_dense_ones(seed, monkeypatch):
    """Rows at once; in pieces, none of them kept; with keys that are ranked in between; with every table by itself."""
    network = wide_network(seed)
    weight = np.random.default_rng(seed).integers(0, 3, 80).astype(float)
    by_jax = dense(network, weight)
    cut = {"_MOST_ENTRIES": 500, "_MOST_UNSHARED": 2000, "_MOST_KEPT": 0}
    ranked = {"_MOST_KEPT": 1, "_LARGEST_KEY": 50, "_COUNTED": 0, "_COUNTED_TO_ROWS": 0}
    apart = {"_MOST_JOINED": 1}
    for missing, settings in product([0.0, 0.3, 0.9], [{}, cut, ranked, apart]):
        x = some_rows(network, 80, missing, seed)
        bound, counts = by_jax(x)
        for name, value in settings.items():
            monkeypatch.setattr(elimination if settings is apart else shared_evidence, name, value)
        blocks = shared_blocks(replace(network.plan), x, weight)  # a new plan, whose tables are not joined yet
        assert (len(blocks) > 1) == (settings is cut and missing > 0)
        found, stats = expectation(stack([network]), blocks)
        assert found[0] == pytest.approx(bound, rel=1e-12)
        for ours, theirs in zip(stats, counts, strict=True):
            np.testing.assert_allclose(ours[0], theirs, atol=1e-10)
        monkeypatch.undo()


def test_rows_share_what_they_agree_on():
    """A chain whose middle is seen: what lies beyond it tells the rest nothing, and is summed over once."""
    n = 9
    graph = Graph((3,) * n, ((), *((v,) for v in range(n - 1))), tuple(range(n)), (False,) * n)
    rng = np.random.default_rng(0)
    tables = tuple(rng.dirichlet(np.ones(3), size=(3,) * min(v, 1)) for v in range(n))
    network = Network(tables, Fixed(tuple(np.zeros(t.shape) for t in tables)), graph, graph.plan(range(n)))
    x = np.full((3000, n), np.nan)
    x[:, 4] = rng.integers(3, size=3000)
    x[:, 0], x[:, 8] = rng.integers(3, size=(2, 3000))
    evidence = shared_evidence.shared_evidence(network.plan, x)
    assert max(len(share.starts) for share in evidence.shares) <= 9  # 27 different rows
    bound, _ = dense(network, np.ones(3000))(x)
    sweep = forward(evidence, network.factors(network.plan))
    assert sweep.total() == pytest.approx(bound, rel=1e-12)
    assert sum(float(own.sum()) for own in expected_counts(sweep)) == pytest.approx(n * 3000)


def test_answers_do_not_depend_on_the_pieces(monkeypatch):
    network = wide_network(7)
    x = some_rows(network, 60, 0.4, 7)
    log, marginals = posteriors(network, x)
    best = completed(network, x, "best")
    alone = log_densities(network, x)
    monkeypatch.setattr(shared_evidence.pieces_of, "__defaults__", (300, 2))
    assert len(pieces_of(network.plan, x)) > 3
    np.testing.assert_allclose(log_densities(network, x), alone, rtol=1e-12)
    again, found = posteriors(network, x)
    np.testing.assert_allclose(again, log, rtol=1e-12)
    for ours, theirs in zip(found, marginals, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    for ours, theirs in zip(completed(network, x, "best"), best, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_rows_are_completed_as_often_as_they_are_named():
    network = random_network(3)
    x = np.full((3, network.graph.n_nodes), np.nan)
    x[1, 0], x[2, 0] = 0, 1
    of = np.array([0, 0, 1, 2, 2, 2])
    drawn = completed(network, x, "draw", np.random.default_rng(0), of)[1]
    assert len(drawn) == 6
    assert not np.isnan(drawn).any()
    np.testing.assert_array_equal(drawn[2:, 0], [0, 1, 1, 1])


def test_the_largest_table_is_known_from_what_is_seen():
    """Two parents of ten states under a node of two: 200 entries where all three are free, 20 with a parent seen."""
    graph = Graph((10, 10, 2), ((), (), (0, 1)), (0, 1, 2), (False,) * 3)
    plan = graph.plan(range(3))
    assert largest_table(plan, np.full((1, 3), np.nan))[0] == 200
    assert largest_table(plan, np.array([[np.nan, 3, np.nan]]))[0] == 200  # the table itself
    chain = Graph((10, 10, 10), ((), (0,), (1,)), (0, 1, 2), (False,) * 3)
    joined = Graph((10, 10, 10, 2, 2, 2), ((), (), (), (0, 1), (1, 2), (0, 2)), tuple(range(6)), (False,) * 6)
    assert largest_table(chain.plan(range(3)), np.full((1, 3), np.nan))[0] == 100
    assert largest_table(joined.plan(range(6)), np.full((1, 6), np.nan))[0] == 1000
    seen = np.array([[3, np.nan, np.nan, 0, 1, 1]])
    assert largest_table(joined.plan(range(6)), seen)[0] < 1000


def test_what_is_too_large_unseen_is_learned_and_asked_where_enough_is_seen():
    """A seen child of each pair of 12 nodes of 8 states joins them: 8^12 entries, but 8^3 where nine are seen."""
    rng = np.random.default_rng(0)
    names = [f"n{i}" for i in range(12)]
    pairs = {f"{a},{b}": [a, b] for i, a in enumerate(names) for b in names[:i]}
    parents = {name: [] for name in names} | pairs
    states = {name: tuple(range(2 if name in pairs else 8)) for name in parents}
    tables = {name: rng.dirichlet(np.ones(len(states[name])), size=(8,) * len(own)) for name, own in parents.items()}
    bn = nm.BayesianNetwork.from_tables(parents, tables, states)
    with pytest.raises(nm.NetworkError, match=r"exact answers need a table of .* entries for one row, over n0, n1"):
        bn.query(["n0"], dict.fromkeys(pairs, 0))
    seen = {name: int(rng.integers(8)) for name in names[3:]}
    found = bn.query(["n0"], seen | {"n1,n0": 1})["n0"]
    # n1 and n2 summed out by hand; pairs that are not seen bring nothing
    by_hand = tables["n0"] * np.einsum("b,ba->a", tables["n1"], tables["n1,n0"][..., 1])
    np.testing.assert_allclose(list(found.values()), by_hand / by_hand.sum(), rtol=1e-10)
    alone = bn.query(["n0"], {"n1,n0": 1})["n0"]  # what it does not depend on is left out
    np.testing.assert_allclose(list(alone.values()), by_hand / by_hand.sum(), rtol=1e-10)
    frame = pd.DataFrame({name: rng.integers(len(own), size=40) for name, own in states.items()})
    few = rng.random((40, 12)).argsort(axis=1) < 3
    frame[names] = frame[names].mask(few)
    learned = nm.BayesianNetwork(parents, states=states, prior=1.0).fit(frame)
    assert learned.converged_
    assert learned.log_likelihood(frame) == pytest.approx(learned.log_likelihood_)
    with pytest.raises(nm.NetworkError, match="exact answers need a table"):
        nm.BayesianNetwork(parents, states=states).fit(frame.assign(**dict.fromkeys(names, np.nan)))


def test_many_messages_are_scaled_whether_the_node_is_seen_or_not():
    """Twelve children of r and w, of which one is seen or none: Σ p(r, w) Π p(child | r, w) by hand, 1e-60 each."""
    children = [f"c{i}" for i in range(12)]
    tiny = np.array([[[1 - 1e-60, 1e-60], [1 - 3e-60, 3e-60]], [[1 - 2e-60, 2e-60], [1 - 1e-60, 1e-60]]])
    parents = {"r": [], "w": []} | {name: ["r", "w"] for name in children}
    tables = {"r": [0.3, 0.7], "w": [0.6, 0.4]} | dict.fromkeys(children, tiny)
    bn = nm.BayesianNetwork.from_tables(parents, tables, dict.fromkeys(parents, (0, 1)))
    joint = np.log(np.outer([0.3, 0.7], [0.6, 0.4])) + 12 * np.log(tiny[..., 1])
    ones = pd.DataFrame(1, index=range(3), columns=children)
    found = bn.score_samples(ones.assign(r=[0, None, None], w=[None, 1, None]))
    by_hand = [np.logaddexp.reduce(joint[0]), np.logaddexp.reduce(joint[:, 1]), np.logaddexp.reduce(joint, axis=None)]
    np.testing.assert_allclose(found, by_hand, rtol=1e-12)
