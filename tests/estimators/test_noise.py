"""A background of noise: its density by hand, its limits, what becomes of rows far from all components."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial import ConvexHull

import noumena as nm
from noumena.core.result import Status


def clusters_in_noise(seed: int = 0, missing: float = 0.0) -> np.ndarray:
    """Two tight clusters of 150 rows, and 60 rows from anywhere."""
    rng = np.random.default_rng(seed)
    x = np.concatenate(
        [rng.normal(0, 0.3, (150, 2)), rng.normal(3, 0.4, (150, 2)), rng.uniform([-5, -50], [8, 80], (60, 2))]
    )
    x[:300, 1] *= 10
    return np.where(rng.random(x.shape) < missing, np.nan, x)


def volume(x: np.ndarray, noise: str) -> float:
    return ConvexHull(x).volume if noise == "hull" else float(np.prod(np.ptp(x, axis=0)))


@pytest.mark.parametrize("noise", ["box", "hull"])
def test_the_likelihood_by_hand(noise):
    """log(π_0 / V + Σ_k π_k N(x | k)), with the volume as SciPy finds it."""
    x = clusters_in_noise()
    gm = nm.GaussianMixture(2, noise=noise, random_state=0).fit(x)
    normals = [
        w * stats.multivariate_normal(m, s).pdf(x)
        for w, m, s in zip(gm.weights_, gm.means_, gm.covariances_, strict=True)
    ]
    density = gm.noise_weight_ / volume(x, noise) + np.sum(normals, axis=0)
    np.testing.assert_allclose(gm.score_samples(x), np.log(density), rtol=1e-10)
    assert gm.weights_.sum() + gm.noise_weight_ == pytest.approx(1.0)
    assert gm.n_parameters_ == 12
    posterior = gm.predict_proba(x)
    np.testing.assert_allclose(posterior[:, -1], gm.noise_weight_ / volume(x, noise) / density, rtol=1e-8)
    label = gm.predict(x)
    np.testing.assert_array_equal(label, np.where(posterior.argmax(axis=1) == 2, -1, posterior.argmax(axis=1)))
    assert (label[:300] >= 0).mean() > 0.97
    assert (label[300:] < 0).mean() > 0.9
    # at the optimum a share is the average of its posterior
    np.testing.assert_allclose(posterior.mean(axis=0), [*gm.weights_, gm.noise_weight_], atol=1e-4)


def test_a_missing_cell_takes_its_share_of_the_box_with_it():
    x = clusters_in_noise(missing=0.2)
    gm = nm.GaussianMixture(2, noise="box", random_state=0).fit(x)
    width = np.nanmax(x, axis=0) - np.nanmin(x, axis=0)
    for row, seen in (
        (x[np.isnan(x[:, 1]) & ~np.isnan(x[:, 0])][0], 0),
        (x[np.isnan(x[:, 0]) & ~np.isnan(x[:, 1])][0], 1),
    ):
        components = [
            w * stats.norm(m[seen], np.sqrt(s[seen, seen])).pdf(row[seen])
            for w, m, s in zip(gm.weights_, gm.means_, gm.covariances_, strict=True)
        ]
        assert gm.score_samples(row[None])[0] == pytest.approx(np.log(gm.noise_weight_ / width[seen] + sum(components)))
    filled = gm.impute(x)
    np.testing.assert_array_equal(filled[~np.isnan(x)], x[~np.isnan(x)])
    assert not np.isnan(gm.impute(x, draws=2, random_state=0)[1]).any()


def test_columns_of_every_kind():
    """Counts and categories bring their number of values: 1/(most − least + 1) and 1/levels."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "count": np.concatenate([rng.poisson(3, 200), rng.integers(0, 40, 40)]),
            "kind": np.concatenate(
                [rng.choice(["a", "b", "c"], 200, p=[0.9, 0.05, 0.05]), rng.choice(["a", "b", "c"], 40)]
            ),
            "size": np.concatenate([rng.normal(5, 0.2, 200), rng.uniform(-10, 20, 40)]),
        }
    )
    frame.loc[::9, "kind"] = None
    mixture = nm.Mixture({"count": "poisson", "kind": "categorical", "size": "normal"}, 1, noise="box", random_state=0)
    mixture.fit(frame)
    parameters = {name: {key: array[0] for key, array in own.items()} for name, own in mixture.parameters_.items()}
    values = np.log(
        [
            np.ptp(frame["count"]) + 1,
            3,
            np.ptp(frame["size"]),
        ]
    )
    whole = frame.dropna()
    level = whole["kind"].map({"a": 0, "b": 1, "c": 2}).to_numpy()
    component = (
        stats.poisson(parameters["count"]["rate"]).logpmf(whole["count"])
        + np.log(parameters["kind"]["probability"][level])
        + stats.norm(parameters["size"]["mean"], parameters["size"]["standard_deviation"]).logpdf(whole["size"])
    )
    by_hand = np.logaddexp(np.log(mixture.noise_weight_) - values.sum(), np.log(mixture.weights_[0]) + component)
    np.testing.assert_allclose(mixture.score_samples(whole), by_hand, rtol=1e-10)
    assert 0.1 < mixture.noise_weight_ < 0.25
    assert not mixture.impute(frame)["kind"].isna().any()
    chance = mixture.impute_proba(frame)["kind"]
    np.testing.assert_allclose(chance.sum(axis=1), 1.0, rtol=1e-9)
    drawn, which = mixture.sample(2000, random_state=0)
    noise = drawn.to_pandas()[which == -1]
    assert noise["count"].between(0, frame["count"].max()).all()
    assert (noise["count"] == np.floor(noise["count"])).all()
    # a category of the noise has probability 1/3: three shares within 5 standard errors
    assert np.abs(noise["kind"].value_counts(normalize=True) - 1 / 3).max() < 5 * np.sqrt(2 / 9 / len(noise))


@pytest.mark.parametrize("noise", ["box", "hull"])
def test_noise_is_drawn_from_its_region(noise):
    x = clusters_in_noise()
    gm = nm.GaussianMixture(2, noise=noise, random_state=0).fit(x)
    drawn, which = gm.sample(3000, random_state=1)
    own = drawn[which == -1]
    facets = ConvexHull(x).equations
    inside = (own @ facets[:, :-1].T + facets[:, -1] <= 1e-9).all(axis=1)
    assert inside.all() == (noise == "hull")
    assert ((own >= x.min(axis=0)) & (own <= x.max(axis=0))).all()
    share = (which == -1).mean()
    assert abs(share - gm.noise_weight_) < 5 * np.sqrt(share * (1 - share) / 3000)


def test_a_sweep_over_sizes_with_noise(tmp_path):
    x = clusters_in_noise()
    best = nm.select(nm.GaussianMixture(noise="box", random_state=0), x, n_components=[1, 2, 3], covariance=["VVI"])
    assert best.estimator_.n_components == 2
    alone = nm.GaussianMixture(2, covariance="VVI", noise="box", random_state=0).fit(x)
    assert best.estimator_.log_likelihood_ == pytest.approx(alone.log_likelihood_, abs=1e-3)
    alone.save(tmp_path / "model.noumena")
    again = nm.load(tmp_path / "model.noumena")
    np.testing.assert_array_equal(again.predict(x), alone.predict(x))
    assert again.noise_weight_ == alone.noise_weight_
    errors = alone.standard_errors(x)
    n, share = len(x), alone.noise_weight_  # well apart: as a share of rows that are all but known
    assert errors.noise_weight == pytest.approx(np.sqrt(share * (1 - share) / n), rel=0.1)


def test_known_rows_stay_where_they_are():
    x = clusters_in_noise()
    y = np.full(len(x), -1)
    y[:5], y[150:155] = 1, 0
    gm = nm.GaussianMixture(2, noise="box", random_state=0).fit(x, y)
    assert gm.status_ is Status.CONVERGED
    assert gm.means_[1, 0] < 1 < gm.means_[0, 0]


@pytest.mark.parametrize(
    ("noise", "x", "message"),
    [
        ("ball", clusters_in_noise(), r"noise='ball': choose"),
        ("hull", clusters_in_noise(missing=0.1), "some cells are missing: use noise=.box."),
        ("hull", np.random.default_rng(0).normal(size=(50, 9)), "9 columns are more than 8: use"),
    ],
)
def test_bad_input(noise, x, message):
    with pytest.raises((nm.DataError, ValueError), match=message):
        nm.GaussianMixture(2, noise=noise).fit(x)


def test_what_needs_normals_alone_is_refused():
    gm = nm.GaussianMixture(2, noise="box", random_state=0).fit(clusters_in_noise())
    with pytest.raises(nm.NoumenaError, match="no mixture of normals alone"):
        gm.marginal([0])


def test_noise_beside_covariates():
    """Weights that depend on a column, log odds against the noise; the bootstrap starts from the fit."""
    rng = np.random.default_rng(0)
    age = rng.normal(50, 10, 400)
    which = (rng.random(400) < 1 / (1 + np.exp(-(age - 50) / 5))).astype(int)
    table = pd.DataFrame({"u": rng.normal(6.0 * which, 1.0), "age": age})
    table.loc[::20, "u"] = rng.uniform(-60, 60, 20)
    mixture = nm.Mixture({"u": "normal"}, 2, covariates=["age"], noise="box", n_init=5, random_state=0).fit(table)
    assert mixture.membership_coef_.shape == (2, 1)
    slopes = np.diff(mixture.membership_coef_[np.argsort(mixture.parameters_["u"]["mean"]), 0])
    assert slopes[0] == pytest.approx(0.2, abs=0.08)
    assert 0.02 < mixture.noise_weight_ < 0.1
    assert mixture.standard_errors(table).membership_coef.shape == (2, 1)
    with pytest.raises(ValueError, match="column 'age' is a covariate and has a family"):
        nm.Mixture({"u": "normal", "age": "normal"}, 2, covariates=["age"]).fit(table)


@pytest.mark.slow
def test_the_bootstrap_starts_from_the_fit_with_its_noise():
    x = clusters_in_noise()
    x[-5:] = [[1e4, 1e4], [-1e4, 1e4], [2e4, -1e4], [1e4, 0], [0, 2e4]]
    gm = nm.GaussianMixture(2, noise="box", random_state=0, n_init=3).fit(x)
    observed = gm.standard_errors(x)
    again = gm.standard_errors(x, method="bootstrap", n_bootstrap=30, random_state=0)
    # 30 refits: a standard deviation within 4 / sqrt(2 · 29) = 53 % of the truth
    np.testing.assert_allclose(again.weights, observed.weights, rtol=0.53)


def test_columns_without_a_hull_are_told():
    x = np.random.default_rng(0).normal(size=50)
    with pytest.raises(nm.DataError, match='use noise="box", or leave one'):
        nm.Mixture({"a": "normal", "b": "normal"}, 1, noise="hull").fit(pd.DataFrame({"a": x, "b": 2 * x}))
