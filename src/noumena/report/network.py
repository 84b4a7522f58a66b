"""A Bayesian network as a drawing: parents above their children, each node with the probabilities of its states."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path
from matplotlib.textpath import TextToPath

from ..core.errors import NoumenaError
from ..estimators.network_answers import NetworkAnswers
from .digits import count, percent
from .fitted import level_name
from .layers import Layout, layered
from .style import ACCENT, COLOURS, INK, MUTED, RULE, new_figure, shown

#: Nodes that are drawn with their states; of more, the names alone.
MOST_WITH_STATES = 40
#: States of one node that are drawn; the others share the last line.
MOST_STATES = 6
_HIDDEN = COLOURS[4]

#: Inches; points of letters.
_MARGIN, _GAP, _THIN, _BETWEEN = 0.15, 0.22, 0.16, 0.48
_LINE, _HEAD, _PAD, _BAR = 0.145, 0.25, 0.08, 0.52
_NAME, _STATE = 8.5, 7.0
_WIDEST = ">99.9%"


@dataclass(frozen=True)
class Box:
    """What is written in a node.

    Attributes
    ----------
    name : str
    states : list of (str, float)
        What is drawn of its states, with their probabilities; none in a large network.
    hidden : bool
        Never observed.
    known : bool
        Evidence.
    """

    name: str
    states: list[tuple[str, float]]
    hidden: bool
    known: bool

    @property
    def colour(self) -> str:
        return ACCENT if self.known else _HIDDEN if self.hidden else COLOURS[0]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        name = _width(self.name, _NAME, "bold") + 2 * _PAD
        if not self.states:
            return max(name, 0.4), _HEAD
        inside = self.label_width + _BAR + _width(_WIDEST, _STATE) + 4 * _PAD
        return max(name, inside), _HEAD + _LINE * len(self.states) + _PAD / 2

    @property
    def label_width(self) -> float:
        return max(_width(state, _STATE) for state, _ in self.states)


def is_network(estimator: Any) -> bool:
    """Whether an estimator is a Bayesian network."""
    return isinstance(estimator, NetworkAnswers)


def refuse_unfitted(network: NetworkAnswers, what: str) -> None:
    """Refuse a network without tables."""
    if not hasattr(network, "tables_"):
        raise NoumenaError(f"{what} needs tables: call fit first, or make the network with from_tables or from_bif")


def network_plot(network: NetworkAnswers, evidence: Mapping[str, Any] | None = None) -> Figure:
    """The nodes in layers, with their marginals given the evidence."""
    refuse_unfitted(network, "plot")
    names = network.nodes_
    place = {name: v for v, name in enumerate(names)}
    boxes = _boxes(network, evidence or {})
    sizes = np.array([box.size for box in boxes])
    parents = [[place[p] for p in network.parents_[name]] for name in names]
    most = max(7, int(np.ceil(1.5 * np.sqrt(len(names)))))
    layout = layered(parents, sizes[:, 0].tolist(), _GAP, _THIN, most)
    n = len(names)
    high = [max((sizes[v, 1] for v in row if v < n), default=_HEAD) for row in layout.order]
    # the more edges cross between two layers, the more room they need
    room = [_BETWEEN * (1 + min(crowd / 14, 1.6)) for crowd in _crowds(layout)]
    note = _note(network, boxes, evidence or {})
    foot = 0.3 if note else 0.0
    width = max(float((layout.x[:n] + sizes[:, 0] / 2).max()), float(layout.x.max())) + 2 * _MARGIN
    height = sum(high) + sum(room) + 2 * _MARGIN + foot
    if note:
        width = max(width, _width(note, _STATE + 0.5) + 2 * _MARGIN)
    figure = new_figure(width, height)
    figure.set_layout_engine("none")  # every place is known
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    x = layout.x + _MARGIN
    top = height - _MARGIN - np.concatenate([[0.0], np.cumsum(np.array(high[:-1]) + room)])
    _draw_edges(axes, layout, x, top, np.array(high), sizes)
    for v, box in enumerate(boxes):
        _draw_box(axes, box, float(x[v]), float(top[layout.layer[v]] - (high[layout.layer[v]] - sizes[v, 1]) / 2))
    if note:
        _write(axes, _MARGIN, _MARGIN + 0.05, note, _STATE + 0.5, MUTED)
    return figure


def _boxes(network: NetworkAnswers, evidence: Mapping[str, Any]) -> list[Box]:
    hidden = {*(network.hidden or {})}
    names = network.nodes_
    chances: dict[str, dict[Any, float]] = {}
    if len(names) <= MOST_WITH_STATES:
        chances = network.query(evidence=evidence)
    elif evidence:
        network._one(evidence)  # refuses what is no evidence
    return [Box(shown(name, 26), _states(chances.get(name, {})), name in hidden, name in evidence) for name in names]


def _states(chances: Mapping[Any, float]) -> list[tuple[str, float]]:
    """The most probable states in their order; the others together."""
    # what is certain has a probability of 1 but for rounding
    found = [(shown(level_name(state), 16), round(chance, 12)) for state, chance in chances.items()]
    if len(found) <= MOST_STATES:
        return found
    kept = {*np.argsort([-chance for _, chance in found], kind="stable")[: MOST_STATES - 1].tolist()}
    rest = [chance for i, (_, chance) in enumerate(found) if i not in kept]
    return [one for i, one in enumerate(found) if i in kept] + [(f"{len(rest)} others", sum(rest))]


def _crowds(layout: Layout) -> list[int]:
    """How many edges run between each layer and the next."""
    found = [0] * (len(layout.order) - 1)
    for a, _ in layout.links:
        found[layout.layer[a]] += 1
    return found


def _note(network: NetworkAnswers, boxes: Sequence[Box], evidence: Mapping[str, Any]) -> str:
    """What the looks mean, in words."""
    told = []
    if evidence:
        told.append("given " + ", ".join(f"{shown(k, 26)} = {shown(level_name(v), 16)}" for k, v in evidence.items()))
    if any(box.hidden for box in boxes):
        told.append("dashed: never observed")
    if len(network.nodes_) > MOST_WITH_STATES:
        edges = sum(map(len, network.parents_.values()))
        told.append(f"{count(len(network.nodes_), 'node')}, {count(edges, 'edge')}")
    return "; ".join(told)


def _draw_edges(
    axes: Axes, layout: Layout, x: np.ndarray, top: np.ndarray, high: np.ndarray, sizes: np.ndarray
) -> None:
    """Each edge as a curve: straight down beside the boxes that it passes, bent between layers."""
    leaves, reaches = _ports(layout, x, sizes)
    for (parent, child), path in layout.paths.items():
        level = layout.layer[parent]
        here = np.array([leaves[parent, child], top[level] - (high[level] + sizes[parent, 1]) / 2])
        points, codes = [here], [Path.MOVETO]
        for v in path[1:]:
            level = layout.layer[v]
            last = v == child
            end = top[level] - (high[level] - sizes[v, 1]) / 2 if last else top[level]
            there = np.array([reaches[parent, child] if last else x[v], end])
            bend = np.array([0.0, 0.5 * (points[-1][1] - there[1])])
            points += [points[-1] - bend, there + bend, there]
            codes += [Path.CURVE4] * 3
            if not last:
                points.append(there - [0, high[level]])
                codes.append(Path.LINETO)
        look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 7.5, "linewidth": 0.9, "joinstyle": "miter"}
        axes.add_patch(FancyArrowPatch(path=Path(points, codes), color=MUTED, zorder=2, **look))


def _ports(layout: Layout, x: np.ndarray, sizes: np.ndarray) -> tuple[dict, dict]:
    """Where edges leave a node and reach one: side by side, in the order of where they come from."""
    leaves: dict[tuple[int, int], float] = {}
    reaches: dict[tuple[int, int], float] = {}
    for found, end, next_to in ((leaves, 0, 1), (reaches, -1, -2)):
        at: dict[int, list[tuple[int, int]]] = {}
        for edge, path in layout.paths.items():
            at.setdefault(path[end], []).append(edge)
        for v, edges in at.items():
            edges.sort(key=lambda edge: x[layout.paths[edge][next_to]])
            span = min(0.6 * sizes[v, 0], 0.16 * (len(edges) - 1))
            for edge, off in zip(edges, np.linspace(-span / 2, span / 2, len(edges)), strict=True):
                found[edge] = float(x[v] + (off if len(edges) > 1 else 0.0))
    return leaves, reaches


def _draw_box(axes: Axes, box: Box, middle: float, top: float) -> None:
    width, height = box.size
    left = middle - width / 2
    axes.add_patch(
        FancyBboxPatch(
            (left, top - height), width, height, boxstyle="round,pad=0,rounding_size=0.06", zorder=3,
            facecolor="white", edgecolor=box.colour if box.known or box.hidden else MUTED,
            linewidth=1.4 if box.known or box.hidden else 0.9, linestyle=(0, (3.5, 2)) if box.hidden else "solid",
        )
    )  # fmt: skip
    _write(axes, middle, top - _HEAD / 2, box.name, _NAME, INK, ha="center", va="center", fontweight="bold")
    if not box.states:
        return
    axes.plot([left, left + width], [top - _HEAD, top - _HEAD], color=RULE, linewidth=0.6, zorder=4)
    bars = left + box.label_width + 2 * _PAD
    longest = width - box.label_width - _width(_WIDEST, _STATE) - 4 * _PAD
    for i, (state, chance) in enumerate(box.states):
        y = top - _HEAD - _LINE * (i + 0.5) - _PAD / 4
        _write(axes, left + _PAD, y, state, _STATE, INK, va="center_baseline")
        axes.add_patch(Rectangle((bars, y - 0.04), longest, 0.08, facecolor="#eef1f4", linewidth=0, zorder=4))
        axes.add_patch(Rectangle((bars, y - 0.04), longest * chance, 0.08, facecolor=box.colour, linewidth=0, zorder=5))
        _write(axes, left + width - _PAD, y, percent(chance), _STATE, MUTED, ha="right", va="center_baseline")


def _write(axes: Axes, x: float, y: float, text: str, size: float, colour: str, **how: Any) -> None:
    axes.text(x, y, text, fontsize=size, color=colour, parse_math=False, zorder=6, **how)


def _width(text: str, size: float, weight: str = "normal") -> float:
    """Of a text, in inches."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks: whoever saves the figure hears of them
        font = FontProperties(size=size, weight=weight)
        return TextToPath().get_text_width_height_descent(text, font, ismath=False)[0] / 72
