"""Mixtures of factor analysers: their parts, densities by brute force, clusters, answers, bad input."""

import jax
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import noumena as nm
from blocks import holes


def table(n: int = 400, d: int = 6, seed: int = 0, missing: float = 0.0, apart: float = 3.0):
    """Two clusters, each with a factor of its own; the cluster of each row."""
    rng = np.random.default_rng(seed)
    z = rng.integers(2, size=n)
    loadings, centre = rng.normal(size=(2, d)), rng.normal(size=(2, d)) * apart
    x = centre[z] + rng.normal(size=(n, 1)) * loadings[z] + 0.5 * rng.normal(size=(n, d))
    return holes(x, missing, seed + 1), z


def one_cluster(missing: float) -> np.ndarray:
    """Two factors, columns of variance 1."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6)) + rng.normal(size=(300, 6))
    x = holes(x, missing, 3)
    return x / np.nanstd(x, axis=0)


def densities(mfa, x: np.ndarray) -> np.ndarray:
    """log π_k p(x_observed | k), shape (n, K), by SciPy."""
    out = np.tile(np.log(mfa.weights_), (len(x), 1))
    for n, row in enumerate(x):
        seen = ~np.isnan(row)
        for k in range(len(mfa.weights_)):
            if seen.any():
                within = mfa.covariances_[k][np.ix_(seen, seen)]
                out[n, k] += stats.multivariate_normal.logpdf(row[seen], mfa.means_[k][seen], within)
    return out


@pytest.mark.parametrize("missing", [0.0, 0.2], ids=["complete", "holes"])
@pytest.mark.parametrize(
    "noise", ["diagonal", "isotropic", [0, 0, 1, 1, 2, 2]], ids=["diagonal", "isotropic", "grouped"]
)
def test_one_component_is_factor_analysis(missing, noise):
    x = one_cluster(missing)
    mixture = nm.MixtureOfFactorAnalyzers(1, n_factors=2, noise_structure=noise, tol=1e-8).fit(x)
    fa = nm.FactorAnalysis(2, noise_structure=noise, min_noise=1e-6, tol=1e-8).fit(x)
    assert mixture.log_likelihood_ == pytest.approx(fa.log_likelihood_, rel=1e-9)
    assert mixture.n_parameters_ == fa.n_parameters_
    np.testing.assert_allclose(mixture.covariances_[0], fa.get_covariance(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(mixture.impute(x), fa.impute(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("missing", [0.0, 0.25], ids=["complete", "holes"])
def test_the_density_by_brute_force(missing):
    x, z = table(missing=missing)
    mfa = nm.MixtureOfFactorAnalyzers(2, n_factors=1, random_state=0).fit(x)
    joint = densities(mfa, x)
    rows = np.logaddexp.reduce(joint, axis=1)
    np.testing.assert_allclose(mfa.score_samples(x), rows, rtol=1e-10, atol=1e-10)
    assert mfa.log_likelihood_ == pytest.approx(rows.sum(), rel=1e-11)
    np.testing.assert_allclose(mfa.predict_proba(x), np.exp(joint - rows[:, None]), rtol=1e-7, atol=1e-12)
    own = mfa.loadings_ @ mfa.loadings_.swapaxes(1, 2) + mfa.noise_variance_[:, :, None] * np.eye(6)
    np.testing.assert_allclose(own, mfa.covariances_, rtol=1e-10)
    assert max((mfa.predict(x) == z).mean(), (mfa.predict(x) != z).mean()) > 0.97


def test_factors_enough_are_a_gaussian_mixture():
    """Two factors of three columns are a full covariance in each component."""
    x, z = table(d=3, missing=0.1)
    settings = {"n_components": 2, "init_params": z, "tol": 1e-8, "max_iter": 20_000}
    mfa = nm.MixtureOfFactorAnalyzers(n_factors=2, **settings).fit(x)
    gm = nm.GaussianMixture(**settings).fit(x)
    assert mfa.n_parameters_ == gm.n_parameters_
    assert mfa.log_likelihood_ == pytest.approx(gm.log_likelihood_, abs=1e-4)
    np.testing.assert_allclose(mfa.covariances_, gm.covariances_, rtol=1e-2, atol=1e-2)


def test_rows_to_come_may_have_holes_where_those_of_the_fit_had_none():
    x, _ = table()
    mfa = nm.MixtureOfFactorAnalyzers(2, random_state=0).fit(x)
    few, _ = table(missing=0.4)
    np.testing.assert_allclose(
        mfa.score_samples(few), np.logaddexp.reduce(densities(mfa, few), axis=1), rtol=1e-9, atol=1e-10
    )
    assert mfa.score_samples(np.full((1, 6), np.nan))[0] == pytest.approx(0.0, abs=1e-12)


def test_filled_cells_are_conditional_means():
    x, _ = table(missing=0.2)
    mfa = nm.MixtureOfFactorAnalyzers(2, random_state=0).fit(x)
    filled, posterior = mfa.impute(x), mfa.predict_proba(x)
    for n in range(20):
        seen = ~np.isnan(x[n])
        expected = np.zeros(6)
        for k in range(2):
            s = mfa.covariances_[k]
            gain = np.linalg.solve(s[np.ix_(seen, seen)], (x[n] - mfa.means_[k])[seen])
            expected += posterior[n, k] * (mfa.means_[k] + s[:, seen] @ gain)
        np.testing.assert_allclose(filled[n], np.where(seen, x[n], expected), rtol=1e-8, atol=1e-9)
    assert len(mfa.impute(x, draws=2, random_state=0)) == 2


def test_weights_are_repetitions():
    x, z = table(n=200, missing=0.1)
    weight = np.random.default_rng(1).integers(0, 3, size=len(x))
    settings = {"n_components": 2, "max_iter": 15, "tol": 0.0, "accelerate": None}
    weighted = nm.MixtureOfFactorAnalyzers(init_params=z, **settings).fit(x, sample_weight=weight)
    repeated = nm.MixtureOfFactorAnalyzers(init_params=np.repeat(z, weight), **settings).fit(
        np.repeat(x, weight, axis=0)
    )
    np.testing.assert_allclose(weighted.trace_.objective, repeated.trace_.objective, rtol=1e-9)


@pytest.mark.parametrize("missing", [0.0, 0.1], ids=["complete", "holes"])
def test_standard_errors_of_one_component_are_those_of_factor_analysis(missing):
    """Of what no turn of the factors changes: means, noise, covariances."""
    x = one_cluster(missing)
    mixture = nm.MixtureOfFactorAnalyzers(1, n_factors=2, tol=1e-9).fit(x)
    fa = nm.FactorAnalysis(2, min_noise=1e-6, tol=1e-9).fit(x)
    ours, theirs = mixture.standard_errors(x), fa.standard_errors(x)
    np.testing.assert_allclose(ours.means[0], theirs.mean, rtol=1e-4)
    np.testing.assert_allclose(ours.noise_variance[0], theirs.noise_variance, rtol=1e-3)
    variance = np.sqrt((2 if missing == 0 else 2 / 0.9) / 300)  # of σ_jj, where nothing is missing and in about
    np.testing.assert_allclose(np.diagonal(ours.covariances[0]), variance, rtol=1e-6 if missing == 0 else 0.1)


def test_the_number_of_components_is_selected():
    x, _ = table()
    best = nm.select(nm.MixtureOfFactorAnalyzers(n_factors=1, n_init=3, random_state=0), x, n_components=[1, 2, 3])
    assert best.estimator_.n_components == 2
    rows, component = best.estimator_.sample(5000, random_state=0)
    assert rows.shape == (5000, 6)
    np.testing.assert_allclose(np.bincount(component) / 5000, best.estimator_.weights_, atol=5 * 0.5 / np.sqrt(5000))


def test_a_stored_model_is_the_model(tmp_path):
    x, _ = table(missing=0.1)
    frame = pd.DataFrame(x, columns=list("abcdef"))
    mfa = nm.MixtureOfFactorAnalyzers(2, n_factors=2, noise_structure="isotropic", random_state=0).fit(frame)
    mfa.save(tmp_path / "model")
    loaded = nm.load(tmp_path / "model")
    assert loaded.get_params() == mfa.get_params()
    np.testing.assert_array_equal(loaded.predict_proba(frame), mfa.predict_proba(frame))
    for name in ("means_", "loadings_", "noise_variance_", "covariances_", "weights_"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(mfa, name))
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(loaded._model))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"n_factors": 7}, "n_factors=7 is too many for 6 columns"),
        ({"min_noise": 0.0}, "min_noise=0.0 is a share"),
        ({"min_noise": 1.0}, "min_noise=1.0 is a share"),
        ({"noise_structure": "VVV"}, "noise_structure='VVV'"),
        ({"n_components": 0}, "n_components"),
    ],
)
def test_parameters_that_cannot_be(parameters, words):
    with pytest.raises(ValueError, match=words):
        nm.MixtureOfFactorAnalyzers(**parameters).fit(table()[0])


def test_columns_that_say_nothing():
    x, _ = table()
    for value, words in ((np.nan, "'x6' has no observed value"), (3.0, "'x6' .always 3. is constant")):
        with pytest.raises(nm.DataError, match=words):
            nm.MixtureOfFactorAnalyzers(2).fit(np.column_stack([x, np.full(len(x), value)]))


def test_a_component_without_noise_is_named():
    """Thirty rows on a line: a spike, not a cluster."""
    x, _ = table(n=200)
    x[:30] = np.linspace(20, 30, 30)[:, None] * np.arange(1, 7)
    frame = pd.DataFrame(x, columns=list("abcdef"))
    start = (np.arange(200) < 30).astype(int)
    with pytest.warns(nm.DegenerateWarning, match=r"component 1 .30.0 rows. has no noise left in 'a'"):
        mfa = nm.MixtureOfFactorAnalyzers(2, init_params=start).fit(frame)
    assert mfa.status_ is nm.Status.DEGENERATE
    assert np.isfinite(mfa.log_likelihood_)
