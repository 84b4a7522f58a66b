"""Evidence of a linear regression: the marginal normal density itself, automatic gradients, scikit-learn, bad input."""

import jax
import numpy as np
import pytest
from scipy import integrate, optimize, stats
from sklearn.linear_model import ARDRegression, BayesianRidge

from noumena.core.errors import DataError
from noumena.core.result import Status
from noumena.models.evidence import METHODS, _better_without, maximise_evidence
from noumena.models.evidence_model import FLOOR, EvidenceModel, Rows, log_evidence, posterior
from noumena.models.evidence_profile import best_noise, best_ratio, coordinates
from noumena.models.evidence_steps import MacKay
from noumena.models.second_moments import SecondMoments

every_method = pytest.mark.parametrize("method", METHODS)
GROUPS = {"one": np.zeros(6, dtype=int), "three": np.array([0, 1, 1, 2, 0, 2]), "each": np.arange(6)}
every_grouping = pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS.keys())


def regression(n=40, p=6, seed=0, noise=1.0):
    """Columns far from 0, some weights 0."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) @ (np.eye(p) + 0.3 * rng.normal(size=(p, p))) + 3
    weights = rng.normal(size=p) * (np.arange(p) % 2 == 0)
    return x, 4 + x @ weights + noise * rng.normal(size=n)


def marginal(x, y, precision, noise):
    """log N(y | 0, XΛ⁻¹Xᵀ + I/β) by a Cholesky factor; columns of infinite precision have weight 0."""
    factor = np.linalg.cholesky(x @ (x / precision).T + np.eye(len(y)) / noise)
    white = np.linalg.solve(factor, y)
    return -0.5 * (white @ white + len(y) * np.log(2 * np.pi)) - np.log(np.diagonal(factor)).sum()


def centred(x, y):
    return x - x.mean(axis=0), y - y.mean()


# --------------------------------------------------------------------------------------------------------- the formulas


@every_grouping
def test_it_is_the_density_of_the_marginal_normal(group):
    x, y = regression()
    precision = np.array([0.3, 2.0, np.inf, 40.0, 1.0, 0.1])[group]
    rows = Rows.of(x, y, 0.0, len(y), 0.0)
    found = posterior(rows, 1 / precision, 0.7)
    # 40 terms of order 100, 8 digits lost to a covariance with condition 1e4 at most: 1e-10 of its size
    assert log_evidence(rows, found, 0.7) == pytest.approx(marginal(x, y, precision, 0.7), rel=1e-10)
    kept = np.isfinite(precision)
    curvature = np.diag(precision[kept]) + 0.7 * x[:, kept].T @ x[:, kept]
    np.testing.assert_allclose(found.covariance[np.ix_(kept, kept)], np.linalg.inv(curvature), rtol=1e-9)
    np.testing.assert_allclose(found.mean[kept], 0.7 * np.linalg.solve(curvature, x[:, kept].T @ y), rtol=1e-9)
    assert not found.mean[~kept].any()
    assert not found.covariance[~kept].any()


@every_grouping
def test_the_evidence_of_a_fit_with_the_intercept_at_its_maximum_or_integrated_out(group):
    x, y = regression(n=9)
    moments = SecondMoments.of(x, y)
    found = maximise_evidence(moments, group, intercept="profiled")
    precision = found.precision[group]
    assert found.log_evidence == pytest.approx(marginal(*centred(x, y), precision, found.noise_precision), rel=1e-10)
    # at the columns' means b is free of the weights: no other b does better
    away = x - x.mean(axis=0)
    others = [marginal(away, y - y.mean() - shift, precision, found.noise_precision) for shift in (-0.1, 0.1)]
    assert max(others) < found.log_evidence
    found = maximise_evidence(moments, group)
    joint = lambda b: np.exp(marginal(x, y - b, found.precision[group], found.noise_precision) - found.log_evidence)  # noqa: E731
    by_hand = integrate.quad(joint, found.intercept - 60, found.intercept + 60, points=[found.intercept], limit=200)[0]
    assert np.log(by_hand) == pytest.approx(0.0, abs=1e-7)  # the quadrature's own error


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.usefixtures("float64")
def test_the_e_step_by_hand_is_the_gradient_of_the_bound(diagonal):
    x, y = regression()
    rows = Rows.of(x if not diagonal else np.arange(1.0, 7.0), y if not diagonal else y[:6], 5.0, 39.0, -1.5)
    model = EvidenceModel(np.array([0.3, 2.0, 9.0]), np.asarray(0.7), (0, 1, 1, 2, 0, 2), diagonal, 1e-12)
    block, natural = rows.block(), model.natural()
    value, stats_by_hand = model.gather(natural, block)
    piece = jax.tree.map(lambda leaf: leaf[0], block)
    bound, slope = jax.value_and_grad(lambda natural: model.bound(natural, piece).sum())(natural)
    assert value == pytest.approx(float(bound), rel=1e-12)
    for hand, automatic in zip(stats_by_hand, slope, strict=True):
        np.testing.assert_allclose(hand, automatic, rtol=1e-9)


@every_grouping
def test_the_gradient_over_logarithms_is_that_of_differences(group):
    x, y = regression()
    rows = Rows.of(x, y, 0.0, 40.0, 0.0)
    theta = np.append(np.log([0.3, 2.0, 9.0, 1.0, 0.1, 5.0])[: group.max() + 1], np.log(0.7))

    def density(theta):
        return marginal(x, y, np.exp(theta[:-1])[group], np.exp(theta[-1]))

    model = EvidenceModel(np.exp(theta[:-1]), np.exp(theta[-1:])[0], tuple(group.tolist()), False, 1e-12)
    slope = model.slope(model.gather(model.natural(), rows.block())[1])
    for j, own in enumerate(slope):
        step = 1e-4 * (np.arange(len(theta)) == j)
        # rounding of 1e-12 over 2e-4, and third derivatives times 1e-8
        assert own == pytest.approx((density(theta + step) - density(theta - step)) / 2e-4, rel=1e-5, abs=1e-6)


@every_method
@every_grouping
def test_the_gradient_vanishes_at_the_maximum(method, group):
    """By central differences of the density, over log λ and log β."""
    x, y = regression(n=30)
    found = maximise_evidence(SecondMoments.of(x, y), group, method=method, intercept="profiled", tol=1e-10)
    away, response = centred(x, y)
    assert found.status is Status.CONVERGED

    def at(g, step):
        precision, noise = found.precision.copy(), found.noise_precision
        if g < len(precision):
            precision[g] *= np.exp(step)
        else:
            noise *= np.exp(step)
        return marginal(away, response, precision[group], noise)

    for g in range(len(found.precision) + 1):
        # a remaining gain of 1e-10 leaves slopes of its root; differences bring 1e-13 / 1e-4
        assert (at(g, 1e-4) - at(g, -1e-4)) / 2e-4 == pytest.approx(0.0, abs=3e-5)
    for g in np.flatnonzero(found.pruned):
        precision = found.precision.copy()
        precision[g] = 1e6
        assert marginal(away, response, precision[group], found.noise_precision) <= found.log_evidence


@every_grouping
def test_the_methods_agree_and_rise(group):
    x, y = regression(n=200, seed=3)
    moments = SecondMoments.of(x, y)
    best = maximise_evidence(moments, group, tol=1e-10)
    for method in METHODS:
        found = maximise_evidence(moments, group, method=method, tol=1e-10)
        assert found.log_evidence == pytest.approx(best.log_evidence, abs=1e-8)
        np.testing.assert_array_equal(found.pruned, best.pruned)
        np.testing.assert_allclose(found.mean, best.mean, atol=1e-4)
        assert found.noise_precision == pytest.approx(best.noise_precision, rel=1e-4)
        kept = found.trace.objective[found.trace.accepted]
        assert (np.diff(kept) >= -1e-10).all()
        np.testing.assert_allclose(found.effective.sum(), best.effective.sum(), rtol=1e-3)


@every_grouping
def test_the_fixed_point_is_mackays(group):
    """λ_g = γ_g/‖m_g‖², β = (ν − γ)/‖y − Xm‖² (Bishop 2006, eqs. 7.87 to 7.89), from matrices as they stand."""
    x, y = regression()
    rows, precision, noise = (
        Rows.of(x, y, 0.0, 40.0, 0.0),
        np.array([0.3, 2.0, 9.0, 1.0, 0.1, 5.0])[: group.max() + 1],
        0.7,
    )
    model = EvidenceModel(precision, np.asarray(noise), tuple(group.tolist()), False, 1e-12)
    flat = lambda stats: np.concatenate([np.ravel(part) for part in stats])[None]  # noqa: E731
    gathered = model.gather(model.natural(), rows.block())[1]
    given = gathered._replace(squares=gathered.columns / precision, residual=gathered.count / noise)
    proposal = MacKay(group).propose(flat(given), flat(gathered))[0]
    covariance = np.linalg.inv(np.diag(precision[group]) + noise * x.T @ x)
    mean = noise * covariance @ x.T @ y
    effective = np.bincount(group, 1 - precision[group] * np.diagonal(covariance))
    wanted = effective / np.bincount(group, mean**2)
    np.testing.assert_allclose(gathered.columns / proposal[: len(precision)], wanted, rtol=1e-7)
    assert 40 / proposal[-2] == pytest.approx((40 - effective.sum()) / np.sum((y - x @ mean) ** 2), rel=1e-8)


@pytest.mark.parametrize("group", [GROUPS["three"], GROUPS["each"]], ids=["three", "each"])
def test_after_a_sweep_the_last_precision_is_at_its_maximum(group):
    """Given those before it, which the same sweep has moved; the noise precision with it."""
    x, y = regression(n=30)
    away, response = centred(x, y + 2 * x[:, 5])
    rows = Rows.of(away, response, 0.0, 30.0, 0.0)
    ratio = coordinates(rows, group, np.full(group.max() + 1, 3.0), 1, 0.0).ratio

    def profile(step):
        moved = ratio.copy()
        moved[-1] *= np.exp(step)
        noise = best_noise(rows, moved[group])
        return log_evidence(rows, posterior(rows, moved[group] / noise, noise), noise)

    assert ratio[-1] > 0
    assert (profile(1e-4) - profile(-1e-4)) / 2e-4 == pytest.approx(0.0, abs=1e-6)
    assert profile(0.0) > max(profile(0.01), profile(-0.01))


def test_a_group_is_kept_where_a_maximum_without_it_is_lower():
    """A long column of no use beside a short one that explains: the evidence falls towards either side of λ = ∞."""
    rows = Rows.of(np.array([[100.0, 0.0], [0.0, 1.0]]), np.array([0.0, 10.0]), 98.0, 99.0, 0.0)
    group, precision = np.zeros(2, dtype=int), np.array([0.02])
    found = posterior(rows, 1 / precision[group], 1.0)
    without = log_evidence(rows, posterior(rows, np.zeros(2), 1.0), 1.0)
    nearly = log_evidence(rows, posterior(rows, np.full(2, 1e-8), 1.0), 1.0)
    assert nearly < without < log_evidence(rows, found, 1.0) - 30
    assert not _better_without(rows, group, found, precision).any()
    idle = rows._replace(response=np.array([0.0, 0.1]), cross=np.array([0.0, 0.1]))
    assert _better_without(idle, group, posterior(idle, 1 / precision[group], 1.0), precision).all()


def test_plain_em_never_lets_the_evidence_fall_and_the_trace_ends_at_it():
    x, y = regression(n=30)
    found = maximise_evidence(SecondMoments.of(x, y), np.arange(6), method="em", tol=1e-9)
    kept = found.trace.objective[found.trace.accepted]
    assert (np.diff(kept) >= -1e-11).all()
    # pruning comes after the last E-step that the trace shows
    assert found.log_evidence >= kept[-1] - 1e-11


# ------------------------------------------------------------------------------------------------------- other programs


@pytest.mark.parametrize("n", [400, 30])
def test_scikit_learn_reaches_no_higher_evidence(n):
    x, y = regression(n=n, p=20, seed=1, noise=3.0)
    moments = SecondMoments.of(x, y)
    away, response = centred(x, y)
    ours = maximise_evidence(moments, intercept="profiled")
    theirs = BayesianRidge(compute_score=True, max_iter=10_000, tol=1e-10).fit(x, y)
    precision = np.full(20, theirs.lambda_)
    judged = marginal(away, response, precision, theirs.alpha_)
    assert ours.log_evidence >= judged - 1e-9
    # scores_ adds its weak Gamma priors' logarithms, shapes and rates of 1e-6
    assert theirs.scores_[-1] == pytest.approx(judged, abs=1e-3)
    if n == 400:
        np.testing.assert_allclose(ours.mean, theirs.coef_, atol=1e-5)
        assert ours.intercept == pytest.approx(theirs.intercept_, abs=1e-4)
        np.testing.assert_allclose(ours.covariance, theirs.sigma_, atol=1e-6)
    ours = maximise_evidence(moments, np.arange(20), intercept="profiled")
    theirs = ARDRegression(max_iter=10_000, tol=1e-8).fit(x, y)
    precision = np.where(theirs.coef_ == 0, np.inf, theirs.lambda_)
    assert ours.log_evidence >= marginal(away, response, precision, theirs.alpha_) - 1e-9


def test_true_zeros_are_pruned():
    rng = np.random.default_rng(5)
    x, weights = rng.normal(size=(500, 30)), np.repeat([1.0, 0.0], 15)
    found = maximise_evidence(SecondMoments.of(x, x @ weights + rng.normal(size=500)), np.arange(30))
    assert not found.pruned[:15].any()
    # a useless column stays where its t² > 1, of probability 0.32: 15 of them, 4.75 ± 1.8, four standard errors
    assert found.pruned[15:].sum() >= 3
    assert (found.mean[found.pruned] == 0).all()
    assert found.effective[found.pruned].sum() == 0


# -------------------------------------------------------------------------------------------------------- rows, weights


def test_a_weight_is_a_number_of_rows():
    x, y = regression(n=25)
    weight = np.random.default_rng(0).integers(0, 4, size=25)
    weighted = SecondMoments.of(x, y, weight.astype(float))
    repeated = SecondMoments.of(np.repeat(x, weight, axis=0), np.repeat(y, weight))
    np.testing.assert_allclose(weighted.gram, repeated.gram, rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(
        maximise_evidence(weighted).log_evidence, maximise_evidence(repeated).log_evidence, rtol=1e-11
    )


def test_slabs_and_offsets_cost_no_digits():
    x, y = regression(n=5000)
    x[2500:] += 50.0  # slabs with means of their own
    moments, far = SecondMoments.of(x, y), SecondMoments.of(x + 1e6, y - 1e6)
    away, response = centred(x, y)
    np.testing.assert_allclose(moments.gram, away.T @ away, rtol=1e-11)
    np.testing.assert_allclose(moments.cross, away.T @ response, rtol=1e-9)
    # an offset of 1e6 leaves 1e-10 of each value: 1e-9 after differences of order 1
    np.testing.assert_allclose(far.gram, moments.gram, rtol=1e-8)
    assert maximise_evidence(far).log_evidence == pytest.approx(maximise_evidence(moments).log_evidence, rel=1e-9)


def test_ard_does_not_care_for_units():
    x, y = regression(n=60)
    units = np.array([1e-6, 1.0, 1e4, 10.0, 1e3, 1e-3])
    found = maximise_evidence(SecondMoments.of(x, y), np.arange(6))
    other = maximise_evidence(SecondMoments.of(x * units, y), np.arange(6))
    assert other.log_evidence == pytest.approx(found.log_evidence, abs=1e-7)
    np.testing.assert_allclose(other.mean * units, found.mean, rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------------------------------------------------- hard tables


@every_method
@pytest.mark.parametrize("group", [np.zeros(40, dtype=int), np.arange(40)], ids=["one", "each"])
def test_more_columns_than_rows(method, group):
    x, y = regression(n=15, p=40, noise=3.0)
    found = maximise_evidence(SecondMoments.of(x, y), group, method=method)
    # the density of the 14 contrasts, and −½ log n for the flat intercept
    contrasts = np.linalg.qr(np.column_stack([np.ones(15), np.eye(15)[:, 1:]]))[0][:, 1:].T
    judged = marginal(contrasts @ x, contrasts @ y, found.precision[group], found.noise_precision)
    # a precision for each column can explain 14 contrasts without error
    assert found.status is Status.CONVERGED or (group.max() > 0 and found.status is Status.DEGENERATE)
    # a residual variance of 1e-10 leaves 6 digits of the covariance's determinant
    assert found.log_evidence == pytest.approx(judged - 0.5 * np.log(15), rel=1e-9 if group.max() == 0 else 1e-5)
    assert found.effective.sum() <= 14 + 1e-9


@pytest.mark.parametrize(
    ("seed", "n", "p", "k", "noise", "alike"),
    [(2, 20, 100, 3, 1e-3, False), (1, 40, 80, 1, 1e-3, False), (57, 20, 100, 10, 0.0, True)],
    ids=["few", "one", "correlated columns without noise"],
)
def test_coordinates_climb_to_where_the_residual_variance_is_held(seed, n, p, k, noise, alike):
    """A few of many columns explain y but for next to nothing.

    Steps that take no account of the floor fall there, by as much as a nat, and so do products that have drifted.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    if alike:
        x = x @ np.linalg.qr(rng.normal(size=(p, p)))[0] * np.logspace(0, -3, p)
    y = x[:, :k] @ rng.normal(size=k) + noise * rng.normal(size=n)
    found = maximise_evidence(SecondMoments.of(x, y), np.arange(p))
    assert found.status is Status.DEGENERATE
    # yᵀV⁻¹y is a sum of n squares of size yᵀy, 1e10 times as large; β times that is ν
    assert np.diff(found.trace.objective).min(initial=0.0) >= -n * np.finfo(float).eps * n * 1e10


@pytest.mark.parametrize("rest", [0.0, 1e-4, 0.9e-2, 1.1e-2, 0.1])
@pytest.mark.parametrize("along", [0.3, 1.0])
def test_a_single_column_is_at_the_maximum_of_the_evidence_with_its_floor(rest, along):
    """A coarse floor, so that it matters: with one column of length d, log p(y) over r, β = ν/max(yᵀV⁻¹y, least)."""
    d, count, least = 2.0, 9.0, 1e-2

    def cost(log_ratio):
        inner = 1 + np.exp(log_ratio) * d
        square = rest + along**2 / inner
        noise = count / max(square, least)
        return -count * np.log(noise) + noise * square + np.log(inner)

    found = best_ratio(np.array([d]), np.array([along]), rest, count, least)
    numerical = optimize.minimize_scalar(cost, bounds=(-20, 20), method="bounded", options={"xatol": 1e-10})
    assert np.log(found) == pytest.approx(numerical.x, abs=1e-6)  # a flat maximum: √ε
    # of several columns, one long and one of no length that matters
    both = best_ratio(np.array([d, d]), np.array([along / np.sqrt(2)] * 2), rest, count, least)
    numerical = optimize.minimize_scalar(
        lambda own: cost(own) + np.log1p(np.exp(own) * d), bounds=(-20, 20), method="bounded", options={"xatol": 1e-10}
    )
    assert np.log(both) == pytest.approx(numerical.x, abs=1e-6)


def test_of_columns_that_can_stand_for_each_other_one_is_kept():
    """Each of three alike costs nothing to leave out, given the other two."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=30)
    rows = Rows.of(np.column_stack([one, one, one]), 2 * one + 0.1 * rng.normal(size=30), 0.0, 30.0, 0.0)
    group, precision = np.arange(3), np.full(3, 0.25)  # the evidence of a weight of 2 is largest at 0.25
    without = _better_without(rows, group, posterior(rows, 1 / precision, 100.0), precision)
    assert without.sum() == 2


def test_more_columns_than_rows_and_an_intercept_at_its_maximum_have_no_maximum():
    """14 contrasts are explained without error, while the intercept's row still counts as one: β has no bound."""
    x, y = regression(n=15, p=40)
    assert maximise_evidence(SecondMoments.of(x, y), intercept="profiled").status is Status.DEGENERATE


@every_method
@pytest.mark.parametrize("group", [None, np.arange(8)], ids=["one", "each"])
def test_constant_and_repeated_columns(method, group):
    x, y = regression(n=40)
    moments = SecondMoments.of(np.column_stack([x, np.full(40, 0.1), x[:, 0]]), y)
    np.testing.assert_array_equal(moments.constant, [False] * 6 + [True, False])
    found = maximise_evidence(moments, group, method=method, intercept="profiled")
    away, response = centred(np.column_stack([x, np.zeros(40), x[:, 0]]), y)
    precision = found.precision if group is not None else np.full(8, found.precision[0])
    judged = marginal(away, response, precision, found.noise_precision)
    assert found.log_evidence == pytest.approx(judged, rel=1e-9)
    assert found.mean[6] == pytest.approx(0.0, abs=1e-12)
    if group is not None:
        assert found.pruned[6]
        once = maximise_evidence(SecondMoments.of(x, y), np.arange(6), intercept="profiled")
        assert found.log_evidence == pytest.approx(once.log_evidence, abs=1e-5)


@every_method
@pytest.mark.parametrize("group", [None, np.arange(6)], ids=["one", "each"])
def test_a_response_without_noise_is_held_at_the_floor_and_said_to_be(method, group):
    x, _ = regression(n=40)
    y = x @ np.arange(1.0, 7.0)
    found = maximise_evidence(SecondMoments.of(x, y), group, method=method)
    assert found.status is Status.DEGENERATE
    variance = np.sum((y - y.mean()) ** 2) / 39
    assert 1 / found.noise_precision == pytest.approx(FLOOR * variance, rel=1e-6)
    np.testing.assert_allclose(found.mean, np.arange(1.0, 7.0), rtol=1e-5)


@every_method
@pytest.mark.parametrize("group", [None, np.arange(4)], ids=["one", "each"])
def test_columns_that_explain_nothing_are_pruned(method, group):
    x = np.random.default_rng(0).normal(size=(50, 4))
    basis = np.linalg.qr(np.column_stack([np.ones(50), x]))[0]
    y = np.random.default_rng(1).normal(size=50)
    y -= basis @ (basis.T @ y)  # orthogonal to them all
    found = maximise_evidence(SecondMoments.of(x, y + 5), group, method=method, intercept="profiled")
    assert found.pruned.all()
    assert not found.mean.any()
    assert found.intercept == pytest.approx(5.0)
    sd = np.sqrt(np.mean(y**2))
    assert found.log_evidence == pytest.approx(stats.norm(0, sd).logpdf(y).sum(), rel=1e-12)
    assert found.noise_precision == pytest.approx(1 / sd**2)


def test_refusals():
    x, y = regression(n=40)
    with pytest.raises(DataError, match=r"y is constant \(always 0.1\)"):
        SecondMoments.of(x, np.full(40, 0.1))
    with pytest.raises(DataError, match="total weight 2 are too few"):
        maximise_evidence(SecondMoments.of(x[:2], y[:2]))
    moments = SecondMoments.of(x, y)
    with pytest.raises(ValueError, match="method='newton': choose 'coordinate', 'em'"):
        maximise_evidence(moments, method="newton")
    with pytest.raises(ValueError, match="intercept='none'"):
        maximise_evidence(moments, intercept="none")
    for wrong in (np.zeros(5, dtype=int), np.array([0, 0, 2, 2, 3, 3])):
        with pytest.raises(ValueError, match="leave none out"):
            maximise_evidence(moments, wrong)


def test_running_out_of_iterations_is_told():
    x, y = regression(n=40)
    for method in METHODS:
        found = maximise_evidence(SecondMoments.of(x, y), np.arange(6), method=method, max_iter=1, tol=1e-12)
        assert found.status is Status.MAX_ITERATIONS
        assert len(found.trace) == 2
