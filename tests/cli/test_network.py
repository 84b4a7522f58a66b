"""Bayesian networks from a shell: edges in every form, questions, tables in the spelling of the states."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

import noumena
from noumena.cli.edges import edges_from
from noumena.cli.network import spelled, state_meant
from noumena.cli.options import hidden_nodes, prior
from noumena.estimators import network_size
from noumena.models import elimination

from .test_cli import refused, run

EDGES = "rain->sprinkler,rain->grass,sprinkler->grass"


@pytest.fixture(scope="module")
def network() -> noumena.BayesianNetwork:
    """States whose names a CSV file's reader takes for truth values and numbers."""
    return noumena.BayesianNetwork.from_tables(
        {"rain": [], "sprinkler": ["rain"], "grass": ["rain", "sprinkler"]},
        {
            "rain": [0.3, 0.7],
            "sprinkler": [[0.1, 0.9], [0.5, 0.5]],
            "grass": [[[0.9, 0.08, 0.02], [0.7, 0.2, 0.1]], [[0.2, 0.5, 0.3], [0.05, 0.05, 0.9]]],
        },
        {"rain": ("TRUE", "FALSE"), "sprinkler": ("on", "off"), "grass": ("2", "1", "0")},
    )


@pytest.fixture(scope="module")
def there(network: noumena.BayesianNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network as a BIF file, a table drawn from it with missing cells and columns that are no nodes."""
    folder = tmp_path_factory.mktemp("network")
    network.to_bif(folder / "net.bif")
    rows = network.sample(500, random_state=0).to_pandas()
    holes = np.random.default_rng(1).random(rows.shape) < 0.1
    rows = rows.mask(holes)
    rows["w"] = 1.0 + np.arange(500) % 2
    rows["remark"] = [f"day {i}" for i in range(500)]
    rows.to_csv(folder / "days.csv", index=False)
    return folder


@pytest.fixture(autouse=True)
def _here(there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def days(there: Path) -> Path:
    return there / "days.csv"


@pytest.fixture(scope="module")
def bif(there: Path) -> Path:
    return there / "net.bif"


@pytest.fixture(scope="module")
def model(there: Path, days: Path, bif: Path) -> Path:
    out = there / "m.noumena"
    run("fit", days, "--model", "network", "--structure", bif, "--prior", "1", "--out", out)
    return out


@pytest.fixture(scope="module")
def frame(days: Path) -> pd.DataFrame:
    return pd.read_csv(days, dtype=str)[["rain", "sprinkler", "grass"]]


def fit(table: Path, *args: object) -> str:
    return run("fit", table, "--model", "network", "--out", "m.noumena", "--force", *args).stdout


# ------------------------------------------------------------------------------------------------------------------ fit


def test_the_stored_model_is_what_the_library_makes_of_the_table(model, frame, network):
    stored = noumena.load(model)
    direct = noumena.BayesianNetwork(network.parents_, states=network.states_, prior=1.0, random_state=0).fit(frame)
    assert stored.states_ == network.states_
    assert {k: v for k, v in stored.parents_.items() if v} == {k: v for k, v in network.parents_.items() if v}
    for node, table in direct.tables_.items():
        np.testing.assert_allclose(stored.tables_[node], table, rtol=1e-12)


def test_the_summary_tells_the_edges_the_figures_and_the_marginals(days, model, frame):
    printed = run("fit", days, "--model", "network", "--structure", EDGES, "--out", "m.noumena")
    assert "note: left out, for the structure has no such node: w, remark" in printed.stderr
    said = printed.stdout
    assert "network of 3 nodes and 3 edges\n" in said
    assert "rows            500\n" in said
    assert set(re.findall(r"\w+ -> \w+", said)) == {edge.replace("->", " -> ") for edge in EDGES.split(",")}
    stored = noumena.load("m.noumena")
    assert f"log likelihood  {stored.log_likelihood_:.4f} (exact, nats)" in said
    # 1 + 2 · 1 + 4 · 2 free probabilities
    assert f"BIC             {-2 * stored.log_likelihood_ + 11 * np.log(500):.4f} (lower is better; 11 par" in said
    for state, chance in stored.query(["grass"])["grass"].items():
        assert re.search(rf"\b{state} +{chance:.6f}\n", said)


def test_edges_may_be_a_table_or_learned(days, there):
    (there / "edges.csv").write_text("parent,child\nrain,grass\nsprinkler,grass\nrain,sprinkler\n")
    fit(days, "--structure", there / "edges.csv")
    told = noumena.load("m.noumena")
    fit(days, "--structure", EDGES)
    said = noumena.load("m.noumena")
    assert told.log_likelihood_ == pytest.approx(said.log_likelihood_, rel=1e-12)
    args = ("--columns", "rain,sprinkler,grass", "--out", "x.noumena", "--structure")
    assert "use --structure structural-em" in refused("fit", days, "--model", "network", *args, "hill-climbing")
    assert "learned by structural-em" in fit(days, *args[:2], "--structure", "structural-em")
    learned = noumena.load("m.noumena")
    assert sum(map(len, learned.parents_.values())) >= 2
    assert edges_from("a->c, b→c,d").structure == {"a": [], "c": ["a", "b"], "b": [], "d": []}
    assert edges_from("a->b->c").structure == {"a": [], "b": ["a"], "c": ["b"]}
    parquet.write_table(pa.table({"from": ["a", "b", "d"], "to": ["c", "c", None]}), there / "edges.parquet")
    assert edges_from(str(there / "edges.parquet")).structure == {"a": [], "c": ["a", "b"], "b": [], "d": []}


def test_a_node_may_be_hidden_with_the_states_that_are_said_or_known(days, bif, there):
    said = fit(days, "--structure", "h->rain,h->sprinkler,h->grass", "--hidden", "h=3", "--n-init", "2", "--seed", "1")
    assert "never observed  h (3 states)" in said
    stored = noumena.load("m.noumena")
    assert (stored.states_["h"], stored.hidden, stored.n_init) == ((0, 1, 2), {"h": 3}, 2)
    said = fit(days, "--structure", bif, "--hidden", "rain", "--drop", "rain", "--n-init", "2", "--prior", "0.5")
    assert noumena.load("m.noumena").states_["rain"] == ("TRUE", "FALSE")
    assert "rain" not in run("sample", "m.noumena", "--rows", "3").stdout
    run("score", "m.noumena", days)  # which has a column of that name


def test_weights_count_rows(days):
    fit(days, "--structure", EDGES, "--weights", "w")
    stored = noumena.load("m.noumena")
    twice = pd.read_csv(days, dtype=str)
    twice = pd.concat([twice, twice[twice["w"] == "2.0"]])[["rain", "sprinkler", "grass"]]
    # sums in another order, of 750 terms
    assert stored.log_likelihood_ == pytest.approx(stored.log_likelihood(spelled_frame(twice, stored)), rel=1e-10)


def spelled_frame(frame: pd.DataFrame, stored: noumena.BayesianNetwork) -> pa.Table:
    return spelled(pa.Table.from_pandas(frame, preserve_index=False), stored.states_)


# -------------------------------------------------------------------------------------------------------------- answers


def test_query_prints_marginals(model):
    stored = noumena.load(model)
    said = run("query", model, "--evidence", "grass=2,rain=true", "--nodes", "sprinkler").stdout
    chance = stored.probability({"grass": "2", "rain": "TRUE"})
    assert said.startswith(f"given grass = 2, rain = TRUE, of probability {chance:.6g}\n")
    found = dict(re.findall(r"(on|off) +([\d.]+)$", said, re.MULTILINE))
    wanted = stored.query(["sprinkler"], {"grass": "2", "rain": "TRUE"})["sprinkler"]
    assert found == {state: f"{p:.6f}" for state, p in wanted.items()}
    assert "rain" not in run("query", model, "--evidence", "rain=TRUE").stdout.split("\n\n")[1]
    assert run("query", model).stdout.count("\n") == 1 + 7


def test_marginals_out_of_reach_do_not_end_a_fit(monkeypatch):
    """A 3 × 3 grid: two cliques of four nodes, which complete rows do not join."""
    monkeypatch.setattr(network_size, "MOST_ENTRIES", 8)
    monkeypatch.setattr(elimination, "_MOST_JOINED", 8)
    cells = np.random.default_rng(0).integers(2, size=(60, 9))
    pd.DataFrame(cells, columns=list("abcdefghi")).to_csv("grid.csv", index=False)
    edges = "a->b->c,d->e->f,g->h->i,a->d->g,b->e->h,c->f->i"
    said = run("fit", "grid.csv", "--model", "network", "--structure", edges, "--out", "grid.noumena").stdout
    assert "log likelihood" in said
    assert "marginals are out of reach" in said
    assert "exact answers need a table of 16 entries" in refused("query", "grid.noumena")
    assert "exact answers need a table of 16 entries" in refused("report", "grid.noumena", "grid.csv")


def test_query_answers_approximately_where_it_is_asked_to(bif, network):
    """Rain, sprinkler and grass are joined by two paths: loopy propagation is approximate, and says so."""
    bound = network.lower_bound({"grass": "2"})
    assert bound < np.log(network.probability({"grass": "2"}))
    for method, of_evidence in (("loopy", ""), ("mean-field", f", of log probability {bound:.6g} nats at least")):
        result = run("query", bif, "--evidence", "grass=2", "--nodes", "rain", "--method", method)
        assert result.stdout.startswith(f"given grass = 2{of_evidence}\n")
        assert "warning: " + method.replace("-", " ") in result.stderr
        with pytest.warns(noumena.NoumenaWarning):
            wanted = network.query(["rain"], {"grass": "2"}, method=method)["rain"]
        found = dict(re.findall(r"(TRUE|FALSE) +([\d.]+)$", result.stdout, re.MULTILINE))
        assert found == {state: f"{p:.6f}" for state, p in wanted.items()}
    assert "'exact', 'loopy', 'mean-field'" in run("query", bif, "--method", "sampling", code=2).stderr


def test_query_answers_of_bif_files_and_writes_tables(bif, network):
    run("query", bif, "--evidence", "grass=0", "--evidence", "rain=FALSE", "--out", "q.csv")
    table = pd.read_csv("q.csv")
    assert list(table.columns) == ["node", "state", "probability"]
    wanted = network.query(["sprinkler"], {"grass": "0", "rain": "FALSE"})["sprinkler"]
    assert dict(zip(table["state"], table["probability"], strict=True)) == wanted


def test_predict_says_the_target_given_the_other_cells(model, days, frame):
    stored = noumena.load(model)
    run("predict", model, days, "--target", "grass", "--probabilities", "--out", "p.csv")
    found = pd.read_csv("p.csv", dtype={"grass": str})
    assert list(found.columns) == ["grass", "probability_2", "probability_1", "probability_0"]
    np.testing.assert_allclose(found.iloc[:, 1:], stored.predict_proba(frame, "grass"), rtol=1e-12)
    assert (found["grass"] == stored.predict(frame, "grass")).all()


def test_impute_fills_nodes_and_leaves_the_rest(model, days, frame):
    run("impute", model, days, "--out", "filled.csv")
    found = pd.read_csv("filled.csv", dtype=str)
    assert list(found.columns) == ["rain", "sprinkler", "grass", "w", "remark"]
    whole = pd.read_csv(days, dtype=str)
    wanted = noumena.load(model).impute(frame)
    for name in frame:
        assert found[name].tolist() == wanted[name].tolist()
        assert (found[name] == whole[name])[whole[name].notna()].all()
    assert found["remark"].equals(whole["remark"])
    run("impute", model, days, "--draws", 3, "--seed", 5, "--out", "draws.csv")
    draws = pd.read_csv("draws.csv", dtype=str)
    assert len(draws) == 1500
    assert draws["draw"].unique().tolist() == ["1", "2", "3"]
    assert not draws[["rain", "sprinkler", "grass"]].isna().any(axis=None)
    first, second = (draws[draws["draw"] == i]["grass"].to_numpy() for i in ("1", "2"))
    assert (first[frame["grass"].isna()] != second[frame["grass"].isna()]).any()


def test_score_and_sample(model, days, frame, bif):
    stored = noumena.load(model)
    said = run("score", model, days).stdout
    assert f"log likelihood          {stored.log_likelihood(frame):.6f}  (exact, nats)" in said
    assert f"BIC                     {stored.bic(frame):.6f}" in said
    run("score", model, days, "--rows", "--out", "s.csv")
    np.testing.assert_allclose(pd.read_csv("s.csv")["log_likelihood"], stored.score_samples(frame), rtol=1e-12)
    run("sample", model, "--rows", 50, "--seed", 3, "--out", "new.csv")
    new = pd.read_csv("new.csv", dtype=str)
    assert new["rain"].tolist() == stored.sample(50, random_state=3)["rain"].to_pylist()
    assert len(run("sample", bif, "--rows", 5).stdout.splitlines()) == 6


def test_reports_are_written_at_the_fit_and_after_it(model, days):
    run("fit", days, "--model", "network", "--structure", EDGES, "--out", "m.noumena", "--report", "r.html")
    assert "Bayesian network of 3 nodes and 3 edges, 500 rows" in Path("r.html").read_text(encoding="utf-8")
    run("report", model, days, "--title", "Wet grass", "--out", "again.html")
    text = Path("again.html").read_text(encoding="utf-8")
    assert "<title>Wet grass</title>" in text
    assert "These are not the rows" not in text


# ------------------------------------------------------------------------------------------------------------- spelling


def test_states_are_found_in_other_spellings():
    assert state_meant(("TRUE", "FALSE"), True) == "TRUE"
    assert state_meant((True, False), "false") is False
    assert state_meant(("1", "2"), 1.0) == "1"
    assert state_meant(("a", "A"), "A") == "A"
    assert state_meant(("a", "A"), "á") is None
    assert state_meant(("Yes", "YES"), "yes") is None  # which of them?
    table = spelled(pa.table({"x": [True, None, False], "y": [1, 0, None], "z": ["u", "v", "w"]}),
                    {"x": ("TRUE", "FALSE"), "y": (True, False), "z": ("u", "v")})  # fmt: skip
    assert table["x"].to_pylist() == ["TRUE", None, "FALSE"]
    assert table["y"].to_pylist() == [1, 0, None]  # no spelling of a truth value
    assert table["z"].to_pylist() == ["u", "v", "w"]


def test_words_are_read_into_values():
    assert hidden_nodes(["h=3,g=2", "k"]) == {"h": 3, "g": 2, "k": None}
    assert (prior("none"), prior("default"), prior("2")) == (None, "default", 2.0)


# --------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "'--structure': a network needs its edges"),
        (("--structure", "a->"), "'--structure': 'a->' is no edge"),
        (("--structure", ","), "'--structure': it names no node"),
        (("--structure", EDGES, "--hidden", "h"), "'--hidden': how many states 'h' has is not known"),
        (("--structure", EDGES, "--hidden", "h=many"), "'--hidden': 'h=many': write NODE=NUMBER"),
        (("--structure", EDGES, "--prior", "default"), "'--prior': the prior of a network is a count"),
        (("--structure", EDGES, "--prior", "-1"), "'--prior': '-1' is neither default nor none"),
        (("--structure", EDGES, "--components", "3"), "'--components': a network has none"),
        (("--structure", EDGES, "--covariance", "EII"), "'--covariance': network has none"),
    ],
)
def test_wrong_usage_is_refused(args, message, days):
    result = run("fit", days, "--model", "network", *args, code=2)
    assert message in " ".join(result.stderr.split())


def test_options_of_networks_are_refused_elsewhere(days, model, fitted_mixture):
    for args in (("--structure", EDGES), ("--hidden", "h=2"), ("--prior", "2")):
        result = run("fit", days, "--model", "latent-class", *args, code=2)
        assert f"'{args[0]}'" in result.stderr
    assert "it is for networks" in " ".join(
        run("predict", fitted_mixture, days, "--target", "x", code=2).stderr.split()
    )
    assert "questions are for Bayesian networks" in refused("query", fitted_mixture)
    assert "name the node to predict" in " ".join(run("predict", model, days, code=2).stderr.split())
    assert "has no node 'snow'" in " ".join(run("predict", model, days, "--target", "snow", code=2).stderr.split())


@pytest.fixture
def fitted_mixture(days: Path) -> Path:
    run("fit", days, "--model", "latent-class", "--components", "1", "--out", "lca.noumena")
    return Path("lca.noumena")


def test_errors_say_what_to_do(days, model, there):
    base = ("fit", days, "--model", "network", "--out", "x.noumena", "--structure")
    assert "has no column 'snow', which the structure has" in refused(*base, EDGES + ",snow->grass")
    assert "--hidden snow=2" in refused(*base, EDGES + ",snow->grass")
    assert "leave it out with --drop rain" in refused(*base, EDGES, "--hidden", "rain=2")
    assert "has a cycle: " in refused(*base, "rain->grass,grass->rain")
    (there / "broken.bif").write_text("variable x {\n  type discrete [ 2 ] { a };\n}")
    assert "broken.bif, line 2, column 19: " in refused(*base, there / "broken.bif")
    (there / "one.csv").write_text("parent\na\n")
    assert "a table of edges has two" in refused(*base, there / "one.csv")
    assert "no node 'snow': the network has rain" in refused("query", model, "--evidence", "snow=yes")
    assert "node 'rain' has no state 'much': it has 'TRUE', 'FALSE'" in refused(
        "query", model, "--evidence", "rain=much"
    )
    assert "write NODE=STATE" in run("query", model, "--evidence", "rain", code=2).stderr
    (there / "other.csv").write_text("a,b\n1,2\n")
    assert "has no column of the network's nodes" in refused("score", model, there / "other.csv")
