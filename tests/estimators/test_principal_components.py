"""Probabilistic and Bayesian principal components as estimators."""

import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.decomposition import PCA

import noumena as nm
from blocks import holes
from noumena.estimators.bayesian_pca import BayesianPCA
from noumena.estimators.factor_estimator import FactorEstimator


def table(n: int = 300, d: int = 6, q: int = 2, seed: int = 0, missing: float = 0.0, spread: float = 0.4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, q)) @ rng.normal(size=(q, d)) + spread * rng.normal(size=(n, d)) + 5
    return holes(x, missing, seed + 1)


def log_likelihood(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
    total = 0.0
    for row in x:
        seen = ~np.isnan(row)
        if seen.any():
            total += stats.multivariate_normal.logpdf(row[seen], mean[seen], covariance[np.ix_(seen, seen)])
    return total


# ------------------------------------------------------------------------------------------- probabilistic components


def test_complete_rows_have_a_closed_form():
    """Tipping & Bishop (1999): scikit-learn's axes, eigenvalues and log likelihood, which divides by n − 1, not n."""
    x = table()
    pca, peer = nm.ProbabilisticPCA(2).fit(x), PCA(2, svd_solver="full").fit(x)
    shorter = 299 / 300
    np.testing.assert_allclose(pca.explained_variance_, peer.explained_variance_ * shorter, rtol=1e-10)
    np.testing.assert_allclose(pca.explained_variance_ratio_, peer.explained_variance_ratio_, rtol=1e-10)
    assert pca.noise_variance_ == pytest.approx(peer.noise_variance_ * shorter, rel=1e-10)
    axes = pca.loadings_ / np.linalg.norm(pca.loadings_, axis=0)
    np.testing.assert_allclose(np.abs(np.sum(axes * peer.components_.T, axis=0)), 1.0, rtol=1e-12)
    np.testing.assert_allclose(pca.get_covariance(), peer.get_covariance() * shorter, rtol=1e-9, atol=1e-9)
    assert pca.log_likelihood_ == pytest.approx(log_likelihood(x, x.mean(axis=0), pca.get_covariance()), rel=1e-12)
    assert pca.n_iter_ <= 3  # EM finds nothing to do


def test_scores_are_shrunk_projections():
    """E[z | x] = M⁻¹Wᵀ(x − μ): scikit-learn's scores times √(λ − σ²)/λ."""
    x = table()
    pca, peer = nm.ProbabilisticPCA(2).fit(x), PCA(2, svd_solver="full").fit(x)
    shrunk = peer.transform(x) * np.sqrt(pca.explained_variance_ - pca.noise_variance_) / pca.explained_variance_
    sign = np.sign(np.sum(shrunk * pca.transform(x), axis=0))
    np.testing.assert_allclose(pca.transform(x), shrunk * sign, rtol=1e-8, atol=1e-10)


def test_missing_cells_by_brute_force():
    x = table(missing=0.3)
    pca = nm.ProbabilisticPCA(2, tol=1e-9).fit(x)
    assert pca.converged_
    assert pca.log_likelihood_ == pytest.approx(log_likelihood(x, pca.mean_, pca.get_covariance()), rel=1e-11)
    inner = pca.loadings_.T @ pca.loadings_
    assert abs(inner[0, 1]) < 1e-9 * inner[0, 0]
    assert inner[0, 0] > inner[1, 1]
    # at a maximum: no lower anywhere near
    rng = np.random.default_rng(1)
    for _ in range(5):
        loadings = pca.loadings_ + 0.02 * rng.normal(size=(6, 2))
        assert (
            log_likelihood(x, pca.mean_, loadings @ loadings.T + pca.noise_variance_ * np.eye(6)) < pca.log_likelihood_
        )


def rows_of_covariance(n: int, covariance: np.ndarray, seed: int = 0) -> np.ndarray:
    """Rows whose covariance (divided by n) is exactly that."""
    x = np.random.default_rng(seed).normal(size=(n, len(covariance)))
    x -= x.mean(axis=0)
    return x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / n)).T @ np.linalg.cholesky(covariance).T


def test_standard_errors_are_those_of_eigenvalues_and_axes():
    """Anderson (1963), Ann. Math. Stat. 34:122, where the other eigenvalues are known to be equal."""
    n, noise, values = 400, 0.5, np.array([6.0, 2.5])
    axes = np.linalg.qr(np.random.default_rng(3).normal(size=(5, 5)))[0]
    spectrum = np.array([*values, noise, noise, noise])
    x = rows_of_covariance(n, axes * spectrum @ axes.T)
    pca = nm.ProbabilisticPCA(2).fit(x)
    errors = pca.standard_errors(x)
    np.testing.assert_allclose(errors.mean, np.sqrt(np.diag(pca.get_covariance()) / n), rtol=1e-6)
    np.testing.assert_allclose(errors.explained_variance, values * np.sqrt(2 / n), rtol=1e-5)
    variance_of_noise = 2 * noise**2 / (3 * n)
    assert float(errors.noise_variance) == pytest.approx(np.sqrt(variance_of_noise), rel=1e-5)
    for j, (value, error) in enumerate(zip(values, errors.loadings.T, strict=True)):
        other = np.arange(5) != j
        turning = (axes[:, other] ** 2) @ (value * spectrum[other] / (value - spectrum[other]) ** 2) / n
        length = (2 * value**2 / n + variance_of_noise) / (4 * (value - noise))
        np.testing.assert_allclose(error**2, (value - noise) * turning + axes[:, j] ** 2 * length, rtol=1e-4)
    # shares, by the delta method from the eigenvalues
    total = spectrum.sum()
    slope = -np.outer(values, [1, 1, 3]) / total**2
    slope[[0, 1], [0, 1]] += 1 / total
    np.testing.assert_allclose(
        errors.explained_variance_ratio**2, slope**2 @ [*(2 * values**2 / n), variance_of_noise], rtol=1e-5
    )


def test_standard_errors_grow_with_what_is_missing_and_follow_units():
    x = table(missing=0.3)
    pca = nm.ProbabilisticPCA(2, tol=1e-9).fit(x)
    errors = pca.standard_errors(x)
    whole = table()
    complete = nm.ProbabilisticPCA(2).fit(whole).standard_errors(whole)
    assert (errors.mean > complete.mean).all()
    assert errors.noise_variance > complete.noise_variance
    tenfold = nm.ProbabilisticPCA(2, tol=1e-9).fit(10 * x - 3).standard_errors(10 * x - 3)
    np.testing.assert_allclose(tenfold.loadings, 10 * errors.loadings, rtol=1e-4)
    np.testing.assert_allclose(tenfold.explained_variance, 100 * errors.explained_variance, rtol=1e-4)
    twice = pca.standard_errors(x, np.full(len(x), 2.0))
    np.testing.assert_allclose(twice.loadings, errors.loadings / np.sqrt(2), rtol=1e-6)


def test_offsets_and_a_common_unit_cost_no_digits():
    x = table(missing=0.1)
    plain, moved = nm.ProbabilisticPCA(2, tol=1e-9).fit(x), nm.ProbabilisticPCA(2, tol=1e-9).fit(x * 1e-6 + 1.0)
    observed = np.sum(~np.isnan(x))
    assert moved.log_likelihood_ + observed * np.log(1e-6) == pytest.approx(plain.log_likelihood_, rel=1e-8)
    np.testing.assert_allclose(moved.explained_variance_ * 1e12, plain.explained_variance_, rtol=1e-5)


@pytest.mark.parametrize("missing", [0.0, 0.2], ids=["complete", "holes"])
def test_a_table_of_low_rank_ends_at_the_least_noise(missing):
    x = table(spread=0.0, missing=missing)
    with pytest.warns(nm.DegenerateWarning, match="'x0', 'x1', .*'x5'"):
        pca = nm.ProbabilisticPCA(2).fit(x)
    assert pca.converged_
    assert pca.noise_variance_ == pytest.approx(1e-10 * np.nanvar(x, axis=0).mean(), rel=1e-6)
    known = np.sum(~np.isnan(x), axis=1) >= 2  # two cells give both factors away
    np.testing.assert_allclose(pca.impute(x)[known], table(spread=0.0)[known], atol=1e-3)


def test_fewer_rows_than_columns():
    x = table(n=8, d=20)
    pca = nm.ProbabilisticPCA(2).fit(x)
    values = np.sort(np.linalg.eigvalsh(np.cov(x.T, bias=True)))[::-1]
    np.testing.assert_allclose(pca.explained_variance_, values[:2], rtol=1e-9)
    assert pca.noise_variance_ == pytest.approx(values[2:].mean(), rel=1e-9)


# ----------------------------------------------------------------------------------------------- Bayesian components


@pytest.mark.parametrize("missing", [0.0, 0.15], ids=["complete", "holes"])
@pytest.mark.parametrize("q", [1, 3, 5])
def test_the_number_of_factors_is_found(q, missing):
    x = table(n=500, d=10, q=q, seed=q, missing=missing)
    pca = nm.BayesianPCA().fit(x)
    assert pca.n_factors_ == q
    assert pca.loadings_.shape == (10, q)
    assert pca.relevance_.shape == (q,)
    assert pca.transform(x).shape == (500, q)
    assert pca.noise_variance_ == pytest.approx(np.full(10, 0.16), rel=0.1)
    assert (np.diff(np.sum(pca.loadings_**2, axis=0)) <= 0).all()


def test_a_factor_in_a_maximum_of_its_own_goes_where_the_bound_is_higher_without_it(monkeypatch):
    """100 rows of much noise: EM alone ends with a second factor, three nats lower."""
    x = table(n=100, spread=1.0, seed=27)
    found = nm.BayesianPCA().fit(x)
    monkeypatch.setattr(BayesianPCA, "_raised", FactorEstimator._raised)
    alone = nm.BayesianPCA().fit(x)
    assert alone.n_factors_ == found.n_factors_ + 1
    assert found.lower_bound_ > alone.lower_bound_ + 1


def test_noise_of_each_column_and_its_factors():
    rng = np.random.default_rng(2)
    sd = np.linspace(0.3, 2, 10)
    x = rng.normal(size=(800, 3)) @ rng.normal(size=(3, 10)) * 2 + sd * rng.normal(size=(800, 10))
    pca = nm.BayesianPCA(6, noise_structure="diagonal").fit(x)
    assert pca.n_factors_ == 3
    np.testing.assert_allclose(np.sqrt(pca.noise_variance_), sd, rtol=0.25)
    grouped = nm.BayesianPCA(6, noise_structure=[0] * 5 + [1] * 5).fit(x)
    assert len(set(grouped.noise_variance_)) == 2


@pytest.mark.parametrize("missing", [0.0, 0.2], ids=["complete", "holes"])
def test_bound_and_log_likelihood_are_two_numbers(missing):
    x = table(missing=missing)
    pca = nm.BayesianPCA().fit(x)
    expected = log_likelihood(x, pca.mean_, pca.get_covariance())
    assert pca.log_likelihood_ == pytest.approx(expected, rel=1e-11)
    assert pca.score_samples(x).sum() == pytest.approx(expected, rel=1e-11)
    assert pca.lower_bound_ == pca.trace_.objective[pca.trace_.accepted][-1]
    assert pca.lower_bound_ < pca.log_likelihood_ < nm.ProbabilisticPCA(2).fit(x).log_likelihood_ + 1e-6


@pytest.mark.parametrize("missing", [0.0, 0.2], ids=["complete", "holes"])
def test_columns_without_common_factors(missing):
    """None is found, and every answer still is one."""
    x = holes(np.random.default_rng(3).normal(size=(300, 5)), missing, 4)
    pca = nm.BayesianPCA().fit(x)
    assert pca.n_factors_ == 0
    assert pca.n_parameters_ == 6
    assert pca.transform(x).shape == (300, 0)
    assert pca.posterior(x).covariance.shape == (300, 0, 0)
    np.testing.assert_allclose(pca.get_covariance(), pca.noise_variance_ * np.eye(5))
    assert not np.isnan(pca.impute(x)).any()
    rows, factors = pca.sample(4, random_state=0)
    assert rows.shape == (4, 5)
    assert factors.shape == (4, 0)
    assert pca.log_likelihood_ == pytest.approx(log_likelihood(x, pca.mean_, pca.get_covariance()), rel=1e-10)


@pytest.mark.slow
def test_precisions_are_in_the_units_of_the_columns():
    """w ~ N(0, 1/α): ten times the unit, a hundredth of α. With noise of their own, columns are standardised first."""
    x = table()
    one, other = nm.BayesianPCA(2, tol=1e-8).fit(x), nm.BayesianPCA(2, tol=1e-8).fit(10 * x)
    np.testing.assert_allclose(other.relevance_ * 100, one.relevance_, rtol=1e-3)
    units = 10.0 ** np.arange(6)
    one = nm.BayesianPCA(2, noise_structure="diagonal", tol=1e-8).fit(x)
    other = nm.BayesianPCA(2, noise_structure="diagonal", tol=1e-8).fit(x * units)
    np.testing.assert_allclose(other.relevance_, one.relevance_, rtol=1e-3)
    np.testing.assert_allclose(other.loadings_, one.loadings_ * units[:, None], rtol=1e-2, atol=1e-2)


def test_weights_are_repetitions():
    x = table(missing=0.1)
    weight = np.random.default_rng(5).integers(0, 3, size=len(x))
    for kind in (nm.ProbabilisticPCA, nm.BayesianPCA):
        weighted = kind(2, tol=1e-9).fit(x, sample_weight=weight)
        repeated = kind(2, tol=1e-9).fit(np.repeat(x, weight, axis=0))
        assert weighted.log_likelihood_ == pytest.approx(repeated.log_likelihood_, rel=1e-7)
        np.testing.assert_allclose(weighted.get_covariance(), repeated.get_covariance(), rtol=1e-4, atol=1e-5)


def test_more_rows_than_a_slab_from_a_file_and_from_memory(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    x = table(n=30_000, d=40, q=3, seed=6)  # 1.2 million cells
    pq.write_table(pa.table({f"c{j}": column for j, column in enumerate(x.T)}), tmp_path / "t.parquet")
    inside, outside = nm.ProbabilisticPCA(3).fit(x), nm.ProbabilisticPCA(3).fit(tmp_path / "t.parquet")
    assert outside.log_likelihood_ == pytest.approx(inside.log_likelihood_, rel=1e-12)
    np.testing.assert_allclose(inside.mean_, x.mean(axis=0), rtol=1e-12)
    assert inside.log_likelihood_ == pytest.approx(inside.score_samples(x).sum(), rel=1e-10)


def test_convergence_is_told_apart_from_the_end_of_patience():
    x = table(missing=0.2)
    with pytest.warns(nm.ConvergenceWarning, match="after 3 iterations"):
        assert not nm.BayesianPCA(max_iter=3).fit(x).converged_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert nm.ProbabilisticPCA(2).fit(x).converged_
