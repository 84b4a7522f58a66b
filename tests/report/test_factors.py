"""Drawings and the page of factor models: the numbers are the estimator's own, the arrows are its loadings."""

import re

import numpy as np
import pandas as pd
import pytest

import noumena as nm
from conftest import real_path
from noumena.core.errors import NoumenaError
from noumena.report import plot, plot_trace, write_report
from noumena.report.digits import number, plus_minus
from noumena.report.factor_plots import MOST_ARROWS, MOST_COLUMNS, MOST_FACTORS, _apart
from noumena.report.factors import factors_taken_apart
from noumena.report.style import shown

from .test_html import read
from .test_plots import words

NAMES = ["a < b & <i>c", "$x_1$", "a name that is much too long to stand beside a map", "d", "e", "f"]


def table(n=200, d=6, q=2, seed=0, missing=0.05):
    """Columns in q groups of one factor each, with missing cells."""
    rng = np.random.default_rng(seed)
    loadings = np.kron(np.eye(q), np.ones((-(-d // q), 1)))[:d] * rng.uniform(0.5, 0.9, (d, 1))
    x = rng.normal(size=(n, q)) @ loadings.T + rng.normal(size=(n, d)) * np.sqrt(1 - np.sum(loadings**2, axis=1))
    x[rng.random(x.shape) < missing] = np.nan
    return x


@pytest.fixture(scope="module")
def oblique():
    """Two factors that may correlate, names that HTML and formulas would read, a row without any cell."""
    frame = pd.DataFrame(table(), columns=NAMES)
    frame.iloc[3] = np.nan
    return nm.FactorAnalysis(2, rotation="oblimin").fit(frame), frame


def numbers(axes) -> dict:
    """The numbers of a map by their row and column."""
    return {
        (round(text.get_position()[1]), round(text.get_position()[0])): text.get_text()
        for text in axes.texts
        if text.get_ha() == "center" and text.get_va() == "center"
    }


# ------------------------------------------------------------------------------------------------------------ drawings


def test_the_map_holds_standardised_loadings_and_columns_of_one_factor_stand_together(oblique):
    fa, _ = oblique
    figure = plot(fa)
    loadings, shares, between = figure.axes[:3]
    told = words(figure)
    assert "$x_1$" in told  # not read as a formula
    best = np.abs(fa.standardized_loadings_).argmax(axis=1)
    place = {shown(name, 26): j for j, name in enumerate(NAMES)}
    order = [place[label.get_text()] for label in loadings.get_yticklabels() if label.get_text()]
    assert sorted(order) == list(range(6))
    assert best[order].tolist() == sorted(best.tolist())
    found = numbers(loadings)
    for i, j in enumerate(order):
        for k in range(2):
            assert found[i, k] == number(fa.standardized_loadings_[j, k], 2)
    widths = [patch.get_width() for patch in shares.patches]
    np.testing.assert_allclose(widths, fa.communalities_[order], rtol=1e-12)
    assert numbers(between)[1, 0] == number(fa.factor_correlations_[1, 0], 2)


def test_small_loadings_are_grey_and_fixed_ones_blank(oblique):
    _, frame = oblique
    cfa = nm.FactorAnalysis(pattern={"one": NAMES[:3], "two": NAMES[3:]}, correlated=False).fit(frame)
    figure = plot(cfa)
    assert "correlations of the factors" not in words(figure)
    assert len(numbers(figure.axes[0])) == 6
    assert {"one", "two"} <= {label.get_text() for label in figure.axes[0].get_xticklabels()}
    small = nm.FactorAnalysis(2, rotation="varimax").fit(frame)
    loadings = [text for text in plot(small).axes[0].texts if text.get_ha() == text.get_va() == "center"]
    shades = {abs(float(text.get_text().replace("−", "-"))) >= 0.3: text.get_color() for text in loadings}
    assert len(shades) == len({*shades.values()}) == 2


def test_rows_lie_at_their_scores_and_arrows_along_the_loadings(oblique):
    fa, frame = oblique
    plane = plot(fa, frame).axes[-1]
    scores = fa.transform(frame)
    drawn = np.concatenate([one.get_offsets() for one in plane.collections])
    full = frame.notna().all(axis=1).to_numpy()
    some = frame.notna().any(axis=1).to_numpy()
    np.testing.assert_allclose(drawn, np.concatenate([scores[full], scores[~full & some]]), atol=1e-12)
    scale = float(re.search(r"times ([\d.]+)", words(plane.figure))[1])
    ends = np.array([one.xy for one in plane.texts if hasattr(one, "arrow_patch") and one.arrow_patch is not None])
    wanted = fa.standardized_loadings_[np.hypot(*fa.standardized_loadings_.T) >= 0.1]
    wanted = wanted[np.argsort(-np.hypot(*wanted.T))]
    np.testing.assert_allclose(ends / np.hypot(*ends[0]), wanted / np.hypot(*wanted[0]), rtol=1e-9)
    assert np.hypot(*ends[0]) / np.hypot(*wanted[0]) == pytest.approx(scale, rel=0.05)  # told to two digits
    low, high = plane.get_xlim()
    assert np.abs(drawn).max() < high == -low


def test_names_beside_arrows_keep_their_distance():
    rng = np.random.default_rng(0)
    tips = np.column_stack([rng.normal(size=12), rng.normal(size=12) * 0.1])
    heights = _apart(tips, 0.1, 1.0)
    for side in (tips[:, 0] >= 0, tips[:, 0] < 0):
        own = np.sort(heights[side])
        assert (np.diff(own) >= 0.1 - 1e-12).all()
        assert np.abs(own).max() <= 1.0
        assert (np.argsort(heights[side]) == np.argsort(tips[side, 1])).all()
    far = np.column_stack([np.ones(3), [-0.5, 0.0, 0.5]])
    np.testing.assert_allclose(_apart(far, 0.1, 1.0), far[:, 1])


def test_many_columns_and_factors_are_cut_and_it_is_said():
    x = table(400, 48, 2, missing=0.0)
    fa = nm.FactorAnalysis(2).fit(x)
    figure = plot(fa, x)
    told = words(figure)
    assert f"the {MOST_COLUMNS} of 48 columns with the highest communalities" in told
    assert f"the {MOST_ARROWS} longest of 48" in told
    best = {f"x{j}" for j in np.argsort(-fa.communalities_)[:MOST_COLUMNS]}
    assert {label.get_text() for label in figure.axes[0].get_yticklabels()} == best
    wide = nm.ProbabilisticPCA(14).fit(table(300, 20, 4, missing=0.0))
    assert f"the first {MOST_FACTORS} of 14 factors" in words(plot(wide))


def test_columns_may_be_chosen(oblique):
    fa, frame = oblique
    figure = plot(fa, frame, columns=["d", 0])
    assert sum(bool(label.get_text()) for label in figure.axes[0].get_yticklabels()) == 2
    with pytest.raises(nm.DataError, match="no such column"):
        plot(fa, columns=["nope"])


def test_one_factor_and_none_at_all():
    x = table(150, 5, 1)
    one = plot(nm.FactorAnalysis(1).fit(x), x)
    assert "score of" not in words(one)
    none = nm.BayesianPCA().fit(np.random.default_rng(0).normal(size=(200, 5)))
    assert none.n_factors_ == 0
    assert "no factor was kept" in words(plot(none, np.zeros((3, 5))))
    holes = plot(nm.ProbabilisticPCA(2).fit(x), np.full((3, 5), np.nan))  # no row has a place
    assert "0 of 3 rows drawn" in words(holes)


def test_the_trace_of_bayesian_principal_components_is_a_bound():
    x = table(150, 5, 1, missing=0.0)
    assert "lower bound" in words(plot_trace(nm.BayesianPCA().fit(x)))
    assert "lower bound" not in words(plot_trace(nm.ProbabilisticPCA(1).fit(x)))


def test_a_selection_of_factors_is_drawn():
    x = table(200, 8, 2, missing=0.0)
    told = words(plot(nm.select_factors(nm.FactorAnalysis(), x, range(1, 4))))
    assert "number of factors" in told
    assert "best: 2 factors, BIC" in told


def test_what_makes_no_sense_is_refused(oblique):
    fa, frame = oblique
    with pytest.raises(NoumenaError, match="FactorAnalysis: call fit"):
        plot(nm.FactorAnalysis(), frame)
    with pytest.raises(TypeError, match="leave sample_weight out"):
        plot(fa, frame, sample_weight=np.ones(len(frame)))
    with pytest.raises(TypeError, match="has no response"):
        plot(fa, frame, frame["d"])


# ---------------------------------------------------------------------------------------------------------------- page


@pytest.fixture(scope="module")
def page(oblique, tmp_path_factory):
    fa, frame = oblique
    path = tmp_path_factory.mktemp("page") / "r.html"
    write_report(fa, frame, path)
    return read(path)


def test_the_page_says_what_was_found(page, oblique):
    fa, frame = oblique
    assert page.crossed == page.open == []
    assert {"factors", "loadings", "map", "measures", "surprising", "data", "fit", "made"} <= {*page.ids}
    assert {f"#{name}" for name in page.ids} <= {*page.links}
    assert "2 factors of 200 rows by 6 columns" in page.text
    assert "Exploratory, rotated by oblimin." in page.text
    for value in (fa.log_likelihood_, fa.bic(frame)):
        assert number(value, 1) in page.text
    assert "1 row without any observed cell says nothing: factor scores there are 0" in page.text
    assert "These are not the rows" not in page.text
    assert "a < b & <i>c" in page.text  # a name, not markup


def test_the_page_has_loadings_with_standard_errors(page, oblique):
    fa, frame = oblique
    errors = fa.standard_errors(frame)
    text = "".join(page.text.split()).replace("−", "-")
    j = int(np.abs(fa.standardized_loadings_[:, 0]).argmax())
    value, error = fa.standardized_loadings_[j, 0], errors.standardized_loadings[j, 0]
    assert f"{value:.3f}±{error:.3f}" in text
    value, error = fa.factor_correlations_[1, 0], errors.factor_correlations[1, 0]
    assert "±".join(plus_minus(value, error)).replace("−", "-") in text
    assert f"{fa.noise_variance_[j]:.2f}" in text


def test_the_page_has_fit_measures_and_how_they_are_read(page, oblique):
    fa, frame = oblique
    found = fa.fit_measures(frame)
    assert f"{number(found.chi2, 2)} ({found.dof} degrees of freedom, p = {number(found.p_value, 3)})" in page.text
    low, high = found.rmsea_interval
    assert f"{number(found.rmsea, 3)} ({number(low, 3)} to {number(high, 3)})" in page.text
    assert "Hu & Bentler 1999" in page.text


def test_surprising_rows_are_those_of_the_lowest_density_with_their_least_expected_cell(page, oblique):
    fa, frame = oblique
    density = fa.score_samples(frame)
    density[3] = np.inf  # nothing is observed there
    row = int(density.argmin())
    x = frame.iloc[row].to_numpy()
    away = {}
    for j in np.flatnonzero(~np.isnan(x)):
        holed = x.copy()
        holed[j] = np.nan
        holed = pd.DataFrame([holed], columns=NAMES)
        mean = float(fa.impute(holed).iloc[0, j])
        seen = [i for i in np.flatnonzero(~np.isnan(x)) if i != j]
        s = fa.get_covariance()
        rest = s[j, j] - s[j, seen] @ np.linalg.solve(s[np.ix_(seen, seen)], s[seen, j])
        away[j] = (x[j] - mean) / np.sqrt(rest)
    j = max(away, key=lambda i: abs(away[i]))
    sign = "+" if away[j] > 0 else ""
    assert f"{row}{number(density[row], 2)}" in "".join(page.text.split("\n"))
    assert f"{sign}{number(away[j], 1)}" in page.text


def test_bounds_are_not_called_likelihoods(tmp_path):
    x = table(150, 6, 2)
    pca = nm.BayesianPCA().fit(x)
    write_report(pca, x, tmp_path / "r.html")
    text = read(tmp_path / "r.html").text
    assert f"{number(pca.lower_bound_, 1)}lower bound" in text
    assert "of the log evidence, nats" in text
    assert f"{number(pca.log_likelihood_, 1)}exact" in text
    assert "BIC" not in text
    assert "have a posterior" in text
    assert "the lower bound of the log evidence at every iteration" in text
    write_report(pca, x[:100], tmp_path / "r.html")
    assert "of the log evidence, nats, of the rows of the fit" in read(tmp_path / "r.html").text


def test_principal_components_tell_shares_and_of_units(tmp_path):
    x = table(150, 6, 2, missing=0.0) * [100, 1, 1, 1, 1, 1]
    pca = nm.ProbabilisticPCA(2).fit(x)
    write_report(pca, x, tmp_path / "r.html")
    text = read(tmp_path / "r.html").text
    assert "2 principal components of 150 rows by 6 columns" in text
    assert "of the total variance of the columns, and one noise variance holds for all" in text
    value, error = pca.standardized_loadings_[3, 1], pca.standard_errors(x).standardized_loadings[3, 1]
    assert f"{value:.3f}±{error:.3f}" in "".join(text.split()).replace("−", "-")
    assert "Fit measures" not in text


def test_heywood_cases_and_too_many_factors_are_warned_of(tmp_path):
    rng = np.random.default_rng(1)
    z = rng.normal(size=(80, 1))
    x = np.column_stack([z, z + rng.normal(size=(80, 4))])
    with pytest.warns(nm.DegenerateWarning):
        fa = nm.FactorAnalysis(1).fit(x)
    write_report(fa, x, tmp_path / "r.html")
    text = read(tmp_path / "r.html").text
    assert "Do not trust: The factors explain x0 but for the least noise that is allowed (a Heywood case)" in text
    fa = nm.FactorAnalysis(3, max_iter=5, tol=0).fit(table(80, 4, 2, missing=0.0))
    write_report(fa, table(80, 4, 2, missing=0.0), tmp_path / "r.html")
    text = read(tmp_path / "r.html").text
    assert "so many factors take more parameters than the covariances of the columns have" in text
    assert "leaves nothing to be tested" in text


def test_other_rows_few_rows_and_missing_measures_are_told(tmp_path):
    x = table(200, 8, 2, missing=0.0)
    fa = nm.FactorAnalysis(2, rotation="varimax").fit(x)
    write_report(fa, x[:8], tmp_path / "r.html", standard_errors=False)
    text = read(tmp_path / "r.html").text
    assert "These are not the rows that the model was fitted on, or they were weighted at the fit" in text
    assert "31 free parameters for 8 rows: fewer than 5 rows for each. Fewer factors will generalise better." in text
    assert "There are none: a normal without structure, which they compare with, needs more rows than columns" in text


def test_weights_are_those_of_the_fit(tmp_path):
    x, weight = table(120, 5, 1), 1.0 + np.arange(120) % 2
    fa = nm.FactorAnalysis(1).fit(x, sample_weight=weight)
    write_report(fa, x, tmp_path / "r.html", sample_weight=weight, standard_errors=False)
    text = read(tmp_path / "r.html").text
    assert "These are not the rows" not in text
    assert number(fa.bic(x, weight), 1) in text
    assert "sample_weight=weight" in text


def test_the_selection_is_on_the_page_and_in_the_program(tmp_path):
    x = table(200, 8, 2, missing=0.0)
    best = nm.select_factors(nm.FactorAnalysis(rotation="varimax"), x, range(1, 4))
    write_report(best.estimator_, x, tmp_path / "r.html", selection=best, standard_errors=False)
    text = read(tmp_path / "r.html").text
    assert "3 candidates, compared by BIC" in text
    assert (
        "best = nm.select_factors(\n    nm.FactorAnalysis(rotation='varimax'), table,\n    n_factors=[1, 2, 3]," in text
    )


def test_the_page_of_a_file_reads_the_fitted_columns(tmp_path):
    path = real_path("classical/holzinger_swineford.csv")
    columns = [f"x{j}" for j in range(1, 10)]
    fa = nm.FactorAnalysis(3, rotation="varimax").fit(pd.read_csv(path)[columns])
    write_report(fa, path, tmp_path / "r.html", standard_errors=False)
    text = read(tmp_path / "r.html").text
    assert "3 factors of 301 rows by 9 columns" in text
    assert "22.90 (12 degrees of freedom, p = 0.029)" in text  # factanal, and others, of these data
    assert "No warnings" in text


def test_a_mixture_of_factor_analysers_is_drawn_and_reported_as_a_mixture(tmp_path):
    x = np.concatenate([table(80, 8, 1, missing=0.0), table(80, 8, 1, seed=1, missing=0.0) + 4])
    mfa = nm.MixtureOfFactorAnalyzers(2, n_factors=1, random_state=0).fit(x)
    assert "component 0" in words(plot(mfa, x))
    write_report(mfa, x, tmp_path / "r.html", standard_errors=False)
    text = read(tmp_path / "r.html").text
    assert "2 clusters of 160 rows by 8 columns" in text
    assert "Components: factor analysers with 1 factor." in text


def test_explained_shares_add_up_to_the_communalities(oblique):
    fitted = factors_taken_apart(oblique[0], "a test")
    assert fitted.explained.sum() == pytest.approx(oblique[0].communalities_.mean(), rel=1e-12)
