"""Regressions by augmentation: effects with their intervals, and responses against what was expected of them."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .augmented import Answers, FittedAugmented
from .digits import count
from .legend import rows_named
from .marginals import padded
from .rows import sample_rows
from .scatter import MOST_VECTOR_MARKS
from .style import ACCENT, COLOURS, INK, MUTED, RULE, colour, dress, key, label, marker, new_figure, shown, title

#: Coefficients that one figure shows, those of the largest effects; linear predictors, in their order; classes.
MOST_COEFFICIENTS, MOST_PREDICTORS, MOST_CLASSES = 40, 8, 16
#: Of several predictors, at least so many columns are shown.
_LEAST_COLUMNS = 6
#: Half of a 95% interval, in standard errors.
TWO_SIDED = 1.959964
#: Height of a coefficient and what further predictors add to it, width of a letter of a name, in inches.
_ROW, _FURTHER, _LETTER = 0.25, 0.13, 0.068
_LONGEST = 30
_PANEL = 4.6
_BINS = 20
#: Seed by which marks of a class are moved apart; none that data are likely to be made with.
_APART = 912_373


def augmented_plot(fitted: FittedAugmented, errors: Any, columns: Sequence[str | int] | None = None) -> Figure:
    """The coefficients; with rows also what was expected of each response.

    Parameters
    ----------
    fitted : FittedAugmented
    errors : array, shape (K, p), or None
        Standard errors of the coefficients.
    columns : sequence of str or int, optional
        Of the table; all by default.
    """
    chosen = fitted.chosen(columns)
    if fitted.answers is None:
        return coefficients_plot(fitted, errors, chosen)
    width, height = coefficients_size(fitted, chosen)
    if height > 1.5 * _PANEL:  # a tall panel stands above, so that the other is no lone square beside it
        figure = new_figure(max(width, _PANEL + 1.4), height + _PANEL)
        parts = cast(Any, figure).subfigures(2, 1, height_ratios=[height, _PANEL])
    else:
        whole = max(height, _PANEL - 0.3)
        figure = new_figure(width + _PANEL + 0.4, whole)
        parts = cast(Any, figure).subfigures(1, 2, width_ratios=[width, _PANEL + 0.4])
        high = height + _ROW * len(drawn_columns(fitted, chosen)[0])  # rows are at most about twice as high
        if whole > high + 0.4:
            parts = [parts[0].subfigures(2, 1, height_ratios=[high, whole - high])[0], parts[1]]
    draw_coefficients(parts[0], fitted, errors, chosen)
    draw_answers(parts[1], fitted, fitted.answers)
    return figure


def coefficients_plot(fitted: FittedAugmented, errors: Any, columns: Sequence[int] | None = None) -> Figure:
    """A dot and a 95% interval for what one standard deviation of each column changes."""
    chosen = list(range(len(fitted.names))) if columns is None else list(columns)
    figure = new_figure(*coefficients_size(fitted, chosen))
    draw_coefficients(figure, fitted, errors, chosen)
    return figure


def answers_plot(fitted: FittedAugmented, answers: Answers) -> Figure:
    """Responses against predictions; of classes, the probabilities that they were given."""
    figure = new_figure(_PANEL + 1.6, _PANEL)
    draw_answers(figure, fitted, answers)
    return figure


# -------------------------------------------------------------------------------------------------------- coefficients


def drawn_columns(fitted: FittedAugmented, columns: Sequence[int]) -> tuple[list[int], int]:
    """Columns of the design that are drawn, in their order, and how many predictors are."""
    k = min(len(fitted.coef), MOST_PREDICTORS)
    most = max(MOST_COEFFICIENTS // k, _LEAST_COLUMNS)
    size = np.abs(fitted.effects[:k]).max(axis=0)
    best = sorted(columns, key=lambda j: -size[j])[:most]
    if len(columns) > most:  # coefficients of 0 are no larger than those that are left out
        best = [j for j in best if size[j] > 0] or best
    return sorted(best), k


def _notes(fitted: FittedAugmented, columns: Sequence[int]) -> list[str]:
    chosen, k = drawn_columns(fitted, columns)
    found = []
    if len(chosen) < len(columns):
        what = "coefficients" if len(fitted.coef) == 1 else "columns"
        rest = np.setdiff1d(columns, chosen)
        few = "of the largest effects" if fitted.coef[:k, rest].any() else "that are not 0"
        few = few if fitted.coef[:k, chosen].any() else "(all are 0)"
        found.append(f"the {len(chosen)} of {len(columns):,} {what} {few}")
    if k < len(fitted.coef):
        found.append(f"the first {k} of {len(fitted.coef)} classes that are compared")
    return found


def coefficients_size(fitted: FittedAugmented, columns: Sequence[int]) -> tuple[float, float]:
    """Width and height in inches of `draw_coefficients`."""
    chosen, k = drawn_columns(fitted, columns)
    names = max((len(shown(fitted.names[j], _LONGEST)) for j in chosen), default=8) * _LETTER
    lines = len(_notes(fitted, columns)) + 1 + (-(-k // 2) if k > 1 else 0)
    high = (_ROW + _FURTHER * (k - 1)) * max(len(chosen), 2)
    return max(names + 3.9, 5.2), high + 1.15 + 0.2 * lines


def draw_coefficients(figure: Any, fitted: FittedAugmented, errors: Any, columns: Sequence[int]) -> None:
    """See `coefficients_plot`; ``figure`` may be a part of one."""
    axes = figure.subplots()
    dress(axes)
    chosen, k = drawn_columns(fitted, columns)
    high = _ROW + _FURTHER * (k - 1)
    for i in range(k):
        at = np.arange(len(chosen)) + (i - (k - 1) / 2) * _FURTHER / high
        _dots(axes, fitted, errors, chosen, i, at)
    axes.axvline(0.0, color=RULE, linewidth=1.0, zorder=1)
    for place in range(1, len(chosen), 2):
        axes.axhspan(place - 0.5, place + 0.5, color="#f5f7f9", zorder=0)
    axes.set_ylim(max(len(chosen), 1) - 0.4, -0.6)
    axes.set_yticks(range(len(chosen)), [shown(fitted.names[j], _LONGEST) for j in chosen], parse_math=False)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    label(axes, x=f"change of {fitted.scale}\nfor {fitted.unit}")
    what = "posterior means" if fitted.uncertain else "coefficients"
    title(axes, what if errors is None else f"{what} and 95% intervals")
    handles: list[Any] = []
    labels: list[str] = []
    if k > 1:
        for i in range(k):
            look: dict[str, Any] = {"color": colour(i + 1), "marker": marker(i + 1)}  # as the class has, the first is 0
            handles.append(Line2D([], [], markersize=5, linewidth=1.6, **look))
            labels.append(shown(fitted.predictors[i], 24))
    if (fitted.coef[:k, chosen] == 0).any():
        handles.append(Line2D([], [], color=MUTED, marker="o", fillstyle="none", linestyle="none", markersize=5))
        labels.append("hollow: exactly 0")
    for note in _notes(fitted, columns):
        handles.append(Line2D([], [], linestyle="none"))
        labels.append(note)
    if handles:
        wide = any(len(text) > 30 for text in labels)
        key(figure, handles, labels, loc="outside lower center", ncols=1 if wide else 2)


def _dots(
    axes: Axes, fitted: FittedAugmented, errors: Any, chosen: Sequence[int], i: int, at: Sequence[float] | np.ndarray
) -> None:
    """One predictor's effects, with intervals where these are known."""
    effect, zero = fitted.effects[i], fitted.coef[i] == 0
    of = i + 1 if len(fitted.coef) > 1 else 0
    shade, mark = colour(of), marker(of)
    for place, j in zip(at, chosen, strict=True):
        error = np.nan if errors is None else errors[i, j]
        if np.isfinite(error) and error > 0:
            half = TWO_SIDED * error * fitted.deviation[j]
            axes.plot([effect[j] - half, effect[j] + half], [place, place], color=shade, linewidth=1.6, zorder=3)
        face = "white" if zero[j] else shade
        axes.plot(effect[j], place, color=shade, marker=mark, markerfacecolor=face, markersize=5, zorder=4)


# --------------------------------------------------------------------------------------------- responses, probabilities


def draw_answers(figure: Any, fitted: FittedAugmented, answers: Answers) -> None:
    """See `answers_plot`; ``figure`` may be a part of one."""
    axes = figure.subplots()
    sample = sample_rows(answers.n_rows)
    if not fitted.classes:
        handles, labels = _responses(axes, fitted, answers, sample)
    elif len(fitted.classes) == 2:
        handles, labels = _two_classes(axes, fitted, answers, sample)
    else:
        handles, labels = _classes(axes, fitted, answers, sample)
    rows_named(handles, labels, len(sample), answers.n_rows)
    if handles:
        wide = any(len(text) > 30 for text in labels)
        key(figure, handles, labels, loc="outside lower center", ncols=1 if wide else 2)


def _responses(
    axes: Axes, fitted: FittedAugmented, answers: Answers, sample: np.ndarray
) -> tuple[list[Any], list[str]]:
    """Each response at its prediction; censored ones as triangles that point to where they lie."""
    dress(axes, grid=True)
    expected, (low, high) = answers.prediction[sample], (answers.y[sample, 0], answers.y[sample, -1])
    far = np.zeros(len(sample), dtype=bool) if answers.low is None else answers.low[sample]
    seen, left, right = low == high, np.isneginf(low) & np.isfinite(high), np.isfinite(low) & np.isposinf(high)
    between = ~seen & np.isfinite(low) & np.isfinite(high)
    size = float(np.clip(16.0 * (400 / max(len(sample), 1)) ** 0.4, 4.0, 18.0))
    look: dict[str, Any] = {"rasterized": len(sample) > MOST_VECTOR_MARKS, "linewidths": 0}
    axes.scatter(expected[seen & ~far], low[seen & ~far], s=size, color=COLOURS[0], alpha=0.5, zorder=2, **look)
    axes.scatter(expected[far], low[far], s=1.2 * size, color=ACCENT, alpha=0.8, zorder=3, **look)
    axes.scatter(expected[left], high[left], s=1.5 * size, color=COLOURS[1], marker="v", alpha=0.6, zorder=3, **look)
    axes.scatter(expected[right], low[right], s=1.5 * size, color=COLOURS[4], marker="^", alpha=0.6, zorder=3, **look)
    if between.any():
        ends = low[between], high[between]
        axes.vlines(expected[between], *ends, color=COLOURS[0], linewidth=1.0, alpha=0.5, zorder=2)
    ends = np.concatenate([low[np.isfinite(low)], high[np.isfinite(high)]])
    if len(ends):
        axes.set_ylim(*padded(float(ends.min()), float(ends.max())))
    axes.set_xlim(*padded(float(expected.min()), float(expected.max())))
    middle = float(expected.mean())
    axes.axline((middle, middle), slope=1.0, color=INK, linewidth=1.0, zorder=4)
    kind = fitted.kind
    word = {"laplace": "predicted median", "tobit": "prediction of the uncensored response"}.get(kind, "prediction")
    word = f"predicted {fitted.estimator.quantile:g} quantile" if kind == "asymmetric_laplace" else word
    label(axes, x=word, y=shown(answers.response))
    title(axes, "responses and predictions")
    handles: list[Any] = [Line2D([], [], color=INK, linewidth=1.0)]
    labels = ["response = prediction"]
    if answers.low is not None:
        handles.append(Line2D([], [], color=ACCENT, marker="o", linestyle="none", markersize=5))
        labels.append(f"less than a quarter of the median weight ({count(int(answers.low.sum()), 'row')})")
    for mask, shade, mark, told in ((left, 1, "v", "at most this"), (right, 4, "^", "at least this")):
        if mask.any():
            handles.append(Line2D([], [], color=COLOURS[shade], marker=mark, linestyle="none", markersize=5))
            labels.append(f"censored: {told}")
    if between.any():
        handles.append(Line2D([], [], color=COLOURS[0], marker="|", linestyle="none", markersize=9))
        labels.append("censored: between its ends")
    return handles, labels


def _two_classes(
    axes: Axes, fitted: FittedAugmented, answers: Answers, sample: np.ndarray
) -> tuple[list[Any], list[str]]:
    """How often the second class was given each probability: its own rows upwards, the other class's downwards."""
    dress(axes, grid=True)
    given, code, weight = answers.prediction[sample, 1], answers.y[sample, 0], answers.each[sample]
    edges = np.linspace(0, 1, _BINS + 1)
    handles, labels, most = [], [], 0.0
    for k, sign in ((1, 1.0), (0, -1.0)):
        own = code == k
        height = np.histogram(given[own], edges, weights=weight[own])[0]
        axes.bar(edges[:-1], sign * height, width=1 / _BINS, align="edge", color=colour(k), edgecolor="white")
        handles.append(Line2D([], [], color=colour(k), marker="s", linestyle="none", markersize=6))
        labels.append(f"observed {'above' if k else 'below'}: {shown(fitted.classes[k], 24)}")
        most = max(most, float(height.max()))
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.set_xlim(0, 1)
    axes.set_ylim(-1.08 * most, 1.08 * most)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, integer=most >= 5))
    axes.yaxis.set_major_formatter(lambda at, _: f"{abs(at):,g}")
    label(axes, x=f"predicted probability of {shown(fitted.classes[1])}", y="rows")
    title(axes, "probabilities, by observed class")
    return handles, labels


def _classes(axes: Axes, fitted: FittedAugmented, answers: Answers, sample: np.ndarray) -> tuple[list[Any], list[str]]:
    """The probability that each row's own class was given, class by class."""
    dress(axes)
    given, code, weight = answers.observed_probability[sample], answers.y[sample, 0].astype(int), answers.each
    rows = np.bincount(answers.y[:, 0].astype(int), weight, minlength=len(fitted.classes))
    listed = sorted(np.argsort(-rows, kind="stable")[:MOST_CLASSES].tolist())
    apart = np.random.default_rng(_APART).uniform(-0.3, 0.3, len(sample))
    size = float(np.clip(14.0 * (400 / max(len(sample), 1)) ** 0.4, 3.0, 16.0))
    for place, k in enumerate(listed):
        own = code == k
        axes.scatter(
            given[own], place + apart[own], s=size, color=colour(k), alpha=0.45, linewidths=0, zorder=2,
            rasterized=len(sample) > MOST_VECTOR_MARKS,
        )  # fmt: skip
        share = float(rows[k] / rows.sum())
        axes.plot([share, share], [place - 0.4, place + 0.4], color=MUTED, linewidth=1.4, linestyle=":", zorder=3)
        if own.any():
            low, middle, high = np.quantile(given[own], [0.25, 0.5, 0.75])
            axes.plot([low, high], [place, place], color=INK, linewidth=1.6, zorder=4)
            axes.plot(middle, place, color=INK, marker="o", markersize=5, zorder=5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(len(listed) - 0.4, -0.6)
    axes.set_yticks(range(len(listed)), [shown(fitted.classes[k], 20) for k in listed], parse_math=False)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    label(axes, x="probability given to the observed class")
    title(axes, "probabilities, by observed class")
    handles: list[Any] = [
        Line2D([], [], color=INK, marker="o", markersize=5, linewidth=1.6),
        Line2D([], [], color=MUTED, linewidth=1.4, linestyle=":"),
    ]
    labels = ["median, quartiles", "the class’s share of the rows"]
    if len(listed) < len(fitted.classes):
        handles.append(Line2D([], [], linestyle="none"))
        labels.append(f"the {len(listed)} most frequent of {len(fitted.classes)} classes")
    return handles, labels
