"""Drawings hold what they promise: panels, names, marks, curves."""

import sys
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import noumena as nm
from noumena.core.result import Trace
from noumena.data.table import read_table
from noumena.report import plot, plot_missing, plot_trace
from noumena.report.digits import count, number, percent, plus_minus, significant
from noumena.report.fitted import Ellipsoids, taken_apart
from noumena.report.membership import membership
from noumena.report.projection import separating_projection, separation
from noumena.report.rows import missing_patterns, sample_rows, take_rows
from noumena.report.scatter import _ellipse
from noumena.report.style import COLOURS, MARKERS, colour, marker, shown


def words(figure) -> str:
    """All that is written in a figure."""
    figure.canvas.draw()
    return "\n".join(text.get_text() for text in figure.findobj(match=lambda artist: hasattr(artist, "get_text")))


def panels(figure) -> list:
    return [axes for axes in figure.axes if axes.axison]


class Stub:
    """An estimator that is nothing but its trace."""

    prior = None

    def __init__(self, objective, accepted=None):
        objective = np.array(objective, dtype=float)
        self.trace_ = Trace(objective, np.ones(len(objective), bool) if accepted is None else np.array(accepted))


class Swept:
    """A selection that is nothing but its table."""

    def __init__(self, rows, criterion="bic"):
        names = ("n_components", "covariance", "bic", "cv_log_likelihood", "status")
        self.table_, self.criterion = pa.table({n: [row[i] for row in rows] for i, n in enumerate(names)}), criterion


def test_pairs_have_a_panel_each_and_the_names_of_the_columns_as_they_are(holes):
    gm, frame = holes
    figure = plot(gm, frame)
    assert len(panels(figure)) == 4 + 3 + 2 + 1
    bottom = [axes.get_xlabel() for axes in panels(figure) if axes.get_xlabel()]
    assert bottom == [shown(name, 20) for name in frame.columns]
    assert "$cost_{x}$ [€]" in bottom  # not read as a formula
    assert "hollow" in words(figure)
    assert "119 of 120 rows drawn" in words(figure)  # the empty row is nowhere


def test_each_panel_has_an_ellipse_and_a_number_for_each_component(holes):
    gm, frame = holes
    figure = plot(gm, frame)
    below = [axes for axes in panels(figure) if axes.collections and len(axes.texts) == 2]
    assert len(below) == 6
    for axes in below:
        assert len(axes.lines) == 2
        assert [text.get_text() for text in axes.texts] == ["0", "1"]


def test_rows_with_a_hole_in_the_pair_are_hollow_and_all_rows_are_drawn_once(holes):
    gm, frame = holes
    figure = plot(gm, frame, columns=[0, 1])
    (axes,) = [axes for axes in panels(figure) if len(axes.texts) == 2]
    hollow = sum(len(c.get_offsets()) for c in axes.collections if len(c.get_facecolors()) == 0)
    filled = sum(len(c.get_offsets()) for c in axes.collections if len(c.get_facecolors()))
    known = frame.dropna(how="all").iloc[:, :2]
    assert hollow == known.isna().any(axis=1).sum()
    assert filled == known.notna().all(axis=1).sum()


def test_complete_tables_have_no_hollow_marks(wide):
    gm, x = wide
    figure = plot(gm, x, columns=[0, 1, 2])
    assert "hollow" not in words(figure)
    assert "drawn" not in words(figure)


def test_columns_by_name_and_by_position_are_the_same(holes):
    gm, frame = holes
    by_name = plot(gm, frame, columns=[frame.columns[2], "bill_length_mm"])
    by_position = plot(gm, frame, columns=[2, 0])
    assert words(by_name) == words(by_position)


def test_more_than_six_columns_are_projected(wide):
    gm, x = wide
    figure = plot(gm, x)
    assert len(panels(figure)) == 3
    assert "correlation with direction 1" in words(figure)
    assert "x7" in words(figure)


def test_one_column_has_a_histogram_its_components_and_their_sum(narrow):
    gm, x = narrow
    (axes,) = plot(gm, x).axes
    assert axes.get_xlabel() == "x0"
    assert axes.get_ylabel() == "density"
    assert len(axes.lines) == 3
    assert len(axes.patches) >= 8
    at, total = axes.lines[-1].get_data()
    np.testing.assert_allclose(np.log(total), gm.score_samples(at[:, None]), rtol=1e-9, atol=1e-9)


def test_components_are_told_apart_beyond_the_palette():
    assert len({(colour(k), marker(k)) for k in range(100)}) == 100
    assert len(set(COLOURS)) == 10
    assert len(set(MARKERS)) == 11


def test_ellipse_holds_95_percent():
    mean, sigma = np.array([3.0, -1e6]), np.array([[4.0, 1.2e3], [1.2e3, 1e6]])
    radius = Ellipsoids((0, 1), np.ones(1), mean[None], sigma[None], np.full(1, np.inf)).radius[0]
    away = np.stack(_ellipse(mean, sigma, radius), axis=1) - mean
    distance = np.einsum("ni,ij,nj->n", away, np.linalg.inv(sigma), away)
    np.testing.assert_allclose(distance, 5.991464547107979, rtol=1e-9)  # the 0.95 quantile of χ²₂


def test_large_tables_are_sampled_with_a_seed(narrow):
    gm, _ = narrow
    x = np.random.default_rng(1).normal(size=(6_000, 1))
    assert "5,000 of 6,000 rows drawn" in words(plot(gm, x))
    np.testing.assert_array_equal(sample_rows(6_000), sample_rows(6_000))
    assert len(set(sample_rows(6_000).tolist())) == 5_000


def test_a_mixture_needs_its_table(narrow):
    with pytest.raises(TypeError, match="needs the table"):
        plot(narrow[0])


def test_drawing_opens_no_window_and_leaves_no_global_state(holes):
    plot(*holes)
    pyplot = sys.modules.get("matplotlib.pyplot")  # another test may have loaded it
    assert pyplot is None or pyplot.get_fignums() == []


def test_scripts_that_the_font_lacks_do_not_fail(narrow):
    frame = pd.DataFrame({"長さ_mm": narrow[1][:, 0]})
    gm = type(narrow[0])(2, covariance="E", random_state=0).fit(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # matplotlib says that DejaVu Sans has no such glyph
        assert "長さ_mm" in words(plot(gm, frame))


def test_selection_has_a_line_for_each_structure_and_marks_the_best(swept):
    figure = plot(swept)
    (axes,) = figure.axes
    assert {"EII", "EEE"} <= set(words(figure).split("\n"))
    best = swept.estimator_
    assert axes.get_title(loc="left").startswith(f"best: {best.covariance} with {best.n_components} components")
    assert "lower is better" in axes.get_ylabel()


def test_failed_candidates_are_left_out_and_counted():
    rows = [
        (1, "EEE", 10.0, None, "converged"),
        (2, "EEE", None, None, "degenerate"),
        (3, "EEE", 8.0, None, "converged"),
    ]
    figure = plot(Swept(rows))
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [1, 3])
    assert "1 degenerate or failed candidate left out" in words(figure)


def test_cross_validation_is_read_upwards():
    rows = [(1, "EEE", 9.0, -3.0, "converged"), (2, "EEE", 9.0, -2.0, "converged"), (3, "EEE", 9.0, -2.5, "converged")]
    figure = plot(Swept(rows, "cv"))
    assert "best: 2 components" in words(figure)
    assert "higher is better" in words(figure)


def test_one_terrible_candidate_does_not_flatten_the_others():
    rows = [
        (k, s, 100.0 - k + (1e6 if s == "EII" else 0), None, "converged") for k in range(1, 6) for s in ("EEE", "EII")
    ]
    figure = plot(Swept(rows))
    assert np.ptp(figure.axes[0].get_ylim()) < 100
    assert "beyond the frame" in words(figure)


def test_trace_shows_the_gap_to_the_final_value_and_the_steps_taken_back():
    figure = plot_trace(Stub([-10.0, -4.0, -7.0, -1.0, -0.5], [True, True, False, True, True]))
    upper, lower = figure.axes
    np.testing.assert_array_equal(upper.lines[0].get_ydata(), [-10.0, -4.0, -1.0, -0.5])
    np.testing.assert_array_equal(lower.lines[0].get_ydata(), [9.5, 3.5, 0.5])
    np.testing.assert_array_equal(lower.lines[1].get_xdata(), [2])
    assert lower.get_yscale() == "log"
    assert "not a new best (1)" in words(figure)
    assert lower.get_xlabel() == "iteration"


@pytest.mark.parametrize("objective", [[], [-1.0], [-1.0, -1.0], [-np.inf, -2.0, np.nan]])
def test_short_and_broken_traces_are_drawn(objective):
    assert "log likelihood" in words(plot_trace(Stub(objective)))


def test_missing_patterns_are_counted_and_drawn(holes):
    _, frame = holes
    figure = plot_missing(frame)
    text = words(figure)
    hole = frame.isna().to_numpy()
    assert str((~hole.any(axis=1)).sum()) in text.split("\n")
    assert shown(frame.columns[2], 24) in text
    assert "rows (of 120)" in text


def test_a_complete_table_says_so(wide):
    assert "No cell is missing in 90 rows by 8 columns." in words(plot_missing(wide[1]))


def test_many_columns_and_patterns_are_cut_and_said():
    x = np.random.default_rng(0).normal(size=(200, 30))
    x[np.random.default_rng(1).random(x.shape) < 0.1] = np.nan
    text = words(plot_missing(x))
    assert "the 20 of 30 columns with most holes" in text
    assert "the 12 most frequent of" in text


def test_patterns_agree_with_a_count_by_hand(holes):
    table = read_table(holes[1])
    missing, hole = missing_patterns(table), np.isnan(table.to_array())
    assert missing.complete_rows == (~hole.any(axis=1)).sum()
    assert missing.empty_rows == 1
    assert missing.counts.sum() == 120
    assert missing.share == hole.mean()
    np.testing.assert_array_equal(missing.per_column, hole.sum(axis=0))
    for pattern, rows in zip(missing.patterns, missing.counts, strict=True):
        assert (hole == pattern).all(axis=1).sum() == rows


def test_rows_are_taken_across_slabs(tmp_path):
    x = np.arange(150_000.0)
    pq.write_table(pa.table({"a": x, "b": -x}), tmp_path / "long.parquet")
    index = np.array([0, 65_535, 65_536, 131_071, 149_999])
    np.testing.assert_array_equal(take_rows(read_table(tmp_path / "long.parquet"), index)[:, 1], -x[index])


def test_membership_agrees_with_the_estimator(holes):
    gm, frame = holes
    told, posterior = membership(taken_apart(gm, "a test"), read_table(frame)), gm.predict_proba(frame)
    np.testing.assert_allclose(told.expected, posterior.sum(axis=0))
    np.testing.assert_array_equal(told.chosen, np.bincount(gm.predict(frame), minlength=2))
    np.testing.assert_allclose(told.log_likelihood, gm.score_samples(frame).sum())
    assert told.least_certain[0] == posterior.max(axis=1).argmin()
    np.testing.assert_allclose(told.least_certain_posterior[0], posterior[told.least_certain[0]])


def test_projection_finds_the_direction_of_the_means_whatever_the_units():
    scale = np.array([1e6, 1.0, 1e-6, 1.0])
    means = np.array([[0.0, 0, 0, 0], [0, 0, 5, 0]]) * scale
    covariances = np.array([np.diag(scale**2)] * 2)
    plane = separating_projection(np.array([0.4, 0.6]), means, covariances)
    np.testing.assert_allclose(plane.loadings[:, 0], [0, 0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(np.ptp(plane(means)[:, 0]), 5.0)  # in standard deviations within components
    np.testing.assert_allclose(separation(np.array([0.4, 0.6]), means, covariances), [0, 0, 6 / 7, 0], atol=1e-12)


def test_projection_of_one_component_is_that_of_the_largest_spread():
    root = np.array([[1.0, 0, 0], [0.9, 0.4, 0], [0, 0, 1]])
    plane = separating_projection(np.ones(1), np.zeros((1, 3)), (root @ root.T)[None])
    assert abs(plane.loadings[2, 0]) < 1e-9 < 0.9 < abs(plane.loadings[0, 0])


def test_projection_sees_a_difference_in_covariances_alone():
    covariances = np.array([np.diag([1.0, 1, 1, 9]), np.diag([1.0, 1, 1, 1])])
    plane = separating_projection(np.array([0.5, 0.5]), np.zeros((2, 4)), covariances)
    assert abs(plane.loadings[3, 0]) > 0.999


def test_a_narrow_component_shows_its_peak():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (100, 1)), rng.normal(5, 1e-2, (100, 1))])
    gm = nm.GaussianMixture(2, covariance="V", random_state=0).fit(x)
    narrow = int(gm.covariances_.ravel().argmin())
    (axes,) = plot(gm, x).axes
    peak = gm.weights_[narrow] / np.sqrt(2 * np.pi * gm.covariances_[narrow, 0, 0])
    assert axes.lines[narrow].get_ydata().max() == pytest.approx(peak)


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (number(None), "–"),
        (number(float("nan")), "–"),
        (number(float("-inf")), "−∞"),
        (number(-0.0001, 2), "0.00"),
        (number(1234567.0, 0), "1,234,567"),
        (number(3.2e12), "3.200×10¹²"),
        (number(0.0), "0.000"),
        (plus_minus(0.5, float("nan")), ("0.5000", "–")),
        (plus_minus(1.5e-12, 2.1e-13), ("1.50×10⁻¹²", "2.1×10⁻¹³")),
        (significant(float("inf"), 5.0), float("inf")),
        (percent(1.0), "100%"),
        (count(1, "entry", "entries"), "1 entry"),
        (count(2, "entry", "entries"), "2 entries"),
        (shown(" a\nb\t"), "a b"),
        (shown(""), "(no name)"),
    ],
)
def test_numbers_and_names_in_words(told, wanted):
    assert told == wanted
