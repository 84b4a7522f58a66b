"""Models that are conditional on columns: what these are, and which rows of a table have them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.errors import DataError
from ..data.columns import unique_names
from ..data.files import arrow_table
from ..report.augmented import is_augmented
from ..report.digits import count
from ..report.network import is_network
from ..report.regression import is_regression
from .network import rows_for
from .terminal import say
from .training import complete_rows, known_columns, missing_cells


@dataclass(frozen=True)
class Rows:
    """The rows of a file that a stored model is asked about.

    Attributes
    ----------
    table : table
        As the estimator takes it: those rows that have what the model is conditional on.
    kept : array of bool, shape (n_rows,), or None
        Which rows of the file these are; None for all of them.
    y : array, or None
        The responses of these rows, of a regression; missing ones are None or NaN.
    answered : array of bool, or None
        Which of these rows have a response.
    lacking : tuple of (str, int)
        Columns that rows lack, with their number.
    """

    table: Any
    kept: np.ndarray | None = None
    y: np.ndarray | None = None
    answered: np.ndarray | None = None
    lacking: tuple[tuple[str, int], ...] = ()

    def spread(self, values: np.ndarray) -> pa.Array:
        """Values of these rows as a column of the file; nothing where a row is not one of them."""
        if self.kept is None:
            return pa.array(values)
        place = np.cumsum(self.kept) - 1
        return pa.array(values).take(pa.array(place, mask=~self.kept))


def explains(estimator: Any) -> bool:
    """Whether a model has a response."""
    return is_regression(estimator) or is_augmented(estimator)


def covariates_of(estimator: Any) -> list[str]:
    """Names of the columns that a fitted model is conditional on; none where its table had no names."""
    names = list(getattr(estimator, "feature_names_in_", []))
    if is_regression(estimator):
        concomitant = list(estimator.concomitant or [])
        regressors = estimator.regressors
        if regressors is None:
            regressors = [name for name in names if name not in concomitant]
        found = list(dict.fromkeys([*regressors, *concomitant]))
    elif is_augmented(estimator):
        found = [] if estimator.missing is not None else names
    else:
        found = list(getattr(estimator, "covariates", None) or [])
    return [name for name in found if isinstance(name, str)]


def response_of(estimator: Any, said: str | None) -> str | None:
    """The column of the responses: as said, or as it was called at the fit."""
    return said if said is not None else getattr(estimator, "response_name_", None)


def rows_of(
    estimator: Any, path: Path, response: str | None, *, only_answered: bool = False, optional: bool = False
) -> Rows:
    """The rows of a file that a model can be asked about.

    Parameters
    ----------
    estimator : fitted estimator
    path : Path
    response : str, or None
        The column of the responses, where it is known and of interest.
    only_answered : bool
        Whether rows without a response are left out, too.
    optional : bool
        Whether the file may be without that column.
    """
    if is_network(estimator):
        return Rows(rows_for(estimator, path))
    covariates = covariates_of(estimator)
    if not covariates and not explains(estimator):
        return Rows(path)
    table = arrow_table(path)
    needed = [*covariates, *([response] if only_answered and response is not None else [])]
    kept, lacking = complete_rows(path, table, needed)
    part = table.filter(pa.array(kept))
    if response is None or (optional and response not in table.column_names):
        return Rows(part, kept, lacking=lacking)
    known_columns(path, [response], unique_names(table.column_names))
    answers = part[response]
    return Rows(part, kept, np.asarray(answers), ~missing_cells(answers), lacking)


def needed_response(estimator: Any, said: str | None) -> str:
    """As `response_of`, where there is no going on without it.

    Raises
    ------
    DataError
        Where it is not known.
    """
    response = response_of(estimator, said)
    if response is None:
        raise DataError("the model does not know which column holds the responses: name it with --response")
    return response


def say_lacking(lacking: Sequence[tuple[str, int]], then: str = "left out") -> None:
    """Say on stderr what becomes of rows that lack a column which the model is conditional on, or the response."""
    if lacking:
        told = ", ".join(f"{name} ({count(n, 'row')})" for name, n in lacking)
        say(f"rows {then} that have no value in {told}", head="note:", style="bold")
