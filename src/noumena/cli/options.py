"""Options that several commands share, and words that are read into values."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

Table = Annotated[
    Path, typer.Argument(metavar="TABLE", show_default=False, help="CSV or Parquet file, or a folder of them.")
]
Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", show_default=False, help="File that `noumena fit` wrote, or the .bif file of a network."
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        metavar="FILE",
        show_default=False,
        help="Where to write: a .csv or .parquet file; - is stdout, as CSV. [default: -]",
    ),
]
Response = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        show_default=False,
        help="Of a mixture of regressions: the column that holds the responses. [default: that of `noumena fit`]",
    ),
]
Seed = Annotated[int, typer.Option(min=0, metavar="INT", help="Seed of the random numbers: same seed, same result.")]
Force = Annotated[bool, typer.Option("--force", help="Replace output files that exist.")]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug", envvar="NOUMENA_DEBUG", show_envvar=False, help="Show tracebacks (or set NOUMENA_DEBUG=1)."
    ),
]


class Kind(StrEnum):
    gaussian = "gaussian"
    mixture = "mixture"
    latent_class = "latent-class"
    bernoulli = "bernoulli"
    poisson = "poisson"
    student_t = "student-t"
    regression = "regression"
    network = "network"
    factors = "factors"
    pca = "pca"
    bayesian_pca = "bayesian-pca"
    factor_mixture = "factor-mixture"


class ResponseFamily(StrEnum):
    normal = "normal"
    logistic = "logistic"
    poisson = "poisson"


class Criterion(StrEnum):
    bic = "bic"
    icl = "icl"
    aic = "aic"
    cv = "cv"


class Noise(StrEnum):
    box = "box"
    hull = "hull"


class Rotation(StrEnum):
    varimax = "varimax"
    promax = "promax"
    oblimin = "oblimin"
    none = "none"


class Start(StrEnum):
    kmeans = "kmeans"
    hierarchical = "hierarchical"
    random = "random"


class Acceleration(StrEnum):
    squarem = "squarem"
    anderson = "anderson"
    none = "none"


def sizes(text: str, what: str = "components") -> list[int]:
    """Numbers of components or factors.

    >>> sizes("1:4,8")
    [1, 2, 3, 4, 8]
    """
    found: set[int] = set()
    for part in text.split(","):
        low, colon, high = part.partition(":")
        try:
            first = int(low)
            last = int(high) if colon else first
        except ValueError:
            first, last = 0, 0
        if not 1 <= first <= last:
            raise typer.BadParameter(
                f"{text!r} is no number of {what}: write 3, 1:9 or 2,4,6, each at least 1.",
                param_hint=f"'--{what}'",
            )
        found |= set(range(first, last + 1))
    return sorted(found)


def structures(text: str) -> list[str] | Literal["all"]:
    """Names of covariance structures; whether they exist is checked before anything is fitted."""
    if text.strip() == "all":
        return "all"
    from ..families.covariance import Structure

    names = list(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in names:
        try:
            Structure.named(name)
        except ValueError as error:
            known = str(error).partition("choose among ")[2]
            raise typer.BadParameter(
                f"{name!r} is no covariance structure: choose all, or among {known}.", param_hint="'--covariance'"
            ) from None
    return names


def degrees(text: str) -> str | float:
    """Degrees of freedom of t distributions: how they are estimated, or a number.

    >>> degrees("common"), degrees("4")
    ('common', 4.0)
    """
    if text in ("each", "common"):
        return text
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise typer.BadParameter(
            f"{text!r} is neither each nor common, nor a number above 0.", param_hint="'--degrees-of-freedom'"
        )
    return value


def families(given: Sequence[str]) -> list[tuple[tuple[str, ...], str]]:
    """Columns with the name of their family, from ``column=family``; several columns have commas between.

    >>> families(["visits=poisson", "length,width=normal"])
    [(('visits',), 'poisson'), (('length', 'width'), 'normal')]
    """
    from ..estimators.column_families import FAMILIES

    found = []
    for text in given:
        columns, equals, family = text.rpartition("=")
        if not equals or not names(columns):
            raise typer.BadParameter(f"{text!r}: write COLUMN=FAMILY, as in visits=poisson.", param_hint="'--family'")
        if family.strip() not in FAMILIES:
            raise typer.BadParameter(
                f"{family.strip()!r} is no family: choose among {', '.join(FAMILIES)}.", param_hint="'--family'"
            )
        found.append((tuple(names(columns)), family.strip()))
    every = [name for columns, _ in found for name in columns]
    for name in every:
        if every.count(name) > 1:
            raise typer.BadParameter(f"column {name!r} has more than one family.", param_hint="'--family'")
    return found


def prior(text: str) -> str | float | None:
    """A prior: none, the estimator's default, or the pseudo-count of a network's entries.

    >>> prior("none"), prior("default"), prior("0.5")
    (None, 'default', 0.5)
    """
    if text in ("none", "default"):
        return None if text == "none" else text
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise typer.BadParameter(
            f"{text!r} is neither default nor none, nor (for a network) a count of at least 0.", param_hint="'--prior'"
        )
    return value


def hidden_nodes(given: Sequence[str]) -> dict[str, int | None]:
    """Nodes that are never observed, with their numbers of states; None where a BIF file tells them.

    >>> hidden_nodes(["h=3", "g"])
    {'h': 3, 'g': None}
    """
    found: dict[str, int | None] = {}
    for part in [part for text in given for part in names(text)]:
        node, equals, size = part.rpartition("=")
        if not equals:
            found[part] = None
            continue
        try:
            found[node.strip()] = int(size)
        except ValueError:
            raise typer.BadParameter(f"{part!r}: write NODE=NUMBER, as in class=3.", param_hint="'--hidden'") from None
    return found


def equations(given: Sequence[str], option: str) -> list[tuple[str, str]]:
    """Pairs from texts like ``a=x,b=y``.

    >>> equations(["a=x,b=y z"], "--evidence")
    [('a', 'x'), ('b', 'y z')]
    """
    found = []
    for part in [part for text in given for part in names(text)]:
        node, equals, state = part.partition("=")
        if not equals or not node.strip() or not state.strip():
            raise typer.BadParameter(f"{part!r}: write NODE=STATE, as in smoke=yes.", param_hint=f"'{option}'")
        found.append((node.strip(), state.strip()))
    return found


def names(text: str | None) -> list[str]:
    """Column names; a name that holds a comma is written in double quotes, as in a CSV file."""
    import csv

    if text is None:
        return []
    return [name for name in next(csv.reader([text], skipinitialspace=True), []) if name]
