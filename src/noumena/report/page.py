"""What the pages of all mixtures show."""

import datetime
from typing import Any

import numpy as np

from . import tables
from .candidates import CRITERIA, sized
from .digits import count, number, percent
from .embed import embedded
from .fitted import Fitted
from .membership import Membership
from .plots import plot, plot_trace
from .provenance import parameters, program, versions
from .words import Warned, outcome

MOST_UNCERTAIN = 20


def shared_contents(
    fitted: Fitted,
    members: Membership,
    selection: Any,
    *,
    title: str | None,
    headline: str,
    structure: str,
    warned: list[Warned],
    errors: Any,
    problem: str | None,
    X: Any,
    weight: np.ndarray | None,
    response: str | None = None,
) -> dict[str, Any]:
    """What every page shows, by the names of the template.

    Parameters
    ----------
    fitted : Fitted
    members : Membership
    selection : Selection, or None
    title : str, or None
        As the user wants it; the headline otherwise.
    headline, structure : str
        What was found, and what the components are.
    warned : list of Warned
    errors, problem
        Standard errors, or why there are none.
    X : table
        As the user passed it.
    weight : array, or None
    response : str, optional
        What the response of a regression is called.
    """
    estimator = fitted.estimator
    return {
        "title": title or headline,
        "headline": headline,
        "outcome": outcome(estimator),
        "structure": structure,
        "figures": key_figures(fitted, members, "observed cells" if response is None else "responses"),
        "warnings": warned,
        "sizes": range(len(fitted.weights)),
        "selection": None if selection is None else selection_shown(selection),
        "trace_plot": embedded(plot_trace(estimator), "Objective of the fit at every iteration"),
        "components": tables.component_table(fitted, members, errors),
        "covariates": tables.covariate_table(estimator, errors),
        "degrees": bool(np.isfinite(fitted.degrees).any()),
        "colours": fitted.shades,
        "called": fitted.called,
        "errors": None if errors is None else str(errors.method),
        "errors_problem": problem,
        "uncertain_share": f"{count(members.uncertain, 'row')} ({percent(members.uncertain / members.n_rows)}) "
        f"{'has' if members.uncertain == 1 else 'have'}",
        "parameters": parameters(estimator),
        "code": program(estimator, X, weight, selection, response),
        "versions": versions(),
        "made": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
    }


def key_figures(fitted: Fitted, members: Membership, of: str) -> list[dict[str, str]]:
    """The numbers at the head of the page, each with what it is.

    Parameters
    ----------
    fitted : Fitted
    members : Membership
    of : str
        What the log likelihood is that of.
    """
    estimator = fitted.estimator
    structure = getattr(estimator, "covariance", "") if fitted.dependent else ""
    if fitted.dependent and hasattr(estimator, "n_factors"):
        structure = count(estimator.n_factors, "factor")
    deviance = -2 * members.log_likelihood
    bic = deviance + estimator.n_parameters_ * np.log(members.total_weight)
    icl = bic - 2 * members.log_certainty
    figures = [
        ("log likelihood", number(members.log_likelihood, 1), "exact", f"nats, of the {of}"),
        ("BIC", number(bic, 1), "exact", "lower is better"),
        ("ICL", number(icl, 1), "exact", "BIC, and the overlap paid for"),
        ("free parameters", f"{estimator.n_parameters_:,}", "", structure),
        ("iterations", f"{estimator.n_iter_:,}", "", estimator.status_.value.replace("_", " ")),
        ("uncertain rows", f"{members.uncertain:,}", "", f"{percent(members.uncertain / members.n_rows)} of all"),
    ]
    return [dict(zip(("name", "value", "kind", "note"), figure, strict=True)) for figure in figures]


def selection_shown(selection: Any) -> dict[str, Any]:
    rows, heads = tables.selection_table(selection)
    _, word, higher = CRITERIA[selection.criterion]
    return {
        "rows": rows,
        "heads": heads,
        "sized": f"{sized(selection)[1]}s",
        "structures": len({row["structure"] for row in rows}) > 1,
        "word": word,
        "better": "higher" if higher else "lower",
        "plot": embedded(plot(selection), f"{word} against the number of {sized(selection)[1]}s"),
    }
