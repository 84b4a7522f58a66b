"""Families of single columns: each against SciPy, and the laws that hold for all of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from blocks import blocks_of, holes
from noumena.core.block import Block
from noumena.core.expectation import expectation
from noumena.core.fit import fit, rounding
from noumena.core.lanes import stack
from noumena.core.model import Fixed
from noumena.core.result import Status
from noumena.families.bernoulli import Bernoulli, BernoulliValue
from noumena.families.beta import LEAST, MOST, Beta, BetaNatural, BetaValue
from noumena.families.binomial import Binomial, BinomialValue
from noumena.families.cells import CellNatural, CellParameters, Cells, LatentCells
from noumena.families.covariance import FLOOR
from noumena.families.exponential import Exponential, ExponentialValue
from noumena.families.gamma import Gamma, GammaNatural, GammaValue, maximise_gamma
from noumena.families.log_normal import LogNormal, LogNormalNatural, LogNormalValue
from noumena.families.negative_binomial import NegativeBinomial
from noumena.families.poisson import Poisson, PoissonValue
from noumena.families.von_mises import VonMises, VonMisesNatural, VonMisesValue, concentration_of
from noumena.families.zero_inflated_poisson import ZeroInflatedPoisson, ZeroInflatedPoissonValue
from noumena.models.mixture import Mixture, MixtureNatural

pytestmark = pytest.mark.usefixtures("float64")

D = 3
TRIALS = (1, 7, 40)
PROBABILITY = np.array([[0.1, 0.5, 0.93], [0.8, 0.02, 0.3]])
SIZE = np.array([[0.7, 3.0, 12.0], [5.0, 0.2, 40.0]])
RATE = np.array([[0.4, 2.0, 30.0], [6.0, 0.05, 1.5]])
NAN, INF = np.nan, np.inf


@dataclass(frozen=True)
class Case:
    """A family, two components of three columns, and what SciPy says of them.

    Attributes
    ----------
    log_density : callable
        Values (K, 1, d) and cells (n, d) to log densities (K, n, d).
    mean : callable
        Values to E[T], in the order of the natural parameters.
    entropy : callable
        Values to the entropies of the cells.
    within, without : list of float
        Edge values that lie in the support, and that do not.
    """

    kind: type[Cells]
    value: Any
    log_density: Callable[[Any, np.ndarray], np.ndarray]
    mean: Callable[[Any], tuple]
    entropy: Callable[[Any], np.ndarray]
    within: list[float]
    without: list[float]
    settings: dict = field(default_factory=dict)

    @property
    def family(self) -> Cells:
        """With the first component as the typical one."""
        return self.kind(Fixed(jax.tree.map(lambda part: part[0], self.value)), **self.settings)

    def rows(self, n: int, seed: int, component: int | None = None) -> np.ndarray:
        """Rows of both components in turn, or of one."""
        which = np.arange(n) % 2 if component is None else np.full(n, component)
        return self.family.draw(jax.tree.map(lambda part: part[which], self.value), np.random.default_rng(seed))


def zero_inflated_log_pmf(v: ZeroInflatedPoissonValue, x: np.ndarray) -> np.ndarray:
    return np.log(np.where(x == 0, v.inflation, 0.0) + (1 - v.inflation) * stats.poisson.pmf(x, v.rate))


def count_entropy(log_pmf: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """−Σ p log p over 2000 counts, of which the last has less than 1e-40 in the cases below."""
    with np.errstate(divide="ignore"):
        log = log_pmf(np.arange(2000.0)[:, None, None])
    return -np.sum(np.exp(log) * np.where(np.isfinite(log), log, 0.0), axis=0)


def measure(case: "Case") -> tuple[np.ndarray, np.ndarray]:
    """Points, shape (n,), over the support and what each of them stands for: sums, or the trapezoid rule.

    The rule is spectrally accurate: in log x, in log x/(1 − x), and around the circle.
    """
    if case.kind in (Exponential, Gamma, LogNormal):
        y = np.arange(-300.0, 15.0, 0.005)
        return np.exp(y), 0.005 * np.exp(y)
    if case.kind is Beta:
        x = special.expit(np.arange(-300.0, 36.0, 0.01))
        return x, 0.01 * x * (1 - x)
    if case.kind is VonMises:
        return np.linspace(-np.pi, np.pi, 4000, endpoint=False), np.full(4000, 2 * np.pi / 4000)
    top = {Bernoulli: 2, Binomial: 41}.get(case.kind, 2000)
    return np.arange(float(top)), np.ones(top)


def bessel_ratio(kappa: np.ndarray) -> np.ndarray:
    return special.ive(1, kappa) / special.ive(0, kappa)


CASES = [
    Case(
        Bernoulli,
        BernoulliValue(PROBABILITY),
        lambda v, x: stats.bernoulli.logpmf(x, v.probability),
        lambda v: (stats.bernoulli.mean(v.probability),),
        lambda v: stats.bernoulli.entropy(v.probability),
        [0, 1],
        [-1, 0.5, 2, INF],
    ),
    Case(
        Poisson,
        PoissonValue(RATE),
        lambda v, x: stats.poisson.logpmf(x, v.rate),
        lambda v: (stats.poisson.mean(v.rate),),
        lambda v: stats.poisson.entropy(v.rate),
        [0, 1, 1e6],
        [-1, 0.5],
    ),
    Case(
        Binomial,
        BinomialValue(PROBABILITY),
        lambda v, x: stats.binom.logpmf(x, TRIALS, v.probability),
        lambda v: (stats.binom.mean(TRIALS, v.probability),),
        lambda v: stats.binom.entropy(TRIALS, v.probability),
        [0, 1, 40],
        [-1, 0.5, INF],
        {"trials": TRIALS},
    ),
    Case(
        Exponential,
        ExponentialValue(RATE),
        lambda v, x: stats.expon.logpdf(x, scale=1 / v.rate),
        lambda v: (stats.expon.mean(scale=1 / v.rate),),
        lambda v: stats.expon.entropy(scale=1 / v.rate),
        [0, 1e-300, 1e300],
        [-1e-300, INF],
    ),
    Case(
        Gamma,
        GammaValue(SIZE, RATE),
        lambda v, x: stats.gamma.logpdf(x, v.shape, scale=1 / v.rate),
        lambda v: (special.digamma(v.shape) - np.log(v.rate), stats.gamma.mean(v.shape, scale=1 / v.rate)),
        lambda v: stats.gamma.entropy(v.shape, scale=1 / v.rate),
        [1e-300, 1, 1e300],
        [0, -1, INF],
    ),
    Case(
        Beta,
        BetaValue(SIZE, np.array([[2.0, 0.6, 30.0], [1.0, 3.0, 0.9]])),
        lambda v, x: stats.beta.logpdf(x, v.a, v.b),
        lambda v: (
            special.digamma(v.a) - special.digamma(v.a + v.b),
            special.digamma(v.b) - special.digamma(v.a + v.b),
        ),
        lambda v: stats.beta.entropy(v.a, v.b),
        [1e-300, 0.5, 1 - 1e-16],
        [0, 1, -0.1, 1.1],
    ),
    Case(
        LogNormal,
        LogNormalValue(np.array([[0.3, -2.0, 9.0], [1.0, 0.0, 9.5]]), np.array([[0.5, 1.5, 0.1], [0.2, 1.0, 0.4]])),
        lambda v, x: stats.lognorm.logpdf(x, v.log_sd, scale=np.exp(v.log_mean)),
        lambda v: (
            v.log_mean - v.log_mean[0],
            stats.norm.moment(2, loc=v.log_mean - v.log_mean[0], scale=v.log_sd),
        ),
        lambda v: stats.lognorm.entropy(v.log_sd, scale=np.exp(v.log_mean)),
        [1e-300, 1, 1e300],
        [0, -1, INF],
    ),
    Case(
        VonMises,
        VonMisesValue(np.array([[0.3, -2.0, 3.1], [1.0, 0.0, -1.5]]), np.array([[0.2, 1.5, 50.0], [4.0, 700.0, 2.0]])),
        lambda v, x: stats.vonmises.logpdf(x, v.concentration, loc=v.direction),
        lambda v: (
            bessel_ratio(v.concentration) * np.cos(v.direction),
            bessel_ratio(v.concentration) * np.sin(v.direction),
        ),
        lambda v: stats.vonmises.entropy(v.concentration, loc=v.direction),
        [-np.pi, 0, 2 * np.pi, 100],
        [INF, -INF],
    ),
    Case(
        NegativeBinomial,
        GammaValue(np.array([[0.7, 3.0, 12.0], [5.0, 0.5, 8.0]]), np.array([[0.4, 2.0, 1.0], [0.6, 0.05, 1.5]])),
        lambda v, x: stats.nbinom.logpmf(x, v.shape, v.rate / (1 + v.rate)),
        lambda v: (special.digamma(v.shape) - np.log(v.rate), stats.gamma.mean(v.shape, scale=1 / v.rate)),
        lambda v: count_entropy(lambda x: stats.nbinom.logpmf(x, v.shape, v.rate / (1 + v.rate))),  # SciPy's: 2e-10
        [0, 1, 1e6],
        [-1, 0.5, INF],
    ),
    Case(
        ZeroInflatedPoisson,
        ZeroInflatedPoissonValue(PROBABILITY, np.array([[2.0, 0.6, 30.0], [6.0, 3.0, 1.5]])),
        zero_inflated_log_pmf,
        lambda v: (v.inflation, (1 - v.inflation) * stats.poisson.mean(v.rate)),
        lambda v: count_entropy(lambda x: zero_inflated_log_pmf(v, x)),
        [0, 1, 1e6],
        [-1, 0.5, INF],
    ),
]
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind.__name__)


def start(case: Case, x: np.ndarray, seed: int, prior: float = 0.0) -> Mixture:
    """Two components from random responsibilities."""
    family = case.kind.of(x, **case.settings)
    if prior:
        family = family.with_prior(prior)
    blank = Mixture(family, np.full(2, 0.5), family.initial(2), np.ones(2, dtype=bool))
    r = np.random.default_rng(seed).dirichlet(np.full(2, 0.5), size=len(x))
    return blank.update(MixtureNatural(r.sum(axis=0), family.statistics(x, r)))


def natural_of(family: Cells, value) -> CellNatural:
    """As `Cells.natural` gives it, for values that may be traced."""
    eta = family.cell_natural(value)
    return CellNatural(eta, -family.cell_normaliser(eta))


@cases
def test_log_densities_are_scipys_and_a_missing_cell_contributes_nothing(case):
    """Rounding grows with the largest of the terms that cancel, some thousand here: 1e-12 of it."""
    x = case.rows(60, seed=1)
    x[np.arange(60) % 7 == 3, 1] = NAN
    x[5] = NAN
    filled = np.where(np.isnan(x), case.kind.inside, x)
    cells = case.log_density(jax.tree.map(lambda part: part[:, None, :], case.value), filled)
    expected = np.where(np.isnan(x), 0.0, cells).sum(axis=2).T
    family = case.family
    found = family.log_density(natural_of(family, case.value), Block(x, np.ones(60)))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-9)
    np.testing.assert_allclose(found[5], 0.0, atol=1e-12)
    whole = np.flatnonzero(~np.isnan(x).any(axis=1))
    known = family.log_density(natural_of(family, case.value), Block(x[whole], np.ones(len(whole)), complete=True))
    np.testing.assert_allclose(known, found[whole], rtol=1e-12, atol=1e-12)


@cases
def test_mean_parameters_are_scipys_moments_and_the_slope_of_the_normaliser(case):
    """Central differences are off by O(step²) = 1e-10 relative, their rounding by eps · A/step = 1e-9 or so."""
    family = case.family
    natural = family.cell_natural(case.value)
    mean = family.mean(natural_of(family, case.value))
    np.testing.assert_array_equal(mean.constant, 1.0)
    mean = mean.eta
    for ours, theirs in zip(mean, case.mean(case.value), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    for i, eta in enumerate(natural):
        step = 1e-5 * (0.1 + jnp.abs(eta))
        up, down = (family.cell_normaliser(natural._replace(**{natural._fields[i]: eta + s})) for s in (step, -step))
        np.testing.assert_allclose(mean[i], (up - down) / (2 * step), rtol=1e-6, atol=1e-7)


@cases
def test_entropies_are_scipys(case):
    """Rounding: A and ⟨η, E T⟩, some thousand here, cancel to a few nats."""
    family = case.family
    found = family.entropy(natural_of(family, case.value))
    np.testing.assert_allclose(found, case.entropy(case.value).sum(axis=1), rtol=1e-12, atol=1e-12)


@cases
def test_divergences_are_sums_and_integrals(case):
    """∫ p log p/p'. The rule for beta densities stops at 1 − x = 2e-16: P(beyond) ≤ 1e-9, and the ratio's log is 20."""
    family = case.family
    turned = jax.tree.map(lambda part: part[::-1], case.value)
    found = family.kl(natural_of(family, case.value), natural_of(family, turned))
    x, share = measure(case)
    with np.errstate(divide="ignore"):
        cells = case.log_density(jax.tree.map(lambda part: part[:, None, :], case.value), np.tile(x[:, None], (1, D)))
    expected = np.zeros(2)
    for j in range(D):
        inside = np.isfinite(cells[:, :, j]).all(axis=0)  # nothing beyond a column's trials
        log, other = cells[:, inside, j], cells[::-1, inside, j]
        np.testing.assert_allclose(np.exp(log) @ share[inside], 1.0, rtol=1e-8)
        expected += (np.exp(log) * (log - other)) @ share[inside]
    assert np.all(expected > 0.1)
    if issubclass(case.kind, LatentCells):
        assert np.all(found >= expected)  # that of the joint density
    else:
        np.testing.assert_allclose(found, expected, rtol=3e-8)


@pytest.mark.parametrize("rate", [1e-6, 1e-3, 1.0, 300.0, 1e6, 1e12])
def test_entropies_of_poisson_counts_of_any_size(rate):
    """Small: by its sum. Large: ½ log 2πeλ − 1/12λ − 1/24λ² − 19/360λ³ (Evans & Boersma 1988, SIAM Rev. 30:314).

    The next term is below 1/λ⁴. E log x! is known to its own rounding, some ε λ log λ.
    """
    family = Poisson(Fixed(PoissonValue(np.ones(1))))
    (found,) = family.entropy(natural_of(family, PoissonValue(np.full((1, 1), rate))))
    if rate <= 1:
        x = np.arange(60)
        expected = -np.sum(stats.poisson.pmf(x, rate) * stats.poisson.logpmf(x, rate))
    else:
        expected = 0.5 * np.log(2 * np.pi * np.e * rate) - 1 / (12 * rate) - 1 / (24 * rate**2) - 19 / (360 * rate**3)
    eps = np.finfo(float).eps
    np.testing.assert_allclose(
        found, expected, rtol=1e-13, atol=4 * eps * rate * (1 + abs(np.log(rate))) + 1 / rate**4 * (rate > 1)
    )


@pytest.mark.parametrize(("trials", "probability"), [(1, 1e-9), (5, 1 - 1e-12), (10_000, 0.3), (10**9, 1e-9)])
def test_entropies_of_binomial_counts_of_any_size(trials, probability):
    """By the sum over all counts with a share; rounding of A = −m log(1 − p) and ⟨η, E x⟩, which is as large."""
    family = Binomial(Fixed(BinomialValue(np.full(1, 0.5))), trials=(trials,))
    (found,) = family.entropy(natural_of(family, BinomialValue(np.full((1, 1), probability))))
    x = np.arange(min(trials, 20_000) + 1)
    expected = -np.sum(special.xlogy(*[stats.binom.pmf(x, trials, probability)] * 2))
    eps = np.finfo(float).eps
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=16 * eps * (1 - trials * np.log1p(-probability)))


def test_entropies_of_the_latent_families_at_their_limits():
    """Many successes, or no structural zeros: Poisson's. Poisson with λ: the difference is of order λ²/r and π."""
    poisson = Poisson(Fixed(PoissonValue(np.ones(1))))
    (plain,) = poisson.entropy(natural_of(poisson, PoissonValue(np.full((1, 1), 3.0))))
    for family, value in (
        (
            NegativeBinomial(Fixed(GammaValue(np.ones(1), np.ones(1)))),
            GammaValue(np.full((1, 1), 3e6), np.full((1, 1), 1e6)),
        ),
        (
            ZeroInflatedPoisson(Fixed(ZeroInflatedPoissonValue(np.full(1, 0.5), np.ones(1)))),
            ZeroInflatedPoissonValue(np.full((1, 1), 1e-8), np.full((1, 1), 3.0)),
        ),
    ):
        np.testing.assert_allclose(family.entropy(natural_of(family, value)), plain, rtol=1e-6)


@cases
def test_maximising_mean_parameters_gives_the_parameters_back(case):
    """Only rounding is lost; the inverse of a mean parameter magnifies it a hundred times or so."""
    family = case.family
    count = np.array([[17.0], [0.3]])
    mean = family.cell_mean(family.cell_natural(case.value))
    far = jax.tree.map(lambda part: np.broadcast_to(part[0], part.shape), case.value)
    found = family.maximise_cells(count, jax.tree.map(lambda m: count * m, mean), far)
    for ours, true in zip(found, case.value, strict=True):
        np.testing.assert_allclose(ours, true, rtol=1e-10)


@cases
@pytest.mark.parametrize("component", [0, 1])
def test_draws_have_the_expected_moments_and_give_the_parameters_back(case, component):
    """Within 5 standard errors: that of a mean from the draws, those of the parameters from Fisher's information.

    Normal errors exceed 5 once in 2 million; a few hundred numbers are compared.
    """
    n = 20_000
    family = case.family
    value = jax.tree.map(lambda part: part[component], case.value)
    x = case.rows(n, seed=2, component=component)
    assert case.kind.contains(x).all()
    expected = family.expected(value)
    miss = np.sin(x - expected) if case.kind is VonMises else x - expected
    assert np.all(np.abs(miss.mean(axis=0)) <= 5 * miss.std(axis=0) / np.sqrt(n))

    leaves, tree = jax.tree.flatten(value)
    flat = np.concatenate(leaves)

    def log_likelihood(flat):
        parts = jax.tree.unflatten(tree, [part[None] for part in jnp.split(flat, len(leaves))])
        return jnp.sum(family.log_density(natural_of(family, parts), Block(x, np.ones(n))))

    information = -jax.hessian(log_likelihood)(flat)
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    one = CellParameters(jax.tree.map(lambda part: part[None], value), np.zeros(1, dtype=bool))
    if issubclass(case.kind, LatentCells):
        family = case.kind.of(x)
        model = Mixture(family, np.ones(1), family.initial(1), np.ones(1, dtype=bool))
        blocks = blocks_of(x, rows_per_piece=2048, split=False)
        outcome = fit(stack([model]), blocks, max_iter=2000, tol=1e-6, accelerate="squarem")[0]
        assert outcome.status is Status.CONVERGED
        found = outcome.model.parameters.value
    else:
        found = family.maximise(np.array([float(n)]), family.statistics(x, np.ones((n, 1))), one).value
    estimate = np.concatenate([np.asarray(part)[0] for part in found])
    assert np.all(np.abs(estimate - flat) <= 5 * errors)


@cases
@pytest.mark.parametrize("prior", [0.0, 2.0], ids=["likelihood", "prior"])
def test_the_objective_never_falls(case, prior):
    x = holes(case.rows(200, seed=3), 0.2, seed=4)
    outcome = fit(stack([start(case, x, 5, prior)]), blocks_of(x, split=False), max_iter=40, tol=0.0)[0]
    steps = np.diff(outcome.trace.objective)
    assert len(steps) == 40
    assert outcome.status is Status.COMPLETED
    assert steps.min() >= -rounding(np.array([outcome.objective]))[0]
    assert steps.sum() > 1e-3  # random responsibilities are a poor start


@cases
def test_statistics_do_not_depend_on_the_order_of_rows(case):
    x = holes(case.rows(200, seed=6), 0.2, seed=7)
    model = stack([start(case, x, 8)])
    order = np.random.default_rng(9).permutation(len(x))
    one, other = (expectation(model, blocks_of(rows, split=False)) for rows in (x, x[order]))
    for ours, theirs in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-9)


@cases
def test_statistics_of_a_known_component_are_those_of_its_rows(case):
    """Fisher's identity: the gradient of the marginal against E[T | x] by hand, over the observed cells."""
    family = case.family
    x = holes(case.rows(50, seed=10), 0.2, seed=11)
    seen = ~np.isnan(x)
    filled = np.where(seen, x, case.kind.inside)
    one = natural_of(family, jax.tree.map(lambda part: part[:1], case.value))
    natural = one.eta
    if case.kind is NegativeBinomial:
        shape, rate = filled + natural.shape, 1 - natural.negative_rate
        by_hand = (special.digamma(shape) - np.log(rate), shape / rate)
    elif case.kind is ZeroInflatedPoisson:
        zero = np.exp(natural.inflation)
        by_hand = (np.where(filled == 0, zero / (1 + zero), 0.0), filled)
    else:
        by_hand = family.sufficient(filled)
    found = jax.grad(lambda eta: jnp.sum(family.marginal(eta, Block(x, np.ones(50)))))(one)
    for ours, given in zip(found.eta, by_hand, strict=True):
        np.testing.assert_allclose(ours[0], np.where(seen, given, 0.0).sum(axis=0), rtol=1e-11, atol=1e-11)
    np.testing.assert_array_equal(found.constant[0], seen.sum(axis=0))


@cases
def test_the_support_is_known_at_its_edges(case):
    assert case.kind.contains(np.array(case.within)).all()
    assert not case.kind.contains(np.array(case.without)).any()
    assert case.kind.contains(np.array(case.kind.inside))


@cases
def test_pooled_values_are_moment_estimates(case):
    """E[x] of the pooled values is the mean of the column (on the scale of the family's own moments)."""
    x = holes(case.rows(4000, seed=12, component=0), 0.2, seed=13)
    family = case.kind.of(x, **case.settings)
    value = family.typical.value
    if case.kind is LogNormal:
        np.testing.assert_allclose(value.log_mean, np.nanmean(np.log(x), axis=0))
        np.testing.assert_allclose(value.log_sd, np.nanstd(np.log(x), axis=0))
    elif case.kind is VonMises:
        np.testing.assert_allclose(np.nanmean(np.sin(x - value.direction), axis=0), 0.0, atol=1e-12)
    else:
        np.testing.assert_allclose(family.expected(value), np.nanmean(x, axis=0), rtol=1e-10)
    assert family.n_columns == D
    assert family.n_parameters(2) == 2 * D * len(value)


@cases
def test_a_column_of_one_value_leaves_everything_finite(case):
    """Where the density of one value is unbounded, the component is held up by an edge and says so."""
    x = np.full((30, D), case.within[1] if case.kind in (Bernoulli, Poisson, NegativeBinomial) else 1.0)
    if case.kind is Beta:
        x[:] = 0.5
    family = case.kind.of(x, **case.settings)
    blank = family.initial(1)
    found = family.maximise(np.array([30.0]), family.statistics(x, np.ones((30, 1))), blank)
    natural = family.natural(found)
    block = Block(x, np.ones(30))
    value, slope = jax.value_and_grad(lambda eta: jnp.sum(family.log_density(eta, block)))(natural)
    assert bool(found.collapsed[0]) == (case.kind in (Gamma, Beta, LogNormal, VonMises))
    for number in jax.tree.leaves((found.value, natural, value, slope)):
        assert np.isfinite(number).all()


def test_binomial_trials_are_the_largest_counts_unless_given():
    x = np.array([[0.0, 3.0, NAN], [0.0, 5.0, 2.0]])
    assert Binomial.of(x).trials == (1, 5, 2)
    assert Binomial.of(x, trials=9).trials == (9, 9, 9)
    assert Binomial.of(x, trials=np.array([2, 5, 4])).trials == (2, 5, 4)
    with pytest.raises(ValueError, match="column 1 holds 5 successes, more than its 4 trials"):
        Binomial.of(x, trials=4)
    with pytest.raises(ValueError, match="whole numbers from 1 on"):
        Binomial.of(x, trials=5.5)


def test_gamma_shapes_are_found_over_their_whole_range():
    """log α − ψ(α) is known to eps · log α of its ≈ 1/(2α): α to 1e-15 · α relative, and 1e-12 at least."""
    shape = np.logspace(-6, 8, 57)[:, None]
    mean = GammaNatural(special.digamma(shape) - np.log(7.0), shape / 7.0)
    found = maximise_gamma(np.ones((57, 1)), mean)
    error = np.abs(found.shape / shape - 1)
    assert np.all(error <= 1e-11 + 2e-14 * shape)


def test_concentrations_are_found_over_their_whole_range():
    """1 − A₁(κ) is known to eps of its ≈ 1/(2κ): κ to eps · 2κ relative."""
    kappa = np.logspace(-9, 8, 60)
    error = np.abs(concentration_of(bessel_ratio(kappa)) / kappa - 1)
    assert np.all(error <= 1e-11 + 2e-15 * kappa)
    np.testing.assert_array_equal(concentration_of(np.array([0.0, 1.0])), [0.0, 1e8])


def test_beta_parameters_are_found_from_anywhere():
    """Over five decades each way, from a start that is far off; digits are lost where a and b differ a lot."""
    a, b = np.meshgrid(np.logspace(-2, 3, 21), np.logspace(-2, 3, 21))
    total = special.digamma(a + b)
    target = BetaNatural(special.digamma(a) - total, special.digamma(b) - total)
    maximise = eqx.filter_jit(Beta(Fixed(BetaValue(np.ones(21), np.ones(21)))).maximise_cells)
    for far in (LEAST, 1.0, MOST):
        found = maximise(np.ones((21, 1)), target, BetaValue(np.full_like(a, far), np.full_like(a, far)))
        np.testing.assert_allclose(found.a, a, rtol=1e-8)
        np.testing.assert_allclose(found.b, b, rtol=1e-8)


@pytest.mark.parametrize(("a", "b"), [(1e3, 1e-2), (5e5, 0.3), (20.0, 0.7), (15.5, 1e-4), (1e6, 1.0)])
def test_beta_parameters_are_found_to_all_digits_where_they_differ_a_lot(a, b):
    """E log x = ψ(a) − ψ(a + b) is given to all digits, as an integral: −∫ e^−at (1 − e^−bt)/(1 − e^−t) dt over t > 0.

    In log t the trapezoid rule is exact to rounding (a step of 1/16 has no rounding of its own). The mean of
    log(1 − x), ψ(b) − ψ(a + b) ≈ −1/b − log a, known to ε of itself, says a to some ε (1/b + log a): up to 9e-12.
    """
    t = np.exp(np.arange(-60.0, 14.0, 1 / 16))

    def gap(a, b):
        return np.sum(t * np.exp(-a * t) * np.expm1(-b * t) / -np.expm1(-t)) / 16

    target = jax.tree.map(np.atleast_2d, BetaNatural(gap(a, b), gap(b, a)))
    family = Beta(Fixed(BetaValue(np.ones(1), np.ones(1))))
    for order in (lambda pair: pair, lambda pair: pair[::-1]):
        one = np.ones((1, 1))
        found = family.maximise_cells(one, BetaNatural(*order(target)), BetaValue(one, one))
        np.testing.assert_allclose(
            np.ravel(found), order((a, b)), rtol=4 * np.finfo(float).eps * (50 + 1 / b + np.log(a))
        )


def test_beta_parameters_at_their_edge_are_the_best_within_it():
    """a is held at its most; the best b there has slope 0, which a mere clip would miss."""
    family = Beta(Fixed(BetaValue(np.ones(1), np.ones(1))))
    a, b = 1e10, 3e9
    target = jax.tree.map(np.atleast_2d, BetaNatural(-np.log1p(b / a), -np.log1p(a / b)))
    found = family.maximise_cells(np.ones((1, 1)), target, BetaValue(np.ones((1, 1)), np.ones((1, 1))))
    np.testing.assert_allclose(found.a, MOST, rtol=1e-9)
    np.testing.assert_allclose(found.b, 0.3 * MOST, rtol=1e-6)


def test_variances_of_logarithms_stay_above_the_floor():
    family = LogNormal(Fixed(LogNormalValue(np.zeros(1), np.full(1, 2.0))))
    stats_ = LogNormalNatural(np.full((1, 1), 3.0), np.full((1, 1), 9.0))
    found = family.maximise_cells(np.ones((1, 1)), stats_, LogNormalValue(np.zeros((1, 1)), np.ones((1, 1))))
    np.testing.assert_allclose(found.log_sd, 2.0 * np.sqrt(FLOOR))


def test_a_large_scale_costs_log_normal_no_digits():
    """log x around 300 with a spread of 1e-3: squares not taken from the location would lose 11 digits."""
    log = 300 + 1e-3 * np.random.default_rng(14).normal(size=(500, 1))
    x = np.exp(log)
    family = LogNormal.of(x)
    found = family.maximise(np.array([500.0]), family.statistics(x, np.ones((500, 1))), family.initial(1)).value
    np.testing.assert_allclose(found.log_sd[0], np.log(x).std(axis=0), rtol=1e-12)


def test_an_even_distribution_of_angles_has_slope_and_curvature():
    """A = log 2π + |η|²/4 + … about 0."""
    family = VonMises(Fixed(VonMisesValue(np.zeros(1), np.ones(1))))
    normaliser = lambda pair: jnp.sum(family.cell_normaliser(VonMisesNatural(pair[:1, None], pair[1:, None])))  # noqa: E731
    zero = jnp.zeros(2)
    np.testing.assert_allclose(normaliser(zero), np.log(2 * np.pi), rtol=1e-15)
    np.testing.assert_array_equal(jax.grad(normaliser)(zero), 0.0)
    np.testing.assert_allclose(jax.hessian(normaliser)(zero), 0.5 * np.eye(2), rtol=1e-12)
