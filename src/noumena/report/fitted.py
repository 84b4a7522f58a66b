"""A fitted mixture as the drawings and tables see it: its columns, its ellipsoids, the densities of its components."""

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..core.errors import NoumenaError
from ..data.table import ArrayTable, Table
from ..estimators.column_families import CELLS
from ..estimators.mixture_fitter import double_precision
from ..models.completion import drawn_cells, expected_cells
from ..models.mixture import Mixture
from .projection import Projection
from .style import NOISE, colour

#: Families whose cells are counts.
COUNTS = ("binomial", "negative-binomial", "poisson", "zero-inflated-poisson")
#: Rows drawn from each component to find out where it lies.
_DRAWS = 200


@dataclass(frozen=True)
class Column:
    """One column, and what each component says of it.

    Attributes
    ----------
    position : int
        Among the columns of the mixture.
    name : str
    family : str
        As `Mixture` names them; ``"t"`` for Student's t distribution.
    parameters : dict
        Arrays with a leading axis of K components, in the units of the data.
    mean : array, shape (K,)
        E[x | component] of numbers; the location of a t distribution, the direction of angles.
    levels : tuple of str, or None
        Where the cells are levels: their names, in the order of their codes.
    group : tuple of int
        Positions of the columns that share out one total with it, its own included; empty unless multinomial.
    errors : dict
        Standard errors of the parameters that have some, in their form; NaN at the edge of a parameter's range.
    """

    position: int
    name: str
    family: str
    parameters: dict[str, np.ndarray]
    mean: np.ndarray
    levels: tuple[str, ...] | None = None
    group: tuple[int, ...] = ()
    errors: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def probability(self) -> np.ndarray:
        """P(level | component), shape (K, levels)."""
        given = np.asarray(self.parameters["probability"])
        return np.stack([1 - given, given], axis=1) if given.ndim == 1 else given

    @property
    def probability_error(self) -> np.ndarray:
        """Standard errors of `probability`; NaN where there are none."""
        given = np.asarray(self.errors.get("probability", np.full_like(self.parameters["probability"], np.nan)))
        return np.stack([given, given], axis=1) if given.ndim == 1 else given

    @property
    def mean_error(self) -> np.ndarray:
        """Standard errors of `mean`, where it is a parameter; else NaN."""
        for name, values in self.parameters.items():
            if np.array_equal(values, self.mean) and name in self.errors:
                return self.errors[name]
        return np.full(len(self.mean), np.nan)

    def contains(self, x: np.ndarray) -> np.ndarray:
        """Which of these values the family can take."""
        return CELLS[self.family].contains(x) if self.family in CELLS else np.isfinite(x)


@dataclass(frozen=True)
class Ellipsoids:
    """Columns of which every component is a normal or a t distribution.

    Attributes
    ----------
    columns : tuple of int
        Positions among the columns of the mixture.
    weights : array, shape (K,)
    centres : array, shape (K, d)
    scales : array, shape (K, d, d)
        Covariances; of t distributions, the scale matrices.
    degrees : array, shape (K,)
        Degrees of freedom; infinite for normals.
    dependent : bool
        Whether columns may depend on each other given the component, so that the scales are of interest as matrices.
    """

    columns: tuple[int, ...]
    weights: np.ndarray
    centres: np.ndarray
    scales: np.ndarray
    degrees: np.ndarray
    dependent: bool = True

    @property
    def radius(self) -> np.ndarray:
        """Mahalanobis distance within which 95% of each component lie in two dimensions, shape (K,).

        Its square is χ²₂ for normals, and 2 F(2, ν) for t distributions: ν (0.05^(−2/ν) − 1).
        """
        exponent = -2 * np.log(0.05) / self.degrees
        finite = np.isfinite(self.degrees)
        square = np.where(finite, np.where(finite, self.degrees, 0.0) * np.expm1(exponent), -2 * np.log(0.05))
        return np.sqrt(square)

    def marginal(self, places: np.ndarray) -> "Ellipsoids":
        """Those of some of the columns, by their place among them."""
        columns = tuple(self.columns[place] for place in places)
        scales = self.scales[:, places][:, :, places]
        return replace(self, columns=columns, centres=self.centres[:, places], scales=scales)

    def projected(self, projection: Projection) -> "Ellipsoids":
        """In the plane of a projection."""
        v = projection.directions
        flat = np.einsum("ia,kij,jb->kab", v, self.scales, v)
        return replace(self, columns=(0, 1), centres=projection(self.centres), scales=flat)


@dataclass(frozen=True)
class Fitted:
    """A fitted mixture estimator, whatever its components are.

    Attributes
    ----------
    estimator : mixture estimator
    weights : array, shape (K,)
    noise : float or None
        Weight of the background, where there is one: it follows the components, as one more.
    """

    estimator: Any
    weights: np.ndarray
    noise: float | None

    @property
    def shares(self) -> np.ndarray:
        """Weights of the components and of the background."""
        return self.weights if self.noise is None else np.append(self.weights, self.noise)

    @property
    def called(self) -> list[str]:
        """What the components and the background are called."""
        return [*map(str, range(len(self.weights))), *([] if self.noise is None else ["noise"])]

    @property
    def shades(self) -> list[str]:
        """Their colours."""
        return [*map(colour, range(len(self.weights))), *([] if self.noise is None else [NOISE])]

    @property
    def degrees(self) -> np.ndarray:
        """Degrees of freedom of the components, shape (K,): infinite but for t distributions."""
        return np.full(len(self.weights), np.inf)

    @property
    def dependent(self) -> bool:
        """Whether any columns may depend on each other given the component."""
        return False

    def rows(self, table: Table) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Row numbers, log p(x) and p(z | x), block by block, in any order; the background last."""
        for index, bound, posterior in self.estimator._rows(table):
            yield index, bound, posterior if self.noise is None else np.roll(posterior, -1, axis=1)


@dataclass(frozen=True)
class FittedMixture(Fitted):
    """A fitted mixture of densities of a table's columns, taken apart.

    Attributes
    ----------
    columns : list of Column
    ellipsoids : list of Ellipsoids
        Every column that has a normal or a t distribution is in one of them.
    """

    columns: list[Column]
    ellipsoids: list[Ellipsoids]

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return [column.name for column in self.columns]

    @property
    def degrees(self) -> np.ndarray:
        return self.ellipsoids[0].degrees if self.ellipsoids else super().degrees

    @property
    def dependent(self) -> bool:
        return any(one.dependent for one in self.ellipsoids)

    def joint_densities(self, grids: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
        """π_k p(x_j | k) of single columns, the others integrated out: the model's own E-step says it.

        Weights that depend on covariates enter by their averages.

        Parameters
        ----------
        grids : mapping
            From the position of a column to the values, shape (n,).

        Returns
        -------
        dict
            From the position to an array of shape (n, K), or (n, K + 1) with a background.
        """
        rows = np.full((sum(map(len, grids.values())), len(self.columns)), np.nan)
        ends = np.cumsum([len(grid) for grid in grids.values()])
        for (j, grid), end in zip(grids.items(), ends, strict=True):
            rows[end - len(grid) : end, j] = grid
        joint, average, model = np.empty((len(rows), len(self.shares))), copy(self.estimator), self.estimator._model
        average._model = Mixture(model.family, model.weights, model.parameters, model.active)
        for index, bound, posterior in replace(self, estimator=average).rows(ArrayTable(array=rows, names=None)):
            joint[index] = np.exp(bound)[:, None] * posterior
        return dict(zip(grids, np.split(joint, ends[:-1]), strict=True))

    def draws(self) -> np.ndarray:
        """Complete rows from each component, always the same ones, shape (K, n, d)."""
        size, (family, parameters) = len(self.weights), self.estimator._model.foreground()
        component = np.repeat(np.arange(size), _DRAWS)
        blank = np.full((len(component), len(self.columns)), np.nan)
        with double_precision():
            x = drawn_cells(family, parameters, blank, component, np.random.default_rng(0))
        return x.reshape(size, _DRAWS, -1)

    def filled(self, x: np.ndarray, posterior: np.ndarray) -> np.ndarray:
        """Rows with their missing cells replaced by what is expected of them."""
        model, first = self.estimator._model, posterior if self.noise is None else np.roll(posterior, 1, axis=1)
        with double_precision():
            return expected_cells(model.family, model.parameters, x, first)


def taken_apart(estimator: Any, what: str) -> FittedMixture:
    """The parts of a fitted mixture.

    Parameters
    ----------
    estimator : mixture estimator
    what : str
        What needs them, for the message.

    Raises
    ------
    NoumenaError
        For estimators that are no mixtures known here.
    """
    weights = getattr(estimator, "weights_", None)
    kinds = ("covariances_", "scales_", "parameters_", "probabilities_", "rates_")
    if weights is None or not any(hasattr(estimator, kind) for kind in kinds):
        raise NoumenaError(
            f"{what} needs a fitted mixture that is a density of columns, and this is a {type(estimator).__name__}"
            + ("" if weights is not None or not hasattr(estimator, "n_components") else ": call fit first")
        )
    ellipsoids = _ellipsoids(estimator)
    noise = getattr(estimator, "noise_weight_", None)
    return FittedMixture(estimator, np.asarray(weights), noise, _columns(estimator, ellipsoids), ellipsoids)


def _ellipsoids(estimator: Any) -> list[Ellipsoids]:
    weights, normal = estimator.weights_, np.full(len(estimator.weights_), np.inf)
    every = tuple(range(estimator.n_features_in_))
    if hasattr(estimator, "covariances_"):
        return [Ellipsoids(every, weights, estimator.means_, estimator.covariances_, normal)]
    if hasattr(estimator, "scales_"):
        degrees = np.asarray(estimator.degrees_of_freedom_)
        return [Ellipsoids(every, weights, estimator.locations_, estimator.scales_, degrees)]
    if not hasattr(estimator, "families_"):
        return []
    names, found, single = estimator._column_names(), [], []
    for key, family in estimator.families_.items():
        own = estimator.parameters_[key]
        if isinstance(key, tuple) and family == "normal":
            columns = tuple(names.index(name) for name in key)
            found.append(Ellipsoids(columns, weights, own["mean"], own["covariance"], normal))
        elif family == "normal":
            single.append((names.index(key), own["mean"], own["standard_deviation"]))
    if single:
        columns, means, deviations = zip(*single, strict=True)
        scales = np.stack(deviations, axis=1)[:, :, None] ** 2 * np.eye(len(single))
        found.append(Ellipsoids(columns, weights, np.stack(means, axis=1), scales, normal, dependent=False))
    return found


def _columns(estimator: Any, ellipsoids: list[Ellipsoids]) -> list[Column]:
    names, size = estimator._column_names(), len(estimator.weights_)
    family, parameters = estimator._model.foreground()
    with double_precision():
        mean = expected_cells(family, parameters, np.full((size, len(names)), np.nan), np.eye(size))
    found: dict[int, Column] = {}
    for group in ellipsoids:
        deviations = np.sqrt(np.maximum(np.einsum("kjj->kj", group.scales), 0.0))
        student = np.isfinite(group.degrees).any()
        words = ("t", "location", "scale") if student else ("normal", "mean", "standard_deviation")
        for place, j in enumerate(group.columns):
            values = (group.centres[:, place], deviations[:, place])
            found[j] = Column(j, names[j], words[0], dict(zip(words[1:], values, strict=True)), group.centres[:, place])
    for key in (key for key, family in getattr(estimator, "families_", {}).items() if family == "multinomial"):
        group, chances = tuple(map(names.index, key)), estimator.parameters_[key]["probability"]
        for j, chance in zip(group, chances.T, strict=True):
            found[j] = Column(j, names[j], "multinomial", {"probability": chance}, mean[:, j], group=group)
    levels = getattr(estimator, "levels_", {})
    for j, name in enumerate(names):
        if j in found:
            continue
        kind, own = _single(estimator, j, name)
        named = None
        if kind in ("bernoulli", "categorical"):
            named = tuple(map(level_name, levels.get(name, (0, 1))))
        found[j] = Column(j, name, kind, own, mean[:, j], named)
    return [found[j] for j in range(len(names))]


def _single(estimator: Any, j: int, name: str) -> tuple[str, dict[str, np.ndarray]]:
    """The family of a column that is in no ellipsoid, and its parameters."""
    if hasattr(estimator, "families_"):
        return estimator.families_[name], estimator.parameters_[name]
    if hasattr(estimator, "rates_"):
        return "poisson", {"rate": estimator.rates_[:, j]}
    if hasattr(estimator, "levels_"):
        return "categorical", {"probability": estimator.probabilities_[name]}
    return "bernoulli", {"probability": estimator.probabilities_[:, j]}


def with_errors(fitted: FittedMixture, errors: Any) -> FittedMixture:
    """The mixture with the standard errors that its estimator gives, sorted by column."""
    return replace(fitted, columns=[replace(one, errors=_errors(fitted, one, errors)) for one in fitted.columns])


def _errors(fitted: FittedMixture, column: Column, errors: Any) -> dict[str, np.ndarray]:
    estimator, j, name = fitted.estimator, column.position, column.name
    if hasattr(estimator, "covariances_"):
        return {"mean": errors.means[:, j]}
    if hasattr(estimator, "scales_"):
        return {"location": errors.locations[:, j]}
    if hasattr(estimator, "rates_"):
        return {"rate": errors.rates[:, j]}
    if not hasattr(estimator, "families_"):
        found = errors.probabilities
        return {"probability": found[name] if isinstance(found, dict) else found[:, j]}
    for key, own in errors.parameters.items():
        if isinstance(key, tuple) and name in key:
            word = "probability" if column.group else "mean"
            return {word: own[word][:, key.index(name)]}
    return errors.parameters[name]


def level_name(level: Any) -> str:
    """A level as it is written: whole numbers without a point.

    >>> level_name(2.0), level_name("yes")
    ('2', 'yes')
    """
    return str(int(level)) if isinstance(level, float) and level.is_integer() else str(level)
