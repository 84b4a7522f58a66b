"""Drawings and the page of Bayesian networks: the layout keeps its promises, the numbers are the network's own."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import noumena as nm
from conftest import real_path
from noumena.report import plot
from noumena.report.layers import layered
from noumena.report.network import MOST_STATES, network_plot

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


# -------------------------------------------------------------------------------------------------------------- layout


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


# ------------------------------------------------------------------------------------------------------------- drawing


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
