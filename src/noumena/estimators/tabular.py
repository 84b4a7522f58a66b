"""Mixtures over tables of mixed kinds: reading, completing and sampling rows whose cells may be categories."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.utils.validation import check_is_fitted

from ..core.errors import ColumnMismatchError, DataError
from ..data.coded import Columns, Levels, coded, decoded, read_columns
from ..data.columns import positions
from ..data.design import Design
from ..data.output import table_like, table_of
from ..data.table import Table
from ..families.categorical import Categorical
from ..families.cells import Cells
from ..families.design import DesignFrame
from ..families.multinomial import Multinomial
from ..families.product import Product
from ..models.completion import drawn_cells, expected_cells, level_probabilities
from .inputs import adopt_columns, check_least_rows, refuse_sparse
from .mixture_estimator import MixtureEstimator
from .mixture_fitting import Problem
from .parameters import integer


class CompletingMixture(MixtureEstimator):
    """Base of the mixtures that sample and impute through their family."""

    #: From the position of a column of categories to its levels.
    _codes: Mapping[int, Levels] = MappingProxyType({})

    def _table(self, X: Any) -> Table:
        table = super()._table(X)
        self._check_values(table)
        return table

    def _check_values(self, table: Table) -> None:
        """Refuse values outside the support of their column's family.

        Raises
        ------
        DataError
            Naming the column, the value and its row.
        """
        names, start = self._column_names(), 0
        supports = [(kind, [j for j in columns if j not in self._codes]) for kind, columns in self._supports()]
        for slab in table.slabs() if any(columns for _, columns in supports) else ():
            for kind, columns in supports:
                own = slab[:, columns]
                bad = ~(np.isnan(own) | kind.contains(own))
                if bad.any():
                    row, place = np.argwhere(bad)[0]
                    raise DataError(
                        f"column {names[columns[place]]!r} holds {own[row, place]:g} at row {start + row}, but its "
                        f"family, {kind.__name__}, takes {kind.support}: give the column another family, or mark the "
                        "cell as missing"
                    )
            start += len(slab)

    def _supports(self) -> list[tuple[type[Cells | Multinomial], tuple[int, ...]]]:
        """Families with the columns that must lie in their support."""
        return []

    def _check_columns(self, problem: Problem) -> None:
        names = self._column_names()
        empty = [repr(name) for name, weight in zip(names, problem.summary.observed, strict=True) if weight == 0]
        if empty:
            raise DataError(f"column {', '.join(empty)} has no observed value in any row: leave it out")
        self._check_values(problem.table)

    def _degenerate_message(self, problem: Problem) -> str:
        told = []
        family, parameters = self._model.foreground()
        for k in np.flatnonzero(np.asarray(family.collapsed(parameters))):
            rows = self.weights_[k] * problem.summary.total_weight
            told.append(f"component {k} ({rows:.1f} rows) lost its rows, or collapsed onto a single value")
        return "; ".join(told) + ': use fewer components or prior="default"'

    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[Any, np.ndarray]:
        """Draw rows from the mixture.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState or None
            The estimator's own where None.

        Returns
        -------
        X : array, shape (n_samples, d), or pyarrow.Table
            A table where columns have names or levels.
        components : array of int, shape (n_samples,)
        """
        check_is_fitted(self)
        n, rng = integer("n_samples", n_samples, 1), self._rng(random_state)
        weights = self._model.weights
        component = rng.choice(len(weights), size=n, p=weights)
        x = drawn_cells(
            self._model.family, self._model.parameters, np.full((n, self.n_features_in_), np.nan), component, rng
        )
        if self._codes or hasattr(self, "feature_names_in_"):
            x = pa.table(self._columns(x))
        return x, component - self._model.family.background

    def impute(self, X: Any, *, draws: int | None = None, random_state: Any = None) -> Any:
        """Fill the missing cells.

        Parameters
        ----------
        X : table
        draws : int, optional
            Number of completed tables with missing cells drawn from p(missing | observed), for multiple imputation.
            None fills in expected values, and the most probable level of categories.
        random_state : int, RandomState or None
            The estimator's own where None.

        Returns
        -------
        table or list of tables
            The columns of the model, in the kind of table that was passed (pyarrow where that is a path or array with
            categories); a list where ``draws`` is given.
        """
        table = self._table(X)
        x, posterior = table.to_array(), self._posterior(table)
        family, parameters = self._model.family, self._model.parameters
        if draws is None:
            return self._like(X, expected_cells(family, parameters, x, posterior))
        rng = self._rng(random_state)
        cumulative = np.cumsum(posterior, axis=1)
        filled = []
        for _ in range(integer("draws", draws, 1)):
            u = rng.random((len(x), 1)) * cumulative[:, -1:]
            component = np.minimum((u >= cumulative).sum(axis=1), posterior.shape[1] - 1)
            filled.append(self._like(X, drawn_cells(family, parameters, x, component, rng)))
        return filled

    def _columns(self, x: np.ndarray) -> dict[str, Any]:
        names = self._column_names()
        return {names[j]: decoded(x[:, j], self._codes[j]) if j in self._codes else x[:, j] for j in range(len(names))}

    def _like(self, X: Any, x: np.ndarray) -> Any:
        if self._codes:
            return table_of(X, self._columns(x))
        return table_like(X, x, self._column_names())


class TabularMixture(CompletingMixture):
    """Base of the mixtures whose tables may hold text, categories and counts; such tables are read into memory.

    Subclasses set ``_codes``.
    """

    #: Columns that the weights depend on.
    covariates: Sequence[str | int] | None = None
    _design: Design | None = None

    @abc.abstractmethod
    def _understand(self, columns: Columns) -> list[int]:
        """Which columns the mixture is a density of; sets ``_codes``, by their position among these.

        Parameters
        ----------
        columns : Columns
            All of the table.
        """

    def _read(self, X: Any) -> Table:
        refuse_sparse(self, X)
        columns = read_columns(X)
        self._design = None
        if self.covariates is not None:
            self._design = Design.of(columns, self.covariates, True, "covariate")
        self._places, self._n_columns_seen = self._understand(columns), len(columns.arrays)
        if not self._places:
            raise DataError("every column is a covariate: leave at least one to the mixture")
        own = columns.select(self._places)
        adopt_columns(self, len(self._places), own.names)
        table = self._joined(own, columns)
        check_least_rows(table.n_rows, table.n_columns, 2)
        return table

    def _no_covariates(self, columns: Columns) -> list[int]:
        """The positions of all columns that are no covariates."""
        if self.covariates is None:
            return list(range(len(columns.arrays)))
        taken = positions(self.covariates, columns.names, len(columns.arrays))
        return [j for j in range(len(columns.arrays)) if j not in taken]

    def _joined(self, own: Columns, columns: Columns) -> Table:
        """Numbers and codes of the mixture's columns, given the covariates."""
        table = coded(own, self._codes)
        return table if self._design is None else replace(table, given=self._design.matrix(columns, "covariate"))

    def _gate(self, problem: Problem) -> DesignFrame | None:
        given = problem.table.given
        return None if given is None else DesignFrame.of(given, tuple(range(given.shape[1])), True, problem.weight)

    @property
    def membership_names_(self) -> tuple[str, ...]:
        """What each slope of the membership belongs to; none without covariates."""
        check_is_fitted(self)
        return () if self._design is None else self._design.names

    def _table(self, X: Any) -> Table:
        check_is_fitted(self)
        refuse_sparse(self, X)
        columns, names = read_columns(X), getattr(self, "feature_names_in_", None)
        if names is not None and columns.names is not None:
            own = columns.select(list(names))
        elif len(columns.arrays) == self._n_columns_seen:
            own = columns.select(self._places)
        elif len(columns.arrays) == self.n_features_in_ and self._design is None:
            own = columns
        else:
            raise ColumnMismatchError(
                f"X has {len(columns.arrays)} features, but {type(self).__name__} is expecting {self._n_columns_seen} "
                "features as input."
            )
        table = self._joined(own, columns)
        self._check_values(table)
        return table

    def impute_proba(self, X: Any) -> dict[Any, np.ndarray]:
        """p(level | observed cells) of every categorical column, observed or not.

        Returns
        -------
        dict
            From the column to an array of shape (n_rows, levels), in the order of ``levels_``. An observed cell has
            probability 1 at its level.
        """
        table = self._table(X)
        x, posterior = table.to_array(), self._posterior(table)
        names, found, background = self._column_names(), {}, self._model.family.background
        for family, parameters, columns in self._cell_parts():
            if not isinstance(family, Categorical):
                continue
            chance = level_probabilities(parameters, posterior[:, background:])
            for own, j in enumerate(columns):
                count = family.levels[own]
                chance[:, own, :count] += posterior[:, :background].sum(axis=1, keepdims=True) / count
                seen = x[:, j : j + 1] == np.arange(count)
                found[names[j]] = np.where(np.isnan(x[:, j : j + 1]), chance[:, own, :count], seen)
        return found

    def _cell_parts(self) -> list[tuple[Any, Any, tuple[int, ...]]]:
        """Each part's family and parameters, with its columns."""
        family, parameters = self._model.foreground()
        if isinstance(family, Product):
            return list(zip(family.parts, parameters.parts, family.columns, strict=True))
        return [(family, parameters, tuple(range(self.n_features_in_)))]

    def _to_state(self) -> dict[str, Any]:
        return super()._to_state() | {
            "codes": [[j, list(own)] for j, own in self._codes.items()],
            "design": self._design,
            "places": self._places,
            "n_columns_seen": self._n_columns_seen,
        }

    def _from_state(self, state: dict[str, Any]) -> None:
        self._codes = {j: tuple(levels) for j, levels in state["codes"]}
        self._design, self._places = state["design"], state["places"]
        self._n_columns_seen = state["n_columns_seen"]
        super()._from_state(state)
