"""log x! against SciPy's log Γ(x + 1): small and large counts, missing ones, single precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gammaln

from noumena.families.log_factorial import log_factorial

SMALL = np.arange(256.0)
#: Across the seam of table and series, and far beyond.
ALL = np.concatenate([np.arange(5000.0), np.floor(np.geomspace(5e3, 1e15, 500))])
# The largest of the series' terms, x (log x − 1), is below their sum, and its second factor some 1.2 ε off: with the
# product and the sums some 3 ε of the value, and as much for SciPy's own.
LOOSE = 8


@pytest.mark.parametrize("counts", [SMALL, ALL], ids=["small", "all"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_it_is_the_logarithm_of_the_gamma_function(float64, counts, dtype):
    x = counts.astype(dtype)
    found = np.asarray(jax.jit(log_factorial)(jnp.asarray(x)))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, gammaln(x.astype(float) + 1), rtol=LOOSE * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("others", [[0.0, 1.0, 255.0], [0.0, 1.0, 1e6]], ids=["small", "large"])
def test_missing_counts_stay_missing_and_those_below_0_do_not_occur(float64, others):
    x = np.array([np.nan, -1.0, -3.0, np.inf, *others])
    found = np.asarray(log_factorial(jnp.asarray(x)))
    np.testing.assert_allclose(found[4:], gammaln(np.array(others) + 1), rtol=LOOSE * np.finfo(float).eps)
    assert np.isnan(found[0])
    assert (found[1:4] == np.inf).all()
    assert (np.asarray(log_factorial(jnp.asarray(x[1:3]))) == np.inf).all()  # small ones alone


def test_counts_between_whole_numbers_are_finite(float64):
    found = np.asarray(log_factorial(jnp.asarray([0.5, 254.5, 255.5, 300.5])))
    assert np.isfinite(found).all()
    assert found[:3] == pytest.approx(gammaln(np.array([0.0, 254.0, 255.0]) + 1))
    assert found[3] == pytest.approx(gammaln(301.5), rel=1e-14)
