"""What the page of a factor model shows."""

import datetime
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import NoumenaError, NoumenaWarning
from ..data.summary import Summary, summarise
from ..data.table import Table
from ..estimators.bayesian_pca import BayesianPCA
from ..estimators.factor_analysis import FactorAnalysis
from ..estimators.probabilistic_pca import ProbabilisticPCA
from ..models.factor_measures import FitMeasures
from . import tables
from .digits import count, decimals_for, number, percent, plus_minus
from .embed import embedded
from .errors import standard_errors_or_why_not
from .factor_plots import MOST_COLUMNS, MOST_FACTORS, loadings_plot, plane_plot
from .factors import SALIENT, FittedFactors, Scored
from .page import selection_shown
from .plots import plot_holes, plot_trace
from .provenance import parameters, program, versions
from .rows import MOST_DRAWN, Missing, missing_patterns, sample_rows, take_rows
from .style import shown
from .words import Warned, closing_warnings, few_rows, fit_warnings, hole_warnings, outcome

#: What is listed at most: rows, the cells of one, columns.
_MOST_ROWS, _MOST_CELLS, _MOST_LISTED = 20, 20, 100
#: Columns with missing cells to which a normal without structure is fitted unasked.
_MOST_WIDE = 30
#: Share of the total variance beyond which one column outweighs all others.
_MOST_SHARE = 0.9


@dataclass(frozen=True)
class Described:
    """A factor model and the rows to tell of.

    Attributes
    ----------
    fitted : FittedFactors
    table : Table
    weight : array, shape (n_rows,), or None
    log_density : array, shape (n_rows,)
    missing : Missing
    summary : Summary
    """

    fitted: FittedFactors
    table: Table
    weight: np.ndarray | None
    log_density: np.ndarray
    missing: Missing
    summary: Summary

    @property
    def total_weight(self) -> float:
        return float(len(self.log_density) if self.weight is None else self.weight.sum())

    @property
    def log_likelihood(self) -> float:
        return float(self.log_density.sum() if self.weight is None else self.weight @ self.log_density)

    @property
    def own(self) -> bool:
        """Whether these are the rows of the fit, as far as their likelihood tells."""
        return bool(np.isclose(self.log_likelihood, self.fitted.estimator.log_likelihood_, rtol=1e-7, atol=1e-6))

    @property
    def listed(self) -> list[int]:
        """The columns that are told of: those with the highest communalities, where they are many."""
        best = np.argsort(-self.fitted.communalities, kind="stable")[:_MOST_LISTED]
        return sorted(best.tolist())


def contents(
    fitted: FittedFactors,
    X: Any,
    table: Table,
    weight: np.ndarray | None,
    selection: Any,
    standard_errors: bool,
    title: str | None,
) -> dict[str, Any]:
    """Everything that the page of a factor model shows, by the names of the template."""
    estimator, q = fitted.estimator, len(fitted.factors)
    rows = Described(
        fitted, table, weight, estimator.score_samples(X), missing_patterns(table), summarise(table, weight)
    )
    errors, problem = None, None
    if fitted.undetermined:
        problem = "so many factors take more parameters than the covariances of the columns have."
    elif standard_errors and isinstance(estimator, FactorAnalysis | ProbabilisticPCA):
        errors, problem = standard_errors_or_why_not(
            estimator, lambda: estimator.standard_errors(X, sample_weight=weight)
        )
    measures, without = _measures(rows, X)
    drawn = take_rows(table, sample_rows(table.n_rows))
    decimals = tables.column_decimals(rows.summary, drawn)
    headline = _headline(fitted, table.n_rows)
    d, cells = len(fitted.names), rows.listed[:_MOST_CELLS]
    scattered = Scored.of(fitted, table) if q >= 2 else None
    pair = " and ".join(fitted.factors[:2])
    return {
        "title": title or headline,
        "headline": headline,
        "outcome": outcome(estimator),
        "structure": _structure(fitted),
        "figures": _figures(rows, measures),
        "warnings": _warnings(rows, measures, selection, problem),
        "loadings_plot": embedded(loadings_plot(fitted), f"Standardised loadings of {count(d, 'column')}"),
        "small": f"{SALIENT:g}",
        "factors": _factor_table(fitted, errors),
        "oblique": fitted.oblique,
        "relevance": fitted.bayesian,
        "principal": isinstance(estimator, ProbabilisticPCA),
        "loadings": _loading_table(rows, errors),
        "named": fitted.factors[:MOST_FACTORS],
        "factors_left": max(q - MOST_FACTORS, 0),
        "listed": len(rows.listed) if len(rows.listed) < d else None,
        "most_drawn": MOST_COLUMNS if d > MOST_COLUMNS else None,
        "n_columns": f"{d:,}",
        "errors": None if errors is None else str(errors.method),
        "errors_problem": problem or _no_errors(fitted),
        "plane": None
        if scattered is None
        else embedded(plane_plot(fitted, scattered), f"The rows and the columns' directions: {pair}"),
        "pair": pair,
        "drawn": f"{MOST_DRAWN:,}" if table.n_rows > MOST_DRAWN else None,
        "measures": None if measures is None else _measure_table(measures),
        "measures_problem": without,
        "surprising": _surprising(rows, decimals, cells),
        "cells": [fitted.names[j] for j in cells],
        "more_cells": d - len(cells),
        "data": tables.data_table(fitted.names, rows.summary, rows.missing, decimals, rows.listed),
        "level_data": [],  # columns are numbers
        "holes": _holes_in_words(rows.missing),
        "missing_plot": embedded(
            plot_holes(rows.missing, fitted.names), "Share of missing cells per column, and row patterns"
        )
        if rows.missing.per_column.any()
        else None,
        "selection": None if selection is None else selection_shown(selection),
        "trace_plot": embedded(plot_trace(estimator), "Objective of the fit at every iteration"),
        "objective": "lower bound of the log evidence" if fitted.bayesian else "log likelihood",
        # sections that mixtures have
        "covariances": [],
        "too_many": None,
        "parameters": parameters(estimator),
        "code": program(estimator, X, weight, selection),
        "versions": versions(),
        "made": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
    }


def _headline(fitted: FittedFactors, n_rows: int) -> str:
    """What was found in what, as a title: 3 factors of 301 rows by 9 columns."""
    one = "factor" if isinstance(fitted.estimator, FactorAnalysis) else "principal component"
    return f"{count(len(fitted.factors), one)} of {count(n_rows, 'row')} by {count(len(fitted.names), 'column')}"


def _structure(fitted: FittedFactors) -> str:
    estimator, own = fitted.estimator, fitted.estimator._model.structure
    groups = max(own.noise) + 1
    noise = "A noise variance for each column."
    if groups < len(fitted.names):
        noise = "One noise variance for all columns." if groups == 1 else f"{groups} noise variances, shared in groups."
    if isinstance(estimator, ProbabilisticPCA):
        return f"Probabilistic principal components, the longest first. {noise}"
    if fitted.bayesian:
        most = max(len(fitted.names) - 1, 1) if estimator.n_factors is None else estimator.n_factors
        return f"Bayesian principal components: of {most}, those were kept that the rows support. {noise}"
    if own.free is not None:
        between = "may correlate" if own.correlated else "do not correlate"
        held = int((~fitted.free).sum())
        return f"Confirmatory: {held} of {fitted.free.size} loadings are held at 0, and the factors {between}. {noise}"
    if len(fitted.factors) == 1:
        return noise
    turned = "in the canonical rotation" if estimator.rotation is None else f"rotated by {estimator.rotation}"
    return f"Exploratory, {turned}. {noise}"


def _figures(rows: Described, measures: FitMeasures | None) -> list[dict[str, str]]:
    fitted, estimator = rows.fitted, rows.fitted.estimator
    value, missing = _large(rows.log_likelihood), rows.missing
    told: list[tuple[str, str, str, str]] = []
    if fitted.bayesian:
        whose = "of the log evidence, nats" if rows.own else "of the log evidence, nats, of the rows of the fit"
        told.append(("lower bound", _large(estimator.lower_bound_), "lower bound", whose))
        told.append(("log likelihood", value, "exact", "nats, at the posterior means of the loadings"))
    else:
        bic = -2 * rows.log_likelihood + estimator.n_parameters_ * np.log(rows.total_weight)
        told.append(("log likelihood", value, "exact", "nats, of the observed cells"))
        told.append(("BIC", _large(bic), "exact", "lower is better"))
    told.append(("variance explained", percent(float(fitted.explained.sum())), "", "of the standardised columns"))
    if measures is not None and measures.dof > 0:
        low, high = (number(end, 3) for end in measures.rmsea_interval)
        p = "p < 0.001" if measures.p_value < 0.001 else f"p = {number(measures.p_value, 3)}"
        freedom = count(measures.dof, "degree of freedom", "degrees of freedom")
        told.append(("χ²", number(measures.chi2, 1), "", f"{freedom}, {p}"))
        told.append(("RMSEA", number(measures.rmsea, 3), "", f"90% interval {low} to {high}"))
        told.append(("CFI", number(measures.cfi, 3), "", "1 is best"))
    if not fitted.bayesian:
        told.append(("free parameters", f"{estimator.n_parameters_:,}", "", ""))
    told.append(("iterations", f"{estimator.n_iter_:,}", "", estimator.status_.value.replace("_", " ")))
    told.append(("missing cells", percent(missing.share), "", count(missing.complete_rows, "complete row")))
    return [dict(zip(("name", "value", "kind", "note"), figure, strict=True)) for figure in told]


def _large(value: float) -> str:
    """With as many decimals as find room."""
    return number(value, 1 if abs(value) < 1e5 else 0)


def _measures(rows: Described, X: Any) -> tuple[FitMeasures | None, str | None]:
    """The fit measures of a factor analysis, or why there are none."""
    estimator, d = rows.fitted.estimator, len(rows.fitted.names)
    if not isinstance(estimator, FactorAnalysis):
        return None, None
    if rows.missing.per_column.any() and d > _MOST_WIDE:
        return None, (
            "a normal without structure, which they compare with, takes long to fit to so many columns with missing "
            "cells; fit_measures gives them, where they are wanted."
        )
    if rows.missing.n_rows <= d:
        return None, "a normal without structure, which they compare with, needs more rows than columns."
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = estimator.fit_measures(X, rows.weight)
        except NoumenaError as error:
            return None, str(error)
    problems = [str(one.message) for one in caught if issubclass(one.category, NoumenaWarning)]
    return (None, f"of the normal without structure: {problems[0]}") if problems else (found, None)


def _measure_table(measures: FitMeasures) -> list[dict[str, str]]:
    """Each measure, what it is, and how it is commonly read."""
    if measures.dof <= 0:
        return []
    low, high = (number(end, 3) for end in measures.rmsea_interval)
    p = "p < 0.001" if measures.p_value < 0.001 else f"p = {number(measures.p_value, 3)}"
    freedom = count(measures.dof, "degree of freedom", "degrees of freedom")
    rows = [
        (
            "χ²",
            f"{number(measures.chi2, 2)} ({freedom}, {p})",
            "What is lost against a normal without structure. A small p says that more is lost than by chance; of many "
            "rows it is small for misfits that do not matter.",
        ),
        (
            "RMSEA",
            f"{number(measures.rmsea, 3)} ({low} to {high})",
            "The loss for each degree of freedom, with its 90% interval. Up to 0.05 is called a close fit, above 0.10 "
            "a poor one (Browne & Cudeck 1993).",
        ),
        (
            "CFI, TLI",
            f"{number(measures.cfi, 3)}, {number(measures.tli, 3)}",
            "The share of the correlations’ misfit that the factors take away. From 0.95 on is called good (Hu & "
            "Bentler 1999).",
        ),
        (
            "SRMR",
            number(measures.srmr, 3),
            "The size of what is left of the correlations. Up to 0.08 is called good (Hu & Bentler 1999).",
        ),
    ]
    return [dict(zip(("name", "value", "reading"), row, strict=True)) for row in rows]


def _warnings(rows: Described, measures: FitMeasures | None, selection: Any, problem: str | None) -> list[Warned]:
    fitted, estimator = rows.fitted, rows.fitted.estimator
    told = fit_warnings(estimator)
    if fitted.heywood.any():
        which = ", ".join(shown(fitted.names[j]) for j in np.flatnonzero(fitted.heywood))
        told.append(
            Warned(
                f"The factors explain {which} but for the least noise that is allowed (a Heywood case): its loadings "
                "are not to be trusted. Use fewer factors, more rows, or leave the column out.",
                grave=True,
            )
        )
    if not fitted.factors:
        told.append(Warned("No factor was kept: the rows do not support that columns have anything in common."))
    told += _few_columns(fitted)
    share = rows.fitted.deviation**2 / np.sum(rows.fitted.deviation**2)
    if len(share) > 2 and max(estimator._model.structure.noise) == 0 and share.max() > _MOST_SHARE:
        told.append(
            Warned(
                f"{shown(fitted.names[int(share.argmax())])} has {percent(float(share.max()))} of the total variance "
                "of the columns, and one noise variance holds for all: what is found depends on their units. Divide "
                "columns of different kinds by their standard deviations."
            )
        )
    if measures is not None and measures.dof <= 0:
        told.append(
            Warned(
                "The model has as many parameters as a normal without structure, or more: it leaves nothing to be "
                "tested, and other loadings may fit as well."
            )
        )
    if not fitted.bayesian:
        told += few_rows(estimator.n_parameters_, rows.total_weight, rows.missing.n_rows, "fewer factors")
    told += hole_warnings(fitted.names, rows.missing, "factor scores there are 0")
    return told + closing_warnings(
        estimator, rows.log_likelihood, selection, problem, what="model", otherwise="weighted"
    )


def _few_columns(fitted: FittedFactors) -> list[Warned]:
    """Rotated factors that are hardly common to columns."""
    estimator = fitted.estimator
    if not isinstance(estimator, FactorAnalysis) or estimator.rotation is None or len(fitted.factors) < 2:
        return []
    salient = (np.abs(fitted.loadings) >= SALIENT).sum(axis=0)
    which = [shown(fitted.factors[k]) for k in np.flatnonzero(salient < 2)]
    if not which:
        return []
    some = f"{', '.join(which)} has" if len(which) == 1 else f"{', '.join(which)} have"
    return [
        Warned(
            f"{some[0].upper()}{some[1:]} loadings of {SALIENT:g} or more on fewer than two columns, and so is hardly "
            "common to any: try fewer factors."
        )
    ]


def _factor_table(fitted: FittedFactors, errors: Any) -> list[dict[str, Any]]:
    """One row per factor: what it explains, the columns that load most, its correlations with the others."""
    off = getattr(errors, "factor_correlations", None)
    estimator, rows = fitted.estimator, []
    for k, name in enumerate(fitted.factors):
        size = np.abs(fitted.loadings[:, k])
        first = [j for j in np.argsort(-size, kind="stable") if size[j] >= SALIENT]
        most = ", ".join(f"{shown(fitted.names[j], 20)} ({number(float(fitted.loadings[j, k]), 2)})" for j in first[:4])
        rest = f" and {len(first) - 4} more" if len(first) > 4 else ""
        between = []
        for i in range(min(k, MOST_FACTORS)):
            error = None if off is None else off[k, i]
            fixed = not estimator._model.structure.correlated
            value, told = _with_error(float(fitted.correlations[k, i]), None if fixed else error, 3)
            between.append({"value": value, "error": told})
        rows.append(
            {
                "name": name,
                "explained": percent(float(fitted.explained[k])),
                "width": round(100 * float(fitted.explained[k] / max(fitted.explained.max(), 1e-12)), 1),
                "most": (most + rest) or "–",
                "between": between,
                "of_total": percent(float(estimator.explained_variance_ratio_[k]))
                if isinstance(estimator, ProbabilisticPCA)
                else None,
                "relevance": number(float(estimator.relevance_[k]), digits=3)
                if isinstance(estimator, BayesianPCA)
                else None,
            }
        )
    return rows


def _with_error(value: float, error: float | None, decimals: int) -> tuple[str, str | None]:
    if error is None or not np.isfinite(error) or error <= 0:
        return number(value, decimals if decimals <= 7 else None), None
    return plus_minus(value, float(error))


def _loading_table(rows: Described, errors: Any) -> list[dict[str, Any]]:
    """One row per column, those of one factor together: loadings, communality, noise."""
    fitted, told = rows.fitted, []
    q = min(len(fitted.factors), MOST_FACTORS)
    off = None if errors is None else np.where(fitted.free, errors.standardized_loadings, np.nan)
    columns = [
        tables.estimates(fitted.loadings[:, k], None if off is None else off[:, k], 2 if off is None else 3)
        for k in range(q)
    ]
    shares = tables.estimates(fitted.communalities, getattr(errors, "communalities", None), 2 if errors is None else 3)
    for j in fitted.order(rows.listed):
        cells = []
        for k in range(q):
            value, error = columns[k][j]
            if not fitted.free[j, k]:
                cells.append({"value": "0", "error": None, "side": "above", "tint": 0, "small": True})
                continue
            size = float(np.clip(fitted.loadings[j, k], -1, 1))
            small = abs(size) < SALIENT
            side = "above" if size > 0 else "below"
            tint = 0 if small else round(abs(size) * 40)
            cells.append({"value": value, "error": error, "side": side, "tint": tint, "small": small})
        noise = float(fitted.noise[j])
        own = None if errors is None else float(np.broadcast_to(errors.noise_variance, len(fitted.noise))[j])
        value, error = _with_error(noise, own, decimals_for(noise, 3))
        told.append(
            {
                "name": fitted.names[j],
                "cells": cells,
                "communality": shares[j],
                "width": round(100 * float(np.clip(fitted.communalities[j], 0, 1)), 1),
                "noise": (value, error),
                "heywood": bool(fitted.heywood[j]),
            }
        )
    return told


def _no_errors(fitted: FittedFactors) -> str | None:
    """Why Bayesian components have no standard errors."""
    if fitted.bayesian:
        return "the loadings of Bayesian principal components have a posterior; what stands here are its means."
    return None


def _surprising(rows: Described, decimals: list[tuple[int, int]], cells: list[int]) -> list[dict[str, Any]]:
    """The rows of the lowest density, and in each the cell that the others make least expected."""
    estimator = rows.fitted.estimator
    some = np.setdiff1d(np.arange(len(rows.log_density)), np.flatnonzero(_empty(rows)))
    lowest = some[np.argsort(rows.log_density[some], kind="stable")[:_MOST_ROWS]]
    order = np.argsort(lowest)
    values = np.empty((len(lowest), len(rows.fitted.names)))
    values[order] = take_rows(rows.table, lowest[order])
    covariance, told = estimator.get_covariance(), []
    for row, x in zip(lowest.tolist(), values, strict=True):
        seen = np.flatnonzero(~np.isnan(x))
        # x_j given the others: mean x_j − (Σ⁻¹(x − μ))_j / (Σ⁻¹)_jj, variance 1/(Σ⁻¹)_jj
        precision = np.linalg.inv(covariance[np.ix_(seen, seen)])
        variance = 1.0 / np.diagonal(precision)
        off = variance * (precision @ (x[seen] - estimator.mean_[seen]))
        away = off / np.sqrt(variance)
        worst = int(np.abs(away).argmax())
        j = int(seen[worst])
        told.append(
            {
                "row": f"{row:,}",
                "log_density": number(float(rows.log_density[row]), 2),
                "cell": f"{rows.fitted.names[j]} = {number(float(x[j]), decimals[j][1])}",
                "expected": number(float(x[j] - off[worst]), decimals[j][0]),
                "away": ("+" if away[worst] > 0 else "") + number(float(away[worst]), 1),
                "cells": [None if np.isnan(x[i]) else number(float(x[i]), decimals[i][1]) for i in cells],
            }
        )
    return told


def _empty(rows: Described) -> np.ndarray:
    """Rows without an observed cell."""
    return np.concatenate([np.isnan(slab).all(axis=1) for slab in rows.table.slabs()])


def _holes_in_words(missing: Missing) -> str:
    if missing.share == 0:
        return f"No cell is missing in {count(missing.n_rows, 'row')}."
    return (
        f"{percent(missing.share)} of the cells are missing; {missing.complete_rows:,} of "
        f"{count(missing.n_rows, 'row')} are complete. Missing cells are integrated out exactly, in the fit and in "
        "every number on this page: nothing was filled in to fit."
    )
