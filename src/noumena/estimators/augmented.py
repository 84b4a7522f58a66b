"""What augmented regressors and classifiers have in common: priors, the fit, errors, files."""

import abc
import warnings
from collections.abc import Sequence
from typing import Any, Self

import jax
import numpy as np
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from ..core.accelerate import accelerator
from ..core.errors import DataError, DegenerateWarning
from ..core.result import Fit, Status
from ..data.design import Design
from ..families.augmentation import Augmentation
from ..families.weight_priors import (
    HorseshoePrior,
    LaplacePrior,
    RelevancePrior,
    RidgePrior,
    StudentPrior,
    WeightPrior,
)
from ..models.augmented_errors import covariance_of_estimates
from ..models.augmented_fit import Settings, fit_augmented
from ..models.augmented_regression import AugmentedRegression
from ..models.augmented_rows import Features, Rows
from ..models.joint_regression import JointRegression
from ..models.standard_errors import StandardErrors
from .augmented_inputs import (
    Covariates,
    Frame,
    covariates_for_fit,
    covariates_for_use,
    refuse_constant,
    refuse_determined,
)
from .fitted_estimator import FittedEstimator
from .inputs import check_least_rows, row_weights
from .missing_covariates import (
    check_missing,
    completed,
    completed_rows,
    fit_jointly,
    joint_covariance,
    observed_frame,
)
from .mixture_fitter import double_precision, printer
from .parameters import integer, real

PRIORS = ("flat", "ridge", "laplace", "student_t", "ard", "horseshoe", "group_laplace")
#: Priors whose hyperparameters have a closed form.
_ADAPTED = ("ridge", "laplace", "group_laplace")


class AugmentedEstimator(FittedEstimator):
    """Base of `AugmentedRegressor` and `AugmentedClassifier`."""

    prior: str
    penalty: float
    prior_dof: float
    groups: Sequence[Any] | None
    weights: str | None
    hyperparameters: str
    missing: str | None
    standardize: bool
    tol: float
    max_iter: int
    accelerate: str | None
    verbose: int

    n_features_in_: int
    _model: AugmentedRegression
    _joint: JointRegression | None

    # ------------------------------------------------------------------------------------------- to be filled in

    @abc.abstractmethod
    def _describe(self) -> None:
        """Set the attributes that are the likelihood's own."""

    @property
    @abc.abstractmethod
    def _wants_intercept(self) -> bool: ...

    # --------------------------------------------------------------------------------------------------- the fit

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.missing is None
        tags.input_tags.allow_nan = self.missing is not None
        tags.target_tags.required = True
        return tags

    def _prior(self) -> WeightPrior | None:
        if self.prior not in PRIORS:
            raise ValueError(f"prior={self.prior!r}: choose among {', '.join(map(repr, PRIORS))}")
        if self.prior == "flat":
            return None
        if self.prior == "ard":
            return RelevancePrior()
        penalty, dof = real("penalty", self.penalty, 0.0), real("prior_dof", self.prior_dof, 0.0)
        if penalty == 0 or dof == 0:
            name = "penalty" if penalty == 0 else "prior_dof"
            raise ValueError(f'{name}=0 must be above 0; prior="flat" is no prior at all')
        if self.prior == "ridge":
            return RidgePrior(penalty)
        if self.prior == "student_t":
            return StudentPrior(penalty, dof)
        return HorseshoePrior(penalty) if self.prior == "horseshoe" else LaplacePrior(penalty)

    def _uncertain(self) -> bool:
        """Whether weights have a posterior."""
        if self.weights not in (None, "point", "posterior"):
            raise ValueError(f'weights={self.weights!r}: choose "point", "posterior" or None')
        if self.hyperparameters not in ("fixed", "evidence"):
            raise ValueError(f'hyperparameters={self.hyperparameters!r}: choose "fixed" or "evidence"')
        by_evidence = self.hyperparameters == "evidence"
        if by_evidence and self.prior not in (*_ADAPTED, "ard"):
            known = ", ".join(map(repr, (*_ADAPTED, "ard")))
            raise ValueError(f'hyperparameters="evidence" needs a prior among {known}, not {self.prior!r}')
        needed = by_evidence or self.prior == "ard"
        if needed and self.weights == "point":
            why = 'prior="ard"' if self.prior == "ard" else 'hyperparameters="evidence"'
            raise ValueError(f'{why} integrates the weights out: pass weights="posterior", or leave weights=None')
        return needed or self.weights == "posterior"

    def _groups(self, covariates: Covariates, intercept: bool, n_functions: int) -> np.ndarray:
        """The prior's group of each weight, −1 for none."""
        p = len(covariates.names)
        if self.groups is not None and self.prior != "group_laplace":
            raise ValueError(f'groups= belongs to prior="group_laplace", not {self.prior!r}')
        if self.prior == "flat":
            own = np.full((n_functions, p), -1)
        elif self.prior == "group_laplace":
            own = np.tile(self._column_groups(covariates), (n_functions, 1))
        else:
            own = np.arange(n_functions * p).reshape(n_functions, p)
        return np.concatenate([np.full((n_functions, int(intercept)), -1), own], axis=1).ravel()

    def _column_groups(self, covariates: Covariates) -> np.ndarray:
        """A number for the group of each column of the design; by default the table's columns are the groups."""
        if self.groups is None:
            return np.unique(np.array(covariates.owner), return_inverse=True)[1]
        known = list(getattr(self, "feature_names_in_", range(self.n_features_in_)))
        group_of: dict[int, int] = {}
        for number, members in enumerate(self.groups):
            for member in members:
                if member not in known:
                    raise ValueError(f"groups names {member!r}, which is no column")
                if group_of.setdefault(known.index(member), number) != number:
                    raise ValueError(f"groups puts {member!r} into two groups: a column belongs to one")
        left = [name for j, name in enumerate(known) if j not in group_of]
        if left:
            raise ValueError(f"groups leaves out the column {left[0]!r}: every column belongs to one group")
        return np.array([group_of[j] for j in covariates.owner])

    def _covariates(self, X: Any, y: Any) -> tuple[Covariates, Design | None]:
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None: pass the response"
            )
        likelihood = getattr(self, "likelihood", None) or getattr(self, "link", "")
        check_missing(self.missing, likelihood, self.prior, self._uncertain(), self.accelerate)
        covariates, design = covariates_for_fit(self, X, self.missing is not None)
        check_least_rows(covariates.n_rows, self.n_features_in_, 2)
        return covariates, design

    def _fit(
        self,
        covariates: Covariates,
        design: Design | None,
        response: np.ndarray,
        likelihood: Augmentation,
        weight: np.ndarray | None,
        scale: float | None = None,
    ) -> Self:
        """Fit checked data: ``response`` as the likelihood has it, shape (rows, columns)."""
        prior, uncertain = self._prior(), self._uncertain()
        accelerate = None if self.accelerate == "newton" else self.accelerate
        accelerator(accelerate)  # refuses unknown names
        newton = self._newton(likelihood, uncertain)
        intercept, k = self._wants_intercept, likelihood.n_functions
        self._joint, jointly = None, self.missing is not None
        if jointly:
            self._frame = observed_frame(covariates, weight, intercept)
        else:
            centred = intercept or likelihood.moves_with_predictor
            self._frame = Frame.of(covariates.matrix, weight, intercept, centred)
            refuse_constant(self._frame, covariates.names, covariates.matrix)
        self._names, self._design = covariates.names, design
        rows = self._rows(covariates, response, weight)
        if prior is None and not jointly:
            names = ["intercept"] * intercept + list(covariates.names)
            self._check_rank(np.sum([block.gram for block in rows], axis=0), names, rows)
        unit = np.ones(len(self._frame.scale)) if self.standardize else self._frame.scale
        settings = Settings(
            likelihood,
            prior,
            self._groups(covariates, intercept, k),
            np.tile(unit, k),
            by_evidence=self.hyperparameters == "evidence" and self.prior in _ADAPTED,
            posterior=uncertain,
            newton=newton,
            scale=scale,
            max_iter=integer("max_iter", self.max_iter, 1),
            tol=real("tol", self.tol, 0.0),
            accelerate=accelerate,
            progress=printer(self.verbose),
        )
        with double_precision():
            if jointly:
                fit, self._joint = fit_jointly(rows, settings, self._frame, self._names)
                self.joint_log_likelihood_ = fit.bound
                rows = [completed_rows(self._joint, block) for block in rows]
            else:
                fit = self._integrated(rows, settings) or fit_augmented(rows, settings)
            self._adopt(fit)
            self.log_likelihood_ = self._total(rows)
        self._n_rows = float(sum(block.total for block in rows))
        self._tell(rows)
        return self

    def _integrated(self, rows: list[Rows], settings: Settings) -> Fit | None:
        """The fit where the weights can be integrated out exactly; None where they cannot."""
        return None

    def _newton(self, likelihood: Augmentation, uncertain: bool) -> bool:
        """Whether rows have Newton's weights."""
        if self.accelerate == "newton" and (uncertain or not likelihood.has_newton):
            why = "weights with a posterior" if uncertain else "this likelihood"
            raise ValueError(f'accelerate="newton" is not for {why}: choose "squarem", "anderson" or None')
        return self.accelerate == "newton" or likelihood.n_shape > 1

    def _check_rank(self, gram: np.ndarray, names: list[str], rows: list[Rows]) -> None:
        count = sum(len(block.y) if block.weight is None else np.count_nonzero(block.weight) for block in rows)
        if count < len(names):
            raise DataError(
                f"{count} rows (samples) are too few for {len(names)} weights without a prior: add rows, or use a prior"
            )
        refuse_determined(gram, names)

    def _rows(self, covariates: Covariates, response: np.ndarray, weight: np.ndarray | None) -> list[Rows]:
        rows = [
            Rows(response[part], None if weight is None else weight[part], features)
            for part, features in self._frame.features(covariates.matrix)
        ]
        return rows if self._joint is None else [completed_rows(self._joint, block) for block in rows]

    def _total(self, rows: list[Rows]) -> float:
        return sum(float(block.weighted(self._density(block)).sum()) for block in rows)

    def _density(self, block: Rows) -> np.ndarray:
        """log p(y | x, ŵ) of each row, given what is seen of x."""
        model = self._model
        f, scale, _ = self._law(block)
        return np.asarray(model.likelihood.log_density(block.y, f, None, scale, model.shape))

    def _law(self, block: Rows) -> tuple[np.ndarray, Any, Any]:
        """Predictors and scale of each row, in units of the last: what missing covariates hide widens the response.

        A probit's scale is 1: there the unit grows.
        """
        model, f = self._model, block.features.predictors(self._model.weights)
        if block.hidden is None:
            return f, model.scale, 1.0
        scale = model.scale + block.hidden
        if model.likelihood.power is not None:
            return f, scale, 1.0
        return f / np.sqrt(scale)[:, None], model.scale, np.sqrt(scale)

    def _adopt(self, fit: Fit) -> None:
        model = jax.tree.map(np.asarray, fit.model)
        assert isinstance(model, AugmentedRegression)
        self._model = model
        self._record(fit)
        self._show()

    def _show(self) -> None:
        """Set what users see, from the model and the frame."""
        model, i = self._model, int(self._frame.intercept)
        weights = model.weights
        precision = np.zeros(weights.size)
        precision[model.groups.value >= 0] = model.precisions()
        self.prior_precisions_ = self._squeezed(precision.reshape(weights.shape)[:, i:])
        intercept, coef = self._frame.leave(weights)
        self.coef_, self.intercept_ = self._squeezed(coef), self._squeezed(intercept)
        if model.covariance is not None:
            jacobian = np.kron(np.eye(len(weights)), self._frame.jacobian)
            self.covariance_ = jacobian @ model.covariance @ jacobian.T
            self.bound_ = self._objective
        penalty = None if model.prior is None else getattr(model.adapted_prior(), "penalty", None)
        if penalty is not None:
            self.penalty_ = float(penalty)
        free = np.ravel(weights)[model.groups.value >= 0] != 0
        self.n_parameters_ = int(np.count_nonzero(free) + np.count_nonzero(model.groups.value < 0))
        self.n_parameters_ += int(model.likelihood.power is not None and not model.scale_known)
        self.n_parameters_ += model.likelihood.n_shape
        if self._joint is not None:
            scale = self._frame.scale[i:]
            self.covariates_mean_ = self._frame.location[i:] + scale * self._joint.mean
            self.covariates_covariance_ = self._joint.covariance * np.outer(scale, scale)
        self._describe()

    def _squeezed(self, values: np.ndarray) -> Any:
        """Without the axis of linear predictors where there is one of them only."""
        if len(values) > 1:
            return values
        return float(values[0]) if values.ndim == 1 else values[0]

    def _tell(self, rows: list[Rows]) -> None:
        if self.status_ is Status.DEGENERATE:
            message = "the covariates meet every response exactly, so that the scale goes to 0: use fewer, or a prior"
            warnings.warn(message, DegenerateWarning, stacklevel=4)
        else:
            self._tell_unconverged(stacklevel=4)

    # --------------------------------------------------------------------------------------------------- answers

    @property
    def coef_names_(self) -> tuple[str, ...]:
        """What each slope belongs to: ``age``, ``sex[male]`` (categories are compared with their first level)."""
        check_is_fitted(self)
        return self._names

    @property
    def _uncertainty(self) -> np.ndarray | None:
        return self._model.covariance

    def _predictors(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean of the linear predictors of each row, shape (rows, K), and their covariance, shape (rows, K, K)."""
        covariates = covariates_for_use(self, X, self._design, self.missing is not None)
        k, p = self._model.weights.shape
        mean, spread = np.empty((covariates.n_rows, k)), np.zeros((covariates.n_rows, k, k))
        for part, own in self._frame.features(covariates.matrix):
            features: Features = own
            if self._joint is not None:
                features, hidden, _ = completed(self._joint, own)
                spread[part, 0, 0] = hidden
            mean[part] = features.predictors(self._model.weights)
            if self._uncertainty is not None:
                apart = self._uncertainty.reshape(k, p, k, p)
                for a in range(k):
                    for b in range(k):
                        spread[part, a, b] = features.spread(0.5 * (apart[a, :, b] + apart[a, :, b].T))
        return mean, spread

    def _asked(self, X: Any, response: np.ndarray, sample_weight: Any) -> list[Rows]:
        """Rows with their responses, as the fitted model is asked about them."""
        covariates = covariates_for_use(self, X, self._design, self.missing is not None)
        weight = row_weights(sample_weight, covariates.n_rows)
        if len(response) != covariates.n_rows:
            raise DataError(f"y has {len(response)} values (samples) for {covariates.n_rows} rows")
        return self._rows(covariates, response, weight)

    def _criterion(self, rows: list[Rows], per_parameter: float) -> float:
        with double_precision():
            return float(-2 * self._total(rows) + per_parameter * self.n_parameters_)

    def _latents(self, rows: list[Rows]) -> dict[str, np.ndarray]:
        model = self._model
        found = []
        for block in rows:
            f, scale, unit = self._law(block)
            with double_precision():
                own = model.likelihood.latents(block.y, f, model.spread(block), scale, model.shape)
            found.append({name: unit * value for name, value in own.items()})
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    def _standard_errors(self, rows: list[Rows], method: str) -> StandardErrors:
        model, i = self._model, int(self._frame.intercept)
        if method not in ("observed", "sandwich"):
            raise ValueError(f'method={method!r}: choose "observed" or "sandwich"')
        if method == "sandwich" and (model.covariance is not None or self._joint is not None):
            why = "weights with a posterior" if self._joint is None else "missing covariates"
            raise ValueError(f'method="sandwich" is not for {why}: use method="observed"')
        k, q = len(model.weights), model.weights.size
        if model.covariance is not None:
            variance, rest = np.diagonal(self.covariance_), np.empty(0)
            errors = np.sqrt(variance).reshape(k, -1)
        else:
            with double_precision():
                if self._joint is None:
                    covariance = covariance_of_estimates(model, rows, robust=method == "sandwich")
                else:
                    covariance = joint_covariance(self._joint, model.likelihood, rows)
            jacobian = np.kron(np.eye(k), self._frame.jacobian)
            held = np.isnan(np.diagonal(covariance)[:q])
            own = np.where(np.isnan(covariance), 0.0, covariance)
            variance = np.einsum("ip,pq,iq->i", jacobian, own[:q, :q], jacobian, optimize=True)
            errors = np.where(held, np.nan, np.sqrt(variance)).reshape(k, -1)
            rest = np.sqrt(self._shape_variances(own, q))
        values: dict[str, Any] = {"coef": self._squeezed(errors[:, i:])}
        if i:
            values["intercept"] = self._squeezed(errors[:, 0])
        return StandardErrors(values | self._other_errors(rest), method)

    def _shape_variances(self, covariance: np.ndarray, q: int) -> np.ndarray:
        """Variances of log s and the shape, in the units of the data, from the covariance after ``q`` weights."""
        return np.diagonal(covariance)[q:]

    def _other_errors(self, errors: np.ndarray) -> dict[str, Any]:
        """Errors of scale and shape by name, from those of log s and the shape; none where weights have a posterior."""
        return {}

    # ----------------------------------------------------------------------------------------------------- files

    def _to_state(self) -> dict[str, Any]:
        return super()._to_state() | {
            "model": self._model,
            "joint": self._joint,
            "joint_log_likelihood": getattr(self, "joint_log_likelihood_", None),
            "frame": {"location": self._frame.location, "scale": self._frame.scale, "intercept": self._frame.intercept},
            "names": list(self._names),
            "design": self._design,
            "n_rows": self._n_rows,
        }

    def _from_state(self, state: dict[str, Any]) -> None:
        self._frame, self._names = Frame(**state["frame"]), tuple(state["names"])
        self._design, self._n_rows = state["design"], state["n_rows"]
        self._joint = state["joint"]
        if self._joint is not None:
            self.joint_log_likelihood_ = state["joint_log_likelihood"]
        super()._from_state(state)
