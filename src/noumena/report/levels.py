"""Columns of levels: how probable each level is in each component, as bars side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .digits import percent
from .fitted import FittedMixture
from .membership import Drawn
from .style import INK, MUTED, RULE, colour, dress, key, new_figure, shown, title

#: Levels of one column that are drawn by themselves; the others, which are rarer, are taken together.
MOST_LEVELS = 8
#: Bars one below the other in a figure; half as many in several bands of components.
MOST_BARS = 44
#: Components side by side, and one below the other.
_ACROSS, _DOWN = 8, 3
_BAR, _PANEL, _NAMES = 0.21, 1.0, 1.9  # inches


@dataclass(frozen=True)
class Bars:
    """The bars of one column.

    Attributes
    ----------
    head : str
        The column's name, to stand above them; empty where the one bar has it.
    names : list of str
    probability : array, shape (K, bars)
    share : array, shape (bars,)
        Of all rows.
    """

    head: str
    names: list[str]
    probability: np.ndarray
    share: np.ndarray


def bars_of(fitted: FittedMixture, j: int, drawn: Drawn) -> Bars:
    """The bars of a column of levels; of the columns that share out one total with it, where it is a count."""
    column = fitted.columns[j]
    if column.group:
        others = [fitted.columns[i] for i in column.group]
        levels, probability = [one.name for one in others], np.stack([one.probability[:, 1] for one in others], axis=1)
        cells = drawn.cells[:, list(column.group)]
        count = drawn.weight @ np.nan_to_num(cells)
        head, share = "shares of their total", count / count.sum() if count.sum() > 0 else np.full(len(count), np.nan)
    else:
        assert column.levels is not None
        levels, probability = list(column.levels), column.probability
        head, share = shown(column.name, 28), drawn.shares[j]
    names = [shown(level, 22) for level in levels]
    if len(names) == 2 and not column.group:  # of two levels, the second is enough
        return Bars("", [f"{shown(column.name, 22)} = {shown(levels[1], 12)}"], probability[:, 1:], share[1:])
    if len(names) <= MOST_LEVELS:
        return Bars(head, names, probability, share)
    common = np.sort(np.argsort(-np.nan_to_num(share), kind="stable")[: MOST_LEVELS - 1])
    rest = np.setdiff1d(np.arange(len(names)), common)
    return Bars(
        head,
        [*(names[i] for i in common), f"{len(rest)} other {'columns' if column.group else 'levels'}"],
        np.column_stack([probability[:, common], probability[:, rest].sum(axis=1)]),
        np.append(share[common], share[rest].sum()),
    )


def fitting(fitted: FittedMixture, columns: Sequence[int], ranked: Sequence[int], drawn: Drawn) -> list[int]:
    """As many of the columns as there is room for, by their rank, in the order of the table."""
    room, chosen = MOST_BARS // min(_shape(len(fitted.weights))[1], 2), []
    for j in (j for j in ranked if j in set(columns)):
        room -= _rows([bars_of(fitted, j, drawn)])
        if room < 0 and chosen:
            break
        chosen.append(j)
    return sorted(chosen)


def _rows(bars: Sequence[Bars]) -> float:
    """How high they are, in bars: with the heads, and the gaps between columns."""
    return sum(len(one.names) + bool(one.head) + _gap(bars) for one in bars) - _gap(bars)


def _gap(bars: Sequence[Bars]) -> float:
    """Columns of a single bar each need none between them."""
    return 0.6 if any(one.head for one in bars) else 0.0


def levels_size(fitted: FittedMixture, columns: Sequence[int], drawn: Drawn) -> tuple[float, float]:
    """Width and height in inches of the figure of these columns."""
    across, down = _shape(len(fitted.weights))
    high = _BAR * _rows([bars_of(fitted, j, drawn) for j in columns])
    return _NAMES + max(_PANEL * across, 3.0), down * (high + 0.55) + 0.75


def _shape(size: int) -> tuple[int, int]:
    """How many components lie side by side, and how many bands of them one below the other."""
    down = min(-(-size // _ACROSS), _DOWN)
    return min(-(-size // down), _ACROSS), down


def draw_levels(owner: Any, fitted: FittedMixture, columns: Sequence[int], drawn: Drawn, of: int) -> None:
    """A panel of bars for each component, in a figure or a part of one.

    Parameters
    ----------
    owner : Figure or SubFigure
    fitted : FittedMixture
    columns : list of int
        Positions, of columns of levels.
    drawn : Drawn
        All columns of the mixture.
    of : int
        How many columns could be drawn: the figure says so where some are left out.
    """
    bars = [bars_of(fitted, j, drawn) for j in columns]
    across, down = _shape(len(fitted.weights))
    grid = owner.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    largest = np.argsort(-fitted.weights, kind="stable")[: across * down]
    for place, axes in enumerate(grid.flat):
        if place >= len(largest):
            axes.set_axis_off()
            continue
        k = int(np.sort(largest)[place])
        _component(axes, bars, k)
        title(axes, f"{k} ({percent(float(fitted.weights[k]))})")
        if place % across == 0:
            _name_bars(axes, bars)
    handles: list[Any] = [Line2D([], [], color=INK, marker="|", markersize=9, linestyle="none")]
    labels = ["share of all rows"]
    notes = []
    if len(columns) < of:
        notes.append(f"the {len(columns)} of {of:,} columns that separate the components best")
    if len(largest) < len(fitted.weights):
        notes.append(f"the {len(largest)} largest of {len(fitted.weights)} components")
    handles += [Line2D([], [], linestyle="none") for _ in notes]
    key(owner, handles, labels + notes, loc="outside lower center", ncols=1 if notes else 2)


def _component(axes: Axes, bars: Sequence[Bars], k: int) -> None:
    """The bars of one component, a mark at the share of all rows."""
    dress(axes)
    for one, rows in zip(bars, _places(bars), strict=True):
        axes.barh(rows, one.probability[k], height=0.7, color=colour(k), zorder=2)
        axes.plot(one.share, rows, color=INK, marker="|", markersize=8, markeredgewidth=1.2, linestyle="none", zorder=3)
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.4 - _rows(bars), 0.6)
    axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.grid(True, axis="x", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)


def _places(bars: Sequence[Bars]) -> list[np.ndarray]:
    """Where the bars of each column lie, downwards from 0, below their heads."""
    found, at = [], 0.0
    for one in bars:
        at += bool(one.head)
        found.append(-(at + np.arange(len(one.names))))
        at += len(one.names) + _gap(bars)
    return found


def _name_bars(axes: Axes, bars: Sequence[Bars]) -> None:
    """Names beside the bars, those of columns bold above their levels."""
    rows, names, heads = [], [], []
    for one, own in zip(bars, _places(bars), strict=True):
        if one.head:
            heads.append(len(names))
            rows.append(own[0] + 1)
            names.append(one.head)
        rows += own.tolist()
        names += one.names
    axes.set_yticks(rows, names, parse_math=False)
    for index in heads:
        axes.get_yticklabels()[index].set(fontweight="bold", color=MUTED)


def level_bars(fitted: FittedMixture, columns: Sequence[int], drawn: Drawn, of: int) -> Any:
    """`draw_levels` in a figure of its own."""
    figure = new_figure(*levels_size(fitted, columns, drawn))
    draw_levels(figure, fitted, columns, drawn, of)
    return figure
