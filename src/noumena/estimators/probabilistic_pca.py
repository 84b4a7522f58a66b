"""Probabilistic principal components."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..families.factor_chart import determined, uncorrelated
from ..families.factor_structure import FactorParameters, FactorStructure
from ..models.factor import FactorModel
from ..models.rotation import canonical
from ..models.standard_errors import StandardErrors
from .factor_errors import errors_of
from .factor_estimator import FactorEstimator, begun, n_factors_of, replaced
from .factor_rows import FactorRows
from .mixture_fitter import double_precision


class ProbabilisticPCA(FactorEstimator):
    """Principal components as a density, for tables with missing cells.

    x = μ + Wz + ε with z ~ N(0, I) and ε ~ N(0, σ²I). Without missing cells the maximum of the likelihood is in closed
    form: the principal axes, shortened by what is noise. With missing cells EM finds it.

    Parameters
    ----------
    n_factors : int, optional
        q, below the number of columns; 2 by default, or 1 of two columns.
    tol : float, default=1e-6
        Projected remaining gain in total log likelihood, in nats, at which the fit has converged.
    max_iter : int, default=10000
    accelerate : {"squarem", "anderson", None}, default="squarem"
    random_state : int, RandomState or None
        For `sample` and draws of `impute`.
    verbose : int, default=0

    Attributes
    ----------
    loadings_ : array, shape (d, q)
        W, its columns at right angles, the longest first.
    noise_variance_ : float
        σ²; at least 1e-10 of the columns' mean variance, so that a table of low rank has a likelihood.
    explained_variance_ : array, shape (q,)
        Variance of the columns along each axis, noise included; with complete cells, the eigenvalues of the covariance
        (divided by n).
    explained_variance_ratio_ : array, shape (q,)
        As shares of the total variance.
    standardized_loadings_, communalities_, mean_, log_likelihood_, n_parameters_
        As in `FactorAnalysis`.
    trace_, status_, converged_, n_iter_
        As in `FactorAnalysis`.

    References
    ----------
    Tipping & Bishop (1999), J. R. Stat. Soc. B 61:611.

    Examples
    --------
    >>> import numpy as np
    >>> import noumena as nm
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(300, 1)) @ [[3.0, 2.0, 1.0]] + rng.normal(size=(300, 3)) * 0.1
    >>> pca = nm.ProbabilisticPCA(1).fit(x)
    >>> pca.transform(x).shape
    (300, 1)
    >>> float(np.sqrt(pca.noise_variance_).round(1))
    0.1
    """

    noise_variance_: float
    explained_variance_: np.ndarray
    explained_variance_ratio_: np.ndarray

    def __init__(
        self,
        n_factors: int | None = None,
        *,
        tol: float = 1e-6,
        max_iter: int = 10_000,
        accelerate: str | None = "squarem",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_factors = n_factors
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.random_state = random_state
        self.verbose = verbose

    def _structure(self, d: int, names: list[str]) -> FactorStructure:
        wanted = min(2, d - 1) if self.n_factors is None else self.n_factors
        return FactorStructure(n_factors_of(wanted, d, d - 1), (0,) * d)

    def _begin(self, rows: FactorRows, structure: FactorStructure) -> FactorModel:
        return begun(rows, structure)

    def _presented(self, model: FactorModel) -> FactorModel:
        own = model.parameters
        loadings, _ = canonical(uncorrelated(own), own.noise)
        return replaced(model, own._replace(loadings=loadings, latent=np.eye(loadings.shape[1])))

    def _describe(self) -> None:
        self.noise_variance_ = float(self._noise()[0] ** 2)
        self.explained_variance_, self.explained_variance_ratio_ = _explained(self.loadings_, self.noise_variance_)

    def standard_errors(self, X: Any, sample_weight: Any = None) -> StandardErrors:
        """Standard errors from the observed information.

        Those of the loadings take into account that the axes are estimated too (Girshick 1939, Ann. Math. Stat.
        10:203): of axes of nearly the same variance they are large.

        Parameters
        ----------
        X : table
            The rows that the model was fitted on.
        sample_weight : array, shape (n_rows,), optional

        Returns
        -------
        StandardErrors
            ``mean``, ``loadings``, ``standardized_loadings``, ``communalities``, ``noise_variance``,
            ``explained_variance``, ``explained_variance_ratio``. A noise variance at its floor has none: NaN.

        Raises
        ------
        InformationError
            Where the information has no inverse: the factors are not determined by these rows.
        """
        check_is_fitted(self)
        rows = self._rows(X, sample_weight)
        with double_precision():
            model = self._for_rows(rows.complete)
            return errors_of(replaced(model, determined(model.parameters, model.structure)), rows, self._seen)

    def _seen(self, own: FactorParameters) -> dict[str, np.ndarray]:
        """What users see of parameters near the estimate."""
        loadings = canonical(uncorrelated(own), own.noise)[0]
        loadings = loadings * np.sign(np.sum(loadings * self._model.parameters.loadings, axis=0))
        general = self._general(own._replace(loadings=loadings))
        noise = own.noise[0] * self._location_and_scale()[1][0] ** 2
        explained, ratio = _explained(general["loadings"], noise)
        return general | {
            "noise_variance": np.asarray(noise),
            "explained_variance": explained,
            "explained_variance_ratio": ratio,
        }


def _explained(loadings: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Variance along each axis, and its share."""
    explained = np.sum(loadings**2, axis=0) + noise
    return explained, explained / (np.sum(loadings**2) + len(loadings) * noise)
