"""Mixtures of regressions over their rows: each component's curve, the weights, the coefficients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from ..data.columns import positions
from .legend import components_named, rows_named
from .marginals import padded, reach
from .regression import Covariate, FittedRegression
from .rows import sample_rows
from .scatter import MOST_VECTOR_MARKS, draw_points
from .style import INK, MUTED, RULE, SMALL, colour, dress, key, label, marker, new_figure, shown, title

#: Regressors and concomitant variables that one figure shows, and coefficients.
MOST_REGRESSORS, MOST_CONCOMITANT, MOST_COEFFICIENTS = 6, 3, 12
#: Levels of one column that find room.
MOST_LEVELS = 12
#: Letters of their names that find room side by side; where there are more, names stand upright, each at most so long.
_LETTERS, _LONGEST = 42, 14
#: Half of a 95% interval, in standard errors.
_TWO_SIDED = 1.959964
#: Numbers with at most so many different values are moved apart a little, for their marks lie on each other.
_FEW = 12
#: Seeds of these moves along each axis: none that data are likely to be made with, for marks must not follow the data.
_APART = (912_367, 912_389)
_EDGE = [withStroke(linewidth=2.8, foreground="#ffffffa0")]


@dataclass(frozen=True)
class Panels:
    """Which panels a figure has.

    Attributes
    ----------
    regressors, concomitant : list of Covariate
        Those along which curves vary most, where there is not room for all.
    all_regressors, all_concomitant : int
        How many there are.
    """

    regressors: list[Covariate]
    concomitant: list[Covariate]
    all_regressors: int
    all_concomitant: int

    @classmethod
    def of(cls, fitted: FittedRegression, columns: Sequence[str | int] | None = None) -> "Panels":
        """The choice among these columns, or among all."""
        every = fitted.covariates
        names = tuple(one.name for one in every)
        chosen = {every[j].column for j in positions(None if columns is None else list(columns), names, len(names))}
        regressors = [one for one in fitted.regressors if one.column in chosen]
        concomitant = [one for one in fitted.concomitant if one.column in chosen]
        if not fitted.regressors and columns is None:  # the response itself, then
            regressors = [Covariate("(no regressors)", ("all rows",), np.zeros(fitted.table.n_rows), 0.0)]
        return cls(
            _most_telling(regressors, fitted.curves, MOST_REGRESSORS),
            _most_telling(concomitant, fitted.weight_curves, MOST_CONCOMITANT),
            len(regressors),
            len(concomitant),
        )


def _most_telling(covariates: list[Covariate], curves: Any, most: int) -> list[Covariate]:
    """Those along which the components' curves rise or fall most, in their order."""
    if len(covariates) <= most:
        return covariates
    best = np.argsort([-np.ptp(curves(one), axis=0).max() for one in covariates], kind="stable")[:most]
    return [covariates[j] for j in sorted(best)]


def regression_plot(fitted: FittedRegression, columns: Sequence[str | int] | None = None) -> Figure:
    """The response against each regressor with the components' curves, and the weights along concomitant variables."""
    room = Panels.of(fitted, columns)
    n = len(room.regressors) + len(room.concomitant)
    across = n if n <= 2 else 2 if n == 4 else 3
    down = -(-n // across)
    width, height = (5.8, 4.3) if n == 1 else (3.7 * across, 3.0 * down + 0.6)
    figure = new_figure(width, height)
    grid = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for axes in grid[n:]:
        axes.set_axis_off()
    sample = sample_rows(fitted.table.n_rows)
    posterior = fitted.posterior()[sample]
    curves = [fitted.curves(one) for one in room.regressors]
    marks_in_pixels = len(sample) * max(len(room.regressors), 1) > MOST_VECTOR_MARKS
    for axes, covariate, curve in zip(grid, room.regressors, curves, strict=False):
        points = np.column_stack([_apart(covariate, sample), _response_apart(fitted, sample)])
        draw_points(axes, points, np.zeros(len(sample), dtype=bool), posterior, fitted, pixels=marks_in_pixels)
        _draw_curves(axes, covariate, curve)
        if covariate.levels is None:
            ends = np.append(points[:, 0], covariate.grid[[0, -1]])  # marks that were moved apart are in sight
            axes.set_xlim(*padded(float(ends.min()), float(ends.max())))
        label(axes, y=shown(fitted.expectation))
        _response_axis(axes, fitted, curves)
    for axes, covariate in zip(grid[len(room.regressors) :], room.concomitant, strict=False):
        _draw_curves(axes, covariate, fitted.weight_curves(covariate))
        label(axes, y="weight of the component")
        axes.set_ylim(-0.02, 1.02)
    handles, labels = components_named(fitted)
    handles.append(Line2D([], [], color=MUTED, linewidth=1.8))
    labels.append("expected in the component" if room.regressors else "weight")
    rows_named(handles, labels, len(sample), fitted.table.n_rows)
    left_out = [
        f"the {len(some)} of {of} {what} that tell most"
        for some, of, what in (
            (room.regressors, room.all_regressors, "regressors"),
            (room.concomitant, room.all_concomitant, "concomitant variables"),
        )
        if len(some) < of
    ]
    if left_out:
        figure.supylabel("; ".join(left_out), fontsize=SMALL, color=MUTED)
    key(figure, handles, labels, loc="outside lower center", ncols=min(across + 1, 3))
    return figure


def _apart(covariate: Covariate, sample: np.ndarray) -> np.ndarray:
    """Values along the axis; those that many rows share are moved apart a little, always by the same amounts."""
    values = covariate.values[sample]
    different = np.unique(values)
    if covariate.levels is not None:
        width = 0.24
    elif 1 < len(different) <= _FEW and len(different) < len(values) / 2:
        width = 0.15 * float(np.diff(different).min())
    else:
        return values
    return values + np.random.default_rng(_APART[0]).uniform(-width, width, len(values))


def _response_apart(fitted: FittedRegression, sample: np.ndarray) -> np.ndarray:
    y = fitted.y[sample]
    if fitted.estimator.family == "normal":
        return y
    width = 0.035 if fitted.classes else 0.15
    return y + np.random.default_rng(_APART[1]).uniform(-width, width, len(y))


def _draw_curves(axes: Axes, covariate: Covariate, curves: np.ndarray) -> None:
    """A line for each component along a number, a bar at each level of a category."""
    dress(axes, grid=True)
    grid = covariate.grid
    for k, curve in enumerate(curves.T):
        look: Any = {"color": colour(k), "path_effects": _EDGE, "zorder": 4}
        if covariate.levels is None:
            axes.plot(grid, curve, linewidth=1.8, **look)
        else:
            axes.hlines(curve, grid - 0.34, grid + 0.34, linewidth=2.2, **look)
    label(axes, x=shown(covariate.name))
    if covariate.levels is None:
        axes.set_xlim(*padded(float(grid[0]), float(grid[-1])))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
        return
    axes.set_xlim(-0.6, min(len(grid), MOST_LEVELS) - 0.4)
    some = covariate.called[:MOST_LEVELS]
    long = max(map(len, some)) * len(some) > _LETTERS
    names = [shown(level, _LONGEST if long else _LETTERS) for level in some]
    axes.set_xticks(range(len(some)), names, parse_math=False)
    if long:
        axes.tick_params(axis="x", labelrotation=90 if len(some) > 1 else 0)
    if len(some) < len(grid):
        label(axes, x=f"{shown(covariate.name)} (the first {len(some)} of {len(grid)} levels)")


def _response_axis(axes: Axes, fitted: FittedRegression, curves: list[np.ndarray]) -> None:
    if fitted.classes:
        axes.set_ylim(-0.07, 1.07)
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        return
    low, high = (np.array([ends(curve) for curve in curves]) for ends in (np.min, np.max))
    axes.set_ylim(*padded(*reach(fitted.y, low, high)))


def coefficient_plot(fitted: FittedRegression, errors: Any) -> Figure:
    """Each coefficient in each component, with its 95% interval where there are standard errors."""
    estimator, size = fitted.estimator, len(fitted.weights)
    names, values = estimator.coef_names_, estimator.coef_
    off = None if errors is None else _TWO_SIDED * np.asarray(errors.coef)
    chosen = range(len(names))
    if len(names) > MOST_COEFFICIENTS:  # those that differ most between components, in their own units
        spread = np.ptp(values, axis=0) / np.maximum(np.abs(values).max(axis=0), np.finfo(float).tiny)
        chosen = sorted(np.argsort(-spread, kind="stable")[:MOST_COEFFICIENTS].tolist())
    n = len(chosen)
    across = n if n <= 2 else 3
    down = -(-n // across)
    figure = new_figure(max(2.9 * across, 4.6), (0.75 + 0.26 * size) * down + 0.4)
    grid = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for axes in grid[n:]:
        axes.set_axis_off()
    at = np.arange(size)[::-1]
    for place, (axes, j) in enumerate(zip(grid, chosen, strict=False)):
        dress(axes)
        for k in range(size):
            half = np.nan if off is None else off[k, j]
            if np.isfinite(half):
                axes.plot([values[k, j] - half, values[k, j] + half], [at[k], at[k]], color=colour(k), linewidth=1.8)
            axes.plot(values[k, j], at[k], color=colour(k), marker=marker(k), markersize=5.5, linestyle="none")
        low, high = axes.get_xlim()
        if low < 0 < high or min(abs(low), abs(high)) < 0.5 * (high - low):
            axes.axvline(0.0, color=RULE, linewidth=1.0, zorder=1)
        axes.set_ylim(-0.6, size - 0.4)
        axes.set_yticks(at, list(map(str, range(size))) if place % across == 0 else [""] * size)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
        title(axes, shown(names[j], 26))
    if n < len(names):
        figure.supylabel(f"the {n} of {len(names)} that differ most", fontsize=SMALL, color=MUTED)
    return figure
