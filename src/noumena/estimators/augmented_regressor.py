"""Linear regression with normal, heavy-tailed, quantile or censored responses, by augmentation, under any prior."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted, column_or_1d

from ..core.errors import DataError
from ..core.result import Fit
from ..families.augmentation import (
    LaplaceLikelihood,
    NormalLikelihood,
    ResponseLikelihood,
    StudentLikelihood,
    TobitLikelihood,
)
from ..models.augmented_evidence import fit_by_evidence, has_evidence
from ..models.augmented_fit import Settings
from ..models.augmented_rows import Rows
from ..models.evidence import METHODS
from ..models.predictive import PredictiveDistribution
from ..models.standard_errors import StandardErrors
from .augmented import AugmentedEstimator
from .censoring import intervals
from .inputs import row_weights
from .mixture_fitter import double_precision
from .parameters import real

LIKELIHOODS = ("normal", "student_t", "laplace", "asymmetric_laplace", "tobit")


class AugmentedRegressor(RegressorMixin, AugmentedEstimator):
    """Linear regression whose likelihood and prior become weighted least squares once latent variables are added.

    Each row has a latent variable (a variance, an uncensored response), each weight a latent prior variance. Given
    these everything is normal, so that EM solves one weighted ridge regression after another, whatever the pair of
    likelihood and prior. The likelihood that is maximised is the exact marginal one.

    Parameters
    ----------
    likelihood : {"normal", "student_t", "laplace", "asymmetric_laplace", "tobit"}, default="normal"
        Of y given the linear predictor f: normal; Student t, for outliers; Laplace, f being the median; asymmetric
        Laplace, f being the ``quantile``; normal, but y censored.
    prior : {"flat", "ridge", "laplace", "student_t", "ard", "horseshoe", "group_laplace"}, default="flat"
        Of each slope; intercepts have a flat one. Flat is maximum likelihood. Laplace is the LASSO, and weights may
        become exactly 0. ARD gives each weight a normal prior whose variance is at its maximum. What is maximised for
        the horseshoe, whose density has a pole, is a lower bound of it with a kink at 0.
    penalty : float, default=1.0
        In the units of the weights: precision λ of the ridge's N(0, 1/λ); rate γ of (γ/2) exp(−γ|w|), and of
        exp(−γ‖w‖) for groups; 1/scale of Student t and horseshoe. scikit-learn's ``Lasso(alpha)`` is ``prior="laplace",
        penalty=alpha * n_rows, scale=1``.
    prior_dof : float, default=3.0
        Degrees of freedom of the Student t prior.
    groups : sequence of sequences of column names or positions, optional
        For ``"group_laplace"``; by default each column of the table is one, with all of its levels.
    weights : {"point", "posterior"}, optional
        A maximum (a posteriori), or a normal posterior: exact for the normal likelihood under a flat or ridge prior of
        known scale, else the best factorised (mean-field) approximation. By default a point, unless the prior is ARD or
        hyperparameters are estimated, which needs a posterior.
    hyperparameters : {"fixed", "evidence"}, default="fixed"
        ``"evidence"`` estimates ``penalty`` (ridge and the Laplace ones) by maximising p(y | X, penalty), or its bound.
        For the normal likelihood with a ridge or ARD prior the weights are integrated out exactly.
    evidence_method : {"coordinate", "em", "mackay", "gradient"}, default="coordinate"
        How that exact evidence is climbed: one precision after the other in closed form, by EM, by MacKay's fixed
        point, or by L-BFGS on the logarithms of the precisions. They agree but for local maxima of ARD.
    missing : {"normal"}, optional
        What to do about missing cells (NaN) of numbers: by default they are refused. ``"normal"`` takes the covariates
        to be jointly normal and integrates missing ones out, exactly, at the fit and in every method; for normal and
        tobit likelihoods under a flat or ridge prior, at point estimates.
    standardize : bool, default=False
        Whether penalties hold for slopes of columns scaled to standard deviation 1.
    quantile : float, default=0.5
        For the asymmetric Laplace likelihood.
    dof : float, optional
        Degrees of freedom of the Student t likelihood; estimated by default.
    lower, upper : float, optional
        Limits of a tobit's response: one at a limit is censored there.
    scale : float, optional
        Known residual scale, as `scale_`; estimated by default.
    fit_intercept : bool, default=True
    tol : float, default=1e-6
        Projected remaining gain of the objective, in nats, at which the fit has converged.
    max_iter : int, default=5000
    accelerate : {"squarem", "anderson", None}, default="squarem"
    verbose : int, default=0

    Attributes
    ----------
    coef_ : array, shape (p,)
        Slopes, in the units of the data; posterior means where there is a posterior.
    intercept_ : float
    coef_names_ : tuple of str
    scale_ : float
        σ of the normal, tobit and Student t likelihoods; s of the Laplace ones, whose density is
        2q(1 − q)/s · exp(−(|r| + (2q − 1) r)/s).
    dof_ : float
        Of the Student t likelihood.
    prior_precisions_ : array, shape (p,)
        E[1/τ²] of each weight; infinite where it is held at 0.
    penalty_ : float
        The penalty, as given or estimated.
    covariance_ : array
        Of (intercept, slopes) under the posterior; with posteriors only.
    log_likelihood_ : float
        log p(y | X) at ``coef_``, in nats.
    bound_ : float
        Lower bound of log p(y | X, scale, penalty), the weights integrated out; with posteriors only. It is that number
        itself where ``bound_is_exact_``.
    bound_is_exact_ : bool
        Of the normal likelihood under a flat, ridge or ARD prior it is.
    joint_log_likelihood_ : float
        log p(seen cells of X, y), which ``missing="normal"`` maximises; ``log_likelihood_`` is then that of y given the
        seen cells of X.
    covariates_mean_, covariates_covariance_ : array, shapes (p,) and (p, p)
        Of the covariates' joint normal; with ``missing="normal"`` only.
    n_parameters_ : int
        Weights that are not 0, and parameters of the likelihood.
    trace_, status_, converged_, n_iter_
        As in `GaussianMixture`.

    References
    ----------
    Lange, Little & Taylor (1989), JASA 84:881; Kozumi & Kobayashi (2011), J. Stat. Comput. Simul. 81:1565; Tobin
    (1958), Econometrica 26:24; Figueiredo (2003), IEEE PAMI 25:1150, for the LASSO by EM.

    Examples
    --------
    >>> import noumena as nm
    >>> import numpy as np
    >>> x = np.arange(20.0)
    >>> y = 1 + 2 * x + np.tile([0.1, -0.1, -0.1, 0.1], 5)
    >>> y[3] = 90.0
    >>> model = nm.AugmentedRegressor("student_t").fit(x[:, None], y)
    >>> model.coef_.round(1), model.latents(x[:, None], y)["weight"].argmin()
    (array([2.]), 3)
    """

    scale_: float
    dof_: float

    def __init__(
        self,
        likelihood: str = "normal",
        prior: str = "flat",
        *,
        penalty: float = 1.0,
        prior_dof: float = 3.0,
        groups: Sequence[Any] | None = None,
        weights: str | None = None,
        hyperparameters: str = "fixed",
        evidence_method: str = "coordinate",
        missing: str | None = None,
        standardize: bool = False,
        quantile: float = 0.5,
        dof: float | None = None,
        lower: float | None = None,
        upper: float | None = None,
        scale: float | None = None,
        fit_intercept: bool = True,
        tol: float = 1e-6,
        max_iter: int = 5000,
        accelerate: str | None = "squarem",
        verbose: int = 0,
    ) -> None:
        self.likelihood = likelihood
        self.prior = prior
        self.penalty = penalty
        self.prior_dof = prior_dof
        self.groups = groups
        self.weights = weights
        self.hyperparameters = hyperparameters
        self.evidence_method = evidence_method
        self.missing = missing
        self.standardize = standardize
        self.quantile = quantile
        self.dof = dof
        self.lower = lower
        self.upper = upper
        self.scale = scale
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.verbose = verbose

    @property
    def _wants_intercept(self) -> bool:
        return bool(self.fit_intercept)

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, censoring: Any = None) -> Self:
        """Fit the regression.

        Parameters
        ----------
        X : table or sparse matrix, shape (n_rows, columns)
            Numbers, or categories (compared with their first level), without missing cells but for those that
            ``missing`` takes.
        y : array, shape (n_rows,), or (n_rows, 2) for tobit
            Responses; or intervals that hold them, with infinite ends where one side is open.
        sample_weight : array, shape (n_rows,), optional
            Non-negative; a row of weight 2 counts as the row twice.
        censoring : array of {-1, 0, 1}, shape (n_rows,), optional
            For tobit: left-censored at y, seen, right-censored at y.

        Returns
        -------
        self

        Raises
        ------
        DataError
            For a missing cell, a constant column, columns that determine each other without a prior, a constant y, or a
            censoring code that contradicts its value; names the column and the row.

        Warns
        -----
        ConvergenceWarning
            Where ``max_iter`` was not enough.
        DegenerateWarning
            Where the covariates meet every response exactly.
        """
        likelihood = self._likelihood()
        covariates, design = self._covariates(X, y)
        weight = row_weights(sample_weight, covariates.n_rows)
        response = self._response(y, covariates.n_rows, censoring)
        taken = response if weight is None else response[weight > 0]
        if (taken == taken[:1]).all():
            raise DataError(f"y is constant (always {taken[0, 0]:g}): there is nothing to explain")
        if self.likelihood == "tobit" and not np.any(taken[:, 0] == taken[:, 1]):
            finite = np.isfinite(taken)
            if not (finite[:, 0].any() and finite[:, 1].any()):
                raise DataError("every y is censored on the same side: nothing tells where the responses are")
            ends = taken[finite]
            if self.scale is None and (ends == ends[0]).all():
                raise DataError(
                    f"every y is only known to be above or below {ends[0]:g}, which says nothing of the scale: pass "
                    'scale=, or take AugmentedClassifier("probit")'
                )
        scale = None
        if self.scale is not None:
            known = real("scale", self.scale, 0.0)
            if not 0 < known < np.inf:
                raise ValueError(f"scale={self.scale!r} must be a number above 0")
            assert likelihood.power is not None
            scale = known ** round(1 / likelihood.power)
        self._fit(covariates, design, response, likelihood, weight, scale)
        return self

    def _integrated(self, rows: list[Rows], settings: Settings) -> Fit | None:
        if self.evidence_method not in METHODS:
            raise ValueError(f"evidence_method={self.evidence_method!r}: choose {', '.join(map(repr, METHODS))}")
        if not has_evidence(settings):
            return None
        return fit_by_evidence(rows, settings, self._wants_intercept, self.evidence_method)

    def _likelihood(self) -> ResponseLikelihood:
        if self.likelihood not in LIKELIHOODS:
            raise ValueError(f"likelihood={self.likelihood!r}: choose among {', '.join(map(repr, LIKELIHOODS))}")
        if self.likelihood == "student_t":
            if self.dof is not None and not real("dof", self.dof, 0.0) > 0:
                raise ValueError(f"dof={self.dof!r} must be above 0")
            return StudentLikelihood(None if self.dof is None else float(self.dof))
        if self.likelihood == "tobit":
            return TobitLikelihood()
        if self.likelihood == "normal":
            return NormalLikelihood()
        if not 0 < real("quantile", self.quantile, 0.0) < 1:
            raise ValueError(f"quantile={self.quantile!r} must be between 0 and 1")
        return LaplaceLikelihood(float(self.quantile) if self.likelihood == "asymmetric_laplace" else 0.5)

    def _response(self, y: Any, n_rows: int, censoring: Any = None) -> np.ndarray:
        """y as the likelihood has it, shape (rows, columns)."""
        if np.asarray(y).dtype.kind in "mM":
            raise DataError("y holds dates or durations: turn them into numbers, in a unit of your choice")
        try:
            values = np.asarray(y, dtype=float)
        except (TypeError, ValueError) as error:
            raise DataError(f"y does not hold numbers (unknown label type): {error}") from error
        tobit = self.likelihood == "tobit"
        if values.ndim == 2 and values.shape[1] == 1:
            values = column_or_1d(values, warn=True)
        if values.ndim != 1 and not (tobit and values.ndim == 2 and values.shape[1] == 2):
            wanted = "one number for each row, or two ends" if tobit else "one number for each row"
            raise DataError(f"y should be a 1d array, got an array of shape {values.shape} instead: {wanted}")
        if len(values) != n_rows:
            raise DataError(f"y has {len(values)} values (samples) for {n_rows} rows: one response for each row")
        values = values.reshape(n_rows, -1)
        gone = np.isnan(values).any(axis=1)
        if gone.any():
            row = int(np.flatnonzero(gone)[0])
            raise DataError(f"y is missing (NaN) at row {row}: leave the row out, it says nothing of the regression")
        if tobit:
            return intervals(values, censoring, self.lower, self.upper)
        if censoring is not None or self.lower is not None or self.upper is not None:
            raise ValueError('censoring, lower and upper belong to likelihood="tobit"')
        if np.isinf(values).any():
            row = int(np.flatnonzero(np.isinf(values[:, 0]))[0])
            raise DataError(f"y is infinity at row {row}: leave the row out, or mend it")
        return values

    def _describe(self) -> None:
        model = self._model
        assert model.likelihood.power is not None
        self.scale_ = float(model.scale**model.likelihood.power) if model.likelihood.power < 1 else float(model.scale)
        if self.likelihood == "student_t":
            self.dof_ = float(model.shape[0])

    @property
    def bound_is_exact_(self) -> bool:
        """Whether `bound_` is log p(y | X, scale, penalty) itself."""
        check_is_fitted(self)
        return self.likelihood == "normal" and self.prior in ("flat", "ridge", "ard")

    def predict(self, X: Any) -> np.ndarray:
        """Linear predictor of each row, shape (n_rows,): the mean, median or quantile of y as the likelihood has it.

        For tobit, the mean of the uncensored response.
        """
        check_is_fitted(self)
        return self._predictors(X)[0][:, 0]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R² of `predict`, for responses that are numbers.

        Raises
        ------
        DataError
            Where y holds intervals.
        """
        if np.shape(y)[1:] == (2,):
            raise DataError("score compares numbers, and y holds intervals: add up log_density instead")
        return float(super().score(X, y, sample_weight))

    def predict_distribution(self, X: Any) -> PredictiveDistribution:
        """Distribution of a new response for each row, the weights' posterior included where they have one."""
        check_is_fitted(self)
        mean, spread = self._predictors(X)
        likelihood = self._model.likelihood
        assert isinstance(likelihood, ResponseLikelihood)
        if self._joint is not None:  # what is hidden is normal, as the response is
            scale = self._model.scale + spread[:, 0, 0]
            return PredictiveDistribution(mean[:, 0], np.zeros(len(mean)), likelihood, scale, self._model.shape)
        deviation = np.sqrt(np.maximum(spread[:, 0, 0], 0.0))
        return PredictiveDistribution(mean[:, 0], deviation, likelihood, float(self._model.scale), self._model.shape)

    def predict_interval(self, X: Any, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the interval that a new response is in with probability ``level``, each of shape (n_rows,)."""
        return self.predict_distribution(X).interval(level)

    def _rows_of(self, X: Any, y: Any, sample_weight: Any, censoring: Any) -> Any:
        check_is_fitted(self)
        return self._asked(X, self._response(y, len(y), censoring), sample_weight)

    def log_density(self, X: Any, y: Any, *, censoring: Any = None) -> np.ndarray:
        """log p(y | x) of each row at ``coef_`` in nats, shape (n_rows,); of a censored one, log P(interval)."""
        with double_precision():
            return np.concatenate([self._density(block) for block in self._rows_of(X, y, None, censoring)])

    def latents(self, X: Any, y: Any, *, censoring: Any = None) -> dict[str, np.ndarray]:
        """What is known of each row's latent variable.

        Returns
        -------
        dict
            ``weight`` of each row for Student t (about 1; small for outliers) and the Laplace likelihoods (1/|r|);
            ``mean`` and ``standard_deviation`` of the uncensored response for tobit; nothing for normal.
        """
        return self._latents(self._rows_of(X, y, None, censoring))

    def aic(self, X: Any, y: Any, sample_weight: Any = None, *, censoring: Any = None) -> float:
        """Akaike's criterion −2ℓ + 2 df of these rows (lower is better)."""
        return self._criterion(self._rows_of(X, y, sample_weight, censoring), 2.0)

    def bic(self, X: Any, y: Any, sample_weight: Any = None, *, censoring: Any = None) -> float:
        """Schwarz' criterion −2ℓ + df log n of these rows (lower is better)."""
        rows = self._rows_of(X, y, sample_weight, censoring)
        return self._criterion(rows, float(np.log(sum(block.total for block in rows))))

    def standard_errors(
        self, X: Any, y: Any, sample_weight: Any = None, *, censoring: Any = None, method: str = "observed"
    ) -> StandardErrors:
        """Standard errors of slopes, intercept, scale and degrees of freedom.

        Weights that a prior holds at 0 have none, NaN; those of the others are conditional on that. With a posterior,
        its standard deviations, of slopes and intercept.

        Parameters
        ----------
        X, y, sample_weight, censoring
            The rows of the fit.
        method : {"observed", "sandwich"}, default="observed"
            By the delta method from the inverse of the observed information of the marginal likelihood (and prior), by
            automatic differentiation: right if the responses have the likelihood's distribution. Or that inverse on
            both sides of the sum of squared slopes of rows (Huber 1967; White 1980), right where the mean or quantile
            is linear, whatever the distribution. Quantiles have no second derivative: "observed" takes the expected
            one of the asymmetric Laplace density, "sandwich" estimates the density at the quantile by a kernel (Powell
            1991).

        Returns
        -------
        StandardErrors
            ``errors.coef``, ``errors.intercept``, ``errors.scale``, ``errors.dof``.

        Raises
        ------
        InformationError
            Where the information has no inverse.
        ValueError
            For a method that is not among these, or "sandwich" for a posterior or missing covariates.
        """
        return self._standard_errors(self._rows_of(X, y, sample_weight, censoring), method)

    def _other_errors(self, errors: np.ndarray) -> dict[str, Any]:
        found, rest = {}, list(errors)
        if rest and not self._model.scale_known:
            power = self._model.likelihood.power
            assert power is not None
            found["scale"] = float(power * self.scale_ * rest.pop(0))
        if rest:
            found["dof"] = float(rest.pop(0))
        return found
