"""The beta distribution: shares strictly between 0 and 1."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma, gammaln, polygamma
from jaxtyping import Array, Bool, Float

from .cells import Cells

#: Both parameters stay within these: equal values have none, and an infinite density.
LEAST, MOST = 1e-6, 1e8
#: At `MOST` but for rounding.
_EDGE = (1 - 1e-9) * MOST

_NEWTON_STEPS = 16
#: From here on, the series of ψ has all digits with the terms below.
_SERIES = 16.0
#: Shares of a Newton step that are tried, the first one that does not lower the objective is taken.
_SHARES = (1.0, 0.25, 0.0625)


class BetaNatural(NamedTuple):
    """η = (a, b), the coefficients of T(x) = (log x, log(1 − x))."""

    a: Float[Any, "K d"]
    b: Float[Any, "K d"]


class BetaValue(NamedTuple):
    """a and b: E[x] = a/(a + b)."""

    a: Float[Any, "K d"]
    b: Float[Any, "K d"]


class Beta(Cells):
    """Beta cells: A(η) = log Γ(a) + log Γ(b) − log Γ(a + b), h(x) = 1/(x(1 − x))."""

    support: ClassVar[str] = "numbers between 0 and 1, neither of them included"
    inside: ClassVar[float] = 0.5

    @staticmethod
    def contains(x: np.ndarray) -> np.ndarray:
        return (x > 0) & (x < 1)

    @classmethod
    def pooled(cls, x: Float[np.ndarray, "n d"]) -> BetaValue:
        mean, variance = np.nanmean(x, axis=0), np.nanvar(x, axis=0)
        bernoulli = mean * (1 - mean)
        total = np.clip(bernoulli / np.maximum(variance, bernoulli / MOST) - 1, 1e-2, MOST)
        return BetaValue(np.clip(total * mean, LEAST, MOST), np.clip(total * (1 - mean), LEAST, MOST))

    def cell_natural(self, value: BetaValue) -> BetaNatural:
        return BetaNatural(jnp.asarray(value.a), jnp.asarray(value.b))

    def cell_normaliser(self, natural: BetaNatural) -> Float[Array, "K d"]:
        # JAX's betaln is off by 1e-7 where an argument exceeds 8
        return gammaln(natural.a) + gammaln(natural.b) - gammaln(natural.a + natural.b)

    def sufficient(self, x: Float[Array, "rows d"]) -> BetaNatural:
        return BetaNatural(jnp.log(x), jnp.log1p(-x))

    def log_base(self, x: Float[Array, "rows d"]) -> Float[Array, "rows d"]:
        return -jnp.log(x) - jnp.log1p(-x)

    def expected_cell_base(self, natural: BetaNatural) -> Float[Array, "K d"]:
        mean = self.cell_mean(natural)
        return -(mean.a + mean.b)

    def maximise_cells(self, count: Array, stats: BetaNatural, previous: BetaValue) -> BetaValue:
        """Newton's method within the square from `LEAST` to `MOST`, over which the objective is concave."""
        target = jnp.stack([stats.a, stats.b]) / count
        starts = jnp.stack([jnp.stack([previous.a, previous.b]), _closed_form(target)])
        value, _ = _objective(starts, target)
        start = jnp.where(value[0] > value[1], starts[0], starts[1])
        found = jax.lax.fori_loop(0, _NEWTON_STEPS, lambda _, point: _climb(point, target), start)
        return BetaValue(found[0], found[1])

    def at_edge(self, value: BetaValue) -> Bool[Array, "K d"]:
        return (value.a >= _EDGE) | (value.b >= _EDGE)

    def expected(self, value: BetaValue) -> np.ndarray:
        a, b = np.asarray(value.a), np.asarray(value.b)
        return a / (a + b)

    def draw(self, value: BetaValue, rng: np.random.Generator) -> np.ndarray:
        return rng.beta(value.a, value.b)

    def cell_parameters(self) -> int:
        return 2 * self.n_columns


# Below, a point and its target are arrays (2, K, d): a and b, and the means of log x and log(1 − x).


def _objective(point: Float[Array, "*n 2 K d"], target: Float[Array, "2 K d"]) -> tuple[Array, Array]:
    """⟨η, target⟩ − A(η), and the size of its rounding, shape (…, K, d)."""
    total = jnp.sum(point, axis=-3, keepdims=True)
    log_gamma = gammaln(jnp.concatenate([point, total], axis=-3))
    parts = jnp.concatenate([point * target - log_gamma[..., :2, :, :], log_gamma[..., 2:, :, :]], axis=-3)
    return jnp.sum(parts, axis=-3), 8 * np.finfo(float).eps * (1 + jnp.sum(jnp.abs(parts), axis=-3))


def _closed_form(target: Float[Array, "2 K d"]) -> Float[Array, "2 K d"]:
    """A start: ψ(a) ≈ log(a − ½) gives a and b by the geometric means of x and 1 − x (Johnson & Kotz 1970, ch. 24).

    One round of Minka's fixed point, ψ(a) = target + ψ(a + b), mends it where a or b is small.
    """
    geometric = jnp.logaddexp(target[0], target[1])
    rest = jnp.maximum(-jnp.expm1(geometric), 0.5 / MOST)  # a + b within `MOST`, so that no clip changes a : b
    total = 1 + 0.5 * jnp.exp(geometric) / rest
    return jnp.clip(_inverse_digamma(target + digamma(total)), LEAST, MOST)


def _inverse_digamma(y: Float[Array, "2 K d"]) -> Float[Array, "2 K d"]:
    """Within 5 % of the inverse of ψ (Minka 2000, Estimating a Dirichlet distribution)."""
    low = y < -2.22
    return jnp.where(low, -1 / (jnp.where(low, y, -3.0) + np.euler_gamma), jnp.exp(jnp.where(low, 0.0, y)) + 0.5)


def _climb(point: Float[Array, "2 K d"], target: Float[Array, "2 K d"]) -> Float[Array, "2 K d"]:
    """One safeguarded Newton step, which ends at the latest where a parameter meets its edge."""
    step = _newton_step(point, target)
    up = step > 0
    room = jnp.min(jnp.where(up, (MOST - point) / jnp.where(up, step, 1.0), 1.0), axis=0)
    shares = jnp.minimum(jnp.array(_SHARES)[:, None, None], room)
    candidates = jnp.concatenate([_moved(point, shares[:, None] * step), point[None]])
    value, noise = _objective(candidates, target)
    first = jnp.argmax(value >= value[-1] - noise[-1], axis=0)
    return jnp.take_along_axis(candidates, first[None, None], axis=0)[0]


def _newton_step(point: Float[Array, "2 K d"], target: Float[Array, "2 K d"]) -> Float[Array, "2 K d"]:
    """The change that Newton's method asks for; a parameter at its edge that it would push further is held there."""
    each = jnp.concatenate([point, jnp.sum(point, axis=0, keepdims=True)])
    second = polygamma(1, each)
    slope, bend, common = target + _digamma_gap(point, point[::-1]), second[:2] - second[2], second[2]
    joint = (bend[::-1] * slope + common * slope[::-1]) / (bend[0] * bend[1] - common**2)
    held = ((point <= LEAST) & (joint < 0)) | ((point >= _EDGE) & (joint > 0))
    return jnp.where(held, 0.0, jnp.where(held[::-1], slope / bend, joint))


def _digamma_gap(a: Float[Array, "..."], b: Float[Array, "..."]) -> Float[Array, "..."]:
    """ψ(a + b) − ψ(a), with all its digits where b is small beside a and the two are nearly the same.

    By the recurrence ψ(a + 1) = ψ(a) + 1/a up to 16, and from there by the terms of Stirling's series (Abramowitz &
    Stegun 6.3.18), each as a difference of its own: what is left out is 1e-15 of the whole.
    """

    def up(_: int, state: tuple[Array, Array]) -> tuple[Array, Array]:
        a, gap = state
        low = a < _SERIES
        return jnp.where(low, a + 1, a), gap + jnp.where(low, b / (a * (a + b)), 0.0)

    a, gap = jax.lax.fori_loop(0, int(_SERIES), up, (a, jnp.zeros_like(a)))
    both = a + b
    r, q = 1 / a**2, 1 / both**2
    # of r − q, r² − q², … the first factor, r − q = b (a + a + b) / a² (a + b)²
    rest = 1 / 12 - (r + q) / 120 + (r**2 + r * q + q**2) / 252 - (r + q) * (r**2 + q**2) / 240
    rest += (r**4 + r**3 * q + r**2 * q**2 + r * q**3 + q**4) / 132
    return gap + jnp.log1p(b / a) + 0.5 * b / (a * both) + b * (a + both) * r * q * rest


def _moved(point: Float[Array, "2 K d"], change: Float[Array, "n 2 K d"]) -> Float[Array, "n 2 K d"]:
    """A step up is taken as it is, a step down in 1/a: there ψ(a) ≈ −1/a is linear, and nothing falls below 0."""
    down = jnp.minimum(change, 0.0)
    return jnp.clip(jnp.where(change < 0, point / (1 - down / point), point + change), LEAST, MOST)
