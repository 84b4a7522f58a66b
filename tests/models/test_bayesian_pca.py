"""Bayesian principal components: the bound against quadrature, never falling; factors that switch themselves off."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logsumexp

from blocks import holes
from noumena.core.block import Block
from noumena.core.fit import fit, rounding
from noumena.core.lanes import stack
from noumena.core.result import Status
from noumena.families.factor_starts import principal_start
from noumena.families.factor_structure import FactorStructure
from noumena.families.normal import Frame
from noumena.models.bayesian_pca import MOST, BayesianPCAModel
from noumena.models.factor import FactorModel

pytestmark = pytest.mark.usefixtures("float64")
LOG_2PI = np.log(2 * np.pi)


def table(n: int, d: int, q: int, seed: int = 0, spread: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, q)) @ rng.normal(size=(q, d)) + spread * rng.normal(size=(n, d))


def start_of(x: np.ndarray, q: int, noise: tuple[int, ...] | None = None, complete: bool | None = None):
    d = x.shape[1]
    structure = FactorStructure(q, noise or (0,) * d, floor=1e-6)
    filled = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    scale = np.full(d, filled.std()) if noise is None else filled.std(axis=0)
    covariance = np.cov(filled.T, bias=True) / np.outer(scale, scale)
    known = not np.isnan(x).any() if complete is None else complete
    frame = Frame.of(np.nanmean(x, axis=0), scale)
    return BayesianPCAModel.around(FactorModel(frame, structure, principal_start(covariance, structure), known))


def block_of(x: np.ndarray, complete: bool | None = None) -> Block:
    return Block(x[None], np.ones((1, len(x))), complete=not np.isnan(x).any() if complete is None else complete)


def fitted(x, q, tol=1e-8, accelerate="squarem", noise=None, complete=None):
    start = start_of(x, q, noise, complete)
    return fit(stack([start]), [block_of(x, complete)], max_iter=5000, tol=tol, accelerate=accelerate)[0]


@pytest.mark.parametrize("share", [0.0, 0.2], ids=["complete", "holes"])
@pytest.mark.parametrize("n", [20, 100], ids="{} rows".format)
def test_the_bound_is_the_free_energy_and_lies_below_the_evidence(n, share):
    """d = 2, q = 1: q(z) by quadrature over each z; log p(x | α, μ, ψ) by a grid over both loadings.

    Loadings of either sign are as good, and the posterior has one of them only: the bound misses log 2 at least, and
    not much more where rows are many.
    """
    rng = np.random.default_rng(1)
    x = holes(rng.normal(size=(n, 1)) @ [[1.5, -1.2]] + 0.5 * rng.normal(size=(n, 2)), share, 2)
    x = x[~np.isnan(x).all(axis=1)]
    found = fitted(x, 1)
    assert found.status is Status.CONVERGED
    model, scale = found.model, float(found.model.frame.scale.value[0])
    own, psi = model.parameters, float(model.parameters.noise[0])
    mean, spread = own.loadings[:, 0], np.broadcast_to(model.spread[:, 0, 0], 2)
    u, hole = model.frame.enter_array(x)
    seen, away = 1.0 - hole, np.where(hole, 0.0, u - own.mean)
    constant = -0.5 * seen.sum() * np.log(2 * np.pi * psi * scale**2)

    free_energy = constant
    for row, there in zip(away, seen, strict=True):

        def integrand(z, row=row, there=there):
            error = there @ ((row - mean * z) ** 2 + spread * z**2)
            return np.exp(-0.5 * error / psi - 0.5 * z**2) / np.sqrt(2 * np.pi)

        free_energy += np.log(quad(integrand, -12, 12, epsabs=0, epsrel=1e-11, limit=200)[0])
    alpha = float(model.relevance[0])
    kl = 0.5 * np.sum(alpha * (mean**2 + spread) - 1 - np.log(alpha * spread))
    assert found.objective == pytest.approx(free_energy - kl, rel=1e-9)

    # w = (w₁, w₂): log N(x | 0, wwᵀ + ψI) of the observed cells by the matrix inversion lemma
    grid = np.linspace(-6, 6, 601) / np.sqrt(min(alpha, 1.0)) / 2
    step = grid[1] - grid[0]
    w = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    inner = 1 + w**2 @ seen.T / psi  # (grid, rows)
    fit_of = np.sum(away**2, axis=1) / psi - (w @ away.T) ** 2 / psi**2 / inner
    log_joint = constant - 0.5 * (fit_of + np.log(inner)).sum(axis=1)
    log_joint += np.log(alpha) - LOG_2PI - 0.5 * alpha * np.sum(w**2, axis=1)
    evidence = logsumexp(log_joint) + 2 * np.log(step)
    gap = evidence - found.objective
    assert 0.99 * np.log(2) < gap < (2 if n == 100 else 3)


@pytest.mark.parametrize("share", [0.0, 0.2], ids=["complete", "holes"])
@pytest.mark.parametrize("noise", [None, tuple(range(6))], ids=["isotropic", "diagonal"])
@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_the_bound_never_falls(share, noise, accelerate):
    x = holes(table(80, 6, 2, seed=3), share, 4)
    found = fit(stack([start_of(x, 5, noise)]), [block_of(x)], max_iter=150, tol=0.0, accelerate=accelerate)[0]
    kept = found.trace.objective[found.trace.accepted]
    assert np.diff(kept).min() >= -10 * rounding(np.array([found.objective]))[0]  # α of 1e10 times what is 1e-10
    assert kept[-1] - kept[0] > 5.0


@pytest.mark.parametrize("share", [0.0, 0.2], ids=["complete", "holes"])
@pytest.mark.parametrize("noise", [None, tuple(range(6))], ids=["isotropic", "diagonal"])
def test_no_step_from_anywhere_falls(share, noise):
    """α leaps as MacKay has it only where the bound allows: 40 models far from any maximum."""
    x = holes(table(40, 6, 2, seed=10), share, 11)
    rng = np.random.default_rng(12)
    for _ in range(40):
        start = start_of(x, 3, noise)
        own = start.parameters._replace(loadings=rng.normal(size=(6, 3)) * np.exp(rng.normal(size=3)))
        spread = start.spread * 1e6 * np.exp(rng.normal())
        model = BayesianPCAModel(
            start.frame, start.structure, own, start.complete, spread, np.exp(3 * rng.normal(size=3))
        )
        value, stats = model.gather(model.natural(), block_of(x))
        after = model.update(stats)
        gain = after.gather(after.natural(), block_of(x))[0] + after.log_prior() - value - model.log_prior()
        assert gain > 0


@pytest.mark.parametrize("share", [0.0, 0.2], ids=["complete", "holes"])
def test_the_end_is_a_maximum_in_every_direction(share):
    """Means, loadings, their spread, precisions, noise: Newton steps along random directions are small.

    The frame lies off the columns' means, so that the means are not 0 in it.
    """
    x = holes(table(80, 5, 2, seed=13), share, 14)
    start = start_of(x, 2)
    frame = Frame.of(np.nanmean(x, axis=0) + 0.5, np.asarray(start.frame.scale.value))
    moved = BayesianPCAModel(frame, start.structure, start.parameters, start.complete, start.spread, start.relevance)
    model = fit(stack([moved]), [block_of(x)], max_iter=5000, tol=1e-12)[0].model
    own, rng = model.parameters, np.random.default_rng(15)
    for part in range(5):
        size = [float(part == i) for i in range(5)]
        mean, loadings, root = rng.normal(size=5), rng.normal(size=(5, 2)), rng.normal(size=(2, 2))
        between, noise = rng.normal(size=2), rng.normal()

        def along(step, mean=mean, loadings=loadings, root=root, between=between, noise=noise, size=size):
            parameters = own._replace(
                mean=own.mean + step * size[0] * mean,
                loadings=own.loadings + step * size[1] * loadings,
                noise=own.noise * np.exp(step * size[4] * noise),
            )
            turn = np.eye(2) + step * size[2] * root
            spread = turn @ model.spread @ turn.T
            relevance = model.relevance * np.exp(step * size[3] * between)
            other = BayesianPCAModel(frame, model.structure, parameters, model.complete, spread, relevance)
            return other.gather(other.natural(), block_of(x))[0] + other.log_prior()

        below, at, above = (along(step) for step in (-1e-3, 0.0, 1e-3))
        slope, curvature = (above - below) / 2e-3, (above - 2 * at + below) / 1e-6
        assert curvature < 0
        assert abs(slope / curvature) < 1e-4, part


@pytest.mark.parametrize("noise", [None, tuple(range(6))], ids=["isotropic", "diagonal"])
def test_complete_rows_may_go_the_way_of_rows_with_holes(noise):
    """One gram for all columns, and one covariance of loadings for all where noise is equal, or one for each."""
    x = table(60, 6, 2, seed=5)
    fast, general = (fitted(x, 3, tol=1e-6, noise=noise, complete=known) for known in (True, False))
    assert len(fast.model.spread) == (1 if noise is None else 6)
    assert len(general.model.spread) == 6
    assert fast.objective == pytest.approx(general.objective, abs=1e-4)
    np.testing.assert_allclose(fast.model.covariance(), general.model.covariance(), rtol=1e-2, atol=1e-2)


def test_factors_without_use_are_certain_to_be_nothing():
    x = table(300, 8, 3, seed=6)
    model = fitted(x, 7).model
    assert len(model.kept()) == 3
    np.testing.assert_array_equal(np.sort(model.relevance)[-4:] > 1e3, True)
    assert (np.diff(np.sum(model.parameters.loadings[:, model.kept()] ** 2, axis=0)) <= 0).all()


def test_a_factor_switched_off_changes_nothing_else():
    x = table(60, 4, 2, seed=7)
    model = fitted(x, 3).model
    last = int(model.kept()[-1])
    without = model.without(last)
    others = np.arange(3) != last
    np.testing.assert_array_equal(without.parameters.loadings[:, others], model.parameters.loadings[:, others])
    np.testing.assert_array_equal(without.parameters.loadings[:, last], 0.0)
    assert without.relevance[last] == MOST
    assert last not in without.kept()
    assert np.isfinite(without.log_prior())


def test_a_prior_of_no_weight_leaves_principal_components():
    """With rows enough the posterior is narrow around the closed form: O(1/n) away."""
    x = table(20_000, 5, 2, seed=8)
    model = fitted(x, 2).model
    best = principal_start(np.cov(x.T, bias=True) / np.asarray(model.frame.scale.value)[0] ** 2, model.structure)
    ours, closed = model.parameters.loadings, best.loadings
    np.testing.assert_allclose(ours @ ours.T, closed @ closed.T, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(model.parameters.noise, best.noise, rtol=2e-3)


def test_statistics_of_no_rows_are_taken_back():
    x = table(60, 4, 2, seed=9)
    model = start_of(x, 2)
    _, stats = model.gather(model.natural(), block_of(x))
    impossible = stats._replace(factor=stats.factor._replace(gram=-100 * stats.factor.gram))
    lost = model.update(impossible)
    assert np.isnan(lost.gather(lost.natural(), block_of(x))[0] + lost.log_prior())
