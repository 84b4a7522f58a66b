"""Standard errors, where they can be had."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.errors import NoumenaError

#: Standard errors of more free parameters than this are left to those who ask for them.
_MOST_PARAMETERS = 400


def standard_errors_or_why_not(estimator: Any, find: Callable[[], Any]) -> tuple[Any, str | None]:
    """The standard errors that ``find`` gives, or why there are none."""
    if estimator.n_parameters_ > _MOST_PARAMETERS:
        return None, (
            f"{estimator.n_parameters_:,} free parameters take long to work out; standard_errors gives them, where "
            "they are wanted."
        )
    try:
        errors = find()
    except NoumenaError as error:
        return None, str(error)
    if not np.isfinite(getattr(errors, "weights", 0.0)).all():  # covariates have coefficients in their place
        return None, "some of them are not finite, for the likelihood is flat at the estimate."
    return errors, None
