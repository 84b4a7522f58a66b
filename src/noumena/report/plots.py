"""Drawings of a fitted mixture, a selection, a trace and the holes of a table.

Every function returns a `matplotlib.figure.Figure` of its own: no window, no global state. Save it with
``figure.savefig(path)``; notebooks show it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..data.columns import positions
from ..data.table import Table, read_table
from ..estimators.inputs import row_weights
from .augmented import augmented_taken_apart, coefficient_errors, is_augmented
from .augmented_plots import augmented_plot
from .candidates import CRITERIA, sized, usable
from .digits import count, number, percent
from .errors import standard_errors_or_why_not
from .factor_plots import factor_plot
from .factors import factors_taken_apart, is_factors
from .fitted import Ellipsoids, FittedMixture, taken_apart
from .levels import draw_levels, fitting, level_bars, levels_size
from .marginals import MOST_PANELS, draw_panels, panels, panels_size
from .membership import Drawn, rows_to_draw, separation_by_columns
from .network import is_network, network_plot
from .regression import is_regression, regression_taken_apart
from .regression_plots import regression_plot
from .rows import Missing, missing_patterns
from .scatter import pair_plot, projection_plot
from .style import ACCENT, COLOURS, INK, MUTED, SMALL, colour, dress, key, label, marker, new_figure, shown, title

#: Columns of which every pair is drawn; more are projected.
MOST_PAIRS = 6
_MOST_PATTERNS, _MOST_COLUMNS = 12, 20


def plot(
    subject: Any,
    X: Any = None,
    y: Any = None,
    *,
    columns: Sequence[str | int] | None = None,
    sample_weight: Any = None,
    evidence: Mapping[str, Any] | None = None,
    censoring: Any = None,
) -> Figure:
    """Draw a fitted mixture over its data, a regression, a factor model, a Bayesian network, or a selection.

    Columns that are normals, or t distributions, in every component: one as a histogram with the components' densities;
    two to six as every pair, with the 95% ellipse of each component; more as the plane in which the components differ
    most. Other tables are drawn column by column: numbers as histograms with the components' densities or
    probabilities, levels as bars of their probabilities.

    Mixtures of regressions: the response against each regressor with what each component expects, the other regressors
    at their means or most common levels; then the weights along each concomitant variable.

    Regressions by augmentation: a dot and a 95% interval for what one standard deviation of each column changes, hollow
    where the coefficient is exactly 0; of more than 40 coefficients those of the largest effects. Intervals are those
    of the posterior, where the weights have one, else of the standard errors, which need the rows. With rows also each
    response against its prediction: rows of little weight, and censored ones, look different. Of two classes, the
    predicted probability of the second by observed class; of more, that of the observed class, class by class.

    Factor models: the standardised loadings, columns of one factor side by side, with the communalities and, where
    factors correlate, their correlations; of more than 40 columns those with the highest communalities. With a table
    and two factors or more, also the rows in the plane of the first two, with the directions of the columns.

    Bayesian networks: parents above their children, each node with the marginal probabilities of its states where there
    are at most 40 nodes. No table is needed.

    Parameters
    ----------
    subject : mixture estimator, factor model, AugmentedRegressor, AugmentedClassifier, BayesianNetwork or Selection
    X : table
        The rows to draw: at most 5,000, a random sample of more. Rows without any observed cell are left out. Mixtures
        need them.
    y : array or str, optional
        For regressions: the responses, or the name of their column in ``X``.
    columns : sequence of str or int, optional
        Columns to draw, by name or position; all by default. Where they do not all find room, those that separate the
        components best are drawn, and the figure says so.
    sample_weight : array, shape (n_rows,), optional
        What each row counts in histograms, shares and standard errors.
    evidence : mapping, optional
        For a Bayesian network: from nodes to states that are known; the probabilities are given these.
    censoring : array or str, optional
        For a tobit regression: the codes of `AugmentedRegressor.fit`, or the name of their column in ``X``.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import numpy as np
    >>> import noumena as nm
    >>> from noumena.report import plot
    >>> rng = np.random.default_rng(0)
    >>> x = np.concatenate([rng.normal(0, 1, (50, 2)), rng.normal(6, 1, (50, 2))])
    >>> len(plot(nm.GaussianMixture(2, random_state=0).fit(x), x).axes)
    4
    """
    if hasattr(subject, "table_") and hasattr(subject, "criterion"):
        return _plot_selection(subject)
    if is_network(subject):
        if not (X is None and y is None and columns is None and sample_weight is None and censoring is None):
            raise TypeError("plot: a network is drawn without a table: leave out all but evidence")
        return network_plot(subject, evidence)
    if evidence is not None:
        raise TypeError(f"plot: evidence is for Bayesian networks, not for a {type(subject).__name__}: leave it out")
    if is_augmented(subject):
        return _plot_augmented(subject, X, y, columns, sample_weight, censoring)
    if censoring is not None:
        raise TypeError(f"plot: a {type(subject).__name__} has no censored responses: leave censoring out")
    if is_regression(subject):
        return regression_plot(regression_taken_apart(subject, X, y, "plot", sample_weight), columns)
    if y is not None:
        raise TypeError(f"plot: a {type(subject).__name__} has no response: leave y out")
    if is_factors(subject):
        if sample_weight is not None:
            raise TypeError(f"plot: a {type(subject).__name__} is drawn without weights: leave sample_weight out")
        factors = factors_taken_apart(subject, "plot")
        return factor_plot(factors, None if X is None else subject._table(X), columns)
    fitted = taken_apart(subject, "plot")
    if X is None:
        raise TypeError(f"plot({type(subject).__name__}) needs the table to draw: plot(estimator, X)")
    table = subject._table(X)
    drawn = rows_to_draw(fitted, table, row_weights(sample_weight, table.n_rows))
    names = tuple(fitted.names)
    chosen = positions(None if columns is None else list(columns), names, len(names))
    for group in fitted.ellipsoids:
        if {*chosen} <= {*group.columns}:
            return plot_ellipsoids(group.marginal(np.array([group.columns.index(j) for j in chosen])), fitted, drawn)
    return _plot_columns(fitted, chosen, drawn)


def _plot_augmented(
    subject: Any, X: Any, y: Any, columns: Sequence[str | int] | None, sample_weight: Any, censoring: Any
) -> Figure:
    fitted = augmented_taken_apart(subject, X, y, "plot", sample_weight, censoring)
    errors = None
    if fitted.answers is not None and not fitted.uncertain:
        errors, _ = standard_errors_or_why_not(subject, fitted.answers.standard_errors)
    return augmented_plot(fitted, coefficient_errors(fitted, errors), columns)


def plot_ellipsoids(ellipsoids: Ellipsoids, fitted: FittedMixture, drawn: Drawn) -> Figure:
    """Columns that are normals or t distributions; ``drawn`` holds all columns of the mixture."""
    d = len(ellipsoids.columns)
    if d == 1:
        return panels(fitted, list(ellipsoids.columns), drawn, of=1)
    return (pair_plot if d <= MOST_PAIRS else projection_plot)(ellipsoids, fitted, drawn)


def _plot_columns(fitted: FittedMixture, columns: Sequence[int], drawn: Drawn) -> Figure:
    """Columns of any kind: numbers above, levels below."""
    room = Room.of(fitted, columns, drawn)
    if not room.levels:
        return panels(fitted, room.numbers, drawn, room.all_numbers)
    if not room.numbers:
        return level_bars(fitted, room.levels, drawn, room.all_levels)
    sizes = panels_size(len(room.numbers)), levels_size(fitted, room.levels, drawn)
    (width, above), (wide, below) = sizes
    figure = new_figure(max(width, wide), above + below)
    top, bottom = cast(Any, figure).subfigures(2, 1, height_ratios=[above, below])
    draw_panels(top, fitted, room.numbers, drawn, room.all_numbers)
    draw_levels(bottom, fitted, room.levels, drawn, room.all_levels)
    return figure


@dataclass(frozen=True)
class Room:
    """Which columns are drawn: those that separate the components best, where there is not room for all.

    Attributes
    ----------
    numbers, levels : list of int
        Positions of the columns that are drawn; columns that share out a total are drawn like levels, as one, and the
        first stands for them.
    all_numbers, all_levels : int
        How many there are.
    """

    numbers: list[int]
    levels: list[int]
    all_numbers: int
    all_levels: int

    @classmethod
    def of(cls, fitted: FittedMixture, columns: Sequence[int], drawn: Drawn) -> "Room":
        """The choice among these columns."""
        ranked = ranking(fitted, drawn)
        groups = {fitted.columns[j].group[0] for j in columns if fitted.columns[j].group}
        levels = [j for j in {*columns, *groups} if fitted.columns[j].levels is not None or j in groups]
        numbers = [j for j in columns if fitted.columns[j].levels is None and not fitted.columns[j].group]
        best = [j for j in ranked if j in {*numbers}][:MOST_PANELS]
        return cls(
            numbers if len(numbers) <= MOST_PANELS else sorted(best),
            fitting(fitted, levels, ranked, drawn),
            len(numbers),
            len(levels),
        )


def ranking(fitted: FittedMixture, drawn: Drawn) -> list[int]:
    """Positions of all columns, those that separate the components best first."""
    levels = [0 if column.levels is None else len(column.levels) for column in fitted.columns]
    return np.argsort(-separation_by_columns(drawn, levels), kind="stable").tolist()


def _plot_selection(selection: Any) -> Figure:
    """The criterion against the number of components or factors, one line per covariance structure."""
    column, word, higher = CRITERIA[selection.criterion]
    of, noun = sized(selection)
    table, good = selection.table_, usable(selection)
    size = np.array(table.column(of).to_pylist())
    structure = np.array(
        table.column("covariance").to_pylist() if "covariance" in table.column_names else [""] * len(size), dtype=object
    )
    value = np.array(table.column(column).to_pylist(), dtype=float)
    structures = list(dict.fromkeys(structure))
    named = len(structures) > 1
    best = int(np.flatnonzero(good)[(value[good] if higher else -value[good]).argmax()]) if good.any() else None
    figure = new_figure(4.8, 3.4 + 0.22 * -(-len(structures) // 5))
    axes = figure.subplots()
    dress(axes, grid=True)
    label(axes, x=f"number of {noun}s", y=f"{word} ({'higher' if higher else 'lower'} is better)")
    for k, name in enumerate(structures):
        rows = np.flatnonzero((structure == name) & good)
        rows = rows[np.argsort(size[rows])]
        chosen = best is not None and structure[best] == name
        axes.plot(
            size[rows], value[rows], color=colour(k), marker=marker(k), markersize=5 if chosen else 3.5,
            linewidth=2.2 if chosen else 1.1, alpha=1.0 if chosen else 0.75, label=str(name), zorder=3 if chosen else 2,
        )  # fmt: skip
    notes = []
    if best is not None:
        axes.scatter(size[best], value[best], s=130, facecolors="none", edgecolors=INK, linewidths=1.6, zorder=5)
        with_structure = f"{structure[best]} with " if named else ""
        title(axes, f"best: {with_structure}{count(int(size[best]), noun)}, {word} {number(value[best], 1)}")
        flip = -1.0 if higher else 1.0
        if _zoom(axes, flip * value[good], flip * value[good & (structure == structure[best])]):
            notes.append("far worse candidates lie beyond the frame")
            if higher:
                axes.set_ylim(*(-np.array(axes.get_ylim())[::-1]))
    if len({*size}) == 1:
        axes.set_xlim(size[0] - 1, size[0] + 1)
    axes.xaxis.set_major_locator(_whole_numbers())
    axes.yaxis.set_major_formatter(lambda at, _: number(at, 0 if abs(np.ptp(axes.get_ylim())) > 10 else None))
    if named:
        handles = [Line2D([], [], color=colour(k), marker=marker(k), markersize=4.5) for k in range(len(structures))]
        labels = [str(name) for name in structures]
        key(figure, handles, labels, loc="outside lower center", ncols=min(5, len(labels)))
    if not good.all():
        notes.append(f"{count(int((~good).sum()), 'degenerate or failed candidate')} left out")
    if notes:
        axes.set_xlabel("\n".join([f"number of {noun}s", *(f"({note})" for note in notes)]))
    return figure


def _zoom(axes: Axes, values: np.ndarray, chosen: np.ndarray) -> bool:
    """Cut off candidates that are so much worse that the good ones would be pressed into one line; whether any was."""
    best = chosen.min()
    top = best + max(1.4 * (chosen.max() - best), 1.2 * (np.quantile(values, 0.4) - best))
    if values.max() - best <= 1.6 * (top - best):
        return False
    axes.set_ylim(best - 0.06 * (top - best), top)
    return True


def _whole_numbers() -> MaxNLocator:
    return MaxNLocator(integer=True, nbins=10)


def plot_trace(estimator: Any) -> Figure:
    """Draw the objective at every iteration, and how far it was from its final value.

    Parameters
    ----------
    estimator : fitted estimator
        With a ``trace_``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    objective, accepted = np.asarray(estimator.trace_.objective, float), np.asarray(estimator.trace_.accepted, bool)
    word = objective_in_words(estimator)
    figure = new_figure(4.8, 4.2)
    upper, lower = figure.subplots(2, 1, sharex=True)
    iteration = np.arange(len(objective))
    finite = np.isfinite(objective)
    taken, refused = finite & accepted, finite & ~accepted
    final = objective[taken].max() if taken.any() else 0.0
    gap = final - objective
    far = taken & (gap > 0)
    for axes, values, drawn in ((upper, objective, taken), (lower, gap, far)):
        axes.plot(iteration[drawn], values[drawn], color=COLOURS[0], linewidth=1.6, marker="o", markersize=3, zorder=3)
        some = refused & (gap > 0)
        axes.plot(iteration[some], values[some], color=ACCENT, marker="x", markersize=6, linestyle="none", zorder=4)
    dress(upper, grid=True)
    label(upper, y=f"{word} (nats)")
    dress(lower, grid=True)
    label(lower, x="iteration", y="still to gain (nats)")
    if far.any():
        lower.set_yscale("log")
        lower.minorticks_off()
    else:
        lower.text(
            0.5,
            0.5,
            "nothing was left to gain",
            transform=lower.transAxes,
            ha="center",
            color=MUTED,
            fontsize=SMALL + 1,
        )
    upper.xaxis.set_major_locator(_whole_numbers())
    upper.yaxis.set_major_formatter(lambda at, _: number(at, 0 if np.ptp(upper.get_ylim()) > 10 else None))
    title(upper, f"{word} {number(final, 2)} after {count(max(len(objective) - 1, 0), 'iteration')}")
    if refused.any():
        crosses = Line2D([], [], color=ACCENT, marker="x", linestyle="none", markersize=6)
        key(upper, [crosses], [f"not a new best ({int(refused.sum())})"], loc="lower right")
    return figure


def objective_in_words(estimator: Any) -> str:
    """What a fit makes as large as it can."""
    if hasattr(estimator, "lower_bound_"):
        return "lower bound"
    if hasattr(estimator, "bound_"):
        return "log evidence" if getattr(estimator, "bound_is_exact_", False) else "lower bound"
    if getattr(estimator, "prior", None) not in (None, "flat"):
        return "log posterior"
    return "joint log likelihood" if hasattr(estimator, "joint_log_likelihood_") else "log likelihood"


def plot_missing(X: Any) -> Figure:
    """Draw which cells of a table are missing: the share per column, and the row patterns by how often they occur.

    Parameters
    ----------
    X : table
        Columns that do not hold numbers are left out.

    Returns
    -------
    matplotlib.figure.Figure
    """
    table = X if isinstance(X, Table) else read_table(X, numeric_only=True)
    names = [f"x{i}" for i in range(table.n_columns)] if table.names is None else list(table.names)
    return plot_holes(missing_patterns(table), names)


def plot_holes(missing: Missing, names: list[str]) -> Figure:
    """As `plot_missing`, of patterns that have been counted already."""
    if not missing.per_column.any():
        figure = new_figure(5.6, 0.9)
        figure.text(0.5, 0.5, f"No cell is missing in {count(missing.n_rows, 'row')} by {count(len(names), 'column')}.",
                    ha="center", va="center", color=MUTED)  # fmt: skip
        return figure
    shown_columns = np.arange(len(names))
    if len(names) > _MOST_COLUMNS:
        shown_columns = np.sort(np.argsort(-missing.per_column, kind="stable")[:_MOST_COLUMNS])
    patterns, counts = missing.patterns[:_MOST_PATTERNS], missing.counts[:_MOST_PATTERNS]
    rows = np.arange(len(shown_columns))[::-1]
    high = 0.26 * len(rows)
    figure = new_figure(3.4 + 0.27 * max(len(counts), 5), 2.2 + high)
    grid = figure.subplots(
        2,
        2,
        sharex="col",
        sharey="row",
        width_ratios=[1.6, 0.3 * max(len(counts), 5)],
        height_ratios=[1.1, max(high, 0.6)],
    )
    bars, corner, matrix, share = grid[0, 1], grid[0, 0], grid[1, 1], grid[1, 0]
    corner.set_axis_off()
    _pattern_counts(bars, counts, missing.n_rows)
    _pattern_matrix(matrix, patterns[:, shown_columns], rows)
    part = missing.per_column[shown_columns] / missing.n_rows
    dress(share)
    share.barh(rows, part, height=0.6, color=COLOURS[0])
    for row, one in zip(rows, part, strict=True):
        share.text(one, row, f" {percent(float(one))}", va="center", fontsize=SMALL, color=MUTED)
    share.set_xlim(0, max(1.45 * part.max(), 1e-9))
    share.set_xticks([])
    share.spines["bottom"].set_visible(False)
    share.set_yticks(rows, [shown(names[j], 24) for j in shown_columns], parse_math=False)
    share.tick_params(axis="y", length=0, labelcolor=INK)
    share.set_xlabel("share missing", fontsize=SMALL + 0.5, color=INK)
    notes = []
    if len(missing.counts) > len(counts):
        notes.append(f"the {len(counts)} most frequent of {len(missing.counts):,} row patterns")
    if len(shown_columns) < len(names):
        notes.append(f"the {len(shown_columns)} of {len(names)} columns with most holes")
    matrix.set_xlabel("\n".join(["row patterns (dark: missing)", *notes]), fontsize=SMALL + 0.5, color=INK)
    return figure


def _pattern_counts(axes: Axes, counts: np.ndarray, n_rows: int) -> None:
    dress(axes)
    at = np.arange(len(counts))
    axes.bar(at, counts, width=0.6, color="#9aa5b1")
    for x, rows in zip(at, counts, strict=True):
        axes.text(float(x), float(rows), f"{rows:,}", ha="center", va="bottom", fontsize=SMALL, color=INK)
    axes.set_ylim(0, 1.25 * counts.max())
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0, labelbottom=False)
    axes.spines["left"].set_visible(False)
    title(axes, f"rows (of {n_rows:,})")


def _pattern_matrix(axes: Axes, patterns: np.ndarray, rows: np.ndarray) -> None:
    dress(axes)
    across, down = np.meshgrid(np.arange(len(patterns)), rows)
    hole = patterns.T
    axes.scatter(across[~hole], down[~hole], s=34, color="#e3e7eb", zorder=2)
    axes.scatter(across[hole], down[hole], s=46, color=INK, zorder=3)
    for x, pattern in enumerate(patterns):
        if pattern.sum() > 1:
            ends = rows[pattern]
            axes.plot([x, x], [ends.min(), ends.max()], color=INK, linewidth=1.6, zorder=2)
    for row in rows[::2]:
        axes.axhspan(row - 0.5, row + 0.5, color="#f5f7f9", zorder=0)
    axes.set_xlim(-0.7, max(len(patterns), 4) - 0.3)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
