"""Mixtures of regressions: published fits, one regression by itself, brute force, bad input."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from sklearn.utils.estimator_checks import parametrize_with_checks

import noumena as nm
from conftest import real_path
from noumena.core.block import Block
from noumena.core.expectation import expectation
from noumena.core.fit import fit
from noumena.core.lanes import stack
from noumena.core.model import Fixed
from noumena.core.result import Status
from noumena.families.design import DesignFrame
from noumena.families.linked_regression import PoissonRegression
from noumena.models.gated_mixture import Gate, GatedMixture
from noumena.models.mixture import Mixture

FAMILIES = ("normal", "logistic", "poisson")


def experts(family: str, n: int = 900, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Two regressions on two columns; which one depends on a third."""
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(n, 2)), rng.normal(2.0, 3.0, size=n)
    which = (rng.random(n) < 1 / (1 + np.exp(0.5 - 0.4 * w))).astype(int)
    beta = np.array([[1.0, 1.5, -1.0], [-1.0, 0.5, 1.0]])[which]
    eta = np.sum(beta * np.column_stack([np.ones(n), x]), axis=1)
    response = {
        "normal": eta + rng.normal(0, 0.5, n),
        "logistic": (rng.random(n) < 1 / (1 + np.exp(-2 * eta))).astype(float),
        "poisson": rng.poisson(np.exp(0.7 * eta)).astype(float),
    }
    return pd.DataFrame({"a": 10 + 2 * x[:, 0], "b": x[:, 1], "w": w}), response[family]


def log_densities(family: str, eta, y, sd):
    """log p(y | η, k) from the textbook, for JAX."""
    if family == "normal":
        return -0.5 * ((y[:, None] - eta) / sd) ** 2 - jnp.log(sd) - 0.5 * jnp.log(2 * jnp.pi)
    if family == "poisson":
        return y[:, None] * eta - jnp.exp(eta) - jax.scipy.special.gammaln(y + 1)[:, None]
    return y[:, None] * eta - jnp.logaddexp(0.0, eta)


# ---------------------------------------------------------------------------------------------------- published fits


def test_carbon_dioxide_and_national_product():
    """Hurn, Justel & Robert (2003) as mixtools fits it (Benaglia et al. 2009, J. Stat. Softw. 32(6), section 5.1)."""
    table = pd.read_csv(real_path("classical/co2_gnp.csv"))
    rm = nm.RegressionMixture(2, random_state=0, tol=1e-9).fit(table[["GNP"]], table["CO2"])
    assert rm.log_likelihood_ == pytest.approx(-66.93977, abs=1e-5)
    order = np.argsort(rm.weights_)
    np.testing.assert_allclose(rm.weights_[order], [0.245079, 0.754921], atol=2e-6)
    np.testing.assert_allclose(rm.standard_deviation_[order], [0.809389, 2.049315], atol=1e-5)
    np.testing.assert_allclose(rm.intercept_[order], [1.415150, 8.678987], atol=2e-5)
    np.testing.assert_allclose(rm.coef_[order, 0], [0.676596, -0.023344], atol=2e-6)


def test_cheating_depends_on_grades():
    """poLCA's latent class regression of its cheating data on GPA: log likelihood −429.6384."""
    table = pd.read_csv(real_path("classical/cheating.csv")).dropna()
    lca = nm.LatentClassAnalysis(2, covariates=["GPA"], random_state=0, tol=1e-9).fit(table)
    assert lca.log_likelihood_ == pytest.approx(-429.6384, abs=5e-5)
    assert lca.n_parameters_ == 10
    assert lca.membership_names_ == ("GPA",)


# ------------------------------------------------------------------------------------------------- one regression


@pytest.mark.parametrize("family", FAMILIES)
def test_one_component_is_the_regression_itself(family):
    """The maximum that a general optimiser finds, and the inverse of the information there."""
    table, y = experts(family)
    table = table[["a", "b"]]
    rm = nm.RegressionMixture(1, family, tol=1e-11).fit(table, y)
    design = np.column_stack([np.ones(len(y)), table])

    def loss(theta):
        return -jnp.sum(log_densities(family, (design @ theta[:3])[:, None], y, jnp.exp(theta[3])))

    with jax.enable_x64(True):
        start = np.array([rm.intercept_[0], *rm.coef_[0], np.log(getattr(rm, "standard_deviation_", [1.0])[0])])
        size = 4 if family == "normal" else 3
        full = lambda theta: jnp.concatenate([theta, jnp.asarray(start[size:])])  # noqa: E731
        gradient = jax.jit(jax.grad(lambda theta: loss(full(theta))))
        found = optimize.root(gradient, start[:size] + 0.01, jac=jax.jacfwd(gradient), tol=1e-12)
        assert found.success
        np.testing.assert_allclose(start[:size], found.x, rtol=1e-6, atol=1e-7)
        assert rm.log_likelihood_ == pytest.approx(-float(loss(jnp.asarray(start))), rel=1e-12)
        spread = np.sqrt(np.diag(np.linalg.inv(jax.jacfwd(gradient)(found.x))))
    errors = rm.standard_errors(table, y)
    np.testing.assert_allclose([errors.intercept[0], *errors.coef[0]], spread[:3], rtol=1e-6)


# ------------------------------------------------------------------------------------------------------ brute force


@pytest.mark.parametrize(
    "family", ["poisson", *(pytest.param(one, marks=pytest.mark.slow) for one in ("normal", "logistic"))]
)
def test_log_likelihood_and_errors_by_hand(family):
    """Σ_n log Σ_k π_k(w) p(y | x, k) from the textbook densities, and its Hessian by automatic differentiation."""
    table, y = experts(family, n=500, seed=3)
    rm = nm.RegressionMixture(2, family, concomitant=["w"], n_init=5, random_state=0, tol=1e-11).fit(table, y)
    design = np.column_stack([np.ones(len(y)), table[["a", "b"]]])
    gate = np.column_stack([np.ones(len(y)), table["w"]])
    deviation = getattr(rm, "standard_deviation_", np.ones(2))

    def value(theta):
        beta, gamma, sd = theta[:6].reshape(2, 3), theta[6:8], theta[8:]
        sd = sd if family == "normal" else jnp.ones(2)
        weights = jax.nn.log_softmax(jnp.stack([jnp.zeros(len(y)), gate @ gamma], axis=1), axis=1)
        return jnp.sum(jax.nn.logsumexp(weights + log_densities(family, design @ beta.T, y, sd), axis=1))

    with jax.enable_x64(True):
        gamma = [rm.membership_intercept_[1], rm.membership_coef_[1, 0]]
        at = np.concatenate([np.column_stack([rm.intercept_, rm.coef_]).ravel(), gamma, deviation])
        at = at if family == "normal" else at[:8]
        assert rm.log_likelihood_ == pytest.approx(float(value(jnp.asarray(at))), rel=1e-11)
        assert np.abs(jax.grad(value)(jnp.asarray(at)) * np.maximum(np.abs(at), 0.1)).max() < 1e-2
        spread = np.sqrt(np.diag(np.linalg.inv(-jax.hessian(value)(jnp.asarray(at)))))
    errors = rm.standard_errors(table, y)
    np.testing.assert_allclose(np.column_stack([errors.intercept, errors.coef]).ravel(), spread[:6], rtol=1e-4)
    np.testing.assert_allclose([errors.membership_intercept[1], errors.membership_coef[1, 0]], spread[6:8], rtol=1e-4)
    if family == "normal":
        np.testing.assert_allclose(errors.standard_deviation, spread[8:], rtol=1e-4)


def test_what_the_e_step_gathers_is_the_normal_equations():
    """S of a Poisson regression and its gate, against the sums of iteratively reweighted least squares."""
    rng = np.random.default_rng(1)
    given = np.column_stack([np.ones(40), rng.normal(size=(40, 2))])
    y, weight = rng.poisson(2.0, size=(40, 1)).astype(float), rng.uniform(0.5, 2.0, 40)
    y[3] = np.nan
    plain = lambda columns: DesignFrame(Fixed(np.zeros(2)), Fixed(np.ones(2)), columns, True)  # noqa: E731
    family = PoissonRegression(plain((0, 1)))
    beta, gamma = np.array([[0.2, 0.5], [0.8, -0.3]]), np.array([[0.0, 0.0], [0.4, -0.7]])
    with jax.enable_x64(True):
        parameters = family.initial(2)._replace(coefficients=beta)
        model = GatedMixture(family, np.full(2, 0.5), parameters, np.ones(2, bool), Gate(plain((0, 2)), gamma))
        block = Block(y[None], weight[None], given=given[None])
        _, stats = jax.tree.map(np.asarray, expectation(stack([model]).for_bound(), [block]))
    x, w = given[:, :2], given[:, [0, 2]]
    eta, odds = x @ beta.T, w @ gamma.T
    share = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    density = np.where(np.isnan(y), 1.0, stats_poisson(y, np.exp(eta)))
    r = share * density / (share * density).sum(axis=1, keepdims=True) * weight[:, None]
    seen = r * ~np.isnan(y)
    filled, mean = np.nan_to_num(y), np.exp(eta)
    np.testing.assert_allclose(stats.constant[0], r.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats.family.constant[0], seen.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats.family.working[0], (seen * (mean * eta + filled - mean)).T @ x, rtol=1e-11)
    np.testing.assert_allclose(stats.family.curvature[0], np.einsum("nk,nk,ni,nj->kij", seen, mean, x, x), rtol=1e-11)
    newton = np.einsum("n,nkl,ni,nj->klij", weight, share[:, :, None] * (np.eye(2) - share[:, None]), w, w)
    np.testing.assert_allclose(stats.gate.curvature[0], newton, rtol=1e-11, atol=1e-13)
    working = np.einsum("klij,lj->ki", newton, gamma) + (r - weight[:, None] * share).T @ w
    np.testing.assert_allclose(stats.gate.working[0], working, rtol=1e-11, atol=1e-12)


def stats_poisson(y, rate):
    return stats.poisson.pmf(np.nan_to_num(y), rate)


# -------------------------------------------------------------------------------------------------------- the loop


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("accelerate", [pytest.param(None, marks=pytest.mark.slow), "squarem"])
def test_the_objective_never_falls(family, accelerate):
    table, y = experts(family, n=300, seed=5)
    rm = nm.RegressionMixture(
        3,
        family,
        concomitant=["w"],
        prior="default",
        n_init=3,
        init_params="random",
        random_state=1,
        accelerate=accelerate,
    ).fit(table, y)
    assert rm.status_ is Status.CONVERGED
    steps = np.diff(rm.trace_.objective[rm.trace_.accepted])
    assert steps.min() > -1e-9


def test_a_newton_step_that_overshoots_is_shortened():
    """From counts of 3 the step to counts of thousands lands near e^1500; halves of it arrive."""
    rng = np.random.default_rng(2)
    given = np.column_stack([np.ones(200), rng.normal(size=200)])
    y = rng.poisson(np.exp(8 + 0.5 * given[:, 1]))[:, None].astype(float)
    family = PoissonRegression(DesignFrame.of(given, (0, 1), True))
    blocks = [Block(y[None], np.ones((1, 200)), given=given[None])]
    with jax.enable_x64(True):
        blank = Mixture(family, np.ones(1), family.initial(1), np.ones(1, bool))
        low = blank.statistics(np.full((200, 1), 3.0), given, np.ones((200, 1)))
        start = blank.update(low)
        found = fit(
            stack([start]), blocks, max_iter=200, tol=1e-9, start=jax.tree.map(lambda part: np.asarray(part)[None], low)
        )[0]
        coefficients = np.asarray(family.frame.leave(found.model.parameters.coefficients))[0]
    assert found.status is Status.CONVERGED
    assert not found.trace.accepted.all()
    np.testing.assert_allclose(coefficients, [8.0, 0.5], atol=0.01)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_weight_of_two_is_the_row_twice(family):
    table, y = experts(family, n=200, seed=6)
    weight = np.random.default_rng(0).integers(1, 4, len(y))
    again = np.repeat(np.arange(len(y)), weight)
    start = np.random.default_rng(1).integers(2, size=len(y))
    kwargs = {"concomitant": ["w"], "prior": 2.0, "tol": 1e-10}
    ours = nm.RegressionMixture(2, family, init_params=start, **kwargs).fit(table, y, sample_weight=weight)
    theirs = nm.RegressionMixture(2, family, init_params=start[again], **kwargs).fit(table.iloc[again], y[again])
    assert ours.log_likelihood_ == pytest.approx(theirs.log_likelihood_, rel=1e-8)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-3, atol=1e-4)


# ---------------------------------------------------------------------------------------------------------- use


@pytest.mark.parametrize("family", FAMILIES)
def test_predictions_and_storage(family, tmp_path):
    table, y = experts(family, n=300)
    answers = np.array(["no", "yes"])[y.astype(int)] if family == "logistic" else y
    rm = nm.RegressionMixture(2, family, concomitant=["w"], n_init=4, random_state=0).fit(table, answers)
    shares, means = rm.component_proba(table), rm.predict_by_component(table)
    np.testing.assert_allclose(rm.predict(table), np.sum(shares * means, axis=1), rtol=1e-12)
    posterior = rm.component_proba(table, answers)
    np.testing.assert_allclose(posterior.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(posterior.mean(axis=0), rm.weights_, atol=1e-4)  # at the optimum of the gate
    np.testing.assert_allclose(rm.log_density(table, answers).sum(), rm.log_likelihood_, rtol=1e-11)
    assert rm.bic(table, answers) == pytest.approx(-2 * rm.log_likelihood_ + rm.n_parameters_ * np.log(300))
    assert rm.icl(table, answers) > rm.bic(table, answers) > rm.aic(table, answers)
    rm.save(tmp_path / "model.noumena")
    again = nm.load(tmp_path / "model.noumena")
    np.testing.assert_array_equal(again.component_proba(table, answers), posterior)
    assert again.coef_names_ == rm.coef_names_ == ("a", "b")
    drawn, component = rm.sample(table, random_state=0)
    assert set(np.unique(component)) == {0, 1}
    if family == "logistic":
        assert set(drawn) == {"no", "yes"}
    else:  # 300 draws: their mean lies within 5 standard errors
        assert abs(drawn.mean() - rm.predict(table).mean()) < 5 * drawn.std() / np.sqrt(300)


def test_categories_are_compared_with_their_first_level():
    table, y = experts("normal", n=200)
    letters = np.array(list("abc"))[np.random.default_rng(0).integers(3, size=200)]
    named = nm.RegressionMixture(1).fit(pd.DataFrame({"a": table["a"], "kind": letters}), y)
    by_hand = nm.RegressionMixture(1).fit(np.column_stack([table["a"], letters == "b", letters == "c"]), y)
    assert named.coef_names_ == ("a", "kind[b]", "kind[c]")
    np.testing.assert_allclose(named.coef_, by_hand.coef_, rtol=1e-9)


def test_counts_without_regressors_are_a_poisson_mixture():
    y = np.concatenate([np.random.default_rng(0).poisson(rate, 150) for rate in (1.0, 8.0)]).astype(float)
    rm = nm.RegressionMixture(2, "poisson", regressors=[], random_state=0, tol=1e-9).fit(np.zeros((300, 1)), y)
    pm = nm.PoissonMixture(2, random_state=0, tol=1e-9).fit(y[:, None])
    assert rm.log_likelihood_ == pytest.approx(pm.log_likelihood_, rel=1e-9)
    np.testing.assert_allclose(np.sort(np.exp(rm.intercept_)), np.sort(pm.rates_[:, 0]), rtol=1e-4)


def test_the_number_of_components_is_found():
    table, y = experts("normal", n=300)
    best = nm.select(
        nm.RegressionMixture(concomitant=["w"], n_init=4, random_state=0), table, y=y, n_components=[1, 2, 3]
    )
    assert best.estimator_.n_components == 2


# ----------------------------------------------------------------------------------------------------------- trouble


def test_separation_is_told_and_a_prior_helps():
    x = np.linspace(-2, 2, 60)[:, None]
    y = (x[:, 0] > 0).astype(int)
    with pytest.warns(nm.DegenerateWarning, match="perfect separation"):
        nm.RegressionMixture(1, "logistic", tol=0, max_iter=60).fit(x, y)
    rm = nm.RegressionMixture(1, "logistic", prior="default").fit(x, y)
    assert rm.status_ is Status.CONVERGED
    assert 1 < rm.coef_[0, 0] < 20


@pytest.mark.parametrize(
    ("kwargs", "column", "value", "message"),
    [
        ({}, "a", np.nan, r"column 'a' is missing or infinite at row 7, but it is a regressor"),
        ({"concomitant": ["w"]}, "w", np.nan, r"column 'w' is missing or infinite at row 7, but it is a concomitant"),
        ({}, "y", np.nan, "y is missing .* at row 7"),
        ({"family": "poisson"}, "y", 1.5, "y is 1.5 .* at row 7, .* takes counts"),
        ({"family": "poisson"}, "y", -1.0, "y is -1 .* at row 7"),
        ({"family": "logistic"}, "y", 2.0, "y has 3 different values"),
        ({"family": "gamma"}, "a", 1.0, "family='gamma': choose among normal, logistic, poisson"),
        ({"prior": "strong"}, "a", 1.0, "prior='strong': choose"),
        ({"concomitant": ["u"]}, "a", 1.0, "no such column: 'u'"),
    ],
)
def test_bad_input(kwargs, column, value, message):
    table, y = experts("poisson", n=60)
    y = np.minimum(y, 1.0) if kwargs.get("family") == "logistic" else y
    if column == "y":
        y[7] = value
    else:
        table.loc[7, column] = value
    with pytest.raises((nm.DataError, ValueError), match=message):
        nm.RegressionMixture(2, **kwargs).fit(table, y)


def test_columns_that_say_nothing_are_named():
    table, y = experts("normal", n=60)
    with pytest.raises(nm.DataError, match=r"'c' is constant \(always 1\): leave it out"):
        nm.RegressionMixture(2).fit(table.assign(c=1.0), y)
    with pytest.raises(nm.DataError, match=r"'c' is determined by the others \('a', 'b', 'w'\): leave one"):
        nm.RegressionMixture(2).fit(table.assign(c=table["a"] - 2 * table["b"] + 3), y)
    with pytest.raises(nm.DataError, match="y is constant"):
        nm.RegressionMixture(2).fit(table, np.ones(60))


def test_rare_levels_and_large_offsets_are_no_determined_columns():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=40_000), "event": (np.arange(40_000) % 100 == 1).astype(float)})
    rm = nm.RegressionMixture(1).fit(table, table["x"] + 2 * table["event"] + rng.normal(size=40_000))
    assert rm.coef_[0, 1] == pytest.approx(2.0, abs=0.3)
    late = pd.DataFrame({"t": 1.7e12 + np.arange(120.0)})
    y = 3 * np.arange(120.0) + rng.normal(size=120)
    assert nm.RegressionMixture(1).fit(late, y).coef_[0, 0] == pytest.approx(
        np.polyfit(np.arange(120), y, 1)[0], rel=1e-6
    )


def test_quasi_separation_is_told():
    rng = np.random.default_rng(0)
    group = rng.choice(["u", "v", "w"], 120)
    y = (group == "u") | ((group == "v") & (rng.random(120) < 0.5))
    with pytest.warns(nm.DegenerateWarning, match="perfect separation"):
        nm.RegressionMixture(1, "logistic").fit(pd.DataFrame({"group": group}), y)


def test_far_from_the_fit_nothing_is_nan():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=120)})
    rm = nm.RegressionMixture(2, "poisson", n_init=2, random_state=0).fit(table, rng.poisson(np.exp(table["x"])))
    far = pd.DataFrame({"x": [2000.0, 1e5]})
    assert not np.isnan(rm.component_proba(far, [0, 0])).any()
    assert not np.isnan(rm.log_density(far, [0, 0])).any()


def test_text_answers_can_be_scored_and_arrays_stand_for_frames():
    table, y = experts("logistic", n=200)
    answers = np.array(["no", "yes"])[y.astype(int)]
    rm = nm.RegressionMixture(1, "logistic").fit(table, answers)
    assert rm.score(table, answers) == pytest.approx(nm.RegressionMixture(1, "logistic").fit(table, y).score(table, y))
    np.testing.assert_array_equal(rm.predict(table.to_numpy()), rm.predict(table))
    table, y = experts("normal", n=200)
    one = nm.RegressionMixture(2, concomitant="w", regressors="a", random_state=0, n_init=2).fit(table, y)
    assert (one.coef_names_, one.membership_names_) == (("a",), ("w",))


def test_names_that_are_numbers_are_refused_where_they_could_be_positions():
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 2)), columns=[1, 2])
    with pytest.raises(nm.ColumnTypeError, match="a column is called 1, which is no text"):
        nm.RegressionMixture(1).fit(table, np.arange(50.0))
    doubled = pd.DataFrame(np.ones((5, 2)), columns=["a", "a"])
    with pytest.raises(nm.DataError, match="column names must be unique"):
        nm.LatentClassAnalysis(1).fit(doubled)


REFUSED = {
    "check_sample_weight_equivalence_on_dense_data": "its ten columns have fewer different rows, which is refused",
}


@pytest.mark.slow
@parametrize_with_checks([nm.RegressionMixture()], expected_failed_checks=lambda estimator: REFUSED)
def test_scikit_learns_own_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nm.ConvergenceWarning)
        warnings.simplefilter("ignore", nm.DegenerateWarning)
        check(estimator)
