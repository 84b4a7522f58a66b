"""Standard errors against closed forms, the bootstrap and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

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


_SOME = ("VVI", "EEE", "VVE", "VVV")


@pytest.mark.parametrize(
    "structure", [pytest.param(one, marks=[] if one in _SOME else pytest.mark.slow) for one in STRUCTURES]
)
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


def test_a_bootstrap_whose_refits_collapse_is_refused():
    """Five pairs of rows, a component to each: nearly every resample draws one row of some pair only."""
    x = (100.0 * np.arange(5)[:, None] + [0.0, 1.0]).reshape(-1, 1)
    gm = nm.GaussianMixture(5, init_params=np.repeat(np.arange(5), 2)).fit(x)
    with (
        pytest.warns(nm.NoumenaWarning, match="3 of 3 bootstrap refits collapsed"),
        pytest.raises(nm.NoumenaError, match=r'no two of 3 bootstrap refits ended well: .* or method="observed"'),
    ):
        gm.standard_errors(x, method="bootstrap", n_bootstrap=3, random_state=0)


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


# --------------------------------------------------------------------------------------------------- other families


def one_component(family: str, n: int = 800) -> tuple[np.ndarray, dict[str, float]]:
    """Draws of one component, and the standard errors that its Fisher information gives at the estimate."""
    rng = np.random.default_rng(4)
    root = np.sqrt(n)
    if family == "poisson":
        x = rng.poisson(3.0, n)
        return x, {"rate": np.sqrt(x.mean()) / root}
    if family == "bernoulli":
        x = rng.random(n) < 0.3
        return x, {"probability": np.sqrt(x.mean() * (1 - x.mean())) / root}
    if family == "exponential":
        x = rng.exponential(2.0, n)
        return x, {"rate": 1 / x.mean() / root}
    if family == "log-normal":
        x = np.exp(rng.normal(1.0, 0.5, n))
        sd = np.log(x).std()
        return x, {"log_mean": sd / root, "log_sd": sd / np.sqrt(2 * n)}
    if family == "normal":
        x = rng.normal(100.0, 3.0, n)
        return x, {"mean": x.std() / root, "standard_deviation": x.std() / np.sqrt(2 * n)}
    assert family == "gamma"
    x = rng.gamma(2.0, 3.0, n)
    shape, _, scale = stats.gamma.fit(x, floc=0)
    rate = 1 / scale
    information = np.array([[special.polygamma(1, shape), -1 / rate], [-1 / rate, shape / rate**2]])
    spread = np.sqrt(np.diag(np.linalg.inv(n * information)))
    return x, {"shape": spread[0], "rate": spread[1]}


@pytest.mark.parametrize("family", ["poisson", "bernoulli", "exponential", "log-normal", "normal", "gamma"])
def test_one_component_has_the_errors_of_its_fisher_information(family):
    x, expected = one_component(family)
    mixture = nm.Mixture({0: family}, tol=1e-12).fit(x.astype(float)[:, None])
    errors = mixture.standard_errors(x.astype(float)[:, None]).parameters["x0"]
    assert set(expected) == set(errors)
    for name, value in expected.items():
        np.testing.assert_allclose(errors[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.slow
def test_a_t_of_many_degrees_of_freedom_has_the_errors_of_a_normal():
    x = clusters(n=400, k=2, seed=3, spread=3.0)
    options = {"init_params": nm.GaussianMixture(2, random_state=0).fit_predict(x), "tol": 1e-10}
    gm = nm.GaussianMixture(2, **options).fit(x)
    tm = nm.StudentTMixture(2, degrees_of_freedom=1e9, **options).fit(x)
    ours, theirs = tm.standard_errors(x), gm.standard_errors(x)
    np.testing.assert_allclose(ours.locations, theirs.means, rtol=1e-5)
    np.testing.assert_allclose(ours.scales, theirs.covariances, rtol=1e-5)
    np.testing.assert_allclose(ours.weights, theirs.weights, rtol=1e-5)


def test_degrees_of_freedom_have_the_errors_of_the_likelihood():
    """One t in one column: the Hessian of SciPy's log density by differences."""
    x = stats.t(4.0, 10.0, 2.0).rvs(1500, random_state=5)
    tm = nm.StudentTMixture(1, covariance="V", tol=1e-12).fit(x[:, None])
    at = np.array([tm.locations_[0, 0], tm.scales_[0, 0, 0], tm.degrees_of_freedom_[0]])
    value = lambda theta: stats.t(theta[2], theta[0], np.sqrt(theta[1])).logpdf(x).sum()  # noqa: E731
    h = 1e-3 * np.abs(at)
    hessian = np.empty((3, 3))
    for i, j in np.ndindex(3, 3):
        a, b = np.eye(3)[i] * h, np.eye(3)[j] * h
        hessian[i, j] = value(at + a + b) - value(at + a - b) - value(at - a + b) + value(at - a - b)
    spread = np.sqrt(np.diag(np.linalg.inv(-hessian / (4 * np.outer(h, h)))))
    errors = tm.standard_errors(x[:, None])
    found = [errors.locations[0, 0], errors.scales[0, 0, 0], errors.degrees_of_freedom[0]]
    np.testing.assert_allclose(found, spread, rtol=1e-3)


def latent_classes(n: int = 600, missing: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(8)
    which = rng.random(n) < 0.4
    p = np.where(which[:, None], [0.9, 0.8, 0.7, 0.85], [0.2, 0.1, 0.3, 0.25])
    x = (rng.random((n, 4)) < p).astype(float)
    x[:, 3] += (rng.random(n) < 0.3) & (x[:, 3] == 1)  # an item of three levels
    return np.where(rng.random(x.shape) < missing, np.nan, x)


@pytest.mark.slow
def test_latent_classes_have_the_errors_of_their_likelihood():
    """Against the Hessian, by automatic differentiation, of the log likelihood written out; missing answers too."""
    x = latent_classes()
    lca = nm.LatentClassAnalysis(2, random_state=0, tol=1e-11).fit(x)

    def value(theta):
        share = jnp.stack([theta[0], 1 - theta[0]])
        total, at = jnp.log(share)[None] * jnp.ones((len(x), 1)), 1
        for j, levels in enumerate((2, 2, 2, 3)):
            free = theta[at : at + 2 * (levels - 1)].reshape(2, levels - 1)
            at += 2 * (levels - 1)
            p = jnp.concatenate([free, 1 - free.sum(axis=1, keepdims=True)], axis=1)
            seen = ~np.isnan(x[:, j])
            total += jnp.where(seen[:, None], jnp.log(p[:, np.nan_to_num(x[:, j]).astype(int)].T), 0.0)
        return jnp.sum(jax.nn.logsumexp(total, axis=1))

    at = np.concatenate([lca.weights_[:1], *(p[:, :-1].ravel() for p in lca.probabilities_.values())])
    with jax.enable_x64(True):
        assert float(value(jnp.asarray(at))) == pytest.approx(lca.log_likelihood_, rel=1e-12)
        spread = np.sqrt(np.diag(np.linalg.inv(-jax.hessian(value)(jnp.asarray(at)))))
    errors = lca.standard_errors(x)
    found = np.concatenate([errors.weights[:1], *(p[:, :-1].ravel() for p in errors.probabilities.values())])
    np.testing.assert_allclose(found, spread, rtol=1e-5)
    assert errors.weights[0] == pytest.approx(errors.weights[1])


def test_an_estimate_at_its_edge_has_no_error():
    """A probability of 0 is at the end of its range; those beside it are not."""
    x = np.array([[0, 0], [0, 1], [0, 0], [0, 1], [0, 0], [1, 1], [1, 1], [1, 1]] * 10, dtype=float)
    lca = nm.LatentClassAnalysis(1, tol=1e-12).fit(np.column_stack([x, x[:, 0]]))
    assert np.isfinite(lca.standard_errors(np.column_stack([x, x[:, 0]])).probabilities["x1"]).all()
    two = nm.BernoulliMixture(2, init_params=x[:, 0].astype(int), tol=1e-12).fit(np.column_stack([x, x[:, 0]]))
    errors = two.standard_errors(np.column_stack([x, x[:, 0]]))
    assert np.isnan(errors.probabilities[:, [0, 2]]).all()
    component = int(np.argmin(two.probabilities_[:, 0]))
    p = two.probabilities_[component, 1]
    np.testing.assert_allclose(errors.probabilities[component, 1], np.sqrt(p * (1 - p) / 50), rtol=1e-4)


@pytest.mark.slow
def test_mixed_tables_have_the_errors_of_their_parts():
    """One component: columns are independent, each has its own error; a group of normals those of a normal."""
    rng = np.random.default_rng(0)
    pair = rng.normal(size=(500, 2)) @ [[2.0, 1.0], [0.0, 1.0]]
    x = np.column_stack([pair, rng.poisson(4.0, 500)])
    x[::5, 0] = np.nan
    mixture = nm.Mixture({(0, 1): "normal", 2: "poisson"}, tol=1e-12).fit(x)
    errors = mixture.standard_errors(x).parameters
    np.testing.assert_allclose(errors["x2"]["rate"], np.sqrt(x[:, 2].mean() / 500), rtol=1e-6)
    alone = nm.GaussianMixture(1, tol=1e-12).fit(x[:, :2]).standard_errors(x[:, :2])
    np.testing.assert_allclose(errors["x0", "x1"]["mean"], alone.means, rtol=1e-4)
    np.testing.assert_allclose(errors["x0", "x1"]["covariance"], alone.covariances, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classes", "t", "mixed"])
def test_the_bootstrap_agrees_with_the_information_of_every_family(kind):
    """200 refits give a standard deviation within 4 · 1/√(2·199) = 20 % of its expectation."""
    x = latent_classes(n=3000)
    if kind == "classes":
        model = nm.LatentClassAnalysis(2, random_state=0, tol=1e-8).fit(x)
    elif kind == "t":
        x = clusters(n=2000, k=2, d=2, seed=7, spread=4.0)
        model = nm.StudentTMixture(2, degrees_of_freedom=5.0, random_state=0, tol=1e-8).fit(x)
    else:
        x = np.column_stack([x[:, :3], np.random.default_rng(1).normal(x[:, 3] > 0, 0.4)])
        model = nm.Mixture(n_components=2, random_state=0, tol=1e-8).fit(x)
    ours = model.standard_errors(x)
    theirs = model.standard_errors(x, method="bootstrap", n_bootstrap=200, random_state=0)
    np.testing.assert_allclose(theirs.weights, ours.weights, rtol=0.25)
    if kind == "t":
        np.testing.assert_allclose(theirs.locations, ours.locations, rtol=0.3)
    elif kind == "classes":
        np.testing.assert_allclose(theirs.probabilities["x0"], ours.probabilities["x0"], rtol=0.3)
    else:
        for name in ("mean", "standard_deviation"):
            np.testing.assert_allclose(theirs.parameters["x3"][name], ours.parameters["x3"][name], rtol=0.3)
