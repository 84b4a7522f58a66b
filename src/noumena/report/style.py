"""How every figure looks: colours that colour-blind readers tell apart, quiet axes, names drawn as they are."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

#: Ten colours that stay apart under the common kinds of colour blindness (Petroff 2021, arXiv:2107.02270), the lightest
#: two darkened so that lines and hollow marks show on white.
COLOURS = (
    "#3f90da", "#f08c00", "#bd1f01", "#7f918f", "#832db6",
    "#a96b59", "#e76300", "#9c8f45", "#55565e", "#4bb3bd",
)  # fmt: skip
#: The shape tells components apart where colour does not, and goes on where the colours start again.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "p")

#: Colour and shape of a background: rows that belong to no component.
NOISE, NOISE_MARKER = "#9aa5b1", "."

INK, MUTED, RULE, ACCENT = "#1d2530", "#5c6773", "#c9d0d8", "#bd1f01"
TEXT, SMALL = 10.0, 8.5  # points


def colour(k: int) -> str:
    return COLOURS[k % len(COLOURS)]


def marker(k: int) -> str:
    # 11 marks and 10 colours share no factor: the pair repeats after 110 components only.
    return MARKERS[k % len(MARKERS)]


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure of this size in inches, arranged so that labels do not overlap."""
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white", layout="constrained")
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.05)  # type: ignore[union-attr]
    return figure


def dress(axes: Axes, *, grid: bool = False) -> None:
    """Quiet spines and ticks."""
    axes.set_facecolor("white")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(RULE)
        spine.set_linewidth(0.8)
    axes.tick_params(which="both", colors=MUTED, labelsize=SMALL, length=3, width=0.8, pad=2)
    if grid:
        axes.grid(True, color="#e9ecef", linewidth=0.8)
        axes.set_axisbelow(True)


def label(axes: Axes, *, x: str | None = None, y: str | None = None) -> None:
    """Name the axes; a column's name is drawn as it is, not read as a formula."""
    if x is not None:
        axes.set_xlabel(x, fontsize=TEXT, color=INK, parse_math=False)
    if y is not None:
        axes.set_ylabel(y, fontsize=TEXT, color=INK, parse_math=False)


def title(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=TEXT, color=INK, loc="left", parse_math=False)


def key(owner: Axes | Figure, handles: Sequence, labels: Sequence[str], **where) -> Legend:
    """A legend without a frame, whose words are not read as formulas."""
    legend = owner.legend(
        handles=list(handles), labels=[shown(label, 60) for label in labels], frameon=False, fontsize=SMALL + 0.5,
        labelcolor=INK, handletextpad=0.6, borderaxespad=0.2, **where,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
    return legend


def shown(name: str, most: int = 30) -> str:
    """The name as it can be drawn: on one line, the middle of a very long one left out.

    >>> shown("a" * 40, 11)
    'aaaaa…aaaaa'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in str(name)).split()) or "(no name)"
    if len(line) <= most:
        return line
    half = (most - 1) // 2
    return f"{line[: most - 1 - half]}…{line[-half:]}"
