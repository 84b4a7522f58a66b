"""What a linear regression with normal residuals needs of its rows: second moments, read once."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from ..core.errors import DataError

#: Rows centred and multiplied at a time.
_SLAB = 2048
#: A column whose deviations from its mean are, on average, this many units of rounding of the mean is constant.
_ROUNDINGS = 32


@final
@dataclass(frozen=True)
class SecondMoments:
    """Weighted second moments of columns x and a response y, centred where there is an intercept.

    Attributes
    ----------
    gram : array, shape (p, p)
        Σ weight (x − x̄)(x − x̄)ᵀ; exactly 0 in rows and columns of constant columns.
    cross : array, shape (p,)
        Σ weight (x − x̄)(y − ȳ).
    square : float
        Σ weight (y − ȳ)².
    total_weight : float
        Σ weight: the number of rows, a row of weight 2 counting twice.
    centre : array, shape (p,)
        x̄; 0 without an intercept.
    response_centre : float
        ȳ; 0 without an intercept.
    intercept : bool
    """

    gram: Float[np.ndarray, "p p"]
    cross: Float[np.ndarray, " p"]
    square: float
    total_weight: float
    centre: Float[np.ndarray, " p"]
    response_centre: float
    intercept: bool

    @classmethod
    def of(
        cls,
        x: Float[np.ndarray, "n p"],
        y: Float[np.ndarray, " n"],
        weight: Float[np.ndarray, " n"] | None = None,
        *,
        intercept: bool = True,
    ) -> "SecondMoments":
        """Of these rows, which hold finite numbers.

        Moments of slabs are merged as in Chan, Golub & LeVeque (1983), Am. Stat. 37:242, so that a large common offset
        costs no digits.

        Raises
        ------
        DataError
            Where the response does not vary, so that there is nothing to explain.
        """
        p = x.shape[1]
        total, mean, product = 0.0, np.zeros(p + 1), np.zeros((p + 1, p + 1))
        for first in range(0, len(x), _SLAB):
            rows = slice(first, first + _SLAB)
            both = np.column_stack([x[rows], y[rows]]).astype(float, copy=False)
            w = np.ones(len(both)) if weight is None else weight[rows]
            here = float(w.sum())
            if here == 0:
                continue
            if intercept:
                shift = both[np.argmax(w)]  # a row itself: a sum over a large offset would round
                own = shift + w @ (both - shift) / here
                both -= own
                away = own - mean
                product += np.outer(away, away) * (here * total / (total + here))
                mean = mean + away * (here / (total + here))
            total += here
            if weight is not None:
                both *= np.sqrt(w)[:, None]
            product += both.T @ both
        least = total * (_ROUNDINGS * np.finfo(float).eps * mean) ** 2
        constant = np.diagonal(product) <= least
        product[constant] = 0.0
        product[:, constant] = 0.0
        if constant[p]:
            raise DataError(f"y is constant (always {y[0]:g}): there is nothing to explain")
        return cls(product[:p, :p], product[:p, p], float(product[p, p]), total, mean[:p], float(mean[p]), intercept)

    @property
    def constant(self) -> np.ndarray:
        """Which columns say nothing, shape (p,): constant ones, and without an intercept those that are 0."""
        return np.diagonal(self.gram) == 0
