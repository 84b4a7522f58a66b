"""The bootstrap test of K components against K + 1: statistics, p-values, holes, levels, refusals."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import noumena as nm
from conftest import real_path
from noumena.core import expectation
from noumena.estimators import bootstrap_test as module

pytestmark = pytest.mark.slow  # dozens of fits each


def groups(n, apart, seed=0, d=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + apart * rng.integers(2, size=n)[:, None]


@pytest.fixture
def simulated(monkeypatch):
    """The tables that a test simulates, as they are made."""
    seen, original = [], module._simulated

    def spy(*arguments):
        seen.append(original(*arguments))
        return seen[-1]

    monkeypatch.setattr(module, "_simulated", spy)
    return seen


def test_the_statistic_and_the_p_value_are_what_they_say():
    x = groups(80, 3.0)
    test = nm.bootstrap_test(nm.GaussianMixture(covariance="EEE"), x, n_components=1, n_bootstrap=9, random_state=0)
    one, two = (nm.GaussianMixture(k, covariance="EEE", n_init=5, random_state=1).fit(x) for k in (1, 2))
    # each fit stops within tol = 1e-4 nats of its maximum
    assert test.statistic == pytest.approx(2 * (two.log_likelihood_ - one.log_likelihood_), abs=4e-4)
    assert test.null.n_components == 1
    assert test.alternative.n_components == 2
    scores = [fitted.score_samples(x).sum() for fitted in (test.alternative, test.null)]
    assert test.statistic == pytest.approx(2 * (scores[0] - scores[1]), rel=1e-10)
    assert test.null_statistics.shape == (9,)
    assert (test.null_statistics >= 0).all()
    assert test.p_value == (1 + (test.null_statistics >= test.statistic).sum()) / 10


def test_separate_groups_are_told():
    test = nm.bootstrap_test(nm.GaussianMixture(1), groups(80, 5.0), n_bootstrap=19, random_state=0)
    assert test.p_value == 0.05
    assert test.null_statistics.max() < test.statistic / 4


def test_enough_components_are_enough():
    """Two groups, two components: p-values of five tables are no more extreme than 1 in 1,000 for uniform ones."""
    gm = nm.GaussianMixture(covariance="EEE")
    p = [
        nm.bootstrap_test(gm, groups(80, 4.0, seed), n_components=2, n_bootstrap=9, random_state=seed).p_value
        for seed in range(5)
    ]
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    assert max(p) > 0.2


@pytest.mark.slow
def test_p_values_are_uniform_where_the_null_holds():
    """Sixty tables: the Kolmogorov–Smirnov distance may be D with P(D) > 1e-3, plus the step 1/20 of the p-values."""
    p = np.array(
        [
            nm.bootstrap_test(
                nm.GaussianMixture(covariance="EEE", n_init=3),
                groups(80, 4.0, seed),
                n_components=2,
                n_bootstrap=19,
                random_state=seed,
            ).p_value
            for seed in range(60)
        ]
    )
    distance = stats.kstest(p, "uniform").statistic
    assert distance < stats.kstwo.ppf(1 - 1e-3, 60) + 1 / 20


def test_carcinoma_has_three_classes():
    """2 against 3: 2 (−293.705 + 317.2568), log likelihoods by poLCA; 3 against 4 is not told."""
    items = pd.read_csv(real_path("classical/carcinoma.csv"))
    lca = nm.LatentClassAnalysis(n_init=10)
    two = nm.bootstrap_test(lca, items, n_components=2, n_bootstrap=19, random_state=0)
    assert two.statistic == pytest.approx(47.1036, abs=2e-3)
    assert two.p_value == 0.05


@pytest.mark.slow
def test_carcinoma_has_no_more_than_three_classes():
    items = pd.read_csv(real_path("classical/carcinoma.csv"))
    three = nm.bootstrap_test(nm.LatentClassAnalysis(), items, n_components=3, random_state=0)
    assert three.statistic == pytest.approx(2 * (293.705 - 289.2858), abs=2e-3)
    assert three.p_value > 0.1


def test_simulated_tables_have_the_holes_of_the_given_one(simulated):
    x = groups(80, 4.0)
    x[::5, 0] = np.nan
    x[1::7, 1] = np.nan
    nm.bootstrap_test(nm.GaussianMixture(1), x, n_bootstrap=3, random_state=0)
    assert len(simulated) == 3
    for problem in simulated:
        np.testing.assert_array_equal(np.isnan(problem.table.to_array()), np.isnan(x))
        assert problem.summary.missing_per_row.tolist() == np.bincount(np.isnan(x).sum(axis=1), minlength=3).tolist()
    assert not np.allclose(*(np.nan_to_num(problem.table.to_array()) for problem in simulated[:2]))


def test_a_weight_is_that_many_rows(simulated):
    x, weight = groups(40, 4.0), np.random.default_rng(1).integers(0, 4, size=40)
    x[3, 0], weight[3] = np.nan, 3
    weighted = nm.bootstrap_test(nm.GaussianMixture(1), x, n_bootstrap=2, sample_weight=weight, random_state=0)
    assert [problem.table.n_rows for problem in simulated] == [weight.sum()] * 2
    assert np.isnan(simulated[0].table.to_array()).sum() == 3
    repeated = nm.bootstrap_test(nm.GaussianMixture(1), x.repeat(weight, axis=0), n_bootstrap=2, random_state=0)
    assert weighted.statistic == pytest.approx(repeated.statistic, abs=4e-4)


def test_levels_that_a_simulated_table_lacks_keep_their_place(simulated):
    """One answer in eighty says "rare": most simulated tables are without it."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"q{j}": rng.choice(["no", "yes"], size=80) for j in range(3)})
    frame.loc[7, "q0"] = "rare"
    frame.loc[::9, "q1"] = None
    test = nm.bootstrap_test(nm.LatentClassAnalysis(n_init=3), frame, n_components=1, n_bootstrap=5, random_state=0)
    rare = test.null.levels_["q0"].index("rare")
    lacking = [not (problem.table.to_array()[:, 0] == rare).any() for problem in simulated]
    assert any(lacking)
    assert len(test.null_statistics) == 5
    assert test.p_value > 1 / 6


ESTIMATORS = [
    (nm.StudentTMixture(1, degrees_of_freedom=5.0), groups(80, 8.0)),
    (nm.Mixture({"a": "normal", "b": "categorical"}, 1), None),
    (nm.BernoulliMixture(1), np.random.default_rng(0).random((90, 6)) < np.repeat([0.1, 0.9], 45)[:, None]),
    (nm.PoissonMixture(1), np.random.default_rng(0).poisson(np.repeat([1.0, 9.0], 40)[:, None] * np.ones(2))),
]


@pytest.mark.parametrize(("estimator", "table"), ESTIMATORS, ids=lambda one: type(one).__name__)
def test_every_estimator_is_tested(estimator, table):
    if table is None:
        z = np.arange(80) % 2
        rng = np.random.default_rng(0)
        table = pd.DataFrame({"b": np.where(z, "u", "v"), "c": z, "a": rng.normal(size=80) + 7.0 * z})
    test = nm.bootstrap_test(estimator, table, n_bootstrap=3, random_state=0)
    assert test.p_value == 0.25
    assert len(test.alternative.predict(table)) == len(table)


def test_a_background_is_simulated_and_fitted_too():
    x = np.concatenate([groups(80, 6.0), np.random.default_rng(1).uniform(-20, 25, size=(12, 2))])
    test = nm.bootstrap_test(nm.GaussianMixture(1, covariance="EEE", noise="box"), x, n_bootstrap=3, random_state=0)
    assert test.p_value == 0.25
    assert test.alternative.noise_weight_ > 0.05


def test_the_same_seed_gives_the_same_test():
    x = groups(80, 1.0)
    first, again, other = (
        nm.bootstrap_test(nm.GaussianMixture(1), x, n_bootstrap=3, random_state=s) for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.null_statistics, again.null_statistics)
    assert not np.array_equal(first.null_statistics, other.null_statistics)


def test_no_program_is_compiled_for_a_further_table():
    """All simulated tables have one shape, so what the first of them compiles serves the rest."""
    x = groups(80, 2.0)
    x[::5, 0] = np.nan
    compiled = []
    for n_bootstrap in (1, 6):
        nm.bootstrap_test(nm.GaussianMixture(1), x, n_bootstrap=n_bootstrap, random_state=0)
        compiled.append(expectation._of_block._cache_size())
    assert compiled[0] == compiled[1] > 0


def test_what_cannot_be_tested_is_refused():
    x = groups(30, 3.0)
    with pytest.raises(nm.DataError, match="whole numbers"):
        nm.bootstrap_test(nm.GaussianMixture(1), x, sample_weight=np.full(30, 0.5))
    with pytest.raises(nm.DataError, match="n_components"):
        nm.bootstrap_test(nm.GaussianMixture(30), x)
    with pytest.raises(ValueError, match="covariates"):
        nm.bootstrap_test(nm.LatentClassAnalysis(1, covariates=["x"]), pd.DataFrame({"x": x[:, 0], "q": x[:, 1] > 1}))
    with pytest.raises(ValueError, match="n_bootstrap"):
        nm.bootstrap_test(nm.GaussianMixture(1), x, n_bootstrap=0)
    with pytest.raises(ValueError, match="one number of components"):
        nm.bootstrap_test(nm.GaussianMixture(1, means_init=[[0.0, 0.0]]), x)
    flat = np.concatenate([np.zeros((20, 2)), np.ones((20, 2))])  # on a line
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nm.NoumenaWarning)
        with pytest.raises(nm.DataError, match="degenerate"):
            nm.bootstrap_test(nm.GaussianMixture(1), flat)


def test_tables_whose_fits_collapse_are_left_out_and_told(monkeypatch):
    original, kept = module._fitted, []

    def collapses(*arguments):
        pair = original(*arguments)
        kept.append(pair)
        if len(kept) in (2, 4):  # the first is the given table's
            pair.alternative.status_ = nm.Status.DEGENERATE
        return pair

    monkeypatch.setattr(module, "_fitted", collapses)
    gm = nm.GaussianMixture(1, covariance="EEE")
    with pytest.warns(nm.NoumenaWarning, match="2 of 5 simulated tables were left out"):
        test = nm.bootstrap_test(gm, groups(80, 4.0), n_bootstrap=5, random_state=0)
    assert len(test.null_statistics) == 3
    assert test.p_value == 0.25


def test_fits_that_collapse_are_tried_again(monkeypatch):
    original, tried = module._once, []

    def collapses(*arguments):
        pair = original(*arguments)
        tried.append(pair)
        if len(tried) == 2:
            pair.alternative.status_ = nm.Status.DEGENERATE
        return pair

    monkeypatch.setattr(module, "_once", collapses)
    test = nm.bootstrap_test(nm.GaussianMixture(1, covariance="EEE"), groups(80, 4.0), n_bootstrap=3, random_state=0)
    assert len(test.null_statistics) == 3
    assert len(tried) == 5


def test_fits_that_do_not_converge_are_told():
    lca = nm.PoissonMixture(max_iter=2, tol=1e-9)
    counts = np.random.default_rng(0).poisson(3.0, size=(60, 3))
    with pytest.warns(nm.ConvergenceWarning) as told:
        nm.bootstrap_test(lca, counts, n_components=2, n_bootstrap=2, random_state=0)
    assert ["fit to the table" in str(one.message) or "simulated" in str(one.message) for one in told] == [True, True]
