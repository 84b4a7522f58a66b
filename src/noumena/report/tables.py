"""The report's tables: words and numbers, ready to be placed. Nothing here is markup; the template escapes it all."""

from typing import Any

import numpy as np

from ..data.summary import Summary
from .digits import decimals_for, number, percent, plus_minus, significant
from .membership import Membership
from .plots import CRITERIA, usable
from .rows import Missing
from .style import colour

#: Beyond so many covariances the matrices are left out: a page must stay one that opens.
_MOST_COVARIANCES = 12_000


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


def data_table(names: list[str], summary: Summary, missing: Missing, decimals: list[tuple[int, int]]) -> list[dict]:
    """One row per column of the data: mean, sd, min, max, missing."""
    rows = []
    for j, name in enumerate(names):
        mean, cell = decimals[j]
        holes = int(missing.per_column[j])
        known = holes < missing.n_rows
        rows.append(
            {
                "name": name,
                "mean": number(summary.mean[j] if known else None, mean),
                "sd": number(np.sqrt(summary.variance[j]) if known else None, mean),
                "min": number(summary.minimum[j] if known else None, cell),
                "max": number(summary.maximum[j] if known else None, cell),
                "missing": f"{holes:,} ({percent(holes / missing.n_rows)})" if holes else "0",
            }
        )
    return rows


def component_table(estimator: Any, members: Membership, errors: Any) -> list[dict]:
    """One row per component: weight, expected rows, rows assigned, certainty."""
    rows = []
    told = _estimates(estimator.weights_, None if errors is None else errors.weights, 4)
    for k, weight in enumerate(estimator.weights_):
        rows.append(
            {
                "k": k,
                "colour": colour(k),
                "weight": told[k][0],
                "error": told[k][1],
                "width": round(100 * float(weight / max(estimator.weights_)), 1),
                "expected": number(float(members.expected[k]), 1),
                "chosen": f"{int(members.chosen[k]):,}",
                "certainty": percent(float(members.certainty[k])) if members.chosen[k] else "–",
            }
        )
    return rows


def _estimates(values: np.ndarray, errors: np.ndarray | None, decimals: int) -> list[tuple[str, str | None]]:
    """Numbers that are compared, all with the decimals that the largest of their standard errors supports."""
    if errors is None or not (errors > 0).any():
        return [(number(float(value), decimals if decimals <= 7 else None), None) for value in values]
    largest = float(errors.max())
    needed = decimals_for(largest, 2)
    if needed > 7 or np.abs(values).max() >= 1e9:
        return [plus_minus(float(value), float(error)) for value, error in zip(values, errors, strict=True)]
    told = []
    for value, error in zip(values, errors, strict=True):
        # An error much smaller than the largest keeps a digit of its own.
        decimals = max(needed, min(decimals_for(float(error), 1), 7))
        told.append(tuple(number(significant(float(x), largest), decimals) for x in (value, error)))
    return told


def mean_table(
    names: list[str], estimator: Any, summary: Summary, errors: Any, decimals: list[tuple[int, int]]
) -> list[dict]:
    """One row per column of the data, one cell per component: mean ± standard error, and sd."""
    rows = []
    deviation = np.sqrt(np.maximum(np.einsum("kjj->kj", estimator.covariances_), 0.0))
    for j, name in enumerate(names):
        spread = float(np.sqrt(summary.variance[j])) or 1.0
        cells = []
        told = _estimates(estimator.means_[:, j], None if errors is None else errors.means[:, j], decimals[j][0])
        digits = decimals_for(float(deviation[:, j].max()), 3)
        for k, mean in enumerate(estimator.means_[:, j]):
            away = float(np.clip((mean - summary.mean[j]) / spread, -2.0, 2.0)) / 2.0
            cells.append(
                {
                    "mean": told[k][0],
                    "error": told[k][1],
                    "sd": number(
                        significant(float(deviation[k, j]), float(deviation[:, j].max())),
                        digits if digits <= 7 else None,
                        digits=3,
                    ),
                    "tint": round(abs(away) * 30),  # percent of the colour
                    "side": "above" if away > 0 else "below",
                }
            )
        rows.append({"name": name, "cells": cells})
    return rows


def covariance_tables(names: list[str], estimator: Any, errors: Any) -> tuple[list[dict], str | None]:
    """Covariances ± standard errors on and below the diagonal, correlations above; and why there are none, if so."""
    sigmas = np.asarray(estimator.covariances_)
    equal = len(sigmas) > 1 and np.allclose(sigmas, sigmas[0], rtol=1e-9, atol=0)
    chosen = sigmas[:1] if equal else sigmas
    if chosen.size > _MOST_COVARIANCES:
        return [], f"{chosen.size:,} covariances are too many for a page: read them from covariances_."
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
                if errors is not None and errors.covariances[k, i, j] > 0:
                    text, error = plus_minus(float(sigma[i, j]), float(errors.covariances[k, i, j]))
                cells.append({"text": text, "error": error, "correlation": False})
            rows.append({"name": name, "cells": cells})
        tables.append({"title": "All components (shared)" if equal else f"Component {k}", "rows": rows})
    return tables, None


def uncertain_table(members: Membership, cells: np.ndarray, decimals: list[tuple[int, int]]) -> list[dict]:
    """The least certain rows that have a cell: number, cells, the two most probable components."""
    rows = []
    for row, posterior, values in zip(members.least_certain, members.least_certain_posterior, cells, strict=True):
        if np.isnan(values).all():
            continue
        order = np.argsort(-posterior, kind="stable")[:2]
        rows.append(
            {
                "row": f"{int(row):,}",
                "cells": [None if np.isnan(x) else number(float(x), decimals[j][1]) for j, x in enumerate(values)],
                "top": [{"k": int(k), "colour": colour(int(k)), "p": number(float(posterior[k]), 2)} for k in order],
            }
        )
    return rows


def selection_table(selection: Any) -> tuple[list[dict], list[str]]:
    """The candidates, best first, and the names of their columns; those without a criterion come last."""
    column, label, higher = CRITERIA[selection.criterion]
    rows, good = selection.table_.to_pylist(), usable(selection)
    values = np.array([np.nan if row[column] is None else row[column] for row in rows], dtype=float)
    order = np.lexsort((np.where(good, -values if higher else values, np.inf), ~good))
    best = values[order[0]] if good.any() else np.nan
    others = [name for name in ("bic", "icl", "aic") if name != column]
    out = []
    for i in order:
        row = rows[i]
        out.append(
            {
                "structure": str(row["covariance"]),
                "size": row["n_components"],
                "cells": [
                    number(float(values[i]), 4 if higher else 1) if good[i] else "–",
                    number(float(abs(values[i] - best)), 4 if higher else 1) if good[i] else "–",
                    number(row["log_likelihood"], 1),
                    f"{row['n_parameters']:,}",
                    *(number(row[name], 1) for name in others),
                    f"{row['n_iter']:,}",
                ],
                "status": str(row["status"]).replace("_", " "),
                "good": bool(good[i]),
            }
        )
    return out, [label, "to the best", "log likelihood", "parameters", *(name.upper() for name in others), "iterations"]
