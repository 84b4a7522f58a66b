"""E log Γ of counts, which the entropies of Poisson, binomial, multinomial and negative binomial counts hold.

There is no closed form. But log Γ is an integral in which a count x stands in e^(−tx) only (Malmstén's formula,
Whittaker & Watson 1927, § 12.3), so that its expectation is an integral over the generating function M(t) = E e^(−tX)
(Knessl 1998, Appl. Math. Lett. 11:69):

    E log X!                 = ∫ (E X − (1 − M(t)) / (1 − e^−t)) e^−t dt/t
    E log Γ(X + r) / Γ(r) X! = ∫ (1 − M(t)) / (1 − e^−t) · (e^−t − e^−rt) dt/t

over t > 0. In log t both integrands are analytic within |Im| < π/2, where (1 − M)/(1 − e^−t) = E Σ_{j<X} e^−tj is at
most E X: the trapezoid rule with step h is off by E X · e^(−π²/h) times a small factor, 7e-18 of E X with the step
below, for counts of any size. The ends cut off E[X²] e^−90 and terms below e^−44. What remains is rounding: some
ε · E X and that of the value itself.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_STEP = 0.25
#: The rule's points t. The largest is for e^−rt, with r from 1e-6 on.
_POINTS = np.exp(np.arange(-90.0, 18.0, _STEP))


def expected_log_factorial(
    mean: Float[Array, "..."], log_generating: Callable[[Float[np.ndarray, " t"]], Float[Array, "... t"]]
) -> Float[Array, "..."]:
    """E log X!, given E X and t ↦ log E e^(−tX)."""
    rest = mean[..., None] - _expected_sum(log_generating)
    return _STEP * jnp.sum(rest * np.exp(-_POINTS), axis=-1)


def expected_log_choices(trials: Float[np.ndarray, "..."], probability: Float[Array, "..."]) -> Float[Array, "..."]:
    """E log m!/(X! (m − X)!) of binomial counts, some ε · min(E X, m − E X) beside rounding.

    The three integrals are taken as one, ∫ (1 − E e^(−tX) − E e^(−t(m − X)) + e^(−tm)) / (1 − e^−t) · e^−t dt/t, and
    its last two terms together.
    """
    t = _POINTS[_POINTS < 50]  # beyond, e^−t is nothing
    m, p = jnp.asarray(trials)[..., None], jnp.minimum(probability, 1 - probability)[..., None]
    failures = m * jnp.log1p((1 - p) * np.expm1(-t))
    bracket = -jnp.expm1(m * jnp.log1p(p * np.expm1(-t)))
    bracket += jnp.exp(failures) * jnp.expm1(-m * jnp.log1p(p * np.expm1(t)))
    return _STEP * jnp.sum(bracket / np.expm1(t), axis=-1)


def expected_log_rising(
    shape: Float[Array, "..."], log_generating: Callable[[Float[np.ndarray, " t"]], Float[Array, "... t"]]
) -> Float[Array, "..."]:
    """E log Γ(X + r)/(Γ(r) X!), given the shape r and t ↦ log E e^(−tX)."""
    weight = np.exp(-_POINTS) - jnp.exp(-shape[..., None] * _POINTS)
    return _STEP * jnp.sum(_expected_sum(log_generating) * weight, axis=-1)


def _expected_sum(
    log_generating: Callable[[Float[np.ndarray, " t"]], Float[Array, "... t"]],
) -> Float[Array, "... t"]:
    """E Σ_{j<X} e^(−tj) = (1 − M)/(1 − e^−t) at the points."""
    return jnp.expm1(log_generating(_POINTS)) / np.expm1(-_POINTS)
