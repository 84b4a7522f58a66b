"""The drawing of merged components: the tree, and the entropy that the number of clusters is read from."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from scipy.cluster.hierarchy import leaves_list

from ..estimators.merging import Merging
from .digits import count, number
from .style import ACCENT, COLOURS, INK, MUTED, RULE, SMALL, colour, dress, label, new_figure, title

#: Merges of what counts as separate clusters.
_BEYOND = RULE
_MOST_TICKS = 15


def plot_merging(merging: Merging, n_clusters: int | None = None) -> Figure:
    """Draw which components merge, and the entropy at every number of clusters.

    Left, the tree: components at the bottom, each merge at the number of clusters that it leaves, and one colour for
    each cluster where the tree is cut. Right, the rescaled entropy plot of Baudry et al. (2010) with the two straight
    lines whose change point `Merging.elbow` suggests: a steep line leads down through merges of overlapping components,
    a flat one through merges of separate clusters.

    Parameters
    ----------
    merging : Merging
    n_clusters : int, optional
        Where to cut the tree; at the suggested number by default.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        For a number of clusters beyond 1 … K; where the mixture has one component only.

    Examples
    --------
    >>> import numpy as np
    >>> import noumena as nm
    >>> rng = np.random.default_rng(0)
    >>> x = np.concatenate([rng.gamma(2, 1, 400), 20 + rng.gamma(2, 1, 400)])[:, None]
    >>> gm = nm.GaussianMixture(4, random_state=0).fit(x)
    >>> len(nm.plot_merging(nm.merge_components(gm, x)).axes)
    2
    """
    if merging.n_components == 1:
        raise ValueError("the mixture has one component only: there are no merges to draw")
    own = merging.clusters(n_clusters)
    figure = new_figure(4.2 + max(0.24 * merging.n_components, 2.6), 3.6)
    tree, curve = figure.subplots(1, 2, width_ratios=[max(0.24 * merging.n_components, 2.6), 3.6])
    _tree(tree, merging, own)
    _curve(curve, merging, int(own.max()) + 1)
    return figure


def _tree(axes: Axes, merging: Merging, own: np.ndarray) -> None:
    """Every merge as a bracket from its two clusters up to the number of clusters that it leaves."""
    most, cut = merging.n_components, int(own.max()) + 1
    dress(axes)
    place = np.empty(2 * most - 1)
    place[leaves_list(merging.linkage)] = np.arange(most)
    height = np.concatenate([np.full(most, float(most)), most - 1.0 - np.arange(most - 1)])
    shade = [colour(int(k)) for k in own] + [_BEYOND] * (most - 1)
    for step, (a, b) in enumerate(merging.linkage[:, :2].astype(int)):
        top, new = height[most + step], most + step
        place[new] = (place[a] + place[b]) / 2
        shade[new] = shade[a] if top >= cut else _BEYOND
        for branch in (a, b):
            axes.plot([place[branch]] * 2, [height[branch], top], color=shade[branch], linewidth=1.8, zorder=3)
        axes.plot(place[[a, b]], [top, top], color=shade[new], linewidth=1.8, zorder=3)
    axes.scatter(place[:most], height[:most], color=shade[:most], s=22, zorder=4)
    axes.axhline(cut - 0.5, color=ACCENT, linewidth=1.0, linestyle=(0, (4, 3)), zorder=2)
    axes.set_ylim(most + 0.4, 0.3)  # one cluster at the top
    axes.set_xlim(-0.7, most - 0.3)
    axes.set_xticks(place[:most], [str(k) for k in range(most)])
    axes.tick_params(axis="x", length=0, labelcolor=INK)
    axes.set_yticks(range(1, most + 1, 1 + most // _MOST_TICKS))
    label(axes, x="component", y="number of clusters")
    title(axes, f"{count(most, 'component')} merge to {count(cut, 'cluster')}")


def _curve(axes: Axes, merging: Merging, cut: int) -> None:
    """Entropy against the rows of the merges still to come, with the two lines of the elbow."""
    dress(axes, grid=True)
    x, y, most = merging.rows_still_to_merge, merging.entropy, merging.n_components
    elbow = merging.elbow()
    if elbow < most:
        bend = most - elbow
        for part in (slice(0, bend + 1), slice(bend, None)):
            ends = np.array([x[part][0], x[part][-1]])
            slope, level = np.polyfit(x[part], y[part], 1)
            axes.plot(ends, level + slope * ends, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), zorder=2)
    axes.plot(x, y, color=COLOURS[0], marker="o", markersize=5, linestyle="none", zorder=3)
    axes.scatter(x[most - cut], y[most - cut], s=130, facecolors="none", edgecolors=ACCENT, linewidths=1.6, zorder=4)
    for step in range(most):
        axes.annotate(
            str(most - step), (float(x[step]), float(y[step])), xytext=(-5, 5), textcoords="offset points",
            ha="right", va="bottom", fontsize=SMALL, color=INK,
        )  # fmt: skip
    axes.margins(0.08, 0.14)
    axes.set_ylim(bottom=-0.08 * max(float(y[0]), 1e-9))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, prune="lower"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: number(at, 0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda at, _: number(at, 0 if np.ptp(axes.get_ylim()) > 10 else None)))
    label(axes, x="rows of the merges still to come", y="entropy (nats)")
    title(axes, "entropy at each number of clusters")
