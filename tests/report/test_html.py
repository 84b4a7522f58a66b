"""The page says what it should, keeps what users typed as text, and is written whole or not at all."""

import dataclasses
import html.parser
import importlib.resources
import re
import warnings

import numpy as np
import pandas as pd
import pytest

import noumena as nm
from noumena.core.errors import NoumenaError
from noumena.core.result import Status
from noumena.report import ReportError, write_report

from .conftest import HOSTILE, blobs

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Outline(html.parser.HTMLParser):
    """Tags, text and identifiers of a page; remembers tags that do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.crossed: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href") and value]
        self.ids += [value for name, value in attrs if name == "id" and tag in ("section", "main", "div")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text += data


def without_errors(estimator, problem=None):
    """The estimator, whose standard errors are made up or cannot be had."""

    class Stub:
        def __getattr__(self, name):
            return getattr(estimator, name)

        def standard_errors(self, X, sample_weight=None):
            if problem is not None:
                raise problem
            shapes = (estimator.weights_, estimator.means_, estimator.covariances_)
            return Errors(*(np.full_like(part, 0.0123) for part in shapes), "bootstrap")

    # The report reads the parameters' defaults off the class.
    Stub.__init__ = type(estimator).__init__
    return object.__new__(Stub)


@dataclasses.dataclass
class Errors:
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    method: str


@pytest.fixture(scope="session")
def page(holes, swept, tmp_path_factory):
    """A report with everything in it, and its path."""
    gm, frame = holes
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(without_errors(gm), frame, path, selection=swept)
    return path


def read(path) -> Outline:
    return Outline(path.read_text(encoding="utf-8"))


def test_the_headline_and_the_key_figures_are_those_of_the_fit(page, holes):
    gm, frame = holes
    text = read(page).text
    assert "2 clusters of 120 rows by 4 columns" in text
    assert f"EM converged after {gm.n_iter_} iterations" in text
    for value in (gm.log_likelihood_, gm.bic(frame), gm.icl(frame)):
        assert f"{value:,.1f}".replace("-", "−") in text


def test_the_page_is_well_formed_and_every_link_leads_somewhere(page):
    outline = read(page)
    assert outline.crossed == []
    assert outline.open == []
    assert len(set(outline.ids)) == len(outline.ids)
    inside = {link[1:] for link in outline.links if link.startswith("#")}
    assert {"components", "data", "selection", "made"} <= inside
    for name in inside:
        assert f'id="{name}"' in page.read_text()


def test_the_page_needs_nothing_from_anywhere(page):
    outline = read(page)
    assert "script" not in outline.tags
    assert all(link.startswith(("#", "data:")) for link in outline.links)
    text = page.read_text()
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert "default-src 'none'" in text


def test_names_of_columns_are_text_never_markup(page):
    raw = page.read_text()
    assert HOSTILE not in raw
    assert "& <i>c" not in raw
    outline = read(page)
    assert HOSTILE in outline.text
    assert 'a"b & <i>c' in outline.text


def test_all_parts_are_there(page):
    outline = read(page)
    assert outline.tags.count("svg") == 4  # missing pattern, selection, trace, pairs
    for words in (
        "Components",
        "Uncertain rows",
        "The data",
        "Selection",
        "Covariances",
        "± standard error",
        "(bootstrap)",
    ):
        assert words in outline.text
    assert "0.012" in outline.text  # the made-up error


def test_the_warnings_are_in_words(page):
    text = read(page).text
    assert "1 row without any observed cell says nothing" in text
    assert "No warnings" not in text


def test_an_outcome_that_is_no_convergence_is_said_first(holes, tmp_path):
    _, frame = holes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gm = nm.GaussianMixture(2, max_iter=1, accelerate=None, init_params="random", random_state=0).fit(frame)
    assert gm.status_ is Status.MAX_ITERATIONS
    write_report(gm, frame, tmp_path / "r.html", standard_errors=False)
    assert "Do not trust: EM ended as “max iterations” after 1 iteration" in read(tmp_path / "r.html").text


def test_tiny_components_other_rows_and_empty_columns_are_warned_of(tmp_path):
    x = blobs(60, 2)
    x[:3] += 40.0
    x[:45, 1] = np.nan
    gm = nm.GaussianMixture(2, covariance="EII", random_state=0).fit(x)
    write_report(gm, x[1:], tmp_path / "r.html", standard_errors=False)
    text = read(tmp_path / "r.html").text
    assert re.search(r"Component \d is expected to hold 2\.0 rows", text)
    assert "These are not the rows that the mixture was fitted on" in text
    assert "More than half of the cells are missing in x1 (" in text


def test_a_collapsed_component_is_named(tmp_path):
    x = np.concatenate([blobs(40, 2), np.full((12, 2), 30.0)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gm = nm.GaussianMixture(3, random_state=0).fit(x)
    write_report(gm, x, tmp_path / "r.html", standard_errors=False)
    assert re.search(r"Do not trust: Component \d is all but flat along", read(tmp_path / "r.html").text)


def test_why_there_are_no_standard_errors_is_said(holes, tmp_path):
    gm, frame = holes
    write_report(without_errors(gm, NoumenaError("the information has no inverse")), frame, tmp_path / "r.html")
    text = read(tmp_path / "r.html").text
    assert "There are no standard errors: the information has no inverse" in text
    assert "±" not in text


def test_the_real_standard_errors_are_shown(narrow, tmp_path):
    gm, x = narrow
    write_report(gm, x, tmp_path / "r.html")
    text = read(tmp_path / "r.html").text
    assert "(observed information)" in text
    assert "±" in text


def test_many_columns_and_one_column_and_one_component(wide, narrow, tmp_path):
    write_report(*wide, tmp_path / "wide.html", standard_errors=False)
    outline = read(tmp_path / "wide.html")
    assert outline.tags.count("svg") == 3  # trace, projection, the best pairs
    assert "No cell is missing." in outline.text
    write_report(*narrow, tmp_path / "narrow.html", standard_errors=False)
    assert "2 clusters of 60 rows by 1 column" in read(tmp_path / "narrow.html").text
    one = nm.GaussianMixture(1).fit(wide[1])
    write_report(one, wide[1], tmp_path / "one.html", standard_errors=False)
    assert "nothing to be uncertain about" in read(tmp_path / "one.html").text


def test_tables_from_files_are_read_by_name(narrow, tmp_path):
    frame = pd.DataFrame({"words": ["a"] * 60, "length_mm": narrow[1][:, 0]})
    frame.to_csv(tmp_path / "table.csv", index=False)
    gm = nm.GaussianMixture(2, covariance="E", random_state=0).fit(frame[["length_mm"]])
    write_report(gm, tmp_path / "table.csv", tmp_path / "r.html", standard_errors=False)
    text = read(tmp_path / "r.html").text
    assert "length_mm" in text
    assert f"table = {str(tmp_path / 'table.csv')!r}" in text


def test_many_marks_are_pixels_inside_the_page(narrow, tmp_path):
    x = blobs(2_500, 2)
    gm = nm.GaussianMixture(2, covariance="EII", random_state=0).fit(x)
    write_report(gm, x, tmp_path / "r.html", standard_errors=False)
    assert "data:image/png;base64," in (tmp_path / "r.html").read_text()
    assert (tmp_path / "r.html").stat().st_size < 1_500_000


def test_the_code_shown_is_python_that_makes_the_fit(page, holes, tmp_path):
    gm, frame = holes
    write_report(gm, frame, tmp_path / "r.html", standard_errors=False)
    code = re.search(r"import noumena as nm.*?\"report.html\"\)", read(tmp_path / "r.html").text, re.DOTALL)[0]
    compile(code, "report", "exec")
    line = next(line for line in code.split("\n") if line.startswith("estimator = "))
    again = eval(line.removeprefix("estimator = "), {"nm": nm, "table": frame})
    assert again.log_likelihood_ == gm.log_likelihood_
    swept = re.search(r"import noumena as nm.*?selection=best\)", read(page).text, re.DOTALL)[0]
    compile(swept, "report", "exec")
    assert "n_components=[1, 2, 3]" in swept


def test_what_was_there_is_replaced_whole(narrow, tmp_path):
    path = tmp_path / "r.html"
    path.write_text("old")
    write_report(*narrow, path, standard_errors=False, title="A <b>title</b>")
    text = path.read_text()
    assert text.startswith("<!doctype html>")
    assert text.rstrip().endswith("</html>")
    assert "A &lt;b&gt;title&lt;/b&gt;" in text
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]


def test_what_was_there_survives_a_failure(narrow, tmp_path, monkeypatch):
    gm, x = narrow
    path = tmp_path / "r.html"
    path.write_text("old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(ReportError, match="No space left on device"):
        write_report(gm, x, path, standard_errors=False)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]
    with pytest.raises(ValueError, match="2 features"):
        write_report(gm, np.ones((3, 2)), path)
    assert path.read_text() == "old"


def test_paths_that_cannot_be_written_are_refused_before_the_work(narrow, tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "nowhere" / "r.html", tmp_path / "file" / "r.html"):
        with pytest.raises(ReportError, match="cannot write") as caught:
            write_report(*narrow, path)
        assert isinstance(caught.value, NoumenaError)
        assert isinstance(caught.value, OSError)
        assert str(path) in str(caught.value)


def test_the_template_is_package_data():
    assert importlib.resources.files("noumena.report").joinpath("template.html.j2").is_file()
