"""A model of one's own in twenty lines: the core needs nothing but ``bound`` and ``update``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from noumena.core.block import Block
from noumena.core.fit import fit
from noumena.core.lanes import stack
from noumena.core.model import Model
from noumena.core.result import Status

pytestmark = pytest.mark.usefixtures("float64")


class Coins(Model):
    """Each row is the number of heads and tails of one of two coins, thrown several times; which one is hidden."""

    which: jax.Array  # log p(z), shape (2,)
    heads: jax.Array  # log p(head | z)
    tails: jax.Array

    def bound(self, natural, block):
        return jax.nn.logsumexp(natural.which + block.x @ jnp.stack([natural.heads, natural.tails]), axis=1)

    def update(self, stats):
        throws = stats.heads + stats.tails
        return Coins(
            jnp.log(stats.which / stats.which.sum()), jnp.log(stats.heads / throws), jnp.log(stats.tails / throws)
        )


# Do & Batzoglou (2008), Nature Biotechnology 26:897: five sets of ten throws, starts .6 and .5, coins equally likely.
THROWS = np.array([[5.0, 5], [9, 1], [8, 2], [4, 6], [7, 3]])


def coins(a: float, b: float) -> Coins:
    heads = np.array([a, b])
    return Coins(np.log([0.5, 0.5]), np.log(heads), np.log(1 - heads))


def blocks() -> list[Block]:
    return [Block(THROWS[None], np.ones((1, 5)), np.full((1, 5), -1))]


class FairChoice(Coins):
    def update(self, stats):
        moved = Coins.update(self, stats)
        return FairChoice(self.which, moved.heads, moved.tails)


def test_the_published_iterations_of_the_two_coins():
    start = coins(0.6, 0.5)
    fair = FairChoice(start.which, start.heads, start.tails)
    once = fit(stack([fair]), blocks(), max_iter=1, tol=0.0)[0].model
    np.testing.assert_allclose(np.exp(once.heads), [0.71, 0.58], atol=0.005)
    tenth = fit(stack([fair]), blocks(), max_iter=10, tol=0.0)[0].model
    np.testing.assert_allclose(np.exp(tenth.heads), [0.80, 0.52], atol=0.005)


def test_the_bound_is_the_enumerated_log_marginal_and_rises_to_a_stationary_point():
    outcome = fit(stack([coins(0.6, 0.5)]), blocks(), max_iter=500, tol=1e-10)[0]
    assert outcome.status is Status.CONVERGED
    assert (np.diff(outcome.trace.objective) >= -1e-12).all()
    p, w = np.exp(outcome.model.heads), np.exp(outcome.model.which)
    by_hand = np.log([sum(w[z] * p[z] ** h * (1 - p[z]) ** t for z in (0, 1)) for h, t in THROWS]).sum()
    np.testing.assert_allclose(outcome.bound, by_hand, rtol=1e-13)

    def log_marginal(logit):
        heads, tails = jax.nn.log_sigmoid(logit), jax.nn.log_sigmoid(-logit)
        joint = outcome.model.which + THROWS @ jnp.stack([heads, tails])
        return jax.nn.logsumexp(joint, axis=1).sum()

    slope = jax.grad(log_marginal)(jnp.asarray(outcome.model.heads - outcome.model.tails))
    np.testing.assert_allclose(slope, 0.0, atol=1e-4)  # a gain below 1e-10 nats leaves a slope of about its root


@pytest.mark.parametrize("accelerate", ["squarem", "anderson"])
def test_acceleration_works_on_any_model(accelerate):
    plain = fit(stack([coins(0.6, 0.5)]), blocks(), max_iter=500, tol=1e-9)[0]
    fast = fit(stack([coins(0.6, 0.5)]), blocks(), max_iter=500, tol=1e-9, accelerate=accelerate)[0]
    np.testing.assert_allclose(fast.objective, plain.objective, atol=1e-8)
    assert len(fast.trace) < len(plain.trace)
