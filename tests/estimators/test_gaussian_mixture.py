"""The face a user meets: every method, every kind of table, bad input."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import multivariate_normal
from sklearn.utils.estimator_checks import estimator_checks_generator

import noumena as nm
from blocks import clusters, holes
from noumena.core.accelerate import Squarem

X = clusters(n=200, d=3, k=2, seed=1, spread=3.0)
HOLED = holes(X, 0.15, seed=2)


@pytest.fixture(scope="module")
def fitted() -> nm.GaussianMixture:
    return nm.GaussianMixture(2, random_state=0, tol=1e-8).fit(HOLED)


CHECKS = list(estimator_checks_generator(nm.GaussianMixture()))


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=[check.func.__name__ for _, check in CHECKS])
def test_scikit_learns_own_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's checks provoke the warnings they look at
        check(estimator)


def test_posteriors_and_scores_agree_with_scipy(fitted):
    joint = np.stack(
        [
            w * multivariate_normal.pdf(X, m, c)
            for w, m, c in zip(fitted.weights_, fitted.means_, fitted.covariances_, strict=True)
        ],
        axis=1,
    )
    np.testing.assert_allclose(fitted.score_samples(X), np.log(joint.sum(axis=1)), rtol=1e-10)
    np.testing.assert_allclose(fitted.predict_proba(X), joint / joint.sum(axis=1, keepdims=True), rtol=1e-8)
    np.testing.assert_array_equal(fitted.predict(X), joint.argmax(axis=1))
    assert fitted.score(X) == pytest.approx(np.log(joint.sum(axis=1)).mean())


def test_criteria_follow_from_the_log_likelihood(fitted):
    total = fitted.score_samples(HOLED).sum()
    assert total == pytest.approx(fitted.log_likelihood_, rel=1e-12)
    assert fitted.n_parameters_ == 1 + 2 * 3 + 2 * 6
    assert fitted.bic(HOLED) == pytest.approx(-2 * total + 19 * np.log(200))
    assert fitted.aic(HOLED) == pytest.approx(-2 * total + 38)
    certainty = np.log(fitted.predict_proba(HOLED).max(axis=1)).sum()
    assert fitted.icl(HOLED) == pytest.approx(fitted.bic(HOLED) - 2 * certainty)


def test_equal_seeds_give_equal_fits():
    one, two = (nm.GaussianMixture(3, n_init=3, random_state=5).fit(HOLED) for _ in range(2))
    np.testing.assert_array_equal(one.means_, two.means_)


def test_tables_of_every_kind_give_the_same_fit(tmp_path, fitted):
    frame = pd.DataFrame(HOLED, columns=["a", "b", "c"])
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    polars = pl.from_pandas(frame)
    for table in (frame, polars, polars.to_arrow(), tmp_path / "t.csv", str(tmp_path / "t.parquet"), HOLED.tolist()):
        again = nm.GaussianMixture(2, random_state=0, tol=1e-8).fit(table)
        np.testing.assert_allclose(again.means_, fitted.means_, rtol=1e-9)
        np.testing.assert_array_equal(again.predict(table), fitted.predict(HOLED))


def test_a_streamed_table_gives_the_same_fit(tmp_path, fitted, monkeypatch):
    """Blocks of a fixed shape, filled across slabs: read again at every iteration."""
    monkeypatch.setattr("noumena.data.source.RESIDENT_BYTES", 0)
    monkeypatch.setattr("noumena.data.table.Table.slab_rows", property(lambda self: 64))
    streamed = nm.GaussianMixture(2, random_state=0, tol=1e-8).fit(HOLED)
    np.testing.assert_allclose(streamed.means_, fitted.means_, rtol=1e-9)
    np.testing.assert_allclose(streamed.predict_proba(HOLED), fitted.predict_proba(HOLED), atol=1e-9)


def test_weights_count_rows():
    weight = np.random.default_rng(3).integers(0, 3, size=200)
    start = {"weights_init": [0.5, 0.5], "means_init": [[-2.0] * 3, [2.0] * 3], "covariances_init": [np.eye(3)] * 2}
    one = nm.GaussianMixture(2, tol=1e-9, **start).fit(HOLED, sample_weight=weight)
    two = nm.GaussianMixture(2, tol=1e-9, **start).fit(np.repeat(HOLED, weight, axis=0))
    np.testing.assert_allclose(one.means_, two.means_, rtol=1e-6)
    assert one.bic(HOLED, sample_weight=weight) == pytest.approx(two.bic(np.repeat(HOLED, weight, axis=0)))


def test_known_labels_are_kept():
    x = np.concatenate([np.random.default_rng(4).normal(m, 1, (100, 1)) for m in (0.0, 1.5)])
    y = np.full(200, -1)
    y[:50], y[100:150] = 1, 0
    gm = nm.GaussianMixture(2, random_state=0, tol=1e-8).fit(x, y)
    assert gm.means_[1, 0] < gm.means_[0, 0]  # label 1 marks the lower cluster
    with pytest.raises(nm.DataError, match="label 2, but the components are numbered 0 to 1"):
        nm.GaussianMixture(2).fit(x, np.where(y == 1, 2, y))


def test_the_prior_keeps_components_from_collapsing():
    x = np.vstack([np.zeros((6, 2)), np.random.default_rng(5).normal(size=(100, 2))])
    labels = np.repeat([0, 1], [6, 100])
    with pytest.warns(nm.DegenerateWarning, match=r"component 0 .* collapsed in .*x"):
        bare = nm.GaussianMixture(2, init_params=labels).fit(x)
    assert bare.status_ is nm.Status.DEGENERATE
    assert np.isfinite(bare.score_samples(x)).all()
    held = nm.GaussianMixture(2, init_params=labels, prior="default").fit(x)
    assert held.converged_
    assert np.linalg.eigvalsh(held.covariances_)[:, 0].min() > 1e-4


def test_imputation(fitted):
    filled = fitted.impute(HOLED)
    seen = ~np.isnan(HOLED)
    np.testing.assert_array_equal(filled[seen], HOLED[seen])
    row = int(np.flatnonzero((~seen).sum(axis=1) == 1)[0])
    column = int(np.flatnonzero(~seen[row])[0])
    others = np.setdiff1d(np.arange(3), column)
    given = fitted.conditional(dict(zip(others.tolist(), HOLED[row, others], strict=True)))
    assert filled[row, column] == pytest.approx(float(given.weights @ given.means[:, 0]))
    # by brute force: the joint density along the missing column, integrated on a grid
    grid = np.linspace(-30, 30, 20_001)
    rows = np.tile(HOLED[row], (len(grid), 1))
    rows[:, column] = grid
    density = np.exp(fitted.score_samples(rows))
    assert filled[row, column] == pytest.approx((grid * density).sum() / density.sum(), abs=1e-6)


def test_draws_have_the_conditional_moments(fitted):
    """4,000 draws of one cell: the mean within 4.5 standard errors (false failure below 1e-5)."""
    table = np.tile([[0.5, np.nan, -0.5]], (4000, 1))
    (draws,) = fitted.impute(table, draws=1, random_state=0)
    given = fitted.conditional({0: 0.5, 2: -0.5})
    mean = float(given.weights @ given.means[:, 0])
    variance = float(given.weights @ (given.covariances[:, 0, 0] + given.means[:, 0] ** 2)) - mean**2
    assert abs(draws[:, 1].mean() - mean) < 4.5 * np.sqrt(variance / 4000)


def test_imputing_keeps_the_kind_of_table(fitted):
    frame = pd.DataFrame(HOLED, columns=["a", "b", "c"], index=np.arange(200) + 7)
    named = nm.GaussianMixture(2, random_state=0).fit(frame)
    out = named.impute(frame)
    assert isinstance(out, pd.DataFrame)
    assert list(out.index) == list(frame.index)
    assert isinstance(named.impute(pl.from_pandas(frame)), pl.DataFrame)
    assert named.set_output(transform="pandas").transform(frame).columns.tolist() == [
        "gaussianmixture0",
        "gaussianmixture1",
    ]


def test_marginals_and_conditionals_multiply_to_the_joint(fitted):
    joint = fitted.score_samples(X[:5])
    for row, expected in zip(X[:5], joint, strict=True):
        marginal = fitted.marginal([0, 2])
        conditional = fitted.conditional({0: row[0], 2: row[2]})

        def log_density(mixture, values):
            return np.log(
                sum(
                    w * multivariate_normal.pdf(values, m, c)
                    for w, m, c in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
                )
            )

        assert log_density(marginal, row[[0, 2]]) + log_density(conditional, row[1]) == pytest.approx(expected)


def test_samples_have_the_mixtures_moments(fitted):
    """20,000 rows: means within 4.5 standard errors in each of 3 columns (false failure below 3e-5)."""
    rows, components = fitted.sample(20_000, random_state=1)
    mean = fitted.weights_ @ fitted.means_
    second = np.einsum(
        "k,kij->ij", fitted.weights_, fitted.covariances_ + np.einsum("ki,kj->kij", *[fitted.means_] * 2)
    )
    sd = np.sqrt(np.diag(second) - mean**2)
    assert (np.abs(rows.mean(axis=0) - mean) < 4.5 * sd / np.sqrt(20_000)).all()
    assert set(components) == {0, 1}


@pytest.mark.parametrize("structure", ["VVV", "VVI", "EEE"])
def test_stored_mixtures_answer_as_before(tmp_path, structure):
    gm = nm.GaussianMixture(2, covariance=structure, random_state=0, prior="default").fit(HOLED)
    gm.save(tmp_path / "m.noumena")
    again = nm.load(tmp_path / "m.noumena")
    np.testing.assert_array_equal(again.predict_proba(HOLED), gm.predict_proba(HOLED))
    assert again.get_params() == gm.get_params()
    assert again.status_ is gm.status_
    np.testing.assert_array_equal(again.trace_.objective, gm.trace_.objective)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(gm)).predict_proba(HOLED), gm.predict_proba(HOLED))


def test_damaged_model_files_are_refused(tmp_path, fitted):
    path = tmp_path / "m.noumena"
    fitted.save(path)
    content = path.read_bytes()
    (tmp_path / "short").write_bytes(content[: len(content) // 2])
    (tmp_path / "text").write_text("a,b\n1,2\n")
    for name, says in (("short", "truncated"), ("text", "not a stored model"), ("none", "cannot read")):
        with pytest.raises(nm.ModelFileError, match=says):
            nm.load(tmp_path / name)
    import json
    import zipfile

    for change, says in (({"format": 99}, "update noumena"), ({"class": "Other"}, "altered")):
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "new", "w") as new:
            new.comment = old.comment
            for item in old.namelist():
                text = old.read(item)
                if item == "noumena.json":
                    text = json.dumps({**json.loads(text), **change}).encode()
                new.writestr(item, text)
        with pytest.raises(nm.ModelFileError, match=says):
            nm.load(tmp_path / "new")


def test_an_unwritable_path_leaves_what_was_there(tmp_path, fitted):
    with pytest.raises(nm.OutputError, match="cannot write"):
        fitted.save(tmp_path / "no" / "such" / "folder.noumena")
    (tmp_path / "folder").mkdir()
    with pytest.raises(nm.OutputError, match="cannot write"):
        fitted.save(tmp_path / "folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder"]


def test_an_interrupted_fit_keeps_the_best_so_far(monkeypatch):
    calls = []

    def interrupt(self, given, gathered):
        calls.append(0)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return gathered

    monkeypatch.setattr(Squarem, "propose", interrupt)
    with pytest.warns(nm.ConvergenceWarning, match="after 3 iterations: interrupted"):
        gm = nm.GaussianMixture(3, random_state=0).fit(HOLED)
    assert gm.status_ is nm.Status.INTERRUPTED
    assert gm.log_likelihood_ == pytest.approx(gm.score_samples(HOLED).sum())


def test_running_out_of_iterations_is_not_convergence():
    with pytest.warns(nm.ConvergenceWarning, match="raise max_iter or tol"):
        gm = nm.GaussianMixture(3, max_iter=2, random_state=0).fit(HOLED)
    assert gm.status_ is nm.Status.MAX_ITERATIONS
    assert not gm.converged_
    assert nm.GaussianMixture(3, max_iter=7, tol=0, random_state=0).fit(HOLED).n_iter_ == 7


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_units_do_not_matter(scale):
    one = nm.GaussianMixture(2, random_state=0, tol=1e-8).fit(HOLED)
    other = nm.GaussianMixture(2, random_state=0, tol=1e-8).fit(HOLED * [scale, 1, 1])
    np.testing.assert_allclose(other.means_ / [scale, 1, 1], one.means_, rtol=1e-6)
    lost = (~np.isnan(HOLED[:, 0])).sum() * np.log(scale)
    assert other.log_likelihood_ == pytest.approx(one.log_likelihood_ - lost, rel=1e-9)


def test_a_large_offset_does_not_matter():
    """At an offset of 1e9 the rows themselves are rounded to 1e-7, so the log likelihood moves by about N · 1e-7."""
    shifted = np.round(HOLED * 2**10) / 2**10 + 1e9  # exact in float64
    base = shifted - 1e9
    one, other = (nm.GaussianMixture(2, random_state=0, tol=1e-8).fit(x) for x in (base, shifted))
    assert other.log_likelihood_ == pytest.approx(one.log_likelihood_, rel=1e-9)


TEXT = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["x", "y", "z"]})


@pytest.mark.parametrize(
    ("table", "error", "says"),
    [
        (np.empty((0, 3)), nm.DataError, r"0 sample\(s\)"),
        (np.ones((1, 3)), nm.DataError, r"1 sample\(s\)"),
        (np.arange(8.0).reshape(4, 2) * [1, 0] + [0, 5], nm.DataError, r"column 'x1' \(always 5\) is constant"),
        (np.array([[1.0, np.nan], [2.0, np.nan]]), nm.DataError, "column 'x1' has no observed value"),
        (np.array([[1.0, 2.0], [np.inf, 3.0]]), nm.DataError, "infinity at row 1"),
        (TEXT, nm.ColumnTypeError, "'b'"),
        ("no/such/file.csv", nm.DataError, "no/such/file.csv"),
        (np.arange(6.0).reshape(3, 2) ** 2, nm.DataError, "n_components = 9, n_samples = 3"),
    ],
    ids=["empty", "one row", "constant", "all missing", "infinity", "text", "no file", "few rows"],
)
def test_bad_tables_are_refused_by_name(table, error, says):
    with pytest.raises(error, match=says):
        nm.GaussianMixture(9 if "n_components" in says else 1).fit(table)


@pytest.mark.parametrize(
    ("weight", "says"),
    [
        (np.full(200, np.nan), "not a finite number"),
        (np.where(np.arange(200) == 3, -1.0, 1.0), r"negative \(-1.0\) at row 3"),
        (np.zeros(200), "zero"),
        (np.ones(3), "one weight for each row"),
    ],
)
def test_bad_weights_are_refused(weight, says):
    with pytest.raises(nm.DataError, match=says):
        nm.GaussianMixture(2).fit(X, sample_weight=weight)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"n_components": 0}, "n_components=0"),
        ({"covariance": "XYZ"}, "choose among EII"),
        ({"covariance": "E"}, "use EII"),
        ({"tol": -1.0}, "tol=-1.0"),
        ({"accelerate": "fast"}, "squarem"),
        ({"init_params": "magic"}, "kmeans"),
        ({"prior": "strong"}, "default"),
        ({"means_init": np.zeros((2, 3))}, r"expected \(1, 3\)"),
        ({"covariances_init": -np.eye(3)[None]}, r"covariances_init\[0\] is not symmetric positive definite"),
    ],
)
def test_bad_parameters_are_refused(parameters, says):
    with pytest.raises(ValueError, match=says):
        nm.GaussianMixture(**parameters).fit(X)


def test_other_columns_at_predict_are_refused(fitted):
    named = nm.GaussianMixture(2, random_state=0).fit(pd.DataFrame(HOLED, columns=["a", "b", "c"]))
    with pytest.raises(ValueError, match=r"unseen at fit time:\n- z"):
        named.predict(pd.DataFrame(HOLED, columns=["a", "b", "z"]))
    with pytest.raises(ValueError, match="2 features"):
        fitted.predict(X[:, :2])
