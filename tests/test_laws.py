"""Laws that hold for every model, checked on every row of the registry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from blocks import blocks_of, clusters, holes
from noumena.core.block import Block
from noumena.core.expectation import curvature, expectation
from noumena.core.fit import fit, rounding
from noumena.core.lanes import lane, stack
from noumena.core.model import Fixed
from noumena.core.result import Status
from noumena.families.normal import Normal
from noumena.models.mixture import Mixture, evaluate
from registry import REGISTRY, gaussian_mixture

pytestmark = pytest.mark.usefixtures("float64")
rows = pytest.mark.parametrize("row", REGISTRY, ids=lambda row: row.name)
#: For laws of the mixture, which its structures have in common: one of each kind, and all of them in the long run.
_SOME = {f"gaussian mixture {name}" for name in ("VVI", "EEE", "VVE", "VVV, prior")}
kinds = pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.name, marks=[] if row.name in _SOME else pytest.mark.slow) for row in REGISTRY]
)

# Sums of some hundred terms of order 1 to 10, in another order: n · eps · size of a term, with room.
SUM = {"rtol": 1e-11, "atol": 1e-9}


def tree_close(a, b, **tolerance) -> None:
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(left, right, **tolerance)


@rows
@pytest.mark.parametrize("missing", [0.0, 0.3], ids=["complete", "holes"])
def test_the_objective_never_falls(row, missing):
    x = holes(clusters(), missing, seed=1)
    model = row.start(x, np.random.default_rng(2))
    outcome = fit(stack([model]), blocks_of(x), max_iter=60, tol=0.0)[0]
    steps = np.diff(outcome.trace.objective)
    assert len(steps) == 60
    assert outcome.status is Status.COMPLETED
    assert steps.min() >= -rounding(np.array([outcome.objective]))[0]
    # random responsibilities are a poor start: there is something to gain
    assert steps.sum() > (1e-3 if model.weights.shape[0] > 1 or missing else -1e-9)


@rows
@pytest.mark.parametrize("accelerate", ["squarem", "anderson"])
def test_acceleration_never_lowers_the_objective(row, accelerate):
    x = holes(clusters(), 0.2, seed=3)
    start = stack([row.start(x, np.random.default_rng(4))])
    outcome = fit(start, blocks_of(x), max_iter=60, tol=0.0, accelerate=accelerate)[0]
    kept = outcome.trace.objective[outcome.trace.accepted]
    assert np.diff(kept).min() >= -rounding(np.array([outcome.objective]))[0]


@rows
def test_the_bound_is_the_log_marginal_by_brute_force(row):
    """F = log p(x_observed), with each component's marginal taken from SciPy, for every pattern of 3 columns."""
    x = clusters(n=40)
    model = row.start(x, np.random.default_rng(5))
    patterns = np.array([[i >> j & 1 for j in range(3)] for i in range(8)], dtype=bool)
    x[patterns[np.arange(40) % 8]] = np.nan
    location, scale = model.family.frame.location.value, model.family.frame.scale.value
    means = location + scale * model.parameters.mean
    full = model.parameters
    covariance = full.variance[:, :, None] * np.eye(3) if hasattr(full, "variance") else full.covariance
    covariance = np.asarray(covariance) * np.outer(scale, scale)
    expected = np.zeros(40)
    for n, values in enumerate(x):
        seen = ~np.isnan(values)
        if seen.any():
            densities = [
                w * multivariate_normal.pdf(values[seen], m[seen], c[np.ix_(seen, seen)])
                for w, m, c in zip(np.asarray(model.weights), np.asarray(means), covariance, strict=True)
            ]
            expected[n] = np.log(sum(densities))
    total, _ = expectation(stack([model]), blocks_of(x))
    np.testing.assert_allclose(float(total[0]), expected.sum(), rtol=1e-10)


@rows
def test_the_bound_lies_below_the_log_marginal_for_any_other_posterior(row):
    """log p(x | θ) = F[q, θ] + KL(q ‖ p(z | x, θ)) for random q."""
    x = clusters(n=20)
    model = row.start(x, np.random.default_rng(6))
    block = Block(x, np.ones(20), np.full(20, -1))
    joint = model.log_joint(model.natural(), block)
    q = jnp.asarray(np.random.default_rng(7).dirichlet(np.ones(joint.shape[1]), size=20))
    free_energy = jnp.sum(q * (joint - jnp.log(q)), axis=1)
    divergence = jnp.sum(q * (jnp.log(q) - jnp.log(model.posterior(model.natural(), block))), axis=1)
    bound = model.bound(model.natural(), block)
    assert (divergence >= -1e-12).all()
    np.testing.assert_allclose(bound, free_energy + divergence, rtol=1e-12, atol=1e-12)


@rows
def test_statistics_are_the_gradient_of_the_bound_and_expected_statistics(row):
    """Fisher's identity: the automatic E-step against responsibilities times statistics, on complete rows."""
    x = clusters(n=50)
    model = row.start(x, np.random.default_rng(8))
    _, stats = expectation(stack([model]), blocks_of(x))
    block = Block(x, np.ones(50), np.full(50, -1))
    r = np.asarray(model.posterior(model.natural(), block))
    by_hand = model.family.statistics(x, r)
    np.testing.assert_allclose(stats.constant[0], r.sum(axis=0), **SUM)
    tree_close(jax.tree.map(lambda s: s[0], stats.family), by_hand, **SUM)


@kinds
def test_statistics_do_not_depend_on_splits_or_order(row):
    x = holes(clusters(), 0.25, seed=9)
    model = stack([row.start(x, np.random.default_rng(10))])
    whole = expectation(model, blocks_of(x, rows_per_piece=128))
    order = np.random.default_rng(11).permutation(len(x))
    pieces = expectation(model, blocks_of(x[order], rows_per_piece=16))
    halves = expectation(model, blocks_of(x[:37]) + blocks_of(x[37:]))
    tree_close(whole, pieces, **SUM)
    tree_close(whole, halves, **SUM)


@rows
def test_a_row_of_weight_two_is_the_row_twice(row):
    x = holes(clusters(), 0.25, seed=12)
    model = stack([row.start(x, np.random.default_rng(13))])
    weight = np.arange(len(x)) % 3
    weighted = expectation(model, blocks_of(x, weight.astype(float)))
    repeated = expectation(model, blocks_of(np.repeat(x, weight, axis=0)))
    tree_close(weighted, repeated, **SUM)


@rows
def test_a_wholly_missing_row_has_the_prior_as_posterior(row):
    x = np.vstack([clusters(n=30), np.full((2, 3), np.nan)])
    model = row.start(x, np.random.default_rng(14))
    for block in blocks_of(np.full((5, 3), np.nan)):
        bound, posterior = evaluate(model, block)
        np.testing.assert_allclose(bound, 0.0, atol=1e-12)
        np.testing.assert_allclose(posterior, np.broadcast_to(np.asarray(model.weights), posterior.shape), rtol=1e-12)


@kinds
def test_relabelling_the_components_changes_nothing(row):
    x = holes(clusters(), 0.2, seed=15)
    model = row.start(x, np.random.default_rng(16))
    k = model.weights.shape[0]
    order = np.roll(np.arange(k), 1)
    turned = Mixture(model.family, model.weights[order], model.parameters.components(order), model.active)
    total, stats = expectation(stack([model]), blocks_of(x))
    other, turned_stats = expectation(stack([turned]), blocks_of(x))
    np.testing.assert_allclose(total, other, rtol=1e-13)
    np.testing.assert_allclose(stats.constant[0][order], turned_stats.constant[0], **SUM)
    once, again = (
        lane(stack([model]), 0).update(jax.tree.map(lambda s: s[0], stats)),
        turned.update(jax.tree.map(lambda s: s[0], turned_stats)),
    )
    tree_close(once.parameters.components(order).mean, again.parameters.mean, rtol=1e-8, atol=1e-10)


@kinds
def test_lanes_and_padding_do_not_touch_each_other(row):
    """Two starts side by side, one of them with an idle component, end where each would alone."""
    x = holes(clusters(), 0.2, seed=17)
    one, two = (row.start(x, np.random.default_rng(seed)) for seed in (18, 19))
    blocks = blocks_of(x)
    together = fit(stack([one, two]), blocks, max_iter=8, tol=0.0)
    for model, side_by_side in zip((one, two), together, strict=True):
        alone = fit(stack([model]), blocks, max_iter=8, tol=0.0)[0]
        np.testing.assert_allclose(alone.trace.objective, side_by_side.trace.objective, rtol=1e-11)


def padded(model: Mixture) -> Mixture:
    """With one more component that takes no part."""
    grow = lambda part: np.concatenate([part, part[:1]])  # noqa: E731
    parameters = type(model.parameters)(
        *(
            part if name == "orientation" else grow(np.asarray(part))
            for name, part in model.parameters._asdict().items()
        )
    )
    return Mixture(model.family, np.append(model.weights, 0.0), parameters, np.append(np.asarray(model.active), False))


@kinds
def test_an_idle_component_changes_nothing(row):
    x = holes(clusters(), 0.2, seed=20)
    model = row.start(x, np.random.default_rng(21))
    alone = fit(stack([model]), blocks_of(x), max_iter=8, tol=0.0)[0]
    beside = fit(stack([padded(model)]), blocks_of(x), max_iter=8, tol=0.0)[0]
    np.testing.assert_allclose(alone.trace.objective, beside.trace.objective, rtol=1e-11)
    assert float(beside.model.weights[-1]) == 0.0


@pytest.mark.parametrize("structure", [pytest.param("VVV", marks=pytest.mark.slow), "VVI"])
def test_curvature_is_the_derivative_of_the_statistics(structure):
    """∂S/∂η · v against central differences, which are off by O(step²) = 1e-8 relative, with room."""
    x = holes(clusters(), 0.3, seed=25)
    model = gaussian_mixture(structure)(x, np.random.default_rng(26)).for_bound()
    blocks = blocks_of(x, split=structure == "VVV")
    rng, natural, step = np.random.default_rng(27), model.natural(), 1e-4
    direction = jax.tree.map(lambda part: 0.1 * np.asarray(part) * rng.normal(size=part.shape), natural)

    def statistics(sign):
        moved = jax.tree.map(lambda part, v: part + sign * step * v, natural, direction)
        total = jax.tree.map(jnp.zeros_like, natural)
        for block in blocks:
            for i in range(block.x.shape[0]):
                piece = jax.tree.map(lambda part: part[i], block)  # noqa: B023
                objective = lambda eta: jnp.sum(piece.weight * model.bound(eta, piece))  # noqa: B023, E731
                total = jax.tree.map(jnp.add, total, jax.grad(objective)(moved))
        return total

    expected = jax.tree.map(lambda up, down: (up - down) / (2 * step), statistics(1), statistics(-1))
    bent = curvature(model, jax.tree.map(lambda v: v[None], direction), blocks)
    for ours, theirs in zip(jax.tree.leaves(bent), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours[0], theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("structure", ["EII", "VII", "EEI", "VEI", "EVI", "VVI"])
def test_a_diagonal_model_equals_the_full_one_with_zero_off_diagonals(structure):
    x = holes(clusters(), 0.25, seed=22)
    rng = lambda: np.random.default_rng(23)  # noqa: E731
    diagonal = gaussian_mixture(structure)(x, rng())
    full = gaussian_mixture(structure, kind=Normal)(x, rng())
    one = fit(stack([diagonal]), blocks_of(x, split=False), max_iter=15, tol=0.0)[0]
    other = fit(stack([full]), blocks_of(x), max_iter=15, tol=0.0)[0]
    np.testing.assert_allclose(one.trace.objective, other.trace.objective, rtol=1e-11)
    np.testing.assert_allclose(one.model.parameters.mean, other.model.parameters.mean, rtol=1e-8, atol=1e-10)


def test_a_column_offset_of_a_million_costs_no_digits():
    """Against SciPy's evaluation by Cholesky factors of the shifted rows: 1e-9 relative."""
    x = clusters(n=60)
    model = gaussian_mixture("VVV")(x + 1e6, np.random.default_rng(24))
    assert isinstance(model.family.frame.location, Fixed)
    location, scale = model.family.frame.location.value, model.family.frame.scale.value
    densities = sum(
        w * multivariate_normal.pdf(x, location - 1e6 + scale * m, np.outer(scale, scale) * c)
        for w, m, c in zip(
            *map(np.asarray, (model.weights, model.parameters.mean, model.parameters.covariance)), strict=True
        )
    )
    total, _ = expectation(stack([model]), blocks_of(x + 1e6))
    np.testing.assert_allclose(float(total[0]), np.log(densities).sum(), rtol=1e-9)
