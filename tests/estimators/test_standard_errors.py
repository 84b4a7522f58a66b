"""Standard errors against closed forms, the bootstrap and each other."""

import numpy as np
import pytest

import noumena as nm
from blocks import clusters, holes
from noumena.families.covariance import STRUCTURES


def test_one_normal_has_the_textbook_errors():
    """se(μ) = σ/√n and se(σ²) = σ² √(2/n); for covariances (σ_ii σ_jj + σ_ij²)/n."""
    x = clusters(n=500, k=1, seed=1)
    gm = nm.GaussianMixture(1).fit(x)
    errors, s = gm.standard_errors(x), gm.covariances_[0]
    np.testing.assert_allclose(errors.means[0], np.sqrt(np.diag(s) / 500), rtol=1e-6)
    np.testing.assert_allclose(
        errors.covariances[0], np.sqrt((np.outer(np.diag(s), np.diag(s)) + s**2) / 500), rtol=1e-6
    )
    np.testing.assert_allclose(errors.weights, 0.0, atol=1e-12)


def test_missing_cells_cost_information_of_their_column_only():
    """Independent columns, a third of the second one missing: its error is that of the rows observed."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(900, 2))
    x[:300, 1] = np.nan
    gm = nm.GaussianMixture(1, covariance="VVI", tol=1e-10).fit(x)
    errors, s = gm.standard_errors(x), gm.covariances_[0]
    np.testing.assert_allclose(errors.means[0], np.sqrt([s[0, 0] / 900, s[1, 1] / 600]), rtol=1e-4)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_has_finite_errors_with_its_own_number_of_parameters(structure):
    x = holes(clusters(n=300, k=2, seed=5, spread=3.0), 0.1, seed=6)
    gm = nm.GaussianMixture(2, covariance=structure, random_state=0, tol=1e-9, max_iter=5000).fit(x)
    errors = gm.standard_errors(x)
    assert np.isfinite(errors.means).all()
    assert (errors.means > 0).all()
    off_diagonal = errors.covariances[:, ~np.eye(3, dtype=bool)]
    assert (off_diagonal > 0).all() == (structure[2] != "I")


@pytest.mark.parametrize("structure", ["EVE", "VII", "VEV"])
def test_errors_follow_the_units_where_the_structure_does(structure):
    """A common factor of all units scales the errors, whatever the structure is invariant under."""
    x = clusters(n=300, k=2, seed=11, spread=3.0)
    one, other = (
        nm.GaussianMixture(2, covariance=structure, random_state=0, tol=1e-10, max_iter=5000).fit(x * factor)
        for factor in (1.0, 1000.0)
    )
    ours, theirs = one.standard_errors(x), other.standard_errors(x * 1000.0)
    np.testing.assert_allclose(theirs.means, 1000 * ours.means, rtol=1e-4)
    np.testing.assert_allclose(theirs.covariances, 1e6 * ours.covariances, rtol=1e-4)


@pytest.mark.slow
def test_the_bootstrap_agrees_with_the_information():
    """2,000 rows of the model itself: 200 refits give a standard deviation within 4 · 1/√(2·199) = 20% of the truth."""
    truth = nm.GaussianMixture(2, random_state=0).fit(clusters(n=300, k=2, d=2, seed=7, spread=3.0))
    x = holes(truth.sample(2000, random_state=1)[0], 0.3, seed=8)
    gm = nm.GaussianMixture(2, random_state=0, tol=1e-8).fit(x)
    observed = gm.standard_errors(x)
    again = gm.standard_errors(x, method="bootstrap", n_bootstrap=200, random_state=0)
    np.testing.assert_allclose(again.means, observed.means, rtol=0.25)
    np.testing.assert_allclose(again.weights, observed.weights, rtol=0.25)


@pytest.mark.slow
def test_simulated_mixtures_are_recovered_with_30_percent_missing():
    """Means and weights within 4.5 standard errors of the truth: 3 · 4 + 3 numbers, false failure below 1e-4."""
    rng = np.random.default_rng(9)
    means = np.array([[0.0, 0, 0, 0], [4, 4, 0, 0], [0, 4, 4, 4]])
    root = rng.normal(size=(3, 4, 4)) * 0.3 + np.eye(4)
    which = rng.choice(3, size=4000, p=[0.5, 0.3, 0.2])
    x = holes(means[which] + np.einsum("nij,nj->ni", root[which], rng.normal(size=(4000, 4))), 0.3, seed=10)
    gm = nm.GaussianMixture(3, n_init=5, random_state=0, tol=1e-8).fit(x)
    errors = gm.standard_errors(x)
    order = np.argsort(-gm.weights_)
    assert (np.abs(gm.means_[order] - means) < 4.5 * errors.means[order]).all()
    assert (np.abs(gm.weights_[order] - [0.5, 0.3, 0.2]) < 4.5 * errors.weights[order]).all()
