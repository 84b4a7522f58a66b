"""Gaussian mixtures: model-based clustering with missing cells."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..core.errors import DataError, NoumenaError
from ..data.output import table_like
from ..data.summary import check_columns
from ..families.covariance import Structure
from ..families.diagonal_normal import DiagonalNormal, DiagonalParameters, covariance_of
from ..families.family import Family
from ..families.normal import Frame, Normal, NormalParameters
from ..families.normal_inverse_wishart import NormalInverseWishart
from ..models.gaussian import GaussianMixtureDensity
from .diagnosis import degenerate_message
from .mixture_fitting import Given, Problem
from .parameters import given_array, integer, normal_prior
from .tabular import CompletingMixture


class GaussianMixture(CompletingMixture):
    """Mixture of multivariate normals, fitted by EM to tables with missing cells.

    The density of a row is Σ_k π_k N(x | μ_k, Σ_k). Missing cells, in any pattern, are integrated out exactly, at the
    fit and in every method; nothing is imputed on the way.

    Parameters
    ----------
    n_components : int, default=1
        K.
    covariance : str, default="VVV"
        What the Σ_k share: one of the 14 structures of model-based clustering (EII VII EEI VEI EVI VVI EEE VEE EVE VVE
        EEV VEV EVV VVV: volume, shape and orientation each Equal, Variable or the Identity; E or V for one column), or
        scikit-learn's names ``"full"`` (VVV), ``"tied"`` (EEE), ``"diag"`` (VVI), ``"spherical"`` (VII).
    noise : {"box", "hull"}, optional
        One more component, uniform over the box of the data, or over their convex hull (complete rows of up to 8
        columns), for rows that belong to no other (Banfield & Raftery 1993). `predict` gives these −1, and the last
        column of `predict_proba` is theirs.
    prior : NormalInverseWishart or "default", optional
        Conjugate prior on each (μ_k, Σ_k): the fit is then maximum a posteriori, and no covariance can collapse.
        ``"default"`` is the weak prior of Fraley & Raftery (2007). None is maximum likelihood.
    n_init : int, default=1
        Number of starts: side by side, first as short runs, then the best quarter to convergence.
    init_params : {"kmeans", "hierarchical", "random"} or array, default="kmeans"
        How the first start is found: k-means seeded by k-means++, Ward's agglomeration of sphered rows, random
        responsibilities; or given responsibilities, shape (n_rows, K), or labels, shape (n_rows,). Further starts vary
        the method, since those of one method mostly end in one optimum. A start, found or given, is made of 20,000
        rows at most, drawn at random (of fewer where there are over 100 columns, but of 2,000): what an array says of
        the other rows of a larger table is not used.
    weights_init, means_init, covariances_init : array, optional
        Parameters to start from, shapes (K,), (K, d) and (K, d, d).
    tol : float, default=1e-4
        The fit has converged when the gain in total log likelihood that is still to come, projected from the latest
        steps, is below this many nats. 0 runs exactly ``max_iter`` iterations.
    max_iter : int, default=1000
    accelerate : {"squarem", "anderson", None}, default="squarem"
        Extrapolates EM's steps; where that does not raise the log likelihood, the fit goes back to its best point.
    random_state : int, RandomState or None
    verbose : int, default=0
        Above 0, prints the objective every so many iterations.

    Attributes
    ----------
    weights_ : array, shape (K,)
    noise_weight_ : float
        Of the noise, where there is one: ``weights_`` and it sum to 1.
    means_ : array, shape (K, d)
    covariances_ : array, shape (K, d, d)
        Full matrices, whatever the structure.
    log_likelihood_ : float
        log p(observed cells) of the training rows, in nats.
    n_parameters_ : int
        Free parameters.
    trace_ : Trace
        The objective (log likelihood, plus log prior if there is one) at every iteration.
    status_ : Status
        How the fit ended; ``status_.message`` says it in words.
    converged_ : bool
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : array of str
        Where the table has column names.

    Notes
    -----
    Ctrl-C during a fit keeps the best parameters so far, with the status ``interrupted``.

    Examples
    --------
    >>> import numpy as np
    >>> import noumena as nm
    >>> rng = np.random.default_rng(0)
    >>> x = np.concatenate([rng.normal(0, 1, (100, 2)), rng.normal(6, 1, (100, 2))])
    >>> x[::7, 0] = np.nan
    >>> gm = nm.GaussianMixture(n_components=2, random_state=0).fit(x)
    >>> gm.status_.value
    'converged'
    >>> gm.weights_.round(1)
    array([0.5, 0.5])
    """

    means_: np.ndarray
    covariances_: np.ndarray

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance: str = "VVV",
        noise: str | None = None,
        prior: NormalInverseWishart | str | None = None,
        n_init: int = 1,
        init_params: Any = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        covariances_init: Any = None,
        tol: float = 1e-4,
        max_iter: int = 1000,
        accelerate: str | None = "squarem",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.covariance = covariance
        self.noise = noise
        self.prior = prior
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.covariances_init = covariances_init
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.random_state = random_state
        self.verbose = verbose

    def _family_for(self, problem: Problem) -> Callable[[int], Family]:
        d = problem.table.n_columns
        if self.covariance in ("E", "V") and d > 1:
            raise ValueError(f"covariance={self.covariance!r} is for one column; this table has {d}: use EII or VII")
        structure = Structure.named(self.covariance)
        mean, variance = problem.summary.mean, problem.summary.variance
        prior, frame = normal_prior(self.prior, mean, variance), Frame.of(mean, np.sqrt(variance))
        kind = DiagonalNormal if structure.diagonal else Normal
        return lambda size: kind(frame, structure, prior(size))

    def _family_name(self) -> str:
        return Structure.named(self.covariance).name

    def _sized(self) -> bool:
        return self.prior is not None and isinstance(self.prior, str)

    def _given(self, size: int) -> Given | None:
        d = self.n_features_in_
        weights = given_array("weights_init", self.weights_init, (size,))
        means = given_array("means_init", self.means_init, (size, d))
        covariances = given_array("covariances_init", self.covariances_init, (size, d, d))
        if weights is None and means is None and covariances is None:
            return None
        return Given(weights, lambda family, found: _replaced(family, found, means, covariances), means)

    def _check_for_sweep(self) -> None:
        super()._check_for_sweep()
        for name in ("weights_init", "means_init", "covariances_init"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} holds for one number of components only: leave it out of a sweep")

    def _described(self, family: Family, reported: Any) -> dict[str, Any]:
        return {"means": reported["mean"], "covariances": covariance_of(reported)}

    def _degenerate_message(self, problem: Problem) -> str:
        return degenerate_message(
            self.weights_,
            self.covariances_,
            self._model.foreground()[1].collapsed,
            np.sqrt(problem.summary.variance),
            problem.summary.total_weight,
            self._column_names(),
        )

    def _check_columns(self, problem: Problem) -> None:
        check_columns(problem.summary, self._column_names())

    def _density(self) -> GaussianMixtureDensity:
        check_is_fitted(self)
        if self._model.family.background:
            raise NoumenaError("a mixture with noise is no mixture of normals alone: fit one without noise for this")
        return GaussianMixtureDensity(self.weights_, self.means_, self.covariances_)

    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows from the mixture.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState or None
            The estimator's own where None.

        Returns
        -------
        X : array, shape (n_samples, d)
        components : array of int, shape (n_samples,)
        """
        check_is_fitted(self)
        n = integer("n_samples", n_samples, 1)
        if self._model.family.background:
            return super().sample(n, random_state)
        return self._density().sample(n, self._rng(random_state))

    def impute(self, X: Any, *, draws: int | None = None, random_state: Any = None) -> Any:
        """Fill the missing cells.

        Parameters
        ----------
        X : table
        draws : int, optional
            Number of completed tables with missing cells drawn from p(missing | observed), for multiple imputation.
            None fills in the conditional means E[missing | observed].
        random_state : int, RandomState or None
            The estimator's own where None.

        Returns
        -------
        table or list of tables
            Of the kind that was passed (arrays for paths and lists); a list where ``draws`` is given.
        """
        if self._model.family.background:
            return super().impute(X, draws=draws, random_state=random_state)
        x = self._table(X).to_array()
        density, names = self._density(), self._column_names()
        if draws is None:
            return table_like(X, density.conditional_mean(x), names)
        rng = self._rng(random_state)
        return [table_like(X, density.conditional_draw(x, rng), names) for _ in range(integer("draws", draws, 1))]

    def marginal(self, columns: Any) -> GaussianMixtureDensity:
        """The mixture over some columns, all others integrated out.

        Parameters
        ----------
        columns : sequence of str or int
            Names or positions.
        """
        return self._density().marginal(self._positions(columns))

    def conditional(self, given: Mapping[str | int, float]) -> GaussianMixtureDensity:
        """The mixture over the remaining columns, given values of some.

        Parameters
        ----------
        given : mapping
            From column name or position to its value.

        Examples
        --------
        >>> import noumena as nm
        >>> gm = nm.GaussianMixture(random_state=0).fit([[0.0, 0.0], [1.0, 1.2], [2.0, 1.8], [3.0, 3.0]])
        >>> gm.conditional({0: 1.5}).means.round(2)
        array([[1.5]])
        """
        positions, values = self._positions(list(given)), np.array(list(given.values()), dtype=float)
        if len(positions) == self.n_features_in_:
            raise DataError("every column is given: there is nothing left to condition on them")
        for column, value in given.items():
            if not np.isfinite(value):
                raise DataError(f"the value given for column {column!r} is {value}: leave a missing column out")
        return self._density().conditional(positions, values)


def _replaced(family: Family, found: Any, means: np.ndarray | None, covariances: np.ndarray | None) -> Any:
    """The parameters of a stack of starts, with given means and covariances in place of those found."""
    assert isinstance(family, Normal | DiagonalNormal)
    location, scale = np.asarray(family.frame.location.value), np.asarray(family.frame.scale.value)
    lanes = found.mean.shape[0]
    if means is not None:
        found = found._replace(mean=np.tile((means - location) / scale, (lanes, 1, 1)))
    if covariances is not None:
        within = covariances / np.outer(scale, scale)
        if isinstance(found, DiagonalParameters):
            variance = np.diagonal(within, axis1=1, axis2=2)
            return found._replace(variance=np.tile(variance, (lanes, 1, 1)))
        assert isinstance(found, NormalParameters)
        found = found._replace(covariance=np.tile(within, (lanes, 1, 1, 1)))
    return found
