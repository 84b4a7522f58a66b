"""Factor models: loadings as a map of numbers, correlations of the factors, rows in the plane of the first two."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from sklearn.isotonic import isotonic_regression

from ..data.columns import positions
from ..data.table import Table
from .digits import number, percent
from .factors import SALIENT, FittedFactors, Scored
from .scatter import MOST_VECTOR_MARKS
from .style import ACCENT, COLOURS, INK, MUTED, RULE, SMALL, dress, key, label, new_figure, shown, title

#: Columns and factors that one map shows: those with the highest communalities, those that explain most.
MOST_COLUMNS, MOST_FACTORS = 40, 12
#: Columns whose directions are drawn among the rows, and the least loading that has one.
MOST_ARROWS, _SHORTEST = 12, 0.1
#: Below negative loadings, above positive ones, as in the tables of the pages.
_DIVERGING = LinearSegmentedColormap.from_list("loadings", ["#6aa6dd", "#ffffff", "#e9a85a"])
_FAINT = "#9aa5b1"
#: Size of a cell of the map, and of a letter of a name, in inches.
_CELL, _LETTER = (0.62, 0.25), 0.068
#: Width that the heading of the map takes.
_LEAST = 1.75
_PLANE = 4.6
_HALO = [withStroke(linewidth=2.6, foreground="white")]


def factor_plot(
    fitted: FittedFactors, table: Table | None = None, columns: Sequence[str | int] | None = None
) -> Figure:
    """The loadings; with rows, and two factors or more, the rows in the plane of the first two as well."""
    chosen = positions(None if columns is None else list(columns), tuple(fitted.names), len(fitted.names))
    if table is None or len(fitted.factors) < 2:
        return loadings_plot(fitted, chosen)
    rows = Scored.of(fitted, table)
    width, height = loadings_size(fitted, chosen)
    if height > 1.5 * _PLANE:  # a tall map stands above, so that the plane is no lone square beside it
        figure = new_figure(max(width, _PLANE), height + _PLANE + 0.5)
        parts = cast(Any, figure).subfigures(2, 1, height_ratios=[height, _PLANE + 0.5])
    else:
        whole = max(height, _PLANE + 0.5)
        figure = new_figure(width + _PLANE + 0.2, whole)
        parts = cast(Any, figure).subfigures(1, 2, width_ratios=[width, _PLANE + 0.2])
        if whole > height:  # a few columns stay low
            parts = [parts[0].subfigures(2, 1, height_ratios=[height, whole - height])[0], parts[1]]
    draw_loadings(parts[0], fitted, chosen)
    draw_plane(parts[1], fitted, rows, chosen)
    return figure


def loadings_plot(fitted: FittedFactors, columns: Sequence[int] | None = None) -> Figure:
    """Standardised loadings with the communalities beside and, where factors correlate, their correlations below."""
    chosen = range(len(fitted.names)) if columns is None else columns
    figure = new_figure(*loadings_size(fitted, chosen))
    draw_loadings(figure, fitted, chosen)
    return figure


def plane_plot(fitted: FittedFactors, rows: Scored) -> Figure:
    """The rows and the directions of the columns in the plane of the first two factors."""
    figure = new_figure(_PLANE + 1.0, _PLANE + 1.1)
    draw_plane(figure, fitted, rows, range(len(fitted.names)))
    return figure


def loadings_size(fitted: FittedFactors, columns: Sequence[int]) -> tuple[float, float]:
    """Width and height in inches of `draw_loadings`."""
    q, rows = min(len(fitted.factors), MOST_FACTORS), min(len(columns), MOST_COLUMNS)
    wide, high = _CELL
    names = max(len(shown(fitted.names[j], 26)) for j in columns) * _LETTER
    below = high * q + 0.3 if fitted.oblique else 0.0
    return names + max(wide * q, _LEAST) + 1.7, high * rows + below + 0.9 + _standing(fitted)


def draw_loadings(figure: Any, fitted: FittedFactors, columns: Sequence[int]) -> None:
    """See `loadings_plot`; ``figure`` may be a part of one."""
    q = min(len(fitted.factors), MOST_FACTORS)
    best = sorted(columns, key=lambda j: -fitted.communalities[j])[:MOST_COLUMNS]
    order, (wide, high) = fitted.order(sorted(best)), _CELL
    crossed = fitted.oblique
    heights = [high * len(order), high * q] if crossed else [1.0]
    grid = figure.subplots(
        len(heights), 2, squeeze=False, width_ratios=[max(wide * q, _LEAST), 1.25], height_ratios=heights
    )
    _map(grid[0, 0], fitted, order, q)
    _communalities(grid[0, 1], fitted, order)
    if crossed:
        _correlations(grid[1, 0], fitted, q)
        grid[1, 1].set_axis_off()
    notes = []
    if len(order) < len(columns):
        notes.append(f"the {len(order)} of {len(columns)} columns with the highest communalities")
    if q < len(fitted.factors):
        notes.append(f"the first {q} of {len(fitted.factors)} factors")
    if notes:
        figure.supxlabel("; ".join(notes), fontsize=SMALL, color=MUTED)


def _standing(fitted: FittedFactors) -> float:
    """Height in inches of the names of factors where they stand upright, as they do not fit side by side; else 0."""
    longest = max((len(shown(name, 16)) for name in fitted.factors[:MOST_FACTORS]), default=0)
    return _LETTER * longest if longest > 9 else 0.0


def _cells(axes: Axes, values: np.ndarray, told: np.ndarray, least: float) -> None:
    """A map with its numbers; those that are not told are left blank, those below ``least`` are grey."""
    axes.imshow(np.where(told, values, 0.0), cmap=_DIVERGING, vmin=-1, vmax=1, aspect="auto", interpolation="none")
    for i, j in zip(*np.nonzero(told), strict=True):
        value = float(values[i, j])
        shade = INK if abs(value) >= least else _FAINT
        axes.text(j, i, number(value, 2), ha="center", va="center", fontsize=SMALL, color=shade)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_xticks(np.arange(values.shape[1] + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(values) + 1) - 0.5, minor=True)
    axes.grid(True, which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0, labelsize=SMALL, labelcolor=INK)


def _map(axes: Axes, fitted: FittedFactors, order: Sequence[int], q: int) -> None:
    rows = list(order)
    if q:
        _cells(axes, fitted.loadings[rows, :q], fitted.free[rows, :q], SALIENT)
    else:
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.text(0.5, 0.5, "no factor was kept", transform=axes.transAxes, ha="center", color=MUTED, fontsize=SMALL)
        axes.tick_params(length=0, labelsize=SMALL, labelcolor=INK)
        for side in axes.spines.values():
            side.set_visible(False)
    axes.xaxis.tick_top()
    axes.set_xticks(range(q), [shown(name, 16) for name in fitted.factors[:q]], parse_math=False)
    if _standing(fitted):
        axes.tick_params(axis="x", labelrotation=90)
    axes.set_yticks(range(len(rows)), [shown(fitted.names[j], 26) for j in rows], parse_math=False)
    title(axes, "standardised loadings")
    if q:
        for k, share in enumerate(fitted.explained[:q]):
            axes.text(k, len(rows) - 0.35, percent(float(share)), ha="center", va="top", fontsize=SMALL, color=MUTED)
        axes.text(-0.6, len(rows) - 0.35, "explains", ha="right", va="top", fontsize=SMALL, color=MUTED)


def _communalities(axes: Axes, fitted: FittedFactors, order: Sequence[int]) -> None:
    dress(axes)
    share = fitted.communalities[list(order)]
    shade = [ACCENT if fitted.heywood[j] else COLOURS[0] for j in order]
    at = np.arange(len(order))
    axes.barh(at, share, height=0.58, color=shade)
    for row, value in zip(at, share, strict=True):
        axes.text(float(value), float(row), f" {number(float(value), 2)}", va="center", fontsize=SMALL, color=MUTED)
    axes.set_xlim(0, 1.5)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.xaxis.tick_top()
    axes.set_xticks([0], ["communality"], ha="left")
    axes.tick_params(axis="x", length=0, labelcolor=INK)
    axes.set_yticks([])
    for side in ("bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.axvline(0.0, color=RULE, linewidth=0.8)


def _correlations(axes: Axes, fitted: FittedFactors, q: int) -> None:
    names = [shown(name, 16) for name in fitted.factors[:q]]
    _cells(axes, fitted.correlations[:q, :q], np.tril(np.ones((q, q), dtype=bool), -1), 0.0)
    for k in range(q):
        axes.text(k, k, "1", ha="center", va="center", fontsize=SMALL, color=_FAINT)
    axes.set_xticks([])
    axes.set_yticks(range(q), names, parse_math=False)
    title(axes, "correlations of the factors")


def draw_plane(figure: Any, fitted: FittedFactors, rows: Scored, columns: Sequence[int]) -> None:
    """See `plane_plot`; ``figure`` may be a part of one."""
    axes = figure.subplots()
    points, n = rows.scores[:, :2], len(rows.scores)
    size = float(np.clip(14.0 * (400 / max(n, 1)) ** 0.4, 3.0, 16.0))
    look: dict[str, Any] = {"rasterized": n > MOST_VECTOR_MARKS, "zorder": 2}
    full = points[~rows.holes]
    axes.scatter(full[:, 0], full[:, 1], s=size, color=COLOURS[0], alpha=0.5, linewidths=0, **look)
    hollow = points[rows.holes]
    axes.scatter(
        hollow[:, 0], hollow[:, 1], s=1.8 * size, facecolors="none", edgecolors=COLOURS[0], linewidths=0.8, alpha=0.6,
        **look,
    )  # fmt: skip
    reach = 1.08 * max(float(np.abs(points).max(initial=0.0)), 1.0)
    scale = _arrows(axes, fitted, columns, reach)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_aspect("equal")
    dress(axes, grid=True)
    label(axes, x=f"score of {shown(fitted.factors[0])}", y=f"score of {shown(fitted.factors[1])}")
    if abs(fitted.correlations[0, 1]) > 1e-9:
        title(axes, f"the two factors correlate by {number(float(fitted.correlations[0, 1]), 2)}")
    handles = [Line2D([], [], color=INK, linewidth=1.1, marker=">", markersize=4, markevery=[1])]
    few = f" (the {MOST_ARROWS} longest of {len(columns)})" if len(columns) > MOST_ARROWS else ""
    labels = [f"loadings of a column, times {number(scale, digits=2)}{few}"]
    if rows.holes.any():
        handles.append(Line2D([], [], color=COLOURS[0], marker="o", fillstyle="none", linestyle="none", markersize=5))
        labels.append("hollow: a row with missing cells")
    if n < rows.n_rows:
        handles.append(Line2D([], [], linestyle="none"))
        labels.append(f"{n:,} of {rows.n_rows:,} rows drawn")
    key(figure, handles, labels, loc="outside lower center", ncols=1)


def _arrows(axes: Axes, fitted: FittedFactors, columns: Sequence[int], reach: float) -> float:
    """The directions of the columns, named at their ends without overlap; what the loadings are multiplied by."""
    ends = fitted.loadings[:, :2]
    length = np.hypot(*ends.T)
    drawn = sorted((j for j in columns if length[j] >= _SHORTEST), key=lambda j: -length[j])[:MOST_ARROWS]
    if not drawn:
        return 1.0
    names = [shown(fitted.names[j], 16) for j in drawn]
    # an arrow and its name stay inside: a letter takes so much of the plane's width
    room = np.array([0.94 - 2.0 * _LETTER * (len(name) + 1) / (_PLANE - 0.7) for name in names])
    across, up = np.abs(ends[drawn]).T
    scale = reach * float(np.min([np.min(room / np.maximum(across, 1e-9)), 0.9 / max(up.max(), 1e-9), 1.2]))
    tips = scale * ends[drawn]
    heights = _apart(tips, 0.09 * reach, 0.95 * reach)
    for (x, y), height, name in zip(tips, heights, names, strict=True):
        axes.annotate(
            "", (x, y), (0, 0), zorder=4,
            arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0,
                        "mutation_scale": 7},
        )  # fmt: skip
        side = 1.0 if x >= 0 else -1.0
        at = x + side * 0.03 * reach
        if abs(height - y) > 0.03 * reach:
            axes.plot([x, at + side * 0.03 * reach], [y, height], color=MUTED, linewidth=0.6, zorder=3)
            at += side * 0.04 * reach
        axes.text(
            at, height, name, ha="left" if side > 0 else "right", va="center", fontsize=SMALL, color=INK, zorder=5,
            path_effects=_HALO, parse_math=False,
        )  # fmt: skip
    return scale


def _apart(tips: np.ndarray, gap: float, most: float) -> np.ndarray:
    """Heights of the names beside the tips: at least a gap between two on one side, none beyond the frame."""
    heights = tips[:, 1].copy()
    for side in (tips[:, 0] >= 0, tips[:, 0] < 0):
        own = np.flatnonzero(side)[np.argsort(tips[side, 1], kind="stable")]
        steps = gap * np.arange(len(own))
        if len(own):  # as near to the tips as the gaps allow
            heights[own] = np.clip(isotonic_regression(tips[own, 1] - steps), -most, most - steps[-1]) + steps
    return heights
