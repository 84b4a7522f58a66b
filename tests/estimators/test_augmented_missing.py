"""Missing covariates integrated out: joint normals, brute-force marginals, derivatives, recovery, bad input."""

import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from sklearn.utils.estimator_checks import parametrize_with_checks

import noumena as nm
from blocks import holes
from noumena.core.block import Block
from noumena.core.errors import DataError
from noumena.core.fit import fit
from noumena.core.lanes import stack
from noumena.core.model import Fixed
from noumena.families.weight_priors import RidgePrior
from noumena.models.joint_regression import JointRegression, by_pattern

KINDS = ("normal", "tobit", "probit")


def table(n: int = 200, share: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three correlated columns of different units with holes, and a latent response."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 1.0]]) * [1.0, 10.0, 0.1]
    z = 1 + x @ [1.0, -0.1, 4.0] + rng.normal(size=n)
    return holes(x + np.array([5.0, 0.0, 3.0]), share, seed + 1), z


def response(kind: str, z: np.ndarray) -> np.ndarray:
    if kind == "probit":
        return (z > np.median(z)).astype(int)
    if kind == "normal":
        return z
    y = np.column_stack([z, z])
    y[::4, 1], y[1::4, 0], y[2::4] = np.inf, -np.inf, y[2::4] + np.array([-0.7, 0.4])
    return y


def estimator(kind: str, **settings):
    settings = {"missing": "normal"} | settings
    return nm.AugmentedClassifier(**settings) if kind == "probit" else nm.AugmentedRegressor(kind, **settings)


def scale_of(model) -> float:
    return 1.0 if isinstance(model, nm.AugmentedClassifier) else model.scale_


# -------------------------------------------------------------------------------------------- what is known otherwise


def test_normal_responses_are_a_joint_normal():
    """The same maximum as that of one normal of (x, y) with missing cells, whose regression of y on x is read off it.

    Fits end within 1e-10 nats, so that estimates are off by at most some √(2e-10) = 1.4e-5 standard errors.
    """
    x, y = table()
    model = nm.AugmentedRegressor(missing="normal", tol=1e-10).fit(x, y)
    joint = nm.GaussianMixture(1, tol=1e-10, max_iter=10_000).fit(np.column_stack([x, y]))
    mean, covariance = joint.means_[0], joint.covariances_[0]
    slopes = np.linalg.solve(covariance[:3, :3], covariance[:3, 3])
    errors = model.standard_errors(x, y)
    assert abs(model.joint_log_likelihood_ - joint.log_likelihood_) < 1e-8
    assert model.trace_.objective[-1] == pytest.approx(model.joint_log_likelihood_, abs=1e-8)
    assert (np.abs(model.coef_ - slopes) < 3e-5 * errors.coef).all()
    assert abs(model.intercept_ - (mean[3] - slopes @ mean[:3])) < 3e-5 * errors.intercept
    assert abs(model.scale_**2 - (covariance[3, 3] - slopes @ covariance[:3, 3])) < 6e-5 * model.scale_ * errors.scale
    assert model.covariates_mean_ == pytest.approx(mean[:3], rel=1e-5)
    assert model.covariates_covariance_ == pytest.approx(covariance[:3, :3], rel=1e-5, abs=1e-5)
    seen = ~np.isnan(x)
    marginal = sum(
        stats.multivariate_normal(mean[:3][s], covariance[:3, :3][np.ix_(s, s)]).logpdf(row[s])
        for row, s in zip(x, seen, strict=True)
        if s.any()
    )
    assert model.log_likelihood_ == pytest.approx(model.joint_log_likelihood_ - marginal, abs=1e-4)


ALL = list(itertools.product(KINDS, [True, False], ["flat", "ridge"]))
#: One of each kind; with the others, every combination.
SOME = {("normal", True, "flat"), ("tobit", False, "ridge"), ("probit", True, "ridge")}


@pytest.mark.parametrize(
    ("kind", "intercept", "prior"),
    [pytest.param(*one, marks=[] if one in SOME else pytest.mark.slow) for one in ALL],
)
def test_complete_rows_are_the_plain_fit(kind, intercept, prior):
    """Without holes the covariates' normal says nothing of y; both fits end within 1e-11 nats, 1e-5 standard errors."""
    x, z = table(share=0.0)
    y = response(kind, z)
    given = {"tol": 1e-11, "fit_intercept": intercept, "prior": prior, "penalty": 2.0}
    joint, plain = estimator(kind, **given).fit(x, y), estimator(kind, missing=None, **given).fit(x, y)
    errors, known = joint.standard_errors(x, y), plain.standard_errors(x, y)
    assert (np.abs(joint.coef_ - plain.coef_) < 1e-5 * known.coef).all()
    assert joint.log_likelihood_ == pytest.approx(plain.log_likelihood_, abs=1e-5)
    assert joint.log_density(x, y) == pytest.approx(plain.log_density(x, y), abs=1e-4)
    assert joint.aic(x, y) == pytest.approx(plain.aic(x, y), abs=1e-4)
    assert errors.coef == pytest.approx(known.coef, rel=1e-4)
    if intercept:
        assert errors.intercept == pytest.approx(known.intercept, rel=1e-4)
    if kind != "probit":
        assert errors.scale == pytest.approx(known.scale, rel=1e-4)
    for name, value in plain.latents(x, y).items():
        assert joint.latents(x, y)[name] == pytest.approx(value, abs=1e-3)


@pytest.mark.slow
def test_known_scale():
    """As `test_complete_rows_are_the_plain_fit`; under a ridge the slopes depend on the scale."""
    x, y = table(share=0.0)
    given = {"tol": 1e-11, "prior": "ridge", "penalty": 50.0, "scale": 2.5}
    joint, plain = (nm.AugmentedRegressor(missing=missing, **given).fit(x, y) for missing in ("normal", None))
    assert joint.scale_ == pytest.approx(2.5, rel=1e-12)
    assert joint.coef_ == pytest.approx(plain.coef_, rel=1e-5)
    assert joint.n_parameters_ == plain.n_parameters_ == 4
    assert "scale" not in joint.standard_errors(x, y).values
    assert joint.standard_errors(x, y).coef == pytest.approx(plain.standard_errors(x, y).coef, rel=1e-6)


# -------------------------------------------------------------------------------------------------------- densities


def brute(model, row: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """log p(x_o, y) and log p(y | x_o) of a row, from the covariance of (x, z) and a quadrature over z."""
    mean, covariance, w = model.covariates_mean_, model.covariates_covariance_, model.coef_
    cross = covariance @ w
    joint = np.block([[covariance, cross[:, None]], [cross[None], w @ cross + scale_of(model) ** 2]])
    centre = np.append(mean, model.intercept_ + w @ mean)
    seen = np.append(~np.isnan(row), True)
    law = stats.multivariate_normal(centre[seen], joint[np.ix_(seen, seen)])
    known = row[~np.isnan(row)]
    inner = seen.copy()
    inner[-1] = False
    of_x = stats.multivariate_normal(centre[inner], joint[np.ix_(inner, inner)]).logpdf(known) if len(known) else 0.0
    if low == high:
        both = law.logpdf(np.append(known, low))
        return float(both), float(both - of_x)
    spread = np.sqrt(joint[-1, -1])
    ends = max(low, centre[-1] - 12 * spread), min(high, centre[-1] + 12 * spread)  # Φ(−12) is 2e-33
    middle = np.clip(centre[-1], *ends)
    mass = sum(
        integrate.quad(lambda z: np.exp(law.logpdf(np.append(known, z)) - of_x), a, b, epsabs=1e-13, limit=200)[0]
        for a, b in ((ends[0], middle), (middle, ends[1]))
    )
    return float(np.log(mass) + of_x), float(np.log(mass))


@pytest.mark.parametrize("kind", KINDS)
def test_densities_of_every_pattern(kind):
    """All eight patterns, with quadratures of absolute error 1e-13 of masses above 1e-4: 1e-9 in the logarithm."""
    x, z = table()
    y = response(kind, z)
    model = estimator(kind).fit(x, y)
    rng = np.random.default_rng(3)
    full, latent = table(n=32, share=0.0, seed=5)
    asked = np.array([[bool(k & 1 << j) for j in range(3)] for k in range(8)] * 4)
    rows = np.where(asked, np.nan, full)
    y = response(kind, latent)[rng.permutation(32) if kind == "normal" else np.arange(32)]
    if kind == "probit":
        ends = np.column_stack([np.where(y == 1, 0, -np.inf), np.where(y == 1, np.inf, 0)])
    else:
        ends = np.column_stack([y, y]) if kind == "normal" else y
    expected = np.array([brute(model, row, *end) for row, end in zip(rows, ends, strict=True)])
    assert model.log_density(rows, y) == pytest.approx(expected[:, 1], abs=1e-8)
    assert -0.5 * model.bic(rows, y) == pytest.approx(
        expected[:, 1].sum() - 0.5 * model.n_parameters_ * np.log(32), abs=1e-6
    )


@pytest.mark.parametrize("kind", KINDS)
def test_joint_log_likelihood(kind):
    """As `test_densities_of_every_pattern`, of the rows of the fit."""
    x, z = table(n=40)
    y = response(kind, z)
    model = estimator(kind).fit(x, y)
    if kind == "probit":
        ends = np.column_stack([np.where(y == 1, 0, -np.inf), np.where(y == 1, np.inf, 0)])
    else:
        ends = np.column_stack([y, y]) if kind == "normal" else y
    expected = sum(np.array(brute(model, row, *end)) for row, end in zip(x, ends, strict=True))
    assert model.joint_log_likelihood_ == pytest.approx(expected[0], abs=1e-7)
    assert model.log_likelihood_ == pytest.approx(expected[1], abs=1e-7)


# ------------------------------------------------------------------------------------------------------ predictions


def test_predictions_integrate_missing_cells():
    """The conditional normal of y given what is seen, from the joint normal; the predictive law is exactly normal."""
    x, y = table()
    model = nm.AugmentedRegressor(missing="normal").fit(x, y)
    mean, covariance, w = model.covariates_mean_, model.covariates_covariance_, model.coef_
    found = model.predict_distribution(x)
    low, high = model.predict_interval(x, 0.9)
    for i in range(30):
        o = ~np.isnan(x[i])
        cross = (covariance @ w)[o]
        slopes = np.linalg.solve(covariance[np.ix_(o, o)], cross)
        centre = model.intercept_ + w @ mean + slopes @ (x[i, o] - mean[o])
        law = stats.norm(centre, np.sqrt(w @ covariance @ w - slopes @ cross + model.scale_**2))
        assert model.predict(x)[i] == pytest.approx(law.mean(), abs=1e-9)
        assert found.mean[i] == pytest.approx(law.mean(), abs=1e-9)
        assert found.standard_deviation[i] == pytest.approx(law.std(), rel=1e-9)
        assert found.cdf(y)[i] == pytest.approx(law.cdf(y[i]), abs=1e-9)
        assert (low[i], high[i]) == pytest.approx((law.ppf(0.05), law.ppf(0.95)), rel=1e-9)


def test_probabilities_are_densities():
    x, z = table()
    y = response("probit", z)
    model = estimator("probit").fit(x, y)
    probability = model.predict_proba(x)
    assert np.log(probability[np.arange(len(y)), y]) == pytest.approx(model.log_density(x, y), abs=1e-9)
    assert probability.sum(axis=1) == pytest.approx(np.ones(len(y)))


@pytest.mark.parametrize("kind", ["tobit", "probit"])
def test_latent_responses(kind):
    """Mean and deviation of z given x_o and y, from the normal of z given x_o (by predictions) cut off by scipy."""
    x, z = table()
    y = response(kind, z)
    model = estimator(kind).fit(x, y)
    found = model.latents(x, y)
    mean, covariance, w = model.covariates_mean_, model.covariates_covariance_, model.coef_
    for i in range(24):
        o = ~np.isnan(x[i])
        cross = (covariance @ w)[o]
        slopes = np.linalg.solve(covariance[np.ix_(o, o)], cross)
        f = model.intercept_ + w @ mean + slopes @ (x[i, o] - mean[o])
        deviation = np.sqrt(w @ covariance @ w - slopes @ cross + scale_of(model) ** 2)
        low, high = ((0.0, np.inf) if y[i] else (-np.inf, 0.0)) if kind == "probit" else y[i]
        if low == high:
            assert (found["mean"][i], found["standard_deviation"][i]) == pytest.approx((low, 0.0))
            continue
        law = stats.truncnorm((low - f) / deviation, (high - f) / deviation, f, deviation)
        assert found["mean"][i] == pytest.approx(law.mean(), rel=1e-7)
        assert found["standard_deviation"][i] == pytest.approx(law.std(), rel=1e-6)


# ---------------------------------------------------------------------------------------------- the model as such


def joint_model(intercept: bool = True, prior: RidgePrior | None = None) -> tuple[JointRegression, Block]:
    """A model that is no maximum, and rows with every kind of response."""
    x, z = table(n=60)
    rng = np.random.default_rng(7)
    x = (x - [5.0, 0.0, 3.0]) / [1.0, 10.0, 0.1]
    y = response("tobit", (z - 1) / 2)
    root = np.tril(rng.normal(size=(3, 3))) + 2 * np.eye(3)
    line = np.array([0.3 if intercept else 0.0, 0.5, -0.4, 0.2])
    model = JointRegression(
        rng.normal(size=3),
        root @ root.T,
        line,
        np.array(0.6),
        Fixed(np.array([1.0, 10.0, 0.1, 2.0])),
        Fixed(np.array(1.0)),
        Fixed(np.array([0.5, 1.0, 2.0])),
        prior,
        intercept,
        False,
    )
    return model, Block(np.concatenate([x, y], axis=1), rng.uniform(0.5, 1.5, size=60))


@pytest.mark.slow
def test_gather_is_the_gradient_of_the_bound():
    """Rounding: sums of 60 rows of terms below 100, with condition numbers below 100."""
    model, block = joint_model()
    with jax.enable_x64(True):
        value, slope = jax.value_and_grad(lambda eta: jnp.sum(block.weight * model.bound(eta, block)))(
            jnp.asarray(model.natural())
        )
        pieces = Block(block.x[None], block.weight[None])
        total, stats_found = model.gather(None, pieces)
        parts = [model.gather(None, part) for part in by_pattern(block.x[:, :3], block.x[:, 3:], block.weight)]
    assert total == pytest.approx(float(value), rel=1e-12)
    assert stats_found == pytest.approx(np.asarray(slope), abs=1e-10)
    assert sum(part for part, _ in parts) == pytest.approx(total, rel=1e-13)
    assert np.sum([part for _, part in parts], axis=0) == pytest.approx(stats_found, abs=1e-11)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("prior", [None, RidgePrior(3.0)])
def test_update_maximises_what_is_expected(intercept, prior):
    """No step away from the M-step's parameters raises ⟨η, S⟩ + log prior, up to rounding of its 60 rows.

    Under a prior with an unknown scale the weights are at their maximum given the old scale, and the scale given them.
    """
    model, block = joint_model(intercept, prior)
    stats_found = model.gather(None, Block(block.x[None], block.weight[None]))[1]
    best = model.update(stats_found)

    def value(own: JointRegression) -> float:
        return float(np.sum(own.natural() * stats_found)) + own.log_prior()

    def changed(own: JointRegression, **parts: np.ndarray) -> JointRegression:
        names = ("mean", "covariance", "line", "scale", "frame_scale", "location", "unit")
        values = {name: getattr(own, name) for name in names} | parts
        return JointRegression(*values.values(), prior, intercept, False)

    rng = np.random.default_rng(0)
    for size in (1e-2, 1e-4):
        for _ in range(20):
            bent = rng.normal(size=(3, 3)) * size
            step = rng.normal(size=4) * size
            step[0] *= intercept
            tried = [
                (best, changed(best, mean=best.mean + rng.normal(size=3) * size)),
                (best, changed(best, covariance=best.covariance + bent @ best.covariance + best.covariance @ bent.T)),
                (best, changed(best, scale=best.scale * np.exp(rng.normal() * size))),
                (changed(best, scale=model.scale), changed(best, scale=model.scale, line=best.line + step)),
            ]
            for here, there in tried:
                assert value(there) <= value(here) + 1e-11


@pytest.mark.parametrize("prior", ["flat", "ridge"])
@pytest.mark.parametrize("kind", KINDS)
def test_plain_em_never_falls(kind, prior):
    """Beyond rounding: 256 ε of the objective."""
    x, z = table()
    y = response(kind, z)
    model = estimator(kind, prior=prior, penalty=5.0, accelerate=None, max_iter=40, tol=0.0).fit(x, y)
    gains = np.diff(model.trace_.objective)
    assert (gains > -256 * np.finfo(float).eps * np.abs(model.trace_.objective).max()).all()
    assert gains[0] > 1
    fast = estimator(kind, prior=prior, penalty=5.0).fit(x, y)
    slow = estimator(kind, prior=prior, penalty=5.0, accelerate=None).fit(x, y)
    assert fast.trace_.objective.max() == pytest.approx(slow.trace_.objective.max(), abs=1e-5)


def test_weights_are_repetitions():
    x, z = table(n=60)
    y = response("tobit", z)
    weight = np.random.default_rng(0).integers(0, 3, size=60)
    weighted = estimator("tobit", tol=1e-9).fit(x, y, sample_weight=weight)
    repeated = estimator("tobit", tol=1e-9).fit(np.repeat(x, weight, axis=0), np.repeat(y, weight, axis=0))
    assert weighted.coef_ == pytest.approx(repeated.coef_, rel=1e-4)
    assert weighted.joint_log_likelihood_ == pytest.approx(repeated.joint_log_likelihood_, abs=1e-6)


# -------------------------------------------------------------------------------------------------- standard errors


@pytest.mark.parametrize("prior", ["ridge", pytest.param("flat", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_standard_errors_are_those_of_a_numerical_hessian(kind, prior):
    """Central differences of the summed bound, in coordinates of size 1 with steps of 1e-4: errors of some 1e-7."""
    x, z = table()
    y = response(kind, z)
    model = estimator(kind, prior=prior, penalty=3.0, tol=1e-10).fit(x, y)
    joint, root = model._joint, np.linalg.cholesky(model._joint.covariance)
    rows = np.concatenate([(x - model._frame.location[1:]) / model._frame.scale[1:], ends_of(model, kind, y)], axis=1)
    parts = by_pattern(rows[:, :3], rows[:, 3:], np.ones(len(rows)))
    n = 4 + (kind != "probit")
    size = n + 3 + 6

    def moved(theta: np.ndarray) -> float:
        bent = np.zeros((3, 3))
        bent[np.tril_indices(3)] = theta[n + 3 :]
        own = root @ (np.eye(3) + bent)
        scale = joint.scale if kind == "probit" else joint.scale * np.exp(theta[4])
        fields = (joint.frame_scale, joint.location, joint.unit, joint.prior, True, joint.scale_known)
        there = JointRegression(joint.mean + theta[n : n + 3], own @ own.T, joint.line + theta[:4], scale, *fields)
        return sum(there.gather(None, part)[0] for part in parts) + there.log_prior()

    hessian, h = np.empty((size, size)), 1e-4
    step = h * np.eye(size)
    for a in range(size):
        for b in range(a + 1):
            corners = [s * t * moved(s * step[a] + t * step[b]) for s in (1, -1) for t in (1, -1)]
            hessian[a, b] = hessian[b, a] = sum(corners) / (4 * h * h)
    covariance = np.linalg.inv(-hessian)[:n, :n]
    scale_y = joint.frame_scale.value[-1]
    jacobian = scale_y * model._frame.jacobian
    expected = np.sqrt(np.diagonal(jacobian @ covariance[:4, :4] @ jacobian.T))
    found = model.standard_errors(x, y)
    assert found.intercept == pytest.approx(expected[0], rel=1e-3)
    assert found.coef == pytest.approx(expected[1:], rel=1e-3)
    if kind != "probit":
        assert found.scale == pytest.approx(0.5 * model.scale_ * np.sqrt(covariance[4, 4]), rel=1e-3)


def ends_of(model, kind: str, y: np.ndarray) -> np.ndarray:
    """Intervals of the latent response in the frame."""
    if kind == "probit":
        return np.column_stack([np.where(y == 1, 0, -np.inf), np.where(y == 1, np.inf, 0)])
    both = np.column_stack([y, y]) if kind == "normal" else y
    return (both - model._joint.location.value) / model._joint.frame_scale.value[-1]


def observed(kind: str, z: np.ndarray, seed: int) -> np.ndarray:
    """Signs, or responses cut off at limits that do not depend on them."""
    if kind == "normal":
        return z
    if kind == "probit":
        return (z > 0).astype(int)
    limit = np.random.default_rng(seed).normal(2, 2, size=len(z))
    return np.column_stack([np.minimum(z, limit), np.where(z > limit, np.inf, z)])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_recovery(kind):
    """Estimates within four standard errors of the truth: a false failure in some 5 of 10,000 seeds."""
    x, z = table(n=4000, seed=11)
    y = observed(kind, z, 12)
    model = estimator(kind).fit(x, y)
    errors = model.standard_errors(x, y)
    truth = np.array([1.0, -0.1, 4.0])
    assert (np.abs(model.coef_ - truth) < 4 * errors.coef).all()
    assert abs(model.intercept_ - (1 - truth @ [5.0, 0.0, 3.0])) < 4 * errors.intercept
    if kind != "probit":
        assert abs(model.scale_ - 1) < 4 * errors.scale


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_standard_errors_cover(kind):
    """95% intervals hold the truth in 200 tables: 3 slopes, correlated within a table; 5 standard errors of a share."""
    truth, hits = np.array([1.0, -0.1, 4.0]), []
    for seed in range(200):
        x, z = table(n=300, seed=1000 + 2 * seed)
        y = observed(kind, z, seed)
        model = estimator(kind).fit(x, y)
        hits.append(np.abs(model.coef_ - truth) < 1.96 * model.standard_errors(x, y).coef)
    assert abs(np.mean(hits) - 0.95) < 5 * np.sqrt(0.95 * 0.05 / 200)


# -------------------------------------------------------------------------------------------------- tables and files


def test_files(tmp_path):
    x, z = table()
    y = response("tobit", z)
    model = estimator("tobit").fit(x, y)
    model.save(tmp_path / "model.noumena")
    again = nm.load(tmp_path / "model.noumena")
    assert (again.predict(x) == model.predict(x)).all()
    assert (again.log_density(x, y) == model.log_density(x, y)).all()
    assert again.joint_log_likelihood_ == model.joint_log_likelihood_
    assert again.standard_errors(x, y).coef == pytest.approx(model.standard_errors(x, y).coef, rel=1e-12)


def test_frames_with_categories():
    """A complete category's indicators are columns of the normal; one with holes is refused by name."""
    x, y = table()
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    frame["kind"] = np.where(np.arange(200) % 3 == 0, "u", "v")
    model = nm.AugmentedRegressor(missing="normal").fit(frame, y)
    assert model.coef_names_ == ("a", "b", "c", "kind[v]")
    assert np.isfinite(model.predict(frame)).all()
    frame.loc[4, "kind"] = None
    with pytest.raises(DataError, match=r"'kind' is missing at row 4, but it is a category"):
        nm.AugmentedRegressor(missing="normal").fit(frame, y)
    frame["kind"] = pd.array([True, False] * 100, dtype="boolean")
    frame.loc[7, "kind"] = pd.NA
    with pytest.raises(DataError, match=r"'kind' is missing at row 7, but it is a category"):
        nm.AugmentedRegressor(missing="normal").fit(frame, y)


# -------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "make",
    [
        *(lambda name=name: nm.AugmentedRegressor(name, missing="normal") for name in ("student_t", "laplace")),
        *(lambda link=link: nm.AugmentedClassifier(link, missing="normal") for link in ("logit", "ordered_probit")),
    ],
)
def test_refused_likelihoods(make):
    x, z = table()
    with pytest.raises(ValueError, match=r"no closed form for .*\"normal\" and \"tobit\".*\"probit\""):
        make().fit(x, response("probit", z))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"missing": "drop"}, 'choose "normal" or None'),
        ({"prior": "laplace"}, 'takes prior="flat" or "ridge", not \'laplace\''),
        ({"weights": "posterior"}, "point estimates only"),
        ({"prior": "ridge", "hyperparameters": "evidence"}, "point estimates only"),
    ],
)
def test_refused_settings(settings, message):
    x, y = table()
    with pytest.raises(ValueError, match=message):
        nm.AugmentedRegressor(**({"missing": "normal"} | settings)).fit(x, y)
    if "newton" not in settings:
        with pytest.raises(ValueError, match="newton"):
            nm.AugmentedClassifier(missing="normal", accelerate="newton").fit(x, y > 0)


def test_bad_tables():
    x, y = table()
    with pytest.raises(DataError, match=r"'x1' is missing \(NaN\) at row \d+.*missing=\"normal\""):
        nm.AugmentedRegressor().fit(np.where(np.arange(3) == 1, x, 0.0) + np.arange(3) * np.arange(200)[:, None], y)
    with pytest.raises(DataError, match="'x1' has no observed cell"):
        nm.AugmentedRegressor(missing="normal").fit(np.where(np.arange(3) == 1, np.nan, x), y)
    still = np.where(np.isnan(x) | (np.arange(3) != 1), x, 2.0)
    with pytest.raises(DataError, match=r"'x1' is constant \(always 2\)"):
        nm.AugmentedRegressor(missing="normal").fit(still, y)
    with pytest.raises(DataError, match="y is missing"):
        nm.AugmentedRegressor(missing="normal").fit(x, np.where(np.arange(200) == 3, np.nan, y))
    with pytest.raises(DataError, match="'x0', 'x3' determine each other"):
        nm.AugmentedRegressor(missing="normal").fit(np.column_stack([x, 2 * x[:, 0] + 1]), y)
    full, _ = table(share=0.0)
    with pytest.raises(DataError, match="'x0', 'x3' determine each other"):
        nm.AugmentedRegressor(missing="normal").fit(np.column_stack([full, 2 * full[:, 0] + 1]), y)
    with pytest.raises(DataError, match=r"determine each other.*or add rows"):
        nm.AugmentedRegressor(prior="ridge", missing="normal").fit(full[:3], y[:3])
    with pytest.raises(DataError, match="inf"):
        nm.AugmentedRegressor(missing="normal").fit(np.where(np.arange(200)[:, None] == 5, np.inf, x), y)


@parametrize_with_checks(
    [nm.AugmentedRegressor(missing="normal"), nm.AugmentedClassifier(prior="ridge", missing="normal")],
    expected_failed_checks=lambda _: {
        "check_sample_weight_equivalence_on_dense_data": "15 rows of 30 columns have no joint normal"
    },
)
def test_scikit_learns_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


def test_fit_loop_by_hand():
    """The loop's own objective is the sum of bounds and the log prior."""
    model, block = joint_model(prior=RidgePrior(3.0))
    parts = by_pattern(block.x[:, :3], block.x[:, 3:], block.weight)
    found = fit(stack([model]), parts, max_iter=500, tol=1e-8, accelerate="squarem")[0]
    total = sum(found.model.gather(None, part)[0] for part in parts)  # type: ignore[attr-defined]
    assert found.bound == pytest.approx(total, rel=1e-12)
    assert found.objective == pytest.approx(total + found.model.log_prior(), rel=1e-12)
