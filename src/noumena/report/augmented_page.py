"""What the page of a regression by augmentation shows."""

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse

from ..data.summary import Summary, summarise
from ..data.table import ArrayTable
from . import tables
from .augmented import Answers, FittedAugmented, coefficient_errors
from .augmented_plots import TWO_SIDED, answers_plot, coefficients_plot, drawn_columns
from .augmented_words import headline, outcome, structure, warnings_in_words
from .digits import count, decimals_for, number, percent, plus_minus
from .embed import embedded
from .errors import standard_errors_or_why_not
from .fitted import level_name
from .plots import objective_in_words, plot_holes, plot_trace
from .provenance import parameters, regression_program, versions
from .rows import MOST_DRAWN, Missing, missing_patterns, sample_rows
from .style import shown
from .words import hole_warnings

#: What is listed at most: coefficients, columns of the data, rows, the cells of one.
_MOST_LISTED, _MOST_COLUMNS, _MOST_ROWS, _MOST_CELLS = 200, 100, 20, 8
#: More coefficients of 0 than this have no rows of their own.
_MANY_ZEROS = 8
#: Priors under which the number of coefficients that are not 0 counts what was fitted.
_COUNTED = ("flat", "laplace")
#: Priors under which coefficients become exactly 0.
_SPARSE = ("laplace", "group_laplace", "ard", "horseshoe")


@dataclass(frozen=True)
class Covered:
    """The columns of numbers among the covariates, as far as they are told of.

    Attributes
    ----------
    columns : list of int
        Positions in the table.
    cells : array, shape (n_rows, len(columns))
    missing : Missing
    summary : Summary
    decimals : list
        Of a mean and of a cell of each column.
    """

    columns: list[int]
    cells: np.ndarray
    missing: Missing
    summary: Summary
    decimals: list[tuple[int, int]]

    @classmethod
    def of(cls, fitted: FittedAugmented, answers: Answers, listed: list[int]) -> "Covered | None":
        """Those among the listed columns; None where there is none."""
        chosen = [j for j in listed if levels_of(fitted, j) is None]
        if not chosen:
            return None
        cells = _design(fitted, answers.covariates.matrix, chosen)
        table = ArrayTable(array=cells, names=None)
        summary = summarise(table, answers.weight)
        decimals = tables.column_decimals(summary, cells[sample_rows(len(cells))])
        return cls(chosen, cells, missing_patterns(table), summary, decimals)


def levels_of(fitted: FittedAugmented, column: int) -> list[str] | None:
    """The levels of a column of the table as they are written, the reference first; None where it holds numbers."""
    design = fitted.estimator._design
    levels = None if design is None else design.levels[column]
    return None if levels is None else [level_name(level) for level in levels]


def _design(fitted: FittedAugmented, matrix: Any, columns: list[int]) -> np.ndarray:
    """The cells of some columns of the table, as the design has them."""
    own = matrix[:, np.flatnonzero(np.isin(fitted.owner, columns))]
    return np.asarray(own.toarray() if issparse(own) else own, dtype=float)


def contents(
    fitted: FittedAugmented, answers: Answers, X: Any, named: dict[str, str], standard_errors: bool, title: str | None
) -> dict[str, Any]:
    """Everything that the page of a regression by augmentation shows, by the names of the template.

    Parameters
    ----------
    fitted : FittedAugmented
    answers : Answers
    X : table
        As the user passed it.
    named : dict
        Columns of ``X`` that arguments name: from ``"y"`` and ``"censoring"``.
    standard_errors : bool
    title : str, or None
    """
    estimator = fitted.estimator
    errors, problem = None, None
    if standard_errors and not fitted.uncertain:
        errors, problem = standard_errors_or_why_not(estimator, answers.standard_errors)
    off = coefficient_errors(fitted, errors)
    largest = np.zeros(len(fitted.columns))
    np.maximum.at(largest, fitted.owner, fitted.size)
    order = np.argsort(-largest, kind="stable")
    listed = sorted(order[:_MOST_COLUMNS].tolist())
    told_cells = sorted(order[:_MOST_CELLS].tolist())
    covered = Covered.of(fitted, answers, listed)
    holed = covered is not None and bool(covered.missing.per_column.any())
    names = [] if covered is None else [fitted.columns[j] for j in covered.columns]
    holes = hole_warnings(names, covered.missing, "predictions there are the mean") if covered is not None else []
    first, p = headline(fitted, answers), len(fitted.names)
    drawn, k = drawn_columns(fitted, range(p))
    return {
        "title": title or first,
        "headline": first,
        "outcome": outcome(estimator),
        "structure": structure(fitted),
        "figures": _figures(fitted, answers, covered),
        "warnings": warnings_in_words(fitted, answers, holes, problem),
        "coefficients_plot": embedded(coefficients_plot(fitted, off), f"Effects of {count(p, 'coefficient')}"),
        "scale": shown(fitted.scale, 60),
        "unit": fitted.unit,
        "predictors": fitted.predictors,
        "coefficients": _coefficient_table(fitted, errors, off),
        "all_zero": [fitted.names[j] for j in _zeros(fitted)],
        "listed": _MOST_LISTED if p > _MOST_LISTED else None,
        "n_coefficients": f"{p:,}",
        "levels": len(fitted.names) > len(fitted.columns) or len(names) < len(listed),
        "hollow": bool((fitted.coef[:k, drawn] == 0).any()),
        "uncertain": fitted.uncertain,
        "intervals": off is not None,
        "error_note": _error_note(fitted, off),
        "errors_problem": problem,
        "others": _other_parameters(fitted, errors),
        "answers_plot": embedded(answers_plot(fitted, answers), "Responses and what was expected of them"),
        "answers_heading": "Probabilities" if fitted.classes else "Responses and predictions",
        "answers_caption": _caption(fitted, answers),
        "drawn": f"{MOST_DRAWN:,}" if answers.n_rows > MOST_DRAWN else None,
        "classes": bool(fitted.classes),
        "response": answers.response,
        "distance": _distance(fitted),
        "surprising": _surprising(fitted, answers, told_cells),
        "cells": [fitted.columns[j] for j in told_cells],
        "more_cells": len(fitted.columns) - len(told_cells),
        "holes": _rows_in_words(answers, covered),
        "data": _number_data(answers, covered, names),
        "level_data": _level_data(fitted, answers, listed),
        "columns_left": len(fitted.columns) - len(listed),
        "missing_plot": embedded(
            plot_holes(covered.missing, names), "Share of missing cells per column, and row patterns"
        )
        if covered is not None and holed
        else None,
        "trace_plot": embedded(plot_trace(estimator), "Objective of the fit at every iteration"),
        "objective": objective_in_words(estimator),
        # sections that mixtures have
        "selection": None,
        "covariances": [],
        "too_many": None,
        "parameters": parameters(estimator),
        "code": regression_program(
            estimator, X, fitted.columns, answers.response, answers.weight, named, answers.censoring is not None
        ),
        "versions": versions(),
        "made": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
    }


def _figures(fitted: FittedAugmented, answers: Answers, covered: Covered | None) -> list[dict[str, str]]:
    """The numbers at the head of the page, each with what it is."""
    estimator, value = fitted.estimator, answers.log_likelihood
    own = np.isclose(value, estimator.log_likelihood_, rtol=1e-7, atol=1e-6)
    of = "" if own else ", of the rows of the fit"
    told: list[tuple[str, str, str, str]] = []
    if fitted.uncertain:
        exact = getattr(estimator, "bound_is_exact_", False)
        name, kind = ("log evidence", "exact") if exact else ("lower bound", "lower bound")
        what = "weights integrated out" if exact else "of the log evidence"
        told.append((name, _large(estimator.bound_), kind, f"nats, {what}{of}"))
        told.append(("log likelihood", _large(value), "exact", "nats, at the posterior means"))
    else:
        given = ", given what is seen of the columns" if estimator.missing is not None else ", of the responses"
        told.append(("log likelihood", _large(value), "exact", f"nats{given}"))
        if estimator.missing is not None:
            told.append(
                ("joint log likelihood", _large(estimator.joint_log_likelihood_), "exact", f"nats, columns too{of}")
            )
        if estimator.prior in _COUNTED:
            deviance, df = -2 * value, estimator.n_parameters_
            note = "lower is better" if estimator.prior == "flat" else "of the coefficients that are not 0"
            told.append(("BIC", _large(deviance + df * np.log(answers.each.sum())), "exact", note))
            told.append(("AIC", _large(deviance + 2 * df), "exact", note))
    told.append(("free parameters", f"{estimator.n_parameters_:,}", "", ""))
    zeros = int((fitted.coef == 0).sum())
    if zeros or estimator.prior in _SPARSE:
        told.append(("exact zeros", f"{zeros:,}", "", f"of {count(fitted.coef.size, 'coefficient')}"))
    if fitted.classes:
        told.append(_accuracy(fitted, answers))
    if fitted.kind == "tobit":
        told.append(("censored", percent(_share(answers, answers.censored)), "", "of the responses"))
    if covered is not None and covered.missing.per_column.any():
        complete = count(covered.missing.complete_rows, "complete row")
        told.append(("missing cells", percent(covered.missing.share), "", complete))
    told.append(("iterations", f"{estimator.n_iter_:,}", "", estimator.status_.value.replace("_", " ")))
    return [dict(zip(("name", "value", "kind", "note"), figure, strict=True)) for figure in told]


def _large(value: float) -> str:
    """With as many decimals as find room."""
    return number(value, 1 if abs(value) < 1e5 else 0)


def _share(answers: Answers, rows: np.ndarray) -> float:
    return float(answers.each @ rows / answers.each.sum())


def _accuracy(fitted: FittedAugmented, answers: Answers) -> tuple[str, str, str, str]:
    code = answers.y[:, 0].astype(int)
    right = _share(answers, answers.prediction.argmax(axis=1) == code)
    largest = float(np.bincount(code, answers.each).max() / answers.each.sum())
    return "classified right", percent(right), "", f"in these rows; {percent(largest)} are of one class"


def _coefficient_table(fitted: FittedAugmented, errors: Any, off: np.ndarray | None) -> list[dict[str, Any]]:
    """One row per coefficient, the intercepts first: estimate, error, interval, effect of one standard deviation."""
    estimator, k = fitted.estimator, len(fitted.coef)
    rows = []
    if estimator._frame.intercept:
        value = np.atleast_1d(estimator.intercept_)
        if fitted.uncertain:
            error = np.sqrt(np.maximum(np.diagonal(estimator.covariance_), 0.0)).reshape(k, -1)[:, 0]
        else:
            error = np.full(k, np.nan) if errors is None else np.atleast_1d(errors.intercept)
        rows.append({"name": "intercept", "cells": [_cell(v, e, None, 0) for v, e in zip(value, error, strict=True)]})
    effects = fitted.effects
    decimals = decimals_for(float(np.abs(effects).max(initial=0.0)), 4)
    best = np.setdiff1d(np.argsort(-fitted.size, kind="stable")[:_MOST_LISTED], _zeros(fitted))
    for j in best.tolist():
        cells = []
        for i in range(k):
            error = np.nan if off is None else float(off[i, j])
            cells.append(_cell(float(fitted.coef[i, j]), error, float(effects[i, j]), decimals))
        rows.append({"name": fitted.names[j], "cells": cells})
    return rows


def _zeros(fitted: FittedAugmented) -> np.ndarray:
    """Columns of the design with coefficients of 0 only, where these are so many that they are told in one line."""
    found = np.flatnonzero(~fitted.coef.any(axis=0))
    return found if len(found) > _MANY_ZEROS else found[:0]


def _cell(value: float, error: float, effect: float | None, decimals: int) -> dict[str, Any]:
    """An estimate with its standard error, its 95% interval and its effect, as far as there are any."""
    told = "–" if effect is None else "0" if effect == 0 else number(effect, decimals if decimals <= 7 else None)
    found = {"error": None, "interval": None, "effect": told, "zero": value == 0}
    if not (np.isfinite(error) and error > 0):
        return found | {"value": "0" if value == 0 else number(value, digits=4)}
    found["value"], found["error"] = plus_minus(float(value), float(error))
    places = decimals_for(error, 2)
    plain = places <= 7 and abs(value) < 1e9
    ends = [number(float(value + side * TWO_SIDED * error), places if plain else None) for side in (-1, 1)]
    return found | {"interval": " to ".join(ends)}


def _error_note(fitted: FittedAugmented, off: np.ndarray | None) -> str | None:
    """What the standard errors take for granted."""
    if off is None:
        return None
    if fitted.uncertain:
        exact = getattr(fitted.estimator, "bound_is_exact_", False)
        if exact:
            return None
        several = fitted.kind == "ordered_probit" or fitted.kind.startswith("multinomial")
        return f"Deviations of a mean-field posterior are too small{', here up to five times' if several else ''}."
    told = []
    if fitted.kind in ("laplace", "asymmetric_laplace"):
        told.append(
            "Those of quantiles are right only if the responses have the asymmetric Laplace density: "
            'standard_errors(X, y, method="sandwich") does not rely on it.'
        )
    if (fitted.coef == 0).any():
        told.append("Beside coefficients of exactly 0, which have none, they are conditional on these zeros.")
    elif fitted.estimator.prior != "flat":
        told.append("Under a prior they are those of the posterior density’s curvature at its maximum.")
    return " ".join(told) or None


def _other_parameters(fitted: FittedAugmented, errors: Any) -> list[dict[str, str | None]]:
    """Scale, degrees of freedom, thresholds."""
    estimator, found = fitted.estimator, []

    def tell(name: str, value: float, error: float | None, what: str) -> None:
        known = error is not None and np.isfinite(error) and error > 0
        told = plus_minus(value, float(error)) if known and error else (number(value, digits=4), None)
        found.append({"name": name, "value": told[0], "error": told[1], "what": what})

    if hasattr(estimator, "scale_"):
        what = "standard deviation of the residuals"
        what = {"normal": what, "tobit": what, "student_t": "scale of the t distribution"}.get(fitted.kind)
        given = " (given)" if estimator.scale is not None else ""
        name = "scale σ" if what else "scale s"
        tell(name, estimator.scale_, getattr(errors, "scale", None), (what or "scale of the Laplace density") + given)
    if hasattr(estimator, "dof_"):
        given = " (given)" if estimator.dof is not None else ""
        tell("degrees of freedom", estimator.dof_, getattr(errors, "dof", None), f"of the t distribution{given}")
    off = getattr(errors, "thresholds", None)
    for j, value in enumerate(getattr(estimator, "thresholds_", ())):
        below, above = (shown(fitted.classes[i], 24) for i in (j, j + 1))
        error = None if off is None else off[j]
        tell(f"threshold {j + 1}", float(value), error, f"of the latent response, between {below} and {above}")
    return found


def _caption(fitted: FittedAugmented, answers: Answers) -> str:
    if not fitted.classes:
        told = "Each response at what was predicted of it; on the line the two are equal."
        if answers.low is not None:
            told += " Rows in red count for less than a quarter of what the median row does."
        if answers.censored.any():
            told += " Triangles are censored responses: the uncensored ones lie where they point."
        return told
    if len(fitted.classes) == 2:
        return "Where the probabilities are right, 80% of the rows at 0.8 point upwards."
    return "The higher the probability of the class that was observed, the better it is told from the others."


def _distance(fitted: FittedAugmented) -> str:
    """How residuals are counted."""
    return "residual in standard deviations" if fitted.kind in ("normal", "tobit") else "residual in scales"


def _surprising(fitted: FittedAugmented, answers: Answers, cells: list[int]) -> list[dict[str, Any]]:
    """The rows of the lowest density: response, what was expected, how far off, covariates."""
    counted = np.flatnonzero(answers.each > 0)
    lowest = counted[np.argsort(answers.log_density[counted], kind="stable")[:_MOST_ROWS]]
    head = _classified(fitted, answers, lowest) if fitted.classes else _missed(fitted, answers, lowest)
    matrix = answers.covariates.matrix[lowest]
    columns = [(_design(fitted, matrix, [j]), levels_of(fitted, j)) for j in cells]
    sample = sample_rows(answers.n_rows)
    decimals = []
    for j, (_, levels) in zip(cells, columns, strict=True):
        values = _design(fitted, answers.covariates.matrix[sample], [j])
        seen = values[~np.isnan(values)]
        decimals.append(0 if levels else tables.written_decimals(seen, decimals_for(float(np.std(seen)), 4)))
    rows = []
    for place, (row, first) in enumerate(zip(lowest.tolist(), head, strict=True)):
        own = [_written(values[place], levels, d) for (values, levels), d in zip(columns, decimals, strict=True)]
        told = number(float(answers.log_density[row]), 2)
        rows.append({"row": f"{row:,}", "log_density": told, "head": first, "cells": own})
    return rows


def _written(values: np.ndarray, levels: list[str] | None, decimals: int) -> str | None:
    """A cell as it stands in the table; None where it is missing."""
    if levels is not None:
        return levels[int(values.argmax()) + 1 if values.any() else 0]
    return None if np.isnan(values[0]) else number(float(values[0]), decimals)


def _classified(fitted: FittedAugmented, answers: Answers, rows: np.ndarray) -> list[list[str]]:
    """Observed class, its probability, the most probable class and its probability."""
    given, own, told = answers.prediction, answers.observed_probability, []
    for row in rows:
        best = int(given[row].argmax())
        likely = f"{shown(fitted.classes[best])} ({number(float(given[row, best]), 3)})"
        told.append([shown(fitted.classes[int(answers.y[row, 0])]), number(float(own[row]), digits=2), likely])
    return told


def _missed(fitted: FittedAugmented, answers: Answers, rows: np.ndarray) -> list[list[str]]:
    """Response, prediction, residual: of a censored response from the end that is nearer to the prediction."""
    estimator, prediction = fitted.estimator, answers.prediction
    unit = np.full(answers.n_rows, getattr(estimator, "scale_", 1.0))
    if fitted.kind in ("normal", "tobit"):
        unit = estimator.predict_distribution(answers.X).standard_deviation
    ends = answers.y[np.isfinite(answers.y)]
    decimals, told = tables.written_decimals(ends[:MOST_DRAWN], decimals_for(float(np.std(ends)), 4)), []
    places = decimals_for(float(np.std(ends)), 3)
    for row in rows:
        low, high = answers.y[row, 0], answers.y[row, -1]
        text = number(float(low), decimals)
        if low < high:
            ends_told = [number(float(end), decimals) for end in (low, high)]
            text = " to ".join(ends_told)
            text = f"≤ {ends_told[1]}" if np.isneginf(low) else f"≥ {ends_told[0]}" if np.isposinf(high) else text
        off = float(np.clip(prediction[row], low, high) - prediction[row]) / float(unit[row])
        sign = "+" if off > 0 else ""
        told.append([text, number(float(prediction[row]), places), sign + number(off, 1)])
    return told


def _rows_in_words(answers: Answers, covered: Covered | None) -> str:
    told = f"{count(answers.n_rows, 'row')}."
    if answers.censored.any():
        low, high = answers.y[:, 0], answers.y[:, -1]
        kinds = [
            (np.isneginf(low) & np.isfinite(high), "left-censored"),
            (np.isposinf(high) & np.isfinite(low), "right-censored"),
            (answers.censored & np.isfinite(low) & np.isfinite(high), "known to lie in an interval"),
            (np.isneginf(low) & np.isposinf(high), "unknown"),
        ]
        parts = [f"{int(mask.sum()):,} {word}" for mask, word in kinds if mask.any()]
        told += f" Of the responses {', '.join(parts)}; the others were seen."
    if covered is not None and covered.missing.per_column.any():
        return (
            f"{told} {percent(covered.missing.share)} of the cells of numbers are missing; "
            f"{covered.missing.complete_rows:,} rows are complete. Missing cells are integrated out: nothing was "
            "filled in."
        )
    return f"{told} Everything here is conditional on the covariates: nothing is said of how they are distributed."


def _number_data(answers: Answers, covered: Covered | None, names: list[str]) -> list[dict]:
    """One row per column of numbers, the response (where it was seen) first."""
    rows: list[dict] = []
    seen = ~answers.censored & (answers.each > 0)
    if not hasattr(answers.estimator, "classes_") and seen.any():
        own = answers.y[seen, :1]
        table = ArrayTable(array=np.ascontiguousarray(own), names=None)
        summary = summarise(table, None if answers.weight is None else answers.weight[seen])
        name = answers.response + (" (where it was seen)" if answers.censored.any() else "")
        decimals = tables.column_decimals(summary, own)
        rows += tables.data_table([name], summary, missing_patterns(table), decimals, [0])
    if covered is not None:
        every = list(range(len(names)))
        rows += tables.data_table(names, covered.summary, covered.missing, covered.decimals, every)
    return rows


def _level_data(fitted: FittedAugmented, answers: Answers, listed: list[int]) -> list[dict]:
    """One row per column of levels, the classes first."""
    columns = [(answers.response, fitted.classes, answers.y[:, 0].astype(int))] if fitted.classes else []
    for j in listed:
        levels = levels_of(fitted, j)
        if levels is not None:
            own = _design(fitted, answers.covariates.matrix, [j])
            code = np.where(own.any(axis=1), own.argmax(axis=1) + 1, 0) if own.shape[1] else np.zeros(len(own), int)
            columns.append((fitted.columns[j], levels, code))
    rows = []
    for name, levels, code in columns:
        share = np.bincount(code, answers.each, minlength=len(levels)) / answers.each.sum()
        first = np.argsort(-share, kind="stable")[:3]
        frequent = ", ".join(f"{shown(levels[i])} ({percent(float(share[i]))})" for i in first)
        rows.append({"name": name, "levels": len(levels), "frequent": frequent, "missing": "0"})
    return rows
