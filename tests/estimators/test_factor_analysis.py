"""Factor analysis: published fits, other libraries and models, standard errors, answers, bad input."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.decomposition import FactorAnalysis as ScikitLearn
from sklearn.utils.estimator_checks import parametrize_with_checks

import noumena as nm
from blocks import holes
from conftest import real_path

PATTERN = {"visual": ["x1", "x2", "x3"], "textual": ["x4", "x5", "x6"], "speed": ["x7", "x8", "x9"]}


def simulated(n: int = 300, d: int = 6, q: int = 2, seed: int = 0, missing: float = 0.0) -> np.ndarray:
    """Columns in units of their own, far from 0."""
    rng = np.random.default_rng(seed)
    loadings = np.where(np.arange(d)[:, None] % q == np.arange(q), 0.9, 0.3) * rng.choice([-1, 1], size=(d, 1))
    x = rng.normal(size=(n, q)) @ loadings.T + rng.uniform(0.5, 0.9, size=d) * rng.normal(size=(n, d))
    return holes(x * 10.0 ** rng.integers(-1, 3, size=d) + 20, missing, seed + 1)


def log_likelihood(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
    """Σ log N of the observed cells by SciPy, row pattern by row pattern."""
    total, seen = 0.0, ~np.isnan(x)
    for pattern in np.unique(seen, axis=0):
        if pattern.any():
            rows = x[(seen == pattern).all(axis=1)][:, pattern]
            total += np.sum(stats.multivariate_normal.logpdf(rows, mean[pattern], covariance[np.ix_(pattern, pattern)]))
    return total


# ------------------------------------------------------------------------------------------------------- published


@pytest.fixture(scope="module")
def tests_of_children() -> pd.DataFrame:
    """Holzinger & Swineford (1939), the nine tests of lavaan's tutorial."""
    return pd.read_csv(real_path("classical/holzinger_swineford.csv"))[[f"x{j}" for j in range(1, 10)]]


def test_confirmatory_analysis_of_holzinger_and_swineford(tests_of_children):
    """lavaan 0.5-23, cfa() of its tutorial: fitmeasures() to seven digits, estimates to three."""
    fa = nm.FactorAnalysis(pattern=PATTERN, tol=1e-10).fit(tests_of_children)
    found = fa.fit_measures(tests_of_children)
    assert fa.log_likelihood_ == pytest.approx(-3737.745, abs=5e-4)
    assert fa.n_parameters_ == 21 + 9  # lavaan leaves out the means
    assert found.chi2 == pytest.approx(85.30552, abs=5e-5)
    assert found.dof == 24
    assert fa.log_likelihood_ + found.chi2 / 2 == pytest.approx(-3695.092, abs=5e-4)
    measures = [found.p_value, found.rmsea, *found.rmsea_interval, found.cfi, found.tli, found.srmr]
    expected = [8.502553e-09, 9.212148e-02, 7.141849e-02, 1.136780e-01, 9.305597e-01, 8.958395e-01, 6.520506e-02]
    np.testing.assert_allclose(measures, expected, rtol=1e-6)
    assert fa.bic(tests_of_children) - 9 * np.log(301) == pytest.approx(7595.339, abs=1e-3)
    assert fa.factor_names_ == ("visual", "textual", "speed")

    own = fa.standardized_loadings_[np.arange(9), np.repeat([0, 1, 2], 3)]
    np.testing.assert_allclose(own, [0.772, 0.424, 0.581, 0.852, 0.855, 0.838, 0.570, 0.723, 0.665], atol=6e-4)
    np.testing.assert_allclose(fa.factor_correlations_[[0, 0, 1], [1, 2, 2]], [0.459, 0.471, 0.283], atol=6e-4)
    noise = [0.549, 1.134, 0.844, 0.371, 0.446, 0.356, 0.799, 0.488, 0.566]
    np.testing.assert_allclose(fa.noise_variance_, noise, atol=6e-4)
    implied = fa.get_covariance()[[0, 1, 3, 8], [0, 0, 4, 6]]  # fitted()
    np.testing.assert_allclose(implied, [1.358, 0.448, 1.090, 0.415], atol=6e-4)
    # lavaan's errors come from the expected information, ours from the observed
    expected = [0.114, 0.102, 0.091, 0.048, 0.058, 0.043, 0.081, 0.074, 0.071]
    np.testing.assert_allclose(fa.standard_errors(tests_of_children).noise_variance, expected, rtol=0.3)


def test_exploratory_analysis_of_holzinger_and_swineford(tests_of_children):
    """Three factors: χ² 22.897 on 12 degrees of freedom (lavaan's efa())."""
    found = nm.FactorAnalysis(3, tol=1e-10).fit(tests_of_children).fit_measures(tests_of_children)
    assert found.chi2 == pytest.approx(22.897, abs=6e-4)
    assert found.dof == 12


#: R's ability.cov: 112 persons (Bartholomew 1987).
ABILITY = np.array(
    [
        [24.641, 5.991, 33.520, 6.023, 20.755, 29.701],
        [5.991, 6.700, 18.137, 1.782, 4.936, 7.204],
        [33.520, 18.137, 149.831, 19.424, 31.430, 50.753],
        [6.023, 1.782, 19.424, 12.711, 4.757, 9.075],
        [20.755, 4.936, 31.430, 4.757, 52.604, 66.762],
        [29.701, 7.204, 50.753, 9.075, 66.762, 135.292],
    ]
)


@pytest.fixture(scope="module")
def ability() -> np.ndarray:
    """112 rows with this covariance, divided by n."""
    x = np.random.default_rng(0).normal(size=(112, 6))
    x -= x.mean(axis=0)
    white = np.linalg.solve(np.linalg.cholesky(x.T @ x / 112), x.T).T
    return white @ np.linalg.cholesky(ABILITY).T


@pytest.mark.parametrize(
    ("q", "uniquenesses", "chi2", "dof"),
    [
        (1, [0.535, 0.853, 0.748, 0.910, 0.232, 0.280], 75.18, 9),
        (2, [0.455, 0.589, 0.218, 0.769, 0.052, 0.334], 6.11, 4),
    ],
)
def test_ability_and_intelligence(ability, q, uniquenesses, chi2, dof):
    """R's factanal on ability.cov (tests/Examples/stats-Ex.Rout.save of R), whose χ² has Bartlett's correction."""
    fa = nm.FactorAnalysis(q, rotation="varimax", tol=1e-10).fit(ability)
    np.testing.assert_allclose(1 - fa.communalities_, uniquenesses, atol=6e-4)
    found = fa.fit_measures(ability)
    assert found.dof == dof
    corrected = found.chi2 / 112 * (111 - (2 * 6 + 5) / 6 - 2 * q / 3)
    assert corrected == pytest.approx(chi2, abs=6e-3)
    if q == 2:  # R's varimax stops within √1e-5 of the best angle
        theirs = [[0.499, 0.543], [0.156, 0.622], [0.206, 0.860], [0.109, 0.468], [0.956, 0.182], [0.785, 0.225]]
        np.testing.assert_allclose(fa.standardized_loadings_, theirs, atol=4e-3)


def test_three_heywood_cases_end_where_rs_do():
    """The example of R's factanal: three of six uniquenesses at the bound, 0.005 there and here; fit 0.4755."""
    x = np.array(
        [
            [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 4, 5, 6],
            [1, 2, 1, 1, 1, 1, 2, 1, 2, 1, 3, 4, 3, 3, 3, 4, 6, 5],
            [3, 3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5, 4, 6],
            [3, 3, 4, 3, 3, 1, 1, 2, 1, 1, 1, 1, 2, 1, 1, 5, 6, 4],
            [1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 1, 1, 1, 1, 1, 6, 4, 5],
            [1, 1, 1, 2, 1, 3, 3, 3, 4, 3, 1, 1, 1, 2, 1, 6, 5, 4],
        ]
    ).T
    with pytest.warns(nm.DegenerateWarning, match=r"column 'x0', 'x2', 'x5' .*Heywood"):
        fa = nm.FactorAnalysis(3, rotation="varimax", tol=1e-9).fit(x)
    np.testing.assert_allclose(
        fa.noise_variance_ / x.var(axis=0), [0.005, 0.101, 0.005, 0.224, 0.084, 0.005], atol=6e-4
    )
    theirs = [[0.944, 0.182, 0.267], [0.905, 0.235, 0.159], [0.236, 0.210, 0.946]]
    theirs += [[0.180, 0.242, 0.828], [0.242, 0.881, 0.286], [0.193, 0.959, 0.196]]
    np.testing.assert_allclose(fa.standardized_loadings_, theirs, atol=4e-3)
    found = fa.fit_measures(x)
    assert found.dof == 0
    assert found.chi2 / 18 == pytest.approx(0.4755, abs=6e-5)
    assert np.isnan([found.p_value, found.rmsea, found.tli]).all()
    errors = fa.standard_errors(x)
    np.testing.assert_array_equal(np.isnan(errors.noise_variance), [True, False, True, False, False, True])


# --------------------------------------------------------------------------------------------------------- equality


@pytest.mark.parametrize("seed", range(3))
def test_scikit_learns_log_likelihood(seed):
    x = simulated(seed=seed)
    x /= x.std(axis=0)  # scikit-learn begins at noise of 1, whatever the units
    peer = ScikitLearn(2, svd_method="lapack", tol=1e-14, max_iter=100_000).fit(x)
    ours = nm.FactorAnalysis(2, min_noise=0, tol=1e-10).fit(x)
    assert ours.log_likelihood_ == pytest.approx(300 * peer.score(x), rel=1e-8)
    np.testing.assert_allclose(ours.get_covariance(), peer.get_covariance(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.score_samples(x), peer.score_samples(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("missing", [0.0, 0.2], ids=["complete", "holes"])
def test_equal_noise_is_probabilistic_pca(missing):
    x = simulated(missing=missing)
    x /= np.nanstd(x, axis=0)
    one = nm.FactorAnalysis(2, noise_structure="isotropic", tol=1e-9).fit(x)
    other = nm.ProbabilisticPCA(2, tol=1e-9).fit(x)
    grouped = nm.FactorAnalysis(2, noise_structure=[7] * 6, tol=1e-9).fit(x)
    assert one.log_likelihood_ == pytest.approx(other.log_likelihood_, rel=1e-10)
    assert one.log_likelihood_ == grouped.log_likelihood_
    assert one.n_parameters_ == other.n_parameters_ == 6 + 12 - 1 + 1
    np.testing.assert_allclose(one.get_covariance(), other.get_covariance(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("missing", [0.0, 0.25], ids=["complete", "holes"])
def test_the_log_likelihood_by_brute_force(missing):
    x = simulated(missing=missing)
    for fa in (nm.FactorAnalysis(2, rotation="oblimin"), nm.FactorAnalysis(pattern=[[1, 0]] * 3 + [[0, 1]] * 3)):
        fa.fit(x)
        expected = log_likelihood(x, fa.mean_, fa.get_covariance())
        assert fa.log_likelihood_ == pytest.approx(expected, rel=1e-11)
        assert fa.score_samples(x).sum() == pytest.approx(expected, rel=1e-11)
        between = fa.loadings_ @ fa.factor_correlations_ @ fa.loadings_.T
        np.testing.assert_allclose(between + np.diag(fa.noise_variance_), fa.get_covariance(), rtol=1e-10)


@pytest.mark.parametrize("missing", [0.0, 0.2], ids=["complete", "holes"])
def test_factors_enough_are_a_normal_without_structure(missing):
    """Three factors of five columns say nothing any more: the one-component Gaussian mixture."""
    x = simulated(d=5, missing=missing)
    fa = nm.FactorAnalysis(3, min_noise=1e-6, tol=1e-9).fit(x)
    gm = nm.GaussianMixture(1, tol=1e-9).fit(x)
    assert fa.n_parameters_ == gm.n_parameters_ == 20
    assert fa.log_likelihood_ == pytest.approx(gm.log_likelihood_, abs=1e-6)
    np.testing.assert_allclose(fa.get_covariance(), gm.covariances_[0], rtol=1e-3, atol=1e-3)
    found = fa.fit_measures(x)
    assert found.dof == 0
    assert found.cfi == pytest.approx(1.0, abs=1e-7)
    assert found.chi2 == pytest.approx(0.0, abs=1e-5)


def test_rotations_are_one_model():
    x = simulated(d=8, missing=0.1)
    fits = [nm.FactorAnalysis(2, rotation=how).fit(x) for how in (None, "varimax", "promax", "oblimin")]
    for other in fits[1:]:
        assert other.log_likelihood_ == fits[0].log_likelihood_
        np.testing.assert_allclose(other.get_covariance(), fits[0].get_covariance(), rtol=1e-9)
        np.testing.assert_allclose(other.communalities_, fits[0].communalities_, rtol=1e-9)
    inner = fits[0].loadings_.T @ (fits[0].loadings_ / fits[0].noise_variance_[:, None])
    np.testing.assert_allclose(inner[0, 1], 0.0, atol=1e-8 * inner[0, 0])
    np.testing.assert_array_equal(fits[1].factor_correlations_, fits[0].factor_correlations_)
    assert abs(fits[3].factor_correlations_[0, 1]) > 0.1


def test_uncorrelated_factors_of_a_pattern():
    x = simulated()
    pattern = [[1, 0], [0, 1]] * 3
    free, held = (nm.FactorAnalysis(pattern=pattern, correlated=which, tol=1e-9).fit(x) for which in (True, False))
    np.testing.assert_array_equal(held.factor_correlations_, np.eye(2))
    assert free.n_parameters_ == held.n_parameters_ + 1
    assert free.log_likelihood_ > held.log_likelihood_
    assert free.factor_names_ == ("factor 1", "factor 2")
    np.testing.assert_array_equal(free.loadings_ != 0, pattern)


@pytest.mark.parametrize("missing", [0.0, 0.2], ids=["complete", "holes"])
def test_weights_are_repetitions(missing):
    """To convergence: the frames are those of the same rows, sums in another order."""
    x = simulated(missing=missing)
    weight = np.random.default_rng(1).integers(0, 3, size=len(x))
    weighted = nm.FactorAnalysis(2, tol=1e-10).fit(x, sample_weight=weight)
    repeated = nm.FactorAnalysis(2, tol=1e-10).fit(np.repeat(x, weight, axis=0))
    scaled = nm.FactorAnalysis(2, tol=1e-10).fit(x, sample_weight=weight / 1000)
    assert weighted.log_likelihood_ == pytest.approx(repeated.log_likelihood_, rel=1e-10)
    assert scaled.log_likelihood_ * 1000 == pytest.approx(repeated.log_likelihood_, rel=1e-8)
    np.testing.assert_allclose(weighted.get_covariance(), repeated.get_covariance(), rtol=1e-4, atol=1e-3)
    assert weighted.bic(x, weight) == pytest.approx(repeated.bic(np.repeat(x, weight, axis=0)), rel=1e-10)
    ours, theirs = weighted.fit_measures(x, weight), repeated.fit_measures(np.repeat(x, weight, axis=0))
    assert ours.chi2 == pytest.approx(theirs.chi2, abs=1e-4)
    np.testing.assert_allclose(
        weighted.standard_errors(x, weight).noise_variance,
        repeated.standard_errors(np.repeat(x, weight, axis=0)).noise_variance,
        rtol=1e-3,
    )


@pytest.mark.parametrize("missing", [0.0, 0.2], ids=["complete", "holes"])
def test_order_and_units_say_nothing(missing):
    """Rows and columns in another order; columns in units from 1e-8 to 1e8 and with a common offset of 1e6."""
    x = simulated(missing=missing)
    rng = np.random.default_rng(2)
    columns, unit = rng.permutation(6), 10.0 ** np.array([8, -8, 0, 3, -4, 1])
    settings = {"n_factors": 2, "rotation": "varimax", "tol": 1e-10}
    plain = nm.FactorAnalysis(**settings).fit(x)
    moved = nm.FactorAnalysis(**settings).fit(x[rng.permutation(len(x))][:, columns] * unit)
    observed = np.sum(~np.isnan(x[:, columns]), axis=0)
    assert moved.log_likelihood_ + observed @ np.log(unit) == pytest.approx(plain.log_likelihood_, abs=1e-6)
    np.testing.assert_allclose(moved.standardized_loadings_, plain.standardized_loadings_[columns], atol=1e-4)
    away = nm.FactorAnalysis(**settings).fit(x + 1e6)
    assert away.log_likelihood_ == pytest.approx(plain.log_likelihood_, rel=1e-8)
    np.testing.assert_allclose(away.noise_variance_, plain.noise_variance_, rtol=1e-4)


def test_every_kind_of_table_is_one_table(tmp_path):
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    x = simulated(missing=0.1)
    frame = pd.DataFrame(x, columns=list("abcdef"))
    frame.to_csv(tmp_path / "table.csv", index=False)
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "table.parquet", row_group_size=70)
    reference = nm.FactorAnalysis(2).fit(x)
    kinds = [frame, pl.from_pandas(frame), str(tmp_path / "table.csv"), tmp_path / "table.parquet"]
    for table in kinds:
        fa = nm.FactorAnalysis(2).fit(table)
        assert fa.log_likelihood_ == pytest.approx(reference.log_likelihood_, rel=1e-10)
        np.testing.assert_allclose(fa.transform(table), reference.transform(x), atol=1e-6)
        assert list(fa.feature_names_in_) == list("abcdef")
    assert isinstance(nm.FactorAnalysis(2).fit(frame).impute(frame), pd.DataFrame)
    complete = simulated()
    pq.write_table(
        pa.table(dict(zip("abcdef", complete.T, strict=True))), tmp_path / "complete.parquet", row_group_size=70
    )
    ours, theirs = nm.FactorAnalysis(2).fit(tmp_path / "complete.parquet"), nm.FactorAnalysis(2).fit(complete)
    assert ours.log_likelihood_ == pytest.approx(theirs.log_likelihood_, rel=1e-11)


def test_fewer_rows_than_their_moments_take():
    """Ten rows of six columns are fitted as they are; nobody could tell."""
    x = simulated(n=10)
    few = nm.FactorAnalysis(1, tol=1e-10).fit(x)
    same = nm.FactorAnalysis(1, tol=1e-10).fit(np.repeat(x, 2, axis=0))
    assert 2 * few.log_likelihood_ == pytest.approx(same.log_likelihood_, rel=1e-8)


# --------------------------------------------------------------------------------------------------- standard errors


def second_derivatives(function, at: np.ndarray, step: np.ndarray) -> np.ndarray:
    """By central differences: truncation of (1e-2 standard errors)², rounding of 1e-9/1e-4."""
    p = len(at)
    out = np.empty((p, p))
    for i in range(p):
        for j in range(i + 1):
            a, b = np.eye(p)[i] * step[i], np.eye(p)[j] * step[j]
            values = function(at + a + b) - function(at + a - b) - function(at - a + b) + function(at - a - b)
            out[i, j] = out[j, i] = values / (4 * step[i] * step[j])
    return out


def slopes(function, at: np.ndarray, step: np.ndarray) -> np.ndarray:
    moves = np.diag(step)
    return np.array([(function(at + move) - function(at - move)) / (2 * move.sum()) for move in moves]).T


@pytest.mark.parametrize("missing", [0.0, pytest.param(0.2, marks=pytest.mark.slow)], ids=["complete", "holes"])
@pytest.mark.parametrize("noise", ["diagonal", [0, 0, 0, 1, 1, 1]], ids=["diagonal", "grouped"])
def test_errors_of_a_pattern_are_those_of_the_numerical_hessian(missing, noise):
    x = simulated(n=200, missing=missing)
    if noise != "diagonal":
        x = (x - np.nanmean(x, axis=0)) / np.nanstd(x, axis=0)
    free = np.array([[1, 0], [1, 0], [1, 1], [0, 1], [0, 1], [0, 1]], dtype=bool)
    x = x[:, [0, 2, 4, 1, 3, 5]]
    fa = nm.FactorAnalysis(pattern=free, noise_structure=noise, tol=1e-11).fit(x)
    groups = np.arange(6) if noise == "diagonal" else np.array(noise)
    n_noise = groups.max() + 1

    def parts(theta):
        mean, own, between, psi = np.split(theta, [6, 13, 14])
        loadings = np.zeros((6, 2))
        loadings[free] = own
        return mean, loadings, np.array([[1.0, between[0]], [between[0], 1.0]]), psi[groups]

    def likelihood(theta):
        mean, loadings, latent, psi = parts(theta)
        return log_likelihood(x, mean, loadings @ latent @ loadings.T + np.diag(psi))

    psi = fa.noise_variance_[np.unique(groups, return_index=True)[1]]
    at = np.concatenate([fa.mean_, fa.loadings_[free], [fa.factor_correlations_[0, 1]], psi])
    errors = fa.standard_errors(x)
    own = [
        errors.mean,
        errors.loadings[free],
        [errors.factor_correlations[0, 1]],
        errors.noise_variance[np.unique(groups, return_index=True)[1]],
    ]
    ours = np.concatenate(own)
    covariance = np.linalg.inv(-second_derivatives(likelihood, at, 1e-2 * ours))
    np.testing.assert_allclose(ours, np.sqrt(np.diagonal(covariance)), rtol=2e-3)
    assert len(at) == fa.n_parameters_ == 14 + n_noise

    def seen(theta):
        _, loadings, latent, psi = parts(theta)
        variance = np.diagonal(loadings @ latent @ loadings.T) + psi
        return np.concatenate([(loadings / np.sqrt(variance)[:, None])[free], 1 - psi / variance])

    jacobian = slopes(seen, at, 1e-3 * ours)
    expected = np.sqrt(np.einsum("ip,pq,iq->i", jacobian, covariance, jacobian))
    found = np.concatenate([errors.standardized_loadings[free], errors.communalities])
    np.testing.assert_allclose(found, expected, rtol=5e-3)
    assert (errors.loadings[~free] == 0).all()
    assert (np.diagonal(errors.factor_correlations) == 0).all()


@pytest.mark.parametrize("rotation", ["varimax", None])
def test_errors_of_rotated_loadings_by_the_bordered_information(rotation):
    """Jennrich (1974): the information of all loadings, bordered by the derivatives of what the rotation holds at 0."""
    x = simulated(n=400, seed=3)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    fa = nm.FactorAnalysis(2, rotation=rotation, tol=1e-11).fit(x)
    errors = fa.standard_errors(x)
    s = np.cov(x.T, bias=True)

    def likelihood(theta):
        loadings, psi = theta[:12].reshape(6, 2), theta[12:]
        covariance = loadings @ loadings.T + np.diag(psi)
        return -200 * (np.linalg.slogdet(covariance)[1] + np.trace(np.linalg.solve(covariance, s)))

    def held(theta):
        loadings, psi = theta[:12].reshape(6, 2), theta[12:]
        if rotation is None:
            return np.array([loadings[:, 0] @ (loadings[:, 1] / psi)])
        unit = loadings / np.linalg.norm(loadings, axis=1, keepdims=True)  # columns' units do not matter to these
        square = unit**2 - np.mean(unit**2, axis=0)
        between = unit.T @ (unit * square)
        return np.array([between[0, 1] - between[1, 0]])

    at = np.concatenate([fa.loadings_.ravel(), fa.noise_variance_])
    np.testing.assert_allclose(held(at), 0.0, atol=1e-6)
    step = 1e-2 * np.concatenate([errors.loadings.ravel(), errors.noise_variance])
    border = slopes(held, at, step / 10)
    bordered = np.block([[-second_derivatives(likelihood, at, step), border.T], [border, np.zeros((1, 1))]])
    expected = np.sqrt(np.diagonal(np.linalg.inv(bordered))[:18])
    np.testing.assert_allclose(errors.loadings.ravel(), expected[:12], rtol=5e-3)
    np.testing.assert_allclose(errors.noise_variance, expected[12:], rtol=5e-3)


@pytest.mark.parametrize("rotation", ["varimax", "promax", "oblimin"])
def test_errors_belong_to_the_factors_as_they_are_shown(rotation):
    """Factors in another order or of another sign have the same errors in that order."""
    x = simulated(n=400, d=9, q=3, seed=4)
    fa = nm.FactorAnalysis(3, rotation=rotation, tol=1e-10).fit(x)
    errors = fa.standard_errors(x)
    turned = nm.FactorAnalysis(3, rotation=rotation, tol=1e-10).fit(-x[:, ::-1])
    same = turned.standard_errors(-x[:, ::-1])
    order = np.argmax(np.abs(fa.standardized_loadings_[::-1].T @ turned.standardized_loadings_), axis=0)
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_allclose(same.loadings[::-1], errors.loadings[:, order], rtol=1e-2, atol=1e-6)
    np.testing.assert_allclose(same.factor_correlations, errors.factor_correlations[np.ix_(order, order)], atol=1e-4)
    np.testing.assert_allclose(same.mean[::-1], x.std(axis=0) / 20, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("rotation", ["varimax", "promax", "oblimin", None])
def test_errors_of_rotated_loadings_by_simulation(rotation):
    """300 tables of 1,000 rows: their standard deviations are within 4/√(2·299) = 17% of the truth, and bias aside.

    18 loadings and a correlation at 4 standard deviations: a false failure in 1 of 800 seeds; theory is off by O(1/n).
    """
    rng = np.random.default_rng(5)
    truth = np.zeros((9, 2))
    truth[:5, 0], truth[4:, 1] = rng.uniform(0.5, 0.9, size=5), rng.uniform(0.5, 0.9, size=5)
    z = rng.multivariate_normal([0, 0], [[1, 0.4], [0.4, 1]], size=(300, 1000))
    tables = z @ truth.T + 0.6 * rng.normal(size=(300, 1000, 9))
    settings = nm.FactorAnalysis(2, rotation=rotation, tol=1e-7)
    first = clone(settings).fit(tables[0])
    errors = first.standard_errors(tables[0])
    loadings, correlations = [], []
    for x in tables:
        fa = clone(settings).fit(x)
        turn = fa.loadings_.T @ first.loadings_
        order = np.argmax(np.abs(turn), axis=0)
        sign = np.sign(turn[order, [0, 1]])
        loadings.append(fa.loadings_[:, order] * sign)
        correlations.append(fa.factor_correlations_[0, 1] * sign.prod())
    # the first table's own errors are off by sampling, too: 20% in all
    np.testing.assert_allclose(errors.loadings, np.std(loadings, axis=0), rtol=0.3)
    if rotation in ("promax", "oblimin"):
        np.testing.assert_allclose(errors.factor_correlations[0, 1], np.std(correlations), rtol=0.3)


@pytest.mark.slow
def test_intervals_of_a_pattern_cover():
    """200 tables of 300 rows with a tenth of the cells missing, 95% intervals of 20 parameters.

    Of 4,000 intervals, correlated within a table, between 93% and 97% cover; one parameter's own count is binomial, and
    below 88% (4.5 standard deviations) for one of 20 in 1 of 10,000 seeds.
    """
    rng = np.random.default_rng(6)
    free = np.repeat(np.eye(2, dtype=bool), 3, axis=0)
    truth, noise = np.where(free, [[0.9], [0.8], [0.7], [0.9], [0.7], [0.6]], 0), np.full(6, 0.5)
    covered = []
    for seed in range(200):
        z = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=300)
        x = holes(z @ truth.T + np.sqrt(noise) * rng.normal(size=(300, 6)), 0.1, seed)
        fa = nm.FactorAnalysis(pattern=free, tol=1e-7).fit(x)
        errors = fa.standard_errors(x)
        away = [
            (fa.mean_ - 0) / errors.mean,
            (fa.loadings_ - truth)[free] / errors.loadings[free],
            (fa.noise_variance_ - noise) / errors.noise_variance,
            [(fa.factor_correlations_[0, 1] - 0.5) / errors.factor_correlations[0, 1]],
        ]
        covered.append(np.abs(np.concatenate(away)) < 1.96)
    assert 0.93 < np.mean(covered) < 0.97
    assert np.mean(covered, axis=0).min() > 0.88


# ---------------------------------------------------------------------------------------------------------- answers


@pytest.fixture(scope="module")
def fitted() -> tuple[nm.FactorAnalysis, np.ndarray]:
    x = simulated(missing=0.15)
    x[5], x[6] = np.nan, simulated()[6]
    return nm.FactorAnalysis(2, rotation="promax", random_state=0).fit(x), x


def conditional(fa, row: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E[z | observed], cov[z | observed] and E[x | observed] by the joint normal of (z, x)."""
    cross = fa.factor_correlations_ @ fa.loadings_.T
    seen, covariance = ~np.isnan(row), fa.get_covariance()
    gain = np.linalg.solve(covariance[np.ix_(seen, seen)], np.column_stack([cross.T[seen], covariance[seen]]))
    away = (row - fa.mean_)[seen] @ gain
    left = fa.factor_correlations_ - cross[:, seen] @ gain[:, :2]
    return away[:2], left, fa.mean_ + away[2:]


def test_scores_and_filled_cells_are_those_of_the_joint_normal(fitted):
    fa, x = fitted
    scores, posterior, filled = fa.transform(x), fa.posterior(x), fa.impute(x)
    assert scores.shape == (300, 2)
    np.testing.assert_array_equal(posterior.mean, scores)
    assert list(fa.get_feature_names_out()) == ["factoranalysis0", "factoranalysis1"]
    for n in range(30):
        mean, covariance, cells = conditional(fa, x[n])
        np.testing.assert_allclose(scores[n], mean, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(posterior.covariance[n], covariance, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(filled[n], np.where(np.isnan(x[n]), cells, x[n]), rtol=1e-9)
    np.testing.assert_allclose(scores[5], 0.0, atol=1e-12)
    assert abs(fa.score_samples(x)[5]) < 1e-14  # rounding of a few numbers of order 1


def test_draws_of_missing_cells_have_the_conditional_moments(fitted):
    """20,000 draws of two missing cells: means, variances and covariance within 5 standard errors, P(false) 3e-6."""
    fa, x = fitted
    row = np.where(np.arange(6) < 2, np.nan, x[6])
    draws = fa.impute(np.tile(row, (20_000, 1)), draws=1, random_state=1)[0][:, :2]
    _, _, mean = conditional(fa, row)
    covariance = fa.get_covariance()
    left = covariance[:2, :2] - covariance[:2, 2:] @ np.linalg.solve(covariance[2:, 2:], covariance[2:, :2])
    scale = np.sqrt(np.diagonal(left))
    assert (np.abs(draws.mean(axis=0) - mean[:2]) < 5 * scale / np.sqrt(20_000)).all()
    found = np.cov(draws.T) / np.outer(scale, scale)
    np.testing.assert_allclose(found, left / np.outer(scale, scale), atol=5 * np.sqrt(2 / 20_000))
    assert len(fa.impute(x, draws=3)) == 3


def test_samples_have_the_models_moments(fitted):
    fa, _ = fitted
    x, z = fa.sample(50_000, random_state=2)
    scale = np.sqrt(np.diagonal(fa.get_covariance()))
    unit = np.outer(scale, scale)
    np.testing.assert_allclose(np.cov(x.T) / unit, fa.get_covariance() / unit, atol=5 * np.sqrt(2 / 50_000))
    np.testing.assert_allclose(np.cov(z.T), fa.factor_correlations_, atol=5 * np.sqrt(2 / 50_000))
    left = x - fa.mean_ - z @ fa.loadings_.T
    np.testing.assert_allclose(left.var(axis=0), fa.noise_variance_, rtol=5 * np.sqrt(2 / 50_000))
    again, _ = fa.sample(3)
    np.testing.assert_array_equal(again, fa.sample(3)[0])


def test_criteria(fitted):
    fa, x = fitted
    assert fa.score(x) == pytest.approx(fa.log_likelihood_ / 300, rel=1e-10)
    assert fa.aic(x) == pytest.approx(-2 * fa.log_likelihood_ + 2 * fa.n_parameters_, rel=1e-10)
    assert fa.bic(x) == pytest.approx(-2 * fa.log_likelihood_ + np.log(300) * fa.n_parameters_, rel=1e-10)


@pytest.mark.parametrize(
    "estimator",
    [
        nm.FactorAnalysis(2, rotation="oblimin"),
        nm.FactorAnalysis(pattern={"one": ["a", "b", "c"], "two": ["d", "e", "f"]}, correlated=False),
        nm.ProbabilisticPCA(3),
        nm.BayesianPCA(),
        nm.BayesianPCA(3, noise_structure="diagonal"),
    ],
    ids=["rotated", "pattern", "PPCA", "Bayesian", "Bayesian, diagonal"],
)
def test_a_stored_model_is_the_model(estimator, tmp_path):
    frame = pd.DataFrame(simulated(missing=0.1), columns=list("abcdef"))
    fitted = clone(estimator).fit(frame)
    fitted.save(tmp_path / "model")
    loaded = nm.load(tmp_path / "model")
    assert loaded.get_params() == fitted.get_params()
    for answer in ("transform", "score_samples", "impute"):
        np.testing.assert_array_equal(getattr(loaded, answer)(frame), getattr(fitted, answer)(frame))
    public = {name for name in vars(fitted) if name.endswith("_") and not name.startswith("_")}
    assert public == {name for name in vars(loaded) if name.endswith("_") and not name.startswith("_")}
    for name in public - {"trace_", "status_"}:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(fitted, name))
    assert (loaded.status_, loaded.converged_) == (fitted.status_, True)


# -------------------------------------------------------------------------------------------------------- bad input


def as_frame(x: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(x, columns=[f"c{j}" for j in range(x.shape[1])])


@pytest.mark.parametrize("missing", [0.0, 0.1], ids=["complete", "holes"])
@pytest.mark.parametrize("kind", [nm.FactorAnalysis, nm.ProbabilisticPCA, nm.BayesianPCA])
def test_columns_that_say_nothing(kind, missing):
    x = simulated(missing=missing)
    for value, words in ((np.nan, "'c6' has no observed value"), (0.1, "'c6' .always 0.1. is constant")):
        with pytest.raises(nm.DataError, match=words):
            kind(1).fit(as_frame(np.column_stack([x, np.full(300, value)])))


@pytest.mark.parametrize("missing", [0.0, 0.1], ids=["complete", "holes"])
def test_a_column_twice(missing):
    x = simulated(missing=missing)
    twice = as_frame(np.column_stack([x, 5 - 2 * x[:, 3]]))
    with pytest.raises(nm.DataError, match="columns 'c3' and 'c6' are the same up to a linear map"):
        nm.FactorAnalysis(1).fit(twice)
    assert nm.ProbabilisticPCA(2).fit(twice).converged_  # its noise is that of all columns


def test_columns_that_meet_in_few_rows_are_not_the_same():
    """In five rows they agree, by chance; the rest has one of them only."""
    x = simulated()
    x[:150, 0], x[155:, 1] = np.nan, np.nan
    x[150:155, 1] = x[150:155, 0] * 3
    assert nm.FactorAnalysis(1).fit(x).converged_


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"n_factors": 7}, "n_factors=7 is too many for 6 columns: at most 6"),
        ({"n_factors": 0}, "n_factors"),
        ({"rotation": "equamax"}, "rotation='equamax': choose among varimax, promax, oblimin, or None"),
        ({"noise_structure": "full"}, "noise_structure='full': choose"),
        ({"noise_structure": [0, 1]}, "2 group numbers for 6 columns"),
        ({"min_noise": 1.5}, "min_noise=1.5 is a share"),
        ({"min_noise": -1}, "min_noise"),
        ({"accelerate": "fast"}, "accelerate='fast'"),
        ({"pattern": {"one": ["c0", "c1"]}, "rotation": "varimax"}, "leaves nothing to rotate"),
        ({"pattern": {"one": ["c0", "c1"], "two": []}}, "factor 'two' has no free loading"),
        ({"pattern": {"one": ["c0", "c1"], "two": ["c1", "c0"]}}, "'one' and 'two' have the same free loadings"),
        ({"pattern": {"one": ["c0", "c9"]}}, "c9"),
        ({"pattern": {"one": ["c0", "c1"]}, "n_factors": 2}, "n_factors=2, but the pattern has 1 factors"),
        ({"pattern": np.ones((5, 1))}, r"truth values of shape \(6, q\), got shape \(5, 1\)"),
        ({"pattern": np.full((6, 1), 2)}, "truth values"),
        ({"pattern": np.zeros((6, 1), dtype=bool)}, "factor 0 has no free loading"),
    ],
)
def test_parameters_that_cannot_be(parameters, words):
    with pytest.raises((ValueError, nm.DataError), match=words):
        nm.FactorAnalysis(**parameters).fit(as_frame(simulated()))


def test_numbers_of_factors_of_the_others():
    with pytest.raises(ValueError, match="n_factors=6 is too many for 6 columns: at most 5"):
        nm.ProbabilisticPCA(6).fit(simulated())
    with pytest.raises(ValueError, match="at most 5"):
        nm.BayesianPCA(6).fit(simulated())
    with pytest.raises(nm.DataError, match="minimum of 2 is required: one column has no factors"):
        nm.ProbabilisticPCA().fit(simulated()[:, :1])
    assert nm.ProbabilisticPCA().fit(simulated()[:, :2]).loadings_.shape == (2, 1)


@pytest.mark.parametrize("kind", [nm.FactorAnalysis, nm.ProbabilisticPCA, nm.BayesianPCA])
@pytest.mark.parametrize(
    ("weight", "words"),
    [(np.r_[-1.0, np.ones(299)], "negative"), (np.zeros(300), "every sample weight is zero"), (np.ones(7), "300")],
)
def test_weights_that_cannot_be(kind, weight, words):
    with pytest.raises(nm.DataError, match=words):
        kind(1).fit(simulated(), sample_weight=weight)


def test_rows_of_weight_zero_may_hold_anything():
    """Few rows, so that they are fitted themselves; one without weight has a hole."""
    x = simulated(n=9)
    x[4, 1] = np.nan
    weight = np.r_[np.ones(4), 0.0, np.ones(4)]
    fa, without = (
        nm.FactorAnalysis(1).fit(x, sample_weight=weight),
        nm.FactorAnalysis(1).fit(np.delete(x, 4, axis=0)),
    )
    assert fa.log_likelihood_ == pytest.approx(without.log_likelihood_, rel=1e-10)
    np.testing.assert_allclose(
        fa.standard_errors(x, weight).mean, without.standard_errors(np.delete(x, 4, axis=0)).mean, rtol=1e-6
    )


def test_answers_want_the_columns_of_the_fit(fitted):
    fa, x = fitted
    for answer in (fa.transform, fa.score_samples, fa.impute, fa.standard_errors):
        with pytest.raises(ValueError, match="X has 5 features, but FactorAnalysis is expecting 6 features"):
            answer(x[:, :5])


def test_a_heywood_case_is_named_and_bounded():
    """Correlations 0.85, 0.85 and 0.5 want a communality of 0.85²/0.5 > 1: the noise ends at the least allowed."""
    white = simulated(n=400, d=4, seed=7)
    white = np.linalg.qr(white - white.mean(axis=0))[0] * 20
    within = np.array([[1, 0.85, 0.85, 0.5], [0.85, 1, 0.5, 0.4], [0.85, 0.5, 1, 0.4], [0.5, 0.4, 0.4, 1]])
    x = as_frame(white @ np.linalg.cholesky(within).T)
    with pytest.warns(nm.DegenerateWarning, match=r"explain column 'c0' but for the least noise .*Heywood"):
        fa = nm.FactorAnalysis(1).fit(x)
    assert fa.noise_variance_[0] == pytest.approx(0.005, rel=1e-9)
    assert fa.converged_
    errors = fa.standard_errors(x)
    np.testing.assert_array_equal(np.isnan(errors.noise_variance), [True, False, False, False])
    assert np.isfinite(errors.mean).all()
    with pytest.warns(nm.DegenerateWarning, match="'c0'"):
        lower = nm.FactorAnalysis(1, min_noise=1e-4).fit(x)
    assert lower.noise_variance_[0] == pytest.approx(1e-4, rel=1e-9)
    assert lower.log_likelihood_ > fa.log_likelihood_


def test_running_out_of_iterations_is_told():
    with pytest.warns(nm.ConvergenceWarning, match="after 2 iterations"):
        fa = nm.FactorAnalysis(2, max_iter=2).fit(simulated())
    assert not fa.converged_
    assert fa.status_ is nm.Status.MAX_ITERATIONS
    assert nm.FactorAnalysis(2, max_iter=3, tol=0).fit(simulated()).status_ is nm.Status.COMPLETED


def test_errors_of_undetermined_loadings_are_refused():
    x = simulated(d=4)
    with pytest.raises(nm.NoumenaError, match="not determined by"):
        nm.FactorAnalysis(2, min_noise=1e-8, tol=1e-9).fit(x).standard_errors(x)


# ------------------------------------------------------------------------------------------------------ scikit-learn


@pytest.mark.slow
@parametrize_with_checks(
    [
        nm.FactorAnalysis(),
        nm.FactorAnalysis(rotation="varimax"),
        nm.ProbabilisticPCA(),
        nm.BayesianPCA(),
        nm.MixtureOfFactorAnalyzers(),
    ]
)
def test_scikit_learns_own_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nm.ConvergenceWarning)
        warnings.simplefilter("ignore", nm.DegenerateWarning)
        check(estimator)
