"""The loop itself: lanes that are given up."""

import jax
import numpy as np
import pytest

from noumena.core.block import Block
from noumena.core.fit import fit
from noumena.core.lanes import stack
from noumena.core.model import Model
from noumena.core.result import Status

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
