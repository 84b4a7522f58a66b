"""What a fit says, in sentences: the headline, and what the reader must know before trusting it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.result import Status
from ..data.summary import Summary
from .digits import count, number, percent
from .membership import CERTAIN, Membership
from .plots import CRITERIA, usable
from .rows import Missing


@dataclass(frozen=True)
class Warned:
    """One warning: ``grave`` where the numbers themselves cannot be trusted."""

    text: str
    grave: bool = False


def headline(size: int, n_rows: int, n_columns: int) -> str:
    """
    >>> headline(3, 344, 4)
    '3 clusters of 344 rows by 4 columns'
    """
    return f"{count(size, 'cluster')} of {count(n_rows, 'row')} by {count(n_columns, 'column')}"


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
    estimator: Any,
    names: list[str],
    summary: Summary,
    missing: Missing,
    members: Membership,
    selection: Any = None,
    error_problem: str | None = None,
) -> list[Warned]:
    """Everything that should be known before the numbers are used; the gravest first."""
    d, size, n = len(names), len(estimator.weights_), summary.n_rows
    told: list[Warned] = []
    if not estimator.status_.ok:
        told.append(Warned(outcome(estimator), grave=True))
    told += [Warned(text, grave=True) for text in _narrow(estimator, names, summary)]
    least = 2 * (d + 1)
    for k in np.flatnonzero(members.expected < least):
        told.append(
            Warned(
                f"Component {k} is expected to hold {number(members.expected[k], 1)} rows: fewer than {least}, "
                f"too few for the means and covariances of {count(d, 'column')}. It may be a group of outliers."
            )
        )
    if n < 5 * estimator.n_parameters_:
        told.append(
            Warned(
                f"{count(estimator.n_parameters_, 'free parameter')} for {count(n, 'row')}: fewer than 5 rows for "
                "each. Fewer components or a simpler covariance structure will generalise better."
            )
        )
    if size > 1 and members.uncertain > 0.1 * n:
        told.append(
            Warned(
                f"{percent(members.uncertain / n)} of the rows ({members.uncertain:,}) have no component with a "
                f"probability of {CERTAIN:g} or more: the components overlap, and a hard assignment loses much."
            )
        )
    told += _holes(names, missing)
    if not np.isclose(members.log_likelihood, estimator.log_likelihood_, rtol=1e-7, atol=1e-6):
        told.append(
            Warned(
                "These are not the rows that the mixture was fitted on, or they were weighted or labelled at the fit: "
                f"its own log likelihood was {number(estimator.log_likelihood_, 2)}, that of these rows is "
                f"{number(members.log_likelihood, 2)}."
            )
        )
    if selection is not None:
        told += _sweep(selection)
    if error_problem:
        told.append(Warned(f"There are no standard errors: {error_problem}"))
    return told


def _narrow(estimator: Any, names: list[str], summary: Summary) -> list[str]:
    """Components that are all but flat in some direction."""
    scale = np.sqrt(np.where(summary.variance > 0, summary.variance, 1.0))
    told = []
    for k, sigma in enumerate(estimator.covariances_):
        values, vectors = np.linalg.eigh(sigma / np.outer(scale, scale))
        if values[0] < 1e-7:
            along = [names[j] for j in np.argsort(-np.abs(vectors[:, 0])) if abs(vectors[j, 0]) > 0.3][:3]
            told.append(
                f"Component {k} is all but flat along {', '.join(along)}: its variance there is "
                f"{number(max(values[0], 0.0), digits=2)} of the columns' own. Its likelihood is a spike, not a fit."
            )
    return told


def _holes(names: list[str], missing: Missing) -> list[Warned]:
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
                f"{'says' if missing.empty_rows == 1 else 'say'} nothing: the probabilities there are the weights."
            )
        )
    return told


def _sweep(selection: Any) -> list[Warned]:
    told = []
    table, good = selection.table_, usable(selection)
    sizes = np.array(table.column("n_components").to_pylist())
    best = int(selection.estimator_.n_components)
    if best == sizes.max() and len(set(sizes.tolist())) > 1:
        told.append(
            Warned(
                f"The best number of components, {best}, is the largest that was tried: try more before settling on it."
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
