"""Rotations: stationary points, the covariance kept, other programs' loadings, searches without gradients."""

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.optimize import approx_fprime, minimize, minimize_scalar

from noumena.models import rotation
from noumena.models.rotation import canonical, in_order, rotated

# R's factanal(factors = 2, covmat = ability.cov), varimax; tests of the R package GPArotation, rotations.R.
VARIMAX = np.array(
    [
        [0.499437829039896530, 0.54344904693111962],
        [0.156070079431279873, 0.62153798991197484],
        [0.205786989958578748, 0.85992588538426895],
        [0.108530754440558652, 0.46776101732283504],
        [0.956242470279811574, 0.18209631992182243],
        [0.784768183877880943, 0.22482213687364205],
    ]
)
# GPArotation's oblimin (γ = 0, rows not normalised) of these, in the same file.
OBLIMIN = np.array(
    [
        [0.3863637969729337152, 0.4745113977203344047],
        [-0.0110032278171669998, 0.6458708261423832253],
        [-0.0262888675561207576, 0.8961123879025085781],
        [-0.0180180060207963122, 0.4882918937716873575],
        [0.9900948712271664398, -0.0370729040114848238],
        [0.7905663749272058283, 0.0526099352008769991],
    ]
)


def some_loadings(d: int = 9, q: int = 3, seed: int = 0) -> np.ndarray:
    """Near a simple structure of correlated factors, turned anywhere."""
    rng = np.random.default_rng(seed)
    simple = np.where(np.arange(d)[:, None] % q == np.arange(q), rng.uniform(0.5, 0.9, size=(d, q)), 0)
    simple = simple + rng.normal(size=(d, q)) * 0.1
    between = np.linalg.cholesky(0.3 + 0.7 * np.eye(q))
    return 0.8 * simple @ between @ np.linalg.qr(rng.normal(size=(q, q)))[0]


def unit_rows(loadings: np.ndarray) -> np.ndarray:
    return loadings / np.sqrt(np.sum(loadings**2, axis=1, keepdims=True))


def varimax(loadings: np.ndarray) -> float:
    """Kaiser's criterion, by its own definition: variances of the squared loadings."""
    return float(np.sum(np.var(loadings**2, axis=0)))


def quartimin(loadings: np.ndarray) -> float:
    """Carroll (1953): Σ_j Σ_{k<l} λ_jk² λ_jl²."""
    square = loadings**2
    return float(0.5 * (np.sum(square.sum(axis=1) ** 2) - np.sum(square**2)))


def skew(theta: np.ndarray, q: int) -> np.ndarray:
    out = np.zeros((q, q))
    out[np.tril_indices(q, -1)] = theta
    return out - out.T


@pytest.mark.parametrize("method", ["varimax", "promax", "oblimin"])
@pytest.mark.parametrize(("d", "q"), [(6, 2), (9, 3), (12, 4)])
def test_a_rotation_keeps_the_covariance(method, d, q):
    w = some_loadings(d, q)
    found = rotated(w, method)
    np.testing.assert_allclose(found.loadings @ found.correlations @ found.loadings.T, w @ w.T, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(found.loadings, w @ found.transformation, rtol=1e-12)
    np.testing.assert_allclose(np.diagonal(found.correlations), 1.0, rtol=1e-10)
    inverse = np.linalg.inv(found.transformation)
    np.testing.assert_allclose(found.correlations, inverse @ inverse.T, rtol=1e-9, atol=1e-12)
    if method == "varimax":
        np.testing.assert_allclose(found.correlations, np.eye(q), atol=1e-12)


@pytest.mark.parametrize(("d", "q"), [(6, 2), (9, 3), (12, 4)])
def test_varimax_is_stationary(d, q):
    """No turn exp(A), A skew, changes the criterion to first order; steps of 1e-6 leave 1e-8 of difference."""
    unit = unit_rows(rotated(some_loadings(d, q), "varimax").loadings)
    slope = approx_fprime(np.zeros(q * (q - 1) // 2), lambda a: varimax(unit @ expm(skew(a, q))), 1e-6)
    np.testing.assert_allclose(slope, 0.0, atol=1e-5)
    assert varimax(unit) > varimax(unit_rows(some_loadings(d, q))) + 0.01


@pytest.mark.parametrize(("d", "q"), [(6, 2), (9, 3), (12, 4)])
def test_oblimin_is_stationary(d, q):
    """Over all factors of variance 1: columns of T = M⁻ᵀ of length 1."""
    w = some_loadings(d, q)
    found = rotated(w, "oblimin")
    unit, at = unit_rows(w), np.linalg.inv(found.transformation).T

    def criterion(flat):
        turn = flat.reshape(q, q)
        return quartimin(unit @ np.linalg.inv(turn / np.linalg.norm(turn, axis=0)).T)

    assert criterion(at.ravel()) == pytest.approx(quartimin(unit @ found.transformation), rel=1e-12)
    np.testing.assert_allclose(approx_fprime(at.ravel(), criterion, 1e-6), 0.0, atol=1e-5)


def test_varimax_of_two_factors_by_a_search_over_angles():
    w = some_loadings(8, 2, seed=1)

    def turned(angle):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return unit_rows(w) @ turn

    grid = np.linspace(0, np.pi / 2, 181)  # a quarter turn swaps the factors
    first = grid[np.argmax([varimax(turned(angle)) for angle in grid])]
    best = minimize_scalar(lambda angle: -varimax(turned(angle)), bounds=(first - 0.01, first + 0.01), method="bounded")
    assert varimax(unit_rows(rotated(w, "varimax").loadings)) == pytest.approx(-best.fun, rel=1e-9)


def test_varimax_of_three_factors_by_optimisation_over_skew_matrices():
    w = some_loadings(9, 3, seed=2)
    unit = unit_rows(w)
    tries = [
        minimize(lambda a: -varimax(unit @ expm(skew(a, 3))), start, method="BFGS", options={"gtol": 1e-9}).fun
        for start in np.random.default_rng(3).normal(size=(6, 3))
    ]
    assert varimax(unit_rows(rotated(w, "varimax").loadings)) == pytest.approx(-min(tries), rel=1e-8)


@pytest.mark.parametrize("q", [2, 3])
def test_oblimin_by_optimisation(q):
    w = some_loadings(9, q, seed=4)
    unit = unit_rows(w)

    def criterion(flat):
        turn = flat.reshape(q, q)
        return quartimin(unit @ np.linalg.inv(turn / np.linalg.norm(turn, axis=0)).T)

    rng = np.random.default_rng(5)
    starts = [np.linalg.qr(rng.normal(size=(q, q)))[0].ravel() for _ in range(6)]
    least = min(minimize(criterion, start, method="BFGS", options={"gtol": 1e-9}).fun for start in starts)
    assert quartimin(unit @ rotated(w, "oblimin").transformation) == pytest.approx(least, rel=1e-6)


def test_varimax_of_rs_loadings():
    """R stops where its criterion rises by less than 1e-5 of itself, hence within √1e-5 of the best angle."""
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = in_order(rotated(VARIMAX @ turn, "varimax"))
    np.testing.assert_allclose(found.loadings, VARIMAX, atol=4e-3)
    assert 1 <= varimax(unit_rows(found.loadings)) / varimax(unit_rows(VARIMAX)) < 1 + 1e-4


def test_oblimin_of_the_r_package_gparotation():
    """Printed to 18 digits, its gradient below 1e-5."""
    turn = rotation._descend(lambda t: rotation._oblique(VARIMAX, t), rotation._unit_columns, np.eye(2))
    np.testing.assert_allclose(VARIMAX @ np.linalg.inv(turn).T, OBLIMIN, atol=1e-5)


def test_promax_is_varimax_brought_next_to_its_fourth_powers():
    """The algorithm of R's promax (power 4) written out, on rows of length 1."""
    w = some_loadings(9, 3, seed=6)
    length = np.linalg.norm(w, axis=1, keepdims=True)
    x = unit_rows(rotated(w, "varimax").loadings)
    u = np.linalg.lstsq(x, x * np.abs(x) ** 3, rcond=None)[0]
    u = u @ np.diag(np.sqrt(np.diag(np.linalg.inv(u.T @ u))))
    np.testing.assert_allclose(rotated(w, "promax").loadings, (x @ u) * length, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("method", ["varimax", "promax", "oblimin"])
def test_a_rotation_goes_on_from_one_nearby(method):
    """Loadings moved by little end in little else, from the transformation found before, whatever the factors' order.

    So that standard errors can be taken along the rotation.
    """
    w = some_loadings(9, 3, seed=7)
    found = in_order(rotated(w, method))
    again = rotated(w, method, found.transformation)
    np.testing.assert_allclose(again.loadings, found.loadings, atol=1e-8)
    moved = rotated(w + 1e-6 * np.random.default_rng(8).normal(size=w.shape), method, found.transformation)
    assert 0 < np.abs(moved.loadings - found.loadings).max() < 1e-4


def test_order_and_signs():
    found = rotated(some_loadings(9, 3, seed=9), "oblimin")
    once = in_order(found)
    assert (np.diff(np.sum(once.loadings**2, axis=0)) <= 0).all()
    assert (np.sum(once.loadings**3, axis=0) > 0).all()
    both = (each.loadings @ each.correlations @ each.loadings.T for each in (found, once))
    np.testing.assert_allclose(next(both), next(both), rtol=1e-10, atol=1e-12)


def test_the_canonical_form():
    w, noise = some_loadings(), np.random.default_rng(10).uniform(0.2, 1, size=9)
    turned, turn = canonical(w, noise)
    inner = turned.T @ (turned / noise[:, None])
    np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=1e-12)
    assert (np.diff(np.diag(inner)) < 0).all()
    np.testing.assert_allclose(turn.T @ turn, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(w @ turn, turned)


@pytest.mark.parametrize("method", ["varimax", "promax", "oblimin", None])
def test_nothing_to_turn(method):
    one = some_loadings(5, 1)
    np.testing.assert_array_equal(rotated(one, method).loadings, one)
    with_zero = np.vstack([some_loadings(6, 2), np.zeros(2)])
    found = rotated(with_zero, method)
    np.testing.assert_array_equal(found.loadings[-1], 0.0)
    assert np.isfinite(found.loadings).all()
