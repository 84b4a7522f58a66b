"""Drawings and the page of Bayesian networks: the layout keeps its promises, the numbers are the network's own."""

import html
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import noumena as nm
from conftest import real_path
from noumena.report import plot
from noumena.report.layers import layered
from noumena.report.network import MOST_STATES, network_plot

from .test_html import read
from .test_plots import words


@pytest.fixture(scope="module")
def sprinkler():
    """Rain and a sprinkler make grass wet; names that HTML and formulas would read."""
    parents = {"rain": [], "$on$": ["rain"], "<b>wet": ["rain", "$on$"]}
    states = {"rain": ("no", "yes"), "$on$": (False, True), "<b>wet": ("dry", "damp", "wet")}
    tables = {
        "rain": [0.8, 0.2],
        "$on$": [[0.6, 0.4], [0.99, 0.01]],
        "<b>wet": [[[1.0, 0.0, 0.0], [0.1, 0.5, 0.4]], [[0.2, 0.3, 0.5], [0.0, 0.1, 0.9]]],
    }
    return nm.BayesianNetwork.from_tables(parents, tables, states)


def chain(n, states=2):
    """A chain of n nodes."""
    parents = {f"v{i}": [f"v{i - 1}"] if i else [] for i in range(n)}
    flat = np.full((states, states), 1 / states)
    tables = {name: flat if own else flat[0] for name, own in parents.items()}
    return nm.BayesianNetwork.from_tables(parents, tables, {name: tuple(range(states)) for name in parents})


# --------------------------------------------------------------------------------------------------------------- layout


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 14))
    parents = [draw(st.lists(st.integers(0, i - 1), unique=True, max_size=4)) if i else [] for i in range(n)]
    names = draw(st.permutations(range(n)))
    turned: list[list[int]] = [[] for _ in range(n)]
    for i, own in enumerate(parents):
        turned[names[i]] = [names[p] for p in own]
    widths = draw(st.lists(st.floats(0.3, 3.0), min_size=n, max_size=n))
    return turned, widths, draw(st.integers(2, 6))


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_parents_stand_above_and_nothing_overlaps(graph):
    parents, widths, most = graph
    n, gap, thin = len(parents), 0.2, 0.1
    layout = layered(parents, widths, gap, thin, most)
    for child, own in enumerate(parents):
        for parent in own:
            assert layout.layer[parent] < layout.layer[child]
            levels = [layout.layer[v] for v in layout.paths[parent, child]]
            assert levels == list(range(levels[0], levels[-1] + 1))  # through every layer on the way
    assert sorted(v for row in layout.order for v in row) == list(range(len(layout.layer)))
    half = np.array([*(w / 2 for w in widths), *([thin / 2] * (len(layout.layer) - n))])
    for level, row in enumerate(layout.order):
        assert {layout.layer[v] for v in row} == {level}
        assert 1 <= sum(v < n for v in row) <= most
        right, left = (layout.x + half)[row][:-1], (layout.x - half)[row][1:]
        assert (left - right >= gap - 1e-9).all()  # sums of a few dozen numbers below 100
    assert (layout.x - half).min() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("n", [2, 7, 15, 31])
def test_trees_have_no_crossings(n):
    layout = layered([[(i - 1) // 2] if i else [] for i in range(n)], [1.0] * n, 0.2, 0.1, 20)
    assert layout.crossings() == 0
    assert len(layout.order) == int(np.log2(n + 1) + 0.999)


def test_what_can_be_untangled_is():
    """Pairs in opposite orders: 15 crossings as they come, none in another order."""
    n = 6
    layout = layered([[] for _ in range(n)] + [[n - 1 - i] for i in range(n)], [1.0] * 2 * n, 0.2, 0.1, 20)
    assert layout.crossings() == 0
    for child in range(n, 2 * n):  # and each stands below its parent
        assert layout.x[child] == pytest.approx(layout.x[2 * n - 1 - child], abs=1e-6)


# -------------------------------------------------------------------------------------------------------------- drawing


def bars(figure) -> list[float]:
    """The lengths of all bars, as shares of their rails."""
    found = [patch for patch in figure.axes[0].patches if type(patch).__name__ == "Rectangle"]
    return [bar.get_width() / rail.get_width() for rail, bar in zip(found[::2], found[1::2], strict=True)]


def test_nodes_show_their_marginals(sprinkler):
    figure = plot(sprinkler)
    wanted = [chance for node in sprinkler.query().values() for chance in node.values()]
    np.testing.assert_allclose(bars(figure), wanted, atol=1e-11)
    said = words(figure).split("\n")
    assert {"rain", "$on$", "<b>wet", "no", "yes", "False", "True", "damp", "80%", "20%"} <= {*said}


def test_evidence_changes_them_and_is_marked(sprinkler):
    figure = plot(sprinkler, evidence={"<b>wet": "wet"})
    marginals = sprinkler.query(evidence={"<b>wet": "wet"})
    np.testing.assert_allclose(bars(figure), [c for node in marginals.values() for c in node.values()], atol=1e-11)
    assert "given <b>wet = wet" in words(figure)
    assert "100%" in words(figure)
    edges = [patch.get_edgecolor() for patch in figure.axes[0].patches if type(patch).__name__ == "FancyBboxPatch"]
    assert edges[0] == edges[1] != edges[2]
    with pytest.raises(nm.NetworkError, match="no state 'drenched'"):
        plot(sprinkler, evidence={"<b>wet": "drenched"})


def test_hidden_nodes_are_marked():
    rows = [["a", "x", "u"], ["a", "x", "v"], ["b", "y", "u"], ["b", "y", "v"]] * 10
    structure = {"x0": ["h"], "x1": ["h"], "x2": ["h"]}
    bn = nm.BayesianNetwork(structure, hidden={"h": 2}, prior=1.0, n_init=1, random_state=0).fit(rows)
    figure = plot(bn)
    dashed = [p.get_linestyle() for p in figure.axes[0].patches if type(p).__name__ == "FancyBboxPatch"]
    assert sum(style != "solid" for style in dashed) == 1
    assert "dashed: never observed" in words(figure)


def test_many_states_share_a_line():
    bn = nm.BayesianNetwork.from_tables({"a": []}, {"a": np.arange(1, 21) / 210}, {"a": tuple(range(20))})
    said = words(network_plot(bn)).split("\n")
    assert "15 others" in said
    assert f"{sum(range(1, 16)) / 210:.0%}" in said
    assert len(bars(network_plot(bn))) == MOST_STATES
    assert {"15", "19"} <= {*said}
    assert "14" not in said


def test_large_networks_have_names_only():
    figure = plot(chain(45))
    assert bars(figure) == []
    assert "45 nodes, 44 edges" in words(figure)
    assert "v44" in words(figure)
    assert len(bars(plot(chain(40)))) == 80
    assert "given v0 = 1" in words(plot(chain(45), evidence={"v0": 1}))
    with pytest.raises(nm.NetworkError, match="no state 2"):
        plot(chain(45), evidence={"v0": 2})


@pytest.mark.parametrize("name", ["asia", "child", "insurance", "alarm", "hailfinder", "win95pts"])
def test_published_networks_are_drawn_without_overlaps(name, tmp_path):
    bn = nm.BayesianNetwork.from_bif(real_path(f"networks/{name}.bif.gz"))
    figure = plot(bn)
    boxes = [p for p in figure.axes[0].patches if type(p).__name__ == "FancyBboxPatch"]
    arrows = [p for p in figure.axes[0].patches if type(p).__name__ == "FancyArrowPatch"]
    assert len(boxes) == len(bn.nodes_)
    assert len(arrows) == sum(map(len, bn.parents_.values()))
    at = np.array([(b.get_x(), b.get_y(), b.get_x() + b.get_width(), b.get_y() + b.get_height()) for b in boxes])
    apart = (at[:, None, :2] >= at[None, :, 2:]).any(axis=2)
    assert (apart | apart.T | np.eye(len(at), dtype=bool)).all()
    assert (at[:, :2] > 0).all()
    assert (at[:, 2:] < figure.get_size_inches()).all()
    figure.savefig(tmp_path / "net.svg")
    assert (tmp_path / "net.svg").read_text().startswith("<?xml")


def test_names_in_any_script_are_drawn_with_the_browsers_font_at_worst(tmp_path):
    bn = nm.BayesianNetwork.from_tables({"天気": []}, {"天気": [0.5, 0.5]}, {"天気": ("雨", "晴れ")})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plot(bn)  # saving it warns where no font has the letters, as matplotlib does
    assert figure.get_size_inches()[0] > 0.5


def test_what_a_network_does_not_take_is_refused(sprinkler):
    with pytest.raises(TypeError, match="a network is drawn without a table"):
        plot(sprinkler, [["no", "True", "dry"]])
    with pytest.raises(nm.NoumenaError, match="plot needs tables: call fit first"):
        plot(nm.BayesianNetwork({"a": []}))
    gm = nm.GaussianMixture(1).fit([[0.0], [1.0], [3.0]])
    with pytest.raises(TypeError, match="evidence is for Bayesian networks, not for a GaussianMixture"):
        plot(gm, [[0.0], [1.0], [3.0]], evidence={"x0": 1})


# ----------------------------------------------------------------------------------------------------------------- page


@pytest.fixture(scope="module")
def days(sprinkler):
    """Rows of the network with missing cells, and the network learned from them."""
    rows = sprinkler.sample(400, random_state=3).to_pandas()
    rows["rain"] = rows["rain"].mask(np.random.default_rng(4).random(400) < 0.2)
    structure = {name: list(own) for name, own in sprinkler.parents_.items()}
    return nm.BayesianNetwork(structure, prior=0.5).fit(rows), rows


def page(tmp_path, bn, rows, **how):
    nm.write_report(bn, rows, tmp_path / "page.html", **how)
    return read(tmp_path / "page.html")


def lines(tmp_path, section):
    """The words of each line of the tables of a section."""
    source = (tmp_path / "page.html").read_text(encoding="utf-8")
    source = source.partition(f'<section id="{section}">')[2].partition("</section>")[0]
    rows = [re.findall(r"<t[hd].*?</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", source, re.DOTALL)]
    return [[html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in row] for row in rows]


def test_the_page_tells_what_the_library_does(days, tmp_path):
    bn, rows = days
    outline = page(tmp_path, bn, rows)
    assert outline.crossed == []
    assert outline.open == []
    assert outline.ids == ["network", "marginals", "tables", "surprising", "data", "fit", "made"]
    assert "Bayesian network of 3 nodes and 3 edges, 400 rows" in outline.text
    for figure in (bn.log_likelihood(rows), bn.bic(rows)):
        assert f"{figure:,.1f}".replace("-", "−") in outline.text
    seen = rows["rain"].value_counts()
    marginals = lines(tmp_path, "marginals")[1:]
    assert [line[:2] for line in marginals[:2]] == [["rain", "no"], ["", "yes"]]
    for line, state in zip(marginals[:2], ("no", "yes"), strict=True):
        assert line[2] == f"{bn.query(['rain'])['rain'][state]:.4f}"
        assert line[4:] == [f"{seen[state] / seen.sum():.4f}", str(seen[state])]
    tables = lines(tmp_path, "tables")
    chances = bn.tables_["<b>wet"][1, 0]
    complete = rows[(rows["rain"] == "yes") & ~rows["$on$"]]
    assert ["yes", "False", *(f"{p:.4f}" for p in chances), str(len(complete))] in tables
    assert "<b>wet" not in (tmp_path / "page.html").read_text()  # a name is no tag


def test_the_most_surprising_rows_come_first(days, tmp_path):
    bn, rows = days
    page(tmp_path, bn, rows)
    told = lines(tmp_path, "surprising")[1:]
    values = bn.score_samples(rows)
    order = np.argsort(values, kind="stable")[:20]
    assert [line[0] for line in told] == [str(row) for row in order]
    assert [line[1] for line in told] == [f"{values[row]:.2f}".replace("-", "−") for row in order]
    first = int(order[0])
    own = {name: rows[name][first] for name in rows if rows[name][first] == rows[name][first]}
    chances = {}
    for name in own:
        others = bn.predict_proba(rows[first : first + 1], name)[0]
        chances[name] = others[bn.states_[name].index(own[name])]
    least = min(chances, key=chances.__getitem__)
    assert told[0][2] == f"{least} = {own[least]}"
    assert float(told[0][3]) == pytest.approx(chances[least], rel=0.06)  # two digits


def test_rows_that_cannot_be_are_said(sprinkler, tmp_path):
    rows = [["no", False, "wet"], ["yes", True, "wet"], ["no", False, "dry"]]
    rows = pd.DataFrame(rows, columns=list(sprinkler.nodes_))
    outline = page(tmp_path, sprinkler, rows, title="Grass")
    assert "1 row (0) cannot occur under the network" in outline.text
    assert "Its tables were given, not learned." in outline.text
    assert "Grass" in outline.text
    assert "fit" not in outline.ids  # nothing was learned
    assert lines(tmp_path, "surprising")[1][1] == "−∞"
    assert "nm.BayesianNetwork.from_bif, from_tables or nm.load" in outline.text


def test_hidden_nodes_unseen_parents_and_other_rows_are_told(tmp_path):
    rows = pd.DataFrame({"a": ["u", "v"] * 20, "b": ["x", "y"] * 20, "c": ["s", "s", "t", "t"] * 10})
    bn = nm.BayesianNetwork(
        {"c": ["a", "b"], "a": ["h"], "b": ["h"]}, hidden={"h": 2}, prior=1.0, n_init=1, random_state=0
    )
    outline = page(tmp_path, bn.fit(rows), rows)
    assert "Never observed: h (2 states)" in outline.text
    assert "2 of 4 combinations of parents’ states stand in no row" in outline.text  # u with y, v with x
    assert [line[1] for line in lines(tmp_path, "marginals") if line[4:] == ["–", "–"]] == ["0", "1"]
    assert "These are not the rows that the network was learned from" not in outline.text
    assert "These are not the rows" in page(tmp_path, bn, rows[:11]).text
    assert "fewer than 5 rows for each" in page(tmp_path, bn, rows[:11]).text


def test_weights_count_as_rows(days, tmp_path):
    bn, rows = days
    weight = 1.0 + np.arange(len(rows)) % 2
    outline = page(tmp_path, bn, rows, sample_weight=weight)
    assert f"{bn.bic(rows, weight):,.1f}".replace("-", "−") in outline.text
    dry = weight[rows["<b>wet"] == "dry"].sum()
    assert next(line for line in lines(tmp_path, "marginals") if line[1] == "dry")[5] == f"{dry:g}"


def test_large_networks_are_told_in_part(tmp_path):
    bn = chain(120)
    outline = page(tmp_path, bn, bn.sample(30, random_state=0))
    assert "20 more nodes are not listed" in outline.text
    assert "60 more tables are in the fitted attributes" in outline.text
    assert "100 more columns are not shown" in outline.text
    wide = nm.BayesianNetwork.from_tables(
        {"a": [], "b": ["a"]},
        {"a": np.full(60, 1 / 60), "b": np.full((60, 15), 1 / 15)},
        {"a": tuple(range(60)), "b": tuple(range(15))},
    )
    outline = page(tmp_path, wide, wide.sample(30, random_state=0))
    assert "20 more combinations" in outline.text
    assert "3 more states are in the fitted attributes" in outline.text
    assert "(the 12 most probable of 60 states)" in outline.text


def test_what_the_page_does_not_take_is_refused(days, tmp_path):
    bn, rows = days
    with pytest.raises(TypeError, match="a BayesianNetwork has no response"):
        nm.write_report(bn, rows, tmp_path / "page.html", y="rain")
    with pytest.raises(TypeError, match="comes from no selection"):
        nm.write_report(bn, rows, tmp_path / "page.html", selection=object())
    with pytest.raises(nm.NoumenaError, match="the report needs tables: call fit first"):
        nm.write_report(nm.BayesianNetwork({"a": []}), rows, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []
