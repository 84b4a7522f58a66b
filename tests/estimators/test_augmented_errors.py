"""Standard errors of augmented regressions that do not rely on the distribution of the responses."""

import numpy as np
import pytest
from scipy import stats

import noumena as nm


def rows(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A linear mean, with noise that grows along the first column."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    return x, 1 + x @ [1, -2] + np.exp(0.5 * x[:, 0]) * rng.normal(size=n)


def sandwich(bread: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    inverse = np.linalg.inv(bread)
    return np.sqrt(np.diag(inverse @ slopes.T @ slopes @ inverse))


def test_of_least_squares_by_hand():
    """White (1980), known as HC0."""
    x, y = rows()
    design = np.column_stack([np.ones(len(x)), x])
    model = nm.AugmentedRegressor(tol=1e-10).fit(x, y)
    residual = y - model.predict(x)
    errors = model.standard_errors(x, y, method="sandwich")
    assert errors.method == "sandwich"
    expected = sandwich(design.T @ design, residual[:, None] * design)
    np.testing.assert_allclose(np.append(errors.intercept, errors.coef), expected, rtol=1e-6)
    # of the scale σ: the slope of a row in log s is (r²/s − 1)/2, the curvature n/2, and σ = √s
    kurtosis = np.mean((residual / model.scale_) ** 4)
    assert errors.scale == pytest.approx(model.scale_ * np.sqrt((kurtosis - 1) / (4 * len(x))), rel=1e-6)


@pytest.mark.parametrize("link", ["probit", "logit", "multinomial_logit"])
def test_of_classes_by_hand(link):
    x, y = rows()
    cuts = [0.0, 2.0] if link == "multinomial_logit" else [1.0]
    label = np.digitize(y, cuts)
    design = np.column_stack([np.ones(len(x)), x])
    model = nm.AugmentedClassifier(link, tol=1e-11).fit(x, label)
    errors = model.standard_errors(x, label, method="sandwich")
    found = np.column_stack([np.atleast_1d(errors.intercept), np.atleast_2d(errors.coef)]).ravel()
    p = model.predict_proba(x)
    if link == "probit":
        f = stats.norm.ppf(p[:, 1])
        sign = 2 * label - 1
        mills = sign * np.exp(stats.norm.logpdf(f) - stats.norm.logcdf(sign * f))
        bread = (design * (mills * (mills + f))[:, None]).T @ design
        slopes = mills[:, None] * design
    else:
        chance = p[:, 1:]
        away = (label[:, None] == np.arange(1, p.shape[1])) - chance
        slopes = (away[:, :, None] * design[:, None, :]).reshape(len(x), -1)
        spread = chance[:, :, None] * np.eye(chance.shape[1]) - chance[:, :, None] * chance[:, None, :]
        bread = np.einsum("nab,ni,nj->aibj", spread, design, design).reshape(slopes.shape[1], -1)
    np.testing.assert_allclose(found, sandwich(bread, slopes), rtol=1e-4)


def test_of_quantiles_by_hand():
    """Koenker (2005), section 3.4.2, with a normal kernel."""
    (x, y), q = rows(), 0.7
    n, design = len(x), np.column_stack([np.ones(len(x)), x])
    model = nm.AugmentedRegressor("asymmetric_laplace", quantile=q, tol=1e-10).fit(x, y)
    residual = y - model.predict(x)
    z = stats.norm.ppf(q)
    width = n ** (-1 / 3) * stats.norm.ppf(0.975) ** (2 / 3)
    width *= (1.5 * stats.norm.pdf(z) ** 2 / (2 * z**2 + 1)) ** (1 / 3)
    reach = stats.norm.ppf(q + width) - stats.norm.ppf(q - width)
    reach *= min(residual.std(), np.subtract(*np.quantile(residual, [0.75, 0.25], method="inverted_cdf")) / 1.34)
    bread = (design * stats.norm.pdf(residual, scale=reach)[:, None]).T @ design
    errors = model.standard_errors(x, y, method="sandwich")
    expected = sandwich(bread, (q - (residual < 0))[:, None] * design)
    # the three rows that the plane goes through have slopes between those of either side
    np.testing.assert_allclose(np.append(errors.intercept, errors.coef), expected, rtol=0.02)


@pytest.mark.parametrize("likelihood", ["student_t", "laplace", "tobit"])
def test_weights_are_repetitions(likelihood):
    x, y = rows(80)
    weight = np.arange(80) % 3
    model = nm.AugmentedRegressor(likelihood, tol=1e-10)
    weighted = model.fit(x, y, weight).standard_errors(x, y, weight, method="sandwich")
    again = np.repeat(x, weight, axis=0), np.repeat(y, weight)
    repeated = model.fit(*again).standard_errors(*again, method="sandwich")
    np.testing.assert_allclose(weighted.coef, repeated.coef, rtol=1e-3)
    assert weighted.scale == pytest.approx(repeated.scale, rel=1e-3)


def test_weights_at_zero_have_none():
    x, y = rows()
    x = np.column_stack([x, np.random.default_rng(1).normal(size=len(x))])
    model = nm.AugmentedRegressor(prior="laplace", penalty=60.0).fit(x, y)
    assert model.coef_[2] == 0
    errors = model.standard_errors(x, y, method="sandwich")
    np.testing.assert_array_equal(np.isnan(errors.coef), [False, False, True])


def test_what_it_is_not_for():
    x, y = rows(50)
    posterior = nm.AugmentedRegressor(prior="ridge", weights="posterior").fit(x, y)
    with pytest.raises(ValueError, match="weights with a posterior"):
        posterior.standard_errors(x, y, method="sandwich")
    holes = x.copy()
    holes[0, 0] = np.nan
    joint = nm.AugmentedRegressor(missing="normal").fit(holes, y)
    with pytest.raises(ValueError, match="missing covariates"):
        joint.standard_errors(holes, y, method="sandwich")
    with pytest.raises(ValueError, match='choose "observed" or "sandwich"'):
        joint.standard_errors(holes, y, method="hessian")


@pytest.mark.slow
@pytest.mark.parametrize("quantile", [0.5, 0.8])
def test_intervals_cover_where_the_likelihood_is_wrong(quantile):
    """Linear quantiles about normal noise that grows along x: 200 tables, two-sided 99.9% of the binomial at 95%, and
    two points of coverage more, for the kernel's bias; the asymmetric Laplace density's own errors are too short.
    """
    rng, n, times = np.random.default_rng(2), 400, 200
    slope = 1 + 0.6 * stats.norm.ppf(quantile)
    inside = {"sandwich": 0, "observed": 0}
    for _ in range(times):
        x = rng.uniform(0, 4, size=(n, 1))
        y = x[:, 0] + (1 + 0.6 * x[:, 0]) * rng.normal(size=n)
        model = nm.AugmentedRegressor("asymmetric_laplace", quantile=quantile, tol=1e-4).fit(x, y)
        for method in inside:
            error = model.standard_errors(x, y, method=method).coef[0]
            inside[method] += abs(model.coef_[0] - slope) < 1.96 * error
    low, high = stats.binom.ppf([0.0005, 0.9995], times, 0.95)
    assert low - 0.02 * times <= inside["sandwich"] <= high + 0.02 * times
    assert inside["observed"] < low
