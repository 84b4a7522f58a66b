"""Augmented regressions: published fits, direct optimisation, the LASSO, posteriors, every pair, bad input."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import optimize, sparse, stats
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

import noumena as nm
from conftest import real_path
from noumena.core.expectation import expectation
from noumena.core.lanes import stack
from noumena.core.result import Status
from noumena.estimators.augmented import PRIORS
from noumena.estimators.augmented_inputs import Frame
from noumena.estimators.separation import SeparationError
from noumena.families.augmentation import StudentLikelihood
from noumena.models.augmented_fit import Settings, _start
from noumena.models.augmented_rows import Rows

LIKELIHOODS = ("normal", "student_t", "laplace", "asymmetric_laplace", "tobit")
LINKS = ("probit", "logit", "ordered_probit", "multinomial_probit", "multinomial_logit")


def regression(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three columns of different units, one without effect, and heavy-tailed residuals."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)) * [1.0, 0.2, 30.0] + [0.0, 5.0, 100.0]
    return x, 1 + x @ [1.0, -4.0, 0.0] + rng.standard_t(4, size=n)


def choices(link: str, n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes that depend on the columns of `regression`."""
    x, _ = regression(n, seed)
    rng = np.random.default_rng(seed + 1)
    f = x[:, 0] - 4 * (x[:, 1] - 5)
    if link.startswith("multinomial"):
        utility = np.column_stack([np.zeros(n), f, -0.5 * f + 0.3]) + rng.gumbel(size=(n, 3))
        return x, utility.argmax(axis=1)
    z = f + (rng.logistic(size=n) if link == "logit" else rng.normal(size=n))
    return x, np.digitize(z, [-0.5, 0.4, 1.5] if link == "ordered_probit" else [0.0])


# ----------------------------------------------------------------------------------------------- published fits


@pytest.mark.parametrize("accelerate", [None, "squarem", "newton"])
def test_spector_probit(accelerate):
    """Stata's probit of the Spector & Mazzeo data, as statsmodels keeps it (results/results_discrete.py).

    Stata held the grade point averages in single precision; in double the log likelihood ends …8040689.
    """
    table = np.loadtxt(real_path("classical/spector.csv"), skiprows=1).astype(np.float32).astype(float)
    x, y = table[:, 1:4], table[:, 4]
    model = nm.AugmentedClassifier("probit", accelerate=accelerate, tol=1e-12).fit(x, y)
    assert model.log_likelihood_ == pytest.approx(-12.8188033249334, abs=1e-11)
    estimates = [1.62581025407, 0.051728948442, 1.42633236818, -7.45232041607]
    np.testing.assert_allclose([*model.coef_, model.intercept_], estimates, rtol=2e-6)
    errors = model.standard_errors(x, y)
    expected = [0.693882522754, 0.083890261293, 0.595037920474, 2.54247249731]
    np.testing.assert_allclose([*errors.coef, errors.intercept], expected, rtol=2e-6)
    z = model.latents(x, y)["mean"]
    assert np.all((z > 0) == (y == 1))


# ------------------------------------------------------------------------------------------- direct optimisation


def maximum(loss, start) -> np.ndarray:
    """Where Newton's method, begun near a fit, finds the minimum of a JAX function."""
    with jax.enable_x64(True):
        gradient, hessian = jax.jit(jax.grad(loss)), jax.jit(jax.hessian(loss))
        theta = start * (1 + 1e-3)
        for _ in range(12):
            theta = theta - np.linalg.solve(hessian(theta), gradient(theta))
        assert np.linalg.eigvalsh(hessian(theta))[0] > 0
        return theta


@pytest.mark.parametrize("dof", [None, 5.0])
def test_student_t_is_the_maximum(dof):
    x, y = regression()
    model = nm.AugmentedRegressor("student_t", dof=dof, tol=1e-11).fit(x, y)
    design = np.column_stack([np.ones(len(y)), x])

    def loss(theta):
        nu = dof or jnp.exp(theta[5])
        return -jnp.sum(jax.scipy.stats.t.logpdf(y, nu, design @ theta[:4], jnp.exp(theta[4])))

    start = np.array([model.intercept_, *model.coef_, np.log(model.scale_), np.log(model.dof_)])[
        : 6 if dof is None else 5
    ]
    best = maximum(loss, start)
    np.testing.assert_allclose(start, best, rtol=1e-4, atol=1e-5)
    with jax.enable_x64(True):
        assert model.log_likelihood_ == pytest.approx(-float(loss(jnp.asarray(best))), abs=1e-8)
        spread = np.sqrt(np.diag(np.linalg.inv(jax.hessian(loss)(jnp.asarray(start)))))
    errors = model.standard_errors(x, y)
    np.testing.assert_allclose([errors.intercept, *errors.coef], spread[:4], rtol=1e-6)
    assert errors.scale == pytest.approx(model.scale_ * spread[4], rel=1e-6)
    if dof is None:
        assert errors.dof == pytest.approx(model.dof_ * spread[5], rel=1e-3)  # the log's curvature is its own


def test_tobit_is_the_maximum():
    """Left-, right- and interval-censored rows beside exact ones."""
    x, y = regression()
    low, high = y.copy(), y.copy()
    low[y < -22], high[y < -22] = -np.inf, -22
    high[y > -17], low[y > -17] = np.inf, -17
    between = (y > -20) & (y < -19)
    low[between], high[between] = -20, -19
    model = nm.AugmentedRegressor("tobit", tol=1e-11).fit(x, np.column_stack([low, high]))
    design, seen = np.column_stack([np.ones(len(y)), x]), low == high
    ends = np.where(np.isfinite(low), low, -1e3), np.where(np.isfinite(high), high, 1e3)

    def loss(theta):
        f, sd = design @ theta[:4], jnp.exp(theta[4])
        a, b = (ends[0] - f) / sd, (ends[1] - f) / sd
        inside = jnp.log(jax.scipy.stats.norm.cdf(b) - jax.scipy.stats.norm.cdf(jnp.where(seen, a - 1.0, a)))
        return -jnp.sum(jnp.where(seen, jax.scipy.stats.norm.logpdf(y, f, sd), inside))

    start = np.array([model.intercept_, *model.coef_, np.log(model.scale_)])
    best = maximum(loss, start)
    np.testing.assert_allclose(start, best, rtol=1e-4, atol=1e-5)
    with jax.enable_x64(True):
        assert model.log_likelihood_ == pytest.approx(-float(loss(jnp.asarray(best))), abs=1e-8)
        spread = np.sqrt(np.diag(np.linalg.inv(jax.hessian(loss)(jnp.asarray(start)))))
    errors = model.standard_errors(x, np.column_stack([low, high]))
    np.testing.assert_allclose([errors.intercept, *errors.coef], spread[:4], rtol=1e-5)
    latent = model.latents(x, np.column_stack([low, high]))["mean"]
    assert np.all((latent >= low) & (latent <= high))


@pytest.mark.parametrize("quantile", [0.5, 0.2])
def test_quantiles_solve_the_linear_program(quantile):
    """Koenker & Bassett's program, to the 1e-6 of a residual within which ours is Huber's function."""
    x, y = regression()
    n, design = len(y), np.column_stack([np.ones(len(y)), x])
    cost = np.concatenate([np.zeros(4), np.full(n, quantile), np.full(n, 1 - quantile)])
    equal = np.concatenate([design, np.eye(n), -np.eye(n)], axis=1)
    program = optimize.linprog(cost, A_eq=equal, b_eq=y, bounds=[(None, None)] * 4 + [(0, None)] * (2 * n))
    model = nm.AugmentedRegressor("asymmetric_laplace", quantile=quantile, tol=1e-8).fit(x, y)
    residual = y - model.predict(x)
    loss = np.sum(residual * (quantile - (residual < 0)))
    assert loss == pytest.approx(program.fun, rel=1e-6)
    assert model.scale_ == pytest.approx(2 * loss / n, rel=1e-5)
    if quantile == 0.5:
        median = nm.AugmentedRegressor("laplace", tol=1e-8).fit(x, y)
        np.testing.assert_allclose(median.coef_, model.coef_, rtol=1e-12)
        assert median.scale_ == pytest.approx(np.abs(residual).mean(), rel=1e-5)


def test_normal_is_least_squares():
    x, y = regression()
    x[:, 2] += 1e6  # far from 0
    weight = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    model = nm.AugmentedRegressor().fit(x, y, sample_weight=weight)
    repeated = np.repeat(np.arange(len(y)), weight.astype(int))
    own = x[repeated] - x.mean(axis=0)
    design = np.column_stack([np.ones(len(own)), own])
    best, rest = np.linalg.lstsq(design, y[repeated], rcond=None)[:2]
    np.testing.assert_allclose(model.coef_, best[1:], rtol=1e-8, atol=1e-10)
    assert model.scale_**2 == pytest.approx(rest[0] / len(own), rel=1e-10)
    assert model.log_likelihood_ == pytest.approx(
        stats.norm.logpdf(y[repeated], design @ best, model.scale_).sum(), rel=1e-11
    )
    covariance = model.scale_**2 * np.linalg.inv(design.T @ design)
    errors = model.standard_errors(x, y, weight)
    np.testing.assert_allclose(errors.coef, np.sqrt(np.diag(covariance))[1:], rtol=1e-7)
    again = nm.AugmentedRegressor().fit(x[repeated], y[repeated])
    np.testing.assert_allclose(again.coef_, model.coef_, rtol=1e-8)


@pytest.mark.parametrize(
    "link", [pytest.param(one, marks=pytest.mark.slow if one == "multinomial_probit" else []) for one in LINKS]
)
def test_classes_are_the_maximum(link):
    x, y = choices(link)
    x = x[:, :2]
    model = nm.AugmentedClassifier(link, tol=1e-11).fit(x, y)
    likelihood, k = model._model.likelihood, model._model.likelihood.n_functions
    ordered = link == "ordered_probit"
    design = x if ordered else np.column_stack([np.ones(len(y)), x])
    q = k * design.shape[1]

    def loss(theta):
        f = design @ theta[:q].reshape(k, -1).T
        return -jnp.sum(likelihood.log_density(y[:, None].astype(float), f, None, 1.0, theta[q:]))

    rest = model.thresholds_ if ordered else []
    own = np.atleast_2d(model.coef_)
    start = np.append(own if ordered else np.column_stack([np.ravel(model.intercept_), own]), rest)
    best = maximum(loss, start)
    np.testing.assert_allclose(start, best, rtol=1e-4, atol=1e-5)
    with jax.enable_x64(True):
        assert model.log_likelihood_ == pytest.approx(-float(loss(jnp.asarray(best))), abs=1e-8)
        spread = np.sqrt(np.diag(np.linalg.inv(jax.hessian(loss)(jnp.asarray(start)))))
    errors = model.standard_errors(x, y)
    found = (
        np.atleast_2d(errors.coef)
        if ordered
        else np.column_stack([np.ravel(errors.intercept), np.atleast_2d(errors.coef)])
    )
    np.testing.assert_allclose(found.ravel(), spread[:q], rtol=1e-5)
    if ordered:
        np.testing.assert_allclose(errors.thresholds, spread[q:], rtol=1e-5)
    np.testing.assert_allclose(model.predict_proba(x).sum(axis=1), 1.0, rtol=1e-12)
    chosen = model.predict_proba(x)[np.arange(len(y)), y]
    np.testing.assert_allclose(np.log(chosen), model.log_density(x, y), rtol=1e-6)  # of the quadrature's sum


def test_multinomial_logit_is_scikit_learns():
    x, y = choices("multinomial_logit")
    ours = nm.AugmentedClassifier("multinomial_logit", tol=1e-10).fit(x, y)
    theirs = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit((x - x.mean(axis=0)) / x.std(axis=0), y)
    contrasts = (theirs.coef_[1:] - theirs.coef_[0]) / x.std(axis=0)
    np.testing.assert_allclose(ours.coef_, contrasts, rtol=1e-3, atol=1e-5)


# ------------------------------------------------------------------------------------------------------ the LASSO


def objective(x, y, alpha, coef, intercept) -> float:
    """scikit-learn's."""
    return float(np.mean((y - x @ coef - intercept) ** 2) / 2 + alpha * np.abs(coef).sum())


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.5, 1.0, 10.0, 40.0])
def test_lasso_is_coordinate_descent_on_diabetes(alpha):
    table = np.genfromtxt(real_path("classical/diabetes_lars.csv"), delimiter=",", skip_header=1)
    x, y = table[:, :10], table[:, 10]
    ours = nm.AugmentedRegressor(prior="laplace", penalty=alpha * len(y), scale=1.0).fit(x, y)
    theirs = Lasso(alpha=alpha, tol=1e-14, max_iter=100_000).fit(x, y)
    best = objective(x, y, alpha, theirs.coef_, theirs.intercept_)
    assert objective(x, y, alpha, ours.coef_, ours.intercept_) == pytest.approx(best, abs=1e-8)
    np.testing.assert_array_equal(ours.coef_ == 0, theirs.coef_ == 0)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-5, atol=1e-6)
    errors = ours.standard_errors(x, y)
    np.testing.assert_array_equal(np.isnan(errors.coef), ours.coef_ == 0)
    assert np.all(np.isinf(ours.prior_precisions_) == (ours.coef_ == 0))


def test_lasso_with_more_columns_than_rows():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 120))
    y = x[:, :4] @ [3.0, -2.0, 1.0, 1.0] + rng.normal(size=60)
    ours = nm.AugmentedRegressor(prior="laplace", penalty=0.2 * 60, scale=1.0).fit(x, y)
    theirs = Lasso(alpha=0.2, tol=1e-14, max_iter=100_000).fit(x, y)
    assert objective(x, y, 0.2, ours.coef_, ours.intercept_) == pytest.approx(
        objective(x, y, 0.2, theirs.coef_, theirs.intercept_), abs=1e-8
    )
    np.testing.assert_array_equal(ours.coef_ == 0, theirs.coef_ == 0)


@pytest.mark.parametrize("likelihood", ["student_t", "laplace", "tobit"])
def test_zeros_of_other_likelihoods_meet_the_subgradient_condition(likelihood):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 12))
    y = x[:, :2] @ [2.0, -1.0] + rng.standard_t(3, size=200)
    settings = {"lower": -1.0} if likelihood == "tobit" else {}
    y = np.maximum(y, -1.0) if likelihood == "tobit" else y
    model = nm.AugmentedRegressor(likelihood, "laplace", penalty=15.0, tol=1e-9, **settings).fit(x, y)
    zero = model.coef_ == 0
    assert zero.sum() >= 5
    assert not zero[:2].any()

    # a slope of ±h on a column is the same as taking ±h times the column off the response
    step, limits = 1e-4, []
    for j in range(12 if likelihood != "tobit" else 0):
        up, down = model.log_density(x, y - step * x[:, j]), model.log_density(x, y + step * x[:, j])
        limits.append((up - down).sum() / (2 * step))
    if likelihood == "tobit":
        return
    slopes = np.array(limits)
    assert np.all(np.abs(slopes[zero]) < 15.0 * (1 + 1e-3))
    if likelihood == "student_t":
        np.testing.assert_allclose(slopes[~zero], 15.0 * np.sign(model.coef_[~zero]), rtol=1e-2)


def test_groups_vanish_together():
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"a": rng.normal(size=300), "noise": rng.choice(list("uvwx"), 300)})
    table["kind"] = rng.choice(["p", "q", "r"], 300)
    y = table["a"] + table["kind"].map({"p": 0.0, "q": 2.0, "r": -1.0}) + rng.normal(size=300)
    model = nm.AugmentedRegressor(prior="group_laplace", penalty=20.0).fit(table, y)
    named = dict(zip(model.coef_names_, model.coef_, strict=True))
    assert all(named[f"noise[{level}]"] == 0 for level in "vwx")
    assert all(named[name] != 0 for name in ("a", "kind[q]", "kind[r]"))
    alone = nm.AugmentedRegressor(prior="group_laplace", penalty=20.0, groups=[["a"], ["noise"], ["kind"]])
    np.testing.assert_allclose(alone.fit(table, y).coef_, model.coef_)
    with pytest.raises(ValueError, match="leaves out the column 'kind'"):
        alone.set_params(groups=[["a"], ["noise"]]).fit(table, y)


# ----------------------------------------------------------------------------------------------------- every pair


def _rises(model) -> None:
    gain = np.diff(model.trace_.objective[model.trace_.accepted])
    # rounding of sums of some 300 terms, and of the log determinant of a posterior
    assert gain.min(initial=0.0) >= -1e-9 * np.abs(model.trace_.objective).max()


@pytest.mark.parametrize("weights", ["point", "posterior"])
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_no_step_lowers_the_objective(likelihood, prior, weights):
    x, y = regression(120)
    settings = {"lower": -20.0} if likelihood == "tobit" else {}
    y = np.maximum(y, -20.0) if likelihood == "tobit" else y
    if prior == "ard" and weights == "point":
        pytest.skip("ARD integrates the weights out")
    model = nm.AugmentedRegressor(likelihood, prior, weights=weights, quantile=0.3, tol=0, max_iter=25, accelerate=None)
    model.set_params(**settings).fit(x, y)
    assert model.status_ is Status.COMPLETED
    _rises(model)


@pytest.mark.parametrize("weights", ["point", "posterior"])
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("link", LINKS)
def test_no_step_of_a_classifier_lowers_the_objective(link, prior, weights):
    x, y = choices(link, 120)
    if prior == "ard" and weights == "point":
        pytest.skip("ARD integrates the weights out")
    model = nm.AugmentedClassifier(link, prior, weights=weights, tol=0, max_iter=12, accelerate=None).fit(x, y)
    assert model.status_ is Status.COMPLETED
    _rises(model)


def test_what_the_e_step_gathers_is_the_gradient():
    """By hand against automatic differentiation of the marginal."""
    x, y = regression(80)
    with jax.enable_x64(True):
        frame = Frame.of(x, None, True, True)
        rows = [Rows(y[part, None], None, features) for part, features in frame.features(x)]
        settings = Settings(StudentLikelihood(4.0), None, np.full(4, -1), np.ones(4))
        _, model, blocks = _start(rows, settings)
        moved = np.array([[0.3, -0.2, 0.1, 0.5]])
        model = type(model)(
            **(
                {n: getattr(model, n) for n in model.__dataclass_fields__ if n != "compiled"}
                | {"weights": model.weights + moved}
            )
        )
        _, stats_ = expectation(stack([model]), blocks)
        ours = (stats_.pull[0] - moved @ stats_.gram[0]) / model.scale
        natural = model.natural()
        slope = jax.grad(lambda w: sum(jnp.sum(model.bound(natural | {"weights": w}, b)) for b in blocks))
        np.testing.assert_allclose(ours, slope(jnp.asarray(model.weights)), rtol=1e-9)


# ----------------------------------------------------------------------------------------------------- posteriors


def test_the_bound_of_a_normal_ridge_is_its_evidence():
    """log N(y | 0, σ²I + XXᵀ/λ), without an intercept."""
    x, y = regression(50)
    model = nm.AugmentedRegressor(prior="ridge", penalty=0.7, weights="posterior", scale=1.3, fit_intercept=False).fit(
        x, y
    )
    exact = stats.multivariate_normal(np.zeros(50), 1.3**2 * np.eye(50) + x @ x.T / 0.7).logpdf(y)
    assert model.bound_ == pytest.approx(exact, rel=1e-9)
    covariance = np.linalg.inv(x.T @ x / 1.3**2 + 0.7 * np.eye(3))
    np.testing.assert_allclose(model.covariance_, covariance, rtol=1e-8)
    np.testing.assert_allclose(model.coef_, covariance @ x.T @ y / 1.3**2, rtol=1e-8)
    low, high = model.predict_interval(x, 0.9)
    spread = np.sqrt(1.3**2 + np.einsum("np,pq,nq->n", x, covariance, x))
    np.testing.assert_allclose(low, x @ model.coef_ + stats.norm.ppf(0.05) * spread, rtol=1e-7)
    np.testing.assert_allclose(high, x @ model.coef_ + stats.norm.ppf(0.95) * spread, rtol=1e-7)


@pytest.mark.parametrize("link", ["probit", "logit"])
@pytest.mark.parametrize("prior", ["ridge", "laplace", "student_t", "horseshoe"])
def test_a_bound_is_below_the_evidence(link, prior):
    """One weight and no intercept: log ∫ p(y | w) p(w) dw by quadrature."""
    x, y = choices(link, 40)
    x = x[:, :1]
    model = nm.AugmentedClassifier(link, prior, weights="posterior", fit_intercept=False).fit(x, y)
    log = stats.norm.logcdf if link == "probit" else stats.logistic.logcdf
    prior_density = {
        "ridge": stats.norm.pdf,
        "laplace": stats.laplace.pdf,
        "student_t": lambda w: stats.t.pdf(w, 3.0),
        "horseshoe": _horseshoe,
    }[prior]
    grid = np.linspace(-6, 8, 14_001) + 1e-7
    likelihood = np.exp(sum(log((2 * b - 1) * a * grid) for a, b in zip(x[:, 0], y, strict=True)))
    evidence = np.log(np.trapezoid(likelihood * prior_density(grid), grid))
    assert evidence - 1.5 < model.bound_ < evidence


def _horseshoe(w: np.ndarray) -> np.ndarray:
    """Its density by quadrature over the half-Cauchy scale, in log scale."""
    k = np.exp(np.linspace(-14, 14, 1201))
    each = stats.norm.pdf(w[:, None], 0, k) * 2 / (np.pi * (1 + k**2)) * k
    return each.sum(axis=1) * (28 / 1200)


@pytest.mark.parametrize("prior", ["ridge", "laplace"])
def test_penalties_by_evidence_are_at_the_maximum_of_the_bound(prior):
    x, y = regression(60)
    best = nm.AugmentedRegressor(prior=prior, hyperparameters="evidence", tol=1e-9).fit(x, y)
    for factor in (1.0, 0.8, 1.25):
        other = nm.AugmentedRegressor(prior=prior, penalty=best.penalty_ * factor, weights="posterior", tol=1e-9).fit(
            x, y
        )
        assert other.bound_ <= best.bound_ + 1e-6
        if factor == 1.0:
            assert other.bound_ == pytest.approx(best.bound_, abs=1e-6)


@pytest.mark.parametrize("method", ["coordinate", "em", "mackay", "gradient"])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("prior", ["ridge", "ard"])
def test_hyperparameters_are_at_the_maximum_of_the_evidence(prior, standardize, method):
    """log N(y | 0, σ²I + XΛ⁻¹Xᵀ) at what is found, and nothing nearby is better."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 6)) * [1, 2, 0.5, 1, 3, 1]
    y = x[:, 0] * 2 - x[:, 1] + 0.2 * x[:, 2] + rng.normal(size=80)
    model = nm.AugmentedRegressor(
        prior=prior, hyperparameters="evidence", evidence_method=method, standardize=standardize, fit_intercept=False,
        tol=1e-10,
    ).fit(x, y)  # fmt: skip
    scale = np.sqrt(np.mean(x**2, axis=0)) if standardize else np.ones(6)
    precision = model.prior_precisions_ * scale**2

    def evidence(log_precision: np.ndarray, log_noise: float) -> float:
        variance = np.exp(-log_precision)
        return stats.multivariate_normal(np.zeros(80), np.exp(log_noise) * np.eye(80) + (x * variance) @ x.T).logpdf(y)

    with np.errstate(divide="ignore"):
        at, noise = np.log(precision), 2 * np.log(model.scale_)
    best = evidence(at, noise)
    assert model.bound_is_exact_
    assert model.bound_ == pytest.approx(best, abs=1e-6)
    kept = np.isfinite(at)
    covariance = np.linalg.inv(x[:, kept].T @ x[:, kept] / model.scale_**2 + np.diag(precision[kept]))
    np.testing.assert_allclose(model.coef_[kept], covariance @ x[:, kept].T @ y / model.scale_**2, rtol=1e-6)
    np.testing.assert_array_equal(model.coef_[~kept], 0.0)
    together = [np.ones(6)] if prior == "ridge" else list(np.eye(6)[kept])
    for step in (-0.05, 0.05):
        assert all(evidence(at + step * way, noise) < best for way in together)
        assert evidence(at, noise + step) < best


def test_evidence_and_mean_field_have_one_posterior_of_weights_and_intercept():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    y = 3 + x @ [1, 0.5, 0] + rng.normal(size=60)
    weight = rng.integers(0, 3, 60)
    ours = nm.AugmentedRegressor(prior="ridge", hyperparameters="evidence", tol=1e-9).fit(x, y, weight)
    other = nm.AugmentedRegressor(prior="ridge", penalty=ours.penalty_, weights="posterior", tol=1e-9)
    other.fit(np.repeat(x, weight, axis=0), np.repeat(y, weight))
    assert ours.bound_ == pytest.approx(other.bound_, abs=1e-6)
    assert ours.intercept_ == pytest.approx(other.intercept_, abs=1e-5)
    np.testing.assert_allclose(ours.covariance_, other.covariance_, rtol=1e-3)


def test_an_unknown_way_up_the_evidence_is_refused():
    x, y = regression(30)
    with pytest.raises(ValueError, match="evidence_method='newton'"):
        nm.AugmentedRegressor(prior="ard", evidence_method="newton").fit(x, y)


def test_ard_finds_the_columns_that_matter():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 8))
    y = x[:, 0] * 2 - x[:, 1] + rng.normal(size=200)
    model = nm.AugmentedRegressor(prior="ard").fit(x, y)
    assert np.all(np.abs(model.coef_[:2]) > 0.5)
    assert np.count_nonzero(model.coef_[2:]) <= 3  # of columns without use, about one in three stays
    assert np.isinf(model.prior_precisions_[model.coef_ == 0]).all()
    with pytest.raises(ValueError, match="integrates the weights out"):
        nm.AugmentedRegressor(prior="ard", weights="point").fit(x, y)


# ------------------------------------------------------------------------------------------ predictions and files


@pytest.mark.parametrize("likelihood", LIKELIHOODS[:4])
@pytest.mark.parametrize("weights", ["point", "posterior"])
def test_predictive_distributions_are_distributions(likelihood, weights):
    x, y = regression(150)
    model = nm.AugmentedRegressor(likelihood, weights=weights, quantile=0.3).fit(x, y)
    predictive = model.predict_distribution(x)
    for probability in (0.01, 0.3, 0.5, 0.99):
        np.testing.assert_allclose(predictive.cdf(predictive.quantile(probability)), probability, rtol=1e-7)
    grid = np.linspace(-80, 80, 400_001)
    one = nm.PredictiveDistribution(
        predictive.predictor[:1] * 0, predictive.predictor_deviation[:1], predictive.likelihood, predictive.scale,
        predictive.shape,
    )  # fmt: skip
    cumulative = one.likelihood.cumulative(grid, one.scale, one.shape)
    if likelihood != "student_t":
        mean = np.sum(0.5 * (grid[1:] + grid[:-1]) * np.diff(cumulative))
        square = np.sum(0.25 * (grid[1:] + grid[:-1]) ** 2 * np.diff(cumulative))
        assert one.mean[0] == pytest.approx(mean, abs=1e-4)
        assert one.standard_deviation[0] == pytest.approx(
            np.sqrt(square - mean**2 + one.predictor_deviation[0] ** 2), rel=1e-4
        )


@pytest.mark.parametrize("kind", ["regressor", "classifier", "posterior"])
def test_files_keep_everything(kind, tmp_path):
    x, y = regression(80)
    model = {
        "regressor": nm.AugmentedRegressor("student_t", "laplace", penalty=3.0),
        "classifier": nm.AugmentedClassifier("multinomial_logit"),
        "posterior": nm.AugmentedRegressor(prior="horseshoe", weights="posterior"),
    }[kind]
    y = np.digitize(y, [-20, -18]) if kind == "classifier" else y
    model.fit(x, y)
    model.save(tmp_path / "model.noumena")
    other = nm.load(tmp_path / "model.noumena")
    np.testing.assert_array_equal(other.predict(x), model.predict(x))
    assert other.log_likelihood_ == model.log_likelihood_
    assert other.bic(x, y) == pytest.approx(model.bic(x, y), rel=1e-13)
    assert other.status_ is model.status_
    np.testing.assert_array_equal(other.coef_, model.coef_)
    if kind == "posterior":
        np.testing.assert_array_equal(other.covariance_, model.covariance_)


@pytest.mark.parametrize("link", ["probit", "logit"])
@pytest.mark.parametrize("weights", ["point", "posterior"])
def test_sparse_is_dense(link, weights):
    rng = np.random.default_rng(0)
    x = sparse.random(400, 12, density=0.2, random_state=1, format="csr")
    y = (x.toarray()[:, :3] @ [3.0, -4.0, 2.0] + rng.normal(size=400) > 0).astype(int)
    ours, theirs = (
        nm.AugmentedClassifier(link, "laplace", weights=weights, tol=1e-10).fit(own, y) for own in (x, x.toarray())
    )
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x.toarray()), rtol=1e-5)
    if weights == "point":
        np.testing.assert_allclose(
            ours.standard_errors(x, y).coef, theirs.standard_errors(x.toarray(), y).coef, rtol=1e-5
        )


def test_tables_with_text():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"age": rng.normal(40, 10, 200), "sex": rng.choice(["f", "m"], 200)})
    y = np.where(0.1 * (table["age"] - 40) + (table["sex"] == "m") + rng.normal(size=200) > 0, "yes", "no")
    model = nm.AugmentedClassifier().fit(table, y)
    assert model.coef_names_ == ("age", "sex[m]")
    assert model.classes_.tolist() == ["no", "yes"]
    assert set(model.predict(table)) == {"no", "yes"}
    with pytest.raises(nm.DataError, match="level that the model was not fitted on"):
        model.predict(pd.DataFrame({"age": [1.0], "sex": ["x"]}))
    shuffled = model.predict_proba(table[["sex", "age"]])
    np.testing.assert_array_equal(shuffled, model.predict_proba(table))


def test_declared_categories_keep_their_order():
    x, y = choices("ordered_probit")
    names = np.array(["low", "middle", "high", "top"])[y]
    order = pd.Categorical(names, ["low", "middle", "high", "top"], ordered=True)
    model = nm.AugmentedClassifier("ordered_probit").fit(x, pd.Series(order))
    assert model.classes_.tolist() == ["low", "middle", "high", "top"]
    assert np.all(np.diff(model.thresholds_) > 0)


# ------------------------------------------------------------------------------------------------------ bad input


def test_separation_is_named():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    y = (x[:, 1] > 0.2).astype(int)
    for link in ("probit", "logit"):
        with pytest.raises(SeparationError, match="by 'x1' \\(perfect separation\\)"):
            nm.AugmentedClassifier(link).fit(x, y)
        model = nm.AugmentedClassifier(link, "ridge").fit(x, y)
        assert np.isfinite(model.coef_).all()
    together = (x[:, 0] + x[:, 2] > 0).astype(int)
    with pytest.raises(SeparationError, match=r"'x0'.*'x2'"):
        nm.AugmentedClassifier("probit", accelerate="newton").fit(x, together)
    steep = (20 * x[:, 0] + rng.normal(size=60) > 0).astype(int)
    steep[np.argsort(np.abs(x[:, 0]))[:2]] = 1 - steep[np.argsort(np.abs(x[:, 0]))[:2]]
    found = nm.AugmentedClassifier("probit", accelerate="newton").fit(x[:, :1], steep)  # steep is not separated
    assert np.isfinite(found.coef_).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (np.column_stack([x, np.ones(len(x))]), y), "covariate 'x3' is constant"),
        (lambda x, y: (np.column_stack([x, x[:, 0] - x[:, 1]]), y), "covariate 'x3' is determined by the others"),
        (lambda x, y: (np.where(np.arange(x.size).reshape(x.shape) == 7, np.nan, x), y), "'x1' is missing .* at row 2"),
        (lambda x, y: (x, np.where(np.arange(len(y)) == 4, np.nan, y)), "y is missing .* at row 4"),
        (lambda x, y: (x, np.full(len(y), 3.0)), "y is constant|one class only"),
        (lambda x, y: (x[:3], y[:3]), "too few for 4 weights"),
    ],
)
@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_bad_tables_are_refused(change, message, kind):
    x, y = choices("probit", 50)
    y = y.astype(float)
    y[:3] = [0, 1, 0]
    model = nm.AugmentedRegressor() if kind == "regressor" else nm.AugmentedClassifier()
    with pytest.raises(nm.DataError, match=message):
        model.fit(*change(x, y))


def test_contradictions_of_censoring_are_refused():
    x, y = regression(30)
    code = np.zeros(30, dtype=int)
    tobit = lambda **settings: nm.AugmentedRegressor("tobit", **settings)  # noqa: E731
    with pytest.raises(nm.DataError, match=r"below lower=.* at row"):
        tobit(lower=-19.0).fit(x, y)
    code[2] = 4
    with pytest.raises(nm.DataError, match="censoring is 4 at row 2"):
        tobit().fit(x, y, censoring=code)
    code[2] = -1
    with pytest.raises(nm.DataError, match="left-censored by its code, but the limit is"):
        tobit(lower=-1000.0).fit(x, y, censoring=code)
    with pytest.raises(nm.DataError, match=r"lower end .* is above its upper end"):
        tobit().fit(x, np.column_stack([y + 1, y]))
    with pytest.raises(nm.DataError, match="censored on the same side"):
        tobit().fit(x, y, censoring=np.ones(30, dtype=int))
    with pytest.raises(ValueError, match="belong to likelihood"):
        nm.AugmentedRegressor().fit(x, y, censoring=code)
    coded = tobit(tol=1e-9).fit(x, np.maximum(y, -20), censoring=np.where(y < -20, -1, 0))
    limited = tobit(lower=-20.0, tol=1e-9).fit(x, np.maximum(y, -20))
    np.testing.assert_allclose(coded.coef_, limited.coef_, rtol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        {"likelihood": "cauchy"},
        {"prior": "spike"},
        {"penalty": 0},
        {"weights": "both"},
        {"quantile": 1.5, "likelihood": "asymmetric_laplace"},
        {"scale": -1.0},
        {"accelerate": "newton"},
        {"hyperparameters": "evidence"},
        {"dof": 0, "likelihood": "student_t"},
    ],
)
def test_bad_parameters_are_refused(settings):
    x, y = regression(30)
    own = {"prior": "ridge"} if "penalty" in settings else {}
    with pytest.raises(ValueError, match="="):
        nm.AugmentedRegressor(**(own | settings)).fit(x, y)


def test_an_exact_fit_is_degenerate():
    x, _ = regression(30)
    with pytest.warns(nm.DegenerateWarning, match="meet every response exactly"):
        model = nm.AugmentedRegressor("student_t", dof=4.0).fit(x, 1 + 2 * x[:, 0])
    assert model.status_ is Status.DEGENERATE
    np.testing.assert_allclose(model.coef_, [2, 0, 0], atol=1e-5)


def test_no_weight_anywhere():
    x, y = regression(30)
    with pytest.raises(nm.DataError, match="every sample weight is zero"):
        nm.AugmentedRegressor().fit(x, y, sample_weight=np.zeros(30))


#: Scales are known: scikit-learn's tables have more columns than rows, which any scale can meet exactly.
CHECKED = [
    nm.AugmentedRegressor(prior="ridge", scale=1.0),
    nm.AugmentedRegressor("student_t", "ridge", scale=1.0, dof=4.0, tol=1e-12),
    nm.AugmentedClassifier("logit", "ridge", tol=1e-12),
    nm.AugmentedClassifier("multinomial_logit", "ridge", tol=1e-12),
]


@parametrize_with_checks(CHECKED)
def test_scikit_learns_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)
