"""A fit on one screen."""

from typing import Any

import numpy as np

from ..core.result import Status
from ..report.digits import count, decimals_for
from .outcome import one_line
from .tables import Training
from .terminal import console

_MOST_COLUMNS = 40  # of the table whose means are shown
_BEST = 5


def interrupted(estimator: Any, selection: Any) -> bool:
    """Whether the fit, or any of a sweep, was cut short."""
    cut = selection is not None and Status.INTERRUPTED.value in selection.table_["status"].to_pylist()
    return cut or estimator.status_ is Status.INTERRUPTED


def print_summary(estimator: Any, data: Training, selection: Any) -> None:
    """The chosen model, how it was chosen, and its components, on stdout."""
    screen = console()
    weight = data.n_rows if data.weight is None else float(data.weight.sum())
    chosen = ""
    if selection is not None:
        chosen = f", the best of {count(selection.table_.num_rows, 'candidate')} by {selection.criterion.upper()}"
    bic = -2 * estimator.log_likelihood_ + estimator.n_parameters_ * np.log(weight)
    lines = [
        f"{count(len(estimator.weights_), 'component')}, covariance {estimator.covariance}{chosen}",
        f"rows            {data.n_rows:,}" + ("" if data.weight is None else f" (total weight {weight:,.6g})"),
        f"columns         {', '.join(data.names[:_MOST_COLUMNS])}{_more(data)}",
        f"log likelihood  {estimator.log_likelihood_:.4f} (exact, nats)",
        f"BIC             {bic:.4f} (lower is better; {count(estimator.n_parameters_, 'parameter')})",
        f"status          {_status(estimator)}",
    ]
    screen.print("\n".join(lines), soft_wrap=True)
    _print_components(estimator, data, weight)
    if selection is not None and selection.table_.num_rows > 1:
        _print_candidates(selection)


def _more(data: Training) -> str:
    more = len(data.names) - _MOST_COLUMNS
    return f" and {more} more" if more > 0 else ""


def _status(estimator: Any) -> str:
    status, steps = estimator.status_, count(int(estimator.n_iter_), "iteration")
    return f"{status.value.replace('_', ' ')} after {steps}: {one_line(status.message)}"


def _print_components(estimator: Any, data: Training, weight: float) -> None:
    """Weights and means: a row for each column of the data, side by side as many components as there is room for."""
    from rich.table import Table

    screen = console()
    shown = data.names[:_MOST_COLUMNS]
    spread = np.sqrt(_variance(estimator))
    texts = [
        [f"{value:.3f}" for value in estimator.weights_],
        [f"{value * weight:.1f}" for value in estimator.weights_],
    ]
    texts += [[_number(value, spread[j]) for value in estimator.means_[:, j]] for j, _ in enumerate(shown)]
    heads = ["weight", "rows, expected", *(f"mean of {name}" for name in shown)]
    wide = max(len(text) for row in texts for text in row) + 2
    room = max(1, (screen.width - min(max(map(len, heads)), screen.width // 2) - 4) // max(wide, 5))
    for first in range(0, len(estimator.weights_), room):
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        table.add_column("component", overflow="fold")
        for k in range(first, min(first + room, len(estimator.weights_))):
            table.add_column(str(k), justify="right", no_wrap=True)
        for head, row in zip(heads, texts, strict=True):
            table.add_row(head, *row[first : first + room])
        screen.print()
        screen.print(table)


def _print_candidates(selection: Any) -> None:
    from rich.table import Table

    name = "cv_log_likelihood" if selection.criterion == "cv" else selection.criterion
    rows = [row for row in selection.table_.to_pylist() if row[name] is not None]
    rows.sort(key=lambda row: row[name], reverse=name == "cv_log_likelihood")
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("best candidates")
    for head in ("components", "log likelihood", "cv per row" if selection.criterion == "cv" else name.upper()):
        table.add_column(head, justify="right")
    table.add_column("status")
    for row in rows[:_BEST]:
        numbers = (f"{row['log_likelihood']:.3f}", f"{row[name]:.{6 if selection.criterion == 'cv' else 3}f}")
        table.add_row(row["covariance"], str(row["n_components"]), *numbers, row["status"].replace("_", " "))
    screen = console()
    screen.print()
    screen.print(table)
    unusable = selection.table_.num_rows - len(rows)
    if unusable:
        screen.print(f"{count(unusable, 'candidate')} degenerate and not compared", soft_wrap=True)


def _variance(estimator: Any) -> np.ndarray:
    """Of each column under the mixture: within components, and between their means."""
    weights, means = estimator.weights_, estimator.means_
    within = weights @ np.diagonal(estimator.covariances_, axis1=1, axis2=2)
    return within + weights @ (means - weights @ means) ** 2


def _number(value: float, spread: float) -> str:
    """As many decimals as tell values apart in a column of this spread."""
    decimals = decimals_for(float(spread))
    text = f"{value:.6g}" if decimals > 8 or abs(value) >= 1e12 else f"{value:.{decimals}f}"
    return text if any(digit in "123456789" for digit in text) else text.lstrip("-")  # no -0.00
