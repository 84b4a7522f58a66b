"""Clusters of more than one component: components that overlap are merged, pair by pair, by entropy."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy.special import xlogy

from .inputs import row_weights
from .mixture_estimator import MixtureEstimator
from .parameters import integer

#: Rows that are worked on at once: what is held beside the posterior probabilities themselves stays small.
_PIECE = 65_536
#: Components count as apart where no merge frees more than this share of log 2 nats per row, which two equal ones have.
_APART = 0.01


@final
@dataclass(frozen=True, eq=False)
class Merging:
    """The hierarchy of clusters that the components of a mixture merge to.

    The density is the mixture's at every stage; only what counts as one cluster changes. With t_nk the posterior
    probability of cluster k for row n and w_n the row's weight, the entropy of a stage is

        ENT = −Σ_n w_n Σ_k t_nk log t_nk        in nats,

    0 where every row is certain of its cluster, and at most log(clusters) for each row.

    Attributes
    ----------
    estimator : mixture estimator
        The fitted one.
    linkage : array, shape (K − 1, 4)
        The merges as SciPy's hierarchical clustering has them: the two clusters, numbered 0 … K − 1 for components and
        K + s for what merge s made; the height, which is the entropy that this merge and those before it took away
        (nats; it never falls); the number of components in the new cluster.
    entropy : array, shape (K,)
        Before the first merge, after it, …, after the last (one cluster: 0), in nats. After s merges there are K − s
        clusters.
    merged_rows : array, shape (K − 1,)
        Weight of the rows whose most probable cluster, before the merge, was one of the two merged.
    n_rows : float
        Total weight.
    background : bool
        Whether the mixture has a background (noise), whose probability is the last column of ``predict_proba``. It is
        never merged: entropies and weights are then those of the rows as far as they are not background, with t_nk
        divided and w_n multiplied by 1 − t_n,background.

    References
    ----------
    Baudry, Raftery, Celeux, Lo & Gottardo (2010), J. Comput. Graph. Stat. 19:332.
    """

    estimator: Any
    linkage: np.ndarray
    entropy: np.ndarray
    merged_rows: np.ndarray
    n_rows: float
    background: bool

    @property
    def n_components(self) -> int:
        """K, without a background."""
        return len(self.entropy)

    @property
    def n_clusters(self) -> int:
        """The number of clusters that `elbow` suggests."""
        return self.elbow()

    @property
    def entropy_per_merged_row(self) -> np.ndarray:
        """What each merge took from the entropy, per row merged, shape (K − 1,), in nats; 0 where it merged no row.

        Baudry et al. plot it as the normalised difference in entropy: a merge of parts of one cluster takes much of
        log 2, one of separate clusters next to nothing.
        """
        gone = -np.diff(self.entropy)
        return np.divide(gone, self.merged_rows, out=np.zeros_like(gone), where=self.merged_rows > 0)

    @property
    def rows_still_to_merge(self) -> np.ndarray:
        """Weight of the rows of all merges that follow each stage, shape (K,); 0 at one cluster."""
        return np.concatenate([np.cumsum(self.merged_rows[::-1])[::-1], [0.0]])

    def elbow(self, *, rescaled: bool = True) -> int:
        """The number of clusters where the entropy curve bends: what came before merged parts of one cluster.

        Two straight lines that both include the change point are fitted by least squares, and the best change point
        taken. It lies between 2 and K − 1, so with two components, or where components are apart (no merge takes more
        than 1% of log 2 nats per merged row), the answer is K.

        Parameters
        ----------
        rescaled : bool, default=True
            Entropy against `rows_still_to_merge`, as Baudry et al. propose, since clusters differ in size; or against
            the number of clusters.
        """
        most = self.n_components
        if most < 3 or self.entropy_per_merged_row.max() <= _APART * np.log(2):
            return most
        ent = self.entropy[::-1]  # of 1, 2, …, K clusters
        x = self.rows_still_to_merge[::-1] if rescaled else np.arange(1.0, most + 1)
        error = [_squared_error(x[:c], ent[:c]) + _squared_error(x[c - 1 :], ent[c - 1 :]) for c in range(2, most)]
        return 2 + int(np.argmin(error))

    def clusters(self, n_clusters: int | None = None) -> np.ndarray:
        """The cluster of each component, shape (K,); clusters are numbered in the order of their first component.

        Parameters
        ----------
        n_clusters : int, optional
            1 … K; the suggested number where None.

        Raises
        ------
        ValueError
            For a number beyond these.
        """
        count = self.n_clusters if n_clusters is None else integer("n_clusters", n_clusters, 1)
        most = self.n_components
        if count > most:
            raise ValueError(f"n_clusters={count} is more than the {most} components: merging makes fewer, not more")
        own = np.arange(most)
        for step, (a, b) in enumerate(self.linkage[: most - count, :2]):
            own[(own == a) | (own == b)] = most + step
        _, first, which = np.unique(own, return_index=True, return_inverse=True)
        return first.argsort().argsort()[which]

    def merged(self, posterior: np.ndarray, n_clusters: int | None = None) -> np.ndarray:
        """Probabilities of clusters from those of components: sums over each cluster's components.

        Parameters
        ----------
        posterior : array, shape (n_rows, K), or (n_rows, K + 1) with a background
            As ``predict_proba`` of the mixture gives it.
        n_clusters : int, optional
            The suggested number where None.

        Returns
        -------
        array, shape (n_rows, n_clusters), or (n_rows, n_clusters + 1) with a background

        Raises
        ------
        ValueError
            For an array with another number of columns, or a number of clusters beyond 1 … K.
        """
        posterior, own = np.asarray(posterior, dtype=float), self.clusters(n_clusters)
        if self.background:
            own = np.append(own, own.max() + 1)
        if posterior.ndim != 2 or posterior.shape[1] != len(own):
            raise ValueError(f"posterior has shape {posterior.shape}, expected (n_rows, {len(own)})")
        return posterior @ np.eye(own.max() + 1)[own]

    def predict_proba(self, X: Any, n_clusters: int | None = None) -> np.ndarray:
        """Probability of each cluster (and of a background, last) for the rows of a table; see `merged`."""
        return self.merged(self.estimator.predict_proba(X), n_clusters)

    def predict(self, X: Any, n_clusters: int | None = None) -> np.ndarray:
        """Most probable cluster of each row of a table, shape (n_rows,); −1 for a background.

        It need not be the cluster of the most probable component.
        """
        found = self.predict_proba(X, n_clusters)
        best = found.argmax(axis=1)
        return np.where(best == found.shape[1] - 1, -1, best) if self.background else best


def merge_components(estimator: MixtureEstimator, X: Any, sample_weight: Any = None) -> Merging:
    """Merge the components of a fitted mixture to clusters, one pair at a time, by entropy.

    A cluster that is no normal (or Poisson, …) takes several components. From K components on, the pair whose merger
    leaves the least entropy is merged, until one cluster is left: with t_na and t_nb the probabilities of two clusters
    for row n, merging takes away

        Σ_n w_n { (t_na + t_nb) log(t_na + t_nb) − t_na log t_na − t_nb log t_nb } ≥ 0

    Parameters
    ----------
    estimator : mixture estimator
        Fitted; usually of the size that BIC chose.
    X : table
        The rows of the fit; missing cells may be anywhere. Memory for one array (n_rows, K) is needed.
    sample_weight : array, shape (n_rows,), optional
        As in ``fit``.

    Returns
    -------
    Merging

    Raises
    ------
    DataError
        For weights that cannot be used.
    ColumnMismatchError
        For a table with other columns than those of the fit.

    References
    ----------
    Baudry, Raftery, Celeux, Lo & Gottardo (2010), J. Comput. Graph. Stat. 19:332.

    Examples
    --------
    >>> import numpy as np
    >>> import noumena as nm
    >>> rng = np.random.default_rng(0)
    >>> x = np.concatenate([rng.gamma(2, 1, 400), 20 + rng.gamma(2, 1, 400)])[:, None]  # two groups, both skewed
    >>> gm = nm.GaussianMixture(4, random_state=0).fit(x)
    >>> merging = nm.merge_components(gm, x)
    >>> merging.n_clusters
    2
    >>> np.bincount(merging.predict(x)).tolist()
    [400, 400]
    """
    t = estimator.predict_proba(X)
    weight = row_weights(sample_weight, len(t))
    weight = np.ones(len(t)) if weight is None else weight
    most = len(estimator.weights_)
    background = t.shape[1] > most
    if background:
        t = t[:, :most]
        inside = t.sum(axis=1)
        weight = weight * inside
        t = np.divide(t, inside[:, None], out=np.full_like(t, 1 / most), where=inside[:, None] > 0)
    own = np.array([weight @ xlogy(column, column) for column in t.T])  # Σ w t log t of each cluster
    both = np.full((most, most), -np.inf)  # the same of the pairs a < b, if both exist
    for a in range(most - 1):
        both[a, a + 1 :] = _pairs(t, weight, a, np.arange(a + 1, most))
    name, size, alive = np.arange(most), np.ones(most, dtype=int), np.ones(most, dtype=bool)
    entropy, linkage, merged_rows = [-own.sum()], np.zeros((most - 1, 4)), np.zeros(most - 1)
    for step in range(most - 1):
        a, b = np.unravel_index(np.argmax(both - own[:, None] - own), both.shape)
        # a cluster that is gone has probability 0, so it is nobody's most probable one
        merged_rows[step] = weight[np.isin(t.argmax(axis=1), (a, b))].sum()
        linkage[step, [0, 1, 3]] = *sorted((name[a], name[b])), size[a] + size[b]
        name[a], size[a], alive[b] = most + step, size[a] + size[b], False
        own[a], own[b] = both[a, b], 0.0
        entropy.append(-own.sum())
        t[:, a] += t[:, b]
        t[:, b] = 0.0
        both[b], both[:, b] = -np.inf, -np.inf
        others = np.flatnonzero(alive & (np.arange(most) != a))
        both[np.minimum(a, others), np.maximum(a, others)] = _pairs(t, weight, int(a), others)
    # but for rounding, entropy falls with every merge, and one cluster has none
    falling = np.minimum.accumulate(np.maximum(entropy, 0.0))
    falling[-1] = 0.0
    linkage[:, 2] = falling[0] - falling[1:]
    return Merging(estimator, linkage, falling, merged_rows, float(weight.sum()), background)


def _pairs(t: np.ndarray, weight: np.ndarray, a: int, others: np.ndarray) -> np.ndarray:
    """Σ_n w_n (t_na + t_nb) log(t_na + t_nb) for each b of the others, in pieces of rows."""
    total = np.zeros(len(others))
    for start in range(0, len(t), _PIECE):
        rows = slice(start, start + _PIECE)
        pair = t[rows, a : a + 1] + t[rows, others]
        total += weight[rows] @ xlogy(pair, pair)
    return total


def _squared_error(x: np.ndarray, y: np.ndarray) -> float:
    """Least sum of squares about a straight line."""
    x, y = x - x.mean(), y - y.mean()
    square = x @ x
    return float(y @ y - (x @ y) ** 2 / square) if square > 0 else float(y @ y)
