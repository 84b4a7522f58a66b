"""The pictures of a report, each with its heading and what it shows in words."""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from .digits import count
from .embed import embedded
from .fitted import Ellipsoids, FittedMixture
from .levels import level_bars
from .marginals import panels
from .membership import Drawn
from .plots import MOST_PAIRS, Room, plot_ellipsoids
from .projection import separation
from .scatter import pair_plot
from .style import shown

#: Of more columns than can be paired, so many are: those that separate the components best.
_BEST_COLUMNS = 4
#: Groups of columns that are drawn as scatter plots.
_MOST_GROUPS = 3


@dataclass(frozen=True)
class Picture:
    """A drawing on the page.

    Attributes
    ----------
    heading, note : str
        What stands above it, and below that; the note may be empty.
    label : str
        For those who cannot see it.
    drawing : Markup
    scattered : bool
        Whether it shows rows as marks.
    """

    heading: str
    note: str
    label: str
    drawing: Markup
    scattered: bool = False


def pictures(fitted: FittedMixture, drawn: Drawn) -> list[Picture]:
    """Scatter plots of the columns that are normals or t distributions, then the other columns one by one."""
    found: list[Picture] = []
    groups = [one for one in fitted.ellipsoids if len(one.columns) > 1][:_MOST_GROUPS]
    for group in groups:
        found += _scattered(group, fitted, drawn)
    paired = {j for group in groups for j in group.columns}
    room = Room.of(fitted, [column.position for column in fitted.columns if column.position not in paired], drawn)
    if room.numbers:
        some = len(room.numbers) < room.all_numbers
        note = "Histogram of the observed cells, the components and their sum."
        if some:
            note += f" The {len(room.numbers)} of {room.all_numbers:,} columns that separate the components best."
        drawing = embedded(panels(fitted, room.numbers, drawn, room.all_numbers), "Histograms and components")
        found.append(Picture("Column by column", note, "Histograms and components", drawing))
    if room.levels:
        note = "How probable each level is in each component; the mark stands at its share of all rows."
        if len(room.levels) < room.all_levels:
            note += f" The {len(room.levels)} of {room.all_levels:,} columns that separate the components best."
        drawing = embedded(level_bars(fitted, room.levels, drawn, room.all_levels), "Probabilities of levels")
        found.append(Picture("Profiles of the components", note, "Probabilities of levels", drawing))
    return found


def _scattered(group: Ellipsoids, fitted: FittedMixture, drawn: Drawn) -> list[Picture]:
    d, size = len(group.columns), count(len(fitted.weights), "component")
    whole = d == len(fitted.columns)
    names = "" if whole else ": " + ", ".join(shown(fitted.names[j], 24) for j in group.columns[:MOST_PAIRS])
    drawing = embedded(plot_ellipsoids(group, fitted, drawn), f"The rows and the {size}{names}")
    if d <= MOST_PAIRS:
        return [Picture(f"Rows and components{names}", "", f"The rows and the {size}", drawing, True)]
    note = (
        "The two directions in which the components’ means and covariances differ most (GMMDR), and how strongly each "
        "column goes with them."
    )
    heading = "The components in the plane that separates them best"
    apart = separation(group.weights, group.centres, group.scales)
    best = np.sort(np.argsort(-apart, kind="stable")[:_BEST_COLUMNS])
    pairs = embedded(pair_plot(group.marginal(best), fitted, drawn), "Pairs of the columns that separate best")
    return [
        Picture(heading, note, f"The rows and the {size}", drawing, True),
        Picture("The columns that separate the components best", "", "Pairs of columns", pairs),
    ]
