"""How a page was made: parameters, a program that makes it again, versions."""

import importlib.metadata
import inspect
import os
import platform
from typing import Any

import numpy as np

from .style import shown


def parameters(estimator: Any) -> list[dict[str, Any]]:
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
    if isinstance(value, tuple | list):
        return all(map(_simple, value))
    return value is None or isinstance(value, str | int | float)


def _literal(value: Any, most: int = 120) -> str:
    text = f"array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def _code(value: Any) -> str:
    """Python for a value, or dots for one that has no short form."""
    return repr(value) if _simple(value) else "..."


def program(estimator: Any, X: Any, weight: np.ndarray | None, selection: Any, response: str | None = None) -> str:
    """Python that makes the fit and the page again.

    Parameters
    ----------
    estimator : mixture estimator
    X : table
    weight : array, or None
    selection : Selection, or None
    response : str, or None
        What the response of a regression is called.
    """
    weighted = "" if weight is None else ", sample_weight=weight"
    answered = "" if response is None else ", y=y"
    swept = {"n_components", "covariance", "n_factors"} & {
        *([] if selection is None else selection.table_.column_names)
    }
    arguments = ", ".join(
        f"{one['name']}={one['code']}" for one in parameters(estimator) if one["set"] and one["name"] not in swept
    )
    model = f"nm.{type(estimator).__name__}({arguments})"
    lines = ["import noumena as nm", "from noumena.report import write_report", "", f"table = {_table(X)}"]
    if weight is not None:
        lines.append("weight = ...  # of the rows")
    if response is not None:
        lines.append(f"y = ...  # the responses, {shown(response)}")
    if selection is None:
        lines += [
            f"estimator = {model}.fit(table{'' if response is None else ', y'}{weighted})",
            f'write_report(estimator, table, "report.html"{answered}{weighted})',
        ]
        return "\n".join(lines)
    tried = {
        name: list(dict.fromkeys(selection.table_.column(name).to_pylist()))
        for name in ("n_components", "covariance", "n_factors")
        if name in swept
    }
    lines += [
        f"best = nm.{'select_factors' if 'n_factors' in swept else 'select'}(\n    {model}, table,",
        *(f"    {name}={values!r}," for name, values in tried.items()),
        f"    criterion={selection.criterion!r}{answered}{weighted},\n)",
        f'write_report(best.estimator_, table, "report.html"{answered}, selection=best{weighted})',
    ]
    return "\n".join(lines)


def _table(X: Any) -> str:
    """Python for a table: the path of a file, else dots that say what belongs there."""
    if isinstance(X, str | os.PathLike):
        return repr(os.fspath(X))
    return f"...  # a {type(X).__module__.split('.')[0]} {type(X).__name__}"


def regression_program(
    estimator: Any,
    X: Any,
    columns: list[str],
    response: str,
    weight: np.ndarray | None,
    named: dict[str, str],
    censored: bool,
) -> str:
    """Python that makes the fit of a regression and its page again.

    Parameters
    ----------
    estimator : AugmentedRegressor or AugmentedClassifier
    X : table
        As the user passed it.
    columns : list of str
        The covariates.
    response : str
        What the response is called.
    weight : array, or None
    named : dict
        Columns of ``X`` that arguments name: from ``"y"`` and ``"censoring"``.
    censored : bool
        Whether there are codes of censoring.
    """
    arguments = ", ".join(f"{one['name']}={one['code']}" for one in parameters(estimator) if one["set"])
    lines = ["import noumena as nm", "from noumena.report import write_report", ""]
    if named:
        path = os.fspath(X) if isinstance(X, str | os.PathLike) else ""
        reader = "parquet.read_table" if path.endswith(".parquet") else "csv.read_csv"
        if path.endswith((".parquet", ".csv", ".csv.gz")):
            lines = [f"import pyarrow.{reader.split('.')[0]}", *lines, f"rows = pyarrow.{reader}({path!r})"]
        else:
            lines.append(f"rows = {_table(X)}")
        arrow = path or type(X).__module__.split(".")[0] == "pyarrow"
        lines.append(f"table = rows.select({columns!r})" if arrow else f"table = rows[{columns!r}]")
    else:
        lines.append(f"table = {_table(X)}")
    values = {"y": f"...  # the responses, {shown(response)}", "censoring": "...  # the codes of the rows"}
    for argument in ("y", "censoring"):
        if argument == "y" or censored:
            told = f"rows[{named[argument]!r}]" if argument in named else values[argument]
            lines.append(f"{argument} = {told}")
    if weight is not None:
        lines.append("weight = ...  # of the rows")
    weighted = "" if weight is None else ", sample_weight=weight"
    given = ", censoring=censoring" if censored else ""
    lines.append(f"estimator = nm.{type(estimator).__name__}({arguments}).fit(table, y{weighted}{given})")
    told = "".join(
        f", {argument}={named[argument]!r}" if argument in named else f", {argument}={argument}"
        for argument in ("y", *(["censoring"] if censored else []))
    )
    lines.append(f'write_report(estimator, {"rows" if named else "table"}, "report.html"{told}{weighted})')
    return "\n".join(lines)


def versions() -> str:
    named = ("noumena", "jax", "numpy")
    return ", ".join(
        [*(f"{name} {importlib.metadata.version(name)}" for name in named), f"Python {platform.python_version()}"]
    )
