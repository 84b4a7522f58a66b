"""The multinomial against SciPy, sums over all outcomes, and the families that it holds as special cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from noumena.core.block import Block
from noumena.core.model import Fixed
from noumena.families.binomial import Binomial, BinomialValue
from noumena.families.categorical import Categorical, CategoricalValue
from noumena.families.cells import CellParameters
from noumena.families.multinomial import EDGE, Multinomial, MultinomialNatural, MultinomialValue, Totals

pytestmark = pytest.mark.usefixtures("float64")

P = np.array([[0.2, 0.5, 0.3, 1e-3], [0.05, 0.05, 0.6, 0.3]])
P = P / P.sum(axis=1, keepdims=True)
TOTALS = Totals(np.array([0.0, 3.0, 8.0]), np.array([0.1, 0.6, 0.3]))


def family(totals: Totals = TOTALS, d: int = 4) -> Multinomial:
    return Multinomial(Fixed(MultinomialValue(np.full(d, 1 / d))), Fixed(totals))


def parameters(p: np.ndarray = P) -> CellParameters:
    return CellParameters(MultinomialValue(p), np.zeros(len(p), dtype=bool))


def outcomes(n: int, d: int) -> np.ndarray:
    """All ways to share n out over d columns."""
    grid = np.stack(np.meshgrid(*[np.arange(n + 1.0)] * d), axis=-1).reshape(-1, d)
    return grid[grid.sum(axis=1) == n]


def rows(n: int, seed: int, component: int = 0) -> np.ndarray:
    return family().draw(MultinomialValue(np.tile(P[component], (n, 1))), np.random.default_rng(seed))


def test_density_is_scipys_and_a_missing_row_contributes_nothing():
    x = np.concatenate([rows(20, 1), rows(20, 2, component=1), [[70.0, 1, 0, 900]]])
    x[::7] = np.nan
    x[1, 2] = np.nan  # without its total the others say nothing: as good as missing
    natural = family().natural(parameters())
    found = family().log_density(natural, Block(x, np.ones(len(x))))
    seen = ~np.isnan(x).any(axis=1)
    expected = [[stats.multinomial.logpmf(row, row.sum(), p) for p in P] for row in x[seen]]
    # lgamma of a total of 971 is 6e3: 1e-12 of rounding
    np.testing.assert_allclose(found[seen], expected, rtol=1e-12, atol=1e-11)
    np.testing.assert_array_equal(found[~seen], 0.0)
    whole = Block(x[seen], np.ones(seen.sum()), complete=True)
    np.testing.assert_array_equal(family().log_density(natural, whole), found[seen])


def test_densities_sum_to_one_over_each_total():
    natural = family().natural(parameters())
    for n in (0, 1, 5):
        x = outcomes(n, 4)
        total = np.exp(family().log_density(natural, Block(x, np.ones(len(x))))).sum(axis=0)
        np.testing.assert_allclose(total, 1.0, rtol=1e-13)


def test_statistics_are_the_counts_and_the_totals_of_the_observed_rows():
    x = rows(50, 3)
    x[::5] = np.nan
    r = np.random.default_rng(4).dirichlet(np.ones(2), size=50)
    stats_ = family().statistics(x, r)
    np.testing.assert_allclose(stats_.log_odds, r.T @ np.nan_to_num(x)[:, 1:], rtol=1e-13)
    np.testing.assert_allclose(stats_.constant, r.T @ np.nan_to_num(x).sum(axis=1), rtol=1e-13)


def test_natural_to_mean_to_natural_is_the_identity():
    natural = family().natural(parameters())
    mean = family().mean(natural)
    n = TOTALS.count @ TOTALS.share
    np.testing.assert_allclose(mean.log_odds, n * P[:, 1:], rtol=1e-13)
    np.testing.assert_allclose(mean.constant, n, rtol=1e-13)
    count = np.array([7.0, 0.3])
    found = family().maximise(count, jax.tree.map(lambda m: (count * m.T).T, mean), parameters(P[::-1]))
    np.testing.assert_allclose(found.value.probability, P, rtol=1e-12)
    for ours, again in zip(natural, family().natural(found), strict=True):
        np.testing.assert_allclose(ours, again, rtol=1e-11, atol=1e-13)


def test_entropies_are_scipys_and_divergences_sums_over_all_outcomes():
    """Of a row given its total, over the totals that were seen."""
    natural = family().natural(parameters())
    turned = MultinomialNatural(natural.log_odds[::-1], natural.constant[::-1])
    entropy = sum(
        share * np.array([stats.multinomial.entropy(int(n), p) for p in P])
        for n, share in zip(*TOTALS, strict=True)
        if n > 0
    )
    np.testing.assert_allclose(family().entropy(natural), entropy, rtol=1e-12)
    kl = np.zeros(2)
    for n, share in zip(*TOTALS, strict=True):
        x = outcomes(int(n), 4)
        log = np.asarray(family().log_density(natural, Block(x, np.ones(len(x)))))
        kl += share * np.sum(np.exp(log) * (log - log[:, ::-1]), axis=0)
    np.testing.assert_allclose(family().kl(natural, turned), kl, rtol=1e-12)


def test_entropies_of_large_totals():
    """A multinomial of many trials is nearly normal: ½ log((2πen)^(d−1) Π p), off by the order of 1/(n min p)."""
    n = 1e8
    p = np.array([[0.2, 0.5, 0.3]])
    large = family(Totals(np.array([n]), np.ones(1)), d=3)
    expected = np.log(2 * np.pi * np.e * n) + 0.5 * np.log(p.prod())
    np.testing.assert_allclose(large.entropy(large.natural(parameters(p))), expected, atol=1e-6)


@pytest.mark.slow
def test_one_trial_is_categorical_and_two_columns_are_binomial():
    one = family(Totals(np.ones(1), np.ones(1)))
    level = np.arange(4)
    x = np.eye(4)
    categorical = Categorical(Fixed(CategoricalValue(np.full((1, 4), 0.25))), levels=(4,))
    same = categorical.natural(CellParameters(CategoricalValue(P[:, None, :]), np.zeros(2, dtype=bool)))
    natural = one.natural(parameters())
    np.testing.assert_allclose(
        one.log_density(natural, Block(x, np.ones(4))),
        categorical.log_density(same, Block(level[:, None].astype(float), np.ones(4))),
        rtol=1e-12,
    )
    expected = [stats.multinomial.entropy(1, p) for p in P]
    np.testing.assert_allclose(categorical.entropy(same), expected, rtol=1e-12)
    np.testing.assert_allclose(one.entropy(natural), expected, rtol=1e-12)

    two = family(Totals(np.array([9.0]), np.ones(1)), d=2)
    binomial = Binomial(Fixed(BinomialValue(np.full(1, 0.5))), trials=(9,))
    p = np.array([[0.3, 0.7], [0.9, 0.1]])
    same = binomial.natural(CellParameters(BinomialValue(p[:, 1:]), np.zeros(2, dtype=bool)))
    natural = two.natural(parameters(p))
    x = outcomes(9, 2)
    np.testing.assert_allclose(
        two.log_density(natural, Block(x, np.ones(10))),
        binomial.log_density(same, Block(x[:, 1:], np.ones(10))),
        rtol=1e-11,
    )
    np.testing.assert_allclose(two.entropy(natural), binomial.entropy(same), rtol=1e-12)


def test_draws_have_the_shares_and_the_totals():
    """Within 5 standard errors, 2 · (4 + 3) numbers: P(false) < 1e-5."""
    n = 20_000
    for component in range(2):
        x = rows(n, 5, component)
        assert Multinomial.contains(x).all()
        for total, share in zip(*TOTALS, strict=True):
            assert abs((x.sum(axis=1) == total).mean() - share) <= 5 * np.sqrt(share * (1 - share) / n)
        trials = x.sum()
        error = np.sqrt(P[component] * (1 - P[component]) / trials)
        found = Multinomial.of(x)
        assert np.all(np.abs(found.typical.value.probability - P[component]) <= 5 * error)
        expected = found.expected(MultinomialValue(P[component]))
        assert np.all(np.abs(x.mean(axis=0) - expected) <= 5 * x.std(axis=0) / np.sqrt(n))


def test_the_prior_is_a_dirichlet_of_pseudo_rows():
    x = rows(200, 6)
    plain = Multinomial.of(x)
    with_prior = plain.with_prior(3.0)
    added = 3.0 * plain.mean_total * plain.typical.value.probability
    stats_ = with_prior.statistics(x, np.ones((200, 1)))
    found = with_prior.maximise(np.array([200.0]), stats_, with_prior.initial(1)).value.probability
    np.testing.assert_allclose(found[0], (x.sum(axis=0) + added) / (x.sum() + added.sum()), rtol=1e-11, atol=2 * EDGE)
    difference = with_prior.log_prior(parameters()) @ np.array([1.0, -1.0])
    dirichlet = [stats.dirichlet.logpdf(p, 1 + added) for p in P]
    np.testing.assert_allclose(difference, dirichlet[0] - dirichlet[1], rtol=1e-11)
    np.testing.assert_array_equal(plain.log_prior(parameters()), 0.0)
    assert with_prior.for_bound().prior is None


def test_the_chart_moves_every_probability_freely_and_begins_where_it_is():
    chart = family().chart(parameters())
    zero = np.zeros(chart.size)
    assert chart.size == family().n_parameters(2) == 6
    np.testing.assert_allclose(chart.parameters(zero).value.probability, P, rtol=1e-15)
    slope = jax.jacobian(lambda theta: chart.parameters(theta).value.probability)(zero)
    assert np.linalg.matrix_rank(slope.reshape(8, 6)) == 6
    natural, normaliser = chart.natural(zero)
    np.testing.assert_allclose(natural.log_odds, family().natural(parameters()).log_odds, rtol=1e-13)
    np.testing.assert_array_equal(normaliser, 0.0)
    edge = parameters(np.array([[1 - 1e-12, 1e-12]]))
    np.testing.assert_array_equal(family(d=2).chart(edge).held, [True])


def test_columns_without_a_count_keep_a_finite_density():
    x = np.column_stack([np.zeros(30), rows(30, 7)[:, :2]])
    found = Multinomial.of(x)
    assert found.typical.value.probability[0] == pytest.approx(EDGE)
    fitted = found.maximise(np.array([30.0]), found.statistics(x, np.ones((30, 1))), found.initial(1))
    natural = found.natural(fitted)
    value, slope = jax.value_and_grad(lambda eta: jnp.sum(found.log_density(eta, Block(x, np.ones(30)))))(natural)
    assert all(np.isfinite(part).all() for part in jax.tree.leaves((value, slope, found.entropy(natural))))
    none = found.maximise(np.zeros(1), jax.tree.map(jnp.zeros_like, found.mean(natural)), fitted)
    assert none.collapsed.all()
    np.testing.assert_array_equal(none.value.probability, fitted.value.probability)


def test_rows_are_embedded_by_their_shares():
    x = np.array([[1.0, 3.0], [10.0, 30.0], [0.0, 0.0], [np.nan, np.nan]])
    points = family(d=2).embedding(x)
    np.testing.assert_allclose(points[:2], np.sqrt([[0.25, 0.75]] * 2))
    assert np.isnan(points[2:]).all()
