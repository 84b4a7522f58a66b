"""The report: one self-contained HTML page about a fitted model and its rows."""

import importlib.resources
import os
from pathlib import Path
from typing import Any

import jinja2

from ..estimators.inputs import row_weights
from ..estimators.storage import OutputError, write_atomically
from . import augmented_page, factors_page, mixture_page, network_page, regression_page
from .augmented import augmented_taken_apart, is_augmented
from .factors import factors_taken_apart, is_factors
from .fitted import taken_apart
from .network import is_network
from .regression import is_regression, regression_taken_apart


class ReportError(OutputError):
    """The report cannot be written; what was there before is untouched."""


def write_report(
    estimator: Any,
    X: Any,
    path: str | os.PathLike[str],
    *,
    y: Any = None,
    selection: Any = None,
    standard_errors: bool = True,
    title: str | None = None,
    sample_weight: Any = None,
    censoring: Any = None,
) -> None:
    """Write a report of a fitted model: one HTML file that needs nothing else, to look at or to send.

    Parameters
    ----------
    estimator : estimator
        Fitted: `GaussianMixture`, `Mixture`, `LatentClassAnalysis`, `BernoulliMixture`, `PoissonMixture`,
        `StudentTMixture`, `MixtureOfFactorAnalyzers`, `RegressionMixture`, `AugmentedRegressor`, `AugmentedClassifier`,
        `BayesianNetwork`, `FactorAnalysis`, `ProbabilisticPCA` or `BayesianPCA`.
    X : table
        The rows that it was fitted on (or others with the same columns; the report says so then). All numbers are of
        all rows; the drawings show at most 5,000 of them.
    path : path
        Of the HTML file. One that exists is replaced, whole or not at all.
    y : array or str, optional
        For regressions: the responses, or the name of their column in ``X``.
    selection : Selection, optional
        The sweep that the estimator comes from.
    standard_errors : bool, default=True
        Compute them; where that cannot be done, or would take long, the report says why.
    title : str, optional
        Heading; by default the result in words.
    sample_weight : array, shape (n_rows,), optional
        The weights of the fit.
    censoring : array or str, optional
        For a tobit regression: the codes of the fit, or the name of their column in ``X``.

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
    regression, augmented, name = is_regression(estimator), is_augmented(estimator), type(estimator).__name__
    if y is not None and not (regression or augmented):
        raise TypeError(f"write_report: a {name} has no response: leave y out")
    if censoring is not None and not augmented:
        raise TypeError(f"write_report: a {name} has no censored responses: leave censoring out")
    target = Path(path).expanduser()
    if target.is_dir() or not target.parent.is_dir():  # before the work, not after it
        why = "it is a folder" if target.is_dir() else f"there is no folder {target.parent}"
        raise ReportError(f"cannot write {target}: {why}; name a file in a folder that exists")
    page = "template.html.j2"
    if selection is not None and (augmented or is_network(estimator)):
        raise TypeError(f"write_report: a {name} comes from no selection: leave it out")
    if is_network(estimator):
        page, values = "network.html.j2", network_page.contents(estimator, X, title, sample_weight)
    elif regression:
        answered = regression_taken_apart(estimator, X, y, "the report", sample_weight)
        values = regression_page.contents(answered, X, selection, standard_errors, title)
    elif augmented:
        apart = augmented_taken_apart(estimator, X, y, "the report", sample_weight, censoring)
        if apart.answers is None:
            raise TypeError("the report needs the rows and their responses: pass X and y")
        named = {word: one for word, one in (("y", y), ("censoring", censoring)) if isinstance(one, str)}
        page = "augmented.html.j2"
        values = augmented_page.contents(apart, apart.answers, X, named, standard_errors, title)
    elif is_factors(estimator):
        factors = factors_taken_apart(estimator, "the report")
        table = estimator._table(X)
        weight = row_weights(sample_weight, table.n_rows)
        page = "factors.html.j2"
        values = factors_page.contents(factors, X, table, weight, selection, standard_errors, title)
    else:
        fitted = taken_apart(estimator, "the report")
        table = estimator._table(X)
        weight = row_weights(sample_weight, table.n_rows)
        values = mixture_page.contents(fitted, X, table, weight, selection, standard_errors, title)
    try:
        write_atomically(target, _page(page, values).encode())
    except OutputError as error:
        raise ReportError(str(error)) from error.__cause__


def _page(name: str, values: dict[str, Any]) -> str:
    files = importlib.resources.files("noumena.report")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda one: files.joinpath(one).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(values)
