"""The report: one self-contained HTML page about a fitted mixture and its rows."""

import datetime
import importlib.metadata
import importlib.resources
import inspect
import os
import platform
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from ..core.errors import NoumenaError
from ..data.summary import summarise
from ..data.table import Table
from ..estimators.inputs import row_weights
from ..estimators.storage import OutputError, write_atomically
from . import tables
from .digits import count, number, percent
from .embed import embedded
from .fitted import FittedMixture, taken_apart, with_errors
from .membership import Membership, membership, rows_to_draw
from .pictures import pictures
from .plots import CRITERIA, plot, plot_holes, plot_trace, ranking
from .rows import missing_patterns, take_rows
from .words import families_in_words, headline, outcome, warnings_in_words

_MOST_UNCERTAIN = 20
#: Columns whose cells are shown, and columns whose parameters are: those that separate the components best.
_MOST_CELLS, _MOST_LISTED = 20, 100
#: Standard errors of more free parameters than this are left to those who ask for them.
_MOST_PARAMETERS = 400


class ReportError(OutputError):
    """The report cannot be written; what was there before is untouched."""


def write_report(
    estimator: Any,
    X: Any,
    path: str | os.PathLike[str],
    *,
    selection: Any = None,
    standard_errors: bool = True,
    title: str | None = None,
    sample_weight: Any = None,
) -> None:
    """Write a report of a fitted mixture: one HTML file that needs nothing else, to look at or to send.

    Parameters
    ----------
    estimator : mixture estimator
        Fitted: `GaussianMixture`, `Mixture`, `LatentClassAnalysis`, `BernoulliMixture`, `PoissonMixture` or
        `StudentTMixture`.
    X : table
        The rows that it was fitted on (or others with the same columns; the report says so then). All numbers are of
        all rows; the drawings show at most 5,000 of them.
    path : path
        Of the HTML file. One that exists is replaced, whole or not at all.
    selection : Selection, optional
        The sweep that the estimator comes from.
    standard_errors : bool, default=True
        Compute them; where that cannot be done, or would take long, the report says why.
    title : str, optional
        Heading; by default the result in words.
    sample_weight : array, shape (n_rows,), optional
        The weights of the fit.

    Raises
    ------
    ReportError
        Where the file cannot be written.
    DataError
        Where the table is not one that the estimator can use.

    Examples
    --------
    >>> import tempfile, pathlib, noumena as nm
    >>> x = [[0.0], [0.1], [0.3], [0.2], [5.0], [5.2], [5.1], [5.4]]
    >>> page = pathlib.Path(tempfile.mkdtemp()) / "report.html"
    >>> write_report(nm.GaussianMixture(2, covariance="E", random_state=0).fit(x), x, page)
    >>> "2 clusters of 8 rows by 1 column" in page.read_text()
    True
    """
    fitted = taken_apart(estimator, "the report")
    target = Path(path).expanduser()
    if target.is_dir() or not target.parent.is_dir():  # before the work, not after it
        why = "it is a folder" if target.is_dir() else f"there is no folder {target.parent}"
        raise ReportError(f"cannot write {target}: {why}; name a file in a folder that exists")
    table = estimator._table(X)
    weight = row_weights(sample_weight, table.n_rows)
    page = _page(contents(fitted, X, table, weight, selection, standard_errors, title))
    try:
        write_atomically(target, page.encode())
    except OutputError as error:
        raise ReportError(str(error)) from error.__cause__


def _page(values: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = importlib.resources.files("noumena.report").joinpath("template.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(values)


def contents(
    fitted: FittedMixture,
    X: Any,
    table: Table,
    weight: np.ndarray | None,
    selection: Any,
    standard_errors: bool,
    title: str | None,
) -> dict[str, Any]:
    """Everything the template shows."""
    estimator = fitted.estimator
    summary, missing = summarise(table, weight), missing_patterns(table)
    # Rows without any observed cell are the least certain of all, but there is nothing to see in them.
    members = membership(fitted, table, _MOST_UNCERTAIN + min(missing.empty_rows, 1_000), weight)
    drawn = rows_to_draw(fitted, table, weight)
    errors, problem = _standard_errors(estimator, X, weight) if standard_errors else (None, None)
    if errors is not None:
        fitted = with_errors(fitted, errors)
    decimals = tables.column_decimals(summary, drawn.cells)
    size, d, told = len(fitted.weights), len(fitted.columns), headline(fitted, table.n_rows)
    ranked = ranking(fitted, drawn)
    listed = sorted(ranked[:_MOST_LISTED])
    seen = sorted(ranked[:_MOST_CELLS])
    in_order = np.argsort(members.least_certain)
    cells = np.empty((len(in_order), d))
    cells[in_order] = take_rows(table, members.least_certain[in_order])
    matrices, too_many = tables.matrix_tables(fitted, errors)
    numbers = [j for j in listed if fitted.columns[j].levels is None]
    levels = [j for j in listed if fitted.columns[j].levels is not None]
    return {
        "title": title or told,
        "headline": told,
        "outcome": outcome(estimator),
        "converged": estimator.status_.ok,
        "structure": families_in_words(fitted),
        "figures": _key_figures(fitted, members),
        "warnings": warnings_in_words(fitted, summary, missing, members, selection, problem),
        "names": [fitted.names[j] for j in seen],
        "names_left": d - len(seen),
        "listed": len(listed) if len(listed) < d else None,
        "n_columns": f"{d:,}",
        "sizes": range(size),
        "data": tables.data_table(fitted.names, summary, missing, decimals, numbers),
        "level_data": tables.level_data_table(fitted, drawn.shares, missing, levels),
        "holes": _holes_in_words(missing.share, missing.complete_rows, table.n_rows),
        "missing_plot": embedded(
            plot_holes(missing, fitted.names), "Share of missing cells per column, and row patterns"
        )
        if missing.per_column.any()
        else None,
        "selection": None if selection is None else _selection(selection),
        "trace_plot": embedded(plot_trace(estimator), "Objective of the fit at every iteration"),
        "pictures": pictures(fitted, drawn),
        "drawn": None if len(drawn.cells) + missing.empty_rows >= table.n_rows else f"{len(drawn.cells):,}",
        "components": tables.component_table(fitted, members, errors),
        "covariates": tables.covariate_table(estimator, errors),
        "degrees": any(np.isfinite(one.degrees).any() for one in fitted.ellipsoids),
        "numbers": tables.number_table(fitted, summary, decimals, numbers),
        "families": len({fitted.columns[j].family for j in numbers}) > 1 or fitted.columns[0].family != "normal",
        "levels": tables.level_table(fitted, drawn.shares, levels),
        "colours": fitted.shades,
        "called": fitted.called,
        "errors": None if errors is None else str(errors.method),
        "errors_problem": problem,
        "covariances": matrices,
        "too_many": too_many,
        "uncertain": tables.uncertain_table(fitted, members, cells, decimals, seen)[:_MOST_UNCERTAIN],
        "uncertain_share": f"{count(members.uncertain, 'row')} ({percent(members.uncertain / table.n_rows)}) "
        f"{'has' if members.uncertain == 1 else 'have'}",
        "empty_rows": missing.empty_rows,
        "parameters": _parameters(estimator),
        "code": _program(estimator, X, weight, selection),
        "versions": _versions(),
        "made": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
    }


def _key_figures(fitted: FittedMixture, members: Membership) -> list[dict[str, str]]:
    """The numbers at the head of the page, each with what it is."""
    estimator = fitted.estimator
    structure = estimator.covariance if fitted.dependent else ""
    deviance = -2 * members.log_likelihood
    bic = deviance + estimator.n_parameters_ * np.log(members.total_weight)
    icl = bic - 2 * members.log_certainty
    figures = [
        ("log likelihood", number(members.log_likelihood, 1), "exact", "nats, of the observed cells"),
        ("BIC", number(bic, 1), "exact", "lower is better"),
        ("ICL", number(icl, 1), "exact", "BIC, and the overlap paid for"),
        ("free parameters", f"{estimator.n_parameters_:,}", "", structure),
        ("iterations", f"{estimator.n_iter_:,}", "", estimator.status_.value.replace("_", " ")),
        ("uncertain rows", f"{members.uncertain:,}", "", f"{percent(members.uncertain / members.n_rows)} of all"),
    ]
    return [dict(zip(("name", "value", "kind", "note"), figure, strict=True)) for figure in figures]


def _standard_errors(estimator: Any, X: Any, weight: np.ndarray | None) -> tuple[Any, str | None]:
    """The standard errors, or why there are none."""
    if estimator.n_parameters_ > _MOST_PARAMETERS:
        return None, (
            f"{estimator.n_parameters_:,} free parameters take long to work out; standard_errors gives them, where "
            "they are wanted."
        )
    try:
        errors = estimator.standard_errors(X, sample_weight=weight)
    except NoumenaError as error:
        return None, str(error)
    if not np.isfinite(getattr(errors, "weights", 0.0)).all():  # covariates have coefficients in their place
        return None, "some of them are not finite, for the likelihood is flat at the estimate."
    return errors, None


def _holes_in_words(share: float, complete: int, n_rows: int) -> str:
    if share == 0:
        return "No cell is missing."
    return (
        f"{percent(share)} of the cells are missing; {complete:,} of {count(n_rows, 'row')} are complete. Missing "
        "cells are integrated out exactly, in the fit and in every number on this page: nothing was filled in to fit."
    )


def _selection(selection: Any) -> dict[str, Any]:
    rows, heads = tables.selection_table(selection)
    _, word, higher = CRITERIA[selection.criterion]
    return {
        "rows": rows,
        "heads": heads,
        "structures": len({row["structure"] for row in rows}) > 1,
        "word": word,
        "better": "higher" if higher else "lower",
        "plot": embedded(plot(selection), f"{word} against the number of components"),
    }


def _parameters(estimator: Any) -> list[dict[str, Any]]:
    """The constructor's parameters; those that differ from their defaults are marked."""
    defaults = {name: p.default for name, p in inspect.signature(type(estimator).__init__).parameters.items()}
    return [
        {"name": name, "value": _literal(value), "code": _code(value), "set": not _same(value, defaults.get(name))}
        for name, value in estimator.get_params(deep=False).items()
    ]


def _same(value: Any, default: Any) -> bool:
    return value is default or (_simple(value) and type(value) is type(default) and value == default)


def _simple(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_simple(part) for pair in value.items() for part in pair)
    if isinstance(value, tuple):
        return all(map(_simple, value))
    return value is None or isinstance(value, str | int | float)


def _literal(value: Any, most: int = 120) -> str:
    text = f"array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def _code(value: Any) -> str:
    """Python for a value, or dots for one that has no short form."""
    return repr(value) if _simple(value) else "..."


def _program(estimator: Any, X: Any, weight: np.ndarray | None, selection: Any) -> str:
    """Python that makes the fit and the page again."""
    weighted = "" if weight is None else ", sample_weight=weight"
    swept = {"n_components", "covariance"} if selection is not None else set()
    arguments = ", ".join(
        f"{one['name']}={one['code']}" for one in _parameters(estimator) if one["set"] and one["name"] not in swept
    )
    model = f"nm.{type(estimator).__name__}({arguments})"
    if isinstance(X, str | os.PathLike):
        table = repr(os.fspath(X))
    else:
        table = f"...  # a {type(X).__module__.split('.')[0]} {type(X).__name__}"
    lines = ["import noumena as nm", "from noumena.report import write_report", "", f"table = {table}"]
    if weight is not None:
        lines.append("weight = ...  # of the rows")
    if selection is None:
        lines += [
            f"estimator = {model}.fit(table{weighted})",
            f'write_report(estimator, table, "report.html"{weighted})',
        ]
        return "\n".join(lines)
    tried = {
        name: list(dict.fromkeys(selection.table_.column(name).to_pylist()))
        for name in ("n_components", "covariance")
        if name in selection.table_.column_names
    }
    lines += [
        f"best = nm.select(\n    {model}, table,",
        *(f"    {name}={values!r}," for name, values in tried.items()),
        f"    criterion={selection.criterion!r}{weighted},\n)",
        f'write_report(best.estimator_, table, "report.html", selection=best{weighted})',
    ]
    return "\n".join(lines)


def _versions() -> str:
    named = ("noumena", "jax", "numpy")
    return ", ".join(
        [*(f"{name} {importlib.metadata.version(name)}" for name in named), f"Python {platform.python_version()}"]
    )
