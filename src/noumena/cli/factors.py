"""Factor models on the command line: the fit, what it says, the scores of rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import typer

import noumena

from ..report.digits import count, percent
from ..report.factors import FittedFactors, factors_taken_apart
from .options import Kind
from .outcome import INTERRUPTED
from .summary import interrupted, print_candidates, status_line
from .terminal import at_work, console, printed_to, say
from .training import Training, training

_DEFAULT = range(1, 6)
_MOST_COLUMNS = 40  # that are told of
_WIDE = 11  # a column of numbers


def fit_factors(
    table: Path,
    kind: Kind,
    *,
    factors: Sequence[int] | None,
    rotation: str | None,
    criterion: str,
    columns: Sequence[str],
    drop: Sequence[str],
    weights: str | None,
    out: Path,
    report: Path | None,
    **settings: Any,
) -> None:
    """What `noumena fit --model factors`, ``pca`` and ``bayesian-pca`` do.

    Parameters
    ----------
    table : Path
    kind : Kind
    factors : sequence of int, optional
        The numbers to try.
    rotation : str, optional
    criterion : {"bic", "aic"}
    columns, drop : sequence of str
    weights : str, optional
        Column with the weight of each row.
    out : Path
    report : Path, optional
    **settings
        Of the estimator.
    """
    with at_work("reading the table"):
        data = training(table, columns=columns, drop=drop, weights=weights, labels=None)
    if data.left_out:
        say(f"left out, for they do not hold {data.due}: {', '.join(data.left_out)}", head="note:", style="bold")
    selection: Any = None
    with at_work("fitting") as show:
        estimator = _estimator(kind, rotation, settings)
        if kind is Kind.bayesian_pca or (factors is not None and len(factors) == 1):
            if factors is not None:
                estimator.set_params(n_factors=factors[0])
            estimator.set_params(verbose=int(show is not None))
            with printed_to(show):
                estimator.fit(data.rows, sample_weight=data.weight)
            estimator.set_params(verbose=0)
        else:
            tried = _DEFAULT if factors is None else factors
            selection = noumena.select_factors(
                estimator, data.rows, tried, criterion=criterion, sample_weight=data.weight
            )
            estimator = selection.estimator_
    estimator.save(out)
    _print_summary(factors_taken_apart(estimator, "the summary"), data, selection)
    say(f"{out}: the model")
    if interrupted(estimator, selection):
        rest = f"; the report was not written: noumena report {out} {table}" if report is not None else ""
        say(f"these are the best parameters so far{rest}", head="interrupted:", style="bold yellow")
        raise typer.Exit(INTERRUPTED)
    if report is not None:
        with at_work("writing the report"):
            noumena.write_report(estimator, data.rows, report, selection=selection, sample_weight=data.weight)
        say(f"{report}: the report; open it in a browser")


def _estimator(kind: Kind, rotation: str | None, settings: dict[str, Any]) -> Any:
    if kind is Kind.factors:
        return noumena.FactorAnalysis(rotation=None if rotation == "none" else rotation, **settings)
    return (noumena.ProbabilisticPCA if kind is Kind.pca else noumena.BayesianPCA)(**settings)


def scores(estimator: Any, table: Path) -> pa.Table:
    """What is expected of the factors of each row, in columns factor1, factor2, … or as a pattern names them."""
    names = [name.replace("factor ", "factor") for name in factors_taken_apart(estimator, "predict").factors]
    return pa.table(dict(zip(names, estimator.transform(table).T, strict=True)))


def _print_summary(fitted: FittedFactors, data: Training, selection: Any) -> None:
    estimator: Any = fitted.estimator
    q, of = len(fitted.factors), "factor" if isinstance(estimator, noumena.FactorAnalysis) else "principal component"
    what = count(q, of)
    if getattr(estimator, "rotation", None) is not None:
        what += f", rotation {estimator.rotation}"
    if selection is not None:
        what += f", the best of {count(selection.table_.num_rows, 'candidate')} by {selection.criterion.upper()}"
    weight = data.n_rows if data.weight is None else float(data.weight.sum())
    more = len(fitted.names) - _MOST_COLUMNS
    rest = f" and {more} more" if more > 0 else ""
    if isinstance(estimator, noumena.BayesianPCA):
        quality = [
            f"lower bound     {estimator.lower_bound_:.4f} (of the log evidence, nats)",
            f"log likelihood  {estimator.log_likelihood_:.4f} (exact, nats; at the posterior means of the loadings)",
        ]
    else:
        bic = -2 * estimator.log_likelihood_ + estimator.n_parameters_ * np.log(weight)
        quality = [
            f"log likelihood  {estimator.log_likelihood_:.4f} (exact, nats)",
            f"BIC             {bic:.4f} (lower is better; {count(estimator.n_parameters_, 'parameter')})",
        ]
    lines = [
        what,
        f"rows            {data.n_rows:,}" + ("" if data.weight is None else f" (total weight {weight:,.6g})"),
        f"columns         {', '.join(fitted.names[:_MOST_COLUMNS])}{rest}",
        *quality,
        f"explained       {percent(float(fitted.explained.sum()))} of the variance of the standardised columns",
        f"status          {status_line(estimator)}",
    ]
    console().print("\n".join(lines), soft_wrap=True)
    _print_loadings(fitted)
    if selection is not None and selection.table_.num_rows > 1:
        print_candidates(selection)


def _print_loadings(fitted: FittedFactors) -> None:
    """Standardised loadings, columns of one factor together; side by side as many factors as there is room for."""
    best = np.argsort(-fitted.communalities, kind="stable")[:_MOST_COLUMNS]
    order, q = fitted.order(sorted(best.tolist())), len(fitted.factors)
    heads = [fitted.names[j] for j in order]
    rows = [[_number(value) for value in fitted.loadings[j]] for j in order]
    _print_wide("loadings", heads, fitted.factors, rows, [_number(fitted.communalities[j]) for j in order])
    if len(order) < len(fitted.names):
        said = f"{len(fitted.names) - len(order)} columns more, of lower communality, are in the report"
        console().print(said, soft_wrap=True)
    if fitted.oblique:
        lower = [[_number(fitted.correlations[i, k]) if k < i else "" for k in range(q - 1)] for i in range(q)]
        _print_wide("correlations", fitted.factors[1:], fitted.factors[:-1], lower[1:], None)


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.005 else "0.00"  # no -0.00


def _print_wide(
    what: str, heads: Sequence[str], names: Sequence[str], rows: list[list[str]], last: list[str] | None
) -> None:
    """A table of numbers, in parts where it is wider than the screen; ``last`` is a column of communalities."""
    from rich.table import Table

    screen = console()
    side = min(max([len(what), *map(len, heads)]), screen.width // 2)
    room = max(1, (screen.width - side - _WIDE - 4) // max(_WIDE, *(len(name) + 2 for name in names), 0))
    for first in range(0, max(len(names), 1), room):
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        table.add_column(what, overflow="fold")
        for name in names[first : first + room]:
            table.add_column(name, justify="right")
        if last is not None:
            table.add_column("communality", justify="right")
        for i, (head, row) in enumerate(zip(heads, rows, strict=True)):
            table.add_row(head, *row[first : first + room], *([] if last is None else [last[i]]))
        screen.print()
        screen.print(table)
