"""Augmented regressions on odd tables: declared classes, far columns, more columns than rows, alike columns, zeros."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import integrate, optimize, sparse, stats

import noumena as nm
from noumena.core.result import Status
from noumena.estimators.separation import SeparationError
from noumena.families.augmentation import between, log_between
from noumena.families.weight_priors import HorseshoePrior

WORDS = np.array(["low", "middle", "high"])


def ordered(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three columns and four ordered classes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    return x, np.digitize(x @ [1.0, -0.5, 0.2] + rng.normal(size=n), [-1.0, 0.3, 1.0])


def wide(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """More columns than rows, of which the first matters."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, 80))
    return x, 3 * x[:, 0] + rng.normal(size=40)


# --------------------------------------------------------------------------------------------------- declared classes


def arrow(code, is_ordered=True):
    return pa.DictionaryArray.from_arrays(pa.array(code), pa.array(WORDS.tolist()), ordered=is_ordered)


DECLARED = {
    "pandas": lambda code: pd.Series(pd.Categorical.from_codes(code, WORDS.tolist(), ordered=True)),
    "polars": lambda code: pl.Series(WORDS[code], dtype=pl.Enum(WORDS.tolist())),
    "arrow": arrow,
    "arrow in chunks": lambda code: pa.chunked_array([arrow(code[:100]), arrow(code[100:])]),
}


@pytest.mark.parametrize("declare", DECLARED.values(), ids=DECLARED.keys())
def test_classes_have_the_order_that_is_declared(declare):
    x, code = ordered()
    code = np.minimum(code, 2)
    model = nm.AugmentedClassifier("ordered_probit").fit(x, declare(code))
    assert model.classes_.tolist() == WORDS.tolist()
    plain = nm.AugmentedClassifier("ordered_probit").fit(x, code)
    np.testing.assert_array_equal(model.coef_, plain.coef_)
    np.testing.assert_array_equal(model.log_density(x, declare(code)), plain.log_density(x, code))


@pytest.mark.parametrize(
    "declare",
    [lambda code: pl.Series(WORDS[code], dtype=pl.Categorical), lambda code: arrow(code, False), lambda c: WORDS[c]],
    ids=["polars", "arrow", "text"],
)
def test_classes_without_an_order_are_sorted(declare):
    x, code = ordered()
    model = nm.AugmentedClassifier("multinomial_logit").fit(x, declare(np.minimum(code, 2)))
    assert model.classes_.tolist() == sorted(WORDS.tolist())


# ------------------------------------------------------------------------------------------------------ ordered probits


def ordered_loss(theta, x, y):
    ends = np.concatenate([[-np.inf], theta[3:], [np.inf]])
    f = x @ theta[:3]
    return -np.log(stats.norm.cdf(ends[y + 1] - f) - stats.norm.cdf(ends[y] - f)).sum()


@pytest.mark.parametrize("offset", [0.0, 3.0, 1e6])
def test_columns_far_from_0_move_the_thresholds_of_an_ordered_probit(offset):
    x, y = ordered()
    plain = nm.AugmentedClassifier("ordered_probit").fit(x, y)
    far = nm.AugmentedClassifier("ordered_probit").fit(x + offset, y)
    moved = offset * far.coef_.sum()
    # a cell of 1e6 has 1e-10 of rounding, of which 300 rows add up to 1e-9 at most
    np.testing.assert_allclose(far.coef_, plain.coef_, atol=1e-9)
    np.testing.assert_allclose(far.thresholds_ - moved, plain.thresholds_, atol=1e-8)
    np.testing.assert_allclose(far.decision_function(x + offset) - moved, plain.decision_function(x), atol=1e-8)
    np.testing.assert_allclose(far.predict_proba(x + offset), plain.predict_proba(x), atol=1e-8)
    np.testing.assert_allclose(far.latents(x + offset, y)["mean"] - moved, plain.latents(x, y)["mean"], atol=1e-8)


def test_errors_of_an_ordered_probit_are_those_of_a_numerical_hessian():
    x, y = ordered()
    x = x + 3
    model = nm.AugmentedClassifier("ordered_probit").fit(x, y)
    theta = np.concatenate([model.coef_, model.thresholds_])
    assert ordered_loss(theta, x, y) == pytest.approx(-model.log_likelihood_, rel=1e-12)
    gradient = optimize.approx_fprime(theta, ordered_loss, 1e-6, x, y)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-2)  # differences of 1e-6: ε 400/1e-6, and half of 1e-6 times 1e4
    step, units = 1e-4, np.eye(6)
    hessian = np.array(
        [
            [
                sum(s * t * ordered_loss(theta + step * (s * a + t * b), x, y) for s in (1, -1) for t in (1, -1))
                for b in units
            ]
            for a in units
        ]
    ) / (4 * step**2)
    wanted = np.sqrt(np.diagonal(np.linalg.inv(hessian)))
    errors = model.standard_errors(x, y)
    np.testing.assert_allclose(np.concatenate([errors.coef, errors.thresholds]), wanted, rtol=1e-4)
    thin = nm.AugmentedClassifier("ordered_probit").fit(sparse.csr_matrix(x), y)
    np.testing.assert_allclose(thin.thresholds_, model.thresholds_, atol=1e-10)
    np.testing.assert_allclose(thin.standard_errors(sparse.csr_matrix(x), y).thresholds, errors.thresholds, rtol=1e-8)


def test_a_constant_column_of_an_ordered_probit_is_refused():
    x, y = ordered()
    with pytest.raises(nm.DataError, match="covariate 'x3' is constant"):
        nm.AugmentedClassifier("ordered_probit").fit(np.column_stack([x, np.ones(len(x))]), y)


@pytest.mark.parametrize("prior", ["laplace", "group_laplace", "horseshoe"])
def test_weights_of_an_ordered_probit_that_a_prior_holds_are_0(prior):
    x, response = wide()
    y = np.digitize(response, [-1.5, 1.5])
    model = nm.AugmentedClassifier("ordered_probit", prior, penalty=3.0).fit(x, y)
    assert model.status_ is Status.CONVERGED
    zero = model.coef_ == 0
    assert zero.sum() > 40
    assert model.coef_[0] > 0
    if prior == "horseshoe":
        return
    rows = np.arange(len(y))

    def slope(j):  # of the log likelihood
        low = np.concatenate([[-np.inf], model.thresholds_])[y] - x @ model.coef_
        high = np.concatenate([model.thresholds_, [np.inf]])[y] - x @ model.coef_
        return (
            x[rows, j] * (stats.norm.pdf(low) - stats.norm.pdf(high)) / np.diff(stats.norm.cdf([low, high]), axis=0)
        ).sum()

    slopes = np.array([slope(j) for j in range(80)])
    assert (np.abs(slopes[zero]) < 3.0 * (1 + 1e-3)).all()
    np.testing.assert_allclose(slopes[~zero], 3.0 * np.sign(model.coef_[~zero]), rtol=1e-2)


# ---------------------------------------------------------------------------------------------- relevance determination


@pytest.mark.parametrize(
    "make",
    [
        lambda: nm.AugmentedRegressor("student_t", "ard", dof=4.0),
        lambda: nm.AugmentedRegressor("laplace", "ard"),
        lambda: nm.AugmentedRegressor("tobit", "ard", upper=2.0),
        lambda: nm.AugmentedRegressor("normal", "ard", scale=1.0),
        lambda: nm.AugmentedClassifier("probit", "ard"),
        lambda: nm.AugmentedClassifier("logit", "ard"),
        lambda: nm.AugmentedClassifier("ordered_probit", "ard"),
        lambda: nm.AugmentedClassifier("multinomial_logit", "ard"),
    ],
    ids=["student_t", "laplace", "tobit", "known scale", "probit", "logit", "ordered_probit", "multinomial_logit"],
)
def test_irrelevant_weights_are_exactly_0(make):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 6))
    z = 2 * x[:, 0] - x[:, 1] + rng.normal(size=150)
    model = make()
    if isinstance(model, nm.AugmentedRegressor):
        y = np.minimum(z, 2.0)
    else:
        y = (z > 0).astype(int) if model.link in ("probit", "logit") else np.digitize(z, [-1.0, 1.0])
    model.fit(x, y)
    zero = model.coef_ == 0
    assert zero.any()
    assert (np.abs(model.coef_[~zero]) > 1e-3).all()
    np.testing.assert_array_equal(np.isinf(model.prior_precisions_), zero)
    others = {"student_t": 2, "laplace": 2, "tobit": 2, "normal": 1, "multinomial_logit": 2, "ordered_probit": 2}
    kind = model.likelihood if isinstance(model, nm.AugmentedRegressor) else model.link
    assert model.n_parameters_ == np.count_nonzero(~zero) + others.get(kind, 1)
    # without these columns the bound is the same
    if zero.ndim == 1:
        fewer = make().fit(x[:, ~zero], y)
        assert fewer.bound_ == pytest.approx(model.bound_, abs=1e-4)


def test_relevance_of_an_ordered_probit_is_at_a_maximum_of_the_bound():
    """Of ridges with a variance for each column, by standardising: none nearby has a larger bound."""
    x, y = ordered()
    x = np.column_stack([x, np.random.default_rng(5).normal(size=(len(x), 2))])
    model = nm.AugmentedClassifier("ordered_probit", "ard", tol=1e-10).fit(x, y)
    kept = model.coef_ != 0
    deviation = 1 / np.sqrt(model.prior_precisions_[kept])

    def bound(scale):
        # a ridge of precision 1 on columns in units of their weights' deviation; ARD has the variances at E w²
        own = nm.AugmentedClassifier("ordered_probit", "ridge", penalty=1.0, weights="posterior", tol=1e-10)
        return own.fit(x[:, kept] * scale, y).bound_

    best = bound(deviation)
    assert best == pytest.approx(model.bound_, abs=1e-6)
    for j in range(kept.sum()):
        for factor in (0.8, 1.25):
            moved = deviation.copy()
            moved[j] *= factor
            assert bound(moved) < best


# ---------------------------------------------------------------------------------------------- exact and singular fits


@pytest.mark.parametrize("prior", ["ridge", "laplace", "student_t", "horseshoe"])
@pytest.mark.parametrize("likelihood", ["normal", "student_t", "laplace"])
def test_more_columns_than_rows_without_a_known_scale_are_degenerate(likelihood, prior):
    x, y = wide()
    settings = {"dof": 4.0} if likelihood == "student_t" else {}
    with pytest.warns(nm.DegenerateWarning, match="meet every response exactly"):
        model = nm.AugmentedRegressor(likelihood, prior, **settings).fit(x, y)
    assert model.status_ is Status.DEGENERATE
    assert np.isfinite(model.coef_).all()
    np.testing.assert_allclose(model.predict(x), y, atol=1e-4)


@pytest.mark.parametrize("likelihood", ["normal", "student_t", "laplace"])
def test_relevance_with_more_columns_than_rows_ends_well(likelihood):
    x, y = wide()
    with pytest.warns(nm.DegenerateWarning, match="meet every response exactly"):
        model = nm.AugmentedRegressor(likelihood, "ard").fit(x, y)
    assert model.status_ is Status.DEGENERATE
    assert np.count_nonzero(model.coef_) < 80


@pytest.mark.parametrize("likelihood", ["normal", "student_t"])
def test_the_lasso_of_a_column_that_is_there_twice(likelihood):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3))
    y = x @ [2.0, -1.0, 0.5] + rng.standard_t(3, size=100)
    once = nm.AugmentedRegressor(likelihood, "laplace", penalty=3.0, tol=1e-9).fit(x, y)
    twice = nm.AugmentedRegressor(likelihood, "laplace", penalty=3.0, tol=1e-9).fit(np.column_stack([x, x[:, 0]]), y)
    assert twice.status_ is Status.CONVERGED
    assert twice.coef_[0] + twice.coef_[3] == pytest.approx(once.coef_[0], abs=1e-4)
    assert twice.log_likelihood_ == pytest.approx(once.log_likelihood_, abs=1e-4)


@pytest.mark.parametrize("noise", [1e-3, 1e-5, 1e-7])
def test_small_residuals_under_a_prior_are_no_fall(noise):
    """Squares of residuals are differences of squares that are up to 1e14 times as large."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3))
    y = x @ [1.0, 2.0, 3.0] + noise * rng.normal(size=100)
    model = nm.AugmentedRegressor("normal", "ridge").fit(x, y)
    assert model.status_ is Status.CONVERGED
    away, response = x - x.mean(axis=0), y - y.mean()
    wanted = np.linalg.solve(away.T @ away + model.scale_**2 * np.eye(3), away.T @ response)
    np.testing.assert_allclose(model.coef_, wanted, rtol=1e-12)  # three weights, a condition of 2
    # 1e-6 nats of 100 rows leave 1e-4 of the scale
    assert model.scale_ == pytest.approx(np.std(response - away @ wanted), rel=1e-3)


def test_the_horseshoe_at_weights_next_to_0():
    prior, square = HorseshoePrior(2.0), np.array([0.0, 5e-324, 1e-270, 1e-200])
    precision = prior.precision(square, np.ones(4))
    assert np.isinf(precision[:2]).all()
    assert (np.diff(precision[1:]) < 0).all()


# ------------------------------------------------------------------------------------------------------------ censoring


@pytest.mark.parametrize("middle", [-30.0, -2.0, 0.0, 0.7, 30.0])
@pytest.mark.parametrize("width", [1e-9, 1e-5, 0.9e-2, 1.1e-2, 0.1])
def test_moments_of_a_normal_variable_in_a_narrow_interval(middle, width):
    low, high = np.array([middle - 0.5 * width]), np.array([middle + 0.5 * width])
    width = float(high[0] - low[0])  # as rounded
    center = 0.5 * float(high[0] + low[0])

    def moment(power):  # of x/width about the middle, over [−½, ½], the density's value there taken out
        density = lambda u: u**power * np.exp(-center * width * u - 0.5 * (width * u) ** 2)  # noqa: E731
        return integrate.quad(density, -0.5, 0.5, epsabs=1e-14, epsrel=1e-13)[0]

    mass, first, second = (moment(power) for power in range(3))
    mean, variance = between(low, high)
    assert log_between(low, high)[0] == pytest.approx(stats.norm.logpdf(center) + np.log(width * mass), abs=1e-8)
    # differences of densities lose ε m/width³ of the variance, series what is of the order of w² and t⁶
    assert (mean[0] - center) / width == pytest.approx(first / mass, abs=1e-6)
    assert variance[0] / width**2 == pytest.approx(second / mass - (first / mass) ** 2, abs=1e-5)


def test_intervals_as_narrow_as_rounding_are_values():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2))
    z = 1 + x @ [1.0, -0.5] + rng.normal(size=100)
    seen = nm.AugmentedRegressor().fit(x, z)
    for high in (np.nextafter(z, np.inf), z + 1e-9, z + 1e-5):
        model = nm.AugmentedRegressor("tobit").fit(x, np.column_stack([z, high]))
        assert model.status_ is Status.CONVERGED
        np.testing.assert_allclose(model.coef_, seen.coef_, atol=1e-5)
        assert model.scale_ == pytest.approx(seen.scale_, rel=1e-5)


def test_rows_that_nothing_is_known_of_say_nothing():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2))
    z = 1 + x @ [1.0, -0.5] + rng.normal(size=100)
    unknown = np.arange(100) < 20
    ends = np.column_stack([np.where(unknown, -np.inf, z), np.where(unknown, np.inf, z)])
    model = nm.AugmentedRegressor("tobit", tol=1e-10).fit(x, ends)
    np.testing.assert_allclose(model.coef_, nm.AugmentedRegressor().fit(x[20:], z[20:]).coef_, atol=1e-5)


def test_one_limit_for_every_row_says_nothing_of_the_scale():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2))
    side = np.where(x[:, 0] + rng.normal(size=100) > 0, 1, -1)
    with pytest.raises(nm.DataError, match="above or below 1, which says nothing of the scale"):
        nm.AugmentedRegressor("tobit").fit(x, np.ones(100), censoring=side)
    model = nm.AugmentedRegressor("tobit", scale=1.0, tol=1e-10).fit(x, np.ones(100), censoring=side)
    probit = nm.AugmentedClassifier("probit", tol=1e-10).fit(x, side)
    np.testing.assert_allclose(model.coef_, probit.coef_, atol=1e-4)


# ------------------------------------------------------------------------------------------------------------- refusals


def test_what_says_nothing_is_refused():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2))
    y = x[:, 0] + rng.normal(size=30)
    with pytest.raises(nm.DataError, match=r"column 'kind' is constant \(always 'a'\)"):
        nm.AugmentedRegressor().fit(pd.DataFrame({"x": x[:, 0], "kind": "a"}), y)
    with pytest.raises(nm.DataError, match="y holds dates or durations"):
        nm.AugmentedRegressor().fit(x, pd.date_range("2020", periods=30))
    with pytest.raises(ValueError, match="level=90 must be a probability"):
        nm.AugmentedRegressor().fit(x, y).predict_interval(x, level=90)
    tobit = nm.AugmentedRegressor("tobit").fit(x, np.column_stack([y, y + 0.5]))
    with pytest.raises(nm.DataError, match="y holds intervals: add up log_density"):
        tobit.score(x, np.column_stack([y, y + 0.5]))
    assert tobit.score(x, y) > 0
    with pytest.raises(nm.DataError, match=r"one class only \(1.0\)"):
        nm.AugmentedClassifier().fit(x, np.ones(30))


def test_separation_of_many_classes_is_named():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    apart = {"'x0'": np.digitize(x[:, 0], [-0.5, 0.5])}
    # one class of three that a column tells from both others
    apart["'x1'"] = np.where(x[:, 1] > 0.5, 2, (x[:, 0] + rng.normal(size=60) > 0).astype(int))
    for name, y in apart.items():
        with pytest.raises(SeparationError, match=f"by {name} \\(perfect separation\\)"):
            nm.AugmentedClassifier("multinomial_logit", max_iter=400).fit(x, y)
    mixed = np.digitize(4 * x[:, 0], [-0.5, 0.5])
    order = np.argsort(x[:, 0])
    mixed[order[[0, -1]]] = mixed[order[[-1, 0]]]  # the ends change places: no line tells them apart
    assert np.isfinite(nm.AugmentedClassifier("multinomial_logit").fit(x[:, :1], mixed).coef_).all()
