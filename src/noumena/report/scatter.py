"""Normals or t distributions over their data: every pair of a few columns, or a projection of many."""

from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from .fitted import Ellipsoids, Fitted, FittedMixture
from .legend import components_named, rows_named
from .marginals import curves_of, draw_marginal, padded, reach
from .membership import Drawn
from .projection import separating_projection
from .style import (
    ACCENT,
    COLOURS,
    INK,
    MUTED,
    NOISE_MARKER,
    SMALL,
    colour,
    dress,
    key,
    label,
    marker,
    new_figure,
    shown,
    title,
)

_CIRCLE = np.linspace(0.0, 2.0 * np.pi, 181)
#: With more marks than this in a figure, they are drawn as pixels inside it: an SVG would grow beyond what is handy.
MOST_VECTOR_MARKS = 2_000
#: Columns named under a projection.
_MOST_LOADINGS = 12


def pair_plot(ellipsoids: Ellipsoids, fitted: FittedMixture, drawn: Drawn) -> Figure:
    """Scatter plots of each pair below the diagonal, marginal densities on it.

    Parameters
    ----------
    ellipsoids : Ellipsoids
        Over the columns drawn, at least 2.
    fitted : FittedMixture
    drawn : Drawn
        All columns of the mixture.
    """
    d, columns = len(ellipsoids.columns), list(ellipsoids.columns)
    names, own = [fitted.names[j] for j in columns], drawn.select(columns)
    panel = {2: 2.6, 3: 2.1}.get(d, 1.75)
    figure = new_figure(panel * d + 0.4, panel * d + 0.2)
    grid = figure.subplots(d, d, sharex="col", squeeze=False)
    limits = [_limits(ellipsoids, own.cells[:, j], j) for j in range(d)]
    curves = curves_of(fitted, columns, drawn)
    marks_in_pixels = len(own.cells) * d * (d - 1) / 2 > MOST_VECTOR_MARKS
    for i in range(d):
        for j in range(d):
            axes = grid[i, j]
            if j > i:
                axes.set_axis_off()
                continue
            if j == i:
                draw_marginal(axes, curves[columns[i]], drawn)
                axes.set_yticks([])
                axes.spines["left"].set_visible(False)
            else:
                dress(axes)
                pair = [j, i]
                holes = np.asarray(np.isnan(own.cells[:, pair]).any(axis=1))
                draw_points(axes, own.filled[:, pair], holes, own.posterior, fitted, pixels=marks_in_pixels)
                _ellipses(axes, ellipsoids.marginal(np.array(pair)))
                axes.set_ylim(*limits[i])
                axes.tick_params(labelleft=j == 0)
            axes.set_xlim(*limits[j])
            axes.locator_params(axis="x", nbins=4)
            if j < i:
                axes.locator_params(axis="y", nbins=4)
            if i == d - 1:
                label(axes, x=_short(names[j], d))
            if j == 0:
                label(axes, y=_short(names[i], d) if i else "density")
    figure.align_ylabels(grid[:, 0])
    handles, labels = components_named(fitted)
    _extend_key(handles, labels, own)
    # The empty upper triangle holds the legend; constrained layout must not make room for it elsewhere.
    legend = key(figure, handles, labels, loc="upper right", ncols=1)
    legend.set_in_layout(False)
    return figure


def projection_plot(ellipsoids: Ellipsoids, fitted: FittedMixture, drawn: Drawn) -> Figure:
    """The rows and components in the two directions that separate them best, and how the columns make these up.

    ``drawn`` holds all columns of the mixture.
    """
    own, names = drawn.select(ellipsoids.columns), [fitted.names[j] for j in ellipsoids.columns]
    projection = separating_projection(ellipsoids.weights, ellipsoids.centres, ellipsoids.scales)
    named = np.argsort(-np.abs(projection.loadings).max(axis=1))[:_MOST_LOADINGS]
    below = 0.7 + 0.24 * len(named)
    figure = new_figure(5.6, 5.1 + below)
    top, bottom = cast(Any, figure).subfigures(2, 1, height_ratios=[5.1, below])
    axes = top.subplots()
    points, flat = projection(own.filled), ellipsoids.projected(projection)
    holes = np.asarray(np.isnan(own.cells).any(axis=1))
    draw_points(axes, points, holes, own.posterior, fitted, pixels=len(points) > MOST_VECTOR_MARKS)
    _ellipses(axes, flat)
    axes.set_xlim(*_limits(flat, points[:, 0], 0))
    axes.set_ylim(*_limits(flat, points[:, 1], 1))
    dress(axes, grid=True)
    label(axes, x="direction 1 (in standard deviations within components)", y="direction 2")
    handles, labels = components_named(fitted)
    _extend_key(handles, labels, own)
    key(top, handles, labels, loc="outside upper center", ncols=2)
    _loading_bars(bottom, projection.loadings[named], [names[j] for j in named], len(names))
    return figure


def _loading_bars(figure: Any, loadings: np.ndarray, names: list[str], of: int) -> None:
    left, right = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(names))[::-1]
    for j, axes in enumerate((left, right)):
        dress(axes)
        axes.barh(rows, loadings[:, j], height=0.62, color=np.where(loadings[:, j] < 0, ACCENT, COLOURS[0]))
        axes.axvline(0.0, color=MUTED, linewidth=0.8)
        axes.set_xlim(-1.05, 1.05)
        axes.set_xticks([-1, -0.5, 0, 0.5, 1], ["−1", "−0.5", "0", "0.5", "1"])
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        title(axes, f"correlation with direction {j + 1}")
    left.set_yticks(rows, [shown(name, 22) for name in names], parse_math=False)
    if len(names) < of:
        right.set_xlabel(f"the {len(names)} strongest of {of} columns", fontsize=SMALL, color=MUTED)


def draw_points(
    axes: Axes, points: np.ndarray, holes: np.ndarray, posterior: np.ndarray, fitted: Fitted, *, pixels: bool
) -> None:
    """Rows coloured by component; the less certain the smaller and paler; hollow where a cell is imputed.

    Parameters
    ----------
    axes : Axes
    points : array, shape (n, 2)
    holes : array of bool, shape (n,)
    posterior : array, shape (n, K)
    fitted : Fitted
    pixels : bool
        Whether they are drawn as pixels inside a vector drawing.
    """
    component, certainty = posterior.argmax(axis=1), posterior.max(axis=1)
    certain = np.clip((certainty - 0.5) / 0.5, 0.0, 1.0)
    base = float(np.clip(14.0 * (400 / max(len(points), 1)) ** 0.4, 3.0, 16.0))
    size, alpha = base * (0.5 + 0.5 * certain), 0.3 + 0.5 * certain
    rows_of = np.bincount(component)
    for k in np.argsort(-rows_of, kind="stable")[: np.count_nonzero(rows_of)]:  # small components lie above large ones
        for hollow in (False, True):
            rows = np.flatnonzero((component == k) & (holes == hollow))
            if len(rows) == 0:
                continue
            # Hollow marks stand in front and are larger: few, and the ones to look at twice.
            shade = np.maximum(alpha[rows], 0.6 * hollow)
            tint = [to_rgba(fitted.shades[k], a) for a in shade]
            mark = marker(int(k)) if k < len(fitted.weights) else NOISE_MARKER
            look = (
                {"facecolors": "none", "edgecolors": tint, "linewidths": 0.9, "s": 1.8 * size[rows], "zorder": 3}
                if hollow
                else {"facecolors": tint, "edgecolors": "none", "s": size[rows], "zorder": 2}
            )
            axes.scatter(points[rows, 0], points[rows, 1], marker=mark, rasterized=pixels, **look)


def _ellipses(axes: Axes, ellipsoids: Ellipsoids) -> None:
    """The 95% ellipse of each component in two columns, numbered at its centre."""
    halo = [withStroke(linewidth=2.6, foreground="white")]
    edge = [withStroke(linewidth=2.4, foreground="#ffffffb0")]
    parts = zip(ellipsoids.centres, ellipsoids.scales, ellipsoids.radius, strict=True)
    for k, (centre, scale, radius) in enumerate(parts):
        x, y = _ellipse(centre, scale, radius)
        axes.plot(x, y, color=colour(k), linewidth=1.4, zorder=4, path_effects=edge)
        name = axes.text(
            centre[0], centre[1], str(k), ha="center", va="center", zorder=5, path_effects=halo, clip_on=True
        )
        name.set(color=INK, fontsize=SMALL, fontweight="bold", in_layout=False)


def _ellipse(centre: np.ndarray, sigma: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Where (x − μ)ᵀ Σ⁻¹ (x − μ) = radius²; by the correlation, as columns may differ vastly in scale."""
    scale = np.sqrt(np.diag(sigma))
    rho = np.clip(sigma[0, 1] / (scale[0] * scale[1]), -1.0, 1.0)
    across = rho * np.cos(_CIRCLE) + np.sqrt(1 - rho**2) * np.sin(_CIRCLE)
    return centre[0] + radius * scale[0] * np.cos(_CIRCLE), centre[1] + radius * scale[1] * across


def _limits(ellipsoids: Ellipsoids, values: np.ndarray, j: int) -> tuple[float, float]:
    """The data and the ellipses along one column."""
    deviation = ellipsoids.radius * np.sqrt(ellipsoids.scales[:, j, j])
    centre = ellipsoids.centres[:, j]
    return padded(*reach(values[~np.isnan(values)], centre - deviation, centre + deviation))


def _extend_key(handles: list[Any], labels: list[str], drawn: Drawn) -> None:
    look: dict[str, Any] = {"color": MUTED, "marker": "o", "fillstyle": "none", "linestyle": "none"}
    handles.append(Line2D([], [], linewidth=1.4, markersize=7, **look))
    labels.append("95% of a component")
    if np.isnan(drawn.cells).any():
        handles.append(Line2D([], [], markersize=5, markeredgewidth=0.9, **look))
        labels.append("hollow: missing cell imputed (mean)")
    rows_named(handles, labels, len(drawn.cells), drawn.n_rows)


def _short(name: str, d: int) -> str:
    """The name, shortened to what the side of a panel can hold."""
    return shown(name, {2: 34, 3: 28}.get(d, 20))
