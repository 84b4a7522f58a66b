"""From a checked table to fitted mixtures: frame, starts, blocks, loop. One or many numbers of components at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ..core.expectation import maximisation
from ..core.fit import Progress
from ..core.lanes import stack
from ..core.restarts import fit_best
from ..core.result import Fit
from ..data.source import Source
from ..data.summary import Summary
from ..data.table import ArrayTable, Table
from ..families.design import DesignFrame
from ..families.family import Family
from ..families.with_noise import NoisyParameters
from ..models.gated_mixture import Gate, GatedMixture
from ..models.mixture import Mixture, MixtureNatural
from ..models.starts import Method, responsibilities

#: Starts are looked for on at most so many rows, and on fewer of a table with many columns: so many cells, but no fewer
#: than the least number of rows.
START_ROWS, _START_CELLS, _LEAST_START_ROWS = 20_000, 2_000_000, 2_000
#: Starts after the first look at fewer rows, so that all of them together look at `START_ROWS`; but at no fewer than
#: the least number, nor than so many for each component.
_ROWS_PER_COMPONENT = 50
#: Numbers a piece may hold: 1.6 MB, which the caches near the cores take.
_PIECE_NUMBERS = 150_000
#: Rows are merged where so many of them have fewer different ones than this share.
_MERGE_SAMPLE, _MERGE_SHARE = 2_000, 0.5
#: What a start gives the background of every row.
_BACKGROUND_SHARE = 0.1
#: What starts after the first are found by, in turn.
_FURTHER: tuple[Method, ...] = ("kmeans", "seeds", "random", "seeds")


@dataclass(frozen=True)
class Problem:
    """A checked table with what a fit needs to know of it."""

    table: Table
    summary: Summary
    weight: np.ndarray | None
    label: np.ndarray | None

    def blocks(self, family: Family, width: int) -> Source:
        """The rows as the E-step takes them, in pieces that suit ``width`` components of a family side by side."""
        label = self.label
        if label is not None and family.background:
            label = np.where(label < 0, label, label + family.background).astype(label.dtype)
        return Source(
            self.table,
            self.summary,
            lambda missing: _rows_per_piece(family, width, missing),
            weight=self.weight,
            label=label,
            coupled=family.coupled(self.table.n_columns),
        )

    def sample(self) -> np.ndarray:
        """Some rows, the same ones at every call: what a family learns of its columns from."""
        return _sample(self, None, np.random.default_rng(0)).x


def merged(problem: Problem) -> Problem:
    """The problem with identical rows as one, of their summed weight; as it is where that saves little."""
    table = problem.table
    few = _keys(problem.sample()[:_MERGE_SAMPLE])
    if len(np.unique(few)) > _MERGE_SHARE * len(few):
        return problem
    x = table.to_array()
    label = np.full(len(x), -1.0) if problem.label is None else problem.label
    given = np.empty((len(x), 0)) if table.given is None else table.given
    both = np.column_stack([x, given, label])
    _, first, which = np.unique(_keys(both), return_index=True, return_inverse=True)
    rows = both[first]
    weight = np.bincount(which.ravel(), problem.weight, minlength=len(rows))
    d = table.n_columns
    covariates = None if table.given is None else np.ascontiguousarray(rows[:, d:-1])
    smaller = ArrayTable(array=np.ascontiguousarray(rows[:, :d]), names=table.names, given=covariates)
    known = None if problem.label is None else rows[:, -1].astype(np.int32)
    return Problem(smaller, replace(problem.summary, n_rows=len(rows)), weight.astype(float), known)


def _keys(rows: np.ndarray) -> np.ndarray:
    """One comparable value for each row, the same for the same cells; a missing cell equals a missing cell."""
    same = np.ascontiguousarray(np.where(np.isnan(rows), np.nan, rows) + 0.0)  # one NaN, and no −0
    return same.view(np.dtype((np.void, same.itemsize * same.shape[1]))).ravel()


@dataclass(frozen=True)
class Settings:
    """How to fit: the estimator's parameters, checked.

    Attributes
    ----------
    family : callable
        From a number of components to the family.
    name : str
        What tells this family from others in a sweep (the covariance structure, say).
    sized : bool
        Whether the family differs between numbers of components, so that these cannot run side by side.
    given : Given, optional
        Parameters to start from.
    gate : DesignFrame, optional
        The covariates that the weights depend on.
    """

    family: Callable[[int], Family]
    name: str
    sized: bool
    n_init: int
    init_params: Any  # a Method, or an array
    tol: float
    max_iter: int
    accelerate: str | None
    progress: Progress | None = None
    given: "Given | None" = None
    gate: DesignFrame | None = None


@dataclass(frozen=True)
class Given:
    """Parameters to start from, in place of those found.

    Attributes
    ----------
    weights : array, shape (K,), optional
    parameters : callable, optional
        From the parameters of a start, with its family, to those to use.
    centres : array, shape (K, d), optional
        Points that rows are first assigned to.
    """

    weights: np.ndarray | None = None
    parameters: Callable[[Family, Any], Any] | None = None
    centres: np.ndarray | None = None


def _rows_per_piece(family: Family, width: int, missing: int) -> int:
    """A power of two, so that few shapes occur."""
    wanted = _PIECE_NUMBERS / family.footprint(width, missing)
    # matrix products of fewer rows are slow
    return int(np.clip(2 ** round(np.log2(wanted)), 64 if missing else 256, 16_384))


def fit_mixtures(
    problem: Problem, settings: Settings, sizes: Sequence[int], rng: np.random.Generator
) -> dict[int, Fit]:
    """The best fit for each number of components; all of them run side by side, padded to the largest.

    Where the family depends on the number of components (by its prior), each size is a run of its own.
    """
    if settings.sized and len(sizes) > 1:
        return {size: fit_mixtures(problem, settings, [size], rng)[size] for size in sizes}
    most = max(sizes)
    family = settings.family(most)
    sample = _sample(problem, family, rng)
    most += family.background
    n_init = 1 if _fully_given(settings) else settings.n_init
    lanes, stats, groups = [], [], []
    seed = int(rng.integers(2**31))
    for size in sizes:
        own = np.random.default_rng([seed, size])  # a size starts alike in a sweep and by itself
        blank = _blank(family, settings.gate, size + family.background, most)
        for attempt in range(n_init if size + family.background > 1 else 1):  # one component has one start
            lanes.append(blank)
            few = max(START_ROWS // n_init, _LEAST_START_ROWS, _ROWS_PER_COMPONENT * size)
            seen = sample if attempt == 0 else sample.fewer(few, own)
            stats.append(_start(blank, settings, seen, size, attempt, own))
            groups.append(size)
    start = jax.tree.map(lambda *parts: np.stack(parts), *stats)
    models = maximisation(stack(lanes), start)[0]
    if settings.given is not None:
        assert isinstance(models, Mixture)
        models = _overridden(models, settings.given)
    return fit_best(
        models,
        np.array(groups),
        problem.blocks(family, most * len(lanes)),
        max_iter=settings.max_iter,
        tol=settings.tol,
        accelerate=settings.accelerate,
        start=None if settings.given is not None else start,
        progress=settings.progress,
    )


def _blank(family: Family, gate: DesignFrame | None, size: int, most: int) -> Mixture:
    active = np.arange(most) < size
    plain = Mixture(family, np.where(active, 1 / size, 0.0), family.initial(most), active)
    if gate is None:
        return plain
    blank = Gate(gate, np.zeros((most, gate.size)))
    return GatedMixture(plain.family, plain.weights, plain.parameters, plain.active, blank)


@dataclass(frozen=True)
class _Sample:
    """Rows that starts are found on.

    Attributes
    ----------
    x, given : array
        Their cells, and their covariates if there are any.
    points : array
        What distances are taken of, standardised.
    weight, label : array, shape (n,)
    rows : array of int, shape (n,)
        Their numbers in the table.
    share : float
        Of the table's total weight.
    """

    x: np.ndarray
    given: np.ndarray | None
    points: np.ndarray
    weight: np.ndarray
    label: np.ndarray
    rows: np.ndarray
    share: float

    def fewer(self, most: int, rng: np.random.Generator) -> "_Sample":
        """At most so many of the rows, at random; all of them where some components are known."""
        if len(self.rows) <= most or (self.label >= 0).any():
            return self
        chosen = np.sort(rng.choice(len(self.rows), most, replace=False))
        given = None if self.given is None else self.given[chosen]
        weight = self.weight[chosen]
        share = self.share * float(weight.sum() / self.weight.sum())
        label, rows = self.label[chosen], self.rows[chosen]
        return _Sample(self.x[chosen], given, self.points[chosen], weight, label, rows, share)


def _sample(problem: Problem, family: Family | None, rng: np.random.Generator) -> _Sample:
    """Rows to find starts on: all of them, or a random part of a large table."""
    table, n = problem.table, problem.table.n_rows
    rows = np.arange(n)
    if problem.weight is not None:
        rows = rows[problem.weight > 0]
    most = min(max(_START_CELLS // table.n_columns, _LEAST_START_ROWS), START_ROWS)
    if len(rows) > most:
        rows = np.sort(rng.choice(rows, most, replace=False))
    parts, start = [], 0
    for slab in table.slabs():
        stop = start + len(slab)
        low, high = np.searchsorted(rows, [start, stop])
        parts.append(slab[rows[low:high] - start])
        start = stop
    weight = np.ones(len(rows)) if problem.weight is None else problem.weight[rows]
    label = np.full(len(rows), -1) if problem.label is None else problem.label[rows]
    given = None if table.given is None else table.given[rows]
    share = float(weight.sum()) / problem.summary.total_weight
    x = np.concatenate(parts)
    points = x if family is None else family.embedding(x, given)
    location, scale = _spread(points, weight)
    return _Sample(x, given, (points - location) / scale, weight, label, rows, share)


def _start(
    blank: Mixture,
    settings: Settings,
    sample: _Sample,
    size: int,
    attempt: int,
    rng: np.random.Generator,
) -> MixtureNatural:
    """Statistics of one start, scaled up to the whole table."""
    family, most = blank.family, len(blank.active)
    if not isinstance(settings.init_params, str):
        given = np.asarray(settings.init_params)
        shares = np.eye(size)[given.astype(int)] if given.ndim == 1 else given.astype(float)
        r = shares[sample.rows] * sample.weight[:, None]
    elif settings.given is not None and settings.given.centres is not None:
        location, scale = _spread(sample.x, sample.weight)
        u, centres = (sample.x - location) / scale, (settings.given.centres - location) / scale
        near = np.stack([np.nansum((u - centre) ** 2, axis=1) for centre in centres]).argmin(axis=0)
        # a trace of every row, so that no component is without any
        r = np.eye(size)[near] * sample.weight[:, None] + 1e-3 / size
    else:
        # more starts of one method would mostly lead to one optimum, or (agglomeration) be one start
        method: Any = settings.init_params if attempt == 0 else _FURTHER[attempt % len(_FURTHER)]
        r = responsibilities(method, sample.points, sample.weight, sample.label, size, rng)
    if isinstance(settings.init_params, str):
        r = (1 - family.blur) * r + family.blur * r.sum(axis=1, keepdims=True) / size
    if family.background and r.shape[1] == size:
        # it takes a little of every row, and soon more of those far from all components
        r = np.column_stack([_BACKGROUND_SHARE * r.sum(axis=1), (1 - _BACKGROUND_SHARE) * r])
    r = np.pad(r, ((0, 0), (0, most - r.shape[1]))) / sample.share
    return blank.statistics(sample.x, sample.given, r)


def _spread(points: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation of each column; 1 for a column that does not vary."""
    seen = ~np.isnan(points)
    total = np.maximum(weight @ seen, np.finfo(float).tiny)
    mean = weight @ np.where(seen, points, 0.0) / total
    square = weight @ np.where(seen, points - mean, 0.0) ** 2 / total
    return mean, np.where(square > 0, np.sqrt(square), 1.0)


def _fully_given(settings: Settings) -> bool:
    """Whether every start would be the same one."""
    centred = settings.given is not None and settings.given.centres is not None
    return centred or not isinstance(settings.init_params, str)


def _overridden(models: Mixture, given: Given) -> Mixture:
    """Starts with the parameters that the user gave in place of those found."""
    weights, parameters = models.weights, models.parameters
    if given.weights is not None:
        weights = np.tile(given.weights / given.weights.sum(), (weights.shape[0], 1))
        if models.family.background:
            weights = np.column_stack([np.full(len(weights), _BACKGROUND_SHARE), (1 - _BACKGROUND_SHARE) * weights])
    if given.parameters is not None:
        family, own = models.foreground()
        own = given.parameters(family, own)
        parameters = NoisyParameters(own) if models.family.background else own
    return eqx.tree_at(lambda model: (model.weights, model.parameters), models, (weights, parameters))
