"""The integral behind every missing Gaussian cell: log ∫ exp(bᵀu − ½ uᵀAu) du, many small ones at once."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def shared_out(values: Float[Array, "patterns *rest"], pattern: Int[Array, " rows"]) -> Float[Array, "rows *rest"]:
    """Each row's pattern's values; with as many patterns as rows, row i has pattern i."""
    return values if values.shape[0] == pattern.shape[0] else values[pattern]


@jax.custom_jvp
def log_gaussian_integral(
    b: Float[Array, "rows m K"], a: Float[Array, "patterns m m K"], pattern: Int[Array, " rows"]
) -> Float[Array, "rows K"]:
    """log ∫ exp(bᵀu − ½ uᵀAu) du − (m/2) log 2π = ½ bᵀA⁻¹b − ½ log|A|, for symmetric positive definite A.

    Rows of one pattern share A, which is inverted once for all of them. The derivative needs no second inversion:
    ∂/∂b = E[u] = A⁻¹b and ∂/∂A = −½ E[uuᵀ], the moments of the Gaussian N(A⁻¹b, A⁻¹).

    Parameters
    ----------
    b : array, shape (rows, m, K)
    a : array, shape (patterns, m, m, K)
        Components last: memory is touched in runs of K numbers.
    pattern : array of int, shape (rows,)
        Which A each row has, see `shared_out`.

    Returns
    -------
    array, shape (rows, K)
    """
    energy, logdet, _, _ = _moments(b, a, pattern)
    return energy - 0.5 * logdet


@log_gaussian_integral.defjvp
def _derivative(primals, tangents):  # type: ignore[no-untyped-def]
    return _value_and_slope(_moments(*primals), tangents, primals[2])


@jax.custom_jvp
def refined_gaussian_integral(
    b: Float[Array, "rows m K"], a: Float[Array, "patterns m m K"], pattern: Int[Array, " rows"]
) -> Float[Array, "rows K"]:
    """As `log_gaussian_integral`, with the digits that it loses where A has small eigenvalues and large ones."""
    energy, logdet, _, _ = _refined(b, a, pattern)
    return energy - 0.5 * logdet


@refined_gaussian_integral.defjvp
def _derivative_of_refined(primals, tangents):  # type: ignore[no-untyped-def]
    return _value_and_slope(_refined(*primals), tangents, primals[2])


def _value_and_slope(moments, tangents, pattern):  # type: ignore[no-untyped-def]
    (energy, logdet, mean, covariance), (db, da, _) = moments, tangents
    second = mean[:, :, None] * mean[:, None] + covariance  # E[uuᵀ]
    value = energy - 0.5 * logdet
    return value, jnp.sum(mean * db, axis=1) - 0.5 * jnp.sum(second * shared_out(da, pattern), axis=(1, 2))


@jax.custom_jvp
def gaussian_integral_parts(
    b: Float[Array, "rows m K"], a: Float[Array, "patterns m m K"], pattern: Int[Array, " rows"]
) -> tuple[Float[Array, "rows K"], Float[Array, "rows K"]]:
    """½ bᵀA⁻¹b and log|A|, the two parts of `log_gaussian_integral`, for one inversion.

    They part ways where the whole exponent is multiplied by a latent scale, which the determinant does not see.
    """
    return _moments(b, a, pattern)[:2]


@gaussian_integral_parts.defjvp
def _derivative_of_parts(primals, tangents):  # type: ignore[no-untyped-def]
    (b, a, pattern), (db, da, _) = primals, tangents
    energy, logdet, mean, covariance = _moments(b, a, pattern)
    da = shared_out(da, pattern)
    d_energy = jnp.sum(mean * db, axis=1) - 0.5 * jnp.sum(mean[:, :, None] * mean[:, None] * da, axis=(1, 2))
    return (energy, logdet), (d_energy, jnp.sum(covariance * da, axis=(1, 2)))


def _moments(b: Array, a: Array, pattern: Array) -> tuple[Array, Array, Array, Array]:
    """½ bᵀA⁻¹b, log|A|, mean and covariance of each row."""
    inverse, logdet = inverse_and_logdet(jnp.moveaxis(a, 0, 2))
    covariance, logdet = shared_out(jnp.moveaxis(inverse, 2, 0), pattern), shared_out(logdet, pattern)
    mean = jnp.sum(covariance * b[:, None], axis=2)
    return 0.5 * jnp.sum(b * mean, axis=1), logdet, mean, covariance


def _refined(b: Array, a: Array, pattern: Array) -> tuple[Array, Array, Array, Array]:
    """The same after a step of iterative refinement of the mean."""
    _, logdet, mean, covariance = _moments(b, a, pattern)
    left = b - jnp.sum(shared_out(a, pattern) * mean[:, None], axis=2)
    mean = mean + jnp.sum(covariance * left[:, None], axis=2)
    return 0.5 * jnp.sum(b * mean, axis=1), logdet, mean, covariance


def inverse_and_logdet(a: Float[Array, "m m ..."]) -> tuple[Float[Array, "m m ..."], Float[Array, "..."]]:
    """A⁻¹ and log|A| by bordering: the inverse grows by one row and column at a time.

    With s = a_jj − cᵀA⁻¹c > 0 for the next column c, x = A⁻¹c and y = x/s, the bordered inverse is
    [[A⁻¹ + xyᵀ, −y], [−yᵀ, 1/s]] and |A| grows by the factor s. Every operation runs over the whole batch, and there
    are few of them, which compiles fast. No pivoting is needed, A being positive definite.
    """
    inverse, logdet = 1 / a[:1, :1], jnp.log(a[0, 0])
    for j in range(1, a.shape[0]):
        c = a[j, :j]
        x = jnp.sum(inverse * c[None], axis=1)
        s = a[j, j] - jnp.sum(c * x, axis=0)
        logdet = logdet + jnp.log(s)
        y = x / s
        corner = inverse + x[:, None] * y[None]
        upper = jnp.concatenate([corner, -y[:, None]], axis=1)
        inverse = jnp.concatenate([upper, jnp.concatenate([-y, 1 / s[None]], axis=0)[None]], axis=0)
    return inverse, logdet
