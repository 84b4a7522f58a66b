"""Columns of numbers one by one: histogram of the rows, the components' densities or probabilities, and their sum."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from .fitted import COUNTS, Column, FittedMixture
from .legend import components_named, rows_named
from .membership import Drawn
from .style import INK, MUTED, SMALL, dress, key, label, new_figure, shown

#: Columns of numbers that one figure shows.
MOST_PANELS = 12
BARS = "#dfe4e9"
_PANEL_WIDTH, _PANEL_HEIGHT = 3.0, 2.1
#: Counts that span more than this are gathered in bins, and their probabilities drawn without marks.
_MOST_COUNTS = 40
#: Points of a curve: evenly spaced ones, and quantiles of each component.
_EVEN, _QUANTILES = 300, 33
#: What is less than this share of a component's peak is not drawn.
_VISIBLE = 1e-4
#: Densities that may have no bound are cut off where they are so many times as high as the highest bar.
_UNBOUNDED, _HIGHEST = ("beta", "gamma"), 2.5


@dataclass(frozen=True)
class Curves:
    """The components along one column.

    Attributes
    ----------
    column : Column
    limits : tuple of float
        Of the axis.
    at : array, shape (n,)
        Ascending.
    joint : array, shape (n, K)
        π_k p(x | k); of a background, too.
    shades : list of str
        Their colours.
    """

    column: Column
    limits: tuple[float, float]
    at: np.ndarray
    joint: np.ndarray
    shades: list[str]


def curves_of(fitted: FittedMixture, columns: list[int], drawn: Drawn) -> dict[int, Curves]:
    """The components along these columns.

    Parameters
    ----------
    fitted : FittedMixture
    columns : list of int
        Positions, of columns of numbers.
    drawn : Drawn
        All columns of the mixture.
    """
    limits, grids = {}, {}
    draws = fitted.draws()
    for j in columns:
        column, seen = fitted.columns[j], drawn.cells[~np.isnan(drawn.cells[:, j]), j]
        limits[j], grids[j] = _grid(column, seen, draws[:, :, j])
    joint = fitted.joint_densities(grids)
    return {j: Curves(fitted.columns[j], limits[j], grids[j], joint[j], fitted.shades) for j in columns}


def _grid(column: Column, seen: np.ndarray, draws: np.ndarray) -> tuple[tuple[float, float], np.ndarray]:
    """Limits of an axis, and where the components are evaluated on it."""
    if column.family == "von-mises" and len(seen):  # a whole turn on, an angle is the same
        turn = 2 * np.pi
        draws = draws + turn * np.round((0.5 * (seen.min() + seen.max()) - draws) / turn)
    low, high = np.quantile(draws, [0.025, 0.975], axis=1)
    low, high = reach(seen, low, high)
    if column.family in COUNTS:
        low, high = np.floor(low), np.ceil(high)
        step = max(1, round((high - low) / _EVEN))
        at = np.arange(low, high + 1, step)
        return (low - 0.6, high + 0.6), at[column.contains(at)]
    limits = padded(low, high)
    # A narrow component must show its peak: its own quantiles and its mean join the common grid.
    quantiles = np.quantile(draws, np.linspace(0.0, 1.0, _QUANTILES), axis=1).ravel()
    at = np.unique(np.concatenate([np.linspace(*limits, _EVEN), quantiles, column.mean]))
    return limits, at[(at >= limits[0]) & (at <= limits[1]) & column.contains(at)]


def reach(seen: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """The data and the components, which reach from ``low`` to ``high``; but none may press the data into a corner."""
    first, last = float(low.min()), float(high.max())
    if len(seen) == 0:
        return first, last
    least, most = float(seen.min()), float(seen.max())
    room = 0.25 * (most - least) or 0.5 * (last - first)
    return min(least, max(first, least - room)), max(most, min(last, most + room))


def padded(low: float, high: float) -> tuple[float, float]:
    """A little more than this range."""
    pad = 0.04 * (high - low) or 1.0
    return low - pad, high + pad


def draw_marginal(axes: Axes, curves: Curves, drawn: Drawn) -> None:
    """Histogram of the observed cells of one column; the components, weighted; and their sum.

    ``drawn`` holds all columns of the mixture.
    """
    dress(axes)
    cells = drawn.cells[:, curves.column.position]
    seen, counted = ~np.isnan(cells), curves.column.family in COUNTS
    edges: Any = _count_edges(cells[seen]) if counted else int(np.clip(2 * seen.sum() ** (1 / 3), 8, 40))
    highest = 0.0
    if drawn.weight[seen].any():
        heights, *_ = axes.hist(cells[seen], bins=edges, weights=drawn.weight[seen], density=True, color=BARS, zorder=1)
        highest = float(np.max(heights))
    marked: Any = {"marker": "o", "markersize": 2.6} if counted and len(curves.at) <= _MOST_COUNTS else {}
    for joint, shade in zip(curves.joint.T, curves.shades, strict=True):
        visible = joint >= _VISIBLE * joint.max()
        at, height = curves.at[visible], joint[visible]
        axes.plot(at, height, color=shade, linewidth=1.4, zorder=3, **marked)
        axes.fill_between(at, height, color=shade, alpha=0.13, linewidth=0, zorder=2)
    if curves.joint.shape[1] > 1:
        axes.plot(curves.at, curves.joint.sum(axis=1), color=INK, linewidth=1.2, zorder=4)
    axes.set_xlim(*curves.limits)
    top = axes.get_ylim()[1]
    if curves.column.family in _UNBOUNDED and 0 < _HIGHEST * highest < top:
        top = _HIGHEST * highest
    axes.set_ylim(0, 1.06 * top)


def _count_edges(seen: np.ndarray) -> np.ndarray:
    """Bins of whole numbers, as many to each."""
    if len(seen) == 0:
        return np.array([-0.5, 0.5])
    low, high = seen.min(), seen.max()
    width = max(1, int(np.ceil((high - low + 1) / _MOST_COUNTS)))
    return np.arange(low, high + width + 0.5, width) - 0.5


def panels_size(n: int) -> tuple[float, float]:
    """Width and height in inches of a figure of so many panels."""
    if n == 1:
        return 5.4, 3.7
    across = _across(n)
    return _PANEL_WIDTH * across + 0.3, _PANEL_HEIGHT * -(-n // across) + 0.7


def _across(n: int) -> int:
    return min(n, 3 if n > 4 else 2)


def draw_panels(owner: Any, fitted: FittedMixture, columns: list[int], drawn: Drawn, of: int) -> None:
    """A panel for each column, in a figure or a part of one.

    Parameters
    ----------
    owner : Figure or SubFigure
    fitted : FittedMixture
    columns : list of int
        Positions, of columns of numbers.
    drawn : Drawn
        All columns of the mixture.
    of : int
        How many columns could be drawn: the figure says so where some are left out.
    """
    across = _across(len(columns))
    grid = owner.subplots(-(-len(columns) // across), across, squeeze=False)
    curves = curves_of(fitted, columns, drawn)
    for place, axes in enumerate(grid.flat):
        if place >= len(columns):
            axes.set_axis_off()
            continue
        column = fitted.columns[columns[place]]
        draw_marginal(axes, curves[columns[place]], drawn)
        label(axes, x=shown(column.name, 50 if len(columns) == 1 else 30))
        if len(columns) == 1:
            label(axes, y="probability" if column.family in COUNTS else "density")
        else:
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=column.family in COUNTS))
    handles, labels = components_named(fitted, lines=True)
    handles += [Line2D([], [], color=INK, linewidth=1.6), Patch(facecolor=BARS)]
    labels += ["mixture", "observed rows"]
    rows_named(handles, labels, len(drawn.cells), drawn.n_rows)
    if len(columns) < of:
        owner.supylabel(f"the {len(columns)} of {of:,} columns that separate best", fontsize=SMALL, color=MUTED)
    key(owner, handles, labels, loc="outside lower center", ncols=2 if len(columns) < 5 else 4)


def panels(fitted: FittedMixture, columns: list[int], drawn: Drawn, of: int) -> Any:
    """`draw_panels` in a figure of its own."""
    figure = new_figure(*panels_size(len(columns)))
    draw_panels(figure, fitted, columns, drawn, of)
    return figure
