"""Covariates as numbers: an intercept, columns of numbers as they are, categories as indicators of their levels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import DataError
from .coded import Columns, Levels, holds_numbers, levels_of
from .columns import arrow_holds_numbers, from_arrow, positions

#: A column of which the others leave less than this share of its variance is determined by them.
_DETERMINED = 1e-10


@dataclass(frozen=True)
class Design:
    """How covariates become the columns of a regression; a category's first level is the reference.

    Attributes
    ----------
    columns : tuple of str or int
        Names, or positions where the table had no names.
    places : tuple of int
        Their positions, for tables without names.
    levels : tuple
        The levels of each column, None where it holds numbers.
    intercept : bool
        Whether a first column of ones belongs to it.
    """

    columns: tuple[str | int, ...]
    places: tuple[int, ...]
    levels: tuple[Levels | None, ...]
    intercept: bool

    @classmethod
    def of(
        cls,
        columns: Columns,
        wanted: Sequence[str | int] | str | None,
        intercept: bool,
        role: str,
        *,
        check: bool = True,
    ) -> "Design":
        """The design of some columns of a table, checked on that table unless the caller does it.

        Raises
        ------
        DataError
            For a missing cell, a column of one value, or columns that determine each other; names them and the
            ``role`` that they play.
        """
        places = positions(wanted, columns.names, len(columns.arrays))
        own = columns.select(places)
        names = tuple(places) if own.names is None else own.names
        levels = []
        for j, array in enumerate(own.arrays):
            # truth values are numbers 0 and 1; declared categories of numbers are categories
            numbers = holds_numbers(array) or str(array.type) == "bool"
            levels.append(None if numbers and arrow_holds_numbers(array.type) else levels_of(array, own.described(j)))
        design = cls(names, tuple(places), tuple(levels), intercept)
        if check:
            design._check(design.matrix(columns, role), role)
        return design

    @property
    def names(self) -> tuple[str, ...]:
        """Of each column of `matrix`, the intercept's left out: ``age``, ``sex[male]``."""
        found: list[str] = []
        for column, levels in zip(self.columns, self.levels, strict=True):
            name = column if isinstance(column, str) else f"x{column}"
            found += [name] if levels is None else [f"{name}[{level}]" for level in levels[1:]]
        return tuple(found)

    def matrix(self, columns: Columns, role: str = "covariate", holes: bool = False) -> np.ndarray:
        """The design matrix of a table, shape (n_rows, p); where ``holes`` may be, missing numbers are NaN.

        Raises
        ------
        ColumnMismatchError
            Where the table lacks a column.
        DataError
            For a missing cell or a level that was not there at the fit; names column and row.
        """
        own = columns.select(list(self.places if columns.names is None else self.columns))
        parts = [np.ones((columns.n_rows, 1))] if self.intercept else []
        for j, (array, levels) in enumerate(zip(own.arrays, self.levels, strict=True)):
            found = _indicators(array, levels, own.described(j)) if levels else from_arrow(array)[:, None]
            bad = ~np.isfinite(found).all(axis=1)
            if holes and bad.any():
                if levels is not None or str(array.type) == "bool":
                    raise DataError(
                        f"{own.described(j)} is missing at row {int(np.flatnonzero(bad)[0])}, but it is a category, "
                        "and categories are not normal: fill it in first (noumena's impute can), or leave the row out"
                    )
                bad = np.isinf(found[:, 0])
            if bad.any():
                raise DataError(
                    f"{own.described(j)} is missing or infinite at row {int(np.flatnonzero(bad)[0])}, but it is a "
                    f"{role}, which the model is conditional on: fill it in first (noumena's impute can), or leave the "
                    "row out"
                )
            parts.append(found)
        return np.concatenate(parts, axis=1) if parts else np.empty((columns.n_rows, 0))

    def _check(self, matrix: np.ndarray, role: str) -> None:
        names = [f"{name!r}" for name in self.names]
        own = matrix[:, int(self.intercept) :]
        for name, column in zip(names, own.T, strict=True):
            if np.all(column == column[0]):
                raise DataError(f"{role} {name} is constant (always {column[0]:g}): leave it out")
        if not names:
            return
        centred = own - own.mean(axis=0) if self.intercept else own
        unit = centred / np.sqrt(np.mean(centred**2, axis=0))
        gram = unit.T @ unit / len(unit)
        for j in range(1, len(names)):
            slopes = np.linalg.lstsq(gram[:j, :j], gram[:j, j], rcond=None)[0]
            if gram[j, j] - slopes @ gram[:j, j] < _DETERMINED:
                raise DataError(
                    f"{role} {names[j]} is determined by the others ({', '.join(names[:j])}): leave one of them out"
                )


def _indicators(array: object, levels: Levels, column: str) -> np.ndarray:
    from .coded import codes

    code = codes(array, levels, column)
    return np.where(np.isnan(code)[:, None], np.nan, code[:, None] == np.arange(1, len(levels)))
