"""Factor analysers as a family: marginals by brute force, coordinates, canonical forms, components without rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from noumena.core.block import Block
from noumena.families.factor_chart import FactorNormalChart, determined, standardised, uncorrelated
from noumena.families.factor_normal import FactorNormal
from noumena.families.factor_starts import principal_start
from noumena.families.factor_structure import FactorNatural, FactorParameters, FactorStructure
from noumena.families.normal import Frame
from noumena.models.factor import FactorModel

pytestmark = pytest.mark.usefixtures("float64")

D, K = 4, 3
MASK = ((True, False), (True, True), (False, True), (False, True))
STRUCTURES = {
    "diagonal": FactorStructure(2, (0, 1, 2, 3)),
    "isotropic": FactorStructure(2, (0,) * D),
    "grouped": FactorStructure(2, (0, 1, 0, 1)),
    "pattern": FactorStructure(2, (0, 1, 2, 3), MASK),
    "pattern, uncorrelated": FactorStructure(2, (0, 0, 1, 1), MASK, correlated=False),
}
structures = pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
PATTERNS = np.array([[i >> j & 1 for j in range(D)] for i in range(2**D)], dtype=bool)


def some_parameters(structure: FactorStructure, seed: int = 0, k: int = K) -> FactorParameters:
    """Components anywhere, as the structure allows, in a frame."""
    rng = np.random.default_rng(seed)
    d, q = structure.n_columns, structure.n_factors
    loadings = rng.normal(size=(k, d, q))
    root = rng.normal(size=(k, q, q)) * 0.3 + np.eye(q)
    latent = root @ root.swapaxes(1, 2)
    if structure.free is not None:
        loadings = loadings * np.asarray(structure.free)
        latent = latent if structure.correlated else latent * np.eye(q)
    noise = rng.uniform(0.2, 1.5, size=(k, max(structure.noise) + 1))[:, list(structure.noise)]
    return FactorParameters(rng.normal(size=(k, d)), loadings, noise, latent, np.zeros((k, d), dtype=bool))


def family_of(structure: FactorStructure, complete: bool = False) -> FactorNormal:
    rng = np.random.default_rng(1)
    groups = np.array(structure.noise)
    scale = rng.uniform(0.5, 20, size=D)[groups]
    return FactorNormal(Frame.of(rng.normal(size=D) * 100, scale), structure, complete)


def in_data_units(family: FactorNormal, parameters: FactorParameters) -> tuple[np.ndarray, np.ndarray]:
    location, unit = family.frame.location.value, family.frame.scale.value
    inner = parameters.loadings @ parameters.latent @ parameters.loadings.swapaxes(1, 2)
    covariance = inner + parameters.noise[:, :, None] * np.eye(D)
    return location + unit * parameters.mean, covariance * np.outer(unit, unit)


def densities(family: FactorNormal, parameters: FactorParameters, block: Block) -> np.ndarray:
    return np.asarray(jax.jit(lambda own: family.log_density(family.natural(own), block))(parameters))


@structures
def test_marginals_by_brute_force_for_every_pattern(structure):
    """Ten terms of size up to 10: rounding of 1e-14, and the determinants of SciPy beside it."""
    family, parameters = family_of(structure), some_parameters(structure)
    means, covariances = in_data_units(family, parameters)
    x = np.random.default_rng(2).normal(size=(len(PATTERNS), D)) * 10 + means[0]
    x[PATTERNS] = np.nan
    found = densities(family, parameters, Block(x, np.ones(len(x))))
    for row, ours in zip(x, found, strict=True):
        seen = ~np.isnan(row)
        if not seen.any():
            np.testing.assert_allclose(ours, 0.0, atol=1e-12)
            continue
        expected = [
            multivariate_normal.logpdf(row[seen], mean[seen], covariance[np.ix_(seen, seen)])
            for mean, covariance in zip(means, covariances, strict=True)
        ]
        np.testing.assert_allclose(ours, expected, rtol=1e-11)
    reported = family.reported(parameters)
    np.testing.assert_allclose(reported["covariance"], covariances, rtol=1e-12)
    np.testing.assert_allclose(reported["mean"], means, rtol=1e-12)


@structures
def test_complete_rows_may_be_known_to_be_complete(structure):
    """Three ways to say it: of the family, of the block, not at all."""
    parameters = some_parameters(structure)
    x = np.random.default_rng(3).normal(size=(20, D)) * 10
    values = [
        densities(family, parameters, Block(x, np.ones(20), complete=known))
        for family, known in [
            (family_of(structure, complete=True), True),
            (family_of(structure), True),
            (family_of(structure), False),
        ]
    ]
    np.testing.assert_allclose(values[1], values[0], rtol=1e-12)
    np.testing.assert_allclose(values[2], values[0], rtol=1e-12)


@pytest.mark.parametrize("complete", [True, False], ids=["complete", "holes"])
def test_digits_where_the_factors_explain_nearly_all(complete):
    """Noise of 1e-7: against the model's E-step, which tests/models/test_factor.py holds to extended precision."""
    structure = STRUCTURES["diagonal"]
    family, own = family_of(structure, complete), some_parameters(structure, k=1)
    parameters = own._replace(noise=np.full((1, D), 1e-7))
    one = jax.tree.map(lambda part: part[0], parameters)
    model = FactorModel(family.frame, structure, one, complete)
    rng = np.random.default_rng(11)
    u = rng.normal(size=(50, 2)) @ one.loadings.T + 3e-4 * rng.normal(size=(50, D)) + one.mean
    x = family.frame.location.value + family.frame.scale.value * u
    if not complete:
        x[rng.random(x.shape) < 0.2] = np.nan
    block = Block(x, np.ones(50), complete=complete)
    found = densities(family, parameters, block)[:, 0].sum()
    expected, _ = model.gather(model.natural(), block)
    assert found == pytest.approx(expected, rel=1e-9)


@structures
@pytest.mark.parametrize("complete", [True, False], ids=["complete", "holes"])
def test_the_m_step_is_where_the_expected_log_likelihood_is_largest(structure, complete):
    """⟨η(θ), S⟩ − count A(η(θ)) along random directions: a Newton step would not move, by 1e-6 of the direction."""
    family, previous = family_of(structure, complete), some_parameters(structure, 4)
    x = np.random.default_rng(5).normal(size=(200, D)) @ np.random.default_rng(6).normal(size=(D, D)) * 5
    if not complete:
        x[np.random.default_rng(7).random(x.shape) < 0.2] = np.nan
    block = Block(x, np.ones(len(x)), complete=complete)
    total = lambda natural: jnp.sum(family.marginal(natural, block))  # noqa: E731
    stats = jax.jit(jax.grad(total))(family.natural(previous))
    count = jnp.full(K, float(len(x)))

    @jax.jit
    def expected(parameters):
        natural = family.natural(parameters)
        products = jax.tree.map(lambda a, b: jnp.sum(a * b), natural, stats)
        return sum(jax.tree.leaves(products)) - count @ family.log_normaliser(natural)

    best = jax.jit(lambda stats: family.maximise(count, stats, previous))(stats)
    best = jax.tree.map(np.asarray, best)
    assert not best.at_floor.any()
    for seed in range(10):
        other = some_parameters(structure, seed)

        def along(step, other=other):
            moved = (a + step * b for a, b in zip(best[:4], other[:4], strict=True))
            return float(expected(FactorParameters(*moved, best.at_floor)))

        below, at, above = (along(step) for step in (-1e-4, 0.0, 1e-4))
        slope, curvature = (above - below) / 2e-4, (above - 2 * at + below) / 1e-8
        assert curvature < 0
        assert abs(slope / curvature) < 1e-6


def test_a_component_without_rows_stays_where_it_was_and_is_told():
    structure = STRUCTURES["diagonal"]
    family, previous = family_of(structure), some_parameters(structure)
    stats = FactorNatural(*(np.zeros(part.shape) for part in family.natural(previous)))
    found = family.maximise(jnp.zeros(K), stats, previous)
    for ours, before in zip(found[:4], previous[:4], strict=True):
        np.testing.assert_array_equal(ours, before)
    assert family.collapsed(found).all()


@pytest.mark.parametrize("structure", [STRUCTURES["grouped"], STRUCTURES["pattern"]], ids=["grouped", "pattern"])
def test_coordinates_are_right_to_second_order(structure):
    """η and A along the chart against those of the parameters that it names, with their first two derivatives."""
    family = family_of(structure)
    at = jax.tree.map(np.asarray, determined(some_parameters(structure), structure))
    chart = FactorNormalChart.around(family, at)
    zero = jnp.zeros(chart.size)

    def by_parameters(theta):
        natural = family.natural(chart.parameters(theta))
        return natural, family.log_normaliser(natural)

    np.testing.assert_allclose(chart.parameters(zero).loadings, at.loadings)
    for order in (lambda f: f, jax.jacfwd, lambda f: jax.jacfwd(jax.jacfwd(f))):
        ours = jax.jit(order(lambda theta: chart.natural(theta)))(zero)
        theirs = jax.jit(order(by_parameters))(zero)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8 * (1 + np.abs(b).max()))
    correlations = 0 if structure.free is None or not structure.correlated else 1
    free = D * 2 - 1 if structure.free is None else np.sum(structure.free)
    assert chart.size == K * (D + free + max(structure.noise) + 1 + correlations)
    assert family.n_parameters(K) == min(chart.size, K * (D + D * (D + 1) // 2))


@structures
def test_other_forms_have_the_same_covariance(structure):
    own = some_parameters(structure)
    inner = own.loadings @ own.latent @ own.loadings.swapaxes(1, 2)
    for form in (standardised(own), determined(own, structure)):
        np.testing.assert_allclose(form.loadings @ form.latent @ form.loadings.swapaxes(1, 2), inner, rtol=1e-10)
        np.testing.assert_allclose(np.diagonal(form.latent, axis1=1, axis2=2), 1.0)
    plain = uncorrelated(own)
    np.testing.assert_allclose(plain @ plain.swapaxes(1, 2), inner, rtol=1e-10)
    if structure.free is None:
        zeros = determined(own, structure).loadings == 0
        np.testing.assert_array_equal(zeros.sum(axis=(1, 2)), 1)
    else:
        np.testing.assert_array_equal(determined(own, structure).loadings != 0, [structure.free] * K)


@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        (FactorStructure(3, tuple(range(9))), 9 + 27 - 3 + 9),
        (FactorStructure(3, (0,) * 9), 9 + 27 - 3 + 1),
        (FactorStructure(1, (0, 0, 1, 1)), 4 + 4 + 2),
        (FactorStructure(2, (0, 1, 2, 3), MASK), 4 + 5 + 1 + 4),
        (FactorStructure(2, (0, 1, 2, 3), MASK, correlated=False), 4 + 5 + 4),
        (FactorStructure(3, (0, 1, 2)), 3 + 6),  # no more than a normal without structure
    ],
)
def test_the_number_of_free_parameters(structure, expected):
    assert structure.n_parameters() == expected


def test_the_start_of_equal_noise_is_the_maximum():
    """Tipping & Bishop (1999), equations (7) and (8): tr(C⁻¹S) + log|C| is no lower anywhere near."""
    rng = np.random.default_rng(9)
    root = rng.normal(size=(5, 5))
    s, structure = root @ root.T, FactorStructure(2, (0,) * 5)
    best = principal_start(s, structure)

    def loss(loadings, noise):
        covariance = loadings @ loadings.T + noise * np.eye(5)
        return np.trace(np.linalg.solve(covariance, s)) + np.linalg.slogdet(covariance)[1]

    least = loss(best.loadings, best.noise[0])
    values = np.sort(np.linalg.eigvalsh(s))[::-1]
    assert best.noise[0] == pytest.approx(values[2:].mean(), rel=1e-12)
    for _ in range(50):
        away = rng.normal(size=(5, 2)), rng.normal()
        assert loss(best.loadings + 0.05 * away[0], best.noise[0] * np.exp(0.1 * away[1])) > least


@structures
def test_starts_have_the_form_of_the_structure(structure):
    root = np.random.default_rng(10).normal(size=(D, D))
    covariance = root @ root.T
    covariance /= np.sqrt(np.outer(np.diagonal(covariance), np.diagonal(covariance)))
    start = principal_start(covariance, structure)
    for group in set(structure.noise):
        assert len({start.noise[j] for j in range(D) if structure.noise[j] == group}) == 1
    if structure.free is not None:
        assert not start.loadings[~np.asarray(structure.free)].any()
    assert start.loadings.any(axis=0).all()
    assert (start.noise > 0).all()
