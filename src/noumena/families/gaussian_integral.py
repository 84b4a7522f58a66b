"""The integral behind every missing Gaussian cell: log ∫ exp(bᵀu − ½ uᵀAu) du, many small ones at once."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

#: Up to this many dimensions the sweep is written out element by element, which fuses; beyond, row by row.
_UNROLLED = 4


@jax.custom_jvp
def log_gaussian_integral(b: Float[Array, "m ..."], a: Float[Array, "m m ..."]) -> Float[Array, "..."]:
    """log ∫ exp(bᵀu − ½ uᵀAu) du − (m/2) log 2π = ½ bᵀA⁻¹b − ½ log|A|, for symmetric positive definite A.

    The axes of the matrices come first and those of the batch last, so that each arithmetic operation runs over the
    whole batch. Its derivative needs no second factorisation: ∂/∂b = E[u] = A⁻¹b and ∂/∂A = −½ E[uuᵀ], the moments of
    the Gaussian N(A⁻¹b, A⁻¹).

    Parameters
    ----------
    b : array, shape (m, ...)
    a : array, shape (m, m, ...)

    Returns
    -------
    array, shape (...)
    """
    return _moments(b, a)[0]


@log_gaussian_integral.defjvp
def _derivative(primals, tangents):  # type: ignore[no-untyped-def]
    (b, a), (db, da) = primals, tangents
    value, mean, covariance = _moments(b, a)
    second = mean[:, None] * mean[None, :] + covariance  # E[uuᵀ]
    return value, jnp.sum(mean * db, axis=0) - 0.5 * jnp.sum(second * da, axis=(0, 1))


def _moments(b: Array, a: Array) -> tuple[Array, Array, Array]:
    """Value, mean and covariance, by Gauss–Jordan sweeps (Goodnight 1979, Am. Stat. 33:149); A is SPD: no pivoting."""
    m = b.shape[0]
    logdet, inverse = _sweep_elements(a) if m <= _UNROLLED else _sweep_rows(a)
    mean = jnp.sum(inverse * b[None], axis=1)
    return 0.5 * jnp.sum(b * mean, axis=0) - 0.5 * logdet, mean, inverse


def _sweep_elements(a: Array) -> tuple[Array, Array]:
    m = a.shape[0]
    cell = {(i, j): a[i, j] for i in range(m) for j in range(i + 1)}  # lower triangle of a symmetric matrix

    def at(i: int, j: int) -> Array:
        return cell[max(i, j), min(i, j)]

    logdet = jnp.zeros(a.shape[2:], a.dtype)
    for j in range(m):
        pivot = at(j, j)
        logdet = logdet + jnp.log(pivot)
        column = [at(i, j) for i in range(m)]
        reciprocal = 1 / pivot
        scaled = [value * reciprocal for value in column]
        for i in range(m):
            for k in range(i + 1):
                if j not in (i, k):
                    cell[i, k] = cell[i, k] - column[i] * scaled[k]
        for i in range(m):
            cell[max(i, j), min(i, j)] = -reciprocal if i == j else scaled[i]
    return logdet, -jnp.stack([jnp.stack([at(i, j) for j in range(m)]) for i in range(m)])


def _sweep_rows(a: Array) -> tuple[Array, Array]:
    def sweep(j: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        logdet, a = state
        row = a[j]
        pivot = row[j]
        scaled = row / pivot
        a = a - row[:, None] * scaled[None, :]
        a = a.at[j].set(scaled).at[:, j].set(scaled).at[j, j].set(-1 / pivot)
        return logdet + jnp.log(pivot), a

    logdet, a = jax.lax.fori_loop(0, a.shape[0], sweep, (jnp.zeros(a.shape[2:], a.dtype), a))
    return logdet, -a
