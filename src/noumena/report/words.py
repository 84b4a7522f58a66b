"""What a fit says, in sentences: the headline, and what the reader must know before trusting it."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.result import Status
from ..data.summary import Summary
from .candidates import CRITERIA, sized, usable
from .digits import count, number, percent
from .fitted import Fitted, FittedMixture
from .membership import CERTAIN, Membership
from .rows import Missing

#: Fewer rows than this tell no parameter.
_LEAST_ROWS = 5
#: Small components that are named one by one.
_MOST_SMALL = 4


@dataclass(frozen=True)
class Warned:
    """One warning: ``grave`` where the numbers themselves cannot be trusted."""

    text: str
    grave: bool = False


def headline(fitted: FittedMixture, n_rows: int) -> str:
    """What was found in what, as a title: 3 clusters of 344 rows by 4 columns."""
    size, columns = len(fitted.weights), count(len(fitted.columns), "column")
    if type(fitted.estimator).__name__ == "LatentClassAnalysis":
        group, columns = count(size, "latent class", "latent classes"), count(len(fitted.columns), "item")
    else:
        group = count(size, "cluster")
    return f"{group} of {count(n_rows, 'row')} by {columns}"


def families_in_words(fitted: FittedMixture) -> str:
    """What the components are, column by column, and what their covariances share.

    Where there are several families: how many columns each of them has.
    """
    seen = Counter(column.family for column in fitted.columns)
    told = ", ".join(f"{family} ({count(columns, 'column')})" for family, columns in seen.items())
    if len(seen) == 1:
        told = next(iter(seen))
    if not fitted.dependent:
        return f"Components: {told}."
    if hasattr(fitted.estimator, "n_factors"):
        return f"Components: factor analysers with {count(fitted.estimator.n_factors, 'factor')}."
    structure, widest = str(fitted.estimator.covariance), max(len(one.columns) for one in fitted.ellipsoids)
    covariances = f"{structure}: {structure_in_words(structure, widest)}"
    if len(seen) == 1 and told == "normal":
        return f"Covariances {covariances}."
    matrices = "Scale matrices" if told == "t" else "Covariances"
    return f"Components: {told}. {matrices} {covariances}."


def outcome(estimator: Any) -> str:
    """How the fit ended, in one sentence."""
    status, steps = estimator.status_, count(int(estimator.n_iter_), "iteration")
    if status is Status.CONVERGED:
        return f"EM converged after {steps}: {status.message}."
    return f"EM ended as “{status.value.replace('_', ' ')}” after {steps}: {status.message}."


def structure_in_words(name: str, d: int) -> str:
    """What the covariances of the components share.

    >>> structure_in_words("VEI", 3)
    'their volume differs, their shape is shared, their axes are those of the columns'
    """
    code = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII", "E": "EII", "V": "VII"}.get(name, name)
    if d == 1:
        return "one variance for all" if code[0] == "E" else "a variance for each"
    volume = {"E": "their volume is shared", "V": "their volume differs"}[code[0]]
    shape = {"I": "they are spherical", "E": "their shape is shared", "V": "their shape differs"}[code[1]]
    turn = {
        "I": "their axes are those of the columns",
        "E": "their orientation is shared",
        "V": "their orientation differs",
    }[code[2]]
    return ", ".join([volume, shape] if code[1] == "I" else [volume, shape, turn])


def warnings_in_words(
    fitted: FittedMixture,
    summary: Summary,
    missing: Missing,
    members: Membership,
    selection: Any = None,
    error_problem: str | None = None,
) -> list[Warned]:
    """Everything that should be known before the numbers are used; the gravest first."""
    simpler = "fewer components"
    if fitted.dependent:
        few = "factors" if hasattr(fitted.estimator, "n_factors") else "a simpler covariance structure"
        simpler = f"fewer components or {few}"
    return [
        *fit_warnings(fitted.estimator),
        *(Warned(text, grave=True) for text in _collapsed(fitted, summary)),
        *_small(fitted, members),
        *row_warnings(fitted, members, simpler),
        *hole_warnings(fitted.names, missing, "the probabilities there are the weights"),
        *closing_warnings(fitted.estimator, members.log_likelihood, selection, error_problem),
    ]


def fit_warnings(estimator: Any) -> list[Warned]:
    """What is to be said of a fit that did not end well."""
    return [] if estimator.status_.ok else [Warned(outcome(estimator), grave=True)]


def row_warnings(fitted: Fitted, members: Membership, simpler: str) -> list[Warned]:
    """Few rows for the parameters; rows that belong nowhere for sure.

    Parameters
    ----------
    fitted : Fitted
    members : Membership
    simpler : str
        What would need fewer rows.
    """
    n = members.n_rows
    told = few_rows(fitted.estimator.n_parameters_, members.total_weight, n, simpler)
    if len(fitted.weights) > 1 and members.uncertain > 0.1 * n:
        told.append(
            Warned(
                f"{percent(members.uncertain / n)} of the rows ({members.uncertain:,}) have no component with a "
                f"probability of {CERTAIN:g} or more: the components overlap, and a hard assignment loses much."
            )
        )
    return told


def few_rows(n_parameters: int, total_weight: float, n_rows: int, simpler: str) -> list[Warned]:
    """Whether there are fewer than 5 rows for each parameter."""
    if total_weight >= 5 * n_parameters:
        return []
    return [
        Warned(
            f"{count(n_parameters, 'free parameter')} for {count(n_rows, 'row')}: fewer than 5 rows for each. "
            f"{simpler[0].upper()}{simpler[1:]} will generalise better."
        )
    ]


def closing_warnings(
    estimator: Any,
    log_likelihood: float,
    selection: Any = None,
    error_problem: str | None = None,
    what: str = "mixture",
    otherwise: str = "weighted or labelled",
) -> list[Warned]:
    """Other rows than those of the fit; what the sweep leaves open; why there are no standard errors."""
    told = []
    if not np.isclose(log_likelihood, estimator.log_likelihood_, rtol=1e-7, atol=1e-6):
        told.append(
            Warned(
                f"These are not the rows that the {what} was fitted on, or they were {otherwise} at the fit: its own "
                f"log likelihood was {number(estimator.log_likelihood_, 2)}, that of these rows is "
                f"{number(log_likelihood, 2)}."
            )
        )
    if selection is not None:
        told += sweep_warnings(selection)
    if error_problem:
        told.append(Warned(f"There are no standard errors: {error_problem}"))
    return told


def _small(fitted: FittedMixture, members: Membership) -> list[Warned]:
    """Components that hold too few rows for what is estimated at once: a mean and covariance, or shares of levels."""
    joint = max((len(one.columns) for one in fitted.ellipsoids if one.dependent), default=0)
    what = f"the means and covariances of {count(joint, 'column')}"
    if hasattr(fitted.estimator, "n_factors"):  # in place of whole covariances
        joint = fitted.estimator.n_factors
        what = f"the loadings of {count(joint, 'factor')}"
    levels = max((len(one.levels or ()) for one in fitted.columns), default=0)
    least = max(_LEAST_ROWS, levels, 2 * (joint + 1))
    what = what if least == 2 * (joint + 1) else "its parameters"
    small = np.flatnonzero(members.expected[: len(fitted.weights)] < least)
    if len(small) > _MOST_SMALL:
        which = ", ".join(map(str, small[:20])) + (f" and {len(small) - 20} more" if len(small) > 20 else "")
        return [
            Warned(
                f"{len(small)} components ({which}) are expected to hold fewer than {least} rows each, too few for "
                f"{what.replace('its', 'their')}: try fewer components."
            )
        ]
    return [
        Warned(
            f"Component {k} is expected to hold {number(members.expected[k], 1)} rows: fewer than {least}, "
            f"too few for {what}. It may be a group of outliers."
        )
        for k in small
    ]


def _collapsed(fitted: FittedMixture, summary: Summary) -> list[str]:
    """Components that are all but flat in some direction, or have run into an edge otherwise."""
    scale = np.sqrt(np.where(summary.variance > 0, summary.variance, 1.0))
    told = {}
    for group in fitted.ellipsoids:
        own = scale[list(group.columns)]
        for k, sigma in enumerate(group.scales):
            values, vectors = np.linalg.eigh(sigma / np.outer(own, own))
            if values[0] < 1e-7:
                strongest = [i for i in np.argsort(-np.abs(vectors[:, 0])) if abs(vectors[i, 0]) > 0.3][:3]
                along = ", ".join(fitted.names[group.columns[i]] for i in strongest)
                told[k] = (
                    f"Component {k} is all but flat along {along}: its variance there is "
                    f"{number(max(values[0], 0.0), digits=2)} of the columns' own. Its likelihood is a spike, not a "
                    "fit."
                )
    family, parameters = fitted.estimator._model.foreground()
    for k in np.flatnonzero(np.asarray(family.collapsed(parameters))):
        told.setdefault(
            k, f"Component {k} has lost its rows, or closed in on a single value: its parameters mean nothing."
        )
    return [told[k] for k in sorted(told)]


def hole_warnings(names: list[str], missing: Missing, then: str) -> list[Warned]:
    """Columns of which most cells are missing, and rows without any; ``then`` says what is told of these."""
    told = []
    share = missing.per_column / missing.n_rows
    if (share > 0.5).any():
        which = ", ".join(f"{names[j]} ({percent(float(share[j]))})" for j in np.flatnonzero(share > 0.5)[:8])
        more = int((share > 0.5).sum()) - 8
        told.append(
            Warned(
                f"More than half of the cells are missing in {which}{f' and {more} more' if more > 0 else ''}: what "
                "the fit says there rests on few values, and on their being missing at random."
            )
        )
    if missing.empty_rows:
        told.append(
            Warned(
                f"{count(missing.empty_rows, 'row')} without any observed cell "
                f"{'says' if missing.empty_rows == 1 else 'say'} nothing: {then}."
            )
        )
    return told


def sweep_warnings(selection: Any) -> list[Warned]:
    """What a selection leaves open."""
    told = []
    table, good = selection.table_, usable(selection)
    of, noun = sized(selection)
    sizes = np.array(table.column(of).to_pylist())
    best = int(getattr(selection.estimator_, of))
    if best == sizes.max() and len(set(sizes.tolist())) > 1:
        told.append(
            Warned(
                f"The best number of {noun}s, {best}, is the largest that was tried: try more before settling on it."
            )
        )
    if not good.all():
        told.append(
            Warned(
                f"{int((~good).sum())} of {count(len(good), 'candidate')} of the selection ended degenerate or failed, "
                f"and were not compared by {CRITERIA[selection.criterion][1]}."
            )
        )
    return told
