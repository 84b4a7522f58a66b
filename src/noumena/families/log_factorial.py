"""log x! of counts, which do not change from one E-step to the next but are too many to keep."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from scipy.special import gammaln

#: From here on, Stirling's series is exact to rounding with the terms below: the next is 1/(1260 x⁵) < 1e-15.
_SERIES = 256
#: log x! for x = −1, 0, 1, …, below `_SERIES`: at −1 it is infinite.
_TABLE = gammaln(np.arange(0.0, _SERIES + 1))
_HALF_LOG_2PI = float(0.5 * np.log(2 * np.pi))


def log_factorial(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """log x! of whole numbers, some units in the last place off; NaN for NaN.

    It is infinite for x < 0, where 1/x! = 0. Other numbers below 256 count as the next whole number below them. The
    derivative in x is not that of log Γ(x + 1).
    """
    # nearly all counts are small: where all of a piece are, it needs no logarithm
    return lax.cond(jnp.all(x < _SERIES), _looked_up, _of_any_size, x)


def _looked_up(x: Float[Array, "..."]) -> Float[Array, "..."]:
    place = jnp.clip(jnp.floor(x) + 1, 0, _SERIES).astype(jnp.int32)
    return jnp.asarray(_TABLE, x.dtype).at[place].get(mode="promise_in_bounds")


def _of_any_size(x: Float[Array, "..."]) -> Float[Array, "..."]:
    large = jnp.maximum(x, _SERIES)
    r, log = 1 / large, jnp.log(large)
    series = large * (log - 1) + 0.5 * log + (_HALF_LOG_2PI + r * (1 / 12 - r * r / 360))  # Abramowitz & Stegun 6.1.41
    return jnp.where(x < _SERIES, _looked_up(x), series)
