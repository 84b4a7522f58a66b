"""Likelihoods and priors by augmentation: marginals by quadrature, majorisers, gradients."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from noumena.families.augmentation import (
    Augmentation,
    LaplaceLikelihood,
    NormalLikelihood,
    StudentLikelihood,
    TobitLikelihood,
    between,
    log_between,
)
from noumena.families.choices import (
    LogitLikelihood,
    MultinomialLogitLikelihood,
    MultinomialProbitLikelihood,
    OrderedProbitLikelihood,
    ProbitLikelihood,
)
from noumena.families.weight_priors import HorseshoePrior, LaplacePrior, RelevancePrior, RidgePrior, StudentPrior

pytestmark = pytest.mark.usefixtures("float64")


@dataclass(frozen=True)
class Case:
    """A likelihood with responses, a scale and a shape to try it at."""

    likelihood: Augmentation
    y: np.ndarray
    scale: float = 1.0
    shape: tuple[float, ...] = ()


_RNG = np.random.default_rng(5)
_REAL = _RNG.normal(0, 2, (40, 1))
_LOWER = np.where(np.arange(40) // 10 == 2, -np.inf, np.where(np.arange(40) // 10 == 3, _REAL[:, 0] - 0.3, _REAL[:, 0]))
_UPPER = np.where(np.arange(40) // 10 == 1, np.inf, np.where(np.arange(40) // 10 == 3, _REAL[:, 0] + 0.4, _REAL[:, 0]))
_ENDS = np.column_stack([_LOWER, _UPPER])
_CODES = _RNG.integers(0, 3, (40, 1)).astype(float)
CASES = {
    "normal": Case(NormalLikelihood(), _REAL, 1.7),
    "student": Case(StudentLikelihood(None), _REAL, 1.7, (3.5,)),
    "laplace": Case(LaplaceLikelihood(0.5, 1e-6), _REAL, 1.3),
    "quantile": Case(LaplaceLikelihood(0.2, 1e-6), _REAL, 1.3),
    "tobit": Case(TobitLikelihood(), _ENDS, 1.7),
    "probit": Case(ProbitLikelihood(), np.minimum(_CODES, 1)),
    "logit": Case(LogitLikelihood(), np.minimum(_CODES, 1)),
    "ordered": Case(OrderedProbitLikelihood(3, (0.0, 1.0)), _CODES, 1.0, (-0.5, 0.8)),
    "multinomial logit": Case(MultinomialLogitLikelihood(3), _CODES),
    "multinomial probit": Case(MultinomialProbitLikelihood(3), _CODES),
}
cases = pytest.mark.parametrize("name", CASES)


def quadratic(case: Case, at: np.ndarray, f: np.ndarray, newton: bool = False) -> np.ndarray:
    """What the least squares made at one predictor say of another: log p without its constant, per unit of scale."""
    working = case.likelihood.working(case.y, at, None, case.scale, np.array(case.shape), newton)
    weight = 1.0 if working.weight is None else working.weight
    square = np.einsum("nk,kl,nl->n", f, case.likelihood.coupling, f)
    return (np.sum(working.pull * f, axis=1) - 0.5 * weight * square) / case.scale


def density(case: Case, f, spread=None):
    return case.likelihood.log_density(case.y, f, spread, case.scale, np.array(case.shape))


# ---------------------------------------------------------------------------------------------------- likelihoods


@cases
def test_the_least_squares_touch_the_likelihood_and_lie_below_it(name):
    case = CASES[name]
    k = case.likelihood.n_functions
    rng = np.random.default_rng(0)
    for _ in range(5):
        at, f = rng.normal(0, 3, (40, k)), rng.normal(0, 3, (40, k))
        gain = density(case, f) - density(case, at)
        below = quadratic(case, at, f) - quadratic(case, at, at)
        if name != "ordered":  # which takes Newton steps
            assert np.all(gain >= below - 1e-9 * (1 + np.abs(below)))
        gradient = jax.grad(lambda own: jnp.sum(density(case, own)))(jnp.asarray(at))
        ours = jax.grad(lambda own, at=at: jnp.sum(jnp.asarray(0.0) + _traced(case, at, own)))(jnp.asarray(at))
        if name == "ordered":
            working = case.likelihood.working(case.y, at, None, 1.0, np.array(case.shape), False)
            ours = working.pull - working.weight[:, None] * at - (working.cross @ np.array(case.shape))[:, None]
        np.testing.assert_allclose(gradient, ours, rtol=1e-7, atol=1e-8)


def _traced(case: Case, at, f):
    working = case.likelihood.working(case.y, at, None, case.scale, np.array(case.shape), False)
    weight = 1.0 if working.weight is None else working.weight
    square = jnp.einsum("nk,kl,nl->n", f, case.likelihood.coupling, f)
    return (jnp.sum(working.pull * f, axis=1) - 0.5 * weight * square) / case.scale


@pytest.mark.parametrize("name", ["probit", "logit"])
def test_newtons_weights_are_the_curvature(name):
    case, f = CASES[name], np.random.default_rng(1).normal(0, 3, (40, 1))
    working = case.likelihood.working(case.y, f, None, 1.0, np.empty(0), True)
    slope = jax.grad(lambda own: jnp.sum(density(case, own)))
    second = jax.jvp(slope, (jnp.asarray(f),), (jnp.ones_like(f),))[1]
    np.testing.assert_allclose(working.weight, -np.ravel(second), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(working.pull - working.weight[:, None] * f, slope(jnp.asarray(f)), rtol=1e-9)


def test_an_ordered_probits_normal_equations_are_newtons():
    case, f = CASES["ordered"], np.random.default_rng(1).normal(0, 2, (40, 1))
    shape = np.array(case.shape)

    def total(f, shape):
        return jnp.sum(case.likelihood.log_density(case.y, f, None, 1.0, shape))

    working = case.likelihood.working(case.y, f, None, 1.0, shape, True)
    gradient, hessian = jax.grad(total, 1), jax.hessian(total, 1)
    curvature = working.extra[:, 2:].sum(axis=0).reshape(2, 2)
    np.testing.assert_allclose(curvature, -hessian(jnp.asarray(f), jnp.asarray(shape)), rtol=1e-9)
    beside = working.extra[:, :2].sum(axis=0) - curvature @ shape - (working.cross * f).sum(axis=0)
    np.testing.assert_allclose(beside, gradient(jnp.asarray(f), jnp.asarray(shape)), rtol=1e-9)
    mixed = jax.jacfwd(jax.grad(total, 0), 1)(jnp.asarray(f), jnp.asarray(shape))[:, 0]
    np.testing.assert_allclose(working.cross, -mixed, rtol=1e-8, atol=1e-12)


@cases
def test_an_uncertain_predictor_has_a_bound(name):
    """E log p(y | f) over f ~ N(f̄, v), by quadrature, is above the bound; for a certain f they are equal."""
    case = CASES[name]
    k = case.likelihood.n_functions
    f, v = np.random.default_rng(2).normal(0, 2, (40, k)), 0.7
    nodes, weights = np.polynomial.hermite_e.hermegauss(40 if k == 1 else 12)
    weights = weights / weights.sum()
    expected = np.zeros(40)
    if k == 1:
        for node, weight in zip(nodes, weights, strict=True):
            expected += weight * density(case, f + np.sqrt(v) * node)
    else:
        for a, wa in zip(nodes, weights, strict=True):
            for b, wb in zip(nodes, weights, strict=True):
                expected += wa * wb * density(case, f + np.sqrt(v) * np.array([a, b]))
    spread = np.full(40, v * np.trace(case.likelihood.coupling))
    assert np.all(density(case, f, spread) <= expected + 1e-3 * (name in ("laplace", "quantile")) + 1e-9)
    np.testing.assert_allclose(density(case, f, np.zeros(40)), density(case, f), rtol=1e-12, atol=1e-12)


def test_student_t_is_its_mixture_of_normals():
    case, f = CASES["student"], np.zeros((40, 1))
    nu = case.shape[0]
    for y, found in zip(case.y[:8, 0], density(case, f), strict=False):
        mixed, _ = integrate.quad(
            lambda u, y=y: stats.norm.pdf(y, 0, np.sqrt(case.scale / u)) * stats.gamma.pdf(u, nu / 2, scale=2 / nu),
            0, np.inf, epsabs=1e-13, epsrel=1e-11,
        )  # fmt: skip
        assert found == pytest.approx(np.log(mixed), abs=1e-9)


@pytest.mark.parametrize("name", ["laplace", "quantile"])
def test_the_asymmetric_laplace_density_is_its_mixture_of_normals(name):
    """Kozumi & Kobayashi (2011), eq. (2.2): y = θz + τ√z e in units of half of s, z ~ Exp(1)."""
    case = CASES[name]
    q = case.likelihood.quantile
    theta, tau = (1 - 2 * q) / (q * (1 - q)), np.sqrt(2 / (q * (1 - q)))
    unit = case.scale / 2
    for y, found in zip(case.y[:8, 0], density(case, np.zeros((40, 1))), strict=False):
        mixed, _ = integrate.quad(
            lambda z, y=y: stats.norm.pdf(y / unit, theta * z, tau * np.sqrt(z)) / unit * np.exp(-z),
            0, np.inf, epsabs=1e-13, epsrel=1e-10, limit=400,
        )  # fmt: skip
        assert found == pytest.approx(np.log(mixed), abs=1e-7)


def test_censored_probabilities_and_ordered_classes_are_integrals_of_the_normal():
    case, f = CASES["tobit"], np.linspace(-2, 2, 40)[:, None]
    for (low, high), mean, found in zip(case.y, f[:, 0], density(case, f), strict=True):
        sd = np.sqrt(case.scale)
        exact = stats.norm.logpdf(low, mean, sd)
        if low < high:
            ends = np.clip([low, high], mean - 12 * sd, mean + 12 * sd)
            exact = np.log(integrate.quad(stats.norm.pdf, *ends, args=(mean, sd), epsabs=1e-14, limit=200)[0])
        assert found == pytest.approx(exact, abs=1e-8)
    ordered = CASES["ordered"]
    each = [np.exp(ordered.likelihood.log_density(np.full((40, 1), j), f, None, 1.0, np.array(ordered.shape)))
            for j in (0.0, 1.0, 2.0)]  # fmt: skip
    np.testing.assert_allclose(sum(each), 1.0, rtol=1e-13)
    np.testing.assert_allclose(each[0], stats.norm.cdf(ordered.shape[0] - f[:, 0]), rtol=1e-12)


def test_truncated_moments():
    low, high = np.array([-np.inf, 0.3, -1.0, 6.0, -9.0, 2.0]), np.array([-1.2, np.inf, 2.0, 7.0, -8.0, 2.001])
    close, far = np.where(np.isinf(low), -41.2, low), np.where(np.isinf(high), 40.3, high)
    mean, variance = between(close, far)
    exact = stats.truncnorm(low, high)
    np.testing.assert_allclose(mean, exact.mean(), rtol=1e-8)
    np.testing.assert_allclose(variance[:4], exact.var()[:4], rtol=1e-6)
    assert log_between(np.array([-1.0]), np.array([2.0]))[0] == pytest.approx(
        np.log(stats.norm.cdf(2) - stats.norm.cdf(-1)), rel=1e-13
    )


def test_logit_is_its_polya_gamma_mixture():
    """e^{(y − ½) f} E e^{−ωf²/2} / 2, with ω the sum of gammas of Polson, Scott & Windle (2013), eq. (3)."""
    case, f = CASES["logit"], np.linspace(-6, 6, 40)[:, None]
    k = np.arange(1, 200_001)
    rate = 4 * np.pi**2 * (k - 0.5) ** 2
    tail = f[:, 0] ** 2 / (4 * np.pi**2 * k[-1])  # Σ f²/rate beyond the last
    laplace = -np.log1p(f**2 / rate).sum(axis=1) - tail
    mixed = (case.y[:, 0] - 0.5) * f[:, 0] + laplace - np.log(2)
    np.testing.assert_allclose(density(case, f), mixed, atol=1e-9)
    weight = case.likelihood.working(case.y, f, None, 1.0, np.empty(0), False).weight
    np.testing.assert_allclose(weight, (1 / (rate + f**2)).sum(axis=1) * 2 + 2 / (4 * np.pi**2 * k[-1]), rtol=1e-9)


def test_multinomial_probit_is_an_orthant_probability():
    case, f = CASES["multinomial probit"], np.random.default_rng(4).normal(0, 1, (40, 2))
    full = np.concatenate([np.zeros((40, 1)), f], axis=1)
    for row in range(6):
        y = int(case.y[row, 0])
        ahead = np.delete(full[row, y] - full[row], y)
        # differences of the chosen utility and the others have variance 2 and covariance 1
        exact = stats.multivariate_normal.cdf(ahead, [0, 0], [[2, 1], [1, 2]], abseps=1e-9)
        assert density(case, f)[row] == pytest.approx(np.log(exact), abs=1e-6)
    means = case.likelihood.latents(case.y, f, None, 1.0, np.empty(0))["mean"]
    assert np.all(means.argmax(axis=1) == case.y[:, 0])


# --------------------------------------------------------------------------------------------------------- priors


PRIORS = {
    "ridge": RidgePrior(2.3),
    "laplace": LaplacePrior(1.7),
    "student": StudentPrior(1.4, 3.0),
    "horseshoe": HorseshoePrior(1.3),
    "relevance": RelevancePrior(),
}


@pytest.mark.parametrize("name", PRIORS)
def test_a_precision_is_the_slope_of_its_prior(name):
    """−2ψ′ by central differences, of relative error h² = 1e-10; and ψ is convex, so that the ridge lies below it."""
    prior, square, size = PRIORS[name], np.geomspace(1e-3, 1e3, 25), np.ones(25)
    slope = (prior.log_density(square * (1 + 1e-5), size) - prior.log_density(square * (1 - 1e-5), size)) / 2e-5
    np.testing.assert_allclose(prior.precision(square, size), -2 * slope / square, rtol=1e-5, atol=1e-9)
    assert np.all(np.diff(prior.precision(square, size)) <= 0)


def test_laplace_is_its_mixture_of_normals():
    """∫ N(w | 0, τ²) Gamma(τ² | 1, γ²/2) dτ² for one weight; Gamma(τ² | 2, γ²/2) for three in a group."""
    gamma = PRIORS["laplace"].penalty
    for w in (0.2, 1.1, 3.0):
        for size in (1, 3):
            mixed, _ = integrate.quad(
                lambda v, w=w, size=size: (2 * np.pi * v) ** (-size / 2) * np.exp(-(w**2) / (2 * v))
                * stats.gamma.pdf(v, (size + 1) / 2, scale=2 / gamma**2),
                0, np.inf, epsabs=1e-13, epsrel=1e-10,
            )  # fmt: skip
            found = PRIORS["laplace"].log_density(np.array([w**2]), np.array([float(size)]))[0]
            assert found == pytest.approx(np.log(mixed), abs=1e-8)


def test_student_prior_is_scipys():
    prior, w = PRIORS["student"], np.array([-2.0, 0.1, 4.0])
    np.testing.assert_allclose(
        prior.log_density(w**2, np.ones(3)), stats.t.logpdf(w, prior.dof, scale=1 / prior.penalty), rtol=1e-12
    )


def test_the_horseshoes_bound_is_the_best_factorised_one():
    """Below the density by quadrature, and the maximum over q(κ²) q(ν) that a search over E[1/κ²] finds."""
    prior = PRIORS["horseshoe"]
    for w in (0.05, 0.5, 3.0):
        exact, _ = integrate.quad(
            lambda k, w=w: stats.norm.pdf(w, 0, k / prior.penalty) * 2 / (np.pi * (1 + k**2)), 0, np.inf, limit=400
        )
        found = prior.log_density(np.array([w**2]), np.ones(1))[0]
        assert found <= np.log(exact)
        c = 0.5 * (prior.penalty * w) ** 2

        def bound(u, c=c):  # q(κ²) = InvGamma(1, 1/u), q(ν) = InvGamma(1, 1 + u)
            constant = -0.5 * np.log(2 * np.pi) + np.log(prior.penalty) - np.log(np.pi) + 2
            return constant + np.log(u) - np.log1p(u) - u / (1 + u) - 1 / (1 + u) - c * u

        grid = np.geomspace(1e-4, 1e4, 200_001)
        assert found == pytest.approx(bound(grid).max(), abs=1e-8)


def test_hyperparameters_are_at_their_maximum():
    square, size = np.array([0.4, 1.7, 0.02]), np.array([1.0, 2.0, 1.0])
    for prior in (RidgePrior(1.0), LaplacePrior(1.0)):
        best = prior.adapted(square, size)
        for factor in (0.99, 1.01):
            other = type(prior)(best.penalty * factor)
            assert best.log_density(square, size).sum() > other.log_density(square, size).sum()
    with pytest.raises(NotImplementedError):
        HorseshoePrior(1.0).adapted(square, size)


@pytest.mark.parametrize("nu", [0.1, 3.0, 31.0, 31.9, 1e3, 1e4])
@pytest.mark.parametrize("library", [np, jnp])
def test_the_density_of_a_t_keeps_its_digits_where_it_is_nearly_normal(nu, library):
    """Γ(ν/2 + 1)/Γ(ν/2) = ν/2, through Γ(ν/2 + ½)."""
    y, f = np.zeros((1, 1)), library.zeros((1, 1))
    at = [StudentLikelihood(None).log_density(y, f, None, 1.0, library.asarray([dof]))[0] for dof in (nu, nu + 1)]
    expected = np.log(0.5 * nu) - 0.5 * np.log(np.pi * nu) - 0.5 * np.log(np.pi * (nu + 1))
    assert float(at[0] + at[1]) == pytest.approx(expected, abs=64 * np.finfo(float).eps * (1 + np.log(nu + 1)))
