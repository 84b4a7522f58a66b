"""The von Mises distribution: angles."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import i0e, i1e
from jaxtyping import Array, Bool, Float

from .cells import Cells

#: Concentrations stay below this: equal angles have none, and an infinite density.
MOST = 1e8

_NEWTON_STEPS = 5
#: κ = 2R to all digits for mean resultant lengths R below this.
_SHORT = 1e-8
#: Added to |η| (in squares), whose slope is not defined at 0. No value of A changes by it.
_ZERO = 1e-50


class VonMisesNatural(NamedTuple):
    """η = κ (cos μ, sin μ), the coefficients of T(x) = (cos x, sin x)."""

    cosine: Float[Any, "K d"]
    sine: Float[Any, "K d"]


class VonMisesValue(NamedTuple):
    """Mean direction μ in radians and concentration κ."""

    direction: Float[Any, "K d"]
    concentration: Float[Any, "K d"]


@jax.custom_jvp
def log_bessel_i0(kappa: Array) -> Array:
    """log I₀(κ), whose slope `resultant_length` keeps its digits where I₀ would overflow."""
    return jnp.log(i0e(kappa)) + kappa


@log_bessel_i0.defjvp
def _slope(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (kappa,), (change,) = primals, tangents
    return log_bessel_i0(kappa), resultant_length(kappa) * change


def resultant_length(kappa: Array) -> Array:
    """A₁(κ) = I₁(κ)/I₀(κ) = E[cos(x − μ)]."""
    return i1e(kappa) / i0e(kappa)


def concentration_of(length: Float[Array, "K d"]) -> Float[Array, "K d"]:
    """κ between 0 and `MOST` with A₁(κ) nearest to a mean resultant length.

    Newton's method on log κ and log A₁/(1 − A₁): the one is a straight line in the other at both ends and nearly one
    between them, so that it converges from anywhere.
    """
    r = jnp.clip(length, _SHORT, 1 - 0.01 / MOST)
    start = r * (2 - r**2) / (1 - r**2)  # Banerjee et al. 2005, J. Mach. Learn. Res. 6:1345
    logit = jnp.log(r) - jnp.log1p(-r)

    def step(_: int, log_kappa: Array) -> Array:
        kappa = jnp.exp(log_kappa)
        ratio = resultant_length(kappa)
        # dA₁/dκ, by its series where the difference has no digits left
        slope = jnp.where(kappa > 1e4, (0.5 + 0.25 / kappa) / kappa**2, 1 - ratio / kappa - ratio**2)
        miss = jnp.log(ratio) - jnp.log1p(-ratio) - logit
        return log_kappa - miss * ratio * (1 - ratio) / (kappa * slope)

    kappa = jnp.exp(jax.lax.fori_loop(0, _NEWTON_STEPS, step, jnp.log(start)))
    return jnp.where(length < _SHORT, 2 * length, jnp.minimum(kappa, MOST))


class VonMises(Cells):
    """Von Mises cells: A(η) = log 2π I₀(|η|), h(x) = 1 over one turn."""

    support: ClassVar[str] = "angles in radians"
    inside: ClassVar[float] = 0.0

    @staticmethod
    def contains(x: np.ndarray) -> np.ndarray:
        return np.isfinite(x)

    @classmethod
    def pooled(cls, x: Float[np.ndarray, "n d"]) -> VonMisesValue:
        cosine, sine = np.nanmean(np.cos(x), axis=0), np.nanmean(np.sin(x), axis=0)
        r = np.minimum(np.hypot(cosine, sine), 1 - 1 / MOST)
        return VonMisesValue(np.arctan2(sine, cosine), np.minimum(r * (2 - r**2) / (1 - r**2), MOST))

    def cell_natural(self, value: VonMisesValue) -> VonMisesNatural:
        return VonMisesNatural(
            value.concentration * jnp.cos(value.direction), value.concentration * jnp.sin(value.direction)
        )

    def cell_normaliser(self, natural: VonMisesNatural) -> Float[Array, "K d"]:
        kappa = jnp.sqrt(natural.cosine**2 + natural.sine**2 + _ZERO**2)
        return np.log(2 * np.pi) + log_bessel_i0(kappa)

    def sufficient(self, x: Float[Array, "rows d"]) -> VonMisesNatural:
        return VonMisesNatural(jnp.cos(x), jnp.sin(x))

    def log_base(self, x: Float[Array, "rows d"]) -> Float[Array, "rows d"]:
        return jnp.zeros_like(x)

    def maximise_cells(self, count: Array, stats: VonMisesNatural, previous: VonMisesValue) -> VonMisesValue:
        length = jnp.hypot(stats.cosine, stats.sine) / count
        return VonMisesValue(jnp.arctan2(stats.sine, stats.cosine), concentration_of(length))

    def at_edge(self, value: VonMisesValue) -> Bool[Array, "K d"]:
        return value.concentration >= MOST

    def expected(self, value: VonMisesValue) -> np.ndarray:
        """The mean direction: angles have no mean."""
        return np.asarray(value.direction)

    def draw(self, value: VonMisesValue, rng: np.random.Generator) -> np.ndarray:
        return rng.vonmises(value.direction, value.concentration)

    def cell_parameters(self) -> int:
        return 2 * self.n_columns
