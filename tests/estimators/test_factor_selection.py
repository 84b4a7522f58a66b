"""How many factors: every number is fitted, those that columns cannot tell apart are not, the best is kept."""

import warnings

import numpy as np
import pandas as pd
import pytest

import noumena as nm


@pytest.fixture(scope="module")
def two():
    """Two factors behind eight columns, with missing cells."""
    rng = np.random.default_rng(0)
    loadings = np.kron(np.eye(2), np.ones((4, 1))) * [0.8, 0.7]
    x = rng.normal(size=(400, 2)) @ loadings.T + rng.normal(size=(400, 8)) * 0.6
    x[rng.random(x.shape) < 0.05] = np.nan
    return pd.DataFrame(x, columns=[f"v{i}" for i in range(8)])


def test_every_candidate_is_the_fit_of_its_number_and_the_best_is_kept(two):
    base = nm.FactorAnalysis(rotation="varimax")
    found = nm.select_factors(base, two, range(1, 4))
    assert found.criterion == "bic"
    assert found.estimator_.n_factors == 2
    assert found.estimator_.rotation == "varimax"
    assert base.n_factors is None  # untouched
    for row in found.table_.to_pylist():
        own = nm.FactorAnalysis(row["n_factors"]).fit(two)
        assert row["log_likelihood"] == own.log_likelihood_
        # the log likelihood summed row by row again: 400 terms
        assert row["bic"] == pytest.approx(own.bic(two), rel=1e-12)
        assert row["aic"] == pytest.approx(own.aic(two), rel=1e-12)
        assert (row["n_parameters"], row["n_iter"]) == (own.n_parameters_, own.n_iter_)
        assert (row["status"], row["heywood"]) == ("converged", 0)


def test_numbers_that_columns_cannot_tell_apart_are_left_out(two):
    # 5 columns, 15 covariances: 5 + 10 − 1 of two factors fit, 5 + 15 − 3 of three do not
    found = nm.select_factors(nm.FactorAnalysis(), two.iloc[:, :5], [3, 1, 2, 9])
    assert found.table_["n_factors"].to_pylist() == [1, 2]
    # one noise variance leaves room for d − 1
    found = nm.select_factors(nm.ProbabilisticPCA(), two.iloc[:, :5])
    assert found.table_["n_factors"].to_pylist() == [1, 2, 3, 4]
    with pytest.raises(ValueError, match=r"n_factors=2 is too many for a table of 3 column\(s\)"):
        nm.select_factors(nm.FactorAnalysis(), two.iloc[:, :3], 2)


def test_weights_count_rows_and_aic_may_choose_otherwise(two):
    some = two.iloc[:150]
    weight = 1.0 + np.arange(150) % 2
    twice = pd.concat([some, some[weight == 2]])
    a = nm.select_factors(nm.ProbabilisticPCA(), some, [1, 2], criterion="aic", sample_weight=weight)
    b = nm.select_factors(nm.ProbabilisticPCA(), twice, [1, 2], criterion="aic")
    assert a.criterion == "aic"
    np.testing.assert_allclose(a.table_["aic"], b.table_["aic"], rtol=1e-8)  # each within tol of the maximum
    np.testing.assert_allclose(a.table_["bic"], b.table_["bic"], rtol=1e-8)


def test_only_the_best_candidate_is_warned_of():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(60, 1))
    x = np.column_stack([z, z + rng.normal(size=(60, 4))])  # the first column is the factor itself
    with pytest.warns(nm.DegenerateWarning, match="'x0'"):
        found = nm.select_factors(nm.FactorAnalysis(), x, [1])
    assert found.table_["heywood"].to_pylist() == [1]
    y = z @ np.ones((1, 5)) + rng.normal(size=(60, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nm.select_factors(nm.FactorAnalysis(), y, [1, 2])
    with pytest.warns(nm.ConvergenceWarning, match="max_iter"):
        nm.select_factors(nm.FactorAnalysis(max_iter=1), y, [1])


@pytest.mark.parametrize(
    ("estimator", "options", "error", "message"),
    [
        (nm.BayesianPCA(), {}, TypeError, "finds the number of its factors by itself"),
        (nm.GaussianMixture(), {}, TypeError, "mixtures have select"),
        (nm.FactorAnalysis(pattern={"a": ["v0", "v1"]}), {}, ValueError, "a pattern says how many"),
        (nm.FactorAnalysis(), {"criterion": "icl"}, ValueError, "criterion='icl': choose among bic, aic"),
        (nm.FactorAnalysis(), {"n_factors": []}, ValueError, "n_factors is empty"),
        (nm.FactorAnalysis(), {"n_factors": [0]}, ValueError, "n_factors=0 must be an integer"),
        (nm.FactorAnalysis(rotation="equamax"), {}, ValueError, "rotation='equamax': choose among varimax"),
    ],
)
def test_what_cannot_be_compared_is_refused(two, estimator, options, error, message):
    with pytest.raises(error, match=message):
        nm.select_factors(estimator, two, **options)
