"""What a stored model answers: predict, impute, score, sample, report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Debug, Force, Model, Output, Response, Seed, Table


def predict(
    model: Model,
    table: Table,
    out: Output = Path("-"),
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities",
            help="Also write the probability of each component, as probability_0, probability_1, ..., or state.",
        ),
    ] = False,
    response: Response = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="NODE", show_default=False, help="Of a network: the node whose states are predicted."),
    ] = None,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Say which component, state or factors each row most probably has.

    \b
    Examples:
    noumena predict penguins.noumena new.csv --out labels.csv
    noumena predict asia.noumena new.csv --target bronc --probabilities

    One row is written for each row of TABLE, in its order: the column `component` holds the number of the component,
    from 0, as in the summary of `noumena fit`. TABLE must have the columns of the model, in any order; others are
    passed over. Rows may have missing cells, but for covariates: without one, the cells of the answer are empty.

    Of a mixture of regressions, the column `expected` holds what is expected of the response; for a logistic one, the
    probability of the second of its two values. The component follows where TABLE has the response; its probabilities
    are given the response, where there is one.

    Of a regression by augmentation, the column `expected` holds what is expected of the response, or `class` the most
    probable class; the probabilities are called probability_CLASS.

    Of factors, what is expected of each given the observed cells of the row (its factor scores), in the columns
    `factor1`, `factor2` and so on.

    Of a Bayesian network, the most probable state of --target is written, given the other observed cells of the row; a
    column of the target is not looked at. Its probabilities are called probability_STATE.
    """
    import numpy as np
    import pyarrow as pa

    from ..report.augmented import is_augmented
    from ..report.factors import is_factors
    from ..report.network import is_network
    from ..report.regression import is_regression
    from .conditional import response_of, rows_of, say_lacking
    from .factors import scores
    from .network import predicted
    from .tables import check_output, write_table
    from .terminal import at_work

    check_output(out, model, table, force=force)
    estimator = load_model(model)
    if is_network(estimator):
        _no_response(estimator, response)
        with at_work("predicting states"):
            answer = predicted(estimator, table, target, probabilities=probabilities)
        write_table(answer, out)
        return
    if target is not None:
        raise typer.BadParameter("it is for networks: leave it out", param_hint="'--target'")
    if is_factors(estimator):
        _no_response(estimator, response)
        if probabilities:
            raise typer.BadParameter("factors are numbers, not states: leave it out", param_hint="'--probabilities'")
        with at_work("finding the factors of rows"):
            answer = scores(estimator, table)
        write_table(answer, out)
        return
    if is_augmented(estimator):
        from . import augmented

        _no_response(estimator, response)
        with at_work("predicting responses"):
            answer = augmented.predicted(estimator, table, probabilities=probabilities)
        write_table(answer, out)
        return
    regression = is_regression(estimator)
    known = response_of(estimator, response) if regression else _no_response(estimator, response)
    with at_work("assigning rows to components"):
        rows = rows_of(estimator, table, known, optional=response is None)
        answer = {}
        if regression:
            answer["expected"] = estimator.predict(rows.table)
            posterior = estimator.component_proba(rows.table)
            if rows.y is not None and rows.answered is not None and rows.answered.any():
                # without a response, a row's probabilities are the weights
                some = rows.table.filter(pa.array(rows.answered))
                posterior[rows.answered] = estimator.component_proba(some, rows.y[rows.answered])
            if rows.y is not None:
                answer["component"] = posterior.argmax(axis=1)
        elif probabilities:
            posterior = estimator.predict_proba(rows.table)
            answer["component"] = posterior.argmax(axis=1)
        else:
            answer["component"], posterior = estimator.predict(rows.table), np.empty((0, 0))
        if probabilities:
            answer |= {f"probability_{k}": column for k, column in enumerate(posterior.T)}
    say_lacking(rows.lacking, "left empty")
    write_table(pa.table({name: rows.spread(values) for name, values in answer.items()}), out)


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
            "[default: one table, with expected values and most probable levels]",
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

    Each missing cell gets its expected value given the observed cells of its row, or its most probable level; of a
    Bayesian network, the cells of a row get the states that are most probable together. All columns of TABLE are
    written, in their order; those that the model does not know stay as they are, holes included.
    """
    from ..core.errors import NoumenaError
    from ..data.table import read_table
    from ..report.network import is_network
    from .conditional import explains
    from .network import rows_for
    from .tables import check_output, filled, write_table
    from .terminal import at_work

    check_output(out, model, table, force=force)
    estimator = load_model(model)
    if explains(estimator):
        raise NoumenaError(
            "a regression says how its response follows from covariates, not how these are distributed, so "
            "that it cannot fill cells: `noumena predict` gives the expected response of each row"
        )
    with at_work("filling missing cells"):
        rows: Any = rows_for(estimator, table) if is_network(estimator) else table
        arrays = estimator.impute(rows, draws=draws, random_state=seed)
        completed = [arrays] if draws is None else arrays
        if is_network(estimator):
            names = rows.column_names
            completed = [one.select(names) for one in completed]  # nodes without a column are filled, too
        else:
            # a model fitted on an array has no names: it takes the columns of numbers as they come
            names = _names(estimator) or read_table(table, numeric_only=True).names or ()
        answer = filled(
            table,
            names,
            completed,
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
    response: Response = None,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Say how well a model describes a table.

    \b
    Examples:
    noumena score penguins.noumena new.csv
    noumena score penguins.noumena new.csv --rows --out scores.csv

    The log likelihood and BIC of its observed cells are printed, exact, in nats; of a regression, those of the
    responses given the covariates. Rows with a low log likelihood are unlike those that the model was fitted on
    (--rows).
    """
    import pyarrow as pa

    from .conditional import explains, needed_response, rows_of, say_lacking
    from .tables import STDOUT, check_output, write_table
    from .terminal import at_work, console

    if out != STDOUT and not rows:
        raise typer.BadParameter("it takes the scores of the rows: add --rows", param_hint="'--out'")
    check_output(out, model, table, force=force)
    estimator = load_model(model)
    with at_work("scoring rows"):
        if explains(estimator):
            response = needed_response(estimator, response)
            asked = rows_of(estimator, table, response, only_answered=True)
            values = estimator.log_density(asked.table, asked.y)
            bic = None if rows else estimator.bic(asked.table, asked.y)
        else:
            _no_response(estimator, response)
            asked = rows_of(estimator, table, None)
            values = estimator.score_samples(asked.table)
            bic = None if rows or hasattr(estimator, "lower_bound_") else estimator.bic(asked.table)
    say_lacking(asked.lacking, "left empty" if rows else "left out")
    if rows:
        write_table(pa.table({"log_likelihood": asked.spread(values)}), out)
        return
    lines = [
        *([f"response                {response}"] if response is not None else []),
        f"rows                    {len(values)}",
        f"log likelihood          {values.sum():.6f}  (exact, nats)",
        f"log likelihood per row  {values.mean():.6f}",
    ]
    if bic is not None:
        lines.append(f"BIC                     {bic:.6f}  (lower is better; {estimator.n_parameters_} parameters)")
    console().print("\n".join(lines), soft_wrap=True)


def sample(
    model: Model,
    rows: Annotated[
        int | None,
        typer.Option(min=1, metavar="INT", show_default=False, help="Number of rows to draw. [default: 1000]"),
    ] = None,
    given: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            show_default=False,
            help="For a mixture of regressions: a table of covariates; a response is drawn for each of its rows.",
        ),
    ] = None,
    seed: Seed = 0,
    out: Output = Path("-"),
    response: Response = None,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Draw new rows from a model.

    \b
    Examples:
    noumena sample penguins.noumena --rows 1000 --out new.csv
    noumena sample mass.noumena --given penguins.csv --out new.csv

    The rows are complete, and have the columns that the model was fitted on. Where weights depend on covariates, the
    components are drawn with their average shares. Of a mixture of regressions, the covariates of --given are written
    with a drawn response for each row.
    """
    import pyarrow as pa

    from ..core.errors import NoumenaError
    from ..report.augmented import is_augmented
    from ..report.network import is_network
    from ..report.regression import is_regression
    from .conditional import covariates_of, response_of, rows_of, say_lacking
    from .network import seen_nodes
    from .tables import check_output, write_table

    check_output(out, *([model] if given is None else [model, given]), force=force)
    estimator = load_model(model)
    if is_augmented(estimator):
        raise NoumenaError(
            "a regression by augmentation has no distribution of its covariates to draw from: `noumena predict` says "
            "what is expected of the response of each row of a table"
        )
    if is_regression(estimator):
        if given is None:
            raise typer.BadParameter(
                "a mixture of regressions draws responses for covariates: name a table of them with --given",
                param_hint="'--given'",
            )
        if rows is not None:
            raise typer.BadParameter("a response is drawn for each row of --given: leave it out", param_hint="'--rows'")
        asked = rows_of(estimator, given, None)
        answers, _ = estimator.sample(asked.table, random_state=seed)
        say_lacking(asked.lacking)
        name, kept = response_of(estimator, response) or "y", covariates_of(estimator)
        # a model of an array has no names: the table is written as it came
        drawn = asked.table.select([one for one in kept or asked.table.column_names if one != name])
        write_table(drawn.append_column(name, pa.array(answers)), out)
        return
    _no_response(estimator, response)
    if given is not None:
        raise typer.BadParameter("it is for mixtures of regressions: leave it out", param_hint="'--given'")
    n = 1000 if rows is None else rows
    if is_network(estimator):
        write_table(estimator.sample(n, random_state=seed).select(seen_nodes(estimator)), out)
        return
    drawn, _ = estimator.sample(n, random_state=seed)
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
    response: Response = None,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Write a page with drawings about a model and a table.

    \b
    Example:
    noumena report penguins.noumena penguins.csv --out penguins.html

    The page is one HTML file, to open in a browser or to send. It shows the missing cells, the components, the rows
    that are hard to assign, the standard errors and what to be wary of; of factors the loadings and how well they fit;
    of a Bayesian network the graph, its tables and the most surprising rows. TABLE is the one that the model was fitted
    on; with another one, the page says so.
    """
    import noumena

    from ..report.network import is_network
    from .conditional import explains, needed_response, rows_of, say_lacking
    from .tables import check_output
    from .terminal import at_work, say
    from .training import read_column

    out = Path(f"{model.stem}.html") if out is None else out
    check_output(out, model, table, force=force, tabular=False)
    estimator = load_model(model)
    with at_work("writing the report"):
        explained = explains(estimator)
        known = needed_response(estimator, response) if explained else _no_response(estimator, response)
        asked = rows_of(estimator, table, known, only_answered=True)
        weight = None if weights is None else read_column(table, weights)
        if weight is not None and asked.kept is not None:
            weight = weight[asked.kept]
        noumena.write_report(
            estimator,
            asked.table if asked.lacking or is_network(estimator) else table,
            out,
            y=known,
            standard_errors=standard_errors,
            title=title,
            sample_weight=weight,
        )
    say_lacking(asked.lacking)
    say(f"{out}: report; open it in a browser")


def load_model(path: Path) -> Any:
    """A stored model, or the network of a BIF file."""
    if path.name.lower().endswith((".bif", ".bif.gz")):
        from ..estimators.bayesian_network import BayesianNetwork

        return BayesianNetwork.from_bif(path)
    from ..estimators.storage import load

    return load(path)


def _no_response(estimator: Any, response: str | None) -> None:
    if response is not None:
        raise typer.BadParameter(f"a {type(estimator).__name__} has none: leave it out", param_hint="'--response'")


def _names(estimator: Any) -> list[str]:
    return list(getattr(estimator, "feature_names_in_", []))
