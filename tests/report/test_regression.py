"""Drawings and the page of mixtures of regressions: the curves are the estimator's own, the rows are the table's."""

import re

import numpy as np
import pandas as pd
import pytest

import noumena as nm
from noumena.core.errors import NoumenaError
from noumena.report import plot, plot_trace, write_report
from noumena.report.regression import regression_taken_apart
from noumena.report.regression_plots import MOST_REGRESSORS, coefficient_plot

from .test_html import read
from .test_plots import panels, words


@pytest.fixture(scope="module")
def lines():
    """Two lines that cross, a category that lifts both, and weights that depend on a third column."""
    rng, n = np.random.default_rng(0), 240
    frame = pd.DataFrame(
        {
            "x": rng.uniform(0, 10, n),
            "$town$": np.where(rng.random(n) < 0.6, "Bonn", "Aix <i>"),
            "age": rng.normal(40, 10, n),
        }
    )
    z = rng.random(n) < 1 / (1 + np.exp(-(frame["age"] - 40) / 5))
    y = np.where(z, 2 * frame["x"], 20 - frame["x"]) + 3 * (frame["$town$"] == "Bonn") + rng.normal(0, 1, n)
    y = pd.Series(y, name="income")
    rm = nm.RegressionMixture(2, concomitant=["age"], n_init=4, random_state=0).fit(frame, y)
    return rm, frame, y


@pytest.fixture(scope="module")
def bits():
    """A logistic response in words, of an array without names."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 2))
    z = np.arange(300) % 2
    y = np.where(rng.random(300) < 1 / (1 + np.exp(-np.where(z, 3, -3) * x[:, 0] - x[:, 1])), "yes", "no")
    return nm.RegressionMixture(2, "logistic", prior="default", n_init=2, random_state=0).fit(x, y), x, y


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 2, (200, 1))
    y = rng.poisson(np.exp(np.where(np.arange(200) % 2, 0.5 + x[:, 0], 2.5 - x[:, 0])))
    return nm.RegressionMixture(2, "poisson", n_init=2, random_state=0).fit(x, y), x, y


def panel(figure, name):
    return next(axes for axes in panels(figure) if axes.get_xlabel() == name)


# ------------------------------------------------------------------------------------------------------------ drawings


def test_curves_are_the_estimators_own_with_the_others_at_their_usual_values(lines):
    rm, frame, y = lines
    axes = panel(plot(rm, frame, y), "x")
    assert axes.get_ylabel() == "income"
    at = axes.lines[0].get_xdata()
    assert (at[0], at[-1]) == (frame["x"].min(), frame["x"].max())
    usual = pd.DataFrame({"x": at, "$town$": "Bonn", "age": frame["age"].mean()})  # Bonn is the most common one
    wanted = rm.predict_by_component(usual)
    for k, line in enumerate(axes.lines):
        np.testing.assert_allclose(line.get_ydata(), wanted[:, k], rtol=1e-12)


def test_categories_have_a_bar_at_each_level_and_their_names_as_they_are(lines):
    rm, frame, y = lines
    figure = plot(rm, frame, y)
    axes = panel(figure, "$town$")
    figure.canvas.draw()
    assert [text.get_text() for text in axes.get_xticklabels()] == ["Aix <i>", "Bonn"]
    usual = pd.DataFrame({"x": frame["x"].mean(), "$town$": ["Aix <i>", "Bonn"], "age": frame["age"].mean()})
    wanted = rm.predict_by_component(usual)
    bars = [one for one in axes.collections if hasattr(one, "get_segments")]
    for k, bar in enumerate(bars):
        np.testing.assert_allclose([segment[0, 1] for segment in bar.get_segments()], wanted[:, k], rtol=1e-12)


def test_weights_are_drawn_along_concomitant_variables(lines):
    rm, frame, y = lines
    axes = panel(plot(rm, frame, y), "age")
    assert axes.get_ylabel() == "weight of the component"
    at = axes.lines[0].get_xdata()
    usual = pd.DataFrame({"x": frame["x"].mean(), "$town$": "Bonn", "age": at})
    for k, line in enumerate(axes.lines):
        np.testing.assert_allclose(line.get_ydata(), rm.component_proba(usual)[:, k], rtol=1e-12)
    np.testing.assert_allclose(sum(line.get_ydata() for line in axes.lines), 1.0, rtol=1e-12)


def test_every_row_is_a_mark_of_its_most_probable_component(lines):
    rm, frame, y = lines
    axes = panel(plot(rm, frame, y), "x")
    marks = {len(one.get_offsets()): one.get_offsets() for one in axes.collections}
    component = rm.component(frame, y)
    for k in range(2):
        own = np.column_stack([frame["x"], y])[component == k]
        np.testing.assert_array_equal(marks[len(own)], own)


def test_a_logistic_curve_is_a_probability_and_rows_lie_near_0_and_1(bits):
    rm, x, y = bits
    axes = panel(plot(rm, x, y), "x0")
    assert axes.get_ylabel() == "P(y = yes)"
    at = axes.lines[0].get_xdata()
    wanted = rm.predict_by_component(np.column_stack([at, np.full(len(at), x[:, 1].mean())]))
    for k, line in enumerate(axes.lines):
        np.testing.assert_allclose(line.get_ydata(), wanted[:, k], rtol=1e-12)
    heights = np.concatenate([one.get_offsets()[:, 1] for one in axes.collections])
    assert len(heights) == 300
    assert (np.abs(heights - np.round(heights)) < 0.05).all()
    assert np.round(heights).sum() == (y == "yes").sum()


def test_poisson_curves_are_rates(counts):
    rm, x, y = counts
    (axes,) = plot(rm, x, y).axes
    at = axes.lines[0].get_xdata()
    for k, line in enumerate(axes.lines):
        np.testing.assert_allclose(
            line.get_ydata(), np.exp(rm.intercept_[k] + rm.coef_[k, 0] * at), rtol=1e-9
        )  # log link


def test_the_response_may_be_named_and_columns_chosen(lines):
    rm, frame, y = lines
    whole = frame.assign(income=y)
    figure = plot(rm, whole, "income", columns=["age"])
    assert [axes.get_xlabel() for axes in panels(figure)] == ["age"]
    np.testing.assert_array_equal(
        panel(plot(rm, whole, "income"), "x").lines[0].get_ydata(), panel(plot(rm, frame, y), "x").lines[0].get_ydata()
    )


def test_many_regressors_are_cut_to_those_that_tell_most():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 9))
    y = x[:, 4] * np.where(np.arange(200) % 2, 5, -5) + rng.normal(0, 0.3, 200)
    rm = nm.RegressionMixture(2, n_init=2, random_state=0).fit(x, y)
    figure = plot(rm, x, y)
    drawn = [axes.get_xlabel() for axes in panels(figure)]
    assert len(drawn) == MOST_REGRESSORS
    assert "x4" in drawn
    assert f"the {MOST_REGRESSORS} of 9 regressors that tell most" in words(figure)


def test_without_regressors_there_are_the_rows_and_the_means():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 1))
    y = np.where(np.arange(100) % 2, 4.0, -4.0) + rng.normal(0, 0.5, 100)
    rm = nm.RegressionMixture(2, regressors=[], concomitant=[0], n_init=2, random_state=0).fit(x, y)
    axes = panel(plot(rm, x, y), "(no regressors)")
    bars = [one for one in axes.collections if hasattr(one, "get_segments")]
    assert [bar.get_segments()[0][0, 1] for bar in bars] == pytest.approx(rm.intercept_.tolist())


def test_coefficients_have_95_percent_intervals(lines):
    rm, frame, y = lines
    fitted = regression_taken_apart(rm, frame, y, "a test")
    errors = fitted.standard_errors()
    np.testing.assert_allclose(errors.coef, rm.standard_errors(frame, y).coef, rtol=1e-9)
    drawn = {axes.get_title(loc="left"): axes for axes in panels(coefficient_plot(fitted, errors))}
    assert list(drawn) == list(rm.coef_names_)
    for j, axes in enumerate(drawn.values()):
        intervals = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2 and line.get_zorder() != 1]
        for k, (low, high) in enumerate(intervals):
            assert (low + high) / 2 == pytest.approx(rm.coef_[k, j])
            assert (high - low) / 2 == pytest.approx(1.959964 * errors.coef[k, j])


def test_the_trace_is_drawn(lines):
    assert f"after {lines[0].n_iter_} iterations" in words(plot_trace(lines[0]))


def test_what_lacks_a_response_or_a_fit_is_refused(lines, tmp_path):
    rm, frame, y = lines
    with pytest.raises(TypeError, match="needs the rows and their responses"):
        plot(rm, frame)
    with pytest.raises(TypeError, match="needs the rows and their responses"):
        write_report(rm, frame, tmp_path / "r.html")
    with pytest.raises(NoumenaError, match="RegressionMixture: call fit first"):
        plot(nm.RegressionMixture(2), frame, y)
    gm = nm.GaussianMixture(1).fit(frame[["x"]])
    with pytest.raises(TypeError, match="a GaussianMixture has no response"):
        plot(gm, frame[["x"]], y)
    with pytest.raises(TypeError, match="a GaussianMixture has no response"):
        write_report(gm, frame[["x"]], tmp_path / "r.html", y=y)


# ---------------------------------------------------------------------------------------------------------------- page


@pytest.fixture(scope="module")
def page(lines, tmp_path_factory):
    rm, frame, y = lines
    path = tmp_path_factory.mktemp("page") / "r.html"
    write_report(rm, frame.assign(income=y), path, y="income")
    return read(path)


def test_the_page_says_what_was_fitted(page, lines):
    assert page.crossed == page.open == []
    assert "2 linear regressions of income in 240 rows" in page.text
    assert "income is regressed on x, $town$. The weights depend on age." in page.text
    assert "nats, of the responses" in page.text
    assert f"{lines[0].log_likelihood_:.1f}".replace("-", "−") in page.text
    assert "These are not the rows" not in page.text
    assert "Aix <i>" in page.text  # a level, not markup


def test_the_page_has_coefficients_with_standard_errors(page, lines):
    rm, frame, y = lines
    errors = rm.standard_errors(frame, y)
    text = "".join(page.text.split()).replace("−", "-")
    slopes = zip(rm.coef_[:, 0], errors.coef[:, 0], strict=True)
    assert "x" + "".join(f"{value:.3f}±{error:.3f}" for value, error in slopes) in text
    assert re.search(r"residualsd\d\.\d+±0\.\d+\d\.\d+±0\.\d+", text)
    # of the weights, the first component is the reference
    value, error = rm.membership_coef_[1, 0], errors.membership_coef[1, 0]
    assert f"age0{value:.3f}±{error:.3f}" in text


def test_the_page_has_residuals_of_each_component(page, lines):
    rm, frame, y = lines
    posterior = rm.component_proba(frame, y)
    component = posterior.argmax(axis=1)
    off = (y.to_numpy()[:, None] - rm.predict_by_component(frame))[np.arange(len(y)), component]
    assert "Then the residuals of the rows assigned to it" in page.text
    for k in range(2):
        least, largest = off[component == k].min(), off[component == k].max()
        assert f"{least:.2f}".replace("-", "−") in page.text
        assert f"{largest:.2f}" in page.text
        assert f"{posterior[:, k].sum():.1f}" in page.text


def test_the_page_of_logistic_regressions_compares_shares(bits, tmp_path):
    rm, x, y = bits
    write_report(rm, x, tmp_path / "r.html", y=y, standard_errors=False)
    text = read(tmp_path / "r.html").text
    assert "2 logistic regressions of y in 300 rows" in text
    assert "Log odds of y = yes" in text
    share = rm.component_proba(x, y).T @ (y == "yes") / rm.component_proba(x, y).sum(axis=0)
    for one in share:
        assert f"{one:.3f}" in text


def test_other_rows_and_small_components_are_told(counts, tmp_path):
    rm, x, y = counts
    write_report(rm, x[:6], tmp_path / "r.html", y=y[:6], standard_errors=False)
    text = read(tmp_path / "r.html").text
    assert "These are not the rows that the mixture was fitted on" in text
    assert "too few for its coefficients" in text


def test_the_program_names_the_response_and_the_selection_is_drawn(lines, tmp_path):
    rm, frame, y = lines
    best = nm.select(rm, frame, y=y, n_components=[1, 2])
    write_report(best.estimator_, frame, tmp_path / "r.html", y=y, selection=best, standard_errors=False)
    text = read(tmp_path / "r.html").text
    assert "y = ...  # the responses, income" in text
    assert "criterion='bic', y=y" in text
    assert "concomitant=['age']" in text
    assert "2 candidates, compared by BIC" in text
