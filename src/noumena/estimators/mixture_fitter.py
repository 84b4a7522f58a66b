"""What everything that fits a mixture does, whatever its family and its face."""

import abc
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Self

import jax
import numpy as np

from ..core.accelerate import accelerator
from ..core.errors import DegenerateWarning
from ..core.fit import Progress
from ..core.result import Fit, Status
from ..data.summary import summarise
from ..data.table import Table
from ..families.design import DesignFrame
from ..families.family import Family
from ..models.gated_mixture import GatedMixture
from ..models.mixture import Mixture, evaluate
from ..models.standard_errors import StandardErrors
from .fitted_estimator import FittedEstimator
from .inputs import row_weights
from .mixture_fitting import Given, Problem, Settings, fit_mixtures
from .parameters import check_size, check_start, generator, integer, real
from .uncertainty import Reported, bootstrap, observed

_STARTS = ("kmeans", "hierarchical", "random")


def double_precision() -> AbstractContextManager:
    """Float64 inside our own calls; the user's JAX configuration is not touched."""
    return jax.enable_x64(True)


class MixtureFitter(FittedEstimator):
    """Base of everything that fits a mixture: checks, fits, stores.

    Subclasses have the parameters ``n_components``, ``prior``, ``n_init``, ``init_params``, ``tol``, ``max_iter``,
    ``accelerate``, ``random_state`` and ``verbose``, and say which family their components are.
    """

    n_components: int
    n_init: int
    init_params: Any
    tol: float
    max_iter: int
    accelerate: str | None
    verbose: int

    weights_: np.ndarray
    n_parameters_: int
    n_features_in_: int
    _model: Mixture

    @abc.abstractmethod
    def _family_for(self, problem: Problem) -> Callable[[int], Family]:
        """From a number of components to the family; the estimator's own parameters are checked here."""

    @abc.abstractmethod
    def _described(self, family: Family, reported: Any) -> dict[str, Any]:
        """What users see of the components, by attribute (without the underscore at its end).

        Parameters
        ----------
        family : Family
            Of the components, without any background.
        reported : tree of arrays
            As `Family.reported` gives it: the parameters, or their standard errors.
        """

    @abc.abstractmethod
    def _degenerate_message(self, problem: Problem) -> str:
        """Which components collapsed, and what to do."""

    def _family_name(self) -> str:
        """What tells the family from others of a sweep."""
        return ""

    def _sized(self) -> bool:
        """Whether the family depends on the number of components."""
        return False

    def _given(self, size: int) -> Given | None:
        """Parameters to start from, if the user gave some."""
        return None

    def _check_for_sweep(self) -> None:
        """Refuse what holds for one number of components only."""
        if not isinstance(self.init_params, str):
            raise ValueError("init_params as an array holds for one number of components only: name a method")

    def _gate(self, problem: Problem) -> DesignFrame | None:
        """The covariates that the weights depend on, if they do."""
        return None

    def _noisy(self, problem: Problem, family: Callable[[int], Family]) -> Callable[[int], Family]:
        """The families with a background, where one is asked for."""
        return family

    @abc.abstractmethod
    def _problem(self, X: Any, y: Any, sample_weight: Any) -> Problem:
        """Check what is to be fitted; one pass over the rows."""

    @abc.abstractmethod
    def _column_names(self) -> list[str]:
        """Of the columns that the mixture is a density of."""

    def _fitted(self, problem: Problem) -> Self:
        """Fit a checked table."""
        size = integer("n_components", self.n_components, 1)
        check_size(problem, size)
        rng = generator(self.random_state)
        with double_precision():
            settings = self._settings(problem, size)
            fit = fit_mixtures(problem, settings, [size], rng)[size]
            self._adopt(fit)
        self._tell(problem)
        return self

    def _settings_for_sweep(self, problem: Problem, progress: Progress | None) -> Settings:
        """Settings for many sizes at once, which no given parameters can fit."""
        self._check_for_sweep()
        return self._settings(problem, 1, progress)

    def _settings(self, problem: Problem, size: int, progress: Progress | None = None) -> Settings:
        accelerator(self.accelerate)  # refuses unknown names
        if isinstance(self.init_params, str):
            if self.init_params not in _STARTS:
                known = ", ".join(_STARTS)
                raise ValueError(f"init_params={self.init_params!r}: choose among {known}, or pass an array")
        else:
            check_start(np.asarray(self.init_params), problem.table.n_rows, size)
        return Settings(
            family=self._noisy(problem, self._family_for(problem)),
            name=self._family_name(),
            sized=self._sized(),
            n_init=integer("n_init", self.n_init, 1),
            init_params=self.init_params,
            tol=real("tol", self.tol, 0.0),
            max_iter=integer("max_iter", self.max_iter, 1),
            accelerate=self.accelerate,
            progress=progress or printer(self.verbose),
            given=self._given(size),
            gate=self._gate(problem),
        )

    def _adopt(self, fit: Fit) -> None:
        """Take a fit's parameters, in the units of the data."""
        model = jax.tree.map(np.asarray, fit.model)
        self._model = model.first(int(np.sum(model.active)))
        with double_precision():
            # averages, where they depend on covariates
            shown = self._of_weights(self._model.weights) | self._shown(_reported(self._model))
        for name, value in shown.items():
            setattr(self, f"{name}_", value)
        self.n_parameters_ = self._model.n_parameters()
        self._record(fit)

    def _shown(self, reported: Reported) -> dict[str, Any]:
        """What users see, by attribute (without the underscore at its end): of the estimates, or of their errors."""
        weights, components = reported
        family, _ = self._model.foreground()
        if isinstance(self._model, GatedMixture):
            own = weights[self._model.family.background :]  # the background is what they are compared with
            shown: dict[str, Any] = {"membership_intercept": own[:, 0], "membership_coef": own[:, 1:]}
        else:
            shown = self._of_weights(weights)
        return shown | self._described(family, components)

    def _of_weights(self, weights: np.ndarray) -> dict[str, Any]:
        if self._model.family.background:
            return {"weights": weights[1:], "noise_weight": float(weights[0])}
        return {"weights": weights}

    def _standard_errors(self, problem: Problem, method: str, n_bootstrap: int, random_state: Any) -> StandardErrors:
        if method not in ("observed", "bootstrap"):
            raise ValueError(f'method={method!r}: choose "observed" or "bootstrap"')
        with double_precision():
            if method == "observed":
                return StandardErrors(self._shown(observed(self._model, problem)), method)
            model, draws = self._model, integer("n_bootstrap", n_bootstrap, 2)
            size = len(model.weights) - model.family.background
            start = self._posterior(problem.table)  # a background's share with it
            settings = replace(self._settings(problem, size), init_params=start, n_init=1, given=None, progress=None)
            errors = bootstrap(settings, size, problem, _reported, draws, self._rng(random_state))
            return StandardErrors(self._shown(errors), method)

    def _tell(self, problem: Problem) -> None:
        """Warn about what the user should know of the fit just adopted."""
        if self.status_ is Status.DEGENERATE:
            warnings.warn(self._degenerate_message(problem), DegenerateWarning, stacklevel=4)
        else:
            self._tell_unconverged(stacklevel=4)

    def _to_state(self) -> dict[str, Any]:
        return super()._to_state() | {"model": jax.tree.map(np.asarray, self._model)}

    def _log_density(self, table: Table) -> np.ndarray:
        """log p(x) of each row."""
        out = np.empty(table.n_rows)
        for rows, bound, _ in self._rows(table):
            out[rows] = bound
        return out

    def _fit_of(self, table: Table, sample_weight: Any) -> tuple[float, float, float]:
        """Log likelihood of these rows, Σ log max_k p(z = k | x) and their number, all weighted."""
        weight = row_weights(sample_weight, table.n_rows)
        total, certainty = 0.0, 0.0
        for rows, bound, posterior in self._rows(table):
            w = np.ones(len(rows)) if weight is None else weight[rows]
            total += float(w @ bound)
            certainty += float(w @ np.log(posterior.max(axis=1)))
        return total, certainty, float(table.n_rows if weight is None else weight.sum())

    def _aic(self, table: Table, sample_weight: Any) -> float:
        return -2 * self._fit_of(table, sample_weight)[0] + 2 * self.n_parameters_

    def _bic(self, table: Table, sample_weight: Any) -> float:
        total, _, n = self._fit_of(table, sample_weight)
        return float(-2 * total + self.n_parameters_ * np.log(n))

    def _icl(self, table: Table, sample_weight: Any) -> float:
        total, certainty, n = self._fit_of(table, sample_weight)
        return float(-2 * total + self.n_parameters_ * np.log(n) - 2 * certainty)

    def _posterior(self, table: Table) -> np.ndarray:
        """p(z | x) of each row, a background first."""
        out = np.empty((table.n_rows, len(self._model.weights)))
        for rows, _, posterior in self._rows(table):
            out[rows] = posterior
        return out

    def _rows(self, table: Table) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Row numbers, log p(x) and p(z | x), block by block; the rows of a block need not follow each other.

        A background is the first component here.
        """
        problem = Problem(table, summarise(table), None, None)
        with double_precision():
            blocks = problem.blocks(self._model.family, len(self._model.weights)).indexed()
            for block, index in blocks:
                bound, posterior = (np.asarray(part) for part in evaluate(self._model, block))
                used = index >= 0
                yield index[used], bound[used], posterior[used]


def _reported(model: Mixture) -> Reported:
    """What users see of a mixture: its weights (or its gate), and its components; in NumPy."""
    family, parameters = model.foreground()
    weights = model.gate.reported() if isinstance(model, GatedMixture) else model.weights
    return np.asarray(weights), jax.tree.map(np.asarray, family.reported(parameters))


def printer(verbose: int) -> Progress | None:
    """What prints the objective every ``verbose`` iterations."""
    if not verbose:
        return None

    def show(iteration: int, objective: np.ndarray, running: int) -> None:
        if iteration % int(verbose) == 0:
            print(f"iteration {iteration}: best objective {objective.max():.6f}, {running} of {len(objective)} running")

    return show
