"""The only loop: raise the objective of a stack of models until each lane has converged."""

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

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
#: A proof of convergence takes so many consecutive plain steps: the first undoes what an extrapolation stirred up, and
#: the others tell by what factor the gains shrink.
_PROOF = 4
#: After a proof that failed, so many steps go by before the next one.
_PATIENCE = 6


@dataclass
class _Lane:
    """What the loop remembers of one lane."""

    objectives: list[float] = field(default_factory=list)
    accepted: list[bool] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)  # of the latest consecutive plain steps
    fall: float = 0.0  # the deepest at a plain step that is being shortened
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
        Extrapolation of the statistics. A step may lower the objective for a while, if the accelerator says so; what is
        returned is the best point, and the objectives of accepted steps never fall.
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


class _Point(NamedTuple):
    """Where each lane is: its parameters, their statistics and objective."""

    models: Model
    given: np.ndarray  # statistics that the parameters came from
    gathered: np.ndarray
    objective: np.ndarray
    bound: np.ndarray
    degenerate: np.ndarray


def _of_each(lanes: np.ndarray, ours: _Point, theirs: _Point) -> _Point:
    """Lane by lane, ``ours`` where ``lanes`` is true, else ``theirs``."""
    if lanes.all() or not lanes.any():
        return ours if lanes.all() else theirs
    pick = [np.where(lanes.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in zip(ours[1:], theirs[1:], strict=True)]
    return _Point(choose(lanes, ours.models, theirs.models), *pick)


class _Run:
    """Where the loop stands: where each lane is, the best point it has been at, and what it remembers."""

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
        prior, degenerate = (np.asarray(part) for part in edge(models))
        bound, stats = self._gather(models.for_bound())
        gathered, self._restore = _flat(stats), _unflattener(stats)
        given = gathered if start is None else _flat(start)
        self._at = self._best = _Point(models, given, gathered, bound + prior, bound, degenerate)
        self.lanes = [_Lane() for _ in self.objective]
        self._below = np.zeros(len(self.lanes), dtype=int)  # for so many steps, the best point was elsewhere
        self._plain = np.full(len(self.lanes), start is None)
        self._reach = np.ones(len(self.lanes))  # how far a plain step goes, from what was given to what was gathered
        for state, value in zip(self.lanes, self.objective, strict=True):
            state.record(float(value), True)
            if not np.isfinite(value):
                state.status = Status.NOT_FINITE

    @property
    def objective(self) -> np.ndarray:
        """That of each lane's best point."""
        return self._best.objective

    def _gather(self, models: Model) -> tuple[np.ndarray, Natural]:
        bound, stats = self._schedule.gather(models, self._blocks)
        return np.asarray(bound), stats

    def step(self) -> None:
        """One M-step and the E-step after it; lanes that cannot stay there go back to their best point."""
        at, best = self._at, self._best
        proposal = self._extrapolate.propose(at.given, at.gathered)
        plain = at.given + self._reach[:, None] * (at.gathered - at.given)
        plain = np.where(self._reach[:, None] == 1, at.gathered, plain)
        proposal = np.where(self._plain[:, None] | ~np.isfinite(proposal), plain, proposal)
        extrapolated = np.any(proposal != plain, axis=1)
        candidate, seen, at_edge = maximisation(at.models, self._restore(proposal))
        bound, stats = self._gather(seen)
        prior, degenerate = (np.asarray(part) for part in at_edge)
        new = _Point(candidate, proposal, _flat(stats), bound + prior, bound, degenerate)
        noise = rounding(at.objective)
        running = np.array([state.status is None for state in self.lanes])
        # a fall of a plain step, or more rounding than F itself shows
        if np.any(running & ~extrapolated & (new.objective < at.objective - noise)):
            size = np.asarray(magnitude(at.models, self._restore(at.gathered)))
            noise = np.maximum(noise, 4 * np.finfo(float).eps * np.where(np.isfinite(size), size, 0.0))
        trial = extrapolated | (self._below > 0)
        slack, probation, exact = self._extrapolate.slack, self._extrapolate.probation, at.models.exact()
        if not exact:  # Newton's step may not climb from an extrapolation: it must, if that is to count, at once
            slack, probation = 0.0, 1
        least = np.where(extrapolated, best.objective - slack, at.objective) - noise
        free = not self._schedule.monotone
        stay = running & np.isfinite(new.objective) & ((new.objective >= least) | free)
        stay &= ~(trial & degenerate & ~best.degenerate)  # no leap over the edge; EM may still walk there
        better = stay & (exact | ~extrapolated) & ((new.objective >= best.objective - noise) | free)
        below = np.where(better, 0, self._below + 1)
        stay &= below <= probation
        for i in np.flatnonzero(running):
            state = self.lanes[i]
            state.record(float(new.objective[i]), bool(better[i]))
            if better[i]:
                self._reach[i] = min(1.0, 2 * self._reach[i])
                state.fall = 0.0
                gain = float(new.objective[i] - best.objective[i])
                _judge(state, gain, float(noise[i]), bool(extrapolated[i]), self._tol, self._accelerated)
            elif trial[i]:
                state.gains.clear()
            else:
                finite = np.isfinite(new.objective[i])
                state.fall = max(state.fall, float(best.objective[i] - new.objective[i]) if finite else np.inf)
                if not self._shortened(int(i)):
                    flat = not exact and state.fall < self._tol  # Newton's step shows no way up, nor one down
                    held = bool(degenerate[i] | best.degenerate[i])
                    state.status = Status.CONVERGED if flat else _fallen(float(new.objective[i]), held)
        self._best = _of_each(better, new, best)
        self._at = _of_each(stay, new, self._best)
        self._below = np.where(stay, below, 0)
        self._plain = ~stay | (extrapolated & (not exact)) | np.array([state.plain_ahead > 0 for state in self.lanes])
        if np.any(back := running & ~stay):
            self._extrapolate.rejected(back)

    def give_up(self, rivals: np.ndarray) -> None:
        """End lanes that cannot catch up with a converged one of their group."""
        done = np.array([state.status is Status.CONVERGED for state in self.lanes])
        for i, state in enumerate(self.lanes):
            ahead = self.objective[done & (rivals == rivals[i])]
            if state.status is not None or len(ahead) == 0 or len(state.objectives) <= _LATEST:
                continue
            steps = zip(reversed(state.objectives), reversed(state.accepted), strict=True)
            latest = list(islice((value for value, accepted in steps if accepted), _LATEST))
            gained = self.objective[i] - latest[-1]
            if ahead.max() - self.objective[i] > max(_HOPELESS * gained, self._tol):
                state.status = Status.MAX_ITERATIONS

    def _shortened(self, lane: int) -> bool:
        """Whether the next plain step of a lane can be, and is, half as long as the one that overshot.

        Statistics between those given and those gathered lead to parameters between: for a Newton step on the normal
        equations the way from the ones to the others begins uphill.
        """
        stuck = np.array_equal(self._at.given[lane], self._at.gathered[lane])
        if self._at.models.exact() or stuck or self._reach[lane] <= 0.5**_HALVINGS:
            return False
        self._reach[lane] *= 0.5
        return True

    def outcome(self) -> list[Fit]:
        """The fit of each lane, with the status of those that have not ended by themselves."""
        fits = []
        for i, state in enumerate(self.lanes):
            status = state.status or (Status.MAX_ITERATIONS if self._tol > 0 else Status.COMPLETED)
            if self._best.degenerate[i] and status is not Status.NOT_FINITE:
                status = Status.DEGENERATE
            if status is Status.FELL:
                warnings.warn(f"after {len(state.objectives)} iterations {status.message}", ConvergenceWarning, 3)
            model = lane(self._best.models, i)
            fits.append(Fit(model, float(self.objective[i]), float(self._best.bound[i]), status, _trace(state)))
        return fits


def rounding(objective: Float[np.ndarray, " lanes"]) -> Float[np.ndarray, " lanes"]:
    """Changes of the objective below this are rounding: its terms are summed pairwise or in pieces of rows.

    Where much larger terms cancel in each row (a component narrow beside its distance from the frame's centre), there
    is more of it: see `noumena.core.expectation.magnitude`.
    """
    return 256 * np.finfo(float).eps * (1.0 + np.abs(objective))


def _judge(state: _Lane, gain: float, noise: float, extrapolated: bool, tol: float, accelerated: bool) -> None:
    """At a new best point: has the lane converged, or is it time to prove that it has?

    Aitken's projection needs consecutive plain steps. An accelerated fit therefore takes some whenever its gain has
    become smaller than ``tol``.
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
        if still or (len(state.gains) >= _PROOF and remaining_gain(state.gains) < tol):
            state.status = Status.CONVERGED
            return
        if accelerated and state.plain_ahead == 0 and len(state.gains) >= _PROOF:
            state.patience = _PATIENCE
    if accelerated and gain < tol and state.patience <= 0 and state.plain_ahead == 0:
        state.plain_ahead = max(_PROOF - len(state.gains), 1)


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
