"""A fitted normal mixture over its data: one column, the pairs of a few, or a projection of many."""

from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from .digits import percent
from .membership import Drawn
from .projection import Projection
from .style import ACCENT, COLOURS, INK, MUTED, SMALL, colour, dress, key, label, marker, new_figure, shown, title

#: Radius that holds 95% of a bivariate normal: the root of the 0.95 quantile of χ²₂.
_RADIUS = np.sqrt(-2 * np.log(0.05))
_CIRCLE = np.linspace(0.0, 2.0 * np.pi, 181)
#: With more marks than this in a figure, they are drawn as pixels inside it: an SVG would grow beyond what is handy.
_MOST_VECTOR_MARKS = 2_000
#: Components named one by one in a legend.
_MOST_NAMED = 12
#: Columns named under a projection.
_MOST_LOADINGS = 12


def pair_plot(density: Any, drawn: Drawn, names: list[str]) -> Figure:
    """Scatter plots of each pair below the diagonal, marginal densities on it.

    Parameters
    ----------
    density : GaussianMixtureDensity
        Over the columns drawn.
    drawn : Drawn
    names : list of str
        Of the columns drawn, at least 2.
    """
    d = len(names)
    panel = {2: 2.6, 3: 2.1}.get(d, 1.75)
    figure = new_figure(panel * d + 0.4, panel * d + 0.2)
    grid = figure.subplots(d, d, sharex="col", squeeze=False)
    limits = [_limits(density, drawn.cells[:, j], j) for j in range(d)]
    marks_in_pixels = len(drawn.cells) * d * (d - 1) / 2 > _MOST_VECTOR_MARKS
    for i in range(d):
        for j in range(d):
            axes = grid[i, j]
            if j > i:
                axes.set_axis_off()
                continue
            if j == i:
                _marginal(axes, density.marginal(np.array([i])), drawn.cells[:, i], limits[i])
                axes.set_yticks([])
                axes.spines["left"].set_visible(False)
            else:
                dress(axes)
                pair = [j, i]
                holes = np.asarray(np.isnan(drawn.cells[:, pair]).any(axis=1))
                _points(axes, drawn.filled[:, pair], holes, drawn, pixels=marks_in_pixels)
                _ellipses(axes, density.marginal(np.array(pair)))
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
    handles, labels = _key_of_components(density.weights)
    _extend_key(handles, labels, drawn, ellipses=True)
    # The empty upper triangle holds the legend; constrained layout must not make room for it elsewhere.
    legend = key(figure, handles, labels, loc="upper right", ncols=1)
    legend.set_in_layout(False)
    return figure


def column_plot(density: Any, drawn: Drawn, name: str) -> Figure:
    """Histogram of one column, the mixture's density and its components'."""
    figure = new_figure(5.4, 3.7)
    axes = figure.subplots()
    _marginal(axes, density, drawn.cells[:, 0], _limits(density, drawn.cells[:, 0], 0))
    label(axes, x=shown(name, 50), y="density")
    handles, labels = _key_of_components(density.weights, lines=True)
    handles += [Line2D([], [], color=INK, linewidth=1.6), Patch(facecolor="#dfe4e9")]
    labels += ["mixture", "observed rows"]
    _extend_key(handles, labels, drawn, ellipses=False)
    key(figure, handles, labels, loc="outside lower center", ncols=2 if len(labels) > 3 else len(labels))
    return figure


def projection_plot(density: Any, projection: Projection, drawn: Drawn, names: list[str]) -> Figure:
    """The rows and components in two directions, and how the columns make these up."""
    named = np.argsort(-np.abs(projection.loadings).max(axis=1))[:_MOST_LOADINGS]
    below = 0.7 + 0.24 * len(named)
    figure = new_figure(5.6, 5.1 + below)
    top, bottom = cast(Any, figure).subfigures(2, 1, height_ratios=[5.1, below])
    axes = top.subplots()
    points, v = projection(drawn.filled), projection.directions
    holes = np.asarray(np.isnan(drawn.cells).any(axis=1))
    flat = type(density)(
        density.weights, projection(density.means), np.einsum("ia,kij,jb->kab", v, density.covariances, v)
    )
    _points(axes, points, holes, drawn, pixels=len(points) > _MOST_VECTOR_MARKS)
    _ellipses(axes, flat)
    axes.set_xlim(*_limits(flat, points[:, 0], 0))
    axes.set_ylim(*_limits(flat, points[:, 1], 1))
    dress(axes, grid=True)
    label(axes, x="direction 1 (in standard deviations within components)", y="direction 2")
    handles, labels = _key_of_components(density.weights)
    _extend_key(handles, labels, drawn, ellipses=True)
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


def _points(axes: Axes, points: np.ndarray, holes: np.ndarray, drawn: Drawn, *, pixels: bool) -> None:
    """Rows coloured by component; the less certain the smaller and paler; hollow where a cell is imputed."""
    certain = np.clip((drawn.certainty - 0.5) / 0.5, 0.0, 1.0)
    base = float(np.clip(14.0 * (400 / max(len(points), 1)) ** 0.4, 3.0, 16.0))
    size, alpha = base * (0.5 + 0.5 * certain), 0.3 + 0.5 * certain
    rows_of = np.bincount(drawn.component)
    for k in np.argsort(-rows_of, kind="stable")[: np.count_nonzero(rows_of)]:  # small components lie above large ones
        for hollow in (False, True):
            rows = np.flatnonzero((drawn.component == k) & (holes == hollow))
            if len(rows) == 0:
                continue
            # Hollow marks stand in front and are larger: few, and the ones to look at twice.
            shade = np.maximum(alpha[rows], 0.6 * hollow)
            tint = [to_rgba(colour(k), a) for a in shade]
            look = (
                {"facecolors": "none", "edgecolors": tint, "linewidths": 0.9, "s": 1.8 * size[rows], "zorder": 3}
                if hollow
                else {"facecolors": tint, "edgecolors": "none", "s": size[rows], "zorder": 2}
            )
            axes.scatter(points[rows, 0], points[rows, 1], marker=marker(k), rasterized=pixels, **look)


def _ellipses(axes: Axes, density: Any) -> None:
    """The 95% ellipse of each component of a bivariate mixture, numbered at its mean."""
    halo = [withStroke(linewidth=2.6, foreground="white")]
    edge = [withStroke(linewidth=2.4, foreground="#ffffffb0")]
    for k, (mean, sigma) in enumerate(zip(density.means, density.covariances, strict=True)):
        x, y = _ellipse(mean, sigma)
        axes.plot(x, y, color=colour(k), linewidth=1.4, zorder=4, path_effects=edge)
        name = axes.text(mean[0], mean[1], str(k), ha="center", va="center", zorder=5, path_effects=halo, clip_on=True)
        name.set(color=INK, fontsize=SMALL, fontweight="bold", in_layout=False)


def _ellipse(mean: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where (x − μ)ᵀ Σ⁻¹ (x − μ) is the 0.95 quantile; by the correlation, as columns may differ vastly in scale."""
    scale = np.sqrt(np.diag(sigma))
    rho = np.clip(sigma[0, 1] / (scale[0] * scale[1]), -1.0, 1.0)
    across = rho * np.cos(_CIRCLE) + np.sqrt(1 - rho**2) * np.sin(_CIRCLE)
    return mean[0] + _RADIUS * scale[0] * np.cos(_CIRCLE), mean[1] + _RADIUS * scale[1] * across


def _marginal(axes: Axes, density: Any, values: np.ndarray, limits: tuple[float, float]) -> None:
    """Histogram of the observed cells; the mixture's density; the components', weighted."""
    dress(axes)
    observed = values[~np.isnan(values)]
    if len(observed):
        bins = int(np.clip(2 * len(observed) ** (1 / 3), 8, 40))
        axes.hist(observed, bins=bins, density=True, color="#dfe4e9", zorder=1)
    at = np.linspace(*limits, 400)
    total = np.zeros_like(at)
    for k, weight in enumerate(density.weights):
        mean, deviation = density.means[k, 0], np.sqrt(density.covariances[k, 0, 0])
        # A narrow component must show its peak: its own grid joins the common one.
        own = np.unique(np.append(at, np.clip(mean + deviation * np.linspace(-4, 4, 81), *limits)))
        curve = weight * _normal(own, mean, deviation)
        total += weight * _normal(at, mean, deviation)
        axes.plot(own, curve, color=colour(k), linewidth=1.4, zorder=3)
        axes.fill_between(own, curve, color=colour(k), alpha=0.13, linewidth=0, zorder=2)
    if len(density.weights) > 1:
        axes.plot(at, total, color=INK, linewidth=1.2, zorder=4)
    axes.set_xlim(*limits)
    axes.set_ylim(0, 1.06 * axes.get_ylim()[1])


def _normal(x: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    return np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))


def _limits(density: Any, values: np.ndarray, j: int) -> tuple[float, float]:
    """The data and the ellipses, but no ellipse may press the data into a corner."""
    deviation = _RADIUS * np.sqrt(density.covariances[:, j, j])
    low, high = float((density.means[:, j] - deviation).min()), float((density.means[:, j] + deviation).max())
    observed = values[~np.isnan(values)]
    if len(observed):
        first, last = float(observed.min()), float(observed.max())
        room = 0.25 * (last - first) or 0.5 * (high - low)
        low, high = min(first, max(low, first - room)), max(last, min(high, last + room))
    pad = 0.04 * (high - low) or 1.0
    return low - pad, high + pad


def _key_of_components(weights: np.ndarray, *, lines: bool = False) -> tuple[list[Any], list[str]]:
    handles: list[Any] = []
    labels: list[str] = []
    for k, weight in enumerate(weights[:_MOST_NAMED]):
        look: dict[str, Any] = (
            {"linewidth": 2.0} if lines else {"marker": marker(k), "linestyle": "none", "markersize": 5.5}
        )
        handles.append(Line2D([], [], color=colour(k), **look))
        labels.append(f"component {k} ({percent(float(weight))})")
    if len(weights) > _MOST_NAMED:
        handles.append(Line2D([], [], linestyle="none"))
        labels.append(f"… and {len(weights) - _MOST_NAMED} more")
    return handles, labels


def _extend_key(handles: list[Any], labels: list[str], drawn: Drawn, *, ellipses: bool) -> None:
    if ellipses:
        handles.append(
            Line2D([], [], color=MUTED, linewidth=1.4, marker="o", markersize=7, fillstyle="none", linestyle="none")
        )
        labels.append("95% of a component")
    if ellipses and np.isnan(drawn.cells).any():
        handles.append(
            Line2D(
                [], [], linestyle="none", marker="o", fillstyle="none", color=MUTED, markersize=5, markeredgewidth=0.9
            )
        )
        labels.append("hollow: missing cell imputed (mean)")
    if len(drawn.cells) < drawn.n_rows:
        handles.append(Line2D([], [], linestyle="none"))
        labels.append(f"{len(drawn.cells):,} of {drawn.n_rows:,} rows drawn")


def _short(name: str, d: int) -> str:
    """The name, shortened to what the side of a panel can hold."""
    return shown(name, {2: 34, 3: 28}.get(d, 20))
