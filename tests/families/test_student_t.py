"""The multivariate t against SciPy, closed forms, numeric integrals and simulated rows."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import gammaln
from scipy.special import digamma
from scipy.stats import multivariate_normal, multivariate_t

from blocks import blocks_of, clusters, holes
from noumena.core.expectation import curvature, expectation
from noumena.core.fit import fit, rounding
from noumena.core.lanes import stack
from noumena.core.result import Status
from noumena.families.covariance import STRUCTURES, Structure
from noumena.families.family import inner
from noumena.families.normal import Frame, Normal, NormalParameters
from noumena.families.normal_inverse_wishart import NormalInverseWishart
from noumena.families.student_t import LEAST, MOST, StudentNatural, StudentParameters, StudentT, solve_degrees
from noumena.models.mixture import Mixture, MixtureNatural

pytestmark = pytest.mark.usefixtures("float64")

PATTERNS = np.array([[i >> j & 1 for j in range(3)] for i in range(8)], dtype=bool)
DEGREES = np.array([0.7, 3.0, 40.0, 9_999.0])


def family_of(x, structure="VVV", freedom="each") -> StudentT:
    return StudentT(Frame.of(np.nanmean(x, axis=0), np.nanstd(x, axis=0)), Structure.named(structure), freedom)


def some_parameters(degrees=DEGREES, d=3, seed=0) -> StudentParameters:
    """Components anywhere, in a frame."""
    rng = np.random.default_rng(seed)
    k = len(degrees)
    root = rng.normal(size=(k, d, d)) * 0.5 + np.eye(d)
    scale = root @ root.swapaxes(1, 2)
    return StudentParameters(rng.normal(size=(k, d)), scale, degrees, np.eye(d), np.zeros(k, dtype=bool))


def in_data_units(family, parameters):
    location, unit = family.frame.location.value, family.frame.scale.value
    return location + unit * parameters.mean, parameters.scale * np.outer(unit, unit)


def start_of(x, structure, freedom, seed=2, n_components=3) -> Mixture:
    family = family_of(x, structure, freedom)
    active = np.ones(n_components, dtype=bool)
    blank = Mixture(family, np.full(n_components, 1 / n_components), family.initial(n_components), active)
    r = np.random.default_rng(seed).dirichlet(np.full(n_components, 0.5), size=len(x))
    return blank.update(MixtureNatural(r.sum(axis=0), family.statistics(x, r)))


def single_rows(x):
    """Each row as a piece of its own, in its own block where the pattern asks for one."""
    for row in x:
        (block,) = blocks_of(row[None], rows_per_piece=1)
        yield jax.tree.map(lambda part: part[0], block)


def test_density_is_scipys_for_every_pattern():
    x = clusters(n=32, seed=3) * [1.0, 20.0, 0.1] + [0.0, -300.0, 5.0]
    x[PATTERNS[np.arange(32) % 8]] = np.nan
    family, parameters = family_of(x), some_parameters()
    means, scales = in_data_units(family, parameters)
    natural, log_density = family.natural(parameters), eqx.filter_jit(family.log_density)
    for values, block in zip(x, single_rows(x), strict=True):
        seen = ~np.isnan(values)
        expected = [
            multivariate_t.logpdf(values[seen], m[seen], s[np.ix_(seen, seen)], df=nu) if seen.any() else 0.0
            for m, s, nu in zip(means, scales, DEGREES, strict=True)
        ]
        # SciPy takes the difference of two lgamma of order ν log ν = 9e4: 1e-11 of rounding at ν = 9,999
        np.testing.assert_allclose(log_density(natural, block)[0], expected, rtol=1e-10, atol=1e-10)
        if not seen.any():
            np.testing.assert_allclose(log_density(natural, block)[0], 0.0, atol=1e-12)


def test_entropy_is_scipys_and_a_normals_at_many_degrees_of_freedom():
    """SciPy takes the difference of two lgamma of order ν log ν: 1e-10. A normal's entropy is of order d²/ν away."""
    x = clusters() * [1.0, 20.0, 0.1]
    family, parameters = family_of(x), some_parameters()
    _, scales = in_data_units(family, parameters)
    expected = [multivariate_t.entropy(shape=scale, df=nu) for scale, nu in zip(scales, DEGREES, strict=True)]
    np.testing.assert_allclose(family.entropy(family.natural(parameters)), expected, rtol=1e-10, atol=1e-10)

    wide = family.entropy(family.natural(parameters._replace(degrees=np.full(4, 1e9))))
    normal = Normal(family.frame, family.structure)
    bell = NormalParameters(parameters.mean, parameters.scale, parameters.orientation, parameters.collapsed)
    plain = normal.entropy(normal.natural(bell))
    np.testing.assert_allclose(plain, [multivariate_normal.entropy(cov=scale) for scale in scales], rtol=1e-12)
    np.testing.assert_allclose(wide, plain, rtol=0, atol=1e-8)


def test_rows_of_many_patterns_in_one_block_are_each_its_own():
    x = clusters(n=64, seed=4)
    x[PATTERNS[np.arange(64) % 8]] = np.nan
    family, parameters = family_of(x), some_parameters()
    natural = family.natural(parameters)
    marginal = eqx.filter_jit(family.marginal)
    for block in blocks_of(x, rows_per_piece=8):
        for i in range(block.x.shape[0]):
            piece = jax.tree.map(lambda part: part[i], block)  # noqa: B023
            alone = [marginal(natural, row)[0] for row in single_rows(np.asarray(piece.x))]
            for eta in (natural, family.prepare(natural)):
                np.testing.assert_allclose(marginal(eta, piece), alone, rtol=1e-12, atol=1e-12)


def expected_statistics(u, mean, scale, nu):
    """E[T | u_observed] of one row and component, from the textbook: w given u_o is gamma, u_m given both normal."""
    seen, d = ~np.isnan(u), len(u)
    o, m = np.flatnonzero(seen), np.flatnonzero(~seen)
    gain = scale[np.ix_(m, o)] @ np.linalg.inv(scale[np.ix_(o, o)])
    away = u[o] - mean[o]
    delta = away @ np.linalg.inv(scale[np.ix_(o, o)]) @ away
    w = (nu + len(o)) / (nu + delta)
    log_w = digamma((nu + len(o)) / 2) - np.log((nu + delta) / 2)
    filled = u.copy()
    filled[m] = mean[m] + gain @ away
    spread = np.zeros((d, d))
    spread[np.ix_(m, m)] = scale[np.ix_(m, m)] - gain @ scale[np.ix_(o, m)]  # of √w (u_m − E u_m), free of w
    return StudentNatural(w * filled, w * np.outer(filled, filled) + spread, w, log_w - w + 1)


def test_gradient_of_the_marginal_is_the_expected_statistics():
    x = clusters(n=24, seed=5)
    x[PATTERNS[np.arange(24) % 8]] = np.nan
    family, parameters = family_of(x), some_parameters()
    natural = family.natural(parameters)
    u = (x - family.frame.location.value) / family.frame.scale.value
    gradient = jax.jit(jax.grad(lambda eta, block: jnp.sum(family.marginal(eta, block))))
    for values, block in zip(u, single_rows(x), strict=True):
        ours = gradient(natural, block)
        for k in range(4):
            theirs = expected_statistics(values, parameters.mean[k], parameters.scale[k], DEGREES[k])
            for name in StudentNatural._fields[:4]:
                # digamma − log cancels in the closed form: ε · log ν
                np.testing.assert_allclose(
                    getattr(ours, name)[k], getattr(theirs, name), rtol=1e-10, atol=1e-11, err_msg=f"{name}, {values}"
                )


def test_marginal_and_its_gradient_are_the_integral_over_the_scale_and_a_missing_cell():
    """∫∫ w^(d/2 − 1) exp⟨η, T(x, w)⟩ dx₂ dw by the trapezoid rule, which is exact to rounding on smooth bells."""
    mean, scale, nu = np.array([0.4, -0.7]), np.array([[1.3, 0.6], [0.6, 0.8]]), 4.5
    first = 2.1
    frame = Frame.of(np.zeros(2), np.ones(2))
    family = StudentT(frame, Structure.named("VVV"))
    parameters = StudentParameters(mean[None], scale[None], np.array([nu]), np.eye(2), np.zeros(1, dtype=bool))
    natural = family.natural(parameters)
    block = next(single_rows(np.array([[first, np.nan]])))
    value, slope = jax.jit(jax.value_and_grad(lambda eta: family.marginal(eta, block)[0, 0]))(natural)

    log_w = np.linspace(-16, 5, 1201)[:, None]
    w = np.exp(log_w)
    second = np.linspace(-14, 14, 801) / np.sqrt(w)  # grid as wide as x₂ is given w
    h, q = np.asarray(natural.linear[0]), np.asarray(natural.quadratic[0])
    exponent = h[0] * first + h[1] * second + q[0, 0] * first**2 + 2 * q[0, 1] * first * second + q[1, 1] * second**2
    statistic = log_w - w + 1
    exponent = w * (exponent + float(natural.weight[0])) + float(natural.half_degrees[0]) * statistic
    # dx₂ = (28/800) w^(−½), dw = w dlog w, h = w^(d/2 − 1) = 1
    density = np.exp(exponent) * (28 / 800) / np.sqrt(w) * w * (21 / 1200)
    total = density.sum()
    mean_of = lambda t: (density * t).sum() / total  # noqa: E731
    np.testing.assert_allclose(value, np.log(total), rtol=1e-9)
    np.testing.assert_allclose(slope.weight[0], mean_of(w), rtol=1e-9)
    np.testing.assert_allclose(slope.half_degrees[0], mean_of(statistic), rtol=1e-9)
    np.testing.assert_allclose(slope.linear[0], [mean_of(w * first), mean_of(w * second)], rtol=1e-9)
    cross = mean_of(w * first * second)
    expected = [[mean_of(w * first**2), cross], [cross, mean_of(w * second**2)]]
    np.testing.assert_allclose(slope.quadratic[0], expected, rtol=1e-9)


def test_mean_parameters_are_the_moments_of_the_joint_density():
    parameters = some_parameters()
    family = family_of(clusters())
    mean = eqx.filter_jit(family.mean)(family.natural(parameters))
    outer = np.einsum("ki,kj->kij", parameters.mean, parameters.mean)
    np.testing.assert_allclose(mean.weight, 1.0, rtol=1e-12)
    np.testing.assert_allclose(mean.half_degrees, digamma(DEGREES / 2) - np.log(DEGREES / 2), rtol=1e-10)
    np.testing.assert_allclose(mean.linear, parameters.mean, rtol=1e-10)
    np.testing.assert_allclose(mean.quadratic, outer + parameters.scale, rtol=1e-9, atol=1e-11)


def test_gradients_are_finite_at_the_edge():
    """A tight component far from the frame's centre, distant rows, the least and the most degrees of freedom."""
    degrees = np.array([LEAST, 10.0, MOST])
    tight = StudentParameters(
        np.full((3, 3), 50.0), np.tile(1e-8 * np.eye(3), (3, 1, 1)), degrees, np.eye(3), np.zeros(3, dtype=bool)
    )
    family = StudentT(Frame.of(np.zeros(3), np.ones(3)), Structure.named("VVV"))
    x = np.array([[50.0, 50, 50], [50, np.nan, 50], [0, 0, 0], [1e8, np.nan, -1e8], [np.nan, np.nan, np.nan]])
    natural = family.natural(tight)
    both = jax.jit(jax.value_and_grad(lambda eta, block: jnp.sum(family.log_density(eta, block))))
    for block in single_rows(x):
        value, slope = both(natural, block)
        assert all(np.isfinite(part).all() for part in jax.tree.leaves((value, slope)))


def test_degrees_of_freedom_solve_their_equation_within_the_bounds():
    nu = np.geomspace(LEAST, MOST, 60)
    solve = jax.jit(solve_degrees)
    gap = np.log(nu / 2) - digamma(nu / 2)
    # log e − ψ(e) = 1/(2e) + … of two numbers of order log e: relative rounding ε · 2e log e = 2e-11 at the upper end
    np.testing.assert_allclose(solve(np.array(gap)), nu, rtol=1e-10)
    beyond = solve(np.array([-1.0, 0.0, 1e-9, 1e6, np.inf]))
    np.testing.assert_allclose(beyond, [MOST, MOST, MOST, LEAST, LEAST], rtol=1e-12)


# how ν is estimated and what the Σ_k share do not meet in the M-step, so all pairs of them are for the long run
_FITS = [
    pytest.param(name, freedom, marks=[] if (name, freedom) == ("EEE", "each") or name == "VVV" else pytest.mark.slow)
    for name in STRUCTURES
    for freedom in ("each", "common", 3.0)
]


@pytest.mark.parametrize(("structure", "freedom"), _FITS)
def test_the_objective_never_falls(structure, freedom):
    x = holes(clusters(), 0.2, seed=1)
    outcome = fit(stack([start_of(x, structure, freedom)]), blocks_of(x), max_iter=60, tol=0.0)[0]
    steps = np.diff(outcome.trace.objective)
    assert len(steps) == 60
    assert outcome.status is Status.COMPLETED
    assert steps.min() >= -rounding(np.array([outcome.objective]))[0]
    assert steps.sum() > 1e-3
    degrees = np.asarray(outcome.model.parameters.degrees)
    if freedom == "each":
        assert len(set(degrees)) > 1
    else:
        assert len(set(degrees)) == 1
    assert np.all(degrees == 3.0) == (freedom == 3.0)


def test_the_objective_never_falls_where_degrees_of_freedom_run_to_their_bound():
    """Rows with lighter tails than a normal's: no digits are lost to terms of order ν log ν."""
    x = np.random.default_rng(6).uniform(-1, 1, size=(4_000, 2))
    model = start_of(x, "VVV", "each", n_components=1)
    model = Mixture(model.family, model.weights, model.parameters._replace(degrees=np.array([5_000.0])), model.active)
    outcome = fit(stack([model]), blocks_of(x, rows_per_piece=512), max_iter=60, tol=0.0)[0]
    assert outcome.status is Status.COMPLETED
    assert np.diff(outcome.trace.objective).min() >= -rounding(np.array([outcome.objective]))[0]
    assert 5_000 < float(outcome.model.parameters.degrees[0]) <= MOST


@pytest.mark.parametrize("freedom", ["each", "common"])
def test_acceleration_reaches_at_least_as_high(freedom):
    x = holes(clusters(n=200), 0.2, seed=7)
    start = stack([start_of(x, "VVV", freedom)])
    plain = fit(start, blocks_of(x), max_iter=60, tol=0.0)[0]
    faster = fit(start, blocks_of(x), max_iter=60, tol=0.0, accelerate="squarem")[0]
    kept = faster.trace.objective[faster.trace.accepted]
    assert np.diff(kept).min() >= -rounding(np.array([faster.objective]))[0]
    assert faster.objective > plain.objective


@pytest.mark.parametrize("freedom", ["each", "common"])
def test_the_m_step_is_a_stationary_point(freedom):
    """∇[⟨η(θ), S⟩ − n A(η(θ))] = 0 over μ, the Cholesky factor of Σ, and log ν."""
    x = holes(clusters(n=150), 0.2, seed=8)
    model = start_of(x, "VVV", freedom)
    _, stats = expectation(stack([model]), blocks_of(x))
    count, stats = stats.constant[0], jax.tree.map(lambda part: part[0], stats.family)
    found = model.family.maximise(count, stats, model.parameters)

    def objective(mean, root, log_degrees):
        lower = jnp.tril(root)
        parameters = found._replace(
            mean=mean, scale=lower @ lower.swapaxes(1, 2), degrees=jnp.broadcast_to(jnp.exp(log_degrees), (3,))
        )
        eta = model.family.natural(parameters)
        return jnp.sum(inner(eta, stats) - count * model.family.log_normaliser(eta))

    log_degrees = np.log(found.degrees[0] if freedom == "common" else found.degrees)
    root = np.linalg.cholesky(found.scale)
    gradient = jax.jit(jax.grad(objective, argnums=(0, 1, 2)))
    slope = gradient(found.mean, root, log_degrees)
    assert np.all((found.degrees > 2 * LEAST) & (found.degrees < MOST / 2))  # away from the bounds
    for part in slope:  # sums of 150 terms of order 1 to 10, in a metric of condition 10 or so
        np.testing.assert_allclose(part, 0.0, atol=1e-9)
    moved = gradient(found.mean + 0.01, root * 1.01, log_degrees + 0.1)
    assert all(np.abs(part).max() > 1e-3 for part in moved)


def weak_prior(x, structure, shrinkage):
    own = NormalInverseWishart(np.nanmean(x, axis=0) + 1, shrinkage, 5.0, np.diag(np.nanvar(x, axis=0)))
    family = family_of(x, structure)
    return own.framed(family.frame.location.value, family.frame.scale.value)


@pytest.mark.parametrize("structure", ["VVV", "EEE", "VVI"])
def test_the_objective_never_falls_with_a_prior(structure):
    x = holes(clusters(), 0.2, seed=17)
    start = start_of(x, structure, "each")
    family = StudentT(start.family.frame, start.family.structure, "each", weak_prior(x, structure, 0.5))
    model = Mixture(family, start.weights, start.parameters, start.active)
    outcome = fit(stack([model]), blocks_of(x), max_iter=60, tol=0.0)[0]
    steps = np.diff(outcome.trace.objective)
    assert outcome.status is Status.COMPLETED
    assert steps.min() >= -rounding(np.array([outcome.objective]))[0]
    assert steps.sum() > 1e-3
    assert outcome.objective != outcome.bound


@pytest.mark.parametrize("shrinkage", [0.0, 0.5])
@pytest.mark.parametrize("normal", [True, False], ids=["normal", "t"])
def test_the_m_step_with_a_prior_is_a_stationary_point(normal, shrinkage):
    """∇[⟨η(θ), S⟩ − n A(η(θ)) + log p(θ)] = 0 over μ and the Cholesky factor of Σ; κ = 0 has no density of μ."""
    x = clusters(n=150)
    start = start_of(x, "VVV", 4.0)
    prior = weak_prior(x, "VVV", shrinkage)
    if normal:
        family = Normal(start.family.frame, start.family.structure, prior)
        given = start.parameters
        parameters = NormalParameters(given.mean, given.scale, given.orientation, given.collapsed)
    else:
        family, parameters = StudentT(start.family.frame, start.family.structure, 4.0, prior), start.parameters
    _, stats = expectation(stack([Mixture(family, start.weights, parameters, start.active)]), blocks_of(x))
    count, stats = stats.constant[0], jax.tree.map(lambda part: part[0], stats.family)
    found = family.maximise(count, stats, parameters)
    matrix = "covariance" if normal else "scale"

    def objective(mean, root):
        lower = jnp.tril(root)
        moved = found._replace(**{"mean": mean, matrix: lower @ lower.swapaxes(1, 2)})
        eta = family.natural(moved)
        fitted = inner(eta, stats) - count * family.log_normaliser(eta)
        return jnp.sum(fitted) + jnp.sum(family.log_prior(moved))

    root = np.linalg.cholesky(getattr(found, matrix))
    gradient = jax.grad(objective, argnums=(0, 1))
    for part in gradient(found.mean, root):
        np.testing.assert_allclose(part, 0.0, atol=1e-9)
    assert all(np.abs(part).max() > 1e-3 for part in gradient(found.mean + 0.01, root * 1.01))


def test_many_degrees_of_freedom_are_the_normal():
    """log t_ν = log N + (δ² − 2(d + 2)δ + d(d + 2)) / 4ν + O(1/ν²)."""
    x = holes(clusters(), 0.2, seed=9)
    start = start_of(x, "VVV", 1e4)
    parameters = start.parameters
    normal = Normal(start.family.frame, start.family.structure)
    bell = NormalParameters(parameters.mean, parameters.scale, parameters.orientation, parameters.collapsed)
    (gauss,), _ = expectation(stack([Mixture(normal, start.weights, bell, start.active)]), blocks_of(x))
    gaps = []
    for nu in (1e4, 1e6, 1e8):
        wide = parameters._replace(degrees=np.full(3, nu))
        (total,), _ = expectation(stack([Mixture(start.family, start.weights, wide, start.active)]), blocks_of(x))
        gaps.append(float(total - gauss))
    assert 0 < abs(gaps[0]) < 90 * 12 / (4 * 1e4)  # at most d(d + 2) − … of order 12 for a typical row
    np.testing.assert_allclose(gaps[1:], [gaps[0] / 1e2, gaps[0] / 1e4], rtol=0.02)


def test_statistics_do_not_depend_on_splits_or_order():
    x = holes(clusters(), 0.25, seed=10)
    model = stack([start_of(x, "VVV", "each")])
    whole = expectation(model, blocks_of(x, rows_per_piece=128))
    order = np.random.default_rng(11).permutation(len(x))
    others = [
        expectation(model, blocks_of(x[order], rows_per_piece=16)),
        expectation(model, blocks_of(x[:37]) + blocks_of(x[37:])),
    ]
    for other in others:
        for left, right in zip(jax.tree.leaves(whole), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-9)


def test_curvature_is_the_derivative_of_the_statistics():
    """Central differences, off by O(step²) = 1e-8 relative, with room."""
    x = holes(clusters(n=60), 0.3, seed=12)
    model, step = start_of(x, "VVV", "each").for_bound(), 1e-4
    blocks = blocks_of(x)
    rng, natural = np.random.default_rng(13), model.natural()
    direction = jax.tree.map(lambda part: 0.1 * np.asarray(part) * rng.normal(size=part.shape), natural)

    @jax.jit
    def of_block(eta, block):
        objective = lambda eta, piece: jnp.sum(piece.weight * model.bound(eta, piece))  # noqa: E731
        return jax.tree.map(
            lambda part: part.sum(axis=0), jax.lax.map(lambda piece: jax.grad(objective)(eta, piece), block)
        )

    def statistics(sign):
        moved = jax.tree.map(lambda part, v: part + sign * step * v, natural, direction)
        return jax.tree.map(lambda *parts: sum(parts), *(of_block(moved, block) for block in blocks))

    expected = jax.tree.map(lambda up, down: (up - down) / (2 * step), statistics(1), statistics(-1))
    bent = curvature(model, jax.tree.map(lambda v: v[None], direction), blocks)
    for ours, theirs in zip(jax.tree.leaves(bent), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours[0], theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())


def test_a_start_has_the_moments_of_its_rows_and_ten_degrees_of_freedom():
    x = clusters(n=200)
    model = start_of(x, "VVV", "each", n_components=1)
    means, scales = in_data_units(model.family, model.parameters)
    np.testing.assert_allclose(means[0], x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scales[0], np.cov(x.T, bias=True), rtol=1e-11)
    np.testing.assert_allclose(model.parameters.degrees, 10.0, rtol=1e-12)


def test_an_idle_component_changes_nothing():
    x = holes(clusters(), 0.2, seed=14)
    model = start_of(x, "VEE", "common")
    grow = lambda part: np.concatenate([part, part[:1]])  # noqa: E731
    parameters = StudentParameters(
        **{k: np.asarray(v) if k == "orientation" else grow(v) for k, v in model.parameters._asdict().items()}
    )
    padded = Mixture(model.family, np.append(model.weights, 0.0), parameters, np.array([True, True, True, False]))
    alone = fit(stack([model]), blocks_of(x), max_iter=8, tol=0.0)[0]
    beside = fit(stack([padded]), blocks_of(x), max_iter=8, tol=0.0)[0]
    np.testing.assert_allclose(alone.trace.objective, beside.trace.objective, rtol=1e-11)


@pytest.mark.parametrize(("freedom", "more"), [("each", 3), ("common", 1), (4.0, 0)])
def test_number_of_free_parameters(freedom, more):
    x = clusters()
    for structure in STRUCTURES:
        code = Structure.named(structure)
        assert family_of(x, structure, freedom).n_parameters(3) == 9 + code.n_parameters(3, 3) + more


@pytest.mark.slow
def test_parameters_are_recovered_from_simulated_rows():
    """5,000 rows of two components, a tenth of the cells missing: every estimate within 4.5 standard errors.

    Standard errors from the outer products of the scores of the complete rows' log density, written down anew here, at
    the true parameters, widened for the cells that are missing: at most by 1/√(0.9³), the share of complete rows. 13
    normal deviates exceed 4.5 with probability 1e-4.
    """
    rng = np.random.default_rng(15)
    n, degrees = 5_000, np.array([3.0, 8.0])
    means = np.array([[0.0, 0.0], [5.0, -3.0]])
    scales = np.array([[[1.0, 0.5], [0.5, 2.0]], [[2.0, -0.8], [-0.8, 1.0]]])
    which = (rng.random(n) < 0.4).astype(int)
    w = rng.gamma(degrees[which] / 2, 2 / degrees[which])
    roots = np.linalg.cholesky(scales)
    full = means[which] + np.einsum("nij,nj->ni", roots[which], rng.normal(size=(n, 2))) / np.sqrt(w)[:, None]
    x = holes(full, 0.1, seed=16)

    family = family_of(x)
    blank = Mixture(family, np.full(2, 0.5), family.initial(2), np.ones(2, dtype=bool))
    r = np.eye(2)[(full[:, 0] > 2.5).astype(int)]
    start = blank.update(MixtureNatural(r.sum(axis=0), family.statistics(x, r)))
    (outcome,) = fit(stack([start]), blocks_of(x, rows_per_piece=1024), max_iter=500, tol=1e-6, accelerate="squarem")
    assert outcome.status is Status.CONVERGED

    def log_density(theta, row):
        mean, lower = theta[1:5].reshape(2, 2), theta[5:11].reshape(2, 3)
        nu = jnp.exp(theta[11:])
        a, b, c = lower.T
        first = (row[0] - mean[:, 0]) / a
        second = (row[1] - mean[:, 1] - b * first) / c
        kernel = -(nu / 2 + 1) * jnp.log1p((first**2 + second**2) / nu) - jnp.log(a * c)
        constant = gammaln(nu / 2 + 1) - gammaln(nu / 2) - jnp.log(nu * jnp.pi)
        return jax.nn.logsumexp(kernel + constant + jax.nn.log_sigmoid(theta[0] * jnp.array([-1.0, 1.0])))

    def theta_of(weight, means, scales, degrees):
        lower = np.linalg.cholesky(scales)
        packed = np.stack([lower[:, 0, 0], lower[:, 1, 0], lower[:, 1, 1]], axis=1)
        return np.concatenate([[np.log(weight / (1 - weight))], means.ravel(), packed.ravel(), np.log(degrees)])

    truth = theta_of(0.4, means, scales, degrees)
    score = np.asarray(jax.jit(jax.vmap(jax.grad(log_density), in_axes=(None, 0)))(jnp.asarray(truth), full))
    error = np.sqrt(np.diag(np.linalg.inv(score.T @ score))) / 0.9**1.5
    found = outcome.model
    estimate = theta_of(float(found.weights[1]), *in_data_units(family, found.parameters), found.parameters.degrees)
    assert np.abs((estimate - truth) / error).max() < 4.5
    assert error.max() < 0.25  # the errors are small enough to tell 3 degrees of freedom from 8
