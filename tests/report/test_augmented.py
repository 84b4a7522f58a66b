"""Drawings and the page of regressions by augmentation: numbers are the estimator's own, dots are its coefficients."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib.colors import to_rgba
from scipy.sparse import csr_matrix

import noumena as nm
from noumena.core.errors import NoumenaError
from noumena.report import plot, plot_trace, write_report
from noumena.report.augmented_plots import MOST_COEFFICIENTS, MOST_PREDICTORS
from noumena.report.digits import number, plus_minus
from noumena.report.style import ACCENT, COLOURS

from .conftest import HOSTILE
from .test_html import read
from .test_plots import words

HALF = 1.959964


def table(n=120, seed=0):
    """Numbers of different size, a column of levels, a hostile and a formula's name."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 2)) * [1, 100], columns=["$x_1$", HOSTILE])
    frame["town"] = rng.choice(["Bern", "Graz", "Lyon"], n)
    return frame


def answer(frame, seed=1):
    noise = np.random.default_rng(seed).normal(size=len(frame))
    return 3 + 2 * frame["$x_1$"] - 0.01 * frame[HOSTILE] + (frame["town"] == "Lyon") + noise


@pytest.fixture(scope="module")
def linear():
    """A linear regression on numbers and levels, whose table holds the response as a column."""
    frame = table()
    y = answer(frame).rename("gain")
    return nm.AugmentedRegressor().fit(frame, y), frame.assign(gain=y)


@pytest.fixture(scope="module")
def choices():
    """Three classes."""
    frame = table(200)
    y = np.array(["low", "middle", "top"])[np.digitize(answer(frame), [2, 4.5])]
    return nm.AugmentedClassifier("multinomial_logit").fit(frame, y), frame, y


def effects(axes) -> tuple[np.ndarray, np.ndarray, list[bool]]:
    """Dots (place along the axis and height), ends of the intervals, and which dots are hollow."""
    dots = [one for one in axes.lines if one.get_marker() not in ("None", "", None)]
    bars = [one for one in axes.lines if len(one.get_xdata()) == 2 and one.get_ydata()[0] == one.get_ydata()[1]]
    place = np.array([[float(np.ravel(xy)[0]) for xy in one.get_data()] for one in dots]).reshape(-1, 2)
    ends = np.array([one.get_xdata() for one in bars], dtype=float).reshape(-1, 2)
    return place, ends, [one.get_markerfacecolor() == "white" for one in dots]


def names(axes) -> list[str]:
    return [one.get_text() for one in axes.get_yticklabels()]


def spread(estimator, frame) -> np.ndarray:
    """Standard deviations of the columns of the design."""
    design = np.column_stack([frame["$x_1$"], frame[HOSTILE], frame["town"] == "Graz", frame["town"] == "Lyon"])
    assert design.shape[1] == len(estimator.coef_names_)
    return design.std(axis=0)


# ------------------------------------------------------------------------------------------------------------ drawings


def test_dots_stand_at_effects_of_one_standard_deviation_with_95_percent_intervals(linear):
    model, frame = linear
    figure = plot(model, frame, "gain")
    axes = figure.axes[0]
    place, ends, hollow = effects(axes)
    scale = spread(model, frame)
    np.testing.assert_allclose(place[:, 0], model.coef_ * scale, rtol=1e-9)
    np.testing.assert_allclose(place[:, 1], range(4))
    half = HALF * model.standard_errors(frame.drop(columns="gain"), frame["gain"]).coef * scale
    np.testing.assert_allclose(ends, np.column_stack([place[:, 0] - half, place[:, 0] + half]), rtol=1e-9)
    assert hollow == [False] * 4
    assert names(axes)[0] == "$x_1$"  # not read as a formula
    assert names(axes)[2:] == ["town[Graz]", "town[Lyon]"]
    assert axes.get_xlabel() == "change of gain\nfor one standard deviation of the column"


def test_responses_lie_at_their_predictions(linear):
    model, frame = linear
    axes = plot(model, frame, "gain").axes[1]
    drawn = np.concatenate([one.get_offsets() for one in axes.collections])
    expected = np.column_stack([model.predict(frame.drop(columns="gain")), frame["gain"]])
    np.testing.assert_allclose(drawn, expected, rtol=1e-12)
    assert axes.get_ylabel() == "gain"
    assert "response = prediction" in words(axes.figure.figure)


def test_without_rows_there_are_dots_alone(linear):
    model, frame = linear
    figure = plot(model)
    assert len(figure.axes) == 1
    place, ends, _ = effects(figure.axes[0])
    np.testing.assert_allclose(place[:, 0], model.coef_ * spread(model, frame), rtol=1e-9)
    assert len(ends) == 0
    assert "interval" not in words(figure)


def test_columns_are_chosen_by_name_with_all_their_levels(linear):
    model, frame = linear
    figure = plot(model, frame, "gain", columns=["town", 0])
    assert names(figure.axes[0]) == ["$x_1$", "town[Graz]", "town[Lyon]"]
    with pytest.raises(nm.DataError, match="no such column"):
        plot(model, columns=["nope"])


def test_posteriors_bring_their_own_intervals():
    frame = table()
    y = answer(frame)
    model = nm.AugmentedRegressor(prior="ridge", hyperparameters="evidence").fit(frame, y)
    place, ends, _ = effects(plot(model).axes[0])
    half = HALF * np.sqrt(np.diagonal(model.covariance_))[1:] * spread(model, frame)
    np.testing.assert_allclose(ends, np.column_stack([place[:, 0] - half, place[:, 0] + half]), rtol=1e-9)
    assert "posterior means and 95% intervals" in words(plot(model))
    assert "log evidence" in words(plot_trace(model))


def test_coefficients_of_0_are_hollow_and_have_no_interval():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 6))
    y = 3 * x[:, 0] + rng.normal(size=100)
    model = nm.AugmentedRegressor(prior="laplace", penalty=40.0).fit(x, y)
    zero = model.coef_ == 0
    assert 0 < zero.sum() < 6
    figure = plot(model, x, y)
    _, ends, hollow = effects(figure.axes[0])
    assert hollow == zero.tolist()
    assert len(ends) == (~zero).sum()
    assert "hollow: exactly 0" in words(figure)
    assert "log posterior" in words(plot_trace(model))


def test_of_many_coefficients_those_of_the_largest_effects_are_drawn_and_it_is_said():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 50)) * np.geomspace(1, 100, 50)
    y = x @ rng.normal(size=50) + rng.normal(size=300)
    model = nm.AugmentedRegressor().fit(x, y)
    figure = plot(model, x, y)
    assert f"the {MOST_COEFFICIENTS} of 50 coefficients of the largest effects" in words(figure)
    best = np.sort(np.argsort(-np.abs(model.coef_ * x.std(axis=0)))[:MOST_COEFFICIENTS])
    assert names(figure.axes[0]) == [f"x{j}" for j in best]
    z = x / x.std(axis=0)
    sparse = nm.AugmentedRegressor(prior="laplace", penalty=40.0).fit(z, z[:, 0] - z[:, 40] + rng.normal(size=300))
    some = np.flatnonzero(sparse.coef_)
    assert 0 < len(some) < MOST_COEFFICIENTS
    figure = plot(sparse)
    assert f"the {len(some)} of 50 coefficients that are not 0" in words(figure)
    assert names(figure.axes[0]) == [f"x{j}" for j in some]
    nothing = nm.AugmentedRegressor(prior="laplace", penalty=1e6).fit(z, y)
    assert f"the {MOST_COEFFICIENTS} of 50 coefficients (all are 0)" in words(plot(nothing))


def test_each_class_has_a_colour_of_its_own(choices):
    model, frame, y = choices
    figure = plot(model, frame, y)
    axes = figure.axes[0]
    place, ends, _ = effects(axes)
    scale = spread(model, frame)
    np.testing.assert_allclose(place[:, 0], (model.coef_ * scale).ravel(), rtol=1e-9)
    half = HALF * (model.standard_errors(frame, y).coef * scale).ravel()
    np.testing.assert_allclose(ends[:, 1] - ends[:, 0], 2 * half, rtol=1e-9)
    dots = [one for one in axes.lines if one.get_marker() not in ("None", "", None)]
    assert [one.get_color() for one in dots] == [COLOURS[1]] * 4 + [COLOURS[2]] * 4
    told = words(figure)
    assert "change of the log odds against low" in told
    assert {"middle", "top"} <= {*told.split("\n")}


def test_many_classes_are_cut_and_it_is_said():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(11), 20)
    x = rng.normal(size=(220, 8)) + rng.normal(size=(11, 8))[y]
    model = nm.AugmentedClassifier("multinomial_logit", prior="ridge", max_iter=5, tol=0).fit(x, y)
    told = words(plot(model))
    assert f"the first {MOST_PREDICTORS} of 10 classes that are compared" in told
    assert "the 6 of 8 columns of the largest effects" in told


def test_each_class_has_the_probabilities_that_it_was_given(choices):
    model, frame, y = choices
    axes = plot(model, frame, y).axes[1]
    given = model.predict_proba(frame)
    for k, (name, drawn) in enumerate(zip(model.classes_, axes.collections, strict=True)):
        np.testing.assert_allclose(drawn.get_offsets()[:, 0], given[y == name, k], rtol=1e-12)
    assert names(axes) == ["low", "middle", "top"]
    shares = [one.get_xdata()[0] for one in axes.lines if one.get_linestyle() == ":"]
    np.testing.assert_allclose(shares, [np.mean(y == name) for name in model.classes_])


def test_two_classes_are_histograms_above_and_below():
    frame = table(150)
    y = answer(frame) > 3
    weight = np.arange(150) % 3.0
    model = nm.AugmentedClassifier("probit").fit(frame, y, weight)
    axes = plot(model, frame, y, sample_weight=weight).axes[1]
    heights = np.array([bar.get_height() for bar in axes.patches]).reshape(2, -1)
    given = model.predict_proba(frame)[:, 1]
    for sign, row, mask in ((1, heights[0], y), (-1, heights[1], ~y)):
        expected = np.histogram(given[mask], np.linspace(0, 1, 21), weights=weight[mask])[0]
        np.testing.assert_allclose(row, sign * expected)
    assert axes.get_xlabel() == "predicted probability of True"


@pytest.mark.parametrize("likelihood", ["student_t", "laplace"])
def test_rows_of_low_weight_are_told_apart(likelihood):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2))
    y = x @ [1.0, 2.0] + rng.normal(size=100)
    y[:5] += 30
    model = nm.AugmentedRegressor(likelihood).fit(x, y)
    weight = model.latents(x, y)["weight"]
    low = weight < 0.25 * np.median(weight)
    assert low[:5].all()
    figure = plot(model, x, y)
    own = next(
        one for one in figure.axes[1].collections if np.allclose(one.get_facecolor()[:, :3], to_rgba(ACCENT)[:3])
    )
    np.testing.assert_allclose(own.get_offsets(), np.column_stack([model.predict(x), y])[low], rtol=1e-12)
    assert f"less than a quarter of the median weight ({low.sum()} rows)" in words(figure)


def test_censored_responses_are_triangles_that_point_to_where_they_lie():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 2))
    time = np.clip(2 + x[:, 0] + rng.normal(size=90), 1.0, 3.0)
    model = nm.AugmentedRegressor("tobit", lower=1.0, upper=3.0).fit(x, time)
    axes = plot(model, x, time).axes[1]
    drawn = {len(one.get_paths()[0].vertices): one for one in axes.collections if len(one.get_offsets())}
    found = [one.get_offsets() for one in axes.collections if len(one.get_offsets())]
    at = {tuple(np.unique(points[:, 1])) for points in found if len(np.unique(points[:, 1])) == 1}
    assert at == {(1.0,), (3.0,)}
    assert len(drawn) == 2  # circles and triangles
    told = words(axes.figure.figure)
    assert "censored: at most this" in told
    assert "censored: at least this" in told
    code = np.where(time == 1.0, -1, np.where(time == 3.0, 1, 0))
    coded = nm.AugmentedRegressor("tobit").fit(x, time, censoring=code)
    again = plot(coded, x, time, censoring=code).axes[1]
    for one, other in zip(axes.collections, again.collections, strict=True):
        np.testing.assert_allclose(one.get_offsets(), other.get_offsets(), rtol=1e-6)


def test_intervals_are_drawn_between_their_ends():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 1))
    z = x[:, 0] + rng.normal(size=60)
    model = nm.AugmentedRegressor("tobit").fit(x, np.column_stack([np.floor(z), np.ceil(z)]))
    axes = plot(model, x, np.column_stack([np.floor(z), np.ceil(z)])).axes[1]
    lines = axes.collections[-1].get_segments()
    np.testing.assert_allclose([one[:, 1] for one in lines], np.column_stack([np.floor(z), np.ceil(z)]))


def test_at_most_5000_rows_are_drawn_and_it_is_said():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6000, 1))
    y = x[:, 0] + rng.normal(size=6000)
    figure = plot(nm.AugmentedRegressor().fit(x, y), x, y)
    assert sum(len(one.get_offsets()) for one in figure.axes[1].collections) == 5000
    assert "5,000 of 6,000 rows drawn" in words(figure)


def test_without_an_intercept_the_deviation_is_that_of_the_rows():
    frame = table()[["$x_1$", HOSTILE]] + 50.0
    y = frame["$x_1$"] + np.random.default_rng(0).normal(size=120)
    model = nm.AugmentedRegressor(fit_intercept=False).fit(frame, y)
    assert "for one root mean square of the column" in words(plot(model))
    ordered = nm.AugmentedClassifier("ordered_probit").fit(frame, np.digitize(y, [49.5, 50.5]))
    assert "for one standard deviation of the column" in words(plot(ordered))
    for one, response in ((model, y), (ordered, np.digitize(y, [49.5, 50.5]))):
        place, _, _ = effects(plot(one, frame, response).axes[0])
        np.testing.assert_allclose(place[:, 0], one.coef_ * frame.to_numpy().std(axis=0), rtol=1e-9)


def test_what_makes_no_sense_is_refused(linear, tmp_path):
    model, frame = linear
    x, path = frame.drop(columns="gain"), tmp_path / "r.html"
    for draw in (plot, lambda one, X, y=None, **more: write_report(one, X, path, y=y, **more)):
        with pytest.raises(NoumenaError, match="AugmentedRegressor: call fit"):
            draw(nm.AugmentedRegressor(), x, frame["gain"])
        with pytest.raises(TypeError, match="there are no responses: pass y"):
            draw(model, x)
        with pytest.raises(nm.DataError, match="y has 7 values for 120 rows"):
            draw(model, x, frame["gain"][:7])
        with pytest.raises(nm.DataError, match="no such column"):
            draw(model, frame, "profit")
        with pytest.raises(nm.DataError, match="the columns of X have no names"):
            draw(model, x[["$x_1$"]].to_numpy(), "gain")
        with pytest.raises(nm.DataError, match="pass one response for each of 120 rows"):
            draw(model, x, 3.0)
        with pytest.raises(TypeError, match='censoring belongs to likelihood="tobit"'):
            draw(model, x, frame["gain"], censoring=np.zeros(120))
    with pytest.raises(TypeError, match="there are no rows"):
        plot(model, y=frame["gain"])
    with pytest.raises(TypeError, match="pass X and y"):
        write_report(model, None, path)
    with pytest.raises(TypeError, match="sample_weight and censoring belong to rows"):
        plot(model, sample_weight=np.ones(120))
    with pytest.raises(TypeError, match="comes from no selection"):
        write_report(model, x, path, y=frame["gain"], selection=object())
    mixture = nm.GaussianMixture(1).fit(frame[["gain"]])
    with pytest.raises(TypeError, match="has no censored responses"):
        plot(mixture, frame[["gain"]], censoring=np.zeros(120))
    with pytest.raises(TypeError, match="has no censored responses"):
        write_report(mixture, frame[["gain"]], path, censoring=np.zeros(120))
    assert not path.exists()


# ---------------------------------------------------------------------------------------------------------------- page


def page(tmp_path, model, X, y, **more):
    write_report(model, X, tmp_path / "r.html", y=y, **more)
    return read(tmp_path / "r.html")


def told(text: str) -> str:
    """The page but for how it was made."""
    return text[: text.rindex("How this was made")]


def tight(text: str) -> str:
    return "".join(text.split()).replace("−", "-")


def test_the_page_says_what_was_fitted(linear, tmp_path):
    model, frame = linear
    found = page(tmp_path, model, frame, "gain")
    x = frame.drop(columns="gain")
    assert found.crossed == found.open == []
    assert {"coefficients", "answers", "surprising", "data", "fit", "made"} <= {*found.ids}
    assert {f"#{name}" for name in found.ids} <= {*found.links}
    assert "Linear regression of gain on 3 columns in 120 rows" in found.text
    assert "No prior: maximum likelihood." in found.text
    for value in (model.log_likelihood_, model.bic(x, frame["gain"]), model.aic(x, frame["gain"])):
        assert f"{number(value, 1)}exact" in "".join(found.text.split("\n"))
    assert "No warnings." in found.text
    assert HOSTILE in found.text  # a name, not markup
    assert "town3" in tight(found.text)  # levels of a column


def test_the_page_has_coefficients_with_errors_intervals_and_effects(linear, tmp_path):
    model, frame = linear
    text = tight(page(tmp_path, model, frame, "gain").text)
    x = frame.drop(columns="gain")
    errors = model.standard_errors(x, frame["gain"])
    scale = spread(model, frame)
    for j, name in enumerate(model.coef_names_):
        value, error = model.coef_[j], errors.coef[j]
        assert f"{tight(name)}{tight('±'.join(plus_minus(value, error)))}" in text
        decimals = len(plus_minus(value, error)[1].split(".")[-1])
        assert f"{number(value - HALF * error, decimals)}to".replace("−", "-") in text
        assert number(value * scale[j], 3).replace("−", "-") in text
    assert f"intercept{tight('±'.join(plus_minus(model.intercept_, errors.intercept)))}" in text
    assert f"scaleσ{'±'.join(plus_minus(model.scale_, errors.scale))}" in text


def test_the_rows_that_are_least_expected_are_told(linear, tmp_path):
    model, frame = linear
    text = tight(page(tmp_path, model, frame, "gain").text)
    x, y = frame.drop(columns="gain"), frame["gain"].to_numpy()
    density, expected = model.log_density(x, y), model.predict(x)
    row = int(density.argmin())
    off = (y[row] - expected[row]) / model.scale_
    head = f"{row}{number(density[row], 2)}{number(y[row], 3)}{number(expected[row], 2)}".replace("−", "-")
    assert head in text
    assert f"{'+' if off > 0 else ''}{number(off, 1)}".replace("−", "-") in text[text.index(head) :]
    assert frame["town"][row] in text[text.index(head) :]


def test_rows_that_the_model_rules_out_are_warned_of(tmp_path):
    frame = table()
    y = answer(frame).to_numpy().copy()
    y[7] += 40
    text = page(tmp_path, nm.AugmentedRegressor().fit(frame, y), frame, y).text
    assert "Row 7 has a response that the model all but rules out" in text
    robust = page(tmp_path, nm.AugmentedRegressor("student_t", dof=2.0).fit(frame, y), frame, y).text
    assert "rules out" not in robust
    assert "with 2.00 degrees of freedom" in robust
    assert "of the t distribution (given)" in robust


def test_classes_have_their_probabilities(choices, tmp_path):
    model, frame, y = choices
    found = page(tmp_path, model, frame, y)
    text = tight(found.text)
    errors = model.standard_errors(frame, y)
    given = model.predict_proba(frame)
    assert "Multinomial logit regression of y on 3 columns in 200 rows" in found.text
    assert f"{np.mean(model.predict(frame) == y):.0%}" in found.text
    for k in range(2):
        assert tight("±".join(plus_minus(model.coef_[k, 0], errors.coef[k, 0]))) in text
        assert tight("±".join(plus_minus(model.intercept_[k], errors.intercept[k]))) in text
    own = given[np.arange(200), np.searchsorted(model.classes_, y)]
    row = int(own.argmin())
    assert f"{row}{number(np.log(own[row]), 2)}{y[row]}{number(own[row], digits=2)}".replace("−", "-") in text


def test_ordered_classes_have_thresholds(tmp_path):
    frame = table()
    y = pd.Categorical.from_codes(np.digitize(answer(frame), [2, 4]), ["low", "middle", "top"], ordered=True)
    model = nm.AugmentedClassifier("ordered_probit").fit(frame, y)
    text = tight(page(tmp_path, model, frame, y).text)
    errors = model.standard_errors(frame, y).thresholds
    for j, between in enumerate(("lowandmiddle", "middleandtop")):
        told = tight("±".join(plus_minus(model.thresholds_[j], errors[j])))
        assert f"threshold{j + 1}{told}ofthelatentresponse,between{between}" in text


def test_bounds_are_not_called_likelihoods(tmp_path):
    frame = table()
    y = answer(frame)
    exact = nm.AugmentedRegressor(prior="ridge", hyperparameters="evidence").fit(frame, y)
    text = page(tmp_path, exact, frame, y).text
    assert f"{number(exact.bound_, 1)}exact" in text
    assert "nats, weights integrated out" in text
    assert f"Ridge prior of precision {number(exact.penalty_, digits=3)}, found by the evidence." in text
    assert "BIC" not in text
    bound = nm.AugmentedRegressor("student_t", prior="ridge", weights="posterior").fit(frame, y)
    text = page(tmp_path, bound, frame, y).text
    assert f"{number(bound.bound_, 1)}lower bound" in text
    assert f"{number(bound.log_likelihood_, 1)}exact" in text
    assert "posterior standard deviation" in text
    assert "Deviations of a mean-field posterior are too small" in text
    sd = np.sqrt(np.diagonal(bound.covariance_))[1]
    assert tight("±".join(plus_minus(bound.coef_[0], sd))) in tight(text)


def test_exact_zeros_are_counted_and_named(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 30))
    y = 3 * x[:, 0] + rng.normal(size=100)
    model = nm.AugmentedRegressor(prior="laplace", penalty=40.0).fit(x, y)
    zero = np.flatnonzero(model.coef_ == 0)
    text = page(tmp_path, model, x, y).text
    assert f"{len(zero)}of 30 coefficients" in text
    assert f"{len(zero)} columns have coefficients of exactly 0" in text
    assert ", ".join(f"x{j}" for j in zero) in text
    assert "conditional on these zeros" in text
    assert f"{number(model.bic(x, y), 1)}exact" in text
    nothing = nm.AugmentedRegressor(prior="laplace", penalty=1e4).fit(x, y)
    assert "Every coefficient is exactly 0" in page(tmp_path, nothing, x, y).text


def test_ends_of_ranges_and_fits_that_did_not_end_well_are_warned_of(tmp_path):
    frame = table()
    y = answer(frame)
    with pytest.warns(nm.ConvergenceWarning):
        short = nm.AugmentedRegressor("student_t", max_iter=2).fit(frame, y)
    text = page(tmp_path, short, frame, y).text
    assert "Do not trust: The fit ended as “max iterations” after 2 iterations" in text
    uniform = np.random.default_rng(0).uniform(-1, 1, 120)
    model = nm.AugmentedRegressor("student_t").fit(frame, uniform)
    assert "The degrees of freedom ran to the end of their range" in page(tmp_path, model, frame, uniform).text
    few = page(tmp_path, nm.AugmentedRegressor().fit(frame[:20], y[:20]), frame[:20], y[:20]).text
    assert "6 free parameters for 20 rows" in few
    assert "Fewer columns, or a prior, will generalise better." in few
    other = page(tmp_path, nm.AugmentedRegressor().fit(frame, y), frame[:60], y[:60]).text
    assert "These are not the rows that the model was fitted on, or they were weighted at the fit" in other


def test_classes_without_overlap_are_warned_of(tmp_path):
    frame = table()
    y = frame["$x_1$"] > 0
    model = nm.AugmentedClassifier("logit", prior="ridge").fit(frame[["$x_1$"]], y)
    assert "The columns tell the classes apart without error" in page(tmp_path, model, frame[["$x_1$"]], y).text


def test_censoring_is_told_and_is_in_the_program(tmp_path):
    frame = table()
    y = answer(frame).to_numpy()
    code = np.where(y > 4, 1, np.where(y < 1, -1, 0))
    rows = frame.assign(time=np.clip(y, 1, 4), code=code)
    model = nm.AugmentedRegressor("tobit").fit(frame, rows["time"], censoring=code)
    found = page(tmp_path, model, rows, "time", censoring="code")
    assert f"Of the responses {np.sum(code == -1)} left-censored, {np.sum(code == 1)} right-censored" in found.text
    assert "Tobit regression of time on 3 columns" in found.text
    assert f"{np.mean(code != 0):.0%}of the responses" in found.text
    assert "≥ 4.0" in found.text
    assert "censoring = rows['code']" in found.text
    assert "These are not the rows" not in found.text
    given = page(tmp_path, model, frame, rows["time"], censoring=code).text
    assert ".fit(table, y, censoring=censoring)" in given
    assert 'write_report(estimator, table, "report.html", y=y, censoring=censoring)' in given


def test_missing_covariates_are_told(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2))
    y = x @ [1.0, 2.0] + rng.normal(size=80)
    x[rng.random(x.shape) < 0.2] = np.nan
    model = nm.AugmentedRegressor(missing="normal").fit(x, y)
    text = page(tmp_path, model, x, y, standard_errors=False).text
    assert "Missing cells of covariates are integrated out under a joint normal." in text
    assert f"{number(model.joint_log_likelihood_, 1)}exact" in text
    assert f"{number(model.log_likelihood_, 1)}exact" in text
    assert f"{np.sum(~np.isnan(x).any(axis=1))} complete rows" in text
    assert "the joint log likelihood at every iteration" in text
    assert "±" not in text


def test_weights_are_those_of_the_fit(tmp_path):
    frame, weight = table(), 1.0 + np.arange(120) % 2
    y = answer(frame)
    model = nm.AugmentedRegressor("laplace").fit(frame, y, sample_weight=weight)
    text = page(tmp_path, model, frame, y, sample_weight=weight).text
    assert "These are not the rows" not in text
    assert number(model.bic(frame, y, weight), 1) in text
    assert ".fit(table, y, sample_weight=weight)" in text
    error = model.standard_errors(frame, y, weight).coef[0]
    assert tight("±".join(plus_minus(model.coef_[0], error))) in tight(text)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_program_of_a_file_makes_the_page_again(linear, tmp_path, monkeypatch, kind):
    model, frame = linear
    file = tmp_path / f"rows.{kind}"
    frame.to_csv(file, index=False) if kind == "csv" else frame.to_parquet(file)
    found = page(tmp_path, model, str(file), "gain")
    code = found.text[found.text.index(f"import pyarrow.{kind}") : found.text.index("All parameters")]
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "program", "exec"), {})
    assert told(read(tmp_path / "report.html").text) == told(found.text)


def test_other_tables_are_taken_as_well(linear, tmp_path):
    model, frame = linear
    assert told(page(tmp_path, model, pl.from_pandas(frame), "gain").text) == told(
        page(tmp_path, model, frame, "gain").text
    )
    rng = np.random.default_rng(0)
    x = csr_matrix((rng.random((200, 30)) < 0.1).astype(float))
    y = np.asarray(x[:, :2].sum(axis=1)).ravel() + 0.1 * rng.normal(size=200)
    sparse = nm.AugmentedRegressor(prior="laplace").fit(x, y)
    dense = nm.AugmentedRegressor(prior="laplace").fit(x.toarray(), y)
    pages = [tight(told(page(tmp_path, one, X, y).text)) for one, X in ((sparse, x), (dense, x.toarray()))]
    assert pages[0] == pages[1]
    booleans = frame.assign(yes=frame["gain"] > 3)
    classifier = nm.AugmentedClassifier("logit").fit(frame[["$x_1$", "town"]], booleans["yes"])
    assert "Logit regression of yes on 2 columns" in page(tmp_path, classifier, booleans, "yes").text
