"""Loopy belief propagation and mean field against exact answers, and in networks too large for these."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

import noumena as nm
from noumena.models.approximate_inference import is_polytree, loopy, mean_field
from noumena.models.network_queries import posteriors


def network(parents, seed, states=2, concentration=1.0):
    """Tables at random."""
    rng = np.random.default_rng(seed)
    tables = {
        name: rng.dirichlet(np.full(states, concentration), size=(states,) * len(own)) for name, own in parents.items()
    }
    return nm.BayesianNetwork.from_tables(parents, tables, dict.fromkeys(parents, tuple(range(states))))


def grid(side, seed, concentration=4.0, states=2):
    """Each node depends on those above and to the left of it."""
    parents = {
        f"{i},{j}": ([f"{i - 1},{j}"] if i else []) + ([f"{i},{j - 1}"] if j else [])
        for i, j in product(range(side), range(side))
    }
    return network(parents, seed, states, concentration)


def rows(bn, n, missing, seed):
    codes = np.stack([bn.sample(n, random_state=seed)[name].to_numpy() for name in bn.nodes_], axis=1).astype(float)
    codes[np.random.default_rng(seed).random(codes.shape) < missing] = np.nan
    return codes


@pytest.mark.parametrize("seed", range(4))
def test_loopy_propagation_is_exact_on_polytrees(seed):
    bn = network({"a": [], "b": [], "c": ["a", "b"], "d": ["c"], "e": [], "f": ["c", "e"], "g": ["f"]}, seed, states=3)
    assert is_polytree(bn._model)
    x = rows(bn, 20, 0.5, seed)
    found = loopy(bn._model, x)
    assert found.converged.all()
    for ours, exact in zip(found.probabilities, posteriors(bn._model, x)[1], strict=True):
        np.testing.assert_allclose(ours, exact, atol=1e-9)
    # warnings are errors: there is none
    assert bn.query(["a"], {"g": 1}, method="loopy")["a"][0] == pytest.approx(bn.query(["a"], {"g": 1})["a"][0])


def test_loops_are_told_of_and_weak_ones_matter_little():
    bn = grid(3, 0, concentration=10.0)
    assert not is_polytree(bn._model)
    with pytest.warns(nm.NoumenaWarning, match="approximate"):
        found = bn.query(evidence={"2,2": 1}, method="loopy")
    for name, exact in bn.query(evidence={"2,2": 1}).items():
        assert found[name][0] == pytest.approx(exact[0], abs=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_the_bound_of_mean_field_never_falls_and_stays_below_the_evidence(seed):
    bn = grid(3, seed, concentration=2.0)
    x = rows(bn, 15, 0.5, seed)
    found, exact = mean_field(bn._model, x), posteriors(bn._model, x)[0]
    # some dozen terms of size 1: rounding of 1e-12
    assert (np.diff(found.trace, axis=0) >= -1e-12).all()
    assert (found.log_density <= exact + 1e-12).all()
    assert found.converged.all()
    evidence = {name: int(code) for name, code in zip(bn.nodes_, x[0], strict=True) if not np.isnan(code)}
    assert bn.lower_bound(evidence) == pytest.approx(found.log_density[0], rel=1e-6)


def test_mean_field_is_exact_where_nodes_are_independent():
    bn = network({"a": [], "b": [], "c": []}, 1, states=3)
    with pytest.warns(nm.NoumenaWarning, match="independent"):
        found = bn.query(evidence={"b": 1}, method="mean-field")
    with pytest.warns(nm.NoumenaWarning, match="independent"):
        table = bn.posterior(pd.DataFrame({"a": [0, 1], "b": [None, 2]}), method="mean-field")
    np.testing.assert_allclose(table["c"], np.tile(bn.tables_["c"], (2, 1)), rtol=1e-9)
    assert bn.lower_bound({"b": 1}) == pytest.approx(np.log(bn.probability({"b": 1})), rel=1e-9)
    assert found["a"][0] == pytest.approx(bn.tables_["a"][0], rel=1e-9)


def test_zeros_in_tables_do_no_harm():
    bn = nm.BayesianNetwork.from_tables(
        {"a": [], "b": [], "c": ["a", "b"]},
        {"a": [0.5, 0.5], "b": [0.2, 0.8], "c": [[[1, 0], [0, 1]], [[0, 1], [1, 0]]]},
        {"a": (0, 1), "b": (0, 1), "c": (0, 1)},
    )
    assert bn.query(["a"], {"c": 0, "b": 1}, method="loopy")["a"] == pytest.approx({0: 0.0, 1: 1.0})
    bound = bn.lower_bound({"c": 0})
    assert bound <= np.log(bn.probability({"c": 0})) + 1e-12
    with pytest.raises(nm.NetworkError, match="probability 0"):
        bn.query(["a"], {"c": 0, "a": 0, "b": 1}, method="loopy")


def test_soft_evidence_is_taken():
    bn = network({"a": [], "b": ["a"], "c": ["b"]}, 3)
    soft = {"c": [0.3, 0.9]}
    exact = bn.query(["a"], soft_evidence=soft)["a"]
    assert bn.query(["a"], soft_evidence=soft, method="loopy")["a"] == pytest.approx(exact)


def test_a_network_too_large_for_exact_answers_has_approximate_ones():
    """A grid of 13 × 13 with four states has a clique of at least 4^13 entries."""
    bn = grid(13, 0, states=4)
    with pytest.raises(nm.NetworkError, match="loopy"):
        bn.query(["0,0"], {"12,12": 1})
    with pytest.warns(nm.NoumenaWarning, match="approximate"):
        found = bn.query(["0,0"], {"12,12": 1}, method="loopy")["0,0"]
    # what is so far away tells nothing: the prior
    assert found[0] == pytest.approx(bn.tables_["0,0"][0], abs=1e-3)
    assert -np.inf < bn.lower_bound({"12,12": 1}) < 0
    with pytest.raises(ValueError, match="mean-field"):
        bn.query(method="guess")
