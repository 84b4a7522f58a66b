"""A fit on one screen."""

from typing import Any

import numpy as np

from ..core.result import Status
from ..estimators.latent_class import LatentClassAnalysis
from ..report.candidates import sized
from ..report.digits import count, decimals_for
from ..report.fitted import Column, Fitted, FittedMixture, level_name, taken_apart
from ..report.regression import is_regression
from .outcome import one_line
from .terminal import console
from .training import Training

_MOST_COLUMNS = 40  # of the table that are named, and lines about them
_BEST = 5


def interrupted(estimator: Any, selection: Any) -> bool:
    """Whether the fit, or any of a sweep, was cut short."""
    cut = selection is not None and Status.INTERRUPTED.value in selection.table_["status"].to_pylist()
    return cut or estimator.status_ is Status.INTERRUPTED


def print_summary(estimator: Any, data: Training, selection: Any, response: str | None = None) -> None:
    """The chosen model, how it was chosen, and its components, on stdout."""
    screen = console()
    if is_regression(estimator):
        fitted = Fitted(estimator, estimator.weights_, None)
        what, columns, told = _regressions(estimator), _explained(estimator, response), _coefficients(estimator)
    else:
        fitted = taken_apart(estimator, "the summary")
        what, columns, told = _what(estimator, fitted), _columns(fitted), _rows(fitted)
    told += _log_odds(estimator)
    weight = data.n_rows if data.weight is None else float(data.weight.sum())
    chosen = ""
    if selection is not None:
        chosen = f", the best of {count(selection.table_.num_rows, 'candidate')} by {selection.criterion.upper()}"
    bic = -2 * estimator.log_likelihood_ + estimator.n_parameters_ * np.log(weight)
    lines = [
        f"{what}{chosen}",
        f"rows            {data.n_rows:,}" + ("" if data.weight is None else f" (total weight {weight:,.6g})"),
        *columns,
        f"log likelihood  {estimator.log_likelihood_:.4f} (exact, nats)",
        f"BIC             {bic:.4f} (lower is better; {count(estimator.n_parameters_, 'parameter')})",
        f"status          {status_line(estimator)}",
    ]
    screen.print("\n".join(lines), soft_wrap=True)
    _print_components(fitted, told, weight)
    if selection is not None and selection.table_.num_rows > 1:
        print_candidates(selection)


def _what(estimator: Any, fitted: FittedMixture) -> str:
    """Components of which kind, and what their covariances share."""
    size = len(fitted.weights)
    if isinstance(estimator, LatentClassAnalysis):
        return count(size, "latent class", "latent classes")
    told = count(size, "component") + ("" if fitted.noise is None else " and noise")
    if hasattr(estimator, "n_factors"):
        return f"{told}, each with {count(estimator.n_factors, 'factor')}"
    return f"{told}, covariance {estimator.covariance}" if fitted.dependent else told


def _columns(fitted: FittedMixture) -> list[str]:
    """The columns, by family where there are several."""
    by_family: dict[str, list[str]] = {}
    for column in fitted.columns[:_MOST_COLUMNS]:
        by_family.setdefault(column.family, []).append(column.name)
    more = len(fitted.columns) - _MOST_COLUMNS
    rest = f" and {more} more" if more > 0 else ""
    if len({column.family for column in fitted.columns}) == 1:
        return [f"columns         {', '.join(next(iter(by_family.values())))}{rest}"]
    told = [f"{family}: {', '.join(names)}" for family, names in by_family.items()]
    return [f"{'columns' if i == 0 else '':<16}{line}" for i, line in enumerate(told)] + (
        [f"{'':<16}{rest.strip()}"] if rest else []
    )


def status_line(estimator: Any) -> str:
    """How the fit ended."""
    status, steps = estimator.status_, count(int(estimator.n_iter_), "iteration")
    return f"{status.value.replace('_', ' ')} after {steps}: {one_line(status.message)}"


def _print_components(fitted: Fitted, told: list[tuple[str, list[str]]], weight: float) -> None:
    """Weights and what is told: a row for each number, side by side as many components as there is room for."""
    from rich.table import Table

    screen = console()
    rows = [
        ("weight", [f"{value:.3f}" for value in fitted.shares]),
        ("rows, expected", [f"{value * weight:.1f}" for value in fitted.shares]),
        *told[:_MOST_COLUMNS],
    ]
    wide = max(len(text) for _, row in rows for text in row) + 2
    room = max(1, (screen.width - min(max(len(head) for head, _ in rows), screen.width // 2) - 4) // max(wide, 5))
    for first in range(0, len(fitted.shares), room):
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        table.add_column("component", overflow="fold")
        for name in fitted.called[first : first + room]:
            table.add_column(name, justify="right", no_wrap=True)
        for head, row in rows:
            table.add_row(head, *row[first : first + room])  # of the noise, only its weight is told
        screen.print()
        screen.print(table)
    if len(told) > _MOST_COLUMNS:
        screen.print(f"{count(len(told) - _MOST_COLUMNS, 'line')} more are in the report", soft_wrap=True)


def _rows(fitted: FittedMixture) -> list[tuple[str, list[str]]]:
    """What is told of each column: the means of numbers, the probabilities of levels; of t, the degrees of freedom."""
    rows: list[tuple[str, list[str]]] = []
    degrees = [one.degrees for one in fitted.ellipsoids if np.isfinite(one.degrees).any()]
    if degrees:
        rows.append(("degrees of freedom", [f"{value:.4g}" for value in degrees[0]]))
    for column in fitted.columns:
        if column.levels is None:
            word = {"t": "location", "von-mises": "direction"}.get(column.family, "mean")
            spread = _spread(fitted, column)
            rows.append((f"{word} of {column.name}", [_number(value, spread) for value in column.mean]))
            continue
        first = len(column.levels) == 2  # the other level's is the rest
        for level, chance in list(zip(column.levels, column.probability.T, strict=True))[first:]:
            rows.append((f"P({column.name} = {level})", [f"{value:.3f}" for value in chance]))
    return rows


def _regressions(estimator: Any) -> str:
    kind = {"normal": "linear", "logistic": "logistic", "poisson": "Poisson"}[estimator.family]
    return count(len(estimator.weights_), f"{kind} regression")


def _explained(estimator: Any, response: str | None) -> list[str]:
    """The response and what it depends on."""
    of = f"P({response} = {level_name(estimator.classes_[1])})" if estimator.family == "logistic" else response
    told = [f"response        {of}", f"regressors      {', '.join(estimator.regressors) or 'none'}"]
    return told + ([f"weights by      {', '.join(estimator.concomitant)}"] if estimator.concomitant else [])


def _coefficients(estimator: Any) -> list[tuple[str, list[str]]]:
    """Intercepts, slopes and the deviations of residuals."""
    rows = [("intercept", _coefficient(estimator.intercept_))]
    rows += [
        (name, _coefficient(column)) for name, column in zip(estimator.coef_names_, estimator.coef_.T, strict=True)
    ]
    if hasattr(estimator, "standard_deviation_"):
        rows.append(("residual standard deviation", _coefficient(estimator.standard_deviation_)))
    return rows


def _log_odds(estimator: Any) -> list[tuple[str, list[str]]]:
    """How the weights depend on columns, where they do."""
    if not hasattr(estimator, "membership_coef_"):
        return []
    rows = [("log odds: intercept", _coefficient(estimator.membership_intercept_))]
    slopes = zip(estimator.membership_names_, estimator.membership_coef_.T, strict=True)
    return rows + [(f"log odds: {name}", _coefficient(column)) for name, column in slopes]


def _coefficient(values: np.ndarray) -> list[str]:
    """As many decimals as show four digits of the largest."""
    decimals = decimals_for(float(np.abs(values).max()), 4)
    return [f"{value:.4g}" if decimals > 8 else f"{value:.{decimals}f}" for value in values]


def print_candidates(selection: Any) -> None:
    """The best candidates of a selection."""
    from rich.table import Table

    column, noun = sized(selection)
    name = "cv_log_likelihood" if selection.criterion == "cv" else selection.criterion
    rows = [row for row in selection.table_.to_pylist() if row[name] is not None]
    rows.sort(key=lambda row: row[name], reverse=name == "cv_log_likelihood")
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    structures = {row.get("covariance") for row in rows}
    table.add_column("best candidates")
    criterion = "cv per row" if selection.criterion == "cv" else name.upper()
    for head in (*([f"{noun}s"] if len(structures) > 1 else []), "log likelihood", criterion):
        table.add_column(head, justify="right")
    table.add_column("status")
    for row in rows[:_BEST]:
        numbers = (f"{row['log_likelihood']:.3f}", f"{row[name]:.{6 if selection.criterion == 'cv' else 3}f}")
        size = row[column]
        what = [row["covariance"], str(size)] if len(structures) > 1 else [count(size, noun)]
        table.add_row(*what, *numbers, row["status"].replace("_", " "))
    screen = console()
    screen.print()
    screen.print(table)
    unusable = selection.table_.num_rows - len(rows)
    if unusable:
        screen.print(f"{count(unusable, 'candidate')} degenerate and not compared", soft_wrap=True)


def _spread(fitted: FittedMixture, column: Column) -> float:
    """Of a column under the mixture where it is a normal or a t: within components, and between their means.

    Of another family: the size of its means.
    """
    weights = fitted.weights / fitted.weights.sum()
    between = float(weights @ (column.mean - weights @ column.mean) ** 2)
    for one in fitted.ellipsoids:
        if column.position in one.columns:
            place = one.columns.index(column.position)
            return float(np.sqrt(weights @ one.scales[:, place, place] + between))
    return float(np.abs(column.mean).max())


def _number(value: float, spread: float) -> str:
    """As many decimals as tell values apart in a column of this spread."""
    decimals = decimals_for(float(spread))
    text = f"{value:.6g}" if decimals > 8 or abs(value) >= 1e12 else f"{value:.{decimals}f}"
    return text if any(digit in "123456789" for digit in text) else text.lstrip("-")  # no -0.00
