"""Mixtures of other families: published fits, brute force, equality between estimators, bad input."""

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats
from sklearn.utils.estimator_checks import parametrize_with_checks

import noumena as nm
from conftest import real_path
from noumena.estimators.mixture_fitting import merged
from noumena.models.completion import drawn_cells


def mixed(n: int = 240, missing: float = 0.15, seed: int = 0) -> pd.DataFrame:
    """Three groups seen through columns of every kind, with holes."""
    rng = np.random.default_rng(seed)
    z = rng.integers(3, size=n)
    frame = pd.DataFrame(
        {
            "age": rng.normal(np.array([30.0, 50, 65])[z], 5),
            "visits": rng.poisson(np.array([1.0, 4, 10])[z]).astype(float),
            "x": rng.normal(z, 1.0),
            "y": rng.normal(-z, 1.0),
            "smoker": np.where(rng.random(n) < np.array([0.1, 0.5, 0.9])[z], "yes", "no"),
            "city": np.array(["Aachen", "Bonn", "Celle"])[(z + rng.integers(2, size=n)) % 3],
        }
    )
    for column in frame:
        frame.loc[rng.random(n) < missing, column] = None
    return frame


FAMILIES = {"age": "normal", "visits": "poisson", ("x", "y"): "normal", "smoker": "bernoulli", "city": "categorical"}


@pytest.fixture(scope="module")
def table():
    return mixed()


@pytest.fixture(scope="module")
def fitted(table):
    return nm.Mixture(FAMILIES, n_components=3, n_init=4, random_state=0).fit(table)


# ------------------------------------------------------------------------------------------------------- published


@pytest.mark.parametrize(
    ("classes", "published"), [(1, -524.4648), (2, -317.2568), (3, -293.705), (4, -289.2858)], ids="{}".format
)
def test_carcinoma(classes, published):
    items = pd.read_csv(real_path("classical/carcinoma.csv"))
    lca = nm.LatentClassAnalysis(classes, random_state=0).fit(items)
    assert lca.log_likelihood_ == pytest.approx(published, abs=6e-5)
    assert lca.converged_


def test_carcinoma_with_three_classes():
    items = pd.read_csv(real_path("classical/carcinoma.csv"))
    lca = nm.LatentClassAnalysis(3, tol=1e-9, random_state=0).fit(items)
    fit = lca.goodness_of_fit(items)
    assert lca.n_parameters_ == 23
    np.testing.assert_allclose([lca.aic(items), lca.bic(items)], [633.41, 697.1357], atol=6e-3)
    np.testing.assert_allclose([fit.g_squared, fit.x_squared], [15.26171, 20.50336], atol=6e-6)
    np.testing.assert_allclose(np.sort(lca.weights_), [0.1817, 0.3736, 0.4447], atol=6e-5)


@pytest.mark.parametrize(("classes", "published"), [(2, -2783.268), (3, -2754.545), (4, -2746.621)], ids="{}".format)
def test_social_survey(classes, published):
    items = pd.read_csv(real_path("classical/gss82.csv"))
    assert nm.LatentClassAnalysis(classes, random_state=0).fit(items).log_likelihood_ == pytest.approx(
        published, abs=6e-4
    )


def test_cheating():
    items = pd.read_csv(real_path("classical/cheating.csv"))[["LIEEXAM", "LIEPAPER", "FRAUD", "COPYEXAM"]]
    assert nm.LatentClassAnalysis(2, random_state=0).fit(items).log_likelihood_ == pytest.approx(-440.0271, abs=6e-5)


@pytest.mark.parametrize("accelerate", ["squarem", "anderson"])
def test_death_notices(accelerate):
    """Hasselblad (1969); log likelihood and estimates as in the literature on accelerating EM.

    The ridge is so flat that steps of SQUAREM drown in rounding 6e-9 nats below the maximum.
    """
    days = [162, 267, 271, 185, 111, 61, 27, 8, 3, 1]
    counts = np.arange(10.0)[:, None]
    two = nm.PoissonMixture(2, tol=1e-11, max_iter=20_000, accelerate=accelerate, random_state=0)
    two.fit(counts, sample_weight=days)
    assert two.log_likelihood_ == pytest.approx(-1989.945859883, abs=1e-8)
    order = two.rates_[:, 0].argsort()
    np.testing.assert_allclose(two.rates_[order, 0], [1.2560951, 2.6634044], atol=2e-4)
    np.testing.assert_allclose(two.weights_[order], [0.3598854, 0.6401146], atol=2e-4)


# -------------------------------------------------------------------------------------------------------- densities


def test_the_log_likelihood_of_a_mixed_table_by_brute_force(table, fitted):
    """Every observed cell's density from SciPy, multiplied up; the pair's marginal where one of it is missing."""
    p, expected = fitted.parameters_, np.zeros((len(table), 3))
    for k in range(3):
        pair = p["x", "y"]
        for n, row in enumerate(table.itertuples(index=False)):
            total = np.log(fitted.weights_[k])
            if not np.isnan(row.age):
                total += stats.norm.logpdf(row.age, p["age"]["mean"][k], p["age"]["standard_deviation"][k])
            if not np.isnan(row.visits):
                total += stats.poisson.logpmf(row.visits, p["visits"]["rate"][k])
            if isinstance(row.smoker, str):
                chance = p["smoker"]["probability"][k]
                total += np.log(chance if row.smoker == "yes" else 1 - chance)
            if isinstance(row.city, str):
                total += np.log(p["city"]["probability"][k, fitted.levels_["city"].index(row.city)])
            both = np.array([row.x, row.y])
            seen = ~np.isnan(both)
            if seen.any():
                mean, covariance = pair["mean"][k][seen], pair["covariance"][k][np.ix_(seen, seen)]
                total += stats.multivariate_normal.logpdf(both[seen], mean, covariance)
            expected[n, k] = total
    rows = np.logaddexp.reduce(expected, axis=1)
    np.testing.assert_allclose(fitted.score_samples(table), rows, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(fitted.log_likelihood_, rows.sum(), rtol=1e-10)
    np.testing.assert_allclose(fitted.predict_proba(table), np.exp(expected - rows[:, None]), rtol=1e-8, atol=1e-12)


def test_student_t_against_scipy():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_t(4, (150, 2)), 7 + rng.standard_t(4, (150, 2))])
    x[::9, 1] = np.nan
    tm = nm.StudentTMixture(2, degrees_of_freedom=4.0, random_state=0).fit(x)
    densities = np.zeros((len(x), 2))
    for n, row in enumerate(x):
        seen = ~np.isnan(row)
        for k in range(2):
            shape = tm.scales_[k][np.ix_(seen, seen)]
            densities[n, k] = stats.multivariate_t.pdf(row[seen], tm.locations_[k][seen], shape, df=4)
    np.testing.assert_allclose(tm.score_samples(x), np.log(densities @ tm.weights_), rtol=1e-9)
    assert tm.log_likelihood_ > nm.GaussianMixture(2, random_state=0).fit(x).log_likelihood_


@pytest.mark.parametrize("own", [False, True], ids=["default", "own"])
def test_student_t_with_a_prior_and_many_degrees_of_freedom_is_a_gaussian_mixture_with_it(table, own):
    """log t_ν − log N is of order δ⁴/4ν a row; 1e-4 in all at ν = 1e6, and its slope as small."""
    x = table[["age", "x", "y"]]
    prior = nm.NormalInverseWishart([45.0, 0, 0], 2.0, 6.0, np.diag([100.0, 2, 2])) if own else "default"
    settings = {"init_params": np.arange(len(x)) % 3, "prior": prior, "max_iter": 40, "tol": 0.0, "accelerate": None}
    robust = nm.StudentTMixture(3, degrees_of_freedom=1e6, **settings).fit(x)
    gaussian = nm.GaussianMixture(3, **settings).fit(x)
    np.testing.assert_allclose(robust.trace_.objective, gaussian.trace_.objective, atol=2e-3)
    np.testing.assert_allclose(robust.locations_, gaussian.means_, rtol=1e-3)
    np.testing.assert_allclose(robust.scales_, gaussian.covariances_, rtol=1e-3, atol=1e-4)
    assert abs(robust.trace_.objective[-1] - robust.log_likelihood_) > 1.0


@pytest.mark.slow
def test_a_prior_keeps_a_student_t_from_collapsing(tmp_path):
    """Rows that lie in a plane, here in two groups, have no density without one."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(80, 2)) + 6.0 * (np.arange(80) < 40)[:, None], np.zeros(80)])
    x[:, 2] = x[:, 0] + x[:, 1]
    with pytest.warns(nm.DegenerateWarning):
        nm.StudentTMixture(1, random_state=0).fit(x)
    tm = nm.StudentTMixture(2, prior="default", random_state=0).fit(x)
    assert tm.converged_
    tm.save(tmp_path / "model")
    np.testing.assert_array_equal(nm.load(tmp_path / "model").predict_proba(x), tm.predict_proba(x))
    with pytest.raises(ValueError, match="prior='weak': choose \"default\""):
        nm.StudentTMixture(prior="weak").fit(x)
    with pytest.raises(ValueError, match="the prior is for 2 columns, the table has 3"):
        nm.StudentTMixture(prior=nm.NormalInverseWishart([0, 0], 1.0, 4.0, np.eye(2))).fit(x)


def test_student_t_draws_of_missing_cells():
    """Given an observed cell 3 scale units out, the other is t with ν + 1 degrees and variance (ν + 9)/(ν + 1) · …"""
    x = np.random.default_rng(1).standard_t(5, (400, 2))
    tm = nm.StudentTMixture(1, covariance="EII", degrees_of_freedom=5.0, random_state=0).fit(x)
    scale, location = np.sqrt(tm.scales_[0, 0, 0]), tm.locations_[0]
    rows = np.column_stack([np.full(20_000, location[0] + 3 * scale), np.full(20_000, np.nan)])
    drawn = drawn_cells(
        tm._model.family, tm._model.parameters, rows, np.zeros(len(rows), dtype=int), np.random.default_rng(2)
    )
    away = (drawn[:, 1] - location[1]) / (scale * np.sqrt((5 + 9) / (5 + 1)))
    assert stats.kstest(away, stats.t(6).cdf).pvalue > 1e-4
    np.testing.assert_array_equal(drawn[:, 0], rows[:, 0])


# --------------------------------------------------------------------------------------------------------- equality


def test_one_multivariate_group_is_a_gaussian_mixture(table):
    x = table[["age", "x", "y"]]
    start = np.arange(len(x)) % 3
    settings = {"n_components": 3, "init_params": start, "random_state": 0, "max_iter": 25, "tol": 0.0}
    mixture = nm.Mixture({("age", "x", "y"): "normal"}, **settings).fit(x)
    gaussian = nm.GaussianMixture(**settings).fit(x)
    np.testing.assert_allclose(mixture.trace_.objective, gaussian.trace_.objective, rtol=1e-11)
    np.testing.assert_allclose(mixture.parameters_["age", "x", "y"]["covariance"], gaussian.covariances_, rtol=1e-8)
    np.testing.assert_allclose(
        mixture.impute(x).to_numpy(float), gaussian.impute(x).to_numpy(float), rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_columns_of_two_levels_are_one_model_by_three_names(seed):
    rng = np.random.default_rng(seed)
    x = (rng.random((200, 5)) < rng.dirichlet(np.ones(5), 2)[rng.integers(2, size=200)] * 2).astype(float)
    x[rng.random(x.shape) < 0.2] = np.nan
    x[:2] = [[0.0] * 5, [1.0] * 5]
    start = {"init_params": np.arange(200) % 2, "max_iter": 30, "tol": 0.0, "accelerate": None}
    ends = [
        nm.BernoulliMixture(2, **start).fit(x),
        nm.LatentClassAnalysis(2, **start).fit(x),
        nm.Mixture(dict.fromkeys(range(5), "bernoulli"), 2, **start).fit(x),
        nm.Mixture(dict.fromkeys(range(5), "categorical"), 2, **start).fit(x),
    ]
    for other in ends[1:]:
        np.testing.assert_allclose(ends[0].trace_.objective, other.trace_.objective, rtol=1e-10)
        assert ends[0].n_parameters_ == other.n_parameters_


def test_merging_identical_rows_changes_nothing():
    rng = np.random.default_rng(3)
    chance = np.array([[0.2, 0.3, 0.2], [0.8, 0.6, 0.9]])[rng.integers(2, size=400)]
    x = np.repeat((rng.random((400, 3)) < chance).astype(float), 2, axis=1)[:, :5]
    x[rng.random(x.shape) < 0.1] = np.nan
    lca = nm.LatentClassAnalysis(2, n_init=3, random_state=0).fit(x)
    problem = lca._problem(x, None, None)
    assert problem.table.n_rows <= 3**5
    assert problem.weight.sum() == 400
    np.testing.assert_allclose(lca.score_samples(x).sum(), lca.log_likelihood_, rtol=1e-12)
    repeated = lca._problem(x, None, np.full(400, 2.0))
    np.testing.assert_array_equal(repeated.weight, 2 * problem.weight)
    different = lca._problem(np.column_stack([x, np.arange(400) % 150 + 0.0]), None, None)
    assert merged(different) is different


def test_weights_are_repetitions(table):
    weight = np.arange(len(table)) % 3
    settings = {"n_components": 2, "max_iter": 12, "tol": 0.0, "random_state": 0}
    repeated = table.loc[table.index.repeat(weight)].reset_index(drop=True)
    start = np.arange(len(table)) % 2
    weighted = nm.Mixture(FAMILIES, init_params=start, **settings).fit(table, sample_weight=weight)
    again = nm.Mixture(FAMILIES, init_params=np.repeat(start, weight), **settings).fit(repeated)
    assert weighted.levels_ == again.levels_
    # the frames differ (standard deviations of the two tables do not), and rounding with them
    np.testing.assert_allclose(weighted.log_likelihood_, again.log_likelihood_, rtol=1e-9)


def test_known_components_are_kept(table):
    y = np.full(len(table), -1)
    y[:20] = 1
    mixture = nm.Mixture(FAMILIES, n_components=2, random_state=0).fit(table, y)
    free = nm.Mixture(FAMILIES, n_components=2, random_state=0).fit(table)
    assert mixture.log_likelihood_ < free.log_likelihood_


# -------------------------------------------------------------------------------------------------------- answers


def test_families_are_inferred_and_shown(table):
    frame = table.assign(married=np.arange(len(table)) % 2 == 0, year=np.arange(len(table)) % 5 - 2)
    mixture = nm.Mixture(n_components=2, random_state=0).fit(frame)
    assert mixture.families_ == {
        "age": "normal",
        "x": "normal",
        "y": "normal",
        "year": "normal",
        "visits": "poisson",
        "smoker": "categorical",
        "city": "categorical",
        "married": "bernoulli",
    }


def test_filled_cells(table, fitted):
    filled, hole = fitted.impute(table), table.isna()
    assert list(filled.columns) == ["age", "visits", "x", "y", "smoker", "city"]
    assert not filled.isna().any().any()
    seen = ~hole.to_numpy()
    assert (filled.to_numpy(object)[seen] == table[filled.columns].to_numpy(object)[seen]).all()
    posterior = fitted.predict_proba(table)
    np.testing.assert_allclose(
        filled["age"][hole["age"]], (posterior @ fitted.parameters_["age"]["mean"])[hole["age"]], rtol=1e-10
    )
    chances = fitted.impute_proba(table)
    np.testing.assert_allclose(chances["city"].sum(axis=1), 1.0)
    gaps = hole["city"].to_numpy()
    best = np.array(fitted.levels_["city"])[chances["city"].argmax(axis=1)]
    assert (filled["city"].to_numpy()[gaps] == best[gaps]).all()


@pytest.mark.parametrize("kind", ["pandas", "categories", "arrow", "list"])
def test_an_empty_text_is_a_missing_cell(kind):
    """As a file leaves it that was read without saying what an empty cell is: no level, and filled in."""
    colour = ["red", "", "blue", "red", "red", "", "blue", "red"] * 5
    size = [1.0, 1, 9, 2, 1, 9, 8, 2] * 5
    column = pd.Series(colour, dtype="category" if kind == "categories" else object)
    empty = {
        "arrow": pa.table({"colour": colour, "size": size}),
        "list": [list(row) for row in zip(colour, size, strict=True)],
    }.get(kind, pd.DataFrame({"colour": column, "size": size}))
    null = pd.DataFrame({"colour": pd.Series(colour, dtype=object).replace("", None), "size": size})
    names = ["colour", "size"] if kind != "list" else [0, 1]
    families = dict(zip(names, ["categorical", "normal"], strict=True))
    mixture = nm.Mixture(families, n_components=1, random_state=0).fit(empty)
    plain = nm.Mixture({"colour": "categorical", "size": "normal"}, n_components=1, random_state=0).fit(null)
    assert list(mixture.levels_.values()) == [("blue", "red")]
    assert mixture.log_likelihood_ == plain.log_likelihood_
    filled = mixture.impute(empty)
    cells = filled["colour"] if kind != "list" else filled["x0"]
    assert set(np.asarray(cells)) == {"blue", "red"}


def test_draws_of_missing_cells_follow_their_probabilities(table, fitted):
    """Each level's count over 400 draws is binomial: within 5 standard deviations, 9 places, P(false) < 1e-5."""
    row = pd.concat([table[table["city"].isna()].head(1)] * 400, ignore_index=True)
    drawn = fitted.impute(row, draws=1, random_state=0)[0]["city"]
    chance = fitted.impute_proba(row)["city"][0]
    for level, p in zip(fitted.levels_["city"], chance, strict=True):
        assert abs((drawn == level).sum() - 400 * p) <= 5 * np.sqrt(400 * p * (1 - p)) + 1e-9


def test_samples_have_the_models_moments(fitted):
    rows, component = fitted.sample(20_000, random_state=0)
    assert isinstance(rows, pa.Table)
    share = np.bincount(component, minlength=3) / 20_000
    np.testing.assert_allclose(share, fitted.weights_, atol=5 * 0.5 / np.sqrt(20_000))
    visits = rows["visits"].to_numpy()
    for k in range(3):
        rate = fitted.parameters_["visits"]["rate"][k]
        own = visits[component == k]
        assert abs(own.mean() - rate) <= 5 * np.sqrt(rate / len(own))
    assert set(rows["smoker"].to_pylist()) == {"no", "yes"}


@pytest.mark.parametrize(
    "estimator",
    [
        nm.Mixture(FAMILIES, n_components=2, prior="default", random_state=0),
        nm.LatentClassAnalysis(2, n_init=2, random_state=0),
        nm.BernoulliMixture(2, random_state=0),
        nm.PoissonMixture(2, prior="default", random_state=0),
        nm.StudentTMixture(2, random_state=0),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_stored_model_is_the_model(estimator, table, tmp_path):
    columns = {
        "LatentClassAnalysis": ["smoker", "city"],
        "PoissonMixture": ["visits"],
        "StudentTMixture": ["age", "x", "y"],
    }.get(type(estimator).__name__, list(table.columns))
    x = table[columns]
    if isinstance(estimator, nm.BernoulliMixture):
        x = (table[["x", "y"]] > 0).astype(float)
    fitted = estimator.fit(x)
    fitted.save(tmp_path / "model")
    loaded = nm.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(x), fitted.predict_proba(x))
    assert loaded.n_parameters_ == fitted.n_parameters_
    assert loaded.get_params() == fitted.get_params()
    for name in ("families_", "levels_"):
        assert getattr(loaded, name, None) == getattr(fitted, name, None)


def test_a_sweep_over_classes_finds_the_simulated_number():
    rng = np.random.default_rng(5)
    chance = np.array([[0.1, 0.2, 0.1, 0.9, 0.8], [0.9, 0.8, 0.9, 0.2, 0.1]])[rng.integers(2, size=500)]
    x = np.where(rng.random((500, 5)) < chance, "yes", "no")
    best = nm.select(nm.LatentClassAnalysis(n_init=5, random_state=0), x, n_components=range(1, 5))
    assert best.estimator_.n_components == 2
    assert "covariance" not in best.table_.column_names
    assert set(best.estimator_.predict(x)) == {0, 1}
    with pytest.raises(ValueError, match="has no covariance structures"):
        nm.select(nm.LatentClassAnalysis(), x, covariance="all")


def test_only_mixtures_are_selected_by_their_number_of_components():
    with pytest.raises(TypeError, match="BayesianNetwork is none: for Bayesian networks use select_network"):
        nm.select(nm.BayesianNetwork(), [["a", "b"], ["b", "a"]])


def test_entropy_r2_says_how_sure_the_classes_are():
    """1 − Σ_n w_n H(z | x_n) / (n log K), the entropies SciPy's."""
    rng = np.random.default_rng(3)
    chance = np.array([[0.2, 0.3, 0.1, 0.6], [0.7, 0.8, 0.6, 0.3]])[rng.integers(2, size=300)]
    x = (rng.random((300, 4)) < chance).astype(float)
    x[rng.random(x.shape) < 0.2] = np.nan
    lca = nm.LatentClassAnalysis(3, random_state=0).fit(x)
    weight = rng.integers(0, 3, size=len(x))
    entropies = stats.entropy(lca.predict_proba(x), axis=1)
    assert 0.2 < lca.entropy_r2(x) < 0.9
    assert lca.entropy_r2(x) == pytest.approx(1 - entropies.sum() / (300 * np.log(3)), rel=1e-12)
    assert lca.entropy_r2(x, weight) == pytest.approx(1 - weight @ entropies / (weight.sum() * np.log(3)), rel=1e-12)
    assert lca.entropy_r2(x, weight) == pytest.approx(lca.entropy_r2(np.repeat(x, weight, axis=0)), rel=1e-12)


def test_entropy_r2_of_certain_classes_and_of_guesses():
    x = np.repeat([[0.0] * 12, [1.0] * 12], 20, axis=0)
    assert nm.LatentClassAnalysis(1).fit(x).entropy_r2(x) == 1.0
    two = nm.LatentClassAnalysis(2, random_state=0).fit(x)
    assert two.entropy_r2(x) == pytest.approx(1.0, abs=1e-9)
    guesses = np.full((5, 12), np.nan)
    assert two.entropy_r2(guesses) == pytest.approx(0.0, abs=1e-9)  # 20 rows in each class


# ------------------------------------------------------------------------------------- shares of totals, and trials


def ballots(n: int = 300, seed: int = 0) -> pd.DataFrame:
    """Votes of districts of two kinds, shared out over three parties; every ninth district has not reported."""
    rng = np.random.default_rng(seed)
    z = rng.integers(2, size=n)
    shares = np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]])[z]
    votes = rng.multinomial(rng.integers(20, 60, size=n), shares).astype(float)
    frame = pd.DataFrame(votes, columns=["left", "centre", "right"])
    frame["correct"] = rng.binomial(20, np.array([0.2, 0.5])[z]).astype(float)
    frame["income"] = rng.normal(z, 1.0)
    frame.loc[::9, ["left", "centre", "right"]] = np.nan
    frame.loc[::7, "income"] = np.nan
    return frame


PARTIES = ("left", "centre", "right")
BALLOTS = {PARTIES: "multinomial", "correct": ("binomial", 20), "income": "normal"}


@pytest.fixture(scope="module")
def counted():
    return nm.Mixture(BALLOTS, n_components=2, n_init=2, random_state=0).fit(ballots())


def test_shares_of_a_total_are_a_multinomial_group(counted):
    """The log likelihood by SciPy; parameters, sizes and names."""
    table, p = ballots(), counted.parameters_
    expected = np.tile(np.log(counted.weights_), (len(table), 1))
    for k in range(2):
        for n, row in enumerate(table.itertuples(index=False)):
            votes = [row.left, row.centre, row.right]
            if not np.isnan(row.left):
                expected[n, k] += stats.multinomial.logpmf(votes, sum(votes), p[PARTIES]["probability"][k])
            expected[n, k] += stats.binom.logpmf(row.correct, 20, p["correct"]["probability"][k])
            if not np.isnan(row.income):
                expected[n, k] += stats.norm.logpdf(
                    row.income, p["income"]["mean"][k], p["income"]["standard_deviation"][k]
                )
    np.testing.assert_allclose(counted.score_samples(table), np.logaddexp.reduce(expected, axis=1), rtol=1e-10)
    assert counted.families_ == {PARTIES: "multinomial", "correct": "binomial", "income": "normal"}
    assert counted.trials_ == {"correct": 20}
    assert counted.n_parameters_ == 1 + 2 * (2 + 1 + 2)
    found = p[PARTIES]["probability"][np.argsort(-p[PARTIES]["probability"][:, 0])]
    # 150 districts of 40 votes each: standard errors below 0.0065
    np.testing.assert_allclose(found, [[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]], atol=0.03)


def test_shares_of_a_total_are_imputed_and_sampled(counted, tmp_path):
    table = ballots()
    filled = counted.impute(table)
    hole = table["left"].isna().to_numpy()
    votes = filled[list(PARTIES)].to_numpy()
    mean_total = table[list(PARTIES)].dropna().to_numpy().sum(axis=1).mean()
    expected = mean_total * counted.predict_proba(table) @ counted.parameters_[PARTIES]["probability"]
    np.testing.assert_allclose(votes[hole], expected[hole], rtol=1e-10)
    np.testing.assert_array_equal(votes[~hole], table.loc[~hole, list(PARTIES)])
    drawn = counted.impute(table, draws=1, random_state=0)[0][list(PARTIES)].to_numpy()
    seen = set(table[list(PARTIES)].dropna().to_numpy().sum(axis=1))
    assert set(drawn.sum(axis=1)) <= seen
    rows, _ = counted.sample(500, random_state=0)
    assert set(sum(rows[name].to_numpy() for name in PARTIES)) <= seen
    assert rows["correct"].to_numpy().max() <= 20

    counted.save(tmp_path / "model")
    loaded = nm.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(table), counted.predict_proba(table))
    assert (loaded.trials_, loaded.families_) == (counted.trials_, counted.families_)
    assert loaded.get_params() == counted.get_params()
    with pytest.raises(nm.DataError, match="more than its 20 trials"):
        loaded.predict(table.assign(correct=21.0))


def test_standard_errors_of_shares_are_those_of_a_multinomial():
    """One component: √(p (1 − p) / N) with N votes in all, exactly."""
    table = ballots()[list(PARTIES)].dropna()
    one = nm.Mixture({PARTIES: "multinomial"}).fit(table)
    p, votes = one.parameters_[PARTIES]["probability"], table.to_numpy().sum()
    np.testing.assert_allclose(p[0], table.sum() / votes, rtol=1e-12)
    found = one.standard_errors(table).parameters[PARTIES]["probability"]
    np.testing.assert_allclose(found, np.sqrt(p * (1 - p) / votes), rtol=1e-8)


def test_the_number_of_groups_of_shares_is_found():
    best = nm.select(nm.Mixture(BALLOTS, n_init=2, random_state=0), ballots(), n_components=[1, 2, 3])
    assert best.estimator_.n_components == 2


def test_trials_are_the_largest_count_or_what_is_said():
    table = ballots()[["correct"]]
    assert nm.Mixture({"correct": "binomial"}).fit(table).trials_ == {"correct": int(table["correct"].max())}
    both = nm.Mixture({"correct": "binomial", "again": ("binomial", 30)}).fit(table.assign(again=table["correct"]))
    assert both.trials_ == {"correct": int(table["correct"].max()), "again": 30}
    np.testing.assert_allclose(both.parameters_["again"]["probability"], table["correct"].mean() / 30)
    # as many rows as no sample of them holds: the largest count is looked for among all
    long = pd.DataFrame({"correct": np.r_[np.zeros(40_000), np.ones(40_000), 7.0]})
    assert nm.Mixture({"correct": "binomial"}).fit(long).trials_ == {"correct": 7}


@pytest.mark.parametrize(
    ("families", "cells", "words"),
    [
        ({"correct": ("binomial", 20)}, {"correct": 25.0}, "'correct' holds 25 successes at row 3, more than its 20"),
        ({"correct": ("binomial", 0)}, {}, "trials of families.*must be an integer of at least 1"),
        ({"correct": ("poisson", 3)}, {}, "choose among normal"),
        ({PARTIES: "multinomial"}, {"left": np.nan}, "row 3 has no count in 'left', but has one in 'centre', 'right'"),
        ({PARTIES: "multinomial"}, {"left": 0.5}, "'left' holds 0.5 at row 3, but its family, Multinomial, takes"),
        ({"left": "multinomial"}, {}, "name all columns that a total is shared out over"),
    ],
)
def test_shares_and_trials_that_cannot_be(families, cells, words):
    with pytest.raises((nm.DataError, ValueError), match=words):
        nm.Mixture(families, n_components=2).fit(changed(ballots(), **cells))


def test_noise_beside_shares_of_a_total_is_refused():
    with pytest.raises(ValueError, match="noise='box' beside a multinomial group"):
        nm.Mixture(BALLOTS, n_components=2, noise="box").fit(ballots())


def test_a_group_that_is_partly_missing_is_refused_at_prediction(counted):
    with pytest.raises(nm.DataError, match="row 3 has no count in 'centre', but has one in 'left', 'right'"):
        counted.predict(changed(ballots(), centre=np.nan))


# ------------------------------------------------------------------------------------------------------- bad input


def changed(table: pd.DataFrame, **cells) -> pd.DataFrame:
    out = table.copy()
    for column, value in cells.items():
        out[column] = out[column].astype(object)
        out.loc[3, column] = value
        if not isinstance(value, str):
            out[column] = out[column].astype(float)
    return out


@pytest.mark.parametrize(
    ("families", "cells", "words"),
    [
        ({"visits": "poisson"}, {"visits": -1.0}, "'visits' holds -1 at row 3"),
        ({"visits": "poisson"}, {"visits": 0.5}, "'visits' holds 0.5 at row 3"),
        ({"age": "gamma"}, {"age": 0.0}, "'age' holds 0 at row 3"),
        ({"age": "beta"}, {}, "its family, Beta, takes"),
        ({"city": "bernoulli"}, {}, "3 levels"),
        ({"city": "normal"}, {}, "does not hold numbers"),
        ({"name": "normal"}, {}, "no such column: 'name'"),
        ({"age": "norm"}, {}, "choose among normal"),
        ({}, {}, "families is empty"),
    ],
)
def test_a_family_that_does_not_fit_its_column(table, families, cells, words):
    with pytest.raises((nm.DataError, ValueError), match=words):
        nm.Mixture(families, n_components=2).fit(changed(table, **cells))


def test_values_that_the_model_was_not_fitted_on(table, fitted):
    with pytest.raises(nm.DataError, match="'city' holds 'Dresden' at row 3, a level that the model was not fitted on"):
        fitted.predict(changed(table, city="Dresden"))
    with pytest.raises(nm.DataError, match="'visits' holds -2 at row 3"):
        fitted.predict(changed(table, visits=-2.0))
    with pytest.raises(nm.ColumnMismatchError, match="city"):
        fitted.predict(table.drop(columns="city"))


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pd.Series([None] * 40, dtype=object), "no observed value"),
        (pd.Series([f"name {i}" for i in range(40)] * 10), "40 different values|hardly|leave it out"),
    ],
)
def test_columns_that_say_nothing(column, words):
    if column.nunique() == 40:
        column = pd.Series([f"name {i}" for i in range(400)])
        words = "400 different values"
    with pytest.raises(nm.DataError, match=words):
        nm.LatentClassAnalysis(2).fit(pd.DataFrame({"a": column, "b": ["yes", "no"] * (len(column) // 2)}))


@pytest.mark.parametrize("cells", [[["a"], ["b"]], [{"in": "a"}, {"in": "b"}]], ids=["list", "struct"])
@pytest.mark.parametrize(
    "estimator",
    [nm.LatentClassAnalysis(1), nm.Mixture({"odd": "categorical"}), nm.Mixture(), nm.BayesianNetwork()],
    ids=["classes", "categorical", "inferred", "network"],
)
def test_columns_of_lists_or_records_make_no_levels(cells, estimator):
    frame = pa.table({"odd": cells * 10, "plain": ["yes", "no"] * 10})
    with pytest.raises(nm.ColumnTypeError, match=r"'odd' holds (list|struct)<.*>, which makes no levels: leave it out"):
        estimator.fit(frame)


def test_a_constant_column_is_refused_where_its_density_has_no_maximum(table):
    with pytest.raises(nm.DataError, match="'age' is constant"):
        nm.Mixture({"age": "log-normal", "visits": "poisson"}, n_components=2).fit(table.assign(age=3.0))
    ones = np.ones((30, 2))
    ones[:10, 0] = 0
    assert nm.BernoulliMixture(1).fit(ones).converged_


def test_a_component_that_collapses_is_told(table):
    """Two rows with equal ages 40 years from the others: a gamma component closes in on them."""
    ages = np.concatenate([np.random.default_rng(0).gamma(30, 1.0, 80), [500.0] * 4])
    with pytest.warns(nm.DegenerateWarning, match=r"component \d .*use fewer components"):
        nm.Mixture({"age": "gamma"}, n_components=2, random_state=0).fit(pd.DataFrame({"age": ages}))


# ------------------------------------------------------------------------------------------------------ scikit-learn


@pytest.mark.slow
@parametrize_with_checks([nm.Mixture(), nm.StudentTMixture()])
def test_scikit_learns_own_checks(estimator, check):
    """Those whose cells may be any numbers; scikit-learn hands real numbers to estimators of bits and counts, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nm.ConvergenceWarning)
        warnings.simplefilter("ignore", nm.DegenerateWarning)
        check(estimator)
