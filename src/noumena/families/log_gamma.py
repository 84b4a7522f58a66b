"""The logarithm of the gamma function where its large terms cancel."""

from typing import Any

import numpy as np

#: From here on the series is exact to rounding.
_SERIES = 16.0


def stirling_rest(a: Any, xp: Any, special: Any) -> Any:
    """g(a) = lgamma(a) − a log a + a = ½ log(2π/a) + 1/(12a) − …, without the cancellation when a is large.

    Parameters
    ----------
    a : array
        Positive.
    xp, special : module
        Its numerical library and that one's special functions: NumPy's and SciPy's, or JAX's.
    """
    small, large = xp.minimum(a, _SERIES), xp.maximum(a, _SERIES)
    r = 1 / (large * large)  # Abramowitz & Stegun 6.1.41
    series = (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r * (1 / 1188 - r * 691 / 360360))))) / large
    near = special.gammaln(small) - small * xp.log(small) + small
    return xp.where(a < _SERIES, near, 0.5 * (np.log(2 * np.pi) - xp.log(large)) + series)
