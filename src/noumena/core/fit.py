"""The only loop: raise the objective of a stack of models until each lane has converged."""

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import jax
import numpy as np
from jaxtyping import Float

from .accelerate import Accelerator, accelerator
from .block import Block
from .errors import ConvergenceWarning
from .expectation import edge, magnitude, maximisation
from .lanes import choose, lane
from .model import Model, Natural
from .result import Fit, Status, Trace
from .schedule import Full, Schedule
from .threads import one_blas_thread

#: Called after every E-step with (iteration, objective of each lane, number of lanes still running).
Progress: TypeAlias = Callable[[int, Float[np.ndarray, " lanes"], int], None]

#: A Newton step that overshoots is shortened so often, by half each time.
_HALVINGS = 12
#: A lane is given up when a finished rival is further ahead than so many times what it gained in its latest steps.
_HOPELESS, _LATEST = 1000, 10
#: After a failed proof of convergence, so many accelerated steps go by before the next one.
_PATIENCE = 6


@dataclass
class _Lane:
    """What the loop remembers of one lane."""

    objectives: list[float] = field(default_factory=list)
    accepted: list[bool] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)  # of the latest consecutive plain steps
    plain_ahead: int = 0  # so many plain steps follow, to prove convergence
    patience: int = 0
    status: Status | None = None

    def record(self, objective: float, accepted: bool) -> None:
        self.objectives.append(objective)
        self.accepted.append(accepted)


def remaining_gain(gains: list[float]) -> float:
    """Projected gain still ahead of plain EM, from the gains of its latest steps (Aitken's Δ²).

    Gains of a linearly convergent iteration shrink by a factor c per step, so that the rest sums to
    g c / (1 − c) (Böhning et al. 1994, Ann. Inst. Statist. Math. 46:373). The largest of the last two ratios is
    taken for c, since the slowest direction shows last.
    """
    if len(gains) < 2:
        return np.inf
    ratios = [later / earlier if earlier > 0 else 0.0 for earlier, later in zip(gains[-3:], gains[-2:], strict=False)]
    c = max(ratios)
    if not 0 <= c < 1:
        return np.inf
    return gains[-1] * c / (1 - c)


def fit(
    models: Model,
    blocks: Iterable[Block],
    *,
    max_iter: int,
    tol: float,
    accelerate: str | Accelerator | None = None,
    schedule: Schedule | None = None,
    start: Natural | None = None,
    progress: Progress | None = None,
    rivals: np.ndarray | None = None,
) -> list[Fit]:
    """Raise F + log prior by M- and E-steps, every lane of a stack on its own.

    Parameters
    ----------
    models : Model
        A stack of starting points.
    blocks : iterable of Block
        The data; iterated over once per E-step.
    max_iter : int
        Most M-steps.
    tol : float
        A lane has converged when the projected remaining gain of its objective is below ``tol`` nats. 0 runs exactly
        ``max_iter`` iterations.
    accelerate : {"squarem", "anderson", None} or Accelerator
        Extrapolation of the statistics; a step that would lower the objective is taken back, so it never falls.
    schedule : Schedule, optional
        How F and S are gathered; all blocks at each iteration by default.
    start : tree of arrays, optional
        Statistics that ``models`` came from, if they did: one more point to extrapolate from.
    progress : callable, optional
        Called after every E-step.
    rivals : array, shape (lanes,), optional
        Lanes of one group compete, and only the best of a group is wanted: one that creeps far below a lane that has
        converged is given up, with the status of a fit that ran out of iterations.

    Returns
    -------
    list of Fit
        One per lane. A KeyboardInterrupt ends the loop with the best parameters so far.

    Warns
    -----
    ConvergenceWarning
        Where the objective fell beyond rounding in a plain step, which exact and mean-field EM cannot do.
    """
    with one_blas_thread():
        run = _Run(models, blocks, schedule or Full(), accelerator(accelerate), start, tol, accelerate is not None)
        _report(progress, 0, run.objective, run.lanes)
        try:
            for iteration in range(1, max_iter + 1):
                if all(state.status for state in run.lanes):
                    break
                run.step()
                if rivals is not None:
                    run.give_up(rivals)
                _report(progress, iteration, run.objective, run.lanes)
        except KeyboardInterrupt:
            for state in run.lanes:
                state.status = state.status or Status.INTERRUPTED
    return run.outcome()


class _Run:
    """Where the loop stands: for each lane the parameters, their statistics and objective, and what it remembers."""

    def __init__(
        self,
        models: Model,
        blocks: Iterable[Block],
        schedule: Schedule,
        extrapolate: Accelerator,
        start: Natural | None,
        tol: float,
        accelerated: bool,
    ) -> None:
        self._blocks, self._schedule, self._extrapolate = blocks, schedule, extrapolate
        self._tol, self._accelerated = tol, accelerated
        self._current = models
        prior, self._degenerate = (np.asarray(part) for part in edge(models))
        self._bound, stats = self._gather(models.for_bound())
        self._gathered, self._restore = _flat(stats), _unflattener(stats)
        self._given = self._gathered if start is None else _flat(start)
        self.objective = self._bound + prior
        self.lanes = [_Lane() for _ in self.objective]
        self._plain = np.full(len(self.lanes), start is None)
        self._reach = np.ones(len(self.lanes))  # how far a plain step goes, from what was given to what was gathered
        for state, value in zip(self.lanes, self.objective, strict=True):
            state.record(float(value), True)
            if not np.isfinite(value):
                state.status = Status.NOT_FINITE

    def _gather(self, models: Model) -> tuple[np.ndarray, Natural]:
        bound, stats = self._schedule.gather(models, self._blocks)
        return np.asarray(bound), stats

    def step(self) -> None:
        """One M-step and the E-step after it; lanes whose objective would fall stay where they were."""
        proposal = self._extrapolate.propose(self._given, self._gathered)
        plain = self._given + self._reach[:, None] * (self._gathered - self._given)
        plain = np.where(self._reach[:, None] == 1, self._gathered, plain)
        proposal = np.where(self._plain[:, None] | ~np.isfinite(proposal), plain, proposal)
        extrapolated = np.any(proposal != plain, axis=1)
        candidate, seen, at_edge = maximisation(self._current, self._restore(proposal))
        bound, stats = self._gather(seen)
        prior, degenerate = (np.asarray(part) for part in at_edge)
        objective = bound + prior
        gain, noise = objective - self.objective, rounding(self.objective)
        running = np.array([state.status is None for state in self.lanes])
        if np.any(running & ~extrapolated & (gain < -noise)):  # a fall, or more rounding than F itself shows
            size = np.asarray(magnitude(self._current, self._restore(self._gathered)))
            noise = np.maximum(noise, 4 * np.finfo(float).eps * np.where(np.isfinite(size), size, 0.0))
        rises = np.isfinite(objective) & ((gain >= -noise) | (not self._schedule.monotone))
        rises &= ~(extrapolated & degenerate & ~self._degenerate)  # no leap over the edge; EM may still walk there
        accept = rises & running
        for i in np.flatnonzero(running):
            state = self.lanes[i]
            state.record(float(objective[i]), bool(accept[i]))
            if accept[i]:
                self._reach[i] = min(1.0, 2 * self._reach[i])
                _judge(state, float(gain[i]), float(noise[i]), bool(extrapolated[i]), self._tol, self._accelerated)
            elif not extrapolated[i] and not self._shortened(int(i)):
                state.status = _fallen(float(objective[i]), bool(degenerate[i] | self._degenerate[i]))
        if np.any(rejected := running & ~accept):
            self._extrapolate.rejected(rejected)
        self._plain = ~accept | np.array([state.plain_ahead > 0 for state in self.lanes])
        self._given = np.where(accept[:, None], proposal, self._given)
        self._gathered = np.where(accept[:, None], _flat(stats), self._gathered)
        self._current = candidate if accept.all() else choose(accept, candidate, self._current)
        self.objective = np.where(accept, objective, self.objective)
        self._bound = np.where(accept, bound, self._bound)
        self._degenerate = np.where(accept, degenerate, self._degenerate)

    def give_up(self, rivals: np.ndarray) -> None:
        """End lanes that cannot catch up with a converged one of their group."""
        done = np.array([state.status is Status.CONVERGED for state in self.lanes])
        for i, state in enumerate(self.lanes):
            ahead = self.objective[done & (rivals == rivals[i])]
            if state.status is not None or len(ahead) == 0 or len(state.objectives) <= _LATEST:
                continue
            latest = zip(state.objectives[-_LATEST:], state.accepted[-_LATEST:], strict=True)
            gained = self.objective[i] - min((value for value, kept in latest if kept), default=self.objective[i])
            if ahead.max() - self.objective[i] > max(_HOPELESS * gained, self._tol):
                state.status = Status.MAX_ITERATIONS

    def _shortened(self, lane: int) -> bool:
        """Whether the next plain step of a lane can be, and is, half as long as the one that overshot.

        Statistics between those given and those gathered lead to parameters between: for a Newton step on the normal
        equations the way from the ones to the others begins uphill.
        """
        stuck = np.array_equal(self._given[lane], self._gathered[lane])
        if self._current.exact() or stuck or self._reach[lane] <= 0.5**_HALVINGS:
            return False
        self._reach[lane] *= 0.5
        return True

    def outcome(self) -> list[Fit]:
        """The fit of each lane, with the status of those that have not ended by themselves."""
        fits = []
        for i, state in enumerate(self.lanes):
            status = state.status or (Status.MAX_ITERATIONS if self._tol > 0 else Status.COMPLETED)
            if self._degenerate[i] and status is not Status.NOT_FINITE:
                status = Status.DEGENERATE
            if status is Status.FELL:
                warnings.warn(f"after {len(state.objectives)} iterations {status.message}", ConvergenceWarning, 3)
            model = lane(self._current, i)
            fits.append(Fit(model, float(self.objective[i]), float(self._bound[i]), status, _trace(state)))
        return fits


def rounding(objective: Float[np.ndarray, " lanes"]) -> Float[np.ndarray, " lanes"]:
    """Changes of the objective below this are rounding: its terms are summed pairwise or in pieces of rows.

    Where much larger terms cancel in each row (a component narrow beside its distance from the frame's centre), there
    is more of it: see `noumena.core.expectation.magnitude`.
    """
    return 256 * np.finfo(float).eps * (1.0 + np.abs(objective))


def _judge(state: _Lane, gain: float, noise: float, extrapolated: bool, tol: float, accelerated: bool) -> None:
    """After an accepted step: has the lane converged, or is it time to prove that it has?

    Aitken's projection needs consecutive plain steps. An accelerated fit therefore takes two of them whenever its
    gain has become smaller than ``tol``.
    """
    if tol <= 0:
        return
    state.patience -= 1
    if extrapolated:
        state.gains.clear()
    else:
        state.gains.append(gain)
        state.plain_ahead = max(state.plain_ahead - 1, 0)
        still = len(state.gains) >= 2 and max(state.gains[-2:]) <= noise
        if still or remaining_gain(state.gains) < tol:
            state.status = Status.CONVERGED
            return
        if accelerated and state.plain_ahead == 0 and len(state.gains) >= 2:
            state.patience = _PATIENCE
    if accelerated and gain < tol and state.patience <= 0 and state.plain_ahead == 0:
        state.plain_ahead = 2


def _fallen(objective: float, degenerate: bool) -> Status:
    if not np.isfinite(objective):
        return Status.NOT_FINITE
    # The floor that holds a collapsed component up is no maximum, so F may fall there.
    return Status.DEGENERATE if degenerate else Status.FELL


def _trace(state: _Lane) -> Trace:
    return Trace(np.array(state.objectives), np.array(state.accepted))


def _flat(stats: Natural) -> np.ndarray:
    """Statistics as one row of numbers per lane."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(stats)]
    return np.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in leaves], axis=1)


def _unflattener(stats: Natural) -> Callable[[np.ndarray], Natural]:
    """The way back from `_flat`, for statistics such as these."""
    leaves, tree = jax.tree.flatten(stats)
    shapes = [leaf.shape for leaf in leaves]
    ends = np.cumsum([math.prod(shape[1:]) for shape in shapes]).tolist()
    places = [(slice(end - math.prod(shape[1:]), end), shape) for end, shape in zip(ends, shapes, strict=True)]

    def restore(flat: np.ndarray) -> Any:
        return jax.tree.unflatten(tree, [flat[:, place].reshape(shape) for place, shape in places])

    return restore


def _report(progress: Progress | None, iteration: int, objective: np.ndarray, lanes: list[_Lane]) -> None:
    if progress is not None:
        progress(iteration, objective, sum(state.status is None for state in lanes))
