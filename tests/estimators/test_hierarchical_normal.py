"""`HierarchicalNormal`: posteriors against exact ones, tables, files, bad input."""

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats
from sklearn.base import clone

import noumena as nm
from noumena.core.result import Status

# Rubin (1981), J. Educ. Stat. 6:377, as rounded in Gelman et al. (2013), BDA3, table 5.2.
SCHOOLS = pd.DataFrame(
    {
        "school": list("ABCDEFGH"),
        "effect": [28.0, 8, -3, 7, -1, 1, 18, 12],
        "error": [15.0, 10, 16, 11, 9, 11, 10, 18],
    }
)
WIDE = SCHOOLS.assign(effect=3 * SCHOOLS["effect"])


def model(**parameters):
    return nm.HierarchicalNormal("effect", "error", unit="school", random_state=0, **parameters)


def test_effects_are_shrunk_towards_the_mean():
    """E[θ_j] = μ + (y_j − μ) τ²/(s_j² + τ²), var θ_j = s_j² τ²/(s_j² + τ²) (BDA3, eq. 5.17)."""
    hn = model().fit(WIDE)
    found = hn.posterior(level=0.9).to_pandas()
    y, s, tau = WIDE["effect"], WIDE["error"], hn.spread_
    mean = hn.mean_ + (y - hn.mean_) * tau**2 / (s**2 + tau**2)
    sd = np.sqrt(s**2 * tau**2 / (s**2 + tau**2))
    assert found["unit"].tolist() == list("ABCDEFGH")
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-12)
    np.testing.assert_allclose(found["standard_deviation"], sd, rtol=1e-12)
    np.testing.assert_allclose(found["upper"], stats.norm(mean, sd).ppf(0.95), rtol=1e-9)
    np.testing.assert_allclose(found["lower"], stats.norm(mean, sd).ppf(0.05), rtol=1e-9)
    np.testing.assert_allclose(hn.predict(WIDE), mean, rtol=1e-12)
    marginal = stats.norm(hn.mean_, np.sqrt(s**2 + tau**2)).logpdf(y).sum()
    assert hn.log_likelihood_ == pytest.approx(marginal, rel=1e-12)
    assert hn.status_ is Status.CONVERGED
    assert hn.trace_.objective[-1] == pytest.approx(hn.log_likelihood_, rel=1e-12)
    errors = hn.standard_errors()
    assert errors.mean == pytest.approx(10.048, abs=1e-2)
    assert errors.spread == pytest.approx(8.130, abs=1e-2)


def test_an_integrated_mean_widens_the_posteriors():
    """Joint normal of (μ, θ) given y and τ, by its precision matrix."""
    hn = model(restricted=True).fit(WIDE)
    tau, s = hn.spread_, WIDE["error"].to_numpy()
    precision = np.zeros((9, 9))
    precision[0, 0] = 8 / tau**2
    precision[0, 1:] = precision[1:, 0] = -1 / tau**2
    precision[1:, 1:] = np.diag(1 / tau**2 + 1 / s**2)
    covariance = np.linalg.inv(precision)
    mean = covariance @ np.concatenate([[0], WIDE["effect"] / s**2])
    assert hn.mean_ == pytest.approx(mean[0])
    assert hn.standard_errors().mean == pytest.approx(covariance[0, 0] ** 0.5)
    found = hn.posterior().to_pandas()
    np.testing.assert_allclose(found["mean"], mean[1:], rtol=1e-9)
    np.testing.assert_allclose(found["standard_deviation"], np.sqrt(np.diagonal(covariance)[1:]), rtol=1e-9)


@pytest.mark.parametrize("restricted", [False, True])
def test_the_eight_schools_are_at_the_edge_and_the_user_is_told(restricted):
    with pytest.warns(nm.NoumenaWarning, match="the units do not differ at all"):
        hn = model(restricted=restricted).fit(SCHOOLS)
    assert hn.at_edge_
    assert hn.spread_ == 0
    assert hn.mean_ == pytest.approx(7.685617, abs=1e-6)
    found = hn.posterior().to_pandas()
    np.testing.assert_allclose(found["mean"], hn.mean_)
    np.testing.assert_allclose(found["standard_deviation"], 4.071919 if restricted else 0.0, atol=1e-6)
    assert np.isnan(hn.standard_errors().spread)


def test_draws_give_both_posteriors():
    hn = model(inference="gibbs", n_draws=4000).fit(SCHOOLS)
    assert hn.status_ is Status.CONVERGED
    assert not hasattr(hn, "log_likelihood_")
    table = hn.diagnostics().to_pandas().set_index("unknown")
    assert table.index.tolist() == ["mean", "spread", *(f"unit {name}" for name in "ABCDEFGH")]
    assert (table["r_hat"] < 1.01).all()
    assert (table["effective_draws"] > 2000).all()
    # exact, by quadrature (tests/models/test_hierarchical_model.py compares draws with it, too)
    exact = {"mean": 7.932, "spread": 6.575, "unit A": 11.400, "unit C": 6.131, "unit E": 5.126}
    for name, value in exact.items():
        assert table.loc[name, "mean"] == pytest.approx(value, abs=5 * table.loc[name, "monte_carlo_error"])
    assert hn.mean_ == table.loc["mean", "mean"]
    assert hn.spread_ == table.loc["spread", "mean"]
    found = hn.posterior().to_pandas().set_index("unit")
    for name in "ABCDEFGH":
        own = table.loc[f"unit {name}"]
        assert found.loc[name, "mean"] == pytest.approx(own["mean"], abs=5 * own["monte_carlo_error"])
        assert found.loc[name, "standard_deviation"] == pytest.approx(own["standard_deviation"], rel=0.05)
        for end in ("lower", "upper"):
            assert found.loc[name, end] == pytest.approx(own[end], abs=1.0)
    assert found.loc["A", "upper"] == pytest.approx(31.5, abs=1.5)  # exact 31.4


def test_a_new_unit_is_known_by_the_prior():
    hn = model().fit(WIDE)
    new = pa.table(
        {"school": ["new"], "effect": pa.array([None], pa.float64()), "error": pa.array([None], pa.float64())}
    )
    (found,) = hn.posterior(new).to_pylist()
    assert found["mean"] == hn.mean_
    assert found["standard_deviation"] == pytest.approx(hn.spread_)
    assert hn.predict(new).tolist() == [hn.mean_]
    # a missing response at the fit: as if it were not there
    holes = pd.concat([WIDE, pd.DataFrame({"school": ["I"], "effect": [np.nan], "error": [3.0]})])
    with_hole = model().fit(holes)
    assert with_hole.n_units_ == 8
    assert with_hole.log_likelihood_ == hn.log_likelihood_
    last = with_hole.posterior().to_pylist()[-1]
    assert (last["unit"], last["mean"]) == ("I", hn.mean_)
    assert last["standard_deviation"] == pytest.approx(hn.spread_)
    draws = model(inference="gibbs").fit(holes)
    assert draws.draws_["effects"].shape == (4, 2000, 8)
    last = draws.posterior().to_pylist()[-1]
    total = np.sqrt(np.mean(draws.draws_["spread"] ** 2) + np.var(draws.draws_["mean"]))
    assert last["standard_deviation"] == pytest.approx(total)


@pytest.mark.parametrize("parameters", [{}, {"restricted": True}, {"inference": "gibbs"}], ids=["em", "reml", "gibbs"])
def test_samples_follow_the_marginal_distribution(parameters):
    hn = model(**parameters).fit(WIDE)
    n = 40_000
    y, effects = hn.sample(np.full(n, 5.0), random_state=1)
    assert np.var(y - effects) == pytest.approx(25, rel=0.05)
    between = np.mean(hn.draws_["spread"] ** 2) if parameters.get("inference") else hn.spread_**2
    if parameters.get("inference"):
        between += np.var(hn.draws_["mean"])
    # a variance from so many draws strays by 0.7%, some more with heavy tails
    assert np.var(effects) == pytest.approx(between, rel=0.1)
    np.testing.assert_array_equal(hn.sample(np.ones(3), random_state=2)[0], hn.sample(np.ones(3), random_state=2)[0])


def test_intervals_hold_the_effects_at_their_level():
    """40 tables of 25 units, 90% intervals given estimates: 1000 effects, 900 ± 9.5; four standard errors and the
    estimates' own uncertainty, which such intervals leave out (some percent)."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(40):
        effects, s = rng.normal(3.0, 2.0, 25), rng.uniform(0.5, 2.0, 25)
        hn = nm.HierarchicalNormal(restricted=True).fit(np.column_stack([rng.normal(effects, s), s]))
        found = hn.posterior(level=0.9).to_pandas()
        held += ((found["lower"] < effects) & (effects < found["upper"])).sum()
    assert 850 < held < 940


@pytest.mark.parametrize("parameters", [{}, {"restricted": True}, {"inference": "gibbs"}], ids=["em", "reml", "gibbs"])
def test_files(parameters, tmp_path):
    hn = model(**parameters).fit(WIDE)
    hn.save(tmp_path / "model.noumena")
    again = nm.load(tmp_path / "model.noumena")
    assert again.posterior().equals(hn.posterior())
    assert again.get_params() == hn.get_params()
    assert again.status_ is hn.status_
    assert (again.mean_, again.spread_, again.at_edge_, again.n_units_) == (
        hn.mean_,
        hn.spread_,
        hn.at_edge_,
        hn.n_units_,
    )
    if parameters.get("inference"):
        assert again.diagnostics().equals(hn.diagnostics())
    else:
        assert again.log_likelihood_ == hn.log_likelihood_
        assert again.standard_errors().values == hn.standard_errors().values


def test_tables_by_position_and_by_name():
    array = WIDE[["effect", "error"]].to_numpy()
    by_name, by_position = model().fit(WIDE), nm.HierarchicalNormal().fit(array)
    assert by_position.spread_ == by_name.spread_
    assert by_position.posterior()["unit"].to_pylist() == list(range(8))
    turned = nm.HierarchicalNormal(1, 0).fit(array[:, ::-1])
    assert turned.spread_ == by_name.spread_
    assert clone(by_name).get_params() == by_name.get_params()


def test_the_same_seed_gives_the_same_draws():
    first, second = (model(inference="gibbs", n_draws=500).fit(WIDE) for _ in range(2))
    np.testing.assert_array_equal(first.draws_["effects"], second.draws_["effects"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"error": [15.0, 10, 0, 11, 9, 11, 10, 18]}, r"'error'\) is 0 at row 2"),
        ({"error": [15.0, 10, 16, -1, 9, 11, 10, 18]}, "is -1 at row 3"),
        ({"error": [15.0, np.nan, 16, 1, 9, 11, 10, 18]}, "is nan at row 1"),
        ({"effect": [28.0, np.inf, -3, 7, -1, 1, 18, 12]}, "'effect' holds infinity at row 1"),
        ({"effect": list("abcdefgh")}, "'effect' does not hold numbers"),
        ({"effect": [28.0, *[np.nan] * 7]}, "1 measured units are too few"),
    ],
)
def test_bad_tables(change, message):
    with pytest.raises(nm.DataError, match=message):
        model().fit(SCHOOLS.assign(**change))


def test_bad_parameters():
    with pytest.raises(nm.ColumnMismatchError, match="se"):
        nm.HierarchicalNormal("effect", "se").fit(SCHOOLS)
    with pytest.raises(nm.DataError, match="more than once"):
        nm.HierarchicalNormal("effect", "effect").fit(SCHOOLS)
    with pytest.raises(ValueError, match="inference='vb'"):
        model(inference="vb").fit(SCHOOLS)
    with pytest.raises(ValueError, match="restricted=True is for"):
        model(inference="gibbs", restricted=True).fit(SCHOOLS)
    with pytest.raises(nm.DataError, match="at least 3 are needed for a posterior"):
        model(inference="gibbs").fit(SCHOOLS[:2])
    with pytest.raises(ValueError, match="n_chains=1"):
        model(inference="gibbs", n_chains=1).fit(SCHOOLS)
    hn = model().fit(WIDE)
    with pytest.raises(ValueError, match="level=1 must be"):
        hn.posterior(level=1)
    with pytest.raises(nm.NoumenaError, match="no draws to judge"):
        hn.diagnostics()
    with pytest.raises(ValueError, match="none below 0"):
        hn.sample([-1.0])
    with pytest.raises(nm.NoumenaError, match="posterior standard deviations"):
        model(inference="gibbs").fit(WIDE).standard_errors()


def test_too_few_draws_and_iterations_are_told():
    with pytest.warns(nm.ConvergenceWarning, match="effective draws: raise n_draws"):
        hn = model(inference="gibbs", n_draws=20, n_warmup=0).fit(SCHOOLS)
    assert hn.status_ is Status.MAX_ITERATIONS
    with pytest.warns(nm.ConvergenceWarning, match="max_iter iterations were not enough"):
        hn = model(max_iter=1).fit(WIDE)
    assert hn.status_ is Status.MAX_ITERATIONS


def test_identical_units_are_at_the_edge_too():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        hn = nm.HierarchicalNormal().fit([[5.0, 1.0]] * 4)
    assert [one.category for one in told] == [nm.NoumenaWarning]
    assert (hn.mean_, hn.spread_) == (5.0, 0.0)
