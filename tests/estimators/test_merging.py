"""Merging of components: the criterion by brute force, known clusters found again, every estimator, bad input."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import fcluster, is_valid_linkage

import noumena as nm


class Posterior:
    """An estimator that is nothing but the probabilities it gives, whatever the table."""

    def __init__(self, posterior, background=0):
        self._posterior = np.array(posterior, dtype=float)
        self.weights_ = np.ones(self._posterior.shape[1] - background)

    def predict_proba(self, X):
        return self._posterior.copy()


def entropy(t, weight):
    return -sum(w * p * np.log(p) for row, w in zip(t, weight, strict=True) for p in row if p > 0)


def brute_force(t, weight):
    """Every pair tried at every stage, the whole entropy taken anew: groups of components and entropies."""
    groups = [{k} for k in range(t.shape[1])]
    stages, entropies = [[set(group) for group in groups]], [entropy(t, weight)]
    rows = []
    while len(groups) > 1:
        tried = []
        for a, b in combinations(range(len(groups)), 2):
            joined = [*(g for k, g in enumerate(groups) if k not in (a, b)), groups[a] | groups[b]]
            merged = np.stack([t[:, sorted(group)].sum(axis=1) for group in joined], axis=1)
            tried.append((entropy(merged, weight), (a, b), joined))
        now = np.stack([t[:, sorted(group)].sum(axis=1) for group in groups], axis=1)
        least, pair, groups = min(tried, key=lambda one: one[0])
        rows.append(weight[np.isin(now.argmax(axis=1), pair)].sum())
        stages.append(groups)
        entropies.append(least)
    return stages, np.array(entropies), np.array(rows)


def as_groups(own):
    return {frozenset(np.flatnonzero(own == k).tolist()) for k in np.unique(own)}


@pytest.mark.parametrize("seed", range(4))
def test_every_stage_is_the_best_merger_by_brute_force(seed):
    rng = np.random.default_rng(seed)
    t, weight = rng.dirichlet(np.full(6, 0.3), size=80), rng.integers(0, 4, size=80).astype(float)
    merging = nm.merge_components(Posterior(t), None, sample_weight=weight)
    stages, entropies, rows = brute_force(t, weight)
    # rounding: 480 terms of at most 1.1 nats, each to a few ε
    np.testing.assert_allclose(merging.entropy, entropies, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(merging.merged_rows, rows)
    for count in range(1, 7):
        assert as_groups(merging.clusters(count)) == {frozenset(group) for group in stages[6 - count]}
    assert merging.entropy[-1] == 0
    assert merging.n_rows == weight.sum()


def test_pieces_of_rows_add_up(monkeypatch):
    t = np.random.default_rng(0).dirichlet(np.full(5, 0.5), size=101)
    whole = nm.merge_components(Posterior(t), None)
    monkeypatch.setattr("noumena.estimators.merging._PIECE", 7)
    pieces = nm.merge_components(Posterior(t), None)
    np.testing.assert_allclose(pieces.entropy, whole.entropy, rtol=1e-13)
    np.testing.assert_array_equal(pieces.linkage[:, [0, 1, 3]], whole.linkage[:, [0, 1, 3]])


def test_a_weight_of_two_is_the_row_twice():
    t = np.random.default_rng(1).dirichlet(np.full(4, 0.5), size=60)
    weight = np.random.default_rng(2).integers(0, 3, size=60)
    ours, twice = (
        nm.merge_components(Posterior(t), None, weight),
        nm.merge_components(Posterior(t.repeat(weight, 0)), 0),
    )
    np.testing.assert_allclose(ours.linkage, twice.linkage, rtol=1e-12)
    np.testing.assert_array_equal(ours.merged_rows, twice.merged_rows)


def test_the_linkage_is_scipys():
    """Cut by SciPy at so many clusters, the tree gives our clusters; heights are the entropy taken away so far."""
    t = np.random.default_rng(3).dirichlet(np.full(7, 0.4), size=200)
    merging = nm.merge_components(Posterior(t), None)
    assert is_valid_linkage(merging.linkage, throw=True)
    assert (np.diff(merging.linkage[:, 2]) >= 0).all()
    np.testing.assert_allclose(merging.linkage[:, 2], merging.entropy[0] - merging.entropy[1:])
    assert merging.linkage[-1, 3] == 7
    for count in range(1, 8):
        assert as_groups(fcluster(merging.linkage, count, "maxclust")) == as_groups(merging.clusters(count))


def test_clusters_are_numbered_by_their_first_component_and_probabilities_are_sums():
    t = np.random.default_rng(4).dirichlet(np.full(6, 0.4), size=50)
    merging = nm.merge_components(Posterior(t), None)
    for count in range(1, 7):
        own = merging.clusters(count)
        _, first = np.unique(own, return_index=True)
        assert (np.diff(first) > 0).all()
        merged = merging.merged(t, count)
        for k in range(count):
            np.testing.assert_allclose(merged[:, k], t[:, own == k].sum(axis=1))
        np.testing.assert_array_equal(merging.predict_proba(None, count), merged)
        np.testing.assert_array_equal(merging.predict(None, count), merged.argmax(axis=1))


def test_the_change_point_by_brute_force():
    """Least squares of both lines by NumPy, each with the change point in it."""
    t = np.random.default_rng(5).dirichlet(np.full(8, 0.2), size=300)
    merging = nm.merge_components(Posterior(t), None)
    y = merging.entropy[::-1]
    for rescaled in (True, False):
        x = np.concatenate([[0], np.cumsum(merging.merged_rows[::-1])]) if rescaled else np.arange(1.0, 9)
        error = {
            c: sum(
                ((y[part] - np.polyval(np.polyfit(x[part], y[part], 1), x[part])) ** 2).sum()
                for part in (slice(0, c), slice(c - 1, None))
            )
            for c in range(2, 8)
        }
        assert merging.elbow(rescaled=rescaled) == min(error, key=error.__getitem__)
    assert merging.n_clusters == merging.elbow()


def test_a_background_takes_no_part():
    """Rows count by what is not background; the background stays the last column, and −1."""
    rng = np.random.default_rng(6)
    t, noise = rng.dirichlet(np.full(5, 0.3), size=90), rng.random(90)
    noise[:3] = 1.0
    given = np.column_stack([t * (1 - noise)[:, None], noise])
    ours = nm.merge_components(Posterior(given, background=1), None)
    plain = nm.merge_components(Posterior(t), None, sample_weight=1 - noise)
    np.testing.assert_allclose(ours.entropy, plain.entropy, rtol=1e-10)
    np.testing.assert_array_equal(ours.clusters(3), plain.clusters(3))
    found = ours.predict_proba(None, 2)
    np.testing.assert_allclose(found[:, :2], plain.merged(t, 2) * (1 - noise)[:, None])
    np.testing.assert_array_equal(found[:, 2], noise)
    np.testing.assert_array_equal(ours.predict(None, 2) == -1, noise > found[:, :2].max(axis=1))


def test_components_that_are_apart_stay_apart():
    x = np.repeat([0.0, 20.0, 40.0, 60.0], 50)[:, None] + np.random.default_rng(0).normal(size=(200, 1))
    merging = nm.merge_components(nm.GaussianMixture(4, n_init=5, random_state=0).fit(x), x)
    assert merging.n_clusters == 4
    assert merging.entropy[0] < 1e-6


@pytest.mark.parametrize("size", [1, 2])
def test_one_or_two_components_have_no_elbow(size):
    x = np.random.default_rng(0).normal(size=(60, 2))
    merging = nm.merge_components(nm.GaussianMixture(size, random_state=0).fit(x), x)
    assert merging.n_clusters == size
    assert merging.predict(x, 1).tolist() == [0] * 60


def crosses(seed, n=600):
    """The design of section 4.1: two separate normals, and two crosses of two normals each; their four clusters."""
    rng = np.random.default_rng(seed)
    sizes = rng.multinomial(n, [0.2, 0.2, 0.2, 0.2, 0.1, 0.1])
    turn = np.array([[np.cos(0.8), -np.sin(0.8)], [np.sin(0.8), np.cos(0.8)]])
    flat = np.diag([1.0, 0.1])
    covariances = [turn @ flat @ turn.T, turn.T @ flat @ turn, flat[::-1, ::-1], flat, flat[::-1, ::-1], flat]
    means = [(8, 5), (1, 5), (0, 0), (0, 0), (8, 0), (8, 0)]
    x = [rng.multivariate_normal(m, c, s) for m, c, s in zip(means, covariances, sizes, strict=True)]
    return np.concatenate(x), np.repeat([0, 1, 2, 2, 3, 3], sizes)


@pytest.mark.parametrize("seed", range(3))
def test_two_crosses_merge_to_one_cluster_each(seed):
    """Baudry et al. (2010), figure 2: six components by BIC, four clusters."""
    x, truth = crosses(seed)
    gm = nm.GaussianMixture(6, covariance="EVV", n_init=10, random_state=0).fit(x)
    merging = nm.merge_components(gm, x)
    assert merging.n_clusters == merging.elbow(rescaled=False) == 4
    table = pd.crosstab(truth, merging.predict(x)).to_numpy()
    assert table.max(axis=1).sum() >= 598  # the clusters are some 9 standard deviations apart in most directions


def test_skewed_clusters_take_several_normals_and_merge():
    rng = np.random.default_rng(0)
    x = np.concatenate([shift + rng.gamma(2.0, 1.0, size=(300, 2)) for shift in (0.0, 15.0, 30.0)])
    best = nm.select(nm.GaussianMixture(n_init=5, random_state=0), x, n_components=range(1, 9)).estimator_
    assert best.n_components > 3
    merging = nm.merge_components(best, x)
    assert merging.n_clusters == 3
    np.testing.assert_array_equal(np.bincount(merging.predict(x)), [300, 300, 300])


def answers():
    rng = np.random.default_rng(0)
    z = rng.integers(2, size=200)
    frame = pd.DataFrame({f"q{j}": np.where(rng.random(200) < 0.2 + 0.6 * z, "yes", "no") for j in range(5)})
    frame.iloc[::7, 1] = None
    return frame


COUNTS = np.random.default_rng(0).poisson(np.repeat([1.0, 8.0], 60)[:, None] * np.ones(3)).astype(float)
REAL = np.concatenate(
    [np.random.default_rng(0).normal(size=(60, 2)), 6 + np.random.default_rng(1).normal(size=(60, 2))]
)
REAL[::9, 1] = np.nan


@pytest.mark.parametrize(
    ("estimator", "table"),
    [
        (nm.GaussianMixture(3, random_state=0), REAL),
        (nm.GaussianMixture(3, noise="box", random_state=0), REAL),
        (nm.StudentTMixture(3, degrees_of_freedom=5.0, random_state=0), REAL),
        (nm.Mixture(n_components=3, random_state=0), answers().assign(x=np.arange(200.0) % 17 + 0.5)),
        (nm.LatentClassAnalysis(3, random_state=0), answers()),
        (nm.BernoulliMixture(3, random_state=0), (COUNTS > 3).astype(float)),
        (nm.PoissonMixture(3, random_state=0), COUNTS),
    ],
    ids=lambda one: type(one).__name__,
)
def test_every_estimator_merges(estimator, table):
    estimator.fit(table)
    merging = nm.merge_components(estimator, table)
    assert is_valid_linkage(merging.linkage)
    np.testing.assert_allclose(merging.predict_proba(table, 2).sum(axis=1), 1.0)
    if not merging.background:
        np.testing.assert_allclose(merging.entropy[0], entropy(estimator.predict_proba(table), np.ones(len(table))))


def test_what_cannot_be_asked_is_refused():
    x = np.random.default_rng(0).normal(size=(40, 2))
    gm = nm.GaussianMixture(3, random_state=0).fit(x)
    merging = nm.merge_components(gm, x)
    for count in (0, 4, 2.0):
        with pytest.raises(ValueError, match="n_clusters"):
            merging.clusters(count)
    with pytest.raises(ValueError, match="shape"):
        merging.merged(np.ones((4, 2)))
    with pytest.raises(nm.DataError, match="negative"):
        nm.merge_components(gm, x, sample_weight=-np.ones(40))
    with pytest.raises(ValueError, match="one component"):
        nm.plot_merging(nm.merge_components(nm.GaussianMixture(1).fit(x), x))


def test_the_drawing_names_components_clusters_and_entropies():
    x, _ = crosses(1)
    merging = nm.merge_components(nm.GaussianMixture(6, covariance="EVV", n_init=10, random_state=0).fit(x), x)
    figure = nm.plot_merging(merging)
    tree, curve = figure.axes
    assert tree.get_title("left") == "6 components merge to 4 clusters"
    assert sorted(tick.get_text() for tick in tree.get_xticklabels()) == list("012345")
    assert [text.get_text() for text in curve.texts] == list("654321")
    drawn = curve.lines[-1]
    np.testing.assert_array_equal(drawn.get_ydata(), merging.entropy)
    brackets = [line for line in tree.lines if np.ptp(line.get_ydata()) == 0 and np.ptp(line.get_xdata()) > 0]
    assert len(brackets) == 5 + 1  # and the line of the cut
    assert nm.plot_merging(merging, 2).axes[0].get_title("left") == "6 components merge to 2 clusters"
