"""The commands under one name."""

from typing import Annotated

import typer

from .. import __version__
from .fit import fit
from .outcome import in_words
from .query import query
from .use import impute, predict, report, sample, score

# rich_markup_mode=None: plain help. Boxes around twenty options leave their explanations a third of 80 columns.
app = typer.Typer(
    name="noumena",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"noumena {__version__}")
        raise typer.Exit


@app.callback()
def noumena(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Fit latent variable models, such as mixtures, factors and Bayesian networks, to tables with missing cells.

    \b
    Examples:
    noumena fit penguins.csv --components 1:6 --covariance all
    noumena fit survey.csv --model latent-class --report survey.html
    noumena fit penguins.csv --model regression --response body_mass_g
    noumena fit tests.csv --model factors --factors 1:6 --rotation varimax
    noumena fit answers.csv --model network --structure net.bif
    noumena predict penguins.noumena penguins.csv --out labels.csv
    noumena impute penguins.noumena penguins.csv --out filled.csv
    noumena report penguins.noumena penguins.csv --out penguins.html
    noumena query net.bif --evidence smoke=yes

    A TABLE is a .csv, .csv.gz, .tsv or .parquet file, or a folder of such files. Empty cells, NA, NaN, null and ? are
    missing cells: they are integrated out exactly, never filled in on the way.

    Exit codes: 0 done, 1 it could not be done (the reason is on stderr), 2 wrong usage, 130 interrupted.
    """


_add = app.command(no_args_is_help=True)
_add(in_words(fit))
_add(in_words(predict))
_add(in_words(impute))
_add(in_words(score))
_add(in_words(sample))
_add(in_words(report))
_add(in_words(query))


def main() -> None:
    """Run the command line; the entry point of the console script."""
    app()
