"""Faster fixed points of S ↦ E-step(M-step(S)).

EM is a fixed-point iteration on the statistics: with θ = update(S), the next S is that of θ. Extrapolating S rather
than θ needs no coordinates for θ: a covariance structure, a simplex or a prior hold by construction, because every
parameter that is ever tried comes out of an M-step. Whether a proposal is taken is not decided here: the loop
compares F and goes back to the best point so far where F does not rise in the time that the accelerator asks for.
"""

import abc
from typing import ClassVar, TypeAlias, final

import numpy as np
from jaxtyping import Float

Vectors: TypeAlias = Float[np.ndarray, "lanes size"]


class Accelerator(abc.ABC):
    """Proposes, lane by lane, where to take the next M-step. Holds the history of one fit.

    Attributes
    ----------
    slack : float
        So many nats below its best so far F may lie at a proposal, …
    probation : int
        … and for so many steps it may stay below.
    """

    slack: ClassVar[float] = 0.0
    probation: ClassVar[int] = 0

    @abc.abstractmethod
    def propose(self, given: Vectors, gathered: Vectors) -> Vectors:
        """The next S.

        Parameters
        ----------
        given : array, shape (lanes, size)
            S that the present parameters came from.
        gathered : array, shape (lanes, size)
            S that the E-step gathered at those parameters: what plain EM would go on with.
        """

    @abc.abstractmethod
    def rejected(self, lanes: np.ndarray) -> None:
        """These lanes (bool, shape (lanes,)) went back to their best point, and go on with the plain step."""


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
    α = −‖r‖/‖v‖, kept within −max_step ≤ α ≤ −1 where max_step grows fourfold while it binds. A plain step follows it,
    then the next two.

    Long steps take out what shrinks slowly, though F may fall at first: by 1 nat at most, as in the authors' R package
    SQUAREM (``objfn.inc``), and three rounds are to make it good (the watchdog of Chamberlain et al. 1982, Math.
    Program. Stud. 16:1), which keeps the best point.
    """

    slack = 1.0
    probation = 9

    def __init__(self) -> None:
        self._start: Vectors | None = None

    def propose(self, given: Vectors, gathered: Vectors) -> Vectors:
        if self._start is None:
            self._start, self._one = given, gathered
            self._round = np.zeros((len(given), 1), dtype=int)
            self._max_step = np.ones((len(given), 1))
        r, v = self._one - self._start, (gathered - self._one) - (self._one - self._start)
        norm = np.linalg.norm(v, axis=1, keepdims=True)
        alpha = -np.linalg.norm(r, axis=1, keepdims=True) / np.where(norm > 0, norm, np.inf)
        bound, due = -self._max_step, self._round == 1
        self._max_step = np.where(due & (alpha <= bound), 4 * self._max_step, self._max_step)
        alpha = np.clip(alpha, bound, -1.0)
        far = due & (alpha < -1.0)
        proposal = np.where(far, self._start - 2 * alpha * r + alpha**2 * v, gathered)
        first = self._round == 0
        self._start, self._one = np.where(first, given, self._start), np.where(first, gathered, self._one)
        self._round = np.where(due & ~far, 0, (self._round + 1) % 3)
        return proposal

    def rejected(self, lanes: np.ndarray) -> None:
        self._round = np.where(lanes[:, None], 0, self._round)
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
