"""What legends say of components and rows."""

from typing import Any

from matplotlib.lines import Line2D

from .digits import percent
from .fitted import Fitted
from .style import NOISE_MARKER, marker

#: Components named one by one.
_MOST_NAMED = 12


def components_named(fitted: Fitted, *, lines: bool = False) -> tuple[list[Any], list[str]]:
    """A line or a mark for each component and for the background, with its weight."""
    handles: list[Any] = []
    labels: list[str] = []
    size = len(fitted.weights)
    for k, weight in enumerate(fitted.shares):
        if _MOST_NAMED <= k < size:
            continue
        mark = marker(k) if k < size else NOISE_MARKER
        look: dict[str, Any] = {"linewidth": 2.0} if lines else {"marker": mark, "linestyle": "none", "markersize": 5.5}
        handles.append(Line2D([], [], color=fitted.shades[k], **look))
        labels.append(f"{f'component {k}' if k < size else 'noise'} ({percent(float(weight))})")
    if size > _MOST_NAMED:
        handles.append(Line2D([], [], linestyle="none"))
        labels.append(f"… and {size - _MOST_NAMED} more")
    return handles, labels


def rows_named(handles: list[Any], labels: list[str], drawn: int, n_rows: int) -> None:
    """Add how many rows are drawn, where that is not all."""
    if drawn < n_rows:
        handles.append(Line2D([], [], linestyle="none"))
        labels.append(f"{drawn:,} of {n_rows:,} rows drawn")
