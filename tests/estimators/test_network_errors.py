"""Standard errors of a network's tables against closed forms, brute force and the bootstrap."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import noumena as nm

PARENTS = {"a": (), "b": ("a",), "c": ("a", "b")}


def rows(n, seed, missing=0.0):
    rng = np.random.default_rng(seed)
    a = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    b = (rng.random(n) < np.array([0.2, 0.5, 0.8])[a]).astype(int)
    c = (rng.random(n) < np.array([[0.3, 0.6], [0.5, 0.1], [0.7, 0.9]])[a, b]).astype(int)
    frame = pd.DataFrame({"a": np.array(["u", "v", "w"])[a], "b": b.astype(float), "c": c.astype(float)})
    return frame.mask(rng.random(frame.shape) < missing)


def test_one_node_has_the_errors_of_a_multinomial():
    x = rows(300, 0)[["a"]]
    network = nm.BayesianNetwork().fit(x)
    p = network.tables_["a"]
    errors = network.standard_errors(x)
    assert errors.method == "observed"
    np.testing.assert_allclose(errors.tables["a"], np.sqrt(p * (1 - p) / 300), rtol=1e-9)


def test_complete_rows_have_the_errors_of_a_multinomial_for_each_state_of_the_parents():
    """√(p (1 − p) / n), n the weight of the rows with these states."""
    x, weight = rows(400, 1), np.random.default_rng(1).uniform(0.5, 2.0, 400)
    network = nm.BayesianNetwork(PARENTS).fit(x, sample_weight=weight)
    errors, n = network.standard_errors(x, sample_weight=weight).tables, pd.Series(weight)
    for node, own in PARENTS.items():
        p = network.tables_[node]
        count = np.full((1,), weight.sum())
        if own:
            count = n.groupby([x[name] for name in own]).sum().to_numpy().reshape(p.shape[:-1])[..., None]
        np.testing.assert_allclose(errors[node], np.sqrt(p * (1 - p) / count), rtol=1e-6)


def test_missing_cells_cost_what_the_second_derivative_of_the_marginal_likelihood_says():
    """The Hessian of Σ log Σ_completions p, by brute force in the 11 log odds against the last states."""
    x = rows(600, 2, missing=0.25)
    network = nm.BayesianNetwork(PARENTS, tol=1e-10).fit(x)
    states = [("u", "v", "w"), (0.0, 1.0), (0.0, 1.0)]
    shapes = [(3,), (3, 2), (3, 2, 2)]
    assert [network.tables_[name].shape for name in PARENTS] == shapes

    def tables(theta):
        found, start = [], 0
        for shape in shapes:
            size = int(np.prod(shape[:-1])) * (shape[-1] - 1)
            odds = theta[start : start + size].reshape(*shape[:-1], shape[-1] - 1)
            found.append(jax.nn.softmax(jnp.concatenate([odds, jnp.zeros((*shape[:-1], 1))], axis=-1), axis=-1))
            start += size
        return found

    # 1 for each completion of a row
    seen = np.ones((len(x), 3, 2, 2))
    for axis, (name, own) in enumerate(zip(x, states, strict=True)):
        shown = np.array([[value != value or value == state for state in own] for value in x[name]])
        seen *= shown.reshape(len(x), *(len(own) if other == axis else 1 for other in range(3)))

    def log_likelihood(theta):
        a, b, c = tables(theta)
        return jnp.log(jnp.tensordot(seen, a[:, None, None] * b[:, :, None] * c, 3)).sum()

    with jax.enable_x64(True):
        theta = jnp.concatenate(
            [(jnp.log(t[..., :-1]) - jnp.log(t[..., -1:])).ravel() for t in map(network.tables_.get, PARENTS)]
        )
        covariance = np.linalg.inv(-np.asarray(jax.jit(jax.hessian(log_likelihood))(theta)))
        slopes = [np.asarray(slope) for slope in jax.jacfwd(tables)(theta)]
    errors = network.standard_errors(x).tables
    for node, slope in zip(PARENTS, slopes, strict=True):
        expected = np.sqrt(np.einsum("...p,pq,...q->...", slope, covariance, slope))
        np.testing.assert_allclose(errors[node], expected, rtol=1e-6)


@pytest.mark.slow
def test_a_latent_class_network_has_the_errors_of_the_latent_class_analysis():
    rng = np.random.default_rng(3)
    group = rng.random(400) < 0.4
    x = pd.DataFrame({f"x{j}": np.where(rng.random(400) < np.where(group, 0.85, 0.2), "y", "n") for j in range(4)})
    x = x.mask(rng.random(x.shape) < 0.1)
    classes = nm.LatentClassAnalysis(2, n_init=2, random_state=0, tol=1e-11).fit(x)
    network = nm.BayesianNetwork({name: ["h"] for name in x}, hidden={"h": 2}, random_state=0, tol=1e-11).fit(x)
    ours, theirs = network.standard_errors(x).tables, classes.standard_errors(x)
    order = [0, 1] if abs(network.tables_["h"][0] - classes.weights_[0]) < 1e-3 else [1, 0]
    np.testing.assert_allclose(ours["h"][order], theirs.weights, rtol=1e-4)
    for name in x:
        np.testing.assert_allclose(ours[name][order], theirs.probabilities[name], rtol=1e-4)


def test_what_the_rows_do_not_determine_has_no_error_and_disturbs_no_other():
    x = rows(300, 4)
    x.loc[x["a"] == "u", "b"] = 1.0  # p(b | u) at the edge, and (u, 0) never occurs
    fixed = {"a": [0.5, 0.3, 0.2]}
    network = nm.BayesianNetwork(PARENTS, fixed=fixed).fit(x)
    errors = network.standard_errors(x).tables
    assert np.isnan(errors["a"]).all()
    assert np.isnan(errors["b"][0]).all()
    assert np.isnan(errors["c"][0, 0]).all()
    p, n = network.tables_["c"][0, 1], (x["a"] == "u").sum()
    np.testing.assert_allclose(errors["c"][0, 1], np.sqrt(p * (1 - p) / n), rtol=1e-6)
    assert np.isfinite(errors["b"][1:]).all()


def test_tied_tables_share_their_rows():
    rng = np.random.default_rng(5)
    x = pd.DataFrame(rng.choice(["u", "v"], (200, 2), p=[0.3, 0.7]), columns=["a", "b"])
    network = nm.BayesianNetwork(tied=[("a", "b")]).fit(x)
    p, errors = network.tables_["a"], network.standard_errors(x).tables
    np.testing.assert_allclose(errors["a"], np.sqrt(p * (1 - p) / 400), rtol=1e-6)
    np.testing.assert_array_equal(errors["a"], errors["b"])


def test_the_bootstrap_comes_near_and_is_repeated_by_its_seed():
    """A standard deviation of 200 draws is off by 1/√400 = 5% of itself; 4.5 of that for 17 entries."""
    x = rows(600, 6, missing=0.1)
    network = nm.BayesianNetwork(PARENTS).fit(x)
    observed = network.standard_errors(x).tables
    drawn = network.standard_errors(x, method="bootstrap", random_state=0)
    again = network.standard_errors(x, method="bootstrap", random_state=0)
    assert drawn.method == "bootstrap"
    for node in PARENTS:
        np.testing.assert_array_equal(drawn.tables[node], again.tables[node])
        np.testing.assert_allclose(drawn.tables[node], observed[node], rtol=0.25)


def test_more_hidden_states_than_rows_determine_are_refused():
    x = rows(100, 7)[["b", "c"]]
    network = nm.BayesianNetwork({"b": ["h"], "c": ["h"]}, hidden={"h": 3}, random_state=0).fit(x)
    with pytest.raises(nm.InformationError, match="not determined"):
        network.standard_errors(x)
    with pytest.raises(ValueError, match="bootstrap"):
        network.standard_errors(x, method="guess")
