"""Learned structures against enumeration, known networks and the score they claim."""

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mutual_info_score

import noumena as nm
from conftest import real_path
from noumena.models.dependence_tree import maximum_spanning_tree, mutual_information
from noumena.models.family_scores import FamilyScores

#: p(node | parents) of ASIA (Lauritzen & Spiegelhalter 1988, JRSS B 50:157), states no, yes.
ASIA = {"A": (), "S": (), "T": ("A",), "L": ("S",), "B": ("S",), "E": ("T", "L"), "X": ("E",), "D": ("B", "E")}
P_YES = {
    "A": 0.01,
    "S": 0.5,
    "T": [0.01, 0.05],
    "L": [0.01, 0.1],
    "B": [0.3, 0.6],
    "E": [[0.0, 1.0], [1.0, 1.0]],
    "X": [0.05, 0.98],
    "D": [[0.1, 0.7], [0.8, 0.9]],
}
#: A network of five nodes with strong edges: two causes of c, which has two effects.
PARENTS = {"a": (), "b": (), "c": ("a", "b"), "d": ("c",), "e": ("c",)}
TABLES = {
    "a": [0.4, 0.6],
    "b": [0.3, 0.3, 0.4],
    "c": [[[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], [[0.3, 0.7], [0.1, 0.9], [0.8, 0.2]]],
    "d": [[0.8, 0.2], [0.25, 0.75]],
    "e": [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]],
}


def asia(n, seed):
    tables = {name: np.stack([1 - np.array(p), np.array(p)], axis=-1) for name, p in P_YES.items()}
    states = dict.fromkeys(ASIA, ("no", "yes"))
    return nm.BayesianNetwork.from_tables(ASIA, tables, states).sample(n, random_state=seed).to_pandas()


def five(n, seed, missing=0.0):
    states = {name: tuple("uvw"[: np.shape(table)[-1]]) for name, table in TABLES.items()}
    rows = nm.BayesianNetwork.from_tables(PARENTS, TABLES, states).sample(n, random_state=seed).to_pandas()
    return rows.mask(np.random.default_rng(seed).random(rows.shape) < missing)


def pattern(parents):
    """What equivalent graphs share: joined pairs, and unjoined parents of a common child (Verma & Pearl 1990)."""
    joined = {frozenset(edge) for edge in ((p, c) for c, own in parents.items() for p in own)}
    colliders = {
        (frozenset(pair), child)
        for child, own in parents.items()
        for pair in combinations(own, 2)
        if frozenset(pair) not in joined
    }
    return joined, colliders


def coded(frame):
    return np.stack([np.unique(frame[name], return_inverse=True)[1] for name in frame], axis=1).astype(float)


def test_mutual_information_is_that_of_the_rows_that_show_both():
    frame = five(400, 1, missing=0.2)
    x = np.stack([frame[name].map({"u": 0, "v": 1, "w": 2}) for name in frame], axis=1).astype(float)
    found = mutual_information(x, [2, 3, 2, 2, 3], np.ones(400))
    for a, b in combinations(range(5), 2):
        both = ~np.isnan(x[:, a]) & ~np.isnan(x[:, b])
        np.testing.assert_allclose(found[a, b], mutual_info_score(x[both, a], x[both, b]), atol=1e-12)
    doubled = mutual_information(np.concatenate([x, x[:100]]), [2, 3, 2, 2, 3], np.ones(500))
    weighted = mutual_information(x, [2, 3, 2, 2, 3], np.where(np.arange(400) < 100, 2.0, 1.0))
    np.testing.assert_allclose(weighted, doubled, atol=1e-12)


def trees(n):
    """All trees of n nodes, by their Prüfer sequences."""
    for code in product(range(n), repeat=n - 2):
        degree = [1 + code.count(v) for v in range(n)]
        edges = []
        for v in code:
            leaf = degree.index(1)
            edges.append((leaf, v))
            degree[leaf] -= 1
            degree[v] -= 1
        edges.append(tuple(v for v in range(n) if degree[v] == 1))
        yield edges


@pytest.mark.parametrize("n", [4, 5])
def test_no_tree_has_more_likelihood_than_that_of_chow_and_liu(n):
    """All 16 trees of four and 125 of five nodes (Cayley), by networks fitted to complete rows."""
    rows = five(200, 7).iloc[:, :n]
    names = list(rows)
    learned = nm.learn_structure(rows, "chow-liu", root="c")
    assert learned.parents["c"] == ()
    scores = FamilyScores(coded(rows), [rows[name].nunique() for name in rows], np.ones(len(rows)), 1.0)  # log 1 = 0
    best, count = -np.inf, 0
    for edges in trees(n):
        parents: list[list[int]] = [[] for _ in names]
        reached, left = {0}, list(edges)
        while left:
            edge = next(edge for edge in left if reached & {*edge})
            left.remove(edge)
            old, new = edge if edge[0] in reached else edge[::-1]
            parents[new] = [old]
            reached.add(new)
        best, count = max(best, sum(scores(v, frozenset(own)) for v, own in enumerate(parents))), count + 1
    assert count == n ** (n - 2)
    fitted = nm.BayesianNetwork(learned.parents).fit(rows)
    np.testing.assert_allclose(fitted.log_likelihood_, best, rtol=1e-10)
    # ℓ of a tree is n (Σ I − Σ H)
    entropy = sum(mutual_info_score(rows[name], rows[name]) for name in names)
    np.testing.assert_allclose(fitted.log_likelihood_, len(rows) * (learned.score - entropy), rtol=1e-10)


def test_a_tree_keeps_what_is_required_and_forbidden_of_it():
    rows = five(300, 3)
    learned = nm.learn_structure(rows, "chow-liu", required=[("a", "e")], forbidden=[("c", "d"), ("d", "e")], root="b")
    joined = pattern(learned.parents)[0]
    assert len(joined) == 4
    assert frozenset("ae") in joined
    assert not joined & {frozenset("cd"), frozenset("de")}
    with pytest.raises(nm.NetworkError, match="circle"):
        nm.learn_structure(rows, "chow-liu", required=[("a", "b"), ("b", "c"), ("a", "c")])
    apart = ~np.eye(3, dtype=bool)
    assert maximum_spanning_tree(np.ones((3, 3)), np.zeros((3, 3), bool), apart) == []


def test_hill_climbing_finds_the_network_up_to_equivalence_and_tells_its_bic():
    rows = five(5000, 2)
    learned = nm.learn_structure(rows, random_state=0)
    assert pattern(learned.parents) == pattern(PARENTS)
    np.testing.assert_allclose(learned.score, nm.BayesianNetwork(learned.parents).fit(rows).bic(rows), rtol=1e-10)
    assert learned.trace[-1] == pytest.approx(learned.score, rel=1e-12)
    assert learned.trace[0] == pytest.approx(nm.BayesianNetwork().fit(rows).bic(rows), rel=1e-10)
    assert len(learned.trace) == learned.moves.num_rows + 1
    assert nm.BayesianNetwork("hill-climbing", random_state=0).fit(rows).parents_ == {
        name: tuple(own) for name, own in learned.parents.items()
    }


def test_hill_climbing_finds_asia():
    """But for A → T, which 20,000 rows hardly show (BIC of ASIA itself is the bar)."""
    rows = asia(20_000, 4)
    learned = nm.learn_structure(rows, random_state=0)
    assert learned.score <= nm.BayesianNetwork(ASIA).fit(rows).bic(rows) + 1e-6
    found, true = pattern(learned.parents)[0], pattern(ASIA)[0]
    assert true - found <= {frozenset("AT")}


def test_no_graph_of_four_nodes_is_better_than_the_one_climbed_to():
    """All 543 directed acyclic graphs of four nodes (Robinson 1973)."""
    rows = five(150, 11).drop(columns="e")
    scores = FamilyScores(coded(rows), [2, 3, 2, 2], np.ones(len(rows)), float(len(rows)))
    best, count = np.inf, 0
    families = [
        [frozenset(own) for k in range(4) for own in combinations(sorted({0, 1, 2, 3} - {v}), k)] for v in range(4)
    ]
    for graph in product(*families):
        left = {0, 1, 2, 3}
        while free := {v for v in left if not graph[v] & left}:
            left -= free
        if not left:
            count += 1
            best = min(best, -2 * sum(scores(v, own) for v, own in enumerate(graph)))
    assert count == 543
    assert nm.learn_structure(rows, random_state=0).score == pytest.approx(best, rel=1e-12)


def test_weights_are_rows():
    rows = five(200, 5)
    weight = np.random.default_rng(0).integers(0, 4, len(rows)).astype(float)
    one = nm.learn_structure(rows, sample_weight=weight, random_state=0)
    other = nm.learn_structure(rows.loc[rows.index.repeat(weight.astype(int))], random_state=0)
    assert one.score == pytest.approx(other.score, rel=1e-12)


def test_wide_tables_are_counted_by_what_occurs():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 120, (500, 4)).astype(float)
    scores = FamilyScores(x, [120] * 4, np.ones(500), 500.0)
    _, pairs = np.unique(x[:, 1:], axis=0, return_counts=True)
    _, all_four = np.unique(x, axis=0, return_counts=True)
    expected = np.sum(all_four * np.log(all_four)) - np.sum(pairs * np.log(pairs)) - 0.5 * np.log(500) * 119 * 120**3
    assert scores(0, frozenset({1, 2, 3})) == pytest.approx(expected, rel=1e-12)


def test_required_forbidden_and_the_most_parents_are_kept():
    rows = five(2000, 6)
    learned = nm.learn_structure(
        rows, required=[("d", "a")], forbidden=[("a", "c"), ("c", "a"), ("c", "e")], max_parents=1, random_state=0
    )
    assert "d" in learned.parents["a"]
    assert not {("a", "c"), ("c", "a"), ("c", "e")} & {*learned.edges}
    assert max(map(len, learned.parents.values())) == 1
    assert nm.learn_structure(rows, max_parents=0).edges == []


@pytest.mark.parametrize("missing", [0.1, 0.3])
def test_structural_em_never_raises_bic_and_finds_the_network(missing):
    rows = five(3000, 8, missing)
    learned = nm.learn_structure(rows, "structural-em", random_state=0)
    assert (np.diff(learned.trace) < 0).all()
    assert learned.score == learned.trace[-1]
    # two fits to within `tol` = 1e-4 nats, of which BIC is twice
    assert learned.score == pytest.approx(nm.BayesianNetwork(learned.parents).fit(rows).bic(rows), abs=4e-4)
    assert pattern(learned.parents) == pattern(PARENTS)


def test_structural_em_of_complete_rows_is_hill_climbing():
    rows = five(500, 9)
    one, other = (nm.learn_structure(rows, method, random_state=0) for method in ("structural-em", "hill-climbing"))
    assert one.score == pytest.approx(other.score, rel=1e-9)


def test_a_hidden_node_keeps_its_edges_and_gets_no_others():
    rows = five(1500, 10, 0.05).drop(columns="c")
    given = [("hid", name) for name in rows]
    learned = nm.learn_structure(rows, "structural-em", hidden={"hid": 2}, required=given, random_state=0)
    assert {edge for edge in learned.edges if "hid" in edge} == {*given}
    assert (np.diff(learned.trace) < 0).all()
    fitted = nm.BayesianNetwork(learned.parents, hidden={"hid": 2}, random_state=0).fit(rows)
    assert fitted.bic(rows) == pytest.approx(learned.score, abs=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "tree"}, "choose among"),
        ({"hidden": {"h": 2}}, "structural-em"),
        ({"root": "a"}, "chow-liu"),
        ({"required": [("a", "z")]}, "'z'"),
        ({"required": ["ab"]}, "pair"),
        ({"required": [("a", "a")]}, "itself"),
        ({"required": [("a", "b"), ("b", "a")]}, "cycle"),
        ({"required": [("a", "b")], "forbidden": [("a", "b")]}, "both required and forbidden"),
        ({"max_parents": -1}, "max_parents"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        nm.learn_structure(five(50, 0), **settings)


def test_missing_cells_are_refused_by_name_where_rows_must_be_complete():
    with pytest.raises(nm.DataError, match=r"'a'.*structural-em"):
        nm.learn_structure(five(50, 0, 0.3))


def test_a_learned_network_is_stored_with_its_structure(tmp_path):
    rows = five(300, 12)
    with pytest.raises(nm.NetworkError, match="hidden"):
        nm.BayesianNetwork("hill-climbing", hidden={"h": 2}).fit(rows)
    with pytest.raises(nm.NetworkError, match="chow-liu"):
        nm.BayesianNetwork("a tree").fit(rows)
    network = nm.BayesianNetwork("chow-liu").fit(rows)
    network.save(tmp_path / "tree.noumena")
    assert nm.load(tmp_path / "tree.noumena").parents_ == network.parents_


def test_the_best_candidate_is_selected_and_all_are_told():
    rows = five(800, 13, 0.1)
    found = nm.select_network(
        nm.BayesianNetwork(), rows, structures={"true": PARENTS, "none": None, "tree": "chow-liu"}, criterion="bic"
    )
    table = found.table_.to_pandas().set_index("structure")
    assert list(table.index) == ["true", "none", "tree"]
    assert table["bic"].idxmin() == "true"
    assert found.estimator_.parents_ == {name: tuple(own) for name, own in PARENTS.items()}
    for name, structure in (("true", PARENTS), ("none", None)):
        fitted = nm.BayesianNetwork(structure).fit(rows)
        assert table.loc[name, "bic"] == pytest.approx(fitted.bic(rows), rel=1e-9)
        assert table.loc[name, "aic"] == pytest.approx(fitted.aic(rows), rel=1e-9)


def test_hidden_states_are_selected_as_latent_classes_are():
    rng = np.random.default_rng(0)
    group = rng.random(500) < 0.4
    rows = pd.DataFrame({f"x{j}": np.where(rng.random(500) < np.where(group, 0.85, 0.2), "y", "n") for j in range(5)})
    network = nm.BayesianNetwork({name: ["h"] for name in rows}, hidden={"h": 2}, random_state=0)
    found = nm.select_network(network, rows, hidden_states=[2, 3])
    table = found.table_.to_pandas()
    assert list(table["states_h"]) == [2, 3]
    classes = nm.LatentClassAnalysis(2, random_state=0).fit(rows)
    assert table["bic"][0] == pytest.approx(classes.bic(rows), abs=1e-3)
    assert len(found.estimator_.states_["h"]) == 2
    with pytest.raises(nm.NetworkError, match="no hidden node"):
        nm.select_network(network, rows, hidden_states={"x0": [2]})
    with pytest.raises(ValueError, match="criterion"):
        nm.select_network(network, rows, criterion="icl")


@pytest.mark.slow
def test_hill_climbing_comes_below_the_bic_of_alarm_itself():
    """437,539.6765 is BIC of ALARM's 46 edges on the package bnlearn's 20,000 rows, from the same family scores."""
    rows = pd.read_csv(real_path("networks/alarm_data.csv.gz"), dtype=str, keep_default_na=False)
    learned = nm.learn_structure(rows, max_parents=4, random_state=0)
    assert learned.score < 437_539.67
