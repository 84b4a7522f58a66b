"""The only loop: raise the objective of a stack of models until each lane has converged."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import jax
import numpy as np
from jaxtyping import Float

from .accelerate import accelerator
from .block import Block
from .errors import ConvergenceWarning
from .expectation import edge, maximisation
from .lanes import choose, lane
from .model import Model, Natural
from .result import Fit, Status, Trace
from .schedule import Full, Schedule

#: Called after every E-step with (iteration, objective of each lane, number of lanes still running).
Progress: TypeAlias = Callable[[int, Float[np.ndarray, " lanes"], int], None]

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
    accelerate: str | None = None,
    schedule: Schedule | None = None,
    start: Natural | None = None,
    progress: Progress | None = None,
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
    accelerate : {"squarem", "anderson", None}
        Extrapolation of the statistics; a step that would lower the objective is taken back, so it never falls.
    schedule : Schedule, optional
        How F and S are gathered; all blocks at each iteration by default.
    start : tree of arrays, optional
        Statistics that ``models`` came from, if they did: one more point to extrapolate from.
    progress : callable, optional
        Called after every E-step.

    Returns
    -------
    list of Fit
        One per lane. A KeyboardInterrupt ends the loop with the best parameters so far.

    Warns
    -----
    ConvergenceWarning
        Where the objective fell beyond rounding in a plain step, which exact and mean-field EM cannot do.
    """
    schedule = schedule or Full()
    extrapolate = accelerator(accelerate)
    current, (prior, degenerate) = models, _edge(models)
    bound, stats = _gather(schedule, current.for_bound(), blocks)
    objective = bound + prior
    lanes = [_Lane() for _ in objective]
    for state, value in zip(lanes, objective, strict=True):
        state.record(float(value), True)
        if not np.isfinite(value):
            state.status = Status.NOT_FINITE
    flat, restore = _flatten(stats)
    given = flat if start is None else _flatten(start)[0]
    _report(progress, 0, objective, lanes)
    plain = np.full(len(lanes), start is None)
    try:
        for iteration in range(1, max_iter + 1):
            if all(state.status for state in lanes):
                break
            proposal = extrapolate.propose(given, flat)
            proposal = np.where(plain[:, None] | ~np.isfinite(proposal), flat, proposal)
            extrapolated = np.any(proposal != flat, axis=1)
            candidate, seen, at_edge = maximisation(current, restore(proposal))
            new_bound, new_stats = _gather(schedule, seen, blocks)
            new_prior, new_degenerate = (np.asarray(part) for part in at_edge)
            new_objective = new_bound + new_prior
            gain = new_objective - objective
            noise = rounding(objective)
            rises = np.isfinite(new_objective) & ((gain >= -noise) | (not schedule.monotone))
            rises &= ~(extrapolated & new_degenerate & ~degenerate)  # no leap over the edge; EM may still walk there
            running = np.array([state.status is None for state in lanes])
            accept = rises & running
            for i, state in enumerate(lanes):
                if not running[i]:
                    continue
                state.record(float(new_objective[i]), bool(accept[i]))
                if accept[i]:
                    _judge(state, float(gain[i]), float(noise[i]), bool(extrapolated[i]), tol, accelerate is not None)
                elif not extrapolated[i]:
                    state.status = _fallen(float(new_objective[i]), bool(new_degenerate[i] | degenerate[i]))
            if np.any(rejected := running & ~accept):
                extrapolate.rejected(rejected)
            plain = ~accept | np.array([state.plain_ahead > 0 for state in lanes])
            new_flat = _flatten(new_stats)[0]
            given = np.where(accept[:, None], proposal, given)
            flat = np.where(accept[:, None], new_flat, flat)
            current = candidate if accept.all() else choose(accept, candidate, current)
            objective = np.where(accept, new_objective, objective)
            bound = np.where(accept, new_bound, bound)
            degenerate = np.where(accept, new_degenerate, degenerate)
            _report(progress, iteration, objective, lanes)
    except KeyboardInterrupt:
        for state in lanes:
            state.status = state.status or Status.INTERRUPTED
    for i, state in enumerate(lanes):
        state.status = state.status or (Status.MAX_ITERATIONS if tol > 0 else Status.COMPLETED)
        if degenerate[i] and state.status is not Status.NOT_FINITE:
            state.status = Status.DEGENERATE
        if state.status is Status.FELL:
            warnings.warn(f"after {len(state.objectives)} iterations {state.status.message}", ConvergenceWarning, 2)
    return [
        Fit(lane(current, i), float(objective[i]), float(bound[i]), _known(state.status), _trace(state))
        for i, state in enumerate(lanes)
    ]


def rounding(objective: Float[np.ndarray, " lanes"]) -> Float[np.ndarray, " lanes"]:
    """Changes of the objective below this are rounding: its terms are summed pairwise or in pieces of rows."""
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


def _known(status: Status | None) -> Status:
    assert status is not None
    return status


def _trace(state: _Lane) -> Trace:
    return Trace(np.array(state.objectives), np.array(state.accepted))


def _edge(models: Model) -> tuple[np.ndarray, np.ndarray]:
    prior, degenerate = edge(models)
    return np.asarray(prior), np.asarray(degenerate)


def _gather(schedule: Schedule, models: Model, blocks: Iterable[Block]) -> tuple[np.ndarray, Natural]:
    bound, stats = schedule.gather(models, blocks)
    return np.asarray(bound), stats


def _flatten(stats: Natural) -> tuple[np.ndarray, Callable[[np.ndarray], Natural]]:
    """Statistics as one row of numbers per lane, and the way back."""
    leaves, tree = jax.tree.flatten(stats)
    shapes = [leaf.shape for leaf in leaves]
    lanes = shapes[0][0]
    flat = np.concatenate([np.asarray(leaf).reshape(lanes, -1) for leaf in leaves], axis=1)
    ends = np.cumsum([int(np.prod(shape[1:])) for shape in shapes])[:-1]

    def restore(flat: np.ndarray) -> Any:
        parts = np.split(flat, ends, axis=1)
        return jax.tree.unflatten(tree, [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])

    return flat, restore


def _report(progress: Progress | None, iteration: int, objective: np.ndarray, lanes: list[_Lane]) -> None:
    if progress is not None:
        progress(iteration, objective, sum(state.status is None for state in lanes))
