"""The factor model: its E-step by hand against the gradient of its bound, EM that never falls, closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from blocks import holes
from noumena.core.block import Block
from noumena.core.fit import fit, rounding
from noumena.core.lanes import stack
from noumena.core.result import Status
from noumena.families.factor_starts import principal_start
from noumena.families.factor_structure import FactorParameters, FactorStructure
from noumena.families.normal import Frame
from noumena.models.bayesian_pca import BayesianPCAModel
from noumena.models.factor import FactorModel, latents, runs

pytestmark = pytest.mark.usefixtures("float64")

D = 6
MASK = tuple((k == 0, k == 1 or j == 2) for j, k in enumerate((0, 0, 0, 1, 1, 1)))
STRUCTURES = {
    "diagonal": FactorStructure(2, tuple(range(D))),
    "isotropic": FactorStructure(2, (0,) * D),
    "grouped": FactorStructure(2, (0, 0, 1, 1, 2, 2)),
    "pattern": FactorStructure(2, tuple(range(D)), MASK),
    "pattern, uncorrelated, isotropic": FactorStructure(2, (0,) * D, MASK, correlated=False),
}
structures = pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
missing = pytest.mark.parametrize("share", [0.0, 0.25], ids=["complete", "holes"])


def table(n: int = 150, seed: int = 0, spread: float = 0.6) -> np.ndarray:
    """Two correlated factors, which the columns of `MASK` show."""
    rng = np.random.default_rng(seed)
    z = rng.multivariate_normal([0, 0], [[1, 0.4], [0.4, 1]], size=n)
    loadings = rng.uniform(0.5, 1.5, size=(D, 2)) * np.asarray(MASK)
    units = np.array([1.0, 10.0, 0.1, 3.0, 1.0, 50.0])
    return (z @ loadings.T + spread * rng.normal(size=(n, D)) + 1) * units


def start_of(x: np.ndarray, structure: FactorStructure, seed: int = 1) -> FactorModel:
    """Somewhere, in the frame that the estimators would take."""
    rng = np.random.default_rng(seed)
    groups = structure.groups
    scale = np.sqrt((np.nanvar(x, axis=0) @ groups / groups.sum(axis=0))[list(structure.noise)])
    loadings = rng.normal(size=(D, 2)) * (1 if structure.free is None else np.asarray(structure.free))
    between = 0.3 if structure.free is None or structure.correlated else 0.0
    noise = rng.uniform(0.3, 1, size=len(groups.T))[list(structure.noise)]
    parameters = FactorParameters(
        rng.normal(size=D) * 0.1, loadings, noise, np.array([[1.2, between], [between, 0.8]]), np.zeros(D, dtype=bool)
    )
    return FactorModel(Frame.of(np.nanmean(x, axis=0), scale), structure, parameters, not np.isnan(x).any())


def uncertain(model: FactorModel, seed: int = 2) -> BayesianPCAModel:
    """The same with a posterior of loadings that is not narrow."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(D, 2, 2)) * 0.3
    spread = root @ root.swapaxes(1, 2) + 0.05 * np.eye(2)
    own = model.parameters._replace(latent=np.eye(2))
    return BayesianPCAModel(model.frame, model.structure, own, model.complete, spread, np.array([1.5, 0.4]))


def block_of(x: np.ndarray, weight: np.ndarray | None = None) -> Block:
    w = np.ones(len(x)) if weight is None else weight
    return Block(x[None], w[None], complete=not np.isnan(x).any())


@structures
@missing
@pytest.mark.parametrize("bayesian", [False, True], ids=["certain", "spread"])
def test_the_e_step_by_hand_is_value_and_gradient_of_the_bound(structure, share, bayesian, monkeypatch):
    """Sums of 150 terms of size up to 100: n · eps · size of a term, with room."""
    monkeypatch.setattr("noumena.models.factor._RUN", 1000)  # several runs of rows
    x = holes(table(), share, 3)
    model = start_of(x, structure)
    if bayesian:
        model = uncertain(model)
    weight = np.random.default_rng(4).integers(0, 3, size=len(x)).astype(float)
    block, natural = block_of(x, weight), model.natural()
    assert len(runs(model, len(x))) > 1
    total, stats = model.gather(natural, block)

    @jax.jit
    def objective(natural):
        return jnp.sum(weight * model.bound(natural, Block(x, weight, complete=block.complete)))

    expected, slope = jax.value_and_grad(objective)(natural)
    np.testing.assert_allclose(total, expected, rtol=1e-12)
    for ours, theirs in zip(jax.tree.leaves(stats), jax.tree.leaves(slope), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * np.abs(theirs).max())


@structures
def test_the_bound_is_the_log_density(structure):
    x = holes(table(n=40), 0.3, 5)
    model = start_of(x, structure)
    location = np.asarray(model.frame.location.value)
    mean = location + np.asarray(model.frame.scale.value) * model.parameters.mean
    covariance, expected = model.covariance(), 0.0
    for row in x:
        seen = ~np.isnan(row)
        if seen.any():
            expected += multivariate_normal.logpdf(row[seen], mean[seen], covariance[np.ix_(seen, seen)])
    total, _ = model.gather(model.natural(), block_of(x))
    np.testing.assert_allclose(total, expected, rtol=1e-12)


@structures
@missing
@pytest.mark.parametrize("accelerate", [None, "squarem", "anderson"])
def test_em_never_falls(structure, share, accelerate):
    """Parameter-expanded EM and its extrapolations: accepted steps only go up."""
    x = holes(table(), share, 6)
    found = fit(stack([start_of(x, structure)]), [block_of(x)], max_iter=60, tol=0.0, accelerate=accelerate)[0]
    kept = found.trace.objective[found.trace.accepted]
    size = found.model.magnitude(found.model.gather(found.model.natural(), block_of(x))[1])
    assert np.diff(kept).min() >= -max(rounding(np.array([found.objective]))[0], 4 * np.finfo(float).eps * size)
    assert kept[-1] - kept[0] > 10.0
    assert found.status is Status.COMPLETED


@structures
@missing
def test_acceleration_ends_where_em_does(structure, share):
    x = holes(table(n=200, seed=7), share, 8)
    x /= np.nanstd(x, axis=0)
    plain, fast = (
        fit(stack([start_of(x, structure)]), [block_of(x)], max_iter=20_000, tol=1e-7, accelerate=how)[0]
        for how in (None, "squarem")
    )
    assert plain.status is fast.status is Status.CONVERGED
    assert len(fast.trace) < len(plain.trace)
    assert fast.objective == pytest.approx(plain.objective, abs=1e-5)
    np.testing.assert_allclose(fast.model.covariance(), plain.model.covariance(), rtol=1e-2, atol=1e-2)


def test_factors_of_a_wrong_scale_do_not_creep():
    """With Φ held at the identity, plain EM takes nearly twice as many steps to the same maximum."""
    x = table(n=400, seed=7, spread=2.0)
    model = start_of(x, STRUCTURES["diagonal"])
    own = model.parameters._replace(loadings=10 * model.parameters.loadings, latent=np.eye(2))

    class Held(FactorModel):
        def update(self, stats):
            updated = super().update(stats)
            return eqx.tree_at(lambda own: own.parameters, self, updated.parameters._replace(latent=np.eye(2)))

    expanded, plain = (
        fit(stack([kind(model.frame, model.structure, own, True)]), [block_of(x)], max_iter=20_000, tol=1e-8)[0]
        for kind in (FactorModel, Held)
    )
    assert expanded.objective == pytest.approx(plain.objective, abs=1e-6)
    assert len(expanded.trace) < 0.7 * len(plain.trace)


def test_em_ends_at_the_closed_form_of_equal_noise():
    """Tipping & Bishop (1999): from a start far off, to the eigenvectors and eigenvalues."""
    x = table(n=300, seed=9)
    structure = STRUCTURES["isotropic"]
    model = start_of(x, structure)
    found = fit(stack([model]), [block_of(x)], max_iter=20_000, tol=1e-12, accelerate="squarem")[0]
    u = (x - x.mean(axis=0)) / np.asarray(model.frame.scale.value)
    best = principal_start(np.cov(u.T, bias=True), structure)
    own = found.model.parameters
    np.testing.assert_allclose(own.noise, best.noise, rtol=1e-6)
    np.testing.assert_allclose(
        own.loadings @ own.latent @ own.loadings.T, best.loadings @ best.loadings.T, rtol=1e-4, atol=1e-5
    )
    closed = eqx.tree_at(lambda own: own.parameters, model, best)
    at_best, _ = closed.gather(closed.natural(), block_of(x))
    # gains end at rounding, 256 ε |F| = 3e-10; what a linear rate of up to 0.9995 still leaves then is 2,000 times that
    assert found.objective == pytest.approx(at_best, abs=1e-6)


def test_statistics_of_no_rows_are_taken_back():
    """Extrapolation may leave the moments that rows can have; a determinant alone would not tell."""
    x = table()
    model = start_of(x, STRUCTURES["diagonal"])
    _, stats = model.gather(model.natural(), block_of(x))
    impossible = stats._replace(factor=stats.factor._replace(latent=-stats.factor.latent))
    assert np.linalg.det(impossible.factor.latent) > 0
    lost = model.update(impossible)
    value, found = lost.gather(lost.natural(), block_of(x))
    assert np.isnan(value)
    assert jax.tree.structure(found) == jax.tree.structure(stats)


@pytest.mark.parametrize("q", [2, 3], ids="{} factors".format)
@missing
def test_digits_where_the_factors_explain_nearly_all(q, share):
    """Noise of 1e-8 of the variance: M has eigenvalues from 1 to 1e8, and terms of 1e8 cancel in each row.

    Against normal densities whose covariances are formed; their own condition of 1e8 leaves 1e-8 relative.
    """
    x = holes(table(n=60, spread=1e-4) / np.array([1.0, 10.0, 0.1, 3.0, 1.0, 50.0]), share, 10)
    rng = np.random.default_rng(11)
    loadings = np.column_stack([np.linalg.svd(np.nan_to_num(x - 1))[2][:2].T, np.zeros((D, q - 2))])
    loadings = loadings @ np.linalg.qr(rng.normal(size=(q, q)))[0]
    parameters = FactorParameters(np.zeros(D), loadings, np.full(D, 1e-8), np.eye(q), np.zeros(D, dtype=bool))
    structure = FactorStructure(q, tuple(range(D)))
    model = FactorModel(Frame.of(np.ones(D), np.ones(D)), structure, parameters, share == 0)
    u, hole = model.frame.enter_array(x)
    found = latents(model.natural(), u, 1.0 - hole if share else None)
    for row, ours, mean in zip(x, found.log_density, found.mean, strict=True):
        seen = ~np.isnan(row)
        w, r = np.longdouble(loadings[seen]), np.longdouble(row[seen] - 1)
        precision = np.eye(q) + (w.T @ w) * np.longdouble(1e8)
        z = _solved(precision, (w.T @ r) * np.longdouble(1e8))
        np.testing.assert_allclose(mean, z.astype(float), rtol=1e-6, atol=1e-7)
        fit = ((r - w @ z) ** 2).sum() * np.longdouble(1e8) + z @ z
        logdet = np.linalg.slogdet(precision.astype(float))[1] + seen.sum() * np.log(2 * np.pi * 1e-8)
        assert ours == pytest.approx(float(-0.5 * (fit + logdet)), rel=1e-7, abs=1e-5)


def _solved(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Gauss–Jordan in extended precision, which LAPACK has not."""
    both = np.column_stack([a, b])
    for i in range(len(a)):
        both[i] /= both[i, i]
        for j in set(range(len(a))) - {i}:
            both[j] -= both[j, i] * both[i]
    return both[:, -1]


@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-4])
@missing
def test_tables_of_low_rank_do_not_seem_to_fall(noise, share):
    """One factor too many, and noise of nearly nothing: the floor or rounding, never a fall."""
    rng = np.random.default_rng(12)
    x = rng.normal(size=(200, 2)) @ rng.normal(size=(2, D)) + noise * rng.normal(size=(200, D))
    x = holes(x, share, 13)
    structure = FactorStructure(3, (0,) * D)
    covariance = np.cov(np.nan_to_num(x).T, bias=True)
    start = FactorModel(
        Frame.of(np.nanmean(x, axis=0), np.full(D, np.nanstd(x))),
        structure,
        principal_start(covariance / np.nanvar(x), structure),
        share == 0,
    )
    found = fit(stack([start]), [block_of(x)], max_iter=500, tol=1e-6, accelerate="squarem")[0]
    assert found.status is Status.CONVERGED
    assert (found.model.parameters.noise < 1e-3).all()
