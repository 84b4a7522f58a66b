"""The report's tables: words and numbers, ready to be placed. Nothing here is markup; the template escapes it all."""

from typing import Any

import numpy as np

from ..data.summary import Summary
from .candidates import CRITERIA, sized, usable
from .digits import decimals_for, number, percent, plus_minus, significant
from .fitted import Column, Fitted, FittedMixture
from .membership import Membership
from .rows import Missing
from .style import shown

#: Beyond so many covariances the matrices are left out: a page must stay one that opens.
_MOST_COVARIANCES = 12_000
#: Levels of one column that are told one by one.
_MOST_LEVELS = 12


def written_decimals(values: np.ndarray, most: int) -> int:
    """Decimals that the cells themselves were written with, at most ``most``.

    >>> import numpy as np
    >>> written_decimals(np.array([181.0, 186.0]), 3), written_decimals(np.array([39.1, 40.0]), 3)
    (0, 1)
    """
    for decimals in range(most):
        if np.allclose(values, np.round(values, decimals), rtol=1e-12, atol=0):
            return decimals
    return most


def column_decimals(summary: Summary, cells: np.ndarray) -> list[tuple[int, int]]:
    """For each column, the decimals of a mean and those of a cell."""
    out = []
    for j, variance in enumerate(summary.variance):
        scale = float(np.sqrt(variance))
        observed = cells[~np.isnan(cells[:, j]), j]
        out.append((decimals_for(scale, 3), written_decimals(observed, decimals_for(scale, 4))))
    return out


def data_table(
    names: list[str], summary: Summary, missing: Missing, decimals: list[tuple[int, int]], columns: list[int]
) -> list[dict]:
    """One row per column of numbers: mean, sd, min, max, missing."""
    rows = []
    for j in columns:
        name, (mean, cell) = names[j], decimals[j]
        holes = int(missing.per_column[j])
        known = holes < missing.n_rows
        rows.append(
            {
                "name": name,
                "mean": number(summary.mean[j] if known else None, mean),
                "sd": number(np.sqrt(summary.variance[j]) if known else None, mean),
                "min": number(summary.minimum[j] if known else None, cell),
                "max": number(summary.maximum[j] if known else None, cell),
                "missing": _holes_told(holes, missing.n_rows),
            }
        )
    return rows


def level_data_table(
    fitted: FittedMixture, shares: dict[int, np.ndarray], missing: Missing, columns: list[int]
) -> list[dict]:
    """One row per column of levels: how many, the most frequent ones, missing."""
    rows = []
    for j in columns:
        column, share = fitted.columns[j], np.nan_to_num(shares[j])
        assert column.levels is not None
        first = np.argsort(-share, kind="stable")[:3]
        rows.append(
            {
                "name": column.name,
                "levels": len(column.levels),
                "frequent": ", ".join(f"{shown(column.levels[i])} ({percent(float(share[i]))})" for i in first),
                "missing": _holes_told(int(missing.per_column[j]), missing.n_rows),
            }
        )
    return rows


def _holes_told(holes: int, n_rows: int) -> str:
    return f"{holes:,} ({percent(holes / n_rows)})" if holes else "0"


def component_table(fitted: Fitted, members: Membership, errors: Any) -> list[dict]:
    """One row per component: weight, expected rows, rows assigned, certainty; the degrees of freedom of a t."""
    rows = []
    told = estimates(fitted.weights, getattr(errors, "weights", None), 4)
    degrees = fitted.degrees
    if fitted.noise is not None:
        told, degrees = [*told, (number(fitted.noise, 4), None)], np.append(degrees, np.inf)
    for k, weight in enumerate(fitted.shares):
        rows.append(
            {
                "k": k,
                "weight": told[k][0],
                "error": told[k][1],
                "width": round(100 * float(weight / max(fitted.shares)), 1),
                "expected": number(float(members.expected[k]), 1),
                "chosen": f"{int(members.chosen[k]):,}",
                "certainty": percent(float(members.certainty[k])) if members.chosen[k] else "–",
                "degrees": number(float(degrees[k]), digits=3) if np.isfinite(degrees[k]) else None,
            }
        )
    return rows


def estimates(values: np.ndarray, errors: np.ndarray | None, decimals: int) -> list[tuple[str, str | None]]:
    """Numbers that are compared, all with the decimals that the largest of their standard errors supports."""
    plain: list[tuple[str, str | None]] = [
        (number(float(value), decimals if decimals <= 7 else None), None) for value in values
    ]
    if errors is None or not (errors > 0).any():
        return plain
    largest = float(np.nanmax(errors))
    needed = decimals_for(largest, 2)
    told: list[tuple[str, str | None]] = []
    for value, error, alone in zip(values, errors, plain, strict=True):
        if np.isnan(error):  # at an edge of its range
            told.append(alone)
            continue
        if needed > 7 or np.abs(values).max() >= 1e9:
            told.append(plus_minus(float(value), float(error)))
            continue
        # An error much smaller than the largest keeps a digit of its own.
        own = max(needed, min(decimals_for(float(error), 1), 7))
        shown_value, shown_error = (number(significant(float(x), largest), own) for x in (value, error))
        told.append((shown_value, shown_error))
    return told


def covariate_table(estimator: Any, errors: Any) -> list[dict]:
    """One row per covariate, the intercept first: log odds of each component against the first; none without any."""
    if not hasattr(estimator, "membership_coef_"):
        return []
    values = np.column_stack([estimator.membership_intercept_, estimator.membership_coef_])
    off = None if errors is None else np.column_stack([errors.membership_intercept, errors.membership_coef])
    rows = []
    for j, name in enumerate(["intercept", *estimator.membership_names_]):
        told = estimates(values[:, j], None if off is None else off[:, j], 3)
        cells = [{"value": value, "error": error} for value, error in told]
        cells[0] = {"value": "0", "error": None}  # the one that the others are compared with
        rows.append({"name": name, "cells": cells})
    return rows


def number_table(
    fitted: FittedMixture, summary: Summary, decimals: list[tuple[int, int]], columns: list[int]
) -> list[dict]:
    """One row per column of numbers, one cell per component: mean ± standard error, and what else the family has."""
    return [_number_row(fitted.columns[j], summary, decimals[j][0]) for j in columns]


def _number_row(column: Column, summary: Summary, decimals: int) -> dict:
    j = column.position
    spread = float(np.sqrt(summary.variance[j])) or 1.0
    told = estimates(column.mean, column.mean_error, decimals)
    below = _other_parameters(column)
    cells = []
    for k, mean in enumerate(column.mean):
        away = float(np.clip((mean - summary.mean[j]) / spread, -2.0, 2.0)) / 2.0
        cells.append({"value": told[k][0], "error": told[k][1], "below": below[k]} | _tinted(away))
    return {"name": column.name, "family": column.family, "cells": cells}


def _tinted(away: float) -> dict[str, Any]:
    """A colour for a number that lies above or below all rows' by this much, from −1 to 1."""
    return {"tint": round(abs(away) * 30), "side": "above" if away > 0 else "below"}  # percent of the colour


def _other_parameters(column: Column) -> list[tuple[str, ...]]:
    """What is said of each component below its mean: the parameters that the mean is not."""
    parts: list[list[str]] = []
    for name, values in column.parameters.items():
        if np.array_equal(values, column.mean):
            continue
        word = {"standard_deviation": "sd"}.get(name, name.replace("_", " "))
        largest = float(np.abs(values).max())
        digits = decimals_for(largest, 3)
        if name in column.errors:
            told = estimates(values, column.errors[name], digits)
        else:
            told = [
                (number(significant(float(x), largest), digits if digits <= 7 else None, digits=3), None)
                for x in values
            ]
        parts.append([f"{word} {value}" + (f" ± {error}" if error else "") for value, error in told])
    return list(zip(*parts, strict=True)) if parts else [()] * len(column.mean)


def level_table(fitted: FittedMixture, shares: dict[int, np.ndarray], columns: list[int]) -> list[dict]:
    """One row per level (of two, the second), one cell per component: its probability, and its share of all rows.

    Parameters
    ----------
    fitted : FittedMixture
    shares : dict
        From the position of each column of levels to the observed share of each level.
    columns : list of int
        Positions of the columns to tell of.
    """
    rows = []
    for j in columns:
        column, share = fitted.columns[j], shares[j]
        assert column.levels is not None
        common = np.argsort(-np.nan_to_num(share), kind="stable")[:_MOST_LEVELS]
        if len(column.levels) == 2:  # the other's probability is the rest
            common = np.array([1])
        for level in np.sort(common):
            told = estimates(column.probability[:, level], column.probability_error[:, level], 3)
            cells = [
                {"value": told[k][0], "error": told[k][1]} | _tinted(float(np.clip(2 * (p - share[level]), -1, 1)))
                for k, p in enumerate(column.probability[:, level])
            ]
            first = level == np.sort(common)[0]
            name = column.name if first else ""
            rows.append(
                {"name": name, "level": column.levels[level], "share": percent(float(share[level])), "cells": cells}
            )
        rest = len(column.levels) - len(common)
        if rest and len(column.levels) > 2:
            others = np.setdiff1d(np.arange(len(column.levels)), common)
            sums = column.probability[:, others].sum(axis=1)
            cells = [{"value": number(float(p), 3), "error": None} | _tinted(0.0) for p in sums]
            of_all = percent(float(share[others].sum()))
            rows.append({"name": "", "level": f"{rest} other levels", "share": of_all, "cells": cells})
    return rows


def matrix_tables(fitted: FittedMixture, errors: Any) -> tuple[list[dict], str | None]:
    """Covariances or scale matrices; and why there are none, where they are too many for a page."""
    tables, told = [], None
    dependent = [one for one in fitted.ellipsoids if one.dependent and len(one.columns) > 1]
    if len(fitted.columns) == 1:
        dependent = fitted.ellipsoids
    for one in dependent:
        names = [fitted.names[j] for j in one.columns]
        found, problem = _matrices(names, one.scales, _matrix_errors(fitted, names, errors))
        of = "" if len(dependent) == 1 else f": {', '.join(shown(name) for name in names)}"
        tables += [table | {"title": table["title"] + of, "names": names} for table in found]
        told = told or problem
    return tables, told


def _matrix_errors(fitted: FittedMixture, names: list[str], errors: Any) -> np.ndarray | None:
    """Standard errors of the covariances or scale matrices of these columns."""
    if errors is None:
        return None
    if hasattr(fitted.estimator, "covariances_"):
        return errors.covariances
    return errors.scales if hasattr(fitted.estimator, "scales_") else errors.parameters[tuple(names)]["covariance"]


def _matrices(names: list[str], sigmas: np.ndarray, errors: np.ndarray | None) -> tuple[list[dict], str | None]:
    """On and below the diagonal covariances ± standard errors, above it correlations."""
    equal = len(sigmas) > 1 and np.allclose(sigmas, sigmas[0], rtol=1e-9, atol=0)
    chosen = sigmas[:1] if equal else sigmas
    if chosen.size > _MOST_COVARIANCES:
        return [], f"{chosen.size:,} covariances are too many for a page: read them from the fitted attributes."
    tables = []
    for k, sigma in enumerate(chosen):
        scale = np.sqrt(np.diag(sigma))
        rows = []
        for i, name in enumerate(names):
            cells = []
            for j in range(len(names)):
                if j > i:
                    cells.append({"text": number(float(sigma[i, j] / (scale[i] * scale[j])), 2), "correlation": True})
                    continue
                text, error = number(float(sigma[i, j]), digits=3), None
                if errors is not None and errors[k, i, j] > 0:
                    text, error = plus_minus(float(sigma[i, j]), float(errors[k, i, j]))
                cells.append({"text": text, "error": error, "correlation": False})
            rows.append({"name": name, "cells": cells})
        tables.append({"title": "All components (shared)" if equal else f"Component {k}", "rows": rows})
    return tables, None


def uncertain_table(
    fitted: FittedMixture, members: Membership, cells: np.ndarray, decimals: list[tuple[int, int]], columns: list[int]
) -> list[dict]:
    """The least certain rows that have a cell: number, cells, the two most probable components."""
    rows = []
    for row, posterior, values in zip(members.least_certain, members.least_certain_posterior, cells, strict=True):
        if np.isnan(values).all():
            continue
        order = np.argsort(-posterior, kind="stable")[:2]
        rows.append(
            {
                "row": f"{int(row):,}",
                "cells": [_cell(fitted.columns[j], float(values[j]), decimals[j][1]) for j in columns],
                "top": [{"k": int(k), "p": number(float(posterior[k]), 2)} for k in order],
            }
        )
    return rows


def _cell(column: Column, value: float, decimals: int) -> str | None:
    """A cell as it stands in the table; None where it is missing."""
    if np.isnan(value):
        return None
    return number(value, decimals) if column.levels is None else column.levels[int(value)]


def selection_table(selection: Any) -> tuple[list[dict], list[str]]:
    """The candidates, best first, and the names of their columns; those without a criterion come last."""
    column, label, higher = CRITERIA[selection.criterion]
    rows, good = selection.table_.to_pylist(), usable(selection)
    values = np.array([np.nan if row[column] is None else row[column] for row in rows], dtype=float)
    order = np.lexsort((np.where(good, -values if higher else values, np.inf), ~good))
    best = values[order[0]] if good.any() else np.nan
    heywood = any(row.get("heywood") for row in rows)
    others = [name for name in ("bic", "icl", "aic") if name != column and name in selection.table_.column_names]
    out = []
    for i in order:
        row = rows[i]
        out.append(
            {
                "structure": str(row.get("covariance", "")),
                "size": row[sized(selection)[0]],
                "cells": [
                    number(float(values[i]), 4 if higher else 1) if good[i] else "–",
                    number(float(abs(values[i] - best)), 4 if higher else 1) if good[i] else "–",
                    number(row["log_likelihood"], 1),
                    f"{row['n_parameters']:,}",
                    *(number(row[name], 1) for name in others),
                    *([str(row["heywood"])] if heywood else []),
                    f"{row['n_iter']:,}",
                ],
                "status": str(row["status"]).replace("_", " "),
                "good": bool(good[i]),
            }
        )
    return out, [
        *(label, "to the best", "log likelihood", "parameters"),
        *(name.upper() for name in others),
        *(["columns without noise"] if heywood else []),
        "iterations",
    ]
