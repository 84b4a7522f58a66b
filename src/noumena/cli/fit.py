"""``noumena fit``: from a table to a stored model."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import (
    Acceleration,
    Criterion,
    Debug,
    Force,
    Kind,
    Noise,
    ResponseFamily,
    Rotation,
    Seed,
    Start,
    Table,
    degrees,
    families,
    hidden_nodes,
    names,
    sizes,
    structures,
)
from .options import prior as prior_said


def fit(
    table: Table,
    model: Annotated[
        Kind,
        typer.Option(
            metavar="NAME",
            help="What is fitted. A mixture, named by its components: gaussian, normals; mixture, a family for each "
            "column, which may be text; latent-class, levels of items; bernoulli, columns of 0 and 1; poisson, counts; "
            "student-t, normals with outliers; regression, regressions of one column on others; factor-mixture, factor "
            "analysers, for many columns. Or network, a Bayesian network of columns with few levels. Or factors behind "
            "columns of numbers: factors, factor analysis; pca, probabilistic principal components; bayesian-pca, as "
            "many of them as the rows support.",
        ),
    ] = Kind.gaussian,
    components: Annotated[
        str, typer.Option(metavar="K", help="Numbers of components to try: 3, or 1:9, or 2,4,6.")
    ] = "1:9",
    covariance: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            show_default=False,
            help="What the covariances of the components share: VVV nothing (each its own ellipsoid), EEE everything, "
            "VVI axes along the columns, EII equal spheres, and so on; several with commas between, or all for the 14. "
            "[default: VVV]",
        ),
    ] = None,
    family: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=NAME",
            show_default=False,
            help="Family of a column of a mixture, where the one that its type and values suggest is not meant: "
            "normal, log-normal, gamma, exponential, beta, von-mises, poisson, negative-binomial, "
            "zero-inflated-poisson, binomial, bernoulli, categorical. May be given again; A,B=normal makes one "
            "multivariate normal of several columns, A,B=multinomial counts that share out one total.",
        ),
    ] = None,
    degrees_of_freedom: Annotated[
        str | None,
        typer.Option(
            metavar="NU",
            show_default=False,
            help="Of t distributions: each, an estimate for each component; common, one for all; or a number. "
            "[default: each]",
        ),
    ] = None,
    covariates: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            show_default=False,
            help="Columns that the weights of the components depend on (mixture, latent-class). [default: none]",
        ),
    ] = None,
    response: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", show_default=False, help="Of a regression: the column that is explained."),
    ] = None,
    response_family: Annotated[
        ResponseFamily | None,
        typer.Option(
            show_default=False,
            help="Of a regression: normal, for numbers; logistic, for two values; poisson, for counts. "
            "[default: normal]",
        ),
    ] = None,
    regressors: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            show_default=False,
            help="Columns that the response is regressed on. [default: all others that hold numbers or text with few "
            "levels]",
        ),
    ] = None,
    concomitant: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            show_default=False,
            help="Of a regression: columns that the weights of the components depend on. [default: none]",
        ),
    ] = None,
    structure: Annotated[
        str | None,
        typer.Option(
            metavar="EDGES",
            show_default=False,
            help="Of a network: edges, a->c,b->c,d (d has none); a .bif file, whose states are taken, too; a .csv file "
            "with a column of parents and one of children; or hill-climbing, structural-em or chow-liu, to learn them.",
        ),
    ] = None,
    hidden: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NODE=NUMBER",
            show_default=False,
            help="A node of a network that is never observed, and its number of states (which a .bif file tells, too). "
            "May be given again.",
        ),
    ] = None,
    factors: Annotated[
        str | None,
        typer.Option(
            metavar="Q",
            show_default=False,
            help="Numbers of factors to try: 3, or 1:6 (factors, pca); the most that there may be (bayesian-pca); how "
            "many in each component (factor-mixture). [default: 1:5; bayesian-pca: as many as there can be; "
            "factor-mixture: 1]",
        ),
    ] = None,
    rotation: Annotated[
        Rotation | None,
        typer.Option(
            show_default=False,
            help="Of factors: varimax keeps them uncorrelated, promax and oblimin let them correlate. [default: none]",
        ),
    ] = None,
    criterion: Annotated[
        Criterion,
        typer.Option(
            help="How to choose among several: bic; icl, which asks for well separated components; aic; or cv, the log "
            "likelihood of held-out rows (5 folds). Numbers of factors: bic or aic.",
        ),
    ] = Criterion.bic,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            show_default=False,
            help="Use exactly these columns. [default: all that hold what the model takes]",
        ),
    ] = None,
    drop: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", show_default=False, help="Use all columns but these (an id, say)."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            show_default=False,
            help="Column with the known components of rows, numbered from 0; empty or -1 where unknown.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            show_default=False,
            help="Column with the weight of each row: weight 2 is the row twice.",
        ),
    ] = None,
    prior: Annotated[
        str,
        typer.Option(
            metavar="default|none|COUNT",
            help="default: a weak prior, so that no component can collapse and no probability ends at 0. Of a network: "
            "a number, as if each combination of states had been seen so many times before.",
        ),
    ] = "none",
    noise: Annotated[
        Noise | None,
        typer.Option(
            show_default=False,
            help="One more component for rows that belong to none, uniform over the box of the data or over its convex "
            "hull. [default: none]",
        ),
    ] = None,
    n_init: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="INT",
            show_default=False,
            help="Starts for each candidate; the best is kept. More find better maxima. [default: 1; latent-class, "
            "regression: 20; network with hidden nodes: 10]",
        ),
    ] = None,
    init: Annotated[Start, typer.Option(help="How starts are found.")] = Start.kmeans,
    tol: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="NATS",
            show_default=False,
            help="Stop when less log likelihood than this is still to be gained; 0 runs exactly --max-iter iterations. "
            "[default: 0.0001; latent-class, regression, factors, pca: 0.000001]",
        ),
    ] = None,
    max_iter: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="INT",
            show_default=False,
            help="Most iterations of each fit. [default: 1000; latent-class, regression: 5000; factor-mixture: "
            "2000; factors, pca, bayesian-pca: 10000]",
        ),
    ] = None,
    accelerate: Annotated[
        Acceleration, typer.Option(help="Acceleration of EM; none of them lowers the log likelihood.")
    ] = Acceleration.squarem,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Where to store the model. [default: the name of TABLE with .noumena, in the working folder]",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", show_default=False, help="Also write a page with drawings. [default: none]"),
    ] = None,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Fit models to a table and store the best one.

    \b
    Examples:
    noumena fit penguins.csv
    noumena fit penguins.csv --columns bill_length_mm,body_mass_g --components 3
    noumena fit penguins.csv --drop rownames,year --components 1:6 \\
        --covariance all --report penguins.html
    noumena fit penguins.csv --model mixture --drop year --family sex=bernoulli
    noumena fit survey.csv --model latent-class --components 1:5
    noumena fit penguins.csv --model regression --response body_mass_g \\
        --regressors flipper_length_mm,sex --components 1:3
    noumena fit answers.csv --model network --structure "class->a,class->b" \\
        --hidden class=3
    noumena fit tests.csv --model factors --factors 1:6 --rotation oblimin

    Of mixtures, every number of components is tried with every covariance structure, and the one with the best
    criterion is stored; of factors, every number of them; of a network, the tables are learned, and its edges where
    --structure asks for that. Columns
    that do not hold what the model takes are left out, which is said. Cells may be missing anywhere, but for covariates
    and a response: rows that lack one are left out, which is said.

    Ctrl-C ends the fit and stores the best parameters so far.
    """
    wanted, dropped = names(columns), names(drop)
    if wanted and dropped:
        raise typer.BadParameter("--columns names all that are used: leave --drop out", param_hint="'--drop'")
    candidates = sizes(components)
    if out is None:
        out = model_name(table)
    if report is not None and report.absolute() == out.absolute():
        raise typer.BadParameter("it must be another file than that of --out", param_hint="'--report'")

    import noumena

    from .conditional import say_lacking
    from .kinds import FACTORS, TABULAR, Asked, estimator_for
    from .outcome import INTERRUPTED
    from .summary import interrupted, print_summary
    from .tables import check_output
    from .terminal import at_work, printed_to, say
    from .training import coded_training, regression_training, training

    asked = Asked(
        covariance=None if covariance is None else structures(covariance),
        families=families(family or ()),
        degrees_of_freedom=None if degrees_of_freedom is None else degrees(degrees_of_freedom),
        prior=prior_said(prior),
        noise=None if noise is None else noise.value,
        covariates=names(covariates),
        response=response,
        response_family=None if response_family is None else response_family.value,
        regressors=names(regressors),
        concomitant=names(concomitant),
        structure=structure,
        hidden=hidden_nodes(hidden or ()),
        factors=None if factors is None else sizes(factors, "factors"),
        rotation=None if rotation is None else rotation.value,
        starts=n_init is not None,
        columns=bool(wanted),
        labels=labels is not None,
        criterion=criterion.value,
        of_mixtures=[
            option
            for option, given in (
                ("--components", components != "1:9"),
                ("--criterion", criterion is not Criterion.bic),
                ("--init", init is not Start.kmeans),
                ("--labels", labels is not None),
            )
            if given
        ],
    )
    asked.check(model)
    for file in (out, report):
        if file is not None:
            check_output(file, table, force=force, tabular=False)
    common: dict[str, Any] = {
        "accelerate": None if accelerate is Acceleration.none else accelerate.value,
        "random_state": seed,
    }
    given = {
        name: value for name, value in (("n_init", n_init), ("tol", tol), ("max_iter", max_iter)) if value is not None
    }
    if asked.structure is not None:
        from .network import fit_network

        fit_network(
            table,
            structure=asked.structure,
            hidden=asked.hidden,
            columns=wanted,
            drop=dropped,
            weights=weights,
            out=out,
            report=report,
            prior=asked.prior,
            **common,
            **given,
        )
        return
    if model in FACTORS:
        from .factors import fit_factors

        fit_factors(
            table,
            model,
            factors=asked.factors,
            rotation=asked.rotation,
            criterion=asked.criterion,
            columns=wanted,
            drop=dropped,
            weights=weights,
            out=out,
            report=report,
            **common,
            **given,
        )
        return
    with at_work("reading the table"):
        if response is not None:
            data = regression_training(
                table,
                response=response,
                regressors=asked.regressors,
                concomitant=asked.concomitant,
                drop=dropped,
                weights=weights,
            )
        elif model in TABULAR:
            data = coded_training(
                table,
                columns=wanted,
                drop=dropped,
                weights=weights,
                labels=labels,
                covariates=asked.covariates,
                items=model is Kind.latent_class,
            )
        else:
            data = training(table, columns=wanted, drop=dropped, weights=weights, labels=labels)
    if data.left_out:
        say(f"left out, for they do not hold {data.due}: {', '.join(data.left_out)}", head="note:", style="bold")
    say_lacking(data.lacking)

    estimator, kinds = estimator_for(
        model,
        asked,
        data,
        init_params=init.value,
        given=given,
        **common,
    )
    selection: Any = None
    with at_work("fitting") as show:
        if len(candidates) == 1 and (kinds is None or (kinds != "all" and len(kinds) == 1)):
            shared = {} if kinds is None else {"covariance": kinds[0]}
            estimator.set_params(n_components=candidates[0], verbose=int(show is not None), **shared)
            with printed_to(show):
                estimator.fit(data.rows, data.y, sample_weight=data.weight)
            estimator.set_params(verbose=0)
        else:

            def progress(iteration: int, objective: Any, running: int) -> None:
                if show is not None:
                    best = f"best log likelihood {max(objective):.4f}"
                    show(f"iteration {iteration}, {best}, {running} of {len(objective)} fits running")

            selection = noumena.select(
                estimator,
                data.rows,
                n_components=candidates,
                covariance=kinds,
                criterion=criterion.value,
                y=data.y,
                sample_weight=data.weight,
                progress=progress,
            )
            estimator = selection.estimator_
    if response is not None:
        estimator.response_name_ = response
    estimator.save(out)
    print_summary(estimator, data, selection, response)
    say(f"{out}: the model")
    if interrupted(estimator, selection):
        rest = f"; the report was not written: noumena report {out} {table}" if report is not None else ""
        say(f"these are the best parameters so far{rest}", head="interrupted:", style="bold yellow")
        raise typer.Exit(INTERRUPTED)
    if report is not None:
        with at_work("writing the report"):
            rows = data.rows if data.lacking else table
            noumena.write_report(estimator, rows, report, y=response, selection=selection, sample_weight=data.weight)
        say(f"{report}: the report; open it in a browser")


def model_name(table: Path) -> Path:
    """Where the model of a table goes unless it is said: into the working folder."""
    name = table.resolve().name
    for suffix in (".gz", ".csv", ".tsv", ".parquet"):
        name = name.removesuffix(suffix)
    return Path(f"{name}.noumena")
