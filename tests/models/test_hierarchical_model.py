"""The hierarchical normal model: densities by quadrature, automatic gradients, exact posteriors against Gibbs draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, stats

from noumena.core.result import Status
from noumena.models.chains import effective_sample_size, monte_carlo_error, r_hat
from noumena.models.hierarchical_gibbs import gibbs
from noumena.models.hierarchical_normal import (
    HierarchicalModel,
    RestrictedModel,
    Units,
    maximise,
    standard_errors,
)

# Rubin (1981), J. Educ. Stat. 6:377; Gelman et al. (2013), BDA3, table 5.2.
SCHOOLS = Units(np.array([28.0, 8, -3, 7, -1, 1, 18, 12]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18]) ** 2)
#: The same with differences three times as large: an inner maximum.
SPREAD = Units(3 * SCHOOLS.y, SCHOOLS.variance)
OPTIONS = {"tol": 1e-9, "max_iter": 5000, "accelerate": "squarem"}


class Exact:
    """Posterior under a prior flat in μ and τ, by a sum over a grid of τ; the rest is normal (BDA3, eqs. 5.17 to 5.21).

    p(τ | y) ∝ √V_μ Π N(y_j | μ̂, v_j) falls as τ^(1 − J): of 8 units a share of 1e-11 lies beyond 1000.
    """

    def __init__(self, units: Units) -> None:
        self.tau = (np.arange(100_000) + 0.5) * 0.01
        v = units.variance + self.tau[:, None] ** 2
        precision = np.sum(1 / v, axis=1)
        self.mean = np.sum(units.y / v, axis=1) / precision
        log_density = -0.5 * (np.log(precision) + np.sum(np.log(v) + (units.y - self.mean[:, None]) ** 2 / v, axis=1))
        self.weight = np.exp(log_density - log_density.max())
        self.weight /= self.weight.sum()
        share = self.tau[:, None] ** 2 / v
        self.effect = self.mean[:, None] + share * (units.y - self.mean[:, None])
        self.effect_variance = share * units.variance + (1 - share) ** 2 / precision[:, None]

    def quantile(self, level):
        return self.tau[np.searchsorted(np.cumsum(self.weight), level)]

    def effect_quantile(self, j, level):
        deviation = np.sqrt(self.effect_variance[:, j])
        below = lambda x: self.weight @ stats.norm.cdf((x - self.effect[:, j]) / deviation) - level  # noqa: E731
        return optimize.brentq(below, -200, 200)


# ------------------------------------------------------------------------------------------------------ the formulas


def test_the_likelihood_is_the_integral_over_the_effects():
    def joint(theta, y, s):
        return stats.norm(theta, s).pdf(y) * stats.norm(6.0, 4.0).pdf(theta)

    each = [
        integrate.quad(joint, -200, 200, args=(y, v**0.5), points=[y, 6.0], limit=200)[0]
        for y, v in zip(SCHOOLS.y, SCHOOLS.variance, strict=True)
    ]
    assert SCHOOLS.log_likelihood(6.0, 4.0) == pytest.approx(np.log(each).sum(), rel=1e-9)


@pytest.mark.parametrize("spread", [0.0, 4.0])
def test_the_restricted_likelihood_is_the_integral_over_the_mean(spread):
    top = SCHOOLS.log_likelihood(8.0, spread)
    joint = lambda mu: np.exp(SCHOOLS.log_likelihood(mu, spread) - top)  # noqa: E731
    by_hand = top + np.log(integrate.quad(joint, -100, 100, points=[8.0])[0])
    assert SCHOOLS.restricted(spread) == pytest.approx(by_hand, rel=1e-9)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "model", [HierarchicalModel(np.array(7.0), np.array(30.0), 0.0), RestrictedModel(np.array(30.0), 0.0)]
)
def test_the_e_step_by_hand_is_the_gradient_of_the_bound(model):
    block, natural = SCHOOLS.block(), model.natural()
    value, by_hand = model.gather(natural, block)
    piece = jax.tree.map(lambda leaf: leaf[0], block)
    bound, slope = jax.value_and_grad(lambda natural: model.bound(natural, piece).sum())(natural)
    assert value == pytest.approx(float(bound), rel=1e-12)
    for hand, automatic in zip(by_hand, slope, strict=True):
        assert float(hand) == pytest.approx(float(automatic), rel=1e-11)


# -------------------------------------------------------------------------------------------------------- estimates


@pytest.mark.parametrize("restricted", [False, True])
def test_the_spread_of_the_eight_schools_is_0_at_the_maximum(restricted):
    found = maximise(SCHOOLS, restricted=restricted, **OPTIONS)
    assert found.at_edge
    assert found.spread == 0
    assert found.mean == pytest.approx(np.average(SCHOOLS.y, weights=1 / SCHOOLS.variance))
    value = SCHOOLS.restricted if restricted else lambda t: SCHOOLS.log_likelihood(SCHOOLS.pooled(t)[0], t)
    assert found.log_likelihood == value(0.0)
    assert max(value(t) for t in np.linspace(0.01, 60, 2000)) < found.log_likelihood
    assert np.diff(found.trace.objective[found.trace.accepted]).min() >= -1e-12
    mean_error, spread_error = standard_errors(SCHOOLS, found.mean, 0.0, restricted=restricted)
    assert mean_error == pytest.approx(np.sum(1 / SCHOOLS.variance) ** -0.5)
    assert np.isnan(spread_error)


@pytest.mark.parametrize("accelerate", ["squarem", None])
@pytest.mark.parametrize("restricted", [False, True])
def test_an_inner_maximum_is_that_of_a_direct_search(restricted, accelerate):
    found = maximise(SPREAD, restricted=restricted, **(OPTIONS | {"accelerate": accelerate}))
    assert found.status is Status.CONVERGED
    profile = SPREAD.restricted if restricted else lambda t: SPREAD.log_likelihood(SPREAD.pooled(t)[0], t)
    direct = optimize.minimize_scalar(lambda t: -profile(t), bounds=(1, 100), method="bounded", options={"xatol": 1e-9})
    assert found.log_likelihood == pytest.approx(-direct.fun, abs=1e-8)
    assert found.spread == pytest.approx(direct.x, rel=1e-4)
    assert found.mean == pytest.approx(SPREAD.pooled(found.spread)[0], abs=1e-3)
    assert np.diff(found.trace.objective[found.trace.accepted]).min() >= -1e-12


def test_restricted_likelihood_of_equal_errors_is_the_analysis_of_variance():
    """τ² = sample variance with J − 1, minus s² (BDA3, section 5.4)."""
    units = Units(SPREAD.y, np.full(8, 100.0))
    found = maximise(units, restricted=True, **OPTIONS)
    assert found.spread**2 == pytest.approx(np.var(units.y, ddof=1) - 100, rel=1e-4)
    assert found.mean == pytest.approx(units.y.mean())
    found = maximise(units, restricted=False, **OPTIONS)
    assert found.spread**2 == pytest.approx(np.var(units.y) - 100, rel=1e-4)


def test_an_offset_and_a_unit_change_nothing():
    here = maximise(SPREAD, restricted=False, **OPTIONS)
    far = maximise(Units(1e7 + 1e3 * SPREAD.y, 1e6 * SPREAD.variance), restricted=False, **OPTIONS)
    assert far.spread == pytest.approx(1e3 * here.spread, rel=1e-4)
    assert far.mean == pytest.approx(1e7 + 1e3 * here.mean, abs=1)
    assert far.log_likelihood == pytest.approx(here.log_likelihood - 8 * np.log(1e3), abs=1e-6)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("restricted", [False, True])
def test_standard_errors_are_those_of_the_automatic_hessian(restricted):
    found = maximise(SPREAD, restricted=restricted, **(OPTIONS | {"tol": 1e-13}))

    def log_likelihood(theta):
        v = SPREAD.variance + theta[1] ** 2
        mean = jnp.sum(SPREAD.y / v) / jnp.sum(1 / v) if restricted else theta[0]
        own = -0.5 * jnp.sum(jnp.log(v) + (SPREAD.y - mean) ** 2 / v)
        return own - 0.5 * jnp.log(jnp.sum(1 / v)) if restricted else own

    errors = standard_errors(SPREAD, found.mean, found.spread, restricted=restricted)
    hessian = jax.hessian(log_likelihood)(jnp.array([found.mean, found.spread]))
    if restricted:
        assert errors[1] == pytest.approx(float(-1 / hessian[1, 1]) ** 0.5, rel=1e-4)
        assert errors[0] == pytest.approx(np.sum(1 / (SPREAD.variance + found.spread**2)) ** -0.5)
    else:
        np.testing.assert_allclose(errors, np.sqrt(np.diagonal(np.linalg.inv(-hessian))), rtol=1e-4)


# -------------------------------------------------------------------------------------------------------------- Gibbs


@pytest.mark.parametrize("units", [SCHOOLS, SPREAD], ids=["schools", "spread"])
def test_draws_have_the_exact_posterior(units):
    """Within five Monte Carlo standard errors: 20 comparisons, a false failure in 90,000 runs; the seed is fixed."""
    exact, draws = Exact(units), gibbs(units, 4, 5000, 500, np.random.default_rng(1))
    moments = [(draws.mean, exact.weight @ exact.mean), (draws.spread, exact.weight @ exact.tau)]
    moments += [(draws.effects[..., j], exact.weight @ exact.effect[:, j]) for j in range(8)]
    for own, wanted in moments:
        assert r_hat(own) < 1.01
        assert own.mean() == pytest.approx(wanted, abs=5 * monte_carlo_error(own))
    for level in (0.1, 0.5, 0.9):
        below = (draws.spread < exact.quantile(level)).astype(float)
        assert below.mean() == pytest.approx(level, abs=5 * monte_carlo_error(below))
    for j in range(0, 8, 2):
        below = (draws.effects[..., j] < exact.effect_quantile(j, 0.9)).astype(float)
        assert below.mean() == pytest.approx(0.9, abs=5 * monte_carlo_error(below))


def test_the_published_quantiles_are_the_exact_ones():
    """BDA3, table 5.3: 2.5%, 25%, 50%, 75% and 97.5% of 200 draws; a quantile of so few strays by some units.

    The medians' standard errors are 1.25 · 8.3 / √200 ≈ 0.75, those of the outer quantiles about three times as large.
    """
    exact = Exact(SCHOOLS)
    published = {0: [-2, 7, 10, 16, 31], 1: [-5, 3, 8, 12, 23], 2: [-11, 2, 7, 11, 19], 6: [-1, 7, 10, 15, 26]}
    for j, quantiles in published.items():
        own = [exact.effect_quantile(j, level) for level in (0.025, 0.25, 0.5, 0.75, 0.975)]
        np.testing.assert_allclose(own, quantiles, atol=3)
        assert own[2] == pytest.approx(quantiles[2], abs=2)


def test_chains_mix_where_the_spread_is_near_0():
    """Without the steps that hold (θ − μ)/τ, effective draws of τ would be some hundreds of 8,000."""
    draws = gibbs(SCHOOLS, 4, 2000, 200, np.random.default_rng(0))
    assert effective_sample_size(draws.spread) > 2000


# ------------------------------------------------------------------------------------------------------------- chains


def test_effective_draws_of_an_autoregression():
    """n (1 − ρ)/(1 + ρ) for ρ = 0.9; its estimate from 4 × 20,000 draws strays by some percent."""
    rng, rho = np.random.default_rng(0), 0.9
    draws = np.empty((4, 20_000))
    draws[:, 0] = rng.standard_normal(4) / np.sqrt(1 - rho**2)
    for t in range(1, 20_000):
        draws[:, t] = rho * draws[:, t - 1] + rng.standard_normal(4)
    assert effective_sample_size(draws) == pytest.approx(80_000 * 0.1 / 1.9, rel=0.1)
    assert monte_carlo_error(draws) == pytest.approx(draws.std() / np.sqrt(effective_sample_size(draws)), rel=1e-4)
    assert effective_sample_size(rng.standard_normal((4, 5000))) == pytest.approx(20_000, rel=0.1)


def test_r_hat_sees_chains_apart_and_chains_of_other_width():
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((4, 1000))
    assert r_hat(draws) == pytest.approx(1.0, abs=0.005)
    apart, wide = draws.copy(), draws.copy()
    apart[0] += 1.0
    wide[0] *= 5.0
    # means of 8 halves 0, 0, 0, 0, 0, 0, 1, 1: B/n = 3/14 beside a variance of 1, some less after ranking
    assert r_hat(apart) == pytest.approx((1 + 3 / 14) ** 0.5, abs=0.03)
    assert r_hat(wide) > 1.05
    assert r_hat(np.cumsum(draws, axis=1)) > 1.1
    assert r_hat(draws + np.linspace(0, 3, 1000)) > 1.1  # all of them drift alike: halves of one chain disagree
    assert np.isnan(effective_sample_size(np.ones((2, 100))))
