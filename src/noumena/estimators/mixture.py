"""Mixtures over tables of mixed kinds: a family for each column or group of columns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..core.errors import DataError
from ..data.coded import Columns, Levels, holds_numbers, levels_of
from ..data.columns import positions
from ..data.table import Table
from ..families.categorical import Categorical
from ..families.cells import Cells
from ..families.covariance import Structure
from ..families.diagonal_normal import DiagonalNormal, covariance_of
from ..families.family import Family
from ..families.multinomial import Multinomial
from ..families.normal import Normal
from ..families.product import Product
from ..families.with_noise import Kind
from .column_families import CELLS, CODED, CONTINUOUS, COUNTED, Part, cells_of, inferred, named, normal_of, parts
from .mixture_fitting import Problem
from .tabular import TabularMixture


class Mixture(TabularMixture):
    """Mixture over a table of mixed kinds: measurements, counts, categories, durations side by side.

    Given the component, columns are independent, but for groups of columns that share a multivariate normal or a
    multinomial distribution. Missing cells, in any pattern, are integrated out exactly; those of a multinomial group
    are missing together.

    Parameters
    ----------
    families : mapping, optional
        From a column (name or position), or a tuple of columns, to the name of a family: ``"normal"``,
        ``"log-normal"``, ``"gamma"``, ``"exponential"``, ``"beta"``, ``"von-mises"``, ``"poisson"``,
        ``"negative-binomial"``, ``"zero-inflated-poisson"``, ``"binomial"``, ``"bernoulli"``, ``"categorical"``.
        ``("binomial", m)`` says the number of trials, which is else the largest count. A tuple of columns with
        ``"normal"`` is one multivariate normal, with ``"multinomial"`` one total shared out over them; other columns
        of the table take no part. None takes every column, with a family by its type and values: truth values and
        columns of only 0 and 1 are Bernoulli, text and categories categorical, whole numbers that begin at 0 or 1 and
        average 20 at most Poisson, all else normal; ``families_`` shows the choice.
    n_components : int, default=1
        K.
    covariance : str, default="VVV"
        What the covariances of multivariate groups share, as in `GaussianMixture`.
    covariates : sequence of column names or positions, optional
        Columns that the weights depend on, by a multinomial logistic regression, and that are no part of the density.
        Numbers, or categories, without missing cells.
    noise : {"box", "hull"}, optional
        One more component, uniform over the box of the data (any columns), or over their convex hull (complete rows of
        up to 8 columns of real numbers), for rows that belong to no other (Banfield & Raftery 1993).
    prior : "default", optional
        One row of the table's own averages for each component (a conjugate prior), and the weak prior of Fraley &
        Raftery (2007) for normals: the fit is then maximum a posteriori.
    n_init : int, default=1
        Number of starts, side by side: first as short runs, then the best quarter to convergence.
    init_params : {"kmeans", "hierarchical", "random"} or array, default="kmeans"
        As in `GaussianMixture`, of 20,000 rows at most, also where it is an array; categories enter as indicators.
    tol : float, default=1e-4
        Projected remaining gain in total log likelihood, in nats, at which the fit has converged.
    max_iter : int, default=1000
    accelerate : {"squarem", "anderson", None}, default="squarem"
    random_state : int, RandomState or None
    verbose : int, default=0

    Attributes
    ----------
    weights_ : array, shape (K,)
        Averages where there are covariates.
    noise_weight_ : float
        Of the noise, where there is one.
    membership_coef_, membership_intercept_ : array, shapes (K, q) and (K,)
        With covariates: log odds of each component against the first (against the noise, where there is one).
    membership_names_ : tuple of str
        What each slope belongs to: ``age``, ``sex[male]``.
    families_ : dict
        From each column, or tuple of columns, to its family's name.
    levels_ : dict
        From each coded column to its levels, in the order of the probabilities.
    trials_ : dict
        From each binomial column to its number of trials.
    parameters_ : dict
        From each column, or tuple of columns, to a dict of arrays with a leading axis of components, in the units of
        the data.
    log_likelihood_, n_parameters_, trace_, status_, converged_, n_iter_
        As in `GaussianMixture`.

    Examples
    --------
    >>> import noumena as nm
    >>> import pyarrow as pa
    >>> table = pa.table({"visits": [0, 1, 0, 9, 8, 11, 1, 10], "smoker": list("nnnyyyny")})
    >>> mixture = nm.Mixture({"visits": "poisson", "smoker": "categorical"}, n_components=2, random_state=0).fit(table)
    >>> sorted(mixture.parameters_["visits"]["rate"].round(1).tolist())
    [0.5, 9.5]
    """

    def __init__(
        self,
        families: Mapping[Any, str | tuple[str, int]] | None = None,
        n_components: int = 1,
        *,
        covariance: str = "VVV",
        covariates: Sequence[str | int] | None = None,
        noise: str | None = None,
        prior: str | None = None,
        n_init: int = 1,
        init_params: Any = "kmeans",
        tol: float = 1e-4,
        max_iter: int = 1000,
        accelerate: str | None = "squarem",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.families = families
        self.n_components = n_components
        self.covariance = covariance
        self.covariates = covariates
        self.noise = noise
        self.prior = prior
        self.n_init = n_init
        self.init_params = init_params
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.random_state = random_state
        self.verbose = verbose

    def _understand(self, columns: Columns) -> list[int]:
        self._trials: dict[int, int] = {}
        if self.families is None:
            places = self._no_covariates(columns)
            columns = columns.select(places)
            self._parts = parts({(j,): inferred(array) for j, array in enumerate(columns.arrays)}, {})
        else:
            wanted, self._parts, self._trials = named(self.families)
            places = positions(wanted, columns.names, len(columns.arrays))
            both = [columns.described(j) for j in places if j not in self._no_covariates(columns)]
            if both:
                raise ValueError(f"{', '.join(both)} is a covariate and has a family: name it in one of the two")
            columns = columns.select(places)
        levels: dict[int, Levels] = {}
        for part in self._parts:
            for j in part.columns if part.family in CODED else ():
                if part.family == "categorical" or not holds_numbers(columns.arrays[j]):
                    levels[j] = levels_of(columns.arrays[j], columns.described(j))
                if part.family == "bernoulli" and j in levels and len(levels[j]) > 2:
                    raise DataError(
                        f"{columns.described(j)} has {len(levels[j])} levels ({', '.join(map(repr, levels[j][:5]))}), "
                        'which is more than Bernoulli columns have: give it the family "categorical"'
                    )
        self._codes = levels
        return places

    def _kinds(self) -> tuple[Kind, ...]:
        if any(part.family == "multinomial" for part in self._parts):
            raise ValueError(
                f"noise={self.noise!r} beside a multinomial group: the group's density is given the row's total, "
                "that of noise is not; leave one of the two out"
            )
        of: dict[int, Kind] = {}
        for part in self._parts:
            kind: Kind = "count" if part.family in COUNTED else "number"
            if part.family == "categorical":
                kind = "category"
            of.update(dict.fromkeys(part.columns, kind))
        return tuple(of[j] for j in range(self.n_features_in_))

    def _supports(self) -> list[tuple[type[Cells | Multinomial], tuple[int, ...]]]:
        kinds = {**CELLS, "multinomial": Multinomial}
        return [(kinds[part.family], part.columns) for part in self._parts if part.family in kinds]

    def _check_values(self, table: Table) -> None:
        super()._check_values(table)
        names, start = self._column_names(), 0
        groups = [list(part.columns) for part in self._parts if part.family == "multinomial"]
        for slab in table.slabs() if groups or self._trials else ():
            for j, trials in self._trials.items():
                for row in np.flatnonzero(slab[:, j] > trials):
                    raise DataError(
                        f"column {names[j]!r} holds {slab[row, j]:g} successes at row {start + row}, more than its "
                        f"{trials} trials: correct the cell, mark it as missing, or fit with the number of trials, "
                        f'{{{names[j]!r}: ("binomial", {slab[row, j]:g})}}'
                    )
            for own in groups:
                hole = np.isnan(slab[:, own])
                for row in np.flatnonzero(hole.any(axis=1) & ~hole.all(axis=1)):
                    gone, there = ([repr(names[own[i]]) for i in np.flatnonzero(w)] for w in (hole[row], ~hole[row]))
                    raise DataError(
                        f"row {start + row} has no count in {', '.join(gone)}, but has one in {', '.join(there)}: "
                        "columns of one multinomial group share out one total, so fill in the counts (0 where there "
                        "was none), or mark all of them as missing"
                    )
            start += len(slab)

    def _check_columns(self, problem: Problem) -> None:
        super()._check_columns(problem)
        names, summary = self._column_names(), problem.summary
        for part in self._parts:
            for j in part.columns if part.family == "binomial" else ():
                self._trials.setdefault(j, max(int(summary.maximum[j]), 1))
        for part in self._parts:
            for j in part.columns if part.family in CONTINUOUS else ():
                if summary.minimum[j] == summary.maximum[j]:
                    raise DataError(
                        f"column {names[j]!r} is constant (always {summary.minimum[j]:g}), so that its density has no "
                        "maximum: leave it out (it tells no rows apart)"
                    )

    def _family_for(self, problem: Problem) -> Callable[[int], Family]:
        if self.prior not in (None, "default"):
            raise ValueError(f'prior={self.prior!r}: choose "default" or None')
        structure, summary = Structure.named(self.covariance), problem.summary
        sample = problem.sample()
        fixed = {
            part: cells_of(part, sample[:, list(part.columns)], self._codes, self._trials, self.prior)
            for part in self._parts
            if part.family != "normal"
        }

        def family(size: int) -> Family:
            made = [
                fixed[part]
                if part in fixed
                else normal_of(part, structure, summary.mean, summary.variance, size, self.prior)
                for part in self._parts
            ]
            return Product(tuple(made), tuple(part.columns for part in self._parts))

        return family

    def _family_name(self) -> str:
        return "+".join(dict.fromkeys(part.family for part in self._parts))

    def _sized(self) -> bool:
        return self.prior is not None and any(part.family == "normal" for part in self._parts)

    @property
    def levels_(self) -> dict[str, Levels]:
        """From each coded column to its levels, in the order of the probabilities."""
        check_is_fitted(self)
        names = self._column_names()
        return {names[j]: levels for j, levels in self._codes.items()}

    @property
    def trials_(self) -> dict[str, int]:
        """From each binomial column to its number of trials."""
        check_is_fitted(self)
        names = self._column_names()
        return {names[j]: trials for j, trials in self._trials.items()}

    @property
    def families_(self) -> dict[Any, str]:
        """From each column, or tuple of columns, to its family's name."""
        check_is_fitted(self)
        return {key: part.family for part, key, _ in self._keys()}

    def _keys(self) -> Iterator[tuple[Part, Any, int]]:
        """Each part with each of its keys in ``parameters_``, and the key's place among the part's columns."""
        names = self._column_names()
        for part in self._parts:
            if part.joint:
                yield part, tuple(names[j] for j in part.columns), 0
            else:
                yield from ((part, names[j], own) for own, j in enumerate(part.columns))

    def _described(self, family: Family, reported: Any) -> dict[str, Any]:
        assert isinstance(family, Product)
        of_part = dict(zip(self._parts, zip(family.parts, reported, strict=True), strict=True))
        return {"parameters": {key: self._of_key(part, own, *of_part[part]) for part, key, own in self._keys()}}

    def _of_key(self, part: Part, own: int, family: Family, reported: dict[str, Any]) -> dict[str, np.ndarray]:
        if isinstance(family, Normal | DiagonalNormal) and part.joint:
            return {"mean": reported["mean"], "covariance": covariance_of(reported)}
        if part.joint:
            return dict(reported)
        found = {name: array[:, own] for name, array in reported.items() if name != "variance"}
        if isinstance(family, Categorical):
            found["probability"] = found["probability"][:, : len(self._codes[part.columns[own]])]
        return found

    def _to_state(self) -> dict[str, Any]:
        return super()._to_state() | {
            "parts": [[part.family, part.columns, part.joint] for part in self._parts],
            "trials": list(self._trials.items()),
        }

    def _from_state(self, state: dict[str, Any]) -> None:
        self._parts = [Part(family, columns, joint) for family, columns, joint in state["parts"]]
        self._trials = dict(state["trials"])
        super()._from_state(state)
