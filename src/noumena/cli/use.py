"""What a stored model answers: predict, impute, score, sample, report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Debug, Force, Model, Output, Seed, Table


def predict(
    model: Model,
    table: Table,
    out: Output = Path("-"),
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities", help="Also write the probability of each component, as probability_0, probability_1, ..."
        ),
    ] = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Say which component each row of a table most probably belongs to.

    \b
    Example:
    noumena predict penguins.noumena new.csv --out labels.csv

    One row is written for each row of TABLE, in its order: the column `component` holds the number of the component,
    from 0, as in the summary of `noumena fit`. TABLE must have the columns of the model, in any order; others are
    passed over. Rows may have missing cells.
    """
    import pyarrow as pa

    from .tables import check_output, write_table
    from .terminal import at_work

    check_output(out, model, table, force=force)
    estimator = _load(model)
    with at_work("assigning rows to components"):
        if probabilities:
            posterior = estimator.predict_proba(table)
            columns = {f"probability_{k}": column for k, column in enumerate(posterior.T)}
            answer = pa.table({"component": posterior.argmax(axis=1), **columns})
        else:
            answer = pa.table({"component": estimator.predict(table)})
    write_table(answer, out)


def impute(
    model: Model,
    table: Table,
    out: Output = Path("-"),
    draws: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="INT",
            show_default=False,
            help="Write so many completed tables, one below the other, their missing cells drawn at random from their "
            "distribution given the observed ones (multiple imputation); a first column `draw` numbers them from 1. "
            "[default: one table, with the expected values]",
        ),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Fill the missing cells of a table.

    \b
    Examples:
    noumena impute penguins.noumena holes.csv --out filled.csv
    noumena impute penguins.noumena holes.csv --draws 5 --out filled.parquet

    Each missing cell gets its expected value given the observed cells of its row, or its most probable level. All
    columns of TABLE are written, in their order; those that the model does not know stay as they are, holes included.
    """
    from ..data.table import read_table
    from .tables import check_output, filled, write_table
    from .terminal import at_work

    check_output(out, model, table, force=force)
    estimator = _load(model)
    with at_work("filling missing cells"):
        arrays = estimator.impute(table, draws=draws, random_state=seed)
        # a model fitted on an array has no names: it takes the columns of numbers as they come
        names = _names(estimator) or read_table(table, numeric_only=True).names or ()
        answer = filled(
            table,
            names,
            [arrays] if draws is None else arrays,
            numbered=draws is not None,
            verbatim=out.suffix.lower() != ".parquet",
        )
    write_table(answer, out)


def score(
    model: Model,
    table: Table,
    rows: Annotated[
        bool,
        typer.Option("--rows", help="Write the log likelihood of each row, in the column `log_likelihood`, instead."),
    ] = False,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="With --rows, where to write: a .csv or .parquet file; - is stdout, as CSV. [default: -]",
        ),
    ] = Path("-"),
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Say how well a model describes a table.

    \b
    Examples:
    noumena score penguins.noumena new.csv
    noumena score penguins.noumena new.csv --rows --out scores.csv

    The log likelihood and BIC of its observed cells are printed, exact, in nats. Rows with a low log
    likelihood are unlike those that the model was fitted on (--rows).
    """
    import pyarrow as pa

    from .tables import STDOUT, check_output, write_table
    from .terminal import at_work, console

    if out != STDOUT and not rows:
        raise typer.BadParameter("it takes the scores of the rows: add --rows", param_hint="'--out'")
    check_output(out, model, table, force=force)
    estimator = _load(model)
    with at_work("scoring rows"):
        values = estimator.score_samples(table)
        bic = None if rows else estimator.bic(table)
    if rows:
        write_table(pa.table({"log_likelihood": values}), out)
        return
    lines = [
        f"rows                    {len(values)}",
        f"log likelihood          {values.sum():.6f}  (exact, nats)",
        f"log likelihood per row  {values.mean():.6f}",
        f"BIC                     {bic:.6f}  (lower is better; {estimator.n_parameters_} parameters)",
    ]
    console().print("\n".join(lines), soft_wrap=True)


def sample(
    model: Model,
    rows: Annotated[int, typer.Option(min=1, metavar="INT", help="Number of rows to draw.")] = 1000,
    seed: Seed = 0,
    out: Output = Path("-"),
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Draw new rows from a model.

    \b
    Example:
    noumena sample penguins.noumena --rows 1000 --out new.csv

    The rows are complete, and have the columns that the model was fitted on.
    """
    import pyarrow as pa

    from .tables import check_output, write_table

    check_output(out, model, force=force)
    estimator = _load(model)
    drawn, _ = estimator.sample(rows, random_state=seed)
    if not isinstance(drawn, pa.Table):
        names = _names(estimator) or [f"x{i}" for i in range(drawn.shape[1])]
        drawn = pa.table(dict(zip(names, drawn.T, strict=True)))
    write_table(drawn, out)


def report(
    model: Model,
    table: Table,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Where to write. [default: the name of MODEL with .html, in the working folder]",
        ),
    ] = None,
    title: Annotated[
        str | None,
        typer.Option(metavar="TEXT", show_default=False, help="Title of the page. [default: of its contents]"),
    ] = None,
    standard_errors: Annotated[
        bool,
        typer.Option(
            "--standard-errors/--no-standard-errors",
            help="Work out standard errors, which takes longest.",
        ),
    ] = True,
    weights: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", show_default=False, help="Column with the weight of each row, as at the fit."),
    ] = None,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Write a page with drawings about a model and a table.

    \b
    Example:
    noumena report penguins.noumena penguins.csv --out penguins.html

    The page is one HTML file, to open in a browser or to send. It shows the missing cells, the components, the rows
    that are hard to assign, the standard errors and what to be wary of. TABLE is the one that the model was fitted on;
    with another one, the page says so.
    """
    import noumena

    from .tables import check_output, read_column
    from .terminal import at_work, say

    out = Path(f"{model.stem}.html") if out is None else out
    check_output(out, model, table, force=force, tabular=False)
    estimator = _load(model)
    with at_work("writing the report"):
        weight = None if weights is None else read_column(table, weights)
        noumena.write_report(estimator, table, out, standard_errors=standard_errors, title=title, sample_weight=weight)
    say(f"{out}: report; open it in a browser")


def _load(path: Path) -> Any:
    from ..estimators.storage import load

    return load(path)


def _names(estimator: Any) -> list[str]:
    return list(getattr(estimator, "feature_names_in_", []))
