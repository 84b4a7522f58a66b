"""Probit, logit and their kin, by augmentation, under any prior."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from ..core.errors import DataError
from ..families.augmentation import Augmentation
from ..families.choices import (
    LogitLikelihood,
    MultinomialLogitLikelihood,
    MultinomialProbitLikelihood,
    OrderedProbitLikelihood,
    ProbitLikelihood,
    ordered_start,
)
from ..models.predictive import class_probabilities
from ..models.standard_errors import StandardErrors
from .augmented import AugmentedEstimator
from .inputs import row_weights
from .missing_covariates import in_deviations
from .mixture_fitter import double_precision
from .separation import refuse_separation

LINKS = ("probit", "logit", "ordered_probit", "multinomial_probit", "multinomial_logit")


class AugmentedClassifier(ClassifierMixin, AugmentedEstimator):
    """Regression of a class on covariates, with a latent variable in each row that makes it weighted least squares.

    A probit's class is the sign of a latent normal response, an ordered probit's the interval that it falls into, a
    multinomial probit's the largest of several; a logit has a Pólya–Gamma variable, and a multinomial logit Böhning's
    bound. Priors of the weights are scale mixtures of normals. EM finds point estimates, or a normal posterior.

    Parameters
    ----------
    link : {"probit", "logit", "ordered_probit", "multinomial_probit", "multinomial_logit"}, default="probit"
        The first two are for two classes (with more, use a multinomial or the ordered one); the multinomial ones
        compare each class with the first, whose predictor is 0.
    prior : {"flat", "ridge", "laplace", "student_t", "ard", "horseshoe", "group_laplace"}, default="flat"
    penalty, prior_dof, groups, weights, hyperparameters, standardize
        As in `AugmentedRegressor`.
    missing : {"normal"}, optional
        As in `AugmentedRegressor`; for probits.
    fit_intercept : bool, default=True
        Ordered probits have thresholds instead.
    tol : float, default=1e-6
        Projected remaining gain of the objective, in nats, at which the fit has converged.
    max_iter : int, default=5000
    accelerate : {"squarem", "anderson", "newton", None}, default="squarem"
        ``"newton"`` weights rows by the likelihood's curvature instead of the latent variable's mean, shortening steps
        that overshoot: fewer iterations, for probits and logits with point estimates. Ordered probits do so always.
    verbose : int, default=0

    Attributes
    ----------
    classes_ : array, shape (J,)
        Sorted, or in the order of declared categories.
    coef_ : array, shape (p,), or (J − 1, p) for multinomial links
        In the units of the data.
    intercept_ : float, or array, shape (J − 1,)
    thresholds_ : array, shape (J − 1,)
        Of an ordered probit: class j is z in (thresholds_[j − 1], thresholds_[j]].
    coef_names_ : tuple of str
    prior_precisions_ : array, as ``coef_``
        E[1/τ²] of each weight.
    penalty_ : float
        The penalty, as given or estimated.
    covariance_ : array
        Of intercepts and slopes under the posterior, class by class, the intercept first; with posteriors only.
    log_likelihood_ : float
        log p(y | X) at ``coef_``, in nats.
    bound_ : float
        Lower bound of log p(y | X) with the weights integrated out; with posteriors only.
    joint_log_likelihood_, covariates_mean_, covariates_covariance_
        As in `AugmentedRegressor`.
    n_parameters_, trace_, status_, converged_, n_iter_
        As in `AugmentedRegressor`.

    References
    ----------
    Albert & Chib (1993), JASA 88:669; Polson, Scott & Windle (2013), JASA 108:1339; Böhning (1992), Ann. Inst.
    Statist. Math. 44:197; Jaakkola & Jordan (2000), Stat. Comput. 10:25, for posteriors of logits.

    Examples
    --------
    >>> import noumena as nm
    >>> import numpy as np
    >>> x = np.arange(12.0)[:, None]
    >>> y = np.array(["no"] * 5 + ["yes", "no", "yes", "no"] + ["yes"] * 3)
    >>> model = nm.AugmentedClassifier("probit").fit(x, y)
    >>> model.coef_.round(2), model.predict_proba(x[:1]).round(2)
    (array([0.45]), array([[0.99, 0.01]]))
    """

    classes_: np.ndarray
    thresholds_: np.ndarray

    def __init__(
        self,
        link: str = "probit",
        prior: str = "flat",
        *,
        penalty: float = 1.0,
        prior_dof: float = 3.0,
        groups: Sequence[Any] | None = None,
        weights: str | None = None,
        hyperparameters: str = "fixed",
        missing: str | None = None,
        standardize: bool = False,
        fit_intercept: bool = True,
        tol: float = 1e-6,
        max_iter: int = 5000,
        accelerate: str | None = "squarem",
        verbose: int = 0,
    ) -> None:
        self.link = link
        self.prior = prior
        self.penalty = penalty
        self.prior_dof = prior_dof
        self.groups = groups
        self.weights = weights
        self.hyperparameters = hyperparameters
        self.missing = missing
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.verbose = verbose

    @property
    def _wants_intercept(self) -> bool:
        return bool(self.fit_intercept) and self.link != "ordered_probit"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the regression.

        Parameters
        ----------
        X : table or sparse matrix, shape (n_rows, columns)
            Numbers, or categories (compared with their first level), without missing cells but for those that
            ``missing`` takes.
        y : array, shape (n_rows,)
            Classes of any kind.
        sample_weight : array, shape (n_rows,), optional
            Non-negative; a row of weight 2 counts as the row twice.

        Returns
        -------
        self

        Raises
        ------
        DataError
            For a missing cell, a constant column, columns that determine each other without a prior, or y with one
            class; names the column and the row.
        SeparationError
            Where columns tell the classes apart without error and there is no prior; names them.

        Warns
        -----
        ConvergenceWarning
            Where ``max_iter`` was not enough.
        """
        if self.link not in LINKS:
            raise ValueError(f"link={self.link!r}: choose among {', '.join(map(repr, LINKS))}")
        covariates, design = self._covariates(X, y)
        weight = row_weights(sample_weight, covariates.n_rows)
        labels = _labels(y, covariates.n_rows)
        self.classes_, code = _classes(y, labels)
        counts = np.bincount(code, weight, len(self.classes_))
        if np.count_nonzero(counts) < 2:
            only = self.classes_.tolist()[int(np.argmax(counts))]
            raise DataError(f"y has one class only ({only!r}), among rows with weight: there is nothing to tell apart")
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            raise DataError(f"class {self.classes_.tolist()[empty[0]]!r} has rows of weight 0 only: leave them out")
        likelihood = self._likelihood(counts)
        self._fit(covariates, design, code[:, None].astype(float), likelihood, weight)
        return self

    def _likelihood(self, counts: np.ndarray) -> Augmentation:
        n = len(counts)
        if self.link == "ordered_probit":
            return OrderedProbitLikelihood(n, ordered_start(counts))
        if self.link == "multinomial_logit":
            return MultinomialLogitLikelihood(n)
        if self.link == "multinomial_probit":
            return MultinomialProbitLikelihood(n)
        if n > 2:
            raise DataError(
                f"y has {n} classes. Only binary classification is supported by link={self.link!r}: choose "
                '"multinomial_logit", "multinomial_probit" or "ordered_probit"'
            )
        return ProbitLikelihood() if self.link == "probit" else LogitLikelihood()

    def _tell(self, rows: Any) -> None:
        if self.prior == "flat":
            names = ["intercept"] * self._frame.intercept + list(self._names)
            own = rows if self._joint is None else [in_deviations(block) for block in rows]
            with double_precision():
                refuse_separation(self._model, own, names, self._frame.intercept)
        super()._tell(rows)

    def _describe(self) -> None:
        if self.link == "ordered_probit":
            self.thresholds_ = np.asarray(self._model.shape) + self._centre

    @property
    def _centre(self) -> float:
        """What the frame took off an ordered probit's predictor, and so off its thresholds."""
        return float(self._frame.centre(self._model.weights)[0]) if self.link == "ordered_probit" else 0.0

    def _response(self, y: Any) -> np.ndarray:
        """Codes of classes, shape (rows, 1)."""
        labels = np.asarray(y).ravel()
        place = {value: code for code, value in enumerate(self.classes_.tolist())}
        unknown = [value for value in labels.tolist() if value not in place]
        if unknown:
            raise DataError(f"y holds {unknown[0]!r}, a class that the model was not fitted on")
        return np.array([place[value] for value in labels.tolist()], dtype=float)[:, None]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = self.link not in ("probit", "logit")  # type: ignore[union-attr]
        return tags

    def predict_proba(self, X: Any) -> np.ndarray:
        """P(y = class) of each row, shape (n_rows, J), in the order of ``classes_``.

        Averaged over the weights' posterior, where they have one.
        """
        check_is_fitted(self)
        mean, spread = self._predictors(X)
        model = self._model
        if self._joint is not None:  # Φ(E f/√(1 + Var f)), the predictor being normal given what is seen
            mean, spread = mean / np.sqrt(1 + spread[:, :, 0]), np.zeros_like(spread)
        with double_precision():
            return class_probabilities(model.likelihood, mean, spread, model.shape, len(self.classes_))

    def predict(self, X: Any) -> np.ndarray:
        """Most probable class of each row, shape (n_rows,)."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def decision_function(self, X: Any) -> np.ndarray:
        """Linear predictors, shape (n_rows,), or (n_rows, J) with the first class's 0 for multinomial links."""
        check_is_fitted(self)
        mean, _ = self._predictors(X)
        if self.link.startswith("multinomial"):
            full = np.concatenate([np.zeros((len(mean), 1)), mean], axis=1)
            return full[:, 1] if len(self.classes_) == 2 else full
        return mean[:, 0] + self._centre

    def log_density(self, X: Any, y: Any) -> np.ndarray:
        """log P(y | x) of each row at ``coef_``, in nats, shape (n_rows,)."""
        check_is_fitted(self)
        with double_precision():
            return np.concatenate([self._density(block) for block in self._asked(X, self._response(y), None)])

    def latents(self, X: Any, y: Any) -> dict[str, np.ndarray]:
        """What is known of each row's latent variable.

        Returns
        -------
        dict
            ``mean`` and ``standard_deviation`` of z for the probits (of each utility for the multinomial one, without
            deviations), ``weight`` for the logit: the Pólya–Gamma variable's mean.
        """
        check_is_fitted(self)
        found = self._latents(self._asked(X, self._response(y), None))
        return found | {"mean": found["mean"] + self._centre} if "mean" in found else found

    def aic(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Akaike's criterion −2ℓ + 2 df of these rows (lower is better)."""
        check_is_fitted(self)
        return self._criterion(self._asked(X, self._response(y), sample_weight), 2.0)

    def bic(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Schwarz' criterion −2ℓ + df log n of these rows (lower is better)."""
        check_is_fitted(self)
        rows = self._asked(X, self._response(y), sample_weight)
        return self._criterion(rows, float(np.log(sum(block.total for block in rows))))

    def standard_errors(self, X: Any, y: Any, sample_weight: Any = None, *, method: str = "observed") -> StandardErrors:
        """Standard errors of slopes, intercepts and thresholds, as in `AugmentedRegressor.standard_errors`."""
        check_is_fitted(self)
        return self._standard_errors(self._asked(X, self._response(y), sample_weight), method)

    def _shape_variances(self, covariance: np.ndarray, q: int) -> np.ndarray:
        m = self._model.likelihood.n_shape
        if m == 0:
            return np.empty(0)
        jacobian = np.column_stack([np.tile(self._frame.location / self._frame.scale, (m, 1)), np.eye(m)])
        return np.einsum("ip,pq,iq->i", jacobian, covariance, jacobian)

    def _other_errors(self, errors: np.ndarray) -> dict[str, Any]:
        return {"thresholds": errors} if self.link == "ordered_probit" and len(errors) else {}

    def _to_state(self) -> dict[str, Any]:
        return super()._to_state() | {"classes": self.classes_}

    def _from_state(self, state: dict[str, Any]) -> None:
        self.classes_ = state["classes"]
        super()._from_state(state)


def _labels(y: Any, n_rows: int) -> np.ndarray:
    labels = column_or_1d(np.asarray(y), warn=True)
    if len(labels) != n_rows:
        raise DataError(f"y has {len(labels)} values (samples) for {n_rows} rows: one class for each row")
    missing = labels != labels if labels.dtype.kind in "fO" else np.zeros(n_rows, dtype=bool)
    if labels.dtype.kind == "O":
        missing = missing | np.array([value is None for value in labels])
    if np.any(missing):
        row = int(np.flatnonzero(missing)[0])
        raise DataError(f"y is missing (NaN) at row {row}: leave the row out, it says nothing of the classes")
    check_classification_targets(labels)
    return labels


def _classes(y: Any, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes, and which of them each row has; declared categories keep their order."""
    declared = _declared(y)
    classes, code = np.unique(labels, return_inverse=True)
    if declared is None:
        return classes, code
    order = [value for value in declared if value in set(classes.tolist())]
    place = {value: i for i, value in enumerate(order)}
    rank = np.array([place[value] for value in classes.tolist()])
    return classes[np.argsort(rank)], rank[code]


def _declared(y: Any) -> list[Any] | None:
    """The categories of a pandas, polars (``Enum``) or ordered Arrow column, in their order; None without any.

    A polars ``Categorical`` has its categories in the order in which the process met them.
    """
    categories = getattr(getattr(y, "dtype", None), "categories", None)
    if categories is not None and hasattr(categories, "to_list"):
        return categories.to_list()
    if getattr(getattr(y, "type", None), "ordered", False):
        joined = y.combine_chunks() if hasattr(y, "chunks") else y
        return joined.dictionary.to_pylist()
    return None
