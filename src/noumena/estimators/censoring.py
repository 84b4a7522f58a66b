"""Censored responses as intervals that hold them: codes, limits and bounds, checked."""

from typing import Any

import numpy as np
from jaxtyping import Float

from ..core.errors import DataError

_CODES = {-1: "left", 0: "seen", 1: "right"}


def intervals(
    y: Float[np.ndarray, "rows columns"], censoring: Any, lower: float | None, upper: float | None
) -> Float[np.ndarray, "rows 2"]:
    """The interval [low, high] that each row's latent response lies in; low = high where it is seen.

    Parameters
    ----------
    y : array, shape (rows, 1) or (rows, 2)
        Responses; or intervals, with infinite ends.
    censoring : array of {-1, 0, 1}, shape (rows,), optional
        Left-censored (z ≤ y), seen, right-censored (z ≥ y).
    lower, upper : float, optional
        Limits: a response at one is censored there.

    Raises
    ------
    DataError
        For a code that is none, or that contradicts y or the limits; an interval whose ends are the wrong way round; a
        response beyond a limit; names the row.
    """
    if lower is not None and upper is not None and not lower < upper:
        raise ValueError(f"lower={lower!r} must be below upper={upper!r}")
    if y.shape[1] == 2:
        if censoring is not None or lower is not None or upper is not None:
            raise ValueError("y holds intervals: give neither censoring nor lower nor upper beside them")
        _refuse(y[:, 0] > y[:, 1], y, "an interval whose lower end {0:g} is above its upper end {1:g}")
        _refuse((y[:, 0] == y[:, 1]) & np.isinf(y[:, 0]), y, "an interval of infinity only ({0:g} to {1:g})")
        return y
    value = y[:, 0]
    _refuse(np.isinf(value), y, "infinite ({0:g}): give intervals (two columns), or a finite limit and its code")
    at_lower = np.zeros(len(value), dtype=bool) if lower is None else value <= lower
    at_upper = np.zeros(len(value), dtype=bool) if upper is None else value >= upper
    if lower is not None:
        _refuse(value < lower, y, f"{{0:g}}, below lower={lower:g}, where it would have been censored")
    if upper is not None:
        _refuse(value > upper, y, f"{{0:g}}, above upper={upper:g}, where it would have been censored")
    if censoring is None:
        left, right = at_lower, at_upper
    else:
        code = np.asarray(censoring)
        if code.shape != value.shape:
            raise DataError(f"censoring has shape {code.shape}, expected {value.shape}: one code for each row")
        unknown = ~np.isin(code, list(_CODES))
        if unknown.any():
            row = int(np.flatnonzero(unknown)[0])
            raise DataError(f"censoring is {code[row]} at row {row}: −1 is left-censored, 0 seen, 1 right-censored")
        left, right = code == -1, code == 1
        for limit, here, own, word in ((lower, at_lower, left, "left"), (upper, at_upper, right, "right")):
            if limit is not None:
                _refuse(own & ~here, y, f"{{0:g}}, {word}-censored by its code, but the limit is {limit:g}")
                _refuse(here & ~own, y, f"{{0:g}}, at the limit {limit:g}, but its code is not {word}-censored")
    return np.column_stack([np.where(left, -np.inf, value), np.where(right, np.inf, value)])


def _refuse(bad: np.ndarray, y: np.ndarray, what: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(f"y is {what.format(*y[row])}, at row {row}: mend the value or its code")
