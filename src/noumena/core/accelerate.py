"""Faster fixed points of S ↦ E-step(M-step(S)).

EM is a fixed-point iteration on the statistics: with θ = update(S), the next S is that of θ. Extrapolating S rather
than θ needs no coordinates for θ: a covariance structure, a simplex or a prior hold by construction, because every
parameter that is ever tried comes out of an M-step. Whether a proposal is taken is not decided here: the loop
compares F and falls back to the plain step where F would fall.
"""

import abc
from typing import TypeAlias, final

import numpy as np
from jaxtyping import Float

Vectors: TypeAlias = Float[np.ndarray, "lanes size"]


class Accelerator(abc.ABC):
    """Proposes, lane by lane, where to take the next M-step. Holds the history of one fit."""

    @abc.abstractmethod
    def propose(self, given: Vectors, gathered: Vectors) -> Vectors:
        """The next S.

        Parameters
        ----------
        given : array, shape (lanes, size)
            S that the last accepted parameters came from.
        gathered : array, shape (lanes, size)
            S that the E-step gathered at those parameters: what plain EM would go on with.
        """

    @abc.abstractmethod
    def rejected(self, lanes: np.ndarray) -> None:
        """The last proposal lowered F in these lanes (bool, shape (lanes,)): they went on with the plain step."""


@final
class Plain(Accelerator):
    """EM itself."""

    def propose(self, given: Vectors, gathered: Vectors) -> Vectors:
        return gathered

    def rejected(self, lanes: np.ndarray) -> None:
        pass


@final
class Squarem(Accelerator):
    """Squared extrapolation, step length S3 of Varadhan & Roland (2008), Scand. J. Statist. 35:335, eq. (7).

    Two plain steps S₀ → S₁ → S₂ give r = S₁ − S₀ and v = (S₂ − S₁) − r; the proposal is S₀ − 2αr + α²v with
    α = −‖r‖/‖v‖, kept within −max_step ≤ α ≤ −1 where max_step grows fourfold while it binds.
    """

    def __init__(self) -> None:
        self._first: tuple[Vectors, Vectors] | None = None
        self._max_step: np.ndarray | None = None

    def propose(self, given: Vectors, gathered: Vectors) -> Vectors:
        if self._max_step is None:
            self._max_step = np.ones((len(given), 1))
        if self._first is None:
            self._first = (given, gathered)
            return gathered
        start, one = self._first
        self._first = None
        r, v = one - start, (gathered - one) - (one - start)
        norm = np.linalg.norm(v, axis=1, keepdims=True)
        alpha = -np.linalg.norm(r, axis=1, keepdims=True) / np.where(norm > 0, norm, np.inf)
        bound = -self._max_step
        self._max_step = np.where(alpha <= bound, 4 * self._max_step, self._max_step)
        alpha = np.clip(alpha, bound, -1.0)
        proposal = start - 2 * alpha * r + alpha**2 * v
        return np.where(alpha == -1.0, gathered, proposal)

    def rejected(self, lanes: np.ndarray) -> None:
        assert self._max_step is not None
        self._first = None
        self._max_step = np.where(lanes[:, None], np.maximum(self._max_step / 4, 1.0), self._max_step)


@final
class Anderson(Accelerator):
    """Anderson mixing over the last ``memory`` steps, damped as in Henderson & Varadhan (2019), JCGS 28:834.

    With f = gathered − given, the proposal is gathered − (ΔG) γ, where γ minimises ‖f − ΔF γ‖² + λ‖γ‖²; a lane whose
    proposal was rejected starts its history anew.
    """

    def __init__(self, memory: int = 5, damping: float = 1e-12) -> None:
        self._memory, self._damping = memory, damping
        self._last: tuple[Vectors, Vectors] | None = None
        self._df: list[Vectors] = []
        self._dg: list[Vectors] = []

    def propose(self, given: Vectors, gathered: Vectors) -> Vectors:
        f = gathered - given
        if self._last is not None:
            last_f, last_g = self._last
            self._df.append(f - last_f)
            self._dg.append(gathered - last_g)
            del self._df[: -self._memory], self._dg[: -self._memory]
        self._last = (f, gathered)
        if not self._df:
            return gathered
        df, dg = np.stack(self._df, 1), np.stack(self._dg, 1)  # (lanes, m, size)
        gram = df @ df.transpose(0, 2, 1)
        scale = np.trace(gram, axis1=1, axis2=2)[:, None, None] * self._damping
        gram = gram + (scale + np.finfo(float).tiny) * np.eye(gram.shape[1])
        gamma = np.linalg.solve(gram, df @ f[:, :, None])[:, :, 0]
        return gathered - np.einsum("lm,lms->ls", gamma, dg)

    def rejected(self, lanes: np.ndarray) -> None:
        for history in (self._df, self._dg):
            for step in history:
                step[lanes] = 0.0  # a zero column takes no part in the least squares


def accelerator(name: str | Accelerator | None) -> Accelerator:
    """The accelerator of this name, None or "none", "squarem", "anderson"; a model's own is taken as it is."""
    if isinstance(name, Accelerator):
        return name
    kinds = {None: Plain, "none": Plain, "squarem": Squarem, "anderson": Anderson}
    if name not in kinds:
        raise ValueError(f'accelerate={name!r}: choose "squarem", "anderson" or None')
    return kinds[name]()
