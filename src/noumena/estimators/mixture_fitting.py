"""From a checked table to fitted mixtures: frame, starts, blocks, loop. One or many numbers of components at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ..core.expectation import maximisation
from ..core.fit import Progress
from ..core.lanes import stack
from ..core.restarts import fit_best
from ..core.result import Fit
from ..data.source import Source
from ..data.summary import SLAB, Summary
from ..data.table import Table
from ..families.covariance import Structure
from ..families.diagonal_normal import DiagonalNormal, DiagonalParameters
from ..families.family import Family
from ..families.normal import Frame, Normal, NormalParameters
from ..families.normal_inverse_wishart import NormalInverseWishart
from ..models.mixture import Mixture, MixtureNatural
from ..models.starts import Method, responsibilities

#: Starts are looked for on at most so many rows.
START_ROWS = 20_000
#: Numbers a piece may hold: 1.6 MB, which the caches near the cores take.
_PIECE_NUMBERS = 150_000
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
        return Source(
            self.table,
            self.summary,
            lambda missing: _rows_per_piece(family, width, missing),
            weight=self.weight,
            label=self.label,
            split_missing=not family.holes_are_free,
        )


@dataclass(frozen=True)
class Settings:
    """How to fit: the estimator's parameters, checked."""

    structure: Structure
    prior: NormalInverseWishart | str | None
    n_init: int
    init_params: Any  # a Method, or an array
    weights_init: np.ndarray | None
    means_init: np.ndarray | None
    covariances_init: np.ndarray | None
    tol: float
    max_iter: int
    accelerate: str | None
    progress: Progress | None = None


def _rows_per_piece(family: Family, width: int, missing: int) -> int:
    """A power of two, so that few shapes occur."""
    wanted = _PIECE_NUMBERS / family.footprint(width, missing)
    return int(np.clip(2 ** round(np.log2(wanted)), 64, 16_384))


def gaussian_family(
    structure: Structure, summary: Summary, prior: NormalInverseWishart | str | None, n_components: int
) -> Normal | DiagonalNormal:
    """The family of a structure, in the frame of the columns' own means and standard deviations."""
    location, variance = summary.mean, summary.variance
    scale = np.sqrt(variance)
    if isinstance(prior, str):
        prior = NormalInverseWishart.default(location, variance, n_components)
    framed = prior.framed(location, scale) if prior is not None else None
    kind = DiagonalNormal if structure.diagonal else Normal
    return kind(Frame.of(location, scale), structure, framed)


def fit_mixtures(
    problem: Problem, settings: Settings, sizes: Sequence[int], rng: np.random.Generator
) -> dict[int, Fit]:
    """The best fit for each number of components; all of them run side by side, padded to the largest.

    A conjugate prior that depends on the number of components (``"default"``) makes each size a run of its own.
    """
    if settings.prior == "default" and len(sizes) > 1:
        return {size: fit_mixtures(problem, settings, [size], rng)[size] for size in sizes}
    most = max(sizes)
    family = gaussian_family(settings.structure, problem.summary, settings.prior, most)
    sample = _sample(problem, rng)
    n_init = 1 if _fully_given(settings) else settings.n_init
    lanes, stats, groups = [], [], []
    seed = int(rng.integers(2**31))
    for size in sizes:
        own = np.random.default_rng([seed, size])  # a size starts alike in a sweep and by itself
        for attempt in range(n_init):
            lanes.append(_blank(family, size, most))
            stats.append(_start(family, settings, sample, problem, size, most, attempt, own))
            groups.append(size)
    start = jax.tree.map(lambda *parts: np.stack(parts), *stats)
    models = maximisation(stack(lanes), start)[0]
    models = _overridden(models, settings, family)
    given = any(p is not None for p in (settings.weights_init, settings.means_init, settings.covariances_init))
    return fit_best(
        models,
        np.array(groups),
        problem.blocks(family, most * len(lanes)),
        max_iter=settings.max_iter,
        tol=settings.tol,
        accelerate=settings.accelerate,
        start=None if given else start,
        progress=settings.progress,
    )


def _blank(family: Normal | DiagonalNormal, size: int, most: int) -> Mixture:
    active = np.arange(most) < size
    return Mixture(family, np.where(active, 1 / size, 0.0), family.initial(most), active)


@dataclass(frozen=True)
class _Sample:
    x: np.ndarray
    weight: np.ndarray
    label: np.ndarray
    rows: np.ndarray
    share: float  # of the total weight


def _sample(problem: Problem, rng: np.random.Generator) -> _Sample:
    """Rows to find starts on: all of them, or a random part of a large table."""
    table, n = problem.table, problem.table.n_rows
    rows = np.arange(n)
    if problem.weight is not None:
        rows = rows[problem.weight > 0]
    if len(rows) > START_ROWS:
        rows = np.sort(rng.choice(rows, START_ROWS, replace=False))
    parts, start = [], 0
    for slab in table.slabs(SLAB):
        stop = start + len(slab)
        low, high = np.searchsorted(rows, [start, stop])
        parts.append(slab[rows[low:high] - start])
        start = stop
    weight = np.ones(len(rows)) if problem.weight is None else problem.weight[rows]
    label = np.full(len(rows), -1) if problem.label is None else problem.label[rows]
    return _Sample(np.concatenate(parts), weight, label, rows, float(weight.sum()) / problem.summary.total_weight)


def _start(
    family: Normal | DiagonalNormal,
    settings: Settings,
    sample: _Sample,
    problem: Problem,
    size: int,
    most: int,
    attempt: int,
    rng: np.random.Generator,
) -> MixtureNatural:
    """Statistics of one start, scaled up to the whole table."""
    summary = problem.summary
    u = (sample.x - summary.mean) / np.sqrt(summary.variance)
    if not isinstance(settings.init_params, str):
        given = np.asarray(settings.init_params)
        shares = np.eye(size)[given.astype(int)] if given.ndim == 1 else given.astype(float)
        r = shares[sample.rows] * sample.weight[:, None]
    elif settings.means_init is not None:
        centres = (settings.means_init - summary.mean) / np.sqrt(summary.variance)
        near = np.stack([np.nansum((u - centre) ** 2, axis=1) for centre in centres]).argmin(axis=0)
        r = np.eye(size)[near] * sample.weight[:, None] + 1e-3 / size
    else:
        # more starts of one method would mostly lead to one optimum, or (agglomeration) be one start
        method: Any = settings.init_params if attempt == 0 else _FURTHER[attempt % len(_FURTHER)]
        r = responsibilities(method, u, sample.weight, sample.label, size, rng)
    r = np.pad(r, ((0, 0), (0, most - size))) / sample.share
    return MixtureNatural(r.sum(axis=0), family.statistics(sample.x, r))


def _fully_given(settings: Settings) -> bool:
    """Whether every start would be the same one."""
    return settings.means_init is not None or not isinstance(settings.init_params, str)


def _overridden(models: Mixture, settings: Settings, family: Normal | DiagonalNormal) -> Mixture:
    """Starts with the parameters that the user gave in place of those found."""
    weights, parameters = models.weights, models.parameters
    frame = family.frame
    lanes = weights.shape[0]

    def repeat(value: np.ndarray) -> np.ndarray:
        return np.tile(value, (lanes,) + (1,) * value.ndim)

    if settings.weights_init is not None:
        weights = repeat(settings.weights_init / settings.weights_init.sum())
    if settings.means_init is not None:
        location, scale = np.asarray(frame.location.value), np.asarray(frame.scale.value)
        parameters = parameters._replace(mean=repeat((settings.means_init - location) / scale))
    if settings.covariances_init is not None:
        scale = np.asarray(frame.scale.value)
        covariance = settings.covariances_init / np.outer(scale, scale)
        if isinstance(parameters, DiagonalParameters):
            parameters = parameters._replace(variance=repeat(np.diagonal(covariance, axis1=1, axis2=2)))
        else:
            assert isinstance(parameters, NormalParameters)
            parameters = parameters._replace(covariance=repeat(covariance))
    return Mixture(models.family, weights, parameters, models.active)
