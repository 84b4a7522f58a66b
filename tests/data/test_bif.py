"""BIF files: networks come back as they were written, and what is wrong is said with its line and column."""

import gzip
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import noumena as nm
from conftest import real_path
from noumena.data.bif import BifNetwork, bif_text, read_bif

#: Nodes, arcs and free parameters as the bnlearn repository's pages (https://www.bnlearn.com/bnrepository/) give them.
PUBLISHED = {
    "asia": (8, 8, 18),
    "child": (20, 25, 230),
    "insurance": (27, 52, 1008),
    "alarm": (37, 46, 509),
    "hailfinder": (56, 66, 2656),
    "win95pts": (76, 112, 574),
    "munin1": (186, 273, 15622),
}

DOGS = """// from a manual
network "Dog problem" { property "credal-set none"; }
variable "light-on" { // two values
  type discrete[2] { "true" "false" };
  property position = (218, 195);
}
variable family-out { type discrete [ 3 ] { yes, /* between */ no, "not said" }; }
variable dog { type discrete [2] { in, out }; }
probability ( "light-on" family-out ) { table 0.6 0.05 0.5 0.4 0.95 0.5 ; }
probability ( family-out ) { table 0.15, 0.8, 0.05; }
probability ( dog | family-out, light-on ) {
  default 0.5, 0.5;
  (yes, true) 0.9, 0.1; property why;
  ("not said", false) 1, 0;
}
"""


def written(tmp_path, text, name="net.bif"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def same(one: BifNetwork, two: BifNetwork) -> bool:
    order = [list(part) for net in (one, two) for part in (net.states, net.parents, net.tables)]
    return (
        (one.name, one.states, one.parents) == (two.name, two.states, two.parents)
        and all(names == order[0] for names in order)
        and all(table.tobytes() == two.tables[node].tobytes() for node, table in one.tables.items())
    )


# -------------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_their_sizes_and_come_back_bit_for_bit(name, tmp_path):
    net = read_bif(real_path(f"networks/{name}.bif.gz"))
    free = sum(int(np.prod(table.shape[:-1])) * (table.shape[-1] - 1) for table in net.tables.values())
    assert (len(net.states), sum(map(len, net.parents.values())), free) == PUBLISHED[name]
    for node, table in net.tables.items():
        assert table.shape == tuple(len(net.states[v]) for v in (*net.parents[node], node))
        # a sum of k terms is off by at most k roundings of at most eps each, however it was scaled
        np.testing.assert_allclose(table.sum(axis=-1), 1, rtol=0, atol=table.shape[-1] * np.finfo(float).eps)
    assert same(read_bif(written(tmp_path, bif_text(net.states, net.parents, net.tables, net.name))), net)


def test_every_way_to_write_a_table_is_read(tmp_path):
    net = read_bif(written(tmp_path, DOGS))
    assert net.name == "Dog problem"
    assert net.states == {
        "light-on": ("true", "false"),
        "family-out": ("yes", "no", "not said"),
        "dog": ("in", "out"),
    }
    assert net.parents == {"light-on": ("family-out",), "family-out": (), "dog": ("family-out", "light-on")}
    # of a table, the node's own states are the outermost loop
    np.testing.assert_array_equal(net.tables["light-on"], [[0.6, 0.4], [0.05, 0.95], [0.5, 0.5]])
    wanted = np.full((3, 2, 2), 0.5)
    wanted[0, 0], wanted[2, 1] = (0.9, 0.1), (1, 0)
    np.testing.assert_array_equal(net.tables["dog"], wanted)


def test_blocks_may_come_in_any_order_and_files_may_be_compressed_or_have_a_mark(tmp_path):
    text = "probability(b|a){(x)1,0;(y)0,1;} variable b{type discrete[2]{u,v};} variable a{type discrete[2]{x,y};}"
    text += "probability(a){table .25,.75;}"
    net = read_bif(written(tmp_path, text))
    assert list(net.states) == ["b", "a"]
    packed = tmp_path / "net.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + text.encode()))
    assert same(read_bif(os.fspath(packed)), net)


def test_rounded_rows_are_scaled_and_others_refused(tmp_path):
    text = "variable a { type discrete [3] { x, y, z }; }\nprobability ( a ) { table %s; }"
    table = read_bif(written(tmp_path, text % "0.3333, 0.3333, 0.33333")).tables["a"]
    np.testing.assert_allclose(table, np.array([0.3333, 0.3333, 0.33333]) / 0.99993, rtol=1e-15)
    with pytest.raises(nm.BifError, match=r"net\.bif, line 2, column 21: .* add up to 0\.99: expected 1"):
        read_bif(written(tmp_path, text % "0.33, 0.33, 0.33"))


A = "variable a {\n  type discrete [ 2 ] { yes, no };\n}\n"
B = "variable b {\n  type discrete [ 2 ] { u, v };\n}\n"
PA = "probability ( a ) {\n  table 0.5, 0.5;\n}\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "expected a variable block, found none"),
        ("network x {\n}\n", 3, 1, "expected a variable block, found none"),
        ("BIF <xml>", 1, 1, r"expected a block \(network, variable or probability\), found 'BIF'"),
        ("network x {\n  type y;\n}", 2, 3, r"in the block network: expected one of property, }, found 'type'"),
        ("network x {\n  property y\n}", 2, 3, "a property begins here and never ends: expected ;"),
        ("/* never\nends", 1, 1, r"a comment begins here and never ends: expected \*/"),
        ('variable "a {\n}', 1, 10, 'a name in quotes begins here and never ends: expected "'),
        ("variable {\n}", 1, 10, "expected a variable's name, found '{'"),
        (A[:-2], 1, 12, "the block variable 'a' begins here and never ends: expected }"),
        ("variable a {\n}\n", 2, 1, r"'a' has 0 types: expected one"),
        (A + A, 4, 10, "variable 'a' is declared twice"),
        ("variable a {\n  type continuous;\n}", 2, 8, "variable 'a' is continuous: expected discrete"),
        ("variable a {\n  type discrete [ two ] { x };\n}", 2, 19, "expected the number of states of 'a', found 'two'"),
        ("variable a {\n  type discrete [ 3 ] { x, y };\n}", 2, 19, "'a' is said to have 3 states: .* as follow, 2"),
        ("variable a {\n  type discrete [ 2 ] { x, x };\n}", 2, 28, "'a' has the state 'x' twice"),
        ("variable a {\n  type discrete [ 2 ] ( x, y );\n}", 2, 23, r"expected {, found '\('"),
        ("variable a {\n  type discrete [ 2 ] { x, y }\n}", 3, 1, "expected ;, found '}'"),
        ("variable a {\n  type discrete [ 1 ] { };\n}", 2, 25, "expected a state of 'a', found '}'"),
        (A, 1, 10, "variable 'a' has no probability block: expected one"),
        (A + "probability ( c ) {\n}", 4, 15, "no variable 'c': expected one of a"),
        (A + "probability ( a | c ) {\n}", 4, 19, "no variable 'c': expected one of a"),
        (A + "probability ( a | a ) {\n}", 4, 19, "'a' occurs twice"),
        (A + "probability ( ) {\n}", 4, 15, r"expected a variable's name, found '\)'"),
        (A + PA + PA, 7, 15, "'a' has a second probability block"),
        (A + "probability ( a ) {\n}", 5, 1, "expected table and the probabilities of 'a', found none"),
        (A + "probability ( a ) {\n  table 0.5, 0.5;\n", 4, 1, "a probability block begins here and never ends"),
        (A + "probability ( a ) {\n  table 0.5, 0.5\n}", 6, 1, "expected a probability or ;, found '}'"),
        (A + "probability ( a ) {\n  table 1;\n}", 5, 10, r"expected 2 values, one for each state of 'a' \(yes, no\)"),
        (A + "probability ( a ) {\n  table 0.5, 0.3, 0.2;\n}", 5, 22, "expected 2 values, .* found 3"),
        (A + "probability ( a ) {\n  table 0.5, half;\n}", 5, 14, "expected a probability, found 'half'"),
        (A + "probability ( a ) {\n  table 1.5, -0.5;\n}", 5, 14, "expected a probability, found '-0.5'"),
        (A + "probability ( a ) {\n  table nan, 0.5;\n}", 5, 9, "expected a probability, found 'nan'"),
        (A + "probability ( a ) {\n  table 0.5, 0.4;\n}", 5, 3, "of 'a' add up to 0.9: expected 1"),
        (A + "probability ( a ) {\n  (yes) 0.5, 0.5;\n}", 5, 3, "'a' has no parents: expected table"),
        (A + "probability ( a ) {\n  tabel 0.5, 0.5;\n}", 5, 3, r"expected one of \(, table, default, property, }"),
        (A + B + PA + "probability ( b | a ) {\n  (maybe) 1, 0;\n}", 11, 4, "'a' has no state 'maybe': .* yes, no"),
        (
            A + B + PA + "probability ( b | a ) {\n  (yes, no) 1, 0;\n}",
            11,
            3,
            "expected a state of each parent .a., found 2",
        ),
        (A + B + PA + "probability ( b | a ) {\n  (yes) 1;\n}", 11, 10, "expected 2 values, .*'b'.* found 1"),
        (
            A + B + PA + "probability ( b | a ) {\n  (yes) 1, 0;\n}",
            12,
            1,
            r"'b' lacks 1 of its rows: .* \(no\), or a d",
        ),
        (A + B + PA + "probability ( b | a ) {\n  (no) 1,0;\n  (no) 1,0;\n}", 12, 3, r"a second row for \(no\)"),
        (A + B + PA + "probability ( b | a ) {\n  (no) 1,0;\n  table 1,0,0,1;\n}", 12, 3, "'b' has rows already"),
        (A + B + PA + "probability ( b | a ) {\n  default 1,0;\n  default 1,0;\n}", 12, 3, "a second default of 'b'"),
        (A + B + PA + "probability ( b | a ) {\n  table 1,0,1;\n}", 11, 14, "expected 4 values, one for each combin"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_column(text, line, column, message, tmp_path):
    with pytest.raises(nm.BifError, match=rf"net\.bif, line {line}, column {column}: .*{message}"):
        read_bif(written(tmp_path, text))


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(nm.BifError, match=r"nothing\.bif cannot be read"):
        read_bif(tmp_path / "nothing.bif")
    (tmp_path / "half.bif").write_bytes(gzip.compress(DOGS.encode())[:-30])
    with pytest.raises(nm.BifError, match=r"half\.bif cannot be read"):
        read_bif(tmp_path / "half.bif")
    (tmp_path / "image.bif").write_bytes(b"\x89PNG\xff")
    with pytest.raises(nm.BifError, match="no text in UTF-8"):
        read_bif(tmp_path / "image.bif")


def test_a_default_does_not_stand_for_more_than_fits(tmp_path):
    """20 parents of 10 states each: 1e20 rows in a file of some lines."""
    states = ", ".join(f"s{i}" for i in range(10))
    text = "".join(
        f"variable v{i} {{ type discrete [ 10 ] {{ {states} }}; }}\nprobability ( v{i} ) {{ table 1 {'0 ' * 9}; }}\n"
        for i in range(20)
    )
    text += "variable x { type discrete [ 2 ] { u, v }; }\n"
    text += f"probability ( x | {' '.join(f'v{i}' for i in range(20))} ) {{ default 0.5 0.5; }}"
    with pytest.raises(nm.BifError, match=r"line 42, column 15: 'x' has 200,000,.* entries: expected at most"):
        read_bif(written(tmp_path, text))


# -------------------------------------------------------------------------------------------------------------- writing

words = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=6)


@st.composite
def networks(draw):
    nodes = draw(st.lists(words, min_size=1, max_size=5, unique=True))
    states = {node: tuple(draw(st.lists(words, min_size=1, max_size=4, unique=True))) for node in nodes}
    parents, tables = {}, {}
    for i, node in enumerate(nodes):
        parents[node] = tuple(draw(st.lists(st.sampled_from(nodes[:i]), unique=True, max_size=3))) if i else ()
        shape = tuple(len(states[v]) for v in (*parents[node], node))
        rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        counts = rng.gamma(draw(st.sampled_from([0.05, 1.0])), size=shape) + 1e-300
        tables[node] = counts / counts.sum(axis=-1, keepdims=True)
    return BifNetwork(draw(words), states, parents, tables)


@settings(max_examples=150, deadline=None)
@given(networks())
def test_any_network_comes_back_as_it_was(tmp_path_factory, net):
    folder = tmp_path_factory.getbasetemp()
    assert same(read_bif(written(folder, bif_text(net.states, net.parents, net.tables, net.name))), net)


def test_names_that_cannot_be_told_apart_are_refused():
    with pytest.raises(nm.BifError, match="'a' has states that are written alike"):
        bif_text({"a": (1, "1")}, {"a": ()}, {"a": np.array([0.5, 0.5])})
    with pytest.raises(nm.BifError, match="holds a line break"):
        bif_text({"a\nb": ("x",)}, {"a\nb": ()}, {"a\nb": np.array([1.0])})


# ------------------------------------------------------------------------------------------------------------ estimator


def test_networks_answer_as_published(tmp_path):
    """Lauritzen and Spiegelhalter (1988), section 2; marginals as Hugin and bnlearn give them, to four digits."""
    asia = nm.BayesianNetwork.from_bif(real_path("networks/asia.bif.gz"))
    prior = {node: round(chances["yes"], 4) for node, chances in asia.query().items()}
    assert prior == {
        "asia": 0.01, "tub": 0.0104, "smoke": 0.5, "lung": 0.055,
        "bronc": 0.45, "either": 0.0648, "xray": 0.1103, "dysp": 0.436,
    }  # fmt: skip
    asia.to_bif(tmp_path / "again.bif.gz")
    again = nm.BayesianNetwork.from_bif(tmp_path / "again.bif.gz")
    assert again.parents_ == asia.parents_
    assert again.states_ == asia.states_
    for node, table in asia.tables_.items():
        assert again.tables_[node].tobytes() == table.tobytes()
    asia.to_bif(tmp_path / "again.bif.gz")  # replaced: the same bytes, without the time
    first = (tmp_path / "again.bif.gz").read_bytes()
    again.to_bif(tmp_path / "again.bif.gz")
    assert (tmp_path / "again.bif.gz").read_bytes() == first


def test_a_learned_network_with_a_hidden_node_is_written_and_read(tmp_path):
    rng = np.random.default_rng(0)
    z = rng.random(300) < 0.4
    rows = [[["no", "yes"][int(rng.random() < (0.9 if one else 0.2))] for _ in "abc"] for one in z]
    structure = {f"x{j}": ["h"] for j in range(3)}
    bn = nm.BayesianNetwork(structure, hidden={"h": 2}, prior=1.0, n_init=2, random_state=0).fit(rows)
    bn.to_bif(tmp_path / "net.bif")
    read = nm.BayesianNetwork.from_bif(tmp_path / "net.bif")
    assert read.states_["h"] == ("0", "1")
    for node, table in bn.tables_.items():
        assert read.tables_[node].tobytes() == table.tobytes()
    assert read.query(["x0"], {"x1": "yes"}) == bn.query(["x0"], {"x1": "yes"})


def test_nothing_is_half_written(tmp_path):
    bn = nm.BayesianNetwork.from_tables({"a": []}, {"a": [0.5, 0.5]}, {"a": ("u", "v")})
    with pytest.raises(nm.OutputError, match="cannot write"):
        bn.to_bif(tmp_path / "nowhere" / "net.bif")
    cyclic = A + B + "probability ( a | b ) { default 1 0; }\nprobability ( b | a ) { default 1 0; }"
    with pytest.raises(nm.NetworkError, match="cycle"):
        nm.BayesianNetwork.from_bif(written(tmp_path, cyclic))
