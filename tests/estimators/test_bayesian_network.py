"""Bayesian networks: published values, brute force on random networks, EM's laws, bad input."""

import itertools
from datetime import date

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest

import noumena as nm
from conftest import real_path
from noumena.core.block import Block
from noumena.core.expectation import expectation
from noumena.core.lanes import stack
from noumena.core.model import Fixed
from noumena.core.result import Status
from noumena.models import network_conflicts
from noumena.models.network import Graph, Network
from noumena.models.network_queries import completed, completions, joint_posterior, posteriors
from sample_networks import YES_NO, asia, divergence, enumerated, evidence_rows, random_network, with_holes

# --------------------------------------------------------------------------------------------------- published values


def test_asia():
    bn = asia()
    alone = bn.query()
    for node, value in {"either": 0.064828, "xray": 0.11029004, "dysp": 0.4359706}.items():
        assert alone[node]["yes"] == pytest.approx(value, abs=1e-9)
    seen = {"asia": "yes", "xray": "yes"}
    assert bn.probability(seen) == pytest.approx(0.001450925, abs=1e-12)
    found = bn.query(evidence=seen)
    for node, value in {"tub": 0.337715595, "lung": 0.371487155, "either": 0.690628392, "dysp": 0.681101194}.items():
        assert found[node]["yes"] == pytest.approx(value, abs=1e-9)
    short = bn.query(["bronc", "lung", "smoke"], evidence={"dysp": "yes"})
    for node, value in {"bronc": 0.833967336, "lung": 0.102759223, "smoke": 0.63399688}.items():
        assert short[node]["yes"] == pytest.approx(value, abs=1e-9)


def test_the_completions_of_a_row():
    """A, B → C → D with the row (a, ?, ?, ¬d): P(row) = .2196, four weighted completions."""
    half = [[0.5, 0.5], [0.5, 0.5]]  # P(c given ¬a) does not enter
    bn = nm.BayesianNetwork.from_tables(
        {"a": [], "b": [], "c": ["a", "b"], "d": ["c"]},
        {"a": [0.7, 0.3], "b": [0.1, 0.9], "c": [half, [[0.4, 0.6], [0.8, 0.2]]], "d": [[0.9, 0.1], [0.2, 0.8]]},
        dict.fromkeys("abcd", (False, True)),
    )
    found = bn.completions({"a": True, "d": False}).to_pylist()
    weights = {(row["b"], row["c"]): row["weight"] for row in found}
    expected = {(True, True): 0.0492, (True, False): 0.8852, (False, True): 0.0164, (False, False): 0.0492}
    assert weights == pytest.approx(expected, abs=5e-5)
    assert bn.probability({"a": True, "d": False}) == pytest.approx(0.2196)
    assert found[0]["weight"] == max(weights.values())


# -------------------------------------------------------------------------------------------------------- brute force


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_every_answer_by_enumeration(seed, zeros):
    network = random_network(seed, zeros)
    every, chance = enumerated(network)
    x = evidence_rows(network, seed)
    log, marginals = posteriors(network, x)
    best_log, best = completed(network, x, "best")
    pair = list(range(network.graph.n_nodes))[:2][::-1]
    joint_log, joint = joint_posterior(network, x, pair)
    for i, row in enumerate(x):
        fits = (np.isnan(row) | (every == row)).all(axis=1)
        total = chance[fits].sum()
        if total == 0:
            assert log[i] == best_log[i] == joint_log[i] == -np.inf
            assert all((found[i] == 0).all() for found in marginals)
            continue
        assert log[i] == pytest.approx(np.log(total), rel=1e-10, abs=1e-12)
        assert joint_log[i] == pytest.approx(np.log(total), rel=1e-10, abs=1e-12)
        for node, count in enumerate(network.graph.states):
            expected = [chance[fits & (every[:, node] == s)].sum() / total for s in range(count)]
            np.testing.assert_allclose(marginals[node][i], expected, atol=1e-12)
        for a, b in itertools.product(*(range(network.graph.states[v]) for v in pair)):
            expected = chance[fits & (every[:, pair[0]] == a) & (every[:, pair[1]] == b)].sum() / total
            assert joint[i, a, b] == pytest.approx(expected, abs=1e-12)
        assert best_log[i] == pytest.approx(np.log(chance[fits].max()), rel=1e-10, abs=1e-12)
        at = (every == best[i]).all(axis=1)
        assert fits[at].all()
        assert chance[at][0] == pytest.approx(chance[fits].max(), rel=1e-12)
        p, rows, weight = completions(network, row)
        assert p == pytest.approx(total, rel=1e-10)
        assert len(rows) == (chance[fits] > 0).sum()
        assert weight.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(12))
def test_the_e_step_is_the_gradient_of_the_bound(seed):
    """By hand in NumPy, by automatic differentiation, and by enumeration; weights and missing cells."""
    network = random_network(seed)
    x, weight = evidence_rows(network, seed), np.random.default_rng(seed).uniform(0.5, 2.0, 12)
    block = Block(x.reshape(3, 4, -1), weight.reshape(3, 4))
    bound, counts = expectation(stack([network]), [block])
    every, chance = enumerated(network)
    expected = [np.zeros(t.shape) for t in network.tables]
    total = 0.0
    for row, w in zip(x, weight, strict=True):
        fits = (np.isnan(row) | (every == row)).all(axis=1)
        total += w * np.log(chance[fits].sum())
        for node, scope in enumerate(network.graph.scopes):
            np.add.at(expected[node], tuple(every[fits][:, v] for v in scope), w * chance[fits] / chance[fits].sum())
    assert bound[0] == pytest.approx(total, rel=1e-12)
    for ours, theirs in zip(counts, expected, strict=True):
        np.testing.assert_allclose(ours[0], theirs, atol=1e-12)
    with jax.enable_x64(True):
        objective = lambda natural: jnp.sum(  # noqa: E731
            weight * network.bound(network.prepare(natural), Block(x, weight))
        )
        value, slope = jax.value_and_grad(objective)(tuple(map(jnp.asarray, network.natural())))
    assert float(value) == pytest.approx(total, rel=1e-12)
    for ours, theirs in zip(slope, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-10)


def test_hundreds_of_nodes_do_not_underflow():
    """A chain of 800 nodes whose states all have small probabilities: log p against the forward recursion in logs."""
    rng = np.random.default_rng(0)
    n = 800
    table = rng.dirichlet(np.full(4, 0.3), size=4)
    graph = Graph((4,) * n, ((), *((v,) for v in range(n - 1))), (0, *([1] * (n - 1))), (False, False))
    network = Network((np.full(4, 0.25), table), Fixed((np.zeros(4), np.zeros((4, 4)))), graph, graph.plan(range(n)))
    x = np.full((2, n), np.nan)
    x[0, :600] = rng.integers(4, size=600)
    forward = np.log(np.full(4, 0.25))
    for v in range(n):
        if v:
            forward = np.log(np.exp(forward - forward.max()) @ table) + forward.max()
        if not np.isnan(x[0, v]):
            forward = np.where(np.arange(4) == x[0, v], forward, -np.inf)
    log, _ = posteriors(network, x)
    assert log[0] == pytest.approx(np.logaddexp.reduce(forward), rel=1e-10)
    assert log[0] < -700
    assert log[1] == pytest.approx(0.0, abs=1e-9)


# ------------------------------------------------------------------------------------------------------------ learning


def test_complete_rows_give_their_shares():
    frame = asia().sample(3000, random_state=0).to_pandas()
    bn = nm.BayesianNetwork(asia().parents_).fit(frame)
    share = frame.groupby(["bronc", "either"])["dysp"].value_counts(normalize=True)
    for bronc, either, dysp in itertools.product(range(2), range(2), range(2)):
        states = (bn.states_["bronc"][bronc], bn.states_["either"][either], bn.states_["dysp"][dysp])
        expected = share.get(states, 0.0)
        assert bn.tables_["dysp"][bronc, either, dysp] == pytest.approx(expected, abs=1e-9)
    assert bn.n_parameters_ == 18
    assert bn.status_ is Status.CONVERGED


@pytest.mark.parametrize("accelerate", [None, "squarem", "anderson"])
def test_the_likelihood_never_falls_with_holes_and_a_hidden_node(accelerate):
    frame = with_holes(asia().sample(400, random_state=1), 0.3, 2).drop(columns=["either"])
    bn = nm.BayesianNetwork(
        asia().parents_, hidden={"either": 2}, prior=0.1, n_init=4, accelerate=accelerate, random_state=0
    ).fit(frame)
    assert bn.status_ is Status.CONVERGED
    steps = np.diff(bn.trace_.objective[bn.trace_.accepted])
    assert steps.min() > -1e-8
    assert bn.log_likelihood(frame) == pytest.approx(bn.log_likelihood_, rel=1e-11)


def test_a_hidden_node_over_items_is_latent_class_analysis():
    rng = np.random.default_rng(1)
    which = rng.random(700) < 0.4
    answers = rng.random((700, 5)) < np.where(which[:, None], 0.8, 0.25)
    frame = pd.DataFrame(np.where(answers, "y", "n"), columns=list("abcde")).mask(rng.random((700, 5)) < 0.1)
    lca = nm.LatentClassAnalysis(2, random_state=0, tol=1e-9).fit(frame)
    network = {item: ["h"] for item in "abcde"} | {"h": []}
    bn = nm.BayesianNetwork(network, hidden={"h": 2}, random_state=0, tol=1e-9).fit(frame)
    assert bn.log_likelihood_ == pytest.approx(lca.log_likelihood_, abs=1e-6)
    assert bn.n_parameters_ == lca.n_parameters_
    order = np.argsort(bn.tables_["h"]), np.argsort(lca.weights_)
    np.testing.assert_allclose(bn.tables_["h"][order[0]], lca.weights_[order[1]], atol=1e-4)
    for item in "abcde":
        np.testing.assert_allclose(bn.tables_[item][order[0]], lca.probabilities_[item][order[1]], atol=1e-3)
    np.testing.assert_allclose(bn.posterior(frame)["h"][:, order[0]], lca.predict_proba(frame)[:, order[1]], atol=1e-3)


def test_a_bif_file_is_a_structure(tmp_path):
    """Its edges and states, also states that no row shows; its tables are not used."""
    asia().to_bif(tmp_path / "asia.bif")
    frame = asia().sample(300, random_state=0).to_pandas()
    frame = frame[frame["asia"] == "no"]
    bn = nm.BayesianNetwork(tmp_path / "asia.bif", prior=1.0).fit(frame)
    assert bn.states_["asia"] == YES_NO
    again = nm.BayesianNetwork(asia().parents_, states=asia().states_, prior=1.0).fit(frame)
    np.testing.assert_array_equal(bn.tables_["dysp"], again.tables_["dysp"])
    bn.save(tmp_path / "asia.noumena")
    assert nm.load(tmp_path / "asia.noumena").fit(frame).log_likelihood_ == bn.log_likelihood_
    renamed = nm.BayesianNetwork(str(tmp_path / "asia.bif"), states={"asia": ("no", "yes")}, prior=1.0).fit(frame)
    np.testing.assert_array_equal(renamed.tables_["asia"], bn.tables_["asia"][::-1])


def test_states_of_an_array_are_stored(tmp_path):
    bn = nm.BayesianNetwork({"a": []}, states={"a": np.array([3, 1])}).fit(pd.DataFrame({"a": [1, 3, 3]}))
    bn.save(tmp_path / "net.noumena")
    assert nm.load(tmp_path / "net.noumena").query("a") == {"a": {3: pytest.approx(2 / 3), 1: pytest.approx(1 / 3)}}


def test_a_few_iterations_of_several_starts_are_no_convergence():
    frame = pd.DataFrame(np.random.default_rng(0).integers(2, size=(80, 4)), columns=list("abcd"))
    settings = {"hidden": {"h": 2}, "max_iter": 3, "random_state": 0}
    with pytest.warns(nm.ConvergenceWarning, match="after 3 iterations: max_iter iterations were not enough"):
        nm.BayesianNetwork({name: ["h"] for name in frame} | {"h": []}, **settings).fit(frame)


def test_weights_repeat_rows():
    frame = with_holes(asia().sample(120, random_state=3), 0.2, 4)
    weight = np.random.default_rng(5).integers(0, 4, 120)
    again = frame.iloc[np.repeat(np.arange(120), weight)]
    options = {"prior": 0.5, "tol": 1e-9, "states": dict.fromkeys(frame.columns, YES_NO)}
    ours = nm.BayesianNetwork(asia().parents_, **options).fit(frame, sample_weight=weight)
    theirs = nm.BayesianNetwork(asia().parents_, **options).fit(again)
    assert ours.log_likelihood_ == pytest.approx(theirs.log_likelihood_, rel=1e-9)
    np.testing.assert_allclose(ours.tables_["dysp"], theirs.tables_["dysp"], atol=1e-4)


def test_a_prior_is_added_to_the_counts():
    frame = pd.DataFrame({"a": ["x"] * 6 + ["y"] * 2, "b": list("uuvvuuvv")})
    bn = nm.BayesianNetwork({"a": [], "b": ["a"]}, prior={"a": 1.0, "b": [[1, 0], [0, 3]]}).fit(frame)
    np.testing.assert_allclose(bn.tables_["a"], [7 / 10, 3 / 10])
    np.testing.assert_allclose(bn.tables_["b"], [[5 / 7, 2 / 7], [0, 1]])
    # the objective is the log density of the Dirichlet posterior: log likelihood plus log prior
    dirichlet = np.log(6 * 0.7 * 0.3) + np.log(2 * 5 / 7) + np.log(4 * 1.0**3)
    assert bn.trace_.objective[-1] == pytest.approx(bn.log_likelihood_ + dirichlet)


def test_fixed_tables_stay_and_tied_ones_agree():
    chain = nm.BayesianNetwork.from_tables(
        {"a": [], "b": ["a"], "c": ["b"]},
        {"a": [0.5, 0.5], "b": [[0.9, 0.1], [0.3, 0.7]], "c": [[0.9, 0.1], [0.3, 0.7]]},
        dict.fromkeys("abc", (0, 1)),
    )
    frame = with_holes(chain.sample(2000, random_state=0), 0.2, 1)
    structure = {"a": [], "b": ["a"], "c": ["b"]}
    tied = nm.BayesianNetwork(structure, tied=[("b", "c")], fixed={"a": [0.5, 0.5]}).fit(frame)
    np.testing.assert_array_equal(tied.tables_["b"], tied.tables_["c"])
    np.testing.assert_array_equal(tied.tables_["a"], [0.5, 0.5])
    assert tied.n_parameters_ == 2
    # two transitions of 2,000 rows each: within five standard errors of 0.1 and 0.3
    np.testing.assert_allclose(tied.tables_["b"], [[0.9, 0.1], [0.3, 0.7]], atol=5 * np.sqrt(0.21 / 1500))


def test_alarm_is_learned_back():
    """KL(truth ‖ learned) of the joint, 20% of the cells missing, falls about as 1/n.

    Without missing cells 2n KL → χ² with as many degrees of freedom as parameters, 509: n KL = 254 ± 16. Missing cells
    raise it, parents' states that are too rare to matter yet lower it, so that n KL still rises with n. Two values that
    are off by 6% each give the power of n to ±0.04; four of these around the 0.92 of two other seeds.
    """
    truth = nm.BayesianNetwork.from_bif(real_path("networks/alarm.bif.gz"))
    distances = []
    for n in (5000, 50_000):
        rows = with_holes(truth.sample(n, random_state=n + 2), 0.2, n)
        learned = nm.BayesianNetwork(truth.parents_, states=truth.states_, prior=1.0).fit(rows)
        assert learned.status_ is Status.CONVERGED
        distances.append(divergence(truth, learned))
    assert 0.75 < np.log10(distances[0] / distances[1]) < 1.1
    assert 0.75 * 254 < 50_000 * distances[1] < 2 * 254


# ---------------------------------------------------------------------------------------------------------------- use


def test_imputations_and_samples():
    bn = asia()
    frame = with_holes(bn.sample(500, random_state=0), 0.4, 1)
    filled = bn.impute(frame)
    assert not filled.isna().any().any()
    pd.testing.assert_frame_equal(filled.where(frame.notna()), frame)
    twice = bn.impute(frame, draws=2, random_state=0)
    assert len(twice) == 2
    assert not twice[0].equals(twice[1])
    drawn = bn.sample(4000, evidence={"dysp": "yes"}, random_state=0).to_pandas()
    assert (drawn["dysp"] == "yes").all()
    # 4,000 draws: within 5 standard errors of P(bronc | dysp) = .834
    assert abs((drawn["bronc"] == "yes").mean() - 0.833967336) < 5 * np.sqrt(0.14 / 4000)
    states, chance = bn.most_probable({"dysp": "yes"})
    assert states["bronc"] == "yes"
    assert 0 < chance < 1


def test_samples_without_evidence_need_no_sums():
    """A child of each pair of 9 nodes of 8 states: 8^9 entries are not summed over. Shares within 5 standard errors."""
    rng = np.random.default_rng(0)
    roots = [f"n{i}" for i in range(9)]
    parents = {name: [] for name in roots} | {f"{a},{b}": [a, b] for i, a in enumerate(roots) for b in roots[:i]}
    states = {name: tuple(range(2 if own else 8)) for name, own in parents.items()}
    tables = {name: rng.dirichlet(np.ones(len(states[name])), size=(8,) * len(own)) for name, own in parents.items()}
    bn = nm.BayesianNetwork.from_tables(parents, tables, states)
    drawn = bn.sample(4000, random_state=0).to_pandas()
    for name, own in parents.items():
        p = tables[name][tuple(drawn[parent] for parent in own)][..., 1] * np.ones(4000)
        assert abs((drawn[name] == 1).mean() - p.mean()) < 5 * np.sqrt((p * (1 - p)).mean() / 4000)


def test_imputed_columns_keep_their_types():
    cells = {"c": ["a", "b", None, "a"] * 10, "n": [1, 2, None, 1] * 10, "t": [True, None, False, True] * 10}
    kinds = {"c": pd.CategoricalDtype(["b", "a", "z"], ordered=True), "n": "Int64", "t": "boolean", "s": "string"}
    frame = pd.DataFrame(
        {name: pd.array((cells | {"s": cells["c"]})[name], dtype=kind) for name, kind in kinds.items()}
    )
    bn = nm.BayesianNetwork(None).fit(frame)
    filled = bn.impute(frame)
    assert (filled.dtypes == frame.dtypes).all()
    pd.testing.assert_frame_equal(filled[frame.notna().all(axis=1)], frame.dropna())
    # a type that does not hold what is filled in gives way
    row = pd.DataFrame({"c": pd.Categorical([None], categories=["a"]), "n": [2], "t": [True], "s": ["b"]})
    known = nm.BayesianNetwork([("s", "c"), ("s", "n"), ("s", "t")], prior=0.1).fit(frame)
    assert known.impute(row)["c"].tolist() == ["b"]
    kinds = {"c": polars.Enum(["b", "a", "z"]), "n": polars.Int8, "t": polars.Boolean}
    table = polars.DataFrame(cells, schema=kinds)
    assert nm.BayesianNetwork(None).fit(table).impute(table).schema == table.schema
    arrow = pa.table({"c": pa.array(cells["c"]).dictionary_encode(), "n": pa.array(cells["n"], pa.int8())})
    assert nm.BayesianNetwork(None).fit(arrow).impute(arrow).schema == arrow.schema


def test_a_target_is_predicted_from_the_others():
    bn = asia()
    frame = bn.sample(300, random_state=0).to_pandas()
    chance = bn.predict_proba(frame, "bronc")
    without = bn.posterior(frame.drop(columns=["bronc"]))["bronc"]
    np.testing.assert_array_equal(chance, without)
    np.testing.assert_array_equal(bn.predict(frame, "bronc") == "yes", chance[:, 0] > 0.5)


def test_soft_evidence():
    """A test that is nine times as likely with bronchitis: Bayes' rule by hand."""
    bn = asia()
    prior = bn.query(["bronc"])["bronc"]["yes"]
    found = bn.query(["bronc"], soft_evidence={"bronc": {"yes": 0.9, "no": 0.1}})["bronc"]["yes"]
    assert found == pytest.approx(0.9 * prior / (0.9 * prior + 0.1 * (1 - prior)))


def test_storage(tmp_path):
    frame = with_holes(asia().sample(200, random_state=0), 0.2, 0).drop(columns=["lung"])
    bn = nm.BayesianNetwork(asia().parents_, hidden={"lung": 2}, random_state=0, prior=1.0).fit(frame)
    bn.save(tmp_path / "net.noumena")
    again = nm.load(tmp_path / "net.noumena")
    np.testing.assert_array_equal(again.score_samples(frame), bn.score_samples(frame))
    assert again.query(["dysp"]) == bn.query(["dysp"])


def test_criteria():
    frame = with_holes(asia().sample(200, random_state=0), 0.2, 0)
    bn = nm.BayesianNetwork(asia().parents_, prior=1.0).fit(frame)
    assert bn.bic(frame) == pytest.approx(-2 * bn.log_likelihood_ + 18 * np.log(200))
    assert bn.aic(frame) == pytest.approx(-2 * bn.log_likelihood_ + 36)
    assert bn.score(frame) == pytest.approx(bn.log_likelihood_ / 200)


# ------------------------------------------------------------------------------------------------------------- trouble


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"structure": {"a": ["c"], "b": ["a"], "c": ["b"]}}, r"has a cycle: \w → \w → \w → \w"),
        ({"structure": {"a": [], "b": ["a"]}}, "'c' is a column or a hidden node, but the structure has no such node"),
        ({"structure": {"a": [], "b": ["a"], "c": ["d"]}}, "the structure has 'd', but the table does not"),
        ({"structure": {"a": [], "b": ["a"], "c": ["h"]}, "hidden": {"h": 1}}, "hidden node 'h' needs at least 2"),
        ({"structure": {"a": ["a"], "b": [], "c": []}}, "node 'a' has parents"),
        ({"structure": [("a", "b", "c")]}, "an edge is a pair"),
        ({"fixed": {"a": [0.5, 0.6]}}, "the table of 'a' sums to 1.1 and not to 1"),
        ({"fixed": {"a": [0.5, 0.25, 0.25]}}, r"the table of 'a' has shape \(3,\), expected \(2,\)"),
        ({"tied": [("a", "b")], "structure": {"a": [], "b": ["a"], "c": []}}, "tied nodes 'a', 'b' have tables of"),
        ({"prior": -1.0}, "prior of 'a' must be a count of at least 0"),
        ({"states": {"a": ["x", "y"]}, "table": {"a": ["x", "z"]}}, "column 'a' holds 'z' at row 1"),
        ({"table": {"a": ["x", "x"]}}, r"column 'a' has one state only"),
        (
            {"table": {"a": pd.to_datetime(["2020-01-01", "2020-01-02"])}},
            r"column 'a' holds dates or times \(timestamp",
        ),
        ({"tied": ["a", "b"]}, r"tied=\['a', 'b'\]: pass groups of nodes"),
        ({"fixed": [0.5, 0.5]}, r"fixed=\[0.5, 0.5\]: pass a mapping from nodes"),
        ({"states": {"a": "xy"}}, "the states of 'a' are 'xy': list them"),
        ({"states": {"a": [date(2020, 1, 1), "x"]}}, r"node 'a' has the state .*: states are text, numbers or truth"),
        ({"structure": "edges.txt"}, "structure='edges.txt': pass a mapping .*, the name of a .bif file, or one of"),
        ({"table": {"a": [date(2020, 1, 1), None]}}, r"column 'a' holds dates or times \(date32"),
        ({"states": {"a": ["x", "y", "x"]}}, "node 'a' has the state 'x' more than once: list each state once"),
        (
            {"structure": {"a": [], "b": ["a"], "c": ["h"]}, "hidden": {"h": ["low", "low"]}},
            "node 'h' has the state 'low' more than once",
        ),
        ({"fixed": {"a": [1.0, 0.0]}}, r"row 1 \(a='y'\) is impossible under the fixed tables"),
    ],
)
def test_bad_input(settings, message):
    table = pd.DataFrame({"a": ["x", "y"], "b": ["u", "v"], "c": ["s", "t"]}).assign(**settings.pop("table", {}))
    with pytest.raises((nm.NetworkError, nm.DataError), match=message):
        nm.BayesianNetwork(**settings).fit(table)


def test_known_tables_with_a_state_twice_are_refused():
    with pytest.raises(nm.NetworkError, match="node 'a' has the state 'yes' more than once"):
        nm.BayesianNetwork.from_tables({"a": []}, {"a": [0.5, 0.5]}, {"a": ["yes", "yes"]})


def test_columns_of_many_values_are_refused():
    frame = pd.DataFrame({"a": ["x", "y"] * 150, "weight": np.linspace(50, 90, 300)})
    message = r"column 'weight' has 300 different values, more than the 200 that .*: leave it out, or put classes in"
    with pytest.raises(nm.DataError, match=message):
        nm.BayesianNetwork({"a": [], "weight": ["a"]}).fit(frame)


def test_the_findings_that_exclude_each_other_are_named(monkeypatch):
    bn = asia()
    with pytest.raises(nm.NetworkError, match=r"the evidence \(tub='yes', either='no'\) has probability 0"):
        bn.query(evidence={"smoke": "yes", "tub": "yes", "either": "no", "dysp": "yes"})
    monkeypatch.setattr(network_conflicts, "_MOST_ENTRIES", 0)  # one table excludes them: no sums are needed
    with pytest.raises(nm.NetworkError, match=r"the evidence \(tub='yes', either='no'\) has probability 0"):
        bn.query(evidence={"smoke": "yes", "tub": "yes", "either": "no", "dysp": "yes"})
    monkeypatch.undo()
    chain = nm.BayesianNetwork.from_tables(
        {"a": [], "b": ["a"], "c": ["b"], "d": ["c"]},
        {"a": [0.5, 0.5], "b": np.eye(2), "c": np.eye(2), "d": [[0.5, 0.5]] * 2},
        dict.fromkeys("abcd", (0, 1)),
    )
    frame = pd.DataFrame({"a": [1, 0, 0], "c": [1, 0, 1], "d": [1, 1, 1]})
    with pytest.raises(nm.NetworkError, match=r"row 2 \(a=0, c=1\) has probability 0"):
        chain.posterior(frame)
    with pytest.raises(nm.NetworkError, match=r"the evidence \(a=0, soft evidence on 'b'\) has probability 0"):
        chain.query(["d"], {"a": 0}, soft_evidence={"b": [0, 1]})
    fixed = nm.BayesianNetwork({"a": [], "c": ["a"], "d": ["c"]}, fixed={"c": np.eye(2)}, states={"d": (0, 1)})
    doubled = pd.concat([frame[:2]] * 20 + [frame[2:]] * 2, ignore_index=True)
    with pytest.raises(nm.DataError, match=r"row 40 \(a=0, c=1\) is impossible under the fixed tables"):
        fixed.fit(doubled)


def test_bad_questions():
    bn = asia()
    with pytest.raises(nm.NetworkError, match="no node 'cough': the network has asia, tub"):
        bn.query(["cough"])
    with pytest.raises(nm.NetworkError, match="evidence='dysp': pass a mapping from nodes to states"):
        bn.query(evidence="dysp")
    assert bn.query("smoke") == bn.query(["smoke"])
    with pytest.raises(nm.NetworkError, match="node 'dysp' has no state 'maybe': it has 'yes', 'no'"):
        bn.query(evidence={"dysp": "maybe"})
    with pytest.raises(nm.NetworkError, match=r"tub='yes', either='no'\) has probability 0"):
        bn.query(evidence={"tub": "yes", "either": "no"})
    frame = bn.sample(3, random_state=0).to_pandas()
    frame.loc[1, ["tub", "either"]] = ["yes", "no"]
    with pytest.raises(nm.NetworkError, match=r"row 1 \("):
        bn.posterior(frame)
    assert bn.score_samples(frame)[1] == -np.inf
    with pytest.raises(nm.ColumnMismatchError, match="column 'age' is no node"):
        bn.posterior(frame.assign(age=1))


def test_a_network_too_large_for_exact_answers_names_its_clique():
    names = [f"n{i}" for i in range(30)]
    frame = pd.DataFrame(np.random.default_rng(0).integers(2, size=(50, 31)), columns=[*names, "all"])
    with pytest.raises(nm.NetworkError, match=r"a table of .* entries for one row, over .*n0.*: more than"):
        nm.BayesianNetwork({name: [] for name in names} | {"all": names[:25]}).fit(frame)


def test_a_node_with_hundreds_of_children_does_not_underflow():
    """log Σ_r p(r) Π_i p(c_i | r) of 400 children with ten states each, summed in logarithms; soft evidence alike."""
    rng = np.random.default_rng(0)
    children = [f"c{i}" for i in range(400)]
    tables = {"r": [0.5, 0.5]} | {name: rng.dirichlet(np.full(10, 5.0), size=2) for name in children}
    states = {"r": ("a", "b")} | dict.fromkeys(children, tuple(range(10)))
    bn = nm.BayesianNetwork.from_tables({"r": []} | {name: ["r"] for name in children}, tables, states)
    row = rng.integers(10, size=400)
    by_hand = np.logaddexp.reduce(
        np.log(0.5) + sum(np.log(tables[name][:, state]) for name, state in zip(children, row, strict=True))
    )
    frame = pd.DataFrame([row], columns=children)
    assert by_hand < -800
    assert bn.score_samples(frame)[0] == pytest.approx(by_hand, rel=1e-12)
    np.testing.assert_array_equal(bn.impute(frame)[children], frame)
    soft = {name: np.where(np.arange(10) == 3, 1e-80, 1e-90) for name in children[:8]}
    assert sum(bn.query(["r"], soft_evidence=soft)["r"].values()) == pytest.approx(1.0)
    fitted = nm.BayesianNetwork(
        {"r": []} | {name: ["r"] for name in children}, hidden={"r": 2}, n_init=1, random_state=0
    )
    drawn = rng.integers(10, size=(60, 400))
    drawn[:10] = np.arange(10)[:, None]  # every state occurs
    assert fitted.fit(pd.DataFrame(drawn, columns=children)).status_ is Status.CONVERGED


def test_what_is_said_of_tied_nodes_holds_for_all_of_them():
    frame = pd.DataFrame(np.random.default_rng(0).choice(["x", "y"], (200, 3)), columns=list("abd"))
    structure = {"a": [], "b": [], "d": []}
    for tied in ([("a", "b")], [("b", "a")]):
        fixed = nm.BayesianNetwork(structure, tied=tied, fixed={"b": [0.9, 0.1]}).fit(frame)
        np.testing.assert_array_equal(fixed.tables_["a"], [0.9, 0.1])
        prior = nm.BayesianNetwork(structure, tied=tied, prior={"b": [1e9, 1e9]}).fit(frame)
        np.testing.assert_allclose(prior.tables_["a"], [0.5, 0.5], atol=1e-6)
    chain = nm.BayesianNetwork(structure, tied=[("a", "b"), ("b", "d")]).fit(frame)
    np.testing.assert_array_equal(chain.tables_["a"], chain.tables_["d"])
    with pytest.raises(nm.NetworkError, match="says different things of the tied nodes"):
        nm.BayesianNetwork(structure, tied=[("a", "b")], prior={"a": 1.0, "b": 2.0}).fit(frame)
    with pytest.raises(nm.NetworkError, match="prior names 'z', which is no node"):
        nm.BayesianNetwork(structure, prior={"z": 1.0}).fit(frame)


def test_an_impossible_row_of_weight_0_takes_no_part():
    bn = nm.BayesianNetwork.from_tables(
        {"a": [], "c": ["a"]}, {"a": [1.0, 0.0], "c": [[0.5, 0.5], [0.1, 0.9]]}, {"a": ("x", "y"), "c": ("p", "q")}
    )
    frame = pd.DataFrame({"a": ["x", "y"], "c": ["p", "q"]})
    assert bn.log_likelihood(frame, sample_weight=[1, 0]) == pytest.approx(np.log(0.5))
    assert bn.score(frame, sample_weight=[2, 0]) == pytest.approx(np.log(0.5))
    assert bn.log_likelihood(frame) == -np.inf


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda bn: bn.joint(["lung", "lung"]), "each named once"),
        (lambda bn: bn.joint([]), "at least one"),
        (lambda bn: bn.query(soft_evidence={"lung": [np.inf, 1]}), "soft evidence on 'lung' must be"),
        (lambda bn: bn.query(soft_evidence={"lung": "yes"}), "soft evidence on 'lung' must be"),
        (lambda bn: bn.from_tables({"a": []}, {}, {"a": (0, 1)}), "node 'a' has no table"),
        (lambda bn: bn.from_tables({"a": ["b"]}, {"a": [[1, 0]]}, {"a": (0, 1)}), "'b' is a parent, but no node"),
    ],
)
def test_bad_questions_are_named(ask, message):
    with pytest.raises(nm.NetworkError, match=message):
        ask(asia())
