"""What the page of a mixture of densities shows."""

from typing import Any

import numpy as np

from ..data.summary import summarise
from ..data.table import Table
from . import tables
from .digits import count, percent
from .embed import embedded
from .errors import standard_errors_or_why_not
from .fitted import FittedMixture, with_errors
from .membership import membership, rows_to_draw
from .page import MOST_UNCERTAIN, shared_contents
from .pictures import pictures
from .plots import plot_holes, ranking
from .rows import missing_patterns, take_rows
from .words import families_in_words, headline, warnings_in_words

#: Columns whose cells are shown, and columns whose parameters are: those that separate the components best.
_MOST_CELLS, _MOST_LISTED = 20, 100


def contents(
    fitted: FittedMixture,
    X: Any,
    table: Table,
    weight: np.ndarray | None,
    selection: Any,
    standard_errors: bool,
    title: str | None,
) -> dict[str, Any]:
    """Everything that the page of a mixture of densities shows."""
    estimator = fitted.estimator
    summary, missing = summarise(table, weight), missing_patterns(table)
    # Rows without any observed cell are the least certain of all, but there is nothing to see in them.
    members = membership(fitted, table, MOST_UNCERTAIN + min(missing.empty_rows, 1_000), weight)
    drawn = rows_to_draw(fitted, table, weight)
    errors, problem = None, None
    if standard_errors:
        errors, problem = standard_errors_or_why_not(
            estimator, lambda: estimator.standard_errors(X, sample_weight=weight)
        )
    if errors is not None:
        fitted = with_errors(fitted, errors)
    decimals = tables.column_decimals(summary, drawn.cells)
    d = len(fitted.columns)
    ranked = ranking(fitted, drawn)
    listed = sorted(ranked[:_MOST_LISTED])
    seen = sorted(ranked[:_MOST_CELLS])
    in_order = np.argsort(members.least_certain)
    cells = np.empty((len(in_order), d))
    cells[in_order] = take_rows(table, members.least_certain[in_order])
    matrices, too_many = tables.matrix_tables(fitted, errors)
    numbers = [j for j in listed if fitted.columns[j].levels is None]
    levels = [j for j in listed if fitted.columns[j].levels is not None]
    shared = shared_contents(
        fitted,
        members,
        selection,
        title=title,
        headline=headline(fitted, table.n_rows),
        structure=families_in_words(fitted),
        warned=warnings_in_words(fitted, summary, missing, members, selection, problem),
        errors=errors,
        problem=problem,
        X=X,
        weight=weight,
    )
    return (
        shared
        | {
            "names": [fitted.names[j] for j in seen],
            "names_left": d - len(seen),
            "listed": len(listed) if len(listed) < d else None,
            "n_columns": f"{d:,}",
            "data": tables.data_table(fitted.names, summary, missing, decimals, numbers),
            "level_data": tables.level_data_table(fitted, drawn.shares, missing, levels),
            "holes": _holes_in_words(missing.share, missing.complete_rows, table.n_rows),
            "missing_plot": embedded(
                plot_holes(missing, fitted.names), "Share of missing cells per column, and row patterns"
            )
            if missing.per_column.any()
            else None,
            "pictures": pictures(fitted, drawn),
            "caption": f"Numbers stand at the {'locations' if shared['degrees'] else 'means'}",
            "drawn": None if len(drawn.cells) + missing.empty_rows >= table.n_rows else f"{len(drawn.cells):,}",
            "numbers": tables.number_table(fitted, summary, decimals, numbers),
            "families": len({fitted.columns[j].family for j in numbers}) > 1 or fitted.columns[0].family != "normal",
            "levels": tables.level_table(fitted, drawn.shares, levels),
            "coefficients": [],  # regressions have them
            "covariances": matrices,
            "too_many": too_many,
            "uncertain": tables.uncertain_table(fitted, members, cells, decimals, seen)[:MOST_UNCERTAIN],
            "empty_rows": missing.empty_rows,
        }
    )


def _holes_in_words(share: float, complete: int, n_rows: int) -> str:
    if share == 0:
        return "No cell is missing."
    return (
        f"{percent(share)} of the cells are missing; {complete:,} of {count(n_rows, 'row')} are complete. Missing "
        "cells are integrated out exactly, in the fit and in every number on this page: nothing was filled in to fit."
    )
