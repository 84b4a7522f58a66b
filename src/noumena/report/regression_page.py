"""What the page of a mixture of regressions shows."""

from typing import Any

import numpy as np

from ..data.summary import summarise
from ..data.table import ArrayTable
from . import tables
from .digits import count, decimals_for, number, percent
from .embed import embedded
from .errors import standard_errors_or_why_not
from .membership import Membership, membership
from .page import MOST_UNCERTAIN, shared_contents
from .pictures import Picture
from .regression import Covariate, FittedRegression
from .regression_plots import Panels, coefficient_plot, regression_plot
from .rows import MOST_DRAWN
from .style import shown
from .words import Warned, closing_warnings, fit_warnings, row_warnings

#: What the coefficients of each family are.
_SCALES = {
    "normal": "In units of {} for one unit of the regressor",
    "logistic": "Log odds of {}, for one unit of the regressor",
    "poisson": "Logarithms of the rate of {}, for one unit of the regressor",
}
_KINDS = {"normal": "linear", "logistic": "logistic", "poisson": "Poisson"}
#: Fewer rows than this tell no line.
_LEAST_ROWS = 5


def contents(
    fitted: FittedRegression, X: Any, selection: Any, standard_errors: bool, title: str | None
) -> dict[str, Any]:
    """Everything that the page of a mixture of regressions shows."""
    estimator = fitted.estimator
    members = membership(fitted, fitted.table, MOST_UNCERTAIN, fitted.weight)
    errors, problem = None, None
    if standard_errors:
        errors, problem = standard_errors_or_why_not(estimator, fitted.standard_errors)
    shared = shared_contents(
        fitted,
        members,
        selection,
        title=title,
        headline=_headline(fitted),
        structure=_structure(fitted),
        warned=_warnings(fitted, members, selection, problem),
        errors=errors,
        problem=problem,
        X=X,
        weight=fitted.weight,
        response=fitted.response,
    )
    numbers = [one for one in fitted.covariates if one.levels is None]
    levels = [one for one in fitted.covariates if one.levels is not None]
    drawn = fitted.table.n_rows > MOST_DRAWN
    return shared | {
        "scale": _SCALES[estimator.family].format(_answer(fitted)),
        "coefficients": _coefficient_table(fitted, errors),
        "residuals": _residuals(fitted),
        "pictures": _pictures(fitted, errors),
        "caption": "Curves are what each component expects, the other regressors held at their means or most common "
        "levels; marks that would lie on each other are moved apart a little",
        "drawn": f"{MOST_DRAWN:,}" if drawn else None,
        "listed": None,
        "numbers": [],  # columns are given here, not described
        "families": False,
        "levels": [],
        "covariances": [],
        "too_many": None,
        "holes": f"{count(fitted.table.n_rows, 'row')}. Everything here is conditional on the covariates: nothing is "
        "said of how they are distributed.",
        "missing_plot": None,
        "data": _number_data(fitted, numbers),
        "level_data": [_level_data(fitted, one) for one in levels],
        "names": [fitted.response, "expected", *(one.name for one in fitted.covariates)],
        "names_left": 0,
        "uncertain": _uncertain(fitted, members),
        "empty_rows": 0,
    }


def _answer(fitted: FittedRegression) -> str:
    return f"{fitted.response} = {fitted.classes[1]}" if fitted.classes else fitted.response


def _headline(fitted: FittedRegression) -> str:
    """What was found: 2 linear regressions of CO2 in 28 rows."""
    kind = _KINDS[fitted.estimator.family]
    regressions = count(len(fitted.weights), f"{kind} regression")
    return f"{regressions} of {shown(fitted.response)} in {count(fitted.table.n_rows, 'row')}"


def _structure(fitted: FittedRegression) -> str:
    on = ", ".join(shown(one.name) for one in fitted.regressors) or "nothing but an intercept"
    told = f"{_answer(fitted)} is regressed on {on}."
    if fitted.concomitant:
        told += f" The weights depend on {', '.join(shown(one.name) for one in fitted.concomitant)}."
    return told


def _warnings(fitted: FittedRegression, members: Membership, selection: Any, problem: str | None) -> list[Warned]:
    estimator = fitted.estimator
    told = fit_warnings(estimator)
    family, parameters = estimator._model.foreground()
    for k in np.flatnonzero(np.asarray(family.collapsed(parameters))):
        what = (
            "tells the two values apart without error: its coefficients have no finite maximum"
            if fitted.classes
            else "has lost its rows, or fits them exactly"
        )
        told.append(Warned(f"Component {k} {what}. Its parameters mean nothing.", grave=True))
    least = max(_LEAST_ROWS, 2 * (estimator.coef_.shape[1] + 1))
    for k in np.flatnonzero(members.expected < least):
        rows = number(float(members.expected[k]), 1)
        told.append(
            Warned(f"Component {k} is expected to hold {rows} rows: fewer than {least}, too few for its coefficients.")
        )
    told += row_warnings(fitted, members, "fewer components or regressors")
    return told + closing_warnings(estimator, members.log_likelihood, selection, problem)


def _coefficient_table(fitted: FittedRegression, errors: Any) -> list[dict]:
    """One row per coefficient, the intercept first, and the residuals' deviation last; one cell per component."""
    estimator = fitted.estimator
    rows = [("intercept", estimator.intercept_, getattr(errors, "intercept", None))] if estimator.fit_intercept else []
    for j, name in enumerate(estimator.coef_names_):
        rows.append((name, estimator.coef_[:, j], None if errors is None else errors.coef[:, j]))
    if hasattr(estimator, "standard_deviation_"):
        off = getattr(errors, "standard_deviation", None)
        rows.append(("residual sd", estimator.standard_deviation_, off))
    return [
        {
            "name": name,
            "cells": [
                {"value": value, "error": error}
                for value, error in tables.estimates(values, off, decimals_for(float(np.abs(values).max()), 4))
            ],
        }
        for name, values, off in rows
    ]


def _residuals(fitted: FittedRegression) -> dict[str, Any]:
    """Per component: what its rows answer and what it expects of them, each row with its probability; quartiles."""
    posterior, expected, y = fitted.posterior(), fitted.expected(), fitted.y
    weight = posterior if fitted.weight is None else posterior * fitted.weight[:, None]
    family, best = fitted.estimator.family, posterior.argmax(axis=1)
    heads, what = ["rows", "mean of its rows", "mean expected"], "Rows count with their probability."
    if family == "logistic":
        heads[1:] = ["share of its rows", "share expected"]
    else:
        heads += ["least", "first quartile", "median", "third quartile", "largest"]
        what += " Then the residuals of the rows assigned to it"
        what += "." if family == "normal" else ", divided by the root of the rate: of Poisson counts, their deviation."
    scale = float(np.std(y)) if family == "normal" else 1.0
    rows = []
    for k in range(len(fitted.weights)):
        total = float(weight[:, k].sum())
        means = [float(weight[:, k] @ values) / total if total else np.nan for values in (y, expected[:, k])]
        cells = [number(total, 1), *(number(mean, decimals_for(float(np.std(y)), 3)) for mean in means)]
        if family != "logistic":
            own = best == k
            off = y[own] - expected[own, k]
            if family == "poisson":
                off = off / np.sqrt(expected[own, k])
            quartiles = np.quantile(off, [0, 0.25, 0.5, 0.75, 1]) if own.any() else np.full(5, np.nan)
            cells += [number(float(value), decimals_for(scale, 3)) for value in quartiles]
        rows.append(cells)
    return {"what": what, "heads": heads, "rows": rows}


def _pictures(fitted: FittedRegression, errors: Any) -> list[Picture]:
    room, size = Panels.of(fitted), count(len(fitted.weights), "component")
    weights = ", and their weights" if room.concomitant else ""
    words = f"The rows, and what each of {size} expects"
    found = [Picture(f"Rows and regressions{weights}", "", words, embedded(regression_plot(fitted), words), True)]
    if fitted.estimator.coef_.shape[1]:
        note = "95% intervals: 1.96 standard errors to each side." if errors is not None else ""
        drawing = embedded(coefficient_plot(fitted, errors), "Each coefficient in each component")
        found.append(Picture("Coefficients by component", note, "Coefficients by component", drawing))
    return found


def _number_data(fitted: FittedRegression, covariates: list[Covariate]) -> list[dict]:
    """One row per column of numbers, the response first."""
    columns = [(_answer(fitted), fitted.y), *((one.name, one.values) for one in covariates)]
    summary = summarise(ArrayTable(array=np.column_stack([values for _, values in columns]), names=None), fitted.weight)
    rows = []
    for j, (name, values) in enumerate(columns):
        scale = float(np.sqrt(summary.variance[j]))
        cell, mean = tables.written_decimals(values, decimals_for(scale, 4)), decimals_for(scale, 3)
        rows.append(
            {
                "name": name,
                "mean": number(summary.mean[j], mean),
                "sd": number(scale, mean),
                "min": number(summary.minimum[j], cell),
                "max": number(summary.maximum[j], cell),
                "missing": "0",
            }
        )
    return rows


def _level_data(fitted: FittedRegression, covariate: Covariate) -> dict:
    share = np.bincount(covariate.values.astype(int), fitted.weight, minlength=len(covariate.called))
    share = share / share.sum()
    first = np.argsort(-share, kind="stable")[:3]
    return {
        "name": covariate.name,
        "levels": len(covariate.called),
        "frequent": ", ".join(f"{shown(covariate.called[i])} ({percent(float(share[i]))})" for i in first),
        "missing": "0",
    }


def _uncertain(fitted: FittedRegression, members: Membership) -> list[dict]:
    """The least certain rows: number, the two most probable components, response, E[y], covariates."""
    chosen = members.least_certain
    expected = fitted.expected()[chosen]
    shape = [(one, tables.written_decimals(one.values, 6)) for one in fitted.covariates]
    own, scale = tables.written_decimals(fitted.y, 6), float(np.std(expected)) if len(chosen) else 1.0
    rows = []
    for place, (row, posterior) in enumerate(zip(chosen, members.least_certain_posterior, strict=True)):
        order = np.argsort(-posterior, kind="stable")[:2]
        y = fitted.classes[int(fitted.y[row])] if fitted.classes else number(float(fitted.y[row]), own)
        both = " or ".join(number(float(expected[place, k]), decimals_for(scale, 3)) for k in order)
        cells = [
            number(float(one.values[row]), decimals) if one.levels is None else one.called[int(one.values[row])]
            for one, decimals in shape
        ]
        top = [{"k": int(k), "p": number(float(posterior[k]), 2)} for k in order]
        rows.append({"row": f"{int(row):,}", "cells": [y, both, *cells], "top": top})
    return rows
