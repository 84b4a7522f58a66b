"""Standard errors of what users see of a factor model."""

from collections.abc import Callable

import numpy as np

from ..families.factor_structure import FactorParameters
from ..models.factor import FactorModel
from ..models.factor_coordinates import FactorCoordinates
from ..models.standard_errors import StandardErrors, coordinate_covariance, delta_errors
from .factor_rows import FactorRows

#: Step of the differences that derivatives are taken by, in standard errors.
_STEP = 1e-3


def errors_of(
    model: FactorModel, rows: FactorRows, seen: Callable[[FactorParameters], dict[str, np.ndarray]]
) -> StandardErrors:
    """Errors from the observed information, by central differences along each free coordinate.

    Parameters
    ----------
    model : FactorModel
        With parameters as `determined` gives them.
    rows : FactorRows
        What it was fitted to.
    seen : callable
        What users see of parameters; smooth about the model's.

    Raises
    ------
    InformationError
        Where the information has no inverse.
    """
    chart = FactorCoordinates.around(model)
    covariance = coordinate_covariance(model, chart, rows.blocks)
    free = ~chart.held
    step = np.ones(chart.size)
    step[free] = np.sqrt(np.diagonal(covariance))
    jacobian: dict[str, list[np.ndarray]] = {}
    at = seen(chart.parameters(np.zeros(chart.size)))
    for i in range(chart.size):
        theta = np.zeros(chart.size)
        theta[i] = _STEP * step[i]
        up, down = (seen(chart.parameters(sign * theta)) for sign in (1, -1))
        for name in at:
            jacobian.setdefault(name, []).append(np.ravel(up[name] - down[name]) / (2 * theta[i]))
    errors = {
        name: delta_errors(np.array(columns).T, free, covariance).reshape(np.shape(at[name]))
        for name, columns in jacobian.items()
    }
    return StandardErrors(errors, "observed")
