"""What every estimator has once it is fitted: how the fit ended, draws, files."""

import abc
import os
import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..core.errors import ConvergenceWarning
from ..core.result import Fit, Status, Trace
from .parameters import generator
from .storage import save


class StoredEstimator(BaseEstimator):
    """Base of all estimators of this library: whether the fit converged, draws, files.

    Those that draw have the parameter ``random_state``; `save` asks for `_to_state`, and `noumena.load` for
    `_from_state`.
    """

    random_state: Any

    status_: Status

    @property
    def converged_(self) -> bool:
        """Whether the stopping rule was met."""
        check_is_fitted(self)
        return self.status_ is Status.CONVERGED

    def _rng(self, random_state: Any) -> np.random.Generator:
        """The generator of a method's argument, or the estimator's own where it is None."""
        return generator(self.random_state if random_state is None else random_state)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Store the fitted model as arrays and JSON; `noumena.load` reads it.

        Raises
        ------
        OutputError
            Where the file cannot be written; what was there before is untouched.
        """
        save(self, path)


class FittedEstimator(StoredEstimator, abc.ABC):
    """Base of the estimators whose parameters come out of one `noumena.core.result.Fit`.

    Subclasses take a fit's parameters in `_adopt`, and add to `_to_state` and `_from_state` what `_adopt` needs beside.
    """

    log_likelihood_: float
    trace_: Trace
    n_iter_: int
    _objective: float

    @abc.abstractmethod
    def _adopt(self, fit: Fit) -> None:
        """Take a fit's parameters, in the units of the data; calls `_record`."""

    def _record(self, fit: Fit) -> None:
        """Keep how a fit went."""
        self.log_likelihood_, self._objective = fit.bound, fit.objective
        self.trace_, self.status_ = fit.trace, fit.status
        self.n_iter_ = max(len(fit.trace) - 1, 1)

    def _tell_unconverged(self, stacklevel: int) -> None:
        """Warn where the fit has not come to an end; ``stacklevel`` counts from the caller, as `warnings.warn` does.

        Of a fall, `noumena.core.fit.fit` has warned.
        """
        if not self.status_.ok and self.status_ is not Status.FELL:
            message = f"after {self.n_iter_} iterations: {self.status_.message}"
            warnings.warn(message, ConvergenceWarning, stacklevel=stacklevel + 1)

    def _to_state(self) -> dict[str, Any]:
        """What a file keeps."""
        return {
            "log_likelihood": self.log_likelihood_,
            "objective": self._objective,
            "status": self.status_.value,
            "trace": {"objective": self.trace_.objective, "accepted": self.trace_.accepted},
            "n_features_in": getattr(self, "n_features_in_", None),
            "feature_names_in": getattr(self, "feature_names_in_", None),
        }

    def _from_state(self, state: dict[str, Any]) -> None:
        """Be as the estimator was that `_to_state` was asked of; ``state["model"]`` holds its parameters."""
        for name in ("n_features_in", "feature_names_in"):
            if state[name] is not None:
                setattr(self, f"{name}_", state[name])
        trace, status = Trace(**state["trace"]), Status(state["status"])
        self._adopt(Fit(state["model"], state["objective"], state["log_likelihood"], status, trace))
