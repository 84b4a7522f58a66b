"""The loop itself: lanes that are given up, steps that are taken back."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from noumena.core.accelerate import Accelerator
from noumena.core.block import Block
from noumena.core.errors import ConvergenceWarning
from noumena.core.fit import fit
from noumena.core.lanes import stack
from noumena.core.model import Model
from noumena.core.result import Fit, Status
from noumena.families.poisson import Poisson
from noumena.models.mixture import Mixture, MixtureNatural

pytestmark = pytest.mark.usefixtures("float64")


class Descent(Model):
    """F = −depth, of which every step leaves a share."""

    depth: jax.Array
    share: jax.Array

    def bound(self, natural, block):
        return -natural.depth * block.x[:, 0]

    def update(self, stats):
        return Descent(self.depth * self.share, self.share)


ROW = Block(np.ones((1, 1, 1)), np.ones((1, 1)))
FAST, CREEPING, LATE, ALONE = (1.0, 0.5), (1e3, 1 - 1e-5), (1e3, 0.7), (1e3, 1 - 1e-5)
STEPS = 200


def fits(rivals: list[int] | None) -> list:
    """One that converges in 30 steps, one that then is 1,000 behind and gains 0.01 a step, one that catches up."""
    starts = stack([Descent(*map(np.asarray, one)) for one in (FAST, CREEPING, LATE, ALONE)])
    return fit(starts, [ROW], max_iter=STEPS, tol=1e-6, rivals=None if rivals is None else np.array(rivals))


def test_a_lane_that_creeps_far_below_a_converged_rival_is_given_up():
    fast, creeping, late, alone = fits([0, 0, 0, 1])
    assert fast.status is late.status is Status.CONVERGED
    assert creeping.status is alone.status is Status.MAX_ITERATIONS
    assert len(creeping.trace) == len(fast.trace)  # at once
    assert len(late.trace) > len(fast.trace)
    assert len(alone.trace) == STEPS + 1  # of another group


def test_without_rivals_every_lane_goes_on():
    fast, creeping, late, _ = fits(None)
    assert fast.status is late.status is Status.CONVERGED
    assert len(creeping.trace) == STEPS + 1


# ------------------------------------------------------------------------------------------------------- acceleration


class Level(Model):
    """F = −½ level², which a step multiplies by 0.9² = 0.81."""

    level: jax.Array
    edge: float = eqx.field(static=True, default=np.inf)
    climbs: bool = eqx.field(static=True, default=True)

    def bound(self, natural, block):
        return -0.5 * natural.level**2 * block.x[:, 0]

    def update(self, stats):
        return Level(-0.9 * stats.level, self.edge, self.climbs)

    def degenerate(self):
        return jnp.abs(self.level - self.edge) < 0.05

    def exact(self):
        return self.climbs


class Leap(Accelerator):
    """Plain steps, but for the fourth, which lands where F is so much."""

    slack = 1.0
    probation = 3

    def __init__(self, lands: float) -> None:
        self.level, self.calls, self.went_back = np.sqrt(-2 * lands), 0, 0

    def propose(self, given, gathered):
        self.calls += 1
        return gathered if self.calls != 4 else np.full_like(gathered, -self.level / 0.9)

    def rejected(self, lanes):
        self.went_back += 1


def leaped(lands: float, start: Level | None = None, **options) -> tuple[Fit, Leap]:
    leap, start = Leap(lands), start or Level(np.array(1.0))
    return fit(stack([start]), [ROW], **{"max_iter": 14, "tol": 0.0, "accelerate": leap} | options)[0], leap


BEFORE = -0.5 * 0.81**3  # F at the best point before the leap


@pytest.mark.parametrize(
    ("lands", "refused", "back"),
    [(-0.10, 0, 0), (-0.30, 1, 0), (-0.45, 3, 0), (-0.90, 4, 1), (-1.2, 4, 1), (-1.3, 1, 1)],
    ids=["above", "1 step below", "3 steps below", "4 steps below", "just within the slack", "beyond it"],
)
def test_a_fit_goes_back_where_a_leap_is_not_made_good_in_time(lands, refused, back):
    """The best point before has F = −0.266; up to 1 nat below is allowed, for three steps."""
    found, leap = leaped(lands)
    accepted = found.trace.accepted
    assert leap.went_back == back
    np.testing.assert_array_equal(np.flatnonzero(~accepted), 4 + np.arange(refused))
    kept = found.trace.objective[accepted]
    assert (np.diff(kept) > 0).all()
    assert found.objective == found.bound == found.trace.objective.max() == kept[-1]
    if back:  # on from the best point, with a plain step
        assert found.trace.objective[4 + refused] == pytest.approx(0.81 * BEFORE)


def test_the_best_point_is_returned_where_the_iterations_end_below_it():
    found, _ = leaped(-0.9, max_iter=5)
    assert found.objective == found.bound == pytest.approx(BEFORE)
    assert float(found.model.level) == pytest.approx(0.9**3)
    assert found.trace.objective[-1] == pytest.approx(-0.9 * 0.81)


def test_the_best_point_is_returned_where_the_fit_is_interrupted_below_it():
    reported = []

    def interrupt(iteration, objectives, running):
        reported.append(float(objectives[0]))
        if iteration == 5:
            raise KeyboardInterrupt

    found, _ = leaped(-0.9, progress=interrupt)
    assert found.status is Status.INTERRUPTED
    assert found.objective == pytest.approx(BEFORE)
    assert float(found.model.level) == pytest.approx(0.9**3)
    assert reported[3:] == [found.objective] * 3  # progress is that of the best point


@pytest.mark.parametrize(("lands", "refused"), [(-0.9, 2), (-0.9 * 0.81, 1)], ids=["on the way", "at once"])
def test_a_leap_does_not_end_at_an_edge(lands, refused):
    """F = −0.9 is a level of 1.34, from where a step leads to the edge."""
    found, leap = leaped(lands, Level(np.array(1.0), edge=0.9 * float(np.sqrt(1.8))))
    assert leap.went_back == 1
    np.testing.assert_array_equal(np.flatnonzero(~found.trace.accepted), 4 + np.arange(refused))
    assert found.status is Status.COMPLETED


def test_a_leap_is_taken_back_at_once_where_steps_may_not_climb():
    found, leap = leaped(-0.3, Level(np.array(1.0), climbs=False))
    assert leap.went_back == 1
    np.testing.assert_array_equal(np.flatnonzero(~found.trace.accepted), [4])


class Tilted(Level):
    """Steps lead away from the maximum below a level of 0.48."""

    def update(self, stats):
        return Tilted(-jnp.where(stats.level > -0.48, 1.1, 0.9) * stats.level, self.edge, self.climbs)


def test_a_leap_to_where_newton_steps_do_not_climb_is_taken_back():
    """It would end there, as a fall that cannot be."""
    found, leap = leaped(-0.1, Tilted(np.array(1.0), climbs=False), max_iter=7)
    assert leap.went_back == 1
    assert found.trace.accepted.tolist() == [True] * 4 + [False] * 2 + [True] * 2
    assert found.status is Status.COMPLETED
    assert found.objective == found.trace.objective[-1] > BEFORE


class Shaky(Level):
    """Steps lead to a level of 0.501."""

    def update(self, stats):
        return Shaky(0.0 * stats.level + 0.501, self.edge, self.climbs)


@pytest.mark.filterwarnings("ignore::noumena.core.errors.ConvergenceWarning")
@pytest.mark.parametrize(
    ("climbs", "tol", "status"),
    [(False, 1e-3, Status.CONVERGED), (False, 1e-4, Status.FELL), (True, 1e-3, Status.FELL)],
)
def test_newton_steps_that_fall_by_less_than_the_tolerance_have_converged(climbs, tol, status):
    """From 0.5, F falls by 5e-4."""
    found = fit(stack([Shaky(np.array(0.5), climbs=climbs)]), [ROW], max_iter=20, tol=tol)[0]
    assert found.status is status
    assert found.objective == -0.125


def test_convergence_is_proven_by_plain_steps_after_the_leap():
    """Gains are below the tolerance long before what is left is: 0.81/0.19 = 4.3 times as much."""
    found, _ = leaped(-1e-9, max_iter=100, tol=1e-6)
    assert found.status is Status.CONVERGED
    assert len(found.trace) == 1 + 4 + 4  # with the start


def test_gains_before_a_leap_prove_nothing_after_it():
    """F = 0 at the maximum. Of the four gains about the leap the last is small, for it makes good a fall."""
    found, _ = leaped(-0.32, max_iter=100, tol=0.05)
    assert found.status is Status.CONVERGED
    assert -0.05 < found.objective < 0


class Rebound(Level):
    """Steps lead away from the maximum once the level is below 0.75."""

    def update(self, stats):
        return Rebound(-jnp.where(stats.level > -0.75, 2.0, 0.9) * stats.level)


def test_a_fall_after_a_leap_that_was_taken_back_is_named():
    with pytest.warns(ConvergenceWarning, match="after 6 iterations the bound fell"):
        found, _ = leaped(-1.3, Rebound(np.array(1.0)))
    assert found.status is Status.FELL
    assert found.objective == pytest.approx(BEFORE)


class Stubborn(Accelerator):
    """The same long step, again and again."""

    def propose(self, given, gathered):
        return np.full_like(gathered, -2.0)

    def rejected(self, lanes):
        pass


def test_a_plain_step_follows_one_that_was_taken_back():
    found = fit(stack([Level(np.array(1.0))]), [ROW], max_iter=5, tol=0.0, accelerate=Stubborn())[0]
    assert found.trace.accepted.tolist() == [True, True, False, True, False, True]


class Straying(Accelerator):
    """Of eleven steps far from the maximum, ten stay 0.5 nats below the best point."""

    slack = 1.0
    probation = 9

    def __init__(self) -> None:
        self.step = 0

    def propose(self, given, gathered):
        self.step += 1
        astray = -np.sqrt(gathered**2 + 1) / 0.9 if self.step == 2 else given
        return np.where((np.abs(gathered) > 1) & (self.step > 1), astray, gathered)

    def rejected(self, lanes):
        assert not lanes[0]
        self.step = 0


def test_a_lane_that_tries_long_steps_in_vain_is_not_given_up_for_that():
    """It gains 19% at each of its plain steps, though none in ten steps in between."""
    starts = stack([Level(np.array(1e-3)), Level(np.array(100.0))])
    near, far = fit(starts, [ROW], max_iter=100, tol=1e-6, accelerate=Straying(), rivals=np.zeros(2))
    assert near.status is Status.CONVERGED
    assert len(far.trace) == 101
    assert np.flatnonzero(far.trace.accepted).tolist() == [0, *range(1, 101, 11)]


def test_a_lane_goes_the_way_that_it_goes_alone():
    """Death notices (Hasselblad 1969) from four starts: each takes its long steps, and goes back, by itself."""
    x, days = np.arange(10.0)[:, None], np.array([162, 267, 271, 185, 111, 61, 27, 8, 3, 1.0])
    family, rng = Poisson.of(x), np.random.default_rng(0)
    blank = Mixture(family, np.full(2, 0.5), family.initial(2), np.ones(2, dtype=bool))
    starts = []
    for _ in range(4):
        r = rng.dirichlet([1.0, 1.0], size=10) * days[:, None]
        starts.append(blank.update(MixtureNatural(r.sum(axis=0), family.statistics(x, r))))
    block = Block(x[None], days[None], complete=True)

    def traces(models):
        return [one.trace for one in fit(stack(models), [block], max_iter=60, tol=0.0, accelerate="squarem")]

    together, apart = traces(starts), [traces([one])[0] for one in starts]
    for ours, theirs in zip(together, apart, strict=True):
        assert not ours.accepted.all()
        np.testing.assert_array_equal(ours.accepted[:40], theirs.accepted[:40])
        np.testing.assert_allclose(ours.objective[:40], theirs.objective[:40], rtol=1e-9)
