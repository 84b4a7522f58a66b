"""Drawings and pages of mixtures of every family: what is drawn is what was fitted."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import noumena as nm
from noumena.core.errors import NoumenaError
from noumena.report import plot, write_report
from noumena.report.fitted import taken_apart
from noumena.report.levels import MOST_BARS, MOST_LEVELS
from noumena.report.marginals import MOST_PANELS
from noumena.report.membership import membership, rows_to_draw, separation_by_columns
from noumena.report.style import NOISE, colour

from .test_html import read
from .test_plots import panels, words


@pytest.fixture(scope="module")
def mixed():
    """A column of every family, in two groups, with holes and a row that is wholly missing."""
    rng, n = np.random.default_rng(0), 240
    z = np.arange(n) % 2
    frame = pd.DataFrame(
        {
            "length": rng.normal(6.0 * z, 1.0),
            "width": rng.normal(-4.0 * z, 1.0),
            "mass": rng.normal(50.0 + 30.0 * z, 5.0),
            "income": np.exp(rng.normal(1.0 + z, 0.3)),
            "wait": rng.gamma(2.0 + 6.0 * z),
            "life": rng.exponential(1.0 + 4.0 * z),
            "share": rng.beta(2.0 + 6.0 * z, 5.0),
            "angle": rng.vonmises(2.0 * z, 4.0) % (2 * np.pi),
            "visits": rng.poisson(2.0 + 6.0 * z),
            "claims": rng.negative_binomial(3, np.where(z, 0.3, 0.7)),
            "zeros": np.where(rng.random(n) < 0.4, 0, rng.poisson(3.0 + 5.0 * z)),
            "hits": rng.binomial(10, 0.2 + 0.5 * z),
            "smoker": rng.random(n) < 0.2 + 0.6 * z,
            "town": np.array(["Aix", "Bonn", "Cork <i>"])[(z + rng.integers(0, 2, n)) % 3],
            "red": rng.poisson(2.0 + 7.0 * z),
            "blue": rng.poisson(7.0 - 4.0 * z),
        }
    ).astype({"smoker": object})
    frame.loc[::11, "length"], frame.loc[3::13, "visits"], frame.loc[5::17, "town"] = np.nan, np.nan, None
    frame.loc[7] = None
    families = {
        ("length", "width"): "normal", "mass": "normal", "income": "log-normal", "wait": "gamma",
        "life": "exponential", "share": "beta", "angle": "von-mises", "visits": "poisson",
        "claims": "negative-binomial", "zeros": "zero-inflated-poisson", "hits": "binomial", "smoker": "bernoulli",
        "town": "categorical", ("red", "blue"): "multinomial",
    }  # fmt: skip
    for name, family in families.items():
        if family not in ("categorical", "bernoulli"):
            frame[list(name) if isinstance(name, tuple) else name] = frame[
                list(name) if isinstance(name, tuple) else name
            ].astype(float)
    return nm.Mixture(families, 2, random_state=0).fit(frame), frame


@pytest.fixture(scope="module")
def items():
    """Latent classes of three items, one of which has many levels."""
    rng, n = np.random.default_rng(1), 300
    z = np.arange(n) % 3
    frame = pd.DataFrame(
        {
            "answer": np.where(rng.random(n) < np.array([0.1, 0.5, 0.9])[z], "yes", "no"),
            "grade": 1 + (z + (rng.random(n) < 0.3)) % 3,
            "town": [f"town {i:02d}" for i in (4 * z + rng.integers(0, 6, n))],
        }
    )
    frame.loc[::10, "grade"] = None
    return nm.LatentClassAnalysis(3, n_init=3, random_state=0).fit(frame), frame


@pytest.fixture(scope="module")
def robust():
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.standard_t(3, (150, 3)), 9 + rng.standard_t(3, (150, 3))])
    x[::9, 1] = np.nan
    return nm.StudentTMixture(2, covariance="EEE", degrees_of_freedom="common", random_state=0).fit(x), x


def bars(figure) -> dict[str, np.ndarray]:
    """The widths of each component's bars from above, by the title of the panel."""
    return {axes.get_title(loc="left"): np.array([bar.get_width() for bar in axes.patches]) for axes in panels(figure)}


def panel(figure, name):
    return next(axes for axes in panels(figure) if axes.get_xlabel() == name)


# ------------------------------------------------------------------------------------------------------------- levels


def test_the_bars_are_the_probabilities_of_the_levels(items):
    lca, frame = items
    drawn = bars(plot(lca, frame, columns=["answer", "grade"]))
    assert [title[0] for title in drawn] == ["0", "1", "2"]
    for k, widths in enumerate(drawn.values()):
        wanted = [lca.probabilities_["answer"][k, 1], *lca.probabilities_["grade"][k]]  # of two levels, the second
        np.testing.assert_array_equal(widths, wanted)


def test_bars_have_the_names_of_levels_and_a_mark_at_the_share_of_all_rows(items):
    lca, frame = items
    figure = plot(lca, frame, columns=["answer", "grade"])
    axes = panels(figure)[0]
    figure.canvas.draw()
    assert [text.get_text() for text in axes.get_yticklabels()] == ["answer = yes", "grade", "1", "2", "3"]
    answer, grade = (line.get_xdata() for line in axes.lines)
    np.testing.assert_allclose(answer, [(frame["answer"] == "yes").mean()], rtol=1e-14)
    np.testing.assert_allclose(grade, frame["grade"].value_counts(normalize=True).sort_index(), rtol=1e-14)
    assert {to_hex(bar.get_facecolor()) for bar in axes.patches} == {colour(0)}


def test_weights_move_the_shares(items):
    lca, frame = items
    weight = np.where(frame["answer"] == "yes", 3.0, 1.0)
    (share,) = panels(plot(lca, frame, columns=["answer"], sample_weight=weight))[0].lines[0].get_xdata()
    assert share == pytest.approx(weight[frame["answer"] == "yes"].sum() / weight.sum())


def test_rare_levels_are_taken_together_and_nothing_is_lost(items):
    lca, frame = items
    figure = plot(lca, frame, columns=["town"])
    left = len(lca.levels_["town"]) - (MOST_LEVELS - 1)
    assert f"{left} other levels" in words(figure)
    for widths in bars(figure).values():
        assert len(widths) == MOST_LEVELS
        assert widths.sum() == pytest.approx(1.0)


def test_bernoulli_columns_have_the_bar_of_a_one_and_many_columns_are_cut():
    rng = np.random.default_rng(0)
    p = np.array([[0.9, 0.1], [0.1, 0.9]])[:, np.arange(60) % 2]
    p[:, 50:] = 0.5  # tells nothing: the first to be left out
    x = (rng.random((400, 60)) < p[np.arange(400) % 2]).astype(np.uint8)
    bm = nm.BernoulliMixture(2, random_state=0).fit(x)
    figure = plot(bm, x)
    assert f"the {MOST_BARS} of 60 columns that separate the components best" in words(figure)
    for k, widths in enumerate(bars(figure).values()):
        assert len(widths) == MOST_BARS
        assert {*widths} <= {*bm.probabilities_[k, :50]}
    for k, widths in enumerate(bars(plot(bm, x, columns=[3, 58])).values()):
        np.testing.assert_array_equal(widths, bm.probabilities_[k, [3, 58]])


def test_many_components_lie_in_bands():
    rng = np.random.default_rng(0)
    x = (rng.random((400, 6)) < 0.5).astype(float)
    bm = nm.BernoulliMixture(30, prior="default", random_state=0, tol=0, max_iter=2).fit(x)
    figure = plot(bm, x)
    assert len(bars(figure)) == 24
    assert "the 24 largest of 30 components" in words(figure)
    assert {len(widths) for widths in bars(figure).values()} == {6}


def test_columns_that_share_out_a_total_are_one_profile(mixed):
    mixture, frame = mixed
    for k, widths in enumerate(bars(plot(mixture, frame, columns=["red", "blue"])).values()):
        np.testing.assert_array_equal(widths, mixture.parameters_["red", "blue"]["probability"][k])


# ------------------------------------------------------------------------------------------------------------ numbers


@pytest.fixture(scope="module")
def numbers(mixed):
    """The panels of all columns of numbers, by name."""
    mixture, frame = mixed
    return {axes.get_xlabel(): axes for axes in panels(plot(mixture, frame)) if axes.get_xlabel()}


@pytest.mark.parametrize("name", ["mass", "income", "wait", "life", "share"])
def test_the_densities_hold_as_much_as_the_bars(mixed, numbers, name):
    mixture, axes = mixed[0], numbers[name]
    assert sum(bar.get_width() * bar.get_height() for bar in axes.patches) == pytest.approx(1.0)
    # trapezes on 300 points or more; what lies beyond the axis, and at a bound that is never met, is a few per cent
    *components, total = (np.trapezoid(line.get_ydata(), line.get_xdata()) for line in axes.lines)
    np.testing.assert_allclose(components, mixture.weights_, rtol=0.06)
    assert total == pytest.approx(1.0, abs=0.05)


def test_the_sum_of_the_components_is_the_mixture_itself(mixed, numbers):
    mixture, frame = mixed
    drawn = {name: axes.lines[-1].get_data() for name, axes in numbers.items()}
    assert len(drawn) == 12
    ends = np.cumsum([len(at) for at, _ in drawn.values()])
    rows = pd.DataFrame(np.nan, index=range(ends[-1]), columns=frame.columns).astype({"town": object, "smoker": object})
    for (name, (at, _)), end in zip(drawn.items(), ends, strict=True):
        rows.loc[end - len(at) : end - 1, name] = at
    total = np.concatenate([total for _, total in drawn.values()])
    np.testing.assert_allclose(np.log(total), mixture.score_samples(rows), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["visits", "claims", "zeros", "hits"])
def test_probabilities_of_counts_stand_at_whole_numbers_and_sum_to_the_weights(mixed, numbers, name):
    (mixture, frame), axes = mixed, numbers[name]
    *components, total = axes.lines
    at = total.get_xdata()
    np.testing.assert_array_equal(at, np.arange(at[0], at[0] + len(at)))
    assert at[0] == 0
    assert total.get_ydata().sum() == pytest.approx(1.0, abs=0.02)
    np.testing.assert_allclose([line.get_ydata().sum() for line in components], mixture.weights_, rtol=0.04)
    shares = frame[name].value_counts(normalize=True)
    heights = {bar.get_x() + 0.5: bar.get_height() for bar in axes.patches if bar.get_height()}
    assert {round(x): pytest.approx(height) for x, height in heights.items()} == shares.to_dict()


def test_poisson_probabilities_are_those_of_the_rates():
    x = np.random.default_rng(0).poisson([[1.0, 20.0]], (200, 2))
    pm = nm.PoissonMixture(1).fit(x)
    assert plot(pm, x, columns=[0]).axes[0].get_ylabel() == "probability"
    for axes, rate in zip(panels(plot(pm, x)), pm.rates_[0], strict=True):
        (line,) = axes.lines
        at = line.get_xdata()
        below, above = line.get_ydata()[:-1], line.get_ydata()[1:]
        np.testing.assert_allclose(above / below, rate / at[1:], rtol=1e-9)  # P(n) / P(n − 1) = λ / n


def test_large_counts_are_gathered_in_bins_of_whole_numbers():
    x = np.random.default_rng(0).poisson(500.0, (300, 1))
    (axes,) = plot(nm.PoissonMixture(1).fit(x), x).axes
    width = axes.patches[0].get_width()
    assert width == round(width) > 1
    assert sum(bar.get_width() * bar.get_height() for bar in axes.patches) == pytest.approx(1.0)
    assert axes.get_ylim()[1] < 0.05  # bars and line are both per count


def test_weights_move_the_bars(mixed):
    mixture, frame = mixed
    weight = np.where(frame["visits"] == 4, 5.0, 1.0)
    axes = panel(plot(mixture, frame, columns=["visits"], sample_weight=weight), "visits")
    seen = frame["visits"].notna()
    wanted = weight[frame["visits"] == 4].sum() / weight[seen].sum()
    assert next(bar.get_height() for bar in axes.patches if bar.get_x() == 3.5) == pytest.approx(wanted)


def test_a_density_without_bound_leaves_the_bars_visible():
    x = np.random.default_rng(0).gamma(0.3, 1.0, (400, 1))
    mixture = nm.Mixture({0: "gamma"}, 1).fit(x)
    (axes,) = plot(mixture, x).axes
    assert axes.get_ylim()[1] <= 3 * max(bar.get_height() for bar in axes.patches)
    assert axes.lines[0].get_ydata().max() > axes.get_ylim()[1]


def test_many_columns_of_numbers_are_cut_to_those_that_separate_best():
    rng = np.random.default_rng(0)
    x = rng.poisson(3.0, (200, 20))
    x[100:, 5:9] += 10
    figure = plot(nm.PoissonMixture(2, random_state=0).fit(x), x)
    drawn = [axes.get_xlabel() for axes in panels(figure)]
    assert len(drawn) == MOST_PANELS
    assert {"x5", "x6", "x7", "x8"} <= {*drawn}
    assert f"the {MOST_PANELS} of 20 columns that separate best" in words(figure)


def test_separation_is_the_share_of_variance_between_components(items, mixed):
    lca, frame = items
    fitted = taken_apart(lca, "a test")
    drawn = rows_to_draw(fitted, lca._table(frame))
    shares = separation_by_columns(drawn, [2, 3, 12])
    yes = (frame["answer"] == "yes").to_numpy(float)
    weight = drawn.posterior.sum(axis=0)
    means = drawn.posterior.T @ yes / weight
    assert shares[0] == pytest.approx(weight @ (means - yes.mean()) ** 2 / len(yes) / yes.var())
    assert ((shares >= 0) & (shares <= 1)).all()


# ---------------------------------------------------------------------------------------------------------- ellipsoids


def test_a_group_of_normals_is_drawn_in_pairs_and_other_columns_are_not(mixed):
    mixture, frame = mixed
    figure = plot(mixture, frame, columns=["length", "width"])
    assert len(panels(figure)) == 3
    assert "95% of a component" in words(figure)
    assert "hollow" in words(figure)
    below = next(axes for axes in panels(figure) if len(axes.texts) == 2)
    for k, line in enumerate(below.lines):
        np.testing.assert_allclose(
            [line.get_xdata()[:-1].mean(), line.get_ydata()[:-1].mean()],
            mixture.parameters_["length", "width"]["mean"][k],
            rtol=1e-9,
        )
    assert "95%" not in words(plot(mixture, frame, columns=["length", "mass"]))  # of two groups


def test_the_ellipse_of_a_t_holds_95_percent(robust):
    tm, _ = robust
    (group,) = taken_apart(tm, "a test").ellipsoids
    drawn, component = tm.sample(40_000, random_state=0)
    for k in range(2):
        own = drawn[component == k][:, :2] - tm.locations_[k, :2]
        distance = np.einsum("ni,ij,nj->n", own, np.linalg.inv(tm.scales_[k, :2, :2]), own)
        # standard error of a share of 0.95 in 19,000 rows: 0.0016; six of them, a false alarm in 10⁸
        assert np.mean(distance <= group.radius[k] ** 2) == pytest.approx(0.95, abs=0.0095)


def test_t_mixtures_are_drawn_as_gaussian_ones_are(robust):
    tm, x = robust
    figure = plot(tm, x)
    assert len(panels(figure)) == 6
    at, total = panels(figure)[0].lines[-1].get_data()
    alone = np.full((len(at), 3), np.nan)
    alone[:, 0] = at
    np.testing.assert_allclose(np.log(total), tm.score_samples(alone), rtol=1e-9, atol=1e-9)


def test_more_than_six_columns_of_a_t_are_projected():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_t(5, (80, 7)), 6 + rng.standard_t(5, (80, 7))])
    tm = nm.StudentTMixture(2, covariance="EEI", degrees_of_freedom=5, random_state=0).fit(x)
    assert "correlation with direction 1" in words(plot(tm, x))


# --------------------------------------------------------------------------------------------------------------- page


@pytest.fixture(scope="module")
def page(mixed, tmp_path_factory):
    mixture, frame = mixed
    path = tmp_path_factory.mktemp("families") / "mixed.html"
    write_report(mixture, frame, path, standard_errors=False)
    return path


def test_the_page_of_a_mixture_says_what_was_fitted(page, mixed):
    mixture, frame = mixed
    outline = read(page)
    assert outline.crossed == outline.open == []
    assert "2 clusters of 240 rows by 16 columns" in outline.text
    for value in (mixture.log_likelihood_, mixture.bic(frame), mixture.icl(frame)):
        assert f"{value:,.1f}".replace("-", "−") in outline.text
    for words_ in ("log-normal", "von-mises", "zero-inflated-poisson", "Probabilities of levels", "Column by column"):
        assert words_ in outline.text
    for rate in mixture.parameters_["visits"]["rate"]:
        assert f"{rate:.2f}" in outline.text
    for chance in mixture.parameters_["town"]["probability"].ravel():
        assert f"{chance:.3f}" in outline.text
    assert outline.tags.count("svg") == 5  # missing pattern, trace, pairs, histograms, bars
    assert "1 row without any observed cell says nothing" in outline.text


def test_names_of_levels_are_text_never_markup(page):
    assert "Cork <i>" not in page.read_text()
    assert "Cork <i>" in read(page).text


def test_the_page_of_latent_classes_has_their_selection_and_standard_errors(items, tmp_path):
    lca, frame = items
    best = nm.select(lca, frame, n_components=[2, 3])
    write_report(best.estimator_, frame, tmp_path / "r.html", selection=best)
    outline = read(tmp_path / "r.html")
    assert re.search(r"latent class(es)? of 300 rows by 3 items", outline.text)
    assert "2 candidates, compared by BIC" in outline.text
    assert "structure" not in outline.text.split("Candidates")[1].split("status")[0]
    errors = best.estimator_.standard_errors(frame).probabilities["answer"][:, 1]
    assert f"± {errors.max():.3f}" in outline.text
    compiled = re.search(r"import noumena as nm.*?selection=best\)", outline.text, re.DOTALL)[0]
    compile(compiled, "report", "exec")
    assert "covariance" not in compiled


def test_the_page_of_a_t_mixture_has_locations_scales_and_degrees_of_freedom(robust, tmp_path):
    tm, x = robust
    write_report(tm, x, tmp_path / "r.html", standard_errors=False)
    text = read(tmp_path / "r.html").text
    assert "degrees of freedom" in text
    assert f"{tm.degrees_of_freedom_[0]:.2f}" in text
    assert "Scale matrices EEE: their volume is shared" in text
    assert "Numbers stand at the locations" in text


def test_the_weights_of_a_fit_are_those_of_its_page(tmp_path):
    rng = np.random.default_rng(0)
    x, weight = rng.poisson(4.0, (80, 2)), rng.integers(1, 4, 80).astype(float)
    pm = nm.PoissonMixture(1).fit(x, sample_weight=weight)
    write_report(pm, x, tmp_path / "weighted.html", sample_weight=weight)
    text = read(tmp_path / "weighted.html").text
    assert "These are not the rows" not in text
    assert f"{pm.bic(x, sample_weight=weight):,.1f}" in text
    assert f"{weight.sum():.1f}" in text  # the rows that the component is expected to hold
    write_report(pm, x, tmp_path / "plain.html", standard_errors=False)
    assert "These are not the rows" in read(tmp_path / "plain.html").text


def test_wide_tables_of_bits_make_a_page_of_those_that_separate_best(tmp_path):
    rng = np.random.default_rng(0)
    x = (rng.random((300, 150)) < np.array([0.3, 0.7])[np.arange(300) % 2, None]).astype(np.uint8)
    bm = nm.BernoulliMixture(2, random_state=0).fit(x)
    write_report(bm, x, tmp_path / "r.html", standard_errors=False)
    text = read(tmp_path / "r.html").text
    assert "The 100 of 150 columns that separate the components best are told below" in text
    assert f"The {MOST_BARS} of 150 columns that separate the components best" in text
    assert (tmp_path / "r.html").stat().st_size < 1_000_000


def test_many_small_components_are_one_warning(tmp_path):
    x = np.random.default_rng(0).poisson(3.0, (40, 2))
    pm = nm.PoissonMixture(15, prior="default", tol=0, max_iter=2, random_state=0).fit(x)
    write_report(pm, x, tmp_path / "r.html", standard_errors=False)
    text = read(tmp_path / "r.html").text
    assert re.search(r"\d+ components \([\d, ]+\) are expected to hold fewer than 5 rows each", text)
    assert "It may be a group of outliers" not in text


def test_membership_of_weighted_rows(items):
    lca, frame = items
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(frame))
    told = membership(taken_apart(lca, "a test"), lca._table(frame), weight=weight)
    np.testing.assert_allclose(told.expected, weight @ lca.predict_proba(frame))
    assert told.log_likelihood == pytest.approx(weight @ lca.score_samples(frame))
    assert told.total_weight == pytest.approx(weight.sum())


def test_noise_is_one_more_component(tmp_path):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (80, 2)), rng.normal(7, 1, (80, 2)), rng.uniform(-15, 25, (25, 2))])
    gm = nm.GaussianMixture(2, noise="box", random_state=0).fit(x)
    figure = plot(gm, x)
    assert f"noise ({100 * gm.noise_weight_:.0f}%)" in words(figure)
    first, second, noise, _ = panels(figure)[0].lines
    assert [to_hex(line.get_color()) for line in (first, second, noise)] == [colour(0), colour(1), NOISE]
    np.testing.assert_allclose(noise.get_ydata(), gm.noise_weight_ / np.ptp(x[:, 0]), rtol=1e-9)
    told = membership(taken_apart(gm, "a test"), gm._table(x))
    np.testing.assert_allclose(told.expected, gm.predict_proba(x).sum(axis=0))
    write_report(gm, x, tmp_path / "r.html", standard_errors=False)
    text = read(tmp_path / "r.html").text
    assert re.search(rf"noise\s*{gm.noise_weight_:.4f}", text)
    assert f"{told.expected[2]:.1f}" in text


@pytest.mark.slow
def test_covariates_have_a_table_and_weights_are_averages(tmp_path):
    rng, n = np.random.default_rng(0), 300
    age = rng.normal(size=n)
    z = rng.random(n) < 1 / (1 + np.exp(-2 * age))
    answers = {name: np.where(rng.random(n) < 0.15 + 0.7 * z, "yes", "no") for name in "abc"}
    frame = pd.DataFrame({**answers, "age": age})
    lca = nm.LatentClassAnalysis(2, covariates=["age"], n_init=2, random_state=0).fit(frame)
    for k, widths in enumerate(bars(plot(lca, frame)).values()):
        np.testing.assert_array_equal(widths, [lca.probabilities_[name][k, 1] for name in "abc"])
    write_report(lca, frame, tmp_path / "r.html")
    text = read(tmp_path / "r.html").text
    assert "the weights above are averages over the rows" in text
    assert f"± {lca.standard_errors(frame).membership_coef[1, 0]:.2f}" in text
    assert "These are not the rows" not in text


def test_what_is_no_fitted_mixture_is_refused():
    with pytest.raises(NoumenaError, match="LatentClassAnalysis: call fit first"):
        plot(nm.LatentClassAnalysis(2), [["a"]])
    with pytest.raises(NoumenaError, match=r"needs a fitted mixture .* this is a list"):
        plot([1, 2], [["a"]])
