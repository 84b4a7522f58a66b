"""How a fit ended, and what it found."""

import enum
from dataclasses import dataclass, field

import numpy as np

from .model import Model


class Status(enum.Enum):
    """Every way a fit can end; ``value`` is the word that is stored, ``message`` says what it means."""

    CONVERGED = "converged"
    COMPLETED = "completed"
    MAX_ITERATIONS = "max_iterations"
    INTERRUPTED = "interrupted"
    DEGENERATE = "degenerate"
    FELL = "fell"
    NOT_FINITE = "not_finite"

    @property
    def message(self) -> str:
        return _MESSAGES[self]

    @property
    def ok(self) -> bool:
        """Whether the parameters are those the stopping rule asked for."""
        return self in (Status.CONVERGED, Status.COMPLETED)


_MESSAGES = {
    Status.CONVERGED: "the projected remaining gain in total log likelihood is below tol",
    Status.COMPLETED: "tol=0 asked for exactly max_iter iterations, and they were run",
    Status.MAX_ITERATIONS: "max_iter iterations were not enough to converge: raise max_iter or tol",
    Status.INTERRUPTED: "interrupted: these are the best parameters so far",
    Status.DEGENERATE: "a component collapsed or lost its rows, or the residuals of a regression vanished, so that the "
    "likelihood means nothing: use fewer components or columns, a simpler covariance structure or a prior",
    Status.FELL: "the bound fell beyond rounding where theory says that it cannot: "
    "the parameters before the fall are kept",
    Status.NOT_FINITE: "the bound is not a finite number: the last finite parameters are kept",
}


@dataclass(frozen=True)
class Trace:
    """The objective at every iteration, one row per E-step.

    Attributes
    ----------
    objective : array, shape (iterations,)
        F (+ log prior) in nats, at the parameters each E-step was run with.
    accepted : array of bool, shape (iterations,)
        False at steps that did not lead to a new best point: the fit went on from there for a few steps, or went back.
    """

    objective: np.ndarray = field(default_factory=lambda: np.empty(0))
    accepted: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))

    def __len__(self) -> int:
        return len(self.objective)


@dataclass(frozen=True)
class Fit:
    """The outcome of one lane.

    Attributes
    ----------
    model : Model
        Best parameters found.
    objective : float
        F + log prior at those parameters, in nats.
    bound : float
        F alone.
    status : Status
    trace : Trace
    """

    model: Model
    objective: float
    bound: float
    status: Status
    trace: Trace
